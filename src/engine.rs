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

use crate::checks::{self, Checks};
use crate::control::{ControlSpec, Decision, Minter, Reach, Report};
use crate::dataflow::{Dataflow, Horizon, Volume};
use crate::error::{Error, Kind};
use crate::feed::{self, Assignment, Source};
use crate::flow::bars::keyed::Emitted;
use crate::flow::clean::Horizons;
use crate::flow::indicators::{self, Composite};
use crate::flow::{readings, volume};
use crate::graph;
use crate::intake::Intake;
use crate::joining;
use crate::lake::{Lake, LakeOptions, LakeWriter, Resume, StateEntry, Warehouse};
use crate::lineage::{self, Additions};
use crate::listings::{self, close_named};
use crate::mesh::{Cluster, Mesh};
use crate::panics::{PanicAt, Thread};
use crate::rebuild;
use crate::replay::{Recorded, Replay};
use crate::restore::{keep, restore};
use crate::sink::{self, Meters, SinkRow, Tables, Writing};
use crate::source::{Credit, SourceLogic, Wires};
use crate::supervise::{Heart, Pulse};
use crate::telemetry;
use crate::time::{Interval, Nanos, Place};
use crate::until::Until;
use crate::verify;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timely::communication::WorkerGuards;
use timely::communication::allocator::AllocatorBuilder;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concatenate, Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};
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
    pub replay: Option<verify::Wanted>,
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

/// The first failure of a run; whoever meets it ends.
#[derive(Default)]
pub struct Failure {
    met: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    pub fn set(&self, error: Error) {
        if let Ok(mut first) = self.first.lock() {
            first.get_or_insert(error);
        }
        self.met.store(true, Ordering::Release);
    }

