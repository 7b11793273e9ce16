//! THE commit: one slot of the log an epoch, created at most once (L1), announced behind its tables.
//!
//! ```text
//!   open     owner (who is there) · protocol::Claim ─▶ log: a takeover
//!   decide   parts ─▶ entries ─▶ slot ─▶ protocol::Decide ─▶ log/<epoch>.json
//!   apply    pending slots ─▶ table::live (protocol::Apply) ─▶ announce: epoch_tables, then epochs
//! ```
//!
//! Why the protocol apart: its machines take answers and give the next operation, so every order of answers can be tested
//! without a store. What must hold: L1 – L5 and L9, as the lake's own head says.

pub mod announce;
mod apply;
mod decide;
pub(crate) mod entries;
pub(crate) mod log;
pub mod owner;
pub(crate) mod protocol;
pub mod slot;
