//! What one reading worker does with its records: verdicts, sums before the exchange, the balance of every partition.
//!
//! ```text
//!   Batch ─▶ take ─▶ believe (its time?) ─▶ admit (does it count?) ─┬─▶ sums of the step, single records ─▶ bars
//!                                                                   └─▶ quarantine, archive, remarks of checks
//! ```
//!
//! Feed and flow meet here. No timely in this folder: the source operator decides when a step or an epoch
//! ends, this decides what is in it. What must always hold: every record of an epoch is in exactly one term of its
//! partition's balance, and what `end_epoch` returns is all that a later run needs to go on after it.

mod admit;
mod belief;
mod believe;
mod checks;
mod clock;
mod late;
mod losses;
mod rewind;
mod sniff;
mod state;
mod take;
#[cfg(test)]
mod tests;
mod volumes;

pub use checks::tick_checks;
pub use clock::{Jury, OurClock};
pub use sniff::Sniff;
pub use state::Ended;

use crate::epochs::{PartitionProgress, reaches};
use crate::share::Share;
use belief::Belief;
use clock::ClockBook;
use state::{Orphans, SeenKey};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticktide_base::epoch::{Binding, Conservation, Place, Rewound, Stood};
use ticktide_base::error::Error;
use ticktide_base::time::{Interval, MINUTE, Nanos};
use ticktide_dataflow::{Dataflow, Dedupe, Volume};
use ticktide_feed::Partition;
use ticktide_feed::Speed;
use ticktide_flow::anomalies::ticks::{OddTicks, TickChecks};
use ticktide_flow::anomalies::two_partitions::Sighted;
use ticktide_flow::bars::Routed;
use ticktide_flow::bars::partial::Partials;
use ticktide_flow::clean::duplicates::Memory;
use ticktide_flow::clean::past::RunningTime;
use ticktide_flow::clean::reach::Reach;
use ticktide_flow::clean::{Bounds, CleanSpec, EpochHorizons, Judge};
use ticktide_flow::instruments::ListingUpdate;
use ticktide_market::{Instrument, InstrumentId};
use ticktide_tables::{Archived, QuarantineRow};
use volumes::Volumes;

/// What became of a batch.
#[derive(Default)]
pub struct BatchOutcome {
    /// Single records, for feeds with corrections or an instrument-wide dedupe.
    pub routed: Vec<Routed>,
    pub quarantine: Vec<QuarantineRow>,
    pub archived: Option<Archived>,
    /// Ticks of the batch to archive.
    kept: Vec<KeptTick>,
    /// What checks have found in its ticks.
    pub odd: OddTicks,
    /// What its notices say about instruments.
    pub listings: Vec<ListingUpdate>,
    /// Memory that the batch keeps until its epoch is decided.
    pub bytes: usize,
}

/// A tick of a batch that goes into the archive.
struct KeptTick {
    /// Its index in the batch.
    index: usize,
    trading_date: i32,
}

