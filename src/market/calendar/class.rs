//! One class of instruments: its members, its timetables by date, the days that are different.

use super::wall::{WORKDAYS, weekday};
use crate::Instrument;
use std::collections::{BTreeMap, BTreeSet};

/// A class of instruments of a session, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u8);

impl Class {
    /// The class of a session that has only one.
    pub const ONLY: Class = Class(0);
}

/// A phase between two wall times, in minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    pub phase: u8,
    pub open: i32,
    pub close: i32,
}

/// The phases from a date on, until the next timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// Days since 1970.
    pub from: i32,
    pub days: [bool; 7],
    /// In order; if there are none, there is no trading.
    pub phases: Vec<Phase>,
}

impl Timetable {
    /// No trading from a date on.
    pub fn none(from: i32) -> Timetable {
        Timetable { from, days: WORKDAYS, phases: Vec::new() }
    }
}

/// A day that differs from the timetable; a holiday has no phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Different {
    pub name: String,
    pub phases: Vec<Phase>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    pub name: String,
    /// Empty: every venue.
    pub venues: Vec<String>,
    /// `None`: every instrument of its venues.
    pub instruments: Option<BTreeSet<String>>,
    /// In order of their dates.
    pub timetables: Vec<Timetable>,
    pub different: BTreeMap<i32, Different>,
}

impl ClassSpec {
    /// A class of every instrument, without timetables.
    pub fn all(name: &str) -> ClassSpec {
        ClassSpec {
            name: name.to_owned(),
            venues: Vec::new(),
            instruments: None,
            timetables: Vec::new(),
            different: BTreeMap::new(),
        }
    }

    #[inline]
    pub fn has(&self, instrument: &Instrument) -> bool {
        let venue = self.venues.is_empty() || self.venues.iter().any(|venue| venue == instrument.venue());
        venue && self.instruments.as_ref().is_none_or(|all| all.contains(instrument.instrument()))
    }

    /// The timetable in force on a day.
    fn timetable(&self, day: i32) -> Option<&Timetable> {
        let behind = self.timetables.partition_point(|timetable| timetable.from <= day);
        self.timetables[..behind].last()
    }

    /// The phases of a day; none when it does not trade.
    pub fn on(&self, day: i32) -> &[Phase] {
        if let Some(different) = self.different.get(&day) {
            return &different.phases;
        }
        match self.timetable(day) {
            Some(timetable) if timetable.days[weekday(day)] => &timetable.phases,
            _ => &[],
        }
    }

    /// The phases of a day, or those that it would have if it were neither a holiday nor at a weekend.
    pub fn usual(&self, day: i32) -> &[Phase] {
        match self.on(day) {
            [] => self.timetable(day).map_or(&[], |timetable| &timetable.phases),
            phases => phases,
        }
    }

    /// The first date on which phases overlap, with each other or with the day before.
    pub fn overlap(&self) -> Option<i32> {
        let changes = self.different.keys().copied().chain(self.timetables.iter().map(|timetable| timetable.from));
        // a week after each change shows every pair of weekdays
        let mut days: BTreeSet<i32> = changes.flat_map(|day| day.saturating_sub(1)..=day.saturating_add(8)).collect();
        days.retain(|day| *day > i32::MIN);
        days.into_iter().find(|day| {
            let before = self.on(*day - 1).iter().map(|phase| (phase.open - 1440, phase.close - 1440));
            let all: Vec<(i32, i32)> =
                before.chain(self.on(*day).iter().map(|phase| (phase.open, phase.close))).collect();
            all.windows(2).any(|pair| pair[0].1 > pair[1].0)
        })
    }
}
