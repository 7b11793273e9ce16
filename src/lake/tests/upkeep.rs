//! Maintenance: stopped anywhere, raced by a run, diagnosed by the doctor; whatever happens, rows stay what they are, and
//! what is left over is distinguishable from what is needed.

use super::doubles::{Fault, Faults, MemoryCatalog, MemoryStore, World};
use super::foreign;
use super::many::judge;
use super::scenario::{HASTY, HASTY_KEEP, anomalies, bars, check, fenced_of, pins, process, run, ticks};
use crate::catalog::{Catalog, Swapped};
use crate::commit::slot::TableWork;
use crate::maintain::doctor::Finding;
use crate::maintain::{Survey, garbage_of};
use crate::read::LakeReader;
use crate::state::lineage;
use crate::store::Store;
use crate::table::base::{Reference, ascending, references};
use crate::table::files::write_batch;
use crate::table::names::FileNames;
use crate::table::parquet::read_file;
use crate::testing::options;
use crate::upkeep::Upkeep;
use crate::upkeep::retention::Keep;
use crate::{Lake, LakeError};
use ::iceberg::MetadataLocation;
use ::iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata, TableMetadataBuilder};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// Merges and expires nothing by itself.
const IDLE: Upkeep = Upkeep {
    snapshots: 100,
    snapshots_batch: 1_000,
    manifests: 1_000,
    files: 1_000,
    rewrite_bytes_max: u64::MAX,
    keep: Keep { all: 1_000, ..HASTY_KEEP },
};

/// The same, with position deletes where half of a file stays.
const IDLE_DELETING: Upkeep = Upkeep { rewrite_bytes_max: 0, ..IDLE };

type Doubles = (Arc<MemoryStore>, Arc<MemoryCatalog>);

/// Runs the steps that the lake lacks, as a new process.
async fn steps(world: &World, upkeep: Upkeep, count: i64) {
    let (store, catalog) = world.process(&Faults::none());
    let specs = vec![bars(), ticks(), anomalies()];
    let opened = Lake::open_on(store, catalog, &options("unused".as_ref()), specs, upkeep).await;
    let (mut lake, resume) = opened.expect("opens");
    run(&mut lake, &resume, count).await.expect("runs");
}

async fn tend(world: &World, upkeep: Upkeep) -> Lake {
    let (store, catalog) = world.process(&Faults::none());
    Lake::tend_on(store, catalog, upkeep).await.expect("taken over")
}

async fn survey(world: &World) -> Survey {
    let (store, catalog) = world.process(&Faults::none());
    Survey::open_on(store, catalog).await.expect("a lake")
}

async fn reader(world: &World) -> LakeReader {
    let (store, catalog): Doubles = world.process(&Faults::none());
    let identity = lineage::identity(&*store).await.expect("a lake");
    LakeReader::on(store, catalog, identity)
}

async fn findings(world: &World) -> Vec<Finding> {
    survey(world).await.diagnose(false).await.expect("a diagnosis").findings
}

/// Compacts and expires as one command after the other would.
async fn tidy(world: &World, faults: &Arc<Faults>) -> Result<(), LakeError> {
    let (store, catalog) = world.process(faults);
    let mut lake = Lake::tend_on(store, catalog, HASTY).await?;
    lake.compact(|_, _| ()).await?;
    lake.expire().await.map(drop)
}

