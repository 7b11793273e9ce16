//! The same records, however they are read: any cuts, workers, order of partitions, kills, one verdict for each and one table.
//!
//! A world has a few partitions with records out of order by up to a month, which come in stages: at the end of each stage
//! everything so far is read and flushed. A course is the way in which one of many runs reads them. Only the sources, the clock
//! and the disk of the run are replaced.

use super::*;
use crate::epochs::mint::Minter;
use crate::epochs::{ControlSpec, Decision, Report};
use std::collections::{BTreeMap, VecDeque};
use ticktide_base::epoch::Epoch;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::StateKey;
use ticktide_lake::StateEntry;
use ticktide_market::{InstrumentId, Price, Quantity, Tick, TickKind};

/// 2024-10-07.
const DAY0: Nanos = 20_003 * DAY;

/// SplitMix64: small, seeded, the same on every machine.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    fn one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }
}

/// What is read, and under which dataflow.
pub(super) struct World {
    settings: Vec<String>,
    /// By partition.
    records: Vec<Vec<Tick>>,
    /// By stage: how many records each partition has then.
    stages: Vec<Vec<usize>>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let corrections = dice.one_in(2);
        let dedupe = ["partition", "instrument"][dice.below(2) as usize];
        let settings = vec![
            format!("source.corrections={corrections}"),
            format!("dedupe=\"{dedupe}\""),
            "source.sequence=\"trusted\"".to_owned(),
            format!(
                "bars=[{}]",
                ["1s", "1m", "1h", "1d"].map(|width| format!("{{use=\"time\",every=\"{width}\"}}")).join(",")
            ),
        ];
        let partitions = 1 + dice.below(4) as usize;
        let records: Vec<Vec<Tick>> =
            (0..partitions).map(|partition| records(&mut dice, partition as u64, corrections)).collect();
        let stages = 1 + dice.below(3) as usize;
        // a partition may come with a later stage, and grow or not in each
        let begins: Vec<usize> = (0..partitions).map(|_| dice.below(stages as u64) as usize).collect();
        let stages = (0..stages).map(|stage| {
            let part = |(all, begins): (&Vec<Tick>, &usize)| match () {
                _ if stage + 1 == stages => all.len(),
                _ if stage < *begins => 0,
                _ => all.len() * (stage + 1) / stages,
            };
            records.iter().zip(&begins).map(part).collect()
        });
        World { settings, stages: stages.collect(), records }
    }

    pub(super) fn dataflow(&self) -> Dataflow {
        let mut dataflow = Dataflow::load("bars", &[], &self.settings).expect("a shipped dataflow");
        dataflow.source.until_end = true;
        dataflow
    }
}

/// One partition: times that go on at its own speed, some of them late by up to a month, a few wild.
fn records(dice: &mut Dice, partition: u64, corrections: bool) -> Vec<Tick> {
    let (step, count) = (1 + dice.below(120) as i64, 20 + dice.below(200));
    let mut now = DAY0 + dice.below(40) as i64 * DAY / 4;
    let mut all: Vec<Tick> = Vec::new();
    for offset in 0..count as i64 {
        now += dice.below(2 * step as u64) as i64 * SECOND / 2;
        if dice.one_in(60) {
            now += dice.below(20) as i64 * DAY; // weeks without a trade
        }
        let late = match dice.below(12) {
            0 => dice.below(30 * 86_400) as i64 * SECOND,
            1 => dice.below(7_500) as i64 * SECOND,
            2 => dice.below(700) as i64 * SECOND,
            _ => 0,
        };
        let ahead = match dice.below(80) {
            0 => HOUR,
            1 => 5 * DAY,
            2 => 731 * DAY,
            _ => 0,
        };
        let at = now - late + ahead;
        let kind = match dice.below(8) {
            0 if corrections => TickKind::Cancel,
            1 if corrections => TickKind::Correct,
            _ => TickKind::Trade,
        };
        let earlier = (!all.is_empty()).then(|| all[dice.below(all.len() as u64) as usize].clone());
        let tick = match (kind, earlier) {
            // a copy of an earlier record
            (TickKind::Trade, Some(copied)) if dice.one_in(25) => Tick { offset, ..copied },
            (TickKind::Trade, _) => Tick {
                sequence: Some(partition * 10_000 + offset as u64),
                id: corrections.then(|| format!("{partition}-{offset}").into()),
                price: Some(Price(1 + dice.below(50) as i64)),
                quantity: Some(Quantity(1 + dice.below(9) as i64)),
                ..Tick::new(kind, InstrumentId(dice.below(2) as u32), offset, at)
            },
            // of an earlier trade, with that trade's time or its own
            (_, Some(trade)) if trade.id.is_some() => Tick {
                id: trade.id,
                price: Some(Price(1 + dice.below(50) as i64)),
                quantity: Some(Quantity(1)),
                sequence: Some(offset as u64),
                ..Tick::new(kind, trade.instrument, offset, if dice.one_in(2) { trade.exchange_at } else { at })
            },
            _ => Tick {
                sequence: Some(partition * 10_000 + offset as u64),
                ..Tick::new(kind, InstrumentId(0), offset, at)
            },
        };
        all.push(tick);
    }
    all
}

