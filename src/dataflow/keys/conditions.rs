//! The keys of `conditions`: which trades set prices and which add volume, by the codes that a tape prints beside them.

use super::key::{FieldAccess, Key, KeyType, Own, Read, Show};
use super::section::Section;
use super::values;
use crate::spec::Dataflow;
use serde_json::{Value as Json, json};
use ticktide_base::document::{Keys, LocatedValue, Location, TomlValue};
use ticktide_market::conditions::{Condition, ConditionsSpec};

/// The record's field that holds the code, unless another is named.
const FIELD: &str = "conditions";

pub static SECTION: Section = Section {
    name: "conditions",
    title: "Conditions of trades",
    doc: "Which trades set prices and which add volume, by the codes of a tape. Without this table every trade does both.",
    example: "{ field = \"conditions\", hex = true, no_price = [\"0x20 & !0x2000\"] }",
    begin: |dataflow| {
        dataflow.conditions = Some(ConditionsSpec {
            field: FIELD.to_owned(),
            hex: false,
            no_price: Vec::new(),
            no_volume: Vec::new(),
            suspicious: None,
        });
    },
    keys: &[
        Key::of_rows("conditions.field", "The record's field that holds the code.", KeyType::Own(CODE)),
        Key::of_rows(
            "conditions.hex",
            "Whether the code is hexadecimal text.",
            KeyType::Flag(FieldAccess {
                get: |dataflow| dataflow.conditions.as_ref().map(|conditions| conditions.hex),
                set: |dataflow, hex| change(dataflow, |conditions| conditions.hex = hex),
            }),
        ),
        Key::of_rows(
            "conditions.no_price",
            "Rules for trades that set no price: `MASK`, `MASK & !MASK2` or `= CODE`.",
            KeyType::Own(Own {
                read: Read::With(|keys, dataflow| {
                    let rules = rules(keys, "no_price");
                    change(dataflow, |conditions| conditions.no_price = rules);
                }),
                show: Show::One(|dataflow| Some(rules_text(&dataflow.conditions.as_ref()?.no_price))),
                ..RULES
            }),
        ),
        Key::of_rows(
            "conditions.no_volume",
            "Rules for trades that add no volume.",
            KeyType::Own(Own {
                read: Read::With(|keys, dataflow| {
                    let rules = rules(keys, "no_volume");
                    change(dataflow, |conditions| conditions.no_volume = rules);
                }),
                show: Show::One(|dataflow| Some(rules_text(&dataflow.conditions.as_ref()?.no_volume))),
                ..RULES
            }),
        ),
        Key::of_rows(
            "conditions.suspicious",
            "The record's field that says whether the vendor doubts the trade; a doubtful trade sets no price.",
            KeyType::Own(SUSPICIOUS),
        ),
    ],
};

const CODE: Own = Own {
    name: "text",
    default: "\"conditions\"",
    read: Read::With(|keys, dataflow| {
        let field = keys.text("field").map_or_else(|| FIELD.to_owned(), |(field, _)| field);
        change(dataflow, |conditions| conditions.field = field);
    }),
    show: Show::One(|dataflow| Some(json!(dataflow.conditions.as_ref()?.field))),
    schema: || json!({ "type": "string" }),
};

const SUSPICIOUS: Own = Own {
    name: "text",
    default: "",
    read: Read::With(|keys, dataflow| {
        let field = keys.text("suspicious").map(|(field, _)| field);
        change(dataflow, |conditions| conditions.suspicious = field);
    }),
    show: Show::One(|dataflow| Some(json!(dataflow.conditions.as_ref()?.suspicious))),
    schema: || json!({ "type": "string" }),
};

const RULES: Own =
    Own { name: "text or list of texts", default: "[]", read: Read::ByWhole, show: Show::No, schema: values::texts };

/// Changes the conditions, if the file has some.
fn change(dataflow: &mut Dataflow, change: impl FnOnce(&mut ConditionsSpec)) {
    if let Some(conditions) = &mut dataflow.conditions {
        change(conditions);
    }
}

fn rules(keys: &Keys<'_>, key: &str) -> Vec<Condition> {
    let mut rules = Vec::new();
    for text in keys.texts(key).unwrap_or_default() {
        match Condition::parse(&text) {
            Some(rule) => rules.push(rule),
            None => {
                let place = keys.node(key).map_or(Location::Name(key.to_owned()), |node| rule_place(node, &text));
                let hint = "a rule is `MASK`, `MASK & !MASK2` or `= CODE`, numbers like 0x20 or 32";
                keys.problems().add(&place, format!("`{key}` has the rule {text:?}, which cannot be read"), hint);
            }
        }
    }
    rules
}

fn rules_text(rules: &[Condition]) -> Json {
    rules.iter().map(|rule| json!(rule.to_string())).collect()
}

/// The place of one text in a list of texts.
fn rule_place(node: &LocatedValue, text: &str) -> Location {
    let items = if let TomlValue::List(items) = &node.value { items.as_slice() } else { &[] };
    let item = items.iter().find(|item| item.value == TomlValue::Text(text.to_owned()));
    item.unwrap_or(node).place.clone()
}
