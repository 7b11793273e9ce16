//! Random settings of a source, random records: whatever both are, a record gives one tick, one reject, or is ignored.

use super::*;
use crate::wire::recorded::Envelope;
use crate::wire::{self, IGNORED};
use crate::{Ambiguous, RecordType};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Texts that settings and records share, so that they meet often.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "a", "b", "a.b", "a.b[0]", "$[1]", "$.a", "type", "time", "symbol", "price", "quantity", "trade", "beat", "[",
        "a..b", "a[x]", "é", "",
    ];
    prop_oneof![proptest::sample::select(WORDS).prop_map(str::to_owned), "[ -~]{0,6}"]
}

fn field_source() -> impl Strategy<Value = FieldSource> {
    let pattern = prop_oneof![Just("{x}-*".to_owned()), Just("*".to_owned()), "[a-z*{}]{0,6}"];
    prop_oneof![
        4 => word().prop_map(|text| FieldSource::from_text(&text)),
        1 => proptest::sample::select(&["@key", "@topic", "@partition", "@file", "@header.h"][..]).prop_map(FieldSource::from_text),
        1 => pattern.prop_map(|text| FieldSource::Around(Surrounding::Topic, TextPattern::new(&text).ok())),
        1 => word().prop_map(FieldSource::Constant),
        1 => proptest::collection::vec(word(), 1..4).prop_map(FieldSource::Joined),
    ]
}

fn settings() -> impl Strategy<Value = WireSpec> {
    let names = proptest::sample::select(&NAMES[..]).prop_map(str::to_owned);
    let fields = proptest::collection::btree_map(names, field_source(), 0..4);
    let types = proptest::collection::vec(
        (
            prop_oneof![word(), Just("*".to_owned()), Just("*e*".to_owned())],
            proptest::sample::select(&RecordType::WORDS[..]),
        ),
        0..4,
    );
    let zone = proptest::option::of(proptest::sample::select(&["UTC", "Europe/Berlin", "Asia/Kolkata", "nowhere"][..]));
    let form = proptest::option::of(proptest::sample::select(&["%Y-%m-%d %H:%M:%S", "%s", "%d/%m/%Y", "%"][..]));
    let marks = proptest::option::of(proptest::sample::select(&[b',', b'.', b' '][..]));
    let flags = any::<(bool, bool, Option<bool>, bool)>();
    let ambiguous = proptest::sample::select(&[Ambiguous::Refuse, Ambiguous::Earliest, Ambiguous::Latest][..]);
    let rules = proptest::sample::select(&[Rules::First, Rules::Second][..]);
    ((fields, types, zone, form), (marks.clone(), marks, flags, ambiguous, rules)).prop_map(
        |((fields, types, zone, form), (decimal, thousands, (csv, round, trim, cumulative), ambiguous, rules))| {
            WireSpec {
                format: if csv { "csv" } else { "json" }.to_owned(),
                fields,
                types: types.into_iter().map(|(word, (_, kind))| (word, kind)).collect(),
                zone: zone.map(str::to_owned),
                time_format: form.map(str::to_owned),
                decimal,
                thousands,
                round,
                trim,
                cumulative,
                ambiguous,
                rules,
                ..WireSpec::default()
            }
        },
    )
}

