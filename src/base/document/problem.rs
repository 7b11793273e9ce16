//! Where a value was written, and what is wrong there.
//!
//! Why one list for a whole document: a user then sees every mistake at once. What must hold: a secret that a flag sets is
//! never shown as a place.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line and column count from 1.
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Set(text) => write!(f, "--set {}", masked(text)),
            Place::Flag(name) | Place::Environment(name) => f.write_str(name),
            Place::Name(name) => f.write_str(name),
        }
    }
}

/// Whether a setting of this name holds what nobody may see.
pub fn looks_secret(name: &str) -> bool {
    ["password", "secret", "token", "key.pem", "credential"].iter().any(|word| name.contains(word))
}

/// A `--set` as it may be shown: without its value where a secret may be in it.
fn masked(setting: &str) -> std::borrow::Cow<'_, str> {
    match setting.split_once('=') {
        Some((key, _)) if looks_secret(setting) => format!("{key}=***").into(),
        _ => setting.into(),
    }
}

/// Something that the user must change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
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
    /// Where a value could not be read at all: what stands there in its stead says nothing.
    unread: RefCell<BTreeSet<Place>>,
}

impl Problems {
    pub fn add(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        if self.unread.borrow().contains(place) {
            return;
        }
        let problem = Problem { place: place.clone(), message: message.into(), hint: hint.into() };
        self.found.borrow_mut().push(problem);
    }

    /// As [`Problems::add`]; nothing else is a problem at this place then.
    pub(super) fn add_unread(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
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
