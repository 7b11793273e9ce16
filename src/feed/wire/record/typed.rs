//! A record's values, read as what our fields are: texts, times, prices, quantities.
//!
//! Why apart from [`Meaning`](super::Meaning): this says what a text is worth, that says which text belongs to which field. What
//! must always hold: prices, quantities and times come from their digits; a value that cannot be read names its field.

use super::fields::{Field, NAMES};
use super::values::{Kind, Values};
use crate::wire::problem::{Problem, shorten};
use crate::wire::times;
use std::fmt::Display;
use ticktide_base::rules::Rules;
use ticktide_base::time::{Nanos, noon};
use ticktide_market::{NumberError, Price, Quantity, Snapshot, TickKind, decimal, decimal_wide};

/// A price, a quantity and a snapshot, as far as a record has them.
type Amounts = (Option<Price>, Option<Quantity>, Option<Box<Snapshot>>);

/// A record's values, by our fields.
pub struct Record<'a> {
    pub values: &'a Values<'a>,
    /// Field → slot.
    pub slots: &'a [u8; NAMES.len()],
    /// The record's names, by slot.
    pub names: &'a [Box<str>],
    pub rules: Rules,
}

impl<'a> Record<'a> {
    #[inline(always)]
    pub fn get(&self, field: Field) -> (Kind, &'a str) {
        self.values.get(self.slots[field as usize])
    }

    /// A string, or a number as it was written; an empty string is as good as none.
    #[inline(always)]
    pub fn text(&self, field: Field) -> Result<Option<&'a str>, Problem> {
        match self.get(field) {
            (Kind::Absent, _) => Ok(None),
            (Kind::Text | Kind::Number, text) => Ok(if text.is_empty() { None } else { Some(text) }),
            (Kind::Other, raw) => Err(self.wrong("bad_field", field, raw, "a string or a number is needed")),
            (Kind::Unreadable, raw) => Err(self.wrong("bad_field", field, raw, "its escapes give no text")),
        }
    }

    /// What the record says it is, if it does.
    #[inline(always)]
    pub fn kind(&self) -> Result<Option<TickKind>, Problem> {
        match self.get(Field::Type) {
            (Kind::Absent, _) => Ok(None),
            (Kind::Text, "trade") => Ok(Some(TickKind::Trade)),
            (Kind::Text, "snapshot") => Ok(Some(TickKind::Snapshot)),
            (Kind::Text, "cancel") => Ok(Some(TickKind::Cancel)),
            (Kind::Text, "correct") => Ok(Some(TickKind::Correct)),
            (_, other) => {
                let detail = format!("type is {}, known are trade, snapshot, cancel, correct", shorten(other));
                Err(Problem::new("unknown_type", detail))
            }
        }
    }

    /// The price, the quantity and the snapshot that a record of a kind must have, and those that it may have.
    #[inline(always)]
    pub fn amounts(&self, kind: TickKind) -> Result<Amounts, Problem> {
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

    /// A time: an integer since 1970, or RFC 3339. A last trade at 1970 itself is what feeds say of an instrument that has not
    /// traded; it is of an earlier day than any update.
    pub fn time(&self, field: Field) -> Result<Option<Nanos>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let at = match times::integer(text.as_bytes()) {
            Some(at) => at,
            None => match text.parse::<jiff::Timestamp>() {
                Ok(at) => Nanos::try_from(at.as_nanosecond()).ok(),
                Err(_) => {
                    return Err(self.wrong(
                        "bad_time",
                        field,
                        text,
                        "neither an integer of s, ms, µs, ns nor RFC 3339",
                    ));
                }
            },
        };
        match at {
            Some(at) if times::is_possible(at, self.rules) || (at == 0 && field == Field::TradeTime) => Ok(Some(at)),
            None if self.rules == Rules::First => {
                Err(self.wrong("out_of_range", field, text, "no time between 1677 and 2262"))
            }
            _ => Err(self.wrong("bad_time", field, text, times::why_not(text))),
        }
    }

    /// A date, and its noon in UTC, which stands for it where a moment is needed.
    pub fn day(&self, field: Field) -> Result<Option<(Nanos, Option<i32>)>, Problem> {
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
    pub fn sequence(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(Field::Sequence)? else { return Ok(None) };
        match text.parse() {
            Ok(sequence) => Ok(Some(sequence)),
            Err(_) => Err(self.wrong("bad_sequence", Field::Sequence, text, "no integer from 0 to 2^64-1")),
        }
    }

    #[inline]
    pub fn price(&self, field: Field) -> Result<Option<Price>, Problem> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match decimal(text.as_bytes()) {
            Ok(units) => Ok(Some(Price(units))),
            Err(error) => Err(self.number(field, text, error)),
        }
    }

    #[inline]
    pub fn quantity(&self, field: Field) -> Result<Option<Quantity>, Problem> {
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
    pub fn suspicious(&self) -> bool {
        match self.get(Field::Suspicious) {
            (Kind::Absent, _) => false,
            (_, text) => decimal(text.as_bytes()) != Ok(0) && !matches!(text, "" | "false" | "[]" | "{}"),
        }
    }

    #[cold]
    pub fn missing(&self, field: Field) -> Problem {
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
