//! The lake's side: bars of one interval at one epoch, by instrument, and the bars as they were before corrections.
//!
//! What must always hold: all rows are of the epoch that the reader is pinned to; a day is made of the rows of its phases, in
//! order, and keeps them.

use super::{BarValues, ReconcileError};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::Error;
use ticktide_base::time::{DAY, Interval, MICRO, Nanos};
use ticktide_query as query;
use ticktide_query::{Pinned, QueryError};

/// Venue and token.
pub type Key = (String, String);

/// One row of the lake.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    pub trading_date: i32,
    pub open_at: Nanos,
    pub values: BarValues,
    /// It was made of snapshots: prices between two snapshots were not received.
    pub snapshots: bool,
    pub phase: String,
    pub partial: bool,
    /// Of a day: its phases in order.
    pub parts: Vec<Bar>,
}

impl Bar {
    /// Whether orders were matched one by one; every other phase is an auction or trades at a fixed price.
    pub fn is_continuous(&self) -> bool {
        matches!(self.phase.as_str(), "continuous" | "regular")
    }
}

/// The phases of a day as one bar, in the order of time; `None` if there is none. Its close is that of continuous trading:
/// later trades are at the official price.
pub fn day(mut parts: Vec<Bar>) -> Option<Bar> {
    parts.sort_by_key(|part| part.open_at);
    let first = parts.first()?;
    let close = parts.iter().rev().find(|part| part.is_continuous()).unwrap_or(parts.last()?);
    let volume = parts.iter().filter_map(|part| part.values.volume).reduce(i128::saturating_add);
    let values = BarValues {
        open: first.values.open,
        high: parts.iter().map(|part| part.values.high).max()?,
        low: parts.iter().map(|part| part.values.low).min()?,
        close: close.values.close,
        volume,
    };
    Some(Bar {
        trading_date: first.trading_date,
        open_at: Nanos::from(first.trading_date) * DAY,
        values,
        snapshots: parts.iter().any(|part| part.snapshots),
        phase: close.phase.clone(),
        partial: parts.iter().any(|part| part.partial),
        parts,
    })
}

/// The lake's bars of one interval.
pub struct LakeBars<'a> {
    pinned: &'a Pinned,
    interval: Interval,
    table: String,
}

