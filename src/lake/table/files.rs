//! Rows into Parquet files.
//!
//! A [`RowBuffer`] takes rows one by one into column builders, which is all that happens on a worker; sorting, hashing,
//! encoding and writing happen in [`write_both`], off the worker. A file's name says which epoch, worker and generation
//! wrote it, so garbage is recognized by name (L6) and no two writers share a name.

use super::buffer::RowBuffer;
use super::meta::{ColumnMeta, DataFileMeta};
use super::names::{FileNames, table_folder};
use super::rows::Rows;
use super::schema::arrow_schema;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::{Cell, ColumnType, TableSpec, Value};
use arrow::array::{Int32Array, RecordBatch, UInt32Array};
use arrow::compute::{LexicographicalComparator, SortColumn, lexsort_to_indices, take_record_batch};
use bytes::Bytes;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::Int32Type;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// Rows in a row group; about 12 MB of ticks.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Longer texts get no bounds: they would fill the manifests.
const BOUND_BYTES_MAX: usize = 64;

/// Writes the rows as Parquet, one file for each value of the partition column, sorted. Gives the files and the sum of the
/// rows' hashes.
pub async fn write_batch(
    store: &dyn Store,
    spec: Arc<TableSpec>,
    names: FileNames,
    batch: RecordBatch,
) -> Result<(Vec<DataFileMeta>, u128), LakeError> {
    let (files, _, hash) = write_both(store, (spec, names), None, batch).await?;
    Ok((files, hash))
}

/// The history into which rows are written in addition to their own table.
#[derive(Debug)]
pub struct HistoryTarget {
    /// The table's `history_spec`.
    pub spec: Arc<TableSpec>,
    pub names: FileNames,
}

/// Like [`write_batch`]; also writes the same rows, as new ones, into files of the history: the second list.
pub async fn write_both(
    store: &dyn Store,
    (spec, names): (Arc<TableSpec>, FileNames),
    history: Option<HistoryTarget>,
    batch: RecordBatch,
) -> Result<(Vec<DataFileMeta>, Vec<DataFileMeta>, u128), LakeError> {
    if batch.num_rows() == 0 {
        return Ok((Vec::new(), Vec::new(), 0));
    }
    let encoded = tokio::task::spawn_blocking(move || encode(&spec, &names, history.as_ref(), batch)).await;
    let (encoded, appeared, hash) =
        encoded.unwrap_or_else(|error| Err(LakeError::Bug(format!("encoding a file panicked: {error}"))))?;
    Ok((put(store, encoded).await?, put(store, appeared).await?, hash))
}

async fn put(store: &dyn Store, encoded: Vec<(DataFileMeta, Bytes)>) -> Result<Vec<DataFileMeta>, LakeError> {
    let mut files = Vec::with_capacity(encoded.len());
    for (file, bytes) in encoded {
        store.put(&file.path, bytes).await?;
        files.push(file);
    }
    Ok(files)
}

/// Writes a worker's rows of an epoch:
/// `NAMESPACE/TABLE/data/trading_date=YYYY-MM-DD/<epoch>-<worker>-<generation>-<n>.parquet`.
pub async fn write_files(
    store: &dyn Store,
    namespace: &str,
    epoch: Epoch,
    worker: usize,
    generation: u64,
    rows: RowBuffer,
) -> Result<(Vec<DataFileMeta>, u128), LakeError> {
    let spec = rows.spec().clone();
    let folder = table_folder(namespace, &spec.name);
    let names = FileNames { folder, stem: format!("{epoch}-{worker}-{generation}") };
    write_batch(store, spec, names, rows.finish()?).await
}

/// Files that are not written yet, those of the history, and the sum of the rows' hashes.
type Encoded = (Vec<(DataFileMeta, Bytes)>, Vec<(DataFileMeta, Bytes)>, u128);

