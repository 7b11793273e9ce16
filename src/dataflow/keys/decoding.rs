//! The keys of `source` that say what a record means: its fields, its kinds, its times and its numbers.
//!
//! Why apart from the other keys of `source`: their values have forms of their own, and each form has its mistakes. What must always
//! hold: what is shown of a key reads back as the same value, since a lake records it.

use super::key::{Own, Read, Show};
use crate::presets::PRESETS;
use serde_json::json;
use std::collections::BTreeMap;
use ticktide_base::document::{self, Keys, Table};
use ticktide_feed::wire::{FieldSource, TextPattern};
use ticktide_feed::{Ambiguous, RecordType};

pub(super) const FIELDS: Own = Own {
    name: "text, list or table",
    default: "",
    read: Read::With(|keys, dataflow| dataflow.source.wire.fields = fields(keys)),
    show: Show::Each(|dataflow| {
        dataflow.source.wire.fields.iter().map(|(name, field)| (name.clone(), field_json(field))).collect()
    }),
    schema: || json!({ "type": "object", "additionalProperties": { "type": ["string", "array", "object"] } }),
};

const FIELD_HINT: &str = "e.g. `price = \"p\"`, a path `time = \"data.T\"`, `symbol = \"@key\"`, \
     `symbol = { from = \"@file\", pattern = \"{symbol}-trades-*\" }`, `venue = { value = \"NSE\" }`, \
     `time = [\"Date\", \"Time\"]`";

fn fields(keys: &Keys<'_>) -> BTreeMap<String, FieldSource> {
    let mut fields = BTreeMap::new();
    for (name, _, node) in keys.table("fields", "{ time = \"ts\" }").into_iter().flat_map(Table::entries) {
        let source = match &node.value {
            document::TomlValue::Text(text) => Some(FieldSource::from_text(text)),
            document::TomlValue::List(items) => joined(items),
            document::TomlValue::Table(table) => elsewhere(keys, name, table),
            _ => None,
        };
        match source {
            Some(source) => drop(fields.insert(name.to_owned(), source)),
            None => keys.wrong_type(name, node, "a field of the record", FIELD_HINT.to_owned()),
        }
    }
    fields
}

/// Keys of the record that are joined, with one blank between them.
fn joined(items: &[document::LocatedValue]) -> Option<FieldSource> {
    let texts: Vec<String> = items.iter().filter_map(|item| text_of(&item.value)).collect();
    (!texts.is_empty() && texts.len() == items.len()).then_some(FieldSource::Joined(texts))
}

