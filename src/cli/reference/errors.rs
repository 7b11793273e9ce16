//! The page of exit codes, kinds of errors and reasons.

use super::{Page, code};
use crate::explain::{EXIT_CODES, Entry, Sort, entries};

pub(super) fn page() -> Page {
    let first = "\
Every way in which something goes wrong has a code that never changes. `ticktide explain CODE` prints what stands here; it takes \
an exit code and the word of a reason, too.

An error is printed once, with a `hint:` that says what to do next. An error that no change of the input mends has a third line \
with its code.";
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
        &["code", "exit code", "what is so", "what helps"],
        of(Sort::Error).map(|entry| {
            let number = entry.word.rsplit(' ').next().unwrap_or_default().to_owned();
            vec![code(&entry.code), number, entry.meaning.clone(), entry.helps.to_owned()]
        }),
    );
    let reasons = |page: &mut Page, sort: Sort| {
        let row = |entry: &Entry| vec![code(&entry.word), code(&entry.code), entry.meaning.clone()];
        page.table(&["reason", "code", "what is so, and what helps"], of(sort).map(row));
    };
    page.head(2, "Reasons of the quarantine");
    page.text(
        "The column `reason` of the table `quarantine` holds one of these words; `ticktide quarantine ls` counts them. A wire \
         format of your own may give words of its own.\n",
    );
    reasons(&mut page, Sort::Refused);
    page.head(2, "Why a record that counts makes no bar");
    page.text("Such a record is accepted and not in the quarantine. A run counts it in its last lines, `ticktide epochs show` by epoch.\n");
    reasons(&mut page, Sort::Silent);
    page
}
