//! What one reading worker does with its records: verdicts, sums before the exchange, the balance of every partition.
//!
//! Feed and flow meet here. No timely in this file: the source operator ([`crate::source`]) decides when a step or an epoch
//! ends, this decides what is in it. What must always hold: every record of an epoch is in exactly one term of its
//! partition's balance, and what `end_epoch` gives is all that a later run needs to go on behind it.

use crate::calendar::PhaseAt;
use crate::control::Progress;
use crate::dataflow::{Dataflow, Dedupe, Volume};
use crate::feed::{Batch, Partition};
use crate::flow::anomalies::ticks::{OddTicks, TickChecks};
use crate::flow::anomalies::two_partitions::Sighted;
use crate::flow::bars::acc::{SnapshotAcc, TradeOrder};
use crate::flow::bars::partial::Partials;
use crate::flow::bars::trades::{Correction, Place as RecordPlace, Trade, TradeKey};
use crate::flow::bars::{Routed, bucket};
use crate::flow::clean::{CleanSpec, Horizons, Judge, Verdict};
use crate::flow::jumps::{Held, Jumps};
use crate::flow::listings::{Day, Told};
use crate::flow::memory::{Memory, SeenEntries, SeenEntry};
use crate::lake::StateEntry;
use crate::market::{Instrument, InstrumentId, Tick, TickKind};
use crate::tables::QuarantineRow;
use crate::time::{Binding, Conservation, Interval, MINUTE, Nanos, Place, reaches};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// Ticks for the archive: with the trading date of each.
#[derive(Clone, Debug)]
pub struct Archived {
    pub partition: Arc<str>,
    pub ticks: Vec<(Tick, Instrument, i32)>,
}

/// What a batch came to.
#[derive(Default)]
pub struct Taken {
    /// One by one, for feeds with corrections or an instrument-wide dedupe.
    pub routed: Vec<Routed>,
    pub quarantine: Vec<QuarantineRow>,
    pub archived: Option<Archived>,
    /// Ticks of the batch to archive: their places, with the trading date of each.
    kept: Vec<(usize, i32)>,
    /// What checks say of its ticks.
    pub odd: OddTicks,
    /// What its notices say of instruments.
    pub listings: Vec<Told>,
    /// Memory that the batch keeps until its epoch is decided.
    pub bytes: usize,
}

/// What is kept of a partition between runs, besides its place.
#[derive(Default, Serialize, Deserialize)]
struct PartitionState {
    held: Vec<Held<(Instrument, Vec<u8>)>>,
    days: BTreeMap<i32, Nanos>,
    zero: BTreeSet<(i32, Instrument)>,
}

/// One partition that this worker reads.
struct Reading {
    name: Arc<str>,
    /// A fixed hash of the name: part of the order of trades.
    order: u64,
    place: Place,
    offset_bound: i64,
    caught_up_since: Option<Instant>,
    finished: bool,
    counts: Conservation,
    jumps: Jumps<(Instrument, Vec<u8>)>,
    /// The anchor of the jumps as the durable state has it: only where it is not the greatest event time accepted.
    anchor_kept: Option<Nanos>,
    memory: Memory,
    /// The first update seen of each trading day, and instruments seen with volume 0: a snapshot's baseline.
    days: BTreeMap<i32, Nanos>,
    zero: BTreeSet<(i32, Instrument)>,
    changed: bool,
    /// Its instruments that were told to their workers.
    sighted: Sighted,
}

impl Reading {
    /// Lets go of the days that have no tick at or after `least` any more. They leave the durable state when it is written next.
    fn forget_days(&mut self, least: Nanos) {
        self.days.retain(|day, _| reaches(*day, least));
        while self.zero.first().is_some_and(|(day, _)| !reaches(*day, least)) {
            self.zero.pop_first();
        }
    }
}

/// Everything of an epoch's end at one worker.
pub struct Ended {
    pub places: BTreeMap<String, Place>,
    pub counts: BTreeMap<Arc<str>, Conservation>,
    pub state: Vec<StateEntry>,
}

/// Key of remembered ids in the durable state.
type SeenKey = (String, Instrument, i32, u64);

