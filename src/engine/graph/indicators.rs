//! The indicators of a dataflow: a scan over the shared arrangement for each interval, and what closes its readings.
//!
//! What must always hold: readings of an indicator that was added to a lake begin where it was added.

use crate::graph::instruments::{Publishing, close_named};
use crate::graph::parts::{Rows, base_state};
use crate::graph::rows::SinkRow;
use crate::graph::topology::{Closes, Operator, Unbuilt};
use crate::states::INDICATORS;
use differential_dataflow::operators::arrange::Arranged;
use std::collections::{BTreeMap, HashMap};
use ticktide_base::time::Interval;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::indicators::readings::{FinishedTrace, readings};
use ticktide_flow::indicators::{Accumulator, Composite};

/// The readings of every interval, as rows; with them the durable state of their scans.
pub fn indicators<'scope>(
    nodes: &mut Unbuilt,
    arranged: Option<Arranged<'scope, FinishedTrace>>,
    composites: BTreeMap<Interval, Composite>,
    mut bases: BTreeMap<Interval, HashMap<Series, Accumulator>>,
    publishing: &Publishing<'scope>,
) -> Vec<Rows<'scope>> {
    let mut rows = Vec::new();
    let Some(arranged) = arranged else { return rows };
    for (interval, composite) in composites {
        let name = nodes.take(Operator::Indicators(interval));
        let mut bases = bases.remove(&interval).unwrap_or_default();
        bases.values_mut().for_each(|base| base.widen(composite.width()));
        let (mut readings, bases) = readings(&name, arranged.clone(), interval, composite, bases);
        let additions = &publishing.resumed.additions;
        if additions.readings.contains_key(&interval) {
            let additions = additions.clone();
            readings = readings
                .flat_map(move |(series, reading)| additions.shown(interval, reading).map(|reading| (series, reading)));
        }
        rows.push(base_state(bases, INDICATORS));
        let name = nodes.take(Operator::Close(Closes::Readings(interval)));
        rows.push(close_named(&name, readings, publishing, SinkRow::Reading));
    }
    rows
}
