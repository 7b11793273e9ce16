//! Which values a key takes, in JSON Schema (draft 2020-12), for editors.
//!
//! Why it has only a part of the reader's checks: a schema knows nothing of registries that depend on each other, of bars that
//! must be multiples or of time zones. What must hold: whatever a reader accepts, the schema accepts.

use super::key::{Key, KeyType, Own, Read, Show};
use serde_json::{Map, Value, json};
use ticktide_base::document::duration_text;
use ticktide_flow::parameters::Parameter;

/// The width of the bars that an indicator or a check is on; its list reads it.
pub const ON: Own = Own { name: "duration", default: "", read: Read::ByWhole, show: Show::No, schema: duration };

/// A parameter of an indicator or a check; its list reads it.
pub const PARAMETER: Own =
    Own { name: "number or word", default: "", read: Read::ByWhole, show: Show::No, schema: || json!({}) };

/// A duration: a whole number and a unit.
pub fn duration() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+\\s*(d|h|m|s|ms|us|ns)$" })
}

/// A size: a whole number, and a unit unless it counts bytes.
fn size() -> Value {
    let text = json!({ "type": "string", "pattern": "^[0-9]+\\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?$" });
    json!({ "anyOf": [text, { "type": "integer", "minimum": 1 }] })
}

/// A list of texts, or one text.
pub fn texts() -> Value {
    json!({ "type": ["string", "array"], "items": { "type": "string" } })
}

/// One of some words.
pub fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// A table with the given keys and no others; `required` are those that must be there.
pub fn table<'a>(keys: impl IntoIterator<Item = &'a Key>, required: &[&str]) -> Value {
    let properties = keys.into_iter().map(|key| (key.name().to_owned(), described(key)));
    let properties: Map<String, Value> = properties.collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The value of a registry's parameter.
pub fn parameter(parameter: &Parameter) -> Value {
    let mut schema = match parameter.words {
        [] => json!({
            "type": if parameter.whole { "integer" } else { "number" },
            "minimum": parameter.least,
            "maximum": parameter.most,
            "default": parameter.default,
        }),
        all => json!({ "enum": all, "default": parameter.shown(parameter.default) }),
    };
    schema["description"] = json!(parameter.doc);
    schema
}

/// What a key takes, with its doc.
pub fn described(key: &Key) -> Value {
    let mut schema = match &key.kind {
        KeyType::Span { .. } => duration(),
        KeyType::Whole { least, most, .. } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        KeyType::Size { .. } => size(),
        KeyType::Flag(_) => json!({ "type": "boolean" }),
        KeyType::Word { words: all, .. } => words(&all()),
        KeyType::Texts { .. } => texts(),
        KeyType::Own(own) => (own.schema)(),
    };
    schema["description"] = json!(key.doc);
    schema
}

/// The type of a key for the user, with its bounds.
pub fn type_name(key: &Key) -> String {
    match &key.kind {
        KeyType::Span { least: 0, .. } => "duration".to_owned(),
        KeyType::Span { least, .. } => format!("duration from {}", duration_text(*least)),
        KeyType::Whole { least, most, .. } if *most == i64::MAX as u64 => format!("whole number from {least}"),
        KeyType::Whole { least, most, .. } => format!("whole number from {least} to {most}"),
        KeyType::Size { .. } => "size".to_owned(),
        KeyType::Flag(_) => "true or false".to_owned(),
        KeyType::Word { words, .. } => words().join(" | "),
        KeyType::Texts { .. } => "text or list of texts".to_owned(),
        KeyType::Own(own) => own.name.to_owned(),
    }
}

/// The default of a key as a file would write it; empty: there is none.
pub fn default_text(key: &Key) -> String {
    match &key.kind {
        KeyType::Span { default, .. } => format!("{:?}", duration_text(*default)),
        KeyType::Whole { default, .. } => default.to_string(),
        KeyType::Size { default, .. } => format!("{:?}", size_text(*default)),
        KeyType::Flag(_) => "false".to_owned(),
        KeyType::Word { default, .. } => format!("{default:?}"),
        KeyType::Texts { default, .. } => format!("{default:?}"),
        KeyType::Own(own) => own.default.to_owned(),
    }
}

/// A size in its greatest whole unit.
fn size_text(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let whole = units.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}
