//! Reads a lake as it was: a late trade corrects a bar, and the epoch before it still shows what was known then.
//!
//! `cargo run --example read_epoch`

use std::error::Error;
use std::path::Path;
use ticktide::{Dataflow, Lake, Run};

const DATAFLOW: &str = r#"
source = { use = "file", sequence = "trusted" }
bars   = [{ every = "1m" }]
"#;

/// A trade a number of seconds after 10:00 in New York of Tuesday 2026-01-06, as a line.
fn trade(sequence: u64, second: u64, price: u64) -> String {
    let time = 1_767_711_600 + second;
    format!("{{\"symbol\":\"ACME\",\"time\":{time},\"sequence\":{sequence},\"price\":{price},\"quantity\":1}}\n")
}

/// Runs the dataflow over the files of a folder up to their ends; a later run goes on where this one ends.
fn run(folder: &Path) -> Result<Lake, Box<dyn Error>> {
    let paths = format!("source.paths=[{:?}]", folder.join("ticks.jsonl"));
    let dataflow = Dataflow::from_text("read_epoch", "read_epoch.toml", DATAFLOW, &[], &[paths])?;
    Run::new(dataflow).warehouse(folder.join("lake")).until_end().run()?;
    Ok(Lake::open(folder.join("lake"))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ticks.jsonl");
    let on_time: String = (0..180).map(|second| trade(second, second, 100)).collect();
    std::fs::write(&path, &on_time)?;
    let before = run(folder.path())?.epochs()?.last().map(|row| row.epoch).ok_or("an epoch")?;

    // a trade of the first minute arrives after all others
    std::fs::write(&path, on_time + &trade(180, 30, 120))?;
    let lake = run(folder.path())?;

    let query = || lake.query("select high from bars_1m order by open_at limit 1");
    let (then, now) = (query().at(before).text()?, query().text()?);
    println!("at epoch {before}:\n{then}\nnow:\n{now}");
    assert!(then.contains("100") && now.contains("120"));

    // the history shows what was taken back, and when
    let history = lake.query("select high, epoch, diff from bars_1m_history order by epoch, diff, open_at");
    println!("{}", history.text()?);
    let diffs: Vec<i64> = history.rows()?.iter().filter_map(|row| row["diff"].as_i64()).collect();
    assert_eq!(diffs, [1, 1, 1, -1, 1]);
    Ok(())
}
