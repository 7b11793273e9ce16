//! What the operators of the graph share: streams of rows and changes, work that waits for its time, states of scans.
//!
//! Why apart from any operator: every operator uses them, and none of them knows an operator. What must always hold: the work
//! of a time is done only once nothing more can come at or before it.

use crate::graph::rows::SinkRow;
use differential_dataflow::{AsCollection, VecCollection};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use ticktide_flow::bars::finished::{FinishedBar, Series};
use ticktide_flow::bars::keyed::Emitted;
use ticktide_flow::scan::BaseChanges;
use ticktide_lake::StateEntry;
use timely::communication::Pull;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::Message;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::InputHandleCore;
use timely::dataflow::operators::vec::Map;
use timely::progress::frontier::MutableAntichain;

/// Containers of an operator's output.
pub(crate) type Vecs<D> = CapacityContainerBuilder<Vec<D>>;
/// A stream of rows for the writer.
pub type Rows<'scope> = Stream<'scope, u64, Vec<SinkRow>>;
/// Changes of finished bars.
pub type Finished<'scope> = VecCollection<'scope, u64, (Series, FinishedBar), isize>;
/// Changes of bars as the keyed operator knows them.
pub type Changes<'scope> = VecCollection<'scope, u64, (Series, Emitted), isize>;

/// The output of an operator that has a collection: its changes, at their times, and rows for the writer.
#[derive(Clone)]
pub enum Out<D> {
    Change(D, u64, isize),
    /// Boxed: most items are changes.
    Row(Box<SinkRow>),
}

impl<D> Out<D> {
    pub fn row(row: SinkRow) -> Out<D> {
        Out::Row(Box::new(row))
    }
}

/// Splits the output of an operator into its collection and its rows.
pub fn parted<'scope, D: Clone + 'static>(
    out: Stream<'scope, u64, Vec<Out<D>>>,
) -> (VecCollection<'scope, u64, D, isize>, Rows<'scope>) {
    let (changes, rows): (Stream<'scope, u64, Vec<(D, u64, isize)>>, _) = out.ok_err(|out| match out {
        Out::Change(change, time, diff) => Ok((change, time, diff)),
        Out::Row(row) => Err(*row),
    });
    (changes.as_collection(), rows)
}

/// Whether a time is complete: nothing more can come at or before it.
pub(crate) fn complete(frontier: &MutableAntichain<u64>, time: u64) -> bool {
    !frontier.less_equal(&time)
}

/// Work that waits for its time, in order of times.
pub(crate) struct Waiting<D>(BTreeMap<u64, (Capability<u64>, Vec<D>)>);

impl<D> Waiting<D> {
    pub(crate) fn new() -> Waiting<D> {
        Waiting(BTreeMap::new())
    }

    pub(crate) fn push(&mut self, time: u64, cap: impl FnOnce() -> Option<Capability<u64>>, all: &mut Vec<D>) {
        match self.0.entry(time) {
            Entry::Occupied(mut waiting) => waiting.get_mut().1.append(all),
            Entry::Vacant(place) => {
                if let Some(cap) = cap() {
                    place.insert((cap, std::mem::take(all)));
                }
            }
        }
    }

    /// Takes all that has come on an input, each item as work of its time.
    pub(crate) fn fill<R, P>(&mut self, input: &mut InputHandleCore<u64, Vec<R>, P>, work: impl Fn(R) -> D)
    where
        P: Pull<Message<u64, Vec<R>>>,
    {
        input.for_each(|cap, data| {
            if let Some(time) = cap.least().copied() {
                let mut all = data.drain(..).map(&work).collect();
                self.push(time, || cap.retain_least(0), &mut all);
            }
        });
    }

    /// The work of the earliest time, once that is complete.
    pub(crate) fn next(&mut self, complete: impl Fn(u64) -> bool) -> Option<(Capability<u64>, Vec<D>)> {
        let first = self.0.first_entry()?;
        complete(*first.key()).then(|| first.remove())
    }
}

/// Changes of a scan's bases as durable state under `operator`.
pub fn base_state<'scope, A: Serialize + Clone + 'static>(
    bases: BaseChanges<'scope, Series, A>,
    operator: &'static str,
) -> Rows<'scope> {
    bases.map(move |(series, base)| SinkRow::State(vec![StateEntry::new(operator, &series, base.as_ref())]))
}
