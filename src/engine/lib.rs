//! THE ONE LOOP: a run of a dataflow, from opening the lake to its last epoch.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! ```text
//!   Run::begin   signals, I/O threads, the other processes      Run::open   takeover of the lake, its state
//!   Run::go      source ─▶ tasks ─▶ workers ─▶ join ─▶ report
//!
//!   each worker  builds the control and the data dataflow, then until the last epoch is decided:
//!
//!        ┌─▶ what happened   reports of its source; worker 0: epochs that are decided, the clock; a signal to stop
//!        │       │
//!        │       ▼
//!        │   control dataflow ══▶ worker 0 decides ══▶ decisions, to every worker
//!        │       │
//!        │       ▼
//!        └── step            the source acts on decisions and takes batches; operators run; writers write
//!
//!   beside them  the reader's thread fills the source; tokio writes files, and commits the epochs of worker 0
//! ```
//!
//! Of several processes only the one with worker 0 takes the lake over and commits; the others load the same state from the
//! same lake, and write their own files. What must always hold: the first failure anywhere ends the whole process with its exit
//! code, and every other process with it; the clock is read here (for worker 0's decisions) and nowhere in the flow.

pub mod commit;
pub mod epochs;
pub mod figures;
pub mod graph;
pub mod ingest;
pub mod join;
pub mod open;
pub mod options;
mod plan;
mod process;
pub mod reasons;
mod rehearsal;
pub mod restore;
pub mod share;
pub mod states;
pub mod taker;
mod tasks;
#[cfg(test)]
mod tests;
mod toll;
pub mod verdict;
mod workers;

pub use options::{Evolve, RunOptions, RunReport};

use epochs::control::{control, decider};
use epochs::{ControlSpec, Report};
use figures::Meters;
use open::{Ground, Opened, RunEndpoints};
use plan::RunPlan;
use process::Process;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use taker::Taker;
use tasks::{CommitEnds, Taking};
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_base::time::Nanos;
use ticktide_cluster::mesh::Mesh;
use ticktide_cluster::supervise::LoopBeat;
use timely::worker::Worker;

/// How often a worker checks its source when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often worker 0 reports the time.
const CLOCK_EVERY: Duration = Duration::from_millis(20);

/// One worker: builds its graphs, then loops until its part of the run is over.
fn work(worker: &mut Worker, plan: &RunPlan) {
    let index = worker.index();
    let mut pulse = plan.heart.worker(index);
    let wires = plan.wires(index);
    let decide = decider(&plan.control, &plan.resume, plan.recorded.as_ref());
    let mut control = control(worker, decide, wires.decisions.clone());
    let CommitEnds { jobs, decided, reports, wake } = plan.commit_ends(index);
    let source = match graph::flow(worker, plan, &wires, jobs, decided, wake) {
        Ok(source) => source,
        Err(error) => {
            plan.failure.set(error);
            return leave(worker);
        }
    };
    plan.meters.telemetry.restored(plan.opened_at.elapsed());

    let began = Instant::now();
    let (mut clock_at, mut source_at) = (began, began);
    let mut stopped = false;
    while !wires.commit.done() && !plan.failure.is_met() {
        pulse.beat();
        let mut news: Vec<Report> = std::mem::take(&mut *wires.reports.borrow_mut());
        if index == 0 {
            news.extend(reports.iter().flat_map(|reports| reports.try_iter()));
            if clock_at.elapsed() >= CLOCK_EVERY || clock_at == began {
                clock_at = Instant::now();
                news.push(Report::Clock { now_ms: 1 + began.elapsed().as_millis() as u64, wall: wall_clock() });
            }
        }
        if plan.stop.load(Ordering::Relaxed) && !stopped {
            stopped = true;
            if plan.recorded.is_some() {
                // a recorded range cannot end earlier
                let message = "interrupted: the epochs compared so far are equal".to_owned();
                plan.failure.set(Error { kind: Kind::Interrupted, message, hint: None });
            }
            news.push(Report::Stop);
        }
        let heard = !news.is_empty();
        for report in news {
            control.send(report);
        }
        if heard {
            // a mere flush leaves records in the exchange's buffers
            let next = control.time() + 1;
            control.advance_to(next);
        }
        // the reader wakes the source; a timer wakes it for its steps, and decisions wake it at once
        if source_at.elapsed() >= LOOK_EVERY || !wires.decisions.borrow().is_empty() {
            source_at = Instant::now();
            source.activate();
        }
        worker.step_or_park(Some(LOOK_EVERY));
    }
    drop(control);
    while worker.has_dataflows() && !plan.failure.is_met() {
        pulse.beat();
        worker.step_or_park(Some(LOOK_EVERY));
    }
    leave(worker);
}

