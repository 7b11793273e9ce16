//! `run`: resolves flags, environment and file into one dataflow and the place where it runs, then runs it.

use super::source::{SourceArgs, given};
use super::{Global, aligned, losses, note, plan, print, read};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use ticktide_base::document::{self, duration};
use ticktide_base::environment::{self, Origin, ResolvedSetting, S3Settings};
use ticktide_base::error::{Error, Kind};
use ticktide_base::metrics;
use ticktide_base::time::{MILLI, Nanos, SECOND};
use ticktide_cluster::hosts;
use ticktide_cluster::mesh::Cluster;
use ticktide_cluster::supervise::{Below, Heart, Policy, SILENCE_LEAST, Watching, supervise};
use ticktide_dataflow::{Dataflow, Override};
use ticktide_engine::options::ShowFigures;
use ticktide_engine::{Evolve, RunOptions, RunReport};
use ticktide_lake::Warehouse;
use ticktide_lake::catalog::CatalogPlace;
use ticktide_lake::commit::owner::{self, Heartbeat};
use ticktide_replay::rebuild;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A dataflow's name, or its file ending in .toml
    pub dataflow: String,
    #[command(flatten)]
    pub source: SourceArgs,
    /// How fast recorded data is played: `max`, or a multiple of recorded time
    #[arg(long, value_name = "N|max")]
    pub speed: Option<String>,
    /// Where a new lake starts to read: `earliest`, `latest` or an RFC 3339 time
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// `end`: stop at the end of the records that exist now, with all bars closed
    #[arg(long, value_name = "end")]
    pub until: Option<String>,
    /// Worker threads [default: 1, or TICKTIDE_WORKERS]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<String>,
    /// Serialise data between threads of one process, too, as between processes
    #[arg(short = 'z', long)]
    pub zerocopy: bool,
    /// Number of processes, each with -w workers; without -p this command starts all of them on this machine
    #[arg(short = 'n', long, value_name = "N")]
    pub processes: Option<usize>,
    /// The index of this process, from 0; its address is line I of the hostfile
    #[arg(short = 'p', long, value_name = "I")]
    pub process: Option<usize>,
    /// A file with the addresses of all processes, one `host:port` per line
    #[arg(long, value_name = "FILE")]
    pub hostfile: Option<PathBuf>,
    /// Serve metrics for Prometheus at http://ADDR/metrics, e.g. 127.0.0.1:9464 [or TICKTIDE_METRICS]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// A file with the secret by which the processes recognise each other, at least 16 bytes [or TICKTIDE_SECRET]
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// How long to wait until all processes have joined [default: 60s, or TICKTIDE_START_WITHIN]
    #[arg(long, value_name = "DURATION")]
    pub start_within: Option<String>,
    /// How long another process may be silent before it counts as lost [default: 10s, or TICKTIDE_SILENCE]
    #[arg(long, value_name = "DURATION")]
    pub silence: Option<String>,
    /// Restart the run when it fails or hangs; -n without -p always does
    #[arg(long)]
    pub supervise: bool,
    /// The most restarts within the window before giving up; 0: never restart [default: 10, or TICKTIDE_RESTARTS]
    #[arg(long, value_name = "N")]
    pub restarts: Option<String>,
    /// The window in which restarts are counted [default: 10m, or TICKTIDE_RESTART_WINDOW]
    #[arg(long, value_name = "DURATION")]
    pub restart_window: Option<String>,
    /// The first wait before a restart, shortened at random by up to half; it doubles with each failure [default: 1s, or
    /// TICKTIDE_BACKOFF]
    #[arg(long, value_name = "DURATION")]
    pub backoff: Option<String>,
    /// The longest wait before a restart [default: 30s, or TICKTIDE_BACKOFF_MAX]
    #[arg(long, value_name = "DURATION")]
    pub backoff_max: Option<String>,
    /// How long a worker may be stuck before its supervised process is killed [default: 60s, or TICKTIDE_HANG_AFTER]
    #[arg(long, value_name = "DURATION")]
    pub hang_after: Option<String>,
    /// Set by the process that started this one: all hosts; standard input is the listening socket
    #[arg(long, value_name = "HOSTS", hide = true, requires = "process")]
    pub started_with: Option<String>,
    /// Override any key of the dataflow, above every other setting of it; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Continue with a dataflow that adds to the lake's (indicators, intervals, checks, ticks); the additions begin now
    #[arg(long)]
    pub evolve: bool,
    /// With --evolve: also compute the additions for everything recorded so far, as one correction
    #[arg(long, requires = "evolve")]
    pub rebuild: bool,
    /// Print every setting with its origin; do not run
    #[arg(long)]
    pub dry_run: bool,
}

