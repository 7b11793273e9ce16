//! Remembered ids as the durable state keeps them: in columns, and sequences as a few bytes each.
//!
//! Why packed: there are as many as there are ticks, and neighbours differ by little. What must always hold: what was pushed
//! comes back from the bytes in its order, and bytes that are cut off are refused.

use super::entry::SeenEntry;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::sync::Arc;

/// Remembered ids as the durable state keeps them, in columns: there are as many as there are ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenEntries {
    sequences: Packed,
    ids: Vec<(Arc<str>, u32, i32)>,
    contents: Vec<(u128, i32)>,
}

impl SeenEntries {
    #[inline]
    pub(super) fn push(&mut self, entry: SeenEntry) {
        match entry {
            SeenEntry::Sequence(sequence, content, minute) => self.sequences.push(sequence, content, minute),
            SeenEntry::Id(id, content, minute) => self.ids.push((id, content, minute)),
            SeenEntry::Content(content, minute) => self.contents.push((content, minute)),
        }
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = SeenEntry> {
        let sequences = self.sequences.entries().into_iter().flatten();
        let sequences = sequences.map(|(sequence, content, minute)| SeenEntry::Sequence(sequence, content, minute));
        let ids = self.ids.into_iter().map(|(id, content, minute)| SeenEntry::Id(id, content, minute));
        let contents = self.contents.into_iter().map(|(content, minute)| SeenEntry::Content(content, minute));
        sequences.chain(ids).chain(contents)
    }

    pub(super) fn is_empty(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
