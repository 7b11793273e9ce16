//! A flat look at a JSON object: the raw text of the values whose keys we know, everything else skipped.
//!
//! Why raw text: serde_json checks the grammar and finds the ends, and what a value means is decided only for the values a
//! record needs. Keys are found by one hashed probe of their first eight bytes and their length.

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The slot of a field that no key fills.
pub const NO_SLOT: u8 = u8::MAX;
/// More slots than fields: at most one key a field.
const SLOTS: usize = 24;
const TABLE: usize = 128;

/// The keys we look for, each with a slot.
pub struct Keys {
    names: Vec<Box<str>>,
    prefixes: Vec<u64>,
    /// Open addressing: slots by hash of the key.
    table: [u8; TABLE],
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { names: Vec::new(), prefixes: Vec::new(), table: [NO_SLOT; TABLE] }
    }
}

impl Keys {
    /// The slot of a key, made if new. Panics beyond 24 keys: there is at most one for each field.
    pub fn slot(&mut self, key: &str) -> u8 {
        let found = self.find(key.as_bytes());
        if found != NO_SLOT {
            return found;
        }
        assert!(self.names.len() < SLOTS, "one key a field, and fewer fields than slots");
        let slot = self.names.len() as u8;
        self.names.push(key.into());
        self.prefixes.push(prefix(key.as_bytes()));
        let mut at = hash(prefix(key.as_bytes()), key.len());
        while self.table[at] != NO_SLOT {
            at = (at + 1) % TABLE;
        }
        self.table[at] = slot;
        slot
    }

    /// The key of a slot, for messages.
    pub fn name(&self, slot: u8) -> &str {
        self.names.get(usize::from(slot)).map_or("", |name| name)
    }

    #[inline]
    fn find(&self, key: &[u8]) -> u8 {
        let first = prefix(key);
        let mut at = hash(first, key.len());
        loop {
            let slot = self.table[at];
            if slot == NO_SLOT {
                return NO_SLOT;
            }
            let index = usize::from(slot);
            if self.prefixes[index] == first {
                let name = self.names[index].as_bytes();
                if name.len() == key.len() && (key.len() <= 8 || name[8..] == key[8..]) {
                    return slot;
                }
            }
            at = (at + 1) % TABLE;
        }
    }
}

/// The first eight bytes, zeros behind a shorter key.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk::<8>() {
        return u64::from_le_bytes(*first);
    }
    let mut value = 0u64;
    for (index, byte) in key.iter().enumerate() {
        value |= u64::from(*byte) << (8 * index);
    }
    value
}

#[inline]
fn hash(prefix: u64, length: usize) -> usize {
    ((prefix ^ ((length as u64) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize
}

/// The raw values of one record, by slot; empty = absent or null.
pub struct Values<'a> {
    values: [&'a str; SLOTS],
    seen: u32,
    /// A slot whose key came twice.
    pub duplicate: Option<u8>,
}

impl<'a> Values<'a> {
    #[inline]
    pub fn get(&self, slot: u8) -> Option<&'a str> {
        self.values.get(usize::from(slot)).copied().filter(|raw| !raw.is_empty())
    }

    #[inline]
    fn put(&mut self, slot: u8, raw: &'a str) {
        if self.seen & (1 << slot) != 0 {
            self.duplicate = Some(slot);
        }
        self.seen |= 1 << slot;
        if raw != "null" {
            self.values[usize::from(slot)] = raw;
        }
    }
}

/// The values of the known keys of a JSON object; errors: serde_json's, for anything that is no JSON object.
pub fn parse<'a>(text: &'a str, keys: &Keys) -> Result<Values<'a>, serde_json::Error> {
    let mut values = Values { values: [""; SLOTS], seen: 0, duplicate: None };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Object { keys, values: &mut values })?;
    deserializer.end()?;
    Ok(values)
}

struct Object<'k, 'v, 'de> {
    keys: &'k Keys,
    values: &'v mut Values<'de>,
}

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(Key(self.keys))? {
            if slot == NO_SLOT {
                map.next_value::<IgnoredAny>()?;
            } else {
                self.values.put(slot, map.next_value::<&RawValue>()?.get());
            }
        }
        Ok(())
    }
}

struct Key<'k>(&'k Keys);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = u8;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_str<E>(self, key: &str) -> Result<u8, E> {
        Ok(self.0.find(key.as_bytes()))
    }
}
