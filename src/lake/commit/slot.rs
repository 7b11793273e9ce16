//! The slot of an epoch: the one object whose creation is the commit of offsets, state and all tables.
//!
//! It names everything that [`apply`](crate::commit::protocol) needs to bring each table to this epoch, in any process and any
//! number of times: the new files, the net changes by key, a snapshot id chosen up front, and the epoch that the table must
//! have before. A slot also names the tables that it does not touch, with their last snapshot, so it has all pins of its epoch.

use crate::error::LakeError;
use crate::state::format;
use crate::store::Store;
use crate::table::meta::DataFileMeta;
use crate::table::rows::{hash_of, key_of};
use crate::table::spec::{Change, Row, TableSpec};
use crate::upkeep::retention::Retention;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Conservation, Epoch};

/// The folder of the slots.
pub const LOG: &str = "log/";
/// More changes of a table than this are written to a side file.
const CHANGES_INLINE: usize = 200;

/// What one worker wrote of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochPart {
    pub worker: usize,
    pub tables: Vec<TablePart>,
    pub state: Vec<StateFile>,
}

/// What one worker wrote of one table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TablePart {
    pub table: String,
    pub files: Vec<DataFileMeta>,
    pub history_files: Vec<DataFileMeta>,
    /// Only changes with an old row; their new rows are in no file yet.
    pub changes: Vec<Change>,
    pub rows_added: u64,
    pub rows_removed: u64,
    /// The hashes of the rows added, summed, minus those of the rows removed.
    pub content_hash: u128,
}

/// A file of operator state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    pub path: String,
    pub entries: u64,
    pub bytes: u64,
    /// The file holds all of the worker's state; if every worker's file does, no older file is needed.
    pub full: bool,
}

/// The whole state up to an epoch, in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBase {
    pub epoch: Epoch,
    pub file: StateFile,
}

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    Data,
    /// Empty: a new generation claims the log (L5). Only binaries of format 1 wrote it under its older name.
    #[serde(rename = "claim", alias = "takeover")]
    Takeover,
    /// No rows: files of a table are merged, or old epochs expire.
    Maintain,
    /// No rows: the lake goes on from this slot's own binding, which sets a partition's time back.
    Rewind,
}

/// An epoch as decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    #[serde(default = "format::first")]
    pub format: u32,
    pub epoch: Epoch,
    pub kind: SlotKind,
    pub generation: u64,
    /// Unique for each attempt to decide: distinguishes this process's own success from another's (L3).
    pub token: String,
    /// Milliseconds since 1970, strictly increasing: the time stamp of every snapshot of the epoch.
    pub cut_at: i64,
    pub decided_at: i64,
    /// A takeover and maintenance repeat the last one unchanged.
    pub binding: Option<Binding>,
    pub conservation: BTreeMap<String, Conservation>,
    /// The entry of every table of the lake.
    pub tables: BTreeMap<String, TableEntry>,
    pub state: Vec<StateFile>,
    /// The state is the base, if there is one, and the files of the slots from `state_from` on.
    #[serde(default)]
    pub state_base: Option<StateBase>,
    pub state_from: Epoch,
    /// What stays readable from this epoch on; `None`: this slot does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// The slot, this one or an earlier one, whose retention applies; `None`: every epoch stays.
    #[serde(default)]
    pub retention_at: Option<Epoch>,
}

/// A table at an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    pub uuid: String,
    /// The last epoch before this one that touched the table.
    pub previous: Option<Epoch>,
    /// The table's snapshot at the end of the epoch; `None` as long as the table is empty.
    pub snapshot_id: Option<i64>,
    /// The table's rows and the sum of their hashes at the end of the epoch.
    pub rows: u64,
    pub content_hash: u128,
    /// `None`: the epoch does not touch the table.
    pub work: Option<TableWork>,
}

/// What an epoch does to a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableWork {
    pub files: Vec<DataFileMeta>,
    pub changes: Changes,
    pub rows_added: u64,
    pub rows_removed: u64,
    /// The names in the store of the data files whose live rows `files` now hold, and of their delete files. The work applies
    /// only if all of them are live and the data files have no other delete files; otherwise it has no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
}

/// Net changes by key, in the slot or in a side file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Changes {
    Here(Vec<NetChange>),
    Side { path: String, count: u64 },
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::Here(Vec::new())
    }
}