/// Which of the partitions that nobody reads any more are this worker's to clear up after.
struct Orphans {
    /// All partitions of the source.
    read: BTreeSet<String>,
    index: usize,
    peers: usize,
}

impl Orphans {
    fn owns(&self, partition: &str) -> bool {
        !self.read.contains(partition) && fixed_hash(partition) % self.peers as u64 == self.index as u64
    }
}

/// The partitions of one worker.
pub struct Intake {
    judge: Judge,
    checks: TickChecks,
    trusted: bool,
    raw: bool,
    dedupe_here: bool,
    archive: bool,
    lists: bool,
    intervals: Vec<Interval>,
    idle_after: Duration,
    retention: Nanos,
    readings: BTreeMap<usize, Reading>,
    partials: Partials,
    /// This worker's own ids: the reader's are translated, so that restored instruments have one, too.
    names: Vec<Instrument>,
    /// An instrument has an id for each symbol that it is told under.
    ids: HashMap<Instrument, Vec<InstrumentId>, ahash::RandomState>,
    /// The first of them, by id: duplicates do not mind symbols.
    scopes: Vec<InstrumentId>,
    translate: Vec<InstrumentId>,
    horizons: Horizons,
    /// The last instant at which nothing waited to be taken; `None`: not seen since it is looked again.
    drained_at: Option<Instant>,
    /// When it was looked last whether something waits.
    looked_at: Instant,
    seen_chunks: BTreeMap<SeenKey, i32>,
    orphans: Orphans,
    volumes: Volumes,
    /// The trading date of the last tick.
    dated: i32,
}

/// Whether the snapshots of this process tell a volume at all.
#[derive(Default)]
struct Volumes {
    /// A snapshot told neither a volume nor the time of its last trade.
    last_prices: bool,
}

/// Some worker of the process has read a volume; a warning was given.
static VOLUME_TOLD: AtomicBool = AtomicBool::new(false);
static WARNED: Once = Once::new();

impl Volumes {
    #[inline]
    fn note(&mut self, tick: &Tick) {
        let Some(snapshot) = &tick.snapshot else { return };
        if snapshot.cumulative_volume.is_some() {
            VOLUME_TOLD.store(true, Ordering::Relaxed);
        } else {
            // an index tells when it traded
            self.last_prices |= tick.price.is_some() && snapshot.trade_at.is_none();
        }
    }

    /// Says once that bars have no volume, and what would give them one.
    fn warn(&self) {
        if self.last_prices && !VOLUME_TOLD.load(Ordering::Relaxed) {
            WARNED.call_once(|| {
                tracing::warn!(
                    "the snapshots tell last prices without a volume (XTS code 1512): the bars' volume is null; \
                     subscribe to code 1501 or 1502 and read their topic instead"
                );
            });
        }
    }
}

/// How long it is known what was seen of unread records. Long enough for a decision's way and for a short want of credit; far
/// below the grace that bars leave for what has come since.
const KNOWN_FOR: Duration = Duration::from_millis(500);

/// Name of the intake's operators in the durable state.
pub const PARTITION: &str = "partition";
pub const ANCHOR: &str = "anchor";
pub const SEEN: &str = "seen";

