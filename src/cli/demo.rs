//! `demo`: a day of the seeded market into a lake, killed half-way, compared with an undisturbed run, then looked at.
//!
//! Why a child process is killed and not a flag set: the claim is that SIGKILL loses and doubles nothing, so it is SIGKILL.

use super::read::{self, moment};
use super::{Global, print};
use crate::dataflow::Dataflow;
use crate::error::{Error, Kind};
use crate::feed::synthetic::{self, Label, LabelKind};
use crate::feed::{self, SourceSpec};
use crate::time::{Binding, MINUTE};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Worker threads
    #[arg(short, long, default_value_t = 2)]
    pub workers: usize,
    /// Leave out the kill and the comparison with an undisturbed run
    #[arg(long)]
    pub calm: bool,
}

/// Slots of the log after which the run is killed: the takeover and an epoch.
const KILLED_AFTER_SLOTS: usize = 2;

/// Runs the demonstration. Errors: the lake is another dataflow's, a child fails, the tables differ.
pub fn demo(args: &DemoArgs, global: &Global) -> Result<(), Error> {
    let began = Instant::now();
    let warehouse = global.warehouse("./ticktide-demo")?.value;
    let Some(lake) = warehouse.folder().map(Path::to_owned) else {
        let message = format!("the demo watches its lake's files, {warehouse} has none");
        return Err(Error::fix(
            message,
            "give it a folder, or `ticktide run demo --warehouse s3://…` for a run in a bucket",
        ));
    };
    let dataflow = Dataflow::load("demo", &[], &[])?;
    let days_before = days(&lake, &dataflow.source, global)?;
    let spec = &dataflow.source.synthetic;
    let labels = synthetic::labels(spec, days_before)?;
    print(&format!(
        "A synthetic market (seed {}): {} instruments, about {} trades a day; trading day {} goes into {}.\n",
        spec.seed,
        spec.instruments,
        spec.trades_a_day,
        days_before + 1,
        lake.display()
    ))?;
    if !args.calm {
        killed_once(args, &lake)?;
    }
    finish(args, &lake)?;
    if !args.calm {
        let other = lake.with_extension("undisturbed");
        undisturbed(args, &lake, &other, days_before, global)?;
    }
    balance(&lake, global)?;
    for (kind, word, what) in [
        (LabelKind::Cancelled, "cancelled", "was cancelled later; its bar before and after"),
        (LabelKind::Late, "late", "arrived minutes late; its bar before and after"),
    ] {
        before_and_after(&labels, kind, word, what, &lake, global)?;
    }
    bad_prints(&labels)?;
    queries(&lake, global)?;
    print(&format!(
        "\nDone in {:.1} s. Run `ticktide demo` again for the next trading day, or ask the lake yourself:\n  \
         ticktide query --warehouse {} \"select * from bars_1m limit 5\"\n",
        began.elapsed().as_secs_f64(),
        lake.display()
    ))
}

/// The trading day that the next run plays, 0 is the first: that of the earliest partition which has not finished one.
fn days(lake: &Path, spec: &SourceSpec, global: &Global) -> Result<u64, Error> {
    let mut offsets = BTreeMap::new();
    if lake.join("log").exists() {
        let rows = read::rows("select binding from epochs order by epoch desc limit 1", lake, global)?;
        let binding = rows.first().and_then(|row| row["binding"].as_str());
        let binding: Option<Binding> = binding.and_then(|text| serde_json::from_str(text).ok());
        let places = binding.map(|binding| binding.places).unwrap_or_default();
        offsets.extend(places.into_iter().map(|(name, place)| (name, place.offset_next)));
    }
    let end = |offsets: &BTreeMap<String, i64>| {
        feed::open(spec, offsets).map(|source| source.partitions().first().map_or(1, |first| first.offset_end))
    };
    Ok((end(&offsets)? / end(&BTreeMap::new())?.max(1) - 1).max(0) as u64)
}

fn child(args: &DemoArgs, lake: &Path) -> Result<Child, Error> {
    let program = std::env::current_exe().map_err(|error| Error::bug(format!("this program has no path: {error}")))?;
    let mut command = Command::new(program);
    command.args(["run", "demo", "-w", &args.workers.to_string(), "--warehouse"]).arg(lake);
    command.stdin(Stdio::null()).env("TICKTIDE_LOG", "error");
    command.spawn().map_err(|error| Error::bug(format!("a child process does not start: {error}")))
}