/// A text of a record: numbers, times and words, some of them odd.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,20}(\\.[0-9]{0,20})?(e-?[0-9]{1,3})?",
        "[0-9]{1,3}(,[0-9]{2,3}){0,3}(\\.[0-9]{1,3})?",
        "20[0-9]{2}-(0[1-9]|1[0-2])-[0-3][0-9][T ]0[0-9]:[0-5][0-9]:[0-5][0-9](Z|\\+05:30)?",
        Just("2024-10-27 02:30:00".to_owned()),
        word(),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let number = any::<f64>().prop_map(|number| serde_json::json!(number));
    let leaf = prop_oneof![
        value().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(Into::into),
        number,
        Just(serde_json::Value::Null)
    ];
    leaf.prop_recursive(3, 24, 5, |below| {
        prop_oneof![
            proptest::collection::vec(below.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(word(), below, 0..6)
                .prop_map(|entries: BTreeMap<_, _>| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::collection::vec(
        prop_oneof![4 => value(), 1 => value().prop_map(|text| format!(" \"{text}\" "))],
        0..10,
    );
    // a good record, with entries of its own beside or over it
    let good = || {
        (
            1_600_000_000_000i64..1_800_000_000_000,
            1..1_000_000u32,
            proptest::collection::btree_map(word(), json_value(), 0..4),
        )
    };
    let json = good().prop_map(|(time, price, more)| {
        let mut record = serde_json::json!({ "symbol": "S", "time": time, "price": price, "quantity": "1.5", "a": { "b": [time, price] } });
        record.as_object_mut().expect("an object").extend(more);
        record.to_string().into_bytes()
    });
    let csv =
        good().prop_map(|(time, price, _)| format!("trade,V,S,{time},{price},T{price},{price}.25,3,").into_bytes());
    prop_oneof![
        6 => json,
        3 => csv,
        4 => json_value().prop_map(|value| value.to_string().into_bytes()),
        3 => line.prop_map(|fields| fields.join(",").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

/// One outcome for a record, whatever the settings; the number of records that were ticks.
fn answers(spec: &WireSpec, records: &[Vec<u8>]) -> Result<usize, TestCaseError> {
    let Ok(mut decoder) = wire::build(spec) else { return Ok(0) };
    let mut instruments = InstrumentTable::default();
    let mut ticks = 0;
    for (offset, payload) in records.iter().enumerate() {
        let envelope = Envelope {
            key: Some(b"k"),
            topic: Some("a-b"),
            partition: Some(1),
            file: Some("f"),
            headers: &[Some(b"\xff")],
            ..Envelope::default()
        };
        let raw = RawRecord { envelope, ..RawRecord::new(payload, offset as i64, Some(5)) };
        match decoder.decode(&raw, &mut instruments) {
            Ok(tick) => {
                prop_assert_eq!(tick.offset, offset as i64);
                ticks += 1;
            }
            Err(reject) if reject.reason == IGNORED => {
                prop_assert!(!spec.types.is_empty(), "nothing is ignored that no dataflow ignores");
                prop_assert!(reject.payload.is_empty() && reject.offset == offset as i64);
            }
            Err(reject) => {
                prop_assert_eq!((reject.offset, &reject.payload), (offset as i64, payload));
                prop_assert!(!reject.reason.is_empty() && !reject.detail.is_empty());
            }
        }
        if let Some(own) = decoder.header(payload) {
            decoder = own;
        }
    }
    Ok(ticks)
}

proptest! {
    #[test]
    fn whatever_the_settings_and_the_record_there_is_one_outcome(
        spec in settings(),
        records in proptest::collection::vec(record(), 1..12),
    ) {
        answers(&spec, &records)?;
    }
}

/// `TICKTIDE_TEST_FUZZ=10m cargo test --release --lib -- --ignored damaged_settings`
#[test]
#[ignore = "a minute, or as long as TICKTIDE_TEST_FUZZ says"]
fn minutes_of_damaged_settings_and_records_have_one_outcome_each() {
    let given = std::env::var("TICKTIDE_TEST_FUZZ").unwrap_or_else(|_| "1m".to_owned());
    let seconds = match given.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u64>().map(|minutes| minutes * 60),
        None => given.trim_end_matches('s').parse(),
    };
    let seconds = seconds.expect("TICKTIDE_TEST_FUZZ is like 10m or 30s");
    let begun = std::time::Instant::now();
    let (cases, ticks) = (std::cell::Cell::new(0u64), std::cell::Cell::new(0u64));
    let strategy = (settings(), proptest::collection::vec(record(), 1..12));
    while begun.elapsed().as_secs() < seconds {
        let config = ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = proptest::test_runner::TestRunner::new(config).run(&strategy, |(spec, records)| {
            cases.set(cases.get() + 1);
            ticks.set(ticks.get() + answers(&spec, &records)? as u64);
            Ok(())
        });
        outcome.expect("one outcome a record");
    }
    println!("{} settings, {} ticks in {} s", cases.get(), ticks.get(), begun.elapsed().as_secs());
    assert!(ticks.get() > 0, "some records are ticks");
}
