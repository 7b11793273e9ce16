//! Maintenance by command: big files, old epochs, garbage, and what is wrong.
//!
//! ```text
//!   compact   take over ─▶ files of a partition ─▶ one file ─▶ slot (replaced, files) ─▶ apply: all live? swap : give up
//!   expire    take over ─▶ slot (retention) ─▶ announce marks rows ─▶ slot (tables) ─▶ snapshots leave ─▶ garbage goes
//!   rewind    take over ─▶ slot (a binding of its own): goes on from an earlier time
//!   doctor    reads
//! ```
//!
//! Why a slot of the log (kind `maintain`, no rows, the binding of the last data epoch): a compaction changes every table's
//! newest snapshot, and only what is in the log is announced, pinned, retained and found again after a crash. The slow part,
//! writing the big files, comes before the slot; the slot lists them and what they replace, so the
//! process that applies it later, even a run that starts after a crash, has one swap to make and nothing to compute. The swap
//! checks the head: if one of the files is no longer live, or another engine's delete files may refer to them, the table stays
//! as it is.
//!
//! Why a command takes the lake over: a slot has one author, the generation of the last takeover (L5), and a run
//! numbers epochs ahead. A command that inserted slots in between would be a second writer without a fence. So a command is a
//! generation like any other, and a run that starts meanwhile fences it. The other way round, a command would fence a run,
//! which would end with exit code 3 and not come back. So a command is refused while a writer reports that it is there
//! ([`crate::commit::owner`]), unless the user asks for a takeover; a run merges, retains and expires by itself as it goes.

pub mod compact;
pub mod doctor;
pub mod expire;
mod garbage;
mod rewind;
mod survey;

pub use survey::Survey;

#[cfg(test)]
pub use garbage::of as garbage_of;

use super::catalog::Catalog;
use super::error::LakeError;
use super::store::Store;
use super::upkeep::Upkeep;
use super::{Lake, Warehouse, now_ms};
use crate::commit::announce::is_announcing;
use crate::commit::log;
use crate::commit::owner::{self, Owner};
use crate::commit::slot::{Slot, SlotKind, TableWork};
use crate::state::claim::check_catalog;
use crate::state::format::FORMAT;
use crate::state::lineage;
use crate::store::fileio::file_io;
use crate::table::base::Base;
use crate::table::place::LakeLocation;
use crate::table::schema::{is_made_here, spec_of};
use crate::table::spec::TableSpec;
use crate::table::stage::snapshot_id;
use crate::upkeep::retention::Retention;
use ::iceberg::spec::TableMetadata;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use uuid::Uuid;

/// A table at its head.
#[derive(Clone, Debug)]
struct Found {
    spec: TableSpec,
    base: Base,
}

/// All tables of the lake, including the announcing ones; other tables in its catalog are left out.
async fn find_tables(store: &Arc<dyn Store>, catalog: &dyn Catalog) -> Result<BTreeMap<String, Found>, LakeError> {
    let io = file_io(store.clone());
    let inside = catalog.tables().await?.into_iter().filter(|(_, location)| store.key(location).is_some());
    let found = inside.map(|(name, location)| {
        let io = io.clone();
        async move {
            let metadata = TableMetadata::read_from(&io, &location).await?;
            if !is_made_here(&metadata) {
                return Ok(None);
            }
            let spec = spec_of(&name, &metadata)?;
            Ok::<_, LakeError>(Some((name, Found { spec, base: Base::new(location, metadata) })))
        }
    });
    Ok(try_join_all(found).await?.into_iter().flatten().collect())
}

