//! Applies the decided epochs to the tables, then announces them.
//!
//! ```text
//!   pending slots ─▶ every table, concurrently: LakeTable::apply ─▶ epoch_tables ─▶ epochs, expired epochs marked
//!                                                                                   ─▶ state of expired epochs deleted
//! ```
//!
//! What must hold: an epoch is announced only when every table has it; L2, a table that already has the epoch is not changed.

use super::announce::{epoch_tables_rows, epochs_row};
use crate::Lake;
use crate::error::LakeError;
use ticktide_base::epoch::Epoch;

impl Lake {
    /// Brings every table to the last decided epoch and announces the epochs. It may be repeated after an error, here or by
    /// a later generation: a table that already has an epoch is not changed (L2).
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
            epoch_tables_rows(find(epoch)?, stamped_at, rows);
            Ok(())
        });
        pins.await?;
        let marks = next.map(|next| (announced, next));
        let epochs = self.epochs.announce(place, &last, marks, |epoch, rows| {
            let expired = next.is_some_and(|next| !next.keeps(epoch));
            epochs_row(find(epoch)?, expired, rows)
        });
        epochs.await?;
        let next = next.cloned();
        self.pending.clear();
        if let Some(next) = next {
            // state that an error leaves behind is only garbage
            if let Err(error) = self.forget(next.since).await {
                tracing::warn!(%error, "the state of expired epochs could not be deleted, it stays as garbage");
            }
            self.announced = next;
        }
        Ok(())
    }
}