/// The resolved settings of a run.
pub struct Prepared {
    pub dataflow: Dataflow,
    pub warehouse: ResolvedSetting<Warehouse>,
    pub catalog: Option<ResolvedSetting<String>>,
    pub workers: ResolvedSetting<usize>,
    pub evolve: Evolve,
    pub metrics: Option<ResolvedSetting<String>>,
    place: Place,
    start_within: ResolvedSetting<Duration>,
    silence: ResolvedSetting<Duration>,
    /// The processes to start and supervise; `None`: this process runs the dataflow itself.
    below: Option<Below>,
    restarts: ResolvedSetting<usize>,
    restart_window: ResolvedSetting<Duration>,
    backoff: ResolvedSetting<Duration>,
    backoff_max: ResolvedSetting<Duration>,
    hang_after: ResolvedSetting<Duration>,
}

/// The role of this process among the processes of the run.
enum Place {
    Alone,
    /// It starts this many processes and watches them.
    Parent(usize),
    One {
        process: usize,
        hosts: Vec<String>,
        inherits: bool,
    },
}

/// How long an epoch lasts by default where every commit sends requests to a service that charges for them.
const EPOCH_DEAR: Nanos = 60 * SECOND;

/// How long a run that has lost its lake looks for the process that owns it now.
const LOOK: Duration = Duration::from_secs(2);

/// Resolves what to run. Errors: a problem of the dataflow, processes that do not fit together, a wrong number of workers.
fn prepare(args: &RunArgs, global: &Global) -> Result<Prepared, Error> {
    let mut dataflow = Dataflow::load(&args.dataflow, &overrides(args), &args.set)?;
    dataflow.ready()?;
    let place = place(args)?;
    let catalog = global.catalog();
    if let Some(ResolvedSetting { value, origin }) = &catalog
        && CatalogPlace::parse(value)?.is_dear()
    {
        let place = match origin {
            Origin::Environment(name) => document::Location::Environment(name),
            Origin::Flag(_) | Origin::Default => document::Location::Flag("--catalog"),
        };
        dataflow.default_epoch(EPOCH_DEAR, place);
    }
    Ok(Prepared {
        dataflow,
        warehouse: global.warehouse("./lake")?,
        catalog,
        workers: workers(args.workers.clone())?,
        evolve: match (args.evolve, args.rebuild) {
            (_, true) => Evolve::Rebuild,
            (true, false) => Evolve::Forward,
            (false, false) => Evolve::No,
        },
        metrics: environment::resolve(args.metrics.clone(), "--metrics", environment::METRICS, None),
        below: match place {
            Place::Parent(count) => Some(Below::Many(count)),
            Place::Alone | Place::One { .. } => {
                (args.supervise && !Heart::inherited().is_watched()).then_some(Below::One)
            }
        },
        place,
        restarts: restarts(args.restarts.clone())?,
        restart_window: limit(args.restart_window.clone(), "--restart-window", environment::RESTART_WINDOW, "10m")?,
        backoff: limit(args.backoff.clone(), "--backoff", environment::BACKOFF, "1s")?,
        backoff_max: limit(args.backoff_max.clone(), "--backoff-max", environment::BACKOFF_MAX, "30s")?,
        hang_after: hang_after(args.hang_after.clone())?,
        start_within: limit(args.start_within.clone(), "--start-within", environment::START_WITHIN, "60s")?,
        silence: limit(args.silence.clone(), "--silence", environment::SILENCE, "10s")?,
    })
}

impl Prepared {
    /// How the parent of this run supervises it.
    fn watching(&self) -> Watching {
        Watching {
            restarts: Policy {
                most: self.restarts.value,
                window: self.restart_window.value,
                wait: self.backoff.value,
                wait_max: self.backoff_max.value,
            },
            hang_after: self.hang_after.value,
            start_within: self.start_within.value,
        }
    }
}

