//! The bars operator: owner of its instruments' live bars.
//!
//! ```text
//!   routed ═ by instrument ═▶ ┐
//!                             ├ wait for their time ─▶ [Bars::step] ─▶ changes of bars, rows for the writer
//!   notices ────────────────▶ ┘
//! ```
//!
//! Why two halves: [`bars`] knows frontiers and capabilities, [`Bars`] knows the order of work, and is tested without timely.
//! What must always hold: what an epoch begins with comes before its records, and what it ends with after them; which of two
//! records is the duplicate does not depend on which of them arrives first.

use crate::graph::parts::{Changes, Out, Rows, Vecs, Waiting, complete, parted};
use crate::graph::resumed::Resumed;
use crate::graph::rows::{Notice, SinkRow};
use crate::states::BARS;
use ticktide_base::epoch::{LAST_STEP, epoch_of, stamp, step_of};
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::{Aside, Emitted, Keyed};
use ticktide_flow::bars::{RefusedRecord, Routed};
use ticktide_lake::StateEntry;
use ticktide_tables::QuarantineRow;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// The bars operator. Gives changes of bars (retirements under an epoch's last step) and rows for the writer.
pub fn bars<'scope>(
    name: &str,
    routed: Stream<'scope, u64, Vec<Routed>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    keyed: Keyed,
    resumed: &Resumed,
) -> (Changes<'scope>, Rows<'scope>) {
    let route = Exchange::new(|routed: &Routed| routed.instrument().route());
    let (first, horizons) = (resumed.first, resumed.horizons.clone());
    let out = routed.binary_frontier::<_, Vecs<Out<_>>, _, _, _, _>(notices, route, Pipeline, name, move |cap, _| {
        let mut start = Some(cap.delayed(&stamp(first, 0)));
        drop(cap);
        let mut bars = Bars { keyed };
        let mut waiting: Waiting<Work> = Waiting::new();
        move |(input, input_frontier), (notices, notices_frontier), output| {
            if let Some(cap) = start.take() {
                let time = *cap.time();
                let mut session = output.session(&cap);
                bars.keyed.restored(horizons.clone(), |series, bar| session.give(Out::Change((series, bar), time, 1)));
            }
            notices.for_each(|cap, data| {
                if let Some(time) = cap.least().copied() {
                    waiting.push(time, || cap.retain_least(0), &mut vec![Work::Notices(std::mem::take(data))]);
                }
            });
            input.for_each(|cap, data| {
                if let Some(time) = cap.least().copied() {
                    let time = bars.held_until(time);
                    let cap = || Some(cap.delayed(&time, 0));
                    waiting.push(time, cap, &mut vec![Work::Routed(std::mem::take(data))]);
                }
            });
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, all)) = waiting.next(ready) {
                let mut session = output.session(&cap);
                bars.step(all).give(*cap.time(), |out| session.give(out));
            }
        }
    });
    parted(out)
}

/// What has arrived for a step.
pub enum Work {
    Routed(Vec<Routed>),
    Notices(Vec<Notice>),
}

/// What a step does.
#[derive(Default)]
pub struct Done {
    /// At the end of an epoch: the durable changes.
    pub states: Option<Vec<StateEntry>>,
    pub changes: Vec<(Series, Emitted, isize)>,
    pub aside: Aside,
}

/// The live bars of one worker, and the order in which they take their work.
pub struct Bars {
    pub keyed: Keyed,
}

impl Bars {
    /// When a record's work is done: if duplicates are found here, an epoch's records wait for each other.
    #[inline]
    fn held_until(&self, time: u64) -> u64 {
        if self.keyed.finds_duplicates() { time.max(stamp(epoch_of(time), LAST_STEP - 1)) } else { time }
    }

    /// Does the work of a step, in whatever order it has arrived.
    pub fn step(&mut self, mut all: Vec<Work>) -> Done {
        let mut done = Done::default();
        let mut ends = None;
        let mut records = Vec::new();
        // what an epoch begins with comes before its records
        all.sort_by_key(|work| matches!(work, Work::Routed(_)));
        for work in all {
            match work {
                Work::Notices(notices) => {
                    for notice in notices {
                        match notice {
                            Notice::Begin(_, horizons) => self.keyed.begin(horizons),
                            Notice::Bind(binding) => ends = Some(binding),
                        }
                    }
                }
                Work::Routed(all) if self.keyed.finds_duplicates() => records.extend(all),
                Work::Routed(all) => all.into_iter().for_each(|routed| self.keyed.apply(routed, &mut done.aside)),
            }
        }
        records.sort_by(|a, b| in_order(a).cmp(&in_order(b)));
        records.into_iter().for_each(|routed| self.keyed.apply(routed, &mut done.aside));
        self.keyed.changes(&mut done.changes);
        if let Some(binding) = ends {
            let states = self.keyed.retire(binding.epoch, &mut done.changes, &mut done.aside).into_iter();
            let states = states.map(|(instrument, key, value)| {
                let gone = StateEntry::new(BARS, &(instrument, key), None::<&()>);
                StateEntry { value: value.map(Into::into), ..gone }
            });
            done.states = Some(states.collect());
        }
        done
    }
}

