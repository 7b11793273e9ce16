//! A partition that wild times have moved: a warning names it, and it goes on from the time that it is set back to.
//!
//! Why the same for a start after the epoch that sets it back and for a replay of that epoch: what comes after it must not
//! depend on which of the two it was. What must always hold: what memory had passed when the time was set back stays
//! forgotten, whatever the durable state or this process still has of it.

use super::{Intake, PartitionIntake};
use std::collections::BTreeMap;
use ticktide_base::epoch::{Place, Rewound};
use ticktide_base::time::Nanos;
use ticktide_flow::clean::CleanSpec;
use ticktide_flow::clean::past::RunningTime;

/// Ticks in a row that are older than all that still counts.
#[derive(Default)]
pub(super) struct Behind {
    count: u64,
    warned: bool,
}

impl Behind {
    /// Counts a tick. True, once: there were so many that the partition's time cannot be the market's.
    #[inline]
    fn hear(&mut self, is_behind: bool) -> bool {
        self.count = if is_behind { self.count + 1 } else { 0 };
        self.count >= CleanSpec::PATIENCE && !std::mem::replace(&mut self.warned, true)
    }
}

impl PartitionIntake {
    /// A tick has come: warns of a partition, by name, whose time is ahead of all later ticks.
    #[inline]
    pub(super) fn told_behind(&mut self, at: Nanos) {
        // the finest interval's: for intervals that reach back a day most would still count
        let is_behind = self.bounds.own().intervals.first().is_some_and(|from| at < *from);
        if self.behind.hear(is_behind) {
            self.warn_behind(at);
        }
    }

    #[cold]
    fn warn_behind(&self, at: Nanos) {
        let text = ticktide_market::calendar::time_text;
        tracing::warn!(
            partition = &*self.name,
            come_to = self.bounds.running().map(text),
            newest = text(at),
            records = self.behind.count,
            "the time of a partition is ahead of all its later records: if wild times moved it, \
             `ticktide lake rewind` sets it back; if its file is out of order, `ticktide feed sort` orders it"
        );
    }

    /// Forgets what memory had passed.
    fn forget_passed(&mut self, passed: Nanos) {
        self.memory.begin(passed);
        self.memory.forget();
        let known = self.days.len() + self.zero.len();
        self.forget_days(passed);
        self.changed |= self.days.len() + self.zero.len() != known;
    }
}

impl Intake {
    /// The current epoch, in which a partition's time was set back, is computed again: the partition goes on from the
    /// recorded time.
    pub fn rewind(&mut self, rewound: &Rewound, places: &BTreeMap<String, Place>) {
        let confirmations = self.judge.spec.confirmations;
        let place = places.get(&rewound.partition);
        for partition in self.partitions.values_mut().filter(|partition| *partition.name == *rewound.partition) {
            let Some(place) = place else { continue };
            partition.place.event_at_max = place.event_at_max;
            partition.past = RunningTime::new(confirmations, &place.running);
            partition.lone_max = None;
        }
        self.forget_rewound(rewound);
    }

    /// Forgets what the state knows of the time before.
    pub(super) fn forget_rewound(&mut self, rewound: &Rewound) {
        for partition in self.partitions.values_mut() {
            partition.forget_passed(rewound.forgotten);
            if *partition.name == *rewound.partition {
                // an anchor that was kept beside the place is the wild one
                partition.belief.set_anchor(partition.place.event_at_max);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_warned_of_once_and_only_when_no_record_catches_up() {
        let mut behind = Behind::default();
        let mut warned = 0;
        for record in 0..5_000u64 {
            // every 900th record is where the partition is
            warned += u64::from(behind.hear(record % 900 != 0));
        }
        assert_eq!(warned, 0);
        for _ in 0..5_000 {
            warned += u64::from(behind.hear(true));
        }
        assert_eq!(warned, 1);
    }
}
