//! Rows of columnar batches, read back cell by cell: their hashes, keys and owned copies.
//!
//! The canonical encoding of a row decides the content hash, so it must never change: per column a tag byte (0 = null,
//! 1 = present), then little-endian fixed bytes, or a four-byte length and the bytes. The content hash of a table is the
//! wrapping sum of its rows' hashes, so it does not depend on order, and rows can be taken out again: a history, whose rows
//! count as their diff says, has the hash of its table. Columns that a table got later are after `epoch`; of these, only
//! values that are not null are encoded, after a tag of 2 and the column's number, so that older rows keep their hash.

use crate::error::LakeError;
use crate::table::spec::{Cell, ColumnType, Row, TableSpec, Value};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Rows whose hashes are computed side by side.
const HASHED_TOGETHER: usize = 256;

enum Column {
    Text(StringArray),
    Bool(BooleanArray),
    Int(Int32Array),
    Long(Int64Array),
    Double(Float64Array),
    Date(Date32Array),
    Time(TimestampMicrosecondArray),
    Binary(BinaryArray),
    Decimal(Decimal128Array),
}

/// A batch of a table's rows, cell by cell.
pub struct Rows {
    columns: Vec<Column>,
    len: usize,
}

fn downcast<T: Array + Clone + 'static>(array: &ArrayRef, name: &str) -> Result<T, LakeError> {
    let typed = array.as_any().downcast_ref::<T>().cloned();
    typed.ok_or_else(|| LakeError::format(format!("column {name}"), format!("has type {}", array.data_type())))
}

impl Rows {
    /// Reads a batch whose columns are the spec's, in its order.
    pub fn new(spec: &TableSpec, batch: &RecordBatch) -> Result<Rows, LakeError> {
        if batch.num_columns() != spec.columns.len() {
            let counts = format!("{} columns, the table has {}", batch.num_columns(), spec.columns.len());
            return Err(LakeError::format(format!("a batch of {}", spec.name), counts));
        }
        let columns = spec.columns.iter().zip(batch.columns()).map(|(column, array)| {
            let name = column.name.as_str();
            Ok(match column.column_type {
                ColumnType::Text => Column::Text(downcast(array, name)?),
                ColumnType::Bool => Column::Bool(downcast(array, name)?),
                ColumnType::Int => Column::Int(downcast(array, name)?),
                ColumnType::Long => Column::Long(downcast(array, name)?),
                ColumnType::Double => Column::Double(downcast(array, name)?),
                ColumnType::Date => Column::Date(downcast(array, name)?),
                ColumnType::Time => Column::Time(downcast(array, name)?),
                ColumnType::Binary => Column::Binary(downcast(array, name)?),
                ColumnType::Decimal { .. } => Column::Decimal(downcast(array, name)?),
            })
        });
        Ok(Rows { columns: columns.collect::<Result<_, LakeError>>()?, len: batch.num_rows() })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cell of a row and column.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        match &self.columns[column] {
            Column::Text(array) if array.is_valid(row) => Cell::Text(array.value(row)),
            Column::Bool(array) if array.is_valid(row) => Cell::Bool(array.value(row)),
            Column::Int(array) if array.is_valid(row) => Cell::Int(array.value(row)),
            Column::Long(array) if array.is_valid(row) => Cell::Long(array.value(row)),
            Column::Double(array) if array.is_valid(row) => Cell::Double(array.value(row)),
            Column::Date(array) if array.is_valid(row) => Cell::Date(array.value(row)),
            Column::Time(array) if array.is_valid(row) => Cell::Time(array.value(row)),
            Column::Binary(array) if array.is_valid(row) => Cell::Binary(array.value(row)),
            Column::Decimal(array) if array.is_valid(row) => Cell::Decimal(array.value(row)),
            _ => Cell::Null,
        }
    }

    /// A row, owned.
    pub fn row(&self, row: usize) -> Row {
        (0..self.columns.len()).map(|column| self.cell(row, column).to_value()).collect()
    }

