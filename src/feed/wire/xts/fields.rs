//! The fields of an XTS message that are read, as they were written, in either format.

use crate::wire::problem::{RecordProblem, shorten};
use std::fmt::Display;
use ticktide_market::{NumberError, Price, Quantity, decimal, decimal_wide};

/// A field that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MessageField {
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

/// The names in a message, by [`MessageField`].
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

impl MessageField {
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// The raw values of one message: numbers and strings as they were written, with their quotes.
#[derive(Default)]
pub struct Fields<'a> {
    texts: [&'a str; NAMES.len()],
    seen: u32,
    duplicate: Option<MessageField>,
    /// The prices are in a `Touchline` object: a live message, not the snapshot of a subscription.
    pub live: bool,
}

impl<'a> Fields<'a> {
    /// Keeps a field; JSON's `null` is absence.
    #[inline(always)]
    pub fn put(&mut self, slot: MessageField, raw: &'a str) {
        let bit = 1u32 << slot as u32;
        if self.seen & bit != 0 {
            self.duplicate = Some(slot);
        }
        self.seen |= bit;
        self.texts[slot as usize] = if raw == "null" { "" } else { raw };
    }

    /// A field that appeared twice.
    pub fn duplicate(&self) -> Option<MessageField> {
        self.duplicate
    }

    /// The text of a field without its quotes; an empty text is absent.
    #[inline(always)]
    pub fn text(&self, slot: MessageField) -> Option<&'a str> {
        let raw = self.texts[slot as usize];
        let text = match raw.as_bytes() {
            [b'"', .., b'"'] => &raw[1..raw.len() - 1],
            _ => raw,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Whether two ways of reading found the same fields.
    #[cfg(test)]
    pub fn says_the_same(&self, other: &Fields<'_>) -> bool {
        (self.texts, self.seen, self.duplicate, self.live) == (other.texts, other.seen, other.duplicate, other.live)
    }

    /// Sets a code from outside the message, if the message has none of its own.
    pub fn default_code(&mut self, code: &'a str) {
        if self.seen & (1 << MessageField::Code as u32) == 0 {
            self.put(MessageField::Code, code);
        }
    }

    /// A whole number from 0.
    #[inline]
    pub fn whole(&self, slot: MessageField) -> Result<Option<u64>, RecordProblem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        let digits = text.as_bytes();
        // "+5" and "" are not numbers in JSON
        match digits[0].is_ascii_digit().then(|| text.parse()) {
            Some(Ok(value)) => Ok(Some(value)),
            _ => Err(wrong("not_a_number", slot, text, "no integer from 0 to 2^64-1")),
        }
    }

    /// Seconds of any epoch.
    pub fn seconds(&self, slot: MessageField) -> Result<Option<i64>, RecordProblem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(wrong("bad_time", slot, text, "no integer of seconds")),
        }
    }

    #[inline]
    pub fn price(&self, slot: MessageField) -> Result<Option<Price>, RecordProblem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        decimal(text.as_bytes()).map(|units| Some(Price(units))).map_err(|error| number(slot, text, error))
    }

    #[inline]
    pub fn quantity(&self, slot: MessageField) -> Result<Option<Quantity>, RecordProblem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match decimal(text.as_bytes()) {
            Ok(units) if units >= 0 => Ok(Some(Quantity(units))),
            Ok(_) => Err(wrong("negative_quantity", slot, text, "below 0")),
            Err(error) => Err(number(slot, text, error)),
        }
    }

    /// A sum: units of 10⁻⁸.
    #[inline]
    pub fn sum(&self, slot: MessageField) -> Result<Option<i128>, RecordProblem> {
        let Some(text) = self.text(slot) else { return Ok(None) };
        match decimal(text.as_bytes()).map(i128::from).or_else(|_| decimal_wide(text.as_bytes())) {
            Ok(units) if units >= 0 => Ok(Some(units)),
            Ok(_) => Err(wrong("negative_quantity", slot, text, "below 0")),
            Err(error) => Err(number(slot, text, error)),
        }
    }
}

#[cold]
fn number(slot: MessageField, text: &str, error: NumberError) -> RecordProblem {
    let reason = match error {
        NumberError::NotANumber => "not_a_number",
        NumberError::OutOfRange => "out_of_range",
        NumberError::TooPrecise => "too_precise",
    };
    wrong(reason, slot, text, error)
}

#[cold]
pub fn wrong(reason: &'static str, slot: MessageField, text: &str, why: impl Display) -> RecordProblem {
    RecordProblem::new(reason, format!("{} is {}: {why}", slot.name(), shorten(text)))
}

#[cold]
pub fn missing(slot: MessageField) -> RecordProblem {
    RecordProblem::new("missing_field", format!("\"{}\" is missing", slot.name()))
}
