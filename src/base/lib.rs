//! The ground: what every stage builds on; it knows no stage.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! Errors that say who acts, time and epochs as values, the environment, documents that keep the place of each value, metrics.
//! What must hold: only [`environment`] reads the environment, and nothing here knows a tick, a bar or a lake.

pub mod conservation;
pub mod document;
pub mod environment;
pub mod epoch;
pub mod error;
pub mod failure;
pub mod metrics;
pub mod panics;
pub mod registry;
pub mod rules;
pub mod time;
pub mod version;
