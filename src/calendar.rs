//! Sessions: which instants belong to trading, in which phase, on which trading date.
//!
//! ```text
//!   trading date d ──wall times in the session's zone──▶ phases [start, end) in UTC nanoseconds
//!        us, Thu  04:00 pre 09:30 regular 16:00 post 20:00         comex, Thu  Wed 18:00 ─ regular ─ Thu 17:15
//! ```
//!
//! Why wall times and not offsets from midnight: an exchange opens at 09:30 on the wall, also on the day when the clocks
//! change. Bars are anchored at the phase's start, so a bar never covers two phases. What must always hold: phases do not
//! overlap, every instant is in at most one of them, and no `i64` makes any function here panic.

use crate::time::{DAY, Interval, Nanos};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp};
use sha2::{Digest, Sha256};

/// Names of the sessions that need no further settings.
pub const PRESETS: &[(&str, &str)] = &[
    ("utc-day", "00:00-24:00 UTC, every day, one phase"),
    ("us", "America/New_York, Mon-Fri: pre 04:00-09:30, regular 09:30-16:00, post 16:00-20:00"),
    ("comex", "America/New_York, 18:00 of the day before-17:15, trading dates Mon-Fri"),
    ("nse", "Asia/Kolkata, Mon-Fri: pre_open 09:00-09:15, continuous 09:15-15:30, post_close 15:30-16:00"),
];

/// How many days back a session is looked for: a week, and the days that an evening session and zones may shift it.
const REACH_DAYS: i32 = 10;

/// A phase that holds an instant: `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PhaseAt {
    /// Index of the phase in the session.
    pub phase: u8,
    /// Days since 1970.
    pub trading_date: i32,
    pub start: Nanos,
    pub end: Nanos,
}

/// A wall time relative to the trading date: minutes since its midnight, negative on the day before, 1440 = 24:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wall(i32);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Phase {
    name: &'static str,
    open: Wall,
    close: Wall,
}

/// When a market trades.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    zone_name: String,
    zone: TimeZone,
    phases: Vec<Phase>,
    /// Which weekdays are trading dates, Monday first.
    days: [bool; 7],
}

/// Why a custom session cannot be.
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

