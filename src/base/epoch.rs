//! Stamps, epochs, bindings: what the control dataflow decides with, as pure functions.
//!
//! A **step** is a timely timestamp, an **epoch** a run of steps that is published together, a **binding** the record that
//! defines an epoch. Everything here is a function of its arguments: no clock, no I/O. Worker 0 feeds it from all workers'
//! reports (the engine's `epochs`).

pub use crate::conservation::Conservation;
use crate::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of an epoch; its slot in the log.
pub type Epoch = u64;

/// Bits of a timely timestamp that number the step inside its epoch.
const STEP_BITS: u32 = 24;
/// The last step of every epoch: carries the binding, and retirements, never data.
pub const LAST_STEP: u64 = (1 << STEP_BITS) - 1;

/// The timely timestamp of a step of an epoch; order is (epoch, step).
#[inline]
pub fn stamp(epoch: Epoch, step: u64) -> u64 {
    debug_assert!(step <= LAST_STEP);
    (epoch << STEP_BITS) | step
}

/// The epoch of a timely timestamp.
#[inline]
pub fn epoch_of(stamp: u64) -> Epoch {
    stamp >> STEP_BITS
}

/// The step of a timely timestamp inside its epoch.
#[inline]
pub fn step_of(stamp: u64) -> u64 {
    stamp & LAST_STEP
}

/// One partition's place at an epoch's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Kafka's topic id or a file's identity: another value under the same name is another source.
    pub source_id: String,
    /// The first offset that the epoch does not contain.
    pub offset_next: i64,
    /// The greatest event time accepted so far, in any epoch.
    pub event_at_max: Option<Nanos>,
    /// The line that names what is in the partition's records, where there is one: the header of a csv file. Without it a
    /// record of the quarantine could not be read once its file is gone.
    #[serde(default)]
    pub header: Option<String>,
}

/// What defines an epoch: with the records it names, every row of the epoch is a function of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub epoch: Epoch,
    /// Who decided it.
    pub generation: u64,
    /// By "topic/partition".
    pub places: BTreeMap<String, Place>,
    /// The least greatest event time over the partitions that brake; monotone. Horizons derive from it.
    pub frontier: Option<Nanos>,
    /// Bars that end at or before it are published; monotone.
    pub closed_until: Option<Nanos>,
    /// Bars that start at or before it are published, too: the reach of the last flush; monotone.
    pub flushed_until: Option<Nanos>,
    /// Whether this epoch was the last of a run `--until end`.
    pub flush: bool,
    /// By interval name ("1s"): a tick of this epoch with an earlier event time is too late for the interval. All
    /// values lie on the starts of bars.
    pub horizons: BTreeMap<String, Nanos>,
    /// Trades before it are no longer kept for corrections (`retention`).
    pub retained_from: Option<Nanos>,
    pub dataflow_hash: String,
    pub calendar_hash: String,
    pub code_version: String,
}

impl Binding {
    /// Whether a bar that covers `[open_at, end_at)` is published by this epoch.
    #[inline]
    pub fn publishes(&self, open_at: Nanos, end_at: Nanos) -> bool {
        self.closed_until.is_some_and(|at| end_at <= at) || self.flushed_until.is_some_and(|at| open_at <= at)
    }
}
