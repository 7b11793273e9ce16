//! The check of venues that fall silent: the bars present on each worker, and the gaps between them on the venue's worker.
//!
//! ```text
//!   finished bars ─▶ Presence ═ by venue ═▶ Feed gaps ─▶ changes of anomalies, durable beats
//! ```
//!
//! What must always hold: bars that only retire are no news of a venue; its beats retire by the horizon.

use super::Found;
use crate::graph::parts::{Finished, Out, Rows, Vecs, Waiting, complete, parted};
use crate::graph::rows::{Notice, SinkRow};
use crate::states::BEATS;
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use ticktide_base::epoch::{LAST_STEP, step_of};
use ticktide_base::time::{Interval, Nanos};
use ticktide_flow::anomalies::beats::{Beat, BeatChange, Beats, Presence};
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// The position of a check of venues in the dataflow.
#[derive(Clone, Copy, Debug)]
pub struct CheckPosition {
    /// Its index in the list of checks.
    pub check: u16,
    /// The index of its interval in the horizons.
    pub level: usize,
}

/// The beats that this worker's bars of an interval gain and lose.
pub fn presence<'scope>(finished: Finished<'scope>, on: Interval) -> Stream<'scope, u64, Vec<BeatChange>> {
    finished.inner.unary_frontier::<Vecs<BeatChange>, _, _, _>(Pipeline, "Presence", move |_, _| {
        let mut presence = Presence::default();
        let mut waiting: Waiting<(Instrument, Beat, isize)> = Waiting::new();
        move |(input, frontier), output| {
            input.for_each(|cap, data| {
                let mut by_time: BTreeMap<u64, Vec<(Instrument, Beat, isize)>> = BTreeMap::new();
                for (((interval, instrument), bar), time, diff) in data.drain(..) {
                    if interval == on {
                        by_time.entry(time).or_default().push((instrument, bar.head, diff));
                    }
                }
                for (time, mut all) in by_time {
                    waiting.push(time, || Some(cap.delayed(&time, 0)), &mut all);
                }
            });
            while let Some((cap, all)) = waiting.next(|time| complete(frontier, time)) {
                all.iter().for_each(|(instrument, beat, diff)| presence.change(instrument, *beat, *diff));
                output.session(&cap).give_iterator(presence.pulses());
            }
        }
    })
}

/// The gaps of the venues of this worker, and their durable state.
pub fn feed_gaps<'scope>(
    name: &str,
    pulses: Stream<'scope, u64, Vec<BeatChange>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    mut beats: Beats,
    CheckPosition { check, level }: CheckPosition,
) -> (Found<'scope>, Rows<'scope>) {
    enum Work {
        Pulse(BeatChange),
        Notice(Notice),
    }
    let route = Exchange::new(BeatChange::route);
    let out = pulses.binary_frontier::<_, Vecs<Out<_>>, _, _, _, _>(notices, route, Pipeline, name, move |_, _| {
        let mut waiting: Waiting<Work> = Waiting::new();
        let mut horizon = Nanos::MIN;
        move |(input, input_frontier), (notices, notices_frontier), output| {
            waiting.fill(input, Work::Pulse);
            waiting.fill(notices, Work::Notice);
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, all)) = waiting.next(ready) {
                let time = *cap.time();
                let mut changes = Vec::new();
                let mut retires = false;
                for work in all {
                    match work {
                        // under an epoch's last step bars only retire, which the beats do by the horizon
                        Work::Pulse(pulse) if step_of(time) != LAST_STEP => beats.take(&pulse, &mut changes),
                        Work::Pulse(_) => {}
                        Work::Notice(Notice::Begin(_, horizons)) => {
                            horizon = horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
                        }
                        Work::Notice(Notice::Bind(_)) => retires = true,
                    }
                }
                consolidate(&mut changes);
                let mut session = output.session(&cap);
                session.give_iterator(changes.into_iter().map(|(change, diff)| Out::Change(change, time, diff)));
                if retires {
                    session.give_iterator(beats.retire(horizon).into_iter().map(|(venue, base)| {
                        let entry = StateEntry::new(BEATS, &(check, venue.as_ref()), Some(&base));
                        Out::row(SinkRow::State(vec![entry]))
                    }));
                }
            }
        }
    });
    parted(out)
}
