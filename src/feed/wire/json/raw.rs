//! A flat parse of a JSON object: the raw text of the values with known keys; everything else is skipped.
//!
//! Why raw text: the parser checks the grammar and finds the ends, and only the values that a record needs are interpreted.
//! Keys are found by one hashed probe of their first eight bytes and their length.
//!
//! Why two ways: serde_json is the authority, but half of the cost of a record. [`quick`] reads in one pass what nearly every
//! record is, an object of plain strings, numbers, `true`, `false` and `null`; it gives up at anything else (an escape, a
//! nested value, an exponent, any fault). What must always hold: where it does not give up, serde_json finds the same values.

use crate::wire::record::{NO_SLOT, SLOTS, ValueKind, Values};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

const TABLE: usize = 128;

/// The known keys, each with a slot.
pub struct KeyTable {
    names: Vec<Box<str>>,
    prefixes: Vec<u64>,
    /// Open addressing: slots by the hash of the key.
    table: [u8; TABLE],
}

impl KeyTable {
    /// Keys by slot, each once; panics beyond 24 keys: each field has at most one.
    pub fn new(names: &[Box<str>]) -> KeyTable {
        assert!(names.len() <= SLOTS, "one key a field, and fewer fields than slots");
        let prefixes: Vec<u64> = names.iter().map(|name| prefix(name.as_bytes())).collect();
        let mut table = [NO_SLOT; TABLE];
        for (slot, name) in names.iter().enumerate() {
            let mut at = hash(prefixes[slot], name.len());
            while table[at] != NO_SLOT {
                at = (at + 1) % TABLE;
            }
            table[at] = slot as u8;
        }
        KeyTable { names: names.to_vec(), prefixes, table }
    }

    /// The slot of a key, [`NO_SLOT`] for an unknown key; `first` is its prefix.
    #[inline(always)]
    fn find(&self, key: &[u8], first: u64) -> u8 {
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

/// The first eight bytes, with zeros after a shorter key.
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

/// Fills `values` (which must be empty) from the known keys of a JSON object; `owned` keeps texts whose escapes were resolved.
/// Errors: serde_json's, for anything that is not a JSON object.
#[inline]
pub fn parse<'a>(
    text: &'a str,
    keys: &KeyTable,
    owned: &'a mut Vec<String>,
    values: &mut Values<'a>,
) -> Result<(), serde_json::Error> {
    match quick(text, keys, values) {
        Some(()) => Ok(()),
        None => careful(text, keys, owned, values),
    }
}

/// As [`parse`], for any JSON object.
#[cold]
fn careful<'a>(
    text: &'a str,
    keys: &KeyTable,
    owned: &'a mut Vec<String>,
    values: &mut Values<'a>,
) -> Result<(), serde_json::Error> {
    *values = Values::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Object { keys, values })?;
    deserializer.end()?;
    resolve(owned, values);
    Ok(())
}

/// Gives the texts of raw strings, without quotes and escapes.
pub fn resolve<'a>(owned: &'a mut Vec<String>, values: &mut Values<'a>) {
    // resolves every escape first, so that the texts can be borrowed together
    let mut resolved = Vec::new();
    for slot in 0..SLOTS {
        if values.kinds[slot] == ValueKind::Text {
            let raw = values.texts[slot];
            if !raw.contains('\\') {
                values.texts[slot] = &raw[1..raw.len() - 1];
                continue;
            }
            match serde_json::from_str::<String>(raw) {
                Ok(text) if !text.contains('\0') => {
                    owned.push(text);
                    resolved.push(slot);
                }
                _ => values.kinds[slot] = ValueKind::Unreadable,
            }
        }
    }
    let owned: &'a Vec<String> = owned;
    for (slot, text) in resolved.into_iter().zip(owned) {
        values.texts[slot] = text;
    }
}

