//! The workers of this process: how they communicate, how they start, and how the process waits for their end.
//!
//! What must always hold: a failure of one worker is sent to the other processes at once, before the last worker has left.

use crate::options::RunOptions;
use std::time::{Duration, Instant};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_cluster::mesh::{Mesh, Threads};
use ticktide_cluster::supervise::LoopBeat;
use timely::communication::WorkerGuards;
use timely::communication::allocator::AllocatorBuilder;
use timely::worker::Worker;

/// How often the process checks whether the workers have ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the process waits for workers that are slow to leave a failed run.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Starts the workers of this process, and the links to the others.
pub(crate) fn start(
    options: &RunOptions,
    mesh: Option<&Mesh>,
    work: impl Fn(&mut Worker) + Send + Sync + 'static,
) -> Result<(WorkerGuards<()>, Option<Threads>), Error> {
    let (workers, force_bytes) = (options.workers, options.force_bytes);
    let (builders, links) = match mesh {
        Some(mesh) => mesh.allocators(workers, force_bytes).map(|(all, links)| (all, Some(links)))?,
        None => (local(workers, force_bytes)?, None),
    };
    let guards = timely::execute::execute_from(builders, Box::new(()), timely::WorkerConfig::default(), work);
    let guards = guards.map_err(|error| Error::bug(format!("the workers do not start: {error}")))?;
    Ok((guards, links))
}

/// The channels between the workers of a single process.
fn local(workers: usize, force_bytes: bool) -> Result<Vec<AllocatorBuilder>, Error> {
    let config = match (workers, force_bytes) {
        (workers, true) => timely::CommunicationConfig::ProcessBinary(workers),
        (1, false) => timely::CommunicationConfig::Thread,
        (workers, false) => timely::CommunicationConfig::Process(workers),
    };
    let built = config.try_build();
    built.map(|(builders, _)| builders).map_err(|error| Error::bug(format!("the workers do not start: {error}")))
}

/// Waits for the workers; sends a failure to the other processes at once. True: a worker panicked.
pub(crate) fn wait_for(guards: WorkerGuards<()>, failure: &Failure, mesh: Option<&Mesh>, pulse: &mut LoopBeat) -> bool {
    let mut failed_at: Option<Instant> = None;
    while !guards.guards().iter().all(|guard| guard.is_finished()) {
        pulse.beat();
        if failure.is_met() && failed_at.is_none() {
            failed_at = Some(Instant::now());
            if let Some(mesh) = mesh {
                failure.with_first(|error| mesh.tell(error));
            }
        }
        if failed_at.is_some_and(|at| at.elapsed() >= LEAVE_WITHIN) {
            std::mem::forget(guards); // dropping them would wait for them
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    guards.join().into_iter().any(|result| result.is_err())
}
