//! `indicators_<interval>`: a row for each bar, with a column for each output of the dataflow's indicators.
//!
//! Why `epoch` may be between outputs: a lake's columns keep their positions, so an output that was added to a lake comes after
//! those that the table was made with, and after their `epoch`.

use crate::cells::{double, moment};
use crate::column::{CellVec, DOUBLE, List, Schema, column};
use crate::shared::{OPEN_AT, PHASE, Shape, TRADING_DATE, epoch, keys};
use ticktide_base::epoch::Epoch;
use ticktide_base::time::Interval;
use ticktide_flow::bars::finished::{NamedRow, Reading, Series};
use ticktide_flow::close::AtBar;
use ticktide_lake::table::spec::{Cell, TableSpec};

/// How many columns are before the first output.
const BEFORE: usize = 6;

/// The values that a row is made of.
struct ReadingRow<'a> {
    series: &'a Series,
    named: &'a NamedRow<Reading>,
    reading: &'a Reading,
    phase: &'a str,
    epoch: Epoch,
}

/// `outputs`: the names of the outputs, in order; the table was made with the first `original` of them.
#[inline]
fn columns<'a, 'n>(list: &mut impl List<'a, ReadingRow<'a>>, outputs: impl Iterator<Item = &'n str>, original: usize) {
    keys(list, |at| &at.series.1, |at| at.named.symbol());
    list.add(TRADING_DATE, |at| Cell::Date(at.reading.head.trading_date));
    list.add(OPEN_AT, |at| moment(at.reading.head.open_at));
    list.add(PHASE, |at| Cell::Text(at.phase));
    let mut outputs = outputs.enumerate();
    for (output, name) in outputs.by_ref().take(original) {
        add(list, name, output);
    }
    epoch(list, |at| at.epoch);
    for (output, name) in outputs {
        add(list, name, output);
    }
}

#[inline]
fn add<'a>(list: &mut impl List<'a, ReadingRow<'a>>, name: &str, output: usize) {
    let doc = "value of the indicator's output that the column is named after, null until it has enough bars";
    list.add(column(name, DOUBLE, doc), |at| double(at.reading.values[output]));
}

/// The table of an interval's readings: one column for each output.
pub fn indicators(interval: Interval, outputs: &[String]) -> TableSpec {
    evolved_indicators(interval, outputs, outputs.len())
}

/// The same for a table that was made with the first `original` outputs: the added ones come after `epoch`, so that the
/// original columns keep their positions.
pub fn evolved_indicators(interval: Interval, outputs: &[String], original: usize) -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema, outputs.iter().map(String::as_str), original);
    Shape::by_bar("indicators", interval).table(schema.0)
}

/// A reading as a row of its table, which was made with `original` outputs.
pub fn reading_row<'a>(
    series: &'a Series,
    named: &'a NamedRow<Reading>,
    phase: &'a str,
    original: usize,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let row = ReadingRow { series, named, reading: &named.row, phase, epoch };
    let mut cells = CellVec::of(&row, BEFORE + 1 + row.reading.values.len());
    // a row has values and needs no names
    columns(&mut cells, row.reading.values.iter().map(|_| ""), original);
    cells.done()
}

/// How many outputs a table of readings was made with.
pub fn original_outputs(spec: &TableSpec) -> usize {
    spec.column("epoch").map_or(0, |at| at - BEFORE)
}
