//! Corrections by copy-on-write: finds the live files that hold the old rows and writes what becomes of them.
//!
//! Why copy and not delete files: the files of the last minutes are small, and readers that never meet a delete file read
//! fast and everywhere. What must hold: each old row is live exactly once, found by its key and proved by its hash, else
//! nothing is written into the table. Files of one partition are rewritten together up to [`TOGETHER_ROWS`] rows, so that
//! corrections make fewer files, not more, and the cost of one stays bounded.

use super::epoch::NetChange;
use super::error::LakeError;
use super::files::{DataFileMeta, FileNames, RowBuffer, write_batch};
use super::index::LiveFiles;
use super::rows::{Rows, encode};
use super::schema::arrow_schema;
use super::store::Store;
use super::table::TableSpec;
use crate::time::Epoch;
use arrow::array::{BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows up to which touched files of a partition become one.
const TOGETHER_ROWS: usize = 1 << 16;

/// The outcome: files that leave the table, with their manifests, and files that come instead.
#[derive(Debug, Default)]
pub struct Rewrite {
    pub remove: HashMap<String, String>,
    pub add: Vec<DataFileMeta>,
}

/// A touched file without its old rows.
struct Touched {
    location: String,
    partition: Option<i32>,
    kept: RecordBatch,
    /// Which changes took their old row from it.
    changes: Vec<usize>,
}

/// Reads a data file of the table.
pub async fn read_file(store: &dyn Store, spec: &TableSpec, location: &str) -> Result<RecordBatch, LakeError> {
    let key = store.key(location);
    let key = key.ok_or_else(|| LakeError::format(location, "the file lies outside the lake"))?;
    let bytes = store.get(&key).await?;
    let (schema, columns) = (arrow_schema(spec), spec.columns.len());
    let read = tokio::task::spawn_blocking(move || {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let same = batches.iter().map(|batch| {
            // the table may have got columns since, behind all others
            let later = schema.fields().get(batch.num_columns()..).unwrap_or_default();
            if batch.num_columns() > columns || later.iter().any(|field| !field.is_nullable()) {
                let found = format!("has {} columns, the table {columns}", batch.num_columns());
                return Err(LakeError::format("a data file", found));
            }
            let nulls = later.iter().map(|field| new_null_array(field.data_type(), batch.num_rows()));
            Ok(RecordBatch::try_new(schema.clone(), batch.columns().iter().cloned().chain(nulls).collect())?)
        });
        Ok(concat_batches(&schema, &same.collect::<Result<Vec<_>, LakeError>>()?)?)
    });
    read.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("reading a file panicked: {error}"))))
}

/// Resolves the changes of an epoch against the live files.
pub async fn rewrite(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    changes: &[NetChange],
    names: FileNames,
    epoch: Epoch,
) -> Result<Rewrite, LakeError> {
    if changes.is_empty() {
        return Ok(Rewrite::default());
    }
    let corrupt = |detail: String| {
        let hint = "stop writing to this lake and run `ticktide lake doctor`; its log still has every row";
        LakeError::corrupt(format!("table {}, epoch {epoch}: {detail}", spec.name), hint)
    };
    if live.deletes {
        let message = format!("table {}: delete files of another engine refer to rows to correct", spec.name);
        return Err(LakeError::fix(message, "compact the table with that engine (OPTIMIZE), then start again"));
    }
    let mut wanted: HashMap<Vec<u8>, usize> = HashMap::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        let mut key = Vec::new();
        change.key.iter().for_each(|value| encode(value.cell(), &mut key));
        if wanted.insert(key, at).is_some() {
            return Err(corrupt(format!("two changes of the key {:?}", change.key)));
        }
    }
    let mut found = vec![0u32; changes.len()];
    let mut touched = Vec::new();
    for location in live.candidates(changes) {
        let batch = read_file(store, spec, location).await?;
        let rows = Rows::new(spec, &batch)?;
        let (mut key, mut scratch) = (Vec::new(), Vec::new());
        let mut hits = Vec::new();
        let mut keep = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            rows.key(spec, row, &mut key);
            let hit = wanted.get(&key).copied();
            keep.push(hit.is_none());
            let Some(at) = hit else { continue };
            let hash = rows.hash(spec, row, &mut scratch);
            if hash != changes[at].old_hash {
                return Err(corrupt(format!(
                    "the live row of the key {:?} is not the one to replace",
                    changes[at].key
                )));
            }
            found[at] += 1;
            hits.push(at);
        }
        if !hits.is_empty() {
            let kept = filter_record_batch(&batch, &BooleanArray::from(keep))?;
            let partition = live.files.get(location).and_then(|file| file.partition);
            touched.push(Touched { location: location.to_owned(), partition, kept, changes: hits });
        }
    }
    if let Some(at) = found.iter().position(|count| *count != 1) {
        let count = found[at];
        return Err(corrupt(format!("the old row of the key {:?} is live {count} times, not once", changes[at].key)));
    }
    let mut result = Rewrite::default();
    for (number, group) in groups(touched).into_iter().enumerate() {
        let mut rows = RowBuffer::new(spec.clone());
        for at in group.iter().flat_map(|file| &file.changes) {
            if let Some(new) = &changes[*at].new {
                rows.push_row(new);
            }
        }
        let fresh = rows.finish()?;
        let schema = arrow_schema(spec);
        let batch = concat_batches(&schema, group.iter().map(|file| &file.kept).chain([&fresh]))?;
        let names = FileNames { stem: format!("{}-{number}", names.stem), ..names.clone() };
        result.add.extend(write_batch(store, spec.clone(), names, batch).await?.0);
        for file in group {
            let manifest = live.files.get(&file.location).map(|live| live.manifest.clone()).unwrap_or_default();
            result.remove.insert(file.location, manifest);
        }
    }
    Ok(result)
}

/// Touched files that are written as one: of one partition, up to [`TOGETHER_ROWS`] rows.
fn groups(touched: Vec<Touched>) -> Vec<Vec<Touched>> {
    let mut partitions: BTreeMap<Option<i32>, Vec<Vec<Touched>>> = BTreeMap::new();
    for file in touched {
        let groups = partitions.entry(file.partition).or_default();
        let rows = |group: &Vec<Touched>| group.iter().map(|file| file.kept.num_rows()).sum::<usize>();
        match groups.last_mut() {
            Some(group) if rows(group) + file.kept.num_rows() <= TOGETHER_ROWS => group.push(file),
            _ => groups.push(vec![file]),
        }
    }
    partitions.into_values().flatten().collect()
}
