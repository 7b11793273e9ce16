//! `check`: reads and checks dataflow and calendar files, and runs none of them.

use super::{Global, aligned, place_json, print};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use ticktide_base::document::{Problem, Problems};
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_feed::sniff;
use ticktide_market::calendar::{file, time_text};
use ticktide_market::{Instrument, SCALE, Tick};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Dataflow or calendar files ending in .toml, or names of shipped dataflows
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Override a key, as in `run`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Decode the first records of a recorded file as the dataflow says, and show three ticks
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
    /// With `--sample`: how many records to decode
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: u64,
}

/// A file's name, its sort, and its hash or its problems.
struct Checked<'a> {
    file: &'a str,
    what: String,
    read: Result<String, Vec<Problem>>,
}

/// Checks every file and ends with an error if any of them has a problem.
pub fn check(args: &CheckArgs, global: &Global) -> Result<(), Error> {
    let mut bad: Vec<(String, Problem)> = Vec::new();
    for file in &args.files {
        let checked = calendar(file).unwrap_or_else(|| dataflow(file, &args.set));
        if global.json {
            print(&format!("{}\n", as_json(&checked)))?;
        } else if let Ok(hash) = &checked.read
            && !global.quiet
        {
            print(&format!("{file}: good, hash {}\n", &hash[..16]))?;
        }
        bad.extend(checked.read.err().into_iter().flatten().map(|problem| (checked.what.clone(), problem)));
    }
    all(&bad).map_or(Ok(()), Err)?;
    let Some(path) = &args.sample else { return Ok(()) };
    args.files.iter().try_for_each(|file| sample(file, args, path, global))
}

/// Decodes a file's first records by a dataflow. Error: fewer than half of them are ticks.
fn sample(name: &str, args: &CheckArgs, path: &Path, global: &Global) -> Result<(), Error> {
    let dataflow = Dataflow::load(name, &[], &args.set)?;
    let found = sniff::sniff_as(path, args.records, "sample", &dataflow.source.wire)?;
    let ticks: Vec<_> = found.first.iter().map(|(instrument, tick)| tick_json(instrument, tick)).collect();
    if global.json {
        let reject = |(reason, few): (&&str, &sniff::RejectSummary)| json!({ "reason": reason, "records": few.records, "offset": few.offset, "detail": few.detail });
        let rejects: Vec<_> = found.rejects.iter().map(reject).collect();
        let counts = json!({ "file": name, "sample": path, "records": found.records, "ticks": found.ticks, "ignored": found.ignored,
                             "first": ticks, "rejects": rejects });
        print(&format!("{counts}\n"))?;
    } else {
        print(&aligned(&super::sniff::rows(&found)))?;
        ticks.iter().try_for_each(|tick| print(&format!("{tick}\n")))?;
    }
    if super::sniff::is_good(&found) {
        return Ok(());
    }
    let message = format!("{} of the first {} records of {} are ticks", found.ticks, found.records, path.display());
    Err(Error::fix(message, "the reasons are above; `ticktide list formats --sniff FILE` proposes a `source`"))
}

/// A tick for people: what bars are made of.
fn tick_json(instrument: &Instrument, tick: &Tick) -> serde_json::Value {
    let number = |units: i64| units as f64 / SCALE as f64;
    json!({
        "kind": tick.kind.name(), "venue": instrument.venue(), "instrument": instrument.instrument(), "symbol": instrument.symbol(),
        "time": time_text(tick.exchange_at), "id": tick.id, "sequence": tick.sequence,
        "price": tick.price.map(|price| number(price.0)), "quantity": tick.quantity.map(|quantity| number(quantity.0)),
    })
}

/// All problems as one error, each with its hint; `None` if there are none.
pub fn all(problems: &[(String, Problem)]) -> Option<Error> {
    let (_, last) = problems.last()?;
    let mut message = String::new();
    for (index, (what, problem)) in problems.iter().enumerate() {
        message.push_str(&format!("{what}: {problem}"));
        if index + 1 < problems.len() {
            message.push_str(&format!("\nhint: {}\nerror: ", problem.hint));
        }
    }
    Some(Error::fix(message, last.hint.clone()))
}

/// The result for a file, if it can be read and is a calendar.
fn calendar(name: &str) -> Option<Checked<'_>> {
    let text = if name.ends_with(".toml") { std::fs::read_to_string(name).ok()? } else { return None };
    if !file::is_calendar(&text) {
        return None;
    }
    let problems = Problems::default();
    let session = file::parse(name, &text, &problems);
    let problems = problems.take();
    let read = if problems.is_empty() { Ok(session.hash()) } else { Err(problems) };
    Some(Checked { file: name, what: "calendar".to_owned(), read })
}

fn dataflow<'a>(name: &'a str, set: &[String]) -> Checked<'a> {
    match Dataflow::load(name, &[], set) {
        Ok(dataflow) => Checked { file: name, what: String::new(), read: Ok(dataflow.hash()) },
        Err(error) => {
            let what = format!("dataflow {:?}", error.name);
            Checked { file: name, what, read: Err(error.problems) }
        }
    }
}

fn as_json(checked: &Checked<'_>) -> serde_json::Value {
    match &checked.read {
        Ok(hash) => json!({ "file": checked.file, "good": true, "hash": hash, "problems": [] }),
        Err(problems) => {
            let problems = problems.iter().map(|problem| {
                json!({ "place": place_json(&problem.place), "message": problem.message, "hint": problem.hint })
            });
            json!({ "file": checked.file, "good": false, "hash": null, "problems": problems.collect::<Vec<_>>() })
        }
    }
}
