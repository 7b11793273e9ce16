//! `quarantine`: a row for each record that entered no table, as it came.

use crate::cells::{TopicPartition, moment};
use crate::column::{BINARY, Cells, List, Schema, TEXT, column};
use crate::shared::{OFFSET, PARTITION, RECEIVED_AT, Shape, TOPIC, epoch};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use ticktide_lake::table::spec::{Cell, TableSpec};

/// How many columns the table has.
const WIDTH: usize = 9;

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

/// The values that a row is made of.
struct RefusedRow<'a> {
    refused: &'a QuarantineRow,
    origin: TopicPartition<'a>,
    source: &'a str,
    epoch: Epoch,
}

#[inline(always)]
fn columns<'a>(list: &mut impl List<'a, RefusedRow<'a>>) {
    list.add(column("source", TEXT, "kind of source: kafka, file or synthetic").required(), |at| Cell::Text(at.source));
    list.add(TOPIC, |at| Cell::Text(at.origin.topic));
    list.add(PARTITION, |at| Cell::Int(at.origin.partition));
    list.add(OFFSET, |at| Cell::Long(at.refused.offset));
    list.add(RECEIVED_AT, |at| at.refused.received_at.map_or(Cell::Null, moment));
    list.add(column("reason", TEXT, "fixed word for why the record was refused").required(), |at| {
        Cell::Text(at.refused.reason)
    });
    list.add(column("detail", TEXT, "what was wrong with the record, with its values").required(), |at| {
        Cell::Text(&at.refused.detail)
    });
    list.add(column("payload", BINARY, "bytes of the record as it came").required(), |at| {
        Cell::Binary(&at.refused.payload)
    });
    epoch(list, |at| at.epoch);
}

/// The table of refused records.
pub fn quarantine() -> TableSpec {
    let mut schema = Schema::default();
    columns(&mut schema);
    let shape = Shape { name: "quarantine".into(), key: &[], partition: None, time: None, sort: &[], history: false };
    shape.table(schema.0)
}

/// A refused record as a row; `source`: the kind of source that it came from.
pub fn quarantine_row<'a>(refused: &'a QuarantineRow, source: &'a str, epoch: Epoch) -> [Cell<'a>; WIDTH] {
    let row = RefusedRow { refused, origin: TopicPartition::of(&refused.partition), source, epoch };
    let mut cells = Cells::of(&row);
    columns(&mut cells);
    cells.done()
}
