//! Promises of the wire format `csv`: columns by name or by place, quotes, headers, and what is refused.

use super::*;
use crate::Reject;
use crate::wire::record::NAMES;
use proptest::prelude::*;
use ticktide_market::{Instrument, Price, Quantity, TickKind};

fn spec(columns: &[&str], fields: &[(&str, &str)]) -> WireSpec {
    WireSpec {
        format: "csv".into(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        fields: fields.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).into())).collect(),
        ..WireSpec::default()
    }
}

fn trades() -> WireSpec {
    spec(&["symbol", "time", "price", "quantity"], &[])
}

fn decode(spec: &WireSpec, line: &str) -> Result<(Tick, Instrument), Reject> {
    let mut instruments = InstrumentTable::default();
    let tick = Csv::new(spec).expect("valid").decode(&RawRecord::new(line.as_bytes(), 3, Some(9)), &mut instruments)?;
    Ok((tick, instruments.take_fresh().remove(0)))
}

fn reason(spec: &WireSpec, line: &str) -> &'static str {
    let reject = decode(spec, line).map(|(tick, _)| tick).expect_err(line);
    assert_eq!(reject.payload, line.as_bytes());
    reject.reason
}

fn refusal(spec: &WireSpec) -> (String, String) {
    match Csv::new(spec).map(|_| ()) {
        Err(FeedError::Fix { message, hint }) => (message, hint),
        other => panic!("it is refused, not {other:?}"),
    }
}

#[test]
fn a_line_without_names_has_the_columns_of_the_example() {
    let (tick, instrument) =
        decode(&spec(&[], &[]), std::str::from_utf8(FORMAT.example).expect("ascii")).expect("a trade");
    assert_eq!((instrument.venue(), instrument.symbol()), ("COMEX", Some("GC201312")));
    assert_eq!((tick.kind, tick.offset, tick.received_at), (TickKind::Trade, 3, Some(9)));
    assert_eq!((tick.exchange_at, tick.sequence), (1_381_204_800_374_000_000, Some(113)));
    assert_eq!((tick.id.as_deref(), tick.conditions.as_deref()), (Some("A1"), Some("20")));
    assert_eq!((tick.price, tick.quantity), (Some(Price(132_340_000_000)), Some(Quantity(100_000_000))));
}

#[test]
fn columns_name_the_fields_and_fields_map_ours_to_them() {
    let spec = spec(
        &["sym", "junk", "ts", "px", "qty"],
        &[("symbol", "sym"), ("time", "ts"), ("price", "px"), ("quantity", "qty")],
    );
    let (tick, instrument) = decode(&spec, "RELIANCE,\"a,b\",1767584700123456,2445.35,10\r\n").expect("a trade");
    assert_eq!(instrument.symbol(), Some("RELIANCE"));
    assert_eq!((tick.exchange_at, tick.price), (1_767_584_700_123_456_000, Some(Price(244_535_000_000))));
    let semicolon = WireSpec { delimiter: Some(b';'), ..spec };
    assert_eq!(decode(&semicolon, "A;x,y;1700000000;2;3").expect("a trade").0.quantity, Some(Quantity(300_000_000)));
}

#[test]
fn an_empty_field_is_an_absent_one() {
    let spec = spec(&["type", "symbol", "time", "price", "quantity", "sequence", "id"], &[]);
    let (tick, _) = decode(&spec, ",A,1700000000,2,3,,").expect("a trade");
    assert_eq!((tick.kind, tick.sequence, tick.id), (TickKind::Trade, None, None));
    assert_eq!(decode(&spec, "cancel,A,1700000000,,,,T1").expect("a cancel").0.kind, TickKind::Cancel);
    assert_eq!(reason(&spec, ",A,1700000000,,3,,"), "missing_field");
    assert_eq!(reason(&spec, ",,1700000000,2,3,,"), "missing_field");
    assert_eq!(reason(&spec, "cancel,A,1700000000,,,,"), "missing_field");
}

#[test]
fn under_a_cumulative_volume_a_line_without_a_type_is_a_snapshot_also_behind_a_header() {
    let cumulative = WireSpec { cumulative: true, ..spec(&[], &[]) };
    let mut own =
        Csv::new(&cumulative).expect("valid").header(b"symbol,time,price,cumulative_volume").expect("a header");
    let tick = own.decode(&RawRecord::of(b"A,1700000000,2,30"), &mut InstrumentTable::default()).expect("a snapshot");
    assert_eq!((tick.kind, tick.snapshot.expect("one").cumulative_volume), (TickKind::Snapshot, Some(3_000_000_000)));
}

