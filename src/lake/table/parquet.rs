//! Data files back into rows.
//!
//! Why rows are shaped: another engine may have rewritten a file, with the same columns in its own order and types. What
//! must hold: whatever is read has the table's columns, in the table's order; a file outside the lake is never read.

use super::schema::arrow_schema;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::TableSpec;
use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use std::collections::BTreeSet;

/// Reads an object of the table.
pub(crate) async fn read_object(store: &dyn Store, location: &str) -> Result<Bytes, LakeError> {
    let key = store.key(location);
    store.get(&key.ok_or_else(|| LakeError::format(location, "the file lies outside the lake"))?).await
}

/// Reads a data file of the table: all of its rows, including those that delete files name.
pub(crate) async fn read_file(store: &dyn Store, spec: &TableSpec, location: &str) -> Result<RecordBatch, LakeError> {
    read_rows(read_object(store, location).await?, spec, None).await
}

/// The rows of a data file, encoded; with `only`, those at these positions.
pub(crate) async fn read_rows(
    bytes: Bytes,
    spec: &TableSpec,
    only: Option<BTreeSet<u64>>,
) -> Result<RecordBatch, LakeError> {
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
