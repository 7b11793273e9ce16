//! STAGE 3: closed epochs → Parquet → one atomic commit → Iceberg.
//!
//! ```text
//!  every worker              worker 0                          worker 0, later, idempotent
//!  LakeWriter::write_part ─▶ Lake::decide ──▶ log/<epoch>.json ─▶ Lake::apply ─▶ tables ─▶ epochs, epoch_tables
//!  rows, state → files       parts → slot     THE commit          stage, swap    announce
//! ```
//!
//! Why a log of our own before Iceberg: catalogs swap one table at a time, so no catalog can commit offsets, state and
//! twenty tables together; one object that is created at most once can. The tables are its replayable projection.
//!
//! Old epochs leave and small files become big ones as a run goes ([`retention`], [`upkeep`]) and by command ([`maintain`]).
//!
//! What must hold: L1 a slot is created at most once · L2 an epoch's rows are visible in a table exactly once · L3 a write
//! whose answer was lost is looked up, never blindly repeated · L4 slots are contiguous · L5 after the takeover of a
//! generation no slot of a lower one appears · L9 state, offsets and tables of an epoch commit in the same slot.

pub mod catalog;
pub mod commit;
pub mod error;
pub mod maintain;
pub mod read;
pub mod state;
pub mod store;
pub mod table;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
pub(crate) mod tests;
pub mod upkeep;
pub mod write;

pub use crate::commit::slot::{EpochPart, Slot, TablePart};
pub use crate::read::audit::{Audited, Finding};
pub use crate::read::past::Past;
pub use crate::read::{EpochRow, LakeReader, TableAt};
pub use crate::state::lineage::{Begun, Chain};
pub use crate::state::resume::Resume;
pub use crate::store::warehouse::Warehouse;
pub use crate::table::files::RowBuffer;
pub use crate::write::measure::{Kept, KeptRows};
pub use crate::write::{LakeWriter, TableRows};
pub use error::LakeError;
pub use state::{StateEntry, StateRows};
pub use store::{Meter, StoreMeters};

use crate::commit::owner::Owner;
use crate::commit::slot::{Changes, NetChange, SlotKind, TableEntry, TableWork};
use crate::table::live::{LakeTable, Place};
use crate::table::spec::TableSpec;
use crate::upkeep::retention::{Retention, leaving, retain};
use state::StateFiles;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use ticktide_base::epoch::{Binding, Conservation, Epoch};
use upkeep::Upkeep;
use uuid::Uuid;

/// Which lake, and for whom.
#[derive(Clone, Debug)]
pub struct LakeOptions {
    /// A folder, created if it does not exist, or a bucket.
    pub warehouse: Warehouse,
    /// What [`catalog::CatalogPlace`] reads; `None`: `catalog.db` in the folder; a bucket needs one.
    pub catalog: Option<String>,
    /// Usually `market`.
    pub namespace: String,
    pub dataflow: String,
    pub dataflow_hash: String,
    /// The resolved settings without secrets, a JSON object.
    pub settings_json: String,
    pub code_version: String,
    /// A correction writes a data file of at most so many bytes again; rows of a bigger one are deleted by position.
    pub rewrite_bytes_max: u64,
}

/// The lake as its one writer sees it: decides epochs and applies them.
#[derive(Debug)]
pub struct Lake {
    place: Place,
    generation: u64,
    /// The last slot decided; ours from the takeover on.
    last: Arc<Slot>,
    tables: BTreeMap<String, LakeTable>,
    epochs: LakeTable,
    epoch_tables: LakeTable,
    state: StateFiles,
    /// Decided and not yet applied and announced.
    pending: BTreeMap<Epoch, Arc<Slot>>,
    /// What the log says stays readable, and what of that is announced: only by the latter snapshots leave.
    retention: Retention,
    announced: Retention,
    /// The last epochs with their cuts, without a hole up to the last one; more are read when they are needed.
    cuts: Vec<(Epoch, i64)>,
    /// Says that we are here.
    owner: Option<Owner>,
}

