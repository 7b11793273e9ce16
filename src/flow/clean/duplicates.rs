//! Duplicates: the ids already seen, with a hash of what came under them.
//!
//! ```text
//!   (instrument, trading day) ─▶ sequences   blocks of 256: six bytes a sequence where they are dense
//!                                ids         a map, for trades that have one
//!                                contents    a map, for snapshots
//! ```
//!
//! Why blocks: a trusted sequence counts up, so nearly every lookup meets the block of the one before it, and a session's
//! sequences fit where a map of them would miss the cache twice a tick. What must always hold: an entry is known while its
//! minute is not before the least horizon, a rule of the epoch alone; when its memory is freed is nobody's business.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::time::{DAY, MINUTE, Nanos};
use ticktide_market::{Tick, TickKind};

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// One remembered id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SeenEntry {
    /// sequence, hash of the content, minute of the event
    Sequence(u64, u32, i32),
    /// id, hash of the content, minute of the event
    Id(Arc<str>, u32, i32),
    /// content of a snapshot, minute of the event
    Content(u128, i32),
}

impl SeenEntry {
    /// How a tick is recognised when it comes again; `None`: it has no id and no trusted sequence, so it is always new.
    #[inline]
    pub fn of(tick: &Tick, sequence_trusted: bool) -> Option<SeenEntry> {
        let minute = minute(tick.exchange_at);
        match (tick.kind, &tick.id, tick.sequence) {
            (TickKind::Snapshot, _, _) => Some(SeenEntry::Content(content_wide(tick), minute)),
            (_, Some(id), _) => Some(SeenEntry::Id(id.clone(), content(tick), minute)),
            (_, None, Some(sequence)) if sequence_trusted => Some(SeenEntry::Sequence(sequence, content(tick), minute)),
            _ => None,
        }
    }
}

/// The duplicates' memory of one scope: a partition's instruments, or an exchanged instrument.
#[derive(Default)]
pub struct Memory {
    days: Map<(u32, i32), Seen>,
    touched: Vec<(u32, i32)>,
    /// Entries of an earlier minute are not known any more.
    least: i32,
    /// The least minute of the last [`Memory::forget`]: to look again before it has moved frees nothing.
    forgotten: Option<i32>,
}

impl Memory {
    /// An epoch begins: a tick before `horizon` is too late for everything before it could be a duplicate.
    pub fn begin(&mut self, horizon: Nanos) {
        self.least = minute(horizon);
    }