/// What became of the records: by (partition, offset) every row of the quarantine, and the bars.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) refused: BTreeMap<(String, i64), Vec<(&'static str, String)>>,
    pub(super) bars: BTreeMap<(Series, Nanos), FinishedBar>,
    pub(super) accepted: i64,
    pub(super) duplicates: i64,
}

/// What is on disk.
#[derive(Default)]
struct Disk {
    bindings: Vec<Binding>,
    state: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    keyed: BTreeMap<(Instrument, StateKey), Vec<u8>>,
    outcome: Outcome,
}

/// One process, from its start to its end or its kill.
struct Process<'a> {
    world: &'a World,
    dataflow: Dataflow,
    visible: &'a [usize],
    workers: Vec<Intake>,
    minter: Minter,
    keyed: Keyed,
    grants: BTreeMap<Epoch, EpochHorizons>,
    epoch: Epoch,
    next: Vec<usize>,
    finished: Vec<bool>,
    told: Vec<bool>,
    routed: Vec<Routed>,
    rows: Vec<QuarantineRow>,
    ended: VecDeque<(Epoch, Binding, Vec<Routed>, Vec<QuarantineRow>, Vec<StateEntry>, Vec<Conservation>)>,
    over: bool,
    now_ms: u64,
}

fn partitions(world: &World) -> Vec<Partition> {
    let partition = |number: usize| Partition {
        topic: format!("p{number}"),
        partition: 0,
        source_id: String::new(),
        offset_start: 0,
        offset_end: i64::MAX,
    };
    (0..world.records.len()).map(partition).collect()
}

fn bars_spec(dataflow: &Dataflow) -> BarsSpec {
    BarsSpec {
        intervals: dataflow.bars.clone(),
        corrections: dataflow.corrections,
        carries: false,
        dedupe_here: dataflow.dedupe == Dedupe::Instrument,
        prices_signed: false,
    }
}