#[test]
fn quoted_fields_are_those_of_rfc_4180() {
    let symbol = |line: &str| decode(&trades(), line).map(|(_, instrument)| instrument.symbol().map(str::to_owned));
    assert_eq!(symbol("\"M&M, Ltd\",1700000000,2,3").expect("a trade").as_deref(), Some("M&M, Ltd"));
    assert_eq!(symbol("\"say \"\"A\"\"\",\"1700000000\",\"2\",\"3\"").expect("a trade").as_deref(), Some("say \"A\""));
    assert_eq!(symbol("\"two\nlines\",1700000000,2,3\n").expect("a trade").as_deref(), Some("two\nlines"));
    assert_eq!(symbol(" A ,1700000000,2,3").expect("a trade").as_deref(), Some("A"), "blanks do not belong to it");
    assert_eq!(symbol("\" A\" , 1700000000,2 , 3\t").expect("a trade").as_deref(), Some(" A"), "those in quotes do");
    assert_eq!(symbol("M \"x\" M,1700000000,2,\"3\"").expect("a trade").as_deref(), Some("M \"x\" M"));
    let kept = WireSpec { trim: Some(false), ..trades() };
    assert_eq!(decode(&kept, " A ,1700000000,2,3").expect("a trade").1.symbol(), Some(" A "));
}

#[test]
fn what_is_no_record_is_a_reject_with_a_fixed_reason() {
    for (line, expected) in [
        ("", "empty"),
        ("\r\n", "empty"),
        ("hello", "field_count"),
        ("A,1,2", "field_count"),
        ("A,1,2,3,4", "field_count"),
        ("A,1,2,\"3", "not_csv"),
        ("\"A\",1,2,3\nB,1,2,3", "not_csv"),
        ("A,1,2,3\nB,1,2,3", "not_csv"),
        ("A,1,2,3\rB", "not_csv"),
        ("\nA,1,2,3", "not_csv"),
        ("\r\n\r\n", "not_csv"),
        ("symbol,time,price,quantity", "bad_time"),
        ("A,20160704,2,3", "bad_time"),
        ("A,1700000000,2.x,3", "not_a_number"),
        ("A,1700000000,2,-3", "negative_quantity"),
        ("A,1700000000,1e10,3", "out_of_range"),
        ("A,1700000000,0.000000001,3", "too_precise"),
        ("A\0B,1700000000,2,3", "bad_field"),
        ("\"A\0B\",1700000000,2,3", "bad_field"),
    ] {
        assert_eq!(reason(&trades(), line), expected, "{line:?}");
    }
    let mut csv = Csv::new(&trades()).expect("valid");
    let reject = csv.decode(&RawRecord::of(b"\xff,1,2,3"), &mut InstrumentTable::default()).expect_err("not UTF-8");
    assert_eq!(reject.reason, "not_utf8");
    let reject = decode(&spec(&[], &[]), "A,1,2,3").map(|(tick, _)| tick).expect_err("four of nine");
    assert_eq!(reject.detail, "4 fields, not one for each of 9 columns; `source.columns` names them: A,1,2,3");
}

#[test]
fn a_first_line_that_names_time_and_instrument_is_a_header() {
    let mapped = spec(&[], &[("time", "ts"), ("symbol", "sym")]);
    let csv = Csv::new(&mapped).expect("valid");
    let mut own = csv.header(b"qty,\"sym\",price,ts,quantity\r\n").expect("a header");
    let mut instruments = InstrumentTable::default();
    let tick = own.decode(&RawRecord::of(b"9,A,2,1700000000,3"), &mut instruments).expect("a trade");
    assert_eq!((tick.price, tick.quantity), (Some(Price(200_000_000)), Some(Quantity(300_000_000))));
    for line in ["", "A,1,2,3", "time,symbol,price,quantity", "ts,price", "\"sym,ts", "\u{fffd}"] {
        assert!(csv.header(line.as_bytes()).is_none(), "{line:?} names them not as the dataflow does");
    }
    let mut twice = csv.header(b"sym,ts,price,price,quantity").expect("a header");
    let reject = twice.decode(&RawRecord::of(b"A,1,2,2,3"), &mut instruments).expect_err("which price?");
    assert_eq!((reject.reason, reject.detail.as_str()), ("duplicate_field", "\"price\" appears twice"));
}

