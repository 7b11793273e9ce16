//! Values that are not read from one key: constants, what surrounds the record, keys that are joined.
//!
//! Why after the format has found its values: a format finds keys, and these values are the same for each of them. What must
//! always hold: a dataflow without such values never comes here.

use super::field_source::{FieldSource, Surrounding};
use super::pattern::TextPattern;
use super::values::{ValueKind, Values};
use crate::wire::RawRecord;
use crate::wire::problem::{RecordProblem, shorten};

/// One value to fill in.
pub struct Fill {
    slot: u8,
    /// The field that it fills, for messages.
    field: &'static str,
    from: From,
}

enum From {
    Constant(Box<str>),
    Around(Surrounding, Option<TextPattern>),
    /// The slots of the joined keys.
    Joined(Vec<u8>),
}

impl Fill {
    /// What fills a slot from a source other than one key; `slot_of` is the slot of a key.
    pub fn new(slot: u8, field: &'static str, source: &FieldSource, slot_of: impl Fn(&str) -> u8) -> Option<Fill> {
        let from = match source {
            FieldSource::Key(_) => return None,
            FieldSource::Constant(text) => From::Constant(text.as_str().into()),
            FieldSource::Around(around, pattern) => From::Around(around.clone(), pattern.clone()),
            FieldSource::Joined(keys) => From::Joined(keys.iter().map(|key| slot_of(key)).collect()),
        };
        Some(Fill { slot, field, from })
    }

    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// The slots of the keys that it joins.
    pub fn joined(&self) -> &[u8] {
        match &self.from {
            From::Joined(slots) => slots,
            From::Constant(_) | From::Around(..) => &[],
        }
    }

    /// Whether it reads the key or a header of a Kafka record.
    pub fn wants_envelope(&self) -> bool {
        matches!(self.from, From::Around(Surrounding::Key | Surrounding::Header(_), _))
    }

    /// The header it reads.
    pub fn header(&self) -> Option<&str> {
        match &self.from {
            From::Around(Surrounding::Header(name), _) => Some(name),
            _ => None,
        }
    }
}

/// A text that is made of others.
type Made = (u8, String);

/// The texts that must be made for a record: joined keys, numbers of partitions.
pub fn made(fills: &[Fill], values: &Values<'_>, raw: &RawRecord<'_>) -> Vec<Made> {
    let text = |fill: &Fill| match &fill.from {
        From::Joined(slots) => {
            let parts: Vec<&str> = slots.iter().map(|slot| values.get(*slot)).map(|(_, text)| text).collect();
            // a part that is absent makes the whole absent
            (!parts.iter().any(|part| part.is_empty())).then(|| parts.join(" "))
        }
        From::Around(Surrounding::Partition, None) => raw.envelope.partition.map(|number| number.to_string()),
        _ => None,
    };
    fills.iter().filter_map(|fill| Some((fill.slot, text(fill)?))).collect()
}

/// Fills the values in; `headers` are the names of those that the record's envelope has, in its order. Errors: a text that does
/// not fit its pattern, or is no UTF-8.
pub fn fill<'a>(
    fills: &'a [Fill],
    headers: &[String],
    made: &'a [Made],
    raw: &RawRecord<'a>,
    values: &mut Values<'a>,
) -> Result<(), RecordProblem> {
    for (slot, text) in made {
        values.put(*slot, ValueKind::Text, text);
    }
    for fill in fills {
        let text = match &fill.from {
            From::Constant(text) => Some(&**text),
            From::Around(around, pattern) => match around_text(around, headers, raw, fill.field)? {
                Some(text) => Some(taken(text, pattern.as_ref(), around, fill.field)?),
                None => None,
            },
            From::Joined(_) => None,
        };
        if let Some(text) = text {
            let kind = if text.contains('\0') { ValueKind::Unreadable } else { ValueKind::Text };
            values.put(fill.slot, kind, text);
        }
    }
    Ok(())
}

fn around_text<'a>(
    around: &Surrounding,
    headers: &[String],
    raw: &RawRecord<'a>,
    field: &str,
) -> Result<Option<&'a str>, RecordProblem> {
    let envelope = &raw.envelope;
    let bytes = match around {
        Surrounding::Topic => return Ok(envelope.topic),
        Surrounding::File => return Ok(envelope.file),
        Surrounding::Partition => return Ok(None), // it is made
        Surrounding::Key => envelope.key,
        Surrounding::Header(name) => {
            let at = headers.iter().position(|have| have == name);
            at.and_then(|at| envelope.headers.get(at).copied().flatten())
        }
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let text = std::str::from_utf8(bytes);
    text.map(Some).map_err(|error| RecordProblem::new("bad_field", format!("{field}: {around} is no text: {error}")))
}

fn taken<'a>(
    text: &'a str,
    pattern: Option<&TextPattern>,
    around: &Surrounding,
    field: &str,
) -> Result<&'a str, RecordProblem> {
    let Some(pattern) = pattern else { return Ok(text) };
    pattern.take(text).ok_or_else(|| {
        let detail = format!("{field}: {around} is {}, which does not fit {:?}", shorten(text), pattern.text());
        RecordProblem::new("bad_field", detail)
    })
}
