//! The lake's own archive as a source: `ticks` and `quarantine` instead of records that are gone elsewhere.
//!
//! Why both tables: a record is in one of them or was a duplicate, which changes nothing. A refused record is decoded again
//! from its payload, so that its refusal is judged again, too. What must always hold: a record has the partition and the
//! offset that it had in the source; what the archive does not keep (a snapshot's day so far, a wire's mark of doubt) is an
//! error at opening, never a difference. The records of the range are held in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::error::Error;
use ticktide_base::time::{MICRO, Nanos, noon};
use ticktide_dataflow::{Dataflow, Volume};
use ticktide_engine::epochs::replay::RecordedRange;
use ticktide_feed::{Assignment, Batch, FeedError, InstrumentTable, Partition, Reader, Reject, Source, WireSpec, wire};
use ticktide_lake::LakeReader;
use ticktide_lake::read::past::PastRows;
use ticktide_lake::table::spec::{Row, Value};
use ticktide_market::{InstrumentId, Price, Quantity, Tick, TickKind};

/// The most records of a batch.
const BATCH_RECORDS: usize = 2_000;
/// The reason of a record without a value: no decoder gives it.
const TOMBSTONE: &str = "tombstone";

#[derive(Clone, Debug)]
enum Record {
    /// The tick; venue, instrument, symbol; the payload, if the quarantine has it, too.
    Tick(Box<Tick>, [Option<String>; 3], Vec<u8>),
    Refused {
        received_at: Option<Nanos>,
        reason: String,
        detail: String,
        payload: Vec<u8>,
    },
}

type Records = Arc<BTreeMap<i64, Record>>;

struct Archive {
    partitions: Vec<Partition>,
    records: Vec<Records>,
    wire: WireSpec,
}

/// A row with its columns by name.
struct Named<'a> {
    rows: &'a PastRows,
    row: &'a Row,
}

