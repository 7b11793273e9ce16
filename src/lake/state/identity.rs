//! The identity of a lake: its dataflow, the dataflow's hash, its location. It is written once, when the lake is created; later
//! additions to the dataflow are in its lineages ([`super::lineage`]).

use crate::LakeOptions;
use crate::catalog::CatalogIdentity;
use crate::error::LakeError;
use crate::state::format;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The object that holds the identity.
pub const IDENTITY: &str = "ticktide.json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    #[serde(default = "format::first")]
    pub format: u32,
    pub dataflow: String,
    pub hash: String,
    /// The resolved settings without secrets, to name the keys that differ.
    pub settings: Json,
    /// The address of the lake when it was created.
    pub location: String,
    pub namespace: String,
    /// The catalog that the lake was created with; `None`: the catalog has no identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogIdentity>,
    pub code_version: String,
    /// Epochs before this one are no longer readable.
    pub since: u64,
}

impl Identity {
    /// Parses an identity. Error of kind `Fix`: it is of a later format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Identity, LakeError> {
        format::check(IDENTITY, bytes)?;
        serde_json::from_slice(bytes).map_err(|error| LakeError::format(IDENTITY, error))
    }
}

/// The identity as stored; `None`: there is none.
pub async fn known(store: &dyn Store) -> Result<Option<Identity>, LakeError> {
    let bytes = match store.get(IDENTITY).await {
        Err(LakeError::Missing { .. }) => return Ok(None),
        other => other?,
    };
    Identity::from_bytes(&bytes).map(Some)
}

/// Reads the identity, with the settings of the lake's creation. Error of kind `Fix`: there is no lake, or it was moved.
pub async fn first(store: &dyn Store) -> Result<Identity, LakeError> {
    let location = store.location("");
    let bytes = match store.get(IDENTITY).await {
        Err(LakeError::Missing { .. }) => {
            return Err(LakeError::fix(
                format!("there is no lake at {location}"),
                "name the location of a lake with `--warehouse`, or create one with `ticktide run` or `ticktide demo`",
            ));
        }
        other => other?,
    };
    let found = Identity::from_bytes(&bytes)?;
    in_place(&found, &location)?;
    Ok(found)
}

/// The options' settings, parsed.
pub fn settings(options: &LakeOptions) -> Result<Json, LakeError> {
    serde_json::from_str(&options.settings_json)
        .map_err(|error| LakeError::Bug(format!("the settings are not JSON: {error}")))
}

/// The identity that a lake at `location` would have if it was created with the options.
pub fn ours(options: &LakeOptions, location: String) -> Result<Identity, LakeError> {
    Ok(Identity {
        format: format::FORMAT,
        dataflow: options.dataflow.clone(),
        hash: options.dataflow_hash.clone(),
        settings: settings(options)?,
        location,
        namespace: options.namespace.clone(),
        catalog: None,
        code_version: options.code_version.clone(),
        since: 0,
    })
}

fn in_place(found: &Identity, location: &str) -> Result<(), LakeError> {
    if found.location == location {
        return Ok(());
    }
    Err(LakeError::fix(
        format!("the lake at {location} was created at {}", found.location),
        "its files name each other by absolute addresses: move the lake back, or make the old address lead to it",
    ))
}

/// Refuses another dataflow's lake.
pub fn check_name(options: &LakeOptions, found: &Identity) -> Result<(), LakeError> {
    if found.dataflow == options.dataflow {
        return Ok(());
    }
    Err(LakeError::fix(
        format!("the lake belongs to dataflow {:?}, not to {:?}", found.dataflow, options.dataflow),
        "choose another `--warehouse` for this dataflow",
    ))
}

/// Refuses a lake whose identity differs from `ours`. Error of kind `Fix`, with the keys that differ.
pub fn compare(ours: &Identity, found: &Identity) -> Result<(), LakeError> {
    in_place(found, &ours.location)?;
    if found.dataflow != ours.dataflow {
        return Err(LakeError::fix(
            format!("the lake belongs to dataflow {:?}, not to {:?}", found.dataflow, ours.dataflow),
            "choose another `--warehouse` for this dataflow",
        ));
    }
    if found.namespace != ours.namespace {
        return Err(LakeError::fix(
            format!("the lake's tables are in namespace {:?}, not in {:?}", found.namespace, ours.namespace),
            format!("set the namespace to {:?}", found.namespace),
        ));
    }
    if found.hash != ours.hash {
        let mut keys = BTreeSet::new();
        differing("", &found.settings, &ours.settings, &mut keys);
        // settings of where and how the dataflow runs may differ
        keys.retain(|key| key != "running" && !key.starts_with("running."));
        let keys: Vec<_> = keys.into_iter().collect();
        return Err(LakeError::fix(
            format!("dataflow {:?} differs from the lake's in [{}]", ours.dataflow, keys.join(", ")),
            "set these keys back, add `--evolve` if they only add to the lake's, or write into a new lake with another \
             `--warehouse`",
        ));
    }
    Ok(())
}

/// The paths of the leaves in which two settings differ.
pub fn differing(path: &str, left: &Json, right: &Json, into: &mut BTreeSet<String>) {
    match (left, right) {
        (Json::Object(left), Json::Object(right)) => {
            for key in left.keys().chain(right.keys()) {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differing(&inner, left.get(key).unwrap_or(&Json::Null), right.get(key).unwrap_or(&Json::Null), into);
            }
        }
        _ if left != right => {
            into.insert(if path.is_empty() { "settings".to_owned() } else { path.to_owned() });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(hash: &str, settings: Json) -> Identity {
        Identity {
            format: format::FORMAT,
            dataflow: "market".into(),
            hash: hash.into(),
            settings,
            location: "file:///lake".into(),
            namespace: "market".into(),
            catalog: None,
            code_version: "1".into(),
            since: 0,
        }
    }

    #[test]
    fn a_changed_dataflow_is_refused_and_the_keys_that_differ_are_named() {
        let found = identity("a", json!({"grace": "5s", "horizon": {"1s": "10m", "1m": "2h"}, "bars": [1]}));
        let ours = identity("b", json!({"grace": "5s", "horizon": {"1s": "10m", "1m": "3h"}, "bars": [1, 2]}));
        let error = compare(&ours, &found).expect_err("the hash differs");
        assert!(error.to_string().ends_with("[bars, horizon.1m]"), "{error}");
        assert!(compare(&found, &found).is_ok());
    }

    #[test]
    fn a_moved_lake_and_anothers_lake_are_refused() {
        let found = identity("a", json!({}));
        let moved = Identity { location: "file:///elsewhere".into(), ..found.clone() };
        assert!(compare(&moved, &found).expect_err("moved").to_string().contains("file:///lake"));
        let other = Identity { dataflow: "bars".into(), ..found.clone() };
        assert!(compare(&other, &found).expect_err("another's").to_string().contains("\"bars\""));
    }
}