/// Starts the run and kills it with SIGKILL when some epochs are committed.
fn killed_once(args: &DemoArgs, lake: &Path) -> Result<(), Error> {
    let slots = || std::fs::read_dir(lake.join("log")).map_or(0, Iterator::count);
    let before = slots();
    let mut running = child(args, lake)?;
    let failed = |error: std::io::Error| Error::bug(format!("the child process cannot be watched: {error}"));
    while slots() < before + KILLED_AFTER_SLOTS {
        if let Some(status) = running.try_wait().map_err(failed)? {
            succeeded(status)?;
            return print("The run ended before it could be killed.\n");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill().map_err(failed)?;
    running.wait().map_err(failed)?;
    print(&format!("Killed with SIGKILL after {} epochs; started again:\n", slots() - before - 1))
}

fn finish(args: &DemoArgs, lake: &Path) -> Result<(), Error> {
    let status = child(args, lake)?.wait();
    succeeded(status.map_err(|error| Error::bug(format!("the child process cannot be watched: {error}")))?)
}

fn succeeded(status: ExitStatus) -> Result<(), Error> {
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => {
            Err(Error::fix("the run refused to start", "see its message above; another `--warehouse` is a way out"))
        }
        _ => Err(Error { kind: Kind::Bug, message: format!("the run failed: {status}"), hint: None }),
    }
}

/// Plays the same days without a kill into another lake and compares every row.
fn undisturbed(args: &DemoArgs, lake: &Path, other: &PathBuf, days_before: u64, global: &Global) -> Result<(), Error> {
    let remove = || match std::fs::remove_dir_all(other) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::fix(format!("{} cannot be removed: {error}", other.display()), "remove it by hand"))
        }
        _ => Ok(()),
    };
    remove()?;
    print("The same days once more, undisturbed, into another lake:\n")?;
    for _ in 0..=days_before {
        finish(args, other)?;
    }
    for (table, columns) in [
        ("bars_1m", "symbol, open_at, open, high, low, close, volume, turnover, trades"),
        ("bars_15m", "symbol, open_at, open, high, low, close, volume, turnover, trades"),
        ("indicators_1m", "symbol, open_at, sma_20, rsi_14, vwap"),
    ] {
        let sql = format!("select {columns} from {table} order by symbol, open_at");
        let (ours, theirs) = (read::rows(&sql, lake, global)?, read::rows(&sql, other, global)?);
        if ours != theirs {
            let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
            let counts = format!("{} and {} rows, {differing} differ", ours.len(), theirs.len());
            return Err(Error::bug(format!("{table} of the killed run is not that of the undisturbed one: {counts}")));
        }
        print(&format!("  {table}: {} rows, equal to the undisturbed run's\n", ours.len()))?;
    }
    remove()
}

fn balance(lake: &Path, global: &Global) -> Result<(), Error> {
    let sql = "select sum(records) as records, sum(accepted) as accepted, sum(duplicates) as duplicates, \
               sum(rejected) as rejected, sum(pending) as pending from epochs";
    let rows = read::rows(sql, lake, global)?;
    let get = |name: &str| rows.first().and_then(|row| row[name].as_i64()).unwrap_or(0);
    let [records, accepted, duplicates, rejected, pending] =
        ["records", "accepted", "duplicates", "rejected", "pending"].map(get);
    let sign = if records == accepted + duplicates + rejected + pending { "=" } else { "≠" };
    print(&format!(
        "\nEvery record is somewhere: {records} records {sign} {accepted} accepted + {duplicates} duplicates + \
         {rejected} rejected + {pending} pending\n"
    ))
}

/// A trade of the kind whose correction met a published bar, with that bar and rsi_14 by epoch.
fn before_and_after(
    labels: &[Label],
    kind: LabelKind,
    word: &str,
    what: &str,
    lake: &Path,
    global: &Global,
) -> Result<(), Error> {
    let joined = "from bars_1m_history b left join indicators_1m_history i on b.symbol = i.symbol \
                  and b.open_at = i.open_at and b.epoch = i.epoch and b.diff = i.diff";
    let corrected = format!(
        "select b.symbol, b.open_at, min(i.rsi_14) < max(i.rsi_14) as moved {joined} \
                             group by b.symbol, b.open_at having min(b.diff) < 0"
    );
    let rows = read::rows(&corrected, lake, global)?;
    let bar_of = |label: &Label| (label.symbol.clone(), moment(label.at.div_euclid(MINUTE) * MINUTE));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let bars: BTreeMap<(String, String), bool> =
        rows.iter().map(|row| ((text(&row["symbol"]), text(&row["open_at"])), row["moved"] == true)).collect();
    let of_kind = labels.iter().filter(|label| label.kind == kind);
    let met = of_kind.filter_map(|label| bars.get(&bar_of(label)).map(|moved| (label, *moved)));
    // one that moved the indicator shows most
    let Some((label, _)) = met.max_by_key(|(_, moved)| *moved) else {
        return print(&format!("\nNo {word} trade of this day met a bar that was published before.\n"));
    };
    let (symbol, at, price, open_at) = (&label.symbol, moment(label.at), label.price, bar_of(label).1);
    print(&format!("\nA {word} trade: {symbol} at {price}, {at}, {what} (from bars_1m_history):\n"))?;
    let sql = format!(
        "select b.epoch, b.diff, b.close, b.volume, b.trades, i.rsi_14 {joined} where b.symbol = '{symbol}' \
         and b.open_at = timestamp '{open_at}' order by b.epoch, b.diff"
    );
    read::show_table(&sql, lake, global)
}

fn bad_prints(labels: &[Label]) -> Result<(), Error> {
    let bad: Vec<&Label> = labels.iter().filter(|label| label.kind == LabelKind::BadPrint).collect();
    print(&format!("\nPlanted bad prints of the day: {}; the first ones:\n", bad.len()))?;
    for label in bad.iter().take(3) {
        print(&format!("  {} at {} for {}\n", label.symbol, moment(label.at), label.price))?;
    }
    Ok(())
}

fn queries(lake: &Path, global: &Global) -> Result<(), Error> {
    for sql in [
        "select symbol, sum(volume) as volume, sum(trades) as trades from bars_1m group by symbol order by volume desc limit 5",
        "select symbol, open_at, close, rsi_14 from bars_1m join indicators_1m using (venue, instrument, symbol, phase, open_at) \
         where rsi_14 > 75 order by rsi_14 desc, symbol limit 5",
        "select reason, count(*) as records from quarantine group by reason order by reason",
    ] {
        print(&format!("\nselect> {sql}\n"))?;
        read::show_table(sql, lake, global)?;
    }
    Ok(())
}