#[test]
fn columns_that_cannot_make_a_tick_are_refused_with_a_way_out() {
    let (message, hint) = refusal(&spec(&["symbol", "ts", "price", "quantity"], &[]));
    assert_eq!(message, "`columns` has no \"time\"");
    assert!(hint.contains("fields = { time = \"ts\" }"), "{hint}");
    assert_eq!(refusal(&spec(&["time", "price"], &[])).0, "`columns` has no \"symbol\"");
    assert_eq!(refusal(&spec(&["symbol", "time", "time"], &[])).0, "`columns` has \"time\" twice");
    let (message, hint) = refusal(&spec(&["symbol", "time", "price", "amount"], &[("quantity", "amuont")]));
    assert_eq!(message, "`columns` has no \"amuont\", which `fields` names");
    assert_eq!(hint, "did you mean `quantity = \"amount\"`?");
    assert_eq!(refusal(&spec(&[], &[("prize", "p")])).0, "wire csv has no field \"prize\"");
    Csv::new(&spec(&["instrument", "time", "x", "x"], &[])).expect("a column that is not read may appear twice");
}

/// One field of a record: what both formats can write.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[^\u{0}]{0,12}", "[a-z\",;\n ]{0,6}"]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "-?[0-9]{1,13}(\\.[0-9]{1,9})?",
        "[0-9]{10,19}",
        "2013-10-08T04:00:0[0-9]Z",
        Just("1e3".to_owned()),
    ]
}

