//! `reconcile`: compares a broker's candles and an exchange's bhavcopies with the lake.

use super::read::{block_on, open, part_of, unwritable};
use super::{Global, aligned, note, print};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::{DAY, Interval};
use ticktide_market::decimal;
use ticktide_query::{Pinned, output};
use ticktide_reconcile as reconcile;
use ticktide_reconcile::compare::{BarDifference, CandleFile, CompareOptions, Compared, Outcome, reconcile as compare};
use ticktide_reconcile::reasons::{REASONS, UNEXPLAINED};
use ticktide_reconcile::{Asked, ReconcileError, bars};

#[derive(Debug, Args)]
#[command(after_help = reasons())]
pub struct ReconcileArgs {
    /// Answers of XTS's /instruments/ohlc (JSON, or their text), named like NSECM_2885_60.json: segment, token, seconds or D;
    /// bhavcopies of NSE or BSE as CSV; plain, .gz, .zst or .zip
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The width of the candles [default: from the file's name, or their distance; bhavcopies are days]
    #[arg(long, value_name = "1m")]
    pub interval: Option<String>,
    /// The instrument of the answers, or the only one to compare of a bhavcopy [default: from the file's name; all]
    #[arg(long, value_name = "NSECM|2885")]
    pub instrument: Option<String>,
    /// The time zone of the files' times and dates
    #[arg(long, value_name = "ZONE", default_value = "Asia/Kolkata")]
    pub zone: String,
    /// Treat prices that differ by at most this as equal
    #[arg(long, value_name = "PRICE", default_value = "0")]
    pub tolerance: String,
    /// Compare with this epoch instead of the newest
    #[arg(long, value_name = "N")]
    pub epoch: Option<Epoch>,
    /// Write the whole report to a file: JSON lines if it ends in .json or .jsonl, otherwise text
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The most explained rows in the printed text; `--output` and `--json` have all.
const EXPLAINED_MOST: usize = 50;

fn reasons() -> String {
    let mut rows: Vec<Vec<String>> = REASONS.iter().map(|reason| vec![reason.name.into(), reason.doc.into()]).collect();
    rows.push(vec![UNEXPLAINED.into(), "no rule fits".into()]);
    let exits =
        "Exit codes: 0 equal, or every difference has a reason; 1 some are unexplained; 2 a file cannot be read.";
    format!("Reasons, the first that fits a difference:\n{}\n{exits}", aligned(&rows))
}

/// Compares. Exit 1: a difference is unexplained; 2: a file, a flag or the lake's place is wrong.
pub fn reconcile(args: &ReconcileArgs, global: &Global) -> Result<(), Error> {
    let instrument = args.instrument.as_deref().map(reconcile::instrument).transpose()?;
    let asked = Asked {
        instrument: instrument.clone(),
        interval: args.interval.as_deref().map(reconcile::interval).transpose()?,
    };
    let terms = CompareOptions { zone: output::zone(&args.zone)?, tolerance: tolerance(&args.tolerance)?, instrument };
    let mut sources = Vec::new();
    for path in &args.files {
        let (format, given) = reconcile::read(path, &asked)?;
        sources.push(CandleFile { path: path.clone(), format, given });
    }
    let outcome = block_on(async {
        let reader = open(global).await?;
        let pinned = Pinned::load(&reader, args.epoch).await?;
        compare(&pinned, sources, &terms).await
    })?;
    if let Some(path) = &args.output {
        write(path, &outcome, &terms.zone)?;
    }
    match (global.json, global.quiet && args.output.is_some()) {
        (true, _) => print(&lines(&outcome, &terms.zone))?,
        (false, true) => {}
        (false, false) => print(&text(&outcome, &terms.zone, EXPLAINED_MOST))?,
    }
    match outcome.unexplained() {
        0 => Ok(()),
        count => Err(Error {
            kind: Kind::Corrupt,
            message: format!("{count} of {} differences are unexplained", outcome.differences().count()),
            hint: Some("look at their bars in `ticks`; `--tolerance` ignores small differences of prices".into()),
        }),
    }
}

fn tolerance(text: &str) -> Result<i64, ReconcileError> {
    let units = decimal(text.as_bytes()).ok().filter(|units| *units >= 0);
    units.ok_or_else(|| ReconcileError::Tolerance(text.to_owned()))
}

fn write(path: &Path, outcome: &Outcome, zone: &TimeZone) -> Result<(), Error> {
    let report = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json" | "jsonl" | "ndjson") => lines(outcome, zone),
        _ => text(outcome, zone, usize::MAX),
    };
    let part = part_of(path);
    let written = std::fs::write(&part, report).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| unwritable(path, &error))?;
    note(format_args!("{} differences written to {}", outcome.differences().count(), path.display()));
    Ok(())
}

