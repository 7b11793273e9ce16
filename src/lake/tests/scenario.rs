//! A small market whose every step is known: what each step inserts, corrects and takes back, and what must be in the
//! lake after any number of them, kept by an oracle that knows nothing of files or epochs.
//!
//! Three tables (`bars_1m` with corrections, tombstones and a history, `anomalies` with tombstones, `ticks` append-only), two
//! workers, upkeep so hasty that files are merged and snapshots expire within a few steps. What a process does apart from its
//! epochs belongs in [`run`]: the crash points are found by recording it.

use crate::catalog::Catalog;
use crate::commit::announce::{epoch_tables_spec, epochs_spec};
use crate::commit::slot::{Slot, SlotKind};
use crate::error::LakeError;
use crate::read::LakeReader;
use crate::state::lineage;
use crate::state::{StateEntry, StateRows};
use crate::store::Store;
use crate::store::fileio::file_io;
use crate::table::index::LiveFiles;
use crate::table::rows::Rows;
use crate::table::spec::{Change, Column, ColumnType, Row, TableSpec, Value};
use crate::tests::doubles::{Faults, World};
use crate::upkeep::Upkeep;
use crate::upkeep::retention::Keep;
use crate::write::rows::TableRows;
use crate::{Lake, Resume, RowBuffer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Conservation, Epoch, Place};
use ticktide_base::time::MILLI;

const INSTRUMENTS: i64 = 3;
const WORKERS: usize = 2;

fn column(name: &str, column_type: ColumnType) -> Column {
    let hashed = name != "epoch";
    Column {
        name: name.into(),
        column_type,
        nullable: name == "ema",
        hashed,
        delta: name == "open_at",
        doc: String::new(),
    }
}

pub fn bars() -> TableSpec {
    use ColumnType::{Date, Decimal, Double, Long, Text, Time};
    let columns = vec![
        column("instrument", Text),
        column("trading_date", Date),
        column("open_at", Time),
        column("close", Decimal { precision: 18, scale: 8 }),
        column("ema", Double),
        column("epoch", Long),
    ];
    TableSpec {
        name: "bars_1m".into(),
        columns,
        key: vec![0, 2],
        partition: Some(1),
        time: Some(2),
        sort: vec![0, 2],
        history: true,
    }
}

pub fn ticks() -> TableSpec {
    let columns = vec![column("instrument", ColumnType::Text), column("sequence", ColumnType::Long)];
    TableSpec { name: "ticks".into(), columns, key: vec![], partition: None, time: None, sort: vec![1], history: false }
}

pub fn anomalies() -> TableSpec {
    let columns = vec![
        column("check", ColumnType::Text),
        column("started_at", ColumnType::Time),
        column("epoch", ColumnType::Long),
    ];
    TableSpec {
        name: "anomalies".into(),
        columns,
        key: vec![0, 1],
        partition: None,
        time: Some(1),
        sort: vec![1],
        history: false,
    }
}

/// The definition of any table of the lake.
pub fn spec_of(table: &str) -> TableSpec {
    let all = [bars(), bars().history_spec(), ticks(), anomalies(), epochs_spec(), epoch_tables_spec()];
    all.into_iter().find(|spec| spec.name == table).expect("a table of the lake")
}

/// Upkeep that has something to do in a few epochs. Every corrected file is written again.
pub const HASTY: Upkeep =
    Upkeep { snapshots: 2, snapshots_batch: 1, manifests: 2, files: 4, rewrite_bytes_max: u64::MAX, keep: HASTY_KEEP };
/// The same, but only files of which more than half is gone are written again; the others get position deletes.
pub const DELETING: Upkeep = Upkeep { rewrite_bytes_max: 0, ..HASTY };
/// Three epochs stay, and two that are far enough apart.
pub const HASTY_KEEP: Keep = Keep { all_ms: i64::MAX, all: 3, hour_ms: 7, hourly_ms: 14, days: 1 };

