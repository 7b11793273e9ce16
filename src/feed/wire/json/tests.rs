//! Promises of the wire format `json`: what is read, what is refused, and with which reason.

use super::*;
use crate::RecordType;
use crate::Reject;
use crate::wire::recorded::Envelope;
use crate::wire::{FieldSource, IGNORED, TextPattern};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{MICRO, SECOND};
use ticktide_market::{Instrument, Price, Quantity, Snapshot, TickKind};

const MAPPED: &[u8] = br#"{"symbol":"RELIANCE","exchange":"NSECM","ts":1767584700123456,"seq":17,"price":2445.35,"qty":10,"bid":2445.30,"ask":2445.40,"bid_qty":120,"ask_qty":80,"cum_volume":90211,"recv_ts":1767584700140000,"cond":"REG"}"#;

fn mapped() -> WireSpec {
    let pairs = [
        ("symbol", "symbol"),
        ("venue", "exchange"),
        ("time", "ts"),
        ("sequence", "seq"),
        ("price", "price"),
        ("quantity", "qty"),
    ];
    WireSpec { fields: pairs.map(|(ours, theirs)| (ours.into(), theirs.into())).into(), ..WireSpec::default() }
}

fn decode_with(spec: &WireSpec, payload: &[u8]) -> Result<(Tick, Instrument), Reject> {
    let mut instruments = InstrumentTable::default();
    let tick = Json::new(spec).expect("valid").decode(&RawRecord::new(payload, 3, Some(9)), &mut instruments)?;
    let instrument = instruments.take_fresh().remove(0);
    Ok((tick, instrument))
}

fn decode(payload: &str) -> Result<(Tick, Instrument), Reject> {
    decode_with(&WireSpec::default(), payload.as_bytes())
}

fn reason(payload: &str) -> &'static str {
    let reject = decode(payload).map(|(tick, _)| tick).expect_err(payload);
    assert_eq!(reject.payload, payload.as_bytes());
    reject.reason
}

#[test]
fn a_trade_of_the_interface_is_read_field_by_field() {
    let (tick, instrument) = decode(std::str::from_utf8(FORMAT.example).expect("ascii")).expect("a trade");
    assert_eq!(
        (instrument.venue(), instrument.instrument(), instrument.symbol()),
        ("COMEX", "GC201312", Some("GC201312"))
    );
    assert_eq!(tick.kind, TickKind::Trade);
    assert_eq!(tick.offset, 3);
    assert_eq!(tick.exchange_at, 1_381_204_800_374_000_000);
    assert_eq!(tick.received_at, Some(9));
    assert_eq!(tick.sequence, Some(113));
    assert_eq!(tick.id.as_deref(), Some("A1"));
    assert_eq!(tick.price, Some(Price(132_340_000_000)));
    assert_eq!(tick.quantity, Some(Quantity(100_000_000)));
    assert_eq!(tick.conditions.as_deref(), Some("20"));
    assert!(!tick.suspicious);
    assert_eq!(tick.snapshot, None);
}

#[test]
fn a_mapping_names_the_records_fields_and_the_rest_is_ignored() {
    let (tick, instrument) = decode_with(&mapped(), MAPPED).expect("a trade");
    assert_eq!((instrument.venue(), instrument.instrument()), ("NSECM", "RELIANCE"));
    assert_eq!(tick.exchange_at, 1_767_584_700_123_456_000);
    assert_eq!(tick.sequence, Some(17));
    assert_eq!(tick.price.expect("a trade has one").to_string(), "2445.35");
    assert_eq!(tick.quantity.expect("a trade has one").to_string(), "10");
    assert_eq!(tick.received_at, Some(9), "recv_ts is not mapped");
    assert_eq!(tick.conditions, None, "cond is not mapped");
}

