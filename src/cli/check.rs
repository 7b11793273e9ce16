//! `check`: reads and checks dataflow and calendar files, and runs none of them.

use super::{Global, place_json, print};
use clap::Args;
use serde_json::json;
use ticktide_base::document::{Problem, Problems};
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_market::calendar::file;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Dataflow or calendar files ending in .toml, or names of shipped dataflows
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Override a key, as in `run`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
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
    all(&bad).map_or(Ok(()), Err)
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
