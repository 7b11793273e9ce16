//! What the library promises to programs: the names of its public items, and that every item at a stage's door is documented.
//!
//! Why a list in a file: a name that goes or changes breaks programs, and should be seen as a line of a change. The list is made
//! by reading the source of the root: `TICKTIDE_BLESS=1 cargo test --test walls public` writes it anew.

use super::source::root;
use std::collections::BTreeSet;
use std::path::PathBuf;

const LIST: &str = "tests/walls/public.txt";
const RENEW: &str = "TICKTIDE_BLESS=1 cargo test --test walls public";

/// The files of the root package, the binary aside.
const ROOT: [&str; 4] = ["src/lib.rs", "src/command_line.rs", "src/reading.rs", "src/running.rs"];

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// A file without what is compiled for tests only.
fn shipped(path: &str) -> String {
    text(path).split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The names that a use tree makes, each with what it stands for.
fn tree(prefix: &str, text: &str, found: &mut Vec<(String, String)>) {
    let text = text.trim();
    if let Some((before, group)) = text.split_once('{') {
        let group = group.trim_end().strip_suffix('}').expect("one group at the end of a use");
        assert!(!group.contains('{'), "a group within a group: {text}");
        let parts = group.split(',').filter(|part| !part.trim().is_empty());
        return parts.for_each(|part| tree(&format!("{prefix}{}", before.trim()), part, found));
    }
    let (path, alias) = text.split_once(" as ").map_or((text, None), |(path, alias)| (path, Some(alias.trim())));
    let path = format!("{prefix}{}", path.trim());
    let name = alias.unwrap_or_else(|| path.rsplit("::").next().unwrap_or(&path)).to_owned();
    found.push((name, path));
}

/// The public items of the root: those of `lib.rs` with its modules, and the methods of its own types.
fn items() -> BTreeSet<String> {
    let mut items = BTreeSet::new();
    let lib = shipped("src/lib.rs");
    let (mut module, mut rest) = (String::new(), lib.as_str());
    while let Some((line, behind)) = rest.split_once('\n') {
        rest = behind;
        let line = line.trim();
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|name| name.strip_suffix(" {")) {
            module = format!("{name}::");
            items.insert(format!("mod ticktide::{name}"));
        } else if line == "}" {
            module.clear();
        } else if let Some(first) = line.strip_prefix("pub use ") {
            let whole = match first.strip_suffix(';') {
                Some(whole) => whole.to_owned(),
                None => {
                    let (more, behind) = rest.split_once(';').expect("a use ends");
                    rest = behind;
                    format!("{first} {more}")
                }
            };
            let mut names = Vec::new();
            tree("", &whole, &mut names);
            items.extend(names.into_iter().map(|(name, path)| format!("use ticktide::{module}{name} = {path}")));
        } else {
            assert!(!line.starts_with("pub "), "src/lib.rs has a kind of item that is not listed: {line}");
        }
    }
    for path in &ROOT[2..] {
        items.extend(methods(&shipped(path)));
    }
    items
}

/// `fn TYPE::NAME` for every public function of a file's types.
fn methods(code: &str) -> Vec<String> {
    let (mut found, mut of) = (Vec::new(), String::new());
    for line in code.lines() {
        if let Some(name) = line.strip_prefix("impl ") {
            of = name.chars().take_while(|letter| letter.is_alphanumeric()).collect();
        }
        if let Some(name) = line.strip_prefix("    pub fn ") {
            let name: String = name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            found.push(format!("fn ticktide::{of}::{name}"));
        }
    }
    found
}

#[test]
fn the_public_items_of_the_library_are_those_of_the_list() {
    let made: String = items().into_iter().map(|item| format!("{item}\n")).collect();
    if std::env::var("TICKTIDE_BLESS").is_ok() {
        std::fs::write(root().join(LIST), &made).expect("written");
    }
    assert!(text(LIST) == made, "{LIST} is stale: {RENEW}\n{made}");
    for name in ["Dataflow", "Run", "Lake", "Query", "Indicator", "Check", "Wire", "Registry"] {
        assert!(made.contains(&format!("ticktide::{name} =")), "the door has no {name}");
    }
}

/// Every stage's door.
fn stages() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("src")).expect("the source");
    let folders = folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.join("Cargo.toml").is_file());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    folders
}

#[test]
fn a_stage_says_that_it_is_internal_and_is_not_published() {
    for folder in stages() {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("UTF-8");
        let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
        assert_eq!(manifest["package"]["publish"].as_bool(), Some(false), "{}", folder.display());
        assert!(read("lib.rs").contains("//! Internal: programs use the crate `ticktide`"), "{}", folder.display());
    }
}

/// Items, fields and variants aside: what stands at a door without a line of doc.
fn undocumented(code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let is_item = |line: &str| {
        let words = ["fn ", "async fn ", "struct ", "enum ", "trait ", "static ", "const ", "type "];
        let behind = line.trim_start().strip_prefix("pub ");
        let is_field = |text: &str| {
            line.starts_with("    pub ") && text.split_once(':').is_some_and(|(name, _)| !name.contains([' ', '(']))
        };
        behind.is_some_and(|text| words.iter().any(|word| text.starts_with(word)) || is_field(text))
    };
    let is_bare = |at: &usize| {
        let above = lines[..*at].iter().rev().find(|line| !line.trim_start().starts_with("#["));
        !above.is_some_and(|line| line.trim_start().starts_with("///"))
    };
    let items = (0..lines.len()).filter(|at| is_item(lines[*at]));
    items.filter(is_bare).map(|at| lines[at].trim().to_owned()).collect()
}

#[test]
fn every_public_item_at_a_door_has_its_doc() {
    let doors = stages()
        .into_iter()
        .map(|folder| format!("src/{}/lib.rs", folder.file_name().expect("a name").to_string_lossy()));
    for path in doors.chain(ROOT.map(str::to_owned)) {
        assert_eq!(undocumented(&shipped(&path)), [""; 0], "{path}");
    }
}

#[test]
fn an_item_without_a_doc_is_found() {
    let code =
        "/// One.\n#[derive(Debug)]\npub struct A {\n    pub b: u8,\n    /// Two.\n    pub c: u8,\n}\npub fn d() {}\n";
    assert_eq!(undocumented(code), ["pub b: u8,", "pub fn d() {}"]);
}
