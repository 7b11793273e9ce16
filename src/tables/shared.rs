//! What several tables have in common: the columns of an instrument, a bar and an epoch, and the shape of tables by bar.
//!
//! Why in one place: readers join these tables by these columns, so they must have one name and one type everywhere.

use crate::cells::text;
use crate::column::{ColumnSpec, DATE, INT, LONG, List, MONEY, TEXT, TIME, column};
use ticktide_base::epoch::Epoch;
use ticktide_base::time::{DAY, Interval};
use ticktide_lake::table::spec::{Cell, Column, TableSpec};
use ticktide_market::Instrument;

pub(crate) const TRADING_DATE: ColumnSpec<'static> =
    column("trading_date", DATE, "date of the trading session").required();
pub(crate) const OPEN_AT: ColumnSpec<'static> =
    column("open_at", TIME, "start of the bar in UTC: the bar includes it and excludes its end").required().by_delta();
pub(crate) const PHASE: ColumnSpec<'static> =
    column("phase", TEXT, "phase of the trading session, as its calendar names it").required();
pub(crate) const RECEIVED_AT: ColumnSpec<'static> =
    column("received_at", TIME, "time at which the broker took the record, in UTC").unhashed().by_delta();
pub(crate) const BAND_LOW: ColumnSpec<'static> =
    column("band_low", MONEY, "least price at which the exchange takes an order, in the instrument's currency");
pub(crate) const BAND_HIGH: ColumnSpec<'static> =
    column("band_high", MONEY, "greatest price at which the exchange takes an order, in the instrument's currency");
/// Where a record came from.
pub(crate) const TOPIC: ColumnSpec<'static> = column("topic", TEXT, "topic or file of the record").required();
pub(crate) const PARTITION: ColumnSpec<'static> =
    column("partition", INT, "partition of the record in its topic").required().unhashed();
pub(crate) const OFFSET: ColumnSpec<'static> =
    column("offset", LONG, "offset of the record in its partition").required().unhashed().by_delta();

/// The columns that name an instrument, with the symbol that the row has for it.
#[inline(always)]
pub(crate) fn keys<'a, R>(
    list: &mut impl List<'a, R>,
    instrument: impl Fn(&R) -> &'a Instrument,
    symbol: impl Fn(&R) -> Option<&'a str>,
) {
    list.add(
        column("venue", TEXT, "venue segment of the instrument, empty where the feed has none").required(),
        |at| Cell::Text(instrument(at).venue()),
    );
    list.add(
        column("instrument", TEXT, "token of the instrument at its venue, or its symbol where it has none").required(),
        |at| Cell::Text(instrument(at).instrument()),
    );
    list.add(column("symbol", TEXT, "what people call the instrument, null where no record names it"), |at| {
        text(symbol(at))
    });
}

/// The column of the epoch that wrote a row: the only column that a later epoch always changes.
#[inline(always)]
pub(crate) fn epoch<'a, R>(list: &mut impl List<'a, R>, epoch: impl Fn(&R) -> Epoch) {
    let spec = column("epoch", LONG, "number of the epoch that wrote the row").required().unhashed();
    list.add(spec, |at| Cell::Long(epoch(at) as i64));
}

/// How the lake keeps a table, by the names of its columns.
pub(crate) struct Shape<'n> {
    pub name: String,
    /// The columns that identify a row; empty: rows are only appended.
    pub key: &'n [&'n str],
    pub partition: Option<&'n str>,
    pub time: Option<&'n str>,
    pub sort: &'n [&'n str],
    pub history: bool,
}

impl Shape<'_> {
    /// The shape of a table with at most one row for each bar. Coarse intervals have too few rows for a partition a day.
    pub(crate) fn by_bar(family: &str, interval: Interval) -> Shape<'static> {
        Shape {
            name: format!("{family}_{}", interval.name()),
            key: &["venue", "instrument", "phase", "open_at"],
            partition: (interval.0 < DAY).then_some("trading_date"),
            time: Some("open_at"),
            sort: &["instrument", "open_at"],
            history: true,
        }
    }

    /// The table of these columns.
    pub(crate) fn table(self, columns: Vec<Column>) -> TableSpec {
        let find = |name: &&str| {
            let at = columns.iter().position(|column| column.name == **name);
            at.expect("a table's shape names columns of its list, which a test visits")
        };
        TableSpec {
            key: self.key.iter().map(find).collect(),
            partition: self.partition.as_ref().map(find),
            time: self.time.as_ref().map(find),
            sort: self.sort.iter().map(find).collect(),
            name: self.name,
            history: self.history,
            columns,
        }
    }
}
