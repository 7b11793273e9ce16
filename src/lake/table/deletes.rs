//! Position deletes: which rows of a big file are gone, in a small file of their own (Iceberg v2).
//!
//! ```text
//!   data file, a million rows ◀── referenced_data_file ── delete file: file_path, pos; sorted
//! ```
//!
//! Why: a late correction of one row of a big file would otherwise write that whole file again. What must hold: a live data
//! file has at most one of ticktide's delete files (a later one also has the positions of the one that it replaces), so there
//! are never more of them than big files; it leaves the table in the swap in which its data file leaves.

use super::files::compression;
use super::names::is_ours;
use super::parquet::{read_file, read_object};
use super::schema::partition_of;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::TableSpec;
use ::iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveLiteral};
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The columns of a delete file and their field ids, as Iceberg's specification fixes them.
const FILE_PATH: (&str, i32) = ("file_path", 2_147_483_546);
const POSITION: (&str, i32) = ("pos", 2_147_483_545);

/// A live delete file that ticktide wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeleteFile {
    pub location: String,
    /// The manifest that names it as live.
    pub manifest: String,
    /// How many rows it deletes.
    pub rows: u64,
}

/// A delete file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deletes {
    /// The name in the store.
    pub path: String,
    /// The location of the data file whose rows are deleted.
    pub data_file: String,
    /// The partition of the data file.
    pub partition: Option<i32>,
    /// The first and the last position, and their number.
    pub first: u64,
    pub last: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// The data file to which one of ticktide's delete files refers; `None`: another engine wrote it, or it refers to several.
pub(crate) fn refers_to(file: &DataFile) -> Option<String> {
    if file.content_type() != DataContentType::PositionDeletes || !is_ours(file.file_path()) {
        return None;
    }
    // an engine that rewrites manifests may leave the reference out; the bounds say the same
    let bounded = || {
        let bound = |bounds: &HashMap<i32, Datum>| match bounds.get(&FILE_PATH.1)?.literal() {
            PrimitiveLiteral::String(path) => Some(path.clone()),
            _ => None,
        };
        bound(file.lower_bounds()).filter(|least| bound(file.upper_bounds()).as_ref() == Some(least))
    };
    file.referenced_data_file().or_else(bounded)
}

/// Writes the positions, ascending and at least one, of a data file's rows that are gone.
pub(crate) async fn write(
    store: &dyn Store,
    path: String,
    data_file: &str,
    partition: Option<i32>,
    positions: &BTreeSet<u64>,
) -> Result<Deletes, LakeError> {
    let bytes = encode(data_file, positions)?;
    let (first, last) = (positions.first().copied().unwrap_or(0), positions.last().copied().unwrap_or(0));
    let (rows, size) = (positions.len() as u64, bytes.len() as u64);
    store.put(&path, bytes).await?;
    Ok(Deletes { path, data_file: data_file.to_owned(), partition, first, last, rows, bytes: size })
}

fn encode(data_file: &str, positions: &BTreeSet<u64>) -> Result<Bytes, LakeError> {
    let field = |(name, id): (&str, i32), data_type| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
        Field::new(name, data_type, false).with_metadata(id)
    };
    let schema = Schema::new(vec![field(FILE_PATH, DataType::Utf8), field(POSITION, DataType::Int64)]);
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(positions.iter().map(|_| data_file)));
    let positions: ArrayRef = Arc::new(Int64Array::from_iter_values(positions.iter().map(|at| *at as i64)));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![paths, positions])?;
    let properties = WriterProperties::builder().set_compression(compression()).set_created_by("ticktide".to_owned());
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build()))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(Bytes::from(bytes))
}