impl Intake {
    /// `assigned`: indices into `partitions` with the first offsets to read, as the share of worker `index` of `peers`.
    pub fn new(
        dataflow: &Dataflow,
        partitions: &[Partition],
        assigned: &[(usize, i64)],
        resumed: &Binding,
        (index, peers): (usize, usize),
    ) -> Intake {
        let spec = CleanSpec {
            session: Arc::new(dataflow.session.clone()),
            conditions: dataflow.conditions.clone(),
            cumulative: dataflow.volume == Volume::Cumulative,
            sequence_trusted: dataflow.sequence_trusted,
            corrections: dataflow.corrections,
            prices_signed: dataflow.prices_signed,
            ahead_max: CleanSpec::AHEAD_MAX,
            max_jump: dataflow.max_jump,
            confirmations: dataflow.confirmations,
            patience: CleanSpec::PATIENCE,
        };
        let readings = assigned.iter().map(|(index, offset)| {
            let partition = &partitions[*index];
            let name = partition.name();
            let before = resumed.places.get(&name);
            let event_at_max = before.and_then(|place| place.event_at_max);
            let header = before.and_then(|place| place.header.clone());
            let reading = Reading {
                order: fixed_hash(&name),
                place: Place { source_id: partition.source_id.clone(), offset_next: *offset, event_at_max, header },
                offset_bound: *offset,
                caught_up_since: None,
                finished: false,
                counts: Conservation::default(),
                jumps: Jumps::new(event_at_max),
                anchor_kept: None,
                memory: Memory::default(),
                days: BTreeMap::new(),
                zero: BTreeSet::new(),
                changed: false,
                sighted: Sighted::default(),
                name: name.into(),
            };
            (*index, reading)
        });
        Intake {
            trusted: dataflow.sequence_trusted,
            raw: dataflow.corrections || dataflow.dedupe == Dedupe::Instrument,
            dedupe_here: dataflow.dedupe == Dedupe::Partition,
            archive: dataflow.ticks,
            lists: dataflow.instruments,
            idle_after: Duration::from_nanos(dataflow.idle_after.max(0) as u64),
            retention: dataflow.retention,
            readings: readings.collect(),
            partials: Partials::new(dataflow.bars[0], dataflow.bars.len()),
            intervals: dataflow.bars.clone(),
            names: Vec::new(),
            ids: HashMap::default(),
            scopes: Vec::new(),
            translate: Vec::new(),
            horizons: Horizons::default(),
            drained_at: None,
            looked_at: Instant::now(),
            seen_chunks: BTreeMap::new(),
            orphans: Orphans { read: partitions.iter().map(Partition::name).collect(), index, peers },
            volumes: Volumes::default(),
            dated: i32::MIN,
            judge: Judge::new(spec),
            checks: crate::checks::tick_checks(dataflow),
        }
    }

    /// Puts back what an earlier run kept of this worker's partitions; other workers' entries are passed over.
    pub fn restore(&mut self, entry: &StateEntry) -> Result<(), bincode::Error> {
        let Some(value) = &entry.value else { return Ok(()) };
        match &*entry.operator {
            PARTITION => {
                let name: String = bincode::deserialize(&entry.key)?;
                let state: PartitionState = bincode::deserialize(value)?;
                let Some(reading) = self.readings.values_mut().find(|reading| *reading.name == name) else {
                    return Ok(());
                };
                (reading.days, reading.zero) = (state.days, state.zero);
                reading.jumps.restore(state.held, &self.judge.spec);
            }
            ANCHOR => {
                let name: String = bincode::deserialize(&entry.key)?;
                let anchor: Nanos = bincode::deserialize(value)?;
                for reading in self.readings.values_mut().filter(|reading| *reading.name == name) {
                    (reading.jumps.anchor, reading.anchor_kept) = (Some(anchor), Some(anchor));
                }
            }
            SEEN => {
                let key: SeenKey = bincode::deserialize(&entry.key)?;
                let is_read = self.readings.values().any(|reading| *reading.name == key.0);
                if !is_read && !self.orphans.owns(&key.0) {
                    return Ok(());
                }
                let entries: SeenEntries = bincode::deserialize(value)?;
                let newest = entries.newest_minute();
                if is_read {
                    let id = self.scope(&key.1);
                    for reading in self.readings.values_mut().filter(|reading| *reading.name == key.0) {
                        reading.memory.restore(id.0, key.2, entries.clone());
                    }
                }
                self.seen_chunks.insert(key, newest);
            }
            _ => {}
        }
        Ok(())
    }

    fn id(&mut self, instrument: &Instrument) -> InstrumentId {
        let (names, symbol) = (&mut self.names, instrument.symbol());
        let same = self.ids.entry(instrument.clone()).or_default();
        if let Some(id) = same.iter().find(|id| names[id.0 as usize].symbol() == symbol) {
            return *id;
        }
        let id = InstrumentId(names.len() as u32);
        same.push(id);
        names.push(instrument.clone());
        self.scopes.push(same[0]);
        self.judge.tell(instrument);
        id
    }

    /// The id that an instrument's duplicates are looked for under.
    fn scope(&mut self, instrument: &Instrument) -> InstrumentId {
        let id = self.id(instrument);
        self.scopes[id.0 as usize]
    }

