//! Whole runs over files: what a lake contains after them, and that later runs continue and recompute it.

use crate::rebuild;
use crate::rewind::rewound;
use crate::verify::{Recompute, recompute};
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Classified, Kind};
use ticktide_base::time::{Nanos, SECOND};
use ticktide_dataflow::Dataflow;
use ticktide_engine::{Evolve, RunOptions, RunReport, run};
use ticktide_lake::upkeep::Upkeep;
use ticktide_lake::{Lake, LakeReader, Warehouse};
use ticktide_query::{Pinned, output, query};

/// A folder with files to read and a lake.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    /// Adds records to a file.
    fn add(&self, file: &str, records: &[String]) {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default() + &records.concat();
        std::fs::write(path, text).expect("a file");
    }

    fn dataflow(&self, more: &str) -> Dataflow {
        self.dataflow_with(more, &[])
    }

    /// The dataflow with more intervals and indicators.
    fn grown(&self) -> Dataflow {
        let bars = "bars=[{every=\"1m\"},{every=\"5m\"}]".to_owned();
        let [ema, sma, of_five] = [("ema", "1m"), ("sma", "1m"), ("sma", "5m")]
            .map(|(name, on)| format!("{{use={name:?},period=2,on={on:?}}}"));
        self.dataflow_with("", &[bars, format!("indicators=[{ema},{sma},{of_five}]")])
    }

    fn dataflow_with(&self, more: &str, set: &[String]) -> Dataflow {
        // what is in braces belongs to the source
        let (source, more) = more.strip_prefix('{').and_then(|more| more.split_once('}')).unwrap_or(("", more));
        let text = format!(
            "source = {{ use = \"file\", paths = [{:?}], until = \"end\"{source} }}\nbars = [{{ every = \"1m\" }}]\n\
             indicators = [{{ use = \"ema\", period = 2, on = \"1m\" }}]\nticks = true\n{more}\n",
            self.0.path().join("*.jsonl")
        );
        Dataflow::from_text("runs", "runs.toml", &text, &[], set).expect("a dataflow")
    }

    fn lake(&self) -> Warehouse {
        Warehouse::Folder(self.0.path().join("lake"))
    }

    fn run(&self, workers: usize, more: &str) -> RunReport {
        let ran = run(RunOptions::new(self.dataflow(more), self.lake(), workers));
        ran.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Nothing differs when this many workers compute all of it again.
    fn verify(&self, workers: usize, more: &str) {
        self.verify_as(workers, self.dataflow(more));
    }

    fn verify_as(&self, workers: usize, dataflow: Dataflow) {
        let recomputed = recompute(Recompute {
            dataflow,
            warehouse: self.lake(),
            catalog: None,
            workers,
            force_bytes: true,
            archive: false,
            first: None,
            last: None,
            progress: None,
        });
        let recomputed = recomputed.unwrap_or_else(|error| panic!("{error}"));
        assert!(recomputed.difference.is_none(), "{:?}", recomputed.difference);
        assert!(recomputed.epochs > 0);
    }

    /// The answer to a query, one line a row.
    fn ask(&self, sql: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
        runtime.block_on(async {
            let reader = LakeReader::open(&self.0.path().join("lake"), None).await.expect("a lake");
            let pinned = Pinned::load(&reader, None).await.expect("pinned");
            let mut bytes = Vec::new();
            let answer = query(&pinned, sql).await.expect(sql);
            output::write(answer, output::OutputFormat::JsonLines, None, &mut bytes).await.expect("written");
            String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
        })
    }
}

impl Place {
    /// Symbol, close and trades of the bars in order.
    fn bars(&self) -> Vec<String> {
        let lines = self.ask(BARS).into_iter().map(|line| {
            let bar: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let close = bar["close"].as_str().map_or_else(|| bar["close"].to_string(), str::to_owned);
            let whole = close.split('.').next().unwrap_or_default().to_owned();
            format!("{} {whole} {}", bar["symbol"].as_str().unwrap_or("null"), bar["trades"])
        });
        lines.collect()
    }
}

