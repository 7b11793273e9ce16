//! `bars_<interval>`: a row for each bar that an instrument traded in.

use crate::cells::{count, divide_half_even, moment, money, sum};
use crate::column::{BOOL, CellVec, LONG, List, MONEY, SUM, Schema, column};
use crate::shared::{OPEN_AT, PHASE, Shape, TRADING_DATE, epoch, keys};
use ticktide_base::epoch::Epoch;
use ticktide_base::time::Interval;
use ticktide_flow::bars::finished::{FinishedBar, NamedRow, Series};
use ticktide_flow::close::AtBar;
use ticktide_lake::table::spec::{Cell, TableSpec};
use ticktide_market::SCALE;

/// How many columns the table has.
const WIDTH: usize = 19;

/// The values that a row is made of.
struct BarRow<'a> {
    series: &'a Series,
    named: &'a NamedRow<FinishedBar>,
    bar: &'a FinishedBar,
    phase: &'a str,
    epoch: Epoch,
}

#[inline(always)]
fn columns<'a>(list: &mut impl List<'a, BarRow<'a>>) {
    // the symbol is the row's own: that of a series is any symbol that was received
    keys(list, |at| &at.series.1, |at| at.named.symbol());
    list.add(TRADING_DATE, |at| Cell::Date(at.bar.head.trading_date));
    list.add(OPEN_AT, |at| moment(at.bar.head.open_at));
    list.add(column("open", MONEY, "first price of the bar, in the instrument's currency"), |at| money(at.bar.open));
    list.add(column("high", MONEY, "greatest price of the bar, in the instrument's currency"), |at| money(at.bar.high));
    list.add(column("low", MONEY, "least price of the bar, in the instrument's currency"), |at| money(at.bar.low));
    list.add(column("close", MONEY, "last price of the bar, in the instrument's currency"), |at| money(at.bar.close));
    list.add(
        column("volume", SUM, "quantity traded in the bar, in shares or contracts, null where the feed has no volume"),
        |at| sum(at.bar.volume),
    );
    list.add(column("turnover", SUM, "sum of price times quantity, in the instrument's currency"), |at| {
        sum(at.bar.turnover.map(|turnover| divide_half_even(turnover, i128::from(SCALE))))
    });
    list.add(
        column("vwap", MONEY, "turnover divided by volume, in the instrument's currency, null while the volume is 0"),
        |at| vwap(at.bar),
    );
    list.add(column("trades", LONG, "number of trades in the bar, null for a feed of snapshots"), |at| {
        count(at.bar.trades)
    });
    list.add(column("updates", LONG, "number of distinct records that entered the bar"), |at| {
        count(Some(at.bar.updates))
    });
    list.add(column("open_interest", SUM, "number of open contracts that the feed reported last"), |at| {
        sum(at.bar.open_interest)
    });
    list.add(PHASE, |at| Cell::Text(at.phase));
    list.add(column("partial", BOOL, "true if part of what happened in the bar was not seen").required(), |at| {
        Cell::Bool(at.bar.partial)
    });
    list.add(column("short", BOOL, "true if the phase ends before the bar would").required(), |at| {
        Cell::Bool(at.bar.short)
    });
    epoch(list, |at| at.epoch);
}

fn vwap(bar: &FinishedBar) -> Cell<'static> {
    match (bar.turnover, bar.volume) {
        (Some(turnover), Some(volume)) if volume > 0 => Cell::Decimal(divide_half_even(turnover, volume)),
        _ => Cell::Null,
    }
}

/// The table of an interval's bars.
pub fn bars(interval: Interval) -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema);
    Shape::by_bar("bars", interval).table(schema.0)
}

/// A bar as a row of its table.
pub fn bar_row<'a>(
    series: &'a Series,
    named: &'a NamedRow<FinishedBar>,
    phase: &'a str,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let row = BarRow { series, named, bar: &named.row, phase, epoch };
    let mut cells = CellVec::of(&row, WIDTH);
    columns(&mut cells);
    cells.done()
}