/// Drops the dataflows that are still installed, so that a failed run does not wait for input that never comes.
fn leave(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// The wall clock, nanoseconds of UTC.
pub(crate) fn wall_clock() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}

/// Runs a dataflow until its end, a signal or a failure. Errors: of every stage, with who acts and what to do next. A lake that
/// lacks a part of its dataflow is refused: a caller that can compute the part does so between [`Run::open`] and [`Run::go`].
pub fn run(options: RunOptions) -> Result<RunReport, Error> {
    let mut run = Run::begin(options)?;
    let opened = run.open()?;
    run.go(opened)
}

/// A run that has its signal handlers, its threads and the other processes.
pub struct Run {
    options: RunOptions,
    process: Arc<Process>,
    mesh: Option<Mesh>,
    failure: Arc<Failure>,
    began_at: Instant,
    pulse: LoopBeat,
}

impl Run {
    /// Begins a run: handles the signals, starts I/O threads, waits for the other processes.
    pub fn begin(options: RunOptions) -> Result<Run, Error> {
        Run::within(Arc::new(Process::start()?), options)
    }

    /// Begins another run with the same signals and I/O threads, while this one waits.
    pub fn again(&self, options: RunOptions) -> Result<Run, Error> {
        Run::within(self.process.clone(), options)
    }

    fn within(process: Arc<Process>, mut options: RunOptions) -> Result<Run, Error> {
        options.dataflow.ready()?;
        let failure = Arc::new(Failure::default());
        let mesh = match options.cluster.take() {
            Some(cluster) => Some(join::gather(cluster, &options, failure.clone(), &process.stop)?),
            None => None,
        };
        let pulse = process.heart.main();
        Ok(Run { options, process, mesh, failure, began_at: Instant::now(), pulse })
    }

