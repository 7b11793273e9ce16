//! THE commit: one slot of the log per epoch, created at most once (L1), announced after its tables are updated.
//!
//! ```text
//!   open     owner (heartbeats) · protocol::Claim ─▶ log: a takeover
//!   decide   parts ─▶ entries ─▶ slot ─▶ protocol::Decide ─▶ log/<epoch>.json
//!   apply    pending slots ─▶ table::live (protocol::Apply) ─▶ announce: epoch_tables, then epochs
//! ```
//!
//! Why the protocol is separate: its machines take answers and return the next operation, so every order of answers can be
//! tested without a store. What must hold: L1 – L5 and L9, as the head of the crate says.

pub mod announce;
mod apply;
mod decide;
pub(crate) mod entries;
pub(crate) mod log;
pub mod owner;
pub(crate) mod protocol;
pub mod slot;
