//! Wall times: minutes since a trading date's midnight, negative on the day before, 1440 = 24:00.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use ticktide_base::time::Nanos;

pub const DAY_MINUTES: i32 = 24 * 60;
/// Which weekdays are trading dates, Monday first.
pub const WORKDAYS: [bool; 7] = [true, true, true, true, true, false, false];
pub const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Why a session is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("unknown time zone {0:?}")]
    UnknownZone(String),
    #[error("{0:?} is not a time of day")]
    NotATime(String),
    #[error("{0:?} is not a weekday")]
    NotADay(String),
    #[error("a session needs at least one day")]
    NoDay,
}

/// The instant of a wall time; `None` outside the range of [`Nanos`].
pub fn instant(zone: &TimeZone, day: i32, minute: i32) -> Option<Nanos> {
    let date = date_of(day.checked_add(minute.div_euclid(DAY_MINUTES))?)?;
    let minute = minute.rem_euclid(DAY_MINUTES);
    let wall = DateTime::from_parts(date, Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()?);
    let stamp = match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok()?,
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok()?,
        // A wall time that was skipped is the moment of the skip: order and disjointness of phases are kept.
        AmbiguousOffset::Gap { after, .. } => {
            let earlier = after.to_timestamp(wall).ok()?;
            zone.following(earlier).next().map_or(earlier, |transition| transition.timestamp())
        }
    };
    Nanos::try_from(stamp.as_nanosecond()).ok()
}

/// The date in the time zone at `t`, days since 1970.
pub fn local_day(zone: &TimeZone, t: Nanos) -> i32 {
    let stamp = Timestamp::from_nanosecond(i128::from(t)).expect("jiff's range holds every i64 of nanoseconds");
    day_of(zone.to_datetime(stamp).date())
}

/// Days since 1970.
pub fn day_of(date: Date) -> i32 {
    (date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24) as i32
}

pub fn date_of(day: i32) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(Span::new().try_days(day).ok()?).ok()
}

/// The position in the week, Monday first.
pub fn weekday(day: i32) -> usize {
    (i64::from(day) + 3).rem_euclid(7) as usize // day 0 was a Thursday
}

/// "HH:MM" up to "24:00", in minutes.
pub fn minutes(text: &str) -> Result<i32, SessionError> {
    let wrong = || SessionError::NotATime(text.to_owned());
    let (hours, rest) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| -> Result<i32, SessionError> {
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (hours, rest) = (number(hours)?, number(rest)?);
    let total = hours * 60 + rest;
    if rest > 59 || total > DAY_MINUTES { Err(wrong()) } else { Ok(total) }
}

/// Weekdays and ranges of them ("mon", "fri-mon"), Monday first.
pub fn weekdays(names: &[String]) -> Result<[bool; 7], SessionError> {
    let mut days = [false; 7];
    let index = |name: &str| -> Result<usize, SessionError> {
        let short: String = name.trim().to_lowercase().chars().take(3).collect();
        DAY_NAMES.iter().position(|day| *day == short).ok_or_else(|| SessionError::NotADay(name.to_owned()))
    };
    for name in names {
        match name.split_once('-') {
            None => days[index(name)?] = true,
            Some((first, last)) => {
                let (first, last) = (index(first)?, index(last)?);
                (0..=(last + 7 - first) % 7).for_each(|step| days[(first + step) % 7] = true);
            }
        }
    }
    if days.contains(&true) { Ok(days) } else { Err(SessionError::NoDay) }
}
