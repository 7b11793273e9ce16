//! A lake as a whole, read from outside: the log, every table's head, what all of its snapshots reach. Changes nothing.

use super::super::Warehouse;
use super::super::catalog::Catalog;
use super::super::error::LakeError;
use super::super::store::Store;
use super::{Found, find_tables, is_announcing};
use crate::commit::log::{last_epochs, read_slot};
use crate::commit::slot::Slot;
use crate::state::claim::check_catalog;
use crate::state::identity::Identity;
use crate::state::lineage;
use crate::store::fileio::file_io;
use crate::table::index::{LiveFiles, manifests_of};
use crate::table::schema::{APPLIED_EPOCH, APPLIED_NONE};
use crate::table::spec::TableSpec;
use crate::upkeep::retention::Retention;
use ::iceberg::io::FileIO;
use ::iceberg::spec::TableMetadata;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// Objects that are read side by side.
const READ_AT_ONCE: usize = 32;

/// A lake at one moment.
#[derive(Debug)]
pub struct Survey {
    pub(super) store: Arc<dyn Store>,
    pub(super) io: FileIO,
    pub(super) identity: Identity,
    pub(super) tables: BTreeMap<String, Found>,
    pub(super) last: Slot,
    pub(crate) retention: Retention,
    /// The slots of the epochs from the retention's `since` on, and of earlier ones that their state needs, as far as they
    /// are there.
    pub(super) slots: Vec<Slot>,
    /// The epochs among these whose slots are missing.
    pub(super) holes: Vec<Epoch>,
}

/// The epoch that a table has; `None`: it has none, or does not say.
pub(super) fn applied(metadata: &TableMetadata) -> Option<Epoch> {
    metadata.properties().get(APPLIED_EPOCH).filter(|text| *text != APPLIED_NONE)?.parse().ok()
}

impl Survey {
    /// Surveys an existing lake. Error of kind `Fix`: there is none.
    pub async fn open(warehouse: &Warehouse, catalog: Option<&str>) -> Result<Survey, LakeError> {
        let store = warehouse.open_existing().await?;
        let identity = lineage::identity(&*store).await?;
        let catalog = warehouse.catalog(catalog, &identity.namespace, false).await?;
        Survey::open_on(store, catalog).await
    }

    /// The same on any store and catalog.
    pub async fn open_on(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>) -> Result<Survey, LakeError> {
        let identity = lineage::identity(&*store).await?;
        check_catalog(&*store, &*catalog).await?;
        // the tables first: every epoch that they have is in the log, which is read afterwards
        let tables = find_tables(&store, &*catalog).await?;
        let none = || LakeError::fix("the lake has no epoch yet", "start `ticktide run` first");
        let end = last_epochs(&*store).await?.last().copied().ok_or_else(none)?;
        let missing = |epoch: Epoch| {
            let message = format!("epoch {epoch} is missing in the log");
            LakeError::corrupt(message, "restore the missing files of log/ from a backup")
        };
        let last = read_slot(&*store, end).await?.ok_or_else(|| missing(end))?;
        let retention = retention_at(&*store, &last).await?;
        let first = read_slot(&*store, retention.since).await?.unwrap_or_else(|| last.clone());
        let wanted = first.state_from.min(retention.since)..=end;
        let read = wanted.clone().map(|epoch| read_slot(&*store, epoch)).collect::<Vec<_>>();
        let read: Vec<_> = futures::stream::iter(read).buffered(READ_AT_ONCE).try_collect().await?;
        let slots: Vec<Slot> = read.into_iter().flatten().collect();
        let there: HashSet<Epoch> = slots.iter().map(|slot| slot.epoch).collect();
        let holes = wanted.filter(|epoch| !there.contains(epoch)).collect();
        Ok(Survey { io: file_io(store.clone()), store, identity, tables, last, retention, slots, holes })
    }

    /// Error: slots that say what is needed are missing, so nothing can be called garbage.
    pub(super) fn insist_on_slots(&self) -> Result<(), LakeError> {
        let Some(epoch) = self.holes.first() else { return Ok(()) };
        let message = format!("epoch {epoch} is missing in the log");
        Err(LakeError::corrupt(message, "run `ticktide lake doctor`: it says how to mend this"))
    }

    /// The tables that epochs write, by name.
    pub(super) fn data_tables(&self) -> impl Iterator<Item = (&str, &TableSpec)> {
        let data = self.tables.iter().filter(|(name, _)| !is_announcing(name));
        data.map(|(name, found)| (name.as_str(), &found.spec))
    }

    /// The live files of a table's head.
    pub(crate) async fn live(&self, name: &str, spec: &TableSpec) -> Result<LiveFiles, LakeError> {
        let Some(found) = self.tables.get(name) else { return Ok(LiveFiles::default()) };
        LiveFiles::build(spec, &self.io, &found.base.location, &found.base.metadata).await
    }

    /// The slot of an epoch, read if it is not at hand.
    pub(super) async fn slot(&self, epoch: Epoch) -> Result<Option<Slot>, LakeError> {
        match self.slots.iter().find(|slot| slot.epoch == epoch) {
            Some(slot) => Ok(Some(slot.clone())),
            None => read_slot(&*self.store, epoch).await,
        }
    }

    /// The names in the store of everything that a snapshot of the table reaches, and of its metadata files.
    pub(super) async fn reached(&self, found: &Found) -> Result<HashSet<String>, LakeError> {
        let metadata = &found.base.metadata;
        let mut reached = HashSet::new();
        let mut add = |location: &str| reached.extend(self.store.key(location));
        add(&found.base.location);
        metadata.metadata_log().iter().for_each(|log| add(&log.metadata_file));
        metadata.statistics_iter().for_each(|file| add(&file.statistics_path));
        metadata.partition_statistics_iter().for_each(|file| add(&file.statistics_path));
        let lists = metadata.snapshots().map(|snapshot| async {
            Ok::<_, LakeError>((snapshot.manifest_list(), manifests_of(&self.io, metadata, snapshot).await?))
        });
        let lists: Vec<_> = futures::stream::iter(lists).buffered(READ_AT_ONCE).try_collect().await?;
        let mut manifests = BTreeMap::new();
        for (location, list) in lists {
            add(location);
            manifests.extend(list.into_iter().map(|manifest| (manifest.manifest_path.clone(), manifest)));
        }
        manifests.keys().for_each(|location| add(location));
        let loaded = manifests.into_values().map(|manifest| {
            let io = self.io.clone();
            async move { manifest.load_manifest(&io).await }
        });
        let mut loaded = futures::stream::iter(loaded).buffer_unordered(READ_AT_ONCE);
        while let Some(manifest) = loaded.try_next().await? {
            let live = manifest.entries().iter().filter(|entry| entry.is_alive());
            live.for_each(|entry| add(entry.file_path()));
        }
        Ok(reached)
    }
}

/// What stays readable at a slot.
pub(super) async fn retention_at(store: &dyn Store, slot: &Slot) -> Result<Retention, LakeError> {
    let Some(at) = slot.retention_at else { return Ok(Retention::default()) };
    if at == slot.epoch {
        return Ok(slot.retention.clone().unwrap_or_default());
    }
    Ok(read_slot(store, at).await?.and_then(|slot| slot.retention).unwrap_or_default())
}