/// A trade of share 2885 at a second of the day; `more`: further fields.
fn trade(second: i64, price: i64, more: &str) -> String {
    let time = 1_767_571_200 + second;
    format!("{{\"instrument\":\"2885\",\"time\":{time},\"price\":{price},\"quantity\":1{more}}}\n")
}

const NAMED: &str = ",\"symbol\":\"RELIANCE\"";
const BARS: &str = "select symbol, close, trades from bars_1m order by open_at";
const READINGS: &str = "select symbol from indicators_1m order by open_at";

#[test]
fn a_symbol_that_a_later_run_is_told_corrects_the_bar_and_the_lake_goes_on() {
    let place = Place::new();
    place.add("a.jsonl", &[trade(1, 1, ""), trade(61, 2, NAMED), trade(121, 3, "")]);
    place.run(1, "");
    assert_eq!(place.bars(), ["null 1 1", "RELIANCE 2 1", "null 3 1"]);
    place.add("a.jsonl", &[trade(2, 4, NAMED), trade(62, 5, ""), trade(122, 6, ",\"symbol\":\"A\"")]);
    place.run(1, "");
    // the greatest one of a record
    place.add("a.jsonl", &[trade(3, 7, ",\"symbol\":\"B\""), trade(123, 8, ",\"symbol\":\"B\"")]);
    place.run(2, "");
    place.run(1, "");
    assert_eq!(place.bars(), ["RELIANCE 7 3", "RELIANCE 5 2", "B 8 3"]);
    assert_eq!(place.ask(READINGS).concat().matches("RELIANCE").count(), 2);
    let unnamed = "select count(*) n from ticks where symbol is null";
    assert_eq!(place.ask(unnamed), ["{\"n\":3}"], "a tick has its record's own");
    place.verify(1, "");
    place.verify(2, "");
}

#[test]
fn whatever_worker_reads_the_file_without_symbols_the_bars_have_them() {
    let told = |workers: usize| {
        let place = Place::new();
        for (file, more, step) in [("a.jsonl", "", 7), ("b.jsonl", NAMED, 7), ("c.jsonl", "", 6)] {
            place.add(file, &(0..40).map(|second| trade(second * step, second, more)).collect::<Vec<_>>());
        }
        place.run(workers, "");
        place.verify(3 - workers, "");
        (place.ask(BARS), place.ask(READINGS))
    };
    let one = told(1);
    assert!(one.0.len() > 3 && one.0.iter().all(|line| line.contains("RELIANCE")), "{one:?}");
    assert_eq!(one, told(2));
}

#[test]
fn a_duplicate_is_one_under_any_symbol() {
    let place = Place::new();
    let id = ",\"id\":\"7\"";
    place.add("a.jsonl", &[trade(1, 1, id), trade(1, 1, &format!("{id}{NAMED}"))]);
    assert_eq!(place.run(1, "").duplicates, 1);
    place.add("a.jsonl", &[trade(1, 1, &format!("{id}{NAMED}")), trade(2, 2, NAMED)]);
    assert_eq!(place.run(1, "").duplicates, 1);
    assert_eq!(place.bars(), ["RELIANCE 2 2"]);
}

#[test]
fn which_of_two_records_is_the_duplicate_does_not_depend_on_the_workers() {
    let place = Place::new();
    let more = "dedupe = \"instrument\"\nepoch = { every = \"10s\", records = 500 }";
    for (file, step) in [("a.jsonl", 1), ("b.jsonl", 2), ("c.jsonl", 3)] {
        // the same ids in all files, half of them with another price
        let record = |id: i64| trade(id / 10, 100 + id % 7 * (id % 2) * step, &format!(",\"id\":\"{id}\""));
        place.add(file, &(0..1_500).map(record).collect::<Vec<_>>());
    }
    let report = place.run(2, more);
    assert_eq!((report.accepted, report.records), (1_500, 4_500));
    assert!(report.duplicates > 1_500 && report.rejected > 1_000, "{report:?}");
    place.verify(1, more);
    place.verify(2, more);
    place.verify(3, more);
}

