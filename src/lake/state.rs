//! The operators' durable state: files of last values by key, named in the slot of their epoch.
//!
//! Why last values or tombstones and never deltas to be folded: a file that is read twice, or in another order of workers,
//! must give the same state. What must hold: L9, a state file counts only if a slot names it.

use super::epoch::{EpochPart, Slot, StateFile};
use super::error::LakeError;
use super::store::Store;
use crate::time::Epoch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One key of one operator; `value: None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    pub operator: String,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What a worker adds to the state in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateRows {
    pub entries: Vec<StateEntry>,
    /// The entries are all of the worker's state.
    pub full: bool,
}

/// Writes a worker's state file; nothing to say and not full: no file.
pub async fn write_state(
    store: &dyn Store,
    epoch: Epoch,
    worker: usize,
    generation: u64,
    state: StateRows,
) -> Result<Option<StateFile>, LakeError> {
    if state.entries.is_empty() && !state.full {
        return Ok(None);
    }
    let path = format!("state/{epoch}-{worker}-{generation}.bin.zst");
    let (entries, full) = (state.entries.len() as u64, state.full);
    let context = path.clone();
    let encoded = tokio::task::spawn_blocking(move || {
        let plain = bincode::serialize(&state.entries).map_err(|error| LakeError::format(context.clone(), error))?;
        zstd::encode_all(plain.as_slice(), 1).map_err(|error| LakeError::format(context, error))
    });
    let encoded =
        encoded.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("encoding state panicked: {error}"))))?;
    let bytes = encoded.len() as u64;
    store.put(&path, Bytes::from(encoded)).await?;
    Ok(Some(StateFile { path, entries, bytes, full }))
}

/// Whether the parts hold all the state there is: every worker wrote all of its own.
pub fn is_full(parts: &[EpochPart]) -> bool {
    !parts.is_empty() && parts.iter().all(|part| part.state.iter().any(|file| file.full))
}

/// The state that the slots' files make up: per operator and key the last value by epoch. `slots` ascend.
pub async fn load_state<'a>(
    store: &dyn Store,
    slots: impl IntoIterator<Item = &'a Slot>,
) -> Result<Vec<StateEntry>, LakeError> {
    let mut state: BTreeMap<(String, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for slot in slots {
        if slot.state_from == slot.epoch {
            state.clear();
        }
        for file in &slot.state {
            let bytes = store.get(&file.path).await?;
            let failed = |error: String| LakeError::format(file.path.clone(), error);
            let plain = zstd::decode_all(&*bytes).map_err(|error| failed(error.to_string()))?;
            let entries: Vec<StateEntry> = bincode::deserialize(&plain).map_err(|error| failed(error.to_string()))?;
            if entries.len() as u64 != file.entries {
                return Err(failed(format!("holds {} entries, its slot says {}", entries.len(), file.entries)));
            }
            for entry in entries {
                let key = (entry.operator, entry.key);
                match entry.value {
                    Some(value) => state.insert(key, value),
                    None => state.remove(&key),
                };
            }
        }
    }
    let entries = state.into_iter();
    Ok(entries.map(|((operator, key), value)| StateEntry { operator, key, value: Some(value) }).collect())
}