proptest! {
    /// The same fields, written as JSON by serde_json and as CSV by the csv crate, are the same tick or the same reject.
    #[test]
    fn csv_and_json_say_the_same_of_the_same_fields(
        kind in prop::sample::select(vec!["", "trade", "snapshot", "cancel", "correct", "quote"]),
        texts in proptest::collection::vec(text(), NAMES.len()),
        numbers in proptest::collection::vec(number(), NAMES.len()),
        time in 1_000_000_000u64..2_000_000_000,
        good in any::<bool>(),
        suspicious in any::<bool>(),
    ) {
        let is_text = |name: &str| ["venue", "symbol", "instrument", "id", "conditions", "suspicious"].contains(&name);
        let fields: Vec<(&str, String)> = NAMES.iter().enumerate().map(|(index, name)| (*name, match *name {
            "type" => kind.to_owned(),
            "time" if good => time.to_string(),
            "price" | "quantity" if good => (time % 1_000).to_string(),
            "symbol" if good => format!("S{}", texts[index]),
            name if is_text(name) => texts[index].clone(),
            _ if good => String::new(),
            _ => numbers[index].clone(),
        })).collect();
        // an empty JSON type is an unknown one, an empty CSV field is no type
        let object: serde_json::Map<String, serde_json::Value> = fields
            .iter()
            .filter(|(name, value)| *name != "type" || !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        let json = serde_json::Value::Object(object).to_string();
        let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(fields.iter().map(|(_, value)| value)).expect("memory");
        let line = String::from_utf8(writer.into_inner().expect("memory")).expect("text");

        let mut wire = spec(&NAMES, &[("received_at", "received_at")]);
        wire.suspicious = suspicious.then(|| "suspicious".to_owned());
        wire.trim = Some(false);
        let (tick, reject) = match decode(&wire, &line) {
            Ok(said) => (Some(said), None),
            Err(reject) => (None, Some((reject.reason, reject.detail))),
        };
        let mut instruments = InstrumentTable::default();
        let plain = WireSpec { format: "json".into(), columns: Vec::new(), ..wire };
        let mut decoder = crate::wire::build(&plain).expect("valid");
        match decoder.decode(&RawRecord::new(json.as_bytes(), 3, Some(9)), &mut instruments) {
            Ok(expected) => {
                let instrument = instruments.take_fresh().remove(0);
                let (tick, ours) = tick.unwrap_or_else(|| panic!("{line:?}: {reject:?}, {json} is a tick"));
                prop_assert_eq!(&tick, &expected, "{} {}", line, json);
                prop_assert_eq!((ours.venue(), ours.instrument(), ours.symbol()), (instrument.venue(), instrument.instrument(), instrument.symbol()));
            }
            Err(expected) => prop_assert_eq!(reject, Some((expected.reason, expected.detail)), "{} {}", line, json),
        }
    }

    /// Splitting at delimiters is what the csv crate does when there is no quote.
    #[test]
    fn a_line_without_quotes_is_split_as_the_csv_crate_splits_it(line in "[a-z0-9,;. \\-\u{e4}]{1,30}") {
        let mut quoted = Quoted::default();
        let Ok(record) = quoted.split(&line, b',') else { panic!("a plain line") };
        prop_assert_eq!(record.iter().collect::<Vec<_>>(), line.split(',').collect::<Vec<_>>());
    }

    #[test]
    fn any_line_after_any_line_is_a_tick_or_a_reject_of_its_own(lines in proptest::collection::vec("[A1,\"\n\r.]{0,12}", 1..8)) {
        let mut csv = Csv::new(&trades()).expect("valid");
        for line in &lines {
            let alone = decode(&trades(), line).map(|(tick, _)| tick);
            let after = csv.decode(&RawRecord::new(line.as_bytes(), 3, Some(9)), &mut InstrumentTable::default());
            prop_assert_eq!(after, alone, "{:?}", line);
        }
    }
}

#[test]
fn fields_are_shown_by_the_names_of_their_columns_and_lost_and_surplus_ones_are_told() {
    let named = |spec: &WireSpec, line: &str| Csv::new(spec).expect("valid").named(line.as_bytes());
    let pairs = |pairs: &[(&str, Option<&str>)]| {
        let owned = |(name, field): &(&str, Option<&str>)| ((*name).to_owned(), field.map(str::to_owned));
        Some(pairs.iter().map(owned).collect::<Vec<_>>())
    };
    let whole = [("symbol", Some("M&M, Ltd")), ("time", Some("1")), ("price", Some("x")), ("quantity", Some(""))];
    assert_eq!(named(&trades(), "\"M&M, Ltd\",1,x,\r\n"), pairs(&whole));
    let lost = [("symbol", Some("A")), ("time", Some("1")), ("price", None), ("quantity", None)];
    assert_eq!(named(&trades(), "A,1"), pairs(&lost));
    let surplus = [
        ("symbol", Some("A")),
        ("time", Some("1")),
        ("price", Some("2")),
        ("quantity", Some("3")),
        ("column 5", Some("4")),
    ];
    assert_eq!(named(&trades(), "A,1,2,3,4"), pairs(&surplus));
    assert_eq!(named(&spec(&[], &[]), "trade,COMEX").map(|fields| fields.len()), Some(9), "the columns of the example");
    for line in ["", "\n", "A,1,2,\"3"] {
        assert_eq!(named(&trades(), line), None, "{line:?}");
    }
    let own = Csv::new(&spec(&[], &[])).expect("valid").header(b"quantity,price,time,symbol").expect("a header");
    assert_eq!(own.named(b"1,2,3,A").expect("fields")[3], ("symbol".to_owned(), Some("A".to_owned())));
}

#[test]
fn blanks_and_separators_of_spreadsheets_are_no_part_of_a_value() {
    let spec = WireSpec {
        thousands: Some(b','),
        ..spec(&[], &[("symbol", "Symbol"), ("time", "Time"), ("price", "Price"), ("quantity", "Qty")])
    };
    let mut own = Csv::new(&spec).expect("valid").header(b"Symbol, Time, Price, Qty\r\n").expect("a header");
    let mut instruments = InstrumentTable::default();
    let line = b"MRF, 2026-01-05T09:15:30+05:30, \"1,45,310.55\", \"1,250\"\r\n";
    let tick = own.decode(&RawRecord::of(line), &mut instruments).expect("a trade");
    assert_eq!((tick.price, tick.quantity), (Some(Price(14_531_055_000_000)), Some(Quantity(125_000_000_000))));
    let tabs = WireSpec { delimiter: Some(b'\t'), ..trades() };
    assert_eq!(reason(&tabs, "A\t1700000000\t\t3"), "missing_field", "a tab is a delimiter here, no blank");
}