impl<'a> Process<'a> {
    fn start(world: &'a World, visible: &'a [usize], disk: &Disk, workers: usize, limits: (u64, u64)) -> Process<'a> {
        let mut dataflow = world.dataflow();
        (dataflow.limits.epochs, dataflow.epoch.records) = limits;
        let all = partitions(world);
        let bound = disk.bindings.last().cloned().unwrap_or_default();
        let place = |partition: &Partition| bound.places.get(&partition.name()).map_or(0, |place| place.offset_next);
        let next: Vec<usize> = all.iter().map(|partition| place(partition) as usize).collect();
        let known = |index: usize| visible[index] > 0;
        let intake = |worker: usize| {
            let mine = (0..all.len()).filter(|index| known(*index) && index % workers == worker);
            let mine: Vec<(usize, i64)> = mine.map(|index| (index, next[index] as i64)).collect();
            let share = Share { index: worker, peers: workers };
            let mut intake = Intake::new(&dataflow, &all, &mine, &bound, share);
            for ((operator, key), value) in &disk.state {
                let (operator, key, value) = (operator.clone().into(), key.clone().into(), Some(value.clone().into()));
                intake.restore(&StateEntry { operator, key, value }).expect("its own state");
            }
            intake
        };
        let mut keyed = Keyed::new(bars_spec(&dataflow));
        for ((instrument, key), value) in &disk.keyed {
            keyed.restore(instrument, key.clone(), value).expect("its own state");
        }
        let horizon = |interval: &Interval| bound.horizons.get(&interval.name()).copied().unwrap_or(Nanos::MIN);
        let horizons = EpochHorizons {
            intervals: dataflow.bars.iter().map(horizon).collect(),
            retained_from: bound.retained_from.unwrap_or(Nanos::MIN),
            ..EpochHorizons::default()
        };
        keyed.restored(horizons, |_, _| ());
        let epoch = disk.bindings.last().map_or(1, |last| last.epoch + 1);
        let spec = ControlSpec::of(&dataflow, workers, 1);
        Process {
            workers: (0..workers).map(intake).collect(),
            minter: Minter::new(spec, disk.bindings.clone(), epoch),
            keyed,
            grants: BTreeMap::new(),
            epoch,
            finished: vec![false; all.len()],
            told: vec![false; workers],
            next,
            routed: Vec::new(),
            rows: Vec::new(),
            ended: VecDeque::new(),
            over: false,
            now_ms: 0,
            world,
            visible,
            dataflow,
        }
    }

    fn hear(&mut self, report: Report, disk: &mut Disk) {
        for decision in self.minter.hear(report) {
            match decision {
                Decision::Grant { epoch, horizons } => {
                    self.grants.insert(epoch, horizons);
                    if epoch == self.epoch {
                        self.begin();
                    }
                }
                Decision::Cut { flush, last, .. } => self.cut(flush, last, disk),
                Decision::Bind(_) | Decision::Slowest(_) => {}
                Decision::CutAt { .. } => panic!("no replay"),
            }
        }
    }

    fn begin(&mut self) {
        if let Some(horizons) = self.grants.get(&self.epoch) {
            self.workers.iter_mut().for_each(|intake| intake.begin_epoch(horizons.clone()));
        }
    }

    /// Takes some records of a partition.
    fn read(&mut self, partition: usize, count: usize) {
        if self.finished[partition] || self.visible[partition] == 0 || !self.grants.contains_key(&self.epoch) {
            return;
        }
        let from = self.next[partition];
        let to = (from + count).min(self.visible[partition]);
        let worker = partition % self.workers.len();
        let mut batch = Batch::of(partition);
        if !std::mem::replace(&mut self.told[worker], true) {
            batch.instruments = ["A", "B"].map(|name| Instrument::new("X", name, None)).to_vec();
        }
        for tick in &self.world.records[partition][from..to] {
            batch.push(tick.clone(), tick.offset.to_string().as_bytes());
        }
        (batch.records, batch.offset_next) = ((to - from) as u64, to as i64);
        batch.finished = to == self.visible[partition];
        (self.next[partition], self.finished[partition]) = (to, batch.finished);
        let taken = self.workers[worker].take(batch, Instant::now());
        self.routed.extend(taken.routed);
        self.rows.extend(taken.quarantine);
        self.routed.extend(self.workers[worker].end_step());
    }

    fn report(&mut self, disk: &mut Disk) {
        for worker in 0..self.workers.len() {
            let (epoch, records) = (self.epoch, self.workers[worker].records());
            let partitions = self.workers[worker].progress(Instant::now());
            self.hear(Report::Progress { worker, epoch, records, partitions }, disk);
        }
    }

    fn cut(&mut self, flush: bool, last: bool, disk: &mut Disk) {
        self.begin_if_new();
        let (mut state, mut counts, mut bound) = (Vec::new(), Vec::new(), None);
        for worker in 0..self.workers.len() {
            let intake = &mut self.workers[worker];
            if flush {
                for taken in intake.flush() {
                    self.routed.extend(taken.routed);
                    self.rows.extend(taken.quarantine);
                }
            }
            self.routed.extend(intake.end_step());
            let ended = intake.end_epoch(self.epoch);
            state.extend(ended.state);
            counts.extend(ended.counts.into_values());
            let partitions = intake.progress(Instant::now());
            let report = Report::Ended { worker, epoch: self.epoch, places: ended.places, partitions };
            bound = self.minter.hear(report).into_iter().find_map(|decision| match decision {
                Decision::Bind(binding) => Some(binding),
                _ => None,
            });
        }
        let binding = bound.expect("all workers have ended it");
        assert_eq!(binding.flush, flush);
        let (routed, rows) = (std::mem::take(&mut self.routed), std::mem::take(&mut self.rows));
        self.ended.push_back((self.epoch, binding, routed, rows, state, counts));
        self.epoch += 1;
        self.over = last;
        self.begin();
        let _ = disk;
    }

    /// An epoch that is granted and has no records yet.
    fn begin_if_new(&mut self) {
        assert!(self.grants.contains_key(&self.epoch), "epochs are cut when they are granted");
    }

    /// Commits the oldest epoch that has ended.
    fn commit(&mut self, disk: &mut Disk, dice: &mut Dice) {
        let Some((epoch, binding, mut routed, rows, state, counts)) = self.ended.pop_front() else { return };
        self.keyed.begin(self.grants[&epoch].clone());
        let (mut aside, mut changes) = (Aside::default(), Vec::new());
        // what other workers send comes in any order between partitions
        if !self.keyed.finds_duplicates() {
            for _ in 0..routed.len() {
                let (a, b) = (dice.below(routed.len() as u64) as usize, dice.below(routed.len() as u64) as usize);
                if !self.dataflow.corrections {
                    routed.swap(a, b);
                }
            }
        }
        routed.sort_by_key(|routed| {
            self.keyed.finds_duplicates().then(|| routed.place().map(|place| (place.partition.clone(), place.offset)))
        });
        routed.into_iter().for_each(|routed| self.keyed.apply(routed, &mut aside));
        self.keyed.changes(&mut changes);
        let outcome = &mut disk.outcome;
        for (series, bar, diff) in changes {
            let Emitted::Finished(bar) = bar else { panic!("bars of trades") };
            let key = (series, bar.head.open_at);
            match diff {
                1 => assert!(outcome.bars.insert(key, bar).is_none(), "two bars at one place"),
                _ => assert_eq!(outcome.bars.remove(&key), Some(bar), "what is taken back was there"),
            }
        }
        for (instrument, key, value) in self.keyed.retire(epoch, &mut Vec::new(), &mut aside) {
            match value {
                Some(value) => disk.keyed.insert((instrument, key), value),
                None => disk.keyed.remove(&(instrument, key)),
            };
        }
        let of_rows = rows.into_iter().map(|row| (row.partition.to_string(), row.offset, row.reason, row.detail));
        let of_keyed =
            aside.refused.into_iter().map(|no| (no.place.partition.to_string(), no.place.offset, no.reason, no.detail));
        for (partition, offset, reason, detail) in of_rows.chain(of_keyed).collect::<Vec<_>>() {
            // whether it still waits at the end depends on what memory has released
            if reason != "unmatched" {
                outcome.refused.entry((partition, offset)).or_default().push((reason, detail));
            }
        }
        outcome.accepted += counts.iter().map(|counts| counts.accepted).sum::<i64>();
        outcome.duplicates += counts.iter().map(|counts| counts.duplicates).sum::<i64>();
        for counts in aside.counts.values() {
            outcome.accepted += counts.accepted;
            outcome.duplicates += counts.duplicates;
        }
        for entry in state {
            let key = (entry.operator.to_string(), entry.key.to_vec());
            match entry.value {
                Some(value) => disk.state.insert(key, value.to_vec()),
                None => disk.state.remove(&key),
            };
        }
        disk.bindings.push(binding);
        self.hear(Report::Decided { epoch }, disk);
    }
}

