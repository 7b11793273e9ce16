//! Listings in the graph: what masters and price bands say, joined to bars, readings and anomalies.
//!
//! ```text
//!   told ═ by instrument ═▶ [Listings] ─┬─ (instrument, terms, ±1) ─▶ arrange ═╦▶ ⋈ rows of bars …  ─▶ rows with a symbol
//!                                       │                                       ╚▶ ⋈ finished bars   ─▶ off_tick, off_band
//!                                       └─ rows of `instruments`, durable state
//! ```
//!
//! Why joins: a master that comes late, or again with other content, corrects every live bar that it describes, as a late trade
//! would. What must always hold: a row exists with and without a master, and once; a bar that the horizon has passed never
//! changes.

use crate::graph::close::close;
use crate::graph::parts::{Finished, Out, Rows, Vecs, Waiting, complete, parted};
use crate::graph::resumed::Resumed;
use crate::graph::rows::{Notice, SinkRow};
use crate::states::LISTINGS;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent, arrangement::arrange_core};
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use differential_dataflow::{Data, VecCollection};
use serde::Serialize;
use ticktide_base::epoch::{Epoch, stamp};
use ticktide_base::time::{Interval, Nanos};
use ticktide_flow::anomalies::{Anomaly, ListedCheck};
use ticktide_flow::bars::finished::{NamedRow, Series};
use ticktide_flow::close::{AtBar, RowChange};
use ticktide_flow::instruments::{DatedTerms, DayChange, ListingUpdate, Listings};
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// The trace of terms, by instrument.
pub type TermsTrace = TraceAgent<ValSpine<Instrument, DatedTerms, u64, isize>>;
/// The arranged terms of this worker's instruments.
pub type Listed<'scope> = Arranged<'scope, TermsTrace>;

/// Everything that is known of this worker's instruments, and its rows. `known`: what an earlier run left.
pub fn listings<'scope>(
    name: &str,
    told: Stream<'scope, u64, Vec<ListingUpdate>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    mut known: Listings,
    first: Epoch,
) -> (Listed<'scope>, Rows<'scope>) {
    enum Work {
        Told(ListingUpdate),
        Notice(Notice),
    }
    let route = Exchange::new(|told: &ListingUpdate| told.instrument.route());
    let out = told.binary_frontier::<_, Vecs<Out<_>>, _, _, _, _>(notices, route, Pipeline, name, move |cap, _| {
        let mut start = Some(cap.delayed(&stamp(first, 0)));
        drop(cap);
        let mut waiting: Waiting<Work> = Waiting::new();
        let mut least = Nanos::MIN;
        move |(input, input_frontier), (notices, notices_frontier), output| {
            if let Some(cap) = start.take() {
                let time = *cap.time();
                let changes = known.changes().into_iter();
                output.session(&cap).give_iterator(changes.map(|(change, diff)| Out::Change(change, time, diff)));
            }
            waiting.fill(input, Work::Told);
            waiting.fill(notices, Work::Notice);
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, all)) = waiting.next(ready) {
                let time = *cap.time();
                let mut binds = false;
                for work in all {
                    match work {
                        Work::Told(told) => known.take(told),
                        Work::Notice(Notice::Begin(_, horizons)) => least = horizons.least(),
                        Work::Notice(Notice::Bind(_)) => binds = true,
                    }
                }
                let mut session = output.session(&cap);
                let changes = known.changes().into_iter();
                session.give_iterator(changes.map(|(change, diff)| Out::Change(change, time, diff)));
                if binds {
                    session.give_iterator(known.rows().into_iter().map(|row| Out::row(SinkRow::Listing(row))));
                    session.give(Out::row(SinkRow::State(durable(known.retire(least)))));
                }
            }
        }
    });
    let (changes, rows) = parted(out);
    (arranged(changes, "Terms"), rows)
}

/// Changes of what is known of days as durable state.
fn durable(days: Vec<DayChange>) -> Vec<StateEntry> {
    days.into_iter().map(|(key, day)| StateEntry::new(LISTINGS, &key, day.as_ref())).collect()
}

