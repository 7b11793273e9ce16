//! What each worker builds before it loops: the data dataflow, from source to commit.
//!
//! ```text
//!   source ─┬─ routed ═▶ bars ─┬─ changes ─▶ (volume scan) ─▶ finished ─┬─▶ close ────────────┐
//!           │                  │                                        └─▶ arrange ▶ scans ▶ close ─┐
//!           ├─ notices ────────┴──────────── to bars and every close      │                   │
//!           └─ rows ──────────────────────────────────────────────────────┴─▶ write ═▶ commit (worker 0)
//! ```
//!
//! `═▶` crosses workers: records go to the owner of their instrument, parts of an epoch to worker 0. Everything else stays on
//! its worker. What must always hold: an operator works through its times in order, and publishes on the binding alone; each
//! takes its name from its node of the [`Topology`], and no node is left unbuilt.

pub mod bars;
pub mod checks;
pub mod close;
pub mod commit;
pub mod finished;
pub mod indicators;
pub mod instruments;
pub mod parts;
mod reader;
pub mod resumed;
pub mod rows;
pub mod source;
pub mod topology;
pub mod write;

use crate::commit::CommitJob;
use crate::epochs::until::Until;
use crate::ingest::Intake;
use crate::plan::RunPlan;
use crate::restore::{Restored, restore};
use crate::share::Share;
use bars::bars;
use checks::Checks;
use commit::commit;
use finished::{arranged, finished};
use indicators::indicators;
use instruments::{Publishing, close_named, listings};
use reader::read_on_a_thread;
use resumed::Resumed;
use rows::{Notice, SinkRow};
use source::{Credit, Ports, ReadPace, SourceInput, SourceLogic, Wires, source};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::error::Error;
use ticktide_base::time::Interval;
use ticktide_dataflow::composites;
use ticktide_feed::Assignment;
use ticktide_flow::indicators::Composite;
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concatenate, Probe};
use timely::scheduling::{Activator, SyncActivator};
use timely::worker::Worker;
use tokio::sync::mpsc::UnboundedSender;
use topology::{Closes, Operator, Topology};
use write::{PartWriter, write};

/// Builds the data dataflow; returns what activates its source.
pub(super) fn flow(
    worker: &mut Worker,
    plan: &RunPlan,
    wires: &Wires,
    jobs: Option<UnboundedSender<CommitJob>>,
    decided: mpsc::Receiver<u64>,
    wake: Option<Arc<Mutex<Option<SyncActivator>>>>,
) -> Result<Activator, Error> {
    let share = Share::of(worker);
    let dataflow = &plan.dataflow;
    let resumed = Resumed::new(dataflow, &plan.resume, &plan.additions);
    let assigned = assigned(plan, share, &resumed.binding);
    let restored = {
        let partitions = plan.source.partitions();
        let intake = Intake::new(dataflow, partitions, &assigned, &resumed.binding, share);
        let state = plan.state.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        restore(dataflow, &state, share, intake)?
    };
    let open = open(plan, wires, share, &resumed, &assigned)?;
    let composites = composites(dataflow)?;
    let built = Built {
        topology: Topology::new(dataflow, &outputs(&composites)),
        checks: Checks::new(dataflow, resumed.rules),
        composites,
        restored,
        resumed,
        writing: PartWriter::new(
            share.index,
            plan.tables.clone(),
            plan.writer.clone(),
            plan.runtime.clone(),
            plan.panic_at,
        ),
    };
    let woken = move |activator| {
        if let Some(wake) = wake
            && let Ok(mut wake) = wake.lock()
        {
            *wake = Some(activator);
        }
    };
    worker.dataflow::<u64, _, _>(|scope| build(scope, built, wires, open, CommitWay { jobs, decided, woken }))
}

/// What a worker's data dataflow is built from.
struct Built {
    topology: Topology,
    composites: BTreeMap<Interval, Composite>,
    checks: Checks,
    restored: Restored,
    resumed: Resumed,
    writing: PartWriter,
}

/// The channels to the commit task and back.
struct CommitWay<W> {
    /// Only on worker 0.
    jobs: Option<UnboundedSender<CommitJob>>,
    decided: mpsc::Receiver<Epoch>,
    /// Receives what wakes the commit operator.
    woken: W,
}

