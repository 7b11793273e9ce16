//! `run`: flags, environment and file become one dataflow, and where it runs.

use super::{Global, aligned, plan, print};
use crate::dataflow::{Dataflow, Override};
use crate::document::Place;
use crate::engine::{self, RunOptions, RunReport};
use crate::error::Error;
use crate::lake::Warehouse;
use crate::settings::{self, Origin, S3Settings, Sourced};
use crate::sink::Meters;
use crate::telemetry;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A dataflow's name, or its file ending in .toml
    pub dataflow: String,
    /// Read from another kind of source (see `list sources`)
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Kafka brokers, separated by commas [or TICKTIDE_BROKERS]
    #[arg(long, value_name = "LIST")]
    pub brokers: Option<String>,
    /// A Kafka topic; may be repeated
    #[arg(long, value_name = "NAME")]
    pub topic: Vec<String>,
    /// A recorded file, a folder of them or a pattern; may be repeated; each file is a partition
    #[arg(long, value_name = "FILE|DIR|GLOB")]
    pub path: Vec<String>,
    /// How fast recorded data is played: `max`, or a multiple of recorded time
    #[arg(long, value_name = "N|max")]
    pub speed: Option<String>,
    /// Where a new lake starts: `earliest`, `latest` or an RFC 3339 time
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// `end`: stop at what is there now, with all bars closed
    #[arg(long, value_name = "end")]
    pub until: Option<String>,
    /// Worker threads [default: 1, or TICKTIDE_WORKERS]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<String>,
    /// Serialise even what crosses threads of one process, as it would be between processes
    #[arg(short = 'z', long)]
    pub zerocopy: bool,
    /// Processes
    #[arg(short = 'n', long, value_name = "N")]
    pub processes: Option<usize>,
    /// This process's index
    #[arg(short = 'p', long, value_name = "I")]
    pub process: Option<usize>,
    /// The hosts of all processes
    #[arg(long, value_name = "FILE")]
    pub hostfile: Option<PathBuf>,
    /// Serve figures for Prometheus at http://ADDR/metrics, e.g. 127.0.0.1:9464 [or TICKTIDE_METRICS]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Override any key of the dataflow; may be repeated; goes last
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print every setting with its origin, and do not run
    #[arg(long)]
    pub dry_run: bool,
}

/// Everything that a run needs, resolved.
pub struct Prepared {
    pub dataflow: Dataflow,
    pub warehouse: Sourced<Warehouse>,
    pub catalog: Option<Sourced<String>>,
    pub workers: Sourced<usize>,
    pub metrics: Option<Sourced<String>>,
}

/// Resolves what to run. Errors: a problem of the dataflow, several processes, no number of workers.
fn prepare(args: &RunArgs, global: &Global) -> Result<Prepared, Error> {
    one_process(args)?;
    let dataflow = Dataflow::load(&args.dataflow, &overrides(args), &args.set)?;
    dataflow.ready()?;
    Ok(Prepared {
        dataflow,
        warehouse: global.warehouse("./lake")?,
        catalog: global.catalog(),
        workers: workers(args.workers.clone())?,
        metrics: settings::resolve(args.metrics.clone(), "--metrics", settings::METRICS, None),
    })
}

/// This version runs in one process: anything that asks for more is refused, not ignored.
fn one_process(args: &RunArgs) -> Result<(), Error> {
    let asked = if let Some(count) = args.processes.filter(|count| *count != 1) {
        format!("-n {count}")
    } else if let Some(index) = args.process.filter(|index| *index != 0) {
        format!("-p {index}")
    } else if let Some(file) = &args.hostfile {
        format!("--hostfile {}", file.display())
    } else {
        return Ok(());
    };
    let message = format!("`{asked}`: several processes are not available in this version");
    Err(Error::fix(message, "use `-w N` for more worker threads in one process"))
}

