//! Stage 2: ticks → bars → indicators. Pure: no I/O, no clock.

pub mod bars;
pub mod clean;
pub mod close;
pub mod finished;
pub mod indicators;
pub mod jumps;
pub mod memory;
pub mod readings;
pub mod scan;
pub mod volume;
