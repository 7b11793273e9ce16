//! Promises of the lake as a whole: stopped at every operation, under every fault, raced, corrected, read back.

mod balance;
mod catalog;
mod crash;
pub(super) mod doubles;
mod folder;
mod foreign;
#[cfg(feature = "aws")]
mod glue;
mod log;
mod many;
mod plan;
mod race;
mod rewind;
mod rows;
mod s3;
pub(crate) mod scenario;
mod upkeep;