/// Which processes the run has, and which one this is.
fn place(args: &RunArgs) -> Result<Place, Error> {
    if args.processes == Some(0) {
        return Err(Error::fix("`-n 0` is not a number of processes", "use a number from 1"));
    }
    let (hosts, origin) = match (&args.started_with, &args.hostfile) {
        (Some(hosts), _) => (hosts.split(',').map(str::to_owned).collect(), "this run".to_owned()),
        (None, Some(path)) => (hosts::read_hosts(path)?, path.display().to_string()),
        (None, None) => {
            (hosts::local_hosts(args.processes.unwrap_or(1))?, format!("`-n {}`", args.processes.unwrap_or(1)))
        }
    };
    if let Some(count) = args.processes.filter(|count| *count != hosts.len()) {
        let message = format!("`-n {count}`, but {origin} names {} processes", hosts.len());
        return Err(Error::fix(message, "leave `-n` out, or write one line for each process"));
    }
    match args.process {
        Some(process) if process >= hosts.len() => {
            let message = format!("`-p {process}` is not a process of {origin}, which has {}", hosts.len());
            Err(Error::fix(message, format!("count from 0: the last one is `-p {}`", hosts.len() - 1)))
        }
        None if args.hostfile.is_some() => Err(Error::fix(
            format!("{origin} names {} processes, but no `-p` says which one this is", hosts.len()),
            "add `-p I`, the number of this host's line, from 0",
        )),
        _ if hosts.len() == 1 => Ok(Place::Alone),
        None => Ok(Place::Parent(hosts.len())),
        Some(process) => Ok(Place::One { process, hosts, inherits: args.started_with.is_some() }),
    }
}

/// What this process needs to join the others; `None` without others. Errors: see [`hosts::secret`].
fn cluster(args: &RunArgs, prepared: &Prepared) -> Result<Option<Cluster>, Error> {
    let Place::One { process, hosts, inherits } = &prepared.place else { return Ok(None) };
    let secret = hosts::secret(args.secret_file.as_deref(), hosts)?;
    let listener = if *inherits { Some(inherited()?) } else { None };
    let (start_within, silence) = (prepared.start_within.value, prepared.silence.value);
    Ok(Some(Cluster { process: *process, hosts: hosts.clone(), listener, secret, start_within, silence }))
}

/// The listening socket that the parent has passed as standard input.
fn inherited() -> Result<TcpListener, Error> {
    use std::os::fd::AsFd;
    let own = std::io::stdin().as_fd().try_clone_to_owned();
    let listener = own.map(TcpListener::from).and_then(|listener| listener.local_addr().map(|_| listener));
    listener.map_err(|error| Error::bug(format!("standard input is not a listening socket: {error}")))
}

/// A duration of at least 100 ms.
fn limit(
    flag: Option<String>,
    flag_name: &'static str,
    variable: &'static str,
    default: &str,
) -> Result<ResolvedSetting<Duration>, Error> {
    let found = environment::resolve(flag, flag_name, variable, Some(default)).expect("there is a default");
    match duration(&found.value) {
        Ok(nanos) if nanos >= 100 * MILLI => {
            Ok(ResolvedSetting { value: Duration::from_nanos(nanos.unsigned_abs()), origin: found.origin })
        }
        Ok(_) => Err(Error::fix(format!("{} {}: the least is 100ms", found.origin, found.value), "use e.g. `10s`")),
        Err(why) => Err(Error::fix(format!("{} {:?}, {why}", found.origin, found.value), "use e.g. `500ms`, `10s`")),
    }
}

/// The time after which a silent worker counts as hung; no healthy loop comes near it.
fn hang_after(flag: Option<String>) -> Result<ResolvedSetting<Duration>, Error> {
    let found = limit(flag, "--hang-after", environment::HANG_AFTER, "60s")?;
    if found.value < SILENCE_LEAST {
        let least = SILENCE_LEAST.as_secs();
        return Err(Error::fix(format!("{} is less than {least} s", found.origin), "use e.g. `60s`"));
    }
    Ok(found)
}

fn restarts(flag: Option<String>) -> Result<ResolvedSetting<usize>, Error> {
    let found =
        environment::resolve(flag, "--restarts", environment::RESTARTS, Some("10")).expect("there is a default");
    match found.value.parse::<usize>() {
        Ok(value) => Ok(ResolvedSetting { value, origin: found.origin }),
        Err(_) => {
            let message = format!("{} {:?} is not a number of restarts", found.origin, found.value);
            Err(Error::fix(message, "use a whole number; 0 never restarts"))
        }
    }
}

pub fn workers(flag: Option<String>) -> Result<ResolvedSetting<usize>, Error> {
    let found = environment::resolve(flag, "-w", environment::WORKERS, Some("1")).expect("there is a default");
    match found.value.parse::<usize>() {
        Ok(value) if (1..=1024).contains(&value) => Ok(ResolvedSetting { value, origin: found.origin }),
        _ => {
            let message = format!("{} {:?} is not a number of workers", found.origin, found.value);
            Err(Error::fix(message, "use a number from 1 to 1024; the number of cores is a good choice"))
        }
    }
}

