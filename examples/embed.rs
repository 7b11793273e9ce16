//! Runs a dataflow inside a program: a file of trades → a lake in a folder → its minute bars.
//!
//! `cargo run --example embed`

use std::error::Error;
use std::fs::File;
use std::io::Write;
use ticktide::{Dataflow, Lake, Run};

/// The content of a file `embed.toml`.
const DATAFLOW: &str = r#"
source     = { use = "file", sequence = "trusted" }
bars       = [{ every = "1m" }]
indicators = [{ use = "sma", period = 2, on = "1m" }]
"#;

/// 10:00 in New York of Tuesday 2026-01-06, seconds since 1970.
const OPENS_AT: u64 = 1_767_711_600;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ticks.jsonl");
    let mut file = File::create(&path)?;
    for second in 0..180 {
        let (time, price) = (OPENS_AT + second, 100 + second / 60);
        writeln!(
            file,
            r#"{{"venue":"X","symbol":"ACME","time":{time},"sequence":{second},"price":"{price}.25","quantity":2}}"#
        )?;
    }
    drop(file);

    // the last list overrides keys of the text, as `--set` does
    let paths = format!("source.paths=[{path:?}]");
    let dataflow = Dataflow::from_text("embed", "embed.toml", DATAFLOW, &[], &[paths])?;
    let lake = folder.path().join("lake");
    let report = Run::new(dataflow).warehouse(&lake).workers(2).until_end().run()?;
    assert_eq!((report.records, report.rejected), (180, 0));

    let lake = Lake::open(&lake)?;
    let sql = "select b.open_at, b.close, b.volume, i.sma_2 from bars_1m b \
               join indicators_1m i using (venue, instrument, open_at, phase) order by b.open_at";
    println!("{}", lake.query(sql).text()?);
    let rows = lake.query(sql).rows()?;
    assert_eq!(rows.len(), 3);
    assert!(rows[0]["sma_2"].is_null(), "one bar is no mean of two");
    assert_eq!(rows[2]["sma_2"].as_f64(), Some(101.75));
    Ok(())
}
