//! Rows of one table on their way into files: one builder for each column.
//!
//! Why by column and not as rows: a worker pushes borrowed cells, so a row costs no allocation, and the writer
//! receives Arrow columns. What must hold: a row that does not fit the table is never written; it is an error of kind `Bug`
//! when the buffer is finished.

use super::schema::{arrow_schema, required};
use crate::error::LakeError;
use crate::table::spec::{Cell, ColumnType, TableSpec, Value};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use std::sync::Arc;

enum Builder {
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
    Binary(BinaryBuilder),
    Decimal(Decimal128Builder),
}

impl Builder {
    fn new(column_type: ColumnType) -> Builder {
        match column_type {
            ColumnType::Text => Builder::Text(StringBuilder::new()),
            ColumnType::Bool => Builder::Bool(BooleanBuilder::new()),
            ColumnType::Int => Builder::Int(Int32Builder::new()),
            ColumnType::Long => Builder::Long(Int64Builder::new()),
            ColumnType::Double => Builder::Double(Float64Builder::new()),
            ColumnType::Date => Builder::Date(Date32Builder::new()),
            ColumnType::Time => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("+00:00")),
            ColumnType::Binary => Builder::Binary(BinaryBuilder::new()),
            ColumnType::Decimal { precision, scale } => {
                let data_type = arrow::datatypes::DataType::Decimal128(precision as u8, scale as i8);
                Builder::Decimal(Decimal128Builder::new().with_data_type(data_type))
            }
        }
    }

    /// Appends the cell and returns how many bytes it took. A cell of another type becomes a null, and `None` is returned.
    fn push(&mut self, cell: Cell<'_>) -> Option<usize> {
        match (&mut *self, cell) {
            (Builder::Text(builder), Cell::Text(text)) => {
                builder.append_value(text);
                return Some(text.len() + 4);
            }
            (Builder::Binary(builder), Cell::Binary(bytes)) => {
                builder.append_value(bytes);
                return Some(bytes.len() + 4);
            }
            (Builder::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (Builder::Int(builder), Cell::Int(value)) => builder.append_value(value),
            (Builder::Long(builder), Cell::Long(value)) => builder.append_value(value),
            (Builder::Double(builder), Cell::Double(value)) => builder.append_value(value),
            (Builder::Date(builder), Cell::Date(value)) => builder.append_value(value),
            (Builder::Time(builder), Cell::Time(value)) => builder.append_value(value),
            (Builder::Decimal(builder), Cell::Decimal(value)) => builder.append_value(value),
            (_, other) => {
                self.push_null();
                return (other == Cell::Null).then_some(1);
            }
        }
        Some(if matches!(self, Builder::Decimal(_)) { 16 } else { 8 })
    }

    fn push_null(&mut self) {
        match self {
            Builder::Text(builder) => builder.append_null(),
            Builder::Bool(builder) => builder.append_null(),
            Builder::Int(builder) => builder.append_null(),
            Builder::Long(builder) => builder.append_null(),
            Builder::Double(builder) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
            Builder::Binary(builder) => builder.append_null(),
            Builder::Decimal(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Long(builder) => Arc::new(builder.finish()),
            Builder::Double(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
            Builder::Binary(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Rows of one table on their way into files, by column.
pub struct RowBuffer {
    spec: Arc<TableSpec>,
    builders: Vec<Builder>,
    len: usize,
    bytes: usize,
    fault: Option<String>,
}

impl std::fmt::Debug for RowBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowBuffer({}, {} rows)", self.spec.name, self.len)
    }
}

impl RowBuffer {
    pub fn new(spec: Arc<TableSpec>) -> RowBuffer {
        let builders = spec.columns.iter().map(|column| Builder::new(column.column_type)).collect();
        RowBuffer { spec, builders, len: 0, bytes: 0, fault: None }
    }

    /// Adds a row: one cell for each column, of the column's type. A row that breaks this, or has a null in a required
    /// column, is reported when the buffer is finished: an error of kind `Bug`.
    pub fn push(&mut self, row: &[Cell<'_>]) {
        if row.len() != self.builders.len() {
            let fault = || format!("{}: a row of {} cells", self.spec.name, row.len());
            self.fault.get_or_insert_with(fault);
            return;
        }
        for (at, (builder, cell)) in self.builders.iter_mut().zip(row).enumerate() {
            let bytes = builder.push(*cell);
            self.bytes += bytes.unwrap_or(0);
            if bytes.is_none() || (*cell == Cell::Null && required(&self.spec, at)) {
                let column = &self.spec.columns[at];
                let fault =
                    || format!("{}.{}: {cell:?} in a column {:?}", self.spec.name, column.name, column.column_type);
                self.fault.get_or_insert_with(fault);
            }
        }
        self.len += 1;
    }

    /// Like [`RowBuffer::push`], for an owned row.
    pub fn push_row(&mut self, row: &[Value]) {
        let cells: Vec<_> = row.iter().map(Value::cell).collect();
        self.push(&cells);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how much memory the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn spec(&self) -> &Arc<TableSpec> {
        &self.spec
    }

    /// The rows as one batch.
    pub fn finish(mut self) -> Result<RecordBatch, LakeError> {
        if let Some(fault) = self.fault {
            return Err(LakeError::Bug(fault));
        }
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        Ok(RecordBatch::try_new(arrow_schema(&self.spec), arrays)?)
    }
}