/// What the tables hold, without epochs; what changes a step makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oracle {
    pub bars: BTreeMap<(i64, i64), i64>,
    pub ticks: BTreeSet<(i64, i64)>,
    pub anomalies: BTreeSet<i64>,
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One bar's change: instrument, minute, close before, close after.
type BarChange = (i64, i64, Option<i64>, Option<i64>);

impl Oracle {
    /// The changes of step `step` and, applied to `self`, what is there afterwards.
    pub fn step(&mut self, step: i64) -> (Vec<BarChange>, Vec<i64>) {
        let mut changes: Vec<BarChange> =
            (0..INSTRUMENTS).map(|instrument| (instrument, step, None, Some(100 * step + instrument))).collect();
        let mut change = |instrument: i64, minute: i64, new: Option<i64>| {
            if let Some(old) = self.bars.get(&(instrument, minute)) {
                changes.push((instrument, minute, Some(*old), new.map(|by| old + by)));
            }
        };
        change(step % INSTRUMENTS, step - 1, Some(1_000));
        change((step + 1) % INSTRUMENTS, step - 1, Some(7));
        change(step % INSTRUMENTS, step - 2, if step % 2 == 0 { None } else { Some(5) });
        for (instrument, minute, _, new) in &changes {
            match new {
                Some(close) => self.bars.insert((*instrument, *minute), *close),
                None => self.bars.remove(&(*instrument, *minute)),
            };
        }
        self.ticks.extend((0..INSTRUMENTS).map(|instrument| (instrument, step)));
        // step 1 leaves the table alone
        let gone: Vec<i64> =
            if step != 1 && step % 2 == 1 { self.anomalies.iter().copied().collect() } else { Vec::new() };
        self.anomalies.retain(|at| !gone.contains(at));
        if step != 1 {
            self.anomalies.insert(step);
        }
        self.state.insert(b"steps".to_vec(), step.to_le_bytes().to_vec());
        self.state.insert(vec![b's', step as u8], vec![1]);
        self.state.remove(&vec![b's', (step - 1) as u8]);
        (changes, gone)
    }

    pub fn after(steps: i64) -> Oracle {
        let mut oracle = Oracle::default();
        (0..steps).for_each(|step| drop(oracle.step(step)));
        oracle
    }
}

fn name(instrument: i64) -> String {
    format!("I{instrument}")
}

fn minute_us(minute: i64) -> i64 {
    // the days change every second minute, so that corrections reach into two partitions
    (minute / 2) * 86_400_000_000 + minute * 60_000_000
}

fn bar(instrument: i64, minute: i64, close: i64, epoch: u64) -> Row {
    vec![
        Value::Text(name(instrument)),
        Value::Date((minute / 2) as i32),
        Value::Time(minute_us(minute)),
        Value::Decimal(i128::from(close)),
        if minute % 2 == 0 { Value::Null } else { Value::Double((close as f64).to_bits()) },
        Value::Long(epoch as i64),
    ]
}

/// Runs the steps that the lake lacks, up to `steps`.
pub async fn run(lake: &mut Lake, resume: &Resume, steps: i64) -> Result<(), LakeError> {
    run_of(WORKERS, lake, resume, steps).await
}

