//! A record's values, read by the types of ticktide's fields: texts, times, prices, quantities.
//!
//! Why apart from [`Meaning`](super::Meaning): this file reads the value of a text, that one assigns texts to fields. What must
//! always hold: prices, quantities and times come from their digits; a value that cannot be read is reported with its field.

use super::fields::{Field, NAMES};
use super::kinds::Kinds;
use super::reading::ValueParser;
use super::values::{ValueKind, Values};
use crate::RecordType;
use crate::wire::problem::{RecordProblem, shorten};
use crate::wire::times;
use std::fmt::Display;
use ticktide_base::rules::Rules;
use ticktide_base::time::{Nanos, noon};
use ticktide_market::{NumberError, Price, Quantity, Snapshot, TickKind, decimal};

/// A price, a quantity and a snapshot, each if the record has it.
type Amounts = (Option<Price>, Option<Quantity>, Option<Box<Snapshot>>);

/// A record's values, by ticktide's fields.
pub struct Record<'a> {
    pub values: &'a Values<'a>,
    /// Field → slot.
    pub slots: &'a [u8; NAMES.len()],
    /// The record's names, by slot.
    pub names: &'a [Box<str>],
    pub reading: &'a ValueParser,
    /// The feed's own words for its kinds, if the dataflow maps them.
    pub kinds: Option<&'a Kinds>,
}

impl<'a> Record<'a> {
    #[inline(always)]
    pub fn get(&self, field: Field) -> (ValueKind, &'a str) {
        self.values.get(self.slots[field as usize])
    }

