//! The commit operator: worker 0 gives complete epochs to the commit task, in order, and holds each until it is decided.
//!
//! What must always hold: a part is sent under the epoch's last step, so worker 0's frontier passing it proves that every
//! worker has written its part; an epoch that lacks a part is never committed.

use crate::commit::{CommitJob, WorkerPart};
use crate::graph::parts::{Vecs, complete};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Epoch, LAST_STEP, epoch_of, stamp};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;
use timely::scheduling::SyncActivator;

/// The commit operator: worker 0 gives complete epochs to the commit task, in order, and keeps each epoch's capability
/// until it is decided. The stream it returns carries nothing: its frontier shows what is decided.
pub fn commit<'scope>(
    name: &str,
    parts: Stream<'scope, u64, Vec<WorkerPart>>,
    jobs: Option<tokio::sync::mpsc::UnboundedSender<CommitJob>>,
    decided: std::sync::mpsc::Receiver<Epoch>,
    activator: impl FnOnce(SyncActivator),
    failure: Arc<Failure>,
) -> Stream<'scope, u64, Vec<()>> {
    let scope = parts.scope();
    parts.unary_frontier::<Vecs<()>, _, _, _>(Exchange::new(|_: &WorkerPart| 0), name, move |_, info| {
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
                    failure.set(Error::bug(message));
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
