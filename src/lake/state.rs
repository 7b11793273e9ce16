//! The operators' durable state: files of last values by key, named in the slot of their epoch.
//!
//! Why last values or tombstones and never deltas to be folded: a file that is read twice, or in another order of workers,
//! must give the same state. What must hold: L9, a state file counts only if a slot names it.
//!
//! Opening a lake reads the base and every file since. So that this stays short in a run of months, the files are folded
//! into a new base in the background, and a later slot names it; a run that ends before loses nothing.

use super::epoch::{EpochPart, StateBase, StateFile};
use super::error::LakeError;
use super::store::Store;
use crate::time::Epoch;
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// One key of one operator; `value: None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    pub operator: Cow<'static, str>,
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    #[serde(with = "serde_bytes")]
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
    write_entries(store, path, state).await.map(Some)
}

async fn write_entries(store: &dyn Store, path: String, state: StateRows) -> Result<StateFile, LakeError> {
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
    Ok(StateFile { path, entries, bytes, full })
}

/// Whether the parts hold all the state there is: every worker wrote all of its own.
pub fn is_full(parts: &[EpochPart]) -> bool {
    !parts.is_empty() && parts.iter().all(|part| part.state.iter().any(|file| file.full))
}

/// Files that are read at once at a start.
const FILES_AT_ONCE: usize = 16;

/// The entries of one file. Error: it does not hold what its slot says.
async fn read_entries(store: &dyn Store, file: StateFile) -> Result<Vec<StateEntry>, LakeError> {
    let bytes = store.get(&file.path).await?;
    let decoded = tokio::task::spawn_blocking(move || {
        let failed = |error: String| LakeError::format(file.path.clone(), error);
        let plain = zstd::decode_all(&*bytes).map_err(|error| failed(error.to_string()))?;
        let entries: Vec<StateEntry> = bincode::deserialize(&plain).map_err(|error| failed(error.to_string()))?;
        if entries.len() as u64 != file.entries {
            return Err(failed(format!("holds {} entries, its slot says {}", entries.len(), file.entries)));
        }
        Ok(entries)
    });
    decoded.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("decoding state panicked: {error}"))))
}

/// The state that files make up, in the order of their epochs: per operator and key the last value.
pub async fn load_state(
    store: &dyn Store,
    files: impl IntoIterator<Item = &StateFile>,
) -> Result<Vec<StateEntry>, LakeError> {
    let mut state: BTreeMap<(Cow<'static, str>, Vec<u8>), Vec<u8>> = BTreeMap::new();
    // hundreds of small files: one after the other they would cost hundreds of round trips
    let mut read =
        futures::stream::iter(files.into_iter().cloned()).map(|file| read_entries(store, file)).buffered(FILES_AT_ONCE);
    while let Some(entries) = read.next().await {
        for entry in entries? {
            let key = (entry.operator, entry.key);
            match entry.value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
    }
    let entries = state.into_iter();
    Ok(entries.map(|((operator, key), value)| StateEntry { operator, key, value: Some(value) }).collect())
}

/// Epochs since the base after which the files are folded.
const FOLD_EPOCHS: usize = if cfg!(test) { 2 } else { 360 };
/// Bytes beyond the size of the base after which the files are folded.
const FOLD_BYTES: u64 = 128 << 20;

/// The files that make up the state, and the folding of them.
#[derive(Debug, Default)]
pub struct StateFiles {
    base: Option<StateBase>,
    since: BTreeMap<Epoch, Vec<StateFile>>,
    folding: JoinSet<Result<StateBase, LakeError>>,
}

impl StateFiles {
    pub fn new(base: Option<StateBase>, since: BTreeMap<Epoch, Vec<StateFile>>) -> StateFiles {
        StateFiles { base, since, folding: JoinSet::new() }
    }

    /// All files in the order in which they count.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        self.base.iter().map(|base| &base.file).chain(self.since.values().flatten())
    }

    /// The base that the next slot names, if a folding has ended since; else the one there is.
    pub fn base(&mut self) -> Option<StateBase> {
        match self.folding.try_join_next() {
            Some(Ok(Ok(folded))) => {
                self.since.retain(|epoch, _| *epoch > folded.epoch);
                self.base = Some(folded);
            }
            // the files are all there: the next folding reads them again
            Some(Ok(Err(error))) => tracing::warn!(%error, "folding the state failed"),
            Some(Err(error)) => tracing::warn!(%error, "folding the state failed"),
            None => {}
        }
        self.base.clone()
    }

    /// An epoch was decided with these files; `full`: nothing older is needed.
    pub fn decided(&mut self, epoch: Epoch, files: Vec<StateFile>, full: bool) {
        if full {
            self.base = None;
            self.since.clear();
            self.folding = JoinSet::new(); // what it folds is no longer needed
        }
        self.since.insert(epoch, files);
    }

    /// Starts to fold in the background when there is much to read.
    pub fn fold(&mut self, store: &Arc<dyn Store>, generation: u64) {
        let bytes: u64 = self.since.values().flatten().map(|file| file.bytes).sum();
        let base_bytes = self.base.as_ref().map_or(0, |base| base.file.bytes);
        let much = self.since.len() >= FOLD_EPOCHS || bytes >= base_bytes + FOLD_BYTES;
        if !much || !self.folding.is_empty() {
            return;
        }
        let Some(epoch) = self.since.keys().next_back().copied() else { return };
        let (store, files): (_, Vec<_>) = (store.clone(), self.files().cloned().collect());
        self.folding.spawn(async move {
            let entries = load_state(&*store, &files).await?;
            let path = format!("state/{epoch}-base-{generation}.bin.zst");
            let file = write_entries(&*store, path, StateRows { entries, full: true }).await?;
            Ok(StateBase { epoch, file })
        });
    }
}
