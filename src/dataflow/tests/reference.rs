//! Checks the table of keys against the reader, and the files in `docs` against what the table makes.
//!
//! `TICKTIDE_BLESS=1 cargo test -p ticktide-dataflow reference` writes the generated files again.

use super::*;
use crate::keys::key::{KeyType, Own, Read};
use crate::keys::values::default_text;
use crate::keys::{SECTIONS, all};
use crate::{reference, schema};
use serde_json::{Value as Json, json};
use ticktide_base::document::{Problems, Table, TomlValue, bytes, duration, parse};
use ticktide_base::environment::variable;

/// The file at a path of the repository holds exactly this text, or is written now.
fn fresh(path: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if variable("TICKTIDE_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a file in a folder")).expect("a folder");
        std::fs::write(&file, text).expect("written");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{path} is stale: TICKTIDE_BLESS=1 cargo test -p ticktide-dataflow reference");
}

#[test]
fn the_reference_page_is_the_one_that_the_table_makes() {
    fresh("docs/dataflow-file.md", &reference::page());
}

#[test]
fn the_reference_schema_is_the_one_that_the_table_makes() {
    fresh("docs/dataflow.schema.json", &format!("{:#}\n", schema::schema()));
}

#[test]
fn a_key_has_one_row_with_one_line_for_the_user() {
    let mut paths: Vec<&str> = all().map(|key| key.path).collect();
    for key in all() {
        assert!(key.doc.ends_with('.') && !key.doc.contains('\n'), "{}: {:?}", key.path, key.doc);
    }
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count, "two rows have the same path");
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
        let above = format!("{}.", section.name);
        assert!(section.keys.iter().all(|key| key.path.starts_with(&above)), "{above}");
    }
}

#[test]
fn a_default_that_is_written_down_changes_nothing() {
    // an existing table of conditions is shown; the defaults are those of that table
    let empty = |path: &str| if path.starts_with("conditions.") { "conditions = {}" } else { "" };
    for key in all().filter(|key| !default_text(key).is_empty() && !key.path.contains("[]")) {
        let path = key.path.trim_end_matches(".*");
        let setting = format!("{path}={}", default_text(key));
        let base = set(empty(key.path), &[]).expect("good");
        let written = set(empty(key.path), &[&setting]).expect(&setting);
        assert_eq!((written.hash(), written.settings_json()), (base.hash(), base.settings_json()), "{setting}");
    }
}

#[test]
fn a_row_is_read_and_a_key_without_a_row_is_not() {
    let by_whole = |kind: &KeyType| matches!(kind, KeyType::Own(Own { read: Read::ByWhole, .. }));
    for key in all().filter(|key| !by_whole(&key.kind)) {
        let path = key.path.trim_end_matches(".*");
        let error = set("", &[&format!("{path}=[[1]]")]).expect_err(path);
        let said = error.to_string();
        assert!(!said.contains("unknown key") && said.contains("it should be"), "{path}: {said}");
        let unknown = set("", &[&format!("{path}_=1")]).expect_err("no such key").to_string();
        assert!(unknown.contains(&format!("unknown key `{}_`", key.name())), "{path}: {unknown}");
    }
}

/// A TOML value as an editor sees it.
fn as_json(value: &TomlValue) -> Json {
    match value {
        TomlValue::Text(text) | TomlValue::Date(text) => json!(text),
        TomlValue::Integer(number) => json!(number),
        TomlValue::Float(number) => json!(number),
        TomlValue::Bool(flag) => json!(flag),
        TomlValue::List(items) => items.iter().map(|item| as_json(&item.value)).collect(),
        TomlValue::Table(table) => table_json(table),
    }
}

fn table_json(table: &Table) -> Json {
    Json::Object(table.entries().map(|(name, _, node)| (name.to_owned(), as_json(&node.value))).collect())
}

