//! The JSON Schema of the dataflow file (draft 2020-12), made from the table of keys, for editors.
//!
//! What must hold: every dataflow that the reader accepts is valid under it; a test checks the shipped ones.

use crate::keys::SECTIONS;
use crate::keys::values;
use serde_json::{Map, Value, json};

/// The schema as a JSON value.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for section in SECTIONS {
        if section.name.is_empty() {
            // the parts of a key are in the key's own schema
            for key in section.keys.iter().filter(|key| !key.path.contains("[]")) {
                let name = key.path.split('.').next().unwrap_or(key.path);
                properties.entry(name).or_insert_with(|| values::described(key));
            }
        } else {
            let mut table = values::table(section.keys, &[]);
            table["description"] = json!(section.doc);
            properties.insert(section.name.to_owned(), table);
        }
    }
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from the table of keys. Renew it: TICKTIDE_BLESS=1 cargo test -p ticktide-dataflow reference",
        "title": "A dataflow of ticktide",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": {
            "settings": { "type": "object", "additionalProperties": { "anyOf": [scalar, { "$ref": "#/$defs/settings" }] } },
        },
    })
}