    /// The key of a row, encoded.
    pub fn key(&self, spec: &TableSpec, row: usize, into: &mut Vec<u8>) {
        into.clear();
        for column in &spec.key {
            encode(self.cell(row, *column), into);
        }
    }

    /// The hash of a row over its hashed columns.
    pub fn hash(&self, spec: &TableSpec, row: usize, scratch: &mut Vec<u8>) -> u128 {
        hash(spec, |column| self.cell(row, column), scratch)
    }

    /// The sum of all rows' hashes; in a history a row taken back is subtracted, so that the sum is that of the table.
    pub fn content_hash(&self, spec: &TableSpec) -> u128 {
        let diff = spec.diff();
        let original = spec.added().next().unwrap_or(spec.columns.len());
        let mut sum = 0u128;
        // a block of rows column by column: the type of a column is matched once, not once per cell
        let mut encoded = vec![Vec::new(); HASHED_TOGETHER.min(self.len)];
        for start in (0..self.len).step_by(HASHED_TOGETHER) {
            let rows = start..self.len.min(start + HASHED_TOGETHER);
            encoded.iter_mut().for_each(Vec::clear);
            for (at, _) in spec.columns[..original].iter().enumerate().filter(|(_, column)| column.hashed) {
                self.columns[at].encode(rows.clone(), &mut encoded);
            }
            for (number, at) in spec.added().enumerate() {
                for (row, encoded) in rows.clone().zip(&mut encoded) {
                    encode_added(number, self.cell(row, at), encoded);
                }
            }
            for (row, encoded) in rows.zip(&encoded) {
                let hash = digest(encoded);
                sum = match diff.map(|at| self.cell(row, at)) {
                    Some(Cell::Int(diff)) if diff < 0 => sum.wrapping_sub(hash),
                    _ => sum.wrapping_add(hash),
                };
            }
        }
        sum
    }

    /// Counts and extremes of a column.
    pub fn measure(&self, column: usize) -> Measure<'_> {
        match &self.columns[column] {
            Column::Text(array) => Measure::of(array, array.iter(), Cell::Text),
            Column::Bool(array) => Measure::of(array, array.iter(), Cell::Bool),
            Column::Int(array) => Measure::of(array, array.iter(), Cell::Int),
            Column::Long(array) => Measure::of(array, array.iter(), Cell::Long),
            Column::Date(array) => Measure::of(array, array.iter(), Cell::Date),
            Column::Time(array) => Measure::of(array, array.iter(), Cell::Time),
            Column::Binary(array) => Measure::of(array, array.iter(), Cell::Binary),
            Column::Decimal(array) => Measure::of(array, array.iter(), Cell::Decimal),
            Column::Double(array) => {
                let nans = array.iter().flatten().filter(|value| value.is_nan()).count() as u64;
                let numbers = array.iter().map(|value| value.filter(|value| !value.is_nan()));
                Measure { nans, ..Measure::of(array, numbers, Cell::Double) }
            }
        }
    }
}

/// What a manifest records of a column.
pub struct Measure<'a> {
    pub nulls: u64,
    pub nans: u64,
    /// Least and greatest value without nulls and NaN.
    pub bounds: Option<(Cell<'a>, Cell<'a>)>,
}

impl<'a> Measure<'a> {
    fn of<T: PartialOrd + Copy>(
        array: &dyn Array,
        values: impl Iterator<Item = Option<T>>,
        cell: fn(T) -> Cell<'a>,
    ) -> Measure<'a> {
        let mut values = values.flatten();
        let bounds = values.next().map(|first| {
            values.fold((first, first), |(least, greatest), value| match value {
                value if value < least => (value, greatest),
                value if value > greatest => (least, value),
                _ => (least, greatest),
            })
        });
        let bounds = bounds.map(|(least, greatest)| (cell(least), cell(greatest)));
        Measure { nulls: array.null_count() as u64, nans: 0, bounds }
    }
}

