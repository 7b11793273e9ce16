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

mod fields;
mod typed;
mod values;

use super::RawRecord;
use super::problem::RecordProblem;
use crate::{FeedError, InstrumentTable, WireSpec};
pub use fields::{FIELDS, Field, FieldDoc, Has, NAMES};
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
    /// The record's names that are read, each once; a name's index is its slot.
    names: Vec<Box<str>>,
    /// Field → slot.
    slots: [u8; NAMES.len()],
    conditions: HashMap<Box<str>, Arc<str>, ahash::RandomState>,
    /// What a record without a type is.
    untyped: TickKind,
    rules: Rules,
}

impl Meaning {
    /// Reads the mapping of a dataflow; errors: an unknown key of `fields`.
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
            slots: [NO_SLOT; NAMES.len()],
            conditions: HashMap::default(),
            untyped: match spec.cumulative && spec.rules > Rules::First {
                true => TickKind::Snapshot,
                false => TickKind::Trade,
            },
            rules: spec.rules,
        };
        for (index, name) in NAMES.iter().enumerate() {
            let named = match index {
                _ if index == Field::Conditions as usize => spec.conditions.as_ref(),
                _ if index == Field::Suspicious as usize => spec.suspicious.as_ref(),
                _ => None,
            };
            // read only if the dataflow names them: many feeds use these words for something else
            let optional = index == Field::ReceivedAt as usize || index == Field::Suspicious as usize;
            let theirs = match named.or_else(|| spec.fields.get(*name)) {
                Some(theirs) => theirs.as_str(),
                None if optional => continue,
                None => name,
            };
            let slot = meaning.slot(theirs).unwrap_or_else(|| {
                meaning.names.push(theirs.into());
                meaning.names.len() - 1
            });
            meaning.slots[index] = slot as u8; // at most one name a field
        }
        Ok(meaning)
    }

    /// The record's names that are read, in the order of their slots.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The slot of one of the record's names, if it is read.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|have| **have == *name)
    }

    /// The record's name for a field; empty if it is not read.
    pub fn name(&self, field: Field) -> &str {
        self.names.get(usize::from(self.slots[field as usize])).map_or("", |name| name)
    }

    /// The tick of a record's values. Inlined into each format: every record takes this path.
    #[inline(always)]
    pub fn tick(
        &mut self,
        values: &Values<'_>,
        raw: &RawRecord<'_>,
        instruments: &mut InstrumentTable,
    ) -> Result<Tick, RecordProblem> {
        if let Some(slot) = values.duplicate {
            let name = &self.names[usize::from(slot)];
            return Err(RecordProblem::new("duplicate_field", format!("\"{name}\" appears twice")));
        }
        let record = Record { values, slots: &self.slots, names: &self.names, rules: self.rules };
        let kind = record.kind()?.unwrap_or(self.untyped);
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
            (ValueKind::Other, raw) if raw.starts_with(['[', '{']) => intern(&mut self.conditions, raw),
            _ => record.text(Field::Conditions)?.and_then(|text| intern(&mut self.conditions, text)),
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
