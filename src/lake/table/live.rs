//! One table of the lake: created, loaded, brought to an epoch, appended to.
//!
//! Drives [`Apply`] against the catalog: load, judge, stage under new names, swap; a conflict or a lost answer loads again.
//! The metadata that was swapped in last is kept, so an ordinary commit reads one manifest list and no metadata.

use super::deletes;
use super::files::{DataFileMeta, FileNames, RowBuffer, table_folder, write_batch};
use super::index::LiveFiles;
use super::rewrite::{Corrections, Rewrite, TOGETHER_ROWS, rewrite};
use super::schema::{APPLIED_EPOCH, APPLIED_NONE, creation, data_file, difference, iceberg_schema, lacks};
use crate::catalog::{Catalog, Swapped};
use crate::commit::announce::leaving_rows;
use crate::commit::protocol::{Applied, Apply, Head, TableAnswer, TableStep, unannounced};
use crate::commit::slot::{NetChange, Slot, SlotKind};
use crate::error::LakeError;
use crate::store::Store;
use crate::table::spec::{TableSpec, Value};
use crate::table::stage::{Base, Delta, Staged, stage};
use crate::upkeep::retention::Retention;
use crate::upkeep::{Past, Upkeep, collect, merge, on_main};
use ::iceberg::MetadataLocation;
use ::iceberg::io::FileIO;
use ::iceberg::spec::{TableMetadata, TableMetadataBuilder};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use ticktide_base::epoch::Epoch;
use uuid::Uuid;

/// Where the lake is.
#[derive(Clone, Debug)]
pub struct Place {
    pub store: Arc<dyn Store>,
    pub io: FileIO,
    pub catalog: Arc<dyn Catalog>,
    pub namespace: String,
    pub upkeep: Upkeep,
}

/// A table, with what we know of its head.
#[derive(Debug)]
pub struct LakeTable {
    pub spec: Arc<TableSpec>,
    pub base: Base,
    /// Of another head, or of none, until it is needed.
    live: LiveFiles,
}

/// What a commit is to do to a table.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    files: &'a [DataFileMeta],
    changes: &'a [NetChange],
    /// Files that `files` replace, by their names in the store.
    replaced: &'a [String],
    /// What was retained and what is from now on: epochs that leave are marked.
    marks: Option<(&'a Retention, &'a Retention)>,
    past: Past<'a>,
}

/// A positive id that nothing else has.
pub fn snapshot_id() -> i64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    ((high ^ low) >> 1).max(1) as i64
}

impl Place {
    fn folder(&self, table: &str) -> String {
        table_folder(&self.namespace, table)
    }