impl Named<'_> {
    fn value(&self, column: &str) -> &Value {
        self.rows.spec.column(column).map_or(&Value::Null, |at| &self.row[at])
    }

    fn text(&self, column: &str) -> Option<String> {
        if let Value::Text(text) = self.value(column) { Some(text.clone()) } else { None }
    }

    fn long(&self, column: &str) -> Option<i64> {
        match self.value(column) {
            Value::Long(value) => Some(*value),
            Value::Int(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    fn decimal(&self, column: &str) -> Option<i64> {
        if let Value::Decimal(value) = self.value(column) { i64::try_from(*value).ok() } else { None }
    }

    fn received_at(&self) -> Option<Nanos> {
        if let Value::Time(micros) = self.value("received_at") { Some(micros * MICRO) } else { None }
    }

    /// "topic/partition" and the offset there.
    fn place(&self) -> Option<(String, i64)> {
        let (topic, partition) = (self.text("topic")?, self.long("partition")?);
        Some((format!("{topic}/{partition}"), self.long("offset")?))
    }

    fn tick(&self, offset: i64) -> Option<Tick> {
        let kinds = [TickKind::Trade, TickKind::Cancel, TickKind::Correct];
        let kind = self.text("kind")?;
        let kind = kinds.into_iter().find(|known| known.name() == kind)?;
        let exchange_at = self.long("exchange_ns")?;
        // a record with only a trading day has that day's noon
        let day = if let Value::Date(day) = self.value("trading_date") { Some(*day) } else { None };
        let dated = kind != TickKind::Trade && day.and_then(noon) == Some(exchange_at);
        Some(Tick {
            kind,
            suspicious: false,
            instrument: InstrumentId(0),
            offset,
            exchange_at,
            trading_date: day.filter(|_| dated),
            received_at: self.received_at(),
            witnessed: false,
            sequence: self.long("sequence").map(|sequence| sequence as u64),
            price: self.decimal("price").map(Price),
            quantity: self.decimal("quantity").map(Quantity),
            id: self.text("id").map(Into::into),
            conditions: self.text("conditions").map(Into::into),
            snapshot: None,
        })
    }
}

/// Opens the archive of the recorded range. Errors of kind `Fix`: the lake has none, or it does not keep all that counts.
pub async fn open(
    reader: &LakeReader,
    recorded: &RecordedRange,
    dataflow: &Dataflow,
) -> Result<Arc<dyn Source>, Error> {
    let lacks = |what: &str| {
        let hint = "name the recorded source, or compare the data files with the log alone: `verify --files`";
        Error::fix(format!("the lake's archive cannot replace its source: {what}"), hint)
    };
    if !dataflow.ticks {
        return Err(lacks("the dataflow has `ticks = false`"));
    }
    if dataflow.volume == Volume::Cumulative {
        return Err(lacks("it does not keep a snapshot's prices of the day"));
    }
    if dataflow.conditions.as_ref().is_some_and(|conditions| conditions.suspicious.is_some()) {
        return Err(lacks("it does not keep the field of `conditions.suspicious`"));
    }
    let (Some(first), Some(last)) = (recorded.bindings.first(), recorded.bindings.last()) else {
        return Err(lacks("the range is empty"));
    };
    // a record that had to wait was archived later than it was read
    let newest = reader.decided_last().await?.unwrap_or(last.epoch);
    let inside = |name: &str, offset: i64| {
        recorded.starts.get(name).is_some_and(|start| offset >= *start)
            && last.places.get(name).is_some_and(|place| offset < place.offset_next)
    };
    let mut records: BTreeMap<String, BTreeMap<i64, Record>> = BTreeMap::new();
    let ticks = reader.rows_in("ticks", first.epoch..=newest).await?;
    for (row, _) in &ticks.rows {
        let row = Named { rows: &ticks, row };
        let Some((name, offset)) = row.place().filter(|(name, offset)| inside(name, *offset)) else { continue };
        let tick = row.tick(offset).ok_or_else(|| lacks(&format!("offset {offset} of {name} is not a trade")))?;
        let names = ["venue", "instrument", "symbol"].map(|column| row.text(column));
        records.entry(name).or_default().insert(offset, Record::Tick(Box::new(tick), names, Vec::new()));
    }
    let refused = reader.rows_in("quarantine", first.epoch..=newest).await?;
    for (row, _) in &refused.rows {
        let row = Named { rows: &refused, row };
        let Some((name, offset)) = row.place().filter(|(name, offset)| inside(name, *offset)) else { continue };
        let Value::Binary(bytes) = row.value("payload") else { continue };
        let of_partition = records.entry(name).or_default();
        if let Some(Record::Tick(.., payload)) = of_partition.get_mut(&offset) {
            payload.clone_from(bytes);
            continue;
        }
        let (reason, detail) = (row.text("reason").unwrap_or_default(), row.text("detail").unwrap_or_default());
        let record = Record::Refused { received_at: row.received_at(), reason, detail, payload: bytes.clone() };
        of_partition.insert(offset, record);
    }
    let (mut partitions, mut all) = (Vec::new(), Vec::new());
    for (name, start) in &recorded.starts {
        let Some((place, (topic, number))) = last.places.get(name).zip(name.rsplit_once('/')) else { continue };
        partitions.push(Partition {
            topic: topic.to_owned(),
            partition: number.parse().unwrap_or(0),
            source_id: place.source_id.clone(),
            offset_start: *start,
            offset_end: place.offset_next,
        });
        all.push(Arc::new(records.remove(name).unwrap_or_default()));
    }
    Ok(Arc::new(Archive { partitions, records: all, wire: dataflow.source.wire.clone() }))
}

impl Source for Archive {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        let tracks = assigned.iter().map(|Assignment { partition, offset }| Track {
            partition: *partition,
            next: *offset,
            end: self.partitions[*partition].offset_end,
            records: self.records[*partition].clone(),
        });
        let (tracks, instruments) = (tracks.collect(), InstrumentTable::default());
        Ok(Box::new(ArchiveReader { tracks, decoder: wire::build(&self.wire)?, instruments }))
    }
}

struct Track {
    partition: usize,
    next: i64,
    end: i64,
    records: Records,
}

struct ArchiveReader {
    /// Those that are not at their end, in turns.
    tracks: VecDeque<Track>,
    decoder: Box<dyn wire::Decoder>,
    instruments: InstrumentTable,
}

impl Reader for ArchiveReader {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        let open = self.tracks.iter().position(|track| !paused(track.partition));
        let Some(mut track) = open.and_then(|at| self.tracks.remove(at)) else {
            std::thread::sleep(wait.min(Duration::from_millis(10)));
            return Ok(None);
        };
        let mut batch = Batch::of(track.partition);
        let records = track.records.clone();
        let mut following = records.range(track.next..track.end).peekable();
        for (offset, record) in following.by_ref().take(BATCH_RECORDS) {
            batch.records += 1;
            batch.offset_next = offset + 1;
            self.take(*offset, record, &mut batch);
        }
        if following.peek().is_none() {
            (batch.offset_next, batch.caught_up, batch.finished) = (track.end.max(track.next), true, true);
        }
        batch.gaps = (batch.offset_next - track.next) as u64 - batch.records;
        batch.instruments = self.instruments.take_fresh();
        track.next = batch.offset_next;
        if !batch.finished {
            self.tracks.push_back(track);
        }
        Ok(Some(batch))
    }
}

impl ArchiveReader {
    fn take(&mut self, offset: i64, record: &Record, batch: &mut Batch) {
        match record {
            Record::Tick(tick, [venue, instrument, symbol], payload) => {
                let text = |name: &Option<String>| name.clone().unwrap_or_default();
                let instrument = self.instruments.id(&text(venue), &text(instrument), symbol.as_deref());
                batch.bytes += payload.len() as u64;
                batch.push(Tick { instrument, ..Tick::clone(tick) }, payload);
            }
            Record::Refused { received_at, reason, detail, payload } => {
                batch.bytes += payload.len() as u64;
                if reason == TOMBSTONE {
                    let (detail, payload) = (detail.clone(), payload.clone());
                    let reject = Reject { offset, received_at: *received_at, reason: TOMBSTONE, detail, payload };
                    return batch.rejects.push(reject);
                }
                match self.decoder.decode(&wire::RawRecord::new(payload, offset, *received_at), &mut self.instruments) {
                    Ok(tick) => batch.push(tick, payload),
                    Err(reject) => batch.refuse(reject),
                }
            }
        }
    }
}
