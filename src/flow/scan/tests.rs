//! Random histories against a naive recomputation at every time, and against differential's own `reduce`.

use super::*;
use differential_dataflow::input::InputSession;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;
use ticktide_base::epoch::stamp;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};
use timely::worker::Worker;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
struct Value {
    at: i64,
    phase: u8,
    number: i64,
}

impl Positioned for Value {
    fn position(&self) -> Position {
        (self.at, self.phase)
    }

    fn floor((at, phase): Position) -> Value {
        Value { at, phase, number: i64::MIN }
    }
}

/// Accumulators that agree again soon, after three values, sometimes at once, or never.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Average,
    Window,
    Greatest,
    Sum,
}

struct Number<const FORWARDS: bool> {
    kind: Kind,
    steps: Rc<Cell<usize>>,
}

fn number_step(kind: Kind, acc: &mut Vec<i64>, value: &Value) -> (Position, i64) {
    match kind {
        Kind::Average => acc[0] += 2 * (value.number * 16 - acc[0]) / 5,
        Kind::Window => {
            acc.remove(0);
            acc.push(value.number);
        }
        Kind::Greatest => acc[0] = acc[0].max(value.number),
        Kind::Sum => acc[0] += value.number,
    }
    (value.position(), acc.iter().sum::<i64>() / 4)
}

impl<const FORWARDS: bool> Logic<u32, Value> for Number<FORWARDS> {
    type Acc = Vec<i64>;
    type Out = (Position, i64);
    const FORWARDS: bool = FORWARDS;

    fn initial(&self, key: &u32) -> Vec<i64> {
        vec![i64::from(*key); if self.kind == Kind::Window { 3 } else { 1 }]
    }

    fn step(&self, _key: &u32, acc: &mut Vec<i64>, value: &Value) -> (Position, i64) {
        self.steps.set(self.steps.get() + 1);
        number_step(self.kind, acc, value)
    }

    fn applies(&self, key: &u32) -> bool {
        *key != 9
    }
}

fn number<const FORWARDS: bool>(kind: Kind) -> Number<FORWARDS> {
    Number { kind, steps: Rc::default() }
}

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_4E5B);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

type Outputs = BTreeMap<(u32, (Position, i64)), isize>;
type Bases = BTreeMap<u32, Vec<i64>>;

/// What must hold at a time, computed only from the values of all times up to it.
struct Truth {
    time: u64,
    /// Outputs of every value, retired or live.
    full: Outputs,
    /// Outputs of live values.
    live: Outputs,
    /// Accumulators after the last retired value.
    bases: Bases,
    /// Live values, for a restart.
    values: Vec<(u32, Value)>,
}

struct Script {
    kind: Kind,
    updates: Vec<(u64, (u32, Value), isize)>,
    truths: Vec<Truth>,
}

fn truth(kind: Kind, time: u64, values: &BTreeMap<(u32, Position), Value>, retired: &BTreeMap<u32, Position>) -> Truth {
    let logic = number::<false>(kind);
    let mut truth = Truth { time, full: Outputs::new(), live: Outputs::new(), bases: Bases::new(), values: vec![] };
    let mut accs: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for ((key, position), value) in values {
        let gone = retired.get(key).is_some_and(|retired| position <= retired);
        if !gone {
            truth.values.push((*key, *value));
        }
        if !logic.applies(key) {
            continue;
        }
        let acc = accs.entry(*key).or_insert_with(|| logic.initial(key));
        let out = (*key, number_step(kind, acc, value));
        truth.full.insert(out, 1);
        if gone {
            truth.bases.insert(*key, acc.clone());
        } else {
            truth.live.insert(out, 1);
        }
    }
    truth.bases.retain(|key, base| *base != logic.initial(key));
    truth
}