/// As [`parse`], for plain objects; `None`: use [`careful`].
fn quick<'a>(text: &'a str, keys: &KeyTable, values: &mut Values<'a>) -> Option<()> {
    let bytes = text.as_bytes();
    let mut at = blank(bytes, 0);
    if *bytes.get(at)? != b'{' {
        return None;
    }
    loop {
        at = blank(bytes, at + 1);
        if *bytes.get(at)? != b'"' {
            return None; // also for an empty object: there is nothing to be quick about
        }
        let key = at + 1;
        at = string_end(bytes, key)?;
        let slot = keys.find(&bytes[key..at], prefix_at(bytes, key, at));
        at = blank(bytes, at + 1);
        if *bytes.get(at)? != b':' {
            return None;
        }
        let value = blank(bytes, at + 1);
        match *bytes.get(value)? {
            b'"' => {
                at = string_end(bytes, value + 1)?;
                if slot != NO_SLOT {
                    values.put(slot, ValueKind::Text, text.get(value + 1..at)?);
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                at = number_end(bytes, value)?;
                if slot != NO_SLOT {
                    values.put(slot, ValueKind::Number, text.get(value..at)?);
                }
            }
            _ => {
                let rest = &bytes[value..];
                let (kind, length) = match rest {
                    [b't', b'r', b'u', b'e', ..] => (ValueKind::Other, 4),
                    [b'f', b'a', b'l', b's', b'e', ..] => (ValueKind::Other, 5),
                    [b'n', b'u', b'l', b'l', ..] => (ValueKind::Absent, 4),
                    _ => return None,
                };
                at = value + length;
                if slot != NO_SLOT {
                    values.put(slot, kind, text.get(value..at)?);
                }
            }
        }
        at = blank(bytes, at);
        match *bytes.get(at)? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    (blank(bytes, at + 1) == bytes.len()).then_some(())
}

/// The first position that is not white space.
#[inline(always)]
pub fn blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at)
        && *byte <= b' '
        && matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    {
        at += 1;
    }
    at
}

/// The lowest bit of every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of every byte.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Eight bytes as a number, the first one lowest.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The [`prefix`] of the key between two positions.
#[inline(always)]
fn prefix_at(bytes: &[u8], key: usize, end: usize) -> u64 {
    match (word(bytes, key), end - key) {
        (Some(word), 1..8) => word & (u64::MAX >> (64 - 8 * (end - key))),
        (Some(word), 8..) => word,
        _ => prefix(&bytes[key..end]),
    }
}

/// The first position of a quote, a backslash or a control character.
#[inline(always)]
fn marked(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = word(bytes, at) {
        // bit 7 of each byte that is zero; a borrow may mark bytes above a true mark, never below, and the first counts
        let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let marks = zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control;
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    while !matches!(*bytes.get(at)?, b'"' | b'\\' | 0..b' ') {
        at += 1;
    }
    Some(at)
}

/// The position of the quote that ends a string without escapes.
#[inline(always)]
pub fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    marked(bytes, at).filter(|at| bytes[*at] == b'"')
}

/// The same for a string inside another string: its end is written `\"`, and the result is the position of the backslash.
#[inline(always)]
pub fn inner_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    marked(bytes, at).filter(|at| bytes[*at] == b'\\' && bytes.get(*at + 1) == Some(&b'"'))
}

/// The position after a run of digits.
#[inline(always)]
fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(bytes, at) {
        // a digit is 0x30 to 0x39: the rest is below 10 in every byte, and adding 0x76 does not reach bit 7
        let rest = word ^ (ONES * 0x30);
        let marks = ((rest & !HIGHS).wrapping_add(ONES * 0x76) | rest) & HIGHS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The position after a number without an exponent.
#[inline(always)]
pub fn number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let whole = start + usize::from(bytes[start] == b'-');
    let mut at = digits_end(bytes, whole);
    // JSON has no number that starts with a point or with a zero before another digit
    if at == whole || (bytes[whole] == b'0' && at > whole + 1) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        let part = at + 1;
        at = digits_end(bytes, part);
        if at == part {
            return None;
        }
    }
    Some(at)
}

