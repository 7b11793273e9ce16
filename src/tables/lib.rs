//! The tables of a dataflow, and what the flow says as rows of them.
//!
//! The flow knows bars, the lake knows cells; here they meet. What must always hold: the columns and their order are those
//! of the public interface, and no column but `received_at` holds a clock.

pub mod set;

use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use ticktide_base::time::{DAY, Interval, MICRO};
pub use ticktide_dataflow::checks::CheckName;
use ticktide_flow::anomalies::Anomaly;
use ticktide_flow::bars::finished::{FinishedBar, Named, Reading, Series};
use ticktide_flow::close::AtBar;
use ticktide_lake::table::spec::{Cell, Column, ColumnType, Row, TableSpec};
use ticktide_market::{Instrument, Listing, Tick};

const MONEY: ColumnType = ColumnType::Decimal { precision: 18, scale: 8 };
const SUM: ColumnType = ColumnType::Decimal { precision: 38, scale: 8 };
/// The greatest value of a DECIMAL(38,8).
const SUM_MOST: i128 = 10i128.pow(38) - 1;

fn column(name: &str, column_type: ColumnType, doc: &str) -> Column {
    Column { name: name.into(), column_type, nullable: true, hashed: true, delta: false, doc: doc.into() }
}

fn required(column: Column) -> Column {
    Column { nullable: false, ..column }
}

fn unhashed(column: Column) -> Column {
    Column { hashed: false, ..column }
}

fn by_delta(column: Column) -> Column {
    Column { delta: true, ..column }
}

fn keys() -> Vec<Column> {
    vec![
        required(column("venue", ColumnType::Text, "venue segment; empty when the feed has none")),
        required(column("instrument", ColumnType::Text, "the venue's token, or the symbol")),
        column("symbol", ColumnType::Text, "what people call it; null when nobody names it"),
    ]
}

fn epoch_column() -> Column {
    unhashed(required(column("epoch", ColumnType::Long, "the epoch that wrote the row")))
}

fn trading_date() -> Column {
    required(column("trading_date", ColumnType::Date, "the session's date"))
}

fn open_at() -> Column {
    by_delta(required(column("open_at", ColumnType::Time, "start of the bar, inclusive; its end is exclusive")))
}

fn phase() -> Column {
    required(column("phase", ColumnType::Text, "phase of the session"))
}

/// Columns of a reading before its first output.
const READING_KEYS: usize = 6;

fn keyed(name: String, columns: Vec<Column>, partitioned: bool, history: bool) -> TableSpec {
    let at = |name: &str| columns.iter().position(|column| column.name == name);
    let find = |name: &str| at(name).expect("every table by bar has the columns of its key");
    TableSpec {
        key: vec![find("venue"), find("instrument"), find("phase"), find("open_at")],
        partition: at("trading_date").filter(|_| partitioned),
        time: at("open_at"),
        sort: vec![find("instrument"), find("open_at")],
        name,
        history,
        columns,
    }
}

/// Bars and readings of coarse intervals are too few for a partition a day.
fn is_partitioned(interval: Interval) -> bool {
    interval.0 < DAY
}

/// `bars_<interval>`.
pub fn bars(interval: Interval) -> TableSpec {
    let mut columns = keys();
    columns.extend([
        trading_date(),
        open_at(),
        column("open", MONEY, "price of the first trade in order"),
        column("high", MONEY, "greatest price"),
        column("low", MONEY, "least price"),
        column("close", MONEY, "price of the last trade in order"),
        column("volume", SUM, "quantity traded; null where the feed has none"),
        column("turnover", SUM, "sum of price × quantity, rounded half-even once"),
        column("vwap", MONEY, "turnover / volume; null while the volume is 0"),
        column("trades", ColumnType::Long, "number of trades; null on snapshots"),
        column("updates", ColumnType::Long, "number of records that entered the bar"),
        column("open_interest", SUM, "the last one told"),
        phase(),
        required(column("partial", ColumnType::Bool, "part of what happened in the bar was not seen")),
        required(column("short", ColumnType::Bool, "the phase ends before the bar would")),
        epoch_column(),
    ]);
    keyed(format!("bars_{}", interval.name()), columns, is_partitioned(interval), true)
}

/// `indicators_<interval>` with one column per output.
pub fn indicators(interval: Interval, outputs: &[String]) -> TableSpec {
    evolved_indicators(interval, outputs, outputs.len())
}

