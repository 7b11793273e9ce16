//! Sets back a lake that wild times have moved ahead: the slot that says so.
//!
//! Why a slot (kind `rewind`, no rows, a binding of its own): what follows is judged by it, so it must be decided like any
//! epoch, after a takeover of its own (L5), and be there when the epochs after it are computed again. The caller, which
//! knows of bars, makes the binding. What must hold: the slot goes on from the binding that the lake has, and from no other;
//! what was read stays read.

use crate::Lake;
use crate::commit::entries::balance;
use crate::commit::log;
use crate::commit::slot::SlotKind;
use crate::error::LakeError;
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Epoch};

impl Lake {
    /// What the lake goes on from; `None`: it has read nothing yet.
    pub fn binding(&self) -> Option<&Binding> {
        self.last.binding.as_ref()
    }

    /// Decides an epoch without rows, from which the lake goes on with the binding `to`, which was made from `from`. Error of
    /// kind `Fix`: the lake has gone on since.
    pub async fn rewind(&mut self, from: &Binding, to: Binding) -> Result<Epoch, LakeError> {
        if self.binding() != Some(from) {
            return Err(LakeError::fix(
                "the lake has gone on since it was read",
                "end the run that writes it, then try again",
            ));
        }
        let epoch = self.epoch_next();
        let binding = Binding { epoch, generation: self.generation, ..to };
        // no record was read: every place is where it was
        balance(Some(from), &binding, &BTreeMap::new())?;
        let slot = self.empty(SlotKind::Rewind);
        let slot = crate::Slot { binding: Some(binding), ..slot };
        log::decide(&*self.place.store, &slot).await?;
        self.decided(slot);
        self.apply().await?;
        Ok(epoch)
    }
}