/// The manifest entry's content for a delete file that ticktide wrote.
pub(crate) fn entry(spec: &TableSpec, location: String, deletes: &Deletes) -> Result<DataFile, LakeError> {
    let bounds = |position: u64| {
        HashMap::from([(FILE_PATH.1, Datum::string(&deletes.data_file)), (POSITION.1, Datum::long(position as i64))])
    };
    let counts = |count: u64| HashMap::from([(FILE_PATH.1, count), (POSITION.1, count)]);
    DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(partition_of(spec, deletes.partition))
        .partition_spec_id(0)
        .record_count(deletes.rows)
        .file_size_in_bytes(deletes.bytes)
        .value_counts(counts(deletes.rows))
        .null_value_counts(counts(0))
        .lower_bounds(bounds(deletes.first))
        .upper_bounds(bounds(deletes.last))
        .referenced_data_file(Some(deletes.data_file.clone()))
        .build()
        .map_err(|error| LakeError::Bug(format!("a delete file of {}: {error}", spec.name)))
}

/// The positions of one data file that delete files name.
pub(crate) async fn positions(
    store: &dyn Store,
    data_file: &str,
    files: &[String],
) -> Result<BTreeSet<u64>, LakeError> {
    let mut positions = BTreeSet::new();
    for location in files {
        decode(location, data_file, read_object(store, location).await?, &mut positions)?;
    }
    Ok(positions)
}

fn decode(location: &str, data_file: &str, bytes: Bytes, into: &mut BTreeSet<u64>) -> Result<(), LakeError> {
    let strange = |what: &str| LakeError::format(location, what);
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        let column = |(name, _): (&str, i32), data_type: &DataType| {
            let column = batch.column_by_name(name).ok_or_else(|| strange("is not a file of position deletes"))?;
            Ok::<_, LakeError>(cast(column, data_type)?)
        };
        let (paths, positions) = (column(FILE_PATH, &DataType::Utf8)?, column(POSITION, &DataType::Int64)?);
        let paths = paths.as_any().downcast_ref::<StringArray>().ok_or_else(|| strange("has paths of another type"))?;
        let positions = positions.as_any().downcast_ref::<Int64Array>();
        let positions = positions.ok_or_else(|| strange("has positions of another type"))?;
        for (path, position) in paths.iter().zip(positions) {
            let (Some(path), Some(position)) = (path, position) else { return Err(strange("has a null")) };
            if path == data_file {
                into.insert(u64::try_from(position).map_err(|_| strange("has a negative position"))?);
            }
        }
    }
    Ok(())
}

/// The rows of a data file without those that are gone.
pub(crate) fn surviving(batch: &RecordBatch, gone: &BTreeSet<u64>) -> Result<RecordBatch, LakeError> {
    if gone.is_empty() {
        return Ok(batch.clone());
    }
    let keep: BooleanArray = (0..batch.num_rows() as u64).map(|row| Some(!gone.contains(&row))).collect();
    Ok(filter_record_batch(batch, &keep)?)
}

/// Reads the rows of a data file that its delete files leave.
pub(crate) async fn read_live(
    store: &dyn Store,
    spec: &TableSpec,
    location: &str,
    files: &[DeleteFile],
) -> Result<RecordBatch, LakeError> {
    without_deleted(store, read_file(store, spec, location).await?, location, files).await
}

/// The rows of a data file, read already, that its delete files leave. Error: they delete another number of
/// rows than they say.
pub(crate) async fn without_deleted(
    store: &dyn Store,
    batch: RecordBatch,
    location: &str,
    files: &[DeleteFile],
) -> Result<RecordBatch, LakeError> {
    let named: Vec<String> = files.iter().map(|file| file.location.clone()).collect();
    let gone = positions(store, location, &named).await?;
    let left = surviving(&batch, &gone)?;
    let deleted: u64 = files.iter().map(|file| file.rows).sum();
    if (left.num_rows() as u64) + deleted != batch.num_rows() as u64 {
        let found =
            format!("{} of its {} rows are deleted, its delete files say {deleted}", gone.len(), batch.num_rows());
        return Err(LakeError::format(location, found));
    }
    Ok(left)
}
