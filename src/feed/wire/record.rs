//! What a record means, whatever it was written in: its fields by name → a [`Tick`] or a [`Problem`].
//!
//! ```text
//!   bytes ──json, csv …──▶ Values (raw texts by slot) ──Meaning::tick──▶ Tick | Problem
//! ```
//!
//! Why apart from the formats: a time, a price or a missing field is the same thing in each of them, and a dataflow that
//! changes its `wire` must not change its ticks. A format only finds the raw texts of the fields that [`Meaning`] asks for.
//! Why slots: two of our fields may be filled by one of the record's, and a format looks each of those up once.
//!
//! What must always hold: prices, quantities and times come from their digits; the instrument table learns an instrument only
//! from a record that became a tick; in the path of a good trade nothing is allocated.

use super::RawRecord;
use crate::{FeedError, InstrumentTable, Reject, WireSpec, nearest};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use ticktide_base::time::{MICRO, MILLI, Nanos, SECOND, noon};
use ticktide_market::{NumberError, Price, Quantity, Snapshot, Tick, TickKind, decimal, decimal_wide};

/// The slot of a field that nothing fills.
pub const NO_SLOT: u8 = u8::MAX;
/// More slots than fields: at most one of the record's names a field.
pub const SLOTS: usize = 24;

/// Our fields, in the order of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Type,
    Venue,
    Symbol,
    Instrument,
    Time,
    Sequence,
    Id,
    Price,
    Quantity,
    Conditions,
    ReceivedAt,
    CumulativeVolume,
    Bid,
    BidQuantity,
    Ask,
    AskQuantity,
    DayOpen,
    DayHigh,
    DayLow,
    OpenInterest,
    TradeTime,
    Suspicious,
    TradingDate,
}

/// The names of our fields: the keys of `fields`, and of a record without a mapping.
pub const NAMES: [&str; 23] = [
    "type",
    "venue",
    "symbol",
    "instrument",
    "time",
    "sequence",
    "id",
    "price",
    "quantity",
    "conditions",
    "received_at",
    "cumulative_volume",
    "bid",
    "bid_quantity",
    "ask",
    "ask_quantity",
    "day_open",
    "day_high",
    "day_low",
    "open_interest",
    "trade_time",
    "suspicious",
    "trading_date",
];

/// Interned condition texts beyond this many are dropped and learnt anew: the feed has no fixed set of them.
const CONDITIONS_KEPT: usize = 4096;

/// What a dataflow's records mean: which of their names fills which of our fields.
pub struct Meaning {
    /// The record's names that are read, each once; a name's index is its slot.
    names: Vec<Box<str>>,
    /// Field → slot.
    slots: [u8; NAMES.len()],
    conditions: HashMap<Box<str>, Arc<str>, ahash::RandomState>,
}

impl Meaning {
    /// Reads the mapping of a dataflow; errors: a key of `fields` that is no field of ours.
    pub fn new(spec: &WireSpec, format: &str) -> Result<Meaning, FeedError> {
        for name in spec.fields.keys() {
            if !NAMES.contains(&name.as_str()) {
                let hint = match nearest(name, &NAMES) {
                    Some(near) => format!("did you mean `{near}`? `fields` maps our name to the record's"),
                    None => format!("`fields` maps our name to the record's; ours are: {}", NAMES.join(", ")),
                };
                return Err(FeedError::Fix(format!("wire {format} has no field \"{name}\""), hint));
            }
        }
        let mut meaning = Meaning { names: Vec::new(), slots: [NO_SLOT; NAMES.len()], conditions: HashMap::default() };
        for (index, name) in NAMES.iter().enumerate() {
            let named = match index {
                _ if index == Field::Conditions as usize => spec.conditions.as_ref(),
                _ if index == Field::Suspicious as usize => spec.suspicious.as_ref(),
                _ => None,
            };
            // read only where the dataflow names them: many feeds use these words for something else
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

    /// The record's name of a field; empty if it is not read.
    pub fn name(&self, field: Field) -> &str {
        self.names.get(usize::from(self.slots[field as usize])).map_or("", |name| name)
    }

    /// The tick that a record's values say. Inlined into each format: the path of every record.
    #[inline(always)]
    pub fn tick(
        &mut self,
        values: &Values<'_>,
        raw: &RawRecord<'_>,
        instruments: &mut InstrumentTable,
    ) -> Result<Tick, Problem> {
        if let Some(slot) = values.duplicate {
            let name = &self.names[usize::from(slot)];
            return Err(Problem::new("duplicate_field", format!("\"{name}\" appears twice")));
        }
        let record = Record { values, slots: &self.slots, names: &self.names };

        let kind = match record.get(Field::Type) {
            (Kind::Absent, _) | (Kind::Text, "trade") => TickKind::Trade,
            (Kind::Text, "snapshot") => TickKind::Snapshot,
            (Kind::Text, "cancel") => TickKind::Cancel,
            (Kind::Text, "correct") => TickKind::Correct,
            (_, other) => {
                let detail = format!("type is {}, known are trade, snapshot, cancel, correct", shorten(other));
                return Err(Problem::new("unknown_type", detail));
            }
        };
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
        let (mut price, mut quantity, mut snapshot) = (None, None, None);
        match kind {
            TickKind::Trade | TickKind::Correct => {
                price = Some(record.price(Field::Price)?.ok_or_else(|| record.missing(Field::Price))?);
                quantity = Some(record.quantity(Field::Quantity)?.ok_or_else(|| record.missing(Field::Quantity))?);
            }
            TickKind::Snapshot => {
                price = Some(record.price(Field::Price)?.ok_or_else(|| record.missing(Field::Price))?);
                quantity = record.quantity(Field::Quantity)?;
                snapshot = Some(Box::new(record.snapshot()?));
            }
            TickKind::Cancel | TickKind::Notice => {}
        }
        let id = record.text(Field::Id)?;
        if correction && id.is_none() {
            return Err(record.missing(Field::Id));
        }
        let conditions = match record.get(Field::Conditions) {
            (Kind::Absent, _) => None,
            // a feed's list of codes, kept as it came
            (Kind::Other, raw) if raw.starts_with(['[', '{']) => intern(&mut self.conditions, raw),
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
            sequence,
            price,
            quantity,
            id: id.map(Arc::from),
            conditions,
            snapshot,
        })
    }
}

/// What is wrong with a record.
#[derive(Debug)]
pub struct Problem {
    pub reason: &'static str,
    pub detail: String,
}

impl Problem {
    #[cold]
    pub fn new(reason: &'static str, detail: impl Display) -> Problem {
        Problem { reason, detail: detail.to_string() }
    }

