//! `verify`: checks the data files against the log, then recomputes the epochs from their recorded bindings.
//!
//! Why it takes the lake's own record of its dataflow, unless one is named: the file may have changed since, or be elsewhere.

use super::run;
use super::source::SourceArgs;
use super::{Global, print, read};
use clap::Args;
use serde_json::{Value, json};
use std::str::FromStr;
use ticktide_base::document::Location;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Error, Kind};
use ticktide_dataflow::{Dataflow, DataflowError, Override, Recorded};
use ticktide_lake::{AuditMismatch, Audited, LakeReader};
use ticktide_replay::recorded;
use ticktide_replay::verify::{self, EpochDifference, Recompute, Recomputed};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The dataflow that the lake was made with, by name or file [default: as recorded in the lake]
    pub dataflow: Option<String>,
    /// The epochs to verify, both ends included: A..B, A.., ..B or A [default: all]
    #[arg(long, value_name = "A..B")]
    pub epochs: Option<Range>,
    /// Only check the data files against the log; this needs neither the source nor the dataflow
    #[arg(long)]
    pub files: bool,
    /// Worker threads, any number [default: 1, or TICKTIDE_WORKERS]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<String>,
    /// Serialise data between threads, too, as between processes
    #[arg(short = 'z', long)]
    pub zerocopy: bool,
    /// A `--set` that the run had; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten, next_help_heading = "The source, if it is not the recorded one")]
    pub source: SourceArgs,
}

/// Epochs from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: Option<Epoch>,
    last: Option<Epoch>,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let number = |text: &str| match text.is_empty() {
            true => Ok(None),
            false => {
                text.parse().map(Some).map_err(|_| format!("{text:?} is not the number of an epoch; write e.g. 10..20"))
            }
        };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        Ok(Range { first, last })
    }
}

/// Verifies. Exit 1: something differs, and the error says what; 2: the source is gone, or the range is empty.
pub fn verify(args: VerifyArgs, global: &Global) -> Result<(), Error> {
    let Range { first, last } = args.epochs.unwrap_or(Range { first: None, last: None });
    let catalog = global.catalog().map(|found| found.value);
    let warehouse = global.warehouse("./lake")?.value;
    let (audited, identity) = read::block_on(async {
        let reader = read::open(global).await?;
        let (first, last) = recorded::range(&reader, first, last).await?;
        Ok((audit(&reader, first, last).await?, reader.identity().clone()))
    })?;
    let audited = match audited {
        Ok(audited) => audited,
        Err(finding) => return Err(told_finding(&finding, global)?),
    };
    say(global, files_json(&audited), files_text(&audited))?;
    if args.files {
        return Ok(());
    }
    let archive = args.source.source.as_deref() == Some("lake");
    let source = SourceArgs { source: args.source.source.filter(|_| !archive), ..args.source };
    let dataflow = match args.dataflow {
        Some(named) => {
            let mut overrides = recorded_source(&identity.settings);
            overrides.extend(source.overrides());
            Dataflow::load(&named, &overrides, &args.set).map_err(without_dataflow)?
        }
        None => {
            let (name, settings) = (&identity.dataflow, &identity.settings);
            let recorded = Dataflow::recorded(name, settings, &source.overrides(), &args.set);
            of_lake(recorded.map_err(without_dataflow)?, archive)?
        }
    };
    let recomputed = verify::recompute(Recompute {
        dataflow,
        warehouse,
        catalog,
        workers: run::workers(args.workers)?.value,
        force_bytes: args.zerocopy,
        archive,
        first,
        last,
        progress: (!global.quiet).then(run::progress_on_terminal).flatten(),
    })?;
    match &recomputed.difference {
        Some(difference) => Err(told_difference(difference, global)?),
        None => say(global, recomputed_json(&recomputed), recomputed_text(&recomputed)),
    }
}

/// A dataflow that cannot be read: the hint says what can be done without it.
fn without_dataflow(error: DataflowError) -> Error {
    let error = Error::from(error);
    let hint = error.hint.clone().unwrap_or_default();
    Error { hint: Some(format!("{hint}; without the dataflow: `verify --files`")), ..error }
}

/// The dataflow that the lake has recorded, if nothing of it is missing.
fn of_lake(recorded: Recorded, archive: bool) -> Result<Dataflow, Error> {
    match recorded.forgotten.first().filter(|_| !archive) {
        None => Ok(recorded.dataflow),
        Some(key) => Err(Error::fix(
            format!("the lake keeps no secrets: it does not know source.kafka.{key}"),
            format!(
                "name the dataflow that sets it, `ticktide verify NAME`, or add `--set 'source.kafka.\"{key}\"=…'`"
            ),
        )),
    }
}

async fn audit(reader: &LakeReader, first: Epoch, last: Epoch) -> Result<Result<Audited, AuditMismatch>, Error> {
    Ok(reader.audit(first, last).await?)
}

