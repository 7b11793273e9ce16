//! What a worker's I/O task does with an epoch: it writes rows and state into files. Nothing counts until a slot names it.

pub mod measure;
pub(crate) mod rows;

use super::error::LakeError;
use super::state::{StateRows, write_state};
use super::store::{Store, StoreMeters};
use crate::commit::slot::{EpochPart, TablePart};
use crate::table::buffer::RowBuffer;
use crate::table::files::{HistoryTarget, write_batch, write_both};
use crate::table::names::{FileNames, table_folder};
use crate::table::spec::{Change, TableSpec, Value};
use crate::write::measure::Kept;
use crate::write::rows::TableRows;
use arrow::array::RecordBatch;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// Writes files of the present generation.
#[derive(Clone, Debug)]
pub struct LakeWriter {
    pub(super) store: Arc<dyn Store>,
    pub(super) namespace: String,
    pub(super) generation: u64,
    /// Set in a recomputation: rows are counted, and nothing is written.
    pub(super) kept: Option<Arc<Kept>>,
}

impl LakeWriter {
    /// The figures of the store's requests; `None` for a folder.
    pub fn store_meters(&self) -> Option<Arc<StoreMeters>> {
        self.store.meters()
    }

    /// Writes a worker's rows and state of an epoch. May be repeated after an error: the same call gives the same names.
    pub async fn write_part(
        &self,
        epoch: Epoch,
        worker: usize,
        tables: Vec<TableRows>,
        state: StateRows,
    ) -> Result<EpochPart, LakeError> {
        if let Some(kept) = &self.kept {
            return kept.measure(epoch, worker, tables, state).await;
        }
        let tables = tables.into_iter().map(|rows| self.write_table(epoch, worker, rows));
        let tables = futures::future::try_join_all(tables);
        let state = write_state(&*self.store, epoch, worker, self.generation, state);
        let (tables, state) = futures::future::try_join(tables, state).await?;
        let tables = tables.into_iter().filter(|part| part.rows_added + part.rows_removed > 0).collect();
        Ok(EpochPart { worker, tables, state: state.into_iter().collect() })
    }

    async fn write_table(&self, epoch: Epoch, worker: usize, rows: TableRows) -> Result<TablePart, LakeError> {
        let TableRows { spec, mut inserts, changes } = rows;
        let bug = |detail: &str| LakeError::Bug(format!("table {}, epoch {epoch}: {detail}", spec.name));
        if **inserts.spec() != *spec {
            return Err(bug("rows of another table"));
        }
        let (plain, changes): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.old.is_none());
        for change in plain {
            inserts.push_row(&change.new.ok_or_else(|| bug("a change without a row"))?);
        }
        if !changes.is_empty() && spec.key.is_empty() {
            return Err(bug("changes in a table without a key"));
        }
        let mut part = TablePart { table: spec.name.clone(), rows_added: inserts.len() as u64, ..TablePart::default() };
        let stem = format!("{epoch}-{worker}-{}", self.generation);
        let names =
            |spec: &TableSpec, stem: String| FileNames { folder: table_folder(&self.namespace, &spec.name), stem };
        let history = spec.history.then(|| Arc::new(spec.history_spec()));
        let appeared =
            history.clone().map(|history| HistoryTarget { names: names(&history, stem.clone()), spec: history });
        let written = write_both(&*self.store, (spec.clone(), names(&spec, stem.clone())), appeared, inserts.finish()?);
        (part.files, part.history_files, part.content_hash) = written.await?;
        if let Some(history) = history {
            let rows = corrections(&history, &changes, epoch)?;
            let names = names(&history, format!("{stem}-corrections"));
            part.history_files.extend(write_batch(&*self.store, history, names, rows).await?.0);
        }
        for change in &changes {
            part.add(&spec, change);
        }
        part.changes = changes;
        Ok(part)
    }
}

/// The history's rows for changes: each old row with -1 and this epoch, each new row with +1.
fn corrections(history: &Arc<TableSpec>, changes: &[Change], epoch: Epoch) -> Result<RecordBatch, LakeError> {
    let mut corrections = RowBuffer::new(history.clone());
    let epoch_column = history.column("epoch");
    let missing = || LakeError::Bug(format!("table {} has no column diff", history.name));
    let diff = history.diff().ok_or_else(missing)?;
    for change in changes {
        if let Some(old) = &change.old {
            let mut row = old.clone();
            if let Some(at) = epoch_column {
                row[at] = match row[at] {
                    Value::Int(_) => Value::Int(i32::try_from(epoch).unwrap_or(i32::MAX)),
                    _ => Value::Long(epoch as i64),
                };
            }
            row.insert(diff, Value::Int(-1));
            corrections.push_row(&row);
        }
        if let Some(new) = &change.new {
            let mut row = new.clone();
            row.insert(diff, Value::Int(1));
            corrections.push_row(&row);
        }
    }
    corrections.finish()
}
