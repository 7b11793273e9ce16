//! `check`: dataflow files read, judged and not run.

use super::{Global, place_json, print};
use crate::dataflow::{Dataflow, DataflowError};
use crate::error::{Classified, Error};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files ending in .toml, or names of shipped dataflows
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Override a key, as `run` would
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Checks every file and ends with an error if any of them has a problem.
pub fn check(args: &CheckArgs, global: &Global) -> Result<(), Error> {
    let mut bad: Vec<DataflowError> = Vec::new();
    for file in &args.files {
        let read = Dataflow::load(file, &[], &args.set);
        if global.json {
            print(&format!("{}\n", as_json(file, &read)))?;
        } else if let Ok(dataflow) = &read
            && !global.quiet
        {
            print(&format!("{file}: good, hash {}\n", &dataflow.hash()[..16]))?;
        }
        bad.extend(read.err());
    }
    let Some(last) = bad.last() else { return Ok(()) };
    let hint = last.hint().unwrap_or_default();
    let said = |error: &DataflowError| (error.to_string(), error.hint().unwrap_or_default());
    let mut message = String::new();
    for (index, (text, hint)) in bad.iter().map(said).enumerate() {
        message.push_str(&text);
        if index + 1 < bad.len() {
            message.push_str(&format!("\nhint: {hint}\nerror: "));
        }
    }
    Err(Error::fix(message, hint))
}

fn as_json(file: &str, read: &Result<Dataflow, DataflowError>) -> serde_json::Value {
    match read {
        Ok(dataflow) => json!({ "file": file, "good": true, "hash": dataflow.hash(), "problems": [] }),
        Err(error) => {
            let problems = error.problems.iter().map(|problem| {
                json!({ "place": place_json(&problem.place), "message": problem.message, "hint": problem.hint })
            });
            json!({ "file": file, "good": false, "hash": null, "problems": problems.collect::<Vec<_>>() })
        }
    }
}