/// Inserts out of order, corrections, retractions; with `retire`, the lowest values of some keys go at epochs' ends.
fn script(seed: u64, retire: bool) -> Script {
    let mut random = Random::new(seed);
    let kind = [Kind::Average, Kind::Window, Kind::Greatest, Kind::Sum][random.below(4) as usize];
    let keys = [1, 2, 9].into_iter().take(1 + random.below(3) as usize).collect::<Vec<u32>>();
    let (epochs, steps) = (3 + random.below(10), 1 + random.below(5));
    let busy = 1 + random.below(12);
    let spread = 1 + random.below(40) as i64;
    let mut values: BTreeMap<(u32, Position), Value> = BTreeMap::new();
    let mut retired: BTreeMap<u32, Position> = BTreeMap::new();
    let mut script = Script { kind, updates: vec![], truths: vec![] };
    let mut front = 0i64;
    for epoch in 0..epochs {
        for step in 0..steps {
            let time = stamp(epoch, step);
            let mut changes: BTreeMap<(u32, Value), isize> = BTreeMap::new();
            for _ in 0..random.below(busy) {
                let key = keys[random.below(keys.len() as u64) as usize];
                front += random.below(3) as i64;
                let at = match random.below(4) {
                    0 => front - random.below(spread as u64) as i64,
                    1 => front - random.below(4 * spread as u64) as i64,
                    _ => front,
                };
                let position = (at, random.below(2) as u8);
                if retired.get(&key).is_some_and(|retired| position <= *retired) {
                    continue;
                }
                let old = if random.below(6) == 0 {
                    values.remove(&(key, position))
                } else {
                    let value = Value { at, phase: position.1, number: random.below(50) as i64 };
                    *changes.entry((key, value)).or_default() += 1;
                    values.insert((key, position), value)
                };
                if let Some(old) = old {
                    *changes.entry((key, old)).or_default() -= 1;
                }
            }
            changes.retain(|_, diff| *diff != 0);
            script.updates.extend(changes.into_iter().map(|(value, diff)| (time, value, diff)));
            script.truths.push(truth(kind, time, &values, &retired));
        }
        if retire {
            let time = stamp(epoch, LAST_STEP);
            for key in &keys {
                let horizon = match random.below(3) {
                    0 => continue,
                    1 => front - random.below(2 * spread as u64) as i64,
                    _ => front + 1,
                };
                let low = retired.get(key).copied().unwrap_or((i64::MIN, 0));
                let going = values
                    .iter()
                    .filter(|((have, position), _)| have == key && *position > low && *position < (horizon, 0));
                let going: Vec<Value> = going.map(|(_, value)| *value).collect();
                if let Some(last) = going.last() {
                    retired.insert(*key, last.position());
                    script.updates.extend(going.iter().map(|value| (time, (*key, *value), -1)));
                }
            }
            script.truths.push(truth(kind, time, &values, &retired));
        }
    }
    script
}

#[derive(Default)]
struct Seen {
    outputs: Vec<((u32, (Position, i64)), u64, isize)>,
    bases: Vec<(u64, u32, Option<Vec<i64>>)>,
    steps: usize,
}

/// One worker on this thread, whose idle steps merge and compact traces as far as they are allowed to.
fn directly<T>(run: impl FnOnce(&mut Worker) -> T) -> T {
    let mut config = WorkerConfig::default();
    differential_dataflow::configure(&mut config, &differential_dataflow::Config { idle_merge_effort: Some(10_000) });
    let mut worker = Worker::new(config, Allocator::Thread(Thread::default()), Some(Instant::now()));
    let result = run(&mut worker);
    while worker.has_dataflows() {
        worker.step_or_park(None);
    }
    result
}

