//! Which command lines are accepted, and which are refused.

use super::*;

/// Files of the repository, wherever the tests are run.
const CALENDAR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../calendars/nse.toml");
const DATAFLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dataflows/iifl.toml");

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
    for what in ["sources", "formats", "indicators", "anomalies", "dataflows", "sessions", "keys"] {
        for json in [&["ticktide", "list", what, "--json"][..], &["ticktide", "list", what]] {
            run(global(json)).expect(what);
        }
    }
}

#[test]
fn a_session_is_shown_by_its_days_and_a_calendar_file_is_checked_as_such() {
    for json in [&["--json"][..], &[]] {
        for session in ["us", "nse", CALENDAR] {
            let line =
                [&["ticktide", "calendar", session, "--from", "2026-08-03", "--to", "2026-08-09"][..], json].concat();
            run(global(&line)).expect(session);
        }
    }
    run(global(&["ticktide", "check", CALENDAR, DATAFLOW, "-q"])).expect("good");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bad.toml");
    let shipped = std::fs::read_to_string(CALENDAR).expect("it is there");
    std::fs::write(&path, shipped.replace("2024-01-26 Republic Day", "Republic Day")).expect("written");
    let path = path.to_str().expect("a plain path");
    for line in [&["ticktide", "check", path][..], &["ticktide", "calendar", path, "--from", "2026-01-01"]] {
        let error = refused(line);
        assert!(error.message.contains("bad.toml:") && error.message.contains("is not a day"), "{error}");
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

/// The error that a command line ends with.
fn refused(line: &[&str]) -> Error {
    run(global(line)).expect_err(&line.join(" "))
}

#[test]
fn every_shipped_dataflow_has_a_plan_and_a_drawing() {
    let directory = tempfile::tempdir().expect("a directory");
    let svg = directory.path().join("plan.svg");
    let path = svg.to_str().expect("a plain path");
    for (name, _) in ticktide_dataflow::SHIPPED {
        for line in [&["ticktide", "plan", name, "-q", "--svg", path][..], &["ticktide", "plan", name, "--json"]] {
            run(global(line)).expect(name);
        }
        let drawn = std::fs::read_to_string(&svg).expect("drawn");
        assert!(
            drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && drawn.contains(">quarantine</text>"),
            "{name}"
        );
    }
}

#[test]
fn a_dry_run_touches_no_lake_and_asks_no_broker() {
    let directory = tempfile::tempdir().expect("a directory");
    let lake = directory.path().join("lake");
    let path = lake.to_str().expect("a plain path");
    for json in [&["--json"][..], &[]] {
        let line =
            [&["ticktide", "run", "market", "--dry-run", "--warehouse", path, "--brokers", "127.0.0.1:9"][..], json]
                .concat();
        run(global(&line)).expect("a dry run");
    }
    assert!(!lake.exists());
}

#[test]
fn completions_are_there_for_every_shell_and_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        run(global(&["ticktide", "completions", shell])).expect(shell);
    }
    assert!(Cli::try_parse_from(["ticktide", "completions", "csh"]).is_err());
}

#[test]
fn a_sample_is_decoded_as_the_dataflow_says_and_one_of_another_feed_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("matches.jsonl");
    let trade = r#"{"type":"match","product_id":"BTC-USD","size":"1","price":"5","time":"2026-01-26T09:00:00Z"}"#;
    std::fs::write(&path, format!("{trade}\n{{\"type\":\"heartbeat\"}}\n")).expect("written");
    let sample = ["--sample", path.to_str().expect("a plain path")];
    let preset = ["ticktide", "check", "bars", "--set", "source.preset=coinbase-matches"];
    run(global(&[&preset[..], &sample[..]].concat())).expect("half of it is ignored, the rest is a trade");
    let error = refused(&[&["ticktide", "check", "bars"][..], &sample[..]].concat());
    assert!(error.message.starts_with("0 of the first 2 records of "), "{}", error.message);
    assert!(error.hint.expect("a hint").contains("--sniff FILE"));
}

