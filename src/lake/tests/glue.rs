//! The scenario with its pointers in Glue: answers are lost, versions stale, processes stopped and raced.

use super::doubles::{Faults, World};
use super::scenario::{check_on, fenced_of, process_on};
use crate::catalog::Catalog;
use crate::catalog::glue_tests::Server;
use crate::catalog::glue_tests::stand_in::Fault;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const STEPS: i64 = 4;

fn store(world: &World) -> Arc<dyn Store> {
    world.process(&Faults::none()).0
}

async fn catalog(server: &Server, world: &World) -> Arc<dyn Catalog> {
    Arc::new(server.catalog(store(world)).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_glue_is_whole_although_every_seventh_answer_is_spoilt() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = Server::start(move |operation, _| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        match (number % 7, number / 7 % 5) {
            (6, 0) => Fault::Refuse(400, "ThrottlingException"),
            (6, 1) => Fault::Lose,
            (6, 2) => Fault::Refuse(500, "InternalServiceException"),
            (6, 3) => Fault::Doubt(500, "InternalServiceException"),
            (6, _) if operation == "UpdateTable" => Fault::Refuse(400, "ConcurrentModificationException"),
            (6, _) => Fault::Doubt(400, "OperationTimeoutException"),
            _ => Fault::None,
        }
    })
    .await;
    let world = World::default();
    for steps in [STEPS, 2 * STEPS] {
        process_on(store(&world), catalog(&server, &world).await, steps).await.expect("runs");
    }
    check_on(store(&world), catalog(&server, &world).await, 2 * STEPS).await;
    println!("{} requests", count.load(Ordering::Relaxed));
}

/// The step between the numbers of requests after which processes are stopped.
const STRIDE: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_stopped_at_any_request_to_glue_leaves_a_lake_that_goes_on() {
    let mut stops = 0;
    for last in (5..).step_by(STRIDE) {
        let (count, over) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let process = over.clone();
        let server = Server::start(move |_, _| {
            if process.load(Ordering::Relaxed) != 0 {
                return Fault::None;
            }
            match count.fetch_add(1, Ordering::Relaxed) {
                number if number < last => Fault::None,
                // it has landed, and its answer is lost
                number if number == last => Fault::Doubt(400, "Stopped"),
                _ => Fault::Refuse(400, "Stopped"),
            }
        })
        .await;
        let world = World::default();
        let stopped = process_on(store(&world), catalog(&server, &world).await, STEPS).await.is_err();
        over.store(1, Ordering::Relaxed);
        process_on(store(&world), catalog(&server, &world).await, STEPS).await.expect("the next process goes on");
        check_on(store(&world), catalog(&server, &world).await, STEPS).await;
        if !stopped {
            break;
        }
        stops += 1;
    }
    println!("{stops} stops");
    assert!(stops > 10, "{stops} stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_generations_that_race_in_glue_one_is_fenced_and_no_row_is_lost_or_doubled() {
    let mut fenced = 0;
    for _ in 0..10 {
        let server = Server::start(|_, _| Fault::None).await;
        let world = World::default();
        let (left, right) = (catalog(&server, &world).await, catalog(&server, &world).await);
        let (left, right) =
            tokio::join!(process_on(store(&world), left, STEPS), process_on(store(&world), right, STEPS));
        fenced += fenced_of([&left, &right], "two processes");
        assert!(left.is_ok() || right.is_ok(), "the higher generation ends well");
        process_on(store(&world), catalog(&server, &world).await, STEPS).await.expect("a third generation");
        check_on(store(&world), catalog(&server, &world).await, STEPS).await;
    }
    assert!(fenced > 0, "the race is one");
}