/// Whether a whole text matches a pattern, for the patterns of the schema: classes, `\s`, groups of words, `*`, `+`, `?`
/// and `{n}`.
fn matches(pattern: &str, text: &str) -> bool {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect("a whole text");
    rest_matches(inner, text)
}

fn rest_matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let length = match first {
        '[' => pattern.find(']').expect("a class ends") + 1,
        '(' => pattern.find(')').expect("a group ends") + 1,
        '\\' => 2,
        _ => first.len_utf8(),
    };
    let (atom, behind) = pattern.split_at(length);
    let (least, most, behind) = match behind.chars().next() {
        Some('*') => (0, usize::MAX, &behind[1..]),
        Some('+') => (1, usize::MAX, &behind[1..]),
        Some('?') => (0, 1, &behind[1..]),
        Some('{') => {
            let (count, behind) = behind[1..].split_once('}').expect("a count ends");
            let count = count.parse().expect("a count");
            (count, count, behind)
        }
        _ => (1, 1, behind),
    };
    let (mut ends, mut count) = (vec![text], 0);
    loop {
        if count >= least && ends.iter().any(|rest| rest_matches(behind, rest)) {
            return true;
        }
        if count == most || ends.is_empty() {
            return false;
        }
        ends = ends.iter().flat_map(|rest| steps(atom, rest)).collect();
        count += 1;
    }
}

/// What is left of a text after one atom, for each way to match it.
fn steps<'t>(atom: &str, text: &'t str) -> Vec<&'t str> {
    if let Some(words) = atom.strip_prefix('(') {
        return words.trim_end_matches(')').split('|').filter_map(|word| text.strip_prefix(word)).collect();
    }
    let Some(letter) = text.chars().next() else { return Vec::new() };
    let met = match atom {
        "[0-9]" => letter.is_ascii_digit(),
        "\\s" => letter.is_whitespace(),
        literal if literal.len() == 1 => literal.starts_with(letter),
        other => panic!("the atom {other} is none of the schema's"),
    };
    if met { vec![&text[letter.len_utf8()..]] } else { Vec::new() }
}

fn has_type(value: &Json, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the type {other} is none of the schema's"),
    }
}

