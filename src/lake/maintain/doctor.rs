//! What is wrong with a lake, and how each thing is mended.
//!
//! ```text
//!   log      contiguous, generations and cuts rise              head    every live file once, there, as long as it says
//!   table    ours, applied, pins of retained epochs             rows    counted after deletes, hashed, each key once, as the slot says
//!   history  times rise, made by epochs                         epochs  announced once, marked when they left
//! ```
//!
//! Why a second opinion and not the writer's own checks: the writer never reads what it wrote, and buckets, people and other
//! engines change things behind its back. What must hold: a sound lake gives no finding that is wrong, beside a run as well;
//! nothing is changed. A finding that is not *wrong* is worth knowing: garbage, another engine's commit.

use super::super::error::LakeError;
use super::super::upkeep::{ascending, is_ours, made_by, on_main};
use super::super::{Warehouse, now_ms};
use super::garbage::Head;
use super::survey::{applied, retention_at};
use super::{Found, Survey};
use crate::commit::announce::{EPOCHS, epochs_spec};
use crate::commit::log;
use crate::commit::owner;
use crate::commit::slot::{LOG, Slot, TableEntry, slot_key};
use crate::table::deletes::{read_live, without_deleted};
use crate::table::files::table_folder;
use crate::table::index::{LiveFiles, manifests};
use crate::table::rewrite::read_file;
use crate::table::rows::{Rows, digest};
use crate::table::spec::{Cell, TableSpec};
use std::collections::{BTreeMap, HashSet};
use ticktide_base::epoch::Epoch;

/// Looks again this often when a lake is written while it is looked at.
const LOOKS: usize = 4;
/// How a table goes back.
const POINT_BACK: &str = "point the table's entry in the catalog at an older metadata file of its folder `metadata/`, and the next \
                          run applies the epochs that are missing (a rollback of its branch alone is refused: the table would \
                          still say that it has them)";
/// Names in a message, at most.
const NAMED: usize = 3;
/// Epochs that a run may be behind with its tables.
const LAG: u64 = 16;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Not only worth knowing.
    pub wrong: bool,
    /// What kind of thing, in a word or two.
    pub what: &'static str,
    pub table: Option<String>,
    pub message: String,
    /// The next action.
    pub mend: String,
}

/// What a lake was found to be.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    pub findings: Vec<Finding>,
    pub epoch_last: Epoch,
    pub tables: usize,
    /// Files and rows that were read.
    pub files: usize,
    pub rows: u64,
}

impl Diagnosis {
    fn wrong(&mut self, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        self.add(true, what, table, message, mend);
    }

    fn notice(&mut self, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        self.add(false, what, table, message, mend);
    }

    fn add(&mut self, wrong: bool, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        let (table, mend) = (table.map(str::to_owned), mend.to_owned());
        self.findings.push(Finding { wrong, what, table, message, mend });
    }
}

const FROM_BACKUP: &str = "restore the object from a backup or an older version of the bucket; rows that are lost for good \
     are computed again by a run into a new lake from the same source";
const SLOT_FROM_BACKUP: &str = "no run and no expiry goes on before it is there again: restore the object from a backup or an \
     older version of the bucket; if it is lost for good, the tables at their heads are what is left, and a run into a new \
     lake from the same source computes all epochs again";
const BY_RUN: &str = "`ticktide run` or `ticktide lake expire` brings the tables to the end of the log";

/// Looks at a lake. `quick`: no data file is read.
pub async fn diagnose(warehouse: &Warehouse, catalog: Option<&str>, quick: bool) -> Result<Diagnosis, LakeError> {
    for _ in 1..LOOKS {
        let survey = Survey::open(warehouse, catalog).await?;
        let diagnosis = survey.diagnose(quick).await;
        let sound = matches!(&diagnosis, Ok(found) if !found.findings.iter().any(|finding| finding.wrong));
        // what was seen in two moments may look wrong; a lake at rest looks the same again
        if sound || survey.heads() == Survey::open(warehouse, catalog).await?.heads() {
            return diagnosis;
        }
    }
    Survey::open(warehouse, catalog).await?.diagnose(quick).await
}

impl Survey {
    fn heads(&self) -> Vec<(&str, &str)> {
        self.tables.iter().map(|(name, found)| (name.as_str(), found.base.location.as_str())).collect()
    }

