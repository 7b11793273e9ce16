//! How the texts of a dataflow's numbers and times are read: separators, rounding, the zone and the form of a time.
//!
//! Why apart from the record: a number is read the same way whichever field it fills. What must always hold: a value comes from
//! its digits, never through a float; what is rounded is either what a binary float has added, or what the dataflow allows; a
//! time of day that the clocks show twice or never is refused unless the dataflow chooses.

use crate::wire::times;
use crate::{Ambiguous, FeedError, WireSpec};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_market::{LIMIT, NumberError, decimal, decimal_wide};

/// How texts are read.
pub struct ValueParser {
    rules: Rules,
    zone: Option<TimeZone>,
    ambiguous: Ambiguous,
    time_format: Option<String>,
    decimal: u8,
    thousands: Option<u8>,
    round: bool,
}

/// Why a text is no time: a reason and a detail.
pub type TimeFault = (&'static str, String);

impl ValueParser {
    /// Reads the settings of a dataflow; errors: an unknown zone, two marks that are the same.
    pub fn new(spec: &WireSpec) -> Result<ValueParser, FeedError> {
        let zone = spec.zone.as_deref().map(|name| {
            TimeZone::get(name).map_err(|_| {
                let hint = "set `source.zone` to an IANA name, e.g. \"Asia/Kolkata\", or to \"UTC\"";
                FeedError::fix(format!("time zone {name:?} does not exist"), hint)
            })
        });
        let decimal = spec.decimal.unwrap_or(b'.');
        if spec.thousands == Some(decimal) {
            let message = format!("`thousands` and `decimal` are both {:?}", char::from(decimal));
            return Err(FeedError::fix(message, "set `decimal` to the mark before the fraction, e.g. \",\""));
        }
        Ok(ValueParser {
            rules: spec.rules,
            zone: zone.transpose()?,
            ambiguous: spec.ambiguous,
            time_format: spec.time_format.clone(),
            decimal,
            thousands: spec.thousands,
            round: spec.round,
        })
    }

    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// A price or a quantity in units of 10⁻⁸, |x| < 10¹⁰.
    #[inline]
    pub fn number(&self, text: &str) -> Result<i64, NumberError> {
        if self.decimal == b'.' && self.thousands.is_none() {
            return decimal(text.as_bytes()).or_else(|error| self.rounded(text, error));
        }
        let plain = self.plain(text).ok_or(NumberError::NotANumber)?;
        decimal(plain.as_bytes()).or_else(|error| self.rounded(&plain, error))
    }

    /// A sum of quantities in units of 10⁻⁸.
    pub fn wide(&self, text: &str) -> Result<i128, NumberError> {
        let plain = match self.decimal == b'.' && self.thousands.is_none() {
            true => None,
            false => Some(self.plain(text).ok_or(NumberError::NotANumber)?),
        };
        let text = plain.as_deref().unwrap_or(text);
        decimal_wide(text.as_bytes()).or_else(|error| self.rounded(text, error).map(i128::from))
    }

    /// The number without its separators and with a point; `None`: they are not where a number has them.
    #[cold]
    fn plain(&self, text: &str) -> Option<String> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' | b'+' => text.split_at(1),
            _ => ("", text),
        };
        let (whole, fraction) = match digits.split_once(char::from(self.decimal)) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let whole = match self.thousands {
            Some(separator) if whole.contains(char::from(separator)) => ungrouped(whole, separator)?,
            _ => whole.to_owned(),
        };
        match fraction {
            Some(fraction) if self.decimal != b'.' && fraction.contains('.') => None,
            None if self.decimal != b'.' && whole.contains('.') => None,
            Some(fraction) => Some(format!("{sign}{whole}.{fraction}")),
            None => Some(format!("{sign}{whole}")),
        }
    }

    /// What has too many digits after the point, half to even: if a binary float has added them, or if the dataflow allows it.
    #[cold]
    fn rounded(&self, text: &str, error: NumberError) -> Result<i64, NumberError> {
        if error != NumberError::TooPrecise || (self.rules == Rules::First && !self.round) {
            return Err(error);
        }
        let (digits, scale, negative) = digits_of(text).ok_or(error)?;
        let (units, cut) = match u32::try_from(scale - 8).ok().and_then(|places| 10u128.checked_pow(places)) {
            Some(unit) => {
                let (quotient, rest) = (digits / unit, digits % unit);
                let up = rest > unit - rest || (rest == unit - rest && quotient % 2 == 1);
                (quotient + u128::from(up), rest.min(unit - rest))
            }
            None => (0, digits),
        };
        let mut significant = digits;
        while significant != 0 && significant.is_multiple_of(10) {
            significant /= 10;
        }
        let is_artefact = significant < FLOAT_DIGITS && cut.checked_mul(ARTEFACT).is_some_and(|cut| cut < digits);
        if !is_artefact && !self.round {
            return Err(error);
        }
        let units = i64::try_from(units).ok().filter(|units| *units < LIMIT).ok_or(NumberError::OutOfRange)?;
        Ok(if negative { -units } else { units })
    }

    /// A time: an integer or a decimal number of s, ms, µs or ns since 1970, RFC 3339, or a date and time of day in the zone of
    /// the dataflow; with a form, only what has this form.
    pub fn time(&self, text: &str) -> Result<Option<Nanos>, TimeFault> {
        if let Some(form) = &self.time_format {
            return self.formed(form, text).map(Some);
        }
        if let Some(at) = times::integer(text.as_bytes()) {
            return Ok(at);
        }
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Nanos::try_from(at.as_nanosecond()).ok());
        }
        if self.rules > Rules::First {
            if let Some(at) = times::decimal(text.as_bytes()) {
                return Ok(Some(at));
            }
            if let Ok(local) = text.parse::<DateTime>() {
                return self.in_zone(text, local).map(Some);
            }
        }
        Err(("bad_time", "neither a number of s, ms, µs, ns nor RFC 3339".to_owned()))
    }

    fn formed(&self, form: &str, text: &str) -> Result<Nanos, TimeFault> {
        let refused = |error: jiff::Error| ("bad_time", format!("not of the form {form:?}: {error}"));
        let parts = BrokenDownTime::parse(form, text).map_err(refused)?;
        if let Ok(at) = parts.to_timestamp() {
            return Nanos::try_from(at.as_nanosecond())
                .map_err(|_| ("bad_time", "no time from 1990 to 2100".to_owned()));
        }
        self.in_zone(text, parts.to_datetime().map_err(refused)?)
    }

    /// A moment of the clocks in the zone of the dataflow.
    fn in_zone(&self, text: &str, local: DateTime) -> Result<Nanos, TimeFault> {
        let Some(zone) = &self.zone else {
            return Err(("bad_time", format!("{text} has no zone: set `source.zone`, e.g. \"Asia/Kolkata\"")));
        };
        let moment = zone.to_ambiguous_timestamp(local);
        let how = match moment.offset() {
            AmbiguousOffset::Unambiguous { .. } => "",
            AmbiguousOffset::Gap { .. } => "the clocks skip it",
            AmbiguousOffset::Fold { .. } => "the clocks show it twice",
        };
        let at = match self.ambiguous {
            Ambiguous::Refuse if !how.is_empty() => {
                return Err(("ambiguous_time", format!("{how}; `source.ambiguous` chooses")));
            }
            Ambiguous::Refuse | Ambiguous::Earliest => moment.earlier(),
            Ambiguous::Latest => moment.later(),
        };
        let at = at.map_err(|error| ("bad_time", error.to_string()))?;
        Nanos::try_from(at.as_nanosecond()).map_err(|_| ("bad_time", "no time from 1990 to 2100".to_owned()))
    }
}

