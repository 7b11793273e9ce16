//! Who decides where epochs end: minted from what workers report, fed from a record, or until the end of the source.

pub mod mint;
pub mod replay;
pub mod until;