/// The same with this many workers.
async fn run_of(workers: usize, lake: &mut Lake, resume: &Resume, steps: i64) -> Result<(), LakeError> {
    let done = resume.binding.as_ref().map_or(0, |binding| binding.places["t/0"].offset_next);
    let mut oracle = Oracle::after(done);
    let state: BTreeMap<_, _> = resume.state.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    let expected: BTreeMap<_, _> =
        oracle.state.iter().map(|(key, value)| (Bytes::from(key.clone()), Some(Bytes::from(value.clone())))).collect();
    assert_eq!(state, expected, "the state is that of the {done} steps decided");
    for (epoch, step) in (resume.epoch_next..).zip(done..steps) {
        let before = oracle.clone();
        let (changes, gone) = oracle.step(step);
        let mut parts = Vec::new();
        for worker in 0..workers {
            let mine = |instrument: i64| instrument as usize % workers == worker;
            let tables = tables((worker, workers), step, epoch, changes.iter().filter(|change| mine(change.0)), &gone);
            let state = state_rows((worker, workers), &before, &oracle, step);
            // a writer may repeat what failed: the names are the same
            let part = match lake.writer().write_part(epoch, worker, tables, state.clone()).await {
                Err(LakeError::Store { .. }) => {
                    let again = self::tables(
                        (worker, workers),
                        step,
                        epoch,
                        changes.iter().filter(|change| mine(change.0)),
                        &gone,
                    );
                    lake.writer().write_part(epoch, worker, again, state).await?
                }
                other => other?,
            };
            parts.push(part);
        }
        let place =
            Place { source_id: "s".into(), offset_next: step + 1, event_at_max: Some(step), ..Place::default() };
        let places = BTreeMap::from([("t/0".to_owned(), place)]);
        let binding = Binding { epoch, generation: lake.generation(), places, ..Binding::default() };
        let counted = Conservation { advanced: 1, records: 1, accepted: 1, ..Conservation::default() };
        assert_eq!(lake.decide(binding, BTreeMap::from([("t/0".to_owned(), counted)]), parts).await?, epoch);
        match lake.apply().await {
            Err(LakeError::Store { .. } | LakeError::Catalog { .. }) => lake.apply().await?,
            other => other?,
        }
    }
    Ok(())
}

fn state_rows((worker, workers): (usize, usize), before: &Oracle, after: &Oracle, step: i64) -> StateRows {
    let entry = |key: &Vec<u8>, value: Option<&Vec<u8>>| StateEntry {
        operator: "test".into(),
        key: key.clone().into(),
        value: value.map(|value| value.clone().into()),
    };
    // every fourth step all of the state is written
    let full = step % 4 == 3;
    let mut entries: Vec<_> = after
        .state
        .iter()
        .filter(|(key, value)| full || before.state.get(*key) != Some(*value))
        .map(|(key, value)| entry(key, Some(value)))
        .collect();
    entries.extend(before.state.keys().filter(|key| !after.state.contains_key(*key)).map(|key| entry(key, None)));
    entries.retain(|entry| entry.key.len() % workers == worker);
    StateRows { entries, full }
}

fn tables<'a>(
    (worker, workers): (usize, usize),
    step: i64,
    epoch: u64,
    changes: impl Iterator<Item = &'a BarChange>,
    gone: &[i64],
) -> Vec<TableRows> {
    let spec = Arc::new(bars());
    let mut rows = TableRows { inserts: RowBuffer::new(spec.clone()), spec, changes: Vec::new() };
    for (instrument, minute, old, new) in changes {
        // the epoch of an old row is not known to the oracle, and not part of what is compared
        let old = old.map(|close| bar(*instrument, *minute, close, 0));
        let new = new.map(|close| bar(*instrument, *minute, close, epoch));
        match (old, new) {
            (None, Some(new)) if minute % 2 == 0 => rows.inserts.push_row(&new),
            (old, new) => rows.changes.push(Change { old, new }),
        }
    }
    let mut tables = vec![rows];
    let spec = Arc::new(ticks());
    let mut rows = TableRows { inserts: RowBuffer::new(spec.clone()), spec, changes: Vec::new() };
    for instrument in (0..INSTRUMENTS).filter(|instrument| *instrument as usize % workers == worker) {
        rows.inserts.push_row(&[Value::Text(name(instrument)), Value::Long(step)]);
    }
    tables.push(rows);
    if worker == 0 && step != 1 {
        let anomaly = |at: i64| vec![Value::Text("gap".into()), Value::Time(minute_us(at)), Value::Long(epoch as i64)];
        let spec = Arc::new(anomalies());
        let mut rows = TableRows { inserts: RowBuffer::new(spec.clone()), spec, changes: Vec::new() };
        rows.inserts.push_row(&anomaly(step));
        rows.changes = gone.iter().map(|at| Change { old: Some(anomaly(*at)), new: None }).collect();
        tables.push(rows);
    }
    tables
}