#[test]
fn received_at_conditions_and_suspicious_are_read_where_they_are_mapped() {
    let mut spec = mapped();
    spec.fields.insert("received_at".into(), "recv_ts".into());
    spec.conditions = Some("cond".into());
    spec.suspicious = Some("bid_qty".into());
    let (tick, _) = decode_with(&spec, MAPPED).expect("a trade");
    assert_eq!(tick.received_at, Some(1_767_584_700_140_000_000));
    assert_eq!(tick.conditions.as_deref(), Some("REG"));
    assert!(tick.suspicious, "120 is other than 0");
    let plain = r#"{"symbol":"A","time":1767584700,"price":1,"quantity":1,"received_at":5,"suspicious":true}"#;
    let (tick, _) = decode(plain).expect("a trade");
    assert_eq!((tick.received_at, tick.suspicious), (Some(9), false), "nothing names them");
}

#[test]
fn suspicious_is_anything_but_zero_false_and_empty() {
    let spec = WireSpec { suspicious: Some("odd".into()), ..WireSpec::default() };
    let is = |value: &str| {
        let record = format!(r#"{{"symbol":"A","time":1767584700,"price":1,"quantity":1,"odd":{value}}}"#);
        decode_with(&spec, record.as_bytes()).expect("a trade").0.suspicious
    };
    for value in ["0", "0.0", "false", "null", "\"\"", "\"0\"", "\"false\"", "[]"] {
        assert!(!is(value), "{value}");
    }
    for value in ["1", "true", "\"Z\"", "-1", "[1]"] {
        assert!(is(value), "{value}");
    }
}

#[test]
fn one_of_the_records_fields_may_fill_several_of_ours() {
    let mut spec = mapped();
    spec.fields.insert("instrument".into(), "symbol".into());
    spec.fields.insert("id".into(), "seq".into());
    let (tick, instrument) = decode_with(&spec, MAPPED).expect("a trade");
    assert_eq!(instrument.instrument(), "RELIANCE");
    assert_eq!((tick.sequence, tick.id.as_deref()), (Some(17), Some("17")));
}

#[test]
fn an_own_instrument_id_is_the_key_and_the_symbol_is_its_name() {
    let (_, both) =
        decode(r#"{"instrument":2885,"symbol":"RELIANCE","time":1767584700,"price":1,"quantity":1}"#).expect("a trade");
    assert_eq!((both.venue(), both.instrument(), both.symbol()), ("", "2885", Some("RELIANCE")));
    let (_, token) = decode(r#"{"instrument":2885,"time":1767584700,"price":1,"quantity":1}"#).expect("a trade");
    assert_eq!((token.instrument(), token.symbol()), ("2885", None));
}

#[test]
fn a_time_is_read_in_seconds_to_nanoseconds_or_rfc_3339() {
    let at = |time: &str| {
        let record = format!(r#"{{"symbol":"A","time":{time},"price":1,"quantity":1}}"#);
        decode(&record).map(|(tick, _)| tick.exchange_at).map_err(|reject| reject.reason)
    };
    // date -u -d 2013-10-08T04:00:00Z +%s
    let expected = Ok(1_381_204_800_000_000_000);
    for time in [
        "1381204800",
        "\"1381204800\"",
        "1381204800000",
        "1381204800000000",
        "1381204800000000000",
        "\"2013-10-08T04:00:00Z\"",
        "\"2013-10-08T09:30:00+05:30\"",
        "\"2013-10-08T04:00:00.000000000Z\"",
    ] {
        assert_eq!(at(time), expected, "{time}");
    }
    assert_eq!(at("\"2013-10-08T04:00:00.000000001Z\""), Ok(1_381_204_800_000_000_001));
    assert_eq!(at("\"\""), Err("missing_field"));
    assert_eq!(at("631152000"), Ok(631_152_000 * SECOND), "1990");
    let of_no_market = ["-5", "0", "93000", "20160704", "\"20160704\"", "99999999999", "99999999999999999999"];
    let texts = ["\"1989-12-31T23:59:59Z\"", "\"1600-01-01T00:00:00Z\"", "\"2100-01-01T00:00:01Z\""];
    for bad in of_no_market.into_iter().chain(texts) {
        assert_eq!(at(bad), Err("bad_time"), "{bad}");
    }
    for bad in ["1.5", "1e9", "\"2013-10-08\"", "\"noon\"", "\"2013-13-08T04:00:00Z\""] {
        assert_eq!(at(bad), Err("bad_time"), "{bad}");
    }
    assert_eq!(at("true"), Err("bad_field"));
}

#[test]
fn a_time_of_no_market_is_told_with_what_it_looks_like_and_the_first_rules_take_it() {
    let record = |time: &str| format!(r#"{{"symbol":"A","time":{time},"price":1,"quantity":1}}"#);
    let reject = decode(&record("20160704")).map(|(tick, _)| tick).expect_err("a date");
    let detail = "time is 20160704: no time from 1990 to 2100; 20160704 looks like a date (YYYYMMDD)";
    assert_eq!((reject.reason, reject.detail.as_str()), ("bad_time", detail));
    let first = WireSpec { rules: Rules::First, ..WireSpec::default() };
    let by_first = |time: &str| {
        let read = decode_with(&first, record(time).as_bytes());
        read.map(|(tick, _)| tick.exchange_at).map_err(|reject| reject.reason)
    };
    assert_eq!(by_first("-5"), Ok(-5 * SECOND));
    assert_eq!(by_first("20160704"), Ok(20_160_704 * SECOND));
    for bad in ["99999999999", "99999999999999999999", "\"1600-01-01T00:00:00Z\""] {
        assert_eq!(by_first(bad), Err("out_of_range"), "{bad}");
    }
}

#[test]
fn a_last_trade_at_1970_is_none_yet_and_another_one_of_then_is_a_bad_time() {
    let traded = |at: &str| {
        let record = format!(r#"{{"type":"snapshot","symbol":"A","time":1767584700,"price":1,"trade_time":{at}}}"#);
        decode(&record).map(|(tick, _)| tick.snapshot.expect("one").trade_at).map_err(|reject| reject.reason)
    };
    assert_eq!(traded("\"1970-01-01T05:30:00+05:30\""), Ok(Some(0)));
    assert_eq!((traded("0"), traded("93000"), traded("null")), (Ok(Some(0)), Err("bad_time"), Ok(None)));
}

#[test]
fn prices_and_quantities_at_the_edges() {
    let trade = |price: &str, quantity: &str| {
        let record = format!(r#"{{"symbol":"A","time":1767584700,"price":{price},"quantity":{quantity}}}"#);
        decode(&record)
            .map(|(tick, _)| (tick.price.map(|price| price.0), tick.quantity.map(|quantity| quantity.0)))
            .map_err(|reject| reject.reason)
    };
    assert_eq!(trade("0.1", "0"), Ok((Some(10_000_000), Some(0))));
    assert_eq!(trade("-1.5", "1"), Ok((Some(-150_000_000), Some(100_000_000))), "the flow judges a negative price");
    assert_eq!(trade("0", "1"), Ok((Some(0), Some(100_000_000))));
    assert_eq!(trade("1", "-1"), Err("negative_quantity"));
    assert_eq!(trade("1e10", "1"), Err("out_of_range"));
    assert_eq!(trade("0.000000001", "1"), Err("too_precise"));
    assert_eq!(trade("\"1,5\"", "1"), Err("not_a_number"));
    assert_eq!(trade("\"\"", "1"), Err("missing_field"));
    assert_eq!(trade("null", "1"), Err("missing_field"));
    assert_eq!(trade("true", "1"), Err("bad_field"));
    assert_eq!(trade("1", "[1]"), Err("bad_field"));
}

#[test]
fn a_snapshot_carries_the_day_and_the_book() {
    let (tick, _) = decode(
        r#"{"type":"snapshot","venue":"NSE","symbol":"X","time":1767584700,"price":0,"cumulative_volume":"90211.5","bid":1.5,
            "bid_quantity":7,"ask":"1.6","ask_quantity":8,"day_open":1,"day_high":2,"day_low":0.5,"open_interest":12,
            "trade_time":"2026-01-05T03:44:59Z"}"#,
    )
    .expect("a snapshot");
    assert_eq!((tick.kind, tick.price, tick.quantity), (TickKind::Snapshot, Some(Price(0)), None));
    let snapshot = tick.snapshot.expect("a snapshot has one");
    assert_eq!(
        *snapshot,
        Snapshot {
            trade_at: Some(1_767_584_699 * SECOND),
            cumulative_volume: Some(9_021_150_000_000),
            bid: Some(Price(150_000_000)),
            bid_quantity: Some(Quantity(700_000_000)),
            ask: Some(Price(160_000_000)),
            ask_quantity: Some(Quantity(800_000_000)),
            day_open: Some(Price(100_000_000)),
            day_high: Some(Price(200_000_000)),
            day_low: Some(Price(50_000_000)),
            open_interest: Some(1_200_000_000),
            ..Snapshot::default()
        }
    );
    assert_eq!(reason(r#"{"type":"snapshot","symbol":"X","time":1767584700}"#), "missing_field");
    assert_eq!(
        reason(r#"{"type":"snapshot","symbol":"X","time":1767584700,"price":1,"cumulative_volume":-1}"#),
        "negative_quantity"
    );
}

/// A tick as in Kite's `full` mode; the values are invented.
#[test]
fn under_a_cumulative_volume_a_record_without_a_type_is_a_snapshot() {
    let record = br#"{"mode":"full","tradable":true,"instrument_token":408065,"last_price":1573.15,"last_quantity":1,
        "volume":1175986,"ohlc":{"open":1569.15,"high":1575,"low":1561.05,"close":1567.8},"oi":7,
        "last_trade_time":"2026-01-05T09:45:56+05:30","timestamp":"2026-01-05T09:45:57+05:30"}"#;
    let pairs = [
        ("instrument", "instrument_token"),
        ("price", "last_price"),
        ("quantity", "last_quantity"),
        ("time", "timestamp"),
        ("trade_time", "last_trade_time"),
        ("cumulative_volume", "volume"),
        ("open_interest", "oi"),
    ];
    let fields: BTreeMap<String, FieldSource> = pairs.map(|(ours, theirs)| (ours.into(), theirs.into())).into();
    let cumulative = WireSpec { fields, cumulative: true, ..WireSpec::default() };
    let (tick, _) = decode_with(&cumulative, record).expect("a snapshot");
    // date -u -d 2026-01-05T09:45:57+05:30 +%s
    assert_eq!((tick.kind, tick.exchange_at), (TickKind::Snapshot, 1_767_586_557 * SECOND));
    let snapshot = tick.snapshot.expect("a snapshot has one");
    assert_eq!(snapshot.cumulative_volume, Some(117_598_600_000_000));
    assert_eq!(snapshot.trade_at, Some(1_767_586_556 * SECOND));
    let named = br#"{"type":"trade","symbol":"A","time":1767584700,"price":1,"quantity":1}"#;
    let plain = WireSpec { cumulative: true, ..WireSpec::default() };
    assert_eq!(decode_with(&plain, named).expect("a trade").0.kind, TickKind::Trade, "its own word goes before");
    for spec in [WireSpec { rules: Rules::First, ..cumulative.clone() }, WireSpec { cumulative: false, ..cumulative }] {
        assert_eq!(decode_with(&spec, record).expect("a trade").0.kind, TickKind::Trade);
    }
}

#[test]
fn cancels_and_corrections_name_a_trade_by_id() {
    let (cancel, _) = decode(r#"{"type":"cancel","symbol":"X","id":"T1","time":1767584700}"#).expect("a cancel");
    assert_eq!((cancel.kind, cancel.price, cancel.quantity), (TickKind::Cancel, None, None));
    assert_eq!(cancel.id.as_deref(), Some("T1"));
    let (correct, _) =
        decode(r#"{"type":"correct","symbol":"X","id":7,"trading_date":"2026-01-05","price":2,"quantity":3}"#)
            .expect("a correction");
    assert_eq!(correct.kind, TickKind::Correct);
    assert_eq!(correct.id.as_deref(), Some("7"));
    // date -u -d 2026-01-05T12:00:00Z +%s
    assert_eq!((correct.exchange_at, correct.trading_date), (1_767_614_400 * SECOND, Some(20_458)));
    assert_eq!(cancel.trading_date, None);
    assert_eq!(reason(r#"{"type":"cancel","symbol":"X","time":1767584700}"#), "missing_field");
    assert_eq!(reason(r#"{"type":"cancel","symbol":"X","id":"T1"}"#), "missing_field");
    assert_eq!(reason(r#"{"type":"correct","symbol":"X","id":"T1","time":1767584700,"price":1}"#), "missing_field");
}

#[test]
fn what_is_no_record_is_a_reject_with_a_fixed_reason() {
    for (payload, expected) in [
        ("", "empty"),
        (" \r\n", "empty"),
        ("hello", "not_json"),
        ("{\"symbol\":\"A\"", "not_json"),
        (r#"{"symbol":"A","time":1767584700,"price":1,"quantity":1} trailing"#, "not_json"),
        (r#"{"symbol":"A","time":1767584700,"price":01,"quantity":1}"#, "not_json"),
        ("[1,2]", "not_an_object"),
        ("7", "not_an_object"),
        ("{}", "missing_field"),
        (r#"{"time":1767584700,"price":1,"quantity":1}"#, "missing_field"),
        (r#"{"symbol":"","time":1767584700,"price":1,"quantity":1}"#, "missing_field"),
        (r#"{"symbol":"A","price":1,"quantity":1}"#, "missing_field"),
        (r#"{"symbol":"A","time":1767584700,"quantity":1}"#, "missing_field"),
        (r#"{"type":"quote","symbol":"A","time":1767584700,"price":1,"quantity":1}"#, "unknown_type"),
        (r#"{"symbol":"A","time":1767584700,"price":1,"quantity":1,"sequence":-1}"#, "bad_sequence"),
        (r#"{"symbol":"A","time":1767584700,"price":1,"quantity":1,"venue":{}}"#, "bad_field"),
        (r#"{"symbol":"A\u0000B","time":1767584700,"price":1,"quantity":1}"#, "bad_field"),
        (r#"{"symbol":"\ud800","time":1767584700,"price":1,"quantity":1}"#, "bad_field"),
    ] {
        assert_eq!(reason(payload), expected, "{payload}");
    }
    let reject =
        decode_with(&WireSpec::default(), b"{\"symbol\":\"\xff\"}").map(|(tick, _)| tick).expect_err("not UTF-8");
    assert_eq!((reject.reason, reject.offset, reject.received_at), ("not_utf8", 3, Some(9)));
}

#[test]
fn a_field_named_twice_is_a_reject_whatever_it_says() {
    for (first, second) in [("1", "2"), ("1", "1"), ("null", "1"), ("1", "null")] {
        let record = format!(r#"{{"symbol":"A","time":1767584700,"price":{first},"price":{second},"quantity":1}}"#);
        assert_eq!(reason(&record), "duplicate_field");
    }
    decode(r#"{"symbol":"A","time":1767584700,"price":1,"quantity":1,"other":1,"other":2}"#)
        .expect("nothing reads `other`");
}

#[test]
fn escapes_in_keys_and_values_are_read_as_what_they_mean() {
    let (tick, instrument) =
        decode(r#"{"symb\u006fl":"M\u0026M \"A\"","time":1767584700,"pr\u0069ce":"\u0031","quantity":1,"id":"a\\b"}"#)
            .expect("a trade");
    assert_eq!(instrument.symbol(), Some("M&M \"A\""));
    assert_eq!(tick.price, Some(Price(100_000_000)));
    assert_eq!(tick.id.as_deref(), Some("a\\b"));
}

#[test]
fn the_reject_names_both_names_of_a_mapped_field() {
    let reject =
        decode_with(&mapped(), br#"{"symbol":"A","price":1,"qty":1}"#).map(|(tick, _)| tick).expect_err("no time");
    assert_eq!(reject.detail, "\"ts\" (time) is missing");
}

#[test]
fn a_mapping_of_a_field_that_we_do_not_have_is_refused_with_the_near_one() {
    let spec = WireSpec { fields: BTreeMap::from([("qantity".into(), "qty".into())]), ..WireSpec::default() };
    let Err(FeedError::Fix { message, hint }) = Json::new(&spec).map(|_| ()) else { panic!("no such field") };
    assert_eq!(message, "wire json has no field \"qantity\"");
    assert!(hint.contains("`quantity`"), "{hint}");
}

#[test]
fn conditions_are_interned_and_numbers_keep_their_digits() {
    let mut json = Json::new(&WireSpec::default()).expect("valid");
    let mut instruments = InstrumentTable::default();
    let mut conditions = |value: &str| {
        let record = format!(r#"{{"symbol":"A","time":1767584700,"price":1,"quantity":1,"conditions":{value}}}"#);
        json.decode(&RawRecord::of(record.as_bytes()), &mut instruments).expect("a trade").conditions
    };
    let (first, again) = (conditions("\"20\"").expect("some"), conditions("\"20\"").expect("some"));
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(conditions("32").as_deref(), Some("32"));
    assert_eq!(conditions("[1,2]").as_deref(), Some("[1,2]"));
    assert_eq!(conditions("\"\""), None);
}

proptest! {
    /// serde_json's own tree is the independent opinion about a record's values.
    #[test]
    fn any_trade_written_by_serde_json_is_read_back(
        symbol in "[^\u{0}]{1,12}", venue in "[^\u{0}]{0,8}", id in "[^\u{0}]{1,8}", sequence in any::<u64>(),
        price in -999_999_999_999_999_999i64..1_000_000_000_000_000_000, quantity in 0i64..1_000_000_000_000_000_000,
        micros in 631_152_000_000_000i64..4_102_444_800_000_000, extra in "[^\u{0}]{0,30}",
    ) {
        let record = serde_json::json!({
            "venue": venue, "symbol": symbol, "time": micros, "sequence": sequence, "id": id, "noise": {"a": [extra, null, {}]},
            "price": Price(price).to_string(), "quantity": Quantity(quantity).to_string(), "more": extra,
        });
        let (tick, instrument) = decode(&record.to_string()).expect("a trade");
        prop_assert_eq!(instrument.symbol(), Some(symbol.as_str()));
        prop_assert_eq!(instrument.venue(), venue.as_str());
        prop_assert_eq!(tick.id.as_deref(), Some(id.as_str()));
        prop_assert_eq!(tick.sequence, Some(sequence));
        prop_assert_eq!(tick.price, Some(Price(price)));
        prop_assert_eq!(tick.quantity, Some(Quantity(quantity)));
        prop_assert_eq!(tick.exchange_at, micros * MICRO);
    }
}

fn fields(pairs: &[(&str, FieldSource)]) -> BTreeMap<String, FieldSource> {
    pairs.iter().map(|(ours, theirs)| ((*ours).to_owned(), theirs.clone())).collect()
}

#[test]
fn a_feeds_words_are_mapped_and_what_it_does_not_map_is_no_trade() {
    let is = |word: &str, kind| (word.to_owned(), kind);
    let spec = WireSpec {
        fields: fields(&[
            ("symbol", "data.s".into()),
            ("time", "data.T".into()),
            ("price", "data.p".into()),
            ("quantity", "data.q".into()),
            ("type", "stream".into()),
        ]),
        types: vec![
            is("*@trade", RecordType::Tick(TickKind::Trade)),
            is("btc@beat", RecordType::Ignored),
            is("", RecordType::Ignored),
        ],
        ..WireSpec::default()
    };
    let frame = |stream: &str, time: &str| {
        format!(r#"{{"stream":"{stream}","data":{{"s":"BTC","T":{time},"p":"7.5","q":"2"}}}}"#)
    };
    let (tick, instrument) = decode_with(&spec, frame("btc@trade", "1700000000000").as_bytes()).expect("a trade");
    assert_eq!((instrument.symbol(), tick.price), (Some("BTC"), Some(Price(750_000_000))));
    let refused = |payload: &str| {
        let reject = decode_with(&spec, payload.as_bytes()).map(|(tick, _)| tick).expect_err(payload);
        (reject.reason, reject.detail, reject.payload.len())
    };
    assert_eq!(refused(&frame("btc@beat", "0")), (IGNORED, "btc@beat".to_owned(), 0));
    assert_eq!(refused(r#"{"result":null,"id":1}"#), (IGNORED, String::new(), 0));
    let (reason, detail, _) = refused(&frame("btc@depth", "0"));
    assert_eq!((reason, detail.as_str()), ("unknown_type", "type is btc@depth, which `source.types` does not map"));
    assert_eq!(refused(&frame("btc@trade", "0")).0, "bad_time");
}

#[test]
fn what_surrounds_a_record_constants_and_joined_keys_fill_fields() {
    let taken = |text: &str, pattern: &str| match FieldSource::from_text(text) {
        FieldSource::Around(around, _) => FieldSource::Around(around, TextPattern::new(pattern).ok()),
        other => panic!("{other:?}"),
    };
    let spec = WireSpec {
        fields: fields(&[
            ("instrument", "@key".into()),
            ("symbol", taken("@file", "{symbol}-trades-*")),
            ("venue", FieldSource::Constant("NSE".into())),
            ("id", taken("@topic", "ticks.{}")),
            ("conditions", "@header.flags".into()),
            ("sequence", "@partition".into()),
            ("time", FieldSource::Joined(vec!["day".into(), "clock".into()])),
        ]),
        zone: Some("Asia/Kolkata".into()),
        ..WireSpec::default()
    };
    let mut json = Json::new(&spec).expect("valid");
    assert!(json.wants_envelope());
    assert_eq!(json.headers(), ["flags"]);
    let envelope = Envelope {
        key: Some(b"26000"),
        topic: Some("ticks.T7"),
        partition: Some(3),
        file: Some("ACC-trades-2026"),
        headers: &[Some(b"odd")],
        ..Envelope::default()
    };
    let payload = br#"{"day":"2026-01-05","clock":"09:15:00.5","price":2,"quantity":1}"#;
    let record = RawRecord { envelope, ..RawRecord::new(payload, 3, None) };
    let mut instruments = InstrumentTable::default();
    let tick = json.decode(&record, &mut instruments).expect("a trade");
    let instrument = instruments.take_fresh().remove(0);
    assert_eq!((instrument.venue(), instrument.instrument(), instrument.symbol()), ("NSE", "26000", Some("ACC")));
    assert_eq!((tick.id.as_deref(), tick.conditions.as_deref(), tick.sequence), (Some("T7"), Some("odd"), Some(3)));
    assert_eq!(tick.exchange_at, 1_767_584_700_500_000_000);
    let strange = RawRecord { envelope: Envelope { file: Some("other"), ..envelope }, ..record };
    let reject = json.decode(&strange, &mut instruments).expect_err("no such file");
    assert_eq!(reject.reason, "bad_field");
    assert_eq!(reject.detail, "symbol: @file is other, which does not fit \"{symbol}-trades-*\"");
    let bare = json.decode(&RawRecord::of(payload), &mut instruments).expect_err("no key");
    assert_eq!((bare.reason, bare.detail.as_str()), ("missing_field", "\"@file\" (symbol) is missing"));
}