struct Object<'k, 'v, 'de> {
    keys: &'k KeyTable,
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
                let raw = map.next_value::<&RawValue>()?.get();
                let kind = match raw.as_bytes()[0] {
                    b'"' => ValueKind::Text,
                    b'-' | b'0'..=b'9' => ValueKind::Number,
                    b'n' => ValueKind::Absent,
                    _ => ValueKind::Other,
                };
                self.values.put(slot, kind, raw);
            }
        }
        Ok(())
    }
}

struct Key<'k>(&'k KeyTable);

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
        Ok(self.0.find(key.as_bytes(), prefix(key.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: &str = r#"{ "symbol":"RELIANCE", "ts" :1767584700123456,"price":-2445.35,"qty":"10","null":null,"on":true,"off":false,"zero":0,"x":"\u00fc"}"#;

    fn keys() -> KeyTable {
        let names = ["symbol", "price", "qty", "null", "on", "zero", "off", "cumulative_volume", "cumulative_v0lume"];
        KeyTable::new(&names.map(Box::from))
    }

    fn same(text: &str) -> Result<(), TestCaseError> {
        let keys = keys();
        let (mut values, mut owned, mut expected) = (Values::default(), Vec::new(), Values::default());
        if quick(text, &keys, &mut values).is_some() {
            let careful = careful(text, &keys, &mut owned, &mut expected);
            prop_assert!(careful.is_ok(), "{text:?}: {:?}", careful.err());
            prop_assert_eq!(values.texts, expected.texts, "{:?}", text);
            prop_assert_eq!(values.kinds, expected.kinds, "{:?}", text);
            prop_assert_eq!((values.seen, values.duplicate), (expected.seen, expected.duplicate));
        }
        Ok(())
    }

    #[test]
    fn a_plain_record_is_read_the_quick_way() {
        let keys = keys();
        let text = RECORD.replace("\\u00fc", "ü");
        let mut values = Values::default();
        quick(&text, &keys, &mut values).expect("plain");
        for (slot, expected) in [
            (0, (ValueKind::Text, "RELIANCE")),
            (1, (ValueKind::Number, "-2445.35")),
            (2, (ValueKind::Text, "10")),
            (3, (ValueKind::Absent, "null")),
            (4, (ValueKind::Other, "true")),
            (5, (ValueKind::Number, "0")),
            (6, (ValueKind::Other, "false")),
            (7, (ValueKind::Absent, "")),
        ] {
            assert_eq!(values.get(slot), expected);
        }
        assert!(quick(RECORD, &keys, &mut Values::default()).is_none(), "an escape is for serde_json");
    }

    #[test]
    fn keys_with_one_beginning_and_one_length_are_told_apart() {
        let (keys, mut owned, mut values) = (keys(), Vec::new(), Values::default());
        let text = r#"{"cumulative_v0lume":1,"cumulative_volume":2,"cumulative":3}"#;
        parse(text, &keys, &mut owned, &mut values).expect("json");
        assert_eq!((values.get(7).1, values.get(8).1), ("2", "1"));
    }

    proptest! {
        #[test]
        fn the_quick_way_says_what_serde_json_says(
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[ \t\"{}:,.0-9a-z+\\\\-]", 0..4u8), 0..5)
        ) {
            let mut bytes: Vec<char> = RECORD.replace("\\u00fc", "ü").chars().collect();
            for (at, byte, how) in &cuts {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                let byte = byte.chars().next().expect("one");
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
            }
            same(&bytes.into_iter().collect::<String>())?;
        }

        #[test]
        fn both_ways_agree_on_small_texts(text in "[ {]{0,2}(\"(qty|on|a)\" ?: ?[-0-9.etrufalsn\"\u{1}]{0,6},? ?){0,3}[ }]{0,2}") {
            same(&text)?;
        }
    }
}
