//! One table of the lake: loaded, brought to an epoch, appended to.
//!
//! ```text
//!   reload ─▶ Apply: judge the head ─▶ load ─▶ plan ─▶ perform ─▶ swap ─▶ collect
//!     ▲         applied: done          view    pure    files      one compare-and-swap
//!     └──────────────────────────────────────────────── conflict, or the answer was lost
//! ```
//!
//! Drives [`Apply`] against the catalog. The metadata that was swapped in last is kept, so an ordinary commit reads one
//! manifest list and no metadata. What must hold: L2, an epoch's rows come and go in the swap that records the epoch,
//! and in no other.

use super::base::{Base, KeptSnapshots, on_main};
use super::buffer::RowBuffer;
use super::deletes;
use super::files::write_batch;
use super::hits::{Hit, find};
use super::index::LiveFiles;
use super::meta::DataFileMeta;
use super::names::FileNames;
use super::place::{LakeLocation, gave_up};
use super::plan::{self, TOGETHER_ROWS, TablePlan, TableView, plan};
use super::rewrite::{Site, perform};
use super::schema::data_file;
use super::stage::{Delta, Staged, snapshot_id, stage};
use crate::catalog::Swapped;
use crate::commit::announce::leaving_rows;
use crate::commit::protocol::{Applied, Apply, TableAnswer, TableState, TableStep, unannounced};
use crate::commit::slot::{NetChange, Slot, SlotKind};
use crate::error::LakeError;
use crate::table::spec::{TableSpec, Value};
use crate::upkeep::collect::collect;
use crate::upkeep::retention::Retention;
use std::borrow::Cow;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use uuid::Uuid;

/// Rows up to which files of marked epochs become one. Epochs are marked in order, so each retention whose first epochs are
/// the last of a bigger file would write that file again.
const MARKED_TOGETHER_ROWS: usize = 1 << 10;
/// Conflicts and lost answers in a row after which announcing gives up.
const ANNOUNCE_ATTEMPTS: usize = 6;

/// A table, with what is known of its head.
#[derive(Debug)]
pub(crate) struct LakeTable {
    pub spec: Arc<TableSpec>,
    pub base: Base,
    /// The index of another head, or of none, until it is needed.
    live: LiveFiles,
}

/// What a commit is to do to a table.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    files: &'a [DataFileMeta],
    changes: &'a [NetChange],
    /// Files that `files` replace, by their names in the store.
    replaced: &'a [String],
    /// The retention before and the one from now on: epochs that leave are marked.
    marks: Option<(&'a Retention, &'a Retention)>,
    past: KeptSnapshots<'a>,
}

/// What was read of a table for an epoch, apart from its live files.
struct Loaded<'a> {
    /// The slot's changes, or the marks.
    changes: Cow<'a, [NetChange]>,
    hits: Vec<Hit>,
}

impl LakeTable {
    /// Opens the table, created if it does not exist. Error of kind `Fix`: it has other columns.
    pub(crate) async fn open(place: &LakeLocation, spec: Arc<TableSpec>) -> Result<LakeTable, LakeError> {
        Ok(LakeTable { base: place.open(&spec).await?, spec, live: LiveFiles::default() })
    }

    /// The epoch that the table has.
    pub(crate) fn applied(&self) -> Applied {
        self.base.applied()
    }

    pub(crate) fn uuid(&self) -> String {
        self.base.metadata.uuid().to_string()
    }

    /// The head, as it is judged by an epoch whose snapshot has this id.
    fn head(&self, snapshot_id: i64) -> TableState {
        let metadata = &self.base.metadata;
        let has_snapshot = metadata.snapshot_by_id(snapshot_id).is_some();
        TableState { uuid: self.uuid(), applied: self.applied(), main: on_main(metadata), has_snapshot }
    }

    /// When the snapshot was stamped, in milliseconds since 1970; `None` if it is no longer kept.
    pub(crate) fn stamped_at(&self, snapshot_id: i64) -> Option<i64> {
        self.base.metadata.snapshot_by_id(snapshot_id).map(|snapshot| snapshot.timestamp_ms())
    }

    /// The live files of the head.
    pub(crate) async fn live(&mut self, place: &LakeLocation) -> Result<&LiveFiles, LakeError> {
        self.reload(place).await?;
        self.index(place).await?;
        Ok(&self.live)
    }

    async fn index(&mut self, place: &LakeLocation) -> Result<(), LakeError> {
        if self.live.at != self.base.location {
            let (at, metadata) = (&self.base.location, &self.base.metadata);
            self.live = LiveFiles::build(&self.spec, &place.io, at, metadata).await?;
        }
        Ok(())
    }

    async fn reload(&mut self, place: &LakeLocation) -> Result<(), LakeError> {
        let loaded = place.load(&self.spec.name, Some(&self.base)).await?;
        let gone = || {
            let message = format!("table {} is gone from the catalog", self.spec.name);
            LakeError::corrupt(message, "restore catalog.db, or register the newest metadata file of the table")
        };
        self.base = loaded.ok_or_else(gone)?;
        Ok(())
    }

