//! The walls of the house, kept by reading the source: who may use whom, how long a thing may be, who asks the clock.
//!
//! ```text
//!   base ◀── market ◀── feed | flow | lake ◀── query ◀── dataflow ◀── tables ◀── engine ◀── replay ◀── cli ◀── ticktide
//!   base ◀── cluster ◀── engine     feed ◀── connect ◀── cli     query ◀── reconcile ◀── cli
//! ```
//!
//! Why a test beside the compiler: crates cannot form a circle, but a manifest may be changed in passing; inside a crate the
//! compiler allows anything. An exception is named here, with its reason, and the list of exceptions is short.

mod english;
mod licences;
mod public;
mod source;

use source::{File, files, functions, named, root};
use std::collections::{BTreeMap, BTreeSet};

/// Each room with those below it that it may use; they stand in the order of the floors.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("market", &["base"]),
    ("feed", &["base", "market"]),
    ("flow", &["base", "market"]),
    ("lake", &["base", "market"]),
    ("query", &["base", "market", "lake"]),
    ("dataflow", &["base", "market", "feed", "flow", "lake", "query"]),
    ("tables", &["base", "market", "flow", "lake", "dataflow"]),
    ("cluster", &["base"]),
    ("engine", &["base", "market", "feed", "flow", "lake", "query", "dataflow", "tables", "cluster"]),
    ("replay", &["base", "market", "feed", "flow", "lake", "query", "dataflow", "tables", "engine"]),
    ("connect", &["base", "market", "feed"]),
    ("reconcile", &["base", "market", "feed", "lake", "query"]),
    (
        "cli",
        &[
            "base",
            "market",
            "feed",
            "flow",
            "lake",
            "query",
            "dataflow",
            "tables",
            "cluster",
            "engine",
            "replay",
            "connect",
            "reconcile",
        ],
    ),
];

/// Rooms whose tests may use more than the room itself does.
const TESTS: &[(&str, &[&str])] = &[("reconcile", &["tables", "dataflow"])];

/// The longest a function may be, and those that are longer: at most five.
const FUNCTION_MOST: usize = 70;
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// The longest a file may be, tests aside, and those that are longer: at most three.
const FILE_MOST: usize = 500;
const LONG_FILES: &[(&str, &str)] = &[];

fn manifest(path: &str) -> toml::Table {
    let text = std::fs::read_to_string(root().join(path)).expect("a manifest");
    text.parse().expect("TOML")
}

fn own(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let section = manifest.get(section).and_then(toml::Value::as_table);
    let names = section.into_iter().flat_map(|section| section.keys());
    names.filter_map(|name| name.strip_prefix("ticktide-")).map(str::to_owned).collect()
}

#[test]
fn a_room_uses_only_the_rooms_below_it() {
    for (room, below) in ROOMS {
        let manifest = manifest(&format!("src/{room}/Cargo.toml"));
        for name in own(&manifest, "dependencies") {
            assert!(below.contains(&name.as_str()), "src/{room} uses {name}, which it may not: ROOMS in {}", file!());
        }
        let more = TESTS.iter().find(|(name, _)| name == room).map_or(&[][..], |(_, more)| more);
        for name in own(&manifest, "dev-dependencies") {
            let allowed = below.contains(&name.as_str()) || more.contains(&name.as_str());
            assert!(allowed, "tests of src/{room} use {name}, which they may not: TESTS in {}", file!());
        }
    }
    for (at, (room, below)) in ROOMS.iter().enumerate() {
        let lower: BTreeSet<&str> = ROOMS[..at].iter().map(|(name, _)| *name).collect();
        assert!(below.iter().all(|name| lower.contains(name)), "{room} stands below what it uses");
    }
}

/// `cargo test`, `cargo clippy` and `cargo check` without options see every crate.
#[test]
fn every_room_is_a_crate_that_plain_commands_cover() {
    let rooms: BTreeSet<String> = ROOMS.iter().map(|(room, _)| format!("src/{room}")).collect();
    let found: BTreeSet<String> =
        files().iter().filter(|file| !file.room.is_empty()).map(|file| format!("src/{}", file.room)).collect();
    assert_eq!(found, rooms, "folders of src/ against ROOMS");
    let manifest = manifest("Cargo.toml");
    let of = |key: &str| -> BTreeSet<String> {
        let names = manifest["workspace"][key].as_array().expect("names");
        names.iter().filter_map(|name| name.as_str()).map(str::to_owned).collect()
    };
    assert_eq!(of("members"), rooms);
    let covered: BTreeSet<String> = rooms.into_iter().chain([".".to_owned()]).collect();
    assert_eq!(of("default-members"), covered);
}

