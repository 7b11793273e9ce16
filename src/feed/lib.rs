//! Stage 1: bytes from outside → ticks.
//!
//! ```text
//!   Source (opened once)        Reader (one per worker, on its own thread)                 worker
//!   lists partitions ──assign──▶ poll ─▶ payloads ─▶ wire::Decoder ─▶ Batch ──bounded──▶ source operator
//! ```
//!
//! What fills topics stands beside it: [`connect`] holds a vendor's feed, [`simulate`] makes one up, both into a
//! `Sink` of the connectors.
//!
//! Why partitions are assigned by us: an epoch is defined by offsets, so offsets live in the lake's log and never in a
//! consumer group. What must always hold: every record becomes exactly one tick or one reject, and a batch says how far it
//! got (`offset_next`), so that an epoch can end between any two batches.

mod file;
mod kafka;
mod pace;
pub mod synthetic;
#[doc(hidden)]
pub mod testing;
pub mod wire;

pub use file::{lines, sniff};
pub use pace::Pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::error::{Classified, Kind, nearest};
use ticktide_base::time::Nanos;
use ticktide_market::{Instrument, InstrumentId, Tick};

/// A batch is handed on when it holds this many records …
const BATCH_RECORDS: u64 = 2000;
/// … or this many bytes of payload.
const BATCH_BYTES: u64 = 256 << 10;

/// A kind of source: a row of [`SOURCES`].
pub struct SourceKind {
    /// What `source.use` says.
    pub name: &'static str,
    /// One line for `list sources`.
    pub doc: &'static str,
    /// Looks at the outside once; the places are those of the lake, by [`Partition::name`].
    pub open: fn(&SourceSpec, &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError>,
}

/// Every kind of source.
pub static SOURCES: &[&SourceKind] = &[
    &kafka::KIND, //
    &file::KIND,
    &synthetic::KIND,
];

/// Opens the source that a dataflow describes. `resume` is the lake's next offset by partition name ([`Partition::name`]).
pub fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError> {
    match SOURCES.iter().find(|kind| kind.name == spec.uses) {
        Some(kind) => (kind.open)(spec, resume),
        None => {
            let names: Vec<&str> = SOURCES.iter().map(|kind| kind.name).collect();
            let hint = match nearest(&spec.uses, &names) {
                Some(name) => format!("did you mean `{name}`? there are: {}", names.join(", ")),
                None => format!("set `source.use` or `--source` to one of: {}", names.join(", ")),
            };
            Err(FeedError::Fix(format!("source \"{}\" does not exist", spec.uses), hint))
        }
    }
}

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
    /// The lake's [`Partition::source_id`] by partition name, where one goes on: files that share a name are told apart.
    pub recorded: BTreeMap<String, String>,
    pub speed: Speed,
    /// Stop each partition at the end seen when the source was opened.
    pub until_end: bool,
    pub wire: WireSpec,
    pub synthetic: SyntheticSpec,
    /// Memory that unread batches and the client's buffers may take together, per reader.
    pub buffer_bytes: usize,
}

/// One ordered run of records: a Kafka partition, a file, a shard of the synthetic market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    /// Kafka's topic id, a file's identity, the synthetic market's settings.
    pub source_id: String,
    /// The first offset to read when the lake has none.
    pub offset_start: i64,
    /// The end seen at opening (Kafka: last stable offset; files: number of records, `i64::MAX` if not known yet).
    pub offset_end: i64,
}

impl Partition {
    /// The name under which bindings hold its place.
    pub fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

/// What one reader reads of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Index into [`Source::partitions`].
    pub partition: usize,
    /// The first offset to read.
    pub offset: i64,
}

/// A record that is no tick: kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub offset: i64,
    pub received_at: Option<Nanos>,
    /// A fixed word (`not_json`, `missing_field`, `out_of_range` …).
    pub reason: &'static str,
    pub detail: String,
    pub payload: Vec<u8>,
}

/// Some consecutive records of one partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// Index into [`Source::partitions`].
    pub partition: usize,
    /// The first offset after the batch.
    pub offset_next: i64,
    /// Ticks plus rejects.
    pub records: u64,
    /// Offsets passed over without a record.
    pub gaps: u64,
    /// Of the gaps: what was deleted before it was read, from the first offset to the first that is still there.
    pub lost: Vec<(i64, i64)>,
    /// Payload bytes.
    pub bytes: u64,
    pub ticks: Vec<Tick>,
    /// Payloads of the ticks one behind the other, for those that are refused later; see [`Batch::payload`].
    payloads: Vec<u8>,
    ends: Vec<u32>,
    pub rejects: Vec<Reject>,
    /// Instruments met for the first time by this reader: they continue its table, in order of [`InstrumentId`].
    pub instruments: Vec<Instrument>,
    /// The line that names what is in the partition's records, if one was met (see [`wire::Decoder::header`]).
    pub header: Option<Arc<str>>,
    /// Nothing unread was left behind this batch when it was made.
    pub caught_up: bool,
    /// With `until_end`: the partition's end is reached, nothing more will come.
    pub finished: bool,
}