    /// Brings the table to the slot's epoch, if the slot touches it and it is not there yet. `retention`: the one that is
    /// announced; it decides which old snapshots may leave.
    pub(crate) async fn apply(
        &mut self,
        place: &LakeLocation,
        slot: &Slot,
        retention: &Retention,
    ) -> Result<(), LakeError> {
        let name = self.spec.name.clone();
        let Some(entry) = slot.tables.get(&name) else { return Ok(()) };
        let (Some(mut machine), Some(work), Some(snapshot_id)) =
            (Apply::new(slot, &name), &entry.work, entry.snapshot_id)
        else {
            return Ok(());
        };
        let mut changes: Option<Vec<NetChange>> = None;
        let mut step = machine.start();
        loop {
            let answer = match step {
                TableStep::Load => {
                    self.reload(place).await?;
                    TableAnswer::Loaded(self.head(snapshot_id))
                }
                TableStep::Swap => {
                    let changes = match &mut changes {
                        Some(changes) => changes,
                        None => changes.insert(self.widened(work.changes.load(&*place.store).await?)),
                    };
                    let (files, replaced, past) = (&work.files, &work.replaced, KeptSnapshots::Retained(retention));
                    let wanted = Wanted { files, changes, replaced, marks: None, past };
                    self.attempt(place, slot, snapshot_id, wanted).await?
                }
                TableStep::Applied => return Ok(()),
                TableStep::Stop(message) => {
                    let hint = "run `ticktide lake doctor`; a table that was rolled back or replaced cannot go on";
                    return Err(LakeError::corrupt(message, hint));
                }
                TableStep::GiveUp => return Err(gave_up("swap a table", &name)),
            };
            step = machine.on(answer);
        }
    }

    /// Adds the columns that the table lacked when the changes were decided.
    fn widened(&self, mut changes: Vec<NetChange>) -> Vec<NetChange> {
        let news = changes.iter_mut().filter_map(|change| change.new.as_mut());
        news.for_each(|new| new.resize(self.spec.columns.len(), Value::Null));
        changes
    }

    /// Stages on the head that was loaded last and swaps. If another head has replaced it, its files may be gone: a conflict.
    async fn attempt(
        &mut self,
        place: &LakeLocation,
        slot: &Slot,
        snapshot_id: i64,
        wanted: Wanted<'_>,
    ) -> Result<TableAnswer, LakeError> {
        match self.commit(place, slot, snapshot_id, wanted).await {
            Err(LakeError::Missing { key }) => {
                let head = place.catalog.location(&self.spec.name).await?;
                let moved = head.as_deref() != Some(&*self.base.location);
                if moved { Ok(TableAnswer::Conflict) } else { Err(LakeError::Missing { key }) }
            }
            other => other,
        }
    }

    /// Brings an epoch into the table as it is now.
    async fn commit(
        &mut self,
        place: &LakeLocation,
        slot: &Slot,
        snapshot_id: i64,
        wanted: Wanted<'_>,
    ) -> Result<TableAnswer, LakeError> {
        let Loaded { changes, hits } = self.load(place, slot.epoch, &wanted).await?;
        let view = TableView { base: &self.base, live: &self.live, hits: &hits };
        let order = plan::EpochInput {
            epoch: slot.epoch,
            files: wanted.files,
            replaced: wanted.replaced.iter().map(|key| place.store.location(key)).collect(),
            together_rows: if wanted.marks.is_some() { MARKED_TOGETHER_ROWS } else { TOGETHER_ROWS },
            past: wanted.past,
        };
        let Some(plan) = plan(view, &order, &place.upkeep)? else { return Ok(TableAnswer::Swapped) };
        if plan.given_up {
            // another engine committed in between: its rows count, and the compaction can be repeated
            let (table, epoch) = (&self.spec.name, slot.epoch);
            tracing::warn!(table, epoch, "compaction given up: its files have changed");
        }
        let corrects = if wanted.marks.is_some() { "mark" } else { "apply" };
        let delta = self.perform(place, (slot, snapshot_id), (&changes, corrects), hits, plan).await?;
        self.swap(place, &delta).await
    }

