//! Brings the tables to what is decided, then announces it.
//!
//! ```text
//!   pending slots ─▶ every table, side by side: LakeTable::apply ─▶ epoch_tables ─▶ epochs, old epochs marked
//!                                                                                    ─▶ state of those that left goes
//! ```
//!
//! What must hold: an epoch is announced when every table has it and not before; L2, what is applied already is left alone.

use super::announce::{epoch_tables_rows, epochs_row};
use crate::Lake;
use crate::error::LakeError;
use ticktide_base::epoch::Epoch;

impl Lake {
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
            // what stays because of an error is garbage, no more
            if let Err(error) = self.forget(next.since).await {
                tracing::warn!(%error, "state of epochs that have left stays");
            }
            self.announced = next;
        }
        Ok(())
    }
}