#[tokio::test]
async fn a_compacted_table_has_one_file_a_partition_the_same_rows_and_every_old_epoch() {
    let world = World::default();
    steps(&world, IDLE, 9).await;
    let mut lake = tend(&world, IDLE).await;
    let mut told = BTreeMap::new();
    let epochs = lake.compact(|table, done| {
        told.insert(table.to_owned(), done.clone());
    });
    let epochs = epochs.await.expect("compacts");
    assert_eq!(epochs, [11], "nine steps, two takeovers, one slot");
    assert_eq!((told["ticks"].files_after, told["ticks"].rows), (1, 27));
    check(&world, 9).await;
    let survey = survey(&world).await;
    assert!(survey.compactions().await.expect("looks").is_empty(), "there is nothing left to compact");
    assert_eq!(lake.compact(|_, _| ()).await.expect("compacts"), [] as [u64; 0]);
    let reader = reader(&world).await;
    for row in reader.epochs().await.expect("epochs") {
        let (_, pins) = pins(&reader, Some(row.epoch)).await.expect("every epoch stays");
        let Some(snapshot) = pins.get("ticks") else { continue };
        let rows = reader.scan(&ticks(), Some(*snapshot)).await.expect("rows");
        let count: usize = rows.iter().map(|rows| rows.len()).sum();
        assert_eq!(count as u64, 3 * row.epoch.min(9), "epoch {}", row.epoch);
    }
    lake.expire().await.expect("deletes a state's base that no slot came to name");
    assert_eq!(findings(&world).await, []);
    // a run goes on and corrects what was compacted
    process(&world, &Faults::none(), 12).await.expect("runs");
    check(&world, 12).await;
}

#[tokio::test]
async fn a_compaction_whose_files_are_no_longer_live_is_given_up_and_no_row_comes_back() {
    let world = World::default();
    steps(&world, IDLE, 5).await;
    let mut lake = tend(&world, IDLE).await;
    let survey = survey(&world).await;
    let before = survey.compactions().await.expect("looks")["ticks"].clone();
    let gone = "market/ticks/data/1-0-9-0.parquet".to_owned();
    let slot = lake.last.tables["ticks"].clone();
    assert!(slot.rows == 15 && before.files_before > 2);
    // files that hold every row again, instead of one that is not there
    let files = survey_files(&world).await;
    let work = TableWork { files, replaced: vec![gone], ..TableWork::default() };
    lake.maintain(BTreeMap::from([("ticks".to_owned(), work)]), None).await.expect("decided and applied");
    check(&world, 5).await;
}

/// How many delete files a table has.
async fn delete_files(world: &World, table: &str) -> usize {
    let survey = survey(world).await;
    let spec = crate::tests::scenario::spec_of(table);
    survey.live(table, &spec).await.expect("an index").delete_files()
}

#[tokio::test]
async fn a_compaction_that_does_not_know_of_every_deleted_row_is_given_up() {
    let world = prepared().await;
    let mut lake = tend(&world, IDLE).await;
    let store = world.process(&Faults::none()).0;
    let live = survey(&world).await.live("bars_1m", &bars()).await.expect("an index");
    let (location, file) = live.files.iter().find(|(_, file)| !file.deletes.is_empty()).expect("deleted rows");
    let key = |location: &str| store.key(location).expect("inside");
    // the whole file again, as a compaction reads it that started before a row was deleted
    let batch = read_file(&*store, &bars(), location).await.expect("read");
    assert!(batch.num_rows() as u64 > file.rows_live());
    let names = FileNames { folder: "market/bars_1m".into(), stem: format!("{}-compact-2-0", lake.epoch_next()) };
    let (files, _) = write_batch(&*store, Arc::new(bars()), names, batch).await.expect("written");
    let work = TableWork { files, replaced: vec![key(location)], ..TableWork::default() };
    lake.maintain(BTreeMap::from([("bars_1m".to_owned(), work)]), None).await.expect("decided and applied");
    check(&world, BEFORE).await;
}

