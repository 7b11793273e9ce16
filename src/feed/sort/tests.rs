//! Promises of sorting: the result of a naive sort of the lines, whatever the memory; each record once, with its bytes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use ticktide_base::time::Nanos;

fn spec(inputs: &[PathBuf], output: PathBuf, format: &str, memory: u64) -> SortSpec {
    let wire = WireSpec { format: format.into(), ..WireSpec::default() };
    SortSpec { inputs: inputs.to_vec(), output, wire, memory, temp: None }
}

fn sorted(spec: &SortSpec) -> Result<Sorted, FeedError> {
    let found = sort(spec, &mut |_| {}, &AtomicBool::new(false))?;
    Ok(found.expect("it was not stopped"))
}

fn json(time: i64, mark: &str) -> String {
    format!("{{\"symbol\":\"A\",\"time\":{time},\"price\":1,\"quantity\":1,\"id\":\"{mark}\"}}")
}

/// The names in a folder.
fn listed(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A line of a test: with a time, or without one.
#[derive(Clone, Debug)]
enum Made {
    At(i64),
    Junk(String),
}

fn text(made: &Made, mark: usize) -> String {
    match made {
        Made::At(second) => json(1_700_000_000 + second, &mark.to_string()),
        Made::Junk(text) => text.clone(),
    }
}

/// The lines of files in order: by the standard library's sort over the times that the test has chosen.
fn naive(files: &[Vec<Made>]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut mark = 0;
    for file in files {
        let mut at = Nanos::MIN;
        for made in file {
            if let Made::At(second) = made {
                at = *second;
            }
            lines.push((at, text(made, mark)));
            mark += 1;
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn made() -> impl Strategy<Value = Made> {
    prop_oneof![8 => (0i64..50).prop_map(Made::At), 1 => "[a-z]{0,12}".prop_map(Made::Junk)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_files_are_sorted_as_a_naive_sort_does_whatever_the_memory(
        files in prop::collection::vec(prop::collection::vec(made(), 0..120), 1..4),
        memory in 0u64..4_000,
        ends in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let root = tempfile::tempdir().expect("a folder");
        let mut mark = 0;
        let inputs: Vec<PathBuf> = files.iter().enumerate().map(|(number, file)| {
            let path = root.path().join(format!("{number}.jsonl"));
            let lines = file.iter().map(|made| { mark += 1; text(made, mark - 1) + ends });
            std::fs::write(&path, lines.collect::<String>()).expect("a file");
            path
        }).collect();
        let output = root.path().join("sorted.jsonl");
        let result = sorted(&spec(&inputs, output.clone(), "json", memory)).expect("sorted");
        let wanted: Vec<String> = naive(&files).into_iter().map(|line| line + ends).collect();
        prop_assert_eq!(std::fs::read_to_string(&output).expect("a file"), wanted.concat());
        prop_assert_eq!(result.records as usize, wanted.len());
        let untimed = files.iter().flatten().filter(|made| matches!(made, Made::Junk(_))).count();
        prop_assert_eq!(result.untimed as usize, untimed);
        prop_assert!(memory > 100 || result.runs == result.records, "one line at a time: {:?}", result);
        prop_assert_eq!(listed(root.path()).len(), inputs.len() + 1, "no other file is left");
    }
}

#[test]
fn thousands_of_runs_are_merged_in_rounds_and_equal_times_keep_their_order() {
    let root = tempfile::tempdir().expect("a folder");
    let input = root.path().join("in.jsonl");
    // 5,000 runs of one line are 64 x 64 and more
    let lines: Vec<(i64, String)> =
        (0..5_000).map(|n: i64| (n * 7919 % 40, json(n * 7919 % 40 + 1_700_000_000, &n.to_string()))).collect();
    std::fs::write(&input, lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>()).expect("a file");
    let output = root.path().join("out.jsonl");
    let result = sorted(&spec(&[input], output.clone(), "json", 1)).expect("sorted");
    assert_eq!((result.records, result.runs), (5_000, 5_000));
    let mut wanted = lines;
    wanted.sort_by_key(|(at, _)| *at);
    let wanted: String = wanted.into_iter().map(|(_, line)| line + "\n").collect();
    assert!(std::fs::read_to_string(&output).expect("a file") == wanted);
}

#[test]
fn packed_files_are_sorted_into_packed_files() {
    let root = tempfile::tempdir().expect("a folder");
    let newest_first: String = (0..300).rev().map(|n| json(1_700_000_000 + n, "") + "\n").collect();
    let ascending: String = (0..300).map(|n| json(1_700_000_000 + n, "") + "\n").collect();
    let pack = |name: &str| {
        let path = root.path().join(name);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(newest_first.as_bytes()).expect("memory");
        let bytes = match name {
            "a.gz" => gz.finish().expect("memory"),
            "a.zst" => zstd::encode_all(newest_first.as_bytes(), 1).expect("memory"),
            _ => newest_first.clone().into_bytes(),
        };
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    for input in ["a.jsonl", "a.gz", "a.zst"].map(pack) {
        for name in ["out.jsonl", "out.gz", "out.zst"] {
            let output = root.path().join(name);
            let result = sorted(&spec(std::slice::from_ref(&input), output.clone(), "json", 5_000)).expect("sorted");
            assert_eq!((result.records, result.late), (300, 299));
            let (packed, mut unpacked) = crate::file::input(&output, 1 << 16).expect("a file");
            let mut text = String::new();
            unpacked.read_to_string(&mut text).expect("it is whole");
            assert!(text == ascending && packed == (name != "out.jsonl"), "{} into {name}", input.display());
            std::fs::remove_file(output).expect("it was made");
        }
    }
}

#[test]
fn a_header_is_kept_once_and_two_of_them_are_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let a = write("a.csv", "\u{feff}symbol,time,price,quantity\r\nA,1700000009,1,1\r\nA,1700000001,1,1\r\n");
    let b = write("b.csv", "symbol,time,price,quantity\nA,1700000005,1,1\n");
    let [empty, alone] = [write("empty.csv", ""), write("alone.csv", "symbol,time,price,quantity\n")];
    let output = root.path().join("out.csv");
    sorted(&spec(&[empty, a.clone(), alone, b], output.clone(), "csv", 1 << 20)).expect("sorted");
    assert_eq!(
        std::fs::read_to_string(&output).expect("a file"),
        "symbol,time,price,quantity\r\nA,1700000001,1,1\r\nA,1700000005,1,1\nA,1700000009,1,1\r\n"
    );
    for other in ["time,symbol,price,quantity\n1700000005,A,1,1\n", "trade,V,A,1700000005,1,i,1,30,\n"] {
        let other = write("other.csv", other);
        let spec = spec(&[a.clone(), other], root.path().join("none.csv"), "csv", 1 << 20);
        let Err(FeedError::Fix { message, .. }) = sorted(&spec) else { panic!("two headers") };
        assert!(message.contains("a.csv") && message.contains("other.csv") && message.contains("header"), "{message}");
    }
    assert_eq!(listed(root.path()), ["a.csv", "alone.csv", "b.csv", "empty.csv", "other.csv", "out.csv"]);
}

#[test]
fn a_record_without_a_time_stays_behind_the_one_before_it_and_a_last_line_gets_its_end() {
    let root = tempfile::tempdir().expect("a folder");
    let input = root.path().join("in.jsonl");
    let [late, early] = [json(1_700_000_009, ""), json(1_700_000_001, "")];
    std::fs::write(&input, format!("first\n{late}\nof the late\n\n{early}\nof the early")).expect("a file");
    let output = root.path().join("out.jsonl");
    let result = sorted(&spec(std::slice::from_ref(&input), output.clone(), "json", 1 << 20)).expect("sorted");
    let wanted = format!("first\n{early}\nof the early\n{late}\nof the late\n\n");
    assert_eq!(std::fs::read_to_string(&output).expect("a file"), wanted);
    let unended = vec![(input, 12)];
    let wanted = Sorted { records: 6, bytes: wanted.len() as u64, untimed: 4, late: 2, runs: 1, unended };
    assert_eq!(result, wanted);
}

#[test]
fn what_is_not_whole_is_not_there() {
    let root = tempfile::tempdir().expect("a folder");
    let input = root.path().join("in.jsonl");
    std::fs::write(&input, (0..20_000).map(|n| json(1_700_000_000 - n, "") + "\n").collect::<String>())
        .expect("a file");
    let output = root.path().join("out.jsonl");
    let spec = spec(std::slice::from_ref(&input), output.clone(), "json", 1 << 19);
    // stopped while it reads, and while it writes
    for phase in [SortProgress::Read(8_192), SortProgress::Written(8_192)] {
        let stop = AtomicBool::new(false);
        let mut seen = BTreeMap::new();
        let mut report = |progress: SortProgress| {
            seen.insert(format!("{progress:?}"), ());
            stop.store(progress == phase, Ordering::Relaxed);
        };
        assert_eq!(sort(&spec, &mut report, &stop).expect("no error"), None);
        assert!(seen.contains_key(&format!("{phase:?}")));
        assert_eq!(listed(root.path()), ["in.jsonl"], "{phase:?}");
    }
    // an existing file is not overwritten, and nothing is written where nothing can be
    std::fs::write(&output, "mine").expect("a file");
    let Err(FeedError::Fix { message, .. }) = sorted(&spec) else { panic!("it exists") };
    assert!(message.contains("already exists"), "{message}");
    assert_eq!(std::fs::read_to_string(&output).expect("a file"), "mine");
    for wrong in [
        SortSpec { output: root.path().join("none/out.jsonl"), ..spec.clone() },
        SortSpec { output: root.path().join("o.jsonl"), temp: Some(root.path().join("none")), ..spec.clone() },
        SortSpec {
            output: root.path().join("o.jsonl"),
            inputs: vec![input, root.path().join("none.jsonl")],
            ..spec.clone()
        },
        SortSpec { output: root.path().join("o.jsonl"), memory: u64::MAX, ..spec.clone() },
    ] {
        let Err(FeedError::Fix { message, hint }) = sorted(&wrong) else { panic!("{wrong:?} cannot be") };
        assert!(!hint.is_empty() && (message.contains("none") || message.contains("memory")), "{message}");
        assert_eq!(listed(root.path()), ["in.jsonl", "out.jsonl"]);
    }
}
