//! Stage 4: read one committed epoch back, with SQL.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
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
#[cfg(test)]
mod tests;

use arrow::datatypes::SchemaRef;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::io::ErrorKind;
use std::sync::Arc;
use table::PinnedTable;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Classified, Kind, nearest};
use ticktide_lake::commit::announce::is_announcing;
use ticktide_lake::{LakeError, LakeReader, TableAt};

/// What DataFusion calls the lake.
const CATALOG: &str = "ticktide";

/// A table and the part of it that a query sees.
#[derive(Clone)]
pub struct Pin {
    /// As queries name it.
    pub name: String,
    /// At its head.
    pub table: iceberg::table::Table,
    /// Which of its rows are seen.
    pub at: At,
}

/// Which rows of a table are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Snapshot(i64),
    /// The snapshot that was current when the table was loaded.
    Head,
    /// The table had no rows yet.
    Empty,
}

/// Every table of a lake at one epoch.
pub struct Pinned {
    /// The epoch of all of them.
    pub epoch: Epoch,
    /// The default schema of queries.
    pub namespace: String,
    /// Every table of the lake, also those without rows at the epoch.
    pub tables: Vec<Pin>,
}

impl Pinned {
    /// Pins all tables to an epoch, the newest if none is given.
    pub async fn load(reader: &LakeReader, epoch: Option<Epoch>) -> Result<Pinned, LakeError> {
        let (epoch, tables) = reader.tables_at(epoch).await?;
        let pin = |TableAt { name, table, snapshot_id }| {
            let at = match snapshot_id {
                Some(id) => At::Snapshot(id),
                None if is_announcing(&name) => At::Head,
                None => At::Empty,
            };
            Pin { name, table, at }
        };
        let tables = tables.into_iter().map(pin).collect();
        Ok(Pinned { epoch, namespace: reader.identity().namespace.clone(), tables })
    }
}

/// What went wrong with a query.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the query cannot be run: {message}")]
    Sql { message: String, hint: String },
    #[error("only SELECT is allowed here, this is {0}")]
    NotSelect(String),
    #[error("there is no table {name:?} in the lake")]
    UnknownTable { name: String, tables: Vec<String> },
    /// A lake has one schema, which has all tables.
    #[error("there is no schema {schema:?} in the lake")]
    UnknownSchema { schema: String, hint: String },
    #[error("a table cannot be read: {0}")]
    Read(String),
    /// Rows could not be written to their destination.
    #[error("the rows cannot be written: {0}")]
    Unwritable(Arc<std::io::Error>),
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
            QueryError::Sql { hint, .. } | QueryError::UnknownSchema { hint, .. } => Some(hint.clone()),
            QueryError::Unwritable(error) => Some(room(error).to_owned()),
            QueryError::NotSelect(_) => {
                Some("only `ticktide run` writes the lake; use `--output FILE` for a copy".to_owned())
            }
            QueryError::UnknownTable { name, tables } => {
                let names: Vec<&str> = tables.iter().map(String::as_str).collect();
                let near = nearest(name, &names).map_or(String::new(), |near| format!("did you mean {near}? "));
                Some(format!("{near}the tables are {}", tables.join(", ")))
            }
            QueryError::Read(_) => None,
            QueryError::Output { hint, .. } => Some(hint.clone()),
        }
    }
}

/// What to do about a destination that takes no bytes.
pub fn room(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there, or choose another place",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "choose a place that you may write to",
        ErrorKind::NotFound | ErrorKind::NotADirectory => "create its folder first, or choose another place",
        _ => "choose another place",
    }
}

/// A query's rows, as they are computed.
pub struct Answer {
    /// The columns: money and sums are decimals of scale 8, times microseconds of UTC.
    pub schema: SchemaRef,
    /// Batches of rows; [`explain`] turns an error among them into a [`QueryError`].
    pub rows: SendableRecordBatchStream,
}

/// Plans a query over the tables of one epoch; rows are computed as [`Answer::rows`] is polled. Tables are visible as
/// `bars_1m` and as `market.bars_1m`. Errors: anything but one SELECT (or EXPLAIN, SHOW, DESCRIBE), unknown names.
pub async fn query(pinned: &Pinned, sql: &str) -> Result<Answer, QueryError> {
    let names: Vec<String> = pinned.tables.iter().map(|pin| pin.name.clone()).collect();
    let explain = |error: &DataFusionError| in_query(explain(error, &names), sql, &pinned.namespace);
    let context = context(pinned)?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await.map_err(|error| explain(&error))?;
    let schema = frame.schema().inner().clone();
    let rows = frame.execute_stream().await.map_err(|error| explain(&error))?;
    Ok(Answer { schema, rows })
}

