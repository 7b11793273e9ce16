//! The operators' durable state: files of last values by key, named in the slot of their epoch.
//!
//! Why last values or tombstones, and never deltas to be folded: a file that is read twice, or in another order of workers,
//! must result in the same state. What must hold: L9, a state file counts only if a slot names it.
//!
//! Opening a lake reads the base and every later file. To keep this short in a run of months, the files are folded into a
//! new base in the background, and a later slot names the base; a run that ends before that loses nothing.

pub(crate) mod claim;
pub mod format;
pub mod identity;
pub mod lineage;
pub(crate) mod resume;

use super::error::LakeError;
use super::store::Store;
use crate::commit::slot::{EpochPart, StateBase, StateFile};
use bincode::Options;
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, BufWriter};
use std::sync::{Arc, Mutex, PoisonError};
use ticktide_base::epoch::Epoch;
use tokio::task::JoinSet;

/// One key of one operator; `value: None` is a tombstone. Entries read from a file are slices of it: a start has millions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    pub operator: Cow<'static, str>,
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl StateEntry {
    /// The last value of a key; `None`: the key is deleted.
    pub fn new(operator: &'static str, key: &impl Serialize, value: Option<&impl Serialize>) -> StateEntry {
        StateEntry { operator: operator.into(), key: encode(key), value: value.map(encode) }
    }
}

fn encode(value: &impl Serialize) -> Bytes {
    bincode::serialize(value).expect("plain values in memory always serialise").into()
}

/// An entry as it is in a file.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    operator: &'a str,
    #[serde(with = "serde_bytes")]
    key: &'a [u8],
    #[serde(with = "serde_bytes", borrow)]
    value: Option<&'a [u8]>,
}

impl<'a> From<&'a StateEntry> for Plain<'a> {
    fn from(entry: &'a StateEntry) -> Plain<'a> {
        Plain { operator: &entry.operator, key: &entry.key, value: entry.value.as_deref() }
    }
}

/// The entries that a worker adds to the state in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateRows {
    pub entries: Vec<StateEntry>,
    /// The entries are all of the worker's state.
    pub full: bool,
}

/// Writes a worker's state file; `None`: there are no entries and the state is not full, so no file is written.
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
    let encoded = in_background(move || {
        let entries = state.entries.iter().map(Plain::from);
        encode_file(entries.len(), entries).map_err(|error| LakeError::format(context, error))
    });
    put_file(store, path, encoded.await?, entries, full).await
}

async fn put_file(
    store: &dyn Store,
    path: String,
    encoded: Vec<u8>,
    entries: u64,
    full: bool,
) -> Result<StateFile, LakeError> {
    let bytes = encoded.len() as u64;
    store.put(&path, Bytes::from(encoded)).await?;
    Ok(StateFile { path, entries, bytes, full })
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LakeError::Bug(format!("work on the state panicked: {error}"))))
}

/// The compression level: half of a state's bytes are hashes, which no level makes smaller.
const LEVEL: i32 = -3;

/// Encodes a file: the number of entries, then each entry, compressed as they come.
fn encode_file<'a>(count: usize, entries: impl Iterator<Item = Plain<'a>>) -> Result<Vec<u8>, bincode::Error> {
    let mut to = BufWriter::with_capacity(1 << 16, zstd::Encoder::new(Vec::new(), LEVEL)?);
    bincode::serialize_into(&mut to, &(count as u64))?;
    for entry in entries {
        bincode::serialize_into(&mut to, &entry)?;
    }
    let encoder = to.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(encoder.finish()?)
}

/// Whether the parts hold the whole state: every worker wrote all of its own.
pub fn is_full(parts: &[EpochPart]) -> bool {
    !parts.is_empty() && parts.iter().all(|part| part.state.iter().any(|file| file.full))
}

/// Files that are read concurrently at a start.
const FILES_AT_ONCE: usize = 16;

