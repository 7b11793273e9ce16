//! Stamps, epochs, bindings: the values that the control dataflow decides with, and pure functions of them.
//!
//! A **step** is a timely timestamp, an **epoch** a run of steps that is published together, a **binding** the record that
//! defines an epoch. Everything here is a function of its arguments: no clock, no I/O. Worker 0 feeds it from all workers'
//! reports (the engine's `epochs`).

pub use crate::conservation::Conservation;
use crate::rules::Rules;
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

/// The part of a file from which the records before a place were made: enough to recognise later what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSoFar {
    /// The offset of the first record after these bytes; at most the place's.
    pub offset: i64,
    /// Uncompressed bytes, from the file's start.
    pub bytes: u64,
    /// Their XXH64 with seed 0.
    #[serde(with = "hexadecimal")]
    pub xxh64: u64,
}

/// A number as text: readers of JSON parse numbers as floats.
mod hexadecimal {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// One partition's position at an epoch's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Kafka's topic id or a file's identity: another value under the same name is another source.
    pub source_id: String,
    /// The first offset that the epoch does not contain.
    pub offset_next: i64,
    /// The greatest event time accepted so far, in any epoch.
    pub event_at_max: Option<Nanos>,
    /// The line that names the fields of the partition's records, if there is one: the header of a csv file. Without it a
    /// record of the quarantine could not be read once its file is gone.
    #[serde(default)]
    pub header: Option<String>,
    /// The greatest distinct event times believed so far, the greatest first: one more than `confirmations`. When that many are
    /// known, the last of them is the partition's running time.
    #[serde(default)]
    pub running: Vec<Nanos>,
    /// Whether the receipt times of the epoch's records refute event times: their writer did not write the event times.
    #[serde(default)]
    pub witnessed: bool,
    /// Why its records of the epoch may be older than what is kept.
    #[serde(default)]
    pub stood: Stood,
    /// What the wall clock decided in the epoch, in order of offsets.
    #[serde(default)]
    pub clock: Vec<ClockFact>,
    /// Of a file, if known; it ends before the last record if the epoch ended inside a batch.
    #[serde(default)]
    pub read: Option<ReadSoFar>,
}

/// Why a partition may be older than what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stood {
    /// An earlier run ended without it.
    #[default]
    Ended,
    /// The lake had not read it before.
    New,
    /// It was silent.
    Silent,
}

impl Stood {
    /// The reason, in words.
    pub fn text(self) -> &'static str {
        match self {
            Stood::New => "it is new to the lake",
            Stood::Ended => "it had ended in an earlier run",
            Stood::Silent => "it had been silent",
        }
    }
}

/// What the wall clock decided about a partition's records, so that a replay needs no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockFact {
    /// The first offset that it holds for; it holds until the next fact.
    pub from: i64,
    /// A later event time is ahead of the wall clock.
    pub limit: Nanos,
    /// Whether a first record at this offset was believed at once.
    pub first: bool,
}

/// A partition whose time was set back in an epoch, after a wild event time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewound {
    pub partition: String,
    /// Its running time from then on.
    pub to: Nanos,
    /// Up to where memory had been released: older ids and days are not known, whatever the horizons are now.
    pub forgotten: Nanos,
}

/// What was published while the lake's time was ahead, beyond the time that it was set back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// Up to where bars were published at that time.
    pub closed_until: Option<Nanos>,
    pub flushed_until: Option<Nanos>,
    /// The stretches of time with rows that were published up to there, in order.
    pub spans: Vec<(Nanos, Nanos)>,
}

impl Ahead {
    /// Whether a bar that covers `[open_at, end_at)` was published at that time.
    fn publishes(&self, open_at: Nanos, end_at: Nanos) -> bool {
        closes(self.closed_until, self.flushed_until, open_at, end_at)
            && self.spans.iter().any(|(from, until)| *from <= open_at && end_at <= *until)
    }
}

fn closes(closed_until: Option<Nanos>, flushed_until: Option<Nanos>, open_at: Nanos, end_at: Nanos) -> bool {
    closed_until.is_some_and(|at| end_at <= at) || flushed_until.is_some_and(|at| open_at <= at)
}