fn context(pinned: &Pinned) -> Result<SessionContext, QueryError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, pinned.namespace.as_str())
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

/// What DataFusion appends to an error of its own.
const NOT_OURS: &str = "This issue was likely caused by a bug in DataFusion's code";
/// Names of columns that are also words of SQL.
const RESERVED: [&str; 4] = ["check", "interval", "offset", "partition"];
const TABLES: &str =
    "`ticktide query \"show tables\"` and `\"show columns from TABLE\"` list the tables and their columns";

/// DataFusion's error as a [`QueryError`].
pub fn explain(error: &DataFusionError, tables: &[String]) -> QueryError {
    let root = error.find_root();
    let text = match root {
        // its text without the parser's own name
        DataFusionError::SQL(parser, _) => parser.to_string().trim_start_matches("sql parser error: ").to_owned(),
        other => other.strip_backtrace(),
    };
    let text = text.split(NOT_OURS).next().unwrap_or_default().lines().collect::<Vec<_>>().join(" ");
    let message = ["Error during planning: ", "SQL error: ", "Schema error: "]
        .iter()
        .fold(text.as_str(), |text, name| text.trim_start_matches(name))
        .trim();
    for prefix in ["DDL not supported: ", "DML not supported: ", "Statement not supported: "] {
        if let Some(what) = message.strip_prefix(prefix) {
            return QueryError::NotSelect(what.to_owned());
        }
    }
    if let Some(name) = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found")) {
        let name = name.strip_prefix(&format!("{CATALOG}.")).unwrap_or(name).to_owned();
        return QueryError::UnknownTable { name, tables: tables.to_vec() };
    }
    let hint = match root {
        DataFusionError::External(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            return QueryError::Read(message.trim_start_matches("External error: ").to_owned());
        }
        DataFusionError::SchemaError(wrong, _) if matches!(**wrong, SchemaError::FieldNotFound { .. }) => TABLES,
        DataFusionError::SQL(..) => {
            "write one SELECT: texts in single quotes, names in double quotes or without quotes"
        }
        DataFusionError::Internal(_) => "write the query another way: the engine cannot run it as it is",
        _ => "functions and types are those of https://datafusion.apache.org/user-guide/sql",
    };
    QueryError::Sql { message: message.to_owned(), hint: hint.to_owned() }
}

/// An error with what the query's text and the lake's schema add to it.
fn in_query(error: QueryError, sql: &str, namespace: &str) -> QueryError {
    match error {
        QueryError::UnknownTable { name, tables } => match name.rsplit_once('.') {
            Some((schema, table)) if schema != namespace => {
                let is_there = tables.iter().any(|there| there == table);
                let meant = if is_there { table } else { "TABLE" };
                let hint = format!("write {meant} or {namespace}.{meant}; the tables are {}", tables.join(", "));
                QueryError::UnknownSchema { schema: schema.to_owned(), hint }
            }
            Some((_, table)) => QueryError::UnknownTable { name: table.to_owned(), tables },
            None => QueryError::UnknownTable { name, tables },
        },
        QueryError::Sql { message, hint } => {
            let Some(word) = bare(sql) else { return QueryError::Sql { message, hint } };
            let words = RESERVED.map(|word| format!("\"{word}\"")).join(", ");
            let quoted = format!("{word} is a word of SQL: put these columns in double quotes: {words}");
            // such a word may have turned the word after it into another column
            let hint = if hint == TABLES { format!("{hint}; {quoted}") } else { quoted };
            QueryError::Sql { message, hint }
        }
        other => other,
    }
}

/// The first column name in a query that SQL takes for a word of its own: outside quotes, and not used as that word.
fn bare(sql: &str) -> Option<&'static str> {
    let mut quote = None;
    let unquoted: String = sql
        .chars()
        .map(|letter| match (quote, letter) {
            (None, '\'' | '"') => {
                quote = Some(letter);
                '\''
            }
            (Some(open), _) => {
                quote = quote.filter(|_| letter != open);
                ' '
            }
            (None, letter) => letter.to_ascii_lowercase(),
        })
        .collect();
    let of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let is_bare = |word: &&str| {
        unquoted.match_indices(*word).any(|(at, _)| {
            let (before, behind) = (&unquoted[..at], &unquoted[at + word.len()..]);
            let whole = !before.ends_with(of_word) && !behind.starts_with(of_word);
            // `offset 10`, `interval '1 day'`, `partition by`
            let next = behind.trim_start();
            whole
                && !next.starts_with(|letter: char| letter == '\'' || letter.is_ascii_digit())
                && !next.starts_with("by ")
        })
    };
    RESERVED.into_iter().find(is_bare)
}
