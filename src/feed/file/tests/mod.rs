//! Promises of the file source: each file is a partition, read from any record on, compressed or plain, and recognised later.

mod identity;
mod last_line;

use super::*;
use crate::testing::{open, read_all};
use crate::{Speed, WireSpec};
use std::io::Write;
use std::path::Path;
use ticktide_base::time::SECOND;

fn line(number: i64) -> String {
    format!("{{\"symbol\":\"A\",\"time\":{},\"price\":1,\"quantity\":1}}\n", 1_700_000_000 + number)
}

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(line).collect()
}

fn spec(paths: &[&Path]) -> SourceSpec {
    SourceSpec {
        uses: "file".into(),
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        until_end: true,
        wire: WireSpec { format: "json".into(), ..WireSpec::default() },
        buffer_bytes: 1 << 20,
        ..SourceSpec::default()
    }
}

/// Polls until every partition is finished or something broke.
fn drain(reader: &mut dyn Reader, partitions: usize) -> (Vec<Batch>, Option<FeedError>) {
    let (mut batches, mut finished) = (Vec::new(), 0);
    while finished < partitions {
        match reader.poll(Duration::from_millis(1), &|_| false) {
            Ok(Some(batch)) => {
                finished += usize::from(batch.finished);
                batches.push(batch);
            }
            Ok(None) => {}
            Err(error) => return (batches, Some(error)),
        }
    }
    (batches, None)
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).expect("memory");
    out.finish().expect("memory")
}

fn records(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.records).sum()
}

#[test]
fn every_line_is_one_record_with_its_number_as_offset() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    // a byte order mark, an empty line, a windows line end, junk, a last line without a line end
    let text = format!("\u{feff}{}\n{}\r\njunk\n{}", line(0), line(2).trim_end(), line(4).trim_end());
    std::fs::write(&path, text).expect("a file");
    let source = open(&taking(spec(&[&path])));
    assert_eq!(source.partitions()[0].name(), "a.jsonl/0");
    assert!(source.partitions()[0].source_id.starts_with("file:a.jsonl:"), "{:?}", source.partitions());
    let (batches, error) = drain(read_all(source.as_ref()).as_mut(), 1);
    assert!(error.is_none());
    let ticks: Vec<_> = batches.iter().flat_map(|batch| batch.ticks.iter().map(|tick| tick.offset)).collect();
    let rejects: Vec<_> =
        batches.iter().flat_map(|b| b.rejects.iter().map(|r| (r.offset, r.reason, r.payload.clone()))).collect();
    assert_eq!(ticks, [0, 2, 4]);
    assert_eq!(rejects, [(1, "empty", b"".to_vec()), (3, "not_json", b"junk".to_vec())]);
    let last = batches.last().expect("one");
    assert!(last.caught_up && last.finished);
    assert_eq!(last.offset_next, 5);
    assert_eq!(records(&batches), 5);
}

#[test]
fn plain_gz_and_zst_hold_the_same_records() {
    let root = tempfile::tempdir().expect("a folder");
    let text = lines(0..5000);
    std::fs::write(root.path().join("a.jsonl"), &text).expect("a file");
    // two members, as `cat a.gz b.gz` makes them
    let (first, second) = text.split_at(text.find('\n').expect("many lines") + 1);
    std::fs::write(root.path().join("b.jsonl.gz"), [gz(first), gz(second)].concat()).expect("a file");
    std::fs::write(root.path().join("c.jsonl.zst"), zstd::encode_all(text.as_bytes(), 1).expect("memory"))
        .expect("a file");
    let source = open(&spec(&[root.path()]));
    let names: Vec<_> = source.partitions().iter().map(|partition| partition.topic.as_str()).collect();
    assert_eq!(names, ["a.jsonl", "b.jsonl.gz", "c.jsonl.zst"]);
    let (batches, error) = drain(read_all(source.as_ref()).as_mut(), 3);
    assert!(error.is_none());
    for partition in 0..3 {
        let times: Vec<_> = batches
            .iter()
            .filter(|batch| batch.partition == partition)
            .flat_map(|batch| batch.ticks.iter().map(|tick| (tick.offset, tick.exchange_at)))
            .collect();
        let expected: Vec<_> = (0..5000).map(|n| (n, (1_700_000_000 + n) * SECOND)).collect();
        assert_eq!(times, expected);
    }
    assert!(batches.iter().all(|batch| batch.records <= crate::BATCH_RECORDS));
}

