//! The catalog in a Postgres database, for lakes whose writers and readers share no disk.
//!
//! Servers restart and connections break, so a statement that definitely had no effect is retried for a while, and a read is
//! always retried. What must hold: L3 a write whose connection broke is *perhaps done* and not sent again · the password is
//! in no text: errors, logs and the lake have the address without it.

use super::super::super::error::LakeError;
use super::super::FIRST_CONTACT;
use super::{Effect, MAKE_PROPERTIES, MAKE_TABLES};
use crate::store::patience::Patience;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Connections of the pool: tables of a lake are swapped concurrently.
const CONNECTIONS: u32 = 4;
/// How long getting a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The lock under which two writers that start at once create the tables one after the other: any number that only ticktide
/// uses.
const PREPARE_LOCK: i64 = 0x7469_636b_7469_6465;

/// A database of a Postgres server.
#[derive(Clone)]
pub struct PostgresCatalog {
    pub(super) pool: PgPool,
    pub(super) namespace: String,
    /// `postgres://HOST:PORT/DATABASE`.
    pub(super) name: String,
    patience: Patience,
}

impl fmt::Debug for PostgresCatalog {
    /// Only the address: the pool holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresCatalog").field(&self.name).finish()
    }
}

impl PostgresCatalog {
    /// Opens the database at an address in libpq's form; `write` creates the catalog's tables if they do not exist. The parts
    /// that the address leaves out come from libpq's variables (PGUSER, PGPASSWORD …) and ~/.pgpass. Errors of kind `Fix`: the
    /// address is invalid, the server refuses the connection, there is no such database.
    pub async fn open(address: &str, namespace: &str, write: bool) -> Result<PostgresCatalog, LakeError> {
        let options = PgConnectOptions::from_str(address).map_err(|error| {
            // the error is not shown: it may quote the address
            let what =
                if matches!(error, sqlx::Error::Configuration(_)) { "it cannot be parsed" } else { "it is invalid" };
            LakeError::fix(format!("the Postgres address is wrong: {what}"), ADDRESS)
        })?;
        let options = options.application_name("ticktide").disable_statement_logging();
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let name = format!("postgres://{host}/{}", options.get_database().unwrap_or(options.get_username()));
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(options.clone());
        let patience = Patience { total: FIRST_CONTACT, ..Patience::default() };
        let mut catalog = PostgresCatalog { pool, namespace: namespace.to_owned(), name, patience };
        // one connection outside of the pool: the pool would only report a time-out
        catalog.send("open", Effect::Reads, || async { options.connect().await?.close().await }).await?;
        if write {
            catalog.prepare().await?;
        }
        catalog.patience = Patience::default();
        Ok(catalog)
    }

    /// Creates missing tables. If they exist, the role needs no permission to create them.
    async fn prepare(&self) -> Result<(), LakeError> {
        self.send("prepare", Effect::Writes, || async {
            let known = "SELECT to_regclass('iceberg_tables') IS NOT NULL \
                         AND to_regclass('iceberg_namespace_properties') IS NOT NULL";
            if sqlx::query_scalar::<_, bool>(known).fetch_one(&self.pool).await? {
                return Ok(());
            }
            let mut transaction = self.pool.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(PREPARE_LOCK).execute(&mut *transaction).await?;
            for statement in [MAKE_TABLES, MAKE_PROPERTIES] {
                sqlx::query(statement).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        })
        .await?;
        self.set_properties().await
    }

    /// Sends a statement and retries it after errors that may pass; one that writes only if it had no effect.
    pub(super) async fn send<T, F>(
        &self,
        operation: &'static str,
        effect: Effect,
        send: impl Fn() -> F + Send,
    ) -> Result<T, LakeError>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send,
    {
        let writes = effect == Effect::Writes;
        let began = Instant::now();
        let mut retry = 0;
        loop {
            let error = match tokio::time::timeout(self.patience.attempt, send()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => self.judged(operation, writes, &error),
                Err(_) => self.failed(operation, writes, "no answer in time"),
            };
            let again = matches!(error, LakeError::Catalog { .. }) && !error.perhaps_done();
            let pause = if again { self.patience.pause(retry, began.elapsed()) } else { None };
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(operation, retry, %error, "the catalog did not answer as it should, trying again");
            tokio::time::sleep(pause).await;
            retry += 1;
        }
    }

    fn failed(&self, operation: &'static str, perhaps: bool, cause: impl fmt::Display) -> LakeError {
        LakeError::Catalog { operation, perhaps, cause: format!("{}: {cause}", self.name), busy: false }
    }

    /// Reads a value of a row.
    pub(super) fn understood<T>(&self, operation: &'static str, cell: Result<T, sqlx::Error>) -> Result<T, LakeError> {
        cell.map_err(|error| LakeError::format(format!("{operation} in {}", self.name), error))
    }

    /// What an error means for the statement and for the user. A statement that the server refused was rolled back; one during
    /// which the server or the connection died may have landed.
    fn judged(&self, operation: &'static str, writes: bool, error: &sqlx::Error) -> LakeError {
        let fix = |hint: &str| LakeError::fix(format!("catalog {}: {operation}: {error}", self.name), hint);
        match error {
            sqlx::Error::Database(answer) => match answer.code().as_deref().unwrap_or_default() {
                "28P01" | "28000" => fix(CREDENTIALS),
                "3D000" => fix("create the database (`createdb`), or correct its name in `--catalog`"),
                "42501" => fix(
                    "grant the role USAGE and CREATE on the schema, and read and write access to the iceberg_ tables",
                ),
                "42P01" => {
                    fix("name the catalog that the lake was created with: this database has no Iceberg tables yet")
                }
                "25006" => fix("name the primary server: this one is a standby or read-only"),
                "53100" => fix("free space on the database server's disk, then start again"),
                // the server shut down or crashed, perhaps after the commit
                "57P01" | "57P02" | "57P04" | "58000" | "58030" | "XX000" => self.failed(operation, writes, error),
                code if code.starts_with("08") => self.failed(operation, writes, error),
                code if ["22", "42"].iter().any(|class| code.starts_with(class)) => {
                    LakeError::Bug(format!("catalog {}: {operation}: {error}", self.name))
                }
                _ => self.failed(operation, false, error),
            },
            sqlx::Error::PoolTimedOut => self.failed(operation, false, "no connection in time"),
            sqlx::Error::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => {
                self.failed(operation, false, error)
            }
            // a certificate that is not trusted, or a server without TLS
            sqlx::Error::Io(cause) if cause.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) => fix(TLS),
            sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => fix(TLS),
            _ => self.failed(operation, writes, error),
        }
    }
}

const ADDRESS: &str =
    "write postgres://USER@HOST:PORT/DATABASE; special characters as %XX; the password in PGPASSWORD or ~/.pgpass";
const CREDENTIALS: &str = "check the user in `--catalog` and the password in PGPASSWORD or ~/.pgpass, and that \
                           pg_hba.conf admits this host (a `hostssl` line needs `?sslmode=require` or stricter)";
const TLS: &str = "name the authority of the server's certificate with `?sslmode=verify-full&sslrootcert=FILE`, unless this machine \
                   trusts it already; `sslmode=prefer` connects without TLS if the server has none";