/// One partition that this worker reads.
struct PartitionIntake {
    name: Arc<str>,
    /// A fixed hash of the name: part of the order of trades.
    order: u64,
    place: Place,
    offset_bound: i64,
    caught_up_since: Option<Instant>,
    finished: bool,
    counts: Conservation,
    losses: losses::Losses,
    belief: Belief,
    /// The anchor of the belief as the durable state has it: only where it is not the greatest event time accepted.
    anchor_kept: Option<Nanos>,
    /// The durable state of wild times has records of it that wait.
    wild_kept: bool,
    past: RunningTime,
    behind: rewind::Behind,
    bounds: Bounds,
    book: ClockBook,
    /// The greatest event time of records that were accepted at an end and move nothing.
    lone_max: Option<Nanos>,
    /// The least event time of this run's first records.
    began_at: Option<Nanos>,
    /// When a tick came last, or the run began.
    ticked_at: Instant,
    /// Records of this run that are not ticks, before the first tick.
    junk: u64,
    junk_told: Cell<bool>,
    /// It has been silent since its last tick.
    silent: Cell<bool>,
    /// Whether a tick came in this epoch, and in this run, and how often the kind of receipts has turned.
    told_here: bool,
    told_ever: bool,
    turns: u32,
    memory: Memory,
    /// The first update seen of each trading day, and instruments seen with volume 0: a snapshot's baseline.
    days: BTreeMap<i32, Nanos>,
    zero: BTreeSet<(i32, Instrument)>,
    changed: bool,
    /// Its instruments that were reported to their workers.
    sighted: Sighted,
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
    /// A partition that is silent for this long no longer brakes retirement.
    silent_after: Duration,
    retention: Nanos,
    /// Records are read as they are made.
    live: bool,
    jury: Arc<Jury>,
    clock: OurClock,
    /// By index of the source.
    partitions: BTreeMap<usize, PartitionIntake>,
    partials: Partials,
    /// This worker's own ids: the reader's are translated, so that restored instruments have one, too.
    names: Vec<Instrument>,
    /// An instrument has an id for each symbol that it comes with.
    ids: HashMap<Instrument, Vec<InstrumentId>, ahash::RandomState>,
    /// The first of them, by id: duplicates are found under any symbol.
    scopes: Vec<InstrumentId>,
    translate: Vec<InstrumentId>,
    horizons: EpochHorizons,
    /// The epoch before the first one set a partition back.
    rewound: Option<Rewound>,
    /// The last instant at which nothing waited to be taken; `None`: not seen since looking resumed.
    drained_at: Option<Instant>,
    /// When the worker last checked whether something waits.
    looked_at: Instant,
    seen_chunks: BTreeMap<SeenKey, i32>,
    orphans: Orphans,
    volumes: Volumes,
    /// The trading date of the last tick.
    dated: i32,
}

/// How long the last check for unread records counts. Long enough for a decision to arrive and for a short lack of credit; far
/// below the grace that bars leave for records that have come since.
const KNOWN_FOR: Duration = Duration::from_millis(500);

impl PartitionIntake {
    /// Reads from an offset on; `resumed`: where an earlier run had come to.
    fn new(partition: &Partition, offset: i64, resumed: &Binding, confirmations: u64) -> PartitionIntake {
        let name = partition.name();
        let before = resumed.places.get(&name);
        let kept = before.cloned().unwrap_or_default();
        let event_at_max = kept.event_at_max;
        let stood = if before.is_none() && !resumed.places.is_empty() { Stood::New } else { Stood::Ended };
        let past = RunningTime::new(confirmations, &kept.running);
        PartitionIntake {
            order: fixed_hash(&name),
            place: Place {
                source_id: partition.source_id.clone(),
                offset_next: offset,
                stood,
                clock: Vec::new(),
                ..kept
            },
            offset_bound: offset,
            caught_up_since: None,
            finished: false,
            counts: Conservation::default(),
            losses: losses::Losses::default(),
            belief: Belief::new(resumed.wild_time, event_at_max),
            anchor_kept: None,
            wild_kept: false,
            past,
            behind: rewind::Behind::default(),
            bounds: Bounds::default(),
            book: ClockBook::default(),
            lone_max: None,
            began_at: None,
            ticked_at: Instant::now(),
            junk: 0,
            junk_told: Cell::new(false),
            silent: Cell::new(false),
            told_here: false,
            told_ever: false,
            turns: 0,
            memory: Memory::default(),
            days: BTreeMap::new(),
            zero: BTreeSet::new(),
            changed: false,
            sighted: Sighted::default(),
            name: name.into(),
        }
    }
}