#[tokio::test]
async fn deleted_rows_are_merged_away_by_a_compaction_and_every_epoch_before_it_stays_as_it_was() {
    let world = World::default();
    steps(&world, IDLE_DELETING, 9).await;
    check(&world, 9).await;
    assert!(delete_files(&world, "bars_1m").await > 2);
    let reader = reader(&world).await;
    let (bars, last) = (bars(), reader.epoch_last().await.expect("read").expect("an epoch"));
    let audited = async |end| reader.audit(0, end).await.expect("readable").expect("all is as recorded").epochs;
    assert_eq!(audited(last).await, last + 1);
    let mut lake = tend(&world, IDLE).await;
    lake.compact(|_, _| ()).await.expect("compacts");
    check(&world, 9).await;
    assert_eq!(delete_files(&world, "bars_1m").await, 0);
    assert!(survey(&world).await.compactions().await.expect("looks").is_empty(), "compacted once is compacted");
    let merged = reader.epoch_last().await.expect("read").expect("an epoch");
    assert!(merged > last && audited(merged).await == merged + 1, "the compaction's own epochs, too");
    let odd = |finding: &Finding| finding.wrong || finding.what == "dangling deletes";
    assert_eq!(findings(&world).await.into_iter().filter(odd).collect::<Vec<_>>(), []);

    // rows that come back, because a delete file names others
    let (store, _) = world.process(&Faults::none());
    let (mut wrong, mut tried) = (0, 0);
    for key in store.list("market/bars_1m/data/").await.expect("listed").iter().filter(|key| key.contains("-deletes-"))
    {
        let bytes = store.get(key).await.expect("read");
        store.delete(key).await.expect("deleted");
        let finding = reader.audit(0, last).await.expect("readable").expect_err("a delete file is gone");
        wrong += usize::from(finding.table == bars.name && finding.detail.contains(key.as_str()));
        tried += 1;
        store.put(key, bytes).await.expect("restored");
    }
    assert!(wrong == tried && tried > 2, "{wrong} of {tried} lost delete files are named");
}

/// What the slots say of the files of `ticks`.
async fn survey_files(world: &World) -> Vec<crate::table::meta::DataFileMeta> {
    let reader = reader(world).await;
    let mut files = Vec::new();
    for epoch in 0..6 {
        let slot = reader.slot(epoch).await.expect("read").expect("a slot");
        files.extend(
            slot.tables.get("ticks").and_then(|entry| entry.work.clone()).into_iter().flat_map(|work| work.files),
        );
    }
    files
}

#[tokio::test]
async fn epochs_that_leave_are_marked_and_those_that_stay_are_read_by_tag_and_by_number() {
    let world = World::default();
    steps(&world, IDLE, 12).await;
    let keep = Keep { all: 4, hour_ms: 1, hourly_ms: i64::MAX, days: 1, all_ms: i64::MAX };
    let mut lake = tend(&world, Upkeep { snapshots: 2, keep, ..IDLE }).await;
    // every epoch may be the last of its millisecond: let half of those before stay
    let cuts = lake.cuts_since_retained().await.expect("cuts").to_vec();
    let kept: Vec<_> = cuts[..9].iter().copied().filter(|(epoch, _)| epoch % 2 == 1).collect();
    let retention = crate::upkeep::retention::Retention { since: 9, kept };
    lake.maintain(BTreeMap::new(), Some(retention.clone())).await.expect("decided");
    let reader = reader(&world).await;
    let marked = |rows: Vec<crate::EpochRow>| -> Vec<u64> {
        rows.iter().filter(|row| row.expired).map(|row| row.epoch).collect()
    };
    assert_eq!(marked(reader.epochs().await.expect("epochs")), [0, 2, 4, 6, 8]);
    assert!(pins(&reader, Some(4)).await.is_ok(), "marked first, gone later");
    let work = ["ticks", "bars_1m", "bars_1m_history", "anomalies"].map(|name| (name.to_owned(), TableWork::default()));
    lake.maintain(BTreeMap::from(work), None).await.expect("decided");
    for row in reader.epochs().await.expect("epochs") {
        let pins = pins(&reader, Some(row.epoch)).await;
        // an epoch before the first row has no snapshot to lose
        assert_eq!(pins.is_ok(), retention.keeps(row.epoch) || row.epoch == 0, "epoch {}: {pins:?}", row.epoch);
        let Ok((_, pins)) = pins else { continue };
        let Some(snapshot) = pins.get("ticks") else { continue };
        let metadata = reader.load("ticks").await.expect("loads").metadata().clone();
        if row.epoch < 9 {
            let tagged = metadata.snapshot_for_ref(&format!("epoch-{}", row.epoch)).map(|tagged| tagged.snapshot_id());
            assert_eq!(tagged, Some(*snapshot), "epoch {} has a tag", row.epoch);
        }
        let rows = reader.scan(&ticks(), Some(*snapshot)).await.expect("its files are there");
        let count: usize = rows.iter().map(|rows| rows.len()).sum();
        assert_eq!(count as u64, 3 * row.epoch.min(12), "epoch {}", row.epoch);
    }
    check(&world, 12).await;
    assert_eq!(findings(&world).await.iter().filter(|finding| finding.wrong).count(), 0);
    // the tags of what leaves later leave, too
    let after = crate::upkeep::retention::Retention { since: 13, kept: vec![retention.kept[0]] };
    lake.maintain(BTreeMap::new(), Some(after.clone())).await.expect("decided");
    let work = ["ticks", "bars_1m", "bars_1m_history", "anomalies"].map(|name| (name.to_owned(), TableWork::default()));
    lake.maintain(BTreeMap::from(work), None).await.expect("decided");
    let metadata = reader.load("ticks").await.expect("loads").metadata().clone();
    let of = |references: &[Reference]| {
        let named = references.iter().map(|reference| (reference.name.clone(), reference.snapshot_id));
        named.collect::<std::collections::BTreeSet<_>>()
    };
    let followed = lake.tables["ticks"].base.references().expect("known");
    assert_eq!(of(&followed), of(&references(&metadata).expect("rendered")), "tags are followed from commit to commit");
    assert!(metadata.snapshot_for_ref("epoch-1").is_some() && metadata.snapshot_for_ref("epoch-3").is_none());
    assert!(pins(&reader, Some(1)).await.is_ok() && pins(&reader, Some(3)).await.is_err());
    check(&world, 12).await;
    let garbage = garbage_of(&survey(&world).await).await.expect("a survey");
    let left: Vec<_> = garbage.keys.iter().filter(|(place, _)| *place != "state").collect();
    assert!(left.is_empty() && garbage.unknown.is_empty(), "after tags have left: {left:?}");
}

