//! Where the old rows are: the live files that hold the rows that an epoch replaces.
//!
//! Decodes the keys of the candidates, and reads the delete files of those that hold old rows: most of a big file is never
//! decoded. What must hold: each old row is found by its key and is live exactly once; otherwise the epoch is not applied.

use super::deletes::positions;
use super::index::LiveFiles;
use super::parquet::{read_object, read_rows};
use super::rows::{Rows, encode};
use crate::commit::slot::NetChange;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::TableSpec;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use ticktide_base::epoch::Epoch;

/// A file that holds old rows.
#[derive(Debug)]
pub(crate) struct Hit {
    pub location: String,
    /// The file as it was read.
    pub bytes: Bytes,
    /// Its rows, including deleted ones.
    pub rows: u64,
    /// The old rows' positions, with the changes that take them.
    pub at: BTreeMap<u64, usize>,
    /// Positions of rows that were gone before.
    pub gone: BTreeSet<u64>,
}

impl Hit {
    /// The positions of all rows that are gone afterwards.
    pub(crate) fn gone_after(&self) -> BTreeSet<u64> {
        self.gone.iter().chain(self.at.keys()).copied().collect()
    }

    /// Checks by its hash that each row is the one that its change replaces; `row_of` maps positions of the file to `rows`.
    pub(crate) fn prove(
        &self,
        spec: &TableSpec,
        rows: &Rows,
        row_of: impl Fn(usize) -> usize,
        (epoch, changes): (Epoch, &[NetChange]),
    ) -> Result<(), LakeError> {
        let mut scratch = Vec::new();
        for (position, at) in &self.at {
            let change = &changes[*at];
            if rows.hash(spec, row_of(*position as usize), &mut scratch) != change.old_hash {
                let detail = format!("the live row of the key {:?} is not the one to replace", change.key);
                return Err(corrupt(spec, epoch, detail));
            }
        }
        Ok(())
    }
}

fn corrupt(spec: &TableSpec, epoch: Epoch, detail: String) -> LakeError {
    let hint = "stop writing to this lake and run `ticktide lake doctor`; its log still has every row";
    LakeError::corrupt(format!("table {}, epoch {epoch}: {detail}", spec.name), hint)
}

/// Finds every old row by its key; each must be live exactly once. The files are in order of their names.
pub(crate) async fn find(
    store: &dyn Store,
    spec: &TableSpec,
    live: &LiveFiles,
    epoch: Epoch,
    changes: &[NetChange],
) -> Result<Vec<Hit>, LakeError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    if live.foreign_deletes {
        let message =
            format!("table {}: delete files of another engine refer to rows that are to be corrected", spec.name);
        return Err(LakeError::fix(message, "compact the table with that engine (OPTIMIZE), then start again"));
    }
    let wanted = wanted(spec, epoch, changes)?;
    // the keys show where the rows are, so most of a big file is never decoded
    let keys = TableSpec {
        columns: spec.key.iter().map(|at| spec.columns[*at].clone()).collect(),
        key: (0..spec.key.len()).collect(),
        ..spec.clone()
    };
    let mut found = vec![0u32; changes.len()];
    let mut hits = Vec::new();
    for location in live.candidates(changes) {
        let bytes = read_object(store, location).await?;
        let batch = read_rows(bytes.clone(), &keys, None).await?;
        let rows = Rows::new(&keys, &batch)?;
        let (mut key, mut at) = (Vec::new(), BTreeMap::new());
        for row in 0..rows.len() {
            rows.key(&keys, row, &mut key);
            at.extend(wanted.get(&key).map(|change| (row as u64, *change)));
        }
        if at.is_empty() {
            continue;
        }
        let files: Vec<String> = live.deletes_of(location).iter().map(|file| file.location.clone()).collect();
        let gone = positions(store, location, &files).await?;
        at.retain(|row, _| !gone.contains(row));
        at.values().for_each(|change| found[*change] += 1);
        if !at.is_empty() {
            hits.push(Hit { location: location.to_owned(), bytes, rows: rows.len() as u64, at, gone });
        }
    }
    if let Some(at) = found.iter().position(|count| *count != 1) {
        let (count, key) = (found[at], &changes[at].key);
        return Err(corrupt(spec, epoch, format!("the old row of the key {key:?} is live {count} times, not once")));
    }
    Ok(hits)
}

/// The changes by their encoded keys.
fn wanted(spec: &TableSpec, epoch: Epoch, changes: &[NetChange]) -> Result<HashMap<Vec<u8>, usize>, LakeError> {
    let mut wanted = HashMap::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        let mut key = Vec::new();
        change.key.iter().for_each(|value| encode(value.cell(), &mut key));
        if wanted.insert(key, at).is_some() {
            return Err(corrupt(spec, epoch, format!("two changes of the key {:?}", change.key)));
        }
    }
    Ok(wanted)
}