impl Intake {
    /// `assigned`: indices into `partitions` with the first offsets to read, the worker's share.
    pub fn new(
        dataflow: &Dataflow,
        partitions: &[Partition],
        assigned: &[(usize, i64)],
        resumed: &Binding,
        share: Share,
    ) -> Intake {
        let spec = CleanSpec {
            session: Arc::new(dataflow.session.clone()),
            reach: reaches(dataflow),
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
        let assigned = assigned.iter().map(|(index, offset)| {
            let partition = &partitions[*index];
            (*index, PartitionIntake::new(partition, *offset, resumed, dataflow.confirmations))
        });
        Intake {
            trusted: dataflow.sequence_trusted,
            raw: dataflow.corrections || dataflow.dedupe == Dedupe::Instrument,
            dedupe_here: dataflow.dedupe == Dedupe::Partition,
            archive: dataflow.ticks,
            lists: dataflow.instruments,
            idle_after: Duration::from_nanos(dataflow.idle_after.max(0) as u64),
            silent_after: silent_after(dataflow),
            retention: dataflow.retention,
            live: is_live(dataflow),
            jury: Jury::shared(),
            clock: OurClock { now: Nanos::MAX, live: false },
            partitions: assigned.collect(),
            partials: Partials::new(dataflow.bars[0], dataflow.bars.len()),
            intervals: dataflow.bars.clone(),
            names: Vec::new(),
            ids: HashMap::default(),
            scopes: Vec::new(),
            translate: Vec::new(),
            horizons: EpochHorizons::default(),
            rewound: resumed.rewound.clone(),
            drained_at: None,
            looked_at: Instant::now(),
            seen_chunks: BTreeMap::new(),
            orphans: Orphans::new(partitions, share),
            volumes: Volumes::default(),
            dated: i32::MIN,
            judge: Judge::new(spec),
            checks: tick_checks(dataflow),
        }
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

    /// The id under which an instrument's duplicates are found.
    fn scope(&mut self, instrument: &Instrument) -> InstrumentId {
        let id = self.id(instrument);
        self.scopes[id.0 as usize]
    }

    /// Judges our clock by the jury of the whole process.
    pub fn judged_by(mut self, jury: Arc<Jury>) -> Intake {
        self.jury = jury;
        self
    }

    /// Sets our clock until the next call; it refutes nothing of a source that is not read live.
    pub fn tell_clock(&mut self, now: Nanos) {
        self.clock = OurClock { now, live: self.live };
    }

    /// The next epoch begins.
    pub fn begin_epoch(&mut self, horizons: EpochHorizons) {
        if let Some(rewound) = self.rewound.take() {
            self.forget_rewound(&rewound);
        }
        let spec = &self.judge.spec;
        for partition in self.partitions.values_mut() {
            partition.changed |= partition.belief.go_on(horizons.rules, spec);
            if partition.silent.get() {
                partition.place.stood = Stood::Silent;
            }
            partition.bounds.begin(partition.past.running(), &horizons, &spec.reach, &spec.session);
            partition.memory.begin(horizons.least());
            partition.memory.know_from(partition.bounds.own().least());
        }
        self.horizons = horizons;
    }

    /// The current epoch is computed again: the recorded places of its partitions replace our clock and the receipts of their
    /// records.
    pub fn recall(&mut self, places: &BTreeMap<String, Place>) {
        for partition in self.partitions.values_mut() {
            let recorded = places.get(&*partition.name);
            partition.book.recall(recorded.map(|place| place.clock.clone()).unwrap_or_default());
            // an archive has no receipts, and a topic's kind of receipts may have changed
            partition.place.witnessed = recorded.is_some_and(|place| place.witnessed);
            partition.place.stood = recorded.map(|place| place.stood).unwrap_or_default();
        }
    }

    /// Whether the epoch has to end here for a reason other than its size: it has too many facts of our clock.
    pub fn is_full(&self) -> bool {
        self.partitions.values().any(|partition| partition.book.is_full())
    }

    /// Reports what our clock has judged since the last call. Error of kind `Fix`: the clock is more likely wrong than the
    /// feed.
    pub fn hear_clock(&mut self, now: Instant) -> Result<(), Error> {
        let judged = self.partitions.values_mut().map(|partition| partition.book.judged());
        let sum = judged.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2.max(one.2)));
        self.jury.hear(now, sum)
    }

    /// The worker checks whether something waits, which it does not without credit. After a longer pause earlier checks are
    /// void.
    pub fn look(&mut self, now: Instant) {
        if !self.is_known(now) {
            self.drained_at = None;
        }
        self.looked_at = now;
    }

