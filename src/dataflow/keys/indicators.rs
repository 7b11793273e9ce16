//! The key `indicators`: each entry is checked against the registry.

use super::key::{Key, KeyType, Own, Read, Show};
use super::section::Section;
use super::values;
use crate::spec::IndicatorUse;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::{Keys, LocatedValue, Problems, Table, TomlValue, duration_text};
use ticktide_base::time::Interval;
use ticktide_flow::indicators::{self, Anchor, INDICATORS, Spec};

pub static SECTION: Section = Section {
    name: "",
    title: "Indicators",
    doc: "What is computed from the bars of a width. Each width with indicators has a table of readings.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::of_rows(
            "indicators",
            "The indicators that are computed from bars; their columns are in this order.",
            KeyType::Own(INDICATORS_OWN),
        ),
        Key::of_rows("indicators[].use", "The name of an indicator.", KeyType::Own(USE)),
        Key::of_rows(
            "indicators[].on",
            "The width of the bars that it reads: one of `bars`.",
            KeyType::Own(values::ON),
        ),
        Key::of_rows("indicators[].*", "A parameter of the indicator.", KeyType::Own(values::PARAMETER)),
    ],
};

const INDICATORS_OWN: Own = Own {
    name: "list of tables",
    default: "[]",
    read: Read::With(|keys, dataflow| dataflow.indicators = uses(keys, &dataflow.bars)),
    show: Show::One(|dataflow| Some(dataflow.indicators.iter().map(IndicatorUse::canonical).collect())),
    schema: || {
        let entries: Vec<Json> = INDICATORS.iter().map(entry).collect();
        json!({ "type": "array", "items": { "anyOf": entries } })
    },
};

const USE: Own = Own {
    name: "text",
    default: "",
    read: Read::ByWhole,
    show: Show::No,
    schema: || json!({ "enum": INDICATORS.names() }),
};

/// Which values an entry with this indicator takes.
fn entry(spec: &Spec) -> Json {
    let mut properties = json!({ "use": { "const": spec.name }, "on": values::duration() });
    for parameter in spec.parameters {
        properties[parameter.name] = values::parameter(parameter);
    }
    if let Some(anchor) = spec.anchor {
        let default = if anchor == Anchor::Session { "session" } else { "none" };
        properties["anchor"] = json!({ "enum": ["session", "none"], "default": default });
    }
    json!({
        "description": spec.doc, "type": "object", "properties": properties, "required": ["use", "on"],
        "additionalProperties": false,
    })
}

fn uses(keys: &Keys<'_>, bars: &[Interval]) -> Vec<IndicatorUse> {
    let example = "[{ use = \"ema\", period = 20, on = \"1m\" }]";
    let mut uses: Vec<IndicatorUse> = Vec::new();
    let mut outputs: BTreeSet<(Interval, String)> = BTreeSet::new();
    for item in keys.list("indicators", example).unwrap_or_default() {
        let TomlValue::Table(table) = &item.value else {
            keys.wrong_type("indicators", item, "a table", format!("e.g. `indicators = {example}`"));
            continue;
        };
        let Some(found) = indicator(table, item, bars, keys.problems()) else { continue };
        match indicators::build(&found.name, &found.parameters) {
            Ok(built) => {
                for output in built.outputs() {
                    if !outputs.insert((found.on, output.clone())) {
                        let message = format!("two indicators on {} have the output {output:?}", found.on.name());
                        keys.problems().add(&item.place, message, "remove one of them");
                    }
                }
                uses.push(found);
            }
            Err(error) => {
                let culprit =
                    table.entries().find(|(key, ..)| error.message.contains(&format!(" {key} ")) && *key != "on");
                let node = culprit.map(|(.., node)| node).or(table.get("use")).unwrap_or(item);
                keys.problems().add(&node.place, error.message, error.hint);
            }
        }
    }
    uses
}

/// One entry of `indicators`: `use`, `on`, and parameters that the registry checks.
fn indicator(table: &Table, item: &LocatedValue, bars: &[Interval], problems: &Problems) -> Option<IndicatorUse> {
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let keys = Keys::new("an indicator", table, &names, problems);
    for key in ["use", "on"] {
        if keys.node(key).is_none() {
            problems.add(
                &item.place,
                format!("an indicator has no `{key}`"),
                "e.g. `{ use = \"ema\", period = 20, on = \"1m\" }`",
            );
        }
    }
    let mut parameters = BTreeMap::new();
    for (name, _, node) in table.entries().filter(|(name, ..)| !["use", "on"].contains(name)) {
        let setting = match &node.value {
            TomlValue::Integer(number) => indicators::Setting::from(*number),
            TomlValue::Float(number) => indicators::Setting::from(*number),
            TomlValue::Text(text) => indicators::Setting::from(text.as_str()),
            _ => {
                keys.wrong_type(name, node, "a number or text", format!("e.g. `{name} = 14`"));
                continue;
            }
        };
        parameters.insert(name.to_owned(), setting);
    }
    let (name, on) = (keys.text("use"), keys.duration("on"));
    let ((name, _), (on, place)) = (name?, on?);
    if !bars.contains(&Interval(on)) {
        let there: Vec<String> = bars.iter().map(|interval| interval.name()).collect();
        let message = format!("indicator {name:?} is on {}, but there are no such bars", duration_text(on));
        problems.add(place, message, format!("there are bars of {}", there.join(", ")));
    }
    Some(IndicatorUse { name, parameters, on: Interval(on) })
}