    /// Looks at the lake as it was surveyed.
    pub async fn diagnose(&self, quick: bool) -> Result<Diagnosis, LakeError> {
        let mut found = Diagnosis { epoch_last: self.last.epoch, tables: self.tables.len(), ..Diagnosis::default() };
        self.log(&mut found).await?;
        for (name, spec) in self.data_tables() {
            self.table(name, spec, quick, &mut found).await?;
        }
        self.announced(&mut found).await?;
        // without every slot nothing can be said to be garbage
        if self.holes.is_empty() {
            self.objects(&mut found).await?;
        }
        Ok(found)
    }

    /// The log: L4, L5, cuts.
    async fn log(&self, found: &mut Diagnosis) -> Result<(), LakeError> {
        let epochs = log::listed(&*self.store, LOG).await?;
        let first = epochs.first().copied().unwrap_or(0);
        let holes = epochs.windows(2).find(|pair| pair[1] != pair[0] + 1);
        if let Some((before, after)) = holes.map(|pair| (pair[0], pair[1])).or((first != 0).then_some((0, first))) {
            let names = (before..=after).filter(|epoch| epochs.binary_search(epoch).is_err()).map(slot_key);
            let names: Vec<String> = names.collect();
            let message =
                format!("the log has no epoch between {before} and {after}: {} missing", listed(names.iter()));
            found.wrong("log with a hole", None, message, SLOT_FROM_BACKUP);
        }
        for pair in self.slots.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if after.generation < before.generation {
                let (epoch, ours, theirs) = (after.epoch, before.generation, after.generation);
                let message = format!("epoch {epoch} is of generation {theirs}, the one before it of {ours}");
                let mend = "two runs have written it: the store does not honour conditional writes; use another one";
                found.wrong("stale generation in the log", None, message, mend);
            }
            if after.cut_at <= before.cut_at {
                let message = format!("the cut of epoch {} is not after that of epoch {}", after.epoch, before.epoch);
                found.wrong("cuts that do not rise", None, message, "pin by snapshot id, not by time, at these epochs");
            }
        }
        Ok(())
    }

    async fn table(&self, name: &str, spec: &TableSpec, quick: bool, found: &mut Diagnosis) -> Result<(), LakeError> {
        let Some(table) = self.tables.get(name) else { return Ok(()) };
        let metadata = &table.base.metadata;
        let Some(entry) = self.last.tables.get(name) else {
            let message = "the catalog has the table, the log does not know it".to_owned();
            found.notice("unknown table", Some(name), message, "drop it, unless `run` is just about to add it");
            return Ok(());
        };
        if entry.uuid != metadata.uuid().to_string() {
            let message = format!("has uuid {}, the log was written for {}", metadata.uuid(), entry.uuid);
            let mend = "the table was replaced: restore the catalog's entry to the metadata of the table in the log";
            found.wrong("replaced table", Some(name), message, mend);
            return Ok(());
        }
        let has = applied(metadata);
        let touched = self.last.last_touched(name);
        if has < touched {
            let (has, lag) = (has.map_or("no epoch".into(), |epoch| format!("epoch {epoch}")), touched.unwrap_or(0));
            let message = format!("has {has}, the log's last of it is epoch {lag}");
            let seen = owner::present(&*self.store).await?;
            let behind = lag - applied(metadata).unwrap_or(0) > LAG;
            found.add(seen.is_none() || behind, "unapplied epochs", Some(name), message, BY_RUN);
        }
        if has > touched {
            let message = format!("has epoch {}, the log ends its work on it at {touched:?}", has.unwrap_or(0));
            found.wrong("table ahead of the log", Some(name), message, FROM_BACKUP);
        }
        if let (Some(main), Some(has)) = (on_main(metadata), has)
            && main < has
        {
            let snapshots = ascending(metadata);
            let newest = snapshots.into_iter().rfind(|snapshot| made_by(snapshot) == Some(has));
            let id = newest.map_or("gone".to_owned(), |snapshot| snapshot.snapshot_id().to_string());
            let message = format!(
                "its branch main was rolled back to epoch {main}; it has epoch {has}, whose snapshot is {id}: no run goes on"
            );
            let mend = format!("set main to that snapshot again (Spark: set_current_snapshot); {POINT_BACK}");
            found.wrong("rolled back", Some(name), message, &mend);
        }
        self.history(name, table, found);
        self.pins(name, table, has, found).await?;
        let at = match has {
            Some(epoch) => self.slot(epoch).await?,
            None => None,
        };
        let entry = at.as_ref().and_then(|slot: &Slot| slot.tables.get(name));
        self.rows(name, spec, table, entry, quick, found).await
    }

    /// The table's own history of snapshots.
    fn history(&self, name: &str, table: &Found, found: &mut Diagnosis) {
        let metadata = &table.base.metadata;
        let steps = metadata.history().windows(2).filter(|pair| pair[1].timestamp_ms() < pair[0].timestamp_ms());
        let steps: Vec<i64> = steps.map(|pair| pair[1].snapshot_id).collect();
        if !steps.is_empty() {
            let message = format!("the times of its snapshots step back, at {}", listed(steps.iter()));
            let mend = "another engine's clock is ahead of ours: pin by snapshot id (`epoch_tables`), not by time, until these \
                 snapshots have left";
            found.wrong("snapshot log that is not monotone", Some(name), message, mend);
        }
        let foreign: Vec<_> = ascending(metadata).into_iter().filter(|snapshot| made_by(snapshot).is_none()).collect();
        if let Some(last) = foreign.last() {
            let (count, id) = (foreign.len(), last.snapshot_id());
            let summary = last.summary();
            let rows = summary.additional_properties.get("added-records").map_or("no", String::as_str);
            let message = format!(
                "another engine has committed {count} snapshots, the last is {id}: {}, {rows} rows added",
                summary.operation.as_str()
            );
            found.notice("foreign commits", Some(name), message, "none is needed: a run goes on and keeps them");
        }
    }

    /// Every retained epoch's snapshot is there.
    async fn pins(
        &self,
        name: &str,
        table: &Found,
        has: Option<Epoch>,
        found: &mut Diagnosis,
    ) -> Result<(), LakeError> {
        let Some(has) = has else { return Ok(()) };
        let metadata = &table.base.metadata;
        let mut gone = Vec::new();
        for (epoch, _) in &self.retention.kept {
            let slot = self.slot(*epoch).await?;
            gone.extend(slot.filter(|slot| is_gone(slot, name, metadata)).map(|slot| slot.epoch));
        }
        let lasting = self.slots.iter().filter(|slot| (self.retention.since..=has).contains(&slot.epoch));
        gone.extend(lasting.filter(|slot| is_gone(slot, name, metadata)).map(|slot| slot.epoch));
        if !gone.is_empty() {
            let message = format!("its snapshots of {} retained epochs are gone: {}", gone.len(), listed(gone.iter()));
            let mend = "another engine expired them: forbid it to expire this table; `ticktide lake expire` keeps what must \
                 stay by tags";
            found.wrong("lost snapshots", Some(name), message, mend);
        }
        Ok(())
    }

    /// The rows of the head: as many as the log says, with the same hash, each key once.
    async fn rows(
        &self,
        name: &str,
        spec: &TableSpec,
        table: &Found,
        entry: Option<&TableEntry>,
        quick: bool,
        found: &mut Diagnosis,
    ) -> Result<(), LakeError> {
        let twice = self.live_twice(table).await?;
        if !twice.is_empty() {
            let message = format!("{} files are live more than once: {}", twice.len(), listed(twice.iter()));
            let mend = format!("every engine counts their rows twice: {POINT_BACK}");
            found.wrong("duplicate files", Some(name), message, &mend);
        }
        let live = self.live(name, spec).await?;
        let (ours, all): (u64, u64) = live.files.iter().fold((0, 0), |(ours, all), (location, file)| {
            (ours + if is_ours(location) { file.rows_live() } else { 0 }, all + file.rows_live())
        });
        let expected = entry.map_or(0, |entry| entry.rows);
        let counts = format!("its files hold {all} rows, the log says {expected}");
        let mend = format!("`ticktide verify` names the epochs and keys that differ; {POINT_BACK}");
        if !live.dangling.is_empty() {
            let message = format!(
                "{} delete files refer to data files that are gone: {}",
                live.dangling.len(),
                listed(live.dangling.keys())
            );
            let mend = "none is needed: they delete nothing, the next epoch that touches the table takes them out";
            found.notice("dangling deletes", Some(name), message, mend);
        }
        if live.foreign_deletes {
            let mend = "compact it with that engine (OPTIMIZE): corrections cannot be made before";
            let message = "delete files of another engine refer to its rows".to_owned();
            found.notice("foreign deletes", Some(name), message, mend);
            return Ok(());
        }
        if quick {
            if expected != all && expected != ours {
                found.wrong("wrong count", Some(name), counts, &mend);
            }
            return Ok(());
        }
        let read = self.read(name, spec, &live, found).await?;
        let Some(read) = read else { return Ok(()) };
        let expected_hash = entry.map_or(0, |entry| entry.content_hash);
        let (of_all, of_ours) = ((read.rows, read.hash), (read.ours, read.hash_ours));
        if of_all != (expected, expected_hash) {
            if of_ours == (expected, expected_hash) {
                let message = format!("{} rows are another engine's, no epoch wrote them", read.rows - read.ours);
                let mend = "none is needed; delete them with the engine that wrote them if they should not be there";
                found.notice("foreign rows", Some(name), message, mend);
            } else if read.rows != expected {
                let message = format!("its files hold {} rows, the log says {expected}", read.rows);
                found.wrong("wrong count", Some(name), message, &mend);
            } else {
                let message = format!("content hash {:032x}, the log says {expected_hash:032x}", read.hash);
                found.wrong("wrong content", Some(name), message, &mend);
            }
        }
        if read.doubles > 0 {
            let message = format!("{} keys are live more than once, e.g. {}", read.doubles, read.double);
            let mend = "a row came back or was written beside us: `ticktide verify` tells which of them is right; delete the \
                 other with an engine that can (Trino, Spark)";
            found.wrong("duplicate keys", Some(name), message, mend);
        }
        Ok(())
    }

    /// The files that the head names more than once.
    async fn live_twice(&self, table: &Found) -> Result<Vec<String>, LakeError> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for manifest in manifests(&self.io, &table.base.metadata).await? {
            let manifest = manifest.load_manifest(&self.io).await?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                *counts.entry(entry.file_path().to_owned()).or_default() += 1;
            }
        }
        Ok(counts.into_iter().filter(|(_, count)| *count > 1).map(|(path, _)| path).collect())
    }

    /// Reads every live file. `None`: one cannot be read, which is told.
    async fn read(
        &self,
        name: &str,
        spec: &TableSpec,
        live: &LiveFiles,
        found: &mut Diagnosis,
    ) -> Result<Option<Read>, LakeError> {
        let mut read = Read::default();
        let mut locations: Vec<_> = live.files.iter().map(|(location, file)| (file.partition, location)).collect();
        locations.sort_unstable();
        let mut keys: HashSet<u128> = HashSet::new();
        let (mut partition, mut sound) = (None, true);
        for (of, location) in locations {
            // a key lies in one partition
            if of != partition {
                keys.clear();
                partition = of;
            }
            let Some(file) = live.files.get(location) else { continue };
            let left = match read_file(&*self.store, spec, location).await {
                Ok(batch) if batch.num_rows() as u64 != file.rows => {
                    let message =
                        format!("{location} holds {} rows, its manifest says {}", batch.num_rows(), file.rows);
                    found.wrong("damaged file", Some(name), message, FROM_BACKUP);
                    sound = false;
                    continue;
                }
                Ok(batch) => without_deleted(&*self.store, batch, location, &file.deletes).await,
                Err(error) => Err(error),
            };
            let rows = match left {
                Ok(batch) => Rows::new(spec, &batch)?,
                // told with all that are missing
                Err(LakeError::Missing { .. }) => {
                    sound = false;
                    continue;
                }
                Err(error) => {
                    found.wrong("damaged file", Some(name), format!("{location}: {error}"), FROM_BACKUP);
                    sound = false;
                    continue;
                }
            };
            let hash = rows.content_hash(spec);
            read.add(&rows, hash, is_ours(location));
            found.files += 1;
            found.rows += rows.len() as u64;
            if !spec.key.is_empty() {
                read.keys(spec, &rows, &mut keys);
            }
        }
        Ok(sound.then_some(read))
    }

    /// Table `epochs`: every epoch once, marked when it is not retained.
    async fn announced(&self, found: &mut Diagnosis) -> Result<(), LakeError> {
        let Some(table) = self.tables.get(EPOCHS) else { return Ok(()) };
        let spec = epochs_spec();
        let Some(has) = applied(&table.base.metadata) else { return Ok(()) };
        let live = self.live(EPOCHS, &spec).await?;
        let retention = match self.slot(has).await? {
            Some(slot) => retention_at(&*self.store, &slot).await?,
            None => return Ok(()),
        };
        let (mut seen, mut marks) = (BTreeMap::<Epoch, usize>::new(), Vec::new());
        let expired = spec.column("expired").unwrap_or(spec.columns.len() - 1);
        for (location, file) in &live.files {
            let batch = match read_live(&*self.store, &spec, location, &file.deletes).await {
                Err(LakeError::Missing { .. }) => return Ok(()), // told with all that are missing
                other => other?,
            };
            let rows = Rows::new(&spec, &batch)?;
            for row in 0..rows.len() {
                let Cell::Long(epoch) = rows.cell(row, 0) else { continue };
                *seen.entry(epoch as Epoch).or_default() += 1;
                if (rows.cell(row, expired) == Cell::Bool(true)) == retention.keeps(epoch as Epoch) {
                    marks.push(epoch);
                }
            }
        }
        let odd: Vec<Epoch> = (0..=has).filter(|epoch| seen.get(epoch) != Some(&1)).collect();
        if !odd.is_empty() {
            let message = format!("{} epochs are not announced exactly once: {}", odd.len(), listed(odd.iter()));
            found.wrong("epochs announced wrongly", Some(EPOCHS), message, POINT_BACK);
        }
        if !marks.is_empty() {
            let message = format!("{} epochs are marked wrongly: {}", marks.len(), listed(marks.iter()));
            let mend = "`epochs.expired` was changed by another engine: trust `ticktide query --epoch`";
            found.wrong("epochs marked wrongly", Some(EPOCHS), message, mend);
        }
        Ok(())
    }

    /// Objects that are missing, or garbage.
    async fn objects(&self, found: &mut Diagnosis) -> Result<(), LakeError> {
        let mut missing: Vec<(String, Vec<String>)> = Vec::new();
        let check = |name: &str, head: &Head, keys: &[String]| {
            let there: HashSet<&str> = keys.iter().map(String::as_str).collect();
            let folder = format!("{}/", table_folder(&self.identity.namespace, name));
            let gone = head.reached.iter().filter(|key| key.starts_with(&folder) && !there.contains(key.as_str()));
            // old versions of the metadata may go before the log of them says so
            let mut gone: Vec<String> = gone.filter(|key| !key.ends_with(".metadata.json")).cloned().collect();
            gone.sort_unstable();
            missing.extend((!gone.is_empty()).then(|| (name.to_owned(), gone)));
        };
        let garbage = self.garbage(check).await;
        for (name, keys) in missing {
            let message = format!("{} files that snapshots reach are missing: {}", keys.len(), listed(keys.iter()));
            found.wrong("missing files", Some(&name), message, FROM_BACKUP);
        }
        let garbage = match garbage {
            Err(LakeError::Missing { key }) => {
                let message = format!("{key} is missing; what it names cannot be looked at");
                found.wrong("missing files", None, message, FROM_BACKUP);
                return Ok(());
            }
            other => other?,
        };
        for (place, keys) in &garbage.keys {
            let message = format!("{} objects that nothing needs: {}", keys.len(), listed(keys.iter()));
            found.notice("garbage", Some(place), message, "`ticktide lake expire` deletes it");
        }
        let living = owner::present(&*self.store).await?.is_some_and(|seen| now_ms() >= seen.seen_at);
        for (place, count) in garbage.unknown.iter().filter(|_| !living) {
            let message = format!("{count} objects in its folder are neither reached nor named by this lake's writers");
            let mend = "they may be another engine's commit under way; delete them by hand if they stay";
            found.notice("unknown objects", Some(place), message, mend);
        }
        Ok(())
    }
}

