//! Whole runs over files: the records that they report as lost, and how they end when there are too many.

use crate::{RunOptions, RunReport, run};
use std::collections::BTreeMap;
use ticktide_base::conservation::ByReason;
use ticktide_base::epoch::Conservation;
use ticktide_base::error::{Error, Kind};
use ticktide_dataflow::Dataflow;
use ticktide_lake::commit::slot::SlotKind;
use ticktide_lake::{LakeReader, Slot, Warehouse};

/// A folder with files to read, and a lake.
struct Place(tempfile::TempDir);

impl Place {
    fn with(files: &[(&str, Vec<String>)]) -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        files.iter().for_each(|(name, lines)| place.add(name, lines));
        place
    }

    /// Adds lines to a file.
    fn add(&self, name: &str, lines: &[String]) {
        let path = self.0.path().join(name);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + &text).expect("a file");
    }

    fn try_run(&self, workers: usize, set: &[&str]) -> Result<RunReport, Error> {
        let paths = self.0.path().join("*.jsonl");
        let text = format!(
            "source = {{ use = \"file\", paths = [{paths:?}], until = \"end\", sequence = \"trusted\" }}\n\
             bars = [{{ every = \"1m\" }}]\nsession = \"us\"\n"
        );
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        let dataflow = Dataflow::from_text("runs", "runs.toml", &text, &[], &set).expect("a dataflow");
        run(RunOptions::new(dataflow, self.lake(), workers))
    }

    fn run(&self, workers: usize, set: &[&str]) -> RunReport {
        self.try_run(workers, set).unwrap_or_else(|error| panic!("{error}"))
    }

    fn lake(&self) -> Warehouse {
        Warehouse::Folder(self.0.path().join("lake"))
    }

    /// The epochs with records of their own, as they were decided.
    fn data(&self) -> Vec<Slot> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let reader = LakeReader::open(&self.lake(), None).await.expect("a lake");
            let mut slots = Vec::new();
            for epoch in 0..=reader.decided_last().await.expect("readable").unwrap_or_default() {
                slots.extend(reader.decided(epoch).await.ok().filter(|slot| slot.kind == SlotKind::Data));
            }
            slots
        })
    }

    /// By file: the lines that were read, and where all of them went.
    fn went(&self) -> BTreeMap<String, (i64, Conservation)> {
        let mut went: BTreeMap<String, (i64, Conservation)> = BTreeMap::new();
        for slot in self.data() {
            let places = slot.binding.expect("an epoch has one").places;
            for (name, counts) in slot.conservation {
                let file = name.rsplit('/').find(|part| part.contains("jsonl")).expect("a file").to_owned();
                let (next, all) = went.entry(file).or_default();
                *next = places[&name].offset_next;
                all.add(&counts);
            }
        }
        went
    }
}

/// 10:00 in New York of Tuesday 2026-01-06.
const OPEN: i64 = 1_767_711_600;

/// A trade of A at a second after ten o'clock; `more`: further fields.
fn trade(second: i64, more: &str) -> String {
    format!("{{\"symbol\":\"A\",\"time\":{},\"price\":5,\"quantity\":1{more}}}", OPEN + second)
}

fn trades(count: i64) -> Vec<String> {
    trades_from(0, count)
}

fn trades_from(first: i64, count: i64) -> Vec<String> {
    (first..first + count).map(|n| trade(n, &format!(",\"sequence\":{n}"))).collect()
}

fn junk(count: usize) -> Vec<String> {
    vec!["{\"sym\":\"A\",\"time\":1767711600}".to_owned(); count]
}

fn by(all: &[(&str, i64)]) -> ByReason {
    all.iter().map(|(why, records)| ((*why).to_owned(), *records)).collect()
}

#[test]
fn what_a_run_says_adds_up_to_the_records_read_and_is_what_its_slots_say() {
    let mut lines = trades(9);
    lines.extend(["?".to_owned(), "{}".to_owned(), "{}".to_owned()]);
    lines.extend([trade(1, ",\"sequence\":1"), trade(1, ",\"sequence\":2")]); // a duplicate, and another content
    lines.push(trade(12 * 3_600, "")); // at night
    lines.push(trade(20, ",\"type\":\"cancel\",\"id\":\"x\""));
    lines.extend([21, 22].map(|n| trade(n, ",\"type\":\"snapshot\"")));
    lines.push(trade(23, ",\"sequence\":99").replace(":5,", ":-5,"));
    let count = lines.len() as i64;
    for workers in [1, 2] {
        let place = Place::with(&[("a.jsonl", lines.clone()), ("b.jsonl", trades_from(100, 40))]);
        let report = place.run(workers, &["epoch.records=5"]);
        let reasons =
            [("conflicting_id", 1), ("corrections_off", 1), ("missing_field", 2), ("not_json", 1), ("off_session", 1)];
        assert_eq!(report.reasons, by(&reasons));
        assert_eq!(report.silent, by(&[("no_price", 1), ("snapshot", 2)]));
        assert_eq!(report.records as i64, count + 40);
        assert_eq!((report.rejected, report.duplicates, report.pending), (6, 1, 0));
        let refused: i64 = report.reasons.values().sum();
        assert_eq!(report.records as i64, report.accepted as i64 + report.duplicates as i64 + refused + report.pending);
        assert!(report.refused.is_none() && report.barren.is_empty(), "{:?}", report.barren);
        let of_files: i64 = report.partitions.values().map(|counts| counts.records).sum();
        assert_eq!(of_files, report.records as i64);
        let went = place.went();
        let (read, counts) = &went["a.jsonl"];
        assert_eq!(
            (*read, counts.records, &counts.reasons, &counts.silent),
            (count, count, &report.reasons, &report.silent)
        );
        assert_eq!(went["b.jsonl"].1.reasons, ByReason::new());
    }
}