    /// Reads what the plan needs: the live files, and which of them hold the rows that are replaced.
    async fn load<'a>(
        &mut self,
        place: &LakeLocation,
        epoch: Epoch,
        wanted: &Wanted<'a>,
    ) -> Result<Loaded<'a>, LakeError> {
        self.index(place).await?;
        let (store, spec, live) = (&*place.store, &self.spec, &self.live);
        let changes = match wanted.marks {
            Some((before, after)) => Cow::Owned(leaving_rows(store, spec, live, before, after).await?),
            None => Cow::Borrowed(wanted.changes),
        };
        let hits = find(store, spec, live, epoch, &changes).await?;
        Ok(Loaded { changes, hits })
    }

    /// Writes the files of a plan. Returns what is to be swapped in.
    async fn perform(
        &self,
        place: &LakeLocation,
        (slot, snapshot_id): (&Slot, i64),
        (changes, corrects): (&[NetChange], &str),
        hits: Vec<Hit>,
        plan: TablePlan<'_>,
    ) -> Result<Delta, LakeError> {
        let (epoch, attempt) = (slot.epoch, Uuid::new_v4().simple());
        let folder = place.folder(&self.spec.name);
        let names = |what: &str| FileNames { folder: folder.clone(), stem: format!("{epoch}-{what}-{attempt}") };
        let (store, spec, live) = (&*place.store, &self.spec, &self.live);
        let (corrected, merged) = (names(corrects), names("merge"));
        let site = Site { store, spec, live, epoch, changes, corrected, merged };
        let written = perform(&site, &plan.work, hits).await?;
        let add = plan.files.iter().chain(&written.add);
        let add = add.map(|file| data_file(spec, store.location(&file.path), file)).collect::<Result<_, _>>()?;
        let deletes = written.deletes.iter().map(|file| deletes::entry(spec, store.location(&file.path), file));
        let deletes = deletes.collect::<Result<_, _>>()?;
        let (cut_at, replaces) = (slot.cut_at, slot.kind == SlotKind::Maintain);
        let TablePlan { remove, leaves, .. } = plan;
        Ok(Delta { epoch, snapshot_id, cut_at, add, deletes, remove, replaces, leaves })
    }

    async fn swap(&mut self, place: &LakeLocation, delta: &Delta) -> Result<TableAnswer, LakeError> {
        let staged = stage(&place.io, &self.base, delta, place.upkeep.manifests).await?;
        let swapped = place.catalog.swap(&self.spec.name, &self.base.location, &staged.next.location).await;
        match swapped {
            Ok(Swapped::Done) => {
                self.swapped(place, delta, staged).await;
                Ok(TableAnswer::Swapped)
            }
            Ok(Swapped::Conflict) => Ok(TableAnswer::Conflict),
            Err(error) if error.perhaps_done() => {
                tracing::warn!(table = self.spec.name, epoch = delta.epoch, %error, "the catalog's answer was lost");
                Ok(TableAnswer::Lost)
            }
            Err(error) => Err(error),
        }
    }

    /// After our swap: brings the index to the new head and deletes old metadata files.
    async fn swapped(&mut self, place: &LakeLocation, delta: &Delta, staged: Staged) {
        if self.live.at == self.base.location {
            delta.remove.keys().for_each(|location| self.live.remove(location));
            for (manifest, files) in &staged.written {
                files.iter().for_each(|file| self.live.add(&self.spec, manifest, file));
            }
            self.live.at.clone_from(&staged.next.location);
        }
        let before = std::mem::replace(&mut self.base, staged.next);
        // a file that stays because of an error is only garbage
        for key in staged.expired_metadata.iter().filter_map(|location| place.store.key(location)) {
            if let Err(error) = place.store.delete(&key).await {
                tracing::warn!(%error, "an old metadata file was not deleted");
            }
        }
        if !staged.expired_snapshots.is_empty() {
            match collect(&*place.store, &place.io, &before.metadata, &self.base, &staged.expired_snapshots).await {
                Ok(files) => tracing::debug!(table = self.spec.name, files, "files of expired snapshots deleted"),
                Err(error) => {
                    tracing::warn!(table = self.spec.name, %error, "files of expired snapshots were not deleted")
                }
            }
        }
    }

    /// Appends the rows of the epochs that the table lacks up to `last`: announcing tables keep their own count (L2).
    /// `marks`: the retention before and now; rows of epochs that leave are marked in the same swap.
    pub(crate) async fn announce(
        &mut self,
        place: &LakeLocation,
        last: &Slot,
        marks: Option<(&Retention, &Retention)>,
        mut rows: impl FnMut(Epoch, &mut RowBuffer) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        for _ in 0..ANNOUNCE_ATTEMPTS {
            self.reload(place).await?;
            let id = snapshot_id();
            let lacking = unannounced(&self.head(id), last.epoch).map_err(|message| {
                let message = format!("table {} {message}", self.spec.name);
                LakeError::corrupt(message, "run `ticktide lake doctor`")
            })?;
            if lacking.is_empty() {
                return Ok(());
            }
            let mut buffer = RowBuffer::new(self.spec.clone());
            for epoch in lacking {
                rows(epoch, &mut buffer)?;
            }
            let stem = format!("{}-announce-{}", last.epoch, Uuid::new_v4().simple());
            let names = FileNames { folder: place.folder(&self.spec.name), stem };
            let (files, _) = write_batch(&*place.store, self.spec.clone(), names, buffer.finish()?).await?;
            let wanted = Wanted { files: &files, changes: &[], replaced: &[], marks, past: KeptSnapshots::Newest };
            if matches!(self.attempt(place, last, id, wanted).await?, TableAnswer::Swapped) {
                return Ok(());
            }
        }
        Err(gave_up("swap a table", &self.spec.name))
    }
}