    /// A string, or a number as it was written; an empty string counts as absent.
    #[inline(always)]
    pub fn text(&self, field: Field) -> Result<Option<&'a str>, RecordProblem> {
        match self.get(field) {
            (ValueKind::Absent, _) => Ok(None),
            (ValueKind::Text | ValueKind::Number, text) => Ok(if text.is_empty() { None } else { Some(text) }),
            (ValueKind::Other, raw) => Err(self.wrong("bad_field", field, raw, "a string or a number is needed")),
            (ValueKind::Unreadable, raw) => Err(self.wrong("bad_field", field, raw, "its escapes give no text")),
        }
    }

    /// The record's own type; `None`: it has none. Errors: an unknown word, or a record that the dataflow ignores.
    #[inline(always)]
    pub fn kind(&self) -> Result<Option<TickKind>, RecordProblem> {
        if let Some(kinds) = self.kinds {
            return self.mapped_kind(kinds);
        }
        match self.get(Field::Type) {
            (ValueKind::Absent, _) => Ok(None),
            (ValueKind::Text, "trade") => Ok(Some(TickKind::Trade)),
            (ValueKind::Text, "snapshot") => Ok(Some(TickKind::Snapshot)),
            (ValueKind::Text, "cancel") => Ok(Some(TickKind::Cancel)),
            (ValueKind::Text, "correct") => Ok(Some(TickKind::Correct)),
            (_, other) => {
                let detail = format!("type is {}, known are trade, snapshot, cancel, correct", shorten(other));
                Err(RecordProblem::new("unknown_type", detail))
            }
        }
    }

    fn mapped_kind(&self, kinds: &Kinds) -> Result<Option<TickKind>, RecordProblem> {
        let (kind, word) = match self.get(Field::Type) {
            (ValueKind::Absent, _) | (_, "") => (kinds.absent, ""),
            (ValueKind::Unreadable, raw) => {
                return Err(self.wrong("bad_field", Field::Type, raw, "its escapes give no text"));
            }
            (_, word) => match kinds.of(word) {
                Some(kind) => (Some(kind), word),
                None => {
                    let detail = format!("type is {}, which `source.types` does not map", shorten(word));
                    return Err(RecordProblem::new("unknown_type", detail));
                }
            },
        };
        match kind {
            None => Ok(None),
            Some(RecordType::Tick(kind)) => Ok(Some(kind)),
            Some(RecordType::Ignored) => Err(RecordProblem::ignored(word)),
        }
    }

    /// The price, the quantity and the snapshot that a record of a kind must or may have.
    #[inline(always)]
    pub fn amounts(&self, kind: TickKind) -> Result<Amounts, RecordProblem> {
        let (mut price, mut quantity, mut snapshot) = (None, None, None);
        match kind {
            TickKind::Trade | TickKind::Correct => {
                price = Some(self.price(Field::Price)?.ok_or_else(|| self.missing(Field::Price))?);
                quantity = Some(self.quantity(Field::Quantity)?.ok_or_else(|| self.missing(Field::Quantity))?);
            }
            TickKind::Snapshot => {
                price = Some(self.price(Field::Price)?.ok_or_else(|| self.missing(Field::Price))?);
                quantity = self.quantity(Field::Quantity)?;
                snapshot = Some(Box::new(self.snapshot()?));
            }
            TickKind::Cancel | TickKind::Notice => {}
        }
        Ok((price, quantity, snapshot))
    }

    /// A time: an integer since 1970, or RFC 3339. Feeds give 1970 itself as the last trade of an instrument that has not
    /// traded; it is accepted, because it is of an earlier day than any update.
    pub fn time(&self, field: Field) -> Result<Option<Nanos>, RecordProblem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let rules = self.reading.rules();
        match self.reading.time(text) {
            Err((reason, why)) => Err(self.wrong(reason, field, text, why)),
            Ok(Some(at)) if times::is_possible(at, rules) || (at == 0 && field == Field::TradeTime) => Ok(Some(at)),
            Ok(None) if rules == Rules::First => {
                Err(self.wrong("out_of_range", field, text, "no time between 1677 and 2262"))
            }
            Ok(_) => Err(self.wrong("bad_time", field, text, times::why_not(text))),
        }
    }

    /// A date, and its noon in UTC, which is used where a moment is needed.
    pub fn day(&self, field: Field) -> Result<Option<(Nanos, Option<i32>)>, RecordProblem> {
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
    pub fn sequence(&self) -> Result<Option<u64>, RecordProblem> {
        let Some(text) = self.text(Field::Sequence)? else { return Ok(None) };
        match text.parse() {
            Ok(sequence) => Ok(Some(sequence)),
            Err(_) => Err(self.wrong("bad_sequence", Field::Sequence, text, "no integer from 0 to 2^64-1")),
        }
    }

    #[inline]
    pub fn price(&self, field: Field) -> Result<Option<Price>, RecordProblem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match self.reading.number(text) {
            Ok(units) => Ok(Some(Price(units))),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    #[inline]
    pub fn quantity(&self, field: Field) -> Result<Option<Quantity>, RecordProblem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match self.reading.number(text) {
            Ok(units) if units >= 0 => Ok(Some(Quantity(units))),
            Ok(_) => Err(self.wrong("negative_quantity", field, text, "below 0")),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    fn volume(&self, field: Field) -> Result<Option<i128>, RecordProblem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match self.reading.wide(text) {
            Ok(units) if units >= 0 => Ok(Some(units)),
            Ok(_) => Err(self.wrong("negative_quantity", field, text, "below 0")),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    fn snapshot(&self) -> Result<Snapshot, RecordProblem> {
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
    pub fn suspicious(&self) -> bool {
        match self.get(Field::Suspicious) {
            (ValueKind::Absent, _) => false,
            (_, text) => decimal(text.as_bytes()) != Ok(0) && !matches!(text, "" | "false" | "[]" | "{}"),
        }
    }

    #[cold]
    pub fn missing(&self, field: Field) -> RecordProblem {
        let (name, key) = (NAMES[field as usize], &*self.names[usize::from(self.slots[field as usize])]);
        if name == key {
            return RecordProblem::new("missing_field", format!("\"{key}\" is missing"));
        }
        RecordProblem::new("missing_field", format!("\"{key}\" ({name}) is missing"))
    }

    #[cold]
    fn number(&self, field: Field, text: &str, error: NumberError) -> RecordProblem {
        let reason = match error {
            NumberError::NotANumber => "not_a_number",
            NumberError::OutOfRange => "out_of_range",
            NumberError::TooPrecise => "too_precise",
        };
        self.wrong(reason, field, text, error)
    }

    #[cold]
    fn wrong(&self, reason: &'static str, field: Field, text: &str, why: impl Display) -> RecordProblem {
        RecordProblem::new(reason, format!("{} is {}: {why}", NAMES[field as usize], shorten(text)))
    }
}
