//! A process stopped after every operation that changes the store or the catalog, before many others, and with every answer
//! lost: the next process goes on, and nothing is missing, doubled or out of place.

use super::doubles::{Fault, Faults, World};
use super::scenario::{check, process};

const STEPS: i64 = 4;

/// The operations of an undisturbed run, first the one that makes the lake, then one that goes on.
async fn operations() -> (Vec<String>, Vec<String>) {
    let world = World::default();
    let mut logs = Vec::new();
    for steps in [STEPS / 2, STEPS] {
        let faults = Faults::none();
        process(&world, &faults, steps).await.expect("an undisturbed run");
        logs.push(faults.operations.lock().expect("no panic inside").clone());
    }
    check(&world, STEPS).await;
    let second = logs.pop().expect("two runs");
    (logs.pop().expect("two runs"), second)
}

#[tokio::test]
async fn a_process_stopped_at_any_operation_leaves_a_lake_that_goes_on_without_loss_or_doubles() {
    let (first, second) = operations().await;
    let mut points = 0;
    for (generation, log) in [&first, &second].into_iter().enumerate() {
        for (at, operation) in log.iter().enumerate() {
            // before an operation is after the last one that changed something, so few of the former are enough
            let faults: &[Fault] = match (operation.ends_with('!'), at % 16) {
                (true, 0) => &[Fault::Before, Fault::After],
                (true, _) => &[Fault::After],
                (false, 0) => &[Fault::Before],
                (false, _) => &[],
            };
            for fault in faults {
                let world = World::default();
                if generation == 1 {
                    process(&world, &Faults::none(), STEPS / 2).await.expect("an undisturbed run");
                }
                let steps = if generation == 0 { STEPS / 2 } else { STEPS };
                // the operation's number may name another one in this run: ids differ, and with them the order of names
                let _ = process(&world, &Faults::new(at, *fault), steps).await;
                let resumed = process(&world, &Faults::none(), STEPS).await;
                resumed.unwrap_or_else(|error| panic!("{fault:?} {at} ({operation}): {error}"));
                check(&world, STEPS).await;
                points += 1;
            }
        }
    }
    println!("{points} points, {} and {} operations", first.len(), second.len());
    assert!(points > 150, "{points} points");
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_the_process_goes_on() {
    let (first, _) = operations().await;
    let mut points = 0;
    for (at, operation) in first.iter().enumerate().filter(|(_, operation)| operation.ends_with('!')) {
        let world = World::default();
        let faults = Faults::new(at, Fault::Lost);
        let run = process(&world, &faults, STEPS / 2).await;
        run.unwrap_or_else(|error| panic!("{at} ({operation}): {error}"));
        check(&world, STEPS / 2).await;
        points += 1;
    }
    println!("{points} lost answers");
    assert!(points > 50, "{points} points");
}

#[tokio::test]
async fn two_crashes_in_a_row_leave_a_lake_that_goes_on() {
    let (first, second) = operations().await;
    for (round, at) in (0..first.len()).step_by(23).enumerate() {
        for again in (round % 5..second.len()).step_by(61) {
            let world = World::default();
            let _ = process(&world, &Faults::new(at, Fault::After), STEPS).await;
            let _ = process(&world, &Faults::new(again, Fault::After), STEPS).await;
            process(&world, &Faults::none(), STEPS).await.unwrap_or_else(|error| panic!("{at}, {again}: {error}"));
            check(&world, STEPS).await;
        }
    }
}
