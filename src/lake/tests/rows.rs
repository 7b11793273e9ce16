//! Rows into files and back: values, hashes, bounds, and what is refused.

use super::scenario::bars;
use crate::store::{FolderStore, Store};
use crate::table::files::{HistoryTarget, write_both};
use crate::table::names::{FileNames, date};
use crate::table::parquet::read_file;
use crate::table::rows::{Rows, hash_of};
use crate::table::spec::{Cell, Change, Column, ColumnType, Row, TableSpec, Value};
use crate::testing::options;
use crate::{Lake, LakeError, LakeReader, RowBuffer, StateRows, TableRows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::Binding;
use ticktide_base::error::{Classified, Kind};

fn column(name: &str, column_type: ColumnType) -> Column {
    Column { name: name.into(), column_type, nullable: true, hashed: true, delta: false, doc: String::new() }
}

/// A table with a column of each type.
fn every_type() -> TableSpec {
    use ColumnType::{Binary, Bool, Date, Decimal, Double, Int, Long, Text, Time};
    let decimal = Decimal { precision: 38, scale: 8 };
    let types = [Text, Bool, Int, Long, Double, Date, Time, Binary, decimal];
    let columns = types.iter().enumerate().map(|(at, of)| column(&format!("c{at}"), *of)).collect();
    TableSpec {
        name: "all".into(),
        columns,
        key: vec![],
        partition: Some(5),
        time: None,
        sort: vec![0],
        history: false,
    }
}

fn row() -> impl Strategy<Value = Row> {
    let cells = (
        proptest::option::of("[a-z]{0,5}").prop_map(|text| text.map_or(Value::Null, Value::Text)),
        proptest::option::of(any::<bool>()).prop_map(|value| value.map_or(Value::Null, Value::Bool)),
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        proptest::option::of(any::<f64>()).prop_map(|value| value.map_or(Value::Null, |v| Value::Double(v.to_bits()))),
        (0..4i32).prop_map(Value::Date),
        (-1_000_000..1_000_000i64).prop_map(Value::Time),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Binary),
        (-(10i128.pow(37))..10i128.pow(37)).prop_map(Value::Decimal),
    );
    cells.prop_map(|(a, b, c, d, e, f, g, h, i)| vec![a, b, c, d, e, f, g, h, i])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_that_are_written_are_read_back_whole_and_in_their_partition(rows in proptest::collection::vec(row(), 0..700)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let spec = Arc::new(every_type());
        let mut buffer = RowBuffer::new(spec.clone());
        rows.iter().for_each(|row| buffer.push_row(row));
        let history = Arc::new(spec.history_spec());
        let (found, appeared, hash) = runtime.block_on(async {
            let store = FolderStore::open(folder.path()).expect("a store");
            let names = FileNames { folder: "market/all".into(), stem: "1-0-1".into() };
            let batch = buffer.finish().expect("sound rows");
            let copy_names = FileNames { folder: "market/all_history".into(), ..names.clone() };
            let copy = HistoryTarget { spec: history.clone(), names: copy_names };
            let written = write_both(&store, (spec.clone(), names), Some(copy), batch).await;
            let (files, copies, hash) = written.expect("written");
            let mut appeared = Vec::new();
            for (copy, file) in copies.iter().zip(&files) {
                let batch = read_file(&store, &history, &store.location(&copy.path)).await.expect("read");
                let read = Rows::new(&history, &batch).expect("of the history");
                assert_eq!((copy.rows, copy.partition), (file.rows, file.partition));
                assert_eq!(&copy.columns[..file.columns.len()], &file.columns[..]);
                appeared.push((read.content_hash(&history), read.len()));
                assert!((0..read.len()).all(|row| read.cell(row, file.columns.len()) == Cell::Int(1)));
            }
            let appeared = appeared.into_iter().fold((0u128, 0), |sum, of| (sum.0.wrapping_add(of.0), sum.1 + of.1));
            let mut found = Vec::new();
            for file in &files {
                let batch = read_file(&store, &spec, &store.location(&file.path)).await.expect("read");
                let read = Rows::new(&spec, &batch).expect("of the table");
                assert_eq!(read.len() as u64, file.rows);
                for row in 0..read.len() {
                    assert_eq!(read.cell(row, 5), Cell::Date(file.partition.expect("a day")));
                    if let (Some((Value::Long(least), Value::Long(greatest))), Cell::Long(value)) = (&file.columns[3].bounds, read.cell(row, 3)) {
                        assert!((*least..=*greatest).contains(&value));
                    }
                    found.push(read.row(row));
                }
            }
            (found, appeared, hash)
        });
        prop_assert_eq!(appeared, (hash, rows.len()), "the history has the same rows and the table's hash");
        let sum = rows.iter().fold(0u128, |sum, row| sum.wrapping_add(hash_of(&spec, row)));
        prop_assert_eq!(hash, sum, "the content hash is the sum over the rows, in whatever order");
        let (mut found, mut rows) = (found, rows);
        found.sort();
        rows.sort();
        prop_assert_eq!(found, rows);
    }
}

