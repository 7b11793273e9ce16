//! Stage 4: read one committed epoch back, with SQL.
//!
//! ```text
//!   Pinned (every table at the snapshot of one epoch) ─▶ DataFusion ─▶ Answer ─▶ output: table, JSON lines, CSV, Parquet
//!                        └─ table: scan with projection, filters (predicate) and limit pushed into Iceberg
//! ```
//!
//! Why pinned: a scan that looks up "the current snapshot" by itself may see two tables of one query at two epochs. What
//! must always hold: all tables of a query are of one epoch, except `epochs` and `epoch_tables`, which announce epochs and
//! are read at their heads; nothing here writes to the lake.

pub mod output;
mod predicate;
mod table;

use crate::error::{Classified, Kind, nearest};
use crate::lake::{LakeError, LakeReader};
use crate::time::Epoch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;
use table::PinnedTable;

/// Tables that announce epochs: read at their heads.
pub const ANNOUNCING: [&str; 2] = ["epochs", "epoch_tables"];

/// A table and what of it a query sees.
#[derive(Clone)]
pub struct Pin {
    pub name: String,
    pub table: iceberg::table::Table,
    pub at: At,
}

/// Which rows of a table are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Snapshot(i64),
    /// Whatever is current when the table was loaded.
    Head,
    /// The table had no rows yet.
    Empty,
}

/// Every table of a lake at one epoch.
pub struct Pinned {
    pub epoch: Epoch,
    /// The default schema of queries.
    pub namespace: String,
    pub tables: Vec<Pin>,
}

impl Pinned {
    /// Pins all tables to an epoch, the newest if none is given.
    pub async fn load(reader: &LakeReader, epoch: Option<Epoch>) -> Result<Pinned, LakeError> {
        let (epoch, pins) = reader.pins(epoch).await?;
        let loads = reader.tables().await?.into_iter().map(|name| {
            let at = match pins.get(&name) {
                Some(id) => At::Snapshot(*id),
                None if ANNOUNCING.contains(&name.as_str()) => At::Head,
                None => At::Empty,
            };
            async move { Ok::<_, LakeError>(Pin { table: reader.load(&name).await?, at, name }) }
        });
        let tables = futures::future::try_join_all(loads).await?;
        Ok(Pinned { epoch, namespace: reader.identity().namespace.clone(), tables })
    }
}

/// What went wrong with a query.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the query cannot be run: {0}")]
    Sql(String),
    #[error("only SELECT is possible here, this is {0}")]
    NotSelect(String),
    #[error("there is no table {name:?} in the lake")]
    UnknownTable { name: String, tables: Vec<String> },
    #[error("a table cannot be read: {0}")]
    Read(String),
    #[error("{path}: {message}")]
    Output { path: String, message: String, hint: String },
}

impl Classified for QueryError {
    fn kind(&self) -> Kind {
        match self {
            QueryError::Read(_) => Kind::Retry,
            _ => Kind::Fix,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            QueryError::Sql(_) => Some("`ticktide query \"show columns from TABLE\"` lists what there is".to_owned()),
            QueryError::NotSelect(_) => {
                Some("the lake is written by `ticktide run` alone; use `--output FILE` for a copy".to_owned())
            }
            QueryError::UnknownTable { name, tables } => {
                let names: Vec<&str> = tables.iter().map(String::as_str).collect();
                let near = nearest(name, &names).map_or(String::new(), |near| format!("did you mean {near}? "));
                Some(format!("{near}there are {}", tables.join(", ")))
            }
            QueryError::Read(_) => None,
            QueryError::Output { hint, .. } => Some(hint.clone()),
        }
    }
}

/// A query's rows as they come.
pub struct Answer {
    pub schema: SchemaRef,
    pub rows: SendableRecordBatchStream,
}

/// Plans a query over the tables of one epoch; rows are computed as [`Answer::rows`] is polled. Tables are visible as
/// `bars_1m` and as `market.bars_1m`. Errors: anything but one SELECT (or EXPLAIN, SHOW, DESCRIBE), unknown names.
pub async fn query(pinned: &Pinned, sql: &str) -> Result<Answer, QueryError> {
    let names: Vec<String> = pinned.tables.iter().map(|pin| pin.name.clone()).collect();
    let context = context(pinned)?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await.map_err(|error| explain(&error, &names))?;
    let schema = frame.schema().inner().clone();
    let rows = frame.execute_stream().await.map_err(|error| explain(&error, &names))?;
    Ok(Answer { schema, rows })
}

fn context(pinned: &Pinned) -> Result<SessionContext, QueryError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("ticktide", pinned.namespace.as_str())
        .with_create_default_catalog_and_schema(true)
        .with_information_schema(true);
    let context = SessionContext::new_with_config(config);
    for pin in &pinned.tables {
        let table = PinnedTable::new(pin).map_err(|error| QueryError::Read(format!("{}: {error}", pin.name)))?;
        context
            .register_table(pin.name.as_str(), Arc::new(table))
            .map_err(|error| QueryError::Read(format!("{}: {error}", pin.name)))?;
    }
    Ok(context)
}

/// DataFusion's error as one of ours.
pub(crate) fn explain(error: &DataFusionError, tables: &[String]) -> QueryError {
    let root = error.find_root();
    let text = root.strip_backtrace();
    let text = text.lines().collect::<Vec<_>>().join(" ");
    let message = text.trim_start_matches("Error during planning: ").trim_start_matches("SQL error: ");
    for prefix in ["DDL not supported: ", "DML not supported: ", "Statement not supported: "] {
        if let Some(what) = message.strip_prefix(prefix) {
            return QueryError::NotSelect(what.to_owned());
        }
    }
    if let Some(name) = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found")) {
        let name =
            name.strip_prefix("ticktide.").map_or(name, |name| name.split_once('.').map_or(name, |(_, name)| name));
        let name = name.to_owned();
        return QueryError::UnknownTable { name, tables: tables.to_vec() };
    }
    match root {
        DataFusionError::External(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            QueryError::Read(message.trim_start_matches("External error: ").to_owned())
        }
        _ => QueryError::Sql(message.to_owned()),
    }
}

#[cfg(test)]
mod tests;
