//! Where the current metadata file of each table is, and the one operation that moves it.
//!
//! The swap is a compare-and-swap of the location: the only thing in the lake that is ever overwritten. SQLite is the
//! embedded default, in the tables of iceberg-catalog-sql, pyiceberg and the Java JDBC catalog, which all read the very
//! same file. A swap is one write transaction with nothing slow inside.

use super::error::LakeError;
use super::store::Created;
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

/// The name that the lake's tables have in their catalog.
pub const CATALOG_NAME: &str = "ticktide";
/// How long a write waits for another process.
const BUSY: Duration = Duration::from_secs(30);

/// What became of a [`Catalog::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// The location was not `base` any more.
    Conflict,
}

/// The locations of the tables' metadata files.
#[async_trait]
pub trait Catalog: Send + Sync + Debug {
    /// All tables of the namespace with their metadata locations.
    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError>;
    /// The metadata location of a table; `None` if there is no such table.
    async fn location(&self, table: &str) -> Result<Option<String>, LakeError>;
    /// Registers a new table.
    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError>;
    /// Moves the table from `base` to `next`, or not at all.
    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError>;
}

/// A SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteCatalog {
    pool: SqlitePool,
    namespace: String,
}

impl SqliteCatalog {
    /// Opens the file; `write` creates it and its tables if they do not exist.
    pub async fn open(file: &Path, namespace: &str, write: bool) -> Result<SqliteCatalog, LakeError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(write)
            .read_only(!write)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        // the journal's file stays, so that a swap makes and deletes no file; readers need not know
        let options = if write { options.journal_mode(SqliteJournalMode::Persist) } else { options };
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let catalog = SqliteCatalog { pool: pool.map_err(failed("open"))?, namespace: namespace.to_owned() };
        if write {
            catalog.prepare().await?;
        }
        Ok(catalog)
    }

    async fn prepare(&self) -> Result<(), LakeError> {
        let statements = [
            "CREATE TABLE IF NOT EXISTS iceberg_tables (
                catalog_name VARCHAR(255) NOT NULL,
                table_namespace VARCHAR(255) NOT NULL,
                table_name VARCHAR(255) NOT NULL,
                metadata_location VARCHAR(1000),
                previous_metadata_location VARCHAR(1000),
                iceberg_type VARCHAR(5),
                PRIMARY KEY (catalog_name, table_namespace, table_name))",
            "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
                catalog_name VARCHAR(255) NOT NULL,
                namespace VARCHAR(255) NOT NULL,
                property_key VARCHAR(255),
                property_value VARCHAR(1000),
                PRIMARY KEY (catalog_name, namespace, property_key))",
        ];
        for statement in statements {
            sqlx::query(statement).execute(&self.pool).await.map_err(failed("prepare"))?;
        }
        sqlx::query(
            "INSERT OR IGNORE INTO iceberg_namespace_properties \
             (catalog_name, namespace, property_key, property_value) VALUES (?, ?, 'exists', 'true')",
        )
        .bind(CATALOG_NAME)
        .bind(&self.namespace)
        .execute(&self.pool)
        .await
        .map_err(failed("prepare"))?;
        Ok(())
    }
}

/// SQLite's answers SQLITE_BUSY and SQLITE_LOCKED, with their extended codes, mean that nothing was written.
fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> LakeError {
    move |error| {
        let code = match &error {
            sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<u32>().ok()),
            _ => None,
        };
        let busy = code.is_some_and(|code| matches!(code & 0xff, 5 | 6));
        if code.is_some_and(|code| code & 0xff == 13) {
            let key = "catalog.db".to_owned();
            return LakeError::Store { operation: "write", key, perhaps: false, cause: error.to_string(), full: true };
        }
        LakeError::Catalog { operation, perhaps: !busy, cause: error.to_string(), busy }
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError> {
        let rows = sqlx::query(
            "SELECT table_name, metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?",
        )
        .bind(CATALOG_NAME)
        .bind(&self.namespace)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list tables"))?;
        let pair = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(|row| pair(row).map_err(failed("list tables"))).collect()
    }

    async fn location(&self, table: &str) -> Result<Option<String>, LakeError> {
        let row = sqlx::query(
            "SELECT metadata_location FROM iceberg_tables \
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
        )
        .bind(CATALOG_NAME)
        .bind(&self.namespace)
        .bind(table)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("load a table"))?;
        row.map(|row| row.try_get(0).map_err(failed("load a table"))).transpose()
    }

    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError> {
        let done = sqlx::query(
            "INSERT OR IGNORE INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, \
             previous_metadata_location, iceberg_type) VALUES (?, ?, ?, ?, NULL, 'TABLE')",
        )
        .bind(CATALOG_NAME)
        .bind(&self.namespace)
        .bind(table)
        .bind(location)
        .execute(&self.pool)
        .await
        .map_err(failed("create a table"))?;
        Ok(if done.rows_affected() == 1 { Created::Won } else { Created::Exists })
    }

    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError> {
        let done = sqlx::query(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? \
             WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?",
        )
        .bind(next)
        .bind(base)
        .bind(CATALOG_NAME)
        .bind(&self.namespace)
        .bind(table)
        .bind(base)
        .execute(&self.pool)
        .await
        .map_err(failed("swap a table"))?;
        Ok(if done.rows_affected() == 1 { Swapped::Done } else { Swapped::Conflict })
    }
}