impl Done {
    /// Gives all of it, at the time of the step.
    fn give(self, time: u64, mut give: impl FnMut(Out<(Series, Emitted)>)) {
        if let Some(states) = self.states {
            debug_assert_eq!(step_of(time), LAST_STEP);
            give(Out::row(SinkRow::State(states)));
        }
        for (series, bar, diff) in self.changes {
            give(Out::Change((series, bar), time, diff));
        }
        for refused in self.aside.refused {
            give(Out::row(SinkRow::Quarantine(quarantined(refused))));
        }
        for (partition, counts) in self.aside.counts {
            give(Out::row(SinkRow::Counts(partition, counts)));
        }
    }
}

/// The order of records whose duplicates are found after the exchange: that of their partitions.
fn in_order(routed: &Routed) -> Option<(&str, i64)> {
    routed.place().map(|place| (&*place.partition, place.offset))
}

fn quarantined(refused: RefusedRecord) -> QuarantineRow {
    QuarantineRow {
        partition: refused.place.partition,
        offset: refused.place.offset,
        received_at: refused.place.received_at,
        reason: refused.reason,
        detail: refused.detail,
        payload: refused.place.payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::{begin, bind, close_of, horizons, keyed, known_as, trade};
    use ticktide_base::time::{DAY, Interval, MINUTE};
    use ticktide_flow::bars::keyed::BarsSpec;
    use ticktide_flow::clean::EpochHorizons;

    fn closes(done: &Done) -> Vec<(i64, isize)> {
        done.changes.iter().map(|(_, bar, diff)| (close_of(bar), *diff)).collect()
    }

    #[test]
    fn a_step_does_its_work_in_one_order_whatever_came_first() {
        let begin = || Notice::Begin(1, EpochHorizons { intervals: vec![MINUTE], ..horizons() });
        let records = || Work::Routed(vec![trade(1, 70)]);
        let notices = || Work::Notices(vec![begin()]);
        for all in [vec![records(), notices()], vec![notices(), records()]] {
            // the bar is before the horizon: it no longer changes
            assert_eq!(closes(&Bars { keyed: keyed() }.step(all)), []);
        }
    }

    #[test]
    fn which_of_two_records_is_the_duplicate_is_said_by_their_partition_and_not_by_their_arrival() {
        let spec = BarsSpec {
            intervals: vec![Interval(MINUTE)],
            corrections: false,
            carries: false,
            dedupe_here: true,
            prices_signed: false,
        };
        for offsets in [[(1, 50), (2, 70)], [(2, 70), (1, 50)]] {
            let mut bars = Bars { keyed: Keyed::new(spec.clone()) };
            let records = offsets.map(|(offset, price)| Work::Routed(vec![known_as("x", offset, price)]));
            let done = bars.step([Work::Notices(vec![begin(1)])].into_iter().chain(records).collect());
            assert_eq!(closes(&done), [(50, 1)]);
            let refused: Vec<_> = done.aside.refused.iter().map(|no| (no.place.offset, no.reason)).collect();
            assert_eq!(refused, [(2, "conflicting_id")]);
        }
    }

    #[test]
    fn a_binding_retires_what_is_behind_the_horizon_and_says_what_is_durable() {
        let mut bars = Bars { keyed: keyed() };
        let first = bars.step(vec![Work::Notices(vec![begin(1)]), Work::Routed(vec![trade(1, 70)])]);
        assert_eq!((closes(&first), first.states.is_none()), (vec![(70, 1)], true), "only an epoch's end is durable");
        let end = bars.step(vec![Work::Notices(vec![bind(1, MINUTE)])]);
        let kept: Vec<bool> =
            end.states.expect("an epoch has ended").iter().map(|entry| entry.value.is_some()).collect();
        assert_eq!((end.changes.len(), kept), (0, vec![true, true]), "the bar and its trade");
        let passed =
            Notice::Begin(2, EpochHorizons { intervals: vec![DAY], retained_from: DAY, ..EpochHorizons::default() });
        bars.step(vec![Work::Notices(vec![passed])]);
        let end = bars.step(vec![Work::Notices(vec![bind(2, DAY)])]);
        assert_eq!(closes(&end), [(70, -1)]);
        let gone: Vec<bool> =
            end.states.expect("an epoch has ended").iter().map(|entry| entry.value.is_none()).collect();
        assert_eq!(gone, [true, true]);
    }
}