/// Milliseconds since 1970 by the wall clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Lake {
    /// Opens the lake, created if there is none: takes it over, brings all tables to what was decided, loads the state.
    /// Errors: of kind `Fix` if it is another dataflow's or was moved, `Corrupt` if committed data is damaged.
    pub async fn open(options: LakeOptions, tables: Vec<TableSpec>) -> Result<(Lake, Resume), LakeError> {
        // a folder must be there before its catalog is put into it
        let store = options.warehouse.open().await?;
        let catalog = options.warehouse.catalog(options.catalog.as_deref(), &options.namespace, true).await?;
        let upkeep = Upkeep { rewrite_bytes_max: options.rewrite_bytes_max, ..Upkeep::default() };
        let opened = Lake::open_on(store.clone(), catalog, &options, tables, upkeep).await;
        let (mut lake, resume) = opened?;
        lake.owner = Some(Owner::begin(store, lake.generation));
        Ok((lake, resume))
    }

    /// The end of a writer: those who would wait for it need not any more.
    pub async fn leave(mut self) {
        if let Some(owner) = self.owner.take() {
            owner.end().await;
        }
    }

    /// What a worker's I/O task writes with.
    pub fn writer(&self) -> LakeWriter {
        LakeWriter {
            store: self.place.store.clone(),
            namespace: self.place.namespace.clone(),
            generation: self.generation,
            kept: None,
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The mark of the last slot; after opening, of the takeover.
    pub fn token(&self) -> &str {
        &self.last.token
    }

    /// The epoch to decide next.
    pub fn epoch_next(&self) -> Epoch {
        self.last.epoch + 1
    }

    /// How many epochs are decided and not yet applied (L7: the caller keeps it within K).
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Decides epoch `binding.epoch`: THE commit. `parts` are those of all workers. When it answers, the epoch is durable,
    /// and [`Lake::apply`] will bring it into the tables, after a crash as well. Errors: `Fenced` if a higher generation
    /// owns the log, `Unbalanced` if records would be lost or counted twice; then nothing is decided.
    pub async fn decide(
        &mut self,
        binding: Binding,
        conservation: BTreeMap<String, Conservation>,
        parts: Vec<EpochPart>,
    ) -> Result<Epoch, LakeError> {
        let epoch = self.epoch_next();
        if (binding.epoch, binding.generation) != (epoch, self.generation) {
            let (of, by) = (binding.epoch, binding.generation);
            let next = format!("the next is {epoch} of generation {}", self.generation);
            return Err(LakeError::Bug(format!("a binding of epoch {of} by generation {by}, {next}")));
        }
        balance(self.last.binding.as_ref(), &binding, &conservation)?;
        let token = Uuid::new_v4().simple().to_string();
        let full = state::is_full(&parts);
        let state_base = if full { None } else { self.state.base() };
        let state_from = match &state_base {
            _ if full => epoch,
            Some(base) => base.epoch + 1,
            None => self.last.state_from,
        };
        let tables = self.entries(&parts, &token).await?;
        let decided_at = now_ms();
        let cut_at = decided_at.max(self.last.cut_at + 1);
        let retention = self.retention_next(epoch, cut_at).await?;
        let slot = Slot {
            epoch,
            kind: SlotKind::Data,
            generation: self.generation,
            token,
            cut_at,
            decided_at,
            binding: Some(binding),
            conservation,
            tables,
            state: parts.into_iter().flat_map(|part| part.state).collect(),
            state_base,
            state_from,
            retention_at: retention.as_ref().map(|_| epoch).or(self.last.retention_at),
            retention,
        };
        crate::commit::log::decide(&*self.place.store, &slot).await?;
        self.state.decided(epoch, slot.state.clone(), full);
        self.decided(slot);
        self.state.fold(&self.place.store, self.generation);
        Ok(epoch)
    }

    /// The slot is in the log: it is the last one, and to be applied.
    fn decided(&mut self, slot: Slot) {
        self.cuts.push((slot.epoch, slot.cut_at));
        if let Some(retention) = &slot.retention {
            self.cuts.retain(|(epoch, _)| *epoch >= retention.since);
            self.retention = retention.clone();
        }
        self.last = Arc::new(slot);
        self.pending.insert(self.last.epoch, self.last.clone());
    }

    /// The retention that the slot of `epoch` decides, if enough epochs are to leave.
    async fn retention_next(&mut self, epoch: Epoch, cut_at: i64) -> Result<Option<Retention>, LakeError> {
        let batch = self.place.upkeep.snapshots_batch.max(1);
        if !epoch.is_multiple_of(batch as u64) || epoch - self.retention.since < batch as u64 {
            return Ok(None);
        }
        let mut cuts = self.cuts_since_retained().await?.to_vec();
        cuts.push((epoch, cut_at));
        let keep = &self.place.upkeep.keep;
        Ok((leaving(&cuts, keep) >= batch).then(|| retain(&self.retention, &cuts, keep)))
    }

    /// The cut of every epoch of which all stay.
    async fn cuts_since_retained(&mut self) -> Result<&[(Epoch, i64)], LakeError> {
        let since = self.retention.since;
        let known = self.cuts.first().map_or(self.last.epoch + 1, |(epoch, _)| *epoch);
        if known > since {
            let mut cuts = crate::commit::log::cuts(&*self.place.store, since..known).await?;
            cuts.append(&mut self.cuts);
            self.cuts = cuts;
        }
        Ok(&self.cuts)
    }

    /// What the next slot says of every table.
    async fn entries(&self, parts: &[EpochPart], token: &str) -> Result<BTreeMap<String, TableEntry>, LakeError> {
        let epoch = self.epoch_next();
        let mut entries: BTreeMap<String, TableEntry> = BTreeMap::new();
        let mut changes: BTreeMap<&str, Vec<NetChange>> = BTreeMap::new();
        for (name, table) in &self.tables {
            let fresh = || TableEntry { uuid: table.uuid(), ..TableEntry::default() };
            entries.insert(name.clone(), self.last.carried(name).unwrap_or_else(fresh));
        }
        let mut touch =
            |table: &str, files: &[crate::table::files::DataFileMeta], added: u64, removed: u64, hash: u128| {
                let unknown =
                    || LakeError::Bug(format!("epoch {epoch}: rows of {table:?}, which is no table of the lake"));
                let entry = entries.get_mut(table).ok_or_else(unknown)?;
                let work = entry.work.get_or_insert_with(TableWork::default);
                work.files.extend_from_slice(files);
                work.rows_added += added;
                work.rows_removed += removed;
                let rows = (entry.rows + added).checked_sub(removed);
                entry.rows =
                    rows.ok_or_else(|| LakeError::Bug(format!("epoch {epoch}: {table} has fewer than 0 rows")))?;
                entry.content_hash = entry.content_hash.wrapping_add(hash);
                entry.snapshot_id.get_or_insert(0);
                Ok::<_, LakeError>(())
            };
        let mut sorted: Vec<_> = parts.iter().collect();
        sorted.sort_by_key(|part| part.worker);
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].worker == pair[1].worker) {
            return Err(LakeError::Bug(format!("epoch {epoch}: two parts of worker {}", pair[0].worker)));
        }
        for part in sorted.iter().flat_map(|part| &part.tables) {
            touch(&part.table, &part.files, part.rows_added, part.rows_removed, part.content_hash)?;
            if !part.history_files.is_empty() {
                let rows = part.history_files.iter().map(|file| file.rows).sum();
                touch(&format!("{}_history", part.table), &part.history_files, rows, 0, part.content_hash)?;
            }
            if let Some(table) = self.tables.get(&part.table) {
                let net = part.changes.iter().map(|change| NetChange::new(&table.spec, change.clone()));
                let net = net.collect::<Result<Vec<_>, _>>()?;
                changes.entry(&part.table).or_default().extend(net);
            }
        }
        for (name, changes) in changes {
            let path = format!("changes/{epoch}-{}-{token}/{name}.json", self.generation);
            let changes = Changes::store(changes, path, &*self.place.store).await?;
            if let Some(work) = entries.get_mut(name).and_then(|entry| entry.work.as_mut()) {
                work.changes = changes;
            }
        }
        for entry in entries.values_mut().filter(|entry| entry.work.is_some()) {
            entry.snapshot_id = Some(crate::table::live::snapshot_id());
        }
        Ok(entries)
    }

    /// Brings every table to the last decided epoch and announces. May be repeated after an error, here or by a later
    /// generation: what is applied already is left alone (L2).
    pub async fn apply(&mut self) -> Result<(), LakeError> {
        let Some(last) = self.pending.values().next_back().cloned() else { return Ok(()) };
        let (place, pending, announced) = (&self.place, &self.pending, &self.announced);
        let applied = self.tables.values_mut().map(async |table| {
            for slot in pending.values() {
                table.apply(place, slot, announced).await?;
            }
            Ok::<_, LakeError>(())
        });
        futures::future::try_join_all(applied).await?;
        let next = pending.values().rev().find_map(|slot| slot.retention.as_ref());
        let find = |epoch: Epoch| {
            let missing = || LakeError::Bug(format!("epoch {epoch} is to be announced and was not loaded"));
            pending.get(&epoch).ok_or_else(missing)
        };
        let tables = &self.tables;
        let stamped_at = |table: &str, id: i64| tables.get(table).and_then(|table| table.stamped_at(id));
        let pins = self.epoch_tables.announce(place, &last, None, |epoch, rows| {
            crate::commit::announce::epoch_tables_rows(find(epoch)?, stamped_at, rows);
            Ok(())
        });
        pins.await?;
        let marks = next.map(|next| (announced, next));
        let epochs = self.epochs.announce(place, &last, marks, |epoch, rows| {
            let expired = next.is_some_and(|next| !next.keeps(epoch));
            crate::commit::announce::epochs_row(find(epoch)?, expired, rows)
        });
        epochs.await?;
        let next = next.cloned();
        self.pending.clear();
        if let Some(next) = next {
            // what stays because of an error is garbage, no more
            if let Err(error) = self.forget(next.since).await {
                tracing::warn!(%error, "state of epochs that have left stays");
            }
            self.announced = next;
        }
        Ok(())
    }
}