#[test]
fn few_records_that_are_refused_leave_a_new_lake_empty_wherever_epochs_are_cut() {
    // of 400 records 201: some by the decoder, some by the judge
    let mut lines = junk(100);
    lines.extend((0..101).map(|n| trade(12 * 3_600 + n, "")));
    lines.extend(trades(199));
    for (workers, set) in [(1, "epoch.records=1000000"), (2, "epoch.records=10"), (1, "limits.bytes=1024")] {
        let place = Place::with(&[("a.jsonl", lines[..250].to_vec()), ("b.jsonl", lines[250..].to_vec())]);
        let error = place.try_run(workers, &[set]).expect_err("more than half");
        assert_eq!(error.kind, Kind::Fix);
        assert!(
            error.message.starts_with("201 of 400 records were refused (101 off_session, 100 missing_field):\n"),
            "{error}"
        );
        assert_eq!(error.message.lines().count(), 4, "three payloads: {error}");
        let hint = error.hint.expect("a hint");
        assert!(hint.contains("`session`") && hint.contains("`source.fields`"), "{hint}");
        assert!(place.data().is_empty(), "nothing is committed");
        // after the repair, it starts from the beginning
        place.add("a.jsonl", &(400..402).map(|n| trade(n, &format!(",\"sequence\":{n}"))).collect::<Vec<_>>());
        let report = place.run(workers, &[set]);
        assert_eq!((report.records, report.rejected, report.refused.is_none()), (402, 201, true));
    }
}

#[test]
fn half_of_few_records_is_not_more_than_half() {
    let lines = [junk(3), trades(3)].concat();
    let report = Place::with(&[("a.jsonl", lines)]).run(1, &[]);
    assert!(report.refused.is_none() && report.epochs == 1);
    let error = Place::with(&[("a.jsonl", junk(1))]).try_run(1, &[]).expect_err("all of one");
    assert!(error.message.starts_with("1 of 1 records were refused (1 missing_field)"), "{error}");
    assert!(Place::with(&[("a.jsonl", Vec::new())]).run(1, &[]).refused.is_none(), "none of none");
}

#[test]
fn many_refused_records_are_committed_all_the_same_and_not_read_again() {
    let mut lines = trades(499);
    lines.extend(junk(501));
    let mut all = Vec::new();
    for (workers, set) in [(1, "epoch.records=1000000"), (2, "epoch.records=100"), (1, "limits.bytes=4096")] {
        let place = Place::with(&[("a.jsonl", lines.clone())]);
        let report = place.run(workers, &[set]);
        let error = report.refused.expect("more than half");
        assert_eq!(error.kind, Kind::Fix);
        assert!(error.message.starts_with("501 of 1000 records were refused (501 missing_field)"), "{error}");
        let last = place.data().pop().expect("epochs").binding.expect("one of its own");
        assert!(last.flush && last.publishes(OPEN * 1_000_000_000, i64::MAX), "the last epoch is there with its flush");
        all.push((error.message, place.went()));
        let again = place.run(1, &[set]);
        assert_eq!((again.records, again.refused.is_none()), (0, true));
    }
    assert!(all.iter().all(|other| *other == all[0]), "{all:?}");
    assert_eq!(all[0].1["a.jsonl"].0, 1_000);
}

#[test]
fn few_refused_records_of_a_lake_with_epochs_are_committed() {
    let place = Place::with(&[("a.jsonl", trades(5))]);
    place.run(1, &[]);
    place.add("a.jsonl", &junk(2));
    let error = place.run(1, &[]).refused.expect("all of two");
    assert!(error.message.starts_with("2 of 2 records were refused"), "{error}");
    assert_eq!(place.went()["a.jsonl"].0, 7);
    assert!(place.run(1, &[]).refused.is_none());
}

#[test]
fn a_file_that_gives_nothing_is_named_and_one_that_has_nothing_new_is_not() {
    let files =
        [("a.jsonl", trades(50)), ("b.jsonl", junk(9)), ("c.jsonl", Vec::new()), ("d.jsonl", trades_from(100, 50))];
    let place = Place::with(&files);
    let barren = |report: &RunReport| -> Vec<(String, u64, Option<String>)> {
        let all = report.barren.iter().map(|barren| {
            let name = barren.partition.rsplit('/').find(|part| part.contains("jsonl")).unwrap_or_default();
            (name.to_owned(), barren.records, barren.why.clone())
        });
        all.collect()
    };
    let empty = ("c.jsonl".to_owned(), 0, None);
    let refused = ("b.jsonl".to_owned(), 9, Some("missing_field".to_owned()));
    assert_eq!(barren(&place.run(1, &[])), [refused, empty.clone()]);
    place.add("a.jsonl", &[trade(60, ",\"sequence\":60")]);
    assert_eq!(barren(&place.run(1, &[])), [empty]);
}
