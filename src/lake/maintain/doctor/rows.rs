//! The rows of a table's head: every live file is read and counted, every key must be there once.
//!
//! What must hold: the head holds what the slot says, whatever other engines added.

use super::super::{Found, Survey};
use super::finding::{Diagnosis, FROM_BACKUP, POINT_BACK, listed};
use crate::commit::slot::TableEntry;
use crate::error::LakeError;
use crate::table::deletes::without_deleted;
use crate::table::index::{LiveFiles, manifests};
use crate::table::names::is_ours;
use crate::table::parquet::read_file;
use crate::table::rows::{Rows, digest};
use crate::table::spec::TableSpec;
use std::collections::{BTreeMap, HashSet};

impl Survey {
    /// Checks the rows of the head: as many as the log says, with the same hash, each key once.
    pub(super) async fn rows(
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
            let mend = "none is needed: they delete nothing, and the next epoch that touches the table removes them";
            found.notice("dangling deletes", Some(name), message, mend);
        }
        if live.foreign_deletes {
            let mend = "compact it with that engine (OPTIMIZE): until then, no correction can be made";
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
                let message = format!("{} rows are another engine's: no epoch wrote them", read.rows - read.ours);
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
            let mend = "a row came back, or another writer added one: `ticktide verify` shows which of them is right; delete \
                 the other with an engine that can (Trino, Spark)";
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

    /// Reads every live file. `None`: one cannot be read, which is reported.
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
                // reported with all missing files
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
}

/// What the files of a table hold.
#[derive(Debug, Default)]
struct Read {
    rows: u64,
    hash: u128,
    /// The same for the files that this lake's writers named.
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

    /// Counts the keys that are known already.
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
