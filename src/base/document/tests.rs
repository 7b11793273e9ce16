//! What a document's text and flags become, and which problems the rest has.

use super::*;
use crate::time::DAY;
use proptest::prelude::*;

fn set(setting: &str) -> (Vec<String>, TomlValue) {
    let problems = Problems::default();
    let (path, node) = parse_set(setting, &problems).expect("a setting");
    assert_eq!(problems.take(), []);
    (path, node.value)
}

#[test]
fn a_set_value_that_may_be_a_secret_is_never_shown() {
    for setting in [
        "source.kafka.\"sasl.password\"=hunter2",
        "source.kafka.ssl.key.password=hunter2",
        "source.kafka={ \"sasl.password\" = \"hunter2\" }",
    ] {
        let shown = Location::Set(setting.to_owned()).to_string();
        assert!(!shown.contains("hunter2") && shown.ends_with("=***"), "{shown}");
    }
    assert_eq!(Location::Set("grace=2s".to_owned()).to_string(), "--set grace=2s");
}

#[test]
fn a_set_value_that_is_no_toml_is_text() {
    assert_eq!(set("grace=200ms"), (vec!["grace".into()], TomlValue::Text("200ms".into())));
    assert_eq!(set("a.b=3"), (vec!["a".into(), "b".into()], TomlValue::Integer(3)));
    assert_eq!(set("ticks=true").1, TomlValue::Bool(true));
    assert_eq!(set("brokers=k1:9092,k2:9092").1, TomlValue::Text("k1:9092,k2:9092".into()));
    assert_eq!(set("x=\"quoted\"").1, TomlValue::Text("quoted".into()));
    assert_eq!(set("x=").1, TomlValue::Text(String::new()));
    assert_eq!(set("x=1\ny=2").1, TomlValue::Text("1\ny=2".into()));
    assert_eq!(set("a.\"b.c\"=x").0, ["a", "b.c"]);
    assert!(matches!(set("x=[{a=1}]").1, TomlValue::List(_)));
}

#[test]
fn a_set_that_is_no_setting_is_a_problem_with_its_text() {
    for setting in ["grace", "=1", "a b=1", "a..b=1"] {
        let problems = Problems::default();
        assert!(parse_set(setting, &problems).is_none(), "{setting}");
        assert!(problems.take()[0].to_string().starts_with(&format!("--set {setting}")));
    }
}

#[test]
fn places_count_lines_and_letters_from_one() {
    let problems = Problems::default();
    let table = parse("x.toml", "a = 1\n# ä\n  b = { ü = 'x', c = 2 }\n", &problems);
    let leaves = table.leaves();
    let place = |path: &str| leaves.iter().find(|(name, _)| name == path).map(|(_, node)| node.place.to_string());
    assert_eq!(problems.take().len(), 1, "a bare key must be ASCII");
    assert_eq!(place("a").as_deref(), Some("x.toml:1:5"));
    assert_eq!(place("b.c").as_deref(), Some("x.toml:3:22"));
}

#[test]
fn durations_and_sizes_have_units() {
    assert_eq!(duration("2h"), Ok(7_200_000_000_000));
    for wrong in ["", "5", "h", "5 weeks", "-5s", "1.5s", "99999999999999999999s", "999999999999d", "1h30m"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
    assert_eq!((bytes("64MiB"), bytes("1024"), bytes("2 GB")), (Ok(67_108_864), Ok(1024), Ok(2_000_000_000)));
    for wrong in ["", "0", "MiB", "1TiBB", "-1", "9999999999GiB"] {
        assert!(bytes(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_duration_written_and_read_again_is_the_same(nanos in 0..1000 * DAY) {
        prop_assert_eq!(duration(&duration_text(nanos)), Ok(nanos));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*", set in "[a-z.\"=\\[{ 0-9\n']*") {
        let problems = Problems::default();
        parse("x", &text, &problems);
        parse("x", &set, &problems);
        parse_set(&set, &problems);
    }
}