/// The source as the lake has recorded it, which overrides the file's; secrets are not recorded.
pub(super) fn recorded_source(settings: &Value) -> Vec<Override> {
    let running = &settings["running"];
    let place = || Location::Name("the lake's record of its source".to_owned());
    let mut overrides = Vec::new();
    for key in ["source.use", "source.brokers"] {
        if let Some(text) = running[key].as_str().filter(|text| !text.is_empty()) {
            overrides.push(Override::text(place(), key, text));
        }
    }
    for key in ["source.topics", "source.paths"] {
        let texts: Vec<String> =
            running[key].as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect();
        if !texts.is_empty() {
            overrides.push(Override::texts(place(), key, &texts));
        }
    }
    overrides
}

fn say(global: &Global, json: Value, text: String) -> Result<(), Error> {
    match (global.json, global.quiet) {
        (true, _) => print(&format!("{json}\n")),
        (false, true) => Ok(()),
        (false, false) => print(&format!("{text}\n")),
    }
}

fn files_json(audited: &Audited) -> Value {
    let Audited { epochs, tables, files, rows } = audited;
    json!({ "check": "files", "equal": true, "epochs": epochs, "tables": tables, "files": files, "rows": rows })
}

fn files_text(audited: &Audited) -> String {
    let Audited { epochs, tables, files, rows } = audited;
    format!("files: equal; {rows} rows in {files} files of {tables} tables, {epochs} epochs retained")
}

fn recomputed_json(recomputed: &Recomputed) -> Value {
    let Recomputed { first, last, epochs, records, rows, .. } = recomputed;
    json!({
        "check": "recomputation", "equal": true, "first": first, "last": last, "epochs": epochs, "records": records,
        "rows": rows,
    })
}

fn recomputed_text(recomputed: &Recomputed) -> String {
    let Recomputed { first, last, epochs, records, rows, .. } = recomputed;
    format!("recomputation: equal; {epochs} epochs ({first} to {last}), {records} records, {rows} rows")
}

/// Prints where a file differs; gives the error that ends the command.
fn told_finding(finding: &AuditMismatch, global: &Global) -> Result<Error, Error> {
    let AuditMismatch { table, epoch, file, detail } = finding;
    if global.json {
        let json = json!({
            "check": "files", "equal": false, "table": table, "epoch": epoch, "file": file, "detail": detail,
        });
        print(&format!("{json}\n"))?;
    }
    let place = match file.as_ref().filter(|file| !detail.contains(file.as_str())) {
        Some(file) => format!("table {table}, epoch {epoch}, {file}"),
        None => format!("table {table}, epoch {epoch}"),
    };
    let hint = "restore the table's files from a backup, or write a new lake from the source";
    Ok(Error { kind: Kind::Corrupt, message: format!("{place}: {detail}"), hint: Some(hint.to_owned()) })
}

/// Prints what differs; gives the error that ends the command.
fn told_difference(difference: &EpochDifference, global: &Global) -> Result<Error, Error> {
    let EpochDifference { table, epoch, key, recorded, recomputed } = difference;
    if global.json {
        let json = json!({
            "check": "recomputation", "equal": false, "table": table, "epoch": epoch, "key": key, "recorded": recorded,
            "recomputed": recomputed,
        });
        print(&format!("{json}\n"))?;
    }
    let hint =
        "if the source still has the records as they were, the lake's rows are wrong: write a new lake from the source";
    Ok(Error { kind: Kind::Corrupt, message: difference.to_string(), hint: Some(hint.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_the_lake_does_not_keep_is_asked_for_unless_its_archive_is_read() {
        let settings = json!({ "running": { "source.use": "kafka", "source.kafka.sasl.password": "***" } });
        let recorded = || Dataflow::recorded("mine", &settings, &[], &[]).expect("good");
        let Err(error) = of_lake(recorded(), false) else { panic!("it is missing") };
        assert!(error.message.contains("source.kafka.sasl.password"), "{}", error.message);
        assert!(error.hint.is_some_and(|hint| hint.contains("ticktide verify NAME")));
        assert_eq!(of_lake(recorded(), true).ok().map(|dataflow| dataflow.name).as_deref(), Some("mine"));
    }

    #[test]
    fn a_range_has_both_its_ends_or_leaves_one_open() {
        let range = |text: &str| text.parse::<Range>();
        assert_eq!(range("3..7"), Ok(Range { first: Some(3), last: Some(7) }));
        assert_eq!(range("3.."), Ok(Range { first: Some(3), last: None }));
        assert_eq!(range("..7"), Ok(Range { first: None, last: Some(7) }));
        assert_eq!(range("5"), Ok(Range { first: Some(5), last: Some(5) }));
        assert!(range("a..b").is_err());
    }
}
