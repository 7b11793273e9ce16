//! What can be typed, and what is refused.

use super::*;

fn global(arguments: &[&str]) -> Cli {
    Cli::try_parse_from(arguments).expect("a command line")
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_may_stand_on_either_side_of_the_command() {
    for line in [["ticktide", "--json", "list", "sources"], ["ticktide", "list", "sources", "--json"]] {
        assert!(global(&line).global.json);
    }
}

#[test]
fn every_registry_can_be_listed() {
    for what in ["sources", "formats", "indicators", "anomalies", "dataflows", "sessions"] {
        for json in [&["ticktide", "list", what, "--json"][..], &["ticktide", "list", what]] {
            run(global(json)).expect(what);
        }
    }
}

#[test]
fn several_bad_files_are_all_named_in_one_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (one, two) = (file("one.toml", "grase = 1"), file("two.toml", "ticks = 1"));
    let good = file("good.toml", "ticks = true");
    run(global(&["ticktide", "check", &good, "-q"])).expect("good");
    let error = run(global(&["ticktide", "check", &one, &good, &two, "-q"])).expect_err("two bad files");
    assert_eq!(error.kind, Kind::Fix);
    assert!(error.message.contains("one.toml:1:1") && error.message.contains("two.toml:1:9"), "{error}");
    let error = run(global(&["ticktide", "check", &one])).expect_err("a bad file");
    assert_eq!(error.hint.as_deref(), Some("did you mean `grace`?"));
}

#[test]
fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
    let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), String::new()]];
    assert_eq!(aligned(&rows), "a    bb\nccc\n");
}
