//! A file is recognised by its content: renamed, moved, compressed, rotated, copied, grown and changed.

use super::*;
use ticktide_base::epoch::Place;

pub type Places = BTreeMap<String, Place>;

/// Opens the files as a run does that continues a lake.
fn go_on(spec: &SourceSpec, places: &Places) -> Result<Arc<dyn Source>, FeedError> {
    let offsets = places.iter().map(|(name, place)| (name.clone(), place.offset_next)).collect();
    let source = crate::open(&SourceSpec { recorded: places.clone(), ..spec.clone() }, &offsets)?;
    for partition in source.partitions() {
        if let Some(place) = places.get(&partition.name()) {
            source.continues(partition, &place.source_id)?;
        }
    }
    source.distinct()?;
    Ok(source)
}

/// Reads the files to their ends from a lake's places: the lake's new places, and the new records of each partition.
pub fn read_on(spec: &SourceSpec, places: &Places) -> Result<(Places, BTreeMap<String, Vec<i64>>), FeedError> {
    let source = go_on(spec, places)?;
    let (mut places, mut records) = (places.clone(), BTreeMap::new());
    let assigned = source.partitions().iter().enumerate().map(|(partition, known)| Assignment {
        partition,
        offset: places.get(&known.name()).map_or(known.offset_start, |place| place.offset_next),
    });
    let mut reader = source.reader(&assigned.collect::<Vec<_>>())?;
    let (batches, error) = drain(reader.as_mut(), source.partitions().len());
    for batch in batches {
        let partition = &source.partitions()[batch.partition];
        let place = places.entry(partition.name()).or_default();
        place.source_id.clone_from(&partition.source_id);
        place.offset_next = batch.offset_next;
        place.read = batch.read.or(place.read);
        let new = batch.ticks.iter().map(|tick| tick.offset).chain(batch.rejects.iter().map(|reject| reject.offset));
        records.entry(partition.name()).or_insert_with(Vec::new).extend(new);
    }
    error.map_or(Ok((places, records)), Err)
}

/// An older lake: it has read some records, and knows only the first of them.
fn of_before(places: &Places) -> Places {
    let before = |place: &Place| Place {
        source_id: place.source_id.split(':').take(3).collect::<Vec<_>>().join(":"),
        read: None,
        ..place.clone()
    };
    places.iter().map(|(name, place)| (name.clone(), before(place))).collect()
}

fn message(result: Result<(Places, BTreeMap<String, Vec<i64>>), FeedError>) -> String {
    match result {
        Err(FeedError::Fix { message, hint }) => format!("{message}; {hint}"),
        other => panic!("it must be refused: {other:?}"),
    }
}

#[test]
fn another_file_under_a_known_name_is_refused_and_the_same_one_goes_on_wherever_it_lies() {
    let root = tempfile::tempdir().expect("a folder");
    let [d1, d2, moved] = ["d1", "d2", "moved"].map(|folder| {
        std::fs::create_dir(root.path().join(folder)).expect("a folder");
        root.path().join(folder).join("ticks.jsonl")
    });
    std::fs::write(&d1, lines(0..10)).expect("a file");
    std::fs::write(&d2, lines(20..40)).expect("a file");
    std::fs::write(&moved, lines(0..12)).expect("a file");
    let recorded = read_on(&spec(&[&d1]), &Places::new()).expect("readable").0;
    let Err(FeedError::Fix { message, hint }) = go_on(&spec(&[&d2]), &recorded) else { panic!("it is another file") };
    assert!(message.contains("ticks.jsonl") && hint.contains("--warehouse"), "{message}");
    for same in [&d1, &moved] {
        assert_eq!(go_on(&spec(&[same]), &recorded).expect("the same").partitions()[0].name(), "ticks.jsonl/0");
    }
    // both: the one that was read keeps its name, the other has a new one and is read from its beginning
    let source = go_on(&spec(&[&d1, &d2]), &recorded).expect("both");
    let mut names: Vec<String> = source.partitions().iter().map(Partition::name).collect();
    names.sort();
    assert_eq!(names, [format!("{}/0", d2.display()), "ticks.jsonl/0".to_owned()]);
    // and read together first, each alone is still known
    let both = read_on(&spec(&[&d1, &d2]), &Places::new()).expect("readable").0;
    let alone = go_on(&spec(&[&d2]), &both).expect("d2 was read").partitions()[0].name();
    assert!(both.contains_key(&alone), "{alone} of {both:?}");
    // a source opened without the lake's places judges nothing: the names are not final
    let looked = open(&spec(&[&d2]));
    assert!(looked.continues(&looked.partitions()[0], &recorded["ticks.jsonl/0"].source_id).is_ok());
}