/// The entries of one file. Error: it does not hold what its slot says.
async fn read_entries(store: &dyn Store, file: StateFile) -> Result<Vec<StateEntry>, LakeError> {
    let bytes = store.get(&file.path).await?;
    in_background(move || {
        let failed = |error: String| LakeError::format(file.path.clone(), error);
        // reserved in one step: growing would copy, and a base has hundreds of megabytes
        let mut plain = Vec::with_capacity(bytes.len().saturating_mul(8));
        zstd::stream::copy_decode(&*bytes, &mut plain).map_err(|error| failed(error.to_string()))?;
        let plain = Bytes::from(plain);
        let entries: Vec<Plain<'_>> = bincode::deserialize(&plain).map_err(|error| failed(error.to_string()))?;
        if entries.len() as u64 != file.entries {
            return Err(failed(format!("holds {} entries, its slot says {}", entries.len(), file.entries)));
        }
        let mut operator: Cow<'static, str> = Cow::Borrowed("");
        let entry = |entry: Plain<'_>| {
            if *operator != *entry.operator {
                operator = interned(entry.operator);
            }
            StateEntry {
                operator: operator.clone(),
                key: plain.slice_ref(entry.key),
                value: entry.value.map(|value| plain.slice_ref(value)),
            }
        };
        Ok(entries.into_iter().map(entry).collect())
    })
    .await
}

/// The state of files in the order of their epochs: the last value of each operator and key.
pub async fn load_state(
    store: &dyn Store,
    files: impl IntoIterator<Item = &StateFile>,
) -> Result<Vec<StateEntry>, LakeError> {
    let files: Vec<StateFile> = files.into_iter().cloned().collect();
    // a base has each key once and holds most of all keys, so its entries need no lookup table
    let based = files.first().is_some_and(|file| file.full);
    let most = files.iter().skip(usize::from(based)).map(|file| file.entries as usize).sum();
    let (mut base, mut later) = (Vec::new(), Last { most, ..Last::default() });
    // hundreds of small files, read one after the other, would cost hundreds of round trips
    let mut read = futures::stream::iter(files.into_iter().enumerate())
        .map(|(index, file)| async move { read_entries(store, file).await.map(|entries| (index, entries)) })
        .buffered(FILES_AT_ONCE);
    while let Some(read) = read.next().await {
        match read? {
            (0, entries) if based => base = entries,
            (_, entries) => later.take(entries),
        }
    }
    base.retain(|entry| entry.value.is_some() && !later.has(entry));
    base.extend(later.entries.into_iter().filter(|entry| entry.value.is_some()));
    Ok(base)
}

/// The last entry of each key.
#[derive(Default)]
struct Last {
    /// The approximate number of entries to come.
    most: usize,
    entries: Vec<StateEntry>,
    /// The index of each key in `entries`, by operator: there are about a dozen.
    places: Vec<(Cow<'static, str>, HashMap<Bytes, usize, ahash::RandomState>)>,
}

impl Last {
    fn take(&mut self, entries: Vec<StateEntry>) {
        self.entries.reserve(entries.len().max(self.most.saturating_sub(self.entries.len())));
        let mut operator = usize::MAX;
        for entry in entries {
            // entries of one operator mostly follow each other
            if self.places.get(operator).is_none_or(|(name, _)| *name != entry.operator) {
                operator = self.operator(&entry.operator);
            }
            match self.places[operator].1.entry(entry.key.clone()) {
                Entry::Occupied(place) => self.entries[*place.get()] = entry,
                Entry::Vacant(place) => {
                    place.insert(self.entries.len());
                    self.entries.push(entry);
                }
            }
        }
    }

    fn operator(&mut self, name: &str) -> usize {
        self.places.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            // nearly all entries are of one operator, and a growing hash table is rebuilt again and again
            let room = HashMap::with_capacity_and_hasher(self.most, ahash::RandomState::default());
            self.places.push((interned(name), room));
            self.places.len() - 1
        })
    }

    fn has(&self, entry: &StateEntry) -> bool {
        let places = self.places.iter().find(|(name, _)| *name == entry.operator);
        places.is_some_and(|(_, places)| places.contains_key(&entry.key))
    }
}

/// An operator's name, stored once for all entries: there are about a dozen names and millions of entries.
fn interned(name: &str) -> Cow<'static, str> {
    const MOST: usize = 64;
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return Cow::Borrowed(known);
    }
    if names.len() >= MOST {
        return Cow::Owned(name.to_owned()); // not a file of ticktide's
    }
    let kept: &'static str = Box::leak(name.into());
    names.push(kept);
    Cow::Borrowed(kept)
}

