//! A process stopped before and after every operation on the store and the catalog: the next process goes on, and nothing
//! is missing, doubled or out of place.
//!
//! Why by recording: a process that is stopped leaves the world as its last operation left it, and reading changes nothing.
//! So one undisturbed run shows every world that a stop can leave: before the first operation, and after each one that
//! changes something. A stop before or after any operation leaves one of these, and each is gone on from.

use super::doubles::{Event, Fault, Faults, State, World, class};
use super::scenario::{check, process};
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
    async fn record(world: &World, steps: i64) -> Run {
        world.record();
        process(world, &Faults::none(), steps).await.expect("an undisturbed run");
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

    /// Stops before and after each operation.
    fn points(&self) -> usize {
        2 * self.operations.len()
    }
}

/// An undisturbed lake of two generations, recorded.
async fn two_generations() -> [Run; 2] {
    let world = World::default();
    let runs = [Run::record(&world, EPOCHS).await, Run::record(&world, 2 * EPOCHS).await];
    check(&world, 2 * EPOCHS).await;
    let all = runs.iter().flat_map(|run| &run.operations);
    let merges = all.clone().filter(|name| name.starts_with("put") && name.contains("-merge-")).count();
    let expiries = all.clone().filter(|name| name.starts_with("delete") && name.contains("/data/")).count();
    assert!(merges > 1 && expiries > 1, "{merges} merges, {expiries} data files deleted: upkeep is among the points");
    runs
}

#[tokio::test]
async fn a_process_stopped_before_or_after_any_operation_leaves_a_lake_that_goes_on_without_loss_or_doubles() {
    let runs = two_generations().await;
    for (generation, run) in runs.iter().enumerate() {
        for (number, (operation, state)) in run.worlds.iter().enumerate() {
            let world = World::at(state.clone());
            let resumed = process(&world, &Faults::none(), 2 * EPOCHS).await;
            resumed.unwrap_or_else(|error| panic!("generation {generation}, {number} ({operation}): {error}"));
            check(&world, 2 * EPOCHS).await;
        }
    }
    let (points, operations): (usize, usize) =
        runs.iter().fold((0, 0), |(points, all), run| (points + run.points(), all + run.operations.len()));
    let worlds: usize = runs.iter().map(|run| run.worlds.len()).sum();
    println!("{points} points around {operations} operations leave {worlds} worlds, each gone on from");
    assert!(points > 1_000 && worlds > 300, "{points} points, {worlds} worlds");
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

#[tokio::test]
async fn a_process_stopped_anywhere_while_it_goes_on_from_a_stop_leaves_a_lake_that_goes_on() {
    const STOPS: u64 = 12;
    let runs = two_generations().await;
    for seed in 0..STOPS {
        let mut draw = Draw::new(seed);
        let run = &runs[draw.below(2)];
        let (first, state) = &run.worlds[draw.below(run.worlds.len())];
        let again = Run::record(&World::at(state.clone()), 2 * EPOCHS).await;
        for _ in 0..4 {
            let (second, state) = &again.worlds[draw.below(again.worlds.len())];
            let world = World::at(state.clone());
            let resumed = process(&world, &Faults::none(), 2 * EPOCHS).await;
            resumed.unwrap_or_else(|error| panic!("seed {seed}, after {first}, then {second}: {error}"));
            check(&world, 2 * EPOCHS).await;
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_the_process_goes_on() {
    let recorded = Run::record(&World::default(), EPOCHS).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut points = 0;
    for operation in recorded.operations {
        let class = class(&operation);
        let nth = seen.entry(class.clone()).or_default();
        for fault in [Fault::LoseBefore, Fault::LoseAfter, Fault::Late(3), Fault::Echo] {
            let reads = ["get", "size", "list", "catalog location", "catalog tables"];
            if reads.iter().any(|verb| class.starts_with(verb)) {
                continue;
            }
            let world = World::default();
            let event = Event { class: class.clone(), nth: *nth, fault };
            let run = process(&world, &Faults::new("", vec![event.clone()], 0), EPOCHS).await;
            run.unwrap_or_else(|error| panic!("{event}: {error}"));
            world.land_all();
            check(&world, EPOCHS).await;
            points += 1;
        }
        *nth += 1;
    }
    println!("{points} lost answers");
    assert!(points > 400, "{points} points");
}
