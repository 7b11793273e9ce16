//! The dataflow that every worker builds: from the source operator to the decided epoch.
//!
//! ```text
//!   source ─┬─ routed ═▶ bars ─┬─ changes ─▶ (volume scan) ─▶ finished ─┬─▶ close ────────────┐
//!           │                  │                                        └─▶ arrange ▶ scans ▶ close ─┐
//!           ├─ notices ────────┴──────────── to bars and every close      │                   │
//!           └─ rows ──────────────────────────────────────────────────────┴─▶ write ═▶ commit (worker 0)
//! ```
//!
//! `═▶` crosses workers: records go to the owner of their instrument, parts of an epoch to worker 0. Everything else stays on
//! its worker. What must always hold: an operator works through its times in order, and publishes on the binding alone.

use crate::graph::source::{Notice, Outbox, Ports, SourceLogic};
use crate::graph::write::{CommitJob, SinkRow, WorkerPart, Writing};
use differential_dataflow::{AsCollection, VecCollection};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, LAST_STEP, epoch_of, stamp, step_of};
use ticktide_base::failure::Failure;
use ticktide_flow::anomalies::ticks::Remark;
use ticktide_flow::bars::Routed;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::{Aside, Emitted, Keyed};
use ticktide_flow::clean::Horizons;
use ticktide_flow::close::{AtBar, Close, NetChange};
use ticktide_flow::instruments::Told;
use ticktide_flow::scan::BaseChanges;
use ticktide_lake::StateEntry;
use ticktide_market::calendar::Session;
use ticktide_tables::QuarantineRow;
use timely::communication::Pull;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;

/// Name of the bars' entries in the durable state.
pub const BARS: &str = "bars";
/// Name of the volume scan's.
pub const VOLUME: &str = "volume";
/// Name of the indicators'.
pub const INDICATORS: &str = "indicators";

/// Containers of an operator's output.
pub(crate) type Vecs<D> = CapacityContainerBuilder<Vec<D>>;
/// A stream of rows for the writer.
pub type Rows<'scope> = Stream<'scope, u64, Vec<SinkRow>>;
/// Changes of bars as the keyed operator knows them.
pub type Changes<'scope> = VecCollection<'scope, u64, (Series, Emitted), isize>;

/// Whether a time is complete: nothing at or before it can come.
pub(crate) fn complete(frontier: &MutableAntichain<u64>, time: u64) -> bool {
    !frontier.less_equal(&time)
}

/// The streams of the source operator.
pub struct Sourced<'scope> {
    pub routed: Stream<'scope, u64, Vec<Routed>>,
    pub notices: Stream<'scope, u64, Vec<Notice>>,
    pub remarks: Stream<'scope, u64, Vec<Remark>>,
    pub listings: Stream<'scope, u64, Vec<Told>>,
    pub rows: Rows<'scope>,
}

/// The source operator. `build` makes its logic from the operator's capabilities and the activator that wakes it.
pub fn sourced<'scope>(
    scope: Scope<'scope, u64>,
    build: impl FnOnce(Ports, SyncActivator, timely::scheduling::Activator) -> SourceLogic,
) -> Sourced<'scope> {
    let mut builder = OperatorBuilder::new("Source".to_owned(), scope);
    let address = builder.operator_info().address;
    let (routed_output, routed) = builder.new_output();
    let mut routed_output = OutputBuilder::<u64, Vecs<Routed>>::from(routed_output);
    let (notices_output, notices) = builder.new_output();
    let mut notices_output = OutputBuilder::<u64, Vecs<Notice>>::from(notices_output);
    let (remarks_output, remarks) = builder.new_output();
    let mut remarks_output = OutputBuilder::<u64, Vecs<Remark>>::from(remarks_output);
    let (listings_output, listings) = builder.new_output();
    let mut listings_output = OutputBuilder::<u64, Vecs<Told>>::from(listings_output);
    let (rows_output, rows) = builder.new_output();
    let mut rows_output = OutputBuilder::<u64, Vecs<SinkRow>>::from(rows_output);
    builder.build(move |capabilities| {
        let Ok([routed, notices, remarks, listings, rows]) = <[_; 5]>::try_from(capabilities) else {
            unreachable!("an operator has a capability for each of its five outputs")
        };
        let wake = scope.worker().sync_activator_for(address.to_vec());
        let again = scope.activator_for(address.clone());
        let ports = Ports { routed, notices, remarks, listings, rows };
        let mut logic = Some(build(ports, wake, scope.activator_for(address)));
        move |_| {
            let Some(running) = &mut logic else { return };
            let mut outbox = Outbox::default();
            if running.turn(&mut outbox) {
                again.activate();
            }
            // whole containers: what is said is moved once, into the exchange
            let mut routed = routed_output.activate();
            let mut notices = notices_output.activate();
            let mut remarks = remarks_output.activate();
            let mut listings = listings_output.activate();
            let mut rows = rows_output.activate();
            for mut said in outbox.0 {
                routed.session(&said.ports.routed).give_container(&mut said.routed);
                notices.session(&said.ports.notices).give_container(&mut said.notices);
                remarks.session(&said.ports.remarks).give_container(&mut said.remarks);
                listings.session(&said.ports.listings).give_container(&mut said.listings);
                rows.session(&said.ports.rows).give_container(&mut said.rows);
            }
            if running.is_done() {
                logic = None;
            }
        }
    });
    Sourced { routed, notices, remarks, listings, rows }
}