impl Column {
    /// Adds the canonical encoding of each row's cell to that row's bytes.
    fn encode(&self, rows: Range<usize>, into: &mut [Vec<u8>]) {
        fn each<'a, T>(
            array: &'a dyn Array,
            (rows, into): (Range<usize>, &mut [Vec<u8>]),
            value: impl Fn(usize) -> T,
            cell: fn(T) -> Cell<'a>,
        ) {
            for (row, into) in rows.zip(into) {
                encode(if array.is_valid(row) { cell(value(row)) } else { Cell::Null }, into);
            }
        }
        let all = (rows, into);
        match self {
            Column::Text(array) => each(array, all, |row| array.value(row), Cell::Text),
            Column::Bool(array) => each(array, all, |row| array.value(row), Cell::Bool),
            Column::Int(array) => each(array, all, |row| array.value(row), Cell::Int),
            Column::Long(array) => each(array, all, |row| array.value(row), Cell::Long),
            Column::Double(array) => each(array, all, |row| array.value(row), Cell::Double),
            Column::Date(array) => each(array, all, |row| array.value(row), Cell::Date),
            Column::Time(array) => each(array, all, |row| array.value(row), Cell::Time),
            Column::Binary(array) => each(array, all, |row| array.value(row), Cell::Binary),
            Column::Decimal(array) => each(array, all, |row| array.value(row), Cell::Decimal),
        }
    }
}

/// The key of an owned row, encoded as [`Rows::key`] does.
pub fn key_of(spec: &TableSpec, row: &[Value]) -> Vec<u8> {
    let mut into = Vec::new();
    for column in &spec.key {
        encode(row[*column].cell(), &mut into);
    }
    into
}

/// The hash of an owned row over its hashed columns.
pub fn hash_of(spec: &TableSpec, row: &[Value]) -> u128 {
    hash(spec, |column| row[column].cell(), &mut Vec::new())
}

fn hash<'a>(spec: &TableSpec, cell: impl Fn(usize) -> Cell<'a>, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    let original = spec.added().next().unwrap_or(spec.columns.len());
    for (at, _) in spec.columns[..original].iter().enumerate().filter(|(_, column)| column.hashed) {
        encode(cell(at), scratch);
    }
    for (number, at) in spec.added().enumerate() {
        encode_added(number, cell(at), scratch);
    }
    digest(scratch)
}

/// The first half of the SHA-256 of some bytes.
pub fn digest(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// The encoding of a cell in a column that the table got later, the first of which has number 0: nothing for a null.
fn encode_added(number: usize, cell: Cell<'_>, into: &mut Vec<u8>) {
    if cell != Cell::Null {
        into.push(2);
        into.extend_from_slice(&(number as u32).to_le_bytes());
        encode(cell, into);
    }
}

/// The canonical encoding of one cell.
#[inline]
pub fn encode(cell: Cell<'_>, into: &mut Vec<u8>) {
    let mut fixed = |bytes: &[u8]| {
        into.push(1);
        into.extend_from_slice(bytes);
    };
    match cell {
        Cell::Null => into.push(0),
        Cell::Bool(value) => fixed(&[u8::from(value)]),
        Cell::Int(value) | Cell::Date(value) => fixed(&value.to_le_bytes()),
        Cell::Long(value) | Cell::Time(value) => fixed(&value.to_le_bytes()),
        Cell::Double(value) => fixed(&value.to_bits().to_le_bytes()),
        Cell::Decimal(value) => fixed(&value.to_le_bytes()),
        Cell::Text(text) => {
            fixed(&(text.len() as u32).to_le_bytes());
            into.extend_from_slice(text.as_bytes());
        }
        Cell::Binary(bytes) => {
            fixed(&(bytes.len() as u32).to_le_bytes());
            into.extend_from_slice(bytes);
        }
    }
}
