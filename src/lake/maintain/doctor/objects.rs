//! What the store holds apart from the tables' rows: the announced epochs, objects that are missing, objects that nothing
//! needs.
//!
//! What must hold: what a snapshot reaches is never called garbage, and what an engine may be writing at the moment is not
//! called wrong.

use super::super::Survey;
use super::super::garbage::TableHead;
use super::super::survey::{applied, retention_at};
use super::finding::{Diagnosis, FROM_BACKUP, POINT_BACK, listed};
use crate::commit::announce::{EPOCHS, epochs_spec};
use crate::commit::owner;
use crate::error::LakeError;
use crate::now_ms;
use crate::table::deletes::read_live;
use crate::table::names::table_folder;
use crate::table::rows::Rows;
use crate::table::spec::Cell;
use std::collections::{BTreeMap, HashSet};
use ticktide_base::epoch::Epoch;

impl Survey {
    /// Checks table `epochs`: every epoch once, marked when it is not retained.
    pub(super) async fn announced(&self, found: &mut Diagnosis) -> Result<(), LakeError> {
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
                Err(LakeError::Missing { .. }) => return Ok(()), // reported with all missing files
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
            let mend = "another engine changed `epochs.expired`: trust `ticktide query --epoch`";
            found.wrong("epochs marked wrongly", Some(EPOCHS), message, mend);
        }
        Ok(())
    }

    /// Finds objects that are missing, and garbage.
    pub(super) async fn objects(&self, found: &mut Diagnosis) -> Result<(), LakeError> {
        let mut missing: Vec<(String, Vec<String>)> = Vec::new();
        let check = |name: &str, head: &TableHead, keys: &[String]| {
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
                let message = format!("{key} is missing; what it names cannot be checked");
                found.wrong("missing files", None, message, FROM_BACKUP);
                return Ok(());
            }
            other => other?,
        };
        for (place, keys) in &garbage.keys {
            let message = format!("{} objects that nothing needs: {}", keys.len(), listed(keys.iter()));
            found.notice("garbage", Some(place), message, "`ticktide lake expire` deletes them");
        }
        let living = owner::present(&*self.store).await?.is_some_and(|seen| now_ms() >= seen.seen_at);
        for (place, count) in garbage.unknown.iter().filter(|_| !living) {
            let message = format!("{count} objects in its folder are neither reached nor named by this lake's writers");
            let mend = "they may belong to another engine's commit under way; delete them by hand if they stay";
            found.notice("unknown objects", Some(place), message, mend);
        }
        Ok(())
    }
}
