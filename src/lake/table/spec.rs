//! What a table is to the lake: named, typed columns, a key, a partition column; rows of cells.
//!
//! The lake knows nothing of bars: the engine turns the flow's output into cells. Cells borrow, so a row costs no
//! allocation on its way into column buffers; [`Row`] owns them, for the few rows that correct others.

use serde::{Deserialize, Serialize};

/// The column that a history has in addition: +1, the row appeared in its epoch; -1, it was taken back.
pub(crate) const DIFF: &str = "diff";

/// The type of a column. Times are microseconds of UTC (`timestamptz`), dates days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnType {
    Text,
    Bool,
    Int,
    Long,
    Double,
    Date,
    Time,
    Binary,
    Decimal { precision: u32, scale: u32 },
}

/// One column. `hashed` is false for what P-a leaves out of the content hash (`epoch`, `received_at`, `partition`, `offset`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub column_type: ColumnType,
    pub nullable: bool,
    pub hashed: bool,
    /// Parquet encodes it by deltas, without a dictionary (times, sequences).
    pub delta: bool,
    pub doc: String,
}

/// A table's definition, fixed when the lake is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSpec {
    pub name: String,
    pub columns: Vec<Column>,
    /// Indices of the columns that name a row; empty: append only.
    pub key: Vec<usize>,
    /// Identity partition by this DATE column, if any.
    pub partition: Option<usize>,
    /// The column that bounds a file in time, for finding old rows (`open_at`); required where there is a key.
    pub time: Option<usize>,
    /// Columns that files are sorted by.
    pub sort: Vec<usize>,
    /// Whether `<name>_history` (append only, with `diff`) belongs to it.
    pub history: bool,
}

impl TableSpec {
    /// The index of a column by name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Where `diff` is in a history; a row's hash counts as often as its diff says.
    pub fn diff(&self) -> Option<usize> {
        self.columns.iter().rposition(|column| column.name == DIFF)
    }

    /// Columns that the table got after it was made: hashed ones after its `epoch`.
    pub fn added(&self) -> impl Iterator<Item = usize> {
        let epoch = self.columns.iter().position(|column| column.name == "epoch" && !column.hashed);
        let behind = epoch.map_or(self.columns.len(), |at| at + 1);
        (behind..self.columns.len()).filter(|at| self.columns[*at].hashed)
    }

    /// The definition of `<name>_history`: the same columns and `diff` (after `epoch`, if there is one), no key.
    pub fn history_spec(&self) -> TableSpec {
        let mut columns = self.columns.clone();
        let diff = Column {
            name: DIFF.into(),
            column_type: ColumnType::Int,
            nullable: false,
            hashed: false,
            delta: false,
            doc: "+1: the row appeared in this epoch, -1: it was taken back".into(),
        };
        columns.insert(self.column("epoch").map_or(columns.len(), |at| at + 1), diff);
        TableSpec { name: format!("{}_history", self.name), columns, key: Vec::new(), history: false, ..self.clone() }
    }
}

/// One value of a row, borrowed. A `Decimal` is in units of the column's scale, a `Double` is compared by its bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Text(&'a str),
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Date(i32),
    Time(i64),
    Binary(&'a [u8]),
    Decimal(i128),
}

/// One value of a row, owned; doubles by their bits, so that rows can be compared and hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    Null,
    Text(String),
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(u64),
    Date(i32),
    Time(i64),
    Binary(Vec<u8>),
    Decimal(i128),
}

impl Cell<'_> {
    pub fn to_value(self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Text(text) => Value::Text(text.to_owned()),
            Cell::Bool(value) => Value::Bool(value),
            Cell::Int(value) => Value::Int(value),
            Cell::Long(value) => Value::Long(value),
            Cell::Double(value) => Value::Double(value.to_bits()),
            Cell::Date(value) => Value::Date(value),
            Cell::Time(value) => Value::Time(value),
            Cell::Binary(bytes) => Value::Binary(bytes.to_vec()),
            Cell::Decimal(value) => Value::Decimal(value),
        }
    }
}

impl Value {
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Value::Null => Cell::Null,
            Value::Text(text) => Cell::Text(text),
            Value::Bool(value) => Cell::Bool(*value),
            Value::Int(value) => Cell::Int(*value),
            Value::Long(value) => Cell::Long(*value),
            Value::Double(bits) => Cell::Double(f64::from_bits(*bits)),
            Value::Date(value) => Cell::Date(*value),
            Value::Time(value) => Cell::Time(*value),
            Value::Binary(bytes) => Cell::Binary(bytes),
            Value::Decimal(value) => Cell::Decimal(*value),
        }
    }
}

/// A whole row, owned.
pub type Row = Vec<Value>;

/// One key's net change in an epoch: at least one side is there, and they differ in a column other than `epoch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The row that is live before the epoch; `None`: there is none, a plain insert.
    pub old: Option<Row>,
    /// The row that is live after it; `None`: a tombstone.
    pub new: Option<Row>,
}
