//! The fields of a message in full JSON: one pass over its bytes, whatever the order of its keys.
//!
//! Why two ways, as for the plain JSON wire: serde_json is the authority; [`quick`] reads what every publisher writes (plain
//! keys, numbers, `null`, objects and arrays of them) and gives up at anything else. What must always hold: where it does not
//! give up, serde_json finds the same fields, and both skip unknown values without interpreting them. An event has its message
//! in a string: [`parse_inside`] reads it in place, where each quote is `\"`, and gives up at any other escape.

use super::fields::{Fields, MessageField};
use crate::wire::json::raw::{blank, inner_string_end, number_end, string_end};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Deeper than any message; deeper JSON is left to serde_json.
const DEPTH_MOST: usize = 8;

/// Where an object is, which decides what its keys mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Message,
    Touchline,
    Bid,
    Ask,
    /// An object that is not read.
    Other,
}

/// What a key means.
enum Role {
    Field(MessageField),
    Object(Level),
    Other,
}

/// Fills `fields` (which must be empty) from a message. Errors: serde_json's, for anything that is not a JSON object.
#[inline]
pub fn parse<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<(), serde_json::Error> {
    match quick(text, fields) {
        Some(()) => Ok(()),
        None => {
            *fields = Fields::default();
            careful(text, Level::Message, fields)
        }
    }
}

#[inline(always)]
fn role(key: &[u8], level: Level) -> Role {
    match level {
        Level::Message | Level::Touchline => {}
        Level::Bid => match key {
            b"Price" => return Role::Field(MessageField::BidPrice),
            b"Size" => return Role::Field(MessageField::BidSize),
            _ => return Role::Other,
        },
        Level::Ask => match key {
            b"Price" => return Role::Field(MessageField::AskPrice),
            b"Size" => return Role::Field(MessageField::AskSize),
            _ => return Role::Other,
        },
        Level::Other => return Role::Other,
    }
    let is = |name: &[u8], role| if key == name { role } else { Role::Other };
    let field = |name: &[u8], slot| is(name, Role::Field(slot));
    let either = |one: Role, other: Role| if matches!(one, Role::Other) { other } else { one };
    match key.len() {
        3 => field(b"Low", MessageField::Low),
        4 => either(field(b"Open", MessageField::Open), field(b"High", MessageField::High)),
        7 => match key {
            b"BidInfo" => Role::Object(Level::Bid),
            b"AskInfo" => Role::Object(Level::Ask),
            b"BarTime" => Role::Field(MessageField::BarTime),
            _ => Role::Other,
        },
        9 if level == Level::Message => is(b"Touchline", Role::Object(Level::Touchline)),
        10 => field(b"IndexValue", MessageField::Price),
        11 => field(b"MessageCode", MessageField::Code),
        12 => either(field(b"OpenInterest", MessageField::Interest), field(b"OpeningIndex", MessageField::Open)),
        13 => field(b"LowIndexValue", MessageField::Low),
        14 => match key {
            b"LastTradedTime" => Role::Field(MessageField::TradeTime),
            b"LastUpdateTime" => Role::Field(MessageField::UpdateTime),
            b"SequenceNumber" => Role::Field(MessageField::Sequence),
            b"HighIndexValue" => Role::Field(MessageField::High),
            _ => Role::Other,
        },
        15 => match key {
            b"LastTradedPrice" => Role::Field(MessageField::Price),
            b"ExchangeSegment" | b"exchangeSegment" => Role::Field(MessageField::Segment),
            _ => Role::Other,
        },
        17 => field(b"ExchangeTimeStamp", MessageField::ExchangeTime),
        18 => match key {
            // sic: the live feed misspells it, the documents do not
            b"LastTradedQunatity" | b"LastTradedQuantity" => Role::Field(MessageField::Quantity),
            _ => Role::Other,
        },
        19 => field(b"TotalTradedQuantity", MessageField::Volume),
        20 => match key {
            b"ExchangeInstrumentID" | b"exchangeInstrumentID" => Role::Field(MessageField::Instrument),
            _ => Role::Other,
        },
        _ => Role::Other,
    }
}

/// As [`parse`], for plain messages; `None`: use [`careful`].
fn quick<'a>(text: &'a str, fields: &mut Fields<'a>) -> Option<()> {
    let bytes = text.as_bytes();
    let end = object::<Bare>(text, blank(bytes, 0), Level::Message, 0, fields)?;
    (blank(bytes, end) == bytes.len()).then_some(())
}

