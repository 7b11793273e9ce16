//! What a worker hands over for a table when an epoch closes.

use crate::table::buffer::RowBuffer;
use crate::table::spec::{Change, TableSpec};
use std::sync::Arc;

/// One worker's rows of a table in an epoch.
#[derive(Debug)]
pub struct TableRows {
    pub spec: Arc<TableSpec>,
    pub inserts: RowBuffer,
    /// Changes without an old row are inserts, too.
    pub changes: Vec<Change>,
}