#[test]
fn reading_goes_on_where_the_lake_stopped() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    std::fs::write(&path, lines(0..10)).expect("a file");
    let source = crate::open(&spec(&[&path]), &BTreeMap::from([("a.jsonl/0".into(), 7)])).expect("a source");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 7 }]).expect("a reader");
    let (batches, _) = drain(reader.as_mut(), 1);
    assert_eq!(batches[0].ticks.iter().map(|tick| tick.offset).collect::<Vec<_>>(), [7, 8, 9]);

    let mut reader = source.reader(&[Assignment { partition: 0, offset: 11 }]).expect("a reader");
    let (batches, error) = drain(reader.as_mut(), 1);
    assert!(batches.is_empty());
    let Some(FeedError::Fix { message, .. }) = error else { panic!("the file is shorter than its place") };
    assert!(message.contains("has 10 records") && message.contains("read 11"), "{message}");
}

#[test]
fn a_cut_off_file_gives_its_records_and_then_says_where_it_ends() {
    let root = tempfile::tempdir().expect("a folder");
    let whole = [gz(&lines(0..5000)), zstd::encode_all(lines(0..5000).as_bytes(), 1).expect("memory")];
    for (name, bytes) in ["a.gz", "a.zst"].into_iter().zip(whole) {
        let path = root.path().join(name);
        std::fs::write(&path, &bytes[..bytes.len() * 9 / 10]).expect("a file");
        let source = open(&spec(&[&path]));
        let (batches, error) = drain(read_all(source.as_ref()).as_mut(), 1);
        let read = records(&batches);
        assert!(batches.iter().all(|batch| batch.rejects.is_empty() && !batch.finished));
        let Some(FeedError::Fix { message, .. }) = error else { panic!("{name} is cut off") };
        assert!(message.contains(name) && message.contains(&format!("record {read}")), "{message}");
        assert!(message.contains("cut off"), "{message}");
    }
}

#[test]
fn a_growing_file_is_followed_and_a_half_line_waits_for_its_end() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    let mut file = std::fs::File::create(&path).expect("a file");
    let mut write = |text: &str| file.write_all(text.as_bytes()).expect("written");
    write(&lines(0..2));
    write("{\"symbol\":\"A\",");
    let source = open(&taking(SourceSpec { until_end: false, ..spec(&[&path]) }));
    let mut reader = read_all(source.as_ref());
    let mut next = || loop {
        if let Some(batch) = reader.poll(Duration::from_millis(1), &|_| false).expect("a plain file") {
            return batch;
        }
    };
    let batch = next();
    assert_eq!((batch.records, batch.offset_next, batch.caught_up, batch.finished), (2, 2, true, false));
    // the rest of the half line, and a whole record without its line end
    write("\"time\":1700000002,\"price\":1,\"quantity\":1}\n");
    write(line(3).trim_end());
    let batch = next();
    assert_eq!(batch.ticks.iter().map(|tick| tick.offset).collect::<Vec<_>>(), [2, 3]);
    assert!(batch.caught_up);
    write("\n");
    write(&line(4));
    let batch = next();
    assert_eq!(batch.ticks.iter().map(|tick| tick.offset).collect::<Vec<_>>(), [4], "the end of line 3 is no record");
}

#[test]
fn paused_files_are_left_unread() {
    let root = tempfile::tempdir().expect("a folder");
    for name in ["a.jsonl", "b.jsonl"] {
        std::fs::write(root.path().join(name), lines(0..10)).expect("a file");
    }
    let source = open(&spec(&[root.path()]));
    let mut reader = read_all(source.as_ref());
    let batch = reader.poll(Duration::ZERO, &|partition| partition == 0).expect("readable").expect("a batch");
    assert_eq!(batch.partition, 1);
    assert!(reader.poll(Duration::ZERO, &|partition| partition == 0).expect("readable").is_none());
    assert_eq!(reader.poll(Duration::ZERO, &|_| false).expect("readable").expect("a batch").partition, 0);
}

#[test]
fn a_new_lake_may_start_late_in_a_file() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    std::fs::write(&path, lines(0..10)).expect("a file");
    let start = |from| open(&SourceSpec { from, ..spec(&[&path]) }).partitions()[0].offset_start;
    assert_eq!(start(StartFrom::Earliest), 0);
    assert_eq!(start(StartFrom::Latest), 10);
    assert_eq!(start(StartFrom::At((1_700_000_000 + 4) * SECOND)), 4);
}

#[test]
fn an_empty_file_is_caught_up_at_once_and_an_instrument_is_announced_once() {
    let root = tempfile::tempdir().expect("a folder");
    let (empty, full) = (root.path().join("empty.jsonl"), root.path().join("full.jsonl"));
    std::fs::write(&empty, "").expect("a file");
    std::fs::write(&full, lines(0..5000)).expect("a file");
    let source = open(&spec(&[&empty, &full]));
    let (batches, error) = drain(read_all(source.as_ref()).as_mut(), 2);
    assert!(error.is_none());
    assert_eq!((batches[0].records, batches[0].caught_up, batches[0].finished), (0, true, true));
    assert_eq!(batches.iter().map(|batch| batch.instruments.len()).sum::<usize>(), 1);
}

