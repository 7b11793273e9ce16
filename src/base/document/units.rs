//! Durations and sizes as people write them: a whole number and a unit.
//!
//! Why no fractions and no sums: one duration has one text. What must hold: what [`duration_text`] writes, [`duration`] reads.

use crate::time::{DAY, HOUR, MICRO, MILLI, MINUTE, Nanos, SECOND};

/// Units of durations, greatest first.
const UNITS: [(&str, Nanos); 7] =
    [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLI), ("us", MICRO), ("ns", 1)];

/// Reads "200ms", "5s", "7d"; an error says what the text is not.
///
/// ```
/// use ticktide_base::document::duration;
/// assert_eq!(duration("200ms"), Ok(200_000_000));
/// assert!(duration("5").is_err());
/// ```
pub fn duration(text: &str) -> Result<Nanos, String> {
    let (number, unit) = split_number(text).ok_or("which is not a duration")?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or("which is not a duration")?;
    let nanos = number.checked_mul(unit.1).filter(|nanos| *nanos <= 36_500 * DAY);
    nanos.ok_or_else(|| "which is more than a hundred years".to_owned())
}

/// A duration in the greatest unit that divides it: the inverse of [`duration`].
pub fn duration_text(nanos: Nanos) -> String {
    let whole = UNITS.iter().find(|(_, unit)| nanos != 0 && nanos % unit == 0);
    whole.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", nanos / unit))
}

/// Reads "64MiB", "1GB", "4096".
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text).ok_or("which is not a size")?;
    let factor: i64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("which is not a size".to_owned()),
    };
    let size = number.checked_mul(factor).filter(|size| *size > 0);
    size.map(i64::unsigned_abs).ok_or_else(|| "which is zero or too large".to_owned())
}

/// Leading digits and what follows them.
fn split_number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}
