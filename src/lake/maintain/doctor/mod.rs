//! What is wrong with a lake, and how to mend it.
//!
//! ```text
//!   log      contiguous, generations and cuts rise      head    every live file once, present, with its rows
//!   table    ours, applied, pins of retained epochs     rows    counted after deletes, hashed, each key once, as the slot says
//!   history  times rise, made by epochs                 epochs  announced once, marked when they left
//! ```
//!
//! Why a second opinion and not the writer's own checks: the writer never reads what it wrote, and buckets, people and other
//! engines change objects behind its back. What must hold: a sound lake gives no finding that is *wrong*, even while a run
//! writes it; the doctor changes nothing. A finding that is not *wrong* is worth knowing: garbage, another engine's commit.

mod finding;
mod objects;
mod rows;

pub use finding::{Diagnosis, Finding};

use self::finding::{FROM_BACKUP, POINT_BACK, listed};
use super::survey::applied;
use super::{Found, Survey};
use crate::Warehouse;
use crate::commit::log;
use crate::commit::owner;
use crate::commit::slot::{LOG, Slot, slot_key};
use crate::error::LakeError;
use crate::table::base::{ascending, made_by, on_main};
use crate::table::spec::TableSpec;
use ticktide_base::epoch::Epoch;

/// Surveys at most, if the lake is written during a survey.
const LOOKS: usize = 4;
/// Epochs by which a run's tables may lag behind the log.
const LAG: u64 = 16;

const SLOT_FROM_BACKUP: &str = "no run and no expiry can go on without it: restore the object from a backup or an older \
     version of the bucket; if it is lost for good, only the tables at their heads are left, and a run from the same source \
     into a new lake computes all epochs again";
const BY_RUN: &str = "`ticktide run` or `ticktide lake expire` brings the tables to the end of the log";

/// Diagnoses a lake. `quick`: no data file is read.
pub async fn diagnose(warehouse: &Warehouse, catalog: Option<&str>, quick: bool) -> Result<Diagnosis, LakeError> {
    for _ in 1..LOOKS {
        let survey = Survey::open(warehouse, catalog).await?;
        let diagnosis = survey.diagnose(quick).await;
        let sound = matches!(&diagnosis, Ok(found) if !found.findings.iter().any(|finding| finding.wrong));
        // what was read at two moments may look wrong together; if the heads have not moved, it is wrong
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

    /// Diagnoses the lake as it was surveyed.
    pub async fn diagnose(&self, quick: bool) -> Result<Diagnosis, LakeError> {
        let mut found = Diagnosis { epoch_last: self.last.epoch, tables: self.tables.len(), ..Diagnosis::default() };
        self.log(&mut found).await?;
        for (name, spec) in self.data_tables() {
            self.table(name, spec, quick, &mut found).await?;
        }
        self.announced(&mut found).await?;
        // unless every slot is there, nothing can be called garbage
        if self.holes.is_empty() {
            self.objects(&mut found).await?;
        }
        Ok(found)
    }

    /// Checks the log: L4, L5, cuts.
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
                let mend = "two runs have written it: the store does not honour conditional writes; use another store";
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
            let message = format!("has {has}, the log's last epoch of it is {lag}");
            let seen = owner::present(&*self.store).await?;
            let behind = lag - applied(metadata).unwrap_or(0) > LAG;
            found.add(seen.is_none() || behind, "unapplied epochs", Some(name), message, BY_RUN);
        }
        if has > touched {
            let message = format!("has epoch {}, the log's last epoch of it is {touched:?}", has.unwrap_or(0));
            found.wrong("table ahead of the log", Some(name), message, FROM_BACKUP);
        }
        if let (Some(main), Some(has)) = (on_main(metadata), has)
            && main < has
        {
            let snapshots = ascending(metadata);
            let newest = snapshots.into_iter().rfind(|snapshot| made_by(snapshot) == Some(has));
            let id = newest.map_or("gone".to_owned(), |snapshot| snapshot.snapshot_id().to_string());
            let message = format!(
                "its branch main was rolled back to epoch {main}; it has epoch {has}, whose snapshot is {id}: no run can go on"
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

    /// Checks the table's own history of snapshots.
    fn history(&self, name: &str, table: &Found, found: &mut Diagnosis) {
        let metadata = &table.base.metadata;
        let steps = metadata.history().windows(2).filter(|pair| pair[1].timestamp_ms() < pair[0].timestamp_ms());
        let steps: Vec<i64> = steps.map(|pair| pair[1].snapshot_id).collect();
        if !steps.is_empty() {
            let message = format!("the times of its snapshots step back, at {}", listed(steps.iter()));
            let mend = "another engine's clock is ahead of ticktide's: pin by snapshot id (`epoch_tables`), not by time, until \
                 these snapshots have left";
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

    /// Checks that every retained epoch's snapshot is there.
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
            let mend = "another engine expired them: forbid it to expire this table; `ticktide lake expire` protects what must \
                 stay by tags";
            found.wrong("lost snapshots", Some(name), message, mend);
        }
        Ok(())
    }
}

fn is_gone(slot: &Slot, name: &str, metadata: &::iceberg::spec::TableMetadata) -> bool {
    let pin = slot.tables.get(name).and_then(|entry| entry.snapshot_id);
    pin.is_some_and(|id| metadata.snapshot_by_id(id).is_none())
}