/// Changes the metadata of a table as another engine may.
async fn changed(world: &World, table: &str, change: impl FnOnce(TableMetadataBuilder) -> TableMetadataBuilder) {
    let (store, catalog) = world.process(&Faults::none());
    let io = crate::store::fileio::file_io(store.clone());
    let location = catalog.location(table).await.expect("asked").expect("a table");
    let metadata = TableMetadata::read_from(&io, &location).await.expect("read");
    let next = change(metadata.into_builder(Some(location.clone()))).build().expect("sound").metadata;
    let file = MetadataLocation::from_str(&location).expect("ours").with_next_version().with_new_metadata(&next);
    next.write_to(&io, &file).await.expect("written");
    assert_eq!(catalog.swap(table, &location, &file.to_string()).await.expect("swapped"), Swapped::Done);
}

#[tokio::test]
async fn a_table_whose_branch_was_rolled_back_stops_the_run_and_goes_on_when_it_is_set_again() {
    for table in ["ticks", "epochs"] {
        let world = World::default();
        steps(&world, IDLE, 6).await;
        let (store, catalog) = world.process(&Faults::none());
        let metadata = reader(&world).await.load(table).await.expect("loads").metadata().clone();
        let (head, past) = {
            let all = ascending(&metadata);
            (all[all.len() - 1].snapshot_id(), all[all.len() - 3].snapshot_id())
        };
        let main = async |id: i64| {
            let branch = SnapshotRetention::branch(None, None, None);
            let moved = |builder: TableMetadataBuilder| {
                builder.set_ref(MAIN_BRANCH, SnapshotReference::new(id, branch)).expect("a snapshot of the table")
            };
            changed(&world, table, moved).await;
        };
        main(past).await;
        let specs = || vec![bars(), ticks(), anomalies()];
        let opened = Lake::open_on(store, catalog, &options("unused".as_ref()), specs(), IDLE).await;
        let stopped = match opened {
            Ok((mut lake, resume)) => run(&mut lake, &resume, 8).await.expect_err("rows are missing"),
            Err(error) => error,
        };
        assert!(stopped.to_string().contains("was rolled back to epoch"), "{table}: {stopped}");
        if table == "ticks" {
            let found = findings(&world).await;
            let found = found.iter().find(|finding| finding.what == "rolled back").expect("it is reported");
            assert!(found.wrong && found.message.contains(&head.to_string()), "{found:?}");
        }
        main(head).await;
        process(&world, &Faults::none(), 8).await.expect("runs");
        check(&world, 8).await;
    }
}