/// Last values by operator and key, each in its own allocation: memory follows the live values, not the files behind them.
type Live = BTreeMap<String, BTreeMap<Box<[u8]>, Box<[u8]>>>;

/// Merges the entries of one file, one by one.
fn merge(live: &mut Live, file: &StateFile, bytes: &[u8]) -> Result<(), LakeError> {
    let failed = |error: bincode::Error| LakeError::format(file.path.clone(), error);
    let decoder = zstd::Decoder::new(bytes).map_err(|error| failed(error.into()))?;
    let mut from = BufReader::with_capacity(1 << 16, decoder);
    // a wrong length must not cause a huge allocation
    let options = bincode::options().with_fixint_encoding().with_limit(1 << 30);
    let count: u64 = options.deserialize_from(&mut from).map_err(failed)?;
    if count != file.entries {
        let told = format!("holds {count} entries, its slot says {}", file.entries);
        return Err(LakeError::format(file.path.clone(), told));
    }
    for _ in 0..count {
        let (operator, key, value): (String, ByteBuf, Option<ByteBuf>) =
            options.deserialize_from(&mut from).map_err(failed)?;
        if !live.contains_key(&operator) {
            live.insert(operator.clone(), BTreeMap::new());
        }
        let Some(keys) = live.get_mut(&operator) else { continue };
        match value {
            Some(value) => keys.insert(key.into_vec().into(), value.into_vec().into()),
            None => keys.remove(&key[..]),
        };
    }
    Ok(())
}

/// Folds files into a base, one after the other: a start may read many at once and hold them all, but a run must not.
async fn fold(store: &dyn Store, files: Vec<StateFile>, path: String) -> Result<StateFile, LakeError> {
    let mut live = Live::new();
    for file in files {
        let bytes = store.get(&file.path).await?;
        live = in_background(move || merge(&mut live, &file, &bytes).map(|()| live)).await?;
    }
    let entries = live.values().map(BTreeMap::len).sum();
    let context = path.clone();
    let encoded = in_background(move || {
        let all = live.iter().flat_map(|(operator, keys)| {
            keys.iter().map(move |(key, value)| Plain { operator, key, value: Some(value) })
        });
        encode_file(entries, all).map_err(|error| LakeError::format(context, error))
    });
    put_file(store, path, encoded.await?, entries as u64, true).await
}

/// The files are folded after this many epochs since the base.
const FOLD_EPOCHS: usize = if cfg!(test) { 2 } else { 360 };
/// The files are folded when they have this many bytes more than the base.
const FOLD_BYTES: u64 = 16 << 20;

/// The files of the state, and their folding.
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

    /// All files, in the order in which they apply.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        self.base.iter().map(|base| &base.file).chain(self.since.values().flatten())
    }

    /// The base for the next slot: the new one if a folding has ended since, otherwise the present one.
    pub fn base(&mut self) -> Option<StateBase> {
        match self.folding.try_join_next() {
            Some(Ok(Ok(folded))) => {
                self.since.retain(|epoch, _| *epoch > folded.epoch);
                self.base = Some(folded);
            }
            // all files still exist: the next folding reads them again
            Some(Ok(Err(error))) => tracing::warn!(%error, "folding the state failed, it is tried again later"),
            Some(Err(error)) => tracing::warn!(%error, "folding the state failed, it is tried again later"),
            None => {}
        }
        self.base.clone()
    }

    /// Records that an epoch was decided with these files; `full`: no older file is needed.
    pub fn decided(&mut self, epoch: Epoch, files: Vec<StateFile>, full: bool) {
        if full {
            self.base = None;
            self.since.clear();
            self.folding = JoinSet::new(); // the result of a running folding is no longer needed
        }
        self.since.insert(epoch, files);
    }

    /// Starts folding in the background when the files have become many or big.
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
            let file = fold(&*store, files, format!("state/{epoch}-base-{generation}.bin.zst")).await?;
            Ok(StateBase { epoch, file })
        });
    }
}
