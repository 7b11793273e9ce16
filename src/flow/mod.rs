//! Stage 2: ticks → bars → indicators, anomalies. Pure: no I/O, no clock.

pub mod anomalies;
pub mod bars;
pub mod clean;
pub mod close;
pub mod finished;
pub mod indicators;
pub mod jumps;
pub mod listings;
pub mod memory;
pub mod parameters;
pub mod readings;
pub mod scan;
pub mod volume;
