//! Rows in which every field has a different value, so that a cell under a wrong name is noticed.

use super::*;
use ticktide_flow::anomalies::{Anomaly, RecordRange, Severity};
use ticktide_flow::bars::finished::{BarHead, FinishedBar, NamedRow, Reading, Series};
use ticktide_market::{Instrument, InstrumentId, Listing, Price, Quantity, Snapshot, Tick, TickKind};

/// Whether a row has exactly these cells, each under its name and each unlike all others.
#[track_caller]
fn assert_row(spec: &TableSpec, row: &[Cell<'_>], expected: &[(&str, Value)]) {
    assert_eq!(row.len(), spec.columns.len());
    assert_eq!(expected.len(), spec.columns.len(), "every column of {} has its literal", spec.name);
    for (at, (name, value)) in expected.iter().enumerate() {
        let column = spec.column(name).unwrap_or_else(|| panic!("{} has no column {name}", spec.name));
        assert_eq!(row[column].to_value(), *value, "{}.{name}", spec.name);
        let is_flag = matches!(value, Value::Bool(_));
        assert!(is_flag || expected[..at].iter().all(|(_, other)| other != value), "{name} has a value of its own");
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn series() -> Series {
    (Interval(MINUTE), Instrument::new("VENUE", "TOKEN", Some("OF THE KEY")))
}

fn bar() -> FinishedBar {
    FinishedBar {
        head: BarHead { open_at: 60_000_001_000, phase: 0, trading_date: 20_001 },
        open: 101,
        high: 102,
        low: 103,
        close: 104,
        volume: Some(5),
        turnover: Some(700_000_000_000),
        trades: Some(107),
        updates: 108,
        open_interest: Some(109),
        partial: true,
        short: false,
        symbol: Some("OF THE WIRE".into()),
    }
}

#[test]
fn a_bars_cells_stand_under_their_names() {
    let spec = bars(Interval(MINUTE));
    let expected = |symbol: &str, partial, short| {
        [
            ("venue", text("VENUE")),
            ("instrument", text("TOKEN")),
            ("symbol", text(symbol)),
            ("trading_date", Value::Date(20_001)),
            ("open_at", Value::Time(60_000_001)),
            ("open", Value::Decimal(101)),
            ("high", Value::Decimal(102)),
            ("low", Value::Decimal(103)),
            ("close", Value::Decimal(104)),
            ("volume", Value::Decimal(5)),
            ("turnover", Value::Decimal(7_000)),
            ("vwap", Value::Decimal(140_000_000_000)),
            ("trades", Value::Long(107)),
            ("updates", Value::Long(108)),
            ("open_interest", Value::Decimal(109)),
            ("phase", text("regular")),
            ("partial", Value::Bool(partial)),
            ("short", Value::Bool(short)),
            ("epoch", Value::Long(110)),
        ]
    };
    let mut named = NamedRow { row: bar(), symbol: None };
    assert_row(&spec, &bar_row(&series(), &named, "regular", 110), &expected("OF THE WIRE", true, false));
    (named.row.partial, named.row.short, named.symbol) = (false, true, Some("OF THE MASTER".into()));
    assert_row(&spec, &bar_row(&series(), &named, "regular", 110), &expected("OF THE MASTER", false, true));
}

#[test]
fn what_a_bar_does_not_know_is_null() {
    let row = FinishedBar { volume: None, turnover: None, trades: None, open_interest: None, symbol: None, ..bar() };
    let (spec, named) = (bars(Interval(MINUTE)), NamedRow { row, symbol: None });
    let series = series();
    let row = bar_row(&series, &named, "regular", 1);
    let nulls: Vec<&str> = spec
        .columns
        .iter()
        .zip(&row)
        .filter(|(_, cell)| **cell == Cell::Null)
        .map(|(column, _)| &*column.name)
        .collect();
    assert_eq!(nulls, ["symbol", "volume", "turnover", "vwap", "trades", "open_interest"]);
    // more than a DECIMAL(38,8) has is its greatest value
    let row = FinishedBar { volume: Some(i128::MAX), open_interest: Some(i128::MIN), turnover: None, ..bar() };
    let named = NamedRow { row, symbol: None };
    let row = bar_row(&series, &named, "regular", 1);
    let most = 10i128.pow(38) - 1;
    assert_eq!((row[9], row[14]), (Cell::Decimal(most), Cell::Decimal(-most)));
}

#[test]
fn a_readings_cells_stand_under_their_names() {
    let outputs = ["a", "b", "c"].map(str::to_owned);
    let values = [1.5f64, 2.5, 3.5].map(f64::to_bits).to_vec();
    let row = Reading {
        head: BarHead { open_at: 60_000_001_000, phase: 0, trading_date: 20_001 },
        values,
        symbol: Some("WIRE".into()),
    };
    let named = NamedRow { row, symbol: None };
    for original in 0..=3 {
        let spec = evolved_indicators(Interval(MINUTE), &outputs, original);
        let expected = [
            ("venue", text("VENUE")),
            ("instrument", text("TOKEN")),
            ("symbol", text("WIRE")),
            ("trading_date", Value::Date(20_001)),
            ("open_at", Value::Time(60_000_001)),
            ("phase", text("regular")),
            ("a", Value::Double(1.5f64.to_bits())),
            ("b", Value::Double(2.5f64.to_bits())),
            ("c", Value::Double(3.5f64.to_bits())),
            ("epoch", Value::Long(7)),
        ];
        assert_row(&spec, &reading_row(&series(), &named, "regular", original, 7), &expected);
    }
    let mut unknown = named.clone();
    unknown.row.values[1] = f64::NAN.to_bits();
    assert_eq!(reading_row(&series(), &unknown, "regular", 3, 7)[7], Cell::Null);
}

#[test]
fn an_anomalys_cells_stand_under_their_names() {
    let anomaly = Anomaly {
        open_at: 1,
        phase: 0,
        check: 0,
        started_at: 5_000,
        ended_at: 6_000,
        severity: Severity::Warning,
        observed: 2.5f64.to_bits(),
        expected: 1.5f64.to_bits(),
        seen: Some(RecordRange { partition: "a/b/3".into(), offset_first: 7, offset_last: 8 }),
        symbol: Some("WIRE".into()),
    };
    let name = CheckName { check: "return_z".into(), interval: Some("1m".into()), parameters: "{}".into() };
    let expected = [
        ("venue", text("VENUE")),
        ("instrument", text("TOKEN")),
        ("symbol", text("WIRE")),
        ("check", text("return_z")),
        ("interval", text("1m")),
        ("phase", text("regular")),
        ("started_at", Value::Time(5)),
        ("ended_at", Value::Time(6)),
        ("severity", text("warning")),
        ("observed", Value::Double(2.5f64.to_bits())),
        ("expected", Value::Double(1.5f64.to_bits())),
        ("parameters", text("{}")),
        ("topic", text("a/b")),
        ("partition", Value::Int(3)),
        ("offset_first", Value::Long(7)),
        ("offset_last", Value::Long(8)),
        ("epoch", Value::Long(9)),
    ];
    let named = NamedRow { row: anomaly, symbol: None };
    assert_row(&anomalies(), &anomaly_row(&series(), &named, &name, "regular", 9), &expected);
}

#[test]
fn a_ticks_cells_stand_under_their_names() {
    let price = |units| Some(Price(units));
    let quantity = |units| Some(Quantity(units));
    let snapshot = Snapshot {
        trade_at: Some(301),
        cumulative_volume: Some(302),
        bid: price(303),
        bid_quantity: quantity(304),
        ask: price(305),
        ask_quantity: quantity(306),
        day_open: price(307),
        day_high: price(308),
        day_low: price(309),
        open_interest: Some(310),
        band_low: price(311),
        band_high: price(312),
        listing: None,
    };
    let tick = Tick {
        received_at: Some(7_000_000),
        sequence: Some(313),
        price: price(314),
        quantity: quantity(315),
        id: Some("ID".into()),
        conditions: Some("CODES".into()),
        snapshot: Some(Box::new(snapshot)),
        trading_date: Some(1),
        ..Tick::new(TickKind::Snapshot, InstrumentId(0), 316, 5_000_001)
    };
    let expected = [
        ("venue", text("VENUE")),
        ("instrument", text("TOKEN")),
        ("symbol", text("OF THE KEY")),
        ("trading_date", Value::Date(20_001)),
        ("kind", text("snapshot")),
        ("exchange_at", Value::Time(5_000)),
        ("exchange_ns", Value::Long(5_000_001)),
        ("received_at", Value::Time(7_000)),
        ("sequence", Value::Long(313)),
        ("id", text("ID")),
        ("price", Value::Decimal(314)),
        ("quantity", Value::Decimal(315)),
        ("cumulative_volume", Value::Decimal(302)),
        ("bid", Value::Decimal(303)),
        ("bid_quantity", Value::Decimal(304)),
        ("ask", Value::Decimal(305)),
        ("ask_quantity", Value::Decimal(306)),
        ("open_interest", Value::Decimal(310)),
        ("band_low", Value::Decimal(311)),
        ("band_high", Value::Decimal(312)),
        ("conditions", text("CODES")),
        ("topic", text("TOPIC")),
        ("partition", Value::Int(4)),
        ("offset", Value::Long(316)),
        ("epoch", Value::Long(9)),
    ];
    let ticks = vec![ArchivedTick { tick, instrument: series().1, trading_date: 20_001 }];
    let archived = Archived { partition: "TOPIC/4".into(), ticks };
    let rows: Vec<_> = archived.rows(9).collect();
    assert_eq!(rows.len(), 1);
    assert_row(&super::ticks(), &rows[0], &expected);
}

#[test]
fn a_listings_cells_stand_under_their_names() {
    let listing = Listing {
        symbol: Some("SYMBOL".into()),
        kind: Some("future".into()),
        series: Some("FUTSTK".into()),
        isin: Some("ISIN".into()),
        description: Some("LONG NAME".into()),
        tick_size: Some(Price(401)),
        band_low: Some(Price(402)),
        band_high: Some(Price(403)),
        freeze_quantity: Some(Quantity(404)),
        lot_size: Some(Quantity(405)),
        underlying: Some("UNDERLYING".into()),
        expiry: Some(406),
        strike: Some(Price(407)),
        option_type: Some("CE".into()),
    };
    let expected = [
        ("venue", text("VENUE")),
        ("instrument", text("TOKEN")),
        ("symbol", text("SYMBOL")),
        ("listed_on", Value::Date(2)),
        ("valid_from", Value::Time(2 * DAY / 1_000)),
        ("kind", text("future")),
        ("series", text("FUTSTK")),
        ("isin", text("ISIN")),
        ("description", text("LONG NAME")),
        ("tick_size", Value::Decimal(401)),
        ("band_low", Value::Decimal(402)),
        ("band_high", Value::Decimal(403)),
        ("freeze_quantity", Value::Decimal(404)),
        ("lot_size", Value::Decimal(405)),
        ("underlying", text("UNDERLYING")),
        ("expiry", Value::Date(406)),
        ("strike", Value::Decimal(407)),
        ("option_type", text("CE")),
        ("epoch", Value::Long(9)),
    ];
    assert_row(&instruments(), &instrument_row(&series().1, 2, &listing, 9), &expected);
}

#[test]
fn a_refused_records_cells_stand_under_their_names() {
    let row = QuarantineRow {
        partition: "a/b/3".into(),
        offset: 501,
        received_at: Some(7_000_000),
        reason: "too_late",
        detail: "DETAIL".into(),
        payload: Box::from(*b"PAYLOAD"),
    };
    let expected = [
        ("source", text("kafka")),
        ("topic", text("a/b")),
        ("partition", Value::Int(3)),
        ("offset", Value::Long(501)),
        ("received_at", Value::Time(7_000)),
        ("reason", text("too_late")),
        ("detail", text("DETAIL")),
        ("payload", Value::Binary(b"PAYLOAD".to_vec())),
        ("epoch", Value::Long(9)),
    ];
    assert_row(&quarantine(), &quarantine_row(&row, "kafka", 9), &expected);
}

#[test]
fn a_bars_row_has_the_columns_of_its_table() {
    let spec = bars(Interval(MINUTE));
    let bar = FinishedBar {
        head: BarHead { open_at: MINUTE, phase: 0, trading_date: 0 },
        open: 3,
        high: 3,
        low: 3,
        close: 3,
        volume: Some(2),
        turnover: Some(7),
        trades: Some(1),
        updates: 1,
        open_interest: None,
        partial: false,
        short: true,
        symbol: Some("S".into()),
    };
    let series = (Interval(MINUTE), Instrument::new("V", "S", Some("S")));
    let mut named = NamedRow { row: bar, symbol: None };
    let row = bar_row(&series, &named, "regular", 5);
    assert_eq!(row.len(), spec.columns.len());
    assert_eq!(row[spec.column("vwap").expect("a column")], Cell::Decimal(4), "3.5 rounds to the even 4");
    assert_eq!(row[spec.column("epoch").expect("a column")], Cell::Long(5));
    assert_eq!((row[2], &*spec.name), (Cell::Text("S"), "bars_1m"));
    named.symbol = Some("MASTER".into());
    assert_eq!(bar_row(&series, &named, "regular", 5)[2], Cell::Text("MASTER"));
    let listing = Listing::default();
    assert_eq!(instrument_row(&series.1, 0, &listing, 1).len(), instruments().columns.len());
}

#[test]
fn ticks_and_quarantine_rows_fit_their_tables() {
    let tick = Tick::new(TickKind::Trade, InstrumentId(0), 1, 1);
    let instrument = Instrument::new("V", "S", None);
    let ticks = vec![ArchivedTick { tick, instrument, trading_date: 0 }];
    let archived = Archived { partition: "t/0".into(), ticks };
    assert!(archived.rows(1).all(|row| row.len() == super::ticks().columns.len()));
    let row = QuarantineRow {
        partition: "a/b/3".into(),
        offset: 0,
        received_at: None,
        reason: "r",
        detail: String::new(),
        payload: Box::default(),
    };
    let cells = quarantine_row(&row, "file", 1);
    assert_eq!(cells.len(), quarantine().columns.len());
    assert_eq!((cells[1], cells[2]), (Cell::Text("a/b"), Cell::Int(3)));
}

#[test]
fn an_anomalys_row_names_its_check_and_its_records_if_it_has_some() {
    let spec = anomalies();
    let name = CheckName { check: "c".into(), interval: None, parameters: "{}".into() };
    let seen = RecordRange { partition: "a/b/3".into(), offset_first: 7, offset_last: 7 };
    let anomaly = Anomaly {
        open_at: 5_000,
        phase: 0,
        check: 0,
        started_at: 5_000,
        ended_at: 6_000,
        severity: Severity::Warning,
        observed: 2.5f64.to_bits(),
        expected: f64::NAN.to_bits(),
        seen: Some(seen),
        symbol: None,
    };
    let mut anomaly = NamedRow { row: anomaly, symbol: None };
    let series = (Interval(0), Instrument::new("V", "S", None));
    let row = anomaly_row(&series, &anomaly, &name, "regular", 5);
    let cell = |row: &[Cell<'_>], column: &str| row[spec.column(column).expect("a column")].to_value();
    assert_eq!(row.len(), spec.columns.len());
    assert_eq!(cell(&row, "topic"), Cell::Text("a/b").to_value());
    assert_eq!(cell(&row, "partition"), Cell::Int(3).to_value());
    assert_eq!(cell(&row, "offset_last"), Cell::Long(7).to_value());
    assert_eq!(cell(&row, "started_at"), Cell::Time(5).to_value());
    assert_eq!(cell(&row, "observed"), Cell::Double(2.5).to_value());
    assert_eq!(cell(&row, "expected"), Cell::Null.to_value());
    anomaly.row.seen = None;
    let row = anomaly_row(&series, &anomaly, &name, "regular", 5);
    assert_eq!(cell(&row, "partition"), Cell::Null.to_value());
}