pub fn workers(flag: Option<String>) -> Result<Sourced<usize>, Error> {
    let found = settings::resolve(flag, "-w", settings::WORKERS, Some("1")).expect("there is a default");
    match found.value.parse::<usize>() {
        Ok(value) if (1..=1024).contains(&value) => Ok(Sourced { value, origin: found.origin }),
        _ => {
            let message = format!("{} {:?} is no number of workers", found.origin, found.value);
            Err(Error::fix(message, "use a number from 1 to 1024; as many as there are cores is a good one"))
        }
    }
}

/// Flags of their own, over the environment, over the file.
fn overrides(args: &RunArgs) -> Vec<Override> {
    let mut overrides = Vec::new();
    let brokers = settings::resolve(args.brokers.clone(), "--brokers", settings::BROKERS, None);
    if let Some(Sourced { value, origin }) = brokers {
        let place = match origin {
            Origin::Environment(name) => Place::Environment(name),
            Origin::Flag(_) | Origin::Default => Place::Flag("--brokers"),
        };
        overrides.push(Override::text(place, "source.brokers", &value));
    }
    let texts = [
        ("--source", "source.use", &args.source),
        ("--speed", "source.speed", &args.speed),
        ("--from", "source.from", &args.from),
        ("--until", "source.until", &args.until),
    ];
    for (flag, key, value) in texts {
        overrides.extend(value.as_deref().map(|value| Override::text(Place::Flag(flag), key, value)));
    }
    for (flag, key, values) in [("--topic", "source.topics", &args.topic), ("--path", "source.paths", &args.path)] {
        if !values.is_empty() {
            overrides.push(Override::texts(Place::Flag(flag), key, values));
        }
    }
    overrides
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
        let style = |found: &Sourced<bool>| ("s3.path_style".into(), found.value.to_string(), found.origin.to_string());
        rows.extend(path_style.iter().map(style));
    }
    rows.extend(prepared.catalog.iter().map(|found| ("catalog".into(), found.value.clone(), found.origin.to_string())));
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
        return dry_run(&prepared, global);
    }
    start(prepared, args.zerocopy, global)
}

/// Runs what was prepared and prints its figures.
pub fn start(prepared: Prepared, force_bytes: bool, global: &Global) -> Result<(), Error> {
    let metrics = prepared.metrics.map(|metrics| telemetry::listen(&metrics.value, 0)).transpose()?;
    let report = engine::run(RunOptions {
        metrics,
        dataflow: prepared.dataflow,
        warehouse: prepared.warehouse.value,
        catalog: prepared.catalog.map(|catalog| catalog.value),
        workers: prepared.workers.value,
        force_bytes,
        progress: (!global.quiet).then(progress_on_terminal).flatten(),
    })?;
    if global.json {
        return print(&format!("{}\n", report_json(&report)));
    }
    if global.quiet { Ok(()) } else { print(&format!("{}\n", summary(&report))) }
}

/// The figures of a run as one line of JSON.
fn report_json(report: &RunReport) -> serde_json::Value {
    json!({
        "generation": report.generation, "epochs": report.epochs, "records": report.records,
        "accepted": report.accepted, "duplicates": report.duplicates, "rejected": report.rejected,
        "pending": report.pending, "rows": report.rows, "corrections": report.corrections,
        "seconds": report.elapsed.as_secs_f64(),
    })
}

/// The figures of a run as a line for people.
fn summary(report: &RunReport) -> String {
    let RunReport { records, accepted, duplicates, rejected, pending, epochs, rows, corrections, .. } = report;
    format!(
        "{records} records = {accepted} accepted + {duplicates} duplicates + {rejected} rejected + {pending} pending; \
         {epochs} epochs, {rows} rows, {corrections} corrections in {:.1} s",
        report.elapsed.as_secs_f64()
    )
}

/// A line of progress that is drawn over itself, on a terminal only.
fn progress_on_terminal() -> Option<Box<dyn Fn(&Meters, Duration) + Send>> {
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