/// Opens the world's lake as a new process and runs it.
pub async fn process(world: &World, faults: &Arc<Faults>, steps: i64) -> Result<(), LakeError> {
    process_of(WORKERS, HASTY, world, faults, steps).await
}

/// The same with another upkeep.
pub async fn process_by(upkeep: Upkeep, world: &World, faults: &Arc<Faults>, steps: i64) -> Result<(), LakeError> {
    process_of(WORKERS, upkeep, world, faults, steps).await
}

/// The same with this many workers.
pub async fn process_of(
    workers: usize,
    upkeep: Upkeep,
    world: &World,
    faults: &Arc<Faults>,
    steps: i64,
) -> Result<(), LakeError> {
    let (store, catalog) = world.process(faults);
    process_in(workers, upkeep, store, catalog, steps).await
}

/// Opens a lake as a new process and runs it.
pub async fn process_on(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>, steps: i64) -> Result<(), LakeError> {
    process_in(WORKERS, HASTY, store, catalog, steps).await
}

async fn process_in(
    workers: usize,
    upkeep: Upkeep,
    store: Arc<dyn Store>,
    catalog: Arc<dyn Catalog>,
    steps: i64,
) -> Result<(), LakeError> {
    let specs = vec![bars(), ticks(), anomalies()];
    let options = crate::testing::options("unused".as_ref());
    let open = || Lake::open_on(store.clone(), catalog.clone(), &options, specs.clone(), upkeep);
    // an answer that is lost while a lake is opened ends the start; the supervisor starts again
    let (mut lake, resume) = match open().await {
        Err(LakeError::Store { .. }) => open().await?,
        other => other?,
    };
    run_of(workers, &mut lake, &resume, steps).await
}

/// Checks everything that must hold of a lake after `steps` steps: rows, single live files, slots, announced epochs.
pub async fn check(world: &World, steps: i64) {
    let (store, catalog) = world.process(&Faults::none());
    check_with(store, catalog, steps, |id| world.is_foreign(id)).await;
}

/// The same for any lake without another writer.
pub async fn check_on(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>, steps: i64) {
    check_with(store, catalog, steps, |_| false).await;
}

async fn check_with(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>, steps: i64, foreign: impl Fn(i64) -> bool) {
    let identity = lineage::identity(&*store).await.expect("a lake");
    let reader = LakeReader::on(store.clone(), catalog, identity);
    check_rows(&reader, steps).await;
    check_files(&reader, store.clone()).await;
    let slots = check_log(&reader, &*store, steps).await;
    check_announced(&reader, &slots).await;
    check_pins(&reader, slots.last().expect("a takeover"), foreign).await;
}