    pub fn is_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }

    pub fn take(&self) -> Option<Error> {
        self.first.lock().ok().and_then(|mut first| first.take())
    }
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
    jobs: tokio::sync::mpsc::UnboundedSender<sink::CommitJob>,
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
    let dataflow = options.dataflow;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Error::bug(format!("the I/O threads do not start: {error}")))?;
    let meters = Arc::new(Meters::default());
    let (process, processes) = mesh.map_or((0, 1), |mesh| (mesh.process(), mesh.processes()));
    let peers = processes * options.workers;

    let outputs =
        composites(&dataflow)?.into_iter().map(|(on, composite)| (on, composite.outputs().to_vec())).collect();
    let looked = match &options.replay {
        Some(_) => None,
        // the source is looked at first: a wrong topic or path must not take a lake over
        None => match feed::open(&dataflow.source, &BTreeMap::new()) {
            // who has been there before may be back soon
            Err(feed::FeedError::Unanswered(message, hint)) if runtime.block_on(Lake::is_at(&options.warehouse)) => {
                return Err(Error { kind: Kind::Retry, message, hint: Some(hint) });
            }
            looked => Some(looked?),
        },
    };
    let lake = LakeOptions {
        warehouse: options.warehouse,
        catalog: options.catalog,
        namespace: "market".into(),
        dataflow: dataflow.name.clone(),
        dataflow_hash: dataflow.hash(),
        settings_json: dataflow.settings_json(),
        code_version: joining::code_version(),
        rewrite_bytes_max: dataflow.limits.rewrite,
    };
    let opened_at = Instant::now();
    let lake_options = lake.clone();
    let settings = runtime.block_on(joining::lineages(&lake, (options.evolve, options.rebuild), mesh))?;
    let original = lineage::additions(settings.iter(), &[], &dataflow)?.outputs;
    let tables = Tables::new(&dataflow, &outputs).evolved(&original, &outputs);
    let (mut lake, writer, mut resume, replay) = match &options.replay {
        None => {
            let (lake, writer, resume) = runtime.block_on(pulse.during(joining::open_lake(lake, &tables, mesh)))?;
            (lake, writer, resume, None)
        }
        Some(wanted) => {
            let control = control_spec(&dataflow, peers, 0);
            let verify::Opened { writer, resume, recorded, taker, source } =
                runtime.block_on(verify::open(&lake, wanted, &tables, &control, &dataflow))?;
            (None, writer, resume, Some(((recorded, source), taker)))
        }
    };
    let additions = lineage::additions(settings.iter(), &resume.lineages, &dataflow)?;
    let missing = resume.lineages.last().is_some_and(|begun| begun.lineage.rebuilt && begun.first.is_none());
    if missing && replay.is_none() {
        if mesh.is_some() {
            let message = "what was added to the lake's dataflow is not rebuilt yet, which one process does alone";
            return Err(Error::fix(message, "start `ticktide run` once without other processes"));
        }
        if let (Some(lake), [.., before, now]) = (&mut lake, &settings[..]) {
            let added = lineage::added(before, now, &dataflow)?;
            rebuild::rebuild((lake, &mut resume), &lake_options, &dataflow, &added, options.workers, &runtime)?;
        }
    }
    if mesh.is_some() {
        keep(&mut resume.state, &(process * options.workers..(process + 1) * options.workers), peers)?;
    }
    let places = resume.binding.as_ref().map(|binding| binding.places.clone()).unwrap_or_default();
    if let Some(looked) = looked {
        continues(&*looked, &places)?; // it was for a look: the one that is read knows the places
    }
    let source = match &replay {
        None => {
            let offsets = places.iter().map(|(name, place)| (name.clone(), place.offset_next)).collect();
            let source = match feed::open(&dataflow.source, &offsets) {
                Err(feed::FeedError::Unanswered(message, hint)) => {
                    return Err(Error { kind: Kind::Retry, message, hint: Some(hint) });
                }
                source => source?,
            };
            continues(&*source, &places)?;
            source
        }
        Some(((_, Some(archive)), _)) => archive.clone(),
        Some(((recorded, None), _)) => {
            let source = feed::open(&dataflow.source, &recorded.starts).map_err(verify::without_source)?;
            verify::check_source(recorded, source.partitions())?;
            source
        }
    };
    let (recorded, taker) = replay.map(|((recorded, _), taker)| (recorded, taker)).unzip();
    if let Some(mesh) = mesh {
        mesh.ready(&joining::readiness(resume.generation, &*source))?;
    }

    meters.telemetry.restore_bytes.set(resume.state_bytes as i64);
    meters.telemetry.restore_entries.set(resume.state.len() as i64);
    if let Some(store) = writer.store_meters() {
        meters.follow_store(&store)?;
    }
    meters.telemetry.set_partitions(source.partitions().iter().map(feed::Partition::name));
    let served = match options.metrics {
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
        control: control_spec(&dataflow, peers, resume.generation),
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
        state: Mutex::new(vec![state; options.workers]),
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
            Some(runtime.spawn(sink::commit(lake, proven, meters.clone(), failure.clone(), tell)))
        }
        (None, Some(taker)) => Some(runtime.spawn(taker.run(todo, failure.clone(), tell))),
        (None, None) => None,
    };

    let watched = watch(options.progress, meters.clone(), started);
    let generation = plan.resume.generation;
    let (builders, links) = match mesh {
        Some(mesh) => mesh.allocators(options.workers, options.force_bytes).map(|(all, links)| (all, Some(links)))?,
        None => (local(options.workers, options.force_bytes)?, None),
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
        leads: process == 0,
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

/// Refuses a source that counts other records under the lake's offsets.
fn continues(source: &dyn Source, places: &BTreeMap<String, Place>) -> Result<(), Error> {
    for partition in source.partitions() {
        if let Some(place) = places.get(&partition.name()) {
            source.continues(partition, &place.source_id)?;
        }
    }
    Ok(())
}

/// Hands epochs on to be decided once the source has said, after their last record was fetched, that they are its own.
async fn confirm(
    source: Arc<dyn Source>,
    mut written: tokio::sync::mpsc::UnboundedReceiver<sink::CommitJob>,
    sure: tokio::sync::mpsc::UnboundedSender<sink::CommitJob>,
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
    let mut control = build_control(worker, plan, wires.decisions.clone());
    let ends = if index == 0 { plan.commit.lock().ok().and_then(|mut ends| ends.take()) } else { None };
    let (jobs, decided, reports, wake) = match ends {
        Some(ends) => (Some(ends.jobs), ends.decided, Some(ends.reports), Some(ends.wake)),
        None => (None, mpsc::channel().1, None, None),
    };
    let source = match build_flow(worker, plan, &wires, jobs, decided, wake) {
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

/// The control dataflow: every worker's reports to worker 0, its decisions to every worker.
fn build_control(
    worker: &mut Worker,
    plan: &Plan,
    decisions: Rc<RefCell<VecDeque<Decision>>>,
) -> InputHandle<u64, CapacityContainerBuilder<Vec<Report>>> {
    let mut input = InputHandle::<u64, CapacityContainerBuilder<Vec<Report>>>::new();
    let mut decide: Box<dyn FnMut(Report) -> Vec<Decision>> = match &plan.recorded {
        None => {
            let mut minter = Minter::new(plan.control.clone(), plan.resume.bindings.clone(), plan.resume.epoch_next);
            Box::new(move |report| minter.hear(report))
        }
        Some(recorded) => {
            let ControlSpec { intervals, workers, epochs, .. } = &plan.control;
            let intervals = intervals.iter().map(|(interval, _)| interval.name()).collect();
            let mut replay = Replay::new(recorded.bindings.clone(), intervals, *workers, *epochs);
            Box::new(move |report| replay.hear(report))
        }
    };
    worker.dataflow::<u64, _, _>(|scope| {
        let reports = scope.input_from(&mut input);
        reports
            .unary::<CapacityContainerBuilder<Vec<Decision>>, _, _, _>(Exchange::new(|_: &Report| 0), "Mint", |_, _| {
                let mut newest = 0;
                move |input, output| {
                    input.for_each(|cap, reports| {
                        let heard = reports.drain(..).flat_map(&mut decide);
                        // operators behind this one work by time: decisions must not overtake each other
                        newest = cap.least().map_or(newest, |time| newest.max(*time));
                        output.session(&cap.delayed(&newest, 0)).give_iterator(heard);
                    });
                }
            })
            .broadcast()
            .inspect(move |decision| decisions.borrow_mut().push_back(decision.clone()));
    });
    input
}

/// The data dataflow; gives what activates its source.
fn build_flow(
    worker: &mut Worker,
    plan: &Plan,
    wires: &Wires,
    jobs: Option<tokio::sync::mpsc::UnboundedSender<sink::CommitJob>>,
    decided: mpsc::Receiver<u64>,
    wake: Option<Arc<Mutex<Option<timely::scheduling::SyncActivator>>>>,
) -> Result<timely::scheduling::Activator, Error> {
    let (index, peers) = (worker.index(), worker.peers());
    let dataflow = &plan.dataflow;
    let first = plan.resume.epoch_next;
    let resumed = plan.resume.binding.clone().unwrap_or_default();
    let partitions = plan.source.partitions();
    let assigned: Vec<(usize, i64)> = (0..partitions.len())
        .filter(|partition| partition % peers == index)
        .filter_map(|partition| {
            if let Some(recorded) = &plan.recorded {
                let start = recorded.starts.get(&partitions[partition].name())?;
                return Some((partition, *start));
            }
            let place = resumed.places.get(&partitions[partition].name());
            Some((partition, place.map_or(partitions[partition].offset_start, |place| place.offset_next)))
        })
        .collect();
    let mut restored = {
        let intake = Intake::new(dataflow, partitions, &assigned, &resumed);
        let state = plan.state.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        restore(dataflow, &state, (index, peers), intake)?
    };
    let named = assigned.iter().map(|(partition, offset)| (*partition, partitions[*partition].name(), *offset));
    let until = plan.recorded.as_ref().map(|_| Until::new(named));
    let paused: Arc<Vec<AtomicBool>> = Arc::new(partitions.iter().map(|_| AtomicBool::new(false)).collect());
    let assignments: Vec<Assignment> =
        assigned.iter().map(|(partition, offset)| Assignment { partition: *partition, offset: *offset }).collect();
    let reader = if assignments.is_empty() { None } else { Some(plan.source.reader(&assignments)?) };
    let credit = Credit { steps: dataflow.limits.steps.max(1), bytes: (dataflow.limits.bytes as usize / peers).max(1) };
    let session = Arc::new(dataflow.session.clone());
    let pace = (Duration::from_nanos(dataflow.step.max(1) as u64), dataflow.max_skew);
    let composites = composites(dataflow)?;
    let checks = Checks::new(dataflow);
    let horizons = Horizons {
        intervals: dataflow
            .bars
            .iter()
            .map(|interval| resumed.horizons.get(&interval.name()).copied().unwrap_or(Nanos::MIN))
            .collect(),
        retained_from: resumed.retained_from.unwrap_or(Nanos::MIN),
    };
    let (tables, writer, runtime) = (plan.tables.clone(), plan.writer.clone(), plan.runtime.clone());
    let writing = Writing::new(index, tables, writer, runtime, plan.panic_at);
    let mut activator = None;
    worker.dataflow::<u64, _, _>(|scope| {
        let sourced = graph::sourced(scope, |ports, wake, again| {
            let batches = read_on_a_thread(reader, wake, paused.clone(), plan.failure.clone(), (index, plan.panic_at));
            activator = Some(again);
            let source =
                SourceLogic::new(index, restored.intake, batches, paused, wires.clone(), credit, pace, ports, first);
            match until {
                Some(until) => source.replaying(until),
                None => source,
            }
        });
        let (changes, bar_rows) =
            graph::bars(sourced.routed, sourced.notices.clone(), restored.keyed, (first, horizons.clone()));
        let mut rows = vec![sourced.rows, bar_rows];
        let finished = if dataflow.volume == Volume::Cumulative {
            let snapshots = changes.flat_map(|(series, bar)| match bar {
                Emitted::Snapshot(bar) => Some((series, *bar)),
                Emitted::Finished(_) => None,
            });
            let (finished, bases) = volume::finish(snapshots, restored.volume);
            rows.push(graph::base_state(bases, graph::VOLUME));
            finished
        } else {
            changes.flat_map(|(series, bar)| match bar {
                Emitted::Finished(bar) => Some((series, bar)),
                Emitted::Snapshot(_) => None,
            })
        };
        let finished = match plan.additions.bars.is_empty() {
            true => finished,
            false => {
                let additions = plan.additions.clone();
                finished.filter(move |(series, bar)| additions.has_bar(series.0, bar.open_at))
            }
        };
        let published = (session.clone(), resumed.clone());
        let listed = dataflow.instruments.then(|| {
            let notices = sourced.notices.clone();
            let (listed, said) = listings::listings(sourced.listings, notices, restored.listings, first);
            rows.push(said);
            listed
        });
        let scanned: BTreeSet<Interval> = composites.keys().chain(checks.bars.keys()).copied().collect();
        let arranged = (!scanned.is_empty())
            .then(|| readings::arrange(finished.clone().filter(move |(series, _)| scanned.contains(&series.0))));
        if let Some(arranged) = &arranged {
            for (interval, composite) in composites {
                let mut bases = restored.indicators.remove(&interval).unwrap_or_default();
                bases.values_mut().for_each(|base| base.widen(composite.width()));
                let (mut readings, bases) = readings::readings(arranged.clone(), interval, composite, bases);
                if plan.additions.readings.contains_key(&interval) {
                    let additions = plan.additions.clone();
                    readings = readings.flat_map(move |(series, reading)| {
                        additions.shown(interval, reading).map(|reading| (series, reading))
                    });
                }
                rows.push(graph::base_state(bases, graph::INDICATORS));
                let (session, resumed) = published.clone();
                let notices = sourced.notices.clone();
                let listed = listed.clone();
                rows.push(close_named(readings, listed, notices, session, resumed, first, SinkRow::Reading));
            }
        }
        let watched = checks::Inputs {
            arranged,
            finished: finished.clone(),
            listed: listed.clone(),
            remarks: sourced.remarks,
            notices: sourced.notices.clone(),
        };
        let ended = checks::Resumed {
            binding: resumed.clone(),
            first,
            horizons: &horizons,
            intervals: &dataflow.bars,
            session,
            additions: &plan.additions,
        };
        rows.extend(checks::watch(checks, restored.checks, watched, &ended));
        let notices = sourced.notices.clone();
        let (session, resumed) = published;
        rows.push(close_named(finished, listed, notices, session, resumed, first, SinkRow::Bar));
        rows.push(sourced.notices.flat_map(|notice| match notice {
            crate::source::Notice::Bind(binding) => Some(SinkRow::Bind(binding)),
            crate::source::Notice::Begin(..) => None,
        }));
        let rows = scope.concatenate(rows).probe_with(&wires.compute);
        let parts = graph::write(rows, writing, plan.failure.clone());
        let told = move |activator| {
            if let Some(wake) = wake
                && let Ok(mut wake) = wake.lock()
            {
                *wake = Some(activator);
            }
        };
        graph::commit(parts, jobs, decided, told, plan.failure.clone()).probe_with(&wires.commit);
    });
    activator.ok_or_else(|| Error::bug("the source operator was not built"))
}

/// Reads on a thread of its own into a bounded channel; a full one is the back-pressure.
fn read_on_a_thread(
    reader: Option<Box<dyn feed::Reader>>,
    wake: timely::scheduling::SyncActivator,
    paused: Arc<Vec<AtomicBool>>,
    failure: Arc<Failure>,
    (worker, panic_at): (usize, PanicAt),
) -> mpsc::Receiver<Result<feed::Batch, feed::FeedError>> {
    let (send, batches) = mpsc::sync_channel(4);
    let Some(mut reader) = reader else { return batches };
    let read = move || {
        let is_paused = |partition: usize| paused[partition].load(Ordering::Relaxed);
        let mut batches = 0;
        while !failure.is_met() {
            let sent = match reader.poll(Duration::from_millis(50), &is_paused) {
                Ok(None) => continue,
                Ok(Some(batch)) => {
                    batches += 1;
                    panic_at.reach(Thread::Reader(worker), batches);
                    send.send(Ok(batch))
                }
                Err(error) => {
                    let _ = send.send(Err(error)); // the worker is gone: nobody needs it
                    let _ = wake.activate();
                    return;
                }
            };
            if sent.is_err() || wake.activate().is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(read)
        .expect("a thread can be started at the start of a run");
    batches
}

/// The indicators of a dataflow, by interval, in the order of the file.
pub fn composites(dataflow: &Dataflow) -> Result<BTreeMap<Interval, Composite>, Error> {
    let mut built: BTreeMap<Interval, Vec<Box<dyn indicators::Indicator>>> = BTreeMap::new();
    for usage in &dataflow.indicators {
        let indicator = indicators::build(&usage.name, &usage.parameters)
            .map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        built.entry(usage.on).or_default().push(indicator);
    }
    let composed = built.into_iter().map(|(interval, all)| {
        let composite = Composite::new(all).map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        Ok((interval, composite))
    });
    composed.collect()
}

fn control_spec(dataflow: &Dataflow, workers: usize, generation: u64) -> ControlSpec {
    let reach = |interval: Interval| match dataflow.horizons.horizon(interval) {
        Horizon::Span(span) => Reach::Span(span),
        Horizon::Session => Reach::Session,
    };
    ControlSpec {
        workers,
        intervals: dataflow.bars.iter().map(|interval| (*interval, reach(*interval))).collect(),
        session: Arc::new(dataflow.session.clone()),
        retention: dataflow.retention,
        grace: dataflow.grace,
        epoch_every_ms: (dataflow.epoch.every / crate::time::MILLI).max(1) as u64,
        epoch_records: dataflow.epoch.records.max(1),
        epochs: dataflow.limits.epochs.max(1),
        until_end: dataflow.source.until_end,
        generation,
        dataflow_hash: dataflow.hash(),
        calendar_hash: dataflow.session.hash(),
        code_version: joining::code_version(),
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
            if let (Some(mesh), Ok(first)) = (mesh, failure.first.lock()) {
                first.iter().for_each(|error| mesh.tell(error));
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