/// The same for a table that was made with the first `original` outputs: what was added stands behind `epoch`, so that the
/// columns from before keep their places.
pub fn evolved_indicators(interval: Interval, outputs: &[String], original: usize) -> TableSpec {
    let mut columns = keys();
    columns.extend([trading_date(), open_at(), phase()]);
    columns.extend(outputs.iter().map(|name| column(name, ColumnType::Double, "null before its lookback")));
    columns.insert(READING_KEYS + original.min(outputs.len()), epoch_column());
    keyed(format!("indicators_{}", interval.name()), columns, is_partitioned(interval), true)
}

/// `anomalies`: what checks find. Rows of bars have no place in the feed, rows of ticks no interval.
pub fn anomalies() -> TableSpec {
    let mut columns = keys();
    columns.extend([
        required(column("check", ColumnType::Text, "the check's name")),
        column("interval", ColumnType::Text, "of the bars it looks at; null: it looks at ticks"),
        phase(),
        by_delta(required(column("started_at", ColumnType::Time, "when it began"))),
        by_delta(required(column("ended_at", ColumnType::Time, "when it was over"))),
        required(column("severity", ColumnType::Text, "notice, warning or critical")),
        column(
            "observed",
            ColumnType::Double,
            "what was found: a price, a quantity, a return, seconds of silence, a number of partitions",
        ),
        column("expected", ColumnType::Double, "the bound that it should have kept"),
        required(column("parameters", ColumnType::Text, "of the check, all of them, as JSON")),
        column("topic", ColumnType::Text, "topic or file of the records; null where bars are judged"),
        unhashed(column("partition", ColumnType::Int, "of the records")),
        unhashed(column("offset_first", ColumnType::Long, "of the records")),
        unhashed(column("offset_last", ColumnType::Long, "of the records")),
        epoch_column(),
    ]);
    let at = |name: &str| columns.iter().position(|column| column.name == name);
    let find = |name: &str| at(name).expect("the table has the columns of its key");
    let key =
        ["venue", "instrument", "check", "interval", "parameters", "started_at", "topic", "partition", "offset_first"];
    TableSpec {
        name: "anomalies".into(),
        key: key.map(find).to_vec(),
        partition: None,
        time: at("started_at"),
        sort: vec![find("instrument"), find("started_at")],
        history: true,
        columns,
    }
}

/// `ticks`: the archive of accepted records.
pub fn ticks() -> TableSpec {
    let mut columns = keys();
    columns.extend([
        trading_date(),
        required(column("kind", ColumnType::Text, "trade, snapshot, cancel, correct or notice")),
        by_delta(required(column("exchange_at", ColumnType::Time, "event time, microseconds"))),
        by_delta(required(column("exchange_ns", ColumnType::Long, "event time, nanoseconds since 1970"))),
        unhashed(by_delta(column("received_at", ColumnType::Time, "when the broker took the record"))),
        by_delta(column("sequence", ColumnType::Long, "the feed's number")),
        column("id", ColumnType::Text, "the trade's id"),
        column("price", MONEY, ""),
        column("quantity", MONEY, ""),
        column("cumulative_volume", SUM, "since the start of the day"),
        column("bid", MONEY, ""),
        column("bid_quantity", MONEY, ""),
        column("ask", MONEY, ""),
        column("ask_quantity", MONEY, ""),
        column("open_interest", SUM, ""),
        column("band_low", MONEY, "the exchange takes no order below"),
        column("band_high", MONEY, "and none above"),
        column("conditions", ColumnType::Text, "the venue's codes"),
        required(column("topic", ColumnType::Text, "topic or file")),
        unhashed(required(column("partition", ColumnType::Int, ""))),
        unhashed(by_delta(required(column("offset", ColumnType::Long, "")))),
        epoch_column(),
    ]);
    let at = |name: &str| columns.iter().position(|column| column.name == name);
    TableSpec {
        name: "ticks".into(),
        key: Vec::new(),
        partition: at("trading_date"),
        time: at("exchange_at"),
        sort: Vec::new(),
        history: false,
        columns,
    }
}

