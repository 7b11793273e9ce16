//! A real folder and a real SQLite catalog.

use super::scenario::{anomalies, bars, check_files, check_rows, pins, run, ticks};
use crate::catalog::SqliteCatalog;
use crate::store::fileio::file_io;
use crate::store::{FolderStore, Store};
use crate::table::index::manifests_of;
use crate::table::spec::{Change, Value};
use crate::testing::options;
use crate::upkeep::Upkeep;
use crate::upkeep::retention::Keep;
use crate::{Lake, LakeError, LakeReader, RowBuffer, StateRows, TableRows};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use ticktide_base::epoch::Binding;
use ticktide_base::error::{Classified, Kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_epochs_with_corrections_read_back_as_the_oracle_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // set by hand to read the lake with other readers
    let kept = std::env::var_os("TICKTIDE_TEST_LAKE").map(std::path::PathBuf::from);
    let warehouse = kept.as_deref().unwrap_or(folder.path());
    let specs = || vec![bars(), ticks(), anomalies()];
    for steps in [7, 20] {
        let (mut lake, resume) = Lake::open(options(warehouse), specs()).await.expect("opens");
        run(&mut lake, &resume, steps).await.expect("runs");
        let reader = LakeReader::open(warehouse, None).await.expect("a lake");
        check_rows(&reader, steps).await;
    }
    let reader = LakeReader::open(warehouse, None).await.expect("a lake");
    // twenty data epochs and two takeovers; each has its pins
    let epochs = reader.epochs().await.expect("epochs");
    assert_eq!(epochs.len(), 22);
    assert!(epochs.windows(2).all(|pair| pair[0].cut_at < pair[1].cut_at));
    for row in &epochs {
        let (epoch, pins) = pins(&reader, Some(row.epoch)).await.expect("all are kept");
        assert_eq!(epoch, row.epoch);
        if let Some(snapshot) = pins.get("ticks") {
            let count: usize =
                reader.scan(&ticks(), Some(*snapshot)).await.expect("a scan").iter().map(|rows| rows.len()).sum();
            let binding: Option<Binding> =
                row.binding.as_ref().map(|json| serde_json::from_str(json).expect("a binding"));
            if let Some(binding) = binding {
                assert_eq!(count as i64, 3 * binding.places["t/0"].offset_next, "the pin of epoch {epoch}");
            }
        }
    }
    let error = pins(&reader, Some(99)).await.expect_err("not there yet");
    assert_eq!(error.kind(), Kind::Fix);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_a_later_run_has_no_more_is_there_at_the_epochs_that_have_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let warehouse = folder.path();
    let (mut lake, resume) = Lake::open(options(warehouse), vec![bars(), ticks(), anomalies()]).await.expect("opens");
    run(&mut lake, &resume, 7).await.expect("runs");
    drop(lake);
    let (lake, _) = Lake::open(options(warehouse), vec![bars(), ticks()]).await.expect("opens");
    drop(lake);
    let reader = LakeReader::open(warehouse, None).await.expect("a lake");
    let has_anomalies = async |epoch| {
        let (_, tables) = reader.tables_at(epoch).await.expect("kept");
        tables.iter().any(|at| at.name == "anomalies" && at.snapshot_id.is_some())
    };
    assert!(!has_anomalies(None).await);
    assert!(has_anomalies(Some(7)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_many_epochs_commits_stay_small_and_old_pins_say_that_they_expired() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // a day and an hour are too long for what happens here
    let keep = Keep { all: 80, hour_ms: i64::MAX, days: 1, ..Keep::default() };
    let upkeep = Upkeep { keep, ..Upkeep::default() };
    let specs = vec![bars(), ticks(), anomalies()];
    let store = Arc::new(FolderStore::open(folder.path()).expect("a folder"));
    let catalog = SqliteCatalog::open(&folder.path().join("catalog.db"), "market", true).await.expect("a catalog");
    let opened = Lake::open_on(store, Arc::new(catalog), &options(folder.path()), specs, upkeep).await;
    let (mut lake, resume) = opened.expect("opens");
    run(&mut lake, &resume, 130).await.expect("runs");
    let reader = LakeReader::open(folder.path(), None).await.expect("a lake");
    check_rows(&reader, 130).await;
    let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).expect("the folder"));
    check_files(&reader, store.clone()).await;
    let io = file_io(store.clone());
    for table in reader.tables().await.expect("tables") {
        let loaded = reader.load(&table).await.expect("loads");
        let metadata = loaded.metadata();
        assert!(metadata.snapshots().len() <= 101, "{table}: {} snapshots", metadata.snapshots().len());
        // a kept snapshot reaches every file in the table's folder
        let mut reached = HashSet::new();
        let (mut live, mut lists) = (0, 0);
        for snapshot in metadata.snapshots() {
            reached.insert(snapshot.manifest_list().to_owned());
            let manifests = manifests_of(&io, metadata, snapshot).await.expect("a manifest list");
            let head = metadata.current_snapshot_id() == Some(snapshot.snapshot_id());
            lists = lists.max(manifests.len());
            for manifest in manifests {
                reached.insert(manifest.manifest_path.clone());
                let manifest = manifest.load_manifest(&io).await.expect("a manifest");
                for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                    reached.insert(entry.file_path().to_owned());
                    live += usize::from(head);
                }
            }
        }
        assert!(lists <= 52, "{table}: {lists} manifests");
        // the days of bars are too short here to have many files
        assert!(live <= 70 || table.starts_with("bars"), "{table}: {live} live files");
        let names = store.list(&format!("market/{table}/")).await.expect("a listing");
        let (versions, files): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.ends_with(".metadata.json"));
        assert!(versions.len() <= 21, "{table}: {} metadata files", versions.len());
        let lost: Vec<_> = files.iter().filter(|name| !reached.contains(&store.location(name))).collect();
        assert!(lost.is_empty(), "{table}: {} of {} files are garbage: {lost:?}", lost.len(), files.len());
    }
    let error = pins(&reader, Some(2)).await.expect_err("its snapshots are gone");
    assert!(error.to_string().contains("epoch 2 is no longer kept"), "{error}");
    assert!(pins(&reader, Some(120)).await.is_ok());
    // the first slot is a takeover, at which no table has a snapshot to lose
    for row in reader.epochs().await.expect("epochs").into_iter().skip(1) {
        assert_eq!(
            row.expired,
            pins(&reader, Some(row.epoch)).await.is_err(),
            "epoch {} says whether it is",
            row.epoch
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_of_a_row_that_is_not_live_stops_with_the_key_and_leaves_the_table_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let specs = vec![bars(), ticks(), anomalies()];
    let (mut lake, resume) = Lake::open(options(folder.path()), specs).await.expect("opens");
    run(&mut lake, &resume, 2).await.expect("runs");
    let row = vec![
        Value::Text("NOBODY".into()),
        Value::Date(0),
        Value::Time(0),
        Value::Decimal(1),
        Value::Null,
        Value::Long(0),
    ];
    let spec = Arc::new(bars());
    let rows =
        TableRows { inserts: RowBuffer::new(spec.clone()), spec, changes: vec![Change { old: Some(row), new: None }] };
    let epoch = lake.epoch_next();
    let part = lake.writer().write_part(epoch, 0, vec![rows], StateRows::default()).await.expect("written");
    let binding = Binding { epoch, generation: lake.generation(), ..Binding::default() };
    let refused = lake.decide(binding.clone(), BTreeMap::new(), vec![part.clone()]).await;
    assert!(matches!(refused, Err(LakeError::Unbalanced { .. })), "a binding that forgets a place: {refused:?}");
    let places = last_places(folder.path()).await;
    lake.decide(Binding { places, ..binding }, BTreeMap::new(), vec![part]).await.expect("decided");
    let error = lake.apply().await.expect_err("the row is not live");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("bars_1m") && error.to_string().contains("NOBODY"), "{error}");
    check_rows(&LakeReader::open(folder.path(), None).await.expect("a lake"), 2).await;
}

