//! The page of exit codes, kinds of errors and reasons.

use super::{Page, code};
use crate::explain::{EXIT_CODES, ExplainedCode, Sort, entries};

pub(super) fn page() -> Page {
    let first = "\
Every kind of error and every reason has a code that never changes. `ticktide explain CODE` prints the same text; it also \
takes an exit code or the word of a reason.

An error is printed once, with a `hint:` that says what to do next. An error that no change of the input can mend has a third \
line with its code.";
    let mut page = Page::new("Errors and reasons", "the kinds of errors and the table of reasons", first);
    let all = entries();
    page.head(2, "Exit codes");
    page.table(
        &["exit code", "meaning", "errors"],
        EXIT_CODES.iter().map(|(number, meaning)| {
            let word = format!("exit code {number}");
            let codes: Vec<String> =
                all.iter().filter(|entry| entry.word == word).map(|entry| code(&entry.code)).collect();
            vec![number.to_string(), (*meaning).to_owned(), codes.join(" ")]
        }),
    );
    page.head(2, "Errors");
    let of = |sort: Sort| all.iter().filter(move |entry| entry.sort == sort);
    page.table(
        &["code", "exit code", "meaning", "what to do"],
        of(Sort::Error).map(|entry| {
            let number = entry.word.rsplit(' ').next().unwrap_or_default().to_owned();
            vec![code(&entry.code), number, entry.meaning.clone(), entry.helps.to_owned()]
        }),
    );
    let reasons = |page: &mut Page, sort: Sort| {
        let row = |entry: &ExplainedCode| vec![code(&entry.word), code(&entry.code), entry.meaning.clone()];
        page.table(&["reason", "code", "meaning, and what to do"], of(sort).map(row));
    };
    page.head(2, "Reasons of the quarantine");
    page.text(
        "The column `reason` of the table `quarantine` holds one of these words; `ticktide quarantine ls` counts them. A wire \
         format of your own may add its own words.\n",
    );
    reasons(&mut page, Sort::Refused);
    page.head(2, "Why an accepted record makes no bar");
    page.text(
        "Such a record is not in the quarantine. A run counts it in its last lines, `ticktide epochs show` by epoch.\n",
    );
    reasons(&mut page, Sort::Silent);
    page
}
