//! A seeded market: the same settings give the same bytes, so a demo, a test and a crash test know what to expect.
//!
//! ```text
//!   walk (trades in event order, prices, sequences) ─▶ delays (a heap by arrival) ─▶ JSON lines ─▶ wire::json, as any feed
//! ```
//!
//! Instruments trade with Zipf-like activity. Records arrive up to two seconds out of order, some minutes late, some twice;
//! some trades are cancelled or corrected later; some prints are off by three tenths. With `gaps` the feed, or one instrument,
//! is silent for minutes. Every planted fault is labelled ([`labels`], [`gaps`]).
//!
//! What must always hold: a partition has the same number of records every day, so a day's offsets are known without playing
//! the days before it; day `k` is the k-th weekday from `first_day`, 09:15–15:30 UTC, until the end of 2199.

mod day;
mod draw;
mod hours;
mod market;
mod record;
mod silence;
#[cfg(test)]
mod tests;

use crate::{
    Assignment, Batch, FeedError, InstrumentTable, Pace, Partition, Reader, Source, SourceKind, SourceSpec, Speed,
    StartFrom, SyntheticSpec, WireSpec, wire,
};
use day::MarketDay;
pub use draw::mix;
pub use hours::DAY_LAST;
use market::Market;
pub use silence::GAPS_MOST;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_market::Price;
use wire::{Decoder, RawRecord};

pub static KIND: SourceKind = SourceKind {
    name: "synthetic",
    doc: "a seeded market with disorder, duplicates, late, cancelled and corrected trades and bad prints; needs no outside system",
    open: |spec, resume| Ok(Arc::new(Synthetic::open(spec, resume)?)),
};

/// The one topic, and the name of the venue in lower case.
const TOPIC: &str = "synthetic";

/// What is special about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelKind {
    /// Its price is 1.3 times too high or too low.
    BadPrint,
    /// It arrives minutes after its time.
    Late,
    /// A cancel follows.
    Cancelled,
}

/// One special trade of the synthetic market.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeLabel {
    pub kind: LabelKind,
    pub venue: String,
    pub symbol: String,
    /// When it traded.
    pub at: Nanos,
    /// The price in its record.
    pub price: Price,
    pub partition: i32,
    pub offset: i64,
    pub id: Option<String>,
}

/// The market; error: it does not have that day.
fn with_day(spec: &SyntheticSpec, day: u64) -> Result<Market, FeedError> {
    let market = Market::new(spec)?;
    if day >= market.days() {
        let message = format!("the synthetic market has no trading day {day}");
        return Err(FeedError::fix(
            message,
            format!("its days are 0 (the first) to {}", market.days().saturating_sub(1)),
        ));
    }
    Ok(market)
}

/// The special trades of a day (0 is the first), in order of (partition, offset). Errors: as opening the source.
pub fn labels(spec: &SyntheticSpec, day: u64) -> Result<Vec<TradeLabel>, FeedError> {
    let market = with_day(spec, day)?;
    let mut labels = Vec::new();
    for partition in 0..market.partitions() {
        for (index, record) in MarketDay::new(&market, partition, day).enumerate() {
            for kind in record.labels() {
                labels.push(TradeLabel {
                    kind,
                    venue: market::VENUE.into(),
                    symbol: market.symbol(record.instrument).into(),
                    at: record.exchange_at,
                    price: record.price(),
                    partition: partition as i32,
                    offset: market.first_offset(partition, day) + index as i64,
                    id: record.id(),
                });
            }
        }
    }
    Ok(labels)
}

/// A planted silence: `[from, until)` of event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlantedGap {
    pub venue: String,
    /// `None`: the whole feed is silent.
    pub symbol: Option<String>,
    pub from: Nanos,
    pub until: Nanos,
}

/// The silences of a day (0 is the first): the feed's in order, then those of instruments. Errors: as opening the source.
pub fn gaps(spec: &SyntheticSpec, day: u64) -> Result<Vec<PlantedGap>, FeedError> {
    let market = with_day(spec, day)?;
    let gap = |symbol: Option<&str>, (from, until): (Nanos, Nanos)| PlantedGap {
        venue: market::VENUE.into(),
        symbol: symbol.map(Into::into),
        from,
        until,
    };
    let opens_at = market.opens_at(day);
    let mut gaps: Vec<PlantedGap> = Vec::new();
    for partition in 0..market.partitions() {
        let silences = market.silences(partition, day);
        if partition == 0 {
            gaps.extend(silences.feed.iter().map(|part| gap(None, part.from(opens_at))));
        }
        let symbol = Some(market.symbol(partition));
        gaps.extend(silences.busiest.iter().map(|part| gap(symbol, part.from(opens_at))));
    }
    Ok(gaps)
}

/// The trading date of a day (0 is the first), days since 1970.
pub fn date(spec: &SyntheticSpec, day: u64) -> i32 {
    hours::weekday(spec.first_day, day)
}

