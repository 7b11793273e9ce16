//! `anomalies`: a row for each anomaly that a check found.
//!
//! A row about a bar has no position in the feed, a row about ticks has no interval.

use crate::CheckName;
use crate::cells::{TopicPartition, double, moment, text};
use crate::column::{CellVec, DOUBLE, INT, LONG, List, Schema, TEXT, TIME, column};
use crate::shared::{PHASE, Shape, epoch, keys};
use ticktide_base::epoch::Epoch;
use ticktide_flow::anomalies::{Anomaly, RecordRange};
use ticktide_flow::bars::finished::{NamedRow, Series};
use ticktide_flow::close::AtBar;
use ticktide_lake::table::spec::{Cell, TableSpec};

/// How many columns the table has.
const WIDTH: usize = 17;

/// The values that a row is made of.
struct AnomalyRow<'a> {
    series: &'a Series,
    named: &'a NamedRow<Anomaly>,
    anomaly: &'a Anomaly,
    name: &'a CheckName,
    phase: &'a str,
    /// The records in which the anomaly was seen, and their partition.
    seen: Option<(TopicPartition<'a>, &'a RecordRange)>,
    epoch: Epoch,
}

#[inline(always)]
fn columns<'a>(list: &mut impl List<'a, AnomalyRow<'a>>) {
    keys(list, |at| &at.series.1, |at| at.named.symbol());
    list.add(column("check", TEXT, "name of the check that found the anomaly").required(), |at| {
        Cell::Text(&at.name.check)
    });
    list.add(
        column("interval", TEXT, "interval of the bars that the check judges, null where it judges ticks"),
        |at| text(at.name.interval.as_deref()),
    );
    list.add(PHASE, |at| Cell::Text(at.phase));
    list.add(column("started_at", TIME, "time at which the anomaly began, in UTC").required().by_delta(), |at| {
        moment(at.anomaly.started_at)
    });
    list.add(column("ended_at", TIME, "time at which the anomaly was over, in UTC").required().by_delta(), |at| {
        moment(at.anomaly.ended_at)
    });
    list.add(column("severity", TEXT, "notice, warning or critical").required(), |at| {
        Cell::Text(at.anomaly.severity.name())
    });
    let observed = "what the check found: a price, a quantity, a return, seconds of silence or a number of partitions";
    list.add(column("observed", DOUBLE, observed), |at| double(at.anomaly.observed));
    list.add(column("expected", DOUBLE, "bound that `observed` should have kept, in the same unit"), |at| {
        double(at.anomaly.expected)
    });
    list.add(column("parameters", TEXT, "all parameters of the check, as a JSON object").required(), |at| {
        Cell::Text(&at.name.parameters)
    });
    list.add(column("topic", TEXT, "topic or file of the records, null where bars are judged"), |at| {
        at.seen.map_or(Cell::Null, |(origin, _)| Cell::Text(origin.topic))
    });
    list.add(column("partition", INT, "partition of the records, null where bars are judged").unhashed(), |at| {
        at.seen.map_or(Cell::Null, |(origin, _)| Cell::Int(origin.partition))
    });
    list.add(column("offset_first", LONG, "offset of the first record, null where bars are judged").unhashed(), |at| {
        at.seen.map_or(Cell::Null, |(_, seen)| Cell::Long(seen.offset_first))
    });
    list.add(column("offset_last", LONG, "offset of the last record, null where bars are judged").unhashed(), |at| {
        at.seen.map_or(Cell::Null, |(_, seen)| Cell::Long(seen.offset_last))
    });
    epoch(list, |at| at.epoch);
}

/// The table of the anomalies that checks find.
pub fn anomalies() -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema);
    let shape = Shape {
        name: "anomalies".into(),
        key: &[
            "venue",
            "instrument",
            "check",
            "interval",
            "parameters",
            "started_at",
            "topic",
            "partition",
            "offset_first",
        ],
        partition: None,
        time: Some("started_at"),
        sort: &["instrument", "started_at"],
        history: true,
    };
    shape.table(schema.0)
}

/// An anomaly as a row of its table; `name`: the name of its check there.
pub fn anomaly_row<'a>(
    series: &'a Series,
    named: &'a NamedRow<Anomaly>,
    name: &'a CheckName,
    phase: &'a str,
    epoch: Epoch,
) -> Vec<Cell<'a>> {
    let seen = named.row.seen.as_ref().map(|seen| (TopicPartition::of(&seen.partition), seen));
    let row = AnomalyRow { series, named, anomaly: &named.row, name, phase, seen, epoch };
    let mut cells = CellVec::of(&row, WIDTH);
    columns(&mut cells);
    cells.done()
}