/// What defines an epoch: every row of the epoch is a function of the binding and of the records that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub epoch: Epoch,
    /// The start of a run that decided it.
    pub generation: u64,
    /// The rules by which lateness was judged.
    #[serde(default = "Rules::unnamed")]
    pub lateness: Rules,
    /// The rules by which wild times were judged.
    #[serde(default = "Rules::unnamed")]
    pub wild_time: Rules,
    /// By "topic/partition".
    pub places: BTreeMap<String, Place>,
    /// The least of the greatest event times of the partitions that brake; monotone. Bars close by it; under the first rules
    /// horizons derive from it.
    pub frontier: Option<Nanos>,
    /// The least running time of the partitions that brake retirement, at most the wall clock; monotone. Horizons derive from
    /// it.
    #[serde(default)]
    pub retired_by: Option<Nanos>,
    /// The time that the whole lake had reached at the last flush: from then on the running time of every partition is at least
    /// this; monotone.
    #[serde(default)]
    pub lake_time: Option<Nanos>,
    /// Bars that end at or before it are published; monotone.
    pub closed_until: Option<Nanos>,
    /// Bars that start at or before it are published, too: the reach of the last flush; monotone.
    pub flushed_until: Option<Nanos>,
    /// What is also published because the lake's time was ahead once.
    #[serde(default)]
    pub ahead: Vec<Ahead>,
    /// Set in the epoch that sets a partition's time back: the one exception to what is monotone.
    #[serde(default)]
    pub rewound: Option<Rewound>,
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
    /// The time that horizons derive from.
    pub fn retires(&self) -> Option<Nanos> {
        match self.lateness {
            Rules::First => self.frontier,
            Rules::Second => self.retired_by,
        }
    }

    /// The least running time that every partition of the next epoch has. After an epoch of the first rules it is the time that
    /// its horizons derive from: nothing before them is kept.
    pub fn lake_time_next(&self) -> Option<Nanos> {
        match self.lateness {
            Rules::First => self.frontier,
            Rules::Second => self.lake_time,
        }
    }

    /// Whether a bar that covers `[open_at, end_at)` is published by this epoch.
    #[inline]
    pub fn publishes(&self, open_at: Nanos, end_at: Nanos) -> bool {
        closes(self.closed_until, self.flushed_until, open_at, end_at)
            || self.ahead.iter().any(|ahead| ahead.publishes(open_at, end_at))
    }

    /// The part of `ahead` that must still be known once bars are closed up to a time.
    pub fn ahead_of(&self, closed_until: Option<Nanos>) -> Vec<Ahead> {
        let mut ahead = self.ahead.clone();
        for ahead in &mut ahead {
            ahead.spans.retain(|(_, until)| closed_until.is_none_or(|at| at < *until));
        }
        ahead.retain(|ahead| !ahead.spans.is_empty());
        ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_before_is_read_and_what_is_written_comes_back() {
        let before = r#"{"source_id":"file:a","offset_next":3,"event_at_max":5,"header":null}"#;
        let mut place: Place = serde_json::from_str(before).expect("a place of before");
        assert_eq!((place.read, place.running.len(), place.witnessed), (None, 0, false));
        for xxh64 in [7, u64::MAX] {
            place.read = Some(ReadSoFar { offset: 2, bytes: 80, xxh64 });
            let text = serde_json::to_string(&place).expect("text");
            assert!(text.contains(&format!("\"xxh64\":\"{xxh64:016x}\"")), "{text}");
            assert_eq!(serde_json::from_str::<Place>(&text).expect("its own"), place);
        }
    }

    #[test]
    fn what_was_published_ahead_stays_published_and_nothing_beside_it() {
        let (closed_until, flushed_until) = (Some(900), Some(950));
        let ahead = vec![Ahead { closed_until, flushed_until, spans: vec![(800, 860), (940, 1_000)] }];
        let binding = Binding { closed_until: Some(100), flushed_until: Some(120), ahead, ..Binding::default() };
        for (bar, published) in [
            ((40, 100), true),
            ((120, 180), true),
            ((180, 240), false),
            ((800, 860), true),
            ((810, 811), true),
            ((860, 920), false),
            ((940, 1_000), true),
            // that flush did not reach it: it is in a longer bar that the flush reached
            ((960, 970), false),
        ] {
            assert_eq!(binding.publishes(bar.0, bar.1), published, "{bar:?}");
        }
        assert_eq!(binding.ahead_of(Some(859)), binding.ahead);
        assert_eq!(binding.ahead_of(Some(860))[0].spans, [(940, 1_000)]);
        assert_eq!(binding.ahead_of(Some(1_000)), []);
        let text = serde_json::to_string(&binding).expect("text");
        assert_eq!(serde_json::from_str::<Binding>(&text).expect("its own"), binding);
        let bytes = bincode::serialize(&[binding.clone(), binding.clone()]).expect("plain values");
        assert_eq!(bincode::deserialize::<[Binding; 2]>(&bytes).expect("its own"), [binding.clone(), binding]);
    }

    #[test]
    fn a_place_goes_to_another_process_whatever_it_knows() {
        for read in [None, Some(ReadSoFar { offset: 2, bytes: 80, xxh64: 9 })] {
            let place = Place { source_id: "s".into(), offset_next: 3, read, ..Place::default() };
            let two = bincode::serialize(&[place.clone(), place.clone()]).expect("plain values");
            assert_eq!(bincode::deserialize::<[Place; 2]>(&two).expect("its own"), [place.clone(), place]);
        }
    }
}