impl Batch {
    /// An empty one of a partition.
    pub fn of(partition: usize) -> Batch {
        Batch { partition, ..Batch::default() }
    }

    /// Adds a tick and keeps the payload it came in.
    #[inline]
    pub fn push(&mut self, tick: Tick, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.ends.push(self.payloads.len() as u32);
        self.ticks.push(tick);
    }

    /// Makes room for as much as another batch held.
    pub fn reserve_like(&mut self, other: &Batch) {
        self.ticks.reserve(other.ticks.len());
        self.ends.reserve(other.ends.len());
        self.payloads.reserve(other.payloads.len() + other.payloads.len() / 16);
    }

    /// Keeps what comes before `offset` and gives the rest; `None`: nothing lies behind it. The instruments stay in front.
    pub fn split_off(&mut self, offset: i64) -> Option<Batch> {
        if offset >= self.offset_next {
            return None;
        }
        let begins = self.offset_next - (self.records + self.gaps) as i64;
        let ticks = self.ticks.partition_point(|tick| tick.offset < offset);
        let rejects = self.rejects.partition_point(|reject| reject.offset < offset);
        let bytes = if ticks == 0 { 0 } else { self.ends[ticks - 1] };
        let mut rest = Batch {
            partition: self.partition,
            offset_next: self.offset_next,
            ticks: self.ticks.split_off(ticks),
            payloads: self.payloads.split_off(bytes as usize),
            ends: self.ends.split_off(ticks).into_iter().map(|end| end - bytes).collect(),
            rejects: self.rejects.split_off(rejects),
            header: self.header.clone(),
            caught_up: std::mem::take(&mut self.caught_up),
            finished: std::mem::take(&mut self.finished),
            ..Batch::default()
        };
        rest.records = (rest.ticks.len() + rest.rejects.len()) as u64;
        let sized = |batch: &Batch| {
            (batch.payloads.len() + batch.rejects.iter().map(|r| r.payload.len()).sum::<usize>()) as u64
        };
        rest.bytes = sized(&rest);
        self.records -= rest.records;
        self.bytes = sized(self);
        self.offset_next = offset.max(begins);
        let gaps = (self.offset_next - begins) as u64 - self.records;
        rest.gaps = self.gaps - gaps;
        self.gaps = gaps;
        Some(rest)
    }

    /// The payload of the tick at `index`.
    pub fn payload(&self, index: usize) -> &[u8] {
        let from = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.payloads[from..self.ends[index] as usize]
    }
}

/// A place that records come from, opened and looked at once.
pub trait Source: Send + Sync {
    fn partitions(&self) -> &[Partition];
    /// The end of each partition as far as it is known now, the first offset without a record; by partition index.
    fn ends(&self) -> Vec<Option<i64>> {
        Vec::new()
    }
    /// Whether all that its readers have given so far is of the partitions as they were opened. May take seconds.
    fn confirm(&self) -> Result<(), FeedError> {
        Ok(())
    }
    /// Whether it goes on where a lake has ended: `recorded` is the lake's [`Partition::source_id`] of a partition.
    fn continues(&self, _partition: &Partition, _recorded: &str) -> Result<(), FeedError> {
        Ok(())
    }
    /// Whether a recorded [`Partition::source_id`] can be that of the partition as it is now.
    fn is_recorded_as(&self, partition: &Partition, recorded: &str) -> bool {
        partition.source_id == recorded
    }
    /// A reader for some of the partitions, with its own decoder.
    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError>;
}

/// Reads assigned partitions; lives on a thread of its own.
pub trait Reader: Send {
    /// The next batch of one partition (a few thousand records at most), or `None` when nothing came within `wait`.
    /// Partitions with `paused[index]` (by [`Source::partitions`] index) are left unread. A batch without records reports
    /// a change of `caught_up` or `finished`, or gaps.
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError>;
}

/// The instruments a reader has met, by the bytes that name them on the wire: one that is told under two symbols has two ids.
#[derive(Default)]
pub struct InstrumentTable {
    ids: std::collections::HashMap<Box<[u8]>, InstrumentId, ahash::RandomState>,
    fresh: Vec<Instrument>,
    key: Vec<u8>,
}