async fn last_places(folder: &std::path::Path) -> BTreeMap<String, ticktide_base::epoch::Place> {
    let reader = LakeReader::open(folder, None).await.expect("a lake");
    let epoch = reader.epoch_last().await.expect("read").expect("an epoch");
    let slot = reader.slot(epoch).await.expect("read").expect("a slot");
    slot.binding.map(|binding| binding.places).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_belongs_to_one_dataflow_in_one_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let specs = || vec![bars(), ticks(), anomalies()];
    let (mut lake, resume) = Lake::open(options(&first), specs()).await.expect("opens");
    run(&mut lake, &resume, 1).await.expect("it has records");
    drop(lake);
    let other = crate::LakeOptions { dataflow: "other".into(), ..options(&first) };
    assert_eq!(Lake::open(other, specs()).await.expect_err("another's").kind(), Kind::Fix);
    let settings_json = r#"{"grace":"9s"}"#.to_owned();
    let changed = crate::LakeOptions { dataflow_hash: "new".into(), settings_json, ..options(&first) };
    let error = Lake::open(changed, specs()).await.expect_err("changed");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("[grace]"), "{error}");
    std::fs::rename(&first, &second).expect("moved");
    let error = Lake::open(options(&second), specs()).await.expect_err("moved");
    assert!(error.kind() == Kind::Fix && error.hint().is_some(), "{error}");
    assert_eq!(LakeReader::open(&second, None).await.expect_err("moved").kind(), Kind::Fix);
    assert_eq!(LakeReader::open(&first, None).await.expect_err("nothing there").kind(), Kind::Fix);
}
