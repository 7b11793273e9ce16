//! What a dataflow says of its source: where records are, where to begin, how to read them.
//!
//! Why plain values: the dataflow's file and the flags both fill them, and every kind of source takes what it needs. What must
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

/// How fast recorded data is played.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Speed {
    #[default]
    Max,
    /// Recorded time × this.
    Times(f64),
}

/// What becomes of a file's last line while it has no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastLine {
    /// It waits for its end: a quantity of `2` may become 25.
    #[default]
    Leave,
    /// It is a record, as nobody goes on writing.
    Take,
}

/// What the wire decoder needs to know of the dataflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireSpec {
    /// A name of [`wire`]'s registry.
    pub format: String,
    /// Our field → the record's field, where they differ (`time = "ts"`).
    pub fields: BTreeMap<String, String>,
    /// The record's field that fills `Tick::conditions`, when the dataflow names one.
    pub conditions: Option<String>,
    /// The record's field that fills `Tick::suspicious`, when the dataflow names one.
    pub suspicious: Option<String>,
    /// The names of a line's columns, in order, for formats that do not name their fields; empty: the format's own.
    pub columns: Vec<String>,
    /// What stands between columns; the format's own if `None`.
    pub delimiter: Option<u8>,
    /// Each record says what was traded since the day began: one that does not say what it is is a snapshot.
    pub cumulative: bool,
    /// By which records are read: those of the lake that their ticks go to.
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
    /// Silences of the whole feed a day; as many of a busy instrument in each partition.
    pub gaps: u32,
}

/// A source as the dataflow file and the flags describe it; secrets are resolved, never printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSpec {
    /// A name of the registry [`SOURCES`].
    pub uses: String,
    pub brokers: String,
    pub topics: Vec<String>,
    /// librdkafka settings.
    pub kafka: BTreeMap<String, String>,
    pub from: StartFrom,
    /// Files, directories or globs.
    pub paths: Vec<String>,
    /// The lake's places by partition name, where one goes on: files are known again by them.
    pub recorded: BTreeMap<String, Place>,
    pub speed: Speed,
    /// Of plain files; a packed one is whole.
    pub last_line: LastLine,
    /// Stop each partition at the end seen when the source was opened.
    pub until_end: bool,
    pub wire: WireSpec,
    /// By which rules records count: under the first ones a Kafka record without a value is a reject, later it is a gap.
    pub rules: Rules,
    pub synthetic: SyntheticSpec,
    /// Memory that unread batches and the client's buffers may take together, per reader.
    pub buffer_bytes: usize,
}
