//! What verifying rests on: a table's hash from its schema alone is that of its rows as they were written.

use super::*;
use crate::lake::schema::{iceberg_schema, spec_of};
use crate::lake::table::TableSpec;
use crate::tables;
use crate::time::{Binding, Interval, MINUTE, Place};

fn hashed(spec: &TableSpec) -> Vec<(String, bool)> {
    spec.columns.iter().map(|column| (column.name.clone(), column.hashed)).collect()
}

#[test]
fn a_schema_alone_tells_which_columns_are_hashed() {
    let outputs = ["ema_20".to_owned()];
    let all = [
        tables::bars(Interval(MINUTE)),
        tables::indicators(Interval(MINUTE), &outputs),
        tables::anomalies(),
        tables::ticks(),
        tables::quarantine(),
    ];
    for spec in all.iter().flat_map(|spec| [spec.clone(), spec.history_spec()]) {
        let read = spec_of(&spec.name, &iceberg_schema(&spec).expect("a schema")).expect("known types");
        assert_eq!(hashed(&read), hashed(&spec), "{}", spec.name);
    }
}

#[test]
fn a_source_without_a_recorded_partition_or_with_another_in_its_place_is_refused() {
    let place = |source_id: &str, offset_next| Place { source_id: source_id.into(), offset_next, event_at_max: None };
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
    check_source(&recorded, &[partition("a", "kafka:1")]).expect("nothing of b is in the range");
    for partitions in [vec![partition("b", "kafka:1")], vec![partition("a", "kafka:2")]] {
        let error = check_source(&recorded, &partitions).expect_err("another source");
        assert!(error.kind == Kind::Fix && error.message.contains("a/0"), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("verify --files")));
    }
}