    async fn load(&self, table: &str, known: Option<&Base>) -> Result<Option<Base>, LakeError> {
        loop {
            let Some(location) = self.catalog.location(table).await? else { return Ok(None) };
            if let Some(known) = known.filter(|known| known.location == location) {
                return Ok(Some(known.clone()));
            }
            match TableMetadata::read_from(&self.io, &location).await.map_err(LakeError::from) {
                Ok(metadata) => return Ok(Some(Base::new(location, metadata))),
                // others have swapped so often since that the file is gone already
                Err(LakeError::Missing { .. }) if self.catalog.location(table).await? != Some(location) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the table, created if it does not exist. Error of kind `Fix`: it has other columns.
    pub async fn table(&self, spec: Arc<TableSpec>) -> Result<LakeTable, LakeError> {
        let base = match self.load(&spec.name, None).await? {
            Some(base) => base,
            None => self.create(&spec).await?,
        };
        let base = match lacks(&spec, base.metadata.current_schema())? {
            true => self.widen(&spec, base).await?,
            false => base,
        };
        if let Some(difference) = difference(&spec, base.metadata.current_schema())? {
            return Err(LakeError::fix(
                format!("table {} has other columns than this dataflow's: {difference}", spec.name),
                "write into a new lake with another `--warehouse`",
            ));
        }
        Ok(LakeTable { spec, base, live: LiveFiles::default() })
    }

    /// Adds the columns that the table lacks: a new schema and no new snapshot, in one swap. Files from before read null.
    async fn widen(&self, spec: &TableSpec, mut base: Base) -> Result<Base, LakeError> {
        for _ in 0..WIDEN_ATTEMPTS {
            let builder = base.metadata.as_ref().clone().into_builder(Some(base.location.clone()));
            let next = builder.add_current_schema(iceberg_schema(spec)?)?.build()?.metadata;
            let location = MetadataLocation::from_str(&base.location)?.with_next_version().with_new_metadata(&next);
            next.write_to(&self.io, &location).await?;
            match self.catalog.swap(&spec.name, &base.location, &location.to_string()).await {
                Err(error) if !error.perhaps_done() => return Err(error),
                // ours, another's, or unknown: what the catalog has now decides
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
        // ours or another's that was faster: what the catalog says is the table
        for _ in 0..CREATE_ATTEMPTS {
            let created = self.catalog.create(&spec.name, &file.to_string()).await;
            if let Err(error) = &created
                && !error.perhaps_done()
            {
                return Err(error.clone());
            }
            // an answer that was lost is looked up (L3)
            if let Some(base) = self.load(&spec.name, None).await? {
                return Ok(base);
            }
        }
        Err(gave_up("create a table", &spec.name))
    }
}

impl LakeTable {
    /// The epoch that the table has.
    pub fn applied(&self) -> Applied {
        match self.base.metadata.properties().get(APPLIED_EPOCH).map(String::as_str) {
            Some(APPLIED_NONE) => Applied::Nothing,
            Some(text) => text.parse().map_or(Applied::Missing, Applied::Epoch),
            None => Applied::Missing,
        }
    }

    pub fn uuid(&self) -> String {
        self.base.metadata.uuid().to_string()
    }

    /// What the table says of itself to an epoch whose snapshot has this id.
    fn head(&self, snapshot_id: i64) -> Head {
        let metadata = &self.base.metadata;
        let has_snapshot = metadata.snapshot_by_id(snapshot_id).is_some();
        Head { uuid: self.uuid(), applied: self.applied(), main: on_main(metadata), has_snapshot }
    }

    /// When the snapshot was stamped, in milliseconds since 1970; `None` if it is no longer kept.
    pub fn stamped_at(&self, snapshot_id: i64) -> Option<i64> {
        self.base.metadata.snapshot_by_id(snapshot_id).map(|snapshot| snapshot.timestamp_ms())
    }

    /// The live files of the head.
    pub async fn live(&mut self, place: &Place) -> Result<&LiveFiles, LakeError> {
        self.reload(place).await?;
        self.index(place).await?;
        Ok(&self.live)
    }

    async fn index(&mut self, place: &Place) -> Result<(), LakeError> {
        if self.live.at != self.base.location {
            let (at, metadata) = (&self.base.location, &self.base.metadata);
            self.live = LiveFiles::build(&self.spec, &place.io, at, metadata).await?;
        }
        Ok(())
    }

    async fn reload(&mut self, place: &Place) -> Result<(), LakeError> {
        let loaded = place.load(&self.spec.name, Some(&self.base)).await?;
        let gone = || {
            let message = format!("table {} is gone from the catalog", self.spec.name);
            LakeError::corrupt(message, "restore catalog.db, or register the newest metadata file of the table")
        };
        self.base = loaded.ok_or_else(gone)?;
        Ok(())
    }

    /// Brings the table to the slot's epoch, if the slot touches it and it is not there yet. `retention`: the one that is
    /// announced, by which old snapshots may leave.
    pub async fn apply(&mut self, place: &Place, slot: &Slot, retention: &Retention) -> Result<(), LakeError> {
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
                    let (files, replaced, past) = (&work.files, &work.replaced, Past::Retained(retention));
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

    /// Changes that were decided when the table had fewer columns.
    fn widened(&self, mut changes: Vec<NetChange>) -> Vec<NetChange> {
        let news = changes.iter_mut().filter_map(|change| change.new.as_mut());
        news.for_each(|new| new.resize(self.spec.columns.len(), Value::Null));
        changes
    }

    /// Stages on the head that was loaded last and swaps. A head that is no longer the head may have lost its files.
    async fn attempt(
        &mut self,
        place: &Place,
        slot: &Slot,
        snapshot_id: i64,
        wanted: Wanted<'_>,
    ) -> Result<TableAnswer, LakeError> {
        let attempted = match self.delta(place, slot, snapshot_id, wanted).await {
            Ok(delta) => self.swap(place, &delta, wanted.past).await,
            Err(error) => Err(error),
        };
        match attempted {
            Err(LakeError::Missing { key }) => {
                let head = place.catalog.location(&self.spec.name).await?;
                let moved = head.as_deref() != Some(&*self.base.location);
                if moved { Ok(TableAnswer::Conflict) } else { Err(LakeError::Missing { key }) }
            }
            other => other,
        }
    }

    /// What an epoch does to the table as it is now: its files, what becomes of the files that it corrects, a merge.
    async fn delta(
        &mut self,
        place: &Place,
        slot: &Slot,
        snapshot_id: i64,
        wanted: Wanted<'_>,
    ) -> Result<Delta, LakeError> {
        self.index(place).await?;
        let (epoch, attempt) = (slot.epoch, Uuid::new_v4().simple());
        let folder = place.folder(&self.spec.name);
        let names = |what: &str| FileNames { folder: folder.clone(), stem: format!("{epoch}-{what}-{attempt}") };
        let (store, spec, live) = (&*place.store, &self.spec, &self.live);
        let (changes, rewrite_bytes_max) = (wanted.changes, place.upkeep.rewrite_bytes_max);
        let corrections = Corrections { epoch, changes, rewrite_bytes_max, together_rows: TOGETHER_ROWS };
        let mut rewritten = rewrite(store, spec, live, corrections, names("apply")).await?;
        if let Some((before, after)) = wanted.marks {
            let changes = leaving_rows(store, spec, live, before, after).await?;
            let corrections = Corrections { changes: &changes, together_rows: MARKED_TOGETHER_ROWS, ..corrections };
            rewritten = rewrite(store, spec, live, corrections, names("mark")).await?;
        }
        rewritten.remove.extend(live.dangling.clone());
        let files = match replaceable(live, store, wanted.replaced) {
            Some(replaced) => {
                rewritten.remove.extend(replaced);
                wanted.files
            }
            None => {
                // another engine's commit came between: its rows count, the tidying can be done again
                tracing::warn!(table = spec.name, epoch, "compaction given up: its files are no longer as they were");
                &[]
            }
        };
        let merged = merge(store, spec, live, &rewritten, names("merge"), place.upkeep.files).await?;
        rewritten.remove.extend(merged.remove);
        let Rewrite { remove, add, deletes } = rewritten;
        let add = self.data_files(place, &[files, &add, &merged.add].concat())?;
        let deletes = deletes.iter().map(|file| deletes::entry(spec, store.location(&file.path), file));
        let deletes = deletes.collect::<Result<_, _>>()?;
        let replaces = slot.kind == SlotKind::Maintain;
        Ok(Delta { epoch, snapshot_id, cut_at: slot.cut_at, add, deletes, remove, replaces })
    }

    fn data_files(&self, place: &Place, files: &[DataFileMeta]) -> Result<Vec<::iceberg::spec::DataFile>, LakeError> {
        files.iter().map(|file| data_file(&self.spec, place.store.location(&file.path), file)).collect()
    }

    async fn swap(&mut self, place: &Place, delta: &Delta, past: Past<'_>) -> Result<TableAnswer, LakeError> {
        let staged = stage(&place.io, &self.base, delta, &place.upkeep, past).await?;
        let swapped = place.catalog.swap(&self.spec.name, &self.base.location, &staged.next.location).await;
        match swapped {
            Ok(Swapped::Done) => {
                self.swapped(place, delta, staged).await;
                Ok(TableAnswer::Swapped)
            }
            Ok(Swapped::Conflict) => Ok(TableAnswer::Conflict),
            Err(error) if error.perhaps_done() => {
                tracing::warn!(table = self.spec.name, epoch = delta.epoch, %error, "answer of the catalog was lost");
                Ok(TableAnswer::Lost)
            }
            Err(error) => Err(error),
        }
    }

    /// The head is ours: the index follows, old metadata files go.
    async fn swapped(&mut self, place: &Place, delta: &Delta, staged: Staged) {
        if self.live.at == self.base.location {
            delta.remove.keys().for_each(|location| self.live.remove(location));
            for (manifest, files) in &staged.written {
                files.iter().for_each(|file| self.live.add(&self.spec, manifest, file));
            }
            self.live.at.clone_from(&staged.next.location);
        }
        let before = std::mem::replace(&mut self.base, staged.next);
        // what stays because of an error is garbage, no more
        for key in staged.expired_metadata.iter().filter_map(|location| place.store.key(location)) {
            if let Err(error) = place.store.delete(&key).await {
                tracing::warn!(%error, "old metadata file stays");
            }
        }
        if !staged.expired_snapshots.is_empty() {
            match collect(&*place.store, &place.io, &before.metadata, &self.base, &staged.expired_snapshots).await {
                Ok(files) => tracing::debug!(table = self.spec.name, files, "files of expired snapshots deleted"),
                Err(error) => tracing::warn!(table = self.spec.name, %error, "files of expired snapshots stay"),
            }
        }
    }

    /// Appends the rows of the epochs that the table lacks up to `last`: announcing tables keep their own count (L2).
    /// `marks`: what was retained and what is now; rows of epochs that leave are marked in the same swap.
    pub async fn announce(
        &mut self,
        place: &Place,
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
            let wanted = Wanted { files: &files, changes: &[], replaced: &[], marks, past: Past::Newest };
            if matches!(self.attempt(place, last, id, wanted).await?, TableAnswer::Swapped) {
                return Ok(());
            }
        }
        Err(gave_up("swap a table", &self.spec.name))
    }
}

/// The data and delete files to replace with their manifests, if every data file is live with just these delete files: the
/// check at the swap that keeps a compaction from bringing back rows that were corrected or deleted since it read them.
fn replaceable(live: &LiveFiles, store: &dyn Store, replaced: &[String]) -> Option<HashMap<String, String>> {
    if live.foreign_deletes && !replaced.is_empty() {
        return None;
    }
    let locations: HashSet<String> = replaced.iter().map(|key| store.location(key)).collect();
    let found: HashMap<_, _> = locations.iter().flat_map(|location| live.with_deletes(location)).collect();
    (found.len() == locations.len() && found.keys().all(|location| locations.contains(location))).then_some(found)
}

/// Rows up to which files of marked epochs become one: marks come in order, so a bigger file would be written again by each
/// retention whose first epochs are its last.
const MARKED_TOGETHER_ROWS: usize = 1 << 10;
/// Conflicts and lost answers in a row after which widening a table gives up.
const WIDEN_ATTEMPTS: usize = 6;
/// Conflicts and lost answers in a row after which announcing gives up.
const ANNOUNCE_ATTEMPTS: usize = 6;
/// Lost answers in a row after which a table that is not there is not created.
const CREATE_ATTEMPTS: usize = 6;

fn gave_up(operation: &'static str, table: &str) -> LakeError {
    let cause = format!("every answer for table {table} was lost or a conflict");
    LakeError::Catalog { operation, perhaps: true, cause, busy: false }
}