/// Files by crate and module.
type Modules<'a> = BTreeMap<(&'a str, &'a [String]), usize>;

/// The file of the longest module that a path begins with.
fn holder(modules: &Modules<'_>, room: &str, path: &[String]) -> Option<usize> {
    (0..=path.len()).rev().find_map(|length| modules.get(&(room, &path[..length])).copied())
}

/// Which files each file uses. A folder's own file and what is below it count as one where they use each other: it declares
/// them, and they are parts of it.
fn arrows(files: &[File]) -> Vec<BTreeSet<usize>> {
    let modules: Modules<'_> =
        files.iter().enumerate().map(|(at, file)| ((file.room.as_str(), file.module.as_slice()), at)).collect();
    let is_part = |whole: &File, part: &File| whole.is_head() && part.module.starts_with(&whole.module);
    let used = |(at, file): (usize, &File)| {
        let names = named(&file.module, &file.code);
        let others = names.iter().filter_map(|path| holder(&modules, &file.room, path));
        others
            .filter(|other| *other != at && !is_part(&files[*other], file) && !is_part(file, &files[*other]))
            .collect()
    };
    files.iter().enumerate().map(used).collect()
}

/// What can be reached from a file by its arrows.
fn reached(arrows: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut found, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(at) = todo.pop() {
        todo.extend(arrows[at].iter().filter(|next| found.insert(**next)));
    }
    found
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = files();
    let arrows = arrows(&files);
    let circle: Vec<String> = (0..files.len())
        .filter(|at| reached(&arrows, *at).contains(at))
        .map(|at| {
            let names: Vec<&str> = arrows[at].iter().map(|other| files[*other].path.as_str()).collect();
            format!("{} uses {}", files[at].path, names.join(", "))
        })
        .collect();
    assert!(circle.is_empty(), "files that use each other in a circle:\n{}", circle.join("\n"));
}

#[test]
fn a_function_is_short_enough_to_be_read_at_once() {
    assert!(LONG_FUNCTIONS.len() <= 5);
    for file in files() {
        for (name, lines) in functions(&file.code) {
            let listed = LONG_FUNCTIONS.iter().any(|(path, long, _)| *path == file.path && *long == name);
            assert!(lines <= FUNCTION_MOST || listed, "{}: `{name}` has {lines} lines", file.path);
            assert!(lines > FUNCTION_MOST || !listed, "{}: `{name}` is no exception any more", file.path);
        }
    }
}

#[test]
fn a_file_holds_one_idea() {
    assert!(LONG_FILES.len() <= 3);
    for file in files().iter().filter(|file| !file.code.is_empty()) {
        let listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        assert!(file.lines <= FILE_MOST || listed, "{} has {} lines: two ideas?", file.path, file.lines);
        assert!(file.lines > FILE_MOST || !listed, "{} is no exception any more", file.path);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in files() {
        let text = std::fs::read_to_string(root().join(&file.path)).expect("UTF-8");
        assert!(text.starts_with("//!"), "{} does not begin with `//!`", file.path);
    }
}

/// `name/mod.rs`, never `name.rs` beside `name/`: a folder moves whole.
#[test]
fn there_is_one_module_style() {
    let files = files();
    let folders: BTreeSet<&str> = files.iter().map(File::folder).collect();
    for file in &files {
        let beside = file.path.trim_end_matches(".rs");
        assert!(!folders.contains(beside), "{} stands beside its folder: {beside}/mod.rs", file.path);
    }
}

#[test]
fn only_one_file_reads_the_environment() {
    for file in files().iter().filter(|file| file.path != "src/base/environment.rs") {
        assert!(!file.code.contains("env::var"), "{} reads the environment", file.path);
    }
}

#[test]
fn there_is_no_clock_in_the_flow() {
    for file in files().iter().filter(|file| file.room == "flow") {
        for clock in ["Instant::now", "SystemTime", "Timestamp::now", "Zoned::now"] {
            assert!(!file.code.contains(clock), "{} asks a clock: {clock}", file.path);
        }
    }
}