/// The rows by partition, then in the table's order.
fn sorted(spec: &TableSpec, batch: RecordBatch) -> Result<RecordBatch, LakeError> {
    // most batches are of one day: then the day need not be compared
    let unsorted = Rows::new(spec, &batch)?;
    let days = |at: &usize| (1..unsorted.len()).any(|row| unsorted.cell(row, *at) != unsorted.cell(row - 1, *at));
    let mut order: Vec<usize> = spec.partition.filter(days).into_iter().collect();
    order.extend(&spec.sort);
    let columns: Vec<_> =
        order.iter().map(|at| SortColumn { values: batch.column(*at).clone(), options: None }).collect();
    if columns.is_empty() {
        return Ok(batch);
    }
    // what one worker publishes is in order already
    let comparator = LexicographicalComparator::try_new(&columns)?;
    if (1..batch.num_rows()).all(|row| comparator.compare(row - 1, row).is_le()) {
        return Ok(batch);
    }
    let indices: UInt32Array = lexsort_to_indices(&columns, None)?;
    Ok(take_record_batch(&batch, &indices)?)
}

fn encode(
    spec: &TableSpec,
    names: &FileNames,
    history: Option<&HistoryTarget>,
    batch: RecordBatch,
) -> Result<Encoded, LakeError> {
    let sorted = sorted(spec, batch)?;
    let rows = Rows::new(spec, &sorted)?;
    let hash = rows.content_hash(spec);
    let partition = |row: usize| match spec.partition.map(|at| rows.cell(row, at)) {
        Some(Cell::Date(days)) => Some(days),
        _ => None,
    };
    let (mut encoded, mut appeared) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < sorted.num_rows() {
        let value = partition(start);
        let mut end = start + 1;
        while end < sorted.num_rows() && partition(end) == value {
            end += 1;
        }
        let path = names.name(spec, value, encoded.len());
        let (file, bytes, footer) = encode_file(spec, path, value, &sorted.slice(start, end - start))?;
        if let Some(history) = history {
            let path = history.names.name(&history.spec, value, appeared.len());
            appeared.push(match spec.added().next() {
                None => with_diff(&history.spec, path, &file, &bytes, &footer)?,
                // after `diff`, columns have other field ids, and the copied bytes contain the field ids
                Some(_) => encode_appeared(&history.spec, path, value, &sorted.slice(start, end - start))?,
            });
        }
        encoded.push((file, bytes));
        start = end;
    }
    Ok((encoded, appeared, hash))
}

/// How columns are compressed.
pub(crate) fn compression() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd"))
}

fn properties(spec: &TableSpec) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(compression())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("ticktide".to_owned());
    for column in spec.columns.iter().filter(|column| column.delta) {
        let path = ColumnPath::from(column.name.as_str());
        builder = builder
            .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(path, false);
    }
    builder.build()
}

fn encode_file(
    spec: &TableSpec,
    path: String,
    partition: Option<i32>,
    batch: &RecordBatch,
) -> Result<(DataFileMeta, Bytes, ParquetMetaData), LakeError> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties(spec)))?;
    writer.write(batch)?;
    let footer = writer.close()?;
    let bytes = Bytes::from(bytes);
    let rows = Rows::new(spec, batch)?;
    let mut columns: Vec<_> = (0..spec.columns.len()).map(|column| measure(spec, &rows, column)).collect();
    let mut split_offsets = Vec::new();
    for group in footer.row_groups() {
        for (meta, chunk) in columns.iter_mut().zip(group.columns()) {
            meta.bytes += chunk.compressed_size().unsigned_abs();
        }
        split_offsets.extend(group.columns().first().map(|chunk| chunk.byte_range().0 as i64));
    }
    let (rows, size) = (rows.len() as u64, bytes.len() as u64);
    Ok((DataFileMeta { path, partition, rows, bytes: size, columns, split_offsets }, bytes, footer))
}