/// `instruments`: what masters say, a row for each instrument and day.
pub fn instruments() -> TableSpec {
    let mut columns = keys();
    columns.extend([
        required(column("listed_on", ColumnType::Date, "the day of the master, on the session's wall")),
        by_delta(required(column(
            "valid_from",
            ColumnType::Time,
            "its midnight as if the wall were at UTC: rows are found by it",
        ))),
        column("kind", ColumnType::Text, "equity, future, option, spread, …"),
        column("series", ColumnType::Text, "EQ, BE, FUTSTK, OPTIDX …"),
        column("isin", ColumnType::Text, ""),
        column("description", ColumnType::Text, "the exchange's long name"),
        column("tick_size", MONEY, "prices are multiples of it"),
        column("band_low", MONEY, "the exchange takes no order below"),
        column("band_high", MONEY, "and none above"),
        column("freeze_quantity", MONEY, "the most that one order may be for"),
        column("lot_size", MONEY, "quantities are multiples of it"),
        column("underlying", ColumnType::Text, "of a derivative"),
        column("expiry", ColumnType::Date, "of a derivative"),
        column("strike", MONEY, "of an option"),
        column("option_type", ColumnType::Text, "CE or PE"),
        epoch_column(),
    ]);
    let find =
        |name: &str| columns.iter().position(|column| column.name == name).expect("the table has its key's columns");
    TableSpec {
        name: "instruments".into(),
        key: ["venue", "instrument", "valid_from"].map(find).to_vec(),
        partition: Some(find("listed_on")),
        time: Some(find("valid_from")),
        sort: vec![find("instrument"), find("valid_from")],
        history: true,
        columns,
    }
}

/// A listing as a row of its table.
pub fn instrument_row<'a>(
    instrument: &'a Instrument,
    listed_on: i32,
    listing: &'a Listing,
    epoch: Epoch,
) -> [Cell<'a>; 19] {
    let [venue, token, _] = names(instrument);
    let price = |price: Option<ticktide_market::Price>| money(price.map(|price| price.0));
    let quantity = |quantity: Option<ticktide_market::Quantity>| money(quantity.map(|quantity| quantity.0));
    [
        venue,
        token,
        text(listing.symbol.as_deref()),
        Cell::Date(listed_on),
        moment(Some(i64::from(listed_on).saturating_mul(DAY))),
        text(listing.kind.as_deref()),
        text(listing.series.as_deref()),
        text(listing.isin.as_deref()),
        text(listing.description.as_deref()),
        price(listing.tick_size),
        price(listing.band_low),
        price(listing.band_high),
        quantity(listing.freeze_quantity),
        quantity(listing.lot_size),
        text(listing.underlying.as_deref()),
        listing.expiry.map_or(Cell::Null, Cell::Date),
        price(listing.strike),
        text(listing.option_type.as_deref()),
        Cell::Long(epoch as i64),
    ]
}

/// `quarantine`: every record that entered no table, as it came.
pub fn quarantine() -> TableSpec {
    let columns = vec![
        required(column("source", ColumnType::Text, "kafka, file or synthetic")),
        required(column("topic", ColumnType::Text, "topic or file")),
        unhashed(required(column("partition", ColumnType::Int, ""))),
        unhashed(by_delta(required(column("offset", ColumnType::Long, "")))),
        unhashed(by_delta(column("received_at", ColumnType::Time, "when the broker took the record"))),
        required(column("reason", ColumnType::Text, "a fixed word")),
        required(column("detail", ColumnType::Text, "what was wrong, with the values")),
        required(column("payload", ColumnType::Binary, "the record as it came")),
        epoch_column(),
    ];
    TableSpec {
        name: "quarantine".into(),
        key: Vec::new(),
        partition: None,
        time: None,
        sort: Vec::new(),
        history: false,
        columns,
    }
}

/// `value` / `divisor`, rounded half to even.
///
/// ```
/// use crate::divide_half_even;
/// assert_eq!([5, 15, 25, -5, -15, 7].map(|value| divide_half_even(value, 10)), [0, 2, 2, 0, -2, 1]);
/// ```
pub fn divide_half_even(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
    let up = match (rest.saturating_mul(2)).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient % 2 != 0,
    };
    quotient + i128::from(up)
}

fn text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, Cell::Text)
}

fn sum(value: Option<i128>) -> Cell<'static> {
    value.map_or(Cell::Null, |value| Cell::Decimal(value.clamp(-SUM_MOST, SUM_MOST)))
}

