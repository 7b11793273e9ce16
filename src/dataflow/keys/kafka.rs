//! The key `source.kafka`: settings of librdkafka, passed on unchanged, with secrets from the environment and from files.
//!
//! Why the look of a name decides whether its value is masked: librdkafka has hundreds of settings, and ticktide knows only a
//! few. What must hold: a value that came from a variable or a file is a secret, too.

use super::key::{Own, Read, Show};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::{Keys, looks_secret};
use ticktide_base::environment::variable;

/// What is shown for a secret.
const MASK: &str = "***";

pub const SETTINGS: Own = Own {
    name: "text, number or boolean",
    default: "",
    read: Read::With(|keys, dataflow| (dataflow.source.kafka, dataflow.secrets) = settings(keys)),
    show: Show::Each(|dataflow| {
        let shown = |(key, value): (&String, &String)| {
            (key.clone(), json!(if dataflow.secrets.contains(key) { MASK } else { value }))
        };
        dataflow.source.kafka.iter().map(shown).collect()
    }),
    // a dotted key that is not quoted makes a table in a table
    schema: || json!({ "$ref": "#/$defs/settings" }),
};

/// librdkafka's settings with `${ENV}` and `@file` resolved, and the keys whose values must never be shown.
fn settings(keys: &Keys<'_>) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut settings, mut secrets) = (BTreeMap::new(), BTreeSet::new());
    let Some(table) = keys.table("kafka", "{ \"security.protocol\" = \"SASL_SSL\" }") else {
        return (settings, secrets);
    };
    for (key, node) in table.leaves() {
        let Some(written) = node.value.scalar() else {
            keys.wrong_type(&key, node, "text", "librdkafka's settings are texts, numbers or booleans");
            continue;
        };
        if key == "bootstrap.servers" || key == "metadata.broker.list" {
            keys.problems().add(&node.place, format!("`{key}` cannot be set here"), "set `source.brokers`");
            continue;
        }
        if looks_secret(&key) || written.contains("${") || written.starts_with('@') {
            secrets.insert(key.clone());
        }
        match resolved(&written) {
            Ok(value) => {
                settings.insert(key, value);
            }
            Err((message, hint)) => keys.problems().add(&node.place, format!("`{key}`: {message}"), hint),
        }
    }
    (settings, secrets)
}

/// Replaces every `${NAME}` by the environment's value, or the whole of `@file` by the file's text.
fn resolved(written: &str) -> Result<String, (String, String)> {
    if let Some(path) = written.strip_prefix('@') {
        let text = std::fs::read_to_string(path).map_err(|error| {
            (format!("the file {path:?} cannot be read: {error}"), "check the path after `@`".to_owned())
        })?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (mut value, mut rest) = (String::new(), written);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(("a `${` is not closed".to_owned(), "write it as `${NAME}`".to_owned()));
        };
        let found = variable(name).ok_or_else(|| {
            (format!("the environment variable {name} is not set"), format!("export {name}, or use `@file`"))
        })?;
        value.push_str(before);
        value.push_str(&found);
        rest = behind;
    }
    value.push_str(rest);
    Ok(value)
}
