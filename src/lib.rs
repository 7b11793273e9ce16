//! ticktide: a stream of market ticks into a lake that is always right.

pub mod calendar;
pub mod control;
pub mod error;
pub mod feed;
pub mod flow;
pub mod lake;
pub mod market;
pub mod time;