/// Records are on the worker of their instrument already: nothing is exchanged.
fn arranged<'scope, V: Data>(
    records: VecCollection<'scope, u64, (Instrument, V), isize>,
    name: &str,
) -> Arranged<'scope, TraceAgent<ValSpine<Instrument, V, u64, isize>>> {
    arrange_core::<_, _, ValBatcher<_, _, _, _>, _>(records.inner, Pipeline, name, ValBatcher::new)
}

/// Rows with the symbols of their instruments: each once, named or not.
pub fn named<'scope, R: AtBar + Data>(
    rows: VecCollection<'scope, u64, (Series, R), isize>,
    listed: Listed<'scope>,
) -> VecCollection<'scope, u64, (Series, NamedRow<R>), isize> {
    let unnamed = rows.clone().map(|(series, row)| (series, NamedRow { row, symbol: None }));
    let by_instrument = arranged(rows.map(|((interval, instrument), row)| (instrument, (interval, row))), "Rows");
    // an outer join: what has a name takes the place of what has none
    let replaced = by_instrument.join_core(listed, |instrument, (interval, row), terms| {
        let symbol = terms.on(row.trading_date()).and_then(|term| term.symbol);
        let series = (*interval, instrument.clone());
        let named = |symbol| (series.clone(), NamedRow { row: row.clone(), symbol });
        symbol.map(|symbol| [(named(Some(symbol)), 1), (named(None), -1)]).into_iter().flatten()
    });
    unnamed.concat(replaced.explode(Some))
}

/// What every operator that publishes needs.
#[derive(Clone)]
pub struct Publishing<'scope> {
    pub notices: Stream<'scope, u64, Vec<Notice>>,
    /// The terms of masters; `None`: none are kept.
    pub listed: Option<Listed<'scope>>,
    pub resumed: Resumed,
}

/// [`close`] of rows that masters name, if they are kept.
pub fn close_named<'scope, R: AtBar + Data + Serialize>(
    name: &str,
    rows: VecCollection<'scope, u64, (Series, R), isize>,
    publishing: &Publishing<'scope>,
    row: fn(RowChange<NamedRow<R>>) -> SinkRow,
) -> Rows<'scope> {
    let Publishing { notices, listed, resumed } = publishing;
    match listed {
        None => close(name, rows, notices.clone(), resumed, move |net| row(net.unnamed())),
        Some(listed) => close(name, named(rows, listed.clone()), notices.clone(), resumed, row),
    }
}

/// What the checks that know the master find in the bars of their intervals.
pub fn watched<'scope>(
    name: &str,
    finished: Finished<'scope>,
    listed: Listed<'scope>,
    checks: Vec<(u16, Interval, Box<dyn ListedCheck>)>,
) -> VecCollection<'scope, u64, (Series, Anomaly), isize> {
    let intervals: Vec<Interval> = checks.iter().map(|(_, on, _)| *on).collect();
    let bars = finished.flat_map(move |((interval, instrument), bar)| {
        intervals.contains(&interval).then_some((instrument, (interval, bar)))
    });
    arranged(bars, name).join_core(listed, move |instrument, (interval, bar), terms| {
        let term = terms.on(bar.head.trading_date).unwrap_or_default();
        let found = checks.iter().filter(|(_, on, _)| on == interval).filter_map(|(check, on, judge)| {
            let odd = judge.look(bar, &term)?;
            let anomaly = Anomaly {
                open_at: bar.head.open_at,
                phase: bar.head.phase,
                check: *check,
                started_at: bar.head.open_at,
                ended_at: bar.head.open_at.saturating_add(on.0),
                severity: odd.severity,
                observed: odd.observed.to_bits(),
                expected: odd.expected.to_bits(),
                seen: None,
                symbol: bar.symbol.clone(),
            };
            Some(((*interval, instrument.clone()), anomaly))
        });
        found.collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests;
