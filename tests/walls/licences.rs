//! The licences of everything that is compiled: each crate must allow what ours are, MIT or Apache-2.0.
//!
//! Why a list of names: a licence that asks for more than a notice (GPL, MPL, AGPL …) is a decision of people. The list is cargo's own
//! metadata, which needs no network once the crates are there.

use std::process::Command;

/// SPDX names of licences that ask for no more than their notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression can be fulfilled with allowed licences alone. An old `/` means OR; AND binds closer than OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (allowed, rest) = any(&words);
    allowed && rest.is_empty()
}

fn any<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut allowed, mut rest) = all(words);
    while let [word, behind @ ..] = rest
        && *word == "OR"
    {
        let (next, after) = all(behind);
        (allowed, rest) = (allowed | next, after);
    }
    (allowed, rest)
}

fn all<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut allowed, mut rest) = one(words);
    while let [word, behind @ ..] = rest
        && *word == "AND"
    {
        let (next, after) = one(behind);
        (allowed, rest) = (allowed & next, after);
    }
    (allowed, rest)
}

fn one<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", behind @ ..] => match any(behind) {
            (allowed, [")", after @ ..]) => (allowed, after),
            (_, after) => (false, after),
        },
        [name, "WITH", exception, after @ ..] => {
            (ALLOWED.contains(&format!("{name} WITH {exception}").as_str()), after)
        }
        [name, after @ ..] => (ALLOWED.contains(name), after),
        [] => (false, words),
    }
}

#[test]
fn every_crate_may_be_handed_on_under_our_licences() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--features", "aws"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used = metadata["resolve"]["nodes"].as_array().expect("what is compiled");
    let used: std::collections::BTreeSet<&str> = used.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let packages = packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)));
    let licences = packages.map(|package| (package["name"].as_str(), package["license"].as_str().unwrap_or("none")));
    let licences: Vec<_> = licences.collect();
    assert!(licences.len() > 300, "{} crates were found", licences.len());
    let bad: Vec<_> = licences.iter().filter(|(_, licence)| !is_allowed(licence)).collect();
    assert!(bad.is_empty(), "another licence than those in {}: {bad:?}", file!());
}

#[test]
fn an_expression_is_read_with_its_brackets() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND MPL-2.0", "MIT)", "(MIT", "MIT WITH something", "MIT ISC"]
    {
        assert!(!is_allowed(bad), "{bad}");
    }
}
