//! Finished bars: those of trades as they are, those of snapshots with the volume by their day's count.
//!
//! What must always hold: bars of an interval that was added to a lake begin where it was added.

use crate::graph::parts::{Changes, Finished, Rows, base_state};
use crate::graph::resumed::Resumed;
use crate::states::VOLUME;
use differential_dataflow::operators::arrange::Arranged;
use std::collections::{BTreeSet, HashMap};
use ticktide_base::time::Interval;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::Emitted;
use ticktide_flow::bars::volume::{self, DaySoFar};
use ticktide_flow::indicators::readings::{self, FinishedTrace};

/// Finished bars. `name`: of the volume scan, if volumes are cumulative; its rows are its durable state.
pub fn finished<'scope>(
    name: Option<String>,
    changes: Changes<'scope>,
    bases: HashMap<Series, DaySoFar>,
    resumed: &Resumed,
) -> (Finished<'scope>, Option<Rows<'scope>>) {
    let (finished, rows) = match name {
        Some(name) => {
            let snapshots = changes.flat_map(|(series, bar)| match bar {
                Emitted::Snapshot(bar) => Some((series, *bar)),
                Emitted::Finished(_) => None,
            });
            let (finished, bases) = volume::finish(resumed.rules, &name, snapshots, bases);
            (finished, Some(base_state(bases, VOLUME)))
        }
        None => {
            let rules = resumed.rules;
            let finished = changes.flat_map(move |(series, bar)| match bar {
                Emitted::Finished(bar) => Some((series, bar.without_overflow(rules))),
                Emitted::Snapshot(_) => None,
            });
            (finished, None)
        }
    };
    let additions = &resumed.additions;
    if additions.bars.is_empty() {
        return (finished, rows);
    }
    let additions = additions.clone();
    (finished.filter(move |(series, bar)| additions.has_bar(series.0, bar.head.open_at)), rows)
}

/// The shared arrangement of the bars that are scanned. `name`: its name, if the dataflow has one.
pub fn arranged<'scope>(
    name: Option<String>,
    finished: &Finished<'scope>,
    scanned: BTreeSet<Interval>,
) -> Option<Arranged<'scope, FinishedTrace>> {
    let bars = |finished: Finished<'scope>| finished.filter(move |(series, _)| scanned.contains(&series.0));
    name.map(|name| readings::arrange(&name, bars(finished.clone())))
}
