//! Where a lake's tables are, and how one is opened: loaded, created if it does not exist, widened by the columns that it
//! lacks.
//!
//! What must hold: L3, after a lost answer the catalog is asked again; the table is the one that the catalog names, whichever
//! writer made it.

use super::base::Base;
use super::names::table_folder;
use super::schema::{creation, difference, iceberg_schema, lacks};
use crate::catalog::Catalog;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::TableSpec;
use crate::upkeep::Upkeep;
use ::iceberg::MetadataLocation;
use ::iceberg::io::FileIO;
use ::iceberg::spec::{TableMetadata, TableMetadataBuilder};
use std::str::FromStr;
use std::sync::Arc;

/// Conflicts and lost answers in a row after which widening a table gives up.
const WIDEN_ATTEMPTS: usize = 6;
/// Lost answers in a row after which creating a table gives up.
const CREATE_ATTEMPTS: usize = 6;

/// Where the lake is: its store, its catalog, and the namespace of its tables.
#[derive(Clone, Debug)]
pub(crate) struct LakeLocation {
    pub store: Arc<dyn Store>,
    pub io: FileIO,
    pub catalog: Arc<dyn Catalog>,
    pub namespace: String,
    pub upkeep: Upkeep,
}

impl LakeLocation {
    /// The folder of a table in the store.
    pub(crate) fn folder(&self, table: &str) -> String {
        table_folder(&self.namespace, table)
    }

    /// A table's head: `known` if that is still the head. `None`: there is no such table.
    pub(crate) async fn load(&self, table: &str, known: Option<&Base>) -> Result<Option<Base>, LakeError> {
        loop {
            let Some(location) = self.catalog.location(table).await? else { return Ok(None) };
            if let Some(known) = known.filter(|known| known.location == location) {
                return Ok(Some(known.clone()));
            }
            match TableMetadata::read_from(&self.io, &location).await.map_err(LakeError::from) {
                Ok(metadata) => return Ok(Some(Base::new(location, metadata))),
                // other writers have swapped so often since then that the file is gone already
                Err(LakeError::Missing { .. }) if self.catalog.location(table).await? != Some(location) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The head of the table, created if it does not exist. Error of kind `Fix`: it has other columns.
    pub(crate) async fn open(&self, spec: &TableSpec) -> Result<Base, LakeError> {
        let base = match self.load(&spec.name, None).await? {
            Some(base) => base,
            None => self.create(spec).await?,
        };
        let base = match lacks(spec, base.metadata.current_schema())? {
            true => self.widen(spec, base).await?,
            false => base,
        };
        if let Some(difference) = difference(spec, base.metadata.current_schema())? {
            return Err(LakeError::fix(
                format!("table {} has other columns than this dataflow: {difference}", spec.name),
                "write into a new lake with another `--warehouse`",
            ));
        }
        Ok(base)
    }

    /// Adds the columns that the table lacks: a new schema and no new snapshot, in one swap. Older files
    /// read as null there.
    async fn widen(&self, spec: &TableSpec, mut base: Base) -> Result<Base, LakeError> {
        for _ in 0..WIDEN_ATTEMPTS {
            let builder = base.metadata.as_ref().clone().into_builder(Some(base.location.clone()));
            let next = builder.add_current_schema(iceberg_schema(spec)?)?.build()?.metadata;
            let location = MetadataLocation::from_str(&base.location)?.with_next_version().with_new_metadata(&next);
            next.write_to(&self.io, &location).await?;
            match self.catalog.swap(&spec.name, &base.location, &location.to_string()).await {
                Err(error) if !error.perhaps_done() => return Err(error),
                // whether our swap landed, another writer's or neither: what the catalog has now decides
                _ => {}
            }
            base = self.load(&spec.name, None).await?.ok_or_else(|| gave_up("load a table", &spec.name))?;
            if !lacks(spec, base.metadata.current_schema())? {
                return Ok(base);
            }
        }
        Err(gave_up("widen a table", &spec.name))
    }

    async fn create(&self, spec: &TableSpec) -> Result<Base, LakeError> {
        let location = self.store.location(&self.folder(&spec.name));
        let metadata = TableMetadataBuilder::from_table_creation(creation(spec, location.clone())?)?.build()?.metadata;
        let file = MetadataLocation::new_with_metadata(&location, &metadata);
        metadata.write_to(&self.io, &file).await?;
        // our table or that of a faster writer: the table is the one that the catalog names
        for _ in 0..CREATE_ATTEMPTS {
            let created = self.catalog.create(&spec.name, &file.to_string()).await;
            if let Err(error) = &created
                && !error.perhaps_done()
            {
                return Err(error.clone());
            }
            // after a lost answer the catalog is asked again (L3)
            if let Some(base) = self.load(&spec.name, None).await? {
                return Ok(base);
            }
        }
        Err(gave_up("create a table", &spec.name))
    }
}

/// The error when every answer was lost or a conflict.
pub(crate) fn gave_up(operation: &'static str, table: &str) -> LakeError {
    let cause = format!("every answer for table {table} was lost or a conflict");
    LakeError::Catalog { operation, perhaps: true, cause, busy: false }
}
