//! The values of the market: prices, quantities, instruments, ticks.
//!
//! Why integers: prices and quantities are exact decimals at scale 10⁻⁸, read from their digits, so sums do not depend on
//! order and two runs agree to the last digit. Floats exist only inside indicators. What must always hold: |x| < 10¹⁰ for
//! a price or a quantity (a DECIMAL(18,8) of the lake), checked where it is decoded.

pub mod calendar;
pub mod conditions;
mod listing;

pub use listing::Listing;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Units of 10⁻⁸ in one.
pub const SCALE: i64 = 100_000_000;
/// The least magnitude that no price or quantity may reach, in units of 10⁻⁸ (10¹⁰ in plain units).
pub const LIMIT: i64 = 1_000_000_000_000_000_000;

/// A price at scale 10⁻⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Price(pub i64);

/// A quantity at scale 10⁻⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quantity(pub i64);

impl Price {
    /// The nearest double, for indicators only.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, i128::from(self.0))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, i128::from(self.0))
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, value: i128) -> fmt::Result {
    let (whole, part) = (value.unsigned_abs() / SCALE as u128, value.unsigned_abs() % SCALE as u128);
    let sign = if value < 0 { "-" } else { "" };
    if part == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{part:08}");
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// Why digits did not become a price or a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("not a decimal number")]
    NotANumber,
    #[error("out of range: the magnitude must be below 10^10")]
    OutOfRange,
    #[error("too precise: more than eight digits after the point")]
    TooPrecise,
}

/// Reads a decimal (`-12.5`, `1e3`) from its digits into units of 10⁻⁸, exactly. Errors: see [`NumberError`].
///
/// ```
/// use crate::{decimal, NumberError};
/// assert_eq!(decimal(b"1323.4"), Ok(132_340_000_000));
/// assert_eq!(decimal(b"-0.00000001"), Ok(-1));
/// assert_eq!(decimal(b"1.5e2"), Ok(15_000_000_000));
/// assert_eq!(decimal(b"0.000000001"), Err(NumberError::TooPrecise));
/// assert_eq!(decimal(b"10000000000"), Err(NumberError::OutOfRange));
/// assert_eq!(decimal(b"1.2.3"), Err(NumberError::NotANumber));
/// ```
pub fn decimal(digits: &[u8]) -> Result<i64, NumberError> {
    if let Some(units) = decimal_short(digits) {
        return Ok(units);
    }
    let wide = decimal_wide(digits)?;
    if wide.unsigned_abs() >= LIMIT as u128 {
        return Err(NumberError::OutOfRange);
    }
    Ok(wide as i64)
}

/// Powers of ten up to the scale.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// What nearly every price and quantity is: up to eighteen digits with at most eight behind a point. Anything else is
/// `None`, for [`decimal_wide`] to judge.
#[inline]
fn decimal_short(digits: &[u8]) -> Option<i64> {
    let (negative, rest) = match digits {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if rest.is_empty() || rest.len() > 18 {
        return None;
    }
    // eighteen bytes cannot overflow, and a point's `.` is passed over below
    let (mut value, mut point) = (0u64, rest.len());
    for (at, byte) in rest.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point == rest.len() && rest.len() > 1 {
            point = at;
        } else {
            return None;
        }
    }
    let behind = rest.len().saturating_sub(point + 1);
    let units = value.checked_mul(*POWERS.get(8usize.checked_sub(behind)?)?)?;
    let units = i64::try_from(units).ok().filter(|units| *units < LIMIT)?;
    Some(if negative { -units } else { units })
}

