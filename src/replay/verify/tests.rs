//! What verifying relies on: a table's hash from its schema alone is that of its rows as they were written.

use super::*;
use crate::rebuild::Collect;
use ::iceberg::spec::TableMetadataBuilder;
use ticktide_base::epoch::Binding;
use ticktide_base::time::{Interval, MINUTE};
use ticktide_engine::commit::WorkerPart;
use ticktide_engine::epochs::until::WITHOUT_SOURCE;
use ticktide_lake::table::rows::hash_of;
use ticktide_lake::table::schema::{creation, iceberg_schema, lacks, spec_of};
use ticktide_lake::table::spec::{TableSpec, Value};
use ticktide_tables as tables;

fn hashed(spec: &TableSpec) -> Vec<(String, bool)> {
    spec.columns.iter().map(|column| (column.name.clone(), column.hashed)).collect()
}

#[test]
fn the_metadata_of_a_table_tells_which_columns_are_hashed() {
    let outputs = ["ema_20".to_owned()];
    let all = [
        tables::bars(Interval(MINUTE)),
        tables::indicators(Interval(MINUTE), &outputs),
        tables::anomalies(),
        tables::ticks(),
        tables::quarantine(),
    ];
    for spec in all.iter().flat_map(|spec| [spec.clone(), spec.history_spec()]) {
        let created = creation(&spec, format!("file:///lake/{}", spec.name)).expect("a table");
        let metadata = TableMetadataBuilder::from_table_creation(created).and_then(TableMetadataBuilder::build);
        let read = spec_of(&spec.name, &metadata.expect("metadata").metadata).expect("known types");
        assert_eq!(hashed(&read), hashed(&spec), "{}", spec.name);
    }
}

#[test]
fn a_column_that_a_table_got_later_leaves_the_hashes_of_its_old_rows_as_they_were() {
    let outputs = ["ema_20", "rsi_14", "sma_5"].map(str::to_owned);
    let (before, after) = (
        tables::indicators(Interval(MINUTE), &outputs[..1]),
        tables::evolved_indicators(Interval(MINUTE), &outputs, 1),
    );
    let place = |spec: &TableSpec| spec.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    assert_eq!(place(&after)[..before.columns.len()], place(&before), "the old columns keep their places");
    let double = |value: f64| Value::Double(value.to_bits());
    let mut row: Vec<Value> = before.columns.iter().map(|_| Value::Null).collect();
    row[6] = double(1.5);
    let old = hash_of(&before, &row);
    let with = |rsi: Value, sma: Value| hash_of(&after, &[&row[..], &[rsi, sma]].concat());
    assert_eq!(with(Value::Null, Value::Null), old);
    let all = [old, with(double(1.0), Value::Null), with(Value::Null, double(1.0)), with(double(1.0), double(1.0))];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "a value counts, and so does its column");
    // the same for its history, where the sign is in between
    let history = |spec: &TableSpec, row: &[Value], sign| {
        let mut row = row.to_vec();
        row.insert(before.columns.len(), Value::Int(sign));
        hash_of(&spec.history_spec(), &row)
    };
    let wide = [&row[..], &[Value::Null, Value::Null]].concat();
    assert_eq!(history(&before, &row, 1), history(&after, &wide, 1));
    // and the sign only decides whether a row's hash is added or taken away
    let valued = [&row[..], &[Value::Null, double(1.0)]].concat();
    for wide in [&wide, &valued] {
        assert_eq!([1, -1].map(|sign| history(&after, wide, sign)), [hash_of(&after, wide); 2]);
    }
}