/// The same rows as a file of the history, each with a diff of +1, encoded anew.
fn encode_appeared(
    history: &TableSpec,
    path: String,
    partition: Option<i32>,
    batch: &RecordBatch,
) -> Result<(DataFileMeta, Bytes), LakeError> {
    let missing = || LakeError::Bug(format!("{} has no column diff", history.name));
    let mut columns = batch.columns().to_vec();
    columns.insert(history.diff().ok_or_else(missing)?, Arc::new(Int32Array::from_value(1, batch.num_rows())));
    let batch = RecordBatch::try_new(arrow_schema(history), columns)?;
    encode_file(history, path, partition, &batch).map(|(file, bytes, _)| (file, bytes))
}

/// The same rows as a file of a history whose last column is the diff, here +1: the encoded columns are copied as they are.
fn with_diff(
    history: &TableSpec,
    path: String,
    file: &DataFileMeta,
    bytes: &Bytes,
    footer: &ParquetMetaData,
) -> Result<(DataFileMeta, Bytes), LakeError> {
    let schema = arrow_schema(history);
    let mut properties = properties(history);
    add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
    let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
    let mut into = Vec::with_capacity(bytes.len() + 4_096);
    let mut writer = SerializedFileWriter::new(&mut into, root, Arc::new(properties))?;
    for (group_at, group) in footer.row_groups().iter().enumerate() {
        let mut columns = writer.next_row_group()?;
        for (at, chunk) in group.columns().iter().enumerate() {
            let copied = ColumnCloseResult {
                bytes_written: chunk.compressed_size().unsigned_abs(),
                rows_written: group.num_rows().unsigned_abs(),
                metadata: chunk.clone(),
                bloom_filter: None,
                column_index: footer.column_index().map(|index| index[group_at][at].clone()),
                offset_index: footer.offset_index().map(|index| index[group_at][at].clone()),
            };
            columns.append_column(bytes, copied)?;
        }
        let missing = || LakeError::Bug(format!("{} has no column after those of its table", history.name));
        let mut diff = columns.next_column()?.ok_or_else(missing)?;
        diff.typed::<Int32Type>().write_batch(&vec![1; group.num_rows().unsigned_abs() as usize], None, None)?;
        diff.close()?;
        columns.close()?;
    }
    let closed = writer.close()?;
    let diffs = closed.row_groups().iter().filter_map(|group| group.columns().last());
    let diff = ColumnMeta {
        bytes: diffs.map(|chunk| chunk.compressed_size().unsigned_abs()).sum(),
        bounds: Some((Value::Int(1), Value::Int(1))),
        ..ColumnMeta::default()
    };
    let columns = file.columns.iter().cloned().chain([diff]).collect();
    let starts = closed.row_groups().iter().filter_map(|group| group.columns().first());
    let split_offsets = starts.map(|chunk| chunk.byte_range().0 as i64).collect();
    let meta = DataFileMeta { path, columns, split_offsets, bytes: into.len() as u64, ..file.clone() };
    Ok((meta, Bytes::from(into)))
}

/// Counts and bounds of a column, as far as they are kept.
fn measure(spec: &TableSpec, rows: &Rows, column: usize) -> ColumnMeta {
    let named = spec.key.contains(&column) || spec.sort.contains(&column);
    let bounded = match spec.columns[column].column_type {
        ColumnType::Binary | ColumnType::Bool => false,
        ColumnType::Text => named,
        _ => true,
    };
    let measured = rows.measure(column);
    let short = |cell: &Cell<'_>| !matches!(cell, Cell::Text(text) if text.len() > BOUND_BYTES_MAX);
    let bounds = measured.bounds.filter(|(least, greatest)| bounded && short(least) && short(greatest));
    ColumnMeta {
        bytes: 0,
        nulls: measured.nulls,
        nans: measured.nans,
        bounds: bounds.map(|(least, greatest)| (least.to_value(), greatest.to_value())),
    }
}
