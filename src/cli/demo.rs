//! `demo`: writes a day of the seeded market into a lake, kills the run half-way, compares the lake with that of an undisturbed
//! run, then queries it.
//!
//! Why a child process is killed and not a flag set: the claim is that SIGKILL loses and doubles nothing, so it is SIGKILL.

use super::read::{self, moment};
use super::{Global, print};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use ticktide_base::environment as settings;
use ticktide_base::epoch::Binding;
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::MINUTE;
use ticktide_dataflow::Dataflow;
use ticktide_feed as feed;
use ticktide_feed::SourceSpec;
use ticktide_feed::synthetic::{self, LabelKind, TradeLabel};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Worker threads
    #[arg(short, long, default_value_t = 2)]
    pub workers: usize,
    /// Skip the kill and the comparison with an undisturbed run
    #[arg(long)]
    pub calm: bool,
}

/// Slots of the log after which the run is killed: the takeover and an epoch.
const KILLED_AFTER_SLOTS: usize = 2;

/// A lake, and what a run needs to find it.
struct Lake {
    folder: PathBuf,
    /// As given by `--catalog` or the environment; `None`: the folder's own.
    catalog: Option<String>,
    quiet: bool,
}

/// Runs the demonstration. Errors: the lake belongs to another dataflow, a child fails, the tables differ.
pub fn demo(args: &DemoArgs, global: &Global) -> Result<(), Error> {
    let began = Instant::now();
    let warehouse = global.warehouse("./ticktide-demo")?.value;
    let Some(folder) = warehouse.folder().map(Path::to_owned) else {
        let message = format!("the demo watches the files of its lake, but {warehouse} is not a folder");
        return Err(Error::fix(
            message,
            "choose a folder, or run `ticktide run demo --warehouse s3://…` for a lake in a bucket",
        ));
    };
    if global.json {
        return Err(Error::fix(
            "the demo prints text for people, not JSON lines",
            "leave `--json` out, and query the lake afterwards: `ticktide query --json --warehouse DIR SQL`",
        ));
    }
    let lake = Lake { folder, catalog: global.catalog().map(|found| found.value), quiet: global.quiet };
    let dataflow = Dataflow::load("demo", &[], &[])?;
    let days_before = days(&lake, &dataflow.source)?;
    let spec = &dataflow.source.synthetic;
    let labels = synthetic::labels(spec, days_before)?;
    lake.say(format_args!(
        "A synthetic market (seed {}): {} instruments, about {} trades a day. {} gets trading day {}.\n",
        spec.seed,
        spec.instruments,
        spec.trades_a_day,
        lake.folder.display(),
        days_before + 1
    ))?;
    if !args.calm {
        killed_once(args, &lake)?;
    }
    finish(args, &lake)?;
    if !args.calm {
        let beside = Beside::of(&lake.folder)?;
        undisturbed(args, &lake, &beside, days_before)?;
        beside.remove()?;
    }
    balance(&lake)?;
    for (kind, word, what) in [
        (LabelKind::Cancelled, "cancelled", "was cancelled later; its bar before and after"),
        (LabelKind::Late, "late", "arrived minutes late; its bar before and after"),
    ] {
        before_and_after(&labels, kind, word, what, &lake)?;
    }
    bad_prints(&labels, &lake)?;
    queries(&lake)?;
    lake.say(format_args!(
        "\nDone in {:.1} s. Run `ticktide demo` again for the next trading day, or ask the lake yourself:\n  \
         ticktide query --warehouse {} \"select * from bars_1m limit 5\"\n",
        began.elapsed().as_secs_f64(),
        lake.folder.display()
    ))
}

impl Lake {
    fn rows(&self, sql: &str) -> Result<Vec<serde_json::Value>, Error> {
        read::rows(sql, &self.folder, self.catalog.as_deref())
    }

    fn show(&self, sql: &str) -> Result<(), Error> {
        read::show_table(sql, &self.folder, self.catalog.as_deref())
    }

    /// Prints text around the data, unless quiet.
    fn say(&self, text: std::fmt::Arguments<'_>) -> Result<(), Error> {
        if self.quiet { Ok(()) } else { print(&text.to_string()) }
    }

