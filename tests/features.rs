//! One set of features for every crate, whatever command builds it: `cargo run`, `cargo test`, one stage, clippy, with `aws` or not.
//!
//! Why: cargo chooses features by what is selected, and a crate whose features differ is compiled again with everything above
//! it: minutes, for a test of one stage. What holds it together are the lines below "Not used here" in the manifests.
//!
//! cargo's own graph of units is asked for, which stable cargo gives only to those who say that they know it is not stable.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const STAGES: [&str; 14] = [
    "base",
    "market",
    "feed",
    "flow",
    "lake",
    "query",
    "dataflow",
    "tables",
    "cluster",
    "engine",
    "replay",
    "connect",
    "reconcile",
    "cli",
];

/// By crate and version: the sets of features that a command builds it with.
type Features = BTreeMap<String, BTreeSet<String>>;

fn features(command: &[&str]) -> Features {
    let output = Command::new(env!("CARGO"))
        .args(command)
        .args(["--release", "--locked", "--unit-graph", "-Z", "unstable-options"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {said}", command.join(" "));
    let graph: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a graph in JSON");
    let mut found = Features::new();
    for unit in graph["units"].as_array().expect("units") {
        let id = unit["pkg_id"].as_str().expect("a package");
        if !id.starts_with("path+") {
            let list = unit["features"].as_array().expect("features").iter().filter_map(|name| name.as_str());
            found.entry(id.to_owned()).or_default().insert(list.collect::<Vec<_>>().join(" "));
        }
    }
    found
}

/// Fails with what to add where, if a command builds a crate with features that the whole does not build it with.
fn assert_same(whole: &Features, command: &[&str]) {
    let mut differ = Vec::new();
    for (id, sets) in features(command) {
        let name = id.rsplit('/').next().unwrap_or(&id);
        let known = whole.get(&id).unwrap_or_else(|| panic!("{name} is built by {command:?} alone"));
        if !sets.is_subset(known) {
            differ.push(format!("{name}: [{}], else [{}]", join(&sets), join(known)));
        }
    }
    let hint =
        "hint: ask for the missing features below \"Not used here\" in the manifest of the stage, or of one below it";
    assert!(differ.is_empty(), "cargo {} builds crates again:\n{}\n{hint}", command.join(" "), differ.join("\n"));
}

fn join(sets: &BTreeSet<String>) -> String {
    sets.iter().map(String::as_str).collect::<Vec<_>>().join("] or [")
}

#[test]
fn every_command_builds_a_crate_with_the_same_features() {
    let whole = features(&["test", "--features", "aws"]);
    assert!(whole.len() > 300, "the graph was read");
    for command in [
        &["build", "--bin", "ticktide"][..],
        &["build", "--features", "aws", "--bin", "ticktide", "--example", "s3", "--example", "glue"],
        &["test"],
        &["test", "--features", "aws", "--workspace", "--lib"],
        &["check", "--workspace", "--all-targets", "--features", "aws"],
        &["check", "--workspace", "--all-targets"],
    ] {
        assert_same(&whole, command);
    }
    for stage in STAGES {
        assert_same(&whole, &["test", "-p", &format!("ticktide-{stage}")]);
    }
}
