//! The words of the house: phrases that a reader must read twice stay out, and a public type's name means one thing.
//!
//! Why a test: a phrase that is banned by habit comes back by habit. The list holds what was found in this tree, with what to write
//! instead; it is no grammar.

use crate::source::{files, root};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A phrase, and what to write instead. Letters of either case; a phrase begins and ends with whole words.
const BANNED: &[(&str, &str)] = &[
    ("is told", "is reported, is known"),
    ("are told", "are reported, are known"),
    ("was told", "was reported, was received"),
    ("were told", "were reported, were received"),
    ("be told", "be reported"),
    ("is said", "is reported, is known"),
    ("are said", "are reported, are known"),
    ("was said", "was reported"),
    ("is looked at", "the actor checks, reads, searches"),
    ("are looked at", "the actor checks, reads, searches"),
    ("was looked at", "the actor checked, read, searched"),
    ("is looked whether", "the actor checks whether"),
    ("of ours", "our, ticktide's"),
    ("in the place of", "instead of, in place of"),
    ("for ever", "forever; better: until when"),
    ("counts no more", "no longer counts"),
    ("is no more", "no longer exists"),
    ("would else", "would otherwise"),
    ("could else", "could otherwise"),
    ("must else", "must otherwise"),
    ("may else", "may otherwise"),
    ("comes true", "happens"),
    ("goes by", "is judged by, is ordered by"),
    ("go by", "are judged by, are ordered by"),
    ("that there are", "existing, or name them"),
    ("to be looked at", "to be checked"),
    ("at the side of", "beside"),
    ("stands in for", "replaces"),
];

/// Names that several public types share: the name, and why one word is right for all of them.
const HOMONYMS: &[(&str, &str)] = &[
    ("Lake", "the root's is the door to the stage's"),
    ("Run", "the root's is the door to the engine's"),
    ("Spec", "the row of a registry: indicators::Spec, anomalies::Spec"),
];

/// Every file that people read: the source, its tests, the docs, the shipped dataflows.
fn texts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "docs", "dataflows", "examples", "benches", "cluster", "calendars"] {
        walk(&root().join(folder), &mut found);
    }
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    found.extend(top.map(|name| root().join(name)));
    found.retain(|path| !["tests/walls/english.rs", "tests/docs.py"].iter().any(|list| path.ends_with(list)));
    found
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    const READ: [&str; 7] = ["rs", "py", "sh", "md", "toml", "java", "service"];
    for entry in std::fs::read_dir(folder).expect("a folder of the tree") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| READ.iter().any(|name| extension == *name)) {
            found.push(path);
        }
    }
}

/// Where a phrase stands in a text, as whole words. Line ends and comment marks count as one space, so that a phrase is found
/// where a line breaks.
fn found(words: &str, phrase: &str) -> Option<usize> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    words.match_indices(phrase).map(|(at, _)| at).find(|at| {
        let bytes = words.as_bytes();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !is_word(before) && !is_word(bytes.get(at + phrase.len()))
    })
}

/// A text's words, each followed by one space, in lower case, and the line of each byte.
fn words(text: &str) -> (String, Vec<usize>) {
    let (mut words, mut lines) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (number, line) in text.lines().enumerate() {
        for word in line.split_whitespace().filter(|word| !["//", "///", "//!", "#", "#:", "*", "\\"].contains(word)) {
            words.push_str(&word.to_ascii_lowercase());
            words.push(' ');
            lines.resize(words.len(), number + 1);
        }
    }
    (words, lines)
}

#[test]
fn no_text_holds_a_phrase_that_must_be_read_twice() {
    let mut bad = Vec::new();
    for path in texts() {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let (words, lines) = words(&text);
        for (phrase, better) in BANNED {
            if let Some(at) = found(&words, phrase) {
                let path = path.strip_prefix(root()).expect("found below it").display();
                bad.push(format!("{path}:{}: \"{phrase}\": {better}", lines[at]));
            }
        }
    }
    assert!(bad.is_empty(), "{} phrases:\n{}", bad.len(), bad.join("\n"));
}

#[test]
fn a_public_type_has_a_name_of_its_own() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files() {
        for line in file.code.lines() {
            let mut parts = line.split_whitespace();
            let is_type = parts.next().is_some_and(|word| word.starts_with("pub"))
                && parts.next().is_some_and(|word| ["struct", "enum", "trait", "union"].contains(&word));
            if is_type {
                let rest = parts.next().unwrap_or_default();
                let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
                names.entry(name).or_default().push(file.path.clone());
            }
        }
    }
    assert!(names.len() > 300, "the types were found");
    for (name, why) in HOMONYMS {
        assert!(names.get(*name).is_some_and(|paths| paths.len() > 1), "{name} is no homonym any more ({why})");
    }
    names.retain(|name, paths| paths.len() > 1 && !HOMONYMS.iter().any(|(known, _)| known == name));
    let listed: Vec<String> = names.iter().map(|(name, paths)| format!("{name}: {}", paths.join(", "))).collect();
    assert!(listed.is_empty(), "one name for several types:\n{}", listed.join("\n"));
}

#[test]
fn a_phrase_is_found_across_a_line_and_not_inside_a_word() {
    let (words, lines) = words("/// What IS\n/// told here.\n");
    let at = found(&words, "is told").expect("there it is");
    assert_eq!((lines[at], lines[at + 3]), (1, 2));
    assert_eq!(found("this told ", "is told"), None);
}
