//! Where a value was written, and what is wrong there.
//!
//! Why one list for a whole document: a user then sees every mistake at once. What must hold: a place
//! never shows a secret that a flag sets.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// Lines and columns count from 1.
    File { file: Arc<str>, line: usize, column: usize },
    /// `--set key=value`.
    Set(String),
    /// A flag of its own (`--brokers`).
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The name of the document itself.
    Name(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Location::Set(text) => write!(f, "--set {}", masked(text)),
            Location::Flag(name) | Location::Environment(name) => f.write_str(name),
            Location::Name(name) => f.write_str(name),
        }
    }
}

/// Whether a setting of this name may hold a secret.
pub fn looks_secret(name: &str) -> bool {
    ["password", "secret", "token", "key.pem", "credential"].iter().any(|word| name.contains(word))
}

/// A `--set` as it may be shown: without its value if that may hold a secret.
fn masked(setting: &str) -> std::borrow::Cow<'_, str> {
    match setting.split_once('=') {
        Some((key, _)) if looks_secret(setting) => format!("{key}=***").into(),
        _ => setting.into(),
    }
}

/// Something that the user must change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Location,
    pub message: String,
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All problems met so far; shared by every [`Keys`](super::Keys) of a document.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    /// Places whose value could not be read at all: the value that replaces it there means nothing.
    unread: RefCell<BTreeSet<Location>>,
}

impl Problems {
    pub fn add(&self, place: &Location, message: impl Into<String>, hint: impl Into<String>) {
        if self.unread.borrow().contains(place) {
            return;
        }
        let problem = Problem { place: place.clone(), message: message.into(), hint: hint.into() };
        self.found.borrow_mut().push(problem);
    }

    /// As [`Problems::add`]; from then on no other problem is added at this place.
    pub(super) fn add_unread(&self, place: &Location, message: impl Into<String>, hint: impl Into<String>) {
        self.add(place, message, hint);
        self.unread.borrow_mut().insert(place.clone());
    }

    /// The problems in the order of their places, each once.
    pub fn take(&self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut *self.found.borrow_mut());
        problems.sort();
        problems.dedup();
        problems
    }
}
