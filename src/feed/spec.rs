//! A dataflow's settings for its source: where records are, where to begin, how to read them.
//!
//! Why plain values: the dataflow's file and the flags both fill them, and each kind of source uses what it needs. What must
//! always hold: secrets are resolved here and never printed.

use std::collections::BTreeMap;
use ticktide_base::epoch::Place;
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;

/// Where a source starts when the lake has no offsets yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum StartFrom {
    #[default]
    Earliest,
    Latest,
    At(Nanos),
}

/// How fast recorded data is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Speed {
    #[default]
    Max,
    /// Recorded time × this.
    Times(f64),
}

/// What happens to a file's last line while it has no line end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastLine {
    /// It waits for its line end: a quantity of `2` may become 25.
    #[default]
    Leave,
    /// It is a record, because the file no longer grows.
    Take,
}

/// What the wire decoder needs to know of the dataflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireSpec {
    /// A name in [`wire`]'s registry.
    pub format: String,
    /// Ticktide's field → the record's field, where the names differ (`time = "ts"`).
    pub fields: BTreeMap<String, String>,
    /// The record's field that fills `Tick::conditions`, when the dataflow names one.
    pub conditions: Option<String>,
    /// The record's field that fills `Tick::suspicious`, when the dataflow names one.
    pub suspicious: Option<String>,
    /// The names of a line's columns, in order, for formats that do not name their fields; empty: the format's own.
    pub columns: Vec<String>,
    /// What separates the columns; the format's own if `None`.
    pub delimiter: Option<u8>,
    /// Each record has the volume since the day began: a record without a type is a snapshot.
    pub cumulative: bool,
    /// The rules by which records are read: those of the lake that their ticks go to.
    pub rules: Rules,
}

/// A seeded market (see `synthetic`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyntheticSpec {
    pub seed: u64,
    pub instruments: u32,
    pub partitions: u32,
    /// Trades of one trading day, all instruments together.
    pub trades_a_day: u64,
    /// The first trading day, days since 1970.
    pub first_day: i32,
    /// Silences of the whole feed a day; also the number of silences of the busiest instrument in each partition.
    pub gaps: u32,
}

/// A source as the dataflow file and the flags describe it; secrets are resolved, never printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSpec {
    /// A name in the registry [`SOURCES`].
    pub uses: String,
    pub brokers: String,
    pub topics: Vec<String>,
    /// librdkafka settings.
    pub kafka: BTreeMap<String, String>,
    pub from: StartFrom,
    /// Files, directories or globs.
    pub paths: Vec<String>,
    /// The lake's places by partition name, if a lake is continued: they identify files that were read before.
    pub recorded: BTreeMap<String, Place>,
    pub speed: Speed,
    /// For plain files; a compressed file is complete.
    pub last_line: LastLine,
    /// Stop each partition at the end it had when the source was opened.
    pub until_end: bool,
    pub wire: WireSpec,
    /// The rules by which records count: under the first a Kafka record without a value is a reject, under later ones a gap.
    pub rules: Rules,
    pub synthetic: SyntheticSpec,
    /// Memory that unread batches and the client's buffers may take together, per reader.
    pub buffer_bytes: usize,
}