#[test]
fn a_trade_that_two_partitions_tell_is_one_where_trades_can_be_taken_back() {
    let place = Place::new();
    let more = ",\"id\":\"7\"";
    for (file, price) in [("a.jsonl", 6), ("b.jsonl", 7)] {
        place.add(file, &[trade(1, 5, more), trade(2, price, "")]);
    }
    let corrections = "{, corrections = true}";
    let report = place.run(1, corrections);
    assert_eq!((report.accepted, report.duplicates), (3, 1));
    let once = place.ask(BARS);
    assert!(once[0].contains("\"trades\":3"), "{once:?}");
    // received again after a restart, and then taken back
    place.add("b.jsonl", &[trade(1, 5, more)]);
    assert_eq!(place.run(2, corrections).duplicates, 1);
    assert_eq!(place.ask(BARS), once);
    place.add(
        "a.jsonl",
        &["{\"type\":\"cancel\",\"instrument\":\"2885\",\"id\":\"7\",\"time\":1767571201}\n".to_owned()],
    );
    place.run(1, corrections);
    assert!(place.ask(BARS)[0].contains("\"trades\":2"), "{:?}", place.ask(BARS));
}

#[test]
fn a_rotated_recording_counts_once_and_its_copy_is_refused_before_anything_is_counted() {
    let place = Place::new();
    let at = |name: &str| place.0.path().join(name);
    let day = |from: i64| (0..30).map(|number| trade(from + number * 20, number, NAMED)).collect::<Vec<_>>();
    let refused = || {
        let error = run(RunOptions::new(place.dataflow(""), place.lake(), 1)).expect_err("it is refused");
        assert_eq!(error.kind, Kind::Fix, "{error}");
        error.message
    };
    place.add("ticks.jsonl", &day(0));
    std::fs::copy(at("ticks.jsonl"), at("copy.jsonl")).expect("copied");
    assert!(refused().contains("begin alike"));
    assert!(!at("lake").exists(), "no lake was made");
    std::fs::remove_file(at("copy.jsonl")).expect("removed");
    assert_eq!(place.run(1, "").records, 30);

    std::fs::rename(at("ticks.jsonl"), at("ticks-1.jsonl")).expect("renamed");
    place.add("ticks.jsonl", &day(3_600));
    assert_eq!(place.run(2, "").records, 30, "of the new one alone");
    let topics = place.ask("select topic, count(*) n from ticks group by topic order by topic");
    assert!(topics.len() == 2 && topics.iter().any(|line| line.contains("\"ticks.jsonl\"")), "{topics:?}");
    let bars = place.ask(BARS);
    assert_eq!(bars.len(), 20);
    place.verify(1, "");

    let rotated = std::fs::read_to_string(at("ticks-1.jsonl")).expect("a file");
    let newer = std::fs::read_to_string(at("ticks.jsonl")).expect("a file");
    for (name, text) in [("a.jsonl", rotated), ("ticks.jsonl", newer.replace("\"price\":28", "\"price\":29"))] {
        std::fs::write(at(name), text).expect("a file");
        let message = refused();
        assert!(message.contains(name), "{message}");
        assert_eq!(place.ask(BARS), bars, "{name}");
        std::fs::remove_file(at(name)).expect("removed");
        std::fs::write(at("ticks.jsonl"), &newer).expect("a file");
    }
    assert_eq!(place.run(1, "").records, 0);
}

#[test]
fn a_last_line_without_its_end_is_told_of_when_the_run_is_over_and_read_when_it_has_one() {
    let place = Place::new();
    place.add("a.jsonl", &[trade(1, 1, NAMED), trade(2, 2, NAMED).trim_end().to_owned()]);
    let report = place.run(1, "");
    assert_eq!(report.records, 1);
    assert!(report.remarks.len() == 1 && report.remarks[0].contains("a.jsonl"), "{:?}", report.remarks);
    place.add("a.jsonl", &["\n".to_owned()]);
    let report = place.run(1, "");
    assert_eq!((report.records, report.remarks.len()), (1, 0));
    assert_eq!(place.bars(), ["RELIANCE 2 2"]);
    // taken without its end, it is there when it is computed again
    place.add("a.jsonl", &[trade(61, 3, NAMED).trim_end().to_owned()]);
    let take = "{, last_line = \"take\"}";
    assert_eq!(place.run(1, take).records, 1);
    place.verify(2, "");
}