impl Changes {
    /// The changes, read from the side file if there is one.
    pub async fn load(&self, store: &dyn Store) -> Result<Vec<NetChange>, LakeError> {
        match self {
            Changes::Here(changes) => Ok(changes.clone()),
            Changes::Side { path, count } => {
                let bytes = store.get(path).await?;
                let changes: Vec<NetChange> =
                    serde_json::from_slice(&bytes).map_err(|error| LakeError::format(path.clone(), error))?;
                if changes.len() as u64 != *count {
                    let found = format!("holds {} changes, its slot says {count}", changes.len());
                    return Err(LakeError::format(path.clone(), found));
                }
                Ok(changes)
            }
        }
    }

    /// Keeps a short list in the slot; writes a long one to `path`.
    pub async fn store(changes: Vec<NetChange>, path: String, store: &dyn Store) -> Result<Changes, LakeError> {
        if changes.len() <= CHANGES_INLINE {
            return Ok(Changes::Here(changes));
        }
        let bytes = serde_json::to_vec(&changes).map_err(|error| LakeError::format(path.clone(), error))?;
        store.put(&path, Bytes::from(bytes)).await?;
        Ok(Changes::Side { path, count: changes.len() as u64 })
    }
}

/// The change of one key, with what is needed to find the old row and to prove that it is the right one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetChange {
    /// The values of the key's columns, in the key's order.
    pub key: Row,
    pub old_hash: u128,
    /// `None`: a tombstone.
    pub new: Option<Row>,
}

impl NetChange {
    /// Converts a change that has an old row; its new row must have the same key.
    pub fn new(spec: &TableSpec, change: Change) -> Result<NetChange, LakeError> {
        let bug = |detail: &str| LakeError::Bug(format!("table {}: {detail}", spec.name));
        let old = change.old.ok_or_else(|| bug("a change without an old row"))?;
        if old.len() != spec.columns.len() || spec.key.is_empty() {
            return Err(bug("a change of a table without a key, or of a row with another number of columns"));
        }
        if let Some(new) = &change.new
            && (new.len() != spec.columns.len() || key_of(spec, new) != key_of(spec, &old))
        {
            return Err(bug("a change whose two rows have different keys"));
        }
        let key = spec.key.iter().map(|at| old[*at].clone()).collect();
        Ok(NetChange { key, old_hash: hash_of(spec, &old), new: change.new })
    }
}

/// The name of an epoch's slot.
pub fn slot_key(epoch: Epoch) -> String {
    format!("{LOG}{epoch:020}.json")
}

/// The epoch of a slot's name; `None` for other names.
pub fn slot_epoch(key: &str) -> Option<Epoch> {
    key.strip_prefix(LOG)?.strip_suffix(".json")?.parse().ok()
}

impl SlotKind {
    /// Whether a slot of the kind has a binding of its own.
    pub fn binds(self) -> bool {
        matches!(self, SlotKind::Data | SlotKind::Rewind)
    }
}

impl Slot {
    pub fn to_bytes(&self) -> Result<Bytes, LakeError> {
        let bytes = serde_json::to_vec(self).map_err(|error| LakeError::format(slot_key(self.epoch), error))?;
        Ok(Bytes::from(bytes))
    }

    /// Reads a slot and checks that it is of the epoch that its name says.
    pub fn from_bytes(epoch: Epoch, bytes: &[u8]) -> Result<Slot, LakeError> {
        format::check(&slot_key(epoch), bytes)?;
        let slot: Slot = serde_json::from_slice(bytes).map_err(|error| LakeError::format(slot_key(epoch), error))?;
        if slot.epoch != epoch {
            return Err(LakeError::format(slot_key(epoch), format!("is of epoch {}", slot.epoch)));
        }
        Ok(slot)
    }

    /// The next slot's entry of a table that it does not touch.
    pub fn carried(&self, table: &str) -> Option<TableEntry> {
        let entry = self.tables.get(table)?;
        Some(TableEntry { previous: self.last_touched(table), work: None, ..entry.clone() })
    }

    /// The last epoch up to this one that touched the table.
    pub fn last_touched(&self, table: &str) -> Option<Epoch> {
        let entry = self.tables.get(table)?;
        if entry.work.is_some() { Some(self.epoch) } else { entry.previous }
    }
}