#[test]
fn only_optional_columns_behind_all_others_can_be_added_to_a_table() {
    let outputs = ["ema_20", "rsi_14"].map(str::to_owned);
    let schema = |spec: &TableSpec| iceberg_schema(spec).expect("a schema");
    let before = schema(&tables::indicators(Interval(MINUTE), &outputs[..1]));
    let evolved = tables::evolved_indicators(Interval(MINUTE), &outputs, 1);
    assert!(lacks(&evolved, &before).expect("known types"));
    assert!(
        lacks(&evolved.history_spec(), &schema(&tables::indicators(Interval(MINUTE), &outputs[..1]).history_spec()))
            .expect("known types")
    );
    assert!(!lacks(&evolved, &schema(&evolved)).expect("known types"), "it lacks nothing");
    let elsewhere = tables::indicators(Interval(MINUTE), &outputs);
    assert!(!lacks(&elsewhere, &before).expect("known types"), "the new column is before `epoch`");
}

/// A lake of a file's trades, and the epoch that has them.
fn small_lake(root: &std::path::Path) -> (Warehouse, Slot) {
    let line = |n: i64| format!("{{\"symbol\":\"A\",\"time\":{},\"price\":1,\"quantity\":1}}\n", 1_700_000_000 + n);
    let file = root.join("t.jsonl");
    std::fs::write(&file, (0..9).map(line).collect::<String>()).expect("a file");
    let settings = ["source.use=\"file\"".to_owned(), format!("source.paths=[{:?}]", file.display().to_string())];
    let mut dataflow = Dataflow::load("bars", &[], &settings).expect("a shipped dataflow");
    dataflow.source.until_end = true;
    let warehouse = Warehouse::Folder(root.join("lake"));
    ticktide_engine::run(RunOptions::new(dataflow, warehouse.clone(), 1)).expect("it ends with the file");
    let slot = blocking(async {
        let reader = LakeReader::open(&warehouse, None).await.expect("a lake");
        let last = reader.decided_last().await.expect("readable").expect("epochs");
        for epoch in 0..=last {
            let slot = reader.decided(epoch).await.expect("decided");
            if !slot.conservation.is_empty() {
                return slot;
            }
        }
        panic!("no epoch has records");
    });
    (warehouse, slot)
}

fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The result of a replay of the epoch, with this many of its records gone.
fn job(slot: &Slot, gone: i64) -> CommitJob {
    let mut counts = slot.conservation.clone();
    counts.values_mut().for_each(|counts| {
        counts.records -= gone;
        counts.accepted -= gone;
        counts.gaps += gone;
    });
    let (part, reasons, samples) = Default::default();
    CommitJob {
        epoch: slot.epoch,
        parts: vec![WorkerPart { part, counts, reasons, samples, binding: Binding::default() }],
    }
}

#[test]
fn what_a_source_has_lost_is_an_error_and_neither_a_difference_nor_a_rebuilt_row() {
    let root = tempfile::tempdir().expect("a folder");
    let (warehouse, slot) = small_lake(root.path());
    assert_eq!(slot.conservation.values().map(|counts| counts.records).sum::<i64>(), 9);
    blocking(async {
        let reader = || async { LakeReader::open(&warehouse, None).await.expect("a lake") };
        // with all records the rows are compared, and there are none here
        for (gone, table, differs) in
            [(0, None, Some(false)), (0, Some("bars_1s"), Some(true)), (2, Some("bars_1s"), None)]
        {
            let mut compare = Compare {
                reader: reader().await,
                kept: Arc::default(),
                tables: table.into_iter().map(str::to_owned).collect(),
                before: None,
                counted: true,
                outcome: Arc::default(),
            };
            match (compare.compare(job(&slot, gone)).await, differs) {
                (Ok(difference), Some(differs)) => assert_eq!(difference.is_some(), differs),
                (Err(error), None) => {
                    assert!(error.kind == Kind::Fix && error.message.contains("7 of the 9"), "{error}")
                }
                (other, _) => panic!("{other:?} with {gone} records gone"),
            }
        }
        let collect = Collect { reader: reader().await, kept: Arc::default(), into: Arc::default() };
        collect.collect(&job(&slot, 0)).await.expect("all of it");
        let error = collect.collect(&job(&slot, 2)).await.expect_err("two are gone");
        assert_eq!((error.kind, error.hint.as_deref()), (Kind::Fix, Some(WITHOUT_SOURCE)));
    });
}
