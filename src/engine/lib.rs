//! THE ONE LOOP: a run of a dataflow, from opening the lake to its last epoch.
//!
//! ```text
//!   main thread   gather processes ─▶ open lake (takeover, state) ─▶ open source ─▶ timely workers ─▶ join ─▶ report
//!   each worker   build control and data dataflow, then: step, carry reports to worker 0 and decisions back, until done
//!   tokio         writes files and commits; each reader has a thread of its own
//! ```
//!
//! Of several processes only the one with worker 0 takes the lake over and commits; the others load the same state from the
//! same lake, and write their files. What must always hold: the first failure anywhere ends the whole process with its exit
//! code, and every other process with it; the clock is asked here (for worker 0's decisions) and nowhere in the flow.
//! What is opened before the loop is in `engine/opening.rs`, what a worker builds in `engine/building.rs`.

pub mod commit;
pub mod epochs;
pub mod figures;
pub mod graph;
pub mod ingest;
pub mod join;
mod open;
pub mod recorded;
pub mod restore;
pub mod share;
pub mod states;

use crate::commit::CommitJob;
use crate::epochs::control::{control, decider};
use crate::epochs::replay::Recorded;
use crate::epochs::{ControlSpec, Report};
use crate::figures::Meters;
use crate::graph::source::Wires;
use crate::join as joining;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_base::metrics as telemetry;
use ticktide_base::panics::{PanicAt, Thread};
use ticktide_base::time::Nanos;
use ticktide_cluster::mesh::{Cluster, Mesh};
use ticktide_cluster::supervise::{Heart, Pulse};
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::evolution::Additions;
use ticktide_feed as feed;
use ticktide_feed::Source;
use ticktide_lake::{LakeWriter, Resume, StateEntry, Warehouse};
use ticktide_tables::set::Tables;
use timely::communication::WorkerGuards;
use timely::communication::allocator::AllocatorBuilder;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

/// What to run and where.
pub struct RunOptions {
    pub dataflow: Dataflow,
    pub warehouse: Warehouse,
    pub catalog: Option<String>,
    /// Of this process.
    pub workers: usize,
    /// The other processes; none: this is the only one.
    pub cluster: Option<Cluster>,
    /// Serialise even what crosses workers of one process.
    pub force_bytes: bool,
    /// Where figures are served, if they are.
    pub metrics: Option<telemetry::Listener>,
    /// Called now and then with the figures so far.
    pub progress: Option<Box<dyn Fn(&Meters, Duration) + Send>>,
    /// The dataflow may have more than the lake's: what it adds begins now.
    pub evolve: bool,
    /// With `evolve`: it begins with the lake's first record.
    pub rebuild: bool,
    /// Recompute this range of the lake and compare, in the place of going on behind it.
    pub replay: Option<Box<dyn recorded::Wanted>>,
    /// Who computes what the lake lacks of its dataflow.
    pub rebuild_with: Option<recorded::Rebuild>,
}

