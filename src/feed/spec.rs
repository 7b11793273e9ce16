//! A dataflow's settings for its source: where records are, where to begin, how to read them.
//!
//! Why plain values: the dataflow's file and the flags both fill them, and each kind of source uses what it needs. What must
//! always hold: secrets are resolved here and never printed.

use crate::wire::FieldSource;
use std::collections::BTreeMap;
use ticktide_base::epoch::Place;
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_market::TickKind;

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

/// What becomes of a time that the clocks of a zone show twice or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ambiguous {
    /// Its record is refused.
    #[default]
    Refuse,
    /// The earlier of the two moments; of a skipped hour the one before the skip by as much.
    Earliest,
    Latest,
}

/// What a feed's word for its records stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    Tick(TickKind),
    /// No record of the market: a heartbeat, an answer to a subscription. It is counted.
    Ignored,
}

impl RecordType {
    /// The words that a dataflow writes, with what they stand for.
    pub const WORDS: [(&'static str, RecordType); 5] = [
        ("trade", RecordType::Tick(TickKind::Trade)),
        ("snapshot", RecordType::Tick(TickKind::Snapshot)),
        ("cancel", RecordType::Tick(TickKind::Cancel)),
        ("correct", RecordType::Tick(TickKind::Correct)),
        ("ignore", RecordType::Ignored),
    ];

    /// The word that a dataflow writes for it.
    pub fn word(self) -> &'static str {
        RecordType::WORDS.iter().find(|(_, kind)| *kind == self).map_or("notice", |(word, _)| word)
    }
}

/// What the wire decoder needs to know of the dataflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireSpec {
    /// A name in [`wire`]'s registry.
    pub format: String,
    /// Ticktide's field → the record's field, where the names differ (`time = "ts"`).
    pub fields: BTreeMap<String, FieldSource>,
    /// The feed's words for what a record is, in the order of the file; empty: ticktide's own words.
    pub types: Vec<(String, RecordType)>,
    /// The record's field that fills `Tick::conditions`, when the dataflow names one.
    pub conditions: Option<String>,
    /// The record's field that fills `Tick::suspicious`, when the dataflow names one.
    pub suspicious: Option<String>,
    /// The names of a line's columns, in order, for formats that do not name their fields; empty: the format's own.
    pub columns: Vec<String>,
    /// What separates the columns; the format's own if `None`.
    pub delimiter: Option<u8>,
    /// Whether blanks around the fields of a line belong to them; `None`: by the rules of the lake they do not.
    pub trim: Option<bool>,
    /// The time zone (IANA) of times without one.
    pub zone: Option<String>,
    /// What a time is that the clocks of the zone show twice or never.
    pub ambiguous: Ambiguous,
    /// The form (strptime) of every time.
    pub time_format: Option<String>,
    /// The mark before a fraction; a point if `None`.
    pub decimal: Option<u8>,
    /// The mark between groups of digits.
    pub thousands: Option<u8>,
    /// Whether numbers with too many digits are rounded, half to even.
    pub round: bool,
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