impl<'a> LakeBars<'a> {
    /// Errors: the lake has no bars of the interval.
    pub fn new(pinned: &'a Pinned, interval: Interval) -> Result<LakeBars<'a>, ReconcileError> {
        let table = format!("bars_{}", interval.name());
        if pinned.tables.iter().any(|pin| pin.name == table) {
            return Ok(LakeBars { pinned, interval, table });
        }
        let names = pinned.tables.iter().map(|pin| pin.name.as_str());
        let bars = names.filter(|name| name.starts_with("bars_") && !name.ends_with("_history"));
        let tables = bars.map(str::to_owned).collect();
        Err(ReconcileError::NoBars { interval: interval.name(), tables })
    }

    pub fn epoch(&self) -> Epoch {
        self.pinned.epoch
    }

    /// The symbols of its instruments.
    pub async fn symbols(&self) -> Result<BTreeMap<Key, Option<String>>, Error> {
        let sql = format!("select distinct venue, instrument, symbol from {}", self.table);
        let mut names = BTreeMap::new();
        for batch in self.rows(&sql).await? {
            let [venue, instrument, symbol] = self.texts(&batch, ["venue", "instrument", "symbol"])?;
            for row in 0..batch.num_rows() {
                let key = (text(&venue, row).unwrap_or_default(), text(&instrument, row).unwrap_or_default());
                let named: &mut Option<String> = names.entry(key).or_default();
                *named = named.take().or(text(&symbol, row));
            }
        }
        Ok(names)
    }

    /// The bars of trading dates, by instrument and in order of time; of daily bars, one for each date.
    pub async fn series(
        &self,
        dates: &RangeInclusive<i32>,
        only: Option<&Key>,
    ) -> Result<BTreeMap<Key, Vec<Bar>>, Error> {
        let found = self.bars(&self.table, "", dates, only).await?;
        let mut series: BTreeMap<Key, Vec<Bar>> = BTreeMap::new();
        for (key, bar) in found {
            series.entry(key).or_default().push(bar);
        }
        for bars in series.values_mut() {
            bars.sort_by_key(|bar| bar.open_at);
            if self.interval.0 >= DAY {
                *bars = days(std::mem::take(bars));
            }
        }
        Ok(series)
    }

    /// Bars as they were in any epoch, the same as now or not.
    pub async fn versions(
        &self,
        dates: &RangeInclusive<i32>,
        only: Option<&Key>,
    ) -> Result<BTreeMap<Key, Vec<Bar>>, Error> {
        let history = format!("{}_history", self.table);
        let mut versions: BTreeMap<Key, Vec<Bar>> = BTreeMap::new();
        if self.pinned.tables.iter().any(|pin| pin.name == history) {
            for (key, bar) in self.bars(&history, " and diff = 1", dates, only).await? {
                versions.entry(key).or_default().push(bar);
            }
        }
        Ok(versions)
    }

    /// The starts at which any instrument has a bar; of daily bars, the dates.
    pub async fn beats(&self, dates: &RangeInclusive<i32>) -> Result<BTreeSet<Nanos>, Error> {
        let sql = format!("select distinct trading_date, open_at from {} where {}", self.table, between(dates));
        let mut beats = BTreeSet::new();
        for batch in self.rows(&sql).await? {
            let (dates, opens) = (self.dates(&batch)?, self.opens(&batch)?);
            for row in 0..batch.num_rows() {
                let of_day = Nanos::from(dates.as_primitive::<Date32Type>().value(row)) * DAY;
                let open_at = opens.as_primitive::<TimestampMicrosecondType>().value(row).saturating_mul(MICRO);
                beats.insert(if self.interval.0 >= DAY { of_day } else { open_at });
            }
        }
        Ok(beats)
    }

    async fn bars(
        &self,
        table: &str,
        more: &str,
        dates: &RangeInclusive<i32>,
        only: Option<&Key>,
    ) -> Result<Vec<(Key, Bar)>, Error> {
        let quoted = |text: &str| text.replace('\'', "''");
        let only = only.map(|(venue, instrument)| {
            format!(" and venue = '{}' and instrument = '{}'", quoted(venue), quoted(instrument))
        });
        let sql = format!(
            "select venue, instrument, trading_date, open_at, open, high, low, close, volume, trades, phase, partial \
             from {table} where {}{}{more}",
            between(dates),
            only.unwrap_or_default()
        );
        let mut bars = Vec::new();
        for batch in self.rows(&sql).await? {
            self.unpack(&batch, &mut bars)?;
        }
        Ok(bars)
    }

    fn unpack(&self, batch: &RecordBatch, into: &mut Vec<(Key, Bar)>) -> Result<(), Error> {
        let [venue, instrument, phase] = self.texts(batch, ["venue", "instrument", "phase"])?;
        let (dates, opens) = (self.dates(batch)?, self.opens(batch)?);
        let money = DataType::Decimal128(18, 8);
        let [open, high, low, close] = ["open", "high", "low", "close"].map(|name| self.column(batch, name, &money));
        let (open, high, low, close) = (open?, high?, low?, close?);
        let volume = self.column(batch, "volume", &DataType::Decimal128(38, 8))?;
        let trades = self.column(batch, "trades", &DataType::Int64)?;
        let partial = self.column(batch, "partial", &DataType::Boolean)?;
        for row in 0..batch.num_rows() {
            // a price of the lake has eighteen digits
            let price = |column: &ArrayRef| column.as_primitive::<Decimal128Type>().value(row) as i64;
            let values = BarValues {
                open: price(&open),
                high: price(&high),
                low: price(&low),
                close: price(&close),
                volume: (!volume.is_null(row)).then(|| volume.as_primitive::<Decimal128Type>().value(row)),
            };
            let bar = Bar {
                trading_date: dates.as_primitive::<Date32Type>().value(row),
                open_at: opens.as_primitive::<TimestampMicrosecondType>().value(row).saturating_mul(MICRO),
                values,
                snapshots: trades.as_primitive::<Int64Type>().is_null(row),
                phase: text(&phase, row).unwrap_or_default(),
                partial: partial.as_boolean().value(row),
                parts: Vec::new(),
            };
            into.push(((text(&venue, row).unwrap_or_default(), text(&instrument, row).unwrap_or_default()), bar));
        }
        Ok(())
    }

    async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let answer = query::query(self.pinned, sql).await?;
        let names: Vec<String> = Vec::new();
        Ok(answer.rows.try_collect().await.map_err(|error| -> QueryError { query::explain(&error, &names) })?)
    }

