//! The catalog in a SQLite file: the embedded default.

use super::super::super::error::LakeError;
use super::{Effect, MAKE_PROPERTIES, MAKE_TABLES};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

/// How long a write waits for another process.
const BUSY: Duration = Duration::from_secs(30);

/// A SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteCatalog {
    pub(super) pool: SqlitePool,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl SqliteCatalog {
    /// Opens the file; `write` creates it and its tables if they do not exist. A reader opens it for writing, too, if it has
    /// the permission: a swap that was killed halfway must be rolled back before anything can be read.
    pub async fn open(file: &Path, namespace: &str, write: bool) -> Result<SqliteCatalog, LakeError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(write)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        // the journal file stays, so that a swap creates and deletes no file; readers need not set this
        let options = if write { options.journal_mode(SqliteJournalMode::Persist) } else { options };
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|error| failed("open", error))?;
        let full = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let name = format!("sqlite:{}", full.display());
        let catalog = SqliteCatalog { pool, namespace: namespace.to_owned(), name };
        if write {
            catalog.prepare().await?;
        }
        Ok(catalog)
    }

    async fn prepare(&self) -> Result<(), LakeError> {
        for statement in [MAKE_TABLES, MAKE_PROPERTIES] {
            self.send("prepare", Effect::Writes, || sqlx::query(statement).execute(&self.pool)).await?;
        }
        self.set_properties().await
    }

    /// Sends a statement; SQLite itself waits while the file is busy.
    pub(super) async fn send<T, F>(
        &self,
        operation: &'static str,
        _effect: Effect,
        send: impl Fn() -> F + Send,
    ) -> Result<T, LakeError>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send,
    {
        send().await.map_err(|error| failed(operation, error))
    }

    /// Reads a value of a row.
    pub(super) fn understood<T>(&self, operation: &'static str, cell: Result<T, sqlx::Error>) -> Result<T, LakeError> {
        cell.map_err(|error| failed(operation, error))
    }
}

/// SQLite's answers SQLITE_BUSY and SQLITE_LOCKED, with their extended codes, mean that nothing was written.
fn failed(operation: &'static str, error: sqlx::Error) -> LakeError {
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