    /// The command of a run in a child process.
    fn run(&self, program: PathBuf, workers: usize) -> Command {
        let mut command = Command::new(program);
        command.args(["run", "demo", "-w", &workers.to_string(), "--warehouse"]).arg(&self.folder);
        // not an argument, which every user can read; a catalog of the environment must not reach another lake
        match &self.catalog {
            Some(catalog) => command.env(settings::CATALOG, catalog),
            None => command.env_remove(settings::CATALOG),
        };
        command.args(self.quiet.then_some("--quiet"));
        command.stdin(Stdio::null()).env(settings::LOG, "error");
        command
    }
}

/// A folder that this run has made under a unique name; it is removed when this is dropped.
struct Beside(PathBuf);

impl Beside {
    /// Makes it beside a lake, or among the temporary files if that fails. Error: both fail.
    fn of(lake: &Path) -> Result<Beside, Error> {
        let full = lake.canonicalize().unwrap_or_else(|_| lake.to_owned());
        let name = full.file_name().map_or("lake".into(), |name| name.to_string_lossy());
        let own = format!("{name}-undisturbed-{}", uuid::Uuid::new_v4().simple());
        let beside = full.parent().map(|folder| folder.join(&own));
        let temporary = std::env::temp_dir().join(&own);
        let made = beside.into_iter().chain([temporary]).map(|path| {
            // fails for a folder that exists
            std::fs::create_dir(&path).map(|()| path.clone()).map_err(|error| (path, error))
        });
        let mut failed = None;
        for tried in made {
            match tried {
                Ok(path) => return Ok(Beside(path)),
                Err(error) => failed = Some(error),
            }
        }
        let (path, error) = failed.expect("the temporary folder was tried");
        let message = format!("the folder {} for the undisturbed run's lake cannot be made: {error}", path.display());
        Err(Error::fix(message, "skip the comparison with `--calm`, or set TMPDIR to a writable folder"))
    }

    fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.0).map_err(|error| {
            Error::fix(format!("{} cannot be removed: {error}", self.0.display()), "remove it by hand")
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // after `remove` it is gone already
    }
}