/// Runs updates through a scan; `cuts` decides after which times the input is flushed, and so how many updates one batch holds.
fn run<const FORWARDS: bool>(
    kind: Kind,
    updates: Vec<(u64, (u32, Value), isize)>,
    bases: Bases,
    mut cuts: Random,
    every: usize,
) -> Seen {
    directly(move |worker| {
        let seen: Rc<RefCell<Seen>> = Rc::default();
        let logic = number::<FORWARDS>(kind);
        let steps = logic.steps.clone();
        let probe = ProbeHandle::new();
        let mut input = InputSession::<u64, (u32, Value), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let arranged = input.to_collection(scope).arrange_by_key();
            let (outputs, changes) =
                scan_spaced(arranged, "Test", logic, bases.into_iter().collect(), retires_at_last_step, every);
            let (left, right) = (seen.clone(), seen.clone());
            outputs.inspect(move |update| left.borrow_mut().outputs.push(*update)).probe_with(&probe);
            let changes = changes.inspect_core(move |event| {
                let Ok((stamp, changes)) = event else { return };
                let time = *stamp.iter().next().expect("a message with changes has a time");
                for (key, base) in changes {
                    right.borrow_mut().bases.push((time, *key, base.clone()));
                }
            });
            changes.probe_with(&probe);
        });
        let patience = 1 + cuts.below(8);
        for round in updates.chunk_by(|left, right| left.0 == right.0) {
            input.advance_to(round[0].0);
            if cuts.below(patience) == 0 {
                input.flush();
                while probe.less_than(input.time()) {
                    worker.step();
                }
                for _ in 0..cuts.below(20) {
                    worker.step();
                }
            }
            for (_, value, diff) in round {
                input.update(*value, *diff);
            }
        }
        drop(input);
        while !probe.done() {
            worker.step();
        }
        let mut seen = seen.take();
        seen.steps = steps.get();
        seen
    })
}

impl Seen {
    fn outputs_at(&self, time: u64) -> Outputs {
        let mut all = Outputs::new();
        for (out, at, diff) in &self.outputs {
            if *at <= time {
                *all.entry(*out).or_default() += diff;
            }
        }
        all.retain(|_, count| *count != 0);
        all
    }

    fn bases_at(&self, time: u64, mut bases: Bases) -> Bases {
        for (at, key, base) in &self.bases {
            if *at <= time {
                match base {
                    Some(base) => drop(bases.insert(*key, base.clone())),
                    None => drop(bases.remove(key)),
                }
            }
        }
        bases
    }
}

fn spacing(seed: u64) -> usize {
    [1, 2, 3, 7, CHECKPOINT_EVERY][(seed % 5) as usize]
}

fn check_one(seed: u64) {
    // With retirement and without, silent and forwarded, all must equal the naive recomputation at every time.
    let retiring = script(seed, !seed.is_multiple_of(4));
    let cuts = || Random::new(seed ^ 0xABCD);
    let silent = run::<false>(retiring.kind, retiring.updates.clone(), Bases::new(), cuts(), spacing(seed));
    let forwarded = run::<true>(retiring.kind, retiring.updates.clone(), Bases::new(), cuts(), spacing(seed + 1));
    for truth in &retiring.truths {
        let at = format!("seed {seed} time {}.{}", truth.time >> 24, truth.time & LAST_STEP);
        assert_eq!(silent.outputs_at(truth.time), truth.full, "{at}");
        assert_eq!(forwarded.outputs_at(truth.time), truth.live, "{at}, forwarded");
        assert_eq!(silent.bases_at(truth.time, Bases::new()), truth.bases, "{at}, bases");
        assert_eq!(forwarded.bases_at(truth.time, Bases::new()), truth.bases, "{at}, bases forwarded");
    }
    // A restart after a random epoch: from its bases and live values on, every output above is the same.
    let mut random = Random::new(seed ^ 0x1234);
    let index = random.below(retiring.truths.len() as u64) as usize;
    let cut = &retiring.truths[index];
    let Some(next) = retiring.truths.get(index + 1) else { return };
    if step_of(next.time) == LAST_STEP {
        return; // an epoch ends after its last step
    }
    let restored = cut.values.iter().map(|value| (next.time, *value, 1));
    let mut updates: BTreeMap<(u64, (u32, Value)), isize> = BTreeMap::new();
    for (time, value, diff) in restored.chain(retiring.updates.iter().copied().filter(|update| update.0 > cut.time)) {
        *updates.entry((time, value)).or_default() += diff;
    }
    let updates = updates.into_iter().map(|((time, value), diff)| (time, value, diff)).collect();
    let after = run::<false>(retiring.kind, updates, cut.bases.clone(), cuts(), spacing(seed + 2));
    for truth in &retiring.truths[index + 1..] {
        let mut expected = truth.full.clone();
        expected.retain(|(key, (position, _)), _| {
            let retired_before = !cut.live.keys().any(|(live, (at, _))| live == key && at == position);
            let there_before = cut.full.keys().any(|(have, (at, _))| have == key && at == position);
            !(retired_before && there_before)
        });
        assert_eq!(after.outputs_at(truth.time), expected, "seed {seed}, restarted after {}, {}", cut.time, truth.time);
        assert_eq!(
            after.bases_at(truth.time, cut.bases.clone()),
            truth.bases,
            "seed {seed}, restarted after {}",
            cut.time
        );
    }
}