/// The values that override the dataflow's file: those of flags and of the environment.
fn overrides(args: &RunArgs) -> Vec<Override> {
    let mut overrides = args.source.overrides();
    overrides.extend(given("--speed", "source.speed", args.speed.as_deref()));
    overrides.extend(given("--from", "source.from", args.from.as_deref()));
    overrides.extend(given("--until", "source.until", args.until.as_deref()));
    overrides
}

/// Checks for `--dry-run` what a run refuses at its start.
fn refused_later(args: &RunArgs, prepared: &Prepared) -> Result<(), Error> {
    let (process, hosts) = match &prepared.place {
        Place::One { process, hosts, .. } => (*process, Some(hosts)),
        Place::Alone | Place::Parent(_) => (0, None),
    };
    if let Some(metrics) = &prepared.metrics {
        metrics::addresses(&metrics.value, process)?;
    }
    match (hosts, &args.secret_file) {
        (Some(hosts), file) => hosts::secret(file.as_deref(), hosts).map(drop),
        // a single process needs no secret, but a file that is named must be good
        (None, Some(file)) => hosts::secret(Some(file), &[]).map(drop),
        (None, None) => Ok(()),
    }
}

/// Prints each setting with its value and its origin, then the tables. Neither lake nor broker is touched.
fn dry_run(prepared: &Prepared, global: &Global) -> Result<(), Error> {
    let tables = plan::tables_of(&prepared.dataflow)?;
    let mut rows: Vec<(String, String, String)> = vec![
        ("dataflow".into(), prepared.dataflow.name.clone(), prepared.dataflow.hash()),
        ("warehouse".into(), prepared.warehouse.value.to_string(), prepared.warehouse.origin.to_string()),
        ("workers".into(), prepared.workers.value.to_string(), prepared.workers.origin.to_string()),
    ];
    if let Warehouse::S3(place) = &prepared.warehouse.value {
        let S3Settings { endpoint, path_style } = &place.settings;
        let endpoint =
            endpoint.iter().map(|found| ("s3.endpoint".into(), found.value.clone(), found.origin.to_string()));
        rows.extend(endpoint);
        let style =
            |found: &ResolvedSetting<bool>| ("s3.path_style".into(), found.value.to_string(), found.origin.to_string());
        rows.extend(path_style.iter().map(style));
    }
    let seconds = |limit: &ResolvedSetting<Duration>| format!("{}s", limit.value.as_secs_f64());
    match &prepared.place {
        Place::Alone => {}
        Place::Parent(count) => rows.push(("processes".into(), count.to_string(), "-n".into())),
        Place::One { process, hosts, .. } => {
            rows.push(("processes".into(), hosts.join(", "), "--hostfile".into()));
            rows.push(("process".into(), process.to_string(), "-p".into()));
        }
    }
    if !matches!(prepared.place, Place::Alone) {
        for (key, limit) in [("start-within", &prepared.start_within), ("silence", &prepared.silence)] {
            rows.push((key.into(), seconds(limit), limit.origin.to_string()));
        }
    }
    if prepared.below.is_some() {
        let Prepared { restarts, restart_window, backoff, backoff_max, hang_after, .. } = prepared;
        rows.push(("restarts".into(), restarts.value.to_string(), restarts.origin.to_string()));
        let limits = [
            ("restart-window", restart_window),
            ("backoff", backoff),
            ("backoff-max", backoff_max),
            ("hang-after", hang_after),
        ];
        rows.extend(limits.map(|(key, limit)| (key.into(), seconds(limit), limit.origin.to_string())));
    }
    if let Some(ResolvedSetting { value, origin }) = &prepared.catalog {
        // the catalog's address without the password
        rows.push(("catalog".into(), CatalogPlace::parse(value)?.to_string(), origin.to_string()));
    }
    rows.extend(prepared.metrics.iter().map(|found| ("metrics".into(), found.value.clone(), found.origin.to_string())));
    rows.extend(prepared.dataflow.origins().into_iter().map(|found| (found.key, found.value, found.origin)));
    if global.json {
        let line =
            |(key, value, origin): &(String, String, String)| json!({ "key": key, "value": value, "origin": origin });
        rows.iter().try_for_each(|row| print(&format!("{}\n", line(row))))?;
        return tables.iter().try_for_each(|table| print(&format!("{}\n", plan::table_json(table))));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(key, value, origin)| vec![key, origin, value]).collect();
    print(&aligned(&rows))?;
    print(&plan::tables(&tables))
}

