//! The location of each table's current metadata file, and the one operation that moves it.
//!
//! The swap is a compare-and-swap of the location, the only value in the lake that is ever overwritten. A SQLite file is the
//! embedded default; Postgres has the same tables; Glue is the catalog that Athena, Redshift and EMR read.
//!
//! What must hold: of any number of swaps from one base, at most one succeeds · L3 a swap whose answer was lost is reported as
//! *perhaps done* and never sent again: the caller loads the table and checks.

#[cfg(feature = "aws")]
mod glue;
mod place;
mod sql;
#[cfg(all(test, feature = "aws"))]
pub(crate) use glue::tests as glue_tests;

pub use place::CatalogPlace;
pub use sql::SqliteCatalog;

use super::error::LakeError;
use super::store::Created;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// The catalog name under which a SQL catalog lists the lake's tables.
pub const CATALOG_NAME: &str = "ticktide";
/// How long opening a lake retries a catalog that does not answer: a user who mistyped an address is waiting.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// The result of a [`Catalog::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// The location was no longer `base`.
    Conflict,
}

/// The identity of a catalog: a lake records it and can be opened with no other catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogIdentity {
    /// The text for `--catalog`, without user and password.
    pub name: String,
    /// Stays the same under every name by which the catalog is reached.
    pub id: String,
}

/// The locations of the tables' metadata files.
#[async_trait]
pub trait Catalog: Send + Sync + Debug {
    /// Which catalog it is; `None`: it has no identity.
    async fn identity(&self) -> Result<Option<CatalogIdentity>, LakeError> {
        Ok(None)
    }
    /// All tables of the namespace with their metadata locations.
    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError>;
    /// The metadata location of a table; `None` if there is no such table.
    async fn location(&self, table: &str) -> Result<Option<String>, LakeError>;
    /// Registers a new table.
    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError>;
    /// Moves the table from `base` to `next`, or not at all.
    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError>;
}
