//! Old epochs leave, then what only they needed.
//!
//! The order is the promise: first the log says what stays, then the rows of `epochs` are marked, then snapshots leave
//! their tables, then objects are deleted. If an expiry is stopped anywhere, the next one goes on, and no reader ever finds an
//! epoch that is not marked and cannot be read.

use super::super::Lake;
use super::super::error::LakeError;
use super::Survey;
use super::garbage::Garbage;
use crate::commit::slot::TableWork;
use crate::table::base::KeptSnapshots;
use crate::upkeep::Upkeep;
use crate::upkeep::expiry::expiry;
use crate::upkeep::retention::{Retention, retain};
use std::collections::BTreeMap;
use ticktide_base::epoch::Epoch;

/// What an expiry removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub retention: Retention,
    /// The newest epoch.
    pub epoch_last: Epoch,
    /// The number of epochs that stay, and of those that left.
    pub epochs_kept: usize,
    pub epochs: usize,
    /// Snapshots that left, over all tables.
    pub snapshots: usize,
    pub garbage: Garbage,
}

/// How many epochs a retention keeps, up to the last.
fn count(retention: &Retention, last: Epoch) -> usize {
    retention.kept.len() + (last + 1 - retention.since) as usize
}

impl Lake {
    /// Expires old epochs, as this lake's upkeep says, and deletes all garbage.
    pub async fn expire(&mut self) -> Result<Expired, LakeError> {
        let done = self.expire_all().await;
        self.unless_fenced(done).await
    }

    async fn expire_all(&mut self) -> Result<Expired, LakeError> {
        let before = self.retention.clone();
        let cuts = self.cuts_since_retained().await?.to_vec();
        let next = retain(&before, &cuts, &self.place.upkeep.keep);
        let epochs = count(&before, self.last.epoch) - count(&next, self.last.epoch);
        if next != before {
            self.maintain(BTreeMap::new(), Some(next)).await?;
        }
        let (place, epoch) = (self.place.clone(), self.epoch_next());
        let (mut work, mut snapshots) = (BTreeMap::new(), 0);
        for (name, table) in &mut self.tables {
            table.live(&place).await?;
            let past = KeptSnapshots::Retained(&self.announced);
            let leaves = expiry(&table.base, &place.upkeep, past, epoch)?;
            // a table that no epoch touches gets its tags here
            if !(leaves.snapshots.is_empty() && leaves.tag.is_empty()) {
                snapshots += leaves.snapshots.len();
                work.insert(name.clone(), TableWork::default());
            }
        }
        if !work.is_empty() {
            self.maintain(work, None).await?;
        }
        let garbage = self.clear().await?;
        let (retention, epoch_last) = (self.retention.clone(), self.last.epoch);
        let epochs_kept = count(&retention, epoch_last);
        Ok(Expired { retention, epoch_last, epochs_kept, epochs, snapshots, garbage })
    }
}

impl Survey {
    /// What an expiry would do now; the garbage is that which exists before it.
    pub async fn expiry(&self, upkeep: &Upkeep) -> Result<Expired, LakeError> {
        self.insist_on_slots()?;
        let lasting = self.slots.iter().filter(|slot| slot.epoch >= self.retention.since);
        let cuts: Vec<_> = lasting.map(|slot| (slot.epoch, slot.cut_at)).collect();
        let retention = retain(&self.retention, &cuts, &upkeep.keep);
        let epoch_last = self.last.epoch;
        let epochs_kept = count(&retention, epoch_last);
        let epochs = count(&self.retention, epoch_last) - epochs_kept;
        let mut snapshots = 0;
        for (name, _) in self.data_tables() {
            let Some(found) = self.tables.get(name) else { continue };
            let past = KeptSnapshots::Retained(&retention);
            snapshots += expiry(&found.base, upkeep, past, epoch_last + 1)?.snapshots.len();
        }
        let garbage = self.garbage(|_, _, _| ()).await?;
        Ok(Expired { retention, epoch_last, epochs_kept, epochs, snapshots, garbage })
    }
}
