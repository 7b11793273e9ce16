//! What every table promises its readers: its schema, letter by letter, and each value under the name of its column.
//!
//! Why literals: existing lakes have these columns in this order, so a change here is a change of every lake.

mod rows;
mod schemas;

use super::*;
use ticktide_base::time::{DAY, Interval, MINUTE, SECOND};
use ticktide_lake::table::spec::{Cell, ColumnType, TableSpec, Value};