#[test]
fn what_a_run_left_without_a_rebuild_the_next_one_rebuilds_as_if_it_had_been_there_from_the_start() {
    let (place, whole) = (Place::new(), Place::new());
    let trades: Vec<String> = (0..400).map(|second| trade(second * 3, 100 + second % 17, NAMED)).collect();
    place.add("a.jsonl", &trades[..300]);
    place.run(1, "");
    place.add("a.jsonl", &trades[300..]);
    let options = RunOptions { evolve: Evolve::Rebuild, ..RunOptions::new(place.grown(), place.lake(), 1) };
    let refused = run(options).expect_err("the engine itself rebuilds nothing");
    assert!(refused.kind == Kind::Bug && refused.message.contains("rebuild"), "{refused}");
    let rebuilt = rebuild::run(RunOptions::new(place.grown(), place.lake(), 2)).expect("no flag asks for it");
    assert_eq!(rebuilt.records, 100, "it goes on after the first run");

    whole.add("a.jsonl", &trades);
    rebuild::run(RunOptions::new(whole.grown(), whole.lake(), 1)).expect("nothing is missing");
    for sql in [
        "select symbol, open_at, open, high, low, close, trades from bars_5m order by open_at",
        "select symbol, open_at, ema_2, sma_2 from indicators_1m order by open_at",
        "select symbol, open_at, sma_2 from indicators_5m order by open_at",
    ] {
        let rows = whole.ask(sql);
        assert!(rows.len() > 2, "{sql}: {rows:?}");
        assert_eq!(place.ask(sql), rows, "{sql}");
    }
    place.verify_as(1, place.grown());
}

/// A second of the trades' day.
fn second(of: i64) -> Nanos {
    (1_767_571_200 + of) * SECOND
}

impl Place {
    /// Sets the time of a file's partition back; returns the epoch that does.
    fn rewind(&self, file: &str, to: Nanos, dataflow: &Dataflow) -> Epoch {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
        runtime.block_on(async {
            let mut lake = Lake::tend(&self.lake(), None, Upkeep::default(), false).await.expect("a lake");
            let before = lake.binding().cloned().expect("it has read something");
            let names: Vec<&String> = before.places.keys().filter(|name| name.contains(file)).collect();
            let reader = LakeReader::open(self.lake(), None).await.expect("a lake");
            let after = rewound(dataflow, &reader, &before, names[0], to).await.expect("set back");
            let epoch = lake.rewind(&before, after.clone()).await.expect("decided");
            // what was made from another binding is refused
            assert_eq!(lake.rewind(&before, after).await.expect_err("it has gone on").kind(), Kind::Fix);
            lake.leave().await;
            epoch
        })
    }

    fn verify_from(&self, first: Epoch, dataflow: Dataflow) {
        let recomputed = recompute(Recompute {
            dataflow,
            warehouse: self.lake(),
            catalog: None,
            workers: 2,
            force_bytes: false,
            archive: false,
            first: Some(first),
            last: None,
            progress: None,
        });
        let recomputed = recomputed.unwrap_or_else(|error| panic!("{error}"));
        assert!(recomputed.difference.is_none(), "from {first}: {:?}", recomputed.difference);
    }
}

/// Trades a few seconds apart; four of them have a time two years later.
fn wild_tape() -> (Vec<String>, Vec<String>) {
    let id = |n: i64| format!(",\"id\":\"{n}\"");
    let usual = |n: i64| trade(5 * n, 100 + n % 17, &id(n));
    let wild = |n: i64| trade(2 * 365 * 86_400 + 60 * n, 999, &id(10_000 + n));
    let tape = (0..1_000).map(usual).chain((0..4).map(wild)).chain((1_000..2_000).map(usual));
    (tape.collect(), (0..2_000).map(usual).collect())
}

const WITHOUT_WILD: &str =
    "select open_at, open, high, low, close, trades from bars_1m where open_at < '2027-01-01' order by open_at";
const WILD: &str = "select open_at, close, trades from bars_1m where open_at > '2027-01-01' order by open_at";