fn is_gone(slot: &Slot, name: &str, metadata: &::iceberg::spec::TableMetadata) -> bool {
    let pin = slot.tables.get(name).and_then(|entry| entry.snapshot_id);
    pin.is_some_and(|id| metadata.snapshot_by_id(id).is_none())
}

/// The first few of many.
fn listed<T: std::fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let more = items.len().saturating_sub(NAMED);
    let first: Vec<String> = items.take(NAMED).map(|item| item.to_string()).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

/// What the files of a table hold.
#[derive(Debug, Default)]
struct Read {
    rows: u64,
    hash: u128,
    /// The same of the files that this lake's writers named.
    ours: u64,
    hash_ours: u128,
    doubles: u64,
    double: String,
}

impl Read {
    fn add(&mut self, rows: &Rows, hash: u128, ours: bool) {
        self.rows += rows.len() as u64;
        self.hash = self.hash.wrapping_add(hash);
        if ours {
            self.ours += rows.len() as u64;
            self.hash_ours = self.hash_ours.wrapping_add(hash);
        }
    }

    /// Counts the keys that are there already.
    fn keys(&mut self, spec: &TableSpec, rows: &Rows, known: &mut HashSet<u128>) {
        let mut key = Vec::new();
        for row in 0..rows.len() {
            rows.key(spec, row, &mut key);
            if !known.insert(digest(&key)) {
                if self.doubles == 0 {
                    let values: Vec<_> = spec.key.iter().map(|at| format!("{:?}", rows.cell(row, *at))).collect();
                    self.double = values.join(", ");
                }
                self.doubles += 1;
            }
        }
    }
}
