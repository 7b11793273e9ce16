//! The days of a session as a person reads them: each class's phases in wall times.

use super::wall::date_of;
use super::{Class, Session};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use ticktide_base::time::Nanos;

/// One date of one class; without phases there is no trading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CalendarDay {
    pub date: String,
    pub class: String,
    /// The name of a holiday or a special session.
    pub name: Option<String>,
    /// Whether the calendar knows the holidays around that date.
    pub known: bool,
    pub phases: Vec<ListedPhase>,
}

/// A phase with its times in the session's time zone, as RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedPhase {
    pub phase: String,
    pub open: String,
    pub close: String,
}

impl Session {
    /// The dates from `from` to `until`, both days since 1970 and included, of one class.
    pub fn list(&self, class: Class, from: i32, until: i32) -> impl Iterator<Item = CalendarDay> + '_ {
        (from..=until).filter_map(move |day| {
            let phases = self.phases_of(class, day).map(|phase| ListedPhase {
                phase: self.phase_name(phase.phase).to_owned(),
                open: self.wall_text(phase.start),
                close: self.wall_text(phase.end),
            });
            Some(CalendarDay {
                date: date_of(day)?.to_string(),
                class: self.class_name(class).to_owned(),
                name: self.spec(class).different.get(&day).map(|different| different.name.clone()),
                known: self.is_known(day),
                phases: phases.collect(),
            })
        })
    }

    /// An instant in the session's time zone, with the offset from UTC.
    fn wall_text(&self, at: Nanos) -> String {
        let stamp = Timestamp::from_nanosecond(i128::from(at)).expect("jiff's range holds every i64 of nanoseconds");
        let offset = self.zone.to_offset(stamp);
        stamp.display_with_offset(offset).to_string()
    }

    /// The first trading date of the class on or after a date, within a month.
    pub fn next_trading_date(&self, class: Class, day: i32) -> Option<Date> {
        let mut days = day..day.saturating_add(31);
        days.find(|day| self.phases_of(class, *day).next().is_some()).and_then(date_of)
    }
}
