//! The scenario in a bucket: the real client against a server whose answers are lost, refused or never come again.

use super::doubles::{Faults, World};
use super::scenario::{anomalies, bars, check_on, process_on, ticks};
use crate::catalog::{Catalog, SqliteCatalog};
use crate::state::lineage;
use crate::store::s3::tests::Server;
use crate::store::s3::tests::stand_in::Fault;
use crate::testing::options;
use crate::upkeep::Upkeep;
use crate::{Lake, LakeReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use ticktide_base::error::{Classified, Kind};

const STEPS: i64 = 4;

async fn sqlite(file: &Path) -> Arc<dyn Catalog> {
    Arc::new(SqliteCatalog::open(file, "market", true).await.expect("a catalog"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_a_bucket_is_whole_although_every_eleventh_answer_is_spoilt() {
    let count = AtomicUsize::new(0);
    let spoil = move |_: &str, _: &str| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        match (number % 11, number / 11 % 5) {
            (10, 0) => Fault::Refuse(503, "SlowDown"),
            (10, 1) => Fault::Lose,
            (10, 2) => Fault::Refuse(500, "InternalError"),
            (10, 3) => Fault::Doubt(500, "InternalError"),
            (10, _) => Fault::Refuse(409, "OperationAborted"),
            _ => Fault::None,
        }
    };
    let server = Server::start(spoil).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let catalog = sqlite(&folder.path().join("catalog.db")).await;
    for steps in [STEPS, 2 * STEPS] {
        process_on(Arc::new(server.store()), catalog.clone(), steps).await.expect("runs");
    }
    check_on(Arc::new(server.store()), catalog, 2 * STEPS).await;
}

/// The step between the numbers of requests after which processes are stopped.
const STRIDE: usize = 37;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_requests_end_anywhere_leaves_a_lake_in_a_bucket_that_goes_on() {
    let mut stops = 0;
    for last in (5..).step_by(STRIDE) {
        let count = AtomicUsize::new(0);
        let stopping = move |_: &str, _: &str| match count.fetch_add(1, Ordering::Relaxed) {
            number if number < last => Fault::None,
            // it has landed, and its answer is lost
            number if number == last => Fault::Doubt(400, "Stopped"),
            _ => Fault::Refuse(400, "Stopped"),
        };
        let server = Server::start(stopping).await;
        let (_, catalog) = World::default().process(&Faults::none());
        let stopped = process_on(Arc::new(server.store()), catalog.clone(), STEPS).await.is_err();
        stops += usize::from(stopped);
        let server = server.revived().await;
        process_on(Arc::new(server.store()), catalog.clone(), STEPS).await.expect("the next process goes on");
        check_on(Arc::new(server.store()), catalog, STEPS).await;
        if !stopped {
            break;
        }
    }
    assert!(stops > 5, "processes were stopped at {stops} places");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_not_the_lakes_is_refused_before_a_table_is_touched() {
    let server = Server::start(|_, _| Fault::None).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let specs = || vec![bars(), ticks(), anomalies()];
    let options = options(folder.path());
    let store = Arc::new(server.store());
    let own = sqlite(&folder.path().join("own.db")).await;
    let open = |store, catalog| Lake::open_on(store, catalog, &options, specs(), Upkeep::default());
    drop(open(store.clone(), own.clone()).await.expect("a new lake"));

    let empty = sqlite(&folder.path().join("empty.db")).await;
    let error = open(store.clone(), empty.clone()).await.expect_err("an empty catalog");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("s3://bucket/lake/a"), "{error}");
    assert!(empty.tables().await.expect("tables").is_empty());
    let error = open(Arc::new(server.neighbour()), own.clone()).await.expect_err("another lake's catalog");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("s3://bucket/lake/a/"), "{error}");

    // a lake whose objects were copied elsewhere
    let moved = server.copied();
    let error = lineage::identity(&moved).await.expect_err("moved");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("was created at s3://bucket/lake/a"), "{error}");

    open(store.clone(), own.clone()).await.expect("its own catalog");
    let identity = lineage::identity(&*store).await.expect("whose it is");
    assert_eq!(LakeReader::on(store, own, identity).epoch_last().await.expect("read"), Some(1));
}
