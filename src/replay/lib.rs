//! Runs recorded epochs again, above the engine: to compare ([`verify`]), with additions ([`rebuild`]), from the archive
//! ([`archive`]).
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.

pub mod archive;
pub mod rebuild;
pub mod recorded;
pub mod rewind;
#[cfg(test)]
mod tests;
pub mod verify;
