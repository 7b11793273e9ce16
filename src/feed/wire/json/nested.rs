//! Values below the outermost keys: `data.T`, `trades[0].p`, `$[3]`.
//!
//! ```text
//!   paths ─compile─▶ Branch: key ─▶ slot, Branch │ index ─▶ slot, Branch
//! ```
//!
//! Why a way of its own: a record of plain keys is read in one pass without it. What must always hold: a key of the outermost
//! object that is written like a path goes before what the path leads to; a value that is there twice is found out.

use crate::wire::record::{ValueKind, Values};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Elements of a list beyond this index are not looked for.
const INDEX_MOST: usize = 100_000;

/// Compiled paths.
#[derive(Default)]
pub struct Paths {
    root: Branch,
    /// Keys of the outermost object that are written like paths.
    literal: HashMap<Box<str>, u8, ahash::RandomState>,
}

#[derive(Default)]
struct Branch {
    keys: HashMap<Box<str>, Target, ahash::RandomState>,
    elements: BTreeMap<usize, Target>,
}

#[derive(Default)]
struct Target {
    slot: Option<u8>,
    below: Option<Box<Branch>>,
}

enum Step {
    Key(String),
    Element(usize),
}

impl Paths {
    /// Compiles the record's names; a name's index is its slot.
    pub fn new(names: &[Box<str>]) -> Paths {
        let mut paths = Paths::default();
        for (slot, name) in names.iter().enumerate() {
            let slot = slot as u8; // fewer than SLOTS
            let steps = steps(name).unwrap_or_else(|| vec![Step::Key(name.to_string())]);
            if steps.len() > 1 || !matches!(&steps[..], [Step::Key(key)] if **key == **name) {
                paths.literal.insert(name.clone(), slot);
            }
            paths.root.put(&steps, slot);
        }
        paths
    }

    /// Fills the values of a JSON object or list. Errors: the text is neither.
    pub fn read<'a>(&self, text: &'a str, values: &mut Values<'a>) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let literal = Some(&self.literal).filter(|literal| !literal.is_empty());
        deserializer.deserialize_any(Container { branch: &self.root, literal, values })?;
        deserializer.end()
    }
}

/// Whether a name is more than a key of the outermost object.
pub fn is_path(name: &str) -> bool {
    name.contains(['.', '[']) || name.starts_with('$')
}

impl Branch {
    fn put(&mut self, steps: &[Step], slot: u8) {
        let [first, rest @ ..] = steps else { return };
        let target = match first {
            Step::Key(key) => self.keys.entry(key.as_str().into()).or_default(),
            Step::Element(index) => self.elements.entry(*index).or_default(),
        };
        match rest {
            [] => target.slot = Some(slot),
            rest => target.below.get_or_insert_default().put(rest, slot),
        }
    }
}

/// The steps of a path; `None`: the text is no path, so it is a key.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (index, behind) = inside.split_once(']')?;
            let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            steps.push(Step::Element(index.parse().ok().filter(|index| digits && *index <= INDEX_MOST)?));
            rest = behind;
            continue;
        }
        rest = match rest.strip_prefix('.') {
            Some(behind) => behind,
            None if steps.is_empty() => rest,
            None => return None,
        };
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        steps.push(Step::Key(rest[..end].to_owned()));
        rest = &rest[end..];
    }
    (!steps.is_empty()).then_some(steps)
}

/// An object or a list while it is read.
struct Container<'p, 'v, 'de> {
    branch: &'p Branch,
    /// Of the outermost object.
    literal: Option<&'p HashMap<Box<str>, u8, ahash::RandomState>>,
    values: &'v mut Values<'de>,
}

impl<'de> Container<'_, '_, 'de> {
    fn take<E: serde::de::Error>(&mut self, target: &Target, raw: &'de RawValue) -> Result<(), E> {
        if let Some(slot) = target.slot {
            self.values.put_nested(slot, kind(raw), raw.get());
        }
        if let Some(below) = &target.below
            && raw.get().starts_with(['{', '['])
        {
            let mut deserializer = serde_json::Deserializer::from_str(raw.get());
            let container = Container { branch: below, literal: None, values: self.values };
            deserializer.deserialize_any(container).map_err(E::custom)?;
        }
        Ok(())
    }
}

fn kind(raw: &RawValue) -> ValueKind {
    match raw.get().as_bytes()[0] {
        b'"' => ValueKind::Text,
        b'-' | b'0'..=b'9' => ValueKind::Number,
        b'n' => ValueKind::Absent,
        _ => ValueKind::Other,
    }
}

impl<'de> Visitor<'de> for Container<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let literal = self.literal.and_then(|literal| literal.get(&*key)).copied();
            let target = self.branch.keys.get(&*key);
            if literal.is_none() && target.is_none() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw = map.next_value::<&'de RawValue>()?;
            if let Some(slot) = literal {
                self.values.put_literal(slot, kind(raw), raw.get());
            }
            if let Some(target) = target {
                self.take(target, raw)?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut at = 0;
        loop {
            match self.branch.elements.get(&at) {
                Some(target) => match list.next_element::<&'de RawValue>()? {
                    Some(raw) => self.take(target, raw)?,
                    None => return Ok(()),
                },
                None => {
                    if list.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(());
                    }
                }
            }
            at += 1;
        }
    }
}

/// A key, borrowed unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(names: &[&str], text: &'a str) -> Vec<&'a str> {
        let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        let mut values = Values::default();
        Paths::new(&names).read(text, &mut values).expect(text);
        assert_eq!(values.duplicate, None, "{text}");
        (0..names.len()).map(|slot| values.get(slot as u8).1).collect()
    }

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let names = ["stream", "data.T", "data.k[1].p", "list[0]", "$.data.s"];
        let text = r#"{"data":{"s":"A","T":5,"k":[0,{"p":"7.5"}]},"x":{"T":1},"list":[true,2],"stream":"a@trade"}"#;
        assert_eq!(read(&names, text), [r#""a@trade""#, "5", r#""7.5""#, "true", r#""A""#]);
        assert_eq!(read(&["[3]", "$[1][0].p"], r#"[1,[{"p":9}],2,"X"]"#), [r#""X""#, "9"]);
        assert_eq!(read(&["data.T", "data"], r#"{"data":{"T":5}}"#), ["5", r#"{"T":5}"#]);
        assert_eq!(read(&["data.T", "a[x]"], r#"{"data":5,"a[x]":6}"#), ["", "6"]);
    }

    #[test]
    fn a_literal_key_goes_before_the_path() {
        for text in [r#"{"data.T":1,"data":{"T":2}}"#, r#"{"data":{"T":2},"data.T":1}"#] {
            assert_eq!(read(&["data.T"], text), ["1"]);
        }
        let paths = Paths::new(&["data.T".into()]);
        let twice = [r#"{"data.T":1,"data.T":2}"#, r#"{"data":{"T":1,"T":2}}"#, r#"{"data":{"T":1},"data":{"T":2}}"#];
        for text in twice {
            let mut values = Values::default();
            paths.read(text, &mut values).expect(text);
            assert_eq!(values.duplicate, Some(0), "{text}");
        }
    }

    #[test]
    fn what_is_no_container_is_an_error() {
        let paths = Paths::new(&["data.T".into()]);
        for text in ["5", "\"x\"", "null", "{", "[1", "{}x", "{\"data\":{]}"] {
            assert!(paths.read(text, &mut Values::default()).is_err(), "{text}");
        }
    }
}