const WORKDAYS: [bool; 7] = [true, true, true, true, true, false, false];
const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Session {
    /// A session by name (see [`PRESETS`]).
    ///
    /// ```
    /// use ticktide::calendar::Session;
    /// let us = Session::preset("us").unwrap();
    /// let noon = 1_381_161_600_000_000_000; // Mon 2013-10-07 12:00 in New York
    /// assert_eq!(us.phase_name(us.phase_at(noon).unwrap().phase), "regular");
    /// ```
    pub fn preset(name: &str) -> Option<Session> {
        let phase = |name, open, close| Phase { name, open: Wall(open), close: Wall(close) };
        let (zone, phases, days) = match name {
            "utc-day" => ("UTC", vec![phase("regular", 0, 24 * 60)], [true; 7]),
            "us" => (
                "America/New_York",
                vec![
                    phase("pre", 4 * 60, 9 * 60 + 30),
                    phase("regular", 9 * 60 + 30, 16 * 60),
                    phase("post", 16 * 60, 20 * 60),
                ],
                WORKDAYS,
            ),
            "comex" => ("America/New_York", vec![phase("regular", -6 * 60, 17 * 60 + 15)], WORKDAYS),
            // One timetable for all instruments. What differs between them since 2026-08-03 (the closing auction of some
            // stocks within 15:15-15:35, derivatives until 15:40) lies inside these phases and is not told apart.
            "nse" => (
                "Asia/Kolkata",
                vec![
                    phase("pre_open", 9 * 60, 9 * 60 + 15),
                    phase("continuous", 9 * 60 + 15, 15 * 60 + 30),
                    phase("post_close", 15 * 60 + 30, 16 * 60),
                ],
                WORKDAYS,
            ),
            _ => return None,
        };
        let zone_of = TimeZone::get(zone).expect("the zones of the presets are bundled");
        Some(Session { zone_name: zone.to_owned(), zone: zone_of, phases, days })
    }

    /// One phase `regular` from `open` to `close` ("HH:MM") on the wall of `zone`; `close` not after `open` means that it
    /// opens on the day before the trading date. `days` are weekdays ("mon"), Monday to Friday when empty.
    pub fn custom(zone: &str, open: &str, close: &str, days: &[String]) -> Result<Session, SessionError> {
        let zone_of = TimeZone::get(zone).map_err(|_| SessionError::UnknownZone(zone.to_owned()))?;
        let (mut opens, closes) = (minutes(open)?, minutes(close)?);
        if opens >= closes {
            opens -= 24 * 60;
        }
        let days = if days.is_empty() { WORKDAYS } else { weekdays(days)? };
        let phases = vec![Phase { name: "regular", open: Wall(opens), close: Wall(closes) }];
        Ok(Session { zone_name: zone.to_owned(), zone: zone_of, phases, days })
    }

    /// The phase that holds `t`, if any. Slow: cache the answer while `t` stays in `[start, end)`.
    pub fn phase_at(&self, t: Nanos) -> Option<PhaseAt> {
        let today = self.local_day(t);
        (today - 1..=today + 2).flat_map(|day| self.phases_of(day)).find(|phase| phase.start <= t && t < phase.end)
    }

    /// The phase's name as the column `phase` shows it.
    pub fn phase_name(&self, phase: u8) -> &str {
        self.phases.get(usize::from(phase)).map_or("unknown", |phase| phase.name)
    }

    /// Whether a phase collects orders and matches them at its end, so that its quotes may cross.
    pub fn is_auction(&self, phase: u8) -> bool {
        self.phase_name(phase) == "pre_open"
    }

    pub fn phase_count(&self) -> u8 {
        self.phases.len() as u8
    }

    /// The greatest end of a phase ≤ `t`; `None` only at the very edge of time.
    pub fn last_end(&self, t: Nanos) -> Option<Nanos> {
        self.last_before(t).map(|phase| phase.end)
    }

    /// The start of the first phase of a trading date; on a day without trading, where it would be.
    pub fn day_start(&self, trading_date: i32) -> Nanos {
        let first = self.phases[0].open;
        self.instant(trading_date, first).unwrap_or(if trading_date < 0 { Nanos::MIN } else { Nanos::MAX })
    }

    /// The trading date of the phase at `t`, or of the last one before it.
    pub fn trading_date_of(&self, t: Nanos) -> i32 {
        match self.phase_at(t).or_else(|| self.last_before(t)) {
            Some(phase) => phase.trading_date,
            None => self.local_day(t),
        }
    }

    /// The bar that holds `t`, a time in `phase`: `[open_at, end_at)`, anchored at the phase's start, its end clipped to
    /// the phase's. A bar of a day or more is the whole phase.
    pub fn bucket(&self, phase: &PhaseAt, interval: Interval, t: Nanos) -> (Nanos, Nanos) {
        if interval.0 >= DAY || interval.0 <= 0 {
            return (phase.start, phase.end);
        }
        let into = t.saturating_sub(phase.start);
        let open_at = phase.start.saturating_add(into.saturating_sub(into.rem_euclid(interval.0)));
        (open_at, open_at.saturating_add(interval.0).min(phase.end))
    }

    /// The session in words: part of the dataflow's hash, so everything that moves a boundary is in it.
    pub fn describe(&self) -> String {
        let days: Vec<&str> =
            DAY_NAMES.iter().zip(self.days).filter_map(|(name, trades)| trades.then_some(*name)).collect();
        let mut text = format!("{} {}", self.zone_name, days.join(","));
        for phase in &self.phases {
            text.push_str(&format!(" {} {}..{}", phase.name, phase.open.0, phase.close.0));
        }
        text
    }

    /// SHA-256 of [`Session::describe`], in hex.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.describe().as_bytes()))
    }

    /// The last phase that ended at or before `t`.
    fn last_before(&self, t: Nanos) -> Option<PhaseAt> {
        let today = self.local_day(t);
        (today - REACH_DAYS..=today + 2).rev().find_map(|day| self.phases_of(day).rev().find(|phase| phase.end <= t))
    }

    /// The phases of a trading date, in order; none on other days.
    fn phases_of(&self, day: i32) -> impl DoubleEndedIterator<Item = PhaseAt> {
        let trades = self.days[(day + 3).rem_euclid(7) as usize]; // day 0 was a Thursday
        let phases = if trades { self.phases.as_slice() } else { &[] };
        phases.iter().enumerate().filter_map(move |(index, phase)| {
            let (start, end) = (self.instant(day, phase.open)?, self.instant(day, phase.close)?);
            (start < end).then_some(PhaseAt { phase: index as u8, trading_date: day, start, end })
        })
    }

    /// The instant of a wall time; `None` outside the range of [`Nanos`].
    fn instant(&self, day: i32, wall: Wall) -> Option<Nanos> {
        let date = date_of(day.checked_add(wall.0.div_euclid(24 * 60))?)?;
        let minute = wall.0.rem_euclid(24 * 60);
        let wall = DateTime::from_parts(date, Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()?);
        let stamp = match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok()?,
            // A wall time that was skipped is the moment of the skip: order and disjointness of phases are kept.
            AmbiguousOffset::Gap { after, .. } => {
                let earlier = after.to_timestamp(wall).ok()?;
                self.zone.following(earlier).next().map_or(earlier, |transition| transition.timestamp())
            }
        };
        Nanos::try_from(stamp.as_nanosecond()).ok()
    }

    /// The date on the session's wall at `t`, days since 1970.
    pub fn local_day(&self, t: Nanos) -> i32 {
        let stamp = Timestamp::from_nanosecond(i128::from(t)).expect("jiff's range holds every i64 of nanoseconds");
        let date = self.zone.to_datetime(stamp).date();
        (date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24) as i32
    }
}

