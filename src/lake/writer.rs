//! What a worker's I/O task does with an epoch: rows and state into files. Nothing it writes counts until a slot names it.

use super::epoch::{EpochPart, TablePart};
use super::error::LakeError;
use super::files::{FileNames, RowBuffer, table_folder, write_batch};
use super::measure::Kept;
use super::rows::Rows;
use super::schema::arrow_schema;
use super::state::{StateRows, write_state};
use super::store::{Store, StoreMeters};
use super::table::{Change, TableSpec, Value};
use crate::time::Epoch;
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::compute::concat_batches;
use std::sync::Arc;

/// One worker's rows of a table in an epoch.
#[derive(Debug)]
pub struct TableRows {
    pub spec: Arc<TableSpec>,
    pub inserts: RowBuffer,
    /// Changes without an old row are inserts, too.
    pub changes: Vec<Change>,
}

/// Writes files of the present generation.
#[derive(Clone, Debug)]
pub struct LakeWriter {
    pub(super) store: Arc<dyn Store>,
    pub(super) namespace: String,
    pub(super) generation: u64,
    /// Of a recomputation: rows are counted, and nothing is written.
    pub(super) kept: Option<Arc<Kept>>,
}

impl LakeWriter {
    /// What the store's requests came to; `None` for a folder.
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
        let batch = inserts.finish()?;
        if spec.history {
            let history = Arc::new(spec.history_spec());
            let rows = history_rows(&spec, &history, &batch, &changes, epoch)?;
            let written = self.write(epoch, worker, history, rows);
            (part.history_files, part.history_hash) = written.await?;
        }
        (part.files, part.content_hash) = self.write(epoch, worker, spec.clone(), batch).await?;
        for change in &changes {
            part.add(&spec, change);
        }
        part.changes = changes;
        Ok(part)
    }

    async fn write(
        &self,
        epoch: Epoch,
        worker: usize,
        spec: Arc<TableSpec>,
        batch: RecordBatch,
    ) -> Result<(Vec<super::files::DataFileMeta>, u128), LakeError> {
        let folder = table_folder(&self.namespace, &spec.name);
        let names = FileNames { folder, stem: format!("{epoch}-{worker}-{}", self.generation) };
        write_batch(&*self.store, spec, names, batch).await
    }
}

/// What the history table gets: each insert with +1, each old row with -1 and this epoch, each new row with +1.
fn history_rows(
    spec: &TableSpec,
    history: &Arc<TableSpec>,
    inserts: &RecordBatch,
    changes: &[Change],
    epoch: Epoch,
) -> Result<RecordBatch, LakeError> {
    let mut corrections = RowBuffer::new(history.clone());
    let epoch_column = spec.column("epoch");
    let missing = || LakeError::Bug(format!("table {} has no column diff", history.name));
    let diff = history.column("diff").ok_or_else(missing)?;
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
    let plus: ArrayRef = Arc::new(Int32Array::from_value(1, inserts.num_rows()));
    let mut columns = inserts.columns().to_vec();
    columns.insert(diff, plus);
    let schema = arrow_schema(history);
    let inserted = RecordBatch::try_new(schema.clone(), columns)?;
    let all = concat_batches(&schema, [&inserted, &corrections.finish()?])?;
    debug_assert!(Rows::new(history, &all).is_ok());
    Ok(all)
}
