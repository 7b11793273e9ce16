//! `demo`: a day of the seeded market into a lake, killed half-way, compared with an undisturbed run, then looked at.
//!
//! Why a child process is killed and not a flag set: the claim is that SIGKILL loses and doubles nothing, so it is SIGKILL.

use super::{Global, print, read};
use crate::dataflow::Dataflow;
use crate::error::{Error, Kind};
use crate::feed::synthetic::{self, Label, LabelKind};
use crate::time::{MINUTE, Nanos};
use clap::Args;
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
    let lake = global.warehouse("./ticktide-demo").value;
    let dataflow = Dataflow::load("demo", &[], &[])?;
    let days_before = days(&lake, global)?;
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

/// Trading days that the lake has.
fn days(lake: &Path, global: &Global) -> Result<u64, Error> {
    if !lake.join("log").exists() {
        return Ok(0);
    }
    let rows = read::rows("select count(distinct trading_date) as days from bars_1m", lake, global)?;
    Ok(rows.first().and_then(|row| row["days"].as_u64()).unwrap_or(0))
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

/// The first trade of the kind whose correction is in the history, with its bar and rsi_14 by epoch.
fn before_and_after(
    labels: &[Label],
    kind: LabelKind,
    word: &str,
    what: &str,
    lake: &Path,
    global: &Global,
) -> Result<(), Error> {
    // one that moved the indicator shows most; else any
    let of_kind = || labels.iter().filter(|label| label.kind == kind);
    let passes = of_kind().map(|label| (label, true)).chain(of_kind().map(|label| (label, false)));
    for (label, must_move) in passes {
        let open_at = moment(label.at.div_euclid(MINUTE) * MINUTE);
        let sql = format!(
            "select b.epoch, b.diff, b.close, b.volume, b.trades, i.rsi_14 from bars_1m_history b \
             left join indicators_1m_history i on b.symbol = i.symbol and b.open_at = i.open_at and b.epoch = i.epoch \
             and b.diff = i.diff where b.symbol = '{}' and b.open_at = timestamp '{open_at}' \
             and b.epoch in (select epoch from bars_1m_history where symbol = '{}' and open_at = timestamp '{open_at}' \
             and diff < 0) order by b.epoch, b.diff",
            label.symbol, label.symbol
        );
        let rows = read::rows(&sql, lake, global)?;
        let moved = rows.len() >= 2 && !rows[0]["rsi_14"].is_null() && rows[0]["rsi_14"] != rows[1]["rsi_14"];
        if rows.len() < 2 || (must_move && !moved) {
            continue;
        }
        let (symbol, at, price) = (&label.symbol, moment(label.at), label.price);
        print(&format!("\nA {word} trade: {symbol} at {price}, {at}, {what} (from bars_1m_history):\n"))?;
        return read::show_table(&sql, lake, global);
    }
    print(&format!("\nNo {word} trade of this day met a bar that was published before.\n"))
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

fn moment(at: Nanos) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at)).map_or_else(|_| at.to_string(), |stamp| stamp.to_string())
}
