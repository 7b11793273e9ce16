//! A lake that wild times have moved goes back: the slot that says so.
//!
//! Why a slot (kind `rewind`, no rows, a binding of its own): what follows is judged by it, so it has to be decided like any
//! epoch, behind a takeover of its own (L5), and to be there when the epochs behind it are computed again. What the binding says
//! is for who knows of bars to tell. What must hold: it goes on from the binding that the lake has, and from no other; whatever
//! was read stays read.

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

    /// Decides an epoch without rows that the lake goes on from with the binding `to`, which was made from `from`. Errors: of
    /// kind `Fix` if the lake has gone on since.
    pub async fn rewind(&mut self, from: &Binding, to: Binding) -> Result<Epoch, LakeError> {
        if self.binding() != Some(from) {
            return Err(LakeError::fix(
                "the lake has gone on since it was looked at",
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
