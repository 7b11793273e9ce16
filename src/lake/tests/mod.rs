//! Promises of the lake as a whole: stopped at every operation, raced, corrected, read back.

mod catalog;
mod crash;
mod doubles;
mod folder;
#[cfg(feature = "aws")]
mod glue;
mod race;
mod rows;
mod s3;
mod scenario;