#[test]
fn the_hash_of_a_row_is_that_of_its_canonical_encoding() {
    use ColumnType::{Decimal, Long, Text};
    let mut epoch = column("epoch", Long);
    epoch.hashed = false;
    let decimal = Decimal { precision: 18, scale: 8 };
    let columns = vec![column("a", Text), column("b", Long), column("c", Text), column("d", decimal), epoch];
    let spec = TableSpec { columns, partition: None, ..every_type() };
    let row =
        |epoch| vec![Value::Text("A".into()), Value::Long(1), Value::Null, Value::Decimal(-150), Value::Long(epoch)];
    // sha256 of 01 01000000 41 · 01 0100000000000000 · 00 · 01 6aff…ff, by Python's hashlib
    assert_eq!(hash_of(&spec, &row(7)), 0x479b_cd4b_15f2_9136_ca15_8ff9_7989_d1c7);
    assert_eq!(hash_of(&spec, &row(7)), hash_of(&spec, &row(8)), "the epoch is left out");
}

#[test]
fn days_have_the_names_of_the_gregorian_calendar() {
    // by Python's datetime
    let known = [
        (-719_162, "0001-01-01"),
        (0, "1970-01-01"),
        (59, "1970-03-01"),
        (11_016, "2000-02-29"),
        (20_000, "2024-10-04"),
        (20_512, "2026-02-28"),
        (2_932_896, "9999-12-31"),
    ];
    for (days, name) in known {
        assert_eq!(date(days), name);
    }
}

