//! A session in words, line by line: part of a dataflow's hash, and what a changed calendar is compared with.
//!
//! ```text
//!   Asia/Kolkata
//!   phases pre_open* continuous post_close closing_auction*        * an auction
//!   class derivatives NSEFO,BSEFO
//!   from 2026-08-03 derivatives mon,tue,wed,thu,fri pre_open 540..555 continuous 555..940 post_close 940..960
//!   on 2026-11-10 derivatives
//! ```
//!
//! Everything that moves a boundary is in it, and nothing else: names of holidays and sources may change. Why dated lines: a
//! calendar that differs from another only in lines after a date treats every instant before it the same, so a lake may go
//! on with next year's holidays, or with a session that was announced yesterday ([`adds_days`]).

use super::Session;
use super::class::{ClassSpec, Phase};
use super::wall::{DAY_NAMES, date_of, day_of, local_day};
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use ticktide_base::time::Nanos;

impl Session {
    /// The session in words: part of the dataflow's hash, so everything that moves a boundary is in it.
    pub fn describe(&self) -> String {
        if self.known.is_none() {
            return self.describe_plain();
        }
        let starred = |(index, name): (usize, &String)| match self.auctions.contains(&(index as u8)) {
            true => format!("{name}*"),
            false => name.clone(),
        };
        let phases: Vec<String> = self.phases.iter().enumerate().map(starred).collect();
        let mut lines = vec![self.zone_name.clone(), format!("phases {}", phases.join(" "))];
        for class in &self.classes {
            let instruments =
                class.instruments.iter().map(|all| format!(" {}", joined(all.iter()))).collect::<String>();
            lines.push(format!("class {} {}{instruments}", class.name, joined(class.venues.iter())));
        }
        self.classes.iter().for_each(|class| self.dated(class, &mut lines));
        lines.join("\n")
    }

    /// One class, one timetable, one line.
    fn describe_plain(&self) -> String {
        let timetable = self.classes.first().and_then(|class| class.timetables.first());
        let (days, phases) = timetable.map_or((String::new(), String::new()), |timetable| {
            (days_text(&timetable.days), self.phases_text(&timetable.phases))
        });
        format!("{} {days}{phases}", self.zone_name)
    }

    fn dated(&self, class: &ClassSpec, lines: &mut Vec<String>) {
        for timetable in &class.timetables {
            let (from, days) = (day_text(timetable.from), days_text(&timetable.days));
            lines.push(format!("from {from} {} {days}{}", class.name, self.phases_text(&timetable.phases)));
        }
        for (day, different) in &class.different {
            lines.push(format!("on {} {}{}", day_text(*day), class.name, self.phases_text(&different.phases)));
        }
    }

    fn phases_text(&self, phases: &[Phase]) -> String {
        let text = |phase: &Phase| format!(" {} {}..{}", self.phase_name(phase.phase), phase.open, phase.close);
        phases.iter().map(text).collect()
    }

    /// SHA-256 of [`Session::describe`], in hex.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.describe().as_bytes()))
    }
}

/// Whether the calendar that `new` describes is the same as that of `old` on every date up to that of `seen_until`, the
/// greatest event time that was read; `None`: nothing was read. Sessions that are not calendars never add anything.
pub fn adds_days(old: &str, new: &str, seen_until: Option<Nanos>) -> bool {
    let zone = old.split_once('\n').and_then(|(zone, _)| TimeZone::get(zone).ok());
    let Some(zone) = zone else { return false };
    // a session that opens on the evening before its date: the next date may have begun
    let evening = i32::from(old.contains(" -") || new.contains(" -"));
    let seen = seen_until.map_or(i32::MIN, |at| local_day(&zone, at).saturating_add(evening));
    let seen_of = |text: &str| -> Vec<String> {
        text.lines().filter(|line| date(line).is_none_or(|day| day <= seen)).map(str::to_owned).collect()
    };
    seen_of(old) == seen_of(new)
}

/// The date of a line, if it has one; days since 1970.
fn date(line: &str) -> Option<i32> {
    let rest = line.strip_prefix("from ").or_else(|| line.strip_prefix("on "))?;
    rest.split(' ').next()?.parse().ok().map(day_of)
}

/// A moment as RFC 3339 writes it, in UTC.
pub fn time_text(at: ticktide_base::time::Nanos) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at)).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// A date in days since 1970 as YYYY-MM-DD.
pub fn date_text(day: i32) -> String {
    date_of(day).map_or_else(|| day.to_string(), |date| date.to_string())
}

/// A date, or `ever` for one before all dates.
fn day_text(day: i32) -> String {
    date_of(day).map_or_else(|| "ever".to_owned(), |date| date.to_string())
}

fn days_text(days: &[bool; 7]) -> String {
    let names: Vec<&str> = DAY_NAMES.iter().zip(days).filter_map(|(name, trades)| trades.then_some(*name)).collect();
    names.join(",")
}

fn joined<'a>(all: impl Iterator<Item = &'a String>) -> String {
    all.map(String::as_str).collect::<Vec<_>>().join(",")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
