//! Which times a record can have, and what a number looks like that is not such a time.
//!
//! Why bounds: any integer is some second since 1970, so a date (20160704) or a time of day (93000) would silently become a bar
//! of 1970. What must always hold: a time from 1990 to 2100 is read unchanged; every other time is refused with what it looks
//! like.

use super::problem::RecordProblem;
use ticktide_base::rules::Rules;
use ticktide_base::time::{DAY, HOUR, MICRO, MILLI, MINUTE, Nanos, SECOND};
use ticktide_market::calendar::time_text;

/// 1990-01-01: no recorded tick is older.
const FIRST: Nanos = 631_152_000 * SECOND;
/// 2100-01-01.
const LAST: Nanos = 4_102_444_800 * SECOND;
/// From 1899-12-30, where the day numbers of spreadsheets begin, to 1970.
const SPREADSHEET: i128 = 25_569 * DAY as i128;
/// From 1601, where Windows begins to count, to 1970.
const WINDOWS: i128 = 11_644_473_600 * SECOND as i128;

/// Whether a record may have this time. The first rules accept any time.
#[inline(always)]
pub fn is_possible(at: Nanos, rules: Rules) -> bool {
    (FIRST..=LAST).contains(&at) || rules == Rules::First
}

/// An integer of s, ms, µs or ns since 1970, its unit judged by its size: `None` if it is not an integer, `Some(None)` if it is
/// out of range.
#[inline]
pub fn integer(text: &[u8]) -> Option<Option<Nanos>> {
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
        _ => return Some(None),
    }
    // each bound is March 1973 in the finer unit and far in the future in the coarser one
    let unit = match value {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => MILLI,
        100_000_000_000_000..100_000_000_000_000_000 => MICRO,
        _ => 1,
    };
    let at = i64::try_from(value).ok().and_then(|value| value.checked_mul(unit));
    Some(at.map(|at| if negative { -at } else { at }))
}

/// A decimal number of s, ms or µs since 1970, the unit recognised by the size of its whole part: `1571869971.9908`. Digits beyond
/// nanoseconds do not count. `None`: it is not such a number.
pub fn decimal(text: &[u8]) -> Option<Nanos> {
    let point = text.iter().position(|byte| *byte == b'.')?;
    let (whole, digits) = (&text[..point], &text[point + 1..]);
    if whole.is_empty() || digits.is_empty() || whole[0] == b'-' {
        return None;
    }
    let at = integer(whole)??;
    let unit = match whole.len() {
        ..=11 => SECOND,
        12..=14 => MILLI,
        15..=17 => MICRO,
        _ => return None,
    };
    at.checked_add(fraction(digits, unit)?)
}

/// The digits after the point of a number of `unit`.
fn fraction(digits: &[u8], mut unit: Nanos) -> Option<Nanos> {
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        unit /= 10;
        value += Nanos::from(digit) * unit;
    }
    Some(value)
}

/// The problem of a record with an impossible time, for formats in which the text would not show that time.
#[cold]
pub fn impossible(at: Nanos) -> RecordProblem {
    RecordProblem::new("bad_time", format!("its time is {}: no time from 1990 to 2100", time_text(at)))
}

/// Why a text is not the time of a record.
///
/// `20160704` gives "no time from 1990 to 2100; 20160704 looks like a date (YYYYMMDD)".
#[cold]
pub fn why_not(text: &str) -> String {
    let looks = text.parse::<u64>().map(|value| looks_like(text, value)).unwrap_or_default();
    match looks.is_empty() {
        true => "no time from 1990 to 2100".to_owned(),
        false => format!("no time from 1990 to 2100; {text} looks like {}", looks.join(" or ")),
    }
}

