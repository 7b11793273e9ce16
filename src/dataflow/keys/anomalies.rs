//! The key `anomalies`: each entry is checked against the registry of checks.

use super::key::{Key, KeyType, Own, Read, Show};
use super::section::Section;
use super::values;
use crate::checks::AnomalyUse;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::{Keys, LocatedValue, Problems, Table, TomlValue, duration_text};
use ticktide_base::time::Interval;
use ticktide_flow::anomalies::{CHECKS, Level, Setting, Spec, spec};

const EXAMPLE: &str = "{ use = \"return_z\", on = \"1m\", z = 6 }";

pub static SECTION: Section = Section {
    name: "",
    title: "Anomalies",
    doc: "What looks wrong in ticks, in the bars of an instrument, or in the feed as a whole.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::of_rows("anomalies", "The checks that fill the table `anomalies`.", KeyType::Own(ANOMALIES)),
        Key::of_rows("anomalies[].use", "The name of a check.", KeyType::Own(USE)),
        Key::of_rows(
            "anomalies[].on",
            "The width of the bars that it reads: one of `bars`. A check of ticks has none.",
            KeyType::Own(values::ON),
        ),
        Key::of_rows("anomalies[].*", "A parameter of the check.", KeyType::Own(values::PARAMETER)),
    ],
};

const ANOMALIES: Own = Own {
    name: "list of tables",
    default: "[]",
    read: Read::With(|keys, dataflow| dataflow.anomalies = uses(keys, &dataflow.bars, dataflow.instruments)),
    show: Show::One(|dataflow| Some(dataflow.anomalies.iter().map(AnomalyUse::canonical).collect())),
    schema: || {
        let entries: Vec<Json> = CHECKS.iter().map(entry).collect();
        json!({ "type": "array", "items": { "anyOf": entries } })
    },
};

const USE: Own = Own {
    name: "text",
    default: "",
    read: Read::ByWhole,
    show: Show::No,
    schema: || json!({ "enum": CHECKS.names() }),
};

/// Which values an entry with this check takes.
fn entry(spec: &Spec) -> Json {
    let mut properties = json!({ "use": { "const": spec.name } });
    let mut required = vec!["use"];
    if spec.level != Level::Tick {
        properties["on"] = values::duration();
        required.push("on");
    }
    for parameter in spec.parameters {
        properties[parameter.name] = values::parameter(parameter);
    }
    json!({
        "description": spec.doc, "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

/// Reads the list; `lists` is whether instrument masters are kept.
fn uses(keys: &Keys<'_>, bars: &[Interval], lists: bool) -> Vec<AnomalyUse> {
    let mut uses = Vec::new();
    let mut seen = BTreeSet::new();
    for item in keys.list("anomalies", &format!("[{EXAMPLE}]")).unwrap_or_default() {
        let TomlValue::Table(table) = &item.value else {
            keys.wrong_type("anomalies", item, "a table", format!("e.g. `anomalies = [{EXAMPLE}]`"));
            continue;
        };
        let Some(used) = check(table, item, bars, keys.problems()) else { continue };
        if !lists && spec(used.name()).is_ok_and(|spec| spec.level == Level::Listed) {
            let message =
                format!("check {:?} reads instrument masters, which this dataflow does not keep", used.name());
            keys.problems().add(
                &item.place,
                message,
                "set `instruments = true`, and read a topic or file with masters",
            );
        }
        if seen.insert(used.canonical().to_string()) {
            uses.push(used);
        } else {
            let message = format!("check {:?} is listed twice with the same settings", used.name());
            keys.problems().add(&item.place, message, "remove one of them");
        }
    }
    uses
}

/// One entry: `use`, `on` if it reads bars, and parameters that the registry checks.
fn check(table: &Table, item: &LocatedValue, bars: &[Interval], problems: &Problems) -> Option<AnomalyUse> {
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let keys = Keys::new("a check", table, &names, problems);
    if keys.node("use").is_none() {
        problems.add(&item.place, "a check has no `use`", format!("e.g. `{EXAMPLE}`"));
    }
    let mut parameters = BTreeMap::new();
    for (name, _, node) in table.entries().filter(|(name, ..)| !["use", "on"].contains(name)) {
        let setting = match &node.value {
            TomlValue::Integer(number) => Setting::from(*number),
            TomlValue::Float(number) => Setting::from(*number),
            TomlValue::Text(text) => Setting::from(text.as_str()),
            _ => {
                keys.wrong_type(name, node, "a number", format!("e.g. `{name} = 6`"));
                continue;
            }
        };
        parameters.insert(name.to_owned(), setting);
    }
    let on = keys.duration("on");
    let (name, use_place) = keys.text("use")?;
    let level = match spec(&name) {
        Ok(spec) => spec.level,
        Err(error) => {
            problems.add(use_place, error.message, error.hint);
            return None;
        }
    };
    match (level, on) {
        (Level::Tick, Some((_, place))) => {
            let message = format!("check {name:?} has `on`, but it reads ticks");
            problems.add(place, message, "remove `on`");
            return None;
        }
        (Level::Bar | Level::Listed | Level::Feed, None) if keys.node("on").is_none() => {
            let there = bars.first().map_or_else(String::new, |interval| interval.name());
            let hint = format!("say which bars it reads, e.g. `on = \"{there}\"`");
            problems.add(&item.place, format!("check {name:?} has no `on`"), hint);
            return None;
        }
        (Level::Bar | Level::Listed | Level::Feed, Some((on, place))) if !bars.contains(&Interval(on)) => {
            let there: Vec<String> = bars.iter().map(|interval| interval.name()).collect();
            let message = format!("check {name:?} is on {}, but there are no such bars", duration_text(on));
            problems.add(place, message, format!("there are bars of {}", there.join(", ")));
        }
        _ => {}
    }
    match AnomalyUse::new(&name, parameters, on.map(|(on, _)| Interval(on))) {
        Ok(used) => Some(used),
        Err(error) => {
            let culprit = table.entries().find(|(key, ..)| *key != "on" && is_named(&error.message, key));
            let node = culprit.map(|(.., node)| node).or(table.get("use")).unwrap_or(item);
            problems.add(&node.place, error.message, error.hint);
            None
        }
    }
}

/// Whether a message names a key: as a word, or quoted.
fn is_named(message: &str, key: &str) -> bool {
    message.contains(&format!(" {key} ")) || message.contains(&format!("{key:?}"))
}
