//! The ids of one instrument's trading day in memory, where nearly every lookup hits the block of the one before it.
//!
//! ```text
//!   sequence 5,377 ─▶ block 21: sequences 5,376 … 5,631
//!                       few     a list of (place, hash, minute), up to 32
//!                       dense   256 hashes and 256 minutes: six bytes a sequence
//! ```
//!
//! Why blocks: a trusted sequence counts up, and a session's sequences fit where a map of them would miss the cache twice a
//! tick. What must always hold: an entry earlier than `least` counts as absent, whether its memory was freed or not.

use super::entry::SeenEntry;
use super::packed::SeenEntries;
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::time::{DAY, MINUTE};

pub(super) type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// Ids of one (instrument, trading day).
pub(super) struct DayIds {
    /// Minutes of dense sequences count from here: far before the day's session.
    minute_first: i32,
    sequences: Map<u64, Block>,
    ids: Map<Arc<str>, (u32, i32)>,
    contents: Map<u128, i32>,
    /// What is not in the durable state yet.
    pub(super) fresh: SeenEntries,
}

impl DayIds {
    pub(super) fn new(trading_date: i32) -> DayIds {
        let minutes_a_day = (DAY / MINUTE) as i32;
        let minute_first = trading_date.saturating_sub(7).saturating_mul(minutes_a_day);
        DayIds {
            minute_first,
            sequences: Map::default(),
            ids: Map::default(),
            contents: Map::default(),
            fresh: SeenEntries::default(),
        }
    }

    /// Inserts an entry unless its id is known since `least`; `Some(same content?)` when it is.
    #[inline]
    pub(super) fn put(&mut self, entry: &SeenEntry, least: i32) -> Option<bool> {
        match entry {
            SeenEntry::Sequence(sequence, content, minute) => {
                let place = (*sequence % BLOCK as u64) as u8;
                let number = *sequence / BLOCK as u64;
                let offset = |minute: i32| minute.saturating_sub(self.minute_first).clamp(0, LAST) as u16;
                let (least, minute) = (offset(least), offset(*minute));
                if let Some(block) = self.sequences.get_mut(&number) {
                    return block.put(place, *content, minute, least);
                }
                // a dense block is followed by another one
                let before = number.checked_sub(1).and_then(|number| self.sequences.get(&number));
                let dense = before.is_some_and(|block| matches!(block.entries, Entries::Dense(_)));
                let mut block =
                    Block::new(if dense { Entries::Dense(Dense::empty()) } else { Entries::Few(Vec::new()) });
                block.put(place, *content, minute, least);
                self.sequences.insert(number, block);
                None
            }
            SeenEntry::Id(id, content, minute) => match self.ids.get_mut(id) {
                Some((old, at)) if *at >= least => Some(old == content),
                Some(old) => {
                    *old = (*content, *minute);
                    None
                }
                None => {
                    self.ids.insert(id.clone(), (*content, *minute));
                    None
                }
            },
            SeenEntry::Content(content, minute) => match self.contents.insert(*content, *minute) {
                Some(at) if at >= least => {
                    self.contents.insert(*content, at);
                    Some(true)
                }
                _ => None,
            },
        }
    }

    pub(super) fn forget_before(&mut self, minute: i32) {
        let offset = minute.saturating_sub(self.minute_first).clamp(0, LAST) as u16;
        self.sequences.retain(|_, block| block.newest >= offset);
        self.ids.retain(|_, (_, at)| *at >= minute);
        self.contents.retain(|_, at| *at >= minute);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.ids.is_empty() && self.contents.is_empty()
    }
}

/// Sequences of one block.
const BLOCK: usize = 256;
/// A block with more entries than this is kept dense.
const FEW: usize = 32;
/// The greatest minute of a block's entry, and the mark of a place without one.
const LAST: i32 = u16::MAX as i32 - 1;
const NONE: u16 = u16::MAX;

/// Consecutive sequences.
struct Block {
    entries: Entries,
    /// The newest minute of an entry.
    newest: u16,
}

/// Place in the block, hash of the content, minute.
enum Entries {
    Few(Vec<(u8, u32, u16)>),
    Dense(Box<Dense>),
}

struct Dense {
    contents: [u32; BLOCK],
    minutes: [u16; BLOCK],
}

impl Dense {
    fn empty() -> Box<Dense> {
        Box::new(Dense { contents: [0; BLOCK], minutes: [NONE; BLOCK] })
    }
}

impl Block {
    fn new(entries: Entries) -> Block {
        Block { entries, newest: 0 }
    }

    #[inline]
    fn put(&mut self, place: u8, content: u32, minute: u16, least: u16) -> Option<bool> {
        match &mut self.entries {
            Entries::Dense(dense) => {
                let (old, at) = (&mut dense.contents[usize::from(place)], &mut dense.minutes[usize::from(place)]);
                if *at != NONE && *at >= least {
                    return Some(*old == content);
                }
                (*old, *at) = (content, minute);
            }
            Entries::Few(few) => {
                if let Some(entry) = few.iter_mut().find(|entry| entry.0 == place) {
                    if entry.2 >= least {
                        return Some(entry.1 == content);
                    }
                    *entry = (place, content, minute);
                } else if few.len() < FEW {
                    few.push((place, content, minute));
                } else {
                    let mut dense = Dense::empty();
                    for (place, content, minute) in few.drain(..).chain([(place, content, minute)]) {
                        dense.contents[usize::from(place)] = content;
                        dense.minutes[usize::from(place)] = minute;
                    }
                    self.entries = Entries::Dense(dense);
                }
            }
        }
        self.newest = self.newest.max(minute);
        None
    }
}
