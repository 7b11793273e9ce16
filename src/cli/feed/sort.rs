//! `feed sort`: sorts recorded files by time into one file.

use super::super::{Global, note, print};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use ticktide_base::document::{Location, bytes};
use ticktide_base::error::{Error, Kind};
use ticktide_dataflow::{Dataflow, Override};
use ticktide_feed::sort::{SortProgress, SortSpec, Sorted, sort};

/// The least memory: with less, a recording would be sorted in too many parts.
const MEMORY_LEAST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct SortArgs {
    /// Recorded files, one record per line, plain or .gz or .zst; records with equal times stay in the order of these files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The output, a new file; a name ending in .gz or .zst compresses it
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// The dataflow that defines a record's time, by name or file
    #[arg(long, value_name = "NAME|FILE", default_value = "bars")]
    pub dataflow: String,
    /// The wire of the records, instead of the dataflow's (see `list formats`)
    #[arg(long, value_name = "NAME")]
    pub wire: Option<String>,
    /// Override a key of the dataflow, e.g. source.fields.time=ts; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How much may be in memory at once; the rest is sorted on disk
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = memory)]
    pub memory: u64,
    /// A folder with room for all records, uncompressed, if they do not fit into memory [default: the output's folder]
    #[arg(long, value_name = "DIR")]
    pub temp: Option<PathBuf>,
}

fn memory(text: &str) -> Result<u64, String> {
    match bytes(text) {
        Ok(size) if size >= MEMORY_LEAST => Ok(size),
        Ok(_) => Err("the least is 1MiB".to_owned()),
        Err(why) => Err(format!("{why}; give e.g. 512MiB or 2GiB")),
    }
}

/// Sorts, and reports the result. Errors: a file cannot be read or written, or a signal came.
pub fn sort_files(args: &SortArgs, global: &Global) -> Result<(), Error> {
    let wire = args.wire.as_deref().map(|wire| Override::text(Location::Flag("--wire"), "source.wire", wire));
    let overrides: Vec<Override> = wire.into_iter().collect();
    let dataflow = Dataflow::load(&args.dataflow, &overrides, &args.set)?;
    let spec = SortSpec {
        inputs: args.files.clone(),
        output: args.output.clone(),
        wire: dataflow.source.wire,
        memory: args.memory,
        temp: args.temp.clone(),
    };
    let stop = super::signals()?;
    let begun = Instant::now();
    let line = if global.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let mut tell = |progress| {
        line.set_message(match progress {
            SortProgress::Read(records) => format!("{records} records read"),
            SortProgress::Written(records) => format!("{records} records written"),
        });
        line.tick();
    };
    let done = sort(&spec, &mut tell, &stop);
    line.finish_and_clear();
    match done? {
        Some(sorted) => said(&sorted, begun.elapsed().as_secs_f64(), global),
        None => {
            let message = format!("interrupted: {} was not made", args.output.display());
            Err(Error { kind: Kind::Interrupted, message, hint: None })
        }
    }
}

/// Reports what was sorted, and what is remarkable about it.
fn said(sorted: &Sorted, seconds: f64, global: &Global) -> Result<(), Error> {
    let Sorted { records, bytes, untimed, late, runs, unended } = sorted;
    if global.json {
        let line = json!({
            "records": records, "bytes": bytes, "untimed": untimed, "late": late, "runs": runs, "unended": unended.len(),
            "seconds": seconds,
        });
        return print(&format!("{line}\n"));
    }
    if global.quiet {
        return Ok(());
    }
    note(format_args!("{records} records in {seconds:.1} s, {late} of them came after a later one"));
    if *untimed > 0 {
        note(format_args!("{untimed} records have no time: each stays after the record before it"));
    }
    for (path, bytes) in unended {
        note(format_args!(
            "the last line of {} ({bytes} bytes) had no line end: it is a record and has one now",
            path.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::FeedCommand;
    use crate::{Cli, Command};
    use clap::Parser;

    fn sorted(arguments: &[&str]) -> Result<(), Error> {
        let words = ["ticktide", "--quiet", "feed", "sort"].iter().chain(arguments);
        let cli = Cli::try_parse_from(words).expect("good arguments");
        let Command::Feed(FeedCommand::Sort(args)) = cli.command else { panic!("a sort") };
        sort_files(&args, &cli.global)
    }

    #[test]
    fn the_time_is_that_of_the_dataflow_and_its_overrides() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let dataflow = "source = { wire = \"csv\", fields = { time = \"ts\" } }\n";
        std::fs::write(at("mine.toml"), dataflow).expect("written");
        let text = "symbol,ts,time,price,quantity\nA,1700000009,1700000001,1,1\nA,1700000005,1700000002,1,1\n";
        std::fs::write(at("in.csv"), text).expect("written");
        let (ascending, same) = ("A,1700000005,1700000002,1,1\nA,1700000009,1700000001,1,1\n", &text[30..]);
        let [mine, by_set, by_wire, input] = ["mine.csv", "set.csv", "wire.csv", "in.csv"].map(at);
        sorted(&[&input, "-o", &mine, "--dataflow", &at("mine.toml")]).expect("sorted");
        let set = ["--set", "source.fields.time=ts", "--set", "source.wire=csv"];
        sorted(&[&[input.as_str(), "--output", &by_set], &set[..]].concat()).expect("sorted");
        sorted(&[&input, "-o", &by_wire, "--wire", "csv", "--memory", "1MiB", "--temp", &at("")]).expect("sorted");
        for (path, rows) in [(mine, ascending), (by_set, ascending), (by_wire, same)] {
            let written = std::fs::read_to_string(&path).expect("a file");
            assert_eq!(written, format!("symbol,ts,time,price,quantity\n{rows}"), "{path}");
        }
    }

    #[test]
    fn memory_is_a_size() {
        assert_eq!((memory("2GiB"), memory("1048576")), (Ok(2 << 30), Ok(1 << 20)));
        assert!(["1kB", "0", "much", "-1GiB"].into_iter().all(|text| memory(text).is_err()));
    }
}