pub async fn check_rows(reader: &LakeReader, steps: i64) {
    let oracle = Oracle::after(steps);
    let rows = |scanned: Vec<Rows>| -> Vec<Row> {
        scanned.iter().flat_map(|rows| (0..rows.len()).map(|row| rows.row(row)).collect::<Vec<_>>()).collect()
    };
    let sorted = |mut rows: Vec<Row>, last: usize| {
        rows.iter_mut().for_each(|row| row.truncate(last));
        rows.sort();
        rows
    };
    let found = sorted(rows(reader.scan(&bars(), None).await.expect("bars")), 5);
    let expected =
        oracle.bars.iter().map(|((instrument, minute), close)| bar(*instrument, *minute, *close, 0)).collect();
    assert_eq!(found, sorted(expected, 5), "bars are those of the oracle, each key once");

    let found = sorted(rows(reader.scan(&ticks(), None).await.expect("ticks")), 2);
    let expected = oracle
        .ticks
        .iter()
        .map(|(instrument, step)| vec![Value::Text(name(*instrument)), Value::Long(*step)])
        .collect();
    assert_eq!(found, sorted(expected, 2), "ticks are those of the oracle");

    let found = sorted(rows(reader.scan(&anomalies(), None).await.expect("anomalies")), 2);
    let expected =
        oracle.anomalies.iter().map(|at| vec![Value::Text("gap".into()), Value::Time(minute_us(*at))]).collect();
    assert_eq!(found, sorted(expected, 2), "anomalies are those of the oracle");

    // the history sums up to the table
    let mut sum: BTreeMap<Row, i64> = BTreeMap::new();
    for row in rows(reader.scan(&bars().history_spec(), None).await.expect("history")) {
        let Value::Int(diff) = row[6] else { panic!("diff is an integer") };
        *sum.entry(row[..5].to_vec()).or_default() += i64::from(diff);
    }
    sum.retain(|_, count| *count != 0);
    assert!(sum.values().all(|count| *count == 1));
    let bars = oracle.bars.iter().map(|((instrument, minute), close)| bar(*instrument, *minute, *close, 0));
    assert_eq!(sum.into_keys().collect::<Vec<_>>(), sorted(bars.collect(), 5), "the history sums up to the table");
}

pub async fn check_files(reader: &LakeReader, store: Arc<dyn Store>) {
    for table in reader.tables().await.expect("tables") {
        let spec = [bars(), ticks(), anomalies()].into_iter().find(|spec| spec.name == table);
        let loaded = reader.load(&table).await.expect("loads");
        let io = file_io(store.clone());
        let manifests = crate::table::index::manifests(&io, loaded.metadata()).await.expect("manifests");
        let mut live = BTreeMap::new();
        for manifest in manifests {
            let manifest = manifest.load_manifest(&io).await.expect("a manifest");
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                *live.entry(entry.file_path().to_owned()).or_insert(0) += 1;
                assert!(store.size(&store.key(entry.file_path()).expect("inside")).await.expect("size").is_some());
            }
        }
        assert!(live.values().all(|count| *count == 1), "{table}: one live entry for each file");
        if let Some(spec) = spec {
            let at = loaded.metadata_location().expect("a location");
            let index = LiveFiles::build(&spec, &io, at, loaded.metadata()).await.expect("an index");
            assert_eq!(index.files.len() + index.delete_files() + index.dangling.len(), live.len());
            assert!(!index.foreign_deletes, "{table}: the writer of a delete file is known");
            assert!(
                index.files.values().all(|file| file.deletes.len() <= 1),
                "{table}: one delete file for each data file"
            );
        }
    }
}

/// Checks the log's own rules. Returns its slots.
async fn check_log(reader: &LakeReader, store: &dyn Store, steps: i64) -> Vec<Slot> {
    let names = store.list("log/").await.expect("the log");
    let mut slots: Vec<Slot> = Vec::new();
    for (epoch, name) in names.iter().enumerate() {
        let slot = reader.slot(epoch as u64).await.expect("a slot").expect("L4: slots are contiguous");
        assert!(name.ends_with(&format!("{epoch}.json")));
        if let Some(last) = slots.last() {
            assert!(slot.generation >= last.generation, "L5: no slot of a lower generation after a higher one");
            assert!(slot.cut_at > last.cut_at, "cuts increase");
        }
        let claims = slot.kind == SlotKind::Takeover;
        let owner = slots.last().map_or(0, |last| last.generation);
        assert_eq!(claims, slot.generation > owner, "L5: a generation begins with its takeover, and with nothing else");
        slots.push(slot);
    }
    let last = slots.last().expect("a takeover");
    let place = last.binding.as_ref().map_or(0, |binding| binding.places["t/0"].offset_next);
    assert_eq!(place, steps, "every step is decided once");
    for spec in [bars(), ticks(), anomalies()] {
        let mut hash = 0u128;
        let mut count = 0;
        for rows in reader.scan(&spec, None).await.expect("rows") {
            hash = hash.wrapping_add(rows.content_hash(&spec));
            count += rows.len() as u64;
        }
        let entry = &last.tables[&spec.name];
        assert_eq!((entry.rows, entry.content_hash), (count, hash), "{}: rows and hash of the log", spec.name);
    }
    slots
}

