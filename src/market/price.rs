//! Prices and quantities: exact decimals, read from their digits and written as digits.
//!
//! Why integers at scale 10⁻⁸: sums do not depend on order, and two runs agree to the last digit. Why a short path: nearly
//! every number of a feed has few digits, and every record is read here. What must always hold: |x| < 10¹⁰ for a price or a
//! quantity (a DECIMAL(18,8) of the lake), checked where it is decoded; both paths of reading agree.

use serde::{Deserialize, Serialize};
use std::fmt;

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
    #[inline]
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
/// use ticktide_market::{NumberError, decimal};
/// assert_eq!(decimal(b"1323.4"), Ok(132_340_000_000));
/// assert_eq!(decimal(b"-0.00000001"), Ok(-1));
/// assert_eq!(decimal(b"1.5e2"), Ok(15_000_000_000));
/// assert_eq!(decimal(b"0.000000001"), Err(NumberError::TooPrecise));
/// assert_eq!(decimal(b"10000000000"), Err(NumberError::OutOfRange));
/// assert_eq!(decimal(b"1.2.3"), Err(NumberError::NotANumber));
/// ```
#[inline]
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

/// Reads what nearly every price and quantity is: up to eighteen digits with at most eight after a point. Anything else is
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
    // eighteen bytes cannot overflow, and the point is skipped below
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
}