fn money(value: Option<i64>) -> Cell<'static> {
    value.map_or(Cell::Null, |value| Cell::Decimal(i128::from(value)))
}

fn count(value: Option<u64>) -> Cell<'static> {
    value.map_or(Cell::Null, |value| Cell::Long(value as i64))
}

fn moment(nanos: Option<i64>) -> Cell<'static> {
    nanos.map_or(Cell::Null, |nanos| Cell::Time(nanos.div_euclid(MICRO)))
}

fn names(instrument: &Instrument) -> [Cell<'_>; 3] {
    [Cell::Text(instrument.venue()), Cell::Text(instrument.instrument()), text(instrument.symbol())]
}

/// The keys of a row; the symbol is the row's own, since the one of a series is any that was told.
fn named<'a, R: AtBar>(instrument: &'a Instrument, row: &'a Named<R>) -> [Cell<'a>; 3] {
    let [venue, token, _] = names(instrument);
    [venue, token, text(row.symbol())]
}

/// A bar as a row of its table.
pub fn bar_row<'a>(
    series: &'a Series,
    named_bar: &'a Named<FinishedBar>,
    phase: &'a str,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let bar = &named_bar.row;
    let scale = i128::from(ticktide_market::SCALE);
    let vwap = match (bar.turnover, bar.volume) {
        (Some(turnover), Some(volume)) if volume > 0 => Some(divide_half_even(turnover, volume)),
        _ => None,
    };
    let [venue, instrument, symbol] = named(&series.1, named_bar);
    vec![
        venue,
        instrument,
        symbol,
        Cell::Date(bar.head.trading_date),
        Cell::Time(bar.head.open_at.div_euclid(MICRO)),
        money(Some(bar.open)),
        money(Some(bar.high)),
        money(Some(bar.low)),
        money(Some(bar.close)),
        sum(bar.volume),
        sum(bar.turnover.map(|turnover| divide_half_even(turnover, scale))),
        vwap.map_or(Cell::Null, Cell::Decimal),
        count(bar.trades),
        count(Some(bar.updates)),
        sum(bar.open_interest),
        Cell::Text(phase),
        Cell::Bool(bar.partial),
        Cell::Bool(bar.short),
        Cell::Long(epoch as i64),
    ]
}

/// A reading as a row of its table, which was made with `original` outputs.
pub fn reading_row<'a>(
    series: &'a Series,
    named_reading: &'a Named<Reading>,
    phase: &'a str,
    original: usize,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let reading = &named_reading.row;
    let mut row = Vec::with_capacity(7 + reading.values.len());
    row.extend(named(&series.1, named_reading));
    row.extend([
        Cell::Date(reading.head.trading_date),
        Cell::Time(reading.head.open_at.div_euclid(MICRO)),
        Cell::Text(phase),
    ]);
    row.extend(reading.values.iter().map(|bits| {
        let value = f64::from_bits(*bits);
        if value.is_nan() { Cell::Null } else { Cell::Double(value) }
    }));
    row.insert(READING_KEYS + original, Cell::Long(epoch as i64));
    row
}

/// How many outputs a table of readings was made with.
pub fn original_outputs(spec: &TableSpec) -> usize {
    spec.column("epoch").map_or(0, |at| at - READING_KEYS)
}

/// An anomaly as a row of its table.
pub fn anomaly_row<'a>(
    series: &'a Series,
    named_anomaly: &'a Named<Anomaly>,
    name: &'a CheckName,
    phase: &'a str,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let anomaly = &named_anomaly.row;
    let [venue, instrument, symbol] = named(&series.1, named_anomaly);
    let double =
        |bits: u64| Some(f64::from_bits(bits)).filter(|value| !value.is_nan()).map_or(Cell::Null, Cell::Double);
    let place = anomaly.seen.as_ref().map(|seen| (place_of(&seen.partition), seen.offset_first, seen.offset_last));
    vec![
        venue,
        instrument,
        symbol,
        Cell::Text(&name.check),
        text(name.interval.as_deref()),
        Cell::Text(phase),
        moment(Some(anomaly.started_at)),
        moment(Some(anomaly.ended_at)),
        Cell::Text(anomaly.severity.name()),
        double(anomaly.observed),
        double(anomaly.expected),
        Cell::Text(&name.parameters),
        place.map_or(Cell::Null, |((topic, _), ..)| Cell::Text(topic)),
        place.map_or(Cell::Null, |((_, partition), ..)| Cell::Int(partition)),
        place.map_or(Cell::Null, |(_, first, _)| Cell::Long(first)),
        place.map_or(Cell::Null, |(.., last)| Cell::Long(last)),
        Cell::Long(epoch as i64),
    ]
}

