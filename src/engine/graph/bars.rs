//! The bars operator: owner of its instruments' live bars.

use crate::graph::parts::{Changes, Rows, Vecs, Waiting, complete};
use crate::graph::rows::{Notice, SinkRow};
use crate::states::BARS;
use differential_dataflow::AsCollection;
use ticktide_base::epoch::{Epoch, LAST_STEP, epoch_of, stamp, step_of};
use ticktide_flow::bars::Routed;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::{Aside, Emitted, Keyed};
use ticktide_flow::clean::Horizons;
use ticktide_lake::StateEntry;
use ticktide_tables::QuarantineRow;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::operator::Operator;

/// The order of records whose duplicates are found behind the exchange: that of their partitions.
fn in_order(routed: &Routed) -> Option<(&str, i64)> {
    routed.place().map(|place| (&*place.partition, place.offset))
}

/// The bars operator: owner of its instruments' live bars. Gives changes of bars (retirements under an epoch's last step)
/// and rows for the writer.
pub fn bars<'scope>(
    routed: Stream<'scope, u64, Vec<Routed>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    mut keyed: Keyed,
    restored: (Epoch, Horizons),
) -> (Changes<'scope>, Rows<'scope>) {
    enum Out {
        Change((Series, Emitted), u64, isize),
        Row(Box<SinkRow>),
    }
    impl Clone for Out {
        fn clone(&self) -> Out {
            match self {
                Out::Change(change, time, diff) => Out::Change(change.clone(), *time, *diff),
                Out::Row(row) => Out::Row(row.clone()),
            }
        }
    }
    enum Work {
        Routed(Vec<Routed>),
        Notices(Vec<Notice>),
    }
    let route = Exchange::new(|routed: &Routed| routed.instrument().route());
    let out = routed.binary_frontier::<_, Vecs<Out>, _, _, _, _>(notices, route, Pipeline, "Bars", move |cap, _| {
        let (first, horizons) = restored;
        let mut start = Some(cap.delayed(&stamp(first, 0)));
        drop(cap);
        let mut waiting: Waiting<Work> = Waiting::new();
        move |(input, input_frontier), (notices, notices_frontier), output| {
            if let Some(cap) = start.take() {
                let time = *cap.time();
                let mut session = output.session(&cap);
                keyed.restored(horizons.clone(), |series, bar| session.give(Out::Change((series, bar), time, 1)));
            }
            notices.for_each(|cap, data| {
                if let Some(time) = cap.least().copied() {
                    waiting.push(time, || cap.retain_least(0), &mut vec![Work::Notices(std::mem::take(data))]);
                }
            });
            input.for_each(|cap, data| {
                if let Some(time) = cap.least().copied() {
                    // which of two records is the duplicate must not depend on which arrives first: they wait for each other
                    let held = stamp(epoch_of(time), LAST_STEP - 1);
                    let time = if keyed.finds_duplicates() { time.max(held) } else { time };
                    let cap = || Some(cap.delayed(&time, 0));
                    waiting.push(time, cap, &mut vec![Work::Routed(std::mem::take(data))]);
                }
            });
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, mut all)) = waiting.next(ready) {
                let time = *cap.time();
                let mut session = output.session(&cap);
                let mut aside = Aside::default();
                let mut changes = Vec::new();
                let mut ends = None;
                // what an epoch begins with comes before its records
                all.sort_by_key(|work| matches!(work, Work::Routed(_)));
                let mut records = Vec::new();
                for work in all {
                    match work {
                        Work::Notices(notices) => {
                            for notice in notices {
                                match notice {
                                    Notice::Begin(_, horizons) => keyed.begin(horizons),
                                    Notice::Bind(binding) => ends = Some(binding),
                                }
                            }
                        }
                        Work::Routed(all) if keyed.finds_duplicates() => records.extend(all),
                        Work::Routed(all) => all.into_iter().for_each(|routed| keyed.apply(routed, &mut aside)),
                    }
                }
                records.sort_by(|a, b| in_order(a).cmp(&in_order(b)));
                records.into_iter().for_each(|routed| keyed.apply(routed, &mut aside));
                keyed.changes(&mut changes);
                if let Some(binding) = ends {
                    debug_assert_eq!(step_of(time), LAST_STEP);
                    let states = keyed.retire(binding.epoch, &mut changes, &mut aside).into_iter();
                    let states = states.map(|(instrument, key, value)| {
                        let gone = StateEntry::new(BARS, &(instrument, key), None::<&()>);
                        StateEntry { value: value.map(Into::into), ..gone }
                    });
                    session.give(Out::Row(Box::new(SinkRow::State(states.collect()))));
                }
                for (series, bar, diff) in changes {
                    session.give(Out::Change((series, bar), time, diff));
                }
                for refused in aside.refused {
                    session.give(Out::Row(Box::new(SinkRow::Quarantine(QuarantineRow {
                        partition: refused.place.partition,
                        offset: refused.place.offset,
                        received_at: refused.place.received_at,
                        reason: refused.reason,
                        detail: refused.detail,
                        payload: refused.place.payload,
                    }))));
                }
                for (partition, counts) in aside.counts {
                    session.give(Out::Row(Box::new(SinkRow::Counts(partition, counts))));
                }
            }
        }
    });
    let (changes, rows) = out.ok_err(|out| match out {
        Out::Change(change, time, diff) => Ok((change, time, diff)),
        Out::Row(row) => Err(*row),
    });
    let changes: Stream<'scope, u64, Vec<((Series, Emitted), u64, isize)>> = changes;
    (changes.as_collection(), rows)
}