impl InstrumentTable {
    /// The id of an instrument; a new one is remembered for [`InstrumentTable::take_fresh`].
    pub fn id(&mut self, venue: &str, instrument: &str, symbol: Option<&str>) -> InstrumentId {
        self.key.clear();
        self.key.push(match symbol {
            None => 0,
            Some(symbol) if symbol == instrument => 1,
            Some(_) => 2,
        });
        self.key.extend_from_slice(venue.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(instrument.as_bytes());
        if let Some(symbol) = symbol.filter(|symbol| *symbol != instrument) {
            self.key.push(0);
            self.key.extend_from_slice(symbol.as_bytes());
        }
        if let Some(id) = self.ids.get(self.key.as_slice()) {
            return *id;
        }
        let id = InstrumentId(self.ids.len() as u32);
        self.ids.insert(self.key.as_slice().into(), id);
        self.fresh.push(Instrument::new(venue, instrument, symbol));
        id
    }

    /// The instruments met since the last call, in order of their ids.
    pub fn take_fresh(&mut self) -> Vec<Instrument> {
        std::mem::take(&mut self.fresh)
    }
}

/// What can go wrong between the outside and a tick.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The user's file, flag, topic or broker; second field: the hint.
    #[error("{0}")]
    Fix(String, String),
    /// The outside is not there just now.
    #[error("{0}")]
    Unavailable(String),
    /// Nobody is there where the user says: a mistake, unless it has been there before; second field: the hint.
    #[error("{0}")]
    Unanswered(String, String),
    /// The outside has changed in a way that the next start takes in; second field: the hint.
    #[error("{0}")]
    Changed(String, String),
}

impl Classified for FeedError {
    fn kind(&self) -> Kind {
        match self {
            FeedError::Fix(..) | FeedError::Unanswered(..) => Kind::Fix,
            FeedError::Unavailable(_) | FeedError::Changed(..) => Kind::Retry,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FeedError::Fix(_, hint) | FeedError::Unanswered(_, hint) | FeedError::Changed(_, hint) => {
                Some(hint.clone())
            }
            FeedError::Unavailable(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbour_and_a_strange_one_none() {
        let words = ["kafka", "file", "synthetic"];
        assert_eq!(nearest("kafak", &words), Some("kafka"));
        assert_eq!(nearest("File", &words), Some("file"));
        assert_eq!(nearest("sintetic", &words), Some("synthetic"));
        assert_eq!(nearest("postgres", &words), None);
        assert_eq!(nearest("", &words), None);
    }

    fn batch(offsets: &[(i64, bool)], gaps_behind: i64) -> Batch {
        let mut batch = Batch { finished: true, ..Batch::default() };
        for (offset, is_tick) in offsets {
            let payload = format!("payload {offset}").into_bytes();
            batch.records += 1;
            if *is_tick {
                batch.push(Tick::new(ticktide_market::TickKind::Trade, InstrumentId(0), *offset, 0), &payload);
            } else {
                let detail = String::new();
                batch.rejects.push(Reject { offset: *offset, received_at: None, reason: "r", detail, payload });
            }
        }
        batch.offset_next = offsets.last().map_or(10, |(offset, _)| offset + 1) + gaps_behind;
        batch.gaps = (batch.offset_next - 10) as u64 - batch.records;
        batch
    }

    #[test]
    fn a_batch_cut_anywhere_loses_no_record_and_no_gap() {
        // 10 to 19: ticks, rejects, gaps in the middle and at the end
        let offsets = [(11, true), (12, false), (13, true), (16, true), (17, false)];
        for cut in 8..22 {
            let mut front = batch(&offsets, 2);
            let rest = front.split_off(cut);
            assert_eq!(rest.is_none(), cut >= 20, "cut at {cut}");
            assert_eq!(front.finished, rest.is_none(), "the end is behind the cut");
            let mut at = 10;
            for part in [Some(front), rest].into_iter().flatten() {
                assert_eq!(part.offset_next - at, (part.records + part.gaps) as i64, "cut at {cut}");
                assert_eq!(part.records as usize, part.ticks.len() + part.rejects.len());
                for (index, tick) in part.ticks.iter().enumerate() {
                    assert!((at..part.offset_next).contains(&tick.offset));
                    assert_eq!(part.payload(index), format!("payload {}", tick.offset).as_bytes());
                }
                assert!(part.rejects.iter().all(|reject| (at..part.offset_next).contains(&reject.offset)));
                at = part.offset_next;
            }
            assert_eq!(at, 20);
        }
    }

    #[test]
    fn every_source_has_a_name_of_its_own_and_a_line_of_doc() {
        for (index, kind) in SOURCES.iter().enumerate() {
            assert!(!kind.doc.is_empty());
            assert!(SOURCES[..index].iter().all(|other| other.name != kind.name));
        }
    }
}
