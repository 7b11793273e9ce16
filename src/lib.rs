//! ticktide: a stream of market ticks into a lake that is always right.

pub mod calendar;
pub mod cli;
pub mod conditions;
pub mod control;
pub mod dataflow;
pub mod document;
pub mod engine;
pub mod error;
pub mod feed;
pub mod flow;
pub mod graph;
pub mod intake;
pub mod lake;
#[cfg(test)]
mod layers;
pub mod market;
pub mod query;
pub mod settings;
pub mod sink;
pub mod source;
pub mod tables;
pub mod time;