#[test]
fn a_lake_without_hashes_and_a_file_that_was_empty_go_on() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.csv");
    let spec = csv(&[&path]);
    let id = || open(&spec).partitions()[0].source_id.clone();
    let mut ids = Vec::new();
    // nothing, half a header, a header, a header with half a record
    for text in ["", "symbol,ti", "symbol,time,price,quantity\n", "symbol,time,price,quantity\nA,17000"] {
        std::fs::write(&path, text).expect("written");
        ids.push(id());
    }
    assert_eq!(ids, ["file:a.csv"; 4], "it has no record yet");
    let whole = "symbol,time,price,quantity\nA,1700000000,1,10\n";
    std::fs::write(&path, whole).expect("written");
    let recorded = |id: &str| {
        let place = Place { source_id: id.to_owned(), offset_next: 1, ..Place::default() };
        Places::from([("a.csv/0".to_owned(), place)])
    };
    let source = go_on(&spec, &recorded("file:a.csv")).expect("no hash is known");
    assert!(source.is_recorded_as(&source.partitions()[0], "file:a.csv"));
    let first = id();
    // the file grows
    std::fs::write(&path, format!("{whole}A,1700000001,1,11")).expect("written");
    assert!(go_on(&spec, &recorded(&first)).is_ok());
    // the header alone is no beginning: two days have the same
    std::fs::write(&path, whole.replace("1700000000", "1700000009")).expect("written");
    assert_ne!(id(), first);
    assert!(go_on(&spec, &recorded(&first)).is_err());
    assert!(!open(&spec).is_recorded_as(&open(&spec).partitions()[0], &first));
    let Err(FeedError::Fix { message, .. }) = go_on(&spec, &recorded("kafka:c/a.csv")) else { panic!("no file") };
    assert!(message.contains("not from a file"), "{message}");
    for packed in ["gz", "zst"] {
        let path = root.path().join(format!("b.csv.{packed}"));
        let text = whole.trim_end();
        let bytes = if packed == "gz" { gz(text) } else { zstd::encode_all(text.as_bytes(), 1).expect("memory") };
        std::fs::write(&path, bytes).expect("written");
        let id = open(&csv(&[&path])).partitions()[0].source_id.clone();
        assert_eq!(id.split(':').nth(2), first.split(':').nth(2), "the same record");
    }
}