#[test]
fn a_lake_that_wild_times_moved_is_set_back_and_ends_as_if_they_had_moved_nothing() {
    let (tape, usual) = wild_tape();
    let (moved, whole) = (Place::new(), Place::new());
    whole.add("a.jsonl", &usual);
    whole.run(1, "");
    for more in ["", "{, corrections = true}", "dedupe = \"instrument\""] {
        let moved = if more.is_empty() { &moved } else { &Place::new() };
        moved.add("a.jsonl", &tape);
        let refused = run(RunOptions::new(moved.dataflow(more), moved.lake(), 1));
        let lost = refused.map(|report| report.rejected).expect("less than half is refused");
        assert_eq!(lost, 1_000, "all that follows");
        let epoch = moved.rewind("a.jsonl", second(4_995), &moved.dataflow(more));
        // all that was refused comes again, and some that were not
        moved.add("b.jsonl", &tape[1_004..]);
        let report = moved.run(2, more);
        assert_eq!((report.accepted, report.rejected), (1_000, 0), "{more}");
        assert_eq!(moved.ask(WITHOUT_WILD), whole.ask(WITHOUT_WILD), "{more}");
        assert_eq!(moved.ask(WILD).len(), 4, "its own bars stay, once");
        moved.verify(1, more);
        moved.verify(2, more);
        for first in [epoch - 1, epoch, epoch + 1, epoch + 2] {
            moved.verify_from(first, moved.dataflow(more));
        }
    }
}

#[test]
fn what_had_left_memory_before_the_time_was_set_back_stays_as_it_is_and_no_bar_is_there_twice() {
    let (tape, usual) = wild_tape();
    // horizons follow in the next epoch
    let small = "limits = { epochs = 1 }";
    for more in
        [small.to_owned(), format!("{{, corrections = true}}{small}"), format!("dedupe = \"instrument\"\n{small}")]
    {
        let (moved, whole) = (Place::new(), Place::new());
        whole.add("a.jsonl", &usual);
        whole.run(1, &more);
        moved.add("a.jsonl", &tape[..1_004]);
        assert_eq!(moved.run(2, &more).rejected, 0, "{more}");
        for piece in tape[1_004..].chunks(250) {
            moved.add("a.jsonl", piece);
            // all of it is refused, which is reported at its end, when it is committed
            let _ = run(RunOptions::new(moved.dataflow(&more), moved.lake(), 1));
        }
        assert_eq!(
            moved.ask("select count(*) n from quarantine where reason = 'too_late'"),
            ["{\"n\":1000}"],
            "{more}"
        );
        let published = moved.ask(WITHOUT_WILD);
        let epoch = moved.rewind("a.jsonl", second(4_995), &moved.dataflow(&more));
        // the last bar from before has left memory: 5,000 to 5,035 s are in its minute
        moved.add("b.jsonl", &tape[1_004..]);
        let report = moved.run(1, &more);
        assert_eq!((report.accepted, report.rejected), (992, 8), "{more}");
        let (rows, all) = (moved.ask(WITHOUT_WILD), whole.ask(WITHOUT_WILD));
        let last = published.len() - 1;
        assert_eq!((&rows[..=last], rows.len()), (&published[..], all.len()), "{more}");
        assert_eq!(rows[last + 1..], all[last + 1..], "{more}");
        assert_eq!(moved.ask(WILD).len(), 4, "{more}");
        // a second time, and a third: partitions that were set back go on like others
        moved.add("b.jsonl", &[trade(10_001, 1, "")]);
        moved.run(2, &more);
        let again = moved.rewind("b.jsonl", second(9_990), &moved.dataflow(&more));
        moved.add("b.jsonl", &(0..200).map(|n| trade(10_002 + n, 2, "")).collect::<Vec<_>>());
        assert_eq!(moved.run(1, &more).rejected, 0);
        moved.verify(1, &more);
        moved.verify(2, &more);
        for first in [epoch - 1, epoch, epoch + 1, epoch + 3, again, again + 1] {
            moved.verify_from(first, moved.dataflow(&more));
        }
    }
}
