//! A process stopped before and after every operation on the store and the catalog: the next process goes on, and nothing
//! is missing, doubled or out of place.
//!
//! Why by recording: a process that is stopped leaves the world as its last operation left it, and reading changes nothing.
//! So one undisturbed run shows every world that a stop can leave: before the first operation, and after each one that
//! changes something. A stop before or after any operation leaves one of these, and each is gone on from.

use super::doubles::{Event, Fault, Faults, State, World, class};
use super::many::judge;
use super::scenario::{DELETING, HASTY, check, process, process_by};
use crate::upkeep::Upkeep;
use std::collections::HashMap;

/// Epochs of each of the two generations.
const EPOCHS: i64 = 3;

/// What a recorded process did, and every world that a stop of it can leave.
struct Run {
    operations: Vec<String>,
    /// With the last operation before it.
    worlds: Vec<(String, State)>,
}

impl Run {
    /// Runs a process to the end of `steps` steps.
    async fn record(upkeep: Upkeep, world: &World, steps: i64) -> Run {
        world.record();
        process_by(upkeep, world, &Faults::none(), steps).await.expect("an undisturbed run");
        let recorded = world.recorded();
        let operations = recorded.iter().skip(1).map(|(operation, _)| operation.clone()).collect();
        let mut worlds: Vec<(String, State)> = Vec::new();
        for (operation, state) in recorded {
            if let Some(state) = state.filter(|state| worlds.last().is_none_or(|(_, last)| last != state)) {
                worlds.push((operation, state));
            }
        }
        Run { operations, worlds }
    }
}

/// An undisturbed lake of two generations, recorded.
async fn two_generations(upkeep: Upkeep) -> [Run; 2] {
    let world = World::default();
    let runs = [Run::record(upkeep, &world, EPOCHS).await, Run::record(upkeep, &world, 2 * EPOCHS).await];
    check(&world, 2 * EPOCHS).await;
    let all = runs.iter().flat_map(|run| &run.operations);
    let merges = all.clone().filter(|name| name.starts_with("put") && name.contains("-merge-")).count();
    let expiries = all.clone().filter(|name| name.starts_with("delete") && name.contains("/data/")).count();
    assert!(merges > 1 && expiries > 1, "{merges} merges, {expiries} data files deleted: upkeep is among the points");
    let deletes = all.filter(|name| name.starts_with("put") && name.contains("-deletes-")).count();
    println!("{deletes} delete files");
    assert_eq!(deletes > 3, upkeep.rewrite_bytes_max == 0, "{deletes} delete files");
    runs
}

#[test]
fn a_process_stopped_before_or_after_any_operation_leaves_a_lake_that_goes_on_without_loss_or_doubles() {
    stopped_anywhere(HASTY);
}

#[test]
fn a_process_that_deletes_by_position_may_be_stopped_before_or_after_any_operation_as_well() {
    stopped_anywhere(DELETING);
}

fn stopped_anywhere(upkeep: Upkeep) {
    let runs = on_a_runtime(two_generations(upkeep));
    let worlds: Vec<_> = runs.iter().flat_map(|run| &run.worlds).collect();
    let judged = judge(worlds.len(), async |number| {
        let (operation, state) = worlds[number];
        go_on(upkeep, state.clone()).await.map_err(|error| format!("world {number}, after {operation}: {error}"))
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
    let operations: usize = runs.iter().map(|run| run.operations.len()).sum();
    let points = 2 * operations;
    println!("{points} points around {operations} operations leave {} worlds, each gone on from", worlds.len());
    assert!(points > 1_000 && worlds.len() > 300, "{points} points, {} worlds", worlds.len());
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// The next process in a world, to the end.
async fn go_on(upkeep: Upkeep, state: State) -> Result<(), String> {
    let world = World::at(state);
    process_by(upkeep, &world, &Faults::none(), 2 * EPOCHS).await.map_err(|error| error.to_string())?;
    check(&world, 2 * EPOCHS).await;
    Ok(())
}

/// A generator of numbers, the same for the same seed.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Below `end`, by splitmix64.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

#[test]
fn a_process_stopped_anywhere_while_it_goes_on_from_a_stop_leaves_a_lake_that_goes_on() {
    const SEEDS: usize = 12;
    let runs = on_a_runtime(two_generations(DELETING));
    let judged = judge(SEEDS, async |seed| {
        let mut draw = Draw::new(seed as u64);
        let run = &runs[draw.below(2)];
        let (first, state) = &run.worlds[draw.below(run.worlds.len())];
        let again = Run::record(DELETING, &World::at(state.clone()), 2 * EPOCHS).await;
        for _ in 0..4 {
            let (second, state) = &again.worlds[draw.below(again.worlds.len())];
            let failed = |error| format!("seed {seed}, after {first}, then {second}: {error}");
            // the process that goes on may correct in the other way
            go_on([DELETING, HASTY][draw.below(2)], state.clone()).await.map_err(failed)?;
        }
        Ok(())
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Stops by the number of an operation, not by recording: what a dying process still does changes nothing any more.
#[test]
fn a_dead_process_changes_nothing_more_whatever_it_tries() {
    let judged = judge(24, async |number| {
        let (at, fault) = (number * 13, [Fault::Before, Fault::After][number % 2]);
        let (world, faults) = (World::default(), Faults::new(at, fault));
        let ended = process(&world, &faults, EPOCHS).await;
        let (done, last) = {
            let operations = faults.operations.lock().expect("no panic inside");
            (operations.len(), operations.last().cloned().unwrap_or_default())
        };
        // at its very end a process may have ended well: stopped after its last operation, or in what it does in the
        // background (folding the state), or where it tolerates a failure (garbage that cannot be deleted stays)
        let forgiven = fault == Fault::After || last.contains("state/") || last.starts_with("delete");
        if done > at && (done != at + 1 || (ended.is_ok() && !forgiven)) {
            return Err(format!("{fault:?} {at}: {done} operations, the last {last}, {ended:?}"));
        }
        go_on(HASTY, world.state()).await.map_err(|error| format!("{fault:?} {at}: {error}"))
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The answer of every operation that changes something is lost; that of every commit, in every possible way.
#[test]
fn a_lost_answer_is_looked_up_and_the_process_goes_on() {
    const EPOCHS: i64 = 2;
    let recorded = on_a_runtime(Run::record(HASTY, &World::default(), EPOCHS));
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut events = Vec::new();
    for operation in &recorded.operations {
        let class = class(operation);
        let nth = seen.entry(class.clone()).or_default();
        let faults: &[Fault] = match class.split(' ').next() {
            Some("create") => &[Fault::Unheard, Fault::Lost, Fault::Late(3), Fault::Echo],
            _ if class.starts_with("catalog create") || class.starts_with("catalog swap") => {
                &[Fault::Unheard, Fault::Lost, Fault::Late(3), Fault::Echo]
            }
            Some("put" | "delete") => &[Fault::Lost],
            _ => &[],
        };
        events.extend(faults.iter().map(|fault| Event { class: class.clone(), nth: *nth, fault: *fault }));
        *nth += 1;
    }
    let judged = judge(events.len(), async |number| {
        let (world, event) = (World::default(), &events[number]);
        let ended = process(&world, &Faults::planned("", vec![event.clone()], 0), EPOCHS).await;
        ended.map_err(|error| format!("{event}: {error}"))?;
        world.land_all();
        check(&world, EPOCHS).await;
        Ok(())
    });
    judged.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} lost answers", events.len());
    assert!(events.len() > 120, "{} points", events.len());
}