/// As [`decimal`], for cumulative volumes and sums: |x| < 10³⁰ in units of 10⁻⁸.
pub fn decimal_wide(digits: &[u8]) -> Result<i128, NumberError> {
    let (negative, rest) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value: i128 = 0;
    let mut scale: i32 = 0; // digits after the point so far
    let (mut point, mut seen) = (false, false);
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            digit @ b'0'..=b'9' => {
                seen = true;
                if value >= 1_000_000_000_000_000_000_000_000_000_000 {
                    return Err(NumberError::OutOfRange);
                }
                value = value * 10 + i128::from(digit - b'0');
                scale += i32::from(point);
            }
            b'.' if !point => point = true,
            b'e' | b'E' if seen => break,
            _ => return Err(NumberError::NotANumber),
        }
        at += 1;
    }
    if !seen {
        return Err(NumberError::NotANumber);
    }
    let exponent: i32 = if at < rest.len() {
        std::str::from_utf8(&rest[at + 1..]).ok().and_then(|text| text.parse().ok()).ok_or(NumberError::NotANumber)?
    } else {
        0
    };
    let mut shift = 8i64 - i64::from(scale) + i64::from(exponent);
    if value == 0 {
        return Ok(0);
    }
    while shift < 0 {
        if value % 10 != 0 {
            return Err(NumberError::TooPrecise);
        }
        value /= 10;
        shift += 1;
    }
    while shift > 0 {
        value = value.checked_mul(10).ok_or(NumberError::OutOfRange)?;
        if value >= 100_000_000_000_000_000_000_000_000_000_000_000_000 {
            return Err(NumberError::OutOfRange);
        }
        shift -= 1;
    }
    Ok(if negative { -value } else { value })
}

/// What names an instrument: the venue segment and its token are the key, the symbol is what people call it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstrumentName {
    pub venue: Box<str>,
    pub instrument: Box<str>,
    pub symbol: Option<Arc<str>>,
}

/// An instrument: the routing key of the whole dataflow. Equal iff venue and token are equal; cheap to clone.
///
/// Why the symbol is beside it: records of one instrument may tell different symbols, or none, and two that are equal may
/// stand for each other anywhere. So a symbol that is published is never that of a key but one of its row: a bar, and what is
/// said of it, has the greatest symbol that a record of the bar tells, a tick its own. A row about one trade, or about an
/// instrument's day, has the symbol that was told first of it, as its key keeps it: there two readers that tell different
/// symbols may be first in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instrument(Arc<InstrumentName>);

impl Instrument {
    pub fn new(venue: &str, instrument: &str, symbol: Option<&str>) -> Instrument {
        Instrument(Arc::new(InstrumentName {
            venue: venue.into(),
            instrument: instrument.into(),
            symbol: symbol.map(Into::into),
        }))
    }

    /// The same without a symbol: what keys of durable values are made of.
    pub fn unnamed(&self) -> Instrument {
        match self.0.symbol {
            Some(_) => Instrument::new(self.venue(), self.instrument(), None),
            None => self.clone(),
        }
    }

    pub fn venue(&self) -> &str {
        &self.0.venue
    }

    pub fn instrument(&self) -> &str {
        &self.0.instrument
    }

    pub fn symbol(&self) -> Option<&str> {
        self.0.symbol.as_deref()
    }

    /// The symbol to keep.
    #[inline]
    pub fn symbol_shared(&self) -> Option<&Arc<str>> {
        self.0.symbol.as_ref()
    }

    /// Where the instrument's records go: the same number in every process and every build (FNV-1a over the key).
    ///
    /// Why not to the worker that reads them: an owner has to be known from the instrument alone, on every worker and for state
    /// that is restored, and with fewer partitions than workers some would own nothing. What would be saved, measured over
    /// 2 million trades with all records read by their owner against none: 1.70 against 1.72 µs of CPU a tick with two
    /// workers, 1.74 against 1.84 in two processes, since a step's sums cross and no records. Where records do (corrections,
    /// `dedupe = "instrument"`) 2.7 against 2.7, and in two processes 3.2 against 5.7, half of which this hash pays.
    pub fn route(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in self.0.venue.bytes().chain(std::iter::once(0)).chain(self.0.instrument.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^ (hash >> 32)
    }
}

impl PartialEq for Instrument {
    fn eq(&self, other: &Instrument) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.instrument == other.0.instrument && self.0.venue == other.0.venue)
    }
}

impl Eq for Instrument {}

impl PartialOrd for Instrument {
    fn partial_cmp(&self, other: &Instrument) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instrument {
    fn cmp(&self, other: &Instrument) -> std::cmp::Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return std::cmp::Ordering::Equal;
        }
        (&self.0.venue, &self.0.instrument).cmp(&(&other.0.venue, &other.0.instrument))
    }
}

impl Hash for Instrument {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.instrument.hash(state);
        self.0.venue.hash(state);
    }
}

/// An instrument's index in the table of the reader that decoded it; means nothing outside that reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstrumentId(pub u32);

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TickKind {
    Trade,
    Snapshot,
    /// Takes back the trade of the same id.
    Cancel,
    /// Replaces price and quantity of the trade of the same id.
    Correct,
    /// Says nothing that a bar is made of (a market's status, an instrument's price band): counted, and moves no time.
    Notice,
}