#[test]
fn a_headed_csv_with_another_delimiter_is_known_by_its_look() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("export.csv");
    let sniffed = |text: &str| {
        std::fs::write(&path, text).expect("written");
        refused(&["ticktide", "list", "formats", "--sniff", path.to_str().expect("a plain path")]).hint.expect("a hint")
    };
    let hint = sniffed("Date;Ticker;Last;Size\n1.7.2024;A;1,5;10\n");
    assert!(
        hint.contains("wire = \"csv\"") && hint.contains("delimiter = \";\"") && hint.contains("columns"),
        "{hint}"
    );
    let hint = sniffed("Date,Ticker,Last,Size\n1.7.2024,A,1.5,10\n");
    assert!(hint.contains("columns") && !hint.contains("delimiter"), "{hint}");
    assert!(sniffed("a\tb\tc\td\n").contains("delimiter = \"\\t\""));
    for text in ["one\ntwo\n", "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}\n"] {
        assert!(!sniffed(text).contains("csv"), "{text}");
    }
}

#[test]
fn wrong_input_is_the_users_to_correct_and_has_a_hint() {
    let directory = tempfile::tempdir().expect("a directory");
    let none = directory.path().join("none");
    let path = none.to_str().expect("a plain path");
    for line in [
        &["ticktide", "plan", "nothing"][..],
        &["ticktide", "calendar", "nes", "--from", "2026-01-01"],
        &["ticktide", "calendar", "nse", "--from", "2026-01-02", "--to", "2026-01-01"],
        &["ticktide", "calendar", "nse", "--from", "2026-01-01", "--class", "shares"],
        &["ticktide", "calendar", "no/such.toml", "--from", "2026-01-01"],
        &["ticktide", "plan", "bars", "--svg", "/no/such/folder/x.svg"],
        &["ticktide", "list", "formats", "--sniff", path],
        &["ticktide", "list", "sources", "--sniff", path],
        &["ticktide", "quarantine", "ls", "--warehouse", path],
        &["ticktide", "quarantine", "show", "a/0/1", "--warehouse", path],
        &["ticktide", "quarantine", "show", "nonsense", "--warehouse", path],
        &["ticktide", "quarantine", "retry", "--warehouse", path],
        &["ticktide", "run", "bars", "--metrics", "nonsense", "--warehouse", path],
        &["ticktide", "run", "bars", "--metrics", "nonsense", "--dry-run", "--warehouse", path],
        &["ticktide", "run", "bars", "--secret-file", path, "--dry-run", "--warehouse", path],
        &["ticktide", "run", "bars", "--secret-file", path, "-n", "2", "-p", "0", "--dry-run", "--warehouse", path],
        &["ticktide", "run", "bars", "--dry-run", "--warehouse", ""],
        &["ticktide", "run", "bars", "--dry-run", "--catalog", "sqlite:", "--warehouse", path],
        &["ticktide", "feed", "labels", "demo", "--day", "90000"],
        &["ticktide", "feed", "labels", "demo", "--set", "source.first_day=9999-12-31"],
        &["ticktide", "check", "bars", "--set", "source.topics=[]"],
    ] {
        let error = refused(line);
        assert!(error.kind == Kind::Fix && error.hint.is_some(), "{}: {error:?}", line.join(" "));
    }
    assert!(!none.exists());
    for line in [
        &["ticktide", "list", "formats", "--sniff", "x", "--records", "0"][..],
        &["ticktide", "quarantine", "retry", "--all"],
        &["ticktide", "quarantine", "ls", "--partition", "x"],
    ] {
        assert!(Cli::try_parse_from(line).is_err(), "{}", line.join(" "));
    }
}

#[test]
fn the_unit_of_a_run_keeps_its_lake_where_other_users_can_read_it() {
    let unit = include_str!("../../cluster/units/ticktide.service");
    let set = |line: &str| unit.lines().any(|found| found == line);
    // the folder of a dynamic user lies below one that is root's alone
    assert!(set("User=ticktide") && !unit.lines().any(|line| line.starts_with("DynamicUser=")));
    assert!(set("StateDirectory=ticktide") && set("StateDirectoryMode=0755") && unit.contains("useradd --system"));
}

#[test]
fn who_writes_a_lake_is_named_to_the_run_that_has_lost_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let warehouse = Warehouse::from(directory.path());
    let lost = |kind| Error { kind, message: "lost".into(), hint: Some("as before".into()) };
    let hint = |kind| run::fenced_by(lost(kind), &warehouse).hint.expect("a hint");
    assert_eq!(hint(Kind::Fenced), "as before", "nobody says that it is there");
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis();
    let owner = serde_json::json!({ "generation": 2, "host": "k7", "process": 4711, "seen_at": now as i64 });
    std::fs::write(directory.path().join("owner.json"), owner.to_string()).expect("written");
    assert!(hint(Kind::Fenced).starts_with("process 4711 on k7"));
    assert_eq!(hint(Kind::Retry), "as before");
}
