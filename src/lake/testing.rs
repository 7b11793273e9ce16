//! A lake in a folder with a few rows, for the tests of crates that read lakes.

use crate::table::spec::{Row, TableSpec};
use crate::{Lake, LakeOptions, RowBuffer, StateRows, TableRows};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch};

pub fn options(warehouse: &Path) -> LakeOptions {
    LakeOptions {
        warehouse: warehouse.into(),
        catalog: None,
        namespace: "market".into(),
        dataflow: "test".into(),
        dataflow_hash: "hash".into(),
        settings_json: "{}".into(),
        code_version: "0".into(),
        rewrite_bytes_max: 0,
    }
}

/// A new lake.
pub async fn open(warehouse: &Path, tables: Vec<TableSpec>) -> Lake {
    Lake::open(options(warehouse), tables).await.expect("a new lake").0
}

/// Commits rows of tables as the next epoch, and applies it.
pub async fn commit(lake: &mut Lake, rows: Vec<(TableSpec, Vec<Row>)>) -> Epoch {
    let epoch = lake.epoch_next();
    let tables = rows.into_iter().map(|(spec, rows)| {
        let spec = Arc::new(spec);
        let mut inserts = RowBuffer::new(spec.clone());
        rows.iter().for_each(|row| inserts.push_row(row));
        TableRows { spec, inserts, changes: vec![] }
    });
    let part = lake.writer().write_part(epoch, 0, tables.collect(), StateRows::default()).await.expect("written");
    let binding = Binding { epoch, generation: lake.generation(), ..Binding::default() };
    lake.decide(binding, BTreeMap::new(), vec![part]).await.expect("decided");
    lake.apply().await.expect("applied");
    epoch
}
