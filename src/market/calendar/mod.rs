//! Sessions: which instants belong to trading, in which phase, on which trading date, for each class of instruments.
//!
//! ```text
//!   trading date d ──wall times in the session's zone──▶ phases [start, end) in UTC nanoseconds
//!        us, Thu  04:00 pre 09:30 regular 16:00 post 20:00         comex, Thu  Wed 18:00 ─ regular ─ Thu 17:15
//!        nse, Mon 2026-08-03   stocks       09:00 pre_open 09:15 continuous 15:30 post_close 16:00
//!                              derivatives  09:00 pre_open 09:15 continuous 15:40 post_close 16:00
//! ```
//!
//! Why wall times and not offsets from midnight: an exchange opens at 09:30 wall time, also on the day when the clocks
//! change. Bars are anchored at the phase's start, so a bar never covers two phases. A calendar file ([`file`]) dates its
//! timetables and lists holidays and special sessions; the other sessions are one class with one timetable for all times.
//! What must always hold: phases of a class do not overlap, every instant is in at most one of them, an instrument's class and
//! phase depend on its venue, its token and the time alone, and no `i64` makes any function here panic.

mod class;
mod described;
pub mod file;
mod listing;
mod phases;
#[cfg(test)]
mod tests;
mod text;
mod wall;

use crate::Instrument;
pub use class::Class;
use class::{ClassSpec, Phase, Timetable};
use jiff::tz::TimeZone;
pub use listing::{CalendarDay, ListedPhase};
pub use phases::Phases;
pub use text::{adds_days, date_text, hex, time_text};
use ticktide_base::time::{DAY, Interval, Nanos};
pub use wall::SessionError;
use wall::{DAY_MINUTES, WORKDAYS, instant, local_day, minutes, weekdays};
pub use wall::{date_of, day_of};

/// Names of the sessions that need no further settings.
pub const PRESETS: &[(&str, &str)] = &[
    ("utc-day", "00:00-24:00 UTC, every day, one phase"),
    ("us", "America/New_York, Mon-Fri: pre 04:00-09:30, regular 09:30-16:00, post 16:00-20:00"),
    ("comex", "America/New_York, 18:00 of the day before-17:15, trading dates Mon-Fri"),
    ("nse", "Asia/Kolkata, the dated calendar of NSE, BSE and MCX: holidays, auctions, special sessions"),
];

/// Calendar files that the binary carries.
pub const CALENDARS: &[(&str, &str)] = &[("nse", include_str!("../../../calendars/nse.toml"))];

/// How many days back a phase is searched: a week, and the days by which an evening session and zones may shift it.
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

/// When a market trades.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    zone_name: String,
    zone: TimeZone,
    /// Names of phases; a phase is its index here.
    phases: Vec<String>,
    /// Of `phases`: which of them are auctions.
    auctions: Vec<u8>,
    /// The last one takes every instrument that no other takes.
    classes: Vec<ClassSpec>,
    /// First and last date whose holidays are known, where holidays matter.
    known: Option<(i32, i32)>,
}

impl Session {
    /// A session by name (see [`PRESETS`]).
    ///
    /// ```
    /// use ticktide_market::calendar::{Class, Session};
    /// let us = Session::preset("us").unwrap();
    /// let noon = 1_381_161_600_000_000_000; // Mon 2013-10-07 12:00 in New York
    /// assert_eq!(us.phase_name(us.phase_at(Class::ONLY, noon).unwrap().phase), "regular");
    /// ```
    pub fn preset(name: &str) -> Option<Session> {
        let new_york = "America/New_York";
        match name {
            "utc-day" => Some(Session::plain("UTC", &[("regular", 0, DAY_MINUTES)], [true; 7])),
            "us" => {
                let phases = [("pre", 4 * 60, 570), ("regular", 570, 16 * 60), ("post", 16 * 60, 20 * 60)];
                Some(Session::plain(new_york, &phases, WORKDAYS))
            }
            "comex" => Some(Session::plain(new_york, &[("regular", -6 * 60, 17 * 60 + 15)], WORKDAYS)),
            _ => {
                let (name, text) = CALENDARS.iter().find(|(calendar, _)| *calendar == name)?;
                let problems = ticktide_base::document::Problems::default();
                let session = file::parse(&format!("calendars/{name}.toml"), text, &problems);
                debug_assert_eq!(problems.take(), [], "the shipped calendars are good");
                Some(session)
            }
        }
    }

