//! Stage 2: ticks → bars → indicators, anomalies. Pure: no I/O, no clock.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.

pub mod anomalies;
pub mod bars;
pub mod clean;
pub mod close;
pub mod indicators;
pub mod instruments;
pub mod parameters;
pub mod scan;
