//! Promises of the lake as a whole: stopped at every operation, raced, corrected, read back.

mod crash;
pub(super) mod doubles;
mod folder;
mod race;
mod rows;
mod s3;
mod scenario;
mod upkeep;