impl Lake {
    /// Takes over an existing lake for maintenance. Error of kind `Fix`: there is no lake, or a writer is there and
    /// `take_over` is not set.
    pub async fn tend(
        warehouse: &Warehouse,
        catalog: Option<&str>,
        upkeep: Upkeep,
        take_over: bool,
    ) -> Result<Lake, LakeError> {
        let store = warehouse.open_existing().await?;
        let identity = lineage::identity(&*store).await?;
        let catalog = warehouse.catalog(catalog, &identity.namespace, true).await?;
        if let Some(seen) = owner::present(&*store).await?.filter(|_| !take_over) {
            return Err(LakeError::fix(
                format!(
                    "generation {} writes this lake: process {} on {}, seen {} s ago",
                    seen.generation,
                    seen.process,
                    seen.host,
                    now_ms().saturating_sub(seen.seen_at) / 1_000
                ),
                "a run merges files and expires old epochs by itself; end it first (one that died is forgotten after \
                 a minute), or fence it with `--take-over`: it then ends with exit code 3",
            ));
        }
        let mut lake = Lake::tend_on(store.clone(), catalog, upkeep).await?;
        lake.owner = Some(Owner::begin(store, lake.generation));
        Ok(lake)
    }

    /// [`Lake::tend`] on any store and catalog, even if a writer is there.
    pub async fn tend_on(store: Arc<dyn Store>, catalog: Arc<dyn Catalog>, upkeep: Upkeep) -> Result<Lake, LakeError> {
        let identity = lineage::identity(&*store).await?;
        check_catalog(&*store, &*catalog).await?;
        let found = find_tables(&store, &*catalog).await?;
        let last = log::last_listed(&*store).await?;
        let mut known = last.iter().flat_map(|slot| slot.tables.keys());
        if let Some(gone) = known.find(|name| !found.contains_key(*name)) {
            // its entry would be missing in the slots of maintenance, and a run would create it again, without its rows
            let message = format!("table {gone} is gone from the catalog");
            return Err(LakeError::corrupt(
                message,
                "register the table's newest metadata file with the catalog again",
            ));
        }
        let specs = found.into_iter().filter(|(name, _)| !is_announcing(name)).map(|(_, found)| found.spec);
        let place = LakeLocation { io: file_io(store.clone()), store, catalog, namespace: identity.namespace, upkeep };
        Ok(Lake::take_over(place, specs.collect()).await?.0)
    }

    /// The result of some work. If it failed because another generation has taken the lake over meanwhile, which may have
    /// deleted what the work needed, the error says so.
    async fn unless_fenced<T>(&self, done: Result<T, LakeError>) -> Result<T, LakeError> {
        let Err(error) = done else { return done };
        let next = self.epoch_next();
        match log::read_slot(&*self.place.store, next).await? {
            Some(slot) => Err(LakeError::Fenced { epoch: next, ours: self.generation, theirs: slot.generation }),
            None => Err(error),
        }
    }

    /// Decides an epoch without rows and brings the tables to it.
    pub(super) async fn maintain(
        &mut self,
        work: BTreeMap<String, TableWork>,
        retention: Option<Retention>,
    ) -> Result<Epoch, LakeError> {
        let mut slot = self.empty(SlotKind::Maintain);
        let epoch = slot.epoch;
        for (name, work) in work {
            let unknown = || LakeError::Bug(format!("epoch {epoch}: work on {name:?}, which the log does not know"));
            let entry = slot.tables.get_mut(&name).ok_or_else(unknown)?;
            (entry.snapshot_id, entry.work) = (Some(snapshot_id()), Some(work));
        }
        if retention.is_some() {
            (slot.retention_at, slot.retention) = (Some(epoch), retention);
        }
        log::decide(&*self.place.store, &slot).await?;
        self.decided(slot);
        self.apply().await?;
        Ok(epoch)
    }

    /// The next slot of a kind, without rows: everything is as the last slot left it.
    fn empty(&self, kind: SlotKind) -> Slot {
        let (last, decided_at) = (&self.last, now_ms());
        let carried = last.tables.keys().filter_map(|name| Some((name.clone(), last.carried(name)?)));
        Slot {
            format: FORMAT,
            epoch: self.epoch_next(),
            kind,
            generation: self.generation,
            token: Uuid::new_v4().simple().to_string(),
            cut_at: decided_at.max(last.cut_at + 1),
            decided_at,
            binding: last.binding.clone(),
            conservation: BTreeMap::new(),
            tables: carried.collect(),
            state: Vec::new(),
            state_base: last.state_base.clone(),
            state_from: last.state_from,
            retention: None,
            retention_at: last.retention_at,
        }
    }
}
