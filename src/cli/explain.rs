//! `explain`: what a code, a reason or an exit code means, and what helps.
//!
//! Why codes: a message holds values and may be reworded; people search for a code. What must always hold: every reason and
//! every kind of error has one code, which never changes and follows from its word.

use super::{Global, aligned, print};
use clap::Args;
use serde_json::json;
use ticktide_base::error::{Error, Kind, nearest};
use ticktide_engine::reasons::{REASONS, ReasonEntry, SILENT};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// E.g. TT-TOO-LATE, too_late or 3 [default: list all codes]
    #[arg(value_name = "CODE|REASON|EXITCODE")]
    pub what: Option<String>,
}

/// How many similar names a hint lists at most.
const NEAR: usize = 5;

/// What each exit code of the process means.
pub(crate) const EXIT_CODES: [(i32, &str); 6] = [
    (0, "done; also after the first SIGINT or SIGTERM, which ends a run with its epoch"),
    (1, "failed: start it again, unless the message says that data is damaged"),
    (2, "fix your input: a file, a flag, a variable or a place; a restart changes nothing"),
    (3, "fenced: another process has taken the lake over; do not restart"),
    (4, "another process of the run is gone; restart all of them"),
    (130, "interrupted by a second signal before the epoch ended"),
];

/// The sort of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Why a record is in the quarantine.
    Refused,
    /// Why an accepted record makes no bar.
    Silent,
    /// A kind of error.
    Error,
}

/// A code, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct ExplainedCode {
    pub code: String,
    /// The word of a reason, or the exit code of a kind of error.
    pub word: String,
    pub sort: Sort,
    pub meaning: String,
    /// Empty where the meaning says it.
    pub helps: &'static str,
}

/// Every code, the kinds of errors first.
pub(crate) fn entries() -> Vec<ExplainedCode> {
    let kind = |kind: Kind| {
        let (meaning, helps) = kind.explained();
        let word = format!("exit code {}", kind.exit_code());
        ExplainedCode { code: kind.code().to_owned(), word, sort: Sort::Error, meaning: meaning.to_owned(), helps }
    };
    let reason = |reason: &ReasonEntry, sort: Sort| ExplainedCode {
        code: reason.code(),
        word: reason.word.to_owned(),
        sort,
        meaning: reason.hint.to_owned(),
        helps: "",
    };
    let kinds = Kind::ALL.into_iter().map(kind);
    let refused = REASONS.iter().map(|row| reason(row, Sort::Refused));
    kinds.chain(refused).chain(SILENT.iter().map(|row| reason(row, Sort::Silent))).collect()
}

/// The requested entries: that of one code, or all errors that end with an exit code.
fn found(asked: &str) -> Result<(Option<&'static str>, Vec<ExplainedCode>), Error> {
    let all = entries();
    if let Ok(number) = asked.parse::<i32>()
        && let Some((_, meaning)) = EXIT_CODES.iter().find(|(code, _)| *code == number)
    {
        let word = format!("exit code {number}");
        return Ok((Some(meaning), all.into_iter().filter(|entry| entry.word == word).collect()));
    }
    let bare = |text: &str| {
        let upper = text.trim().to_ascii_uppercase().replace('_', "-");
        upper.strip_prefix("TT-").map_or(upper.clone(), str::to_owned)
    };
    let wanted = bare(asked);
    let hit: Vec<ExplainedCode> = all.iter().filter(|entry| bare(&entry.code) == wanted).cloned().collect();
    if !hit.is_empty() {
        return Ok((None, hit));
    }
    let names: Vec<String> = all.iter().map(|entry| bare(&entry.code)).collect();
    let mut near: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| wanted.len() > 2 && name.contains(&wanted)).collect();
    let others: Vec<&str> = names.iter().map(String::as_str).collect();
    near.extend(nearest(&wanted, &others).filter(|name| !near.contains(name)).as_slice());
    let near: Vec<String> = near.into_iter().take(NEAR).map(|name| format!("TT-{name}")).collect();
    let list = "`ticktide explain` lists all codes";
    let hint = if near.is_empty() { list.to_owned() } else { format!("did you mean {}? {list}", near.join(", ")) };
    Err(Error::fix(format!("{asked:?} is neither a code, a reason nor an exit code"), hint))
}

/// Prints the meaning of the requested codes.
pub fn explain(args: &ExplainArgs, global: &Global) -> Result<(), Error> {
    let (said, found) = match &args.what {
        Some(asked) => found(asked)?,
        None => (None, entries()),
    };
    if global.json {
        return found.iter().try_for_each(|entry| print(&format!("{}\n", as_json(entry))));
    }
    if args.what.is_none() {
        let rows: Vec<Vec<String>> =
            found.into_iter().map(|entry| vec![entry.code, entry.word, entry.meaning]).collect();
        return print(&aligned(&rows));
    }
    if let (Some(said), Some(asked)) = (said, &args.what) {
        print(&format!("exit code {asked}: {said}\n"))?;
    }
    found.iter().try_for_each(|entry| print(&text(entry)))
}

fn text(entry: &ExplainedCode) -> String {
    let of = match entry.sort {
        Sort::Refused => "a reason of the quarantine",
        Sort::Silent => "why an accepted record makes no bar",
        Sort::Error => "a kind of error",
    };
    let helps = if entry.helps.is_empty() { String::new() } else { format!("  what to do: {}\n", entry.helps) };
    format!("{} ({}), {of}\n  {}\n{helps}", entry.code, entry.word, entry.meaning)
}

fn as_json(entry: &ExplainedCode) -> serde_json::Value {
    let sort = match entry.sort {
        Sort::Refused => "refused",
        Sort::Silent => "silent",
        Sort::Error => "error",
    };
    let helps = (!entry.helps.is_empty()).then_some(entry.helps);
    json!({ "code": entry.code, "word": entry.word, "of": sort, "meaning": entry.meaning, "helps": helps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_code_stands_for_one_thing() {
        let all = entries();
        let codes: BTreeSet<&str> = all.iter().map(|entry| entry.code.as_str()).collect();
        assert_eq!(codes.len(), all.len());
        for kind in Kind::ALL {
            assert!(EXIT_CODES.iter().any(|(code, _)| *code == kind.exit_code()), "{kind:?}");
        }
    }

    #[test]
    fn a_code_a_reason_in_any_case_and_an_exit_code_are_found() {
        for asked in ["TT-TOO-LATE", "too_late", "tt-too-late", "Too_Late"] {
            let (_, found) = found(asked).expect(asked);
            assert_eq!((found.len(), found[0].word.as_str()), (1, "too_late"), "{asked}");
        }
        let (said, kinds) = found("1").expect("an exit code");
        assert!(said.is_some_and(|said| said.starts_with("failed")));
        assert_eq!(kinds.len(), 3);
        assert!(found("0").expect("an exit code").1.is_empty());
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_near() {
        for (asked, near) in [("to_late", "TT-TOO-LATE"), ("TT-FENCE", "TT-FENCED"), ("late", "TT-LATE-PARTLY")] {
            let error = found(asked).expect_err("unknown");
            assert_eq!(error.kind, Kind::Fix);
            assert!(error.hint.as_deref().is_some_and(|hint| hint.contains(near)), "{asked}: {:?}", error.hint);
        }
        assert_eq!(found("17").expect_err("none").hint.as_deref(), Some("`ticktide explain` lists all codes"));
    }
}