/// Reads a world in some way.
pub(super) fn course(world: &World, dice: &mut Dice) -> Outcome {
    let mut disk = Disk::default();
    let kills = dice.below(3);
    for visible in &world.stages {
        let mut killed = 0;
        loop {
            let workers = 1 + dice.below(3) as usize;
            let limits = (1 + dice.below(4), [1, 7, 30, 200, 1_000_000][dice.below(5) as usize]);
            let mut process = Process::start(world, visible, &disk, workers, limits);
            let dies_after = (killed < kills && dice.one_in(2)).then(|| dice.below(60));
            killed += u64::from(dies_after.is_some());
            // how much is read at once, and of which partition more
            let (most, favourite) = (1 + dice.below(60), dice.below(world.records.len() as u64) as usize);
            let mut turns = 0;
            while !(process.over && process.ended.is_empty()) && dies_after != Some(turns) {
                turns += 1;
                assert!(turns < 100_000, "it never ends");
                match dice.below(6) {
                    0 => {
                        process.now_ms += 1 + dice.below(20_000);
                        let wall = DAY0 + 4_000 * DAY;
                        process.hear(Report::Clock { now_ms: process.now_ms, wall }, &mut disk);
                    }
                    1 => process.commit(&mut disk, dice),
                    2 if dice.one_in(4) => {
                        let epoch = process.epoch;
                        process.hear(Report::OutOfCredit { epoch }, &mut disk);
                    }
                    _ if process.over => process.commit(&mut disk, dice),
                    choice => {
                        let any = dice.below(world.records.len() as u64) as usize;
                        process.read(if choice == 5 { favourite } else { any }, 1 + dice.below(most) as usize);
                        process.report(&mut disk);
                    }
                }
            }
            if process.over && process.ended.is_empty() {
                break;
            }
        }
    }
    disk.outcome
}