    /// The options that it was begun with.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Waits for a future on this thread; what it spawns runs on the I/O threads.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.process.io().block_on(future)
    }

    /// Takes the lake over, or follows the process that did. Errors: of source or lake, with what to do.
    pub fn open(&mut self) -> Result<Opened, Error> {
        let opened = open::live(&self.options, self.mesh.as_ref(), self.process.io(), &mut self.pulse);
        tell_others(self.mesh.as_ref(), opened)
    }

    /// What the run is based on, for a caller that opens a recorded range: nothing is opened and nothing is taken over.
    pub fn ground(&self) -> Result<Ground, Error> {
        self.block_on(Ground::of(&self.options, Evolve::No, self.mesh.as_ref()))
    }

    /// Runs from what was opened until the end, a signal or a failure.
    pub fn go(mut self, opened: Opened) -> Result<RunReport, Error> {
        let mesh = self.mesh.take();
        let ended = self.finish(opened, mesh.as_ref());
        tell_others(mesh.as_ref(), ended)
    }

    fn finish(mut self, opened: Opened, mesh: Option<&Mesh>) -> Result<RunReport, Error> {
        self.rehearse(&opened, mesh)?;
        let (meters, generation) = (Arc::new(Meters::default()), opened.resume.generation);
        let (ends, jobs, decided) = tasks::ways(&self.process);
        let (plan, taker) = self.plan(opened, mesh, ends, &meters)?;
        let source = plan.source.clone();
        let served = tasks::serve(self.options.metrics.take(), &meters, &plan.source)?;
        let taking = Taking::start(taker, jobs, decided, &self.failure, self.process.io());
        let watched = tasks::watch(self.options.progress.take(), meters.clone(), self.began_at);
        let (guards, links) = workers::start(&self.options, mesh, move |worker| work(worker, &plan))?;
        let panicked = workers::wait_for(guards, &self.failure, mesh, &mut self.pulse);
        if !panicked {
            taking.finish(&self.failure, self.process.io(), &mut self.pulse)?;
        }
        drop(self.pulse); // from here on it waits for the others, which have their own watchers
        let mut report = RunReport::of(&meters);
        report.refused = report.refused.filter(|_| !panicked && !self.failure.is_met());
        match (mesh, links, &report.refused) {
            // a process that receives it ends at once: nothing to wait for
            (Some(mesh), _, Some(refused)) => mesh.refuse(refused),
            (Some(mesh), Some(links), None) => mesh.finish(links),
            _ => {}
        }
        drop((watched, served));
        if report.refused.is_none()
            && let Some(error) = self.failure.take()
        {
            return Err(error);
        }
        if panicked {
            return Err(Error::bug("a worker panicked"));
        }
        let (leads, elapsed) = (mesh.is_none_or(Mesh::leads), self.began_at.elapsed());
        Ok(RunReport { leads, generation, elapsed, remarks: source.remarks(), ..report })
    }

    /// Reads a source that has an end and few records once, before a new lake's first epoch. Error: they are refused.
    fn rehearse(&mut self, opened: &Opened, mesh: Option<&Mesh>) -> Result<(), Error> {
        if mesh.is_some_and(|mesh| !mesh.leads()) {
            return Ok(());
        }
        let Run { options, process, pulse, .. } = self;
        let goes_on = || {
            pulse.beat();
            !process.stop.load(Ordering::Relaxed)
        };
        let rehearsed = opened.epochs.rehearse(&options.dataflow, &opened.resume, goes_on);
        if let (Some(mesh), Err(error)) = (mesh, &rehearsed)
            && error.kind == Kind::Fix
        {
            mesh.refuse(error);
        }
        rehearsed
    }

    /// Opens the source, waits until the other processes are ready, and puts together what the workers share.
    fn plan(
        &self,
        opened: Opened,
        mesh: Option<&Mesh>,
        ends: CommitEnds,
        meters: &Arc<Meters>,
    ) -> Result<(RunPlan, Option<Box<dyn Taker>>), Error> {
        if opened.missing.is_some() {
            return Err(Error::bug("nothing rebuilds what was added to the lake's dataflow"));
        }
        let (dataflow, workers) = (self.options.dataflow.clone(), self.options.workers);
        let Opened { ground, writer, mut resume, additions, epochs, .. } = opened;
        let RunEndpoints { source, recorded, taker } = epochs.begin(&dataflow, &resume, meters)?;
        if let Some(mesh) = mesh {
            mesh.ready(&join::readiness(resume.generation, &*source))?;
        }
        tasks::first_figures(meters, &resume, &writer, &*source)?;
        let state = Arc::new(std::mem::take(&mut resume.state));
        let plan = RunPlan {
            control: ControlSpec::of(&dataflow, mesh.map_or(1, Mesh::processes) * workers, resume.generation),
            writer,
            runtime: self.process.io().handle().clone(),
            failure: self.failure.clone(),
            stop: self.process.stop.clone(),
            heart: self.process.heart.clone(),
            panic_at: self.process.panic_at,
            opened_at: ground.opened_at,
            meters: meters.clone(),
            recorded,
            additions,
            commit: Mutex::new(Some(ends)),
            source,
            tables: ground.tables,
            resume,
            state: Mutex::new(vec![state; workers]),
            dataflow,
        };
        Ok((plan, taker))
    }
}

/// Sends the other processes the error that this one ends with, if it does.
fn tell_others<T>(mesh: Option<&Mesh>, ended: Result<T, Error>) -> Result<T, Error> {
    if let (Some(mesh), Err(error)) = (mesh, &ended) {
        mesh.tell(error);
    }
    ended
}
