//! A lake and its catalog: kept, recognized after a move, not confused with another.

use super::scenario::{HASTY, anomalies, bars, check_on, check_rows, process_on, run, ticks};
use crate::catalog::{Catalog, SqliteCatalog};
use crate::state::lineage;
use crate::store::FolderStore;
use crate::testing::options;
use crate::{Lake, LakeError, LakeOptions, LakeReader};
use std::path::Path;
use std::sync::Arc;
use ticktide_base::error::{Classified, Kind};

const STEPS: i64 = 2;

async fn sqlite(file: &Path) -> Arc<SqliteCatalog> {
    Arc::new(SqliteCatalog::open(file, "market", true).await.expect("a catalog"))
}

#[tokio::test]
async fn a_lake_is_opened_with_its_own_catalog_wherever_that_has_moved_and_with_no_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (lake, own, other) = (folder.path().join("lake"), folder.path().join("own.db"), folder.path().join("other.db"));
    let store = Arc::new(FolderStore::open(&lake).expect("a store"));
    process_on(store.clone(), sqlite(&own).await, STEPS).await.expect("runs");
    let kept = lineage::identity(&*store).await.expect("a lake").catalog.expect("is kept");
    assert_eq!(kept.name, format!("sqlite:{}", own.canonicalize().expect("it is there").display()));

    // another catalog that leads to the same files, such as one that was filled by hand
    let filled = sqlite(&other).await;
    for (table, location) in sqlite(&own).await.tables().await.expect("a list") {
        filled.create(&table, &location).await.expect("created");
    }
    let refused = |error: LakeError| {
        let hint = error.hint().unwrap_or_default();
        assert!(error.kind() == Kind::Fix && hint.contains(&kept.name), "{error} {hint}");
    };
    refused(process_on(store.clone(), filled, STEPS + 1).await.expect_err("another catalog"));
    let named = format!("sqlite:{}", other.display());
    refused(LakeReader::open(&lake, Some(&named)).await.expect_err("another catalog"));

    let moved = folder.path().join("moved.db");
    std::fs::rename(&own, &moved).expect("moved");
    process_on(store.clone(), sqlite(&moved).await, 2 * STEPS).await.expect("its own, elsewhere");
    check_on(store, sqlite(&moved).await, 2 * STEPS).await;
}

#[tokio::test]
async fn tables_of_others_keep_a_lake_from_being_made_and_not_from_going_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("catalog.db");
    let store = Arc::new(FolderStore::open(&folder.path().join("lake")).expect("a store"));
    let elsewhere = "s3://elsewhere/trades/metadata/0.metadata.json";
    let foreign = sqlite(&folder.path().join("foreign.db")).await;
    foreign.create("trades", elsewhere).await.expect("created");
    let error = process_on(store.clone(), foreign, STEPS).await.expect_err("it is somebody's");
    assert!(error.kind() == Kind::Fix && error.to_string().contains(elsewhere), "{error}");

    process_on(store.clone(), sqlite(&file).await, STEPS).await.expect("the mistake has left nothing behind");
    sqlite(&file).await.create("trades", elsewhere).await.expect("created");
    process_on(store.clone(), sqlite(&file).await, 2 * STEPS).await.expect("goes on");
    let names = [bars(), ticks(), anomalies()].map(|spec| spec.name);
    let found = sqlite(&file).await.tables().await.expect("a list");
    assert!(names.iter().all(|name| found.contains_key(name)));
    let named = format!("sqlite:{}", file.display());
    let reader = LakeReader::open(folder.path().join("lake"), Some(&named)).await.expect("opens");
    check_rows(&reader, 2 * STEPS).await;
}

#[tokio::test]
async fn a_start_that_committed_nothing_binds_the_lake_to_no_dataflow() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lake = folder.path().join("lake");
    let store = Arc::new(FolderStore::open(&lake).expect("a store"));
    let file = folder.path().join("catalog.db");
    let open = async |hash: &str| {
        let options = LakeOptions { dataflow_hash: hash.into(), ..options(&lake) };
        Lake::open_on(store.clone(), sqlite(&file).await, &options, vec![bars(), ticks(), anomalies()], HASTY).await
    };
    open("a mistake").await.expect("a new lake");
    let (mut opened, resume) = open("what was meant").await.expect("nothing is committed yet");
    assert_eq!(lineage::identity(&*store).await.expect("a lake").hash, "what was meant");
    run(&mut opened, &resume, STEPS).await.expect("commits");
    let error = open("a mistake").await.map(drop).expect_err("it has records of another dataflow");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("differs"), "{error}");
}