    fn column(&self, batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<ArrayRef, ReconcileError> {
        let wrong = |message: String| ReconcileError::Table { table: self.table.clone(), message };
        let column = batch.column_by_name(name).ok_or_else(|| wrong(format!("it has no column {name}")))?;
        if column.data_type() == wanted {
            return Ok(column.clone());
        }
        arrow::compute::cast(column, wanted).map_err(|error| wrong(format!("{name}: {error}")))
    }

    fn texts(&self, batch: &RecordBatch, names: [&str; 3]) -> Result<[ArrayRef; 3], ReconcileError> {
        let [a, b, c] = names.map(|name| self.column(batch, name, &DataType::Utf8));
        Ok([a?, b?, c?])
    }

    fn dates(&self, batch: &RecordBatch) -> Result<ArrayRef, ReconcileError> {
        self.column(batch, "trading_date", &DataType::Date32)
    }

    fn opens(&self, batch: &RecordBatch) -> Result<ArrayRef, ReconcileError> {
        self.column(batch, "open_at", &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
    }
}

fn text(column: &ArrayRef, row: usize) -> Option<String> {
    (!column.is_null(row)).then(|| column.as_string::<i32>().value(row).to_owned())
}

fn between(dates: &RangeInclusive<i32>) -> String {
    format!("trading_date between date '{}' and date '{}'", date(*dates.start()), date(*dates.end()))
}

/// Days since 1970 as `2024-07-08`, kept within the years that SQL writes with four digits.
pub fn date(days: i32) -> String {
    let date =
        jiff::civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days.clamp(-719_162, 2_932_896)));
    date.map_or_else(|_| "1970-01-01".to_owned(), |date| date.to_string())
}

/// The rows of phases as one bar for each date.
fn days(rows: Vec<Bar>) -> Vec<Bar> {
    let mut dates: BTreeMap<i32, Vec<Bar>> = BTreeMap::new();
    for row in rows {
        dates.entry(row.trading_date).or_default().push(row);
    }
    dates.into_values().filter_map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_its_phases_and_closes_with_continuous_trading() {
        let part = |phase: &str, open_at: Nanos, prices: [i64; 4], volume: Option<i128>| {
            let [open, high, low, close] = prices;
            let values = BarValues { open, high, low, close, volume };
            let (phase, parts) = (phase.to_owned(), Vec::new());
            Bar { trading_date: 3, open_at, values, snapshots: true, phase, partial: false, parts }
        };
        let parts = vec![
            part("post_close", 30, [55, 55, 55, 55], Some(4)),
            part("pre_open", 10, [70, 70, 70, 70], Some(1)),
            part("continuous", 20, [50, 60, 40, 56], Some(2)),
        ];
        let bar = day(parts).expect("a day");
        assert_eq!(bar.values, BarValues { open: 70, high: 70, low: 40, close: 56, volume: Some(7) });
        assert_eq!((bar.open_at, bar.parts.len(), bar.phase.as_str()), (3 * DAY, 3, "continuous"));
        let index = day(vec![part("continuous", 20, [1, 1, 1, 1], None)]).expect("a day");
        assert_eq!((index.values.volume, day(Vec::new())), (None, None));
    }

    #[test]
    fn dates_are_written_as_sql_reads_them() {
        assert_eq!(date(19_912), "2024-07-08");
        assert_eq!((date(i32::MAX), date(i32::MIN)), ("9999-12-31".to_owned(), "0001-01-01".to_owned()));
    }
}
