//! The catalog that Athena, Redshift and EMR read: AWS Glue.
//!
//! ```text
//!   swap: GetTable ─▶ is its location `base`? ─▶ UpdateTable(VersionId as read) ─▶ done
//!              │ no ─▶ conflict                    ├─ ConcurrentModificationException ─▶ conflict
//!              │                                   └─ no answer ─▶ perhaps done: the caller checks (L3)
//! ```
//!
//! A Glue table is a pointer (`metadata_location`) and a copy of what other services need without reading Iceberg's metadata:
//! columns and location, without which Athena fails. The copy is made from the very file that the pointer names, so the two
//! always agree. Attributes that others have set on the table (descriptions, parameters of crawlers or Lake Formation) stay.
//!
//! What must hold: every update carries the version that it was made from; without one, nothing is updated.

mod columns;
mod failure;
#[cfg(test)]
pub(crate) mod tests;

use super::super::error::LakeError;
use super::super::store::s3::client;
use super::super::store::s3::failure::{FailureKind, RequestFailure, insist};
use super::super::store::{Created, Store};
use super::{Catalog, CatalogIdentity, FIRST_CONTACT, Swapped};
use crate::store::fileio::file_io;
use crate::store::patience::Patience;
use ::iceberg::io::FileIO;
use ::iceberg::spec::TableMetadata;
use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_glue::Client;
use aws_sdk_glue::types::{DatabaseInput, StorageDescriptor, Table, TableInput};
use failure::failed;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

const METADATA: &str = "metadata_location";
const PREVIOUS: &str = "previous_metadata_location";
const TABLE_TYPE: &str = "table_type";
const ICEBERG: &str = "ICEBERG";

/// A database of Glue.
#[derive(Clone)]
pub struct GlueCatalog {
    client: Client,
    database: String,
    /// `glue://REGION/DATABASE`.
    name: String,
    /// The account that owns the catalog, if Glue reported it.
    account: Option<String>,
    io: FileIO,
    patience: Patience,
}

impl fmt::Debug for GlueCatalog {
    /// Only the address: the client holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GlueCatalog").field(&self.name).finish()
    }
}

