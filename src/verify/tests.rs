//! What verifying rests on: a table's hash from its schema alone is that of its rows as they were written.

use super::*;
use crate::feed::{Assignment, FeedError, Reader};
use crate::lake::rows::hash_of;
use crate::lake::schema::{creation, iceberg_schema, lacks, spec_of};
use crate::lake::table::{TableSpec, Value};
use crate::tables;
use crate::time::{Binding, Interval, MINUTE, Place};
use ::iceberg::spec::TableMetadataBuilder;

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

/// A source that is not read.
struct Looked(Vec<Partition>);

impl Source for Looked {
    fn partitions(&self) -> &[Partition] {
        &self.0
    }

    fn reader(&self, _: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        Err(FeedError::Unavailable("it is not read".into()))
    }
}

#[test]
fn a_source_without_a_recorded_partition_or_with_another_in_its_place_is_refused() {
    let place = |source_id: &str, offset_next| Place {
        source_id: source_id.into(),
        offset_next,
        event_at_max: None,
        header: None,
    };
    let places = [("a/0", place("kafka:1", 9)), ("b/0", place("kafka:1", 4))];
    let places = places.map(|(name, place)| (name.to_owned(), place)).into();
    let recorded = Recorded {
        bindings: vec![Binding { places, ..Binding::default() }].into(),
        starts: BTreeMap::from([("a/0".to_owned(), 3), ("b/0".to_owned(), 4)]),
    };
    let partition = |topic: &str, source_id: &str| Partition {
        topic: topic.into(),
        partition: 0,
        source_id: source_id.into(),
        offset_start: 0,
        offset_end: 9,
    };
    check_source(&recorded, &Looked(vec![partition("a", "kafka:1")])).expect("nothing of b is in the range");
    for partitions in [vec![partition("b", "kafka:1")], vec![partition("a", "kafka:2")]] {
        let error = check_source(&recorded, &Looked(partitions)).expect_err("another source");
        assert!(error.kind == Kind::Fix && error.message.contains("a/0"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("verify --files")));
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
    // the same of its history, where the sign stands between
    let history = |spec: &TableSpec, row: &[Value], sign| {
        let mut row = row.to_vec();
        row.insert(before.columns.len(), Value::Int(sign));
        hash_of(&spec.history_spec(), &row)
    };
    let wide = [&row[..], &[Value::Null, Value::Null]].concat();
    assert_eq!(history(&before, &row, 1), history(&after, &wide, 1));
    // and whether a row's hash is added or taken away is all that the sign says
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
    assert!(!lacks(&elsewhere, &before).expect("known types"), "the new column stands before `epoch`");
}