/// The trading day that the next run plays, from 0: the first day that some partition has not finished.
fn days(lake: &Lake, spec: &SourceSpec) -> Result<u64, Error> {
    let mut offsets = BTreeMap::new();
    if lake.folder.join("log").exists() {
        let rows = lake.rows("select binding from epochs order by epoch desc limit 1")?;
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

fn child(args: &DemoArgs, lake: &Lake) -> Result<Child, Error> {
    let program =
        std::env::current_exe().map_err(|error| Error::bug(format!("the path of this program is unknown: {error}")))?;
    let started = lake.run(program, args.workers).spawn();
    started.map_err(|error| Error::bug(format!("a child process cannot be started: {error}")))
}

/// Starts the run and kills it with SIGKILL once some epochs are committed.
fn killed_once(args: &DemoArgs, lake: &Lake) -> Result<(), Error> {
    let slots = || std::fs::read_dir(lake.folder.join("log")).map_or(0, Iterator::count);
    let before = slots();
    let mut running = child(args, lake)?;
    let failed = |error: std::io::Error| Error::bug(format!("the child process cannot be watched: {error}"));
    while slots() < before + KILLED_AFTER_SLOTS {
        if let Some(status) = running.try_wait().map_err(failed)? {
            succeeded(status)?;
            return lake.say(format_args!("The run ended before it could be killed.\n"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill().map_err(failed)?;
    running.wait().map_err(failed)?;
    lake.say(format_args!("Killed with SIGKILL after {} epochs; started again:\n", slots() - before - 1))
}

fn finish(args: &DemoArgs, lake: &Lake) -> Result<(), Error> {
    let status = child(args, lake)?.wait();
    succeeded(status.map_err(|error| Error::bug(format!("the child process cannot be watched: {error}")))?)
}

fn succeeded(status: ExitStatus) -> Result<(), Error> {
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => {
            Err(Error::fix("the run refused to start", "see its message above, or choose another `--warehouse`"))
        }
        _ => Err(Error { kind: Kind::Bug, message: format!("the run failed: {status}"), hint: None }),
    }
}

/// Plays the same days without a kill into another lake and compares every row.
fn undisturbed(args: &DemoArgs, lake: &Lake, beside: &Beside, days_before: u64) -> Result<(), Error> {
    let other = Lake { folder: beside.0.clone(), catalog: None, quiet: lake.quiet };
    lake.say(format_args!("The same days once more, undisturbed, into another lake:\n"))?;
    for _ in 0..=days_before {
        finish(args, &other)?;
    }
    for (table, columns, order) in [
        ("bars_1m", "symbol, open_at, open, high, low, close, volume, turnover, trades", "symbol, open_at"),
        ("bars_15m", "symbol, open_at, open, high, low, close, volume, turnover, trades", "symbol, open_at"),
        ("indicators_1m", "symbol, open_at, sma_20, rsi_14, vwap", "symbol, open_at"),
        ("anomalies", "symbol, \"check\", started_at, ended_at, severity, observed, expected", "symbol, started_at"),
    ] {
        let sql = format!("select {columns} from {table} order by {order}");
        let (ours, theirs) = (lake.rows(&sql)?, other.rows(&sql)?);
        if ours != theirs {
            let differing = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
            let counts = format!("{} and {} rows, {differing} differ", ours.len(), theirs.len());
            return Err(Error::bug(format!("{table} differs between the killed and the undisturbed run: {counts}")));
        }
        lake.say(format_args!("  {table}: {} rows, equal to the undisturbed run's\n", ours.len()))?;
    }
    Ok(())
}

fn balance(lake: &Lake) -> Result<(), Error> {
    let sql = "select sum(records) as records, sum(accepted) as accepted, sum(duplicates) as duplicates, \
               sum(rejected) as rejected, sum(pending) as pending from epochs";
    let rows = lake.rows(sql)?;
    let get = |name: &str| rows.first().and_then(|row| row[name].as_i64()).unwrap_or(0);
    let [records, accepted, duplicates, rejected, pending] =
        ["records", "accepted", "duplicates", "rejected", "pending"].map(get);
    let sign = if records == accepted + duplicates + rejected + pending { "=" } else { "≠" };
    lake.say(format_args!(
        "\nEvery record is somewhere: {records} records {sign} {accepted} accepted + {duplicates} duplicates + \
         {rejected} rejected + {pending} pending\n"
    ))
}

/// Shows a trade of the kind whose correction changed a published bar: that bar and rsi_14, by epoch.
fn before_and_after(labels: &[TradeLabel], kind: LabelKind, word: &str, what: &str, lake: &Lake) -> Result<(), Error> {
    let joined = "from bars_1m_history b left join indicators_1m_history i on b.symbol = i.symbol \
                  and b.open_at = i.open_at and b.epoch = i.epoch and b.diff = i.diff";
    let corrected = format!(
        "select b.symbol, b.open_at, min(i.rsi_14) < max(i.rsi_14) as moved {joined} \
                             group by b.symbol, b.open_at having min(b.diff) < 0"
    );
    let rows = lake.rows(&corrected)?;
    let bars: BTreeMap<(String, String), bool> =
        rows.iter().map(|row| ((text(&row["symbol"]), text(&row["open_at"])), row["moved"] == true)).collect();
    let of_kind = labels.iter().filter(|label| label.kind == kind);
    let met = of_kind.filter_map(|label| bars.get(&bar_of(label)).map(|moved| (label, *moved)));
    // a trade that moved the indicator shows the most
    let Some((label, _)) = met.max_by_key(|(_, moved)| *moved) else {
        return lake.say(format_args!("\nNo {word} trade of this day changed a bar that was published before.\n"));
    };
    let (symbol, at, price, open_at) = (&label.symbol, moment(label.at), label.price, bar_of(label).1);
    lake.say(format_args!("\nA {word} trade: {symbol} at {price}, {at}; it {what} (from bars_1m_history):\n"))?;
    let sql = format!(
        "select b.epoch, b.diff, b.close, b.volume, b.trades, i.rsi_14 {joined} where b.symbol = '{symbol}' \
         and b.open_at = timestamp '{open_at}' order by b.epoch, b.diff"
    );
    lake.show(&sql)
}

/// Symbol and start of the bar that a trade is in, as rows have them.
fn bar_of(label: &TradeLabel) -> (String, String) {
    (label.symbol.clone(), moment(label.at.div_euclid(MINUTE) * MINUTE))
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Shows how many bad prints were planted, and how many of them the check of returns has found.
fn bad_prints(labels: &[TradeLabel], lake: &Lake) -> Result<(), Error> {
    let sql = "select symbol, started_at, observed, expected from anomalies where \"check\" = 'return_z'";
    let rows = lake.rows(sql)?;
    let found: BTreeMap<(String, String), [f64; 2]> = rows
        .iter()
        .map(|row| {
            let returns = [&row["observed"], &row["expected"]].map(|value| value.as_f64().unwrap_or_default());
            ((text(&row["symbol"]), text(&row["started_at"])), returns)
        })
        .collect();
    let planted = labels.iter().filter(|label| label.kind == LabelKind::BadPrint);
    let planted: Vec<_> = planted.map(|label| (label, found.get(&bar_of(label)))).collect();
    let many = planted.iter().filter(|(_, returns)| returns.is_some()).count();
    lake.say(format_args!(
        "\nBad prints of the day: {} planted, {many} found by return_z; the first ones:\n",
        planted.len()
    ))?;
    for (label, returns) in planted.iter().take(3) {
        let (symbol, at, price) = (&label.symbol, moment(label.at), label.price);
        match returns {
            Some([observed, expected]) => lake.say(format_args!(
                "  {symbol} at {at} for {price}: a return of {observed:+.3}; the bound is {:.3}\n",
                expected.abs()
            ))?,
            None => lake.say(format_args!("  {symbol} at {at} for {price}: not found\n"))?,
        }
    }
    Ok(())
}

fn queries(lake: &Lake) -> Result<(), Error> {
    for sql in [
        "select symbol, sum(volume) as volume, sum(trades) as trades from bars_1m group by symbol order by volume desc limit 5",
        "select symbol, open_at, close, rsi_14 from bars_1m join indicators_1m using (venue, instrument, symbol, phase, open_at) \
         where rsi_14 > 75 order by rsi_14 desc, symbol limit 5",
        "select symbol, started_at, severity, observed, expected from anomalies order by abs(observed) desc, symbol limit 5",
    ] {
        lake.say(format_args!("\nselect> {sql}\n"))?;
        lake.show(sql)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_other_lake_is_a_new_folder_and_nothing_else_is_ever_removed() {
        let root = tempfile::tempdir().expect("a folder");
        let lake = root.path().join("lake.prod");
        for folder in [lake.clone(), root.path().join("lake.undisturbed"), root.path().join("lake")] {
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join("precious"), "").expect("a file");
        }
        let there = || {
            let names = fs::read_dir(root.path()).expect("listed");
            let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        let before = there();
        for place in [lake.clone(), lake.join("."), lake.join("../lake.prod/../lake.prod")] {
            let (one, two) = (Beside::of(&place).expect("made"), Beside::of(&place).expect("made"));
            assert_ne!(one.0, two.0);
            assert_eq!(
                one.0.parent().map(|folder| folder.canonicalize().expect("there")),
                root.path().canonicalize().ok()
            );
            fs::write(one.0.join("row"), "").expect("a file");
            one.remove().expect("removed");
            assert!(there().len() == before.len() + 1 && two.0.exists());
            drop(two); // as on an error
            assert_eq!(there(), before, "{}", place.display());
        }
        // `.` and `..` have no name that an extension could change
        for place in [".", "..", "/"] {
            let beside = Beside::of(Path::new(place)).expect("made");
            assert!(!Path::new(place).canonicalize().expect("there").starts_with(&beside.0));
        }
        for folder in ["lake.prod", "lake.undisturbed", "lake"] {
            assert!(root.path().join(folder).join("precious").exists(), "{folder}");
        }
    }

    #[test]
    fn a_child_is_told_its_lakes_catalog_and_no_other() {
        let told = |catalog: Option<&str>, quiet| {
            let lake = Lake { folder: "/lake".into(), catalog: catalog.map(str::to_owned), quiet };
            let command = lake.run("ticktide".into(), 2);
            let arguments: Vec<_> = command.get_args().map(|text| text.to_string_lossy().into_owned()).collect();
            let set =
                command.get_envs().find(|(name, _)| *name == settings::CATALOG).expect("never as it happens to be");
            (arguments.join(" "), set.1.map(|value| value.to_string_lossy().into_owned()))
        };
        assert_eq!(told(None, false), ("run demo -w 2 --warehouse /lake".into(), None));
        let address = "postgres://ann:secret@db/lake";
        assert_eq!(told(Some(address), true), ("run demo -w 2 --warehouse /lake --quiet".into(), Some(address.into())));
    }

    #[test]
    fn the_demo_has_no_json() {
        let line = ["ticktide", "demo", "--json", "--warehouse", "/no/such/lake"];
        let error = crate::run(clap::Parser::parse_from(line)).expect_err("text only");
        assert!(error.kind == Kind::Fix && error.message.contains("JSON"), "{error}");
    }
}