impl RunOptions {
    /// A run of one process that has nothing asked of it but its dataflow.
    pub fn new(dataflow: Dataflow, warehouse: Warehouse, workers: usize) -> RunOptions {
        RunOptions {
            dataflow,
            warehouse,
            catalog: None,
            workers,
            cluster: None,
            force_bytes: false,
            metrics: None,
            progress: None,
            evolve: false,
            rebuild: false,
            replay: None,
            rebuild_with: None,
        }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct RunReport {
    /// It is that of process 0; another one knows only what it has read itself.
    pub leads: bool,
    pub generation: u64,
    pub epochs: u64,
    pub records: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub pending: i64,
    pub rows: u64,
    pub corrections: u64,
    pub elapsed: Duration,
}

/// What all workers of a run share.
struct Plan {
    dataflow: Dataflow,
    source: Arc<dyn Source>,
    tables: Tables,
    resume: Resume,
    /// The restored state, once for each worker of this process; each lets go of it when it has its share.
    state: Mutex<Vec<Arc<Vec<StateEntry>>>>,
    control: ControlSpec,
    writer: LakeWriter,
    runtime: tokio::runtime::Handle,
    failure: Arc<Failure>,
    stop: Arc<AtomicBool>,
    heart: Heart,
    panic_at: PanicAt,
    /// When the lake began to be opened.
    opened_at: Instant,
    meters: Arc<Meters>,
    /// What is fed in the place of minted decisions.
    recorded: Option<Recorded>,
    /// When what was added to the lake's dataflow begins.
    additions: Additions,
    /// Worker 0 takes them.
    commit: Mutex<Option<CommitEnds>>,
}

struct CommitEnds {
    jobs: tokio::sync::mpsc::UnboundedSender<CommitJob>,
    decided: mpsc::Receiver<u64>,
    reports: mpsc::Receiver<Report>,
    wake: Arc<Mutex<Option<timely::scheduling::SyncActivator>>>,
}

/// Runs a dataflow until its end, a signal or a failure. Errors: of every stage, with who acts and what next.
pub fn run(mut options: RunOptions) -> Result<RunReport, Error> {
    options.dataflow.ready()?;
    let stop = stop_flag()?;
    let failure = Arc::new(Failure::default());
    let mesh = match options.cluster.take() {
        Some(cluster) => Some(joining::gather(cluster, &options, failure.clone(), &stop)?),
        None => None,
    };
    let ended = run_with(options, stop, &failure, mesh.as_ref());
    if let (Some(mesh), Err(error)) = (&mesh, &ended) {
        mesh.tell(error);
    }
    ended
}

fn run_with(
    options: RunOptions,
    stop: Arc<AtomicBool>,
    failure: &Arc<Failure>,
    mesh: Option<&Mesh>,
) -> Result<RunReport, Error> {
    let started = Instant::now();
    let heart = Heart::inherited();
    let panic_at = PanicAt::inherited()?;
    let mut pulse = heart.main();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Error::bug(format!("the I/O threads do not start: {error}")))?;
    let meters = Arc::new(Meters::default());
    let opened = crate::open::open(&options, mesh, &runtime, &mut pulse)?;
    let RunOptions { dataflow, workers, force_bytes, metrics, progress, .. } = options;
    let crate::open::Opened {
        opened_at,
        lake,
        taker,
        writer,
        mut resume,
        recorded,
        additions,
        control,
        tables,
        source,
    } = opened;
    if let Some(mesh) = mesh {
        mesh.ready(&joining::readiness(resume.generation, &*source))?;
    }

    meters.telemetry.restore_bytes.set(resume.state_bytes as i64);
    meters.telemetry.restore_entries.set(resume.state.len() as i64);
    if let Some(store) = writer.store_meters() {
        meters.follow_store(&store)?;
    }
    meters.telemetry.set_partitions(source.partitions().iter().map(feed::Partition::name));
    let served = match metrics {
        Some(listener) => {
            let (meters, source) = (meters.clone(), source.clone());
            Some(telemetry::serve(listener, move || meters.text(&source.ends()))?)
        }
        None => None,
    };

    let state = Arc::new(std::mem::take(&mut resume.state));
    let (jobs, todo) = tokio::sync::mpsc::unbounded_channel();
    let (decided_out, decided) = mpsc::channel();
    let (reports_out, reports) = mpsc::channel();
    let wake: Arc<Mutex<Option<timely::scheduling::SyncActivator>>> = Arc::default();
    let plan = Arc::new(Plan {
        control,
        writer,
        runtime: runtime.handle().clone(),
        failure: failure.clone(),
        stop,
        heart,
        panic_at,
        opened_at,
        meters: meters.clone(),
        recorded,
        additions,
        commit: Mutex::new(Some(CommitEnds { jobs, decided, reports, wake: wake.clone() })),
        source,
        tables,
        resume,
        state: Mutex::new(vec![state; workers]),
        dataflow,
    });
    let beating = plan.heart.clone();
    let tell = move |report: Report| {
        if let Report::Decided { epoch } = report {
            beating.decided();
            panic_at.reach(Thread::Commit, epoch);
            let _ = decided_out.send(epoch); // worker 0 is gone only when the run ends
            let _ = reports_out.send(report);
            if let Ok(wake) = wake.lock()
                && let Some(wake) = wake.as_ref()
            {
                let _ = wake.activate();
            }
        }
    };
    let commits = match (lake, taker) {
        (Some(lake), _) => {
            let (sure, proven) = tokio::sync::mpsc::unbounded_channel();
            runtime.spawn(confirm(plan.source.clone(), todo, sure, failure.clone()));
            Some(runtime.spawn(commit::commit(lake, proven, meters.clone(), failure.clone(), tell)))
        }
        (None, Some(taker)) => Some(runtime.spawn(taker.run(todo, failure.clone(), Box::new(tell)))),
        (None, None) => None,
    };

    let watched = watch(progress, meters.clone(), started);
    let generation = plan.resume.generation;
    let (builders, links) = match mesh {
        Some(mesh) => mesh.allocators(workers, force_bytes).map(|(all, links)| (all, Some(links)))?,
        None => (local(workers, force_bytes)?, None),
    };
    let config = timely::WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, Box::new(()), config, move |worker| work(worker, &plan));
    let guards = guards.map_err(|error| Error::bug(format!("the workers do not start: {error}")))?;
    let panicked = join(guards, failure, mesh, &mut pulse);
    if let Some(commits) = commits.filter(|_| !panicked) {
        // what is decided is safe: in a failed run the next start applies it
        while !commits.is_finished() && !failure.is_met() {
            pulse.beat();
            std::thread::sleep(Duration::from_millis(1));
        }
        if !failure.is_met() {
            runtime.block_on(commits).map_err(|error| Error::bug(format!("the commit task ended early: {error}")))?;
        }
    }
    drop(pulse); // from here on it waits for the others, which are watched themselves
    if let (Some(mesh), Some(links)) = (mesh, links) {
        mesh.finish(links);
    }
    drop(watched);
    drop(served);
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(error) = failure.take() {
        return Err(error);
    }
    if panicked {
        return Err(Error::bug("a worker panicked"));
    }
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (accepted, duplicates, rejected) = (get(&meters.accepted), get(&meters.duplicates), get(&meters.rejected));
    let pending = meters.pending.load(Ordering::Relaxed);
    Ok(RunReport {
        leads: mesh.is_none_or(Mesh::leads),
        generation,
        epochs: get(&meters.epochs),
        // those of all processes: what was committed balances
        records: (accepted + duplicates + rejected).saturating_add_signed(pending),
        accepted,
        duplicates,
        rejected,
        pending,
        rows: get(&meters.rows),
        corrections: get(&meters.corrections),
        elapsed: started.elapsed(),
    })
}