impl GlueCatalog {
    /// Opens the database with the SDK's default chain for region, credentials and endpoint (AWS_ENDPOINT_URL_GLUE); `write`
    /// creates a missing one. `store` holds the tables' metadata. Errors of kind `Fix`: no region, no credentials, no
    /// permission, or, when only reading, no such database.
    pub async fn open(
        store: Arc<dyn Store>,
        region: Option<&str>,
        database: &str,
        write: bool,
    ) -> Result<GlueCatalog, LakeError> {
        let mut loader = client::config();
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(LakeError::fix(
                format!("no region is set for the Glue database {database:?}"),
                "set AWS_REGION, or write `--catalog glue://REGION/DATABASE`",
            ));
        }
        let mut catalog = GlueCatalog::on(Client::new(&shared), store, database);
        catalog.patience.total = FIRST_CONTACT;
        catalog.connect(write).await?;
        catalog.patience = Patience::default();
        Ok(catalog)
    }

    fn on(client: Client, store: Arc<dyn Store>, database: &str) -> GlueCatalog {
        let region = client.config().region().map_or("", |region| region.as_ref());
        let name = format!("glue://{region}/{database}");
        let (io, patience) = (file_io(store), Patience::default());
        GlueCatalog { client, database: database.to_owned(), name, account: None, io, patience }
    }

    /// Looks up the database; `write` creates a missing one.
    async fn connect(&mut self, write: bool) -> Result<(), LakeError> {
        let found = match self.look().await {
            Err(failure) if failure.kind == FailureKind::Missing && write => {
                let input = DatabaseInput::builder().name(&self.database).description("a lake of ticktide").build();
                let input = input.map_err(|error| LakeError::Bug(format!("a database's input: {error}")))?;
                let created = self.call(RequestFailure::repeatable, || {
                    let request = self.client.create_database().database_input(input.clone());
                    async move { request.send().await.map(drop).map_err(failed) }
                });
                match created.await {
                    // created by another process at the same moment, or by an earlier attempt
                    Err(failure) if failure.kind == FailureKind::Taken => {}
                    created => created.map_err(|failure| self.error("create the database", failure))?,
                }
                self.look().await
            }
            found => found,
        };
        self.account = found.map_err(|failure| match failure.kind {
            FailureKind::Missing => LakeError::fix(
                format!("there is no catalog {}: {}", self.name, failure.cause),
                "name the catalog that the lake was created with: `--catalog glue://REGION/DATABASE`",
            ),
            _ => self.error("look up the database", failure),
        })?;
        Ok(())
    }

    /// The account that owns the database.
    async fn look(&self) -> Result<Option<String>, RequestFailure> {
        let got = self.call(RequestFailure::repeatable, || {
            let request = self.client.get_database().name(&self.database);
            async move { request.send().await.map_err(failed) }
        });
        Ok(got.await?.database.and_then(|database| database.catalog_id))
    }

    /// Sends a request, with retries.
    async fn call<T, F>(
        &self,
        repeatable: impl Fn(&RequestFailure) -> bool + Send,
        send: impl Fn() -> F + Send,
    ) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, RequestFailure>> + Send,
    {
        let again = |retry, failure: &RequestFailure| {
            tracing::debug!(
                catalog = self.name,
                retry,
                cause = failure.cause,
                "the catalog did not answer as it should, trying again"
            );
        };
        insist(&self.patience, repeatable, again, send).await
    }

    /// Turns a failure into the lake's error.
    fn error(&self, operation: &'static str, failure: RequestFailure) -> LakeError {
        let RequestFailure { kind, perhaps, cause } = failure;
        let cause = format!("{}: {cause}", self.name);
        match kind {
            FailureKind::Fix { hint } => LakeError::fix(format!("catalog: {operation} failed: {cause}"), hint),
            _ => LakeError::Catalog { operation, perhaps, cause, busy: false },
        }
    }

    /// The error of a request that only reads: it is never perhaps done.
    fn unread(&self, operation: &'static str, failure: RequestFailure) -> LakeError {
        self.error(operation, RequestFailure { perhaps: false, ..failure })
    }

    async fn get(&self, table: &str) -> Result<Option<Table>, LakeError> {
        let got = self.call(RequestFailure::repeatable, || {
            let request = self.client.get_table().database_name(&self.database).name(table);
            async move { request.send().await.map_err(failed) }
        });
        match got.await {
            Ok(answer) => Ok(answer.table),
            Err(failure) if failure.kind == FailureKind::Missing => Ok(None),
            Err(failure) => Err(self.unread("load a table", failure)),
        }
    }

    async fn metadata(&self, location: &str) -> Result<TableMetadata, LakeError> {
        Ok(TableMetadata::read_from(&self.io, location).await?)
    }
}

/// The input for Glue's table, on top of the attributes that it already has.
fn input(name: &str, known: Option<&Table>, metadata: &TableMetadata, location: &str) -> Result<TableInput, LakeError> {
    let descriptor = match known.and_then(|known| known.storage_descriptor.clone()) {
        Some(mut descriptor) => {
            descriptor.columns = Some(columns::columns(metadata)?);
            descriptor.location = Some(metadata.location().to_owned());
            descriptor
        }
        None => {
            let descriptor = StorageDescriptor::builder().location(metadata.location());
            descriptor.set_columns(Some(columns::columns(metadata)?)).build()
        }
    };
    let mut parameters: HashMap<String, String> = known.and_then(|known| known.parameters.clone()).unwrap_or_default();
    if let Some(previous) = parameters.remove(METADATA) {
        parameters.insert(PREVIOUS.to_owned(), previous);
    }
    parameters.insert(METADATA.to_owned(), location.to_owned());
    parameters.insert(TABLE_TYPE.to_owned(), ICEBERG.to_owned());
    TableInput::builder()
        .name(name)
        .table_type("EXTERNAL_TABLE")
        .storage_descriptor(descriptor)
        .set_parameters(Some(parameters))
        .set_description(known.and_then(|known| known.description.clone()))
        .set_owner(known.and_then(|known| known.owner.clone()))
        .retention(known.map_or(0, |known| known.retention))
        .build()
        .map_err(|error| LakeError::Bug(format!("the input of table {name}: {error}")))
}