/// A binary float has at most seventeen significant digits.
const FLOAT_DIGITS: u128 = 100_000_000_000_000_000;
/// What a float adds is below 10⁻¹¹ of the value.
const ARTEFACT: u128 = 100_000_000_000;

/// The digits of a number, how many of them are after the point, and its sign; `None`: it has more than 36 digits.
fn digits_of(text: &str) -> Option<(u128, i64, bool)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (mut digits, mut scale, mut point) = (0u128, 0i64, false);
    for byte in number.bytes() {
        match byte {
            b'0'..=b'9' if digits < 10u128.pow(36) => {
                digits = digits * 10 + u128::from(byte - b'0');
                scale += i64::from(point);
            }
            b'.' => point = true,
            b'-' | b'+' => {}
            _ => return None,
        }
    }
    Some((digits, scale - exponent, number.starts_with('-')))
}

/// A whole number without its separators: groups of three digits, or as in India three and then groups of two.
fn ungrouped(whole: &str, separator: u8) -> Option<String> {
    let groups: Vec<&str> = whole.split(char::from(separator)).collect();
    let (first, rest) = groups.split_first()?;
    let (last, middle) = rest.split_last()?;
    let fits = |width: usize| {
        (1..=width).contains(&first.len()) && middle.iter().all(|group| group.len() == width) && last.len() == 3
    };
    let digits = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_digit()));
    (digits && (fits(3) || fits(2))).then(|| groups.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(change: impl FnOnce(&mut WireSpec)) -> ValueParser {
        let mut spec = WireSpec { rules: Rules::Second, ..WireSpec::default() };
        change(&mut spec);
        ValueParser::new(&spec).expect("valid")
    }

    #[test]
    fn what_a_binary_float_has_added_is_rounded_and_nothing_else() {
        let plain = reading(|_| {});
        for (text, units) in [
            ("2706.9300000000003", Some(270_693_000_000)),
            ("1257.6200000000001", Some(125_762_000_000)),
            ("0.30000000000000004", Some(30_000_000)),
            ("-3.3000000000000003", Some(-330_000_000)),
            ("99.99999999999999", Some(10_000_000_000)),
            ("2.7069300000000003e3", Some(270_693_000_000)),
            ("0.123456785", None),
            ("0.000000000108", None),
            ("1.000000001", None),
            ("0.3000000000000000444", None),
        ] {
            assert_eq!(plain.number(text).ok(), units, "{text}");
        }
        let first = reading(|spec| spec.rules = Rules::First);
        assert_eq!(first.number("2706.9300000000003"), Err(NumberError::TooPrecise));
    }

    #[test]
    fn a_dataflow_may_round_half_to_even() {
        let rounds = reading(|spec| spec.round = true);
        for (text, units) in [
            ("0.123456785", 12_345_678),
            ("0.123456775", 12_345_678),
            ("0.000000005", 0),
            ("0.000000015", 2),
            ("-0.0000000051", -1),
        ] {
            assert_eq!(rounds.number(text), Ok(units), "{text}");
        }
        assert_eq!(rounds.number("1e-60"), Ok(0));
        assert_eq!(rounds.number("x"), Err(NumberError::NotANumber));
    }

    #[test]
    fn separators_stand_where_a_number_has_them() {
        let english = reading(|spec| spec.thousands = Some(b','));
        for (text, units) in [
            ("1,311.00", Some(131_100_000_000)),
            ("1,45,310.55", Some(14_531_055_000_000)),
            ("-12,345", Some(-1_234_500_000_000)),
            ("1250", Some(125_000_000_000)),
            ("1,2,3", None),
            ("12,34", None),
            (",123", None),
            ("1,,234", None),
            ("1.5,000", None),
        ] {
            assert_eq!(english.number(text).ok(), units, "{text}");
        }
        let german = reading(|spec| (spec.thousands, spec.decimal) = (Some(b'.'), Some(b',')));
        for (text, units) in [("1.250", Some(125_000_000_000)), ("1.250,5", Some(125_050_000_000)), ("1,2.5", None)] {
            assert_eq!(german.number(text).ok(), units, "{text}");
        }
        let comma = reading(|spec| spec.decimal = Some(b','));
        assert_eq!((comma.number("2,5"), comma.number("2.5")), (Ok(250_000_000), Err(NumberError::NotANumber)));
    }

    #[test]
    fn a_time_without_a_zone_is_of_the_dataflows() {
        let berlin =
            |ambiguous| reading(|spec| (spec.zone, spec.ambiguous) = (Some("Europe/Berlin".into()), ambiguous));
        let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_nanosecond() as Nanos;
        let refuse = berlin(Ambiguous::Refuse);
        for (text, utc) in [
            ("2006-01-02 08:00:00", "2006-01-02T07:00:00Z"),
            ("2006-07-02T08:00:00.25", "2006-07-02T06:00:00.25Z"),
            ("2006-01-02T08:00:00+05:30", "2006-01-02T02:30:00Z"),
        ] {
            assert_eq!(refuse.time(text), Ok(Some(at(utc))), "{text}");
        }
        for twice in ["2024-10-27 02:30:00", "2024-03-31 02:30:00"] {
            assert_eq!(refuse.time(twice).expect_err(twice).0, "ambiguous_time");
        }
        let fold = "2024-10-27 02:30:00";
        assert_eq!(berlin(Ambiguous::Earliest).time(fold), Ok(Some(at("2024-10-27T00:30:00Z"))));
        assert_eq!(berlin(Ambiguous::Latest).time(fold), Ok(Some(at("2024-10-27T01:30:00Z"))));
        let why = reading(|_| {}).time("2006-01-02 08:00:00").expect_err("no zone");
        assert!(why.1.contains("set `source.zone`"), "{why:?}");
    }

    #[test]
    fn a_time_may_have_a_form_of_its_own() {
        let form =
            reading(|spec| (spec.zone, spec.time_format) = (Some("UTC".into()), Some("%d/%m/%Y %H:%M:%S%.f".into())));
        assert_eq!(form.time("05/01/2026 09:15:00.5"), Ok(Some(1_767_604_500_500_000_000)));
        assert_eq!(form.time("1767604500").expect_err("another form").0, "bad_time");
        let offset = reading(|spec| spec.time_format = Some("%Y%m%d %H%M%S %z".into()));
        assert_eq!(offset.time("20260105 091500 +0530"), Ok(Some(1_767_584_700_000_000_000)));
    }

    #[test]
    fn a_decimal_number_of_seconds_is_read_from_its_digits() {
        let plain = reading(|_| {});
        for (text, at) in [
            ("1571869971.9908", 1_571_869_971_990_800_000),
            ("1571869973123.0", 1_571_869_973_123_000_000),
            ("1571869972.123456789123", 1_571_869_972_123_456_789),
            ("1571869973123.456", 1_571_869_973_123_456_000),
        ] {
            assert_eq!(plain.time(text), Ok(Some(at)), "{text}");
        }
        for text in ["1571869971.", ".5", "1571869971.99x", "1.5e9"] {
            assert_eq!(plain.time(text).expect_err(text).0, "bad_time");
        }
    }
}
