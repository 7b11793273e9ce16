//! Who must act on an error, and what the message advises.
//!
//! Each stage has one error enum; all of them answer two questions: [`Classified::kind`] (who acts: ticktide again, the user,
//! nobody) and [`Classified::hint`] (the next action). `main` prints the message and the hint once and turns the kind
//! into the exit code.

/// Who has to act. The exit code of the process follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ticktide may try again: the operation failed, or it may have taken effect; either way a repeat is safe.
    Retry,
    /// The user's file, flag or environment is wrong; exit 2.
    Fix,
    /// Another writer owns the lake; exit 3.
    Fenced,
    /// Another process of the cluster is gone; exit 4.
    Lost,
    /// Committed data is not what it should be: stop; exit 1.
    Corrupt,
    /// ticktide's own fault; exit 1.
    Bug,
    /// A second signal ended the process before the end of the epoch; exit 130.
    Interrupted,
}

impl Kind {
    /// Every kind; kinds with the same exit code are adjacent.
    pub const ALL: [Kind; 7] =
        [Kind::Retry, Kind::Corrupt, Kind::Bug, Kind::Fix, Kind::Fenced, Kind::Lost, Kind::Interrupted];

    /// The code that people search for and `ticktide explain` explains; it never changes.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Retry => "TT-RETRY",
            Kind::Corrupt => "TT-CORRUPT",
            Kind::Bug => "TT-BUG",
            Kind::Fix => "TT-FIX",
            Kind::Fenced => "TT-FENCED",
            Kind::Lost => "TT-LOST",
            Kind::Interrupted => "TT-INTERRUPTED",
        }
    }

    /// What happened, and what to do: a line each.
    pub fn explained(self) -> (&'static str, &'static str) {
        match self {
            Kind::Retry => (
                "a disk, a network, a store or a broker did not answer; everything committed is intact",
                "start it again: it goes on from its last epoch; `run --supervise` does so by itself",
            ),
            Kind::Corrupt => (
                "committed data is not what it should be: a file of the lake is missing or was changed",
                "stop, keep the lake as it is, and run `ticktide lake doctor` and `ticktide verify`",
            ),
            Kind::Bug => (
                "ticktide reached a state that should be impossible; nothing of the epoch was committed",
                "start it again: it goes on from its last epoch; report the message with the lines of the log above it",
            ),
            Kind::Fix => (
                "a file, a flag, a variable or a place is wrong; what was committed before stays",
                "follow the hint; `ticktide check FILE` lists all mistakes of a dataflow at once",
            ),
            Kind::Fenced => (
                "another process has taken over the lake; this one has ended without deciding an epoch",
                "let only one process run the dataflow into this lake; the hint names its current writer",
            ),
            Kind::Lost => (
                "another process of the run is gone, so this one has ended; together they go on from the last epoch",
                "read the log of the process that is named; `ticktide run -n N` restarts all of them by itself",
            ),
            Kind::Interrupted => (
                "a second signal ended the process before the end of the epoch",
                "start it again: what was not committed is read again; a single signal ends a run with its epoch",
            ),
        }
    }

    /// The exit code of a process that ends with an error of this kind.
    pub fn exit_code(self) -> i32 {
        match self {
            Kind::Fix => 2,
            Kind::Fenced => 3,
            Kind::Lost => 4,
            Kind::Interrupted => 130,
            Kind::Retry | Kind::Corrupt | Kind::Bug => 1,
        }
    }
}

/// An error of a stage: knows who acts and what they should do next.
pub trait Classified: std::error::Error + Send + Sync + 'static {
    fn kind(&self) -> Kind;
    /// The next action, as an imperative fragment; `None` where there is none better than the message.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any stage's error on its way to `main`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
}

impl Error {
    pub fn fix(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error { kind: Kind::Fix, message: message.into(), hint: Some(hint.into()) }
    }

    pub fn bug(message: impl Into<String>) -> Error {
        Error { kind: Kind::Bug, message: message.into(), hint: None }
    }
}

impl<E: Classified> From<E> for Error {
    fn from(error: E) -> Error {
        // the chain of causes in one line; `main` prints it once
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Error { kind: error.kind(), message, hint: error.hint() }
    }
}

/// The candidate that a mistyped word most likely meant: at most a third of its letters away.
///
/// ```
/// use ticktide_base::error::nearest;
/// assert_eq!(nearest("grase", &["grace", "horizon"]), Some("grace"));
/// assert_eq!(nearest("colour", &["grace", "horizon"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3);
    let found = candidates.iter().map(|candidate| (distance(word, candidate), *candidate)).min_by_key(|found| found.0);
    found.filter(|(distance, _)| *distance <= limit).map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped or replaced to get from one word to the other; capitals do not count.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_exit_code_of_the_interface() {
        assert_eq!(Kind::Fix.exit_code(), 2);
        assert_eq!(Kind::Fenced.exit_code(), 3);
        assert_eq!(Kind::Lost.exit_code(), 4);
        assert_eq!(Kind::Interrupted.exit_code(), 130);
        for kind in [Kind::Retry, Kind::Corrupt, Kind::Bug] {
            assert_eq!(kind.exit_code(), 1);
        }
    }

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        assert!(codes.iter().all(|code| code.starts_with("TT-")));
    }
}
