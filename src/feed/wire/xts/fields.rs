//! The fields of an XTS message that are read, as they were written, whatever they were written in.

use crate::wire::problem::{Problem, shorten};
use std::fmt::Display;
use ticktide_market::{NumberError, Price, Quantity, decimal, decimal_wide};

/// A field that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Slot {
    Code,
    Segment,
    Instrument,
    ExchangeTime,
    UpdateTime,
    TradeTime,
    Price,
    Quantity,
    Volume,
    BidPrice,
    BidSize,
    AskPrice,
    AskSize,
    Open,
    High,
    Low,
    Interest,
    BarTime,
    Sequence,
    BandLow,
    BandHigh,
    ExecutionBandLow,
    ExecutionBandHigh,
}

/// By [`Slot`]: what a message calls it.
const NAMES: [&str; 23] = [
    "MessageCode",
    "ExchangeSegment",
    "ExchangeInstrumentID",
    "ExchangeTimeStamp",
    "LastUpdateTime",
    "LastTradedTime",
    "LastTradedPrice",
    "LastTradedQuantity",
    "TotalTradedQuantity",
    "BidInfo.Price",
    "BidInfo.Size",
    "AskInfo.Price",
    "AskInfo.Size",
    "Open",
    "High",
    "Low",
    "OpenInterest",
    "BarTime",
    "SequenceNumber",
    "LowPriceRange",
    "HighPriceRange",
    "LowExecBand",
    "HighExecBand",
];

impl Slot {
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// The raw values of one message: numbers and strings as they were written, quotes and all.
#[derive(Default)]
pub struct Fields<'a> {
    texts: [&'a str; NAMES.len()],
    seen: u32,
    duplicate: Option<Slot>,
    /// Prices stand in a `Touchline` of their own: a live message, no subscription's snapshot.
    pub live: bool,
}

impl<'a> Fields<'a> {
    /// Keeps a field; JSON's `null` is absence.
    #[inline(always)]
    pub fn put(&mut self, slot: Slot, raw: &'a str) {
        let bit = 1u32 << slot as u32;
        if self.seen & bit != 0 {
            self.duplicate = Some(slot);
        }
        self.seen |= bit;
        self.texts[slot as usize] = if raw == "null" { "" } else { raw };
    }

    /// A field that came twice.
    pub fn duplicate(&self) -> Option<Slot> {
        self.duplicate
    }

    /// What a field says, without its quotes; empty is absent.
    #[inline(always)]
    pub fn text(&self, slot: Slot) -> Option<&'a str> {
        let raw = self.texts[slot as usize];
        let text = match raw.as_bytes() {
            [b'"', .., b'"'] => &raw[1..raw.len() - 1],
            _ => raw,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Whether two ways of reading found the same.
    #[cfg(test)]
    pub fn says_the_same(&self, other: &Fields<'_>) -> bool {
        (self.texts, self.seen, self.duplicate, self.live) == (other.texts, other.seen, other.duplicate, other.live)
    }

    /// Puts a code that stands beside the message, if the message has none of its own.
    pub fn default_code(&mut self, code: &'a str) {
        if self.seen & (1 << Slot::Code as u32) == 0 {
            self.put(Slot::Code, code);
        }
    }

    /// A whole number from 0.
    #[inline]
    pub fn whole(&self, slot: Slot) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        let digits = text.as_bytes();
        // "+5" and "" are numbers to nobody who writes JSON
        match digits[0].is_ascii_digit().then(|| text.parse()) {
            Some(Ok(value)) => Ok(Some(value)),
            _ => Err(wrong("not_a_number", slot, text, "no integer from 0 to 2^64-1")),
        }
    }

    /// Seconds of any epoch.
    pub fn seconds(&self, slot: Slot) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(wrong("bad_time", slot, text, "no integer of seconds")),
        }
    }

    #[inline]
    pub fn price(&self, slot: Slot) -> Result<Option<Price>, Problem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        decimal(text.as_bytes()).map(|units| Some(Price(units))).map_err(|error| number(slot, text, error))
    }

    #[inline]
    pub fn quantity(&self, slot: Slot) -> Result<Option<Quantity>, Problem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match decimal(text.as_bytes()) {
            Ok(units) if units >= 0 => Ok(Some(Quantity(units))),
            Ok(_) => Err(wrong("negative_quantity", slot, text, "below 0")),
            Err(error) => Err(number(slot, text, error)),
        }
    }

    /// A sum: units of 10⁻⁸.
    #[inline]
    pub fn sum(&self, slot: Slot) -> Result<Option<i128>, Problem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match decimal(text.as_bytes()).map(i128::from).or_else(|_| decimal_wide(text.as_bytes())) {
            Ok(units) if units >= 0 => Ok(Some(units)),
            Ok(_) => Err(wrong("negative_quantity", slot, text, "below 0")),
            Err(error) => Err(number(slot, text, error)),
        }
    }
}

#[cold]
fn number(slot: Slot, text: &str, error: NumberError) -> Problem {
    let reason = match error {
        NumberError::NotANumber => "not_a_number",
        NumberError::OutOfRange => "out_of_range",
        NumberError::TooPrecise => "too_precise",
    };
    wrong(reason, slot, text, error)
}

#[cold]
pub fn wrong(reason: &'static str, slot: Slot, text: &str, why: impl Display) -> Problem {
    Problem::new(reason, format!("{} is {}: {why}", slot.name(), shorten(text)))
}

#[cold]
pub fn missing(slot: Slot) -> Problem {
    Problem::new("missing_field", format!("\"{}\" is missing", slot.name()))
}