    /// One phase `regular` from `open` to `close` ("HH:MM") in wall times of `zone`; if `close` is not after `open`, it opens
    /// on the day before the trading date. `days` are weekdays ("mon"), Monday to Friday when empty.
    pub fn custom(zone: &str, open: &str, close: &str, days: &[String]) -> Result<Session, SessionError> {
        TimeZone::get(zone).map_err(|_| SessionError::UnknownZone(zone.to_owned()))?;
        let (mut opens, closes) = (minutes(open)?, minutes(close)?);
        if opens >= closes {
            opens -= DAY_MINUTES;
        }
        let days = if days.is_empty() { WORKDAYS } else { weekdays(days)? };
        Ok(Session::plain(zone, &[("regular", opens, closes)], days))
    }

    /// One class with one timetable.
    fn plain(zone_name: &str, phases: &[(&str, i32, i32)], days: [bool; 7]) -> Session {
        let all = phases.iter().enumerate();
        let timed = all.map(|(index, (_, open, close))| Phase { phase: index as u8, open: *open, close: *close });
        let timetable = Timetable { from: i32::MIN, days, phases: timed.collect() };
        Session {
            zone_name: zone_name.to_owned(),
            zone: TimeZone::get(zone_name).expect("the zones of the presets are bundled, others were looked up"),
            phases: phases.iter().map(|(name, ..)| (*name).to_owned()).collect(),
            auctions: Vec::new(),
            classes: vec![ClassSpec { timetables: vec![timetable], ..ClassSpec::all("all") }],
            known: None,
        }
    }

    /// The class of an instrument: the first one that has its venue and, where it names instruments, its token.
    #[inline]
    pub fn class_of(&self, instrument: &Instrument) -> Class {
        let named = &self.classes[..self.classes.len() - 1];
        let found = named.iter().position(|class| class.has(instrument));
        Class(found.unwrap_or(named.len()) as u8)
    }

    /// Adds instruments to a class that lists its instruments. Error: the names of the classes that do.
    pub fn list_instruments(&mut self, class: &str, tokens: Vec<String>) -> Result<(), Vec<String>> {
        let listing = self.classes.iter_mut().filter(|class| class.instruments.is_some());
        let mut names = Vec::new();
        for spec in listing {
            match &mut spec.instruments {
                Some(all) if spec.name == class => {
                    all.extend(tokens);
                    return Ok(());
                }
                _ => names.push(spec.name.clone()),
            }
        }
        Err(names)
    }

    /// All classes, in order.
    #[inline]
    pub fn classes(&self) -> impl Iterator<Item = Class> + use<> {
        (0..self.classes.len() as u8).map(Class)
    }

    /// The class's name, as its calendar gives it.
    pub fn class_name(&self, class: Class) -> &str {
        &self.spec(class).name
    }

    #[inline]
    fn spec(&self, class: Class) -> &ClassSpec {
        self.classes.get(usize::from(class.0)).unwrap_or_else(|| self.classes.last().expect("a session has a class"))
    }

    /// The phase of the class that holds `t`, if any. Slow: see [`Phases`].
    pub fn phase_at(&self, class: Class, t: Nanos) -> Option<PhaseAt> {
        let today = local_day(&self.zone, t);
        let mut days = today - 1..=today + 2;
        days.find_map(|day| self.phases_of(class, day).find(|phase| phase.start <= t && t < phase.end))
    }