fn check_twin(seed: u64) {
    let Script { kind, updates, .. } = script(seed, false);
    timely::execute_directly(move |worker| {
        let differences: Rc<RefCell<BTreeMap<((u32, (Position, i64)), u64), isize>>> = Rc::default();
        let mut input = InputSession::<u64, (u32, Value), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let arranged = input.to_collection(scope).arrange_by_key();
            let logic = number::<false>(kind);
            let (outputs, _) =
                scan_spaced(arranged.clone(), "Test", number::<false>(kind), HashMap::new(), |_| false, spacing(seed));
            let twin = arranged.as_collection(|key, value| (*key, *value)).filter(|(key, _)| *key != 9);
            let twin = twin.reduce(move |key, values, out| {
                let mut acc = logic.initial(key);
                out.extend(values.iter().map(|(value, _)| (number_step(kind, &mut acc, value), 1)));
            });
            let differences = differences.clone();
            outputs.concat(twin.negate()).inspect(move |(out, time, diff)| {
                *differences.borrow_mut().entry((*out, *time)).or_default() += diff;
            });
        });
        let mut cuts = Random::new(seed);
        for round in updates.chunk_by(|left, right| left.0 == right.0) {
            input.advance_to(round[0].0);
            if cuts.below(3) == 0 {
                input.flush();
                for _ in 0..5 {
                    worker.step();
                }
            }
            for (_, value, diff) in round {
                input.update(*value, *diff);
            }
        }
        drop(input);
        while worker.step() {}
        differences.borrow_mut().retain(|_, count| *count != 0);
        assert!(differences.borrow().is_empty(), "seed {seed}: {:?}", differences.borrow());
    });
}