#[test]
fn a_replay_gives_no_tick_before_its_time() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    std::fs::write(&path, lines(0..100)).expect("a file");
    // 100 recorded seconds in a tenth of a second
    let source = open(&SourceSpec { speed: Speed::Times(1000.0), ..spec(&[&path]) });
    let started = Instant::now();
    let mut reader = read_all(source.as_ref());
    let mut seen = 0;
    while seen < 100 {
        let batch = reader.poll(Duration::from_millis(1), &|_| false).expect("readable");
        let played = started.elapsed().as_nanos() as i64 * 1000;
        for tick in batch.iter().flat_map(|batch| &batch.ticks) {
            assert!(tick.exchange_at - 1_700_000_000 * SECOND <= played);
            seen += 1;
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(99));
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_runs() {
    let root = tempfile::tempdir().expect("a folder");
    let none = root.path().join("none.jsonl");
    assert!(matches!(crate::open(&spec(&[&none]), &BTreeMap::new()), Err(FeedError::Fix { .. })));
    let mut spec = spec(&[&none]);
    spec.uses = "flie".into();
    let Err(FeedError::Fix { hint, .. }) = crate::open(&spec, &BTreeMap::new()) else { panic!("no such source") };
    assert!(hint.contains("`file`"), "{hint}");
}

/// The same, but a last line without a line end is a record.
fn taking(spec: SourceSpec) -> SourceSpec {
    SourceSpec { last_line: LastLine::Take, ..spec }
}

fn csv(paths: &[&Path]) -> SourceSpec {
    SourceSpec { wire: WireSpec { format: "csv".into(), ..WireSpec::default() }, ..spec(paths) }
}

fn quantities(batches: &[Batch]) -> Vec<(i64, i64)> {
    let of = |tick: &ticktide_market::Tick| {
        (tick.offset, tick.quantity.map_or(0, |quantity| quantity.0 / ticktide_market::SCALE))
    };
    batches.iter().flat_map(|batch| batch.ticks.iter().map(of)).collect()
}

#[test]
fn a_header_is_no_record_and_each_file_has_its_own() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b, c] = ["a.csv", "b.csv.gz", "c.csv"].map(|name| root.path().join(name));
    // a byte order mark before the header, columns in two orders, the default order without a header
    std::fs::write(&a, "\u{feff}symbol,time,price,quantity\r\nA,1700000000,1,10\r\nA,1700000001,1,11").expect("a file");
    std::fs::write(&b, gz("quantity,other,price,time,symbol\n20,x,1,1700000000,B\n")).expect("a file");
    std::fs::write(&c, "trade,V,C,1700000000,1,i,1,30,\nsymbol,time,price,quantity\n").expect("a file");
    let source = open(&taking(csv(&[&a, &b, &c])));
    let (batches, error) = drain(read_all(source.as_ref()).as_mut(), 3);
    assert!(error.is_none());
    let mut found: Vec<(usize, (i64, i64))> = Vec::new();
    for batch in &batches {
        found.extend(quantities(std::slice::from_ref(batch)).into_iter().map(|tick| (batch.partition, tick)));
    }
    found.sort_unstable();
    assert_eq!(found, [(0, (0, 10)), (0, (1, 11)), (1, (0, 20)), (2, (0, 30))]);
    let rejects: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).collect();
    assert_eq!(rejects.len(), 1, "only a first line can be a header: {rejects:?}");
    assert_eq!((rejects[0].offset, rejects[0].reason), (1, "field_count"));
    assert_eq!(batches.iter().map(|batch| batch.gaps).sum::<u64>(), 0);
    let payloads: Vec<&[u8]> =
        batches.iter().filter(|batch| batch.partition == 0).map(|batch| batch.payload(0)).collect();
    assert_eq!(payloads, [b"A,1700000000,1,10"]);
}

#[test]
fn a_csv_file_is_read_on_behind_its_header() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.csv");
    std::fs::write(&path, "price,quantity,time,symbol\n1,10,1700000000,A\n1,11,1700000001,A\n").expect("a file");
    let resume = BTreeMap::from([("a.csv/0".to_owned(), 1)]);
    let source = crate::open(&csv(&[&path]), &resume).expect("a source");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 1 }]).expect("a reader");
    assert_eq!(quantities(&drain(reader.as_mut(), 1).0), [(1, 11)]);
    let source = crate::open(&csv(&[&path]), &resume).expect("a source");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 3 }]).expect("a reader");
    let error = drain(reader.as_mut(), 1).1.expect("there are two records");
    assert!(error.to_string().contains("has 2 records, the lake has already read 3"), "{error}");
}