struct Synthetic {
    market: Arc<Market>,
    partitions: Vec<Partition>,
    pace: Arc<Pace>,
}

impl Synthetic {
    fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Synthetic, FeedError> {
        let market = Market::new(&spec.synthetic)?;
        if spec.from != StartFrom::Earliest {
            let hint = "remove `from` and `--from`, or set them to \"earliest\"";
            return Err(FeedError::fix("the synthetic market always starts at its first day", hint));
        }
        let s = &spec.synthetic;
        let mut source_id =
            format!("synthetic:{}:{}:{}:{}:{}", s.seed, s.instruments, s.partitions, s.trades_a_day, s.first_day);
        if s.gaps > 0 {
            source_id.push_str(&format!(":{}", s.gaps));
        }
        let name = |partition: u32| format!("{TOPIC}/{partition}");
        let last = |partition| market.first_offset(partition, market.days());
        let place = |partition| resume.get(&name(partition)).copied().unwrap_or(0).clamp(0, last(partition));
        // the day to play: the earliest day that a partition has not finished
        let day = (0..market.partitions())
            .filter_map(|partition| place(partition).checked_div(market.records_a_day(partition)))
            .min()
            .unwrap_or(0) as u64;
        let partitions = (0..market.partitions()).map(|partition| Partition {
            topic: TOPIC.into(),
            partition: partition as i32,
            source_id: source_id.clone(),
            offset_start: 0,
            offset_end: if spec.until_end { market.first_offset(partition, day + 1) } else { i64::MAX },
        });
        let partitions = partitions.collect();
        let begins = match spec.speed {
            Speed::Max => None,
            Speed::Times(_) => (0..market.partitions())
                .filter_map(|partition| MarketDay::at(&market, partition, place(partition)).arrives_in())
                .min(),
        };
        let pace = Arc::new(Pace::new(spec.speed, begins.unwrap_or(0)));
        Ok(Synthetic { market: Arc::new(market), partitions, pace })
    }
}

impl Source for Synthetic {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        let entries = assigned.iter().map(|assignment| {
            // after its last day the market stays closed
            let last = self.market.first_offset(assignment.partition as u32, self.market.days());
            let offset = assignment.offset.max(0);
            Entry {
                index: assignment.partition,
                offset,
                offset_end: self.partitions[assignment.partition].offset_end.min(last),
                play: MarketDay::at(&self.market, assignment.partition as u32, offset.min(last)),
                reported_end: false,
            }
        });
        Ok(Box::new(SyntheticReader {
            entries: entries.collect(),
            turn: 0,
            market: self.market.clone(),
            // the market may play any day, also one that the rules of a real feed refuse
            decoder: wire::build(&WireSpec { format: "json".into(), rules: Rules::First, ..WireSpec::default() })?,
            instruments: InstrumentTable::default(),
            pace: self.pace.clone(),
            line: Vec::new(),
        }))
    }
}

struct Entry {
    index: usize,
    offset: i64,
    offset_end: i64,
    play: MarketDay,
    /// The end was reported.
    reported_end: bool,
}

struct SyntheticReader {
    entries: Vec<Entry>,
    turn: usize,
    market: Arc<Market>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    pace: Arc<Pace>,
    line: Vec<u8>,
}

impl SyntheticReader {
    fn batch(&mut self, index: usize) -> Option<Batch> {
        let played = self.pace.now();
        let entry = &mut self.entries[index];
        if entry.reported_end {
            return None;
        }
        let mut batch = Batch::of(entry.index);
        let mut due = true;
        while entry.offset < entry.offset_end && batch.records < crate::BATCH_RECORDS {
            if entry.play.ended() {
                entry.play = MarketDay::new(&self.market, entry.index as u32, entry.play.day() + 1);
            }
            if entry.play.arrives_in().is_none_or(|at| at > played) {
                due = false;
                break;
            }
            let record = entry.play.next().expect("it has an arrival");
            self.line.clear();
            record.write(&self.market, &mut self.line);
            let raw = RawRecord::new(&self.line, entry.offset, Some(record.arrives_at));
            batch.take(&raw, self.decoder.as_mut(), &mut self.instruments);
            entry.offset += 1;
        }
        batch.offset_next = entry.offset;
        batch.finished = entry.offset >= entry.offset_end;
        batch.caught_up = batch.finished || !due;
        entry.reported_end = batch.finished;
        if batch.records == 0 && !batch.finished {
            return None;
        }
        batch.instruments = self.instruments.take_fresh();
        Some(batch)
    }
}

impl Reader for SyntheticReader {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        for _ in 0..self.entries.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.entries.len();
            if !paused(self.entries[index].index)
                && let Some(batch) = self.batch(index)
            {
                return Ok(Some(batch));
            }
        }
        std::thread::sleep(wait.min(Duration::from_millis(10)));
        Ok(None)
    }
}