    /// The record as it came, with what is wrong with it.
    #[cold]
    pub fn reject(self, record: &RawRecord<'_>) -> Reject {
        let (offset, received_at, payload) = (record.offset, record.received_at(), record.payload.to_vec());
        Reject { offset, received_at, reason: self.reason, detail: self.detail, payload }
    }
}

/// The beginning of a text, for a message.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
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

/// What a value is; a format without types, like CSV, has texts only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not there, or null.
    #[default]
    Absent,
    /// A string: its text without quotes, escapes resolved.
    Text,
    /// A number as it was written.
    Number,
    /// `true`, `false`, an array or an object as it was written.
    Other,
    /// A string as it was written, whose escapes give no text (half a surrogate pair) or a NUL, which separates the parts of
    /// an instrument's key.
    Unreadable,
}

/// The values of one record, by slot.
pub struct Values<'a> {
    pub(super) texts: [&'a str; SLOTS],
    pub(super) kinds: [Kind; SLOTS],
    pub(super) seen: u32,
    /// A slot whose key came twice.
    pub duplicate: Option<u8>,
}

impl Default for Values<'_> {
    #[inline]
    fn default() -> Self {
        Values { texts: [""; SLOTS], kinds: [Kind::Absent; SLOTS], seen: 0, duplicate: None }
    }
}

impl<'a> Values<'a> {
    #[inline(always)]
    pub fn get(&self, slot: u8) -> (Kind, &'a str) {
        match self.kinds.get(usize::from(slot)) {
            Some(kind) => (*kind, self.texts[usize::from(slot)]),
            None => (Kind::Absent, ""), // a field that no key fills
        }
    }

    #[inline(always)]
    pub fn put(&mut self, slot: u8, kind: Kind, text: &'a str) {
        let bit = 1u32.wrapping_shl(u32::from(slot));
        if self.seen & bit != 0 {
            self.duplicate = Some(slot);
        }
        self.seen |= bit;
        self.kinds[usize::from(slot)] = kind;
        self.texts[usize::from(slot)] = text;
    }
}

/// A record's values, by our fields.
struct Record<'a> {
    values: &'a Values<'a>,
    slots: &'a [u8; NAMES.len()],
    names: &'a [Box<str>],
}

impl<'a> Record<'a> {
    #[inline(always)]
    fn get(&self, field: Field) -> (Kind, &'a str) {
        self.values.get(self.slots[field as usize])
    }