/// Runs what the flags describe until its end, a signal or a failure.
pub fn run(args: &RunArgs, global: &Global) -> Result<(), Error> {
    let prepared = prepare(args, global)?;
    if args.dry_run {
        refused_later(args, &prepared)?;
        return dry_run(&prepared, global);
    }
    if let Some(below) = prepared.below {
        return supervise(below, &prepared.watching());
    }
    let cluster = cluster(args, &prepared)?;
    start(prepared, cluster, args.zerocopy, global)
}

/// Runs the prepared dataflow and prints its figures.
fn start(prepared: Prepared, cluster: Option<Cluster>, force_bytes: bool, global: &Global) -> Result<(), Error> {
    // only process 0 prints figures: it decides epochs
    let quiet = global.quiet || cluster.as_ref().is_some_and(|cluster| cluster.process != 0);
    let process = cluster.as_ref().map_or(0, |cluster| cluster.process);
    let metrics = prepared.metrics.map(|metrics| metrics::listen(&metrics.value, process)).transpose()?;
    let warehouse = prepared.warehouse.value.clone();
    let report = rebuild::run(RunOptions {
        metrics,
        dataflow: prepared.dataflow,
        warehouse: prepared.warehouse.value,
        catalog: prepared.catalog.map(|catalog| catalog.value),
        workers: prepared.workers.value,
        cluster,
        force_bytes,
        progress: (!quiet).then(progress_on_terminal).flatten(),
        evolve: prepared.evolve,
    });
    let report = report.map_err(|error| fenced_by(error, &warehouse))?;
    if global.json && report.leads {
        print(&format!("{}\n", report_json(&report)))?;
    } else if !quiet {
        print(&format!("{}\n", summary(&report)))?;
    }
    if !quiet {
        let last = losses::lines(&report).into_iter().chain(report.remarks.iter().cloned());
        last.for_each(|line| note(format_args!("{line}")));
    }
    report.refused.map_or(Ok(()), Err)
}

/// Adds to the error of a fenced run which process writes the lake now, if that is known.
pub(super) fn fenced_by(error: Error, warehouse: &Warehouse) -> Error {
    if error.kind != Kind::Fenced {
        return error;
    }
    // the new owner announces itself only after its takeover
    let found = async {
        loop {
            if let Some(seen) = owner::other(warehouse).await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let look = async { Ok(tokio::time::timeout(LOOK, found).await.ok()) };
    match read::block_on(look) {
        Ok(Some(Heartbeat { host, process, .. })) => {
            let hint =
                format!("process {process} on {host} writes this lake now: stop that process, or leave the lake to it");
            Error { hint: Some(hint), ..error }
        }
        _ => error,
    }
}

/// The figures of a run as one line of JSON.
fn report_json(report: &RunReport) -> serde_json::Value {
    let mut told = losses::report_json(report);
    let figures = json!({
        "generation": report.generation, "epochs": report.epochs, "records": report.records,
        "accepted": report.accepted, "duplicates": report.duplicates, "rejected": report.rejected,
        "pending": report.pending, "ignored": report.ignored, "ignored_by_word": report.words, "rows": report.rows, "corrections": report.corrections,
        "seconds": report.elapsed.as_secs_f64(),
    });
    if let (Some(told), serde_json::Value::Object(figures)) = (told.as_object_mut(), figures) {
        told.extend(figures);
    }
    told
}

/// The figures of a run as a line for people.
fn summary(report: &RunReport) -> String {
    let RunReport { records, accepted, duplicates, rejected, pending, epochs, rows, corrections, .. } = report;
    let ignored = if report.ignored > 0 { format!(" + {} ignored", report.ignored) } else { String::new() };
    format!(
        "{records} records = {accepted} accepted + {duplicates} duplicates + {rejected} rejected + {pending} pending{ignored}; \
         {epochs} epochs, {rows} rows, {corrections} corrections in {:.1} s",
        report.elapsed.as_secs_f64()
    )
}

/// A line of progress that is redrawn in place, on a terminal only.
pub(super) fn progress_on_terminal() -> Option<ShowFigures> {
    let line = ProgressBar::new_spinner();
    if line.is_hidden() {
        return None;
    }
    Some(Box::new(move |meters, elapsed| {
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (records, seconds) = (get(&meters.records), elapsed.as_secs_f64().max(1e-3));
        line.set_message(format!(
            "{records} records ({:.0} a second), {} epochs committed, {} rejected, {} corrections",
            records as f64 / seconds,
            get(&meters.epochs),
            get(&meters.rejected),
            get(&meters.corrections)
        ));
        line.tick();
    }))
}