impl TickKind {
    pub fn name(self) -> &'static str {
        match self {
            TickKind::Trade => "trade",
            TickKind::Snapshot => "snapshot",
            TickKind::Cancel => "cancel",
            TickKind::Correct => "correct",
            TickKind::Notice => "notice",
        }
    }
}

/// One decoded record. Times are nanoseconds of UTC since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub kind: TickKind,
    /// The wire said so: sets no price.
    pub suspicious: bool,
    pub instrument: InstrumentId,
    pub offset: i64,
    /// The event time: of the trade, or of the snapshot's update; a notice without one has its receipt, or [`i64::MIN`].
    pub exchange_at: i64,
    /// Of a cancel or correction that names its trade's trading day (days since 1970) and no time: its event time is then
    /// that day's noon in UTC, which stands for the day and is never judged. Not kept with a tick that waits: it never does.
    #[serde(skip)]
    pub trading_date: Option<i32>,
    /// When the broker or the receiver took it, if known.
    pub received_at: Option<i64>,
    pub sequence: Option<u64>,
    pub price: Option<Price>,
    pub quantity: Option<Quantity>,
    pub id: Option<Arc<str>>,
    pub conditions: Option<Arc<str>>,
    pub snapshot: Option<Box<Snapshot>>,
}

impl Tick {
    /// A tick that says nothing but when.
    pub fn new(kind: TickKind, instrument: InstrumentId, offset: i64, exchange_at: i64) -> Tick {
        Tick {
            kind,
            suspicious: false,
            instrument,
            offset,
            exchange_at,
            trading_date: None,
            received_at: None,
            sequence: None,
            price: None,
            quantity: None,
            id: None,
            conditions: None,
            snapshot: None,
        }
    }
}

/// What a snapshot says beyond its last price.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// The time of the last trade, when the feed tells it.
    pub trade_at: Option<i64>,
    /// Since the start of the day, units of 10⁻⁸.
    pub cumulative_volume: Option<i128>,
    pub bid: Option<Price>,
    pub bid_quantity: Option<Quantity>,
    pub ask: Option<Price>,
    pub ask_quantity: Option<Quantity>,
    pub day_open: Option<Price>,
    pub day_high: Option<Price>,
    pub day_low: Option<Price>,
    /// Units of 10⁻⁸.
    pub open_interest: Option<i128>,
    /// The exchange takes no order below …
    pub band_low: Option<Price>,
    /// … and none above.
    pub band_high: Option<Price>,
    /// Of a notice: a row of an instrument master, of the day of its receipt.
    pub listing: Option<Arc<Listing>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_written_and_read_again_are_the_same_number(value in -LIMIT + 1..LIMIT) {
            prop_assert_eq!(decimal(Price(value).to_string().as_bytes()), Ok(value));
        }

        #[test]
        fn the_short_way_and_the_wide_way_agree(text in "[-+]?[0-9.]{0,20}(e[0-9]{1,2})?") {
            if let Some(units) = decimal_short(text.as_bytes()) {
                prop_assert_eq!(decimal_wide(text.as_bytes()), Ok(i128::from(units)));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decimal(&bytes);
        }
    }

    #[test]
    fn an_exponent_moves_the_point_and_nothing_else() {
        assert_eq!(decimal(b"12e-2"), decimal(b"0.12"));
        assert_eq!(decimal(b"0e999999999"), Ok(0));
        assert_eq!(decimal(b"1e999999999"), Err(NumberError::OutOfRange));
        assert_eq!(decimal(b"1e-999999999"), Err(NumberError::TooPrecise));
        assert_eq!(decimal(b""), Err(NumberError::NotANumber));
        assert_eq!(decimal(b"."), Err(NumberError::NotANumber));
        assert_eq!(decimal(b"1e"), Err(NumberError::NotANumber));
    }

    #[test]
    fn an_instrument_is_its_venue_and_token() {
        let (a, b) = (Instrument::new("NSE", "22", Some("ACC")), Instrument::new("NSE", "22", None));
        assert_eq!(a, b);
        assert_eq!(a.route(), b.route());
        assert_ne!(a, Instrument::new("BSE", "22", Some("ACC")));
    }
}
