//! A lake as readers see it: the announced epochs, the snapshots that belong to each, the tables. A reader never takes over.

pub mod audit;
pub mod bars;
pub mod past;

use super::catalog::Catalog;
use super::error::LakeError;
use super::store::Store;
use crate::LakeOptions;
use crate::commit::announce::{EPOCHS, is_announcing};
use crate::commit::log::read_slot;
use crate::commit::slot::Slot;
use crate::state::claim::check_catalog;
use crate::state::identity::{Identity, compare, ours};
use crate::state::lineage;
use crate::store::fileio::file_io;
use crate::store::warehouse::Warehouse;
use crate::table::rows::Rows;
use crate::table::schema::APPLIED_EPOCH;
use crate::table::spec::{Cell, TableSpec};
use crate::upkeep::retention::Retention;
use ::iceberg::io::FileIO;
use ::iceberg::spec::TableMetadata;
use ::iceberg::table::Table;
use ::iceberg::{NamespaceIdent, Runtime, TableIdent};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use ticktide_base::time::{MICRO, Nanos};

/// One row of table `epochs`. Times are nanoseconds of UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRow {
    pub epoch: Epoch,
    pub cut_at: Nanos,
    pub decided_at: Nanos,
    pub generation: u64,
    pub closed_until: Option<Nanos>,
    /// JSON; `None` for an epoch without records of its own.
    pub binding: Option<String>,
    pub records: i64,
    pub accepted: i64,
    pub duplicates: i64,
    pub rejected: i64,
    pub pending: i64,
    pub gaps: i64,
    /// Its snapshots may be gone.
    pub expired: bool,
}

/// A table as an epoch has it.
#[derive(Clone, Debug)]
pub struct TableAt {
    pub name: String,
    /// The table at its head.
    pub table: Table,
    /// `None`: the table has no rows at the epoch.
    pub snapshot_id: Option<i64>,
}

impl TableAt {
    fn is_expired(&self) -> bool {
        self.snapshot_id.is_some_and(|id| self.table.metadata().snapshot_by_id(id).is_none())
    }
}

/// Reads a lake.
#[derive(Clone, Debug)]
pub struct LakeReader {
    store: Arc<dyn Store>,
    io: FileIO,
    catalog: Arc<dyn Catalog>,
    identity: Identity,
}

impl LakeReader {
    /// Opens an existing lake. Error of kind `Fix`: there is none, or it was moved.
    pub async fn open(warehouse: impl Into<Warehouse>, catalog: Option<&str>) -> Result<LakeReader, LakeError> {
        let warehouse = warehouse.into();
        let store = warehouse.open_existing().await?;
        let identity = lineage::identity(&*store).await?;
        let catalog = warehouse.catalog(catalog, &identity.namespace, false).await?;
        check_catalog(&*store, &*catalog).await?;
        Ok(LakeReader::on(store, catalog, identity))
    }

