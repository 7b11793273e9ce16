//! A dataflow in words: its hash, its settings without secrets, and where each of them came from.
//!
//! Everything comes from the table of keys ([`SECTIONS`]). The hash covers the keys that change rows, in a canonical form:
//! presets and defaults are written out, so two files that mean the same have the same hash.

use crate::keys::key::{HashForm, Key};
use crate::keys::{SECTIONS, all};
use crate::spec::Dataflow;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use ticktide_market::calendar::hex;

/// One setting as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub key: String,
    pub value: String,
    /// A place in the file, a flag, a variable or "default".
    pub origin: String,
}

impl Dataflow {
    /// SHA-256 over what changes rows, in hex: never brokers, credentials, epoch size or workers.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.hashed() {
            hash.update(format!("{key}={value}\n"));
        }
        hex(&hash.finalize())
    }

    /// The resolved settings without secrets, for the lake: what changes rows by its key, the rest below `running`.
    pub fn settings_json(&self) -> String {
        let mut settings = self.hashed();
        let rest = all().filter(|key| matches!(key.hashed, HashForm::No)).flat_map(|key| key.shown(self));
        settings.insert("running".to_owned(), Value::Object(rest.collect()));
        json!(settings).to_string()
    }

    /// Every setting with its origin, in a fixed order.
    pub fn origins(&self) -> Vec<Described> {
        let origin = |key: &str| {
            let mut prefix = Some(key);
            while let Some(path) = prefix {
                if let Some(place) = self.origins.get(path) {
                    return place.to_string();
                }
                prefix = path.rfind('.').map(|dot| &path[..dot]);
            }
            "default".to_owned()
        };
        let shown = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let described = |(key, value): (String, Value)| Described { origin: origin(&key), value: shown(value), key };
        self.flat().into_iter().map(described).collect()
    }

    /// The keys that change rows, in canonical form.
    fn hashed(&self) -> BTreeMap<String, Value> {
        let of_key = |key: &Key| match key.hashed {
            HashForm::No => Vec::new(),
            HashForm::Shown => key.shown(self),
            HashForm::As(canonical) => canonical(self),
        };
        all().flat_map(of_key).collect()
    }

    /// Every setting under its dotted key, secrets masked.
    fn flat(&self) -> Vec<(String, Value)> {
        let mut flat = Vec::new();
        for section in SECTIONS {
            let mut keys: Vec<&Key> = section.keys.iter().collect();
            keys.sort_by_key(|key| key.shown_at); // a stable sort
            flat.extend(keys.into_iter().flat_map(|key| key.shown(self)));
        }
        flat
    }
}

impl fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings_json())
    }
}
