//! Corrections: finds the live files that hold the old rows and says what becomes of them.
//!
//! ```text
//!   small file   its other rows and the new ones ─▶ a new file, the old one leaves (copy-on-write)
//!   big file     stays; the positions of the old rows ─▶ a delete file, the new rows ─▶ a small file
//! ```
//!
//! Why copy where it is cheap: the files of the last minutes are small, and readers that never meet a delete file read fast
//! and everywhere. Why not always: a row of a compacted day would write the whole day again. What must hold: each old row is
//! live exactly once, found by its key and proved by its hash, else nothing is written into the table. Files of one
//! partition are rewritten together up to [`TOGETHER_ROWS`] rows, so that corrections make fewer files, not more, and the
//! cost of one stays bounded.

use super::deletes::{self, Deletes, positions, surviving};
use super::files::{DataFileMeta, FileNames, RowBuffer, write_batch};
use super::index::LiveFiles;
use super::rows::{Rows, encode};
use super::schema::arrow_schema;
use crate::commit::slot::NetChange;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::TableSpec;
use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// Rows up to which touched files of a partition become one.
pub const TOGETHER_ROWS: usize = 1 << 16;

/// The outcome.
#[derive(Debug, Default)]
pub struct Rewrite {
    /// Data and delete files that leave the table, with their manifests.
    pub remove: HashMap<String, String>,
    /// Files of rows that come.
    pub add: Vec<DataFileMeta>,
    /// Delete files that come.
    pub deletes: Vec<Deletes>,
}

/// Changes that go into a table.
#[derive(Clone, Copy, Debug)]
pub struct Corrections<'a> {
    pub epoch: Epoch,
    pub changes: &'a [NetChange],
    /// A file of more bytes stays and gets a delete file.
    pub rewrite_bytes_max: u64,
    /// Up to so many rows touched files become one: [`TOGETHER_ROWS`], fewer where the same files will not be touched again.
    pub together_rows: usize,
}

/// A file that holds old rows.
struct Hit<'a> {
    location: &'a str,
    bytes: Bytes,
    /// The old rows' positions, with the changes that take them.
    at: BTreeMap<u64, usize>,
    /// Positions of rows that were gone before.
    gone: BTreeSet<u64>,
}

/// A file that leaves, without its old rows.
struct Touched {
    location: String,
    partition: Option<i32>,
    kept: RecordBatch,
    /// Which changes took their old row from it.
    changes: Vec<usize>,
}

/// Reads an object of the table.
pub async fn read_object(store: &dyn Store, location: &str) -> Result<Bytes, LakeError> {
    let key = store.key(location);
    store.get(&key.ok_or_else(|| LakeError::format(location, "the file lies outside the lake"))?).await
}

/// Reads a data file of the table: all of its rows, those that delete files name among them.
pub async fn read_file(store: &dyn Store, spec: &TableSpec, location: &str) -> Result<RecordBatch, LakeError> {
    read_rows(read_object(store, location).await?, spec, None).await
}

/// The rows of a data file; with `only`, those at these positions.
async fn read_rows(bytes: Bytes, spec: &TableSpec, only: Option<BTreeSet<u64>>) -> Result<RecordBatch, LakeError> {
    let schema = arrow_schema(spec);
    let names: Vec<String> = spec.columns.iter().map(|column| column.name.clone()).collect();
    let read = tokio::task::spawn_blocking(move || {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), names.iter().map(String::as_str));
        let rows = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mut reader = reader.with_projection(mask);
        if let Some(only) = only {
            let ranges = only.into_iter().map(|at| at as usize..at as usize + 1);
            reader = reader.with_row_selection(RowSelection::from_consecutive_ranges(ranges, rows));
        }
        let batches = reader.build()?.collect::<Result<Vec<_>, _>>()?;
        let same = batches.iter().map(|batch| shaped(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&schema, &same)?)
    });
    read.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("reading a file panicked: {error}"))))
}

/// The batch with the table's columns: another engine may have written them in another order, with other Arrow types, or
/// left out those that are null.
fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => Ok(cast(column, field.data_type())?),
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
        None => Err(LakeError::format("a data file", format!("has no column {:?}", field.name()))),
    });
    let columns = columns.collect::<Result<Vec<_>, LakeError>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Resolves the changes of an epoch against the live files.