/// What an integer may be that is not a possible time since 1970, likeliest first.
fn looks_like(text: &str, value: u64) -> Vec<&'static str> {
    let (day, rest) = text.split_at(text.len().min(8));
    if is_date(day) {
        match rest.len() {
            0 => return vec!["a date (YYYYMMDD)"],
            4 if is_time_of_day(rest, "") => return vec!["a date and a time of day (YYYYMMDDHHMM)"],
            6 if is_time_of_day(&rest[..4], &rest[4..]) => return vec!["a date and a time of day (YYYYMMDDHHMMSS)"],
            9 if is_time_of_day(&rest[..4], &rest[4..6]) => {
                return vec!["a date and a time of day (YYYYMMDDHHMMSSmmm)"];
            }
            _ => {}
        }
    }
    let number = i128::from(value);
    let counted = |unit: Nanos, begins: i128| {
        let at = number * i128::from(unit) - begins;
        (i128::from(FIRST)..=i128::from(LAST)).contains(&at)
    };
    let of_a_day = |coarser: Nanos, unit: Nanos| {
        (number * i128::from(coarser) >= i128::from(DAY)) && number * i128::from(unit) < i128::from(DAY)
    };
    let found = [
        (is_clock(text, 0), "a time of day (HHMMSS)"),
        (is_clock(text, 3), "a time of day (HHMMSSmmm)"),
        (number * i128::from(SECOND) < i128::from(DAY), "seconds since midnight"),
        (of_a_day(SECOND, MILLI), "milliseconds since midnight"),
        (of_a_day(MILLI, MICRO), "microseconds since midnight"),
        (of_a_day(MICRO, 1), "nanoseconds since midnight"),
        (counted(DAY, 0), "a day number since 1970"),
        (counted(DAY, SPREADSHEET), "a spreadsheet's day number"),
        (counted(HOUR, 0), "hours since 1970"),
        (counted(MINUTE, 0), "minutes since 1970"),
        (counted(100, 0), "a time in units of 100 ns"),
        (counted(100, WINDOWS), "a Windows file time"),
    ];
    found.into_iter().filter(|(fits, _)| *fits).map(|(_, what)| what).collect()
}

fn is_date(text: &str) -> bool {
    text.len() == 8 && text.starts_with(['1', '2']) && text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether `HHMM` and `SS` are a time of day; empty seconds are accepted.
fn is_time_of_day(hours_minutes: &str, seconds: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    let at = number(hours_minutes);
    at / 100 < 24 && at % 100 < 60 && number(seconds) < 60
}

/// Whether digits are hours (one digit or two), minutes, seconds and `fraction` digits of a second.
fn is_clock(text: &str, fraction: usize) -> bool {
    let Some(at) = text.len().checked_sub(fraction).filter(|length| (5..=6).contains(length)) else { return false };
    is_time_of_day(&text[..at - 2], &text[at - 2..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_time_is_guessed_at() {
        for (text, looks) in [
            ("20160704", "20160704 looks like a date (YYYYMMDD)"),
            ("201607040930", "201607040930 looks like a date and a time of day (YYYYMMDDHHMM)"),
            ("20160704093000", "20160704093000 looks like a date and a time of day (YYYYMMDDHHMMSS)"),
            ("20160704093000123", "20160704093000123 looks like a date and a time of day (YYYYMMDDHHMMSSmmm)"),
            ("93000", "93000 looks like a time of day (HHMMSS)"),
            ("153000", "153000 looks like a time of day (HHMMSS) or milliseconds since midnight"),
            ("93000123", "93000123 looks like a time of day (HHMMSSmmm)"),
            ("34260", "34260 looks like seconds since midnight"),
            ("34200123", "milliseconds since midnight"),
            ("34200123456", "microseconds since midnight"),
            ("34200123456789", "34200123456789 looks like nanoseconds since midnight"),
            ("16986", "16986 looks like seconds since midnight or a day number since 1970"),
            ("14675000000000000", "14675000000000000 looks like a time in units of 100 ns"),
            ("131120000000000000", "131120000000000000 looks like a Windows file time"),
        ] {
            let why = why_not(text);
            assert!(why.contains(looks), "{text}: {why}");
        }
        assert!(why_not("42555").contains("a spreadsheet's day number"), "{}", why_not("42555"));
        assert!(why_not("24459840").contains("minutes since 1970"), "{}", why_not("24459840"));
        assert!(!why_not("20161304").contains("a date"), "there is no 13th month: {}", why_not("20161304"));
        for text in ["-5", "1600-01-01T00:00:00Z", "99999999999999999999999"] {
            assert_eq!(why_not(text), "no time from 1990 to 2100");
        }
    }

    #[test]
    fn times_from_1990_to_2100_are_possible_and_the_first_rules_take_any() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_nanosecond() as Nanos;
        let (first, last) = (at("1990-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z"));
        for (at, possible) in [(first, true), (first - 1, false), (last, true), (last + 1, false), (0, false)] {
            assert_eq!((is_possible(at, Rules::Second), is_possible(at, Rules::First)), (possible, true), "{at}");
        }
    }
}