/// Builds every operator of the topology, in the order of the flow; returns what activates the source.
fn build<'scope>(
    scope: Scope<'scope, u64>,
    Built { topology, composites, checks, restored, resumed, writing }: Built,
    wires: &Wires,
    open: impl FnOnce(Intake, Ports, SyncActivator) -> SourceLogic,
    way: CommitWay<impl FnOnce(SyncActivator)>,
) -> Result<Activator, Error> {
    let mut nodes = topology.unbuilt();
    let Restored { intake, keyed, volume, indicators: bases, checks: state, listings: known } = restored;
    let sourced = source(&nodes.take(Operator::Source), scope, |ports, wake| open(intake, ports, wake));
    let notices = sourced.notices;
    let (changes, bar_rows) = bars(&nodes.take(Operator::Bars), sourced.routed, notices.clone(), keyed, &resumed);
    let (finished, volume_rows) = finished(nodes.find(Operator::Volume), changes, volume, &resumed);
    let (listed, listing_rows) = nodes
        .find(Operator::Listings)
        .map(|name| listings(&name, sourced.listings, notices.clone(), known, resumed.first))
        .unzip();
    let arranged = arranged(nodes.find(Operator::Finished), &finished, topology.scanned());
    let publishing = Publishing { notices, listed, resumed };
    let reading_rows = indicators(&mut nodes, arranged.clone(), composites, bases, &publishing);
    let inputs = checks::CheckInputs { arranged, finished: finished.clone(), remarks: sourced.remarks };
    let anomaly_rows = checks::watch(&mut nodes, checks, state, inputs, &publishing);
    let closed = close_named(&nodes.take(Operator::Close(Closes::Bars)), finished, &publishing, SinkRow::Bar);
    let bound = publishing.notices.flat_map(|notice| match notice {
        Notice::Bind(binding) => Some(SinkRow::Bind(binding)),
        Notice::Begin(..) => None,
    });
    let rows = [sourced.rows, bar_rows].into_iter().chain(volume_rows).chain(listing_rows);
    let rows = rows.chain(reading_rows).chain(anomaly_rows).chain([closed, bound]);
    let rows = scope.concatenate(rows).probe_with(&wires.compute);
    let parts = write(&nodes.take(Operator::Write), rows, writing, wires.failure.clone());
    let CommitWay { jobs, decided, woken } = way;
    commit(&nodes.take(Operator::Commit), parts, jobs, decided, woken, wires.failure.clone()).probe_with(&wires.commit);
    nodes.done()?;
    Ok(sourced.activator)
}

/// The partitions that a worker reads, and the first offset that it reads of each.
fn assigned(plan: &RunPlan, share: Share, binding: &Binding) -> Vec<(usize, i64)> {
    let partitions = plan.source.partitions().iter().enumerate();
    let mine = partitions.filter(|(partition, _)| share.owns(*partition as u64));
    let assigned = mine.filter_map(|(index, partition)| {
        let name = partition.name();
        let start = match &plan.recorded {
            Some(recorded) => recorded.starts.get(&name).copied(),
            None => Some(binding.places.get(&name).map_or(partition.offset_start, |place| place.offset_next)),
        };
        start.map(|offset| (index, offset))
    });
    assigned.collect()
}

/// Opens the reader of a worker; returns what makes the source operator's logic once it has its capabilities.
fn open(
    plan: &RunPlan,
    wires: &Wires,
    share: Share,
    resumed: &Resumed,
    assigned: &[(usize, i64)],
) -> Result<impl FnOnce(Intake, Ports, SyncActivator) -> SourceLogic + use<>, Error> {
    let (dataflow, partitions) = (&plan.dataflow, plan.source.partitions());
    let named = assigned.iter().map(|(partition, offset)| (*partition, partitions[*partition].name(), *offset));
    let until = plan.recorded.as_ref().map(|_| Until::new(named));
    let assignments: Vec<Assignment> =
        assigned.iter().map(|(partition, offset)| Assignment { partition: *partition, offset: *offset }).collect();
    let reader = if assignments.is_empty() { None } else { Some(plan.source.reader(&assignments)?) };
    let bytes = (dataflow.limits.bytes as usize / share.peers).max(1);
    let credit = Credit { steps: dataflow.limits.steps.max(1), bytes };
    let pace = ReadPace { step_every: Duration::from_nanos(dataflow.step.max(1) as u64), max_skew: dataflow.max_skew };
    let paused: Arc<Vec<AtomicBool>> = Arc::new(partitions.iter().map(|_| AtomicBool::new(false)).collect());
    let (wires, panic_at) = (wires.clone(), plan.panic_at);
    // a source with an end gets its verdict there
    let (first, goes_on) = (resumed.first, dataflow.source.until_end || !resumed.binding.places.is_empty());
    Ok(move |intake, ports, wake| {
        let batches = read_on_a_thread(reader, wake, paused.clone(), wires.failure.clone(), share.index, panic_at);
        let inlet = SourceInput { intake, batches, paused };
        let source = SourceLogic::new(share.index, inlet, wires, credit, pace, ports, first);
        let source = if goes_on { source.going_on() } else { source };
        match until {
            Some(until) => source.replaying(until),
            None => source,
        }
    })
}

/// The outputs of the indicators of each interval, in order.
pub fn outputs(composites: &BTreeMap<Interval, Composite>) -> BTreeMap<Interval, Vec<String>> {
    composites.iter().map(|(on, composite)| (*on, composite.outputs().to_vec())).collect()
}

#[cfg(test)]
mod tests;
