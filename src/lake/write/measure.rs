//! A worker's rows of an epoch, counted and hashed but not written: what a recomputation compares with the log.

use crate::commit::slot::{EpochPart, TablePart};
use crate::error::LakeError;
use crate::state::{StateEntry, StateRows};
use crate::table::rows::{Rows, hash_of};
use crate::table::spec::{Change, Row, TableSpec, Value};
use crate::write::rows::TableRows;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use ticktide_base::epoch::Epoch;

/// Rows of a table as a worker has them.
#[derive(Debug)]
pub struct KeptRows {
    pub spec: Arc<TableSpec>,
    inserts: RecordBatch,
    changes: Vec<Change>,
}

impl KeptRows {
    /// Each row with +1 if the epoch adds it and −1 if it takes it back, as `_history` has them.
    pub fn signed(&self) -> Result<Vec<(Row, i64)>, LakeError> {
        let inserts = Rows::new(&self.spec, &self.inserts)?;
        let mut signed: Vec<(Row, i64)> = (0..inserts.len()).map(|row| (inserts.row(row), 1)).collect();
        for Change { old, new } in &self.changes {
            signed.extend(old.iter().map(|row| (row.clone(), -1)));
            signed.extend(new.iter().map(|row| (row.clone(), 1)));
        }
        Ok(signed)
    }
}

/// The rows and the state of an epoch, from all workers of the process.
#[derive(Debug, Default)]
pub struct KeptEpoch {
    pub rows: Vec<KeptRows>,
    /// The state that would have been written to a lake.
    pub state: Vec<StateEntry>,
}

/// The epochs that have not been taken yet.
#[derive(Debug, Default)]
pub struct Kept(Mutex<BTreeMap<Epoch, KeptEpoch>>);

impl Kept {
    /// Takes an epoch out.
    pub fn take(&self, epoch: Epoch) -> KeptEpoch {
        self.0.lock().map_or_else(|_| KeptEpoch::default(), |mut kept| kept.remove(&epoch).unwrap_or_default())
    }

    /// What [`LakeWriter::write_part`](crate::LakeWriter::write_part) would return, without files.
    pub async fn measure(
        self: &Arc<Kept>,
        epoch: Epoch,
        worker: usize,
        tables: Vec<TableRows>,
        state: StateRows,
    ) -> Result<EpochPart, LakeError> {
        let kept = self.clone();
        let measured = tokio::task::spawn_blocking(move || {
            let measured = tables.into_iter().map(measure).collect::<Result<Vec<_>, LakeError>>()?;
            let (parts, rows): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
            if let Ok(mut kept) = kept.0.lock() {
                let kept = kept.entry(epoch).or_default();
                kept.rows.extend(rows);
                kept.state.extend(state.entries);
            }
            let parts = parts.into_iter().filter(|part: &TablePart| part.rows_added + part.rows_removed > 0);
            Ok(EpochPart { worker, tables: parts.collect(), state: Vec::new() })
        });
        measured.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("counting rows panicked: {error}"))))
    }
}

fn measure(rows: TableRows) -> Result<(TablePart, KeptRows), LakeError> {
    let TableRows { spec, mut inserts, changes } = rows;
    let (plain, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.old.is_none());
    for row in plain.into_iter().filter_map(|change| change.new) {
        inserts.push_row(&row);
    }
    let inserts = inserts.finish()?;
    let hashed = Rows::new(&spec, &inserts)?.content_hash(&spec);
    let mut part = TablePart {
        table: spec.name.clone(),
        rows_added: inserts.num_rows() as u64,
        content_hash: hashed,
        ..TablePart::default()
    };
    for change in &changes {
        part.add(&spec, change);
    }
    Ok((part, KeptRows { spec, inserts, changes }))
}

impl TablePart {
    /// Counts a change with an old row.
    pub(crate) fn add(&mut self, spec: &TableSpec, change: &Change) {
        let hash = |row: &[Value]| hash_of(spec, row);
        if let Some(old) = &change.old {
            self.content_hash = self.content_hash.wrapping_sub(hash(old));
            self.rows_removed += 1;
        }
        if let Some(new) = &change.new {
            self.content_hash = self.content_hash.wrapping_add(hash(new));
            self.rows_added += 1;
        }
    }
}
