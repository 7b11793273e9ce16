//! THE commit: one slot of the log an epoch, created at most once (L1), announced behind its tables.

pub mod announce;
pub(crate) mod log;
pub mod owner;
pub mod protocol;
pub mod slot;