/// As [`parse`], for a plain message inside a string of other JSON, read in place: `at` is the position after the string's
/// quote, the result is the position of the quote that ends it. `None`: the string's escapes must be resolved first, and
/// `fields` must be discarded. Why in place: resolving the escapes costs as much as reading the message.
#[inline]
pub fn parse_inside<'a>(text: &'a str, at: usize, fields: &mut Fields<'a>) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = object::<Inside>(text, Inside::blank(bytes, at), Level::Message, 0, fields)?;
    let end = Inside::blank(bytes, end);
    (*bytes.get(end)? == b'"').then_some(end)
}

/// How a message's quotes and white space are written.
trait Written {
    /// Whether quotes are written `\"`.
    const INSIDE: bool;

    fn blank(bytes: &[u8], at: usize) -> usize;

    /// The position after the quote at `at`.
    #[inline(always)]
    fn begin(bytes: &[u8], at: usize) -> Option<usize> {
        match Self::INSIDE {
            false => (*bytes.get(at)? == b'"').then_some(at + 1),
            true => (*bytes.get(at)? == b'\\' && *bytes.get(at + 1)? == b'"').then_some(at + 2),
        }
    }

    /// The end of a string's text, and the position after its quote.
    #[inline(always)]
    fn end(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        match Self::INSIDE {
            false => string_end(bytes, at).map(|end| (end, end + 1)),
            true => inner_string_end(bytes, at).map(|end| (end, end + 2)),
        }
    }
}

/// A bare message.
struct Bare;

/// A message in a string.
struct Inside;

impl Written for Bare {
    const INSIDE: bool = false;

    #[inline(always)]
    fn blank(bytes: &[u8], at: usize) -> usize {
        blank(bytes, at)
    }
}

impl Written for Inside {
    const INSIDE: bool = true;

    /// In a string all other white space is escaped.
    #[inline(always)]
    fn blank(bytes: &[u8], mut at: usize) -> usize {
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    }
}