    /// The phase's name as the column `phase` shows it.
    #[inline]
    pub fn phase_name(&self, phase: u8) -> &str {
        self.phases.get(usize::from(phase)).map_or("unknown", String::as_str)
    }

    /// Whether a phase collects orders and matches them at its end, so that its quotes may cross.
    #[inline]
    pub fn is_auction(&self, phase: u8) -> bool {
        self.auctions.contains(&phase)
    }

    #[inline]
    pub fn phase_count(&self) -> u8 {
        self.phases.len() as u8
    }

    /// The date in the session's time zone at `t`, days since 1970.
    pub fn local_day(&self, t: Nanos) -> i32 {
        local_day(&self.zone, t)
    }

    /// Whether the holidays around a trading date are known.
    #[inline]
    pub fn is_known(&self, trading_date: i32) -> bool {
        self.known.is_none_or(|(from, until)| (from..=until).contains(&trading_date))
    }

    /// The start of the first phase of a trading date; on a day without trading, where it would be.
    pub fn day_start(&self, class: Class, trading_date: i32) -> Nanos {
        let edge = if trading_date < 0 { Nanos::MIN } else { Nanos::MAX };
        let first = self.spec(class).usual(trading_date).first().map_or(0, |phase| phase.open);
        instant(&self.zone, trading_date, first).unwrap_or(edge)
    }

    /// The trading date of the phase at `t`, or of the last one before it.
    pub fn trading_date_of(&self, class: Class, t: Nanos) -> i32 {
        match self.phase_at(class, t).or_else(|| self.last_before(class, t)) {
            Some(phase) => phase.trading_date,
            None => local_day(&self.zone, t),
        }
    }

    /// The trading date before one; if none is within a few days (a calendar that begins there), the day before it.
    pub fn trading_date_before(&self, class: Class, trading_date: i32) -> i32 {
        let opened_at = self.day_start(class, trading_date);
        self.trading_date_of(class, opened_at.saturating_sub(1)).min(trading_date.saturating_sub(1))
    }

    /// The last phase of the class that ended at or before `t`.
    fn last_before(&self, class: Class, t: Nanos) -> Option<PhaseAt> {
        let today = local_day(&self.zone, t);
        let mut days = (today - REACH_DAYS..=today + 2).rev();
        days.find_map(|day| self.phases_of(class, day).rev().find(|phase| phase.end <= t))
    }

    /// The phases of a trading date, in order; none on other days.
    pub fn phases_of(&self, class: Class, day: i32) -> impl DoubleEndedIterator<Item = PhaseAt> {
        self.spec(class).on(day).iter().filter_map(move |phase| {
            let [start, end] = [phase.open, phase.close].map(|minute| instant(&self.zone, day, minute));
            let (start, end) = (start?, end?);
            (start < end).then_some(PhaseAt { phase: phase.phase, trading_date: day, start, end })
        })
    }
}

/// The bucket of an interval that holds `at`, anchored at the phase's start: (start, end), the end cut at the phase's end. That
/// of a day is the whole phase, however long the clocks make that day.
///
/// ```
/// use ticktide_base::time::{HOUR, Interval, MINUTE};
/// use ticktide_market::calendar::{PhaseAt, bucket};
/// let phase = PhaseAt { phase: 0, trading_date: 0, start: 9 * HOUR + 15 * MINUTE, end: 15 * HOUR + 30 * MINUTE };
/// assert_eq!(bucket(&phase, Interval(HOUR), 15 * HOUR + 20 * MINUTE), (15 * HOUR + 15 * MINUTE, 15 * HOUR + 30 * MINUTE));
/// ```
#[inline]
pub fn bucket(phase: &PhaseAt, interval: Interval, at: Nanos) -> (Nanos, Nanos) {
    if interval.0 >= DAY {
        return (phase.start, phase.end);
    }
    let open_at = at - (at - phase.start).rem_euclid(interval.0);
    (open_at, open_at.saturating_add(interval.0).min(phase.end))
}