/// Refuses an epoch that would lose records or count them twice: each place's advance is that of the bindings, both lines
/// of the balance are zero, and no place is forgotten.
fn balance(
    before: Option<&Binding>,
    binding: &Binding,
    conservation: &BTreeMap<String, Conservation>,
) -> Result<(), LakeError> {
    let unbalanced = |place: &str, detail: String| {
        Err(LakeError::Unbalanced { epoch: binding.epoch, place: place.to_owned(), detail })
    };
    for (name, place) in &binding.places {
        let counted = conservation.get(name).copied().unwrap_or_default();
        let known = before.and_then(|before| before.places.get(name));
        // a place seen for the first time, or of another source, starts where its reader says
        if let Some(known) = known.filter(|known| known.source_id == place.source_id) {
            let advanced = place.offset_next - known.offset_next;
            if advanced != counted.advanced {
                let detail = format!("offsets advanced by {advanced}, counted were {}", counted.advanced);
                return unbalanced(name, detail);
            }
        }
        if !counted.balances() {
            return unbalanced(name, format!("records do not balance: {counted:?}"));
        }
    }
    if let Some(name) = conservation.keys().find(|name| !binding.places.contains_key(*name)) {
        return unbalanced(name, "records of a place that the binding does not name".to_owned());
    }
    let places = before.into_iter().flat_map(|before| before.places.keys());
    if let Some(name) = places.into_iter().find(|name| !binding.places.contains_key(*name)) {
        return unbalanced(name, "the binding before names the place, this one does not".to_owned());
    }
    Ok(())
}
