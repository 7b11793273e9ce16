//! Opening a lake: its identity, the takeover, the epochs that were decided and not applied, the state.
//!
//! The order matters (L5): the takeover is in the log before the run reads anything that it builds on, so no slot of an
//! older generation can appear after what was read.

use super::claim;
use super::format::FORMAT;
use super::lineage::{self, Lineage, LineageStart, LineageStartSearch};
use crate::catalog::Catalog;
use crate::commit::announce::{epoch_tables_spec, epochs_spec};
use crate::commit::log::{claim, read_slot};
use crate::commit::protocol::Applied;
use crate::commit::slot::{Slot, SlotKind, TableEntry};
use crate::error::LakeError;
use crate::state::{StateEntry, StateFiles, load_state};
use crate::store::Store;
use crate::store::fileio::file_io;
use crate::table::live::LakeTable;
use crate::table::place::LakeLocation;
use crate::table::spec::TableSpec;
use crate::upkeep::Upkeep;
use crate::upkeep::retention::Retention;
use crate::{Lake, LakeOptions, LakeWriter, Warehouse, now_ms};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::epoch::{Binding, Epoch};
use uuid::Uuid;

/// The number of bindings from which a run derives its first horizons.
const BINDINGS_KEPT: usize = 16;

/// The state of the lake from which a run goes on.
#[derive(Clone, Debug)]
pub struct Resume {
    pub generation: u64,
    /// The last binding; `None`: nothing was read yet.
    pub binding: Option<Binding>,
    /// The epoch to decide next.
    pub epoch_next: Epoch,
    /// The last bindings, from which horizons are derived; at most 16, the oldest first.
    pub bindings: Vec<Binding>,
    /// The last value of every key; no tombstones.
    pub state: Vec<StateEntry>,
    /// The size in bytes of the files that the state was read from.
    pub state_bytes: u64,
    /// The additions to the lake's dataflow since the lake was created, in order.
    pub lineages: Vec<LineageStart>,
}

/// Slots read so far; each is read once.
struct Slots<'a> {
    store: &'a dyn Store,
    read: BTreeMap<Epoch, Arc<Slot>>,
}

/// Slots that are read concurrently at a start.
const SLOTS_AT_ONCE: usize = 16;

impl Slots<'_> {
    /// Reads the slots that will be needed, several at once: one after the other, each would cost a round trip.
    async fn ahead(&mut self, epochs: std::ops::RangeInclusive<Epoch>) -> Result<(), LakeError> {
        let (store, missing) = (self.store, epochs.filter(|epoch| !self.read.contains_key(epoch)).collect::<Vec<_>>());
        let mut found = futures::stream::iter(missing)
            .map(|epoch| async move { read_slot(store, epoch).await })
            .buffer_unordered(SLOTS_AT_ONCE);
        while let Some(slot) = found.next().await {
            // a missing slot is reported when it is needed
            if let Some(slot) = slot? {
                self.read.insert(slot.epoch, Arc::new(slot));
            }
        }
        Ok(())
    }

    async fn get(&mut self, epoch: Epoch) -> Result<Arc<Slot>, LakeError> {
        if let Some(slot) = self.read.get(&epoch) {
            return Ok(slot.clone());
        }
        let missing = || {
            let message = format!("epoch {epoch} is missing in the log");
            LakeError::corrupt(message, "restore the missing files of log/ from a backup")
        };
        let slot = Arc::new(read_slot(self.store, epoch).await?.ok_or_else(missing)?);
        self.read.insert(epoch, slot.clone());
        Ok(slot)
    }
}

impl Lake {
    /// Whether there is a lake at the location, as far as can be determined now.
    pub async fn is_at(warehouse: &Warehouse) -> bool {
        match warehouse.open_existing().await {
            Ok(store) => lineage::identity(&*store).await.is_ok(),
            Err(_) => false,
        }
    }

