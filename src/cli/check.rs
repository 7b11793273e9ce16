//! `check`: dataflow files read, judged and not run.

use super::{Global, aligned, place_json, print};
use crate::dataflow::{Dataflow, DataflowError};
use crate::error::Error;
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
    match bad.as_slice() {
        [] => Ok(()),
        [only] => Err(Error::from(only.clone())),
        several => {
            let rows: Vec<Vec<String>> = several.iter().map(|error| vec![error.to_string()]).collect();
            let message = format!("{} of {} files have problems\n{}", several.len(), args.files.len(), aligned(&rows));
            Err(Error::fix(message.trim_end(), "change these places and check again"))
        }
    }
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