/// What a test does to the files of a folder.
type Change = (&'static str, fn(&Path));

fn old(root: &Path) -> PathBuf {
    root.join("ticks.jsonl")
}

fn pack(root: &Path, name: &str) {
    let text = std::fs::read_to_string(old(root)).expect("a file");
    let packed = if name.ends_with("gz") { gz(&text) } else { zstd::encode_all(text.as_bytes(), 1).expect("memory") };
    std::fs::write(root.join(name), packed).expect("written");
    std::fs::remove_file(old(root)).expect("removed");
}

#[test]
fn a_file_that_was_renamed_moved_or_packed_goes_on_under_the_lakes_name() {
    let changes: [Change; 7] = [
        ("renamed", |root| std::fs::rename(old(root), root.join("ticks-1.jsonl")).expect("renamed")),
        ("renamed before", |root| std::fs::rename(old(root), root.join("a.csv")).expect("renamed")),
        ("packed", |root| pack(root, "ticks.jsonl.gz")),
        ("renamed and packed", |root| pack(root, "ticks-1.jsonl.gz")),
        ("packed by zstd", |root| pack(root, "ticks.jsonl.zst")),
        ("renamed and packed by zstd", |root| pack(root, "other.zst")),
        ("moved", |root| {
            std::fs::create_dir(root.join("below")).expect("a folder");
            std::fs::rename(old(root), root.join("below/ticks.jsonl")).expect("moved");
        }),
    ];
    // a beginning, more than one, and many batches
    for count in [3, 2_000, 7_000] {
        for (what, change) in changes {
            for before in [false, true] {
                let root = tempfile::tempdir().expect("a folder");
                std::fs::write(old(root.path()), lines(0..count)).expect("a file");
                let (mut places, read) = read_on(&spec(&[root.path()]), &Places::new()).expect("readable");
                assert_eq!(read["ticks.jsonl/0"].len() as i64, count);
                let id = places["ticks.jsonl/0"].source_id.clone();
                if before {
                    places = of_before(&places);
                }
                // the file grows
                let text = std::fs::read_to_string(old(root.path())).expect("a file");
                std::fs::write(old(root.path()), text + &lines(count..count + 5)).expect("written");
                change(root.path());
                let below = root.path().join("below");
                let folder = if below.exists() { below } else { root.path().to_owned() };
                let (now, new) = read_on(&spec(&[&folder]), &places).expect(what);
                assert_eq!(new.keys().collect::<Vec<_>>(), ["ticks.jsonl/0"], "{what}");
                assert_eq!(new["ticks.jsonl/0"], (count..count + 5).collect::<Vec<_>>(), "{what}, {count}");
                let place = &now["ticks.jsonl/0"];
                assert!(before || place.source_id == id, "{what}: {id} became {}", place.source_id);
                assert_eq!(place.read.map(|read| read.offset), Some(count + 5));
                // and is recognised again
                assert!(read_on(&spec(&[&folder]), &now).expect(what).1.values().all(Vec::is_empty));
            }
        }
    }
}

#[test]
fn a_rotated_file_and_the_one_in_its_place_are_both_read_once() {
    for packs in [None, Some("ticks-1.jsonl.gz"), Some("ticks-1.jsonl.zst")] {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let rotate = |day: i64| {
            match packs {
                Some(name) => pack(root, &name.replace('1', &day.to_string())),
                None => std::fs::rename(old(root), root.join(format!("ticks-{day}.jsonl"))).expect("renamed"),
            }
            std::fs::write(old(root), "").expect("a file");
        };
        std::fs::write(old(root), lines(0..50)).expect("a file");
        let (mut places, mut seen) = (Places::new(), 0);
        for day in 1..5 {
            let (now, new) = read_on(&spec(&[root]), &places).expect("readable");
            places = now;
            seen += new.values().map(Vec::len).sum::<usize>();
            assert_eq!(seen as i64, 50 * day, "{packs:?}");
            rotate(day);
            // nothing was written yet
            assert!(read_on(&spec(&[root]), &places).expect("readable").1.values().all(Vec::is_empty));
            std::fs::write(old(root), lines(1000 * day..1000 * day + 50)).expect("a file");
        }
    }
}

#[test]
fn two_files_with_one_beginning_are_refused_with_both_names() {
    let long = || lines(0..5_000);
    let header = "symbol,time,price,quantity\n";
    let texts: [(&str, String, String, bool); 9] = [
        ("a copy", lines(0..10), lines(0..10), true),
        ("a copy of a long file", long(), long(), true),
        ("a part of the other", lines(0..3), long(), true),
        ("a part that breaks off", lines(0..3) + "{\"sym", lines(0..4), true),
        ("one beginning of 64 KiB", long(), long() + "behind", true),
        ("a first record that both have", lines(0..9), lines(0..1) + &lines(5..9), false),
        ("64 KiB that differ after the first record", long(), lines(0..1) + &lines(2..5_000), false),
        ("one header", header.to_owned() + "A,1700000000,1,1\n", header.to_owned() + "A,1700000001,1,1\n", false),
        ("a header alone", header.to_owned(), header.to_owned() + "A,1700000001,1,1\n", false),
    ];
    for (what, one, other, refused) in texts {
        for (name, packed) in [("b.x", false), ("b.gz", true), ("sub/a.x", false)] {
            let root = tempfile::tempdir().expect("a folder");
            let paths = [root.path().join("a.x"), root.path().join(name)];
            std::fs::create_dir(root.path().join("sub")).expect("a folder");
            let of = if what.contains("header") { csv } else { spec };
            std::fs::write(&paths[0], &one).expect("a file");
            // before the other file exists
            let (places, _) = read_on(&of(&[&paths[0]]), &Places::new()).expect(what);
            let bytes = if packed { gz(&other) } else { other.clone().into_bytes() };
            std::fs::write(&paths[1], bytes).expect("a file");
            let both = of(&[&paths[0], &paths[1]]);
            for places in [Places::new(), places.clone(), of_before(&places)] {
                let result = read_on(&both, &places);
                if !refused || (packed && what.contains("breaks off")) {
                    assert!(result.is_ok() || refused, "{what}, {name}: {result:?}");
                    continue;
                }
                let message = message(result);
                let named = paths.iter().all(|path| message.contains(&path.display().to_string()));
                assert!(named && message.contains("begin alike") && message.contains("--path"), "{what}: {message}");
            }
        }
    }
}

#[test]
fn what_a_lake_has_read_as_two_files_stays_two() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = ["a.jsonl", "b.jsonl"].map(|name| root.path().join(name));
    [&a, &b].into_iter().for_each(|path| std::fs::write(path, lines(0..9)).expect("a file"));
    let both = spec(&[&a, &b]);
    let places = ["a.jsonl", "b.jsonl"].map(|name| {
        let path = root.path().join(name);
        let first = FileBeginning::of(&path, wire::build(&both.wire).expect("json").as_ref()).expect("readable");
        let before = FileBeginning { bytes: None, ..first.expect("it has a record") };
        (format!("{name}/0"), Place { source_id: before.id(name), offset_next: 5, ..Place::default() })
    });
    let (_, new) = read_on(&both, &Places::from(places)).expect("it has read both");
    assert_eq!(new.into_values().collect::<Vec<_>>(), [[5, 6, 7, 8], [5, 6, 7, 8]]);
}