/// Topic and number of "topic/partition".
fn place_of(partition: &str) -> (&str, i32) {
    let (topic, number) = partition.rsplit_once('/').unwrap_or((partition, "0"));
    (topic, number.parse().unwrap_or(0))
}

/// A tick as a row of the archive.
pub fn tick_row<'a>(
    tick: &'a Tick,
    instrument: &'a Instrument,
    trading_date: i32,
    (topic, partition): (&'a str, i32),
    epoch: Epoch,
) -> [Cell<'a>; 25] {
    let [venue, token, symbol] = names(instrument);
    let snapshot = tick.snapshot.as_deref();
    let price = |price: Option<ticktide_market::Price>| money(price.map(|price| price.0));
    let quantity = |quantity: Option<ticktide_market::Quantity>| money(quantity.map(|quantity| quantity.0));
    [
        venue,
        token,
        symbol,
        Cell::Date(trading_date),
        Cell::Text(tick.kind.name()),
        moment(Some(tick.exchange_at)),
        Cell::Long(tick.exchange_at),
        moment(tick.received_at),
        count(tick.sequence),
        text(tick.id.as_deref()),
        price(tick.price),
        quantity(tick.quantity),
        sum(snapshot.and_then(|snapshot| snapshot.cumulative_volume)),
        price(snapshot.and_then(|snapshot| snapshot.bid)),
        quantity(snapshot.and_then(|snapshot| snapshot.bid_quantity)),
        price(snapshot.and_then(|snapshot| snapshot.ask)),
        quantity(snapshot.and_then(|snapshot| snapshot.ask_quantity)),
        sum(snapshot.and_then(|snapshot| snapshot.open_interest)),
        price(snapshot.and_then(|snapshot| snapshot.band_low)),
        price(snapshot.and_then(|snapshot| snapshot.band_high)),
        text(tick.conditions.as_deref()),
        Cell::Text(topic),
        Cell::Int(partition),
        Cell::Long(tick.offset),
        Cell::Long(epoch as i64),
    ]
}

/// A record of the quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantineRow {
    /// "topic/partition".
    pub partition: Arc<str>,
    pub offset: i64,
    pub received_at: Option<i64>,
    pub reason: &'static str,
    pub detail: String,
    pub payload: Box<[u8]>,
}

/// A refused record as a row.
pub fn quarantine_row<'a>(row: &'a QuarantineRow, source: &'a str, epoch: Epoch) -> [Cell<'a>; 9] {
    let (topic, partition) = place_of(&row.partition);
    [
        Cell::Text(source),
        Cell::Text(topic),
        Cell::Int(partition),
        Cell::Long(row.offset),
        moment(row.received_at),
        Cell::Text(row.reason),
        Cell::Text(&row.detail),
        Cell::Binary(&row.payload),
        Cell::Long(epoch as i64),
    ]
}

/// Cells that live on.
pub fn owned(row: &[Cell<'_>]) -> Row {
    row.iter().map(|cell| cell.to_value()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::MINUTE;
    use ticktide_flow::bars::finished::BarHead;

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
        let mut named = Named { row: bar, symbol: None };
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
        let tick = Tick::new(ticktide_market::TickKind::Trade, ticktide_market::InstrumentId(0), 1, 1);
        let instrument = Instrument::new("V", "S", None);
        assert_eq!(tick_row(&tick, &instrument, 0, ("t", 0), 1).len(), ticks().columns.len());
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
        let seen = ticktide_flow::anomalies::Seen { partition: "a/b/3".into(), offset_first: 7, offset_last: 7 };
        let anomaly = Anomaly {
            open_at: 5_000,
            phase: 0,
            check: 0,
            started_at: 5_000,
            ended_at: 6_000,
            severity: ticktide_flow::anomalies::Severity::Warning,
            observed: 2.5f64.to_bits(),
            expected: f64::NAN.to_bits(),
            seen: Some(seen),
            symbol: None,
        };
        let mut anomaly = Named { row: anomaly, symbol: None };
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
}
