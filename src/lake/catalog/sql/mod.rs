//! A catalog in SQL tables. iceberg-catalog-sql, pyiceberg and the Java JDBC catalog read and write the same tables. A swap is
//! one statement, so it is one transaction with nothing slow inside.
//!
//! Both databases run the same statements: SQLite understands Postgres's `$1`. They differ in how they are opened and in what
//! their errors mean: SQLite is a file, busy or not; Postgres is a server that may be down for a while and lose answers.

mod postgres;
mod sqlite;

pub use postgres::PostgresCatalog;
pub use sqlite::SqliteCatalog;

use super::super::error::LakeError;
use super::super::store::Created;
use super::{CATALOG_NAME, Catalog, CatalogIdentity, Swapped};
use async_trait::async_trait;
use sqlx::Row as _;
use std::collections::BTreeMap;
use uuid::Uuid;

const MAKE_TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";
const MAKE_PROPERTIES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255),
    property_value VARCHAR(1000),
    PRIMARY KEY (catalog_name, namespace, property_key))";
/// Sets a property of the namespace if it is not set: `exists`, which makes the namespace visible to other clients, and [`ID`].
const SET: &str = "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const GET: &str = "SELECT property_value FROM iceberg_namespace_properties \
                   WHERE catalog_name = $1 AND namespace = $2 AND property_key = $3";
const TABLES: &str = "SELECT table_name, metadata_location FROM iceberg_tables \
                      WHERE catalog_name = $1 AND table_namespace = $2 AND coalesce(iceberg_type, 'TABLE') = 'TABLE'";
const LOCATION: &str = "SELECT metadata_location FROM iceberg_tables \
                        WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3";
const CREATE: &str = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, \
                      previous_metadata_location, iceberg_type) VALUES ($1, $2, $3, $4, NULL, 'TABLE') \
                      ON CONFLICT DO NOTHING";
const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = $1, previous_metadata_location = $2 \
                    WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5 AND metadata_location = $2";

/// The property of the namespace that identifies the catalog: it moves with the file or the database.
const ID: &str = "ticktide.catalog-id";

/// What a statement does. A failed one that reads may be repeated; one that writes only if it had no effect (L3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes,
}

/// The catalog's operations over a pool named `pool`, a `namespace`, a `name`, and `send`, which sends a statement.
macro_rules! operations {
    ($catalog:ty, $row:ty) => {
        impl $catalog {
            /// Makes the namespace visible and gives the catalog its id, unless that is done already.
            async fn set_properties(&self) -> Result<(), LakeError> {
                for (property, value) in [("exists", "true".to_owned()), (ID, Uuid::new_v4().to_string())] {
                    let set = self.send("prepare", Effect::Writes, || {
                        let query = sqlx::query(SET).bind(CATALOG_NAME).bind(&self.namespace).bind(property);
                        query.bind(value.clone()).execute(&self.pool)
                    });
                    set.await?;
                }
                Ok(())
            }
        }

        #[async_trait]
        impl Catalog for $catalog {
            async fn identity(&self) -> Result<Option<CatalogIdentity>, LakeError> {
                let row = self.send("load the catalog's id", Effect::Reads, || {
                    sqlx::query(GET).bind(CATALOG_NAME).bind(&self.namespace).bind(ID).fetch_optional(&self.pool)
                });
                let Some(row) = row.await? else { return Ok(None) };
                let id: Option<String> = self.understood("load the catalog's id", row.try_get(0))?;
                Ok(id.map(|id| CatalogIdentity { name: self.name.clone(), id }))
            }

            async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError> {
                let rows = self.send("list tables", Effect::Reads, || {
                    sqlx::query(TABLES).bind(CATALOG_NAME).bind(&self.namespace).fetch_all(&self.pool)
                });
                let pair = |row: &$row| Ok((row.try_get(0)?, row.try_get(1)?));
                rows.await?.iter().map(|row| self.understood("list tables", pair(row))).collect()
            }

            async fn location(&self, table: &str) -> Result<Option<String>, LakeError> {
                let row = self.send("load a table", Effect::Reads, || {
                    let query = sqlx::query(LOCATION).bind(CATALOG_NAME).bind(&self.namespace).bind(table);
                    query.fetch_optional(&self.pool)
                });
                row.await?.map(|row| self.understood("load a table", row.try_get(0))).transpose()
            }

            async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError> {
                let done = self.send("create a table", Effect::Writes, || {
                    let query = sqlx::query(CREATE).bind(CATALOG_NAME).bind(&self.namespace).bind(table);
                    query.bind(location).execute(&self.pool)
                });
                Ok(if done.await?.rows_affected() == 1 { Created::Won } else { Created::Exists })
            }

            async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError> {
                let done = self.send("swap a table", Effect::Writes, || {
                    let query = sqlx::query(SWAP).bind(next).bind(base).bind(CATALOG_NAME);
                    query.bind(&self.namespace).bind(table).execute(&self.pool)
                });
                Ok(if done.await?.rows_affected() == 1 { Swapped::Done } else { Swapped::Conflict })
            }
        }
    };
}

operations!(SqliteCatalog, sqlx::sqlite::SqliteRow);
operations!(PostgresCatalog, sqlx::postgres::PgRow);