#[test]
fn a_file_without_a_record_is_never_refused() {
    let header = "symbol,time,price,quantity\n";
    let other = "time,symbol,price,quantity\n";
    for (first, then, records) in [
        ("", "symbol,time,price,quantity\nA,1700000000,1,1\n", 1),
        (header, "symbol,time,price,quantity\nA,1700000000,1,1\nA,1700000001,1,1\n", 2),
        // another header, as nothing was read by this one
        (header, "time,symbol,price,quantity\n1700000000,A,1,1\n", 1),
        (header, other, 0),
        (header, "", 0),
    ] {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("a.csv");
        std::fs::write(&path, first).expect("a file");
        let (places, new) = read_on(&csv(&[&path]), &Places::new()).expect("nothing yet");
        assert!(new.values().all(Vec::is_empty));
        std::fs::write(&path, then).expect("a file");
        let (_, new) = read_on(&csv(&[&path]), &places).expect(then);
        assert_eq!(new.values().map(Vec::len).sum::<usize>(), records, "{first:?}, {then:?}");
    }
}

#[test]
fn a_file_that_was_changed_where_it_was_read_is_refused_before_a_record_of_it_is_taken() {
    let text = lines(0..6_000);
    let at = |record: i64| lines(0..record).len();
    let with = |record: i64, by: &str| [&text[..at(record)], by, &text[at(record + 1)..]].concat();
    let changes: [(&str, String); 7] = [
        ("the first record", with(0, &line(9))),
        ("one in the middle", with(3_000, &line(1))),
        ("the last that was read", with(5_999, &line(1))),
        ("a longer one", with(5_999, &line(5_999).replace("\"price\":1", "\"price\":10"))),
        ("windows line ends", text.replace('\n', "\r\n")),
        ("two records for one", with(10, &lines(0..2))),
        ("truncated", text[..at(4_000)].to_owned()),
    ];
    for (what, changed) in changes {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("a.jsonl");
        std::fs::write(&path, &text).expect("a file");
        let (places, _) = read_on(&spec(&[&path]), &Places::new()).expect("readable");
        std::fs::write(&path, changed + &lines(7_000..7_001)).expect("a file");
        let message = message(read_on(&spec(&[&path]), &places));
        assert!(message.contains("a.jsonl") && message.contains("--warehouse"), "{what}: {message}");
        // what is after the place may be anything
        std::fs::write(&path, text.clone() + &lines(9_000..9_002)).expect("a file");
        assert_eq!(read_on(&spec(&[&path]), &places).expect(what).1["a.jsonl/0"], [6_000, 6_001]);
    }
}

