//! What is known of a data file without opening it.
//!
//! Why a type of its own: a worker measures it once, while it encodes the file; the slot of the epoch, the manifest and the
//! index of live files repeat it. What must hold: it is stored in slots, so its fields keep their names and their order.

use crate::table::spec::Value;
use serde::{Deserialize, Serialize};

/// What the slot of an epoch, a manifest and the index of live files know of a data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFileMeta {
    /// The name in the store.
    pub path: String,
    /// Days since 1970; `None` where the table has no partition column.
    pub partition: Option<i32>,
    pub rows: u64,
    pub bytes: u64,
    /// One for each column, in order.
    pub columns: Vec<ColumnMeta>,
    /// Where the row groups start.
    pub split_offsets: Vec<i64>,
}

/// One column of a data file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMeta {
    pub bytes: u64,
    pub nulls: u64,
    pub nans: u64,
    /// Least and greatest value without nulls and NaN; `None` if there is none or it is not kept.
    pub bounds: Option<(Value, Value)>,
}