/// Work that waits for its time, in order of times.
pub(crate) struct Waiting<D>(BTreeMap<u64, (Capability<u64>, Vec<D>)>);

impl<D> Waiting<D> {
    pub(crate) fn new() -> Waiting<D> {
        Waiting(BTreeMap::new())
    }

    pub(crate) fn push(&mut self, time: u64, cap: impl FnOnce() -> Option<Capability<u64>>, all: &mut Vec<D>) {
        match self.0.entry(time) {
            std::collections::btree_map::Entry::Occupied(mut waiting) => waiting.get_mut().1.append(all),
            std::collections::btree_map::Entry::Vacant(place) => {
                if let Some(cap) = cap() {
                    place.insert((cap, std::mem::take(all)));
                }
            }
        }
    }

    /// Takes all that has come on an input, each of it as work of its time.
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
            while let Some(entry) = waiting.0.first_entry() {
                let time = *entry.key();
                if !(complete(input_frontier, time) && complete(notices_frontier, time)) {
                    break;
                }
                let (cap, mut all) = entry.remove();
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

/// Changes of a scan's bases as durable state under `operator`.
pub fn base_state<'scope, A: Serialize + Clone + 'static>(
    bases: BaseChanges<'scope, Series, A>,
    operator: &'static str,
) -> Rows<'scope> {
    bases.map(move |(series, base)| SinkRow::State(vec![StateEntry::new(operator, &series, base.as_ref())]))
}

/// The close operator: holds rows back until their bar is published, and gives one net change per key and epoch.
pub fn close<'scope, R: AtBar + Serialize>(
    changes: VecCollection<'scope, u64, (Series, R), isize>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    session: Arc<Session>,
    published: Binding,
    first: Epoch,
    row: impl Fn(NetChange<R>) -> SinkRow + 'static,
) -> Rows<'scope> {
    changes.inner.binary_frontier::<_, Vecs<SinkRow>, _, _, _, _>(notices, Pipeline, Pipeline, "Close", move |_, _| {
        let mut closing = Close::new(session, published);
        let mut bindings: BTreeMap<u64, (Capability<u64>, Arc<Binding>)> = BTreeMap::new();
        let restoring = stamp(first, 0);
        move |(input, input_frontier), (notices, notices_frontier), output| {
            input.for_each(|_, data| {
                for ((series, row), time, diff) in data.drain(..) {
                    if time <= restoring {
                        closing.restore(series, row, diff);
                    } else if step_of(time) != LAST_STEP {
                        // under an epoch's last step only retirements come, which publish nothing
                        closing.change(epoch_of(time), series, row, diff);
                    }
                }
            });
            notices.for_each(|cap, data| {
                for notice in data.drain(..) {
                    if let (Notice::Bind(binding), Some(cap)) = (notice, cap.retain_least(0)) {
                        bindings.insert(*cap.time(), (cap, binding));
                    }
                }
            });
            while let Some(entry) = bindings.first_entry() {
                if !(complete(input_frontier, *entry.key()) && complete(notices_frontier, *entry.key())) {
                    break;
                }
                let (cap, binding) = entry.remove();
                output.session(&cap).give_iterator(closing.close(&binding).into_iter().map(&row));
            }
        }
    })
}