/// A bar's start in the zone's local time; for a bar of a day, its date.
fn start(difference: &BarDifference, interval: Interval, zone: &TimeZone) -> String {
    if interval.0 >= DAY {
        return bars::date((difference.at / DAY) as i32);
    }
    let stamp = Timestamp::from_nanosecond(i128::from(difference.at));
    let stamp = stamp.expect("jiff's range holds every i64 of nanoseconds");
    stamp.display_with_offset(zone.to_offset(stamp)).to_string()
}

/// What the times of a file's candles label, and on which clock.
fn times(file: &Compared) -> Option<(&'static str, &'static str)> {
    file.times.map(|decided| (decided.labelled.name(), decided.clock.name()))
}

fn lines(outcome: &Outcome, zone: &TimeZone) -> String {
    let mut lines: Vec<Value> = Vec::new();
    for file in &outcome.files {
        let path = file.path.display().to_string();
        let (label, clock) = times(file).unzip();
        lines.push(json!({
            "kind": "file", "file": path, "format": file.format, "layout": file.layout, "interval": file.interval.name(),
            "epoch": outcome.epoch, "label": label, "clock": clock, "fitting": file.times.map(|decided| decided.fitting),
            "candles": file.candles, "matches": file.matches, "within_tolerance": file.near,
            "differences": file.differences.len(), "malformed": file.malformed.len(), "silent": file.silent,
            "elsewhere": file.elsewhere,
        }));
        lines.extend(file.malformed.iter().map(
            |row| json!({ "kind": "malformed", "file": path, "row": row.row, "reason": row.reason, "text": row.text }),
        ));
        lines.extend(file.differences.iter().map(|found| {
            json!({
                "kind": "difference", "file": path, "row": found.row, "venue": found.key.0, "instrument": found.key.1,
                "interval": file.interval.name(), "open_at": start(found, file.interval, zone),
                "column": found.what.name(), "theirs": found.theirs, "ours": found.ours,
                "reason": found.reason, "evidence": found.evidence,
            })
        }));
    }
    lines.extend(
        outcome
            .by_reason()
            .into_iter()
            .map(|(reason, count)| json!({ "kind": "reason", "reason": reason, "differences": count })),
    );
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn text(outcome: &Outcome, zone: &TimeZone, explained_most: usize) -> String {
    let mut text = format!("epoch {}\n", outcome.epoch);
    for file in &outcome.files {
        text.push_str(&summary(file));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut explained = 0;
    for file in &outcome.files {
        for found in &file.differences {
            explained += usize::from(found.reason != UNEXPLAINED);
            if found.reason == UNEXPLAINED || explained <= explained_most {
                rows.push(row(found, file, zone));
            }
        }
    }
    if !rows.is_empty() {
        let head = ["instrument", "open_at", "column", "theirs", "ours", "reason", "evidence"];
        rows.insert(0, head.map(str::to_owned).to_vec());
        text.push_str(&format!("\n{}", aligned(&rows)));
    }
    if explained > explained_most {
        text.push_str(&format!(
            "… and {} more explained differences; `--output FILE` has all\n",
            explained - explained_most
        ));
    }
    let counts = outcome.by_reason();
    if !counts.is_empty() {
        let rows: Vec<Vec<String>> =
            counts.into_iter().map(|(reason, count)| vec![reason.to_owned(), count.to_string()]).collect();
        text.push_str(&format!("\n{}", aligned(&rows)));
    }
    text
}

fn summary(file: &Compared) -> String {
    let by =
        times(file).map_or(String::new(), |(label, clock)| format!(", times label the {label} on the {clock} clock"));
    let near = if file.near > 0 { format!(" ({} within the tolerance)", file.near) } else { String::new() };
    let mut text = format!(
        "{}: {} {} of {}{by}\n  {} candles, {} bars match{near}, {} differences",
        file.path.display(),
        file.format,
        file.layout,
        file.interval.name(),
        file.candles,
        file.matches,
        file.differences.len()
    );
    for (count, what) in [
        (file.malformed.len() as u64, "rows malformed"),
        (file.silent, "rows without a trade"),
        (file.elsewhere, "rows of instruments that the lake does not have"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text.push('\n');
    for row in &file.malformed {
        text.push_str(&format!("  row {}: {}: {:?}\n", row.row, row.reason, row.text));
    }
    text
}

fn row(found: &BarDifference, file: &Compared, zone: &TimeZone) -> Vec<String> {
    let cell = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        format!("{}|{}", found.key.0, found.key.1),
        start(found, file.interval, zone),
        found.what.name().to_owned(),
        cell(&found.theirs),
        cell(&found.ours),
        found.reason.to_owned(),
        found.evidence.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_help() {
        let help = reasons();
        for name in REASONS.iter().map(|reason| reason.name).chain([UNEXPLAINED]) {
            assert!(help.contains(&format!("\n{name} ")), "{name}");
        }
    }

    #[test]
    fn a_tolerance_is_a_price_that_is_not_negative() {
        assert_eq!(tolerance("0.05").ok(), Some(5_000_000));
        for text in ["-1", "", "x", "0.05%"] {
            assert!(tolerance(text).is_err(), "{text}");
        }
    }
}