    /// Remembers an entry; `Some(same content?)` when its id was there already.
    #[inline]
    pub fn remember(&mut self, index: u32, trading_date: i32, entry: SeenEntry) -> Option<bool> {
        let seen = self.days.entry((index, trading_date)).or_insert_with(|| Seen::new(trading_date));
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

    /// Puts entries back that an earlier run remembered.
    pub fn restore(&mut self, index: u32, trading_date: i32, entries: SeenEntries) {
        let seen = self.days.entry((index, trading_date)).or_insert_with(|| Seen::new(trading_date));
        for entry in entries.into_entries() {
            // of an id that was forgotten and came again, the later one is what counts
            let at = match &entry {
                SeenEntry::Sequence(_, _, minute) | SeenEntry::Id(_, _, minute) => *minute,
                SeenEntry::Content(_, minute) => *minute,
            };
            seen.put(&entry, at);
        }
    }

    /// Frees what the horizon of [`Memory::begin`] has passed.
    pub fn forget(&mut self) {
        let least = self.least;
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

/// Ids of one (instrument, trading day).
struct Seen {
    /// Minutes of dense sequences count from here: far before the day's session.
    minute_first: i32,
    sequences: Map<u64, Block>,
    ids: Map<Arc<str>, (u32, i32)>,
    contents: Map<u128, i32>,
    fresh: SeenEntries,
}

impl Seen {
    fn new(trading_date: i32) -> Seen {
        let minutes_a_day = (DAY / MINUTE) as i32;
        let minute_first = trading_date.saturating_sub(7).saturating_mul(minutes_a_day);
        Seen {
            minute_first,
            sequences: Map::default(),
            ids: Map::default(),
            contents: Map::default(),
            fresh: SeenEntries::default(),
        }
    }

    /// Puts an entry in unless one under its id is known since `least`; `Some(same content?)` when it is.
    #[inline]
    fn put(&mut self, entry: &SeenEntry, least: i32) -> Option<bool> {
        match entry {
            SeenEntry::Sequence(sequence, content, minute) => {
                let place = (*sequence % BLOCK as u64) as u8;
                let number = *sequence / BLOCK as u64;
                let offset = |minute: i32| minute.saturating_sub(self.minute_first).clamp(0, LAST) as u16;
                let (least, minute) = (offset(least), offset(*minute));
                if let Some(block) = self.sequences.get_mut(&number) {
                    return block.put(place, *content, minute, least);
                }
                // behind a dense block comes another one
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

    fn forget_before(&mut self, minute: i32) {
        let offset = minute.saturating_sub(self.minute_first).clamp(0, LAST) as u16;
        self.sequences.retain(|_, block| block.newest >= offset);
        self.ids.retain(|_, (_, at)| *at >= minute);
        self.contents.retain(|_, at| *at >= minute);
    }

    fn is_empty(&self) -> bool {
        self.sequences.is_empty() && self.ids.is_empty() && self.contents.is_empty()
    }
}

/// Sequences of one block.
const BLOCK: usize = 256;
/// Entries of a block from which on it is kept dense.
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

/// Remembered ids as the durable state keeps them, in columns: there are as many as there are ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenEntries {
    sequences: Packed,
    ids: Vec<(Arc<str>, u32, i32)>,
    contents: Vec<(u128, i32)>,
}

impl SeenEntries {
    #[inline]
    fn push(&mut self, entry: SeenEntry) {
        match entry {
            SeenEntry::Sequence(sequence, content, minute) => self.sequences.push(sequence, content, minute),
            SeenEntry::Id(id, content, minute) => self.ids.push((id, content, minute)),
            SeenEntry::Content(content, minute) => self.contents.push((content, minute)),
        }
    }

    fn into_entries(self) -> impl Iterator<Item = SeenEntry> {
        let sequences = self.sequences.entries().into_iter().flatten();
        let sequences = sequences.map(|(sequence, content, minute)| SeenEntry::Sequence(sequence, content, minute));
        let ids = self.ids.into_iter().map(|(id, content, minute)| SeenEntry::Id(id, content, minute));
        let contents = self.contents.into_iter().map(|(content, minute)| SeenEntry::Content(content, minute));
        sequences.chain(ids).chain(contents)
    }

    fn is_empty(&self) -> bool {
        self.sequences.bytes.is_empty() && self.ids.is_empty() && self.contents.is_empty()
    }

    /// The newest minute: when the horizon passes it, the chunk that holds them may go.
    pub fn newest_minute(&self) -> i32 {
        let ids = self.ids.iter().map(|(_, _, minute)| *minute);
        let contents = self.contents.iter().map(|(_, minute)| *minute);
        ids.chain(contents).chain([self.sequences.newest]).max().unwrap_or(i32::MIN)
    }
}

/// Sequences as bytes: differences to the entry before in as few bytes as they need, then the hash.
#[derive(Clone, Debug, PartialEq)]
struct Packed {
    bytes: Vec<u8>,
    last: (u64, i32),
    newest: i32,
}

impl Default for Packed {
    fn default() -> Packed {
        Packed { bytes: Vec::new(), last: (0, 0), newest: i32::MIN }
    }
}

impl Packed {
    #[inline]
    fn push(&mut self, sequence: u64, content: u32, minute: i32) {
        let mut entry = [0u8; 24];
        let mut length = 0;
        for value in
            [zigzag(sequence.wrapping_sub(self.last.0) as i64), zigzag(i64::from(minute) - i64::from(self.last.1))]
        {
            let mut rest = value;
            while rest >= 0x80 {
                entry[length] = rest as u8 | 0x80;
                rest >>= 7;
                length += 1;
            }
            entry[length] = rest as u8;
            length += 1;
        }
        entry[length..length + 4].copy_from_slice(&content.to_le_bytes());
        // a copy of a known length, then cut: there are as many as there are ticks
        let end = self.bytes.len() + length + 4;
        self.bytes.extend_from_slice(&entry);
        self.bytes.truncate(end);
        self.last = (sequence, minute);
        self.newest = self.newest.max(minute);
    }

    /// What was pushed; `None` where the bytes are cut off.
    fn entries(&self) -> Option<Vec<(u64, u32, i32)>> {
        let back = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
        let (mut from, mut entries, mut last) = (self.bytes.iter(), Vec::new(), (0u64, 0i64));
        while !from.as_slice().is_empty() {
            last.0 = last.0.wrapping_add(back(take_number(&mut from)?) as u64);
            last.1 = last.1.wrapping_add(back(take_number(&mut from)?));
            let mut content = [0; 4];
            for byte in &mut content {
                *byte = *from.next()?;
            }
            entries.push((last.0, u32::from_le_bytes(content), i32::try_from(last.1).ok()?));
        }
        Some(entries)
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn take_number(from: &mut std::slice::Iter<'_, u8>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *from.next()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        let mut packed = Packed { bytes: serde_bytes::deserialize(deserializer)?, ..Packed::default() };
        let entries = packed.entries().ok_or_else(|| D::Error::custom("remembered sequences are cut off"))?;
        packed.last = entries.last().map_or(packed.last, |(sequence, _, minute)| (*sequence, *minute));
        packed.newest = entries.iter().map(|(_, _, minute)| *minute).max().unwrap_or(i32::MIN);
        Ok(packed)
    }
}

/// The minute of a time; times outside are as good as the ends.
fn minute(at: Nanos) -> i32 {
    at.div_euclid(MINUTE).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// FNV-1a over 64-bit words: a fixed function, for it goes into the durable state.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
}

fn content(tick: &Tick) -> u32 {
    let mut hash = mix(0xcbf2_9ce4_8422_2325, tick.exchange_at as u64);
    hash = mix(hash, tick.price.map_or(u64::MAX, |price| price.0 as u64));
    hash = mix(hash, tick.quantity.map_or(u64::MAX, |quantity| quantity.0 as u64));
    if let Some(conditions) = &tick.conditions {
        hash = conditions.bytes().fold(hash, |hash, byte| mix(hash, u64::from(byte)));
    }
    (hash ^ (hash >> 32)) as u32
}

fn content_wide(tick: &Tick) -> u128 {
    let snapshot = tick.snapshot.as_deref().cloned().unwrap_or_default();
    let optional = |value: Option<i64>| value.map_or(u64::MAX, |value| value as u64);
    let wide = |value: Option<i128>| value.map_or([u64::MAX; 2], |value| [value as u64, (value >> 64) as u64]);
    let words = [
        tick.exchange_at as u64,
        optional(tick.price.map(|price| price.0)),
        optional(tick.quantity.map(|quantity| quantity.0)),
        optional(snapshot.trade_at),
        optional(snapshot.bid.map(|price| price.0)),
        optional(snapshot.bid_quantity.map(|quantity| quantity.0)),
        optional(snapshot.ask.map(|price| price.0)),
        optional(snapshot.ask_quantity.map(|quantity| quantity.0)),
        optional(snapshot.day_open.map(|price| price.0)),
        optional(snapshot.day_high.map(|price| price.0)),
        optional(snapshot.day_low.map(|price| price.0)),
    ];
    let [volume_low, volume_high] = wide(snapshot.cumulative_volume);
    let [interest_low, interest_high] = wide(snapshot.open_interest);
    let all = words.into_iter().chain([volume_low, volume_high, interest_low, interest_high]);
    let (mut one, mut two) = (0xcbf2_9ce4_8422_2325u64, 0x9e37_79b9_7f4a_7c15u64);
    for word in all {
        one = mix(one, word);
        two = mix(two, word.rotate_left(17) ^ one);
    }
    (u128::from(one) << 64) | u128::from(two)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::samples::tick;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use ticktide_market::Price;

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
    fn an_id_is_forgotten_by_the_horizon_alone() {
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
                        memory.restore(index, day, entries); // what is there already is put where it is
                    }
                }
            }
        }

        #[test]
        fn remembered_ids_come_back_as_they_were(entries in proptest::collection::vec(any::<(u64, u32, i32)>(), 0..50)) {
            let mut all = SeenEntries::default();
            entries.iter().for_each(|(sequence, content, minute)| all.push(SeenEntry::Sequence(*sequence, *content, *minute)));
            let bytes = bincode::serialize(&all).expect("plain values");
            prop_assert_eq!(bincode::deserialize::<SeenEntries>(&bytes).expect("its own bytes"), all);
        }

        #[test]
        fn bytes_that_are_no_ids_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let packed = Packed { bytes: bytes.clone(), ..Packed::default() };
            if let Some(entries) = packed.entries() {
                prop_assert!(entries.len() * 6 <= bytes.len());
            }
        }
    }
}