#[tokio::test]
async fn the_tag_of_a_retained_epoch_names_its_own_snapshot_whoever_commits_behind_it_and_whether_others_leave() {
    let world = World::default();
    steps(&world, IDLE, 6).await;
    foreign::optimize(&world, "ticks").await.expect("another engine's commit");
    let mut lake = tend(&world, IDLE).await;
    // every epoch before stays: nothing leaves
    let cuts = lake.cuts_since_retained().await.expect("cuts").to_vec();
    let (last, kept) = cuts.split_last().expect("epochs");
    let retention = crate::upkeep::retention::Retention { since: last.0, kept: kept.to_vec() };
    lake.maintain(BTreeMap::new(), Some(retention.clone())).await.expect("decided");
    let work = BTreeMap::from([("ticks".to_owned(), TableWork::default())]);
    lake.maintain(work, None).await.expect("decided");
    let reader = reader(&world).await;
    let metadata = reader.load("ticks").await.expect("loads").metadata().clone();
    let mut tagged = 0;
    for (epoch, _) in &retention.kept {
        let (_, pins) = pins(&reader, Some(*epoch)).await.expect("it stays");
        let tag = metadata.snapshot_for_ref(&format!("epoch-{epoch}")).map(|snapshot| snapshot.snapshot_id());
        assert_eq!(tag.as_ref(), pins.get("ticks"), "epoch {epoch}");
        tagged += usize::from(tag.is_some());
    }
    assert_eq!(tagged, 6, "one for each step");
    check(&world, 6).await;
}

#[tokio::test]
async fn tables_of_others_in_the_catalog_are_nobodys_business() {
    let world = World::default();
    steps(&world, IDLE, 4).await;
    let (store, catalog) = world.process(&Faults::none());
    let io = crate::store::fileio::file_io(store.clone());
    let metadata = reader(&world).await.load("anomalies").await.expect("loads").metadata().clone();
    let theirs = metadata.into_builder(None).remove_properties(&["ticktide.key".to_owned()]).expect("properties");
    let theirs = theirs.build().expect("sound").metadata;
    let inside = MetadataLocation::new_with_metadata(store.location("market/features"), &theirs);
    theirs.write_to(&io, &inside).await.expect("written");
    catalog.create("features", &inside.to_string()).await.expect("made");
    let names = reader(&world).await.tables().await.expect("listed");
    assert!(names.len() > 4 && !names.contains(&"features".to_owned()), "{names:?}");
    assert_eq!(findings(&world).await.iter().filter(|finding| finding.wrong).count(), 0);
    tidy(&world, &Faults::none()).await.expect("maintained");
    process(&world, &Faults::none(), 6).await.expect("runs");
    check(&world, 6).await;
}

#[tokio::test]
async fn maintenance_of_a_lake_whose_table_is_gone_from_the_catalog_is_refused() {
    let world = World::default();
    steps(&world, IDLE, 4).await;
    let (mut locations, whole) = (world.state().locations, world.state().locations);
    assert!(locations.remove("anomalies").is_some());
    world.point(locations);
    let refused = tidy(&world, &Faults::none()).await.expect_err("its rows would be forgotten");
    assert!(refused.to_string().contains("anomalies is gone from the catalog"), "{refused}");
    world.point(whole);
    tidy(&world, &Faults::none()).await.expect("maintained");
}

/// Checks that every object of the lake is needed.
async fn only_what_is_needed(world: &World, context: &str) {
    let garbage = garbage_of(&survey(world).await).await.expect("a survey");
    assert!(garbage.keys.is_empty(), "{context}: garbage {:?}", garbage.keys);
    assert!(garbage.unknown.is_empty(), "{context}: unknown {:?}", garbage.unknown);
}

const BEFORE: i64 = 5;
const AFTER: i64 = 7;

async fn prepared() -> World {
    let world = World::default();
    steps(&world, IDLE_DELETING, BEFORE).await;
    assert!(delete_files(&world, "bars_1m").await > 0);
    world
}