    /// [`Lake::open`] on any store and catalog.
    pub async fn open_on(
        store: Arc<dyn Store>,
        catalog: Arc<dyn Catalog>,
        options: &LakeOptions,
        specs: Vec<TableSpec>,
        upkeep: Upkeep,
    ) -> Result<(Lake, Resume), LakeError> {
        let declared = claim::check(&*store, options, &*catalog).await?;
        let namespace = options.namespace.clone();
        let place = LakeLocation { io: file_io(store.clone()), store: store.clone(), catalog, namespace, upkeep };
        let (lake, read) = Lake::take_over(place, specs).await?;
        let (last, generation) = (lake.last.clone(), lake.generation);
        let mut slots = Slots { store: &*store, read };
        let bindings = bindings(&mut slots, &last).await?;
        let lineages = lineages(&mut slots, declared, &last).await?;
        let state = load_state(&*store, lake.state.files()).await?;
        let (binding, state_bytes, epoch_next) = (last.binding.clone(), bytes_of(&lake.state), lake.epoch_next());
        let resume = Resume { generation, binding, epoch_next, bindings, state, state_bytes, lineages };
        Ok((lake, resume))
    }

    /// Takes the log over and brings the tables to its end; also returns the slots that it read.
    pub(crate) async fn take_over(
        place: LakeLocation,
        specs: Vec<TableSpec>,
    ) -> Result<(Lake, BTreeMap<Epoch, Arc<Slot>>), LakeError> {
        claim::check_catalog(&*place.store, &*place.catalog).await?;
        let (tables, epochs, epoch_tables) = open_tables(&place, specs).await?;

        let token = Uuid::new_v4().simple().to_string();
        let takeover =
            claim(&*place.store, token, |last, generation, token| takeover(&tables, last, generation, token));
        let last = Arc::new(takeover.await?);
        tracing::info!(epoch = last.epoch, generation = last.generation, "lake taken over");

        let store = place.store.clone();
        let mut slots = Slots { store: &*store, read: BTreeMap::from([(last.epoch, last.clone())]) };
        let pending = pending(&mut slots, &last, &tables, [&epochs, &epoch_tables]).await?;
        let generation = last.generation;
        let state = state_files(&mut slots, &last).await?;
        let retention = retention(&mut slots, &last).await?;
        let announced = match epochs.applied() {
            Applied::Epoch(epoch) => {
                let slot = slots.get(epoch).await?;
                self::retention(&mut slots, &slot).await?
            }
            Applied::Nothing | Applied::Missing => Retention::default(),
        };
        let cuts = vec![(last.epoch, last.cut_at)];
        let last = last.clone();
        let mut lake = Lake {
            place,
            generation,
            last,
            tables,
            epochs,
            epoch_tables,
            state,
            pending,
            retention,
            announced,
            cuts,
            owner: None,
        };
        lake.apply().await?;
        Ok((lake, slots.read))
    }

    /// Follows another process's takeover, for a process that only writes files: reads the same [`Resume`], changes nothing.
    /// `epoch` and `token` are those of the takeover. Errors: of kind `Fix` if this is not the lake that was taken over.
    pub async fn follow(options: &LakeOptions, epoch: Epoch, token: &str) -> Result<(LakeWriter, Resume), LakeError> {
        let elsewhere = || {
            LakeError::fix(
                format!("the lake at {} is not the one that process 0 has taken over", options.warehouse),
                "every process needs the same lake: a folder on a shared disk, under the same path on every host",
            )
        };
        if options.warehouse.folder().is_some_and(|folder| !folder.is_dir()) {
            return Err(elsewhere());
        }
        let store = options.warehouse.open_existing().await?;
        let last = Arc::new(awaited(&*store, epoch).await?.ok_or_else(elsewhere)?);
        if last.token != token {
            return Err(elsewhere());
        }
        let (_, declared) = lineage::identity_and_lineages(&*store).await?;
        let mut slots = Slots { store: &*store, read: BTreeMap::from([(epoch, last.clone())]) };
        let files = state_files(&mut slots, &last).await?;
        let bindings = bindings(&mut slots, &last).await?;
        let state = load_state(&*store, files.files()).await?;
        let lineages = lineages(&mut slots, declared, &last).await?;
        let (generation, binding) = (last.generation, last.binding.clone());
        let writer = LakeWriter { store: store.clone(), namespace: options.namespace.clone(), generation, kept: None };
        let (state_bytes, epoch_next) = (bytes_of(&files), epoch + 1);
        Ok((writer, Resume { generation, binding, epoch_next, bindings, state, state_bytes, lineages }))
    }
}

