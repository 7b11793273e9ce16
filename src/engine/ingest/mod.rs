//! What one reading worker does with its records: verdicts, sums before the exchange, the balance of every partition.
//!
//! ```text
//!   Batch ─▶ take ─▶ believe (its time?) ─▶ admit (does it count?) ─┬─▶ sums of the step, single records ─▶ bars
//!                                                                   └─▶ quarantine, archive, remarks of checks
//! ```
//!
//! Feed and flow meet here. No timely in this folder: the source operator decides when a step or an epoch
//! ends, this decides what is in it. What must always hold: every record of an epoch is in exactly one term of its
//! partition's balance, and what `end_epoch` gives is all that a later run needs to go on behind it.

mod admit;
mod believe;
mod checks;
mod losses;
mod sniff;
mod state;
mod take;
#[cfg(test)]
mod tests;
mod volumes;

pub use checks::tick_checks;
pub use sniff::Sniff;
pub use state::Ended;

use crate::epochs::Progress;
use crate::share::Share;
use state::{Orphans, SeenKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticktide_base::epoch::{Binding, Conservation, Place};
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::{Dataflow, Dedupe, Volume};
use ticktide_feed::Partition;
use ticktide_flow::anomalies::ticks::{OddTicks, TickChecks};
use ticktide_flow::anomalies::two_partitions::Sighted;
use ticktide_flow::bars::Routed;
use ticktide_flow::bars::partial::Partials;
use ticktide_flow::clean::duplicates::Memory;
use ticktide_flow::clean::jumps::Jumps;
use ticktide_flow::clean::{CleanSpec, Horizons, Judge};
use ticktide_flow::instruments::Told;
use ticktide_market::{Instrument, InstrumentId};
use ticktide_tables::{Archived, QuarantineRow};
use volumes::Volumes;

/// What a batch came to.
#[derive(Default)]
pub struct Taken {
    /// One by one, for feeds with corrections or an instrument-wide dedupe.
    pub routed: Vec<Routed>,
    pub quarantine: Vec<QuarantineRow>,
    pub archived: Option<Archived>,
    /// Ticks of the batch to archive.
    kept: Vec<KeptTick>,
    /// What checks say of its ticks.
    pub odd: OddTicks,
    /// What its notices say of instruments.
    pub listings: Vec<Told>,
    /// Memory that the batch keeps until its epoch is decided.
    pub bytes: usize,
}

/// A tick of a batch that goes into the archive.
struct KeptTick {
    /// Its place in the batch.
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
    /// By index of the source.
    partitions: BTreeMap<usize, PartitionIntake>,
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

/// How long it is known what was seen of unread records. Long enough for a decision's way and for a short want of credit; far
/// below the grace that bars leave for what has come since.
const KNOWN_FOR: Duration = Duration::from_millis(500);

impl PartitionIntake {
    /// Reads from an offset on; `before`: where an earlier run had come to.
    fn new(partition: &Partition, offset: i64, before: Option<&Place>) -> PartitionIntake {
        let name = partition.name();
        let event_at_max = before.and_then(|place| place.event_at_max);
        let header = before.and_then(|place| place.header.clone());
        PartitionIntake {
            order: fixed_hash(&name),
            place: Place { source_id: partition.source_id.clone(), offset_next: offset, event_at_max, header },
            offset_bound: offset,
            caught_up_since: None,
            finished: false,
            counts: Conservation::default(),
            losses: losses::Losses::default(),
            jumps: Jumps::new(event_at_max),
            anchor_kept: None,
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
            (*index, PartitionIntake::new(partition, *offset, resumed.places.get(&partition.name())))
        });
        Intake {
            trusted: dataflow.sequence_trusted,
            raw: dataflow.corrections || dataflow.dedupe == Dedupe::Instrument,
            dedupe_here: dataflow.dedupe == Dedupe::Partition,
            archive: dataflow.ticks,
            lists: dataflow.instruments,
            idle_after: Duration::from_nanos(dataflow.idle_after.max(0) as u64),
            retention: dataflow.retention,
            partitions: assigned.collect(),
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

    /// The id that an instrument's duplicates are looked for under.
    fn scope(&mut self, instrument: &Instrument) -> InstrumentId {
        let id = self.id(instrument);
        self.scopes[id.0 as usize]
    }

    /// The next epoch begins.
    pub fn begin_epoch(&mut self, horizons: Horizons) {
        for partition in self.partitions.values_mut() {
            partition.memory.begin(horizons.least());
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
        let mut partitions = std::mem::take(&mut self.partitions);
        let flushed = partitions.values_mut().map(|partition| {
            let mut taken = self.nothing_of(partition);
            let (believed, given_up) = partition.jumps.flush(&self.judge.spec);
            self.release(partition, believed, given_up, &mut taken);
            taken
        });
        let flushed = flushed.collect();
        self.partitions = partitions;
        flushed
    }

    /// What is taken of a partition before anything is.
    fn nothing_of(&self, partition: &PartitionIntake) -> Taken {
        let archived = self.archive.then(|| Archived { partition: partition.name.clone(), ticks: Vec::new() });
        Taken { archived, ..Taken::default() }
    }

    /// How every partition stands: one is idle only while it is known that nothing of it waits, never from memory.
    pub fn progress(&self, now: Instant) -> Vec<Progress> {
        let drained_at = self.drained_at.filter(|_| self.is_known(now));
        let progress = self.partitions.values().map(|partition| {
            let seen = drained_at.zip(partition.caught_up_since);
            let idle = seen.is_some_and(|(drained_at, since)| drained_at >= since + self.idle_after);
            Progress {
                partition: partition.name.to_string(),
                event_at_max: partition.place.event_at_max,
                idle: idle || partition.finished,
                finished: partition.finished,
            }
        });
        progress.collect()
    }

    /// Partitions whose event time is past `limit`, by index, and those that are not.
    pub fn ahead_of(&self, limit: Option<Nanos>) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.partitions.iter().map(move |(index, partition)| {
            (*index, limit.is_some_and(|limit| partition.place.event_at_max.is_some_and(|at| at > limit)))
        })
    }

    /// Records of the epoch so far.
    pub fn records(&self) -> u64 {
        self.partitions.values().map(|partition| partition.counts.records as u64).sum()
    }
}

/// FNV-1a: the same number in every run and build.
fn fixed_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
