//! What of a partition outlives its process: put back at the start, given out at the end of each epoch.

use super::{Intake, Reading, fixed_hash};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::epoch::{Conservation, Place};
use ticktide_base::time::{MINUTE, Nanos, reaches};
use ticktide_feed::Partition;
use ticktide_flow::clean::duplicates::SeenEntries;
use ticktide_flow::clean::jumps::Held;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;

/// Name of the intake's operators in the durable state.
pub const PARTITION: &str = "partition";
pub const ANCHOR: &str = "anchor";
pub const SEEN: &str = "seen";

/// What is kept of a partition between runs, besides its place.
#[derive(Default, Serialize, Deserialize)]
pub struct PartitionState {
    held: Vec<Held<(Instrument, Vec<u8>)>>,
    pub days: BTreeMap<i32, Nanos>,
    pub zero: BTreeSet<(i32, Instrument)>,
}

/// Key of remembered ids in the durable state.
pub type SeenKey = (String, Instrument, i32, u64);

/// Which of the partitions that nobody reads any more are this worker's to clear up after.
pub struct Orphans {
    /// All partitions of the source.
    read: BTreeSet<String>,
    index: usize,
    peers: usize,
}

impl Orphans {
    pub fn new(partitions: &[Partition], (index, peers): (usize, usize)) -> Orphans {
        Orphans { read: partitions.iter().map(Partition::name).collect(), index, peers }
    }

    fn owns(&self, partition: &str) -> bool {
        !self.read.contains(partition) && fixed_hash(partition) % self.peers as u64 == self.index as u64
    }
}

/// Everything of an epoch's end at one worker.
pub struct Ended {
    pub places: BTreeMap<String, Place>,
    pub counts: BTreeMap<Arc<str>, Conservation>,
    pub state: Vec<StateEntry>,
}

impl Reading {
    /// Lets go of the days that have no tick at or after `least` any more. They leave the durable state when it is written next.
    fn forget_days(&mut self, least: Nanos) {
        self.days.retain(|day, _| reaches(*day, least));
        while self.zero.first().is_some_and(|(day, _)| !reaches(*day, least)) {
            self.zero.pop_first();
        }
    }
}

impl Intake {
    /// Puts back what an earlier run kept of this worker's partitions; other workers' entries are passed over.
    pub fn restore(&mut self, entry: &StateEntry) -> Result<(), bincode::Error> {
        let Some(value) = &entry.value else { return Ok(()) };
        match &*entry.operator {
            PARTITION => {
                let name: String = bincode::deserialize(&entry.key)?;
                let state: PartitionState = bincode::deserialize(value)?;
                let Some(reading) = self.readings.values_mut().find(|reading| *reading.name == name) else {
                    return Ok(());
                };
                (reading.days, reading.zero) = (state.days, state.zero);
                reading.jumps.restore(state.held, &self.judge.spec);
            }
            ANCHOR => {
                let name: String = bincode::deserialize(&entry.key)?;
                let anchor: Nanos = bincode::deserialize(value)?;
                for reading in self.readings.values_mut().filter(|reading| *reading.name == name) {
                    (reading.jumps.anchor, reading.anchor_kept) = (Some(anchor), Some(anchor));
                }
            }
            SEEN => {
                let key: SeenKey = bincode::deserialize(&entry.key)?;
                let is_read = self.readings.values().any(|reading| *reading.name == key.0);
                if !is_read && !self.orphans.owns(&key.0) {
                    return Ok(());
                }
                let entries: SeenEntries = bincode::deserialize(value)?;
                let newest = entries.newest_minute();
                if is_read {
                    let id = self.scope(&key.1);
                    for reading in self.readings.values_mut().filter(|reading| *reading.name == key.0) {
                        reading.memory.restore(id.0, key.2, entries.clone());
                    }
                }
                self.seen_chunks.insert(key, newest);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends an epoch where the partitions are now.
    pub fn end_epoch(&mut self, epoch: u64) -> Ended {
        let mut ended = Ended { places: BTreeMap::new(), counts: BTreeMap::new(), state: Vec::new() };
        let least = self.horizons.least();
        if self.judge.spec.cumulative {
            self.volumes.warn();
        }
        for reading in self.readings.values_mut() {
            let mut counts = std::mem::take(&mut reading.counts);
            counts.advanced = reading.place.offset_next - reading.offset_bound;
            reading.offset_bound = reading.place.offset_next;
            ended.counts.insert(reading.name.clone(), counts);
            ended.places.insert(reading.name.to_string(), reading.place.clone());
            reading.forget_days(least);
            if std::mem::take(&mut reading.changed) {
                let state = PartitionState {
                    held: reading.jumps.held().cloned().collect(),
                    days: reading.days.clone(),
                    zero: reading.zero.clone(),
                };
                ended.state.push(StateEntry::new(PARTITION, &reading.name.to_string(), Some(&state)));
            }
            let anchor = reading.jumps.anchor.filter(|_| reading.jumps.anchor != reading.place.event_at_max);
            if std::mem::replace(&mut reading.anchor_kept, anchor) != anchor {
                ended.state.push(StateEntry::new(ANCHOR, &reading.name.to_string(), anchor.as_ref()));
            }
            for ((id, trading_date), entries) in reading.memory.take_fresh() {
                let key = (reading.name.to_string(), self.names[id as usize].clone(), trading_date, epoch);
                ended.state.push(StateEntry::new(SEEN, &key, Some(&entries)));
                self.seen_chunks.insert(key, entries.newest_minute());
            }
            reading.memory.forget();
        }
        let least = least.div_euclid(MINUTE);
        self.seen_chunks.retain(|key, newest| {
            let live = i64::from(*newest) >= least;
            if !live {
                ended.state.push(StateEntry::new(SEEN, key, None::<&SeenEntries>));
            }
            live
        });
        ended
    }
}