/// The write operator: gives this worker's part of each epoch to worker 0 when its files are there.
pub fn write<'scope>(
    rows: Rows<'scope>,
    mut writing: Writing,
    failure: Arc<Failure>,
) -> Stream<'scope, u64, Vec<WorkerPart>> {
    let scope = rows.scope();
    rows.unary_frontier::<Vecs<WorkerPart>, _, _, _>(Pipeline, "Write", move |_, info| {
        let wake = scope.worker().sync_activator_for(info.address.to_vec());
        let wake = Arc::new(std::sync::Mutex::new(wake));
        let mut open: BTreeMap<Epoch, Capability<u64>> = BTreeMap::new();
        let mut writes: BTreeMap<Epoch, Capability<u64>> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|cap, data| {
                let Some(time) = cap.least().copied() else { return };
                let epoch = epoch_of(time);
                open.entry(epoch).or_insert_with(|| cap.delayed(&stamp(epoch, LAST_STEP), 0));
                for row in data.drain(..) {
                    writing.push(epoch, row);
                }
            });
            while let Some(entry) = open.first_entry() {
                if !complete(frontier, stamp(*entry.key(), LAST_STEP)) {
                    break;
                }
                let (epoch, cap) = entry.remove_entry();
                writes.insert(epoch, cap);
                let wake = wake.clone();
                writing.write(epoch, move || {
                    if let Ok(wake) = wake.lock() {
                        // a worker that is gone needs no waking
                        let _ = wake.activate();
                    }
                });
            }
            while let Some((epoch, written)) = writing.written() {
                let Some(cap) = writes.remove(&epoch) else { continue };
                match written {
                    Ok(part) => output.session(&cap).give(part),
                    Err(error) => {
                        failure.set(error);
                        // without its capability the epoch would look complete to worker 0, and lack this part
                        writes.insert(epoch, cap);
                        return;
                    }
                }
            }
        }
    })
}

/// The commit operator: worker 0 gives complete epochs to the commit task, in order, and keeps each epoch's capability
/// until it is decided. The stream it returns carries nothing: its frontier says what is decided.
pub fn commit<'scope>(
    parts: Stream<'scope, u64, Vec<WorkerPart>>,
    jobs: Option<tokio::sync::mpsc::UnboundedSender<CommitJob>>,
    decided: std::sync::mpsc::Receiver<Epoch>,
    activator: impl FnOnce(SyncActivator),
    failure: Arc<Failure>,
) -> Stream<'scope, u64, Vec<()>> {
    let scope = parts.scope();
    parts.unary_frontier::<Vecs<()>, _, _, _>(Exchange::new(|_: &WorkerPart| 0), "Commit", move |_, info| {
        activator(scope.worker().sync_activator_for(info.address.to_vec()));
        let peers = scope.peers();
        let mut jobs = jobs;
        let mut open: BTreeMap<Epoch, (Capability<u64>, Vec<WorkerPart>)> = BTreeMap::new();
        let mut undecided: BTreeMap<Epoch, Capability<u64>> = BTreeMap::new();
        move |(input, frontier), _output| {
            input.for_each(|cap, data| {
                let Some(cap) = cap.retain_least(0) else { return };
                let epoch = epoch_of(*cap.time());
                open.entry(epoch).or_insert_with(|| (cap, Vec::new())).1.append(data);
            });
            while let Some(entry) = open.first_entry() {
                if !complete(frontier, stamp(*entry.key(), LAST_STEP)) {
                    break;
                }
                let (epoch, (cap, parts)) = entry.remove_entry();
                if parts.len() != peers {
                    let message = format!("epoch {epoch} has {} parts of {peers} workers", parts.len());
                    failure.set(ticktide_base::error::Error::bug(message));
                    return;
                }
                if let Some(jobs) = &jobs {
                    undecided.insert(epoch, cap);
                    // the task ends early only after it has set the failure that ends this worker, too
                    let _ = jobs.send(CommitJob { epoch, parts });
                }
            }
            while let Ok(epoch) = decided.try_recv() {
                undecided.remove(&epoch);
            }
            if frontier.is_empty() && open.is_empty() {
                jobs = None; // no more epochs: the commit task may end
            }
        }
    })
}

#[cfg(test)]
mod tests;