fn text_of(value: &document::TomlValue) -> Option<String> {
    match value {
        document::TomlValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// `{ value = "…" }`, or `{ from = "@file", pattern = "…" }`. A mistake is added to the problems.
fn elsewhere(keys: &Keys<'_>, name: &str, table: &Table) -> Option<FieldSource> {
    let text = |key: &str| table.get(key).and_then(|node| node.value.scalar());
    match (text("value"), text("from"), text("pattern"), table.entries().count()) {
        (Some(value), None, None, 1) => Some(FieldSource::Constant(value)),
        (None, Some(from), None, 1) => Some(FieldSource::from_text(&from)),
        (None, Some(from), Some(pattern), 2) => {
            let place = table.get("pattern").map(|node| &node.place)?;
            let FieldSource::Around(around, None) = FieldSource::from_text(&from) else { return None };
            match TextPattern::new(&pattern) {
                Ok(pattern) if pattern.takes() => Some(FieldSource::Around(around, Some(pattern))),
                Ok(_) => {
                    let hint = format!("name the part that is the {name}, e.g. \"{{{name}}}-trades-*\"");
                    keys.problems().add(place, format!("`pattern` is {pattern:?}, which takes nothing"), hint);
                    Some(FieldSource::Around(around, None))
                }
                Err(fault) => {
                    let hint = "a pattern has `*` for any run of characters and one `{name}`";
                    keys.problems().add(place, format!("`pattern` is {pattern:?}, {fault}"), hint);
                    Some(FieldSource::Around(around, None))
                }
            }
        }
        _ => None,
    }
}

fn field_json(field: &FieldSource) -> serde_json::Value {
    match field {
        FieldSource::Constant(text) => json!({ "value": text }),
        FieldSource::Joined(keys) => json!(keys),
        FieldSource::Around(around, Some(pattern)) => json!({ "from": around.to_string(), "pattern": pattern.text() }),
        FieldSource::Key(_) | FieldSource::Around(_, None) => json!(field.to_text()),
    }
}

/// The preset's settings are laid under those of the file before anything is read, and recorded in its place.
pub(super) const PRESET: Own = Own {
    name: "text",
    default: "",
    read: Read::With(|keys, _| drop(keys.text("preset"))),
    show: Show::One(|_| None),
    schema: || json!({ "enum": PRESETS.names() }),
};

pub(super) const TYPES: Own = Own {
    name: "table",
    default: "",
    read: Read::With(|keys, dataflow| dataflow.source.wire.types = types(keys)),
    show: Show::One(|dataflow| {
        let types = &dataflow.source.wire.types;
        // a list, as the order counts
        let pairs = || types.iter().map(|(word, kind)| json!([word, kind.word()])).collect::<Vec<_>>();
        (!types.is_empty()).then(|| json!(pairs()))
    }),
    schema: || json!({ "type": "object", "additionalProperties": { "enum": RecordType::WORDS.map(|(word, _)| word) } }),
};

fn types(keys: &Keys<'_>) -> Vec<(String, RecordType)> {
    let mut types = Vec::new();
    for (word, place, node) in
        keys.table("types", "{ match = \"trade\", \"*\" = \"ignore\" }").into_iter().flat_map(Table::entries)
    {
        let all = RecordType::WORDS.map(|(word, _)| word);
        let meant = text_of(&node.value).and_then(|text| RecordType::WORDS.into_iter().find(|(word, _)| *word == text));
        match meant {
            Some((_, kind)) => types.push((word.to_owned(), kind)),
            None => {
                let hint = format!("a word stands for one of {}", all.join(", "));
                keys.problems().add(&node.place, format!("`types` maps {word:?} to something else"), hint);
            }
        }
        if let Err(fault) = TextPattern::new(word).map(|_| ()).and_then(|()| few_stars(word)) {
            keys.problems().add(
                place,
                format!("`types` has {word:?}, {fault}"),
                "a `*` stands for any run of characters",
            );
        }
    }
    types
}

/// A pattern with many stars is tried in many ways.
fn few_stars(word: &str) -> Result<(), &'static str> {
    if word.bytes().filter(|byte| *byte == b'*').count() > 3 { Err("which has more than three `*`") } else { Ok(()) }
}

pub(super) const ZONE: Own = Own {
    name: "text",
    default: "",
    read: Read::With(|keys, dataflow| {
        let read = |text: &str| match jiff::tz::TimeZone::get(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(("which is not a time zone".to_owned(), "e.g. \"Asia/Kolkata\" or \"UTC\"".to_owned())),
        };
        dataflow.source.wire.zone = keys.read("zone", read).map(|(zone, _)| zone);
    }),
    show: Show::One(|dataflow| dataflow.source.wire.zone.as_ref().map(|zone| json!(zone))),
    schema: || json!({ "type": "string" }),
};

const AMBIGUOUS_WORDS: [(&str, Ambiguous); 3] =
    [("refuse", Ambiguous::Refuse), ("earliest", Ambiguous::Earliest), ("latest", Ambiguous::Latest)];

pub(super) const AMBIGUOUS: Own = Own {
    name: "refuse \\| earliest \\| latest",
    default: "\"refuse\"",
    read: Read::With(|keys, dataflow| {
        let found = keys.choice("ambiguous", &AMBIGUOUS_WORDS.map(|(word, _)| word));
        dataflow.source.wire.ambiguous = found.map_or(Ambiguous::Refuse, |index| AMBIGUOUS_WORDS[index].1);
    }),
    show: Show::One(|dataflow| {
        let chosen = dataflow.source.wire.ambiguous;
        let word = AMBIGUOUS_WORDS.iter().find(|(_, other)| *other == chosen).map(|(word, _)| *word);
        word.filter(|_| chosen != Ambiguous::Refuse).map(|word| json!(word))
    }),
    schema: || json!({ "enum": AMBIGUOUS_WORDS.map(|(word, _)| word) }),
};

pub(super) const TIME_FORMAT: Own = Own {
    name: "text",
    default: "",
    read: Read::With(|keys, dataflow| {
        dataflow.source.wire.time_format = keys.text("time_format").map(|(form, _)| form);
    }),
    show: Show::One(|dataflow| dataflow.source.wire.time_format.as_ref().map(|form| json!(form))),
    schema: || json!({ "type": "string" }),
};

pub(super) const DECIMAL: Own = Own {
    name: "character",
    default: "",
    read: Read::With(|keys, dataflow| {
        dataflow.source.wire.decimal = keys.read("decimal", mark).map(|(byte, _)| byte);
    }),
    show: Show::One(|dataflow| dataflow.source.wire.decimal.map(|byte| json!(char::from(byte)))),
    schema: || json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
};

pub(super) const THOUSANDS: Own = Own {
    name: "character",
    default: "",
    read: Read::With(|keys, dataflow| {
        dataflow.source.wire.thousands = keys.read("thousands", mark).map(|(byte, _)| byte);
    }),
    show: Show::One(|dataflow| dataflow.source.wire.thousands.map(|byte| json!(char::from(byte)))),
    schema: || json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
};

/// A mark inside a number.
fn mark(text: &str) -> Result<u8, (String, String)> {
    match text.as_bytes() {
        [byte @ (b'.' | b',' | b'\'' | b' ' | b'_')] => Ok(*byte),
        _ => Err(("which is no mark inside a number".to_owned(), "e.g. \",\" or \".\"".to_owned())),
    }
}

pub(super) const ROUND: Own = Own {
    name: "boolean",
    default: "false",
    read: Read::With(|keys, dataflow| dataflow.source.wire.round = keys.boolean("round").unwrap_or(false)),
    show: Show::One(|dataflow| dataflow.source.wire.round.then_some(json!(true))),
    schema: || json!({ "type": "boolean" }),
};

pub(super) const TRIM: Own = Own {
    name: "boolean",
    default: "true",
    read: Read::With(|keys, dataflow| dataflow.source.wire.trim = keys.boolean("trim").filter(|trim| !trim)),
    show: Show::One(|dataflow| dataflow.source.wire.trim.map(|trim| json!(trim))),
    schema: || json!({ "type": "boolean" }),
};