    fn is_known(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_at) <= KNOWN_FOR
    }

    /// The check has found nothing that waits.
    pub fn drained(&mut self, now: Instant) {
        self.drained_at = Some(now);
    }

    /// The sums of the step that ends.
    pub fn end_step(&mut self) -> impl Iterator<Item = Routed> + '_ {
        self.partials.drain(&self.names)
    }

    /// How many sums are open.
    pub fn open_sums(&self) -> usize {
        self.partials.len()
    }

    /// The end is reached: decides what still waits for confirmation, for each partition by itself.
    pub fn flush(&mut self) -> Vec<BatchOutcome> {
        let mut partitions = std::mem::take(&mut self.partitions);
        let flushed = partitions.values_mut().map(|partition| {
            let mut taken = self.nothing_of(partition);
            self.decide_at_end(partition, &mut taken);
            taken
        });
        let flushed = flushed.collect();
        self.partitions = partitions;
        flushed
    }

    /// An empty outcome of a partition.
    fn nothing_of(&self, partition: &PartitionIntake) -> BatchOutcome {
        let archived = self.archive.then(|| Archived { partition: partition.name.clone(), ticks: Vec::new() });
        BatchOutcome { archived, ..BatchOutcome::default() }
    }

    /// The progress of every partition: one is idle only while it is known that nothing of it waits, never from memory.
    pub fn progress(&self, now: Instant) -> Vec<PartitionProgress> {
        let drained_at = self.drained_at.filter(|_| self.is_known(now));
        let progress = self.partitions.values().map(|partition| {
            let seen = drained_at.zip(partition.caught_up_since);
            let idle = seen.is_some_and(|(drained_at, since)| drained_at >= since + self.idle_after);
            let quiet = now.saturating_duration_since(partition.ticked_at);
            let junk = self.live && partition.junk >= CleanSpec::PATIENCE && quiet >= self.idle_after * 10;
            if junk && !partition.junk_told.replace(true) {
                let (name, junk) = (&partition.name, partition.junk);
                tracing::warn!(
                    partition = %name,
                    junk,
                    "none of the partition's records is a tick: bars close and memory goes on without it"
                );
            }
            let silent = partition.finished || junk || (idle && quiet >= self.silent_after);
            if silent && !partition.finished {
                // its later records may have stood still
                partition.silent.set(true);
            }
            PartitionProgress {
                partition: partition.name.to_string(),
                event_at_max: partition.place.event_at_max,
                lone_max: partition.lone_max,
                running: partition.past.running(),
                began_at: partition.began_at,
                idle: idle || partition.finished || junk,
                silent,
                finished: partition.finished,
            }
        });
        progress.collect()
    }

    /// Whether each partition's running time is past `limit`, by index.
    pub fn ahead_of(&self, limit: Option<Nanos>) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.partitions.iter().map(move |(index, partition)| {
            let running = partition.past.running();
            (*index, limit.is_some_and(|limit| running.is_some_and(|at| at > limit)))
        })
    }

    /// Records of the epoch so far.
    pub fn records(&self) -> u64 {
        self.partitions.values().map(|partition| partition.counts.records as u64).sum()
    }
}

/// How long a partition has to be silent until memory goes on without it: the reach of the finest interval, at most 10 minutes.
fn silent_after(dataflow: &Dataflow) -> Duration {
    let most = 10 * MINUTE;
    let finest = match reaches(dataflow).intervals.first() {
        Some((_, Reach::Span(span))) => (*span).clamp(0, most),
        _ => most,
    };
    Duration::from_nanos(finest as u64).max(Duration::from_nanos(dataflow.idle_after.max(0) as u64))
}

/// Whether records are read as they are made: then our clock is a witness.
fn is_live(dataflow: &Dataflow) -> bool {
    let source = &dataflow.source;
    source.uses == "kafka" && !source.until_end && source.speed == Speed::Max && dataflow.clock
}

/// FNV-1a: the same number in every run and build.
fn fixed_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
