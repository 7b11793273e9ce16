//! The walls between the layers, kept by reading the source: who may use whom, who reads the environment, who has a clock.
//!
//! ```text
//!   frame ◀── feed | flow | lake ◀── query ◀── dataflow ◀── engine and its parts ◀── cli ◀── main
//! ```

use std::path::{Path, PathBuf};

/// Modules by layer: each may use those of its own row and of the rows above, except that stages are kept apart.
const LAYERS: [&[&str]; 6] = [
    &["calendar", "conditions", "document", "error", "market", "settings", "telemetry", "time"],
    &["feed", "flow", "lake"],
    &["query"],
    &["dataflow"],
    &[
        "archive",
        "checks",
        "cluster",
        "control",
        "engine",
        "graph",
        "intake",
        "joining",
        "lineage",
        "listings",
        "mesh",
        "panics",
        "rebuild",
        "reconcile",
        "replay",
        "restore",
        "sink",
        "source",
        "supervise",
        "tables",
        "until",
        "verify",
    ],
    &["cli"],
];

/// Modules that are no layer: the binary, the root, this test.
const OUTSIDE: [&str; 3] = ["main", "lib", "layers"];

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("the module {module:?} has no place in LAYERS"))
}

struct File {
    path: PathBuf,
    /// The first part of its path below `src`.
    module: String,
    /// Without lines that are comments.
    code: String,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(&root).expect("found below it");
            let first = below.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            files.push(File { path, module: first.trim_end_matches(".rs").to_owned(), code });
        }
    }
    assert!(files.len() > 20, "the source was found");
    files
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "layers.rs")
}

/// The modules that a file names: `crate::NAME` and `crate::{NAME…, NAME…}`.
fn used(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut item) = (1, String::new());
        for letter in group.chars() {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            if depth == 0 || (depth == 1 && letter == ',') {
                found.push(word(item.trim()));
                item.clear();
            } else {
                item.push(letter);
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn a_module_uses_its_own_layer_and_those_below() {
    for file in files().iter().filter(|file| !OUTSIDE.contains(&file.module.as_str())) {
        for name in used(&file.code).iter().filter(|name| **name != file.module) {
            let (own, other) = (layer(&file.module), layer(name));
            let path = file.path.display();
            assert!(other <= own, "{path} uses crate::{name}, which lies above it");
            assert!(own != 1 || other != 1, "{path} uses crate::{name}: stages do not know each other");
        }
    }
}

#[test]
fn only_settings_reads_the_environment() {
    for file in files().iter().filter(|file| file.module != "settings" && !is_test(&file.path)) {
        assert!(!file.code.contains("env::var"), "{} reads the environment", file.path.display());
    }
}

#[test]
fn there_is_no_clock_in_the_flow() {
    for file in files().iter().filter(|file| file.module == "flow" && !is_test(&file.path)) {
        for clock in ["Instant::now", "SystemTime", "Timestamp::now", "Zoned::now"] {
            assert!(!file.code.contains(clock), "{} asks a clock: {clock}", file.path.display());
        }
    }
}

#[test]
fn groups_and_paths_are_both_seen() {
    let code = "use crate::{calendar::{self, Session}, time};\nlet x = crate::feed::open();\nuse crate::error::Error;";
    assert_eq!(used(code), ["calendar", "time", "feed", "error"]);
}