/// The position after the object that begins at `at`.
fn object<'a, W: Written>(
    text: &'a str,
    at: usize,
    level: Level,
    depth: usize,
    fields: &mut Fields<'a>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    if *bytes.get(at)? != b'{' || depth > DEPTH_MOST {
        return None;
    }
    let mut at = W::blank(bytes, at + 1);
    if *bytes.get(at)? == b'}' {
        return Some(at + 1);
    }
    loop {
        let key = W::begin(bytes, at)?;
        let (end, after) = W::end(bytes, key)?;
        let role = role(&bytes[key..end], level);
        at = W::blank(bytes, after);
        if *bytes.get(at)? != b':' {
            return None;
        }
        let from = W::blank(bytes, at + 1);
        at = match role {
            Role::Field(slot) => {
                // a value that is read must not have escaped quotes
                if W::INSIDE && bytes.get(from) == Some(&b'\\') {
                    return None;
                }
                let end = scalar::<W>(bytes, from)?;
                fields.put(slot, text.get(from..end)?);
                end
            }
            Role::Object(inner) if *bytes.get(from)? == b'{' => {
                fields.live |= inner == Level::Touchline;
                object::<W>(text, from, inner, depth + 1, fields)?
            }
            Role::Object(_) | Role::Other => value::<W>(text, from, depth + 1, fields)?,
        };
        at = W::blank(bytes, at);
        match *bytes.get(at)? {
            b',' => at = W::blank(bytes, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The position after a value that is not read.
#[inline(always)]
fn value<'a, W: Written>(text: &'a str, at: usize, depth: usize, fields: &mut Fields<'a>) -> Option<usize> {
    match *text.as_bytes().get(at)? {
        b'{' => object::<W>(text, at, Level::Other, depth, fields),
        b'[' => array::<W>(text, at, depth, fields),
        _ => scalar::<W>(text.as_bytes(), at),
    }
}

fn array<'a, W: Written>(text: &'a str, at: usize, depth: usize, fields: &mut Fields<'a>) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = W::blank(bytes, at + 1);
    if depth > DEPTH_MOST {
        return None;
    }
    if *bytes.get(at)? == b']' {
        return Some(at + 1);
    }
    loop {
        at = W::blank(bytes, value::<W>(text, at, depth + 1, fields)?);
        match *bytes.get(at)? {
            b',' => at = W::blank(bytes, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The position after a string, a number or a word.
#[inline(always)]
fn scalar<W: Written>(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'-' | b'0'..=b'9' => number_end(bytes, at),
        b'"' | b'\\' => W::end(bytes, W::begin(bytes, at)?).map(|(_, after)| after),
        _ => {
            let rest = &bytes[at..];
            let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word))?;
            Some(at + word.len())
        }
    }
}

/// As [`parse`], for any JSON object.
#[cold]
fn careful<'a>(text: &'a str, level: Level, fields: &mut Fields<'a>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let pairs = deserializer.deserialize_map(Pairs)?;
    deserializer.end()?;
    for (key, raw) in pairs {
        match role(key.as_bytes(), level) {
            Role::Field(slot) => fields.put(slot, raw.get()),
            Role::Object(inner) if raw.get().starts_with('{') => {
                fields.live |= inner == Level::Touchline;
                careful(raw.get(), inner, fields)?;
            }
            Role::Object(_) | Role::Other => {}
        }
    }
    Ok(())
}

/// An object's members as they were written.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::xts::samples;
    use proptest::prelude::*;

    const ALL: [MessageField; 23] = [
        MessageField::Code,
        MessageField::Segment,
        MessageField::Instrument,
        MessageField::ExchangeTime,
        MessageField::UpdateTime,
        MessageField::TradeTime,
        MessageField::Price,
        MessageField::Quantity,
        MessageField::Volume,
        MessageField::BidPrice,
        MessageField::BidSize,
        MessageField::AskPrice,
        MessageField::AskSize,
        MessageField::Open,
        MessageField::High,
        MessageField::Low,
        MessageField::Interest,
        MessageField::BarTime,
        MessageField::Sequence,
        MessageField::BandLow,
        MessageField::BandHigh,
        MessageField::ExecutionBandLow,
        MessageField::ExecutionBandHigh,
    ];

    fn same(text: &str) -> Result<bool, TestCaseError> {
        let mut found = Fields::default();
        inside(text)?;
        if quick(text, &mut found).is_none() {
            return Ok(false);
        }
        as_careful(text, &found)
    }

    /// Checks that the fields found are those that the careful way finds in the text.
    fn as_careful(text: &str, found: &Fields<'_>) -> Result<bool, TestCaseError> {
        let mut expected = Fields::default();
        let careful = careful(text, Level::Message, &mut expected);
        prop_assert!(careful.is_ok(), "{text:?}: {:?}", careful.err());
        for slot in ALL {
            prop_assert_eq!(found.text(slot), expected.text(slot), "{:?} of {}", slot, text);
        }
        prop_assert_eq!((found.duplicate(), found.live), (expected.duplicate(), expected.live));
        Ok(true)
    }

    /// Whether a text inside a string is read in place; its fields must be those of the resolved string.
    fn inside(text: &str) -> Result<bool, TestCaseError> {
        let written = serde_json::to_string(text).expect("a string") + "]";
        let mut found = Fields::default();
        let Some(end) = parse_inside(&written, 1, &mut found) else { return Ok(false) };
        prop_assert_eq!(&written[end..], "\"]");
        as_careful(text, &found)
    }

    #[test]
    fn every_message_of_the_feed_is_read_the_quick_way() {
        for message in samples::JSON {
            assert!(same(message).expect("both ways agree"), "{message}");
            // an id in quotes is a field with escapes
            assert_eq!(
                inside(message).expect("both ways agree"),
                !message.contains("\"ExchangeInstrumentID\":\""),
                "{message}"
            );
        }
    }

    #[test]
    fn a_key_means_what_its_place_says() {
        let text = r#"{"Size":1,"BidInfo":{"Size":2,"Price":3,"Low":4},"Bids":[{"Price":5,"LastTradedPrice":6}],"Touchline":{"Touchline":{"Low":7},"AskInfo":{"Price":8}}}"#;
        let mut fields = Fields::default();
        parse(text, &mut fields).expect("JSON");
        let of = |slot| fields.text(slot);
        assert_eq!(
            (of(MessageField::BidSize), of(MessageField::BidPrice), of(MessageField::AskPrice)),
            (Some("2"), Some("3"), Some("8"))
        );
        assert_eq!((of(MessageField::Low), of(MessageField::Price), fields.live), (None, None, true));
    }

    proptest! {
        #[test]
        fn the_quick_way_says_what_serde_json_says(
            message in 0..samples::JSON.len(),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[ \t\"{}:,.0-9a-züE\\[\\]+\\\\-]", 0..4u8), 0..4)
        ) {
            let mut letters: Vec<char> = samples::JSON[message].chars().collect();
            for (at, letter, how) in &cuts {
                if letters.is_empty() {
                    break;
                }
                let (at, letter) = (at.index(letters.len()), letter.chars().next().expect("one"));
                match how {
                    0 => letters[at] = letter,
                    1 => letters.insert(at, letter),
                    2 => drop(letters.remove(at)),
                    _ => letters.truncate(at),
                }
            }
            same(&letters.into_iter().collect::<String>())?;
        }
    }
}