    /// The next epoch begins.
    pub fn begin_epoch(&mut self, horizons: Horizons) {
        for reading in self.readings.values_mut() {
            reading.memory.begin(horizons.least());
        }
        self.horizons = horizons;
    }

    /// It is looked whether something waits, which out of credit it is not. After a longer time nothing is known of before.
    pub fn look(&mut self, now: Instant) {
        if !self.is_known(now) {
            self.drained_at = None;
        }
        self.looked_at = now;
    }

    fn is_known(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_at) <= KNOWN_FOR
    }

    /// It was looked, and nothing waits.
    pub fn drained(&mut self, now: Instant) {
        self.drained_at = Some(now);
    }

    /// Takes a batch.
    pub fn take(&mut self, mut batch: Batch, now: Instant) -> Taken {
        for instrument in std::mem::take(&mut batch.instruments) {
            let id = self.id(&instrument);
            self.translate.push(id);
        }
        let Some(mut reading) = self.readings.remove(&batch.partition) else { return Taken::default() };
        let mut taken = self.nothing_of(&reading);
        reading.counts.records += batch.records as i64;
        reading.counts.gaps += batch.gaps as i64;
        // gaps already: a row without a record, so that nothing is lost in silence
        for (from, to) in std::mem::take(&mut batch.lost) {
            let count = to - from;
            tracing::warn!(partition = %reading.name, from, to, count, "the broker deleted records before they were read");
            taken.quarantine.push(QuarantineRow {
                partition: reading.name.clone(),
                offset: from,
                received_at: None,
                reason: "lost_range",
                detail: format!("offsets {from} to {} ({count}) were deleted before they were read", to - 1),
                payload: Box::default(),
            });
        }
        for reject in std::mem::take(&mut batch.rejects) {
            reading.counts.rejected += 1;
            taken.bytes += reject.payload.len();
            taken.quarantine.push(QuarantineRow {
                partition: reading.name.clone(),
                offset: reject.offset,
                received_at: reject.received_at,
                reason: reject.reason,
                detail: reject.detail,
                payload: reject.payload.into(),
            });
        }
        let mut ticks = std::mem::take(&mut batch.ticks);
        for (index, tick) in ticks.iter_mut().enumerate() {
            tick.instrument = self.translate[tick.instrument.0 as usize];
            self.tick(&mut reading, index, tick, batch.payload(index), &mut taken);
        }
        if let Some(archived) = &mut taken.archived {
            let mut kept = std::mem::take(&mut taken.kept).into_iter().peekable();
            for (index, tick) in ticks.into_iter().enumerate() {
                if let Some((_, trading_date)) = kept.next_if(|(kept, _)| *kept == index) {
                    let instrument = self.names[tick.instrument.0 as usize].clone();
                    archived.ticks.push((tick, instrument, trading_date));
                }
            }
        }
        reading.place.offset_next = batch.offset_next;
        if let Some(header) = batch.header.take().filter(|header| reading.place.header.as_deref() != Some(&**header)) {
            reading.place.header = Some(header.to_string());
        }
        reading.finished |= batch.finished;
        reading.caught_up_since = match (batch.caught_up, reading.caught_up_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
        if self.archive {
            taken.bytes += batch.bytes as usize;
        }
        self.readings.insert(batch.partition, reading);
        taken
    }

    /// One tick, as far as its time is believed.
    #[inline]
    fn tick(&mut self, reading: &mut Reading, index: usize, tick: &Tick, payload: &[u8], taken: &mut Taken) {
        if tick.kind == TickKind::Notice {
            return self.note(reading, index, tick, taken);
        }
        if let Some(trading_date) = tick.trading_date {
            self.admit_dated(reading, index, tick, trading_date, payload, taken);
            return self.pass(reading, tick.offset, taken);
        }
        if tick.received_at.is_some() {
            if self.judge.is_future(tick) {
                let detail = "its time is more than 60 s after the broker took it".to_owned();
                return refuse(reading, tick, payload, "future_time", detail, taken);
            }
            return self.admit(reading, Some(index), tick, payload, taken);
        }
        let at = tick.exchange_at;
        if reading.jumps.is_believed(at, &self.judge.spec) {
            self.admit(reading, Some(index), tick, payload, taken);
        } else {
            reading.counts.pending += 1;
            reading.changed = true;
            let extra = (self.names[tick.instrument.0 as usize].clone(), payload.to_vec());
            let released = reading.jumps.hold(at, &self.judge.spec, Held { tick: tick.clone(), extra });
            self.release(reading, released, Vec::new(), taken);
        }
        self.pass(reading, tick.offset, taken);
    }

    /// The partition has come to an offset: what was held too long is decided.
    #[inline]
    fn pass(&mut self, reading: &mut Reading, offset: i64, taken: &mut Taken) {
        if !reading.jumps.is_quiet() {
            let (take, given_up) = reading.jumps.pass(offset, &self.judge.spec);
            self.release(reading, take, given_up, taken);
        }
    }

    /// A notice: counted, and archived on the trading date of its time if there is one. Its partition has come as far as its
    /// receipt less what clocks may differ by: one that has nothing but notices must not hold the others back for ever.
    fn note(&mut self, reading: &mut Reading, index: usize, tick: &Tick, taken: &mut Taken) {
        reading.counts.accepted += 1;
        if let Some(received_at) = tick.received_at {
            let come_to = received_at.saturating_sub(self.judge.spec.ahead_max);
            reading.place.event_at_max = reading.place.event_at_max.max(Some(come_to));
            reading.jumps.anchor = reading.place.event_at_max;
        }
        if taken.archived.is_some()
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            taken.kept.push((index, phase.trading_date));
        }
        if self.lists
            && let Some(told) = self.told(reading, tick)
        {
            taken.bytes += 512;
            taken.listings.push(told);
        }
    }

    /// What a notice says of its instrument: it is of the day on the session's wall on which it was received.
    fn told(&self, reading: &Reading, tick: &Tick) -> Option<Told> {
        let (snapshot, at) = (tick.snapshot.as_deref()?, tick.received_at?);
        let listing = snapshot.listing.clone().map(|listing| ((at, reading.order, tick.offset), listing));
        let day = Day { listing, band_low: snapshot.band_low, band_high: snapshot.band_high };
        (day != Day::default()).then(|| Told {
            instrument: self.names[tick.instrument.0 as usize].clone(),
            date: self.judge.spec.session.local_day(at),
            day,
        })
    }

    /// Decides held ticks: some are believed after all, some given up.
    fn release(
        &mut self,
        reading: &mut Reading,
        believed: Vec<Held<(Instrument, Vec<u8>)>>,
        given_up: Vec<Held<(Instrument, Vec<u8>)>>,
        taken: &mut Taken,
    ) {
        reading.changed |= !(believed.is_empty() && given_up.is_empty());
        for held in believed {
            reading.counts.pending -= 1;
            let (mut tick, (instrument, payload)) = (held.tick, held.extra);
            tick.instrument = self.id(&instrument);
            self.admit(reading, None, &tick, &payload, taken);
        }
        for held in given_up {
            reading.counts.pending -= 1;
            let detail = "its time jumps ahead of the partition and no later record agrees with it".to_owned();
            refuse(reading, &held.tick, &held.extra.1, "future_time", detail, taken);
        }
    }

    /// A tick whose time is believed; `index`: its place in the batch, unless it was held.
    #[inline]
    fn admit(&mut self, reading: &mut Reading, index: Option<usize>, tick: &Tick, payload: &[u8], taken: &mut Taken) {
        let verdict = self.judge.judge(tick, &self.horizons);
        if let Verdict::Reject { reason, detail } = verdict {
            return refuse(reading, tick, payload, reason, detail, taken);
        }
        let trading_date = self.judge.phase_at(tick.instrument, tick.exchange_at).map_or(0, |phase| phase.trading_date);
        if trading_date != self.dated {
            self.dated = trading_date;
            self.judge.warn_unknown(trading_date);
        }
        let mut seen = None;
        if !matches!(verdict, Verdict::Correction) {
            seen = SeenEntry::of(tick, self.trusted);
            if self.dedupe_here
                && let Some(entry) = seen.take()
            {
                let scope = self.scopes[tick.instrument.0 as usize];
                match reading.memory.remember(scope.0, trading_date, entry) {
                    None => {}
                    Some(true) => {
                        reading.counts.duplicates += 1;
                        return;
                    }
                    Some(false) => {
                        let detail = "its id or sequence was there before, with other content".to_owned();
                        return refuse(reading, tick, payload, "conflicting_id", detail, taken);
                    }
                }
            }
        }
        reading.place.event_at_max = reading.place.event_at_max.max(Some(tick.exchange_at));
        reading.jumps.anchor = reading.place.event_at_max;
        if tick.kind == TickKind::Snapshot {
            self.note_baseline(reading, tick, trading_date);
            self.volumes.note(tick);
        }
        match verdict {
            Verdict::Accept { mask, parts, phase, at } => {
                reading.counts.accepted += 1;
                let all = ((1u64 << self.intervals.len()) - 1) as u32;
                if mask != all && tick.kind == TickKind::Trade {
                    self.note_late_partly(reading, tick, payload, mask, taken);
                }
                if tick.kind == TickKind::Snapshot {
                    let instrument = &self.names[tick.instrument.0 as usize];
                    let known = reading.days.get(&phase.trading_date).is_some_and(|first| *first < phase.start)
                        || reading.zero.contains(&(phase.trading_date, instrument.clone()));
                    let snapshot = SnapshotAcc::of(tick, phase.trading_date, known);
                    self.partials.add_snapshot(tick.instrument, phase, mask, at, snapshot);
                } else {
                    let order = self.order(reading, tick);
                    if self.raw {
                        let (bucket_at, _) = bucket(&phase, self.intervals[0], at);
                        let (sets_price, adds_volume) = (parts.sets_price, parts.adds_volume);
                        taken.bytes += 256;
                        taken.routed.push(Routed::Trade {
                            instrument: self.names[tick.instrument.0 as usize].clone(),
                            phase,
                            mask,
                            key: match &tick.id {
                                Some(id) => TradeKey::Id(phase.trading_date, id.clone()),
                                None => TradeKey::Place(reading.order, tick.offset),
                            },
                            trade: Trade { order, bucket_at, sets_price, adds_volume },
                            seen,
                            place: record_place(reading, tick, payload),
                        });
                    } else {
                        self.partials.add_trade(tick.instrument, phase, mask, &order, parts);
                    }
                }
            }
            Verdict::AcceptSilently => reading.counts.accepted += 1,
            Verdict::Correction => self.correct(reading, tick, trading_date, payload, taken),
            Verdict::Reject { .. } => {}
        }
        if (!self.checks.is_empty() || self.checks.partitions.is_some())
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            self.check(reading, tick, &phase, taken);
        }
        if let Some(archived) = &mut taken.archived {
            match index {
                Some(index) => taken.kept.push((index, trading_date)),
                None => {
                    let instrument = self.names[tick.instrument.0 as usize].clone();
                    archived.ticks.push((tick.clone(), instrument, trading_date));
                }
            }
        }
    }

    /// A cancel or correction that tells its trade's trading day and no time. What it would have moved by its time stays where it
    /// is; while it waits for its trade it is as old as its receipt, else as the newest that its partition has come to.
    fn admit_dated(
        &mut self,
        reading: &mut Reading,
        index: usize,
        tick: &Tick,
        trading_date: i32,
        payload: &[u8],
        taken: &mut Taken,
    ) {
        if let Verdict::Reject { reason, detail } = self.judge.judge(tick, &self.horizons) {
            return refuse(reading, tick, payload, reason, detail, taken);
        }
        let retained = Some(self.horizons.retained_from).filter(|from| *from > Nanos::MIN);
        let come_to = reading.place.event_at_max.max(retained.map(|from| from.saturating_add(self.retention)));
        let at = tick.received_at.or(come_to).unwrap_or(tick.exchange_at);
        let aged = Tick { exchange_at: at, ..tick.clone() };
        self.correct(reading, &aged, trading_date, payload, taken);
        if !self.checks.is_empty() {
            self.check(reading, &aged, &PhaseAt { phase: 0, trading_date, start: at, end: at }, taken);
        }
        if taken.archived.is_some() {
            taken.kept.push((index, trading_date));
        }
    }

    /// Sends a cancel or correction to where its trade is; of two the one with the later sequence or time counts.
    fn correct(&self, reading: &mut Reading, tick: &Tick, trading_date: i32, payload: &[u8], taken: &mut Taken) {
        reading.counts.pending += 1;
        let replaces = (tick.kind == TickKind::Correct)
            .then(|| (tick.price.map_or(0, |price| price.0), tick.quantity.map_or(0, |quantity| quantity.0)));
        taken.bytes += 256 + payload.len();
        taken.routed.push(Routed::Correction {
            instrument: self.names[tick.instrument.0 as usize].clone(),
            key: TradeKey::Id(trading_date, tick.id.clone().unwrap_or_default()),
            correction: Correction {
                order: (tick.sequence.unwrap_or(0), tick.exchange_at),
                replaces,
                place: record_place(reading, tick, payload),
            },
        });
    }

    /// Puts the checks of ticks to one that counts.
    #[inline]
    fn check(&self, reading: &mut Reading, tick: &Tick, phase: &PhaseAt, taken: &mut Taken) {
        let auction = self.judge.spec.session.is_auction(phase.phase);
        let instrument = &self.names[tick.instrument.0 as usize];
        let sighted = (&reading.name, &mut reading.sighted);
        taken.bytes += self.checks.sight(tick, phase, instrument, sighted, &mut taken.odd);
        taken.bytes += self.checks.look(tick, (phase, auction), instrument, &reading.name, &mut taken.odd);
    }

    #[inline]
    fn order(&self, reading: &Reading, tick: &Tick) -> TradeOrder {
        TradeOrder {
            at: tick.exchange_at,
            sequence: if self.trusted { tick.sequence.unwrap_or(0) } else { 0 },
            partition: reading.order,
            offset: tick.offset,
            price: tick.price.map_or(0, |price| price.0),
            quantity: tick.quantity.map_or(0, |quantity| quantity.0),
        }
    }

    fn note_baseline(&mut self, reading: &mut Reading, tick: &Tick, trading_date: i32) {
        let first = reading.days.entry(trading_date).or_insert(Nanos::MAX);
        if tick.exchange_at < *first {
            *first = tick.exchange_at;
            reading.changed = true;
        }
        let volume = tick.snapshot.as_ref().and_then(|snapshot| snapshot.cumulative_volume);
        if volume == Some(0) {
            let instrument = self.names[tick.instrument.0 as usize].clone();
            reading.changed |= reading.zero.insert((trading_date, instrument));
        }
    }

    fn note_late_partly(&self, reading: &Reading, tick: &Tick, payload: &[u8], mask: u32, taken: &mut Taken) {
        let missed = self.intervals.iter().enumerate().filter(|(level, _)| mask & (1 << level) == 0);
        let missed: Vec<String> = missed.map(|(_, interval)| interval.name()).collect();
        taken.bytes += payload.len();
        taken.quarantine.push(QuarantineRow {
            partition: reading.name.clone(),
            offset: tick.offset,
            received_at: tick.received_at,
            reason: "late_partly",
            detail: format!("too late for {}; the others count it", missed.join(", ")),
            payload: payload.into(),
        });
    }

    /// The sums of the step that ends.
    pub fn end_step(&mut self) -> impl Iterator<Item = Routed> + '_ {
        self.partials.drain(&self.names)
    }

    /// How many sums are open.
    pub fn open_sums(&self) -> usize {
        self.partials.len()
    }

    /// Decides what still waits for confirmation, of each partition by itself: the end is reached.
    pub fn flush(&mut self) -> Vec<Taken> {
        let mut readings = std::mem::take(&mut self.readings);
        let flushed = readings.values_mut().map(|reading| {
            let mut taken = self.nothing_of(reading);
            let (believed, given_up) = reading.jumps.flush(&self.judge.spec);
            self.release(reading, believed, given_up, &mut taken);
            taken
        });
        let flushed = flushed.collect();
        self.readings = readings;
        flushed
    }

    /// What is taken of a partition before anything is.
    fn nothing_of(&self, reading: &Reading) -> Taken {
        let archived = self.archive.then(|| Archived { partition: reading.name.clone(), ticks: Vec::new() });
        Taken { archived, ..Taken::default() }
    }

    /// Ends an epoch where the partitions are now.
    pub fn end_epoch(&mut self, epoch: u64) -> Ended {
        let mut ended = Ended { places: BTreeMap::new(), counts: BTreeMap::new(), state: Vec::new() };
        let least = self.horizons.least();
        if self.judge.spec.cumulative {
            self.volumes.warn();
        }
        for reading in self.readings.values_mut() {
            let mut counts = std::mem::take(&mut reading.counts);
            counts.advanced = reading.place.offset_next - reading.offset_bound;
            reading.offset_bound = reading.place.offset_next;
            ended.counts.insert(reading.name.clone(), counts);
            ended.places.insert(reading.name.to_string(), reading.place.clone());
            reading.forget_days(least);
            if std::mem::take(&mut reading.changed) {
                let state = PartitionState {
                    held: reading.jumps.held().cloned().collect(),
                    days: reading.days.clone(),
                    zero: reading.zero.clone(),
                };
                ended.state.push(StateEntry::new(PARTITION, &reading.name.to_string(), Some(&state)));
            }
            let anchor = reading.jumps.anchor.filter(|_| reading.jumps.anchor != reading.place.event_at_max);
            if std::mem::replace(&mut reading.anchor_kept, anchor) != anchor {
                ended.state.push(StateEntry::new(ANCHOR, &reading.name.to_string(), anchor.as_ref()));
            }
            for ((id, trading_date), entries) in reading.memory.take_fresh() {
                let key = (reading.name.to_string(), self.names[id as usize].clone(), trading_date, epoch);
                ended.state.push(StateEntry::new(SEEN, &key, Some(&entries)));
                self.seen_chunks.insert(key, entries.newest_minute());
            }
            reading.memory.forget();
        }
        let least = least.div_euclid(MINUTE);
        self.seen_chunks.retain(|key, newest| {
            let live = i64::from(*newest) >= least;
            if !live {
                ended.state.push(StateEntry::new(SEEN, key, None::<&SeenEntries>));
            }
            live
        });
        ended
    }

    /// How every partition stands: one is idle only while it is known that nothing of it waits, never from memory.
    pub fn progress(&self, now: Instant) -> Vec<Progress> {
        let drained_at = self.drained_at.filter(|_| self.is_known(now));
        let progress = self.readings.values().map(|reading| {
            let seen = drained_at.zip(reading.caught_up_since);
            let idle = seen.is_some_and(|(drained_at, since)| drained_at >= since + self.idle_after);
            Progress {
                partition: reading.name.to_string(),
                event_at_max: reading.place.event_at_max,
                idle: idle || reading.finished,
                finished: reading.finished,
            }
        });
        progress.collect()
    }

    /// Partitions whose event time is past `limit`, by index, and those that are not.
    pub fn ahead_of(&self, limit: Option<Nanos>) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.readings.iter().map(move |(index, reading)| {
            (*index, limit.is_some_and(|limit| reading.place.event_at_max.is_some_and(|at| at > limit)))
        })
    }

    /// Records of the epoch so far.
    pub fn records(&self) -> u64 {
        self.readings.values().map(|reading| reading.counts.records as u64).sum()
    }
}

fn refuse(reading: &mut Reading, tick: &Tick, payload: &[u8], reason: &'static str, detail: String, taken: &mut Taken) {
    reading.counts.rejected += 1;
    taken.bytes += payload.len();
    taken.quarantine.push(QuarantineRow {
        partition: reading.name.clone(),
        offset: tick.offset,
        received_at: tick.received_at,
        reason,
        detail,
        payload: payload.into(),
    });
}

fn record_place(reading: &Reading, tick: &Tick, payload: &[u8]) -> RecordPlace {
    RecordPlace {
        partition: reading.name.clone(),
        offset: tick.offset,
        received_at: tick.received_at,
        payload: payload.into(),
    }
}

/// FNV-1a: the same number in every run and build.
fn fixed_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests;