/// Checks that several courses of a world come to one outcome; returns it.
pub(super) fn same_however_it_is_read(seed: u64, courses: u64) -> Outcome {
    let world = World::new(seed);
    let first = course(&world, &mut Dice::new(seed + 1));
    for other in 0..courses {
        let again = course(&world, &mut Dice::new(seed.wrapping_mul(1_000) + other));
        assert_eq!(first.refused, again.refused, "verdicts of seed {seed}, course {other}");
        assert_eq!(first.bars, again.bars, "bars of seed {seed}, course {other}");
        let counts = |outcome: &Outcome| (outcome.accepted, outcome.duplicates);
        assert_eq!(counts(&first), counts(&again), "counts of seed {seed}, course {other}");
    }
    let stood = first.refused.iter().filter(|(_, rows)| rows.iter().any(|(_, detail)| detail.contains("stood still")));
    assert_eq!(stood.count(), 0, "no partition stood still in seed {seed}");
    first
}

#[test]
fn the_same_records_get_the_same_verdicts_and_bars_however_they_are_read() {
    let (mut late, mut bars) = (0, 0);
    for seed in 0..200 {
        let outcome = same_however_it_is_read(seed, 3);
        late += outcome.refused.values().flatten().filter(|(reason, _)| reason.contains("late")).count();
        bars += outcome.bars.len();
    }
    assert!(late > 4_000 && bars > 20_000, "{late} late records and {bars} bars: too few for a verdict");
}

#[test]
#[ignore = "long"]
fn many_seeds_of_records_get_the_same_verdicts_and_bars_however_they_are_read() {
    (1_000..6_000).for_each(|seed| drop(same_however_it_is_read(seed, 3)));
}

/// One file of trades a minute apart with wild ones between, from a place on; returns the offsets of the wild ones, too.
fn with_wild(place: usize, wild: &[Nanos]) -> (World, Vec<i64>) {
    let mut times: Vec<(Nanos, bool)> = (0..240).map(|minute| (DAY0 + minute * MINUTE, false)).collect();
    for (index, ahead) in wild.iter().enumerate() {
        let at = (place + 2 * index).min(times.len());
        times.insert(at, (DAY0 + 7 * SECOND + index as i64 * SECOND + ahead, true));
    }
    let tick = |(offset, (at, _)): (usize, &(Nanos, bool))| Tick {
        sequence: Some(offset as u64),
        price: Some(Price(5)),
        quantity: Some(Quantity(1)),
        ..Tick::new(TickKind::Trade, InstrumentId(0), offset as i64, *at)
    };
    let offsets = times.iter().enumerate().filter(|(_, (_, wild))| *wild).map(|(offset, _)| offset as i64);
    let (records, offsets) = (vec![times.iter().enumerate().map(tick).collect::<Vec<_>>()], offsets.collect());
    let settings = World::new(0).settings;
    let settings = vec!["source.corrections=false".to_owned(), settings[3].clone()];
    (World { settings, stages: vec![vec![times.len()]], records }, offsets)
}

#[test]
fn up_to_three_wild_times_anywhere_in_a_file_cost_no_other_record() {
    for ahead in [HOUR, 5 * DAY, 731 * DAY] {
        for count in 1..=3 {
            for place in (0..=240).step_by(if count == 1 { 1 } else { 7 }) {
                let (world, wild) = with_wild(place, &vec![ahead; count]);
                let outcome = course(&world, &mut Dice::new(place as u64));
                let lost: Vec<_> = outcome.refused.iter().filter(|((_, offset), _)| !wild.contains(offset)).collect();
                assert!(lost.is_empty(), "{count} at {place}, {ahead} ahead: {lost:?}");
                // a wild one may be late itself where the file has come past it
                let reasons = ["future_time", "late_partly", "too_late"];
                let rows = outcome.refused.values().flatten();
                assert!(rows.clone().all(|(reason, _)| reasons.contains(reason)), "{:?}", outcome.refused);
                let refused = rows.filter(|(reason, _)| *reason != "late_partly").count();
                let whole = outcome.bars.iter().filter(|(((interval, _), _), _)| interval.0 == DAY);
                let counted: u64 = whole.map(|(_, bar)| bar.trades.unwrap_or(0)).sum();
                assert_eq!(counted as usize + refused, 240 + count, "each is counted or refused");
            }
        }
    }
}