/// Hands epochs on to be decided once the source has said, after their last record was fetched, that they are its own.
async fn confirm(
    source: Arc<dyn Source>,
    mut written: tokio::sync::mpsc::UnboundedReceiver<CommitJob>,
    sure: tokio::sync::mpsc::UnboundedSender<CommitJob>,
    failure: Arc<Failure>,
) {
    while let Some(job) = written.recv().await {
        let mut jobs = vec![job];
        while let Ok(job) = written.try_recv() {
            jobs.push(job);
        }
        let source = source.clone();
        let confirmed = tokio::task::spawn_blocking(move || source.confirm()).await;
        match confirmed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failure.set(error.into()),
            Err(error) => return failure.set(Error::bug(format!("the source cannot be asked: {error}"))),
        }
        // the commit task ends early only with a failure of its own
        jobs.into_iter().for_each(|job| drop(sure.send(job)));
    }
}

/// How often a worker looks at its source when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One worker: builds the graph, then loops until its part of the run is over.
fn work(worker: &mut Worker, plan: &Plan) {
    let index = worker.index();
    let mut pulse = plan.heart.worker(index);
    let meters = plan.meters.clone();
    let wires = Wires {
        decisions: Rc::default(),
        reports: Rc::default(),
        compute: ProbeHandle::new(),
        commit: ProbeHandle::new(),
        failure: plan.failure.clone(),
        records: meters.records.clone(),
        figures: meters.telemetry.worker(index),
    };
    let decide = decider(&plan.control, &plan.resume, plan.recorded.as_ref());
    let mut control = control(worker, decide, wires.decisions.clone());
    let ends = if index == 0 { plan.commit.lock().ok().and_then(|mut ends| ends.take()) } else { None };
    let (jobs, decided, reports, wake) = match ends {
        Some(ends) => (Some(ends.jobs), ends.decided, Some(ends.reports), Some(ends.wake)),
        None => (None, mpsc::channel().1, None, None),
    };
    let source = match crate::graph::flow(worker, plan, &wires, jobs, decided, wake) {
        Ok(source) => source,
        Err(error) => {
            plan.failure.set(error);
            return leave(worker);
        }
    };
    meters.telemetry.restored(plan.opened_at.elapsed());

    let began = Instant::now();
    let (mut clock_at, mut source_at) = (began, began);
    let mut stopped = false;
    while !wires.commit.done() && !plan.failure.is_met() {
        pulse.beat();
        let mut news: Vec<Report> = std::mem::take(&mut *wires.reports.borrow_mut());
        if index == 0 {
            news.extend(reports.iter().flat_map(|reports| reports.try_iter()));
            if clock_at.elapsed() >= Duration::from_millis(20) || clock_at == began {
                clock_at = Instant::now();
                news.push(Report::Clock { now_ms: 1 + began.elapsed().as_millis() as u64, wall: wall_clock() });
            }
        }
        if plan.stop.load(Ordering::Relaxed) && !stopped {
            stopped = true;
            if plan.recorded.is_some() {
                // what is recorded has no earlier end
                let message = "interrupted: what was compared so far is equal".to_owned();
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
        // the reader wakes the source; it is looked at on a timer for its steps, and at once for decisions
        if source_at.elapsed() >= LOOK_EVERY || !wires.decisions.borrow().is_empty() {
            source_at = Instant::now();
            source.activate();
        }
        worker.step_or_park(Some(LOOK_EVERY));
    }
    drop(control);
    if plan.failure.is_met() {
        return leave(worker);
    }
    while worker.has_dataflows() && !plan.failure.is_met() {
        pulse.beat();
        worker.step_or_park(Some(Duration::from_millis(5)));
    }
    leave(worker);
}

/// Drops what is still installed, so that a failed run does not wait for what will never come.
fn leave(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// What the workers of a single process talk through.
fn local(workers: usize, force_bytes: bool) -> Result<Vec<AllocatorBuilder>, Error> {
    let config = match (workers, force_bytes) {
        (workers, true) => timely::CommunicationConfig::ProcessBinary(workers),
        (1, false) => timely::CommunicationConfig::Thread,
        (workers, false) => timely::CommunicationConfig::Process(workers),
    };
    let built = config.try_build();
    built.map(|(builders, _)| builders).map_err(|error| Error::bug(format!("the workers do not start: {error}")))
}

/// A worker that is slow to leave a failed run is not waited for any longer.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Waits for the workers; a failure is told to the other processes at once. True: a worker panicked.
fn join(guards: WorkerGuards<()>, failure: &Failure, mesh: Option<&Mesh>, pulse: &mut Pulse) -> bool {
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
            std::mem::forget(guards); // to drop them is to wait for them
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    guards.join().into_iter().any(|result| result.is_err())
}

/// The wall clock, nanoseconds of UTC.
fn wall_clock() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process with 130.
fn stop_flag() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()));
        registered.map_err(|error| Error::bug(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(stop)
}

/// Shows progress on a thread until the returned guard is dropped.
fn watch(
    progress: Option<Box<dyn Fn(&Meters, Duration) + Send>>,
    meters: Arc<Meters>,
    started: Instant,
) -> Option<mpsc::Sender<()>> {
    let progress = progress?;
    let (guard, dropped) = mpsc::channel::<()>();
    let show = move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = dropped.recv_timeout(Duration::from_millis(200)) {
            progress(&meters, started.elapsed());
        }
        progress(&meters, started.elapsed());
    };
    std::thread::Builder::new().name("progress".into()).spawn(show).ok().map(|_| guard)
}
