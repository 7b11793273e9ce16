//! Duplicates: the ids already seen, with a hash of the content that each had.
//!
//! ```text
//!   tick ─▶ entry    how it is recognised ─▶ Memory
//!                                             (instrument, trading day) ─▶ seen   sequences   blocks of 256
//!                                                                                 ids         a map, for trades that have one
//!                                                                                 contents    a map, for snapshots
//!                                                                       └─▶ packed   what is new, for the durable state
//! ```
//!
//! What must always hold: an entry is known while its minute is not before the least time that the record at hand could count
//! for. That depends on the record alone; when the entry's memory is freed changes no verdict.

mod entry;
mod packed;
mod seen;

use entry::minute;
pub use entry::{SeenEntry, SeenName};
pub use packed::SeenEntries;
use seen::{DayIds, Map};
use ticktide_base::time::Nanos;

/// The duplicates' memory of one scope: a partition's instruments, or an exchanged instrument.
#[derive(Default)]
pub struct Memory {
    days: Map<(u32, i32), DayIds>,
    touched: Vec<(u32, i32)>,
    /// Entries of an earlier minute are not known to the records at hand.
    least: i32,
    /// … and to no later one.
    passed: i32,
    /// The least minute of the last [`Memory::forget`]: another pass before it has moved frees nothing.
    forgotten: Option<i32>,
}

impl Memory {
    /// An epoch begins: a tick before `horizon` is refused as too late before it could be a duplicate.
    pub fn begin(&mut self, horizon: Nanos) {
        self.passed = minute(horizon);
        self.least = self.passed;
    }

    /// The records at hand count from `least` on: entries of earlier minutes are not known to them.
    #[inline]
    pub fn know_from(&mut self, least: Nanos) {
        self.least = minute(least).max(self.passed);
    }

    /// Remembers an entry; `Some(same content?)` when its id is known already.
    #[inline]
    pub fn remember(&mut self, index: u32, trading_date: i32, entry: SeenEntry) -> Option<bool> {
        let seen = self.days.entry((index, trading_date)).or_insert_with(|| DayIds::new(trading_date));
        let known = seen.put(&entry, self.least);
        if known.is_none() {
            if seen.fresh.is_empty() {
                self.touched.push((index, trading_date));
            }
            seen.fresh.push(entry);
        }
        known
    }

    /// The entries remembered since the last call, by (instrument index, trading day).
    pub fn take_fresh(&mut self) -> Vec<((u32, i32), SeenEntries)> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        let fresh = touched.into_iter().filter_map(|key| {
            let seen = self.days.get_mut(&key)?;
            Some((key, std::mem::take(&mut seen.fresh)))
        });
        fresh.collect()
    }

    /// Restores entries that an earlier run remembered.
    pub fn restore(&mut self, index: u32, trading_date: i32, entries: SeenEntries) {
        let seen = self.days.entry((index, trading_date)).or_insert_with(|| DayIds::new(trading_date));
        for entry in entries.into_entries() {
            // of an id that was forgotten and arrived again, the later entry counts
            seen.put(&entry, entry.minute());
        }
    }

    /// Frees what the horizon of [`Memory::begin`] has passed.
    pub fn forget(&mut self) {
        let least = self.passed;
        if self.forgotten.replace(least) == Some(least) {
            return;
        }
        self.days.retain(|_, seen| {
            seen.forget_before(least);
            !seen.is_empty() || !seen.fresh.is_empty()
        });
    }

    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::samples::tick;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use ticktide_base::time::MINUTE;
    use ticktide_market::{Price, Tick};

    #[test]
    fn the_same_id_is_a_duplicate_with_the_same_content_and_a_conflict_with_another() {
        let mut memory = Memory::default();
        let entry = |price| SeenEntry::of(&Tick { price: Some(Price(price)), ..tick(5, 1) }, true).expect("a sequence");
        assert_eq!(memory.remember(0, 0, entry(1)), None);
        assert_eq!(memory.remember(0, 0, entry(1)), Some(true));
        assert_eq!(memory.remember(0, 0, entry(2)), Some(false));
        assert_eq!(memory.remember(0, 1, entry(2)), None, "ids start anew each trading day");
        assert_eq!(SeenEntry::of(&tick(5, 1), false), None, "without an id or a trusted sequence two are two");
    }

    #[test]
    fn an_id_is_forgotten_by_the_record_at_hand_and_never_before_the_horizon() {
        for sequences in [vec![7], (0..600).collect::<Vec<u64>>()] {
            let mut memory = Memory::default();
            let at = |minute: i64, sequence| SeenEntry::of(&tick(minute * MINUTE, sequence), true).expect("a sequence");
            memory.begin(Nanos::MIN);
            for sequence in &sequences {
                assert_eq!(memory.remember(0, 0, at(10, *sequence)), None);
            }
            memory.begin(10 * MINUTE);
            assert_eq!(memory.remember(0, 0, at(10, 7)), Some(true));
            memory.begin(11 * MINUTE);
            assert_eq!(memory.remember(0, 0, at(12, 7)), None, "whether its memory was freed or not");
            assert_eq!(memory.remember(0, 0, at(12, 7)), Some(true));
            // a record whose partition is further ahead does not know it; one whose partition is not, does
            memory.know_from(13 * MINUTE);
            assert_eq!(memory.remember(0, 0, at(13, 7)), None);
            memory.know_from(5 * MINUTE);
            assert_eq!(memory.remember(0, 0, at(13, 7)), Some(true));
        }
    }

    /// The same rules over a plain map.
    fn naive(
        known: &mut BTreeMap<u64, (u32, i32)>,
        sequence: u64,
        content: u32,
        minute: i32,
        least: i32,
    ) -> Option<bool> {
        match known.get(&sequence) {
            Some((old, at)) if *at >= least => Some(*old == content),
            _ => {
                known.insert(sequence, (content, minute));
                None
            }
        }
    }

    proptest! {
        #[test]
        fn blocks_know_what_a_plain_map_knows(
            steps in proptest::collection::vec((0u64..700, 0u32..2, 0i32..6, 0u8..20), 0..900), sparse in 1u64..1000
        ) {
            let (mut memory, mut known) = (Memory::default(), BTreeMap::new());
            let mut least = 0;
            for (sequence, content, minute, forget) in steps {
                let sequence = sequence * sparse;
                if forget == 0 {
                    least += 1;
                    memory.begin(i64::from(least) * MINUTE);
                }
                if forget == 1 {
                    memory.forget();
                }
                let minute = least + minute;
                let entry = SeenEntry::Sequence(sequence, content, minute);
                prop_assert_eq!(memory.remember(0, 0, entry), naive(&mut known, sequence, content, minute, least));
                if forget == 2 {
                    let fresh: Vec<_> = memory.take_fresh();
                    for ((index, day), entries) in fresh {
                        memory.restore(index, day, entries); // an entry that is there already changes nothing
                    }
                }
            }
        }
    }
}
