//! What a record means, whatever its format: its fields by name → a [`Tick`] or a [`RecordProblem`].
//!
//! ```text
//!   bytes ──json, csv …──▶ Values (raw texts by slot) ──Meaning::tick──▶ Tick | RecordProblem
//! ```
//!
//! Why apart from the formats: a time, a price or a missing field is the same in each of them, and a dataflow that changes its
//! `wire` must not change its ticks. A format only finds the raw texts of the fields that [`Meaning`] needs. Why slots: one
//! field of the record may fill two of ticktide's, and a format looks it up once.
//!
//! What must always hold: prices, quantities and times come from their digits; the instrument table learns an instrument only
//! from a record that became a tick; the path of a good trade allocates nothing.

mod field_source;
mod fields;
mod fill;
mod kinds;
mod pattern;
mod reading;
#[cfg(test)]
mod tests;
mod typed;
mod values;

use super::RawRecord;
use super::problem::RecordProblem;
use crate::{FeedError, InstrumentTable, WireSpec};
pub use field_source::{FieldSource, Surrounding};
pub use fields::{FIELDS, Field, FieldDoc, Has, NAMES};
use fill::Fill;
use kinds::Kinds;
pub use pattern::TextPattern;
use reading::ValueParser;
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::error::nearest;
use ticktide_base::rules::Rules;
use ticktide_market::{Tick, TickKind};
use typed::Record;
pub use values::{NO_SLOT, SLOTS, ValueKind, Values};

/// Interned condition texts beyond this number are dropped and learnt again: the feed has no fixed set of them.
const CONDITIONS_KEPT: usize = 4096;

/// What a dataflow's records mean: which of their names fills which of ticktide's fields.
pub struct Meaning {
    /// What each slot holds, each once: the record's names that are read, then what else fills a field.
    names: Vec<Box<str>>,
    /// How many of them are names in the record.
    keys: usize,
    /// Field → slot.
    slots: [u8; NAMES.len()],
    fills: Vec<Fill>,
    /// Headers that the fills read, each once.
    headers: Vec<String>,
    conditions: HashMap<Box<str>, Arc<str>, ahash::RandomState>,
    /// What a record without a type is.
    untyped: TickKind,
    kinds: Option<Kinds>,
    reading: ValueParser,
}

impl Meaning {
    /// Reads the mapping of a dataflow; errors: an unknown key of `fields`, settings that contradict each other.
    pub fn new(spec: &WireSpec, format: &str) -> Result<Meaning, FeedError> {
        for name in spec.fields.keys() {
            if !NAMES.contains(&name.as_str()) {
                let hint = match nearest(name, &NAMES) {
                    Some(near) => format!("did you mean `{near}`? `fields` maps ticktide's names to the record's"),
                    None => format!("`fields` maps ticktide's names to the record's; they are: {}", NAMES.join(", ")),
                };
                return Err(FeedError::fix(format!("wire {format} has no field \"{name}\""), hint));
            }
        }
        let mut meaning = Meaning {
            names: Vec::new(),
            keys: 0,
            slots: [NO_SLOT; NAMES.len()],
            fills: Vec::new(),
            headers: Vec::new(),
            conditions: HashMap::default(),
            untyped: match spec.cumulative && spec.rules > Rules::First {
                true => TickKind::Snapshot,
                false => TickKind::Trade,
            },
            kinds: if spec.types.is_empty() { None } else { Some(Kinds::new(&spec.types)?) },
            reading: ValueParser::new(spec)?,
        };
        let sources: Vec<(usize, FieldSource)> =
            (0..NAMES.len()).filter_map(|index| Some((index, source(spec, index)?))).collect();
        for (index, source) in &sources {
            for key in source.keys() {
                let slot = meaning.slot(key).unwrap_or(meaning.keys);
                if slot == meaning.keys {
                    meaning.names.push(key.as_str().into());
                    meaning.keys += 1;
                }
                if matches!(source, FieldSource::Key(_)) {
                    meaning.slots[*index] = slot as u8; // below SLOTS, see the end
                }
            }
        }
        for (index, source) in sources.iter().filter(|(_, source)| !matches!(source, FieldSource::Key(_))) {
            let slot = meaning.names.len() as u8;
            let fill =
                Fill::new(slot, NAMES[*index], source, |key| meaning.slot(key).map_or(NO_SLOT, |slot| slot as u8));
            meaning.headers.extend(fill.iter().filter_map(|fill| fill.header().map(str::to_owned)));
            meaning.fills.extend(fill);
            meaning.slots[*index] = slot;
            meaning.names.push(source.label().into());
        }
        meaning.headers.sort();
        meaning.headers.dedup();
        if meaning.names.len() > SLOTS {
            let message = format!("`fields` reads {} values of a record, the most is {SLOTS}", meaning.names.len());
            return Err(FeedError::fix(message, "join fewer keys"));
        }
        Ok(meaning)
    }

    /// The record's names that are read, in the order of their slots.
    pub fn names(&self) -> &[Box<str>] {
        &self.names[..self.keys]
    }

