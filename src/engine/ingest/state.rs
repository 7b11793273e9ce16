//! The state of a partition that outlives its process: restored at the start, returned at the end of each epoch.

use super::belief::{Belief, Extra};
use super::{Intake, PartitionIntake, fixed_hash};
use crate::share::Share;
use crate::states::{ANCHOR, PARTITION, SEEN, WILD};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::epoch::{Conservation, Place};
use ticktide_base::time::{MINUTE, Nanos, reaches};
use ticktide_feed::Partition;
use ticktide_flow::clean::duplicates::SeenEntries;
use ticktide_flow::clean::jumps::Held;
use ticktide_flow::clean::wild::WildState;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;

/// What is kept of a partition between runs, apart from its place.
#[derive(Default, Serialize, Deserialize)]
pub struct PartitionState {
    held: Vec<Held<(Instrument, Vec<u8>)>>,
    pub days: BTreeMap<i32, Nanos>,
    pub zero: BTreeSet<(i32, Instrument)>,
}

/// Key of remembered ids in the durable state.
pub type SeenKey = (String, Instrument, i32, u64);

/// Which of the partitions that are no longer read this worker has to clean up.
pub struct Orphans {
    /// All partitions of the source.
    read: BTreeSet<String>,
    share: Share,
}

impl Orphans {
    pub fn new(partitions: &[Partition], share: Share) -> Orphans {
        Orphans { read: partitions.iter().map(Partition::name).collect(), share }
    }

    fn owns(&self, partition: &str) -> bool {
        !self.read.contains(partition) && self.share.owns(fixed_hash(partition))
    }
}

/// Everything of an epoch's end at one worker.
pub struct Ended {
    pub places: BTreeMap<String, Place>,
    pub counts: BTreeMap<Arc<str>, Conservation>,
    pub state: Vec<StateEntry>,
}

impl PartitionIntake {
    /// Forgets the days that no longer have a tick at or after `least`. They leave the durable state when it is written next.
    pub(super) fn forget_days(&mut self, least: Nanos) {
        self.days.retain(|day, _| reaches(*day, least));
        while self.zero.first().is_some_and(|(day, _)| !reaches(*day, least)) {
            self.zero.pop_first();
        }
    }

    /// The changes of the partition itself in the epoch that ends.
    fn changes(&mut self, state: &mut Vec<StateEntry>) {
        let name = self.name.to_string();
        if std::mem::take(&mut self.changed) {
            let kept = PartitionState { held: self.belief.held(), days: self.days.clone(), zero: self.zero.clone() };
            state.push(StateEntry::new(PARTITION, &name, Some(&kept)));
            if let Belief::Second(wild) = &self.belief {
                let waits = wild.state();
                if std::mem::replace(&mut self.wild_kept, waits.is_some()) || waits.is_some() {
                    state.push(StateEntry::new(WILD, &name, waits.as_ref()));
                }
            }
        }
        let anchor = self.belief.anchor().filter(|_| self.belief.anchor() != self.place.event_at_max);
        if std::mem::replace(&mut self.anchor_kept, anchor) != anchor {
            state.push(StateEntry::new(ANCHOR, &name, anchor.as_ref()));
        }
    }
}

impl Intake {
    /// Restores what an earlier run kept of this worker's partitions; other workers' entries are skipped. `false`: it is
    /// another operator's entry.
    pub fn restore(&mut self, entry: &StateEntry) -> Result<bool, bincode::Error> {
        let Some(value) = &entry.value else { return Ok(false) };
        match &*entry.operator {
            PARTITION => self.restore_partition(bincode::deserialize(&entry.key)?, bincode::deserialize(value)?),
            WILD => self.restore_wild(bincode::deserialize(&entry.key)?, bincode::deserialize(value)?),
            ANCHOR => self.restore_anchor(bincode::deserialize(&entry.key)?, bincode::deserialize(value)?),
            SEEN => self.restore_seen(bincode::deserialize(&entry.key)?, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn named(&mut self, name: String) -> impl Iterator<Item = &mut PartitionIntake> {
        self.partitions.values_mut().filter(move |partition| *partition.name == name)
    }

    fn restore_partition(&mut self, name: String, state: PartitionState) {
        let found = self.partitions.values_mut().find(|partition| *partition.name == name);
        if let Some(partition) = found {
            (partition.days, partition.zero) = (state.days, state.zero);
            if let Belief::First(jumps) = &mut partition.belief {
                jumps.restore(state.held, &self.judge.spec);
            }
        }
    }

    fn restore_wild(&mut self, name: String, state: WildState<Extra>) {
        for partition in self.named(name) {
            partition.wild_kept = true;
            if let Belief::Second(wild) = &mut partition.belief {
                wild.restore(state.clone());
            }
        }
    }

    fn restore_anchor(&mut self, name: String, anchor: Nanos) {
        for partition in self.named(name) {
            partition.belief.set_anchor(Some(anchor));
            partition.anchor_kept = Some(anchor);
        }
    }

    fn restore_seen(&mut self, key: SeenKey, value: &[u8]) -> Result<(), bincode::Error> {
        let is_read = self.partitions.values().any(|partition| *partition.name == key.0);
        if !is_read && !self.orphans.owns(&key.0) {
            return Ok(());
        }
        let entries: SeenEntries = bincode::deserialize(value)?;
        let newest = entries.newest_minute();
        if is_read {
            let id = self.scope(&key.1);
            for partition in self.named(key.0.clone()) {
                partition.memory.restore(id.0, key.2, entries.clone());
            }
        }
        self.seen_chunks.insert(key, newest);
        Ok(())
    }

    /// Ends an epoch where the partitions are now.
    pub fn end_epoch(&mut self, epoch: u64) -> Ended {
        let mut ended = Ended { places: BTreeMap::new(), counts: BTreeMap::new(), state: Vec::new() };
        let least = self.horizons.least();
        if self.judge.spec.cumulative {
            self.volumes.warn();
        }
        for partition in self.partitions.values_mut() {
            let mut counts = partition.end_counts();
            counts.advanced = partition.place.offset_next - partition.offset_bound;
            partition.offset_bound = partition.place.offset_next;
            partition.place.running = partition.past.times().to_vec();
            partition.place.clock = partition.book.take();
            partition.told_here = false;
            ended.counts.insert(partition.name.clone(), counts);
            ended.places.insert(partition.name.to_string(), partition.place.clone());
            partition.forget_days(least);
            partition.changes(&mut ended.state);
            for ((id, trading_date), entries) in partition.memory.take_fresh() {
                let key = (partition.name.to_string(), self.names[id as usize].clone(), trading_date, epoch);
                ended.state.push(StateEntry::new(SEEN, &key, Some(&entries)));
                self.seen_chunks.insert(key, entries.newest_minute());
            }
            partition.memory.forget();
        }
        self.forget_seen(least.div_euclid(MINUTE), &mut ended.state);
        ended
    }

    /// Removes ids from the durable state whose newest minute is before `least`.
    fn forget_seen(&mut self, least: i64, state: &mut Vec<StateEntry>) {
        self.seen_chunks.retain(|key, newest| {
            let live = i64::from(*newest) >= least;
            if !live {
                state.push(StateEntry::new(SEEN, key, None::<&SeenEntries>));
            }
            live
        });
    }
}