#[test]
fn a_change_is_seen_wherever_an_epoch_had_ended() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    let text = lines(0..6_000);
    std::fs::write(&path, &text).expect("a file");
    let (end, _) = read_on(&spec(&[&path]), &Places::new()).expect("readable");
    let (batches, _) = drain(read_all(&*open(&spec(&[&path]))).as_mut(), 1);
    // an epoch that ended inside a batch knows the end of the batch before
    for (offset, read) in batches.iter().map(|batch| (batch.offset_next + 7, batch.read)).filter(|(at, _)| *at < 6_000)
    {
        let mut places = end.clone();
        let place = places.get_mut("a.jsonl/0").expect("it was read");
        (place.offset_next, place.read) = (offset, read);
        let new = read_on(&spec(&[&path]), &places).expect("as it was").1;
        assert_eq!(new["a.jsonl/0"], (offset..6_000).collect::<Vec<_>>());
        let changed = text.replace(&line(1_500), &line(1_501));
        std::fs::write(&path, changed).expect("a file");
        assert!(message(read_on(&spec(&[&path]), &places)).contains("was changed where it was read"));
        std::fs::write(&path, &text).expect("a file");
    }
}

#[test]
fn of_files_with_a_short_beginning_all_that_was_read_tells_which_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b, c] = ["a.jsonl", "b.jsonl", "c.jsonl"].map(|name| root.path().join(name));
    std::fs::write(&c, lines(0..1)).expect("a file");
    // opened when it had one record, read on until it had nine
    let id = open(&spec(&[&c])).partitions()[0].source_id.clone();
    std::fs::write(&c, lines(0..9)).expect("a file");
    let (mut places, _) = read_on(&spec(&[&c]), &Places::new()).expect("readable");
    places.get_mut("c.jsonl/0").expect("it was read").source_id = id;
    std::fs::rename(&c, &b).expect("renamed");
    std::fs::write(&a, lines(0..1) + &lines(20..30)).expect("a file");
    let (_, new) = read_on(&spec(&[&a, &b]), &places).expect("they differ after their first records");
    assert_eq!((new["a.jsonl/0"].len(), new["c.jsonl/0"].len()), (11, 0));
}

#[test]
fn what_is_read_again_from_its_start_may_be_changed_and_the_rows_tell_where() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.jsonl");
    let text = lines(0..6_000);
    std::fs::write(&path, &text).expect("a file");
    let (places, _) = read_on(&spec(&[&path]), &Places::new()).expect("readable");
    let id = &places["a.jsonl/0"].source_id;
    // in the beginning, and after it
    for record in [5, 5_000] {
        std::fs::write(&path, text.replace(&line(record), &line(1))).expect("a file");
        let again = SourceSpec { recorded: places.clone(), ..spec(&[&path]) };
        let source = crate::open(&again, &BTreeMap::from([("a.jsonl/0".to_owned(), 0)])).expect("a source");
        assert!(source.is_recorded_as(&source.partitions()[0], id));
        let (batches, error) = drain(read_all(&*source).as_mut(), 1);
        assert!(error.is_none() && records(&batches) == 6_000, "{error:?}");
    }
}
