//! A last line without a line end: left and reported, taken where it must be, and the same line whenever it was read.

use super::identity::{Places, read_on};
use super::*;
use ticktide_base::epoch::Place;

const HEADER: &str = "symbol,time,price,quantity\n";

/// A file with a whole record and half of one, whose quantity is 25 when it is whole.
fn half() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.csv");
    std::fs::write(&path, format!("{HEADER}A,1700000000,1,10\nA,1700000001,1,2")).expect("a file");
    (root, path)
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("it is there");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn a_last_line_without_its_end_waits_for_it_and_is_told_of() {
    let (_root, path) = half();
    let source = open(&csv(&[&path]));
    assert_eq!(source.remarks(), [""; 0], "nothing was read");
    let (batches, error) = drain(read_all(&*source).as_mut(), 1);
    assert!(error.is_none());
    assert_eq!(quantities(&batches), [(0, 10)]);
    let remarks = source.remarks();
    let expected = format!("1 line without a line end left unread in {} (16 bytes)", path.display());
    assert!(remarks.len() == 1 && remarks[0].starts_with(&expected) && remarks[0].contains("last_line"), "{remarks:?}");
    // the next run finds it whole
    let (places, _) = read_on(&csv(&[&path]), &Places::new()).expect("readable");
    append(&path, "5\n");
    let source = crate::open(
        &SourceSpec { recorded: places.clone(), ..csv(&[&path]) },
        &BTreeMap::from([("a.csv/0".to_owned(), 1)]),
    );
    let source = source.expect("it goes on");
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 1 }]).expect("a reader");
    assert_eq!(quantities(&drain(reader.as_mut(), 1).0), [(1, 25)]);
    assert_eq!(source.remarks(), [""; 0]);
}

#[test]
fn a_record_that_ends_itself_waits_too() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    std::fs::write(&path, lines(0..2) + line(2).trim_end()).expect("a file");
    for until_end in [true, false] {
        let source = open(&SourceSpec { until_end, ..spec(&[&path]) });
        let batch = read_all(&*source).poll(Duration::ZERO, &|_| false).expect("readable").expect("a batch");
        assert_eq!((batch.records, batch.caught_up, batch.finished), (2, true, until_end));
        assert_eq!(source.remarks().len(), 1);
    }
}

#[test]
fn a_last_line_is_taken_where_the_dataflow_says_so_and_in_a_packed_file() {
    let (root, path) = half();
    let text = std::fs::read_to_string(&path).expect("a file");
    let packed = [root.path().join("b.csv.gz"), root.path().join("c.csv.zst")];
    std::fs::write(&packed[0], gz(&text)).expect("a file");
    std::fs::write(&packed[1], zstd::encode_all(text.as_bytes(), 1).expect("memory")).expect("a file");
    for spec in [taking(csv(&[&path])), csv(&[&packed[0]]), csv(&[&packed[1]])] {
        let source = open(&spec);
        assert_eq!(quantities(&drain(read_all(&*source).as_mut(), 1).0), [(0, 10), (1, 2)]);
        assert_eq!(source.remarks(), [""; 0]);
    }
}

#[test]
fn a_new_lake_that_starts_at_the_end_does_not_pass_over_half_a_line() {
    let (_root, path) = half();
    let start = |spec| open(&SourceSpec { from: StartFrom::Latest, ..spec }).partitions()[0].offset_start;
    assert_eq!((start(csv(&[&path])), start(taking(csv(&[&path])))), (1, 2));
}

#[test]
fn a_line_that_was_taken_without_its_end_may_get_it_and_nothing_else() {
    let (_root, path) = half();
    let (places, _) = read_on(&taking(csv(&[&path])), &Places::new()).expect("readable");
    assert_eq!(places["a.csv/0"].offset_next, 2);
    let text = std::fs::read_to_string(&path).expect("a file");
    for (behind, good) in [("", true), ("\n", true), ("\r\n", true), ("\nA,1700000002,1,3\n", true), ("5\n", false)] {
        std::fs::write(&path, format!("{text}{behind}")).expect("a file");
        let result = read_on(&csv(&[&path]), &places);
        assert_eq!(result.is_ok(), good, "{behind:?}: {result:?}");
    }
}

#[test]
fn what_a_lake_of_before_took_of_a_last_line_is_read_again_so() {
    let (_root, path) = half();
    // it is read again from its first record up to the lake's place
    let place = Place { source_id: "file:a.csv".into(), offset_next: 2, ..Place::default() };
    let recorded = BTreeMap::from([("a.csv/0".to_owned(), place)]);
    let spec = SourceSpec { recorded, until_end: false, ..csv(&[&path]) };
    let source = crate::open(&spec, &BTreeMap::from([("a.csv/0".to_owned(), 0)])).expect("a source");
    let batch = read_all(&*source).poll(Duration::ZERO, &|_| false).expect("readable").expect("a batch");
    assert_eq!(quantities(&[batch]), [(0, 10), (1, 2)]);
}