#[test]
fn a_row_that_does_not_fit_its_table_is_a_bug_and_not_a_file() {
    let bars = Arc::new(bars());
    let cells = [Cell::Text("I"), Cell::Date(0), Cell::Time(0), Cell::Decimal(1), Cell::Null, Cell::Long(1)];
    let refused = |row: &[Cell<'_>]| {
        let mut buffer = RowBuffer::new(bars.clone());
        buffer.push(row);
        buffer.finish().err().map(|error| error.kind())
    };
    assert_eq!(refused(&cells), None);
    let mut wrong_type = cells;
    wrong_type[3] = Cell::Double(1.0);
    let mut null_key = cells;
    null_key[0] = Cell::Null;
    for row in [&wrong_type[..], &null_key[..], &cells[..5]] {
        assert_eq!(refused(row), Some(Kind::Bug));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_corrections_in_one_epoch_go_through_a_side_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bar = |minute: i64, close: i128, epoch: u64| -> Row {
        let (text, time) = (Value::Text("I".into()), Value::Time(minute * 60_000_000));
        vec![text, Value::Date(0), time, Value::Decimal(close), Value::Null, Value::Long(epoch as i64)]
    };
    let spec = Arc::new(bars());
    let (mut lake, resume) = Lake::open(options(folder.path()), vec![bars()]).await.expect("opens");
    let mut epoch = resume.epoch_next;
    for round in 0..2 {
        let mut rows = TableRows { inserts: RowBuffer::new(spec.clone()), spec: spec.clone(), changes: Vec::new() };
        for minute in 0..300 {
            if round == 0 {
                rows.inserts.push_row(&bar(minute, 1, epoch));
            } else {
                // every third bar vanishes
                let new = (minute % 3 != 0).then(|| bar(minute, 2, epoch));
                rows.changes.push(Change { old: Some(bar(minute, 1, epoch)), new });
            }
        }
        let part = lake.writer().write_part(epoch, 0, vec![rows], StateRows::default()).await.expect("written");
        let binding = Binding { epoch, generation: lake.generation(), ..Binding::default() };
        lake.decide(binding, BTreeMap::new(), vec![part]).await.expect("decided");
        epoch += 1;
    }
    // both epochs are applied by the next generation
    drop(lake);
    let (_, resume) = Lake::open(options(folder.path()), vec![bars()]).await.expect("opens again");
    assert_eq!(resume.epoch_next, epoch + 1);
    let reader = LakeReader::open(folder.path(), None).await.expect("a lake");
    let mut found: Vec<Row> = Vec::new();
    for rows in reader.scan(&spec, None).await.expect("a scan") {
        found.extend((0..rows.len()).map(|row| rows.row(row)));
    }
    found.sort();
    let mut expected: Vec<Row> =
        (0..300).filter(|minute| minute % 3 != 0).map(|minute| bar(minute, 2, epoch - 1)).collect();
    expected.sort();
    assert_eq!(found, expected);
    let store = FolderStore::open(folder.path()).expect("a store");
    let side = store.list("changes/").await.expect("a listing");
    assert_eq!(side.len(), 1, "{side:?}");
    // without the side file the epoch could not be applied: it would be an error, not a loss
    let slot = reader.slot(epoch - 1).await.expect("read").expect("a slot");
    let work = slot.tables["bars_1m"].work.as_ref().expect("touched");
    store.delete(&side[0]).await.expect("deleted");
    let missing = work.changes.load(&store).await.expect_err("it is gone");
    assert!(matches!(missing, LakeError::Missing { .. }));
}

#[test]
fn what_was_taken_back_does_not_count_in_the_hash_of_a_history() {
    let spec = TableSpec { columns: every_type().columns, partition: None, ..every_type() };
    let history = Arc::new(spec.history_spec());
    let rows = |diffs: &[(i64, i32)]| {
        let mut buffer = RowBuffer::new(history.clone());
        for (value, diff) in diffs {
            let mut row = vec![Cell::Null; spec.columns.len()];
            row[3] = Cell::Long(*value);
            row.push(Cell::Int(*diff));
            buffer.push(&row);
        }
        let batch = buffer.finish().expect("sound rows");
        Rows::new(&history, &batch).expect("of the history").content_hash(&history)
    };
    assert_eq!(rows(&[(1, 1), (2, 1), (1, -1), (3, 1)]), rows(&[(3, 1), (2, 1)]));
    assert_ne!(rows(&[(1, 1)]), rows(&[(1, -1)]));
}

#[tokio::test]
async fn the_history_of_a_table_that_got_columns_later_has_its_diff_behind_the_epoch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = FolderStore::open(folder.path()).expect("a store");
    let mut epoch = column("epoch", ColumnType::Long);
    epoch.hashed = false;
    let columns = vec![column("a", ColumnType::Long), epoch, column("later", ColumnType::Double)];
    let spec = Arc::new(TableSpec { columns, partition: None, sort: vec![0], ..every_type() });
    let history = Arc::new(spec.history_spec());
    assert_eq!(history.diff(), Some(2));
    let mut buffer = RowBuffer::new(spec.clone());
    buffer.push(&[Cell::Long(2), Cell::Long(7), Cell::Null]);
    buffer.push(&[Cell::Long(1), Cell::Long(7), Cell::Double(0.5)]);
    let names = |table: &str| FileNames { folder: format!("market/{table}"), stem: "7-0-1".into() };
    let copy = HistoryTarget { spec: history.clone(), names: names("all_history") };
    let batch = buffer.finish().expect("sound rows");
    let (_, copies, hash) = write_both(&store, (spec, names("all")), Some(copy), batch).await.expect("written");
    let batch = read_file(&store, &history, &store.location(&copies[0].path)).await.expect("read");
    let read = Rows::new(&history, &batch).expect("of the history");
    let rows: Vec<Row> = (0..read.len()).map(|row| read.row(row)).collect();
    let row = |a, later| vec![Value::Long(a), Value::Long(7), Value::Int(1), later];
    assert_eq!(rows, [row(1, Value::Double(0.5f64.to_bits())), row(2, Value::Null)]);
    assert_eq!(read.content_hash(&history), hash);
}