    /// The slot of one of the record's names, if it is read.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.names().iter().position(|have| **have == *name)
    }

    /// The record's name for a field; empty if it is not read.
    pub fn name(&self, field: Field) -> &str {
        self.names.get(usize::from(self.slots[field as usize])).map_or("", |name| name)
    }

    /// Whether a field is filled without a key of the record that these names lack.
    pub fn is_filled(&self, field: Field, names: &[&str]) -> bool {
        let slot = self.slots[field as usize];
        match self.fills.iter().find(|fill| fill.slot() == slot) {
            Some(fill) => fill.joined().iter().all(|slot| names.contains(&&*self.names[usize::from(*slot)])),
            None => names.contains(&self.name(field)),
        }
    }

    /// Whether it reads what surrounds a Kafka record.
    pub fn wants_envelope(&self) -> bool {
        self.fills.iter().any(Fill::wants_envelope)
    }

    /// The headers of a Kafka record that it reads.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The tick of a record's values. Inlined into each format: every record takes this path.
    #[inline(always)]
    pub fn tick(
        &mut self,
        values: &Values<'_>,
        raw: &RawRecord<'_>,
        instruments: &mut InstrumentTable,
    ) -> Result<Tick, RecordProblem> {
        match self.fills.is_empty() {
            true => self.tick_of(values, raw, instruments),
            false => self.filled_tick(values, raw, instruments),
        }
    }

    #[inline(never)]
    fn filled_tick(
        &mut self,
        values: &Values<'_>,
        raw: &RawRecord<'_>,
        instruments: &mut InstrumentTable,
    ) -> Result<Tick, RecordProblem> {
        let fills = std::mem::take(&mut self.fills);
        let made = fill::made(&fills, values, raw);
        let mut values = values.clone();
        let filled = fill::fill(&fills, &self.headers, &made, raw, &mut values);
        let tick = filled.and_then(|()| self.tick_of(&values, raw, instruments));
        self.fills = fills;
        tick
    }

    #[inline(always)]
    fn tick_of(
        &mut self,
        values: &Values<'_>,
        raw: &RawRecord<'_>,
        instruments: &mut InstrumentTable,
    ) -> Result<Tick, RecordProblem> {
        if let Some(slot) = values.duplicate {
            let name = &self.names[usize::from(slot)];
            return Err(RecordProblem::new("duplicate_field", format!("\"{name}\" appears twice")));
        }
        let Meaning { slots, names, reading, kinds, untyped, conditions: known, .. } = self;
        let record = Record { values, slots, names, reading, kinds: kinds.as_ref() };
        let kind = record.kind()?.unwrap_or(*untyped);
        let correction = matches!(kind, TickKind::Cancel | TickKind::Correct);
        let (exchange_at, trading_date) = match record.time(Field::Time)? {
            Some(at) => (at, None),
            None if correction => record.day(Field::TradingDate)?.ok_or_else(|| record.missing(Field::Time))?,
            None => return Err(record.missing(Field::Time)),
        };
        let received_at = match record.time(Field::ReceivedAt)? {
            Some(at) => Some(at),
            None => raw.received_at,
        };
        let sequence = record.sequence()?;
        let (price, quantity, snapshot) = record.amounts(kind)?;
        let id = record.text(Field::Id)?;
        if correction && id.is_none() {
            return Err(record.missing(Field::Id));
        }
        let conditions = match record.get(Field::Conditions) {
            (ValueKind::Absent, _) => None,
            // a feed's list of codes, kept unchanged
            (ValueKind::Other, raw) if raw.starts_with(['[', '{']) => intern(known, raw),
            _ => record.text(Field::Conditions)?.and_then(|text| intern(known, text)),
        };

        let venue = record.text(Field::Venue)?.unwrap_or_default();
        let symbol = record.text(Field::Symbol)?;
        let Some(instrument) = record.text(Field::Instrument)?.or(symbol) else {
            return Err(record.missing(Field::Symbol));
        };
        let instrument = instruments.id(venue, instrument, symbol);
        Ok(Tick {
            kind,
            suspicious: record.suspicious(),
            instrument,
            offset: raw.offset,
            exchange_at,
            trading_date,
            received_at,
            witnessed: false,
            sequence,
            price,
            quantity,
            id: id.map(Arc::from),
            conditions,
            snapshot,
        })
    }
}

/// Where a field comes from; `None`: it is read only if the dataflow names it, as many feeds use its word for something else.
fn source(spec: &WireSpec, index: usize) -> Option<FieldSource> {
    let named = match index {
        _ if index == Field::Conditions as usize => spec.conditions.as_deref(),
        _ if index == Field::Suspicious as usize => spec.suspicious.as_deref(),
        _ => None,
    };
    let optional = index == Field::ReceivedAt as usize || index == Field::Suspicious as usize;
    match named.map(FieldSource::from_text).or_else(|| spec.fields.get(NAMES[index]).cloned()) {
        None if optional => None,
        None => Some(FieldSource::Key(NAMES[index].to_owned())),
        source => source,
    }
}

fn intern(known: &mut HashMap<Box<str>, Arc<str>, ahash::RandomState>, text: &str) -> Option<Arc<str>> {
    if let Some(shared) = known.get(text) {
        return Some(shared.clone());
    }
    if known.len() >= CONDITIONS_KEPT {
        known.clear();
    }
    let shared: Arc<str> = text.into();
    known.insert(text.into(), shared.clone());
    Some(shared)
}