/// The first fault of a value under a schema; panics at a keyword that it does not know.
fn fault(root: &Json, schema: &Json, value: &Json, at: &str) -> Option<String> {
    let wrong = |said: String| Some(format!("{at}: {value} {said}"));
    let inside = |schema: &Json, value: &Json, name: &str| fault(root, schema, value, &format!("{at}.{name}"));
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let found = match keyword.as_str() {
            "description" | "title" | "default" | "$schema" | "$comment" | "$defs" => None,
            "type" => {
                let names: Vec<&Json> = rule.as_array().map_or(vec![rule], |names| names.iter().collect());
                let met = names.iter().any(|name| has_type(value, name.as_str().expect("a type")));
                if met { None } else { wrong(format!("is no {rule}")) }
            }
            "const" => (rule != value).then(|| format!("{at}: {value} is not {rule}")),
            "enum" if rule.as_array().expect("values").contains(value) => None,
            "enum" => wrong(format!("is none of {rule}")),
            "pattern" => {
                value.as_str().filter(|text| !matches(rule.as_str().expect("a pattern"), text)).map(str::to_owned)
            }
            "minimum" => {
                value.as_f64().filter(|number| *number < rule.as_f64().expect("a bound")).map(|n| n.to_string())
            }
            "maximum" => {
                value.as_f64().filter(|number| *number > rule.as_f64().expect("a bound")).map(|n| n.to_string())
            }
            "exclusiveMinimum" => {
                value.as_f64().filter(|number| *number <= rule.as_f64().expect("a bound")).map(|n| n.to_string())
            }
            "minLength" => value
                .as_str()
                .filter(|text| (text.chars().count() as u64) < rule.as_u64().expect("a count"))
                .map(str::to_owned),
            "maxLength" => value
                .as_str()
                .filter(|text| (text.chars().count() as u64) > rule.as_u64().expect("a count"))
                .map(str::to_owned),
            "minItems" => value
                .as_array()
                .filter(|all| (all.len() as u64) < rule.as_u64().expect("a count"))
                .map(|_| at.to_owned()),
            "maxItems" => value
                .as_array()
                .filter(|all| (all.len() as u64) > rule.as_u64().expect("a count"))
                .map(|_| at.to_owned()),
            "items" => value.as_array().into_iter().flatten().find_map(|item| inside(rule, item, "[]")),
            "properties" => {
                let known = value.as_object().into_iter().flatten();
                known
                    .filter_map(|(name, value)| Some((name, value, rule.get(name)?)))
                    .find_map(|(name, value, rule)| inside(rule, value, name))
            }
            "required" => {
                let names = rule.as_array().expect("names").iter().filter_map(Json::as_str);
                let missing = names.filter(|name| value.is_object() && value.get(name).is_none()).collect::<Vec<_>>();
                missing.first().and_then(|name| wrong(format!("has no {name}")))
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Json::as_object);
                let mut others = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)));
                match rule {
                    Json::Bool(false) => others.next().map(|(name, _)| format!("{at} has {name}, which is no key")),
                    rule => others.find_map(|(name, value)| inside(rule, value, name)),
                }
            }
            "anyOf" => {
                let faults: Vec<Option<String>> =
                    rule.as_array().expect("schemas").iter().map(|rule| fault(root, rule, value, at)).collect();
                if faults.iter().any(Option::is_none) { None } else { wrong(format!("fits nothing of {faults:?}")) }
            }
            "$ref" => {
                let path = rule.as_str().and_then(|path| path.strip_prefix('#')).expect("a reference");
                fault(root, root.pointer(path).expect("it is there"), value, at)
            }
            other => panic!("the keyword {other} is unknown to this test"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn fault_of(text: &str) -> Option<String> {
    let schema = schema::schema();
    fault(&schema, &schema, &table_json(&parse("", text, &Problems::default())), "")
}

#[test]
fn a_dataflow_that_the_reader_takes_is_valid_under_the_schema() {
    for (name, text) in SHIPPED {
        assert_eq!(fault_of(text), None, "{name}");
    }
    for (name, text, ..) in pinned::WRITTEN {
        assert_eq!(fault_of(text), None, "{name}");
    }
    for default in all().filter(|key| !default_text(key).is_empty() && !key.path.contains(['*', '['])) {
        let text = format!("{} = {}", default.path, default_text(default));
        assert_eq!(fault_of(&text), None, "{text}");
    }
}

#[test]
fn the_schema_refuses_what_an_editor_should_mark() {
    for text in [
        "grase = \"5s\"",
        "ticks = \"yes\"",
        "grace = \"5 parsecs\"",
        "limits = { steps = 0 }",
        "source = { use = \"kafak\" }",
        "source = { speed = 0 }",
        "source = { fields = { time = 5 } }",
        "bars = []",
        "bars = [{ use = \"time\" }]",
        "session = \"nyse\"",
        "indicators = [{ use = \"ema\", period = 0, on = \"1m\" }]",
        "indicators = [{ use = \"ema\" }]",
        "anomalies = [{ use = \"crossed_quote\", on = \"1m\" }]",
    ] {
        assert!(fault_of(text).is_some(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_pattern_takes_every_duration_and_size_that_the_reader_takes(
        number in "[0-9]{0,6}",
        blanks in "[ \t]{0,2}",
        unit in prop::sample::select(vec!["", "d", "h", "m", "s", "ms", "us", "ns", "x", "B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"]),
    ) {
        let text = format!("{number}{blanks}{unit}");
        if duration(&text).is_ok() {
            prop_assert_eq!(fault_of(&format!("grace = \"{}\"", text.replace('\t', "\\t"))), None);
        }
        if bytes(&text).is_ok() {
            prop_assert_eq!(fault_of(&format!("limits.bytes = \"{}\"", text.replace('\t', "\\t"))), None);
        }
    }
}