    /// A string, or a number as it was written; an empty string is as good as none.
    #[inline(always)]
    fn text(&self, field: Field) -> Result<Option<&'a str>, Problem> {
        match self.get(field) {
            (Kind::Absent, _) => Ok(None),
            (Kind::Text | Kind::Number, text) => Ok(if text.is_empty() { None } else { Some(text) }),
            (Kind::Other, raw) => Err(self.wrong("bad_field", field, raw, "a string or a number is needed")),
            (Kind::Unreadable, raw) => Err(self.wrong("bad_field", field, raw, "its escapes give no text")),
        }
    }

    fn time(&self, field: Field) -> Result<Option<Nanos>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match integer_time(text.as_bytes()) {
            Some(Ok(at)) => Ok(Some(at)),
            Some(Err(())) => Err(self.wrong("out_of_range", field, text, "no time between 1677 and 2262")),
            None => match text.parse::<jiff::Timestamp>() {
                Ok(at) => match Nanos::try_from(at.as_nanosecond()) {
                    Ok(at) => Ok(Some(at)),
                    Err(_) => Err(self.wrong("out_of_range", field, text, "no time between 1677 and 2262")),
                },
                Err(_) => Err(self.wrong("bad_time", field, text, "neither an integer of s, ms, µs, ns nor RFC 3339")),
            },
        }
    }

    /// A date, and its noon in UTC, which stands for it where a moment is needed.
    fn day(&self, field: Field) -> Result<Option<(Nanos, Option<i32>)>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let date: jiff::civil::Date =
            text.parse().map_err(|_| self.wrong("bad_time", field, text, "no date (YYYY-MM-DD)"))?;
        let day = ticktide_market::calendar::day_of(date);
        match noon(day) {
            Some(at) => Ok(Some((at, Some(day)))),
            None => Err(self.wrong("out_of_range", field, text, "no date between 1677 and 2262")),
        }
    }

    #[inline]
    fn sequence(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(Field::Sequence)? else { return Ok(None) };
        match text.parse() {
            Ok(sequence) => Ok(Some(sequence)),
            Err(_) => Err(self.wrong("bad_sequence", Field::Sequence, text, "no integer from 0 to 2^64-1")),
        }
    }

    #[inline]
    fn price(&self, field: Field) -> Result<Option<Price>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match decimal(text.as_bytes()) {
            Ok(units) => Ok(Some(Price(units))),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    #[inline]
    fn quantity(&self, field: Field) -> Result<Option<Quantity>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match decimal(text.as_bytes()) {
            Ok(units) if units >= 0 => Ok(Some(Quantity(units))),
            Ok(_) => Err(self.wrong("negative_quantity", field, text, "below 0")),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    fn volume(&self, field: Field) -> Result<Option<i128>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match decimal_wide(text.as_bytes()) {
            Ok(units) if units >= 0 => Ok(Some(units)),
            Ok(_) => Err(self.wrong("negative_quantity", field, text, "below 0")),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    fn snapshot(&self) -> Result<Snapshot, Problem> {
        Ok(Snapshot {
            trade_at: self.time(Field::TradeTime)?,
            cumulative_volume: self.volume(Field::CumulativeVolume)?,
            bid: self.price(Field::Bid)?,
            bid_quantity: self.quantity(Field::BidQuantity)?,
            ask: self.price(Field::Ask)?,
            ask_quantity: self.quantity(Field::AskQuantity)?,
            day_open: self.price(Field::DayOpen)?,
            day_high: self.price(Field::DayHigh)?,
            day_low: self.price(Field::DayLow)?,
            open_interest: self.volume(Field::OpenInterest)?,
            ..Snapshot::default()
        })
    }

    /// Anything but 0, false or empty.
    #[inline]
    fn suspicious(&self) -> bool {
        match self.get(Field::Suspicious) {
            (Kind::Absent, _) => false,
            (_, text) => decimal(text.as_bytes()) != Ok(0) && !matches!(text, "" | "false" | "[]" | "{}"),
        }
    }

    #[cold]
    fn missing(&self, field: Field) -> Problem {
        let (name, key) = (NAMES[field as usize], &*self.names[usize::from(self.slots[field as usize])]);
        if name == key {
            return Problem::new("missing_field", format!("\"{key}\" is missing"));
        }
        Problem::new("missing_field", format!("\"{key}\" ({name}) is missing"))
    }

    #[cold]
    fn number(&self, field: Field, text: &str, error: NumberError) -> Problem {
        let reason = match error {
            NumberError::NotANumber => "not_a_number",
            NumberError::OutOfRange => "out_of_range",
            NumberError::TooPrecise => "too_precise",
        };
        self.wrong(reason, field, text, error)
    }

    #[cold]
    fn wrong(&self, reason: &'static str, field: Field, text: &str, why: impl Display) -> Problem {
        Problem::new(reason, format!("{} is {}: {why}", NAMES[field as usize], shorten(text)))
    }
}

/// An integer of s, ms, µs or ns since 1970, told by its size: `None` if it is no integer, `Some(Err)` if it is out of range.
#[inline]
fn integer_time(text: &[u8]) -> Option<Result<Nanos, ()>> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // beyond nineteen digits the value is not used
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    match digits.len() {
        0 => return None,
        1..=19 => {}
        _ => return Some(Err(())),
    }
    // each bound is March 1973 in the finer unit and far in the future in the coarser one
    let unit = match value {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => MILLI,
        100_000_000_000_000..100_000_000_000_000_000 => MICRO,
        _ => 1,
    };
    let at = i64::try_from(value).ok().and_then(|value| value.checked_mul(unit));
    Some(at.map(|at| if negative { -at } else { at }).ok_or(()))
}