/// Checks that every slot is announced once, with its own figures and those of every table.
async fn check_announced(reader: &LakeReader, slots: &[Slot]) {
    let announced = reader.epochs().await.expect("epochs");
    let told: Vec<_> = announced.iter().map(|row| (row.epoch, row.cut_at, row.generation, row.records)).collect();
    let records = |slot: &Slot| slot.conservation.values().map(|place| place.records).sum::<i64>();
    let decided = slots.iter().map(|slot| (slot.epoch, slot.cut_at * MILLI, slot.generation, records(slot)));
    assert_eq!(told, decided.collect::<Vec<_>>(), "every slot is announced once, as it was decided");

    let mut told = Vec::new();
    for rows in reader.scan(&epoch_tables_spec(), None).await.expect("pins") {
        told.extend((0..rows.len()).map(|row| [0, 1, 2, 4, 5].map(|column| rows.cell(row, column).to_value())));
    }
    told.sort();
    let mut decided = Vec::new();
    for slot in slots {
        for (table, entry) in &slot.tables {
            let (added, removed) = entry.work.as_ref().map_or((0, 0), |work| (work.rows_added, work.rows_removed));
            let (added, removed) = (Value::Long(added as i64), Value::Long(removed as i64));
            let snapshot = entry.snapshot_id.map_or(Value::Null, Value::Long);
            decided.push([Value::Long(slot.epoch as i64), Value::Text(table.clone()), snapshot, added, removed]);
        }
    }
    decided.sort();
    assert_eq!(told, decided, "every table of every epoch is announced once, with its snapshot");
}

/// An epoch and the snapshots of its tables that have rows at it.
pub async fn pins(reader: &LakeReader, epoch: Option<Epoch>) -> Result<(Epoch, BTreeMap<String, i64>), LakeError> {
    let (epoch, tables) = reader.tables_at(epoch).await?;
    Ok((epoch, tables.into_iter().filter_map(|at| Some((at.name, at.snapshot_id?))).collect()))
}

/// Checks that the newest pins are the heads, or are followed only by other engines' commits.
async fn check_pins(reader: &LakeReader, last: &Slot, foreign: impl Fn(i64) -> bool) {
    let (epoch, pins) = pins(reader, None).await.expect("pins");
    assert_eq!(epoch, last.epoch);
    for (table, pin) in &pins {
        let loaded = reader.load(table).await.expect("loads");
        let metadata = loaded.metadata();
        let mut head = metadata.current_snapshot().expect("a snapshot");
        while foreign(head.snapshot_id())
            && let Some(parent) = head.parent_snapshot_id()
        {
            head = metadata.snapshot_by_id(parent).expect("the parent is kept");
        }
        assert_eq!(*pin, head.snapshot_id(), "{table}: the newest pin is the head");
    }
}

/// How many of two rivals were fenced; any other error fails the test.
pub fn fenced_of(outcomes: [&Result<(), LakeError>; 2], case: impl std::fmt::Display) -> usize {
    let is_fenced = |outcome: &&Result<(), LakeError>| match outcome {
        Ok(()) => false,
        Err(LakeError::Fenced { ours, theirs, .. }) => {
            assert!(theirs > ours, "{case}");
            true
        }
        Err(error) => panic!("{case}: {error}"),
    };
    outcomes.iter().filter(|outcome| is_fenced(outcome)).count()
}