#[test]
fn maintenance_stopped_at_any_operation_leaves_a_lake_that_goes_on_and_can_be_cleaned() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (ready, operations) = runtime.block_on(async {
        let world = prepared().await;
        let ready = world.state();
        let faults = Faults::none();
        tidy(&world, &faults).await.expect("undisturbed");
        check(&world, BEFORE).await;
        only_what_is_needed(&world, "undisturbed").await;
        let operations = faults.operations.lock().expect("no panic inside").clone();
        (ready, operations)
    });
    let changes = operations.iter().enumerate().filter(|(_, operation)| operation.ends_with('!'));
    let points = changes.enumerate().flat_map(|(number, (at, operation))| {
        // a lost answer ends a command as a stop does, unless it is the log's or the catalog's
        let lost = number % 5 == 0 || operation.starts_with("create") || operation.starts_with("catalog");
        [Fault::After, Fault::Lost].into_iter().take(1 + usize::from(lost)).map(move |fault| (fault, at, operation))
    });
    let points: Vec<_> = points.collect();
    let judged = judge(points.len(), async |number| {
        let (fault, at, operation) = points[number];
        let context = format!("{fault:?} {at} ({operation})");
        let world = World::at(ready.clone());
        // the number may name another operation in this run: ids differ, and with them the order of names
        let _ = tidy(&world, &Faults::new(at, fault)).await;
        let mut wrong = findings(&world).await.into_iter().filter(|finding| finding.wrong);
        if let Some(finding) = wrong.find(|finding| finding.what != "unapplied epochs") {
            return Err(format!("{context}: {finding:?}"));
        }
        process(&world, &Faults::none(), AFTER).await.map_err(|error| format!("{context}: {error}"))?;
        check(&world, AFTER).await;
        tidy(&world, &Faults::none()).await.map_err(|error| format!("{context}: {error}"))?;
        check(&world, AFTER).await;
        only_what_is_needed(&world, &context).await;
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
    println!("{} points, {} operations", points.len(), operations.len());
    assert!(points.len() > 60, "{} points", points.len());
}

#[tokio::test]
async fn a_run_and_a_maintenance_that_race_leave_one_live_row_for_each_key() {
    let (mut fenced, mut both) = (0, 0);
    for seed in 0..40 {
        let world = prepared().await;
        let (left, right) = (Faults::yielding(seed), Faults::yielding(seed + 1_000));
        let (left, right) = tokio::join!(process(&world, &left, AFTER), tidy(&world, &right));
        both += usize::from(left.is_ok() && right.is_ok());
        fenced += fenced_of([&left, &right], format!("seed {seed}"));
        process(&world, &Faults::none(), AFTER).await.expect("a third generation");
        check(&world, AFTER).await;
        tidy(&world, &Faults::none()).await.expect("undisturbed");
        check(&world, AFTER).await;
        only_what_is_needed(&world, &format!("seed {seed}")).await;
    }
    println!("{fenced} fenced, {both} undisturbed");
    assert!(fenced > 10, "the race is one: {fenced} of 40");
}

#[tokio::test]
async fn the_doctor_counts_what_delete_files_leave_and_misses_one_that_is_gone() {
    let world = World::default();
    steps(&world, IDLE_DELETING, 8).await;
    let wrong =
        async || -> Vec<Finding> { findings(&world).await.into_iter().filter(|finding| finding.wrong).collect() };
    assert_eq!(wrong().await, [], "a sound lake");
    let (store, _) = world.process(&Faults::none());
    let survey = survey(&world).await;
    let live = survey.live("bars_1m", &bars()).await.expect("an index");
    let delete = live.files.values().flat_map(|file| &file.deletes).next().expect("deleted rows");
    let key = store.key(&delete.location).expect("inside");
    store.delete(&key).await.expect("deleted");
    let found = wrong().await;
    assert!(found.iter().any(|finding| finding.what == "missing files" && finding.message.contains(&key)), "{found:?}");
}

#[tokio::test]
async fn the_doctor_is_silent_on_a_sound_lake_and_names_what_was_done_to_it() {
    let world = World::default();
    steps(&world, HASTY, 8).await;
    assert_eq!(findings(&world).await, [], "a sound lake");

    let (store, catalog) = world.process(&Faults::none());
    let live = live_files(&world, "bars_1m").await;
    let of = |findings: Vec<Finding>, what: &str| -> Vec<String> {
        let found = findings.into_iter().filter(|finding| finding.what == what);
        found.map(|finding| format!("{} {}", finding.table.unwrap_or_default(), finding.message)).collect()
    };

    // a file that is gone
    let bytes = store.get(&live[0]).await.expect("read");
    store.delete(&live[0]).await.expect("deleted");
    let found = of(findings(&world).await, "missing files");
    assert!(found.len() == 1 && found[0].contains("bars_1m") && found[0].contains(&live[0]), "{found:?}");

    // another file in its place: other rows, or another number of them
    let other = store.get(&live[1]).await.expect("read");
    store.put(&live[0], other).await.expect("written");
    let found = findings(&world).await;
    assert!(found.iter().any(|finding| finding.wrong && finding.table.as_deref() == Some("bars_1m")), "{found:?}");
    store.put(&live[0], bytes).await.expect("restored");
    assert_eq!(findings(&world).await, []);

    // what fenced, stopped and foreign writers leave behind
    for (key, what) in [
        ("market/ticks/data/99-0-0-0.parquet", "garbage"),
        ("market/ticks/data/1-7-1-0.parquet", "garbage"),
        ("state/1-9-1.bin.zst", "garbage"),
        ("changes/1-1-x/bars_1m.json", "garbage"),
        ("market/ticks/data/00000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet", "unknown objects"),
    ] {
        store.put(key, Bytes::from_static(b"x")).await.expect("written");
        let found = findings(&world).await;
        assert!(found.len() == 1 && found[0].what == what && !found[0].wrong, "{key}: {found:?}");
        store.delete(key).await.expect("deleted");
    }

    // an epoch that is decided and not applied
    let faults = Faults::none();
    let log = world.state().objects.keys().filter(|key| key.starts_with("log/")).count();
    let (held, holding) = world.process(&faults);
    let options = options("unused".as_ref());
    let opened = Lake::open_on(held, holding, &options, vec![bars(), ticks(), anomalies()], HASTY);
    let (mut lake, _) = opened.await.expect("opens");
    let work = BTreeMap::from([("ticks".to_owned(), TableWork::default())]);
    let before = world.state().locations;
    lake.maintain(work, None).await.expect("decided");
    world.point(before);
    let found = of(findings(&world).await, "unapplied epochs");
    assert!(found.len() == 1 && found[0].starts_with("ticks"), "{found:?} after {log} slots");

    // a hole in the log
    let retained = survey(&world).await.retention.since;
    let slot = crate::commit::slot::slot_key(retained);
    store.delete(&slot).await.expect("deleted");
    let survey = Survey::open_on(store, catalog).await.expect("a lake");
    let found = survey.diagnose(false).await.expect("a diagnosis").findings;
    let hole = found.iter().find(|finding| finding.what == "log with a hole").expect("it is reported");
    assert!(hole.wrong && hole.message.contains(&slot) && hole.mend.contains("backup"), "{hole:?}");
    let refused = garbage_of(&survey).await.expect_err("what the slot names is not known");
    assert!(refused.to_string().contains(&format!("epoch {retained}")), "{refused}");
}

/// The names of a table's live files.
async fn live_files(world: &World, table: &str) -> Vec<String> {
    let (store, _) = world.process(&Faults::none());
    let reader = reader(world).await;
    let loaded = reader.load(table).await.expect("loads");
    let io = crate::store::fileio::file_io(store.clone());
    let mut files = Vec::new();
    for manifest in crate::table::index::manifests(&io, loaded.metadata()).await.expect("manifests") {
        let manifest = manifest.load_manifest(&io).await.expect("a manifest");
        let live = manifest.entries().iter().filter(|entry| entry.is_alive());
        files.extend(live.filter_map(|entry| store.key(entry.file_path())));
    }
    files.sort();
    files
}