#[test]
fn a_csv_line_that_is_still_being_written_waits_for_its_end() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.csv");
    std::fs::write(&path, "symbol,time,pri").expect("a file");
    let source = open(&taking(SourceSpec { until_end: false, ..csv(&[&path]) }));
    let mut reader = read_all(source.as_ref());
    let append = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("it is there");
        file.write_all(text.as_bytes()).expect("written");
    };
    let ticks = |reader: &mut dyn Reader| {
        let mut found = Vec::new();
        let deadline = Instant::now() + 2 * GROWTH_CHECKED_EVERY;
        while Instant::now() < deadline {
            found.extend(reader.poll(Duration::from_millis(1), &|_| false).expect("reads").into_iter().map(|batch| {
                assert_eq!(batch.rejects, []);
                quantities(&[batch])
            }));
        }
        found.concat()
    };
    assert_eq!(ticks(reader.as_mut()), []);
    append("ce,quantity\nA,1700000000,1,1");
    assert_eq!(ticks(reader.as_mut()), [], "the quantity may go on");
    append("0\n");
    assert_eq!(ticks(reader.as_mut()), [(0, 10)]);
}

#[test]
fn every_batch_of_a_file_with_a_header_carries_it_also_when_reading_goes_on_in_its_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("named.csv");
    std::fs::write(&path, "\u{feff}quantity,price,time,symbol\r\n1,2,1700000000,A\nx\n3,4,1700000001,A\n")
        .expect("written");
    let mut spec = spec(&[&path]);
    spec.wire.format = "csv".into();
    for offset in [0, 2] {
        let source = open(&spec);
        let mut reader = source.reader(&[Assignment { partition: 0, offset }]).expect("a reader");
        let (batches, failure) = drain(reader.as_mut(), 1);
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(batches.iter().map(|batch| batch.records).sum::<u64>() as i64, 3 - offset);
        for batch in &batches {
            assert_eq!(batch.header.as_deref(), Some("quantity,price,time,symbol"), "from {offset}");
        }
    }
    spec.wire.columns = ["symbol", "time", "price", "quantity"].map(str::to_owned).to_vec();
    std::fs::write(&path, "A,1700000000,2,1\n").expect("written");
    let (batches, _) = drain(read_all(&*open(&spec)).as_mut(), 1);
    assert_eq!(batches[0].header, None, "its columns are the dataflow's");
}

#[test]
fn a_lake_that_goes_on_reads_all_of_a_file_that_is_new_to_it() {
    let root = tempfile::tempdir().expect("a folder");
    let paths = ["a.jsonl", "b.jsonl"].map(|name| root.path().join(name));
    paths.iter().for_each(|path| std::fs::write(path, lines(0..6)).expect("a file"));
    for from in [StartFrom::Latest, StartFrom::At((1_700_000_000 + 4) * SECOND)] {
        let spec = SourceSpec { from, ..spec(&[&paths[0], &paths[1]]) };
        let resume = BTreeMap::from([("a.jsonl/0".to_owned(), 3)]);
        let starts = |resume| -> Vec<i64> {
            let source = crate::open(&spec, resume).expect("a source");
            source.partitions().iter().map(|partition| partition.offset_start).collect()
        };
        assert_eq!(starts(&resume)[1], 0, "{from:?} is for a new lake");
        assert!(starts(&BTreeMap::new()).iter().all(|start| *start >= 4));
    }
}

#[test]
fn a_start_time_and_the_pace_pass_over_a_cancel_that_tells_its_day_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    let cancel = "{\"type\":\"cancel\",\"symbol\":\"A\",\"id\":1,\"trading_date\":\"2099-01-05\"}\n";
    std::fs::write(&path, [cancel, &lines(0..2), cancel, &lines(2..6)].concat()).expect("a file");
    let from = StartFrom::At((1_700_000_000 + 4) * SECOND);
    assert_eq!(open(&SourceSpec { from, ..spec(&[&path]) }).partitions()[0].offset_start, 6);
    // six seconds in a moment: nothing waits for 2099
    let paced = open(&SourceSpec { speed: Speed::Times(1000.0), ..spec(&[&path]) });
    let (batches, error) = drain(read_all(paced.as_ref()).as_mut(), 1);
    assert!(error.is_none());
    assert_eq!(records(&batches), 8);
}