    pub(super) fn on(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>, identity: Identity) -> LakeReader {
        LakeReader { io: file_io(store.clone()), store, catalog, identity }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn io(&self) -> &FileIO {
        &self.io
    }

    /// Which dataflow owns the lake.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Checks that the dataflow owns the lake. Error of kind `Fix`: it does not; the error names the keys that differ.
    pub fn belongs_to(&self, options: &LakeOptions) -> Result<(), LakeError> {
        compare(&ours(options, self.identity.location.clone())?, &self.identity)
    }

    /// The names of the lake's tables, without other tables in its catalog.
    pub async fn tables(&self) -> Result<Vec<String>, LakeError> {
        let last = match self.epoch_last().await? {
            Some(epoch) => self.slot(epoch).await?,
            None => None,
        };
        Ok(self.locations(last.as_slice()).await?.into_keys().collect())
    }

    /// The locations of the tables that the slots name, and of the announcing tables.
    async fn locations(&self, slots: &[Slot]) -> Result<BTreeMap<String, String>, LakeError> {
        let mut locations = self.catalog.tables().await?;
        let known = |name: &str| slots.iter().any(|slot| slot.tables.contains_key(name));
        locations.retain(|name, _| is_announcing(name) || known(name));
        Ok(locations)
    }

    /// A table at its head. Error of kind `Fix`: there is no table of this name.
    pub async fn load(&self, table: &str) -> Result<Table, LakeError> {
        match self.catalog.location(table).await? {
            Some(location) => self.load_from(table, location).await,
            None => Err(absent(table, &self.tables().await?)),
        }
    }

    async fn load_from(&self, table: &str, location: String) -> Result<Table, LakeError> {
        let metadata = TableMetadata::read_from(&self.io, &location).await?;
        let namespace = NamespaceIdent::new(self.identity.namespace.clone());
        Ok(Table::builder()
            .file_io(self.io.clone())
            .metadata_location(location)
            .metadata(metadata)
            .identifier(TableIdent::new(namespace, table.to_owned()))
            .runtime(Runtime::try_current()?)
            .readonly(true)
            .build()?)
    }

    /// All announced epochs, the oldest first.
    pub async fn epochs(&self) -> Result<Vec<EpochRow>, LakeError> {
        let spec = crate::commit::announce::epochs_spec();
        let mut epochs = Vec::new();
        for rows in self.scan(&spec, None).await? {
            epochs.extend((0..rows.len()).map(|row| epoch_row(&rows, row)));
        }
        epochs.sort_by_key(|row| row.epoch);
        Ok(epochs)
    }

    /// The rows of a table, at a snapshot or at its head.
    pub async fn scan(&self, spec: &TableSpec, snapshot_id: Option<i64>) -> Result<Vec<Rows>, LakeError> {
        let table = self.load(&spec.name).await?;
        if table.metadata().current_snapshot().is_none() {
            return Ok(Vec::new());
        }
        let scan = table.scan().select_all();
        let scan = snapshot_id.into_iter().fold(scan, |scan, id| scan.snapshot_id(id)).build()?;
        let batches: Vec<_> = scan.to_arrow().await?.try_collect().await?;
        batches.iter().map(|batch| Rows::new(spec, batch)).collect()
    }

    /// The newest epoch that all tables have; `None`: there is none yet.
    pub async fn epoch_last(&self) -> Result<Option<Epoch>, LakeError> {
        let Some(location) = self.catalog.location(EPOCHS).await? else { return Ok(None) };
        let metadata = TableMetadata::read_from(&self.io, &location).await?;
        Ok(metadata.properties().get(APPLIED_EPOCH).and_then(|text| text.parse().ok()))
    }

    /// The slot of an epoch; `None`: it is not decided.
    pub async fn slot(&self, epoch: Epoch) -> Result<Option<Slot>, LakeError> {
        read_slot(&*self.store, epoch).await
    }

    /// Which epochs stay readable, as of the newest announced epoch.
    pub async fn retention(&self) -> Result<Retention, LakeError> {
        let Some(last) = self.epoch_last().await? else { return Ok(Retention::default()) };
        let Some(at) = self.slot(last).await?.and_then(|slot| slot.retention_at) else {
            return Ok(Retention::default());
        };
        Ok(self.slot(at).await?.and_then(|slot| slot.retention).unwrap_or_default())
    }

    /// The given epoch, by default the newest, and every table with its snapshot at it; a table without a snapshot has no rows
    /// at that epoch. Error of kind `Fix`: the epoch does not exist yet, or one of its snapshots is no longer kept.
    pub async fn tables_at(&self, epoch: Option<Epoch>) -> Result<(Epoch, Vec<TableAt>), LakeError> {
        let Some(newest) = self.epoch_last().await? else {
            return Err(LakeError::fix("the lake has no epoch yet", "wait for the first one, or start `ticktide run`"));
        };
        let epoch = epoch.unwrap_or(newest);
        if epoch > newest {
            return Err(LakeError::fix(
                format!("epoch {epoch} is not published, the newest is {newest}"),
                "list the published epochs with `ticktide epochs ls`",
            ));
        }
        let missing =
            || LakeError::corrupt(format!("epoch {epoch} is missing in the log"), "run `ticktide lake doctor`");
        let mut slots = vec![self.slot(epoch).await?.ok_or_else(missing)?];
        if epoch < newest {
            slots.extend(self.slot(newest).await?);
        }
        let locations = self.locations(&slots).await?;
        let mut slot = slots.swap_remove(0);
        if let Some(lost) =
            slot.tables.iter().find(|(name, at)| at.snapshot_id.is_some() && !locations.contains_key(*name))
        {
            return Err(absent(lost.0, locations.keys()));
        }
        let loads =
            locations.into_iter().map(|(name, location)| {
                let snapshot_id = slot.tables.remove(&name).and_then(|at| at.snapshot_id);
                async move {
                    Ok::<_, LakeError>(TableAt { table: self.load_from(&name, location).await?, snapshot_id, name })
                }
            });
        let tables = futures::future::try_join_all(loads).await?;
        let expired: Vec<&str> =
            tables.iter().filter(|table| table.is_expired()).map(|table| table.name.as_str()).collect();
        if expired.is_empty() {
            return Ok((epoch, tables));
        }
        let next = self.retention().await?.first_in(epoch, newest).unwrap_or(newest);
        Err(LakeError::fix(
            format!("epoch {epoch} is no longer kept: its snapshots of [{}] have expired", expired.join(", ")),
            format!(
                "the next kept epoch is {next} (`ticktide epochs ls`); the `_history` tables have the rows of older epochs"
            ),
        ))
    }
}

fn absent<'a>(table: &str, tables: impl IntoIterator<Item = &'a String>) -> LakeError {
    let names: Vec<&str> = tables.into_iter().map(String::as_str).collect();
    LakeError::fix(format!("there is no table {table:?}"), format!("the tables are {}", names.join(", ")))
}

fn epoch_row(rows: &Rows, row: usize) -> EpochRow {
    let long = |column: usize| match rows.cell(row, column) {
        Cell::Long(value) => value,
        _ => 0,
    };
    let time = |column: usize| match rows.cell(row, column) {
        Cell::Time(micros) => Some(micros.saturating_mul(MICRO)),
        _ => None,
    };
    let binding = match rows.cell(row, 5) {
        Cell::Text(text) => Some(text.to_owned()),
        _ => None,
    };
    EpochRow {
        epoch: long(0) as u64,
        cut_at: time(1).unwrap_or(0),
        decided_at: time(2).unwrap_or(0),
        generation: long(3) as u64,
        closed_until: time(4),
        binding,
        records: long(6),
        accepted: long(7),
        duplicates: long(8),
        rejected: long(9),
        pending: long(10),
        gaps: long(11),
        expired: rows.cell(row, 12) == Cell::Bool(true),
    }
}