fn date_of(day: i32) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(Span::new().try_days(day).ok()?).ok()
}

/// "HH:MM" up to "24:00", in minutes.
fn minutes(text: &str) -> Result<i32, SessionError> {
    let wrong = || SessionError::NotATime(text.to_owned());
    let (hours, rest) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| -> Result<i32, SessionError> {
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (hours, rest) = (number(hours)?, number(rest)?);
    let total = hours * 60 + rest;
    if rest > 59 || total > 24 * 60 { Err(wrong()) } else { Ok(total) }
}

fn weekdays(names: &[String]) -> Result<[bool; 7], SessionError> {
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

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, MINUTE, SECOND};
    use proptest::prelude::*;

    fn at(text: &str) -> Nanos {
        text.parse::<Timestamp>().expect("a timestamp").as_nanosecond() as Nanos
    }

    fn day(text: &str) -> i32 {
        (text.parse::<Date>().expect("a date").duration_since(Date::constant(1970, 1, 1)).as_hours() / 24) as i32
    }

    fn preset(name: &str) -> Session {
        Session::preset(name).expect("a preset")
    }

    #[test]
    fn new_york_opens_at_half_past_nine_on_the_wall_before_and_after_the_clocks_change() {
        let us = preset("us");
        // 2013: daylight saving time ended on Sunday, 3 November
        for (open, date) in [("2013-11-01T13:30:00Z", "2013-11-01"), ("2013-11-04T14:30:00Z", "2013-11-04")] {
            let phase = us.phase_at(at(open)).expect("open");
            assert_eq!((us.phase_name(phase.phase), phase.trading_date), ("regular", day(date)));
            assert_eq!((phase.start, phase.end - phase.start), (at(open), 6 * HOUR + 30 * MINUTE));
            assert_eq!(us.phase_name(us.phase_at(at(open) - 1).expect("before the open").phase), "pre");
            assert_eq!(us.phase_name(us.phase_at(phase.end).expect("after the close").phase), "post");
            assert_eq!(us.day_start(day(date)), at(open) - 5 * HOUR - 30 * MINUTE);
        }
        assert_eq!(us.phase_at(at("2013-11-02T16:00:00Z")), None, "a Saturday");
    }

    #[test]
    fn a_comex_date_starts_on_the_evening_before_and_stops_at_a_quarter_past_five() {
        let comex = preset("comex");
        let phase = comex.phase_at(at("2013-10-06T22:00:00Z")).expect("Sunday evening");
        assert_eq!(phase.trading_date, day("2013-10-07"));
        assert_eq!((phase.start, phase.end), (at("2013-10-06T22:00:00Z"), at("2013-10-07T21:15:00Z")));
        assert_eq!(comex.phase_at(phase.end), None);
        assert_eq!(comex.trading_date_of(phase.end), day("2013-10-07"));
        assert_eq!(comex.phase_at(at("2013-10-11T22:30:00Z")), None, "Friday evening belongs to no trading date");
        assert_eq!(comex.last_end(at("2013-10-13T12:00:00Z")), Some(at("2013-10-11T21:15:00Z")));
    }

    #[test]
    fn nse_has_three_phases_at_kolkata_times() {
        let nse = preset("nse");
        for (time, name) in [("03:30:00", "pre_open"), ("03:45:00", "continuous"), ("10:00:00", "post_close")] {
            let phase = nse.phase_at(at(&format!("2024-07-01T{time}Z"))).expect("in session");
            assert_eq!((nse.phase_name(phase.phase), phase.start), (name, at(&format!("2024-07-01T{time}Z"))));
        }
        assert_eq!(nse.phase_at(at("2024-07-01T10:30:00Z")), None);
        assert_eq!(nse.phase_count(), 3);
    }

    /// The phases that start in a stretch of UTC days: name, trading date, start, end.
    fn phases(name: &str, from: &str, to: &str) -> Vec<(String, i32, Nanos, Nanos)> {
        let (session, mut t, to) = (preset(name), at(&format!("{from}T00:00:00Z")), at(&format!("{to}T00:00:00Z")));
        let mut found: Vec<(String, i32, Nanos, Nanos)> = Vec::new();
        while t < to {
            if let Some(phase) = session.phase_at(t)
                && phase.start == t
            {
                found.push((session.phase_name(phase.phase).to_owned(), phase.trading_date, phase.start, phase.end));
            }
            t += 5 * MINUTE;
        }
        found
    }

    fn phase(name: &str, date: &str, start: &str, end: &str) -> (String, i32, Nanos, Nanos) {
        (name.to_owned(), day(date), at(&format!("{start}:00Z")), at(&format!("{end}:00Z")))
    }

    /// Expected times are those of the exchange's wall, turned to UTC by hand: EST = UTC−5, EDT = UTC−4.
    #[test]
    fn the_phases_of_new_york_over_both_changes_of_the_clocks() {
        let spring = [
            phase("pre", "2024-03-08", "2024-03-08T09:00", "2024-03-08T14:30"),
            phase("regular", "2024-03-08", "2024-03-08T14:30", "2024-03-08T21:00"),
            phase("post", "2024-03-08", "2024-03-08T21:00", "2024-03-09T01:00"),
            phase("pre", "2024-03-11", "2024-03-11T08:00", "2024-03-11T13:30"),
            phase("regular", "2024-03-11", "2024-03-11T13:30", "2024-03-11T20:00"),
            phase("post", "2024-03-11", "2024-03-11T20:00", "2024-03-12T00:00"),
        ];
        assert_eq!(phases("us", "2024-03-08", "2024-03-12"), spring);
        let autumn = [
            phase("pre", "2024-11-01", "2024-11-01T08:00", "2024-11-01T13:30"),
            phase("regular", "2024-11-01", "2024-11-01T13:30", "2024-11-01T20:00"),
            phase("post", "2024-11-01", "2024-11-01T20:00", "2024-11-02T00:00"),
            phase("pre", "2024-11-04", "2024-11-04T09:00", "2024-11-04T14:30"),
            phase("regular", "2024-11-04", "2024-11-04T14:30", "2024-11-04T21:00"),
            phase("post", "2024-11-04", "2024-11-04T21:00", "2024-11-05T01:00"),
        ];
        assert_eq!(phases("us", "2024-11-01", "2024-11-05"), autumn);
    }

    #[test]
    fn a_comex_date_opens_at_six_in_the_evening_before_over_both_changes_of_the_clocks() {
        let spring = [
            phase("regular", "2024-03-08", "2024-03-07T23:00", "2024-03-08T22:15"),
            phase("regular", "2024-03-11", "2024-03-10T22:00", "2024-03-11T21:15"),
            phase("regular", "2024-03-12", "2024-03-11T22:00", "2024-03-12T21:15"),
        ];
        assert_eq!(phases("comex", "2024-03-07", "2024-03-12"), spring);
        let autumn = [
            phase("regular", "2024-11-01", "2024-10-31T22:00", "2024-11-01T21:15"),
            phase("regular", "2024-11-04", "2024-11-03T23:00", "2024-11-04T22:15"),
        ];
        assert_eq!(phases("comex", "2024-10-31", "2024-11-04"), autumn);
    }

    #[test]
    fn nse_keeps_its_times_all_year_and_rests_at_weekends() {
        for date in ["2024-01-05", "2024-07-05"] {
            let [next, monday] = [1, 3].map(|days| date_of(day(date) + days).expect("a date").to_string());
            let expected = [
                phase("pre_open", date, &format!("{date}T03:30"), &format!("{date}T03:45")),
                phase("continuous", date, &format!("{date}T03:45"), &format!("{date}T10:00")),
                phase("post_close", date, &format!("{date}T10:00"), &format!("{date}T10:30")),
            ];
            assert_eq!(phases("nse", date, &next), expected);
            assert_eq!(phases("nse", &next, &monday), [], "Saturday and Sunday");
        }
        let nse = preset("nse");
        let open = nse.phase_at(at("2024-07-05T06:00:00Z")).expect("trading");
        let hour = nse.bucket(&open, Interval(HOUR), at("2024-07-05T06:00:00Z"));
        assert_eq!(hour, (at("2024-07-05T05:45:00Z"), at("2024-07-05T06:45:00Z")), "hours from 09:15 on");
        let last = nse.bucket(&open, Interval(HOUR), open.end - 1);
        assert_eq!(last, (at("2024-07-05T09:45:00Z"), at("2024-07-05T10:00:00Z")), "the last one is short");
    }

    #[test]
    fn bars_are_anchored_at_the_phase_and_clipped_to_it() {
        let (us, minute) = (preset("us"), Interval(MINUTE));
        let phase = us.phase_at(at("2013-10-07T13:45:31Z")).expect("open");
        let bucket = |interval, time: &str| us.bucket(&phase, interval, at(time));
        assert_eq!(bucket(minute, "2013-10-07T13:45:31Z"), (at("2013-10-07T13:45:00Z"), at("2013-10-07T13:46:00Z")));
        assert_eq!(bucket(Interval(HOUR), "2013-10-07T13:45:31Z").0, at("2013-10-07T13:30:00Z"));
        let last = bucket(Interval(HOUR), "2013-10-07T19:59:00Z");
        assert_eq!(last, (at("2013-10-07T19:30:00Z"), at("2013-10-07T20:00:00Z")));
        assert_eq!(bucket(Interval(DAY), "2013-10-07T13:45:31Z"), (phase.start, phase.end));
    }

    #[test]
    fn a_wall_time_that_the_clocks_skip_is_the_moment_of_the_skip() {
        // New York, 2024-03-10: 02:00 → 03:00 at 07:00 UTC
        let night = Session::custom("America/New_York", "02:30", "04:00", &["sun".into()]).expect("a session");
        assert_eq!(night.day_start(day("2024-03-10")), at("2024-03-10T07:00:00Z"));
        let skipped = Session::custom("America/New_York", "02:10", "02:50", &["sun".into()]).expect("a session");
        assert_eq!(skipped.phase_at(at("2024-03-10T07:00:00Z")), None);
    }

    #[test]
    fn a_custom_session_says_what_is_wrong_with_it() {
        let custom = |zone, open, close, day: &str| Session::custom(zone, open, close, &[day.to_owned()]);
        assert_eq!(custom("Mars/Base", "09:00", "17:00", "mon"), Err(SessionError::UnknownZone("Mars/Base".into())));
        for time in ["9", "25:00", "24:01", "09:60", "-1:00", "+1:00", "009:00", "nine:00", ""] {
            assert_eq!(custom("UTC", time, "17:00", "mon"), Err(SessionError::NotATime(time.into())));
        }
        assert_eq!(custom("UTC", "09:00", "17:00", "someday"), Err(SessionError::NotADay("someday".into())));
        let week = custom("UTC", "09:00", "17:00", "fri-mon").expect("a range over the weekend");
        assert_eq!(week.days, [true, false, false, false, true, true, true]);
    }

    #[test]
    fn no_instant_of_any_year_panics() {
        for (name, _) in PRESETS {
            let session = preset(name);
            for t in [Nanos::MIN, Nanos::MIN + 1, Nanos::MIN + DAY, -1, 0, Nanos::MAX - DAY, Nanos::MAX] {
                let phase = session.phase_at(t);
                if let Some(phase) = phase {
                    session.bucket(&phase, Interval(MINUTE), t);
                }
                session.last_end(t);
                session.trading_date_of(t);
            }
            for date in [i32::MIN, -1_000_000, 0, 1_000_000, i32::MAX] {
                session.day_start(date);
            }
            session.bucket(&PhaseAt { phase: 0, trading_date: 0, start: 5, end: 10 }, Interval(SECOND), Nanos::MIN);
        }
    }

    proptest! {
        /// Against a naive search: every minute of the surrounding days that is in a phase.
        #[test]
        fn the_last_end_is_the_nearest_one_behind(t in -3_000_000_000i64..6_000_000_000, which in 0..PRESETS.len()) {
            let (session, t) = (preset(PRESETS[which].0), t * SECOND);
            let end = session.last_end(t).expect("far from the edges");
            prop_assert!(end <= t);
            let before = session.phase_at(end - 1).expect("a phase ends there");
            prop_assert_eq!(before.end, end);
            let mut probe = end;
            while probe < t {
                if let Some(phase) = session.phase_at(probe) {
                    prop_assert!(phase.end > t, "another phase ended in between");
                    break;
                }
                probe += 5 * MINUTE;
            }
        }

        #[test]
        fn an_instant_is_inside_its_phase_and_its_bar(t in any::<i64>(), which in 0..PRESETS.len()) {
            let session = preset(PRESETS[which].0);
            if let Some(phase) = session.phase_at(t) {
                prop_assert!(phase.start <= t && t < phase.end);
                prop_assert_eq!(session.trading_date_of(t), phase.trading_date);
                prop_assert_eq!(session.phase_at(phase.start), Some(phase));
                let (open_at, end_at) = session.bucket(&phase, Interval(MINUTE), t);
                prop_assert!(phase.start <= open_at && open_at <= t && t < end_at && end_at <= phase.end);
            }
        }
    }
}
