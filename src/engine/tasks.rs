//! What runs beside the workers: the taker of written epochs, the server of figures, the display of progress.
//!
//! ```text
//!   worker 0 ── CommitJob ─▶ taker (tokio) ── Decided ─┐
//!      ▲                                               │ frees the epoch in the commit operator, reports to the decider,
//!      └───────────────────────────────────────────────┘ and wakes worker 0
//! ```
//!
//! What must always hold: the channels to the taker and back exist before the first worker runs; they end with worker 0.

use crate::commit::CommitJob;
use crate::epochs::Report;
use crate::figures::Meters;
use crate::options::ShowFigures;
use crate::process::Process;
use crate::taker::{Decided, Jobs, Taker};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_base::metrics::{self, Listener, Serving};
use ticktide_base::panics::Thread;
use ticktide_cluster::supervise::LoopBeat;
use ticktide_feed::{Partition, Source};
use ticktide_lake::{LakeWriter, Resume};
use timely::scheduling::SyncActivator;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What wakes worker 0's commit operator, once it is built.
pub(crate) type Wake = Arc<Mutex<Option<SyncActivator>>>;

/// A worker's ends of the channels to the taker and back.
pub(crate) struct CommitEnds {
    /// `None`: the worker commits nothing.
    pub jobs: Option<UnboundedSender<CommitJob>>,
    pub decided: mpsc::Receiver<u64>,
    pub reports: Option<mpsc::Receiver<Report>>,
    pub wake: Option<Wake>,
}

impl CommitEnds {
    /// The ends of a worker that commits nothing.
    pub fn nowhere() -> CommitEnds {
        CommitEnds { jobs: None, decided: mpsc::channel().1, reports: None, wake: None }
    }
}

/// The channels between worker 0 and the taker: the worker's ends, and those of the taker.
pub(crate) fn ways(process: &Process) -> (CommitEnds, Jobs, Decided) {
    let (jobs, todo) = unbounded_channel();
    let (decided_out, decided) = mpsc::channel();
    let (reports_out, reports) = mpsc::channel();
    let wake = Wake::default();
    let (beating, panic_at, awake) = (process.heart.clone(), process.panic_at, wake.clone());
    let tell = move |report: Report| {
        if let Report::Decided { epoch } = report {
            beating.decided();
            panic_at.reach(Thread::Commit, epoch);
            let _ = decided_out.send(epoch); // worker 0 is gone only when the run ends
            let _ = reports_out.send(report);
            if let Ok(wake) = awake.lock()
                && let Some(wake) = wake.as_ref()
            {
                let _ = wake.activate();
            }
        }
    };
    let ends = CommitEnds { jobs: Some(jobs), decided, reports: Some(reports), wake: Some(wake) };
    (ends, todo, Box::new(tell))
}

/// Sets the figures that are known before the first record of a run.
pub(crate) fn first_figures(
    meters: &Meters,
    resume: &Resume,
    writer: &LakeWriter,
    source: &dyn Source,
) -> Result<(), Error> {
    meters.telemetry.restore_bytes.set(resume.state_bytes as i64);
    meters.telemetry.restore_entries.set(resume.state.len() as i64);
    if let Some(store) = writer.store_meters() {
        meters.follow_store(&store)?;
    }
    meters.telemetry.set_partitions(source.partitions().iter().map(Partition::name));
    Ok(())
}

/// Serves the figures, if there is a listener, until the returned guard is dropped.
pub(crate) fn serve(
    listener: Option<Listener>,
    meters: &Arc<Meters>,
    source: &Arc<dyn Source>,
) -> Result<Option<Serving>, Error> {
    let Some(listener) = listener else { return Ok(None) };
    let (meters, source) = (meters.clone(), source.clone());
    metrics::serve(listener, move || meters.text(&source.ends())).map(Some)
}

/// Shows progress on a thread until the returned guard is dropped.
pub(crate) fn watch(progress: Option<ShowFigures>, meters: Arc<Meters>, began_at: Instant) -> Option<mpsc::Sender<()>> {
    let progress = progress?;
    let (guard, dropped) = mpsc::channel::<()>();
    let show = move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = dropped.recv_timeout(Duration::from_millis(200)) {
            progress(&meters, began_at.elapsed());
        }
        progress(&meters, began_at.elapsed());
    };
    std::thread::Builder::new().name("progress".into()).spawn(show).ok().map(|_| guard)
}

/// The running taker; none if another process commits.
pub(crate) struct Taking(Option<JoinHandle<()>>);

impl Taking {
    /// Starts the taker on the I/O threads.
    pub fn start(
        taker: Option<Box<dyn Taker>>,
        jobs: Jobs,
        decided: Decided,
        failure: &Arc<Failure>,
        io: &Runtime,
    ) -> Taking {
        Taking(taker.map(|taker| io.spawn(taker.run(jobs, failure.clone(), decided))))
    }

    /// Waits until every epoch is taken. A decided epoch is safe: after a failed run the next start applies it.
    pub fn finish(self, failure: &Failure, io: &Runtime, pulse: &mut LoopBeat) -> Result<(), Error> {
        let Some(taking) = self.0 else { return Ok(()) };
        while !taking.is_finished() && !failure.is_met() {
            pulse.beat();
            std::thread::sleep(Duration::from_millis(1));
        }
        if failure.is_met() {
            return Ok(());
        }
        io.block_on(taking).map_err(|error| Error::bug(format!("the commit task ended early: {error}")))
    }
}