fn bytes_of(files: &StateFiles) -> u64 {
    files.files().map(|file| file.bytes).sum()
}

/// Waits for a slot that another machine has just created: a shared disk may show it with a delay.
async fn awaited(store: &dyn Store, epoch: Epoch) -> Result<Option<Slot>, LakeError> {
    for _ in 0..50 {
        if let Some(slot) = read_slot(store, epoch).await? {
            return Ok(Some(slot));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(None)
}

/// The files of the state at a slot.
async fn state_files(slots: &mut Slots<'_>, last: &Slot) -> Result<StateFiles, LakeError> {
    slots.ahead(last.state_from..=last.epoch).await?;
    let mut since = BTreeMap::new();
    for epoch in last.state_from..=last.epoch {
        since.insert(epoch, slots.get(epoch).await?.state.clone());
    }
    Ok(StateFiles::new(last.state_base.clone(), since))
}

type Tables = BTreeMap<String, LakeTable>;

async fn open_tables(place: &LakeLocation, specs: Vec<TableSpec>) -> Result<(Tables, LakeTable, LakeTable), LakeError> {
    let mut all = Vec::with_capacity(specs.len() * 2);
    for spec in specs {
        if !spec.key.is_empty() && !spec.time.is_some_and(|time| spec.key.contains(&time)) {
            return Err(LakeError::Bug(format!("table {}: the key has no time column to find rows by", spec.name)));
        }
        all.extend(spec.history.then(|| spec.history_spec()));
        all.push(spec);
    }
    let opened =
        all.into_iter().chain([epochs_spec(), epoch_tables_spec()]).map(|spec| LakeTable::open(place, Arc::new(spec)));
    let mut opened = futures::future::try_join_all(opened).await?;
    let ours = "the announcing tables were opened last";
    let (epoch_tables, epochs) = (opened.pop().expect(ours), opened.pop().expect(ours));
    let count = opened.len();
    let tables: Tables = opened.into_iter().map(|table| (table.spec.name.clone(), table)).collect();
    if tables.len() != count {
        return Err(LakeError::Bug("two tables have the same name".to_owned()));
    }
    Ok((tables, epochs, epoch_tables))
}

/// The empty slot with which a generation claims the log: everything is as the last slot left it.
fn takeover(tables: &Tables, last: Option<&Slot>, generation: u64, token: &str) -> Slot {
    let entry = |(name, table): (&String, &LakeTable)| {
        let carried = last.and_then(|last| last.carried(name));
        (name.clone(), carried.unwrap_or_else(|| TableEntry { uuid: table.uuid(), ..TableEntry::default() }))
    };
    let decided_at = now_ms();
    Slot {
        format: FORMAT,
        epoch: last.map_or(0, |last| last.epoch + 1),
        kind: SlotKind::Takeover,
        generation,
        token: token.to_owned(),
        cut_at: last.map_or(decided_at, |last| decided_at.max(last.cut_at + 1)),
        decided_at,
        binding: last.and_then(|last| last.binding.clone()),
        conservation: BTreeMap::new(),
        tables: tables.iter().map(entry).collect(),
        state: Vec::new(),
        state_base: last.and_then(|last| last.state_base.clone()),
        state_from: last.map_or(0, |last| last.state_from),
        retention: None,
        retention_at: last.and_then(|last| last.retention_at),
    }
}

/// What stays readable at a slot.
async fn retention(slots: &mut Slots<'_>, slot: &Slot) -> Result<Retention, LakeError> {
    let Some(at) = slot.retention_at else { return Ok(Retention::default()) };
    let decided = slots.get(at).await?;
    let none =
        || LakeError::format(crate::commit::slot::slot_key(at), "has no retention, although a slot refers to it");
    decided.retention.clone().ok_or_else(none)
}

/// The slots that some table lacks, from the last one back.
async fn pending(
    slots: &mut Slots<'_>,
    last: &Arc<Slot>,
    tables: &Tables,
    announcing: [&LakeTable; 2],
) -> Result<BTreeMap<Epoch, Arc<Slot>>, LakeError> {
    let ahead = |name: &str, applied: Epoch| {
        let message = format!("table {name} has epoch {applied}, but the log ends at epoch {}", last.epoch);
        LakeError::corrupt(message, "restore the missing files of log/ from a backup")
    };
    // the least epoch that must be applied or announced again
    let mut from = last.epoch + 1;
    for table in announcing {
        from = from.min(match table.applied() {
            Applied::Epoch(applied) if applied > last.epoch => return Err(ahead(&table.spec.name, applied)),
            Applied::Epoch(applied) => applied + 1,
            Applied::Nothing | Applied::Missing => 0,
        });
    }
    let mut pending = BTreeMap::new();
    let mut epoch = last.epoch;
    loop {
        let slot = slots.get(epoch).await?;
        let lacks = |(name, entry): (&String, &TableEntry)| {
            let Some(table) = tables.get(name) else { return Ok(false) };
            match table.applied() {
                Applied::Epoch(applied) if applied > last.epoch => Err(ahead(name, applied)),
                Applied::Epoch(applied) => Ok(entry.previous.is_some_and(|previous| previous > applied)),
                // a missing property is reported when the first epoch is applied
                Applied::Nothing | Applied::Missing => Ok(entry.previous.is_some()),
            }
        };
        let behind = slot.tables.iter().map(lacks).collect::<Result<Vec<_>, LakeError>>()?.contains(&true);
        pending.insert(epoch, slot);
        if epoch == 0 || (!behind && epoch <= from) {
            return Ok(pending);
        }
        epoch -= 1;
    }
}

/// The start of each lineage of the lake.
async fn lineages(slots: &mut Slots<'_>, all: Vec<Lineage>, last: &Slot) -> Result<Vec<LineageStart>, LakeError> {
    let mut begun = Vec::with_capacity(all.len());
    for (at, lineage) in all.iter().enumerate() {
        let after = slots.get(lineage.after).await?;
        let mut beginning = LineageStartSearch::new(&all, at, Some(&after));
        let mut first = None;
        for epoch in lineage.after + 1..=last.epoch {
            if beginning.is(&*slots.get(epoch).await?) {
                first = Some(epoch);
                break;
            }
        }
        begun.push(LineageStart { lineage: lineage.clone(), first, seen_until: beginning.seen_until() });
    }
    Ok(begun)
}

/// The last bindings, the oldest first; none from before a rewind of the lake's time: horizons are not derived from those.
async fn bindings(slots: &mut Slots<'_>, last: &Arc<Slot>) -> Result<Vec<Binding>, LakeError> {
    let mut bindings = Vec::new();
    // a binding names its own epoch, so takeovers between data epochs are skipped without counting
    let mut next = last.binding.as_ref().map(|binding| binding.epoch);
    while let Some(epoch) = next
        && bindings.len() < BINDINGS_KEPT
    {
        let slot = slots.get(epoch).await?;
        bindings.extend(slot.binding.clone());
        next = match epoch.checked_sub(1).filter(|_| slot.kind != SlotKind::Rewind) {
            Some(before) => slots.get(before).await?.binding.as_ref().map(|binding| binding.epoch),
            None => None,
        };
    }
    bindings.reverse();
    Ok(bindings)
}