/// The metadata location of a Glue table; `None`: it is not an Iceberg table.
fn pointer(table: &Table) -> Option<&str> {
    let parameters = table.parameters.as_ref()?;
    let iceberg = parameters.get(TABLE_TYPE).is_some_and(|kind| kind.eq_ignore_ascii_case(ICEBERG));
    parameters.get(METADATA).filter(|_| iceberg).map(String::as_str)
}

#[async_trait]
impl Catalog for GlueCatalog {
    async fn identity(&self) -> Result<Option<CatalogIdentity>, LakeError> {
        let account = self.account.as_deref().unwrap_or("unknown");
        Ok(Some(CatalogIdentity { name: self.name.clone(), id: format!("{account} {}", self.name) }))
    }

    async fn tables(&self) -> Result<BTreeMap<String, String>, LakeError> {
        let mut tables = BTreeMap::new();
        let mut page = None;
        loop {
            let got = self.call(RequestFailure::repeatable, || {
                let request = self.client.get_tables().database_name(&self.database).set_next_token(page.clone());
                async move { request.send().await.map_err(failed) }
            });
            let got = got.await.map_err(|failure| self.unread("list tables", failure))?;
            let found = got.table_list.unwrap_or_default();
            tables.extend(found.iter().filter_map(|table| Some((table.name.clone(), pointer(table)?.to_owned()))));
            page = got.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(tables);
            }
        }
    }

    async fn location(&self, table: &str) -> Result<Option<String>, LakeError> {
        let Some(found) = self.get(table).await? else { return Ok(None) };
        let Some(location) = pointer(&found) else {
            return Err(LakeError::fix(
                format!("table {table} of {} exists, but is not an Iceberg table", self.name),
                "drop the table if it is not needed, or choose another database with `--catalog glue://REGION/DATABASE`",
            ));
        };
        Ok(Some(location.to_owned()))
    }

    async fn create(&self, table: &str, location: &str) -> Result<Created, LakeError> {
        let metadata = self.metadata(location).await?;
        let input = input(table, None, &metadata, location)?;
        let created = self.call(RequestFailure::repeatable_surely, || {
            let request = self.client.create_table().database_name(&self.database).table_input(input.clone());
            async move { request.send().await.map(drop).map_err(failed) }
        });
        match created.await {
            Ok(()) => Ok(Created::Won),
            Err(failure) if failure.kind == FailureKind::Taken => Ok(Created::Exists),
            Err(failure) => Err(self.error("create a table", failure)),
        }
    }

    async fn swap(&self, table: &str, base: &str, next: &str) -> Result<Swapped, LakeError> {
        let metadata = self.metadata(next).await?;
        let known = match self.get(table).await? {
            Some(known) if pointer(&known) == Some(base) => known,
            _ => return Ok(Swapped::Conflict),
        };
        let Some(version) = known.version_id.clone() else {
            return Err(LakeError::fix(
                format!("{} reports no versions of its tables: two writers could undo each other's commits", self.name),
                "use a Glue service that keeps table versions, as Amazon's does",
            ));
        };
        let input = input(table, Some(&known), &metadata, next)?;
        let swapped = self.call(RequestFailure::repeatable_surely, || {
            let request = self.client.update_table().database_name(&self.database).table_input(input.clone());
            // an archived version per epoch would soon reach the limit of versions
            let request = request.version_id(&version).skip_archive(true);
            async move { request.send().await.map(drop).map_err(failed) }
        });
        match swapped.await {
            Ok(()) => Ok(Swapped::Done),
            Err(failure) if failure.kind == FailureKind::Taken => Ok(Swapped::Conflict),
            Err(failure) => Err(self.error("swap a table", failure)),
        }
    }
}