pub async fn rewrite(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    corrections: Corrections<'_>,
    names: FileNames,
) -> Result<Rewrite, LakeError> {
    let changes = corrections.changes;
    if changes.is_empty() {
        return Ok(Rewrite::default());
    }
    if live.foreign_deletes {
        let message = format!("table {}: delete files of another engine refer to rows to correct", spec.name);
        return Err(LakeError::fix(message, "compact the table with that engine (OPTIMIZE), then start again"));
    }
    let hits = find(store, spec, live, corrections).await?;
    let (mut result, mut touched, mut fresh) = (Rewrite::default(), Vec::new(), RowBuffer::new(spec.clone()));
    for hit in hits {
        let Some(file) = live.files.get(hit.location) else { continue };
        let gone: BTreeSet<u64> = hit.gone.iter().chain(hit.at.keys()).copied().collect();
        // half of it dead: every reader pays for that, so it is written again after all
        let stays = file.bytes > corrections.rewrite_bytes_max && 2 * gone.len() as u64 <= file.rows;
        if !stays {
            let batch = read_rows(hit.bytes.clone(), spec, None).await?;
            hit.prove(spec, &Rows::new(spec, &batch)?, |row| row, corrections)?;
            let kept = surviving(&batch, &gone)?;
            let changes = hit.at.into_values().collect();
            touched.push(Touched { location: hit.location.to_owned(), partition: file.partition, kept, changes });
            continue;
        }
        let only: BTreeSet<u64> = hit.at.keys().copied().collect();
        let order: HashMap<u64, usize> = only.iter().enumerate().map(|(nth, at)| (*at, nth)).collect();
        let batch = read_rows(hit.bytes.clone(), spec, Some(only)).await?;
        hit.prove(spec, &Rows::new(spec, &batch)?, |at| order.get(&(at as u64)).copied().unwrap_or(at), corrections)?;
        hit.at.values().filter_map(|at| changes[*at].new.as_ref()).for_each(|new| fresh.push_row(new));
        let of_deletes = FileNames { stem: format!("{}-deletes", names.stem), ..names.clone() };
        let path = of_deletes.name(spec, file.partition, result.deletes.len());
        result.deletes.push(deletes::write(store, path, hit.location, file.partition, &gone).await?);
        result.remove.extend(file.deletes.iter().map(|file| (file.location.clone(), file.manifest.clone())));
    }
    let of_fresh = FileNames { stem: format!("{}-new", names.stem), ..names.clone() };
    result.add.extend(write_batch(store, spec.clone(), of_fresh, fresh.finish()?).await?.0);
    for (number, group) in groups(touched, corrections.together_rows).into_iter().enumerate() {
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
        result.remove.extend(group.iter().flat_map(|file| live.with_deletes(&file.location)));
    }
    Ok(result)
}

fn corrupt(spec: &TableSpec, epoch: Epoch, detail: String) -> LakeError {
    let hint = "stop writing to this lake and run `ticktide lake doctor`; its log still has every row";
    LakeError::corrupt(format!("table {}, epoch {epoch}: {detail}", spec.name), hint)
}

/// Finds every old row by its key, which is live exactly once.
async fn find<'a>(
    store: &dyn Store,
    spec: &TableSpec,
    live: &'a LiveFiles,
    corrections: Corrections<'_>,
) -> Result<Vec<Hit<'a>>, LakeError> {
    let Corrections { epoch, changes, .. } = corrections;
    let mut wanted: HashMap<Vec<u8>, usize> = HashMap::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        let mut key = Vec::new();
        change.key.iter().for_each(|value| encode(value.cell(), &mut key));
        if wanted.insert(key, at).is_some() {
            return Err(corrupt(spec, epoch, format!("two changes of the key {:?}", change.key)));
        }
    }
    // most of a big file is never looked at: the keys tell where the rows are
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
            hits.push(Hit { location, bytes, at, gone });
        }
    }
    if let Some(at) = found.iter().position(|count| *count != 1) {
        let (count, key) = (found[at], &changes[at].key);
        return Err(corrupt(spec, epoch, format!("the old row of the key {key:?} is live {count} times, not once")));
    }
    Ok(hits)
}

impl Hit<'_> {
    /// Each row is the one that its change replaces, by its hash; `row_of` tells where a position of the file is in `rows`.
    fn prove(
        &self,
        spec: &TableSpec,
        rows: &Rows,
        row_of: impl Fn(usize) -> usize,
        corrections: Corrections<'_>,
    ) -> Result<(), LakeError> {
        let mut scratch = Vec::new();
        for (position, at) in &self.at {
            let change = &corrections.changes[*at];
            if rows.hash(spec, row_of(*position as usize), &mut scratch) != change.old_hash {
                let detail = format!("the live row of the key {:?} is not the one to replace", change.key);
                return Err(corrupt(spec, corrections.epoch, detail));
            }
        }
        Ok(())
    }
}

/// Touched files that are written as one: of one partition, up to [`TOGETHER_ROWS`] rows.
fn groups(touched: Vec<Touched>, together_rows: usize) -> Vec<Vec<Touched>> {
    let mut partitions: BTreeMap<Option<i32>, Vec<Vec<Touched>>> = BTreeMap::new();
    for file in touched {
        let groups = partitions.entry(file.partition).or_default();
        let rows = |group: &Vec<Touched>| group.iter().map(|file| file.kept.num_rows()).sum::<usize>();
        match groups.last_mut() {
            Some(group) if rows(group) + file.kept.num_rows() <= together_rows => group.push(file),
            _ => groups.push(vec![file]),
        }
    }
    partitions.into_values().flatten().collect()
}
