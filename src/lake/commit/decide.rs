//! Decides an epoch: the parts of all workers become one slot, and its creation is the commit.
//!
//! ```text
//!   parts ─▶ balance ─▶ entries ─▶ lists of changes beside the log ─▶ Slot ─▶ log/<epoch>.json: THE commit
//!            pure       pure       nothing counts yet                         L1, L3, L5
//! ```
//!
//! Why the changes are written first: the slot names them, so they must exist when it does. What must hold: before the slot
//! exists, nothing is decided; after that, the epoch is durable, whatever happens to this process.

use super::entries::{Entries, balance, entries};
use super::log;
use super::slot::{Changes, EpochPart, Slot, SlotKind, TableEntry};
use crate::error::LakeError;
use crate::state::format::FORMAT;
use crate::state::is_full;
use crate::table::stage::snapshot_id;
use crate::upkeep::retention::{Retention, leaving, retain};
use crate::{Lake, now_ms};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Conservation, Epoch};
use uuid::Uuid;

impl Lake {
    /// Decides epoch `binding.epoch`: THE commit. `parts` are those of all workers. When it returns, the epoch is durable,
    /// and [`Lake::apply`] will bring it into the tables, even after a crash. Errors: `Fenced` if a higher generation owns
    /// the log, `Unbalanced` if records would be lost or counted twice; then nothing is decided.
    pub async fn decide(
        &mut self,
        binding: Binding,
        conservation: BTreeMap<String, Conservation>,
        parts: Vec<EpochPart>,
    ) -> Result<Epoch, LakeError> {
        let epoch = self.epoch_next();
        if (binding.epoch, binding.generation) != (epoch, self.generation) {
            let (of, by) = (binding.epoch, binding.generation);
            let next = format!("the next is {epoch} of generation {}", self.generation);
            return Err(LakeError::Bug(format!("a binding of epoch {of} by generation {by}, {next}")));
        }
        balance(self.last.binding.as_ref(), &binding, &conservation)?;
        let token = Uuid::new_v4().simple().to_string();
        let full = is_full(&parts);
        let state_base = if full { None } else { self.state.base() };
        let state_from = match &state_base {
            _ if full => epoch,
            Some(base) => base.epoch + 1,
            None => self.last.state_from,
        };
        let tables = self.entries(&parts, &token).await?;
        let decided_at = now_ms();
        let cut_at = decided_at.max(self.last.cut_at + 1);
        let retention = self.retention_next(epoch, cut_at).await?;
        let slot = Slot {
            format: FORMAT,
            epoch,
            kind: SlotKind::Data,
            generation: self.generation,
            token,
            cut_at,
            decided_at,
            binding: Some(binding),
            conservation,
            tables,
            state: parts.into_iter().flat_map(|part| part.state).collect(),
            state_base,
            state_from,
            retention_at: retention.as_ref().map(|_| epoch).or(self.last.retention_at),
            retention,
        };
        log::decide(&*self.place.store, &slot).await?;
        self.state.decided(epoch, slot.state.clone(), full);
        self.decided(slot);
        self.state.fold(&self.place.store, self.generation);
        Ok(epoch)
    }

    /// Records that the slot is in the log: it is now the last one and pending.
    pub(crate) fn decided(&mut self, slot: Slot) {
        self.cuts.push((slot.epoch, slot.cut_at));
        if let Some(retention) = &slot.retention {
            self.cuts.retain(|(epoch, _)| *epoch >= retention.since);
            self.retention = retention.clone();
        }
        self.last = Arc::new(slot);
        self.pending.insert(self.last.epoch, self.last.clone());
    }

    /// The retention that the slot of `epoch` decides, if enough epochs are due to expire.
    async fn retention_next(&mut self, epoch: Epoch, cut_at: i64) -> Result<Option<Retention>, LakeError> {
        let batch = self.place.upkeep.snapshots_batch.max(1);
        if !epoch.is_multiple_of(batch as u64) || epoch - self.retention.since < batch as u64 {
            return Ok(None);
        }
        let mut cuts = self.cuts_since_retained().await?.to_vec();
        cuts.push((epoch, cut_at));
        let keep = &self.place.upkeep.keep;
        Ok((leaving(&cuts, keep) >= batch).then(|| retain(&self.retention, &cuts, keep)))
    }

    /// The cut of every epoch from the retention's `since` on, where every epoch stays.
    pub(crate) async fn cuts_since_retained(&mut self) -> Result<&[(Epoch, i64)], LakeError> {
        let since = self.retention.since;
        let known = self.cuts.first().map_or(self.last.epoch + 1, |(epoch, _)| *epoch);
        if known > since {
            let mut cuts = log::cuts(&*self.place.store, since..known).await?;
            cuts.append(&mut self.cuts);
            self.cuts = cuts;
        }
        Ok(&self.cuts)
    }

    /// The next slot's entry of every table; long lists of changes are written beside the slot.
    async fn entries(&self, parts: &[EpochPart], token: &str) -> Result<BTreeMap<String, TableEntry>, LakeError> {
        let epoch = self.epoch_next();
        let tables = self.tables.iter().map(|(name, table)| (name.as_str(), (table.uuid(), &*table.spec))).collect();
        let Entries { tables: mut all, changes } = entries(parts, &self.last, &tables)?;
        for (name, changes) in changes {
            let path = format!("changes/{epoch}-{}-{token}/{name}.json", self.generation);
            let changes = Changes::store(changes, path, &*self.place.store).await?;
            if let Some(work) = all.get_mut(name).and_then(|entry| entry.work.as_mut()) {
                work.changes = changes;
            }
        }
        for entry in all.values_mut().filter(|entry| entry.work.is_some()) {
            entry.snapshot_id = Some(snapshot_id());
        }
        Ok(all)
    }
}