fn check(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let seeded = std::panic::catch_unwind(|| {
            check_one(seed);
            check_twin(seed);
        });
        if let Err(panic) = seeded {
            println!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn outputs_bases_and_restarts_equal_a_naive_recomputation_and_reduce() {
    check(0..200);
}

#[test]
#[ignore = "minutes: many seeds"]
fn outputs_bases_and_restarts_equal_a_naive_recomputation_and_reduce_for_many_seeds() {
    check(1_000..5_000);
}

fn at(at: i64, number: i64) -> (u32, Value) {
    (1, Value { at, phase: 0, number })
}

#[test]
fn an_appended_or_changed_last_value_costs_one_step() {
    let mut updates: Vec<(u64, (u32, Value), isize)> = (0..1_000).map(|time| (time, at(time as i64, 5), 1)).collect();
    let appended = run::<false>(Kind::Sum, updates.clone(), Bases::new(), Random::new(3), CHECKPOINT_EVERY);
    assert_eq!(appended.steps, 1_000);
    for change in 0..1_000 {
        updates.push((1_000 + change, at(999, 5 + change as i64), -1));
        updates.push((1_000 + change, at(999, 6 + change as i64), 1));
    }
    let changed = run::<false>(Kind::Sum, updates, Bases::new(), Random::new(3), CHECKPOINT_EVERY);
    assert_eq!(changed.steps, 2_000);
}

#[test]
fn a_correction_far_back_walks_from_the_checkpoint_before_it_until_both_sides_agree() {
    let mut updates: Vec<(u64, (u32, Value), isize)> = (0..1_000).map(|time| (time, at(time as i64, 5), 1)).collect();
    updates.push((1_000, at(100, 5), -1));
    updates.push((1_000, at(100, 9), 1));
    let seen = run::<false>(Kind::Window, updates, Bases::new(), Random::new(3), CHECKPOINT_EVERY);
    // At most 64 values to reach it, then three that differ, each on two sides, and one that finds them equal.
    assert!(seen.steps <= 1_000 + 64 + 2 * 4, "{} steps", seen.steps);
    let changed = seen.outputs.iter().filter(|(_, time, _)| *time == 1_000).count();
    assert_eq!(changed, 2 * 3, "three outputs are replaced");
}

#[test]
fn retirement_says_nothing_and_leaves_later_outputs_alone() {
    let mut updates: Vec<(u64, (u32, Value), isize)> = (0..300).map(|index| (0, at(index, 5), 1)).collect();
    updates.extend((0..200).map(|index| (LAST_STEP, at(index, 5), -1)));
    updates.push((stamp(1, 0), at(300, 5), 1));
    updates.push((stamp(1, 1), at(200, 5), -1));
    let seen = run::<false>(Kind::Sum, updates, Bases::new(), Random::new(3), CHECKPOINT_EVERY);
    assert!(seen.outputs.iter().all(|(_, time, _)| *time != LAST_STEP));
    assert_eq!(seen.bases, [(LAST_STEP, 1, Some(vec![1 + 200 * 5]))]);
    let outputs = seen.outputs_at(u64::MAX);
    assert_eq!(outputs.get(&(1, ((300, 0), (1 + 300 * 5) / 4))), Some(&1));
}

#[test]
#[should_panic(expected = "more than one live value, or less than none, at position (3, 0)")]
fn two_live_values_at_the_last_position_stop_the_worker() {
    run::<false>(Kind::Sum, vec![(0, at(3, 1), 1), (1, at(3, 2), 1)], Bases::new(), Random::new(3), 64);
}

#[test]
#[should_panic(expected = "scan of 1 at time 1: bug: more than one live value, or less than none, at position (2, 0)")]
fn two_live_values_at_an_earlier_position_stop_the_worker() {
    let updates = vec![(0, at(2, 1), 1), (0, at(3, 1), 1), (1, at(2, 2), 1)];
    run::<false>(Kind::Sum, updates, Bases::new(), Random::new(3), 64);
}

#[test]
#[should_panic(expected = "the value at position (3, 0) is retired, but the one at (2, 0) below it is not")]
fn a_retirement_that_skips_a_value_stops_the_worker() {
    let updates = vec![(0, at(2, 1), 1), (0, at(3, 1), 1), (0, at(4, 1), 1), (LAST_STEP, at(3, 1), -1)];
    run::<false>(Kind::Sum, updates, Bases::new(), Random::new(3), 64);
}

#[test]
#[should_panic(expected = "position (2, 0) changes, but everything up to (3, 0) is retired")]
fn a_value_below_the_retired_ones_stops_the_worker() {
    let updates = vec![(0, at(3, 1), 1), (LAST_STEP, at(3, 1), -1), (stamp(1, 0), at(2, 1), 1)];
    run::<false>(Kind::Sum, updates, Bases::new(), Random::new(3), 64);
}
