//! Where the current metadata file of each table is, and the one operation that moves it.
//!
//! The swap is a compare-and-swap of the location: the only thing in the lake that is ever overwritten. A SQLite file is the
//! embedded default; Postgres has the same tables; Glue is what Athena, Redshift and EMR look into.
//!
//! What must hold: of any number of swaps from one base at most one is done · L3 a swap whose answer was lost is told as
//! *perhaps done* and never sent again: whoever asked loads the table and looks.

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

/// The name that the lake's tables have in a SQL catalog.
pub const CATALOG_NAME: &str = "ticktide";
/// How long a catalog that does not answer is asked when a lake is opened: somebody who mistyped an address is waiting.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// What became of a [`Catalog::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// The location was not `base` any more.
    Conflict,
}

/// By what a catalog is known again: a lake keeps it and is opened with no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogIdentity {
    /// As `--catalog` takes it, without user and password.
    pub name: String,
    /// The same by whatever name it is reached.
    pub id: String,
}

/// The locations of the tables' metadata files.
#[async_trait]
pub trait Catalog: Send + Sync + Debug {
    /// Which catalog it is; `None` for one that cannot tell.
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
