//! Calendar files: TOML in, a session out, every problem with its place.
//!
//! ```text
//!   zone = "Asia/Kolkata"                                   phases = ["pre_open", "continuous"]     auctions = ["pre_open"]
//!   known = { from = 2024-01-01, until = 2026-12-31 }       dates whose holidays are listed
//!   [[class]]      name, venues, instruments                the last one has neither: it takes what no other takes
//!   [[timetable]]  classes, from, until, days, phases, source
//!   [[holidays]]   classes, days = ["2024-01-26 Republic Day"], source
//!   [[special]]    classes, days, phases, source            in place of the day's timetable, on a holiday too
//! ```
//!
//! Why the phases are listed first: their positions are the numbers by which bars and a lake's state know them. What must
//! always hold: whatever the file says, no function panics on the session that is read; it is valid if no problem was added.

use super::Session;
use super::class::{ClassSpec, Different, Phase, Timetable};
use super::wall::{DAY_MINUTES, WORKDAYS, date_of, day_of, minutes, weekdays};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use ticktide_base::document::{self, Keys, LocatedValue, Location, Problems, Table, TomlValue};
use ticktide_base::error::nearest;

const KEYS: &[&str] = &["zone", "phases", "auctions", "known", "class", "timetable", "holidays", "special"];
const PHASES_EXAMPLE: &str = "[\"pre_open 09:00-09:15\", \"continuous 09:15-15:30\"]";

/// Whether the text of a file is that of a calendar and not of a dataflow.
pub fn is_calendar(text: &str) -> bool {
    let table = document::parse("", text, &Problems::default());
    ["timetable", "class", "zone"].iter().any(|key| table.get(key).is_some())
}

/// Reads the text of a calendar; `file` is what problems call it.
pub fn parse(file: &str, text: &str, problems: &Problems) -> Session {
    let table = document::parse(file, text, problems);
    let keys = Keys::new("a calendar", &table, KEYS, problems);
    let top = Location::File { file: file.into(), line: 1, column: 1 };
    let mut reading = Reading { keys, top, phases: Vec::new(), classes: Vec::new() };
    reading.phases = reading.names("phases", &[]);
    let known = reading.known();
    let auctions = reading.auctions();
    reading.classes();
    reading.timetables();
    reading.days("holidays");
    reading.days("special");
    reading.overlaps();
    let zone_name = reading.zone();
    Session {
        zone: TimeZone::get(&zone_name).unwrap_or(TimeZone::UTC),
        zone_name,
        phases: reading.phases,
        auctions,
        classes: reading.classes,
        known: Some(known),
    }
}

/// A calendar while it is read.
struct Reading<'a> {
    keys: Keys<'a>,
    /// The place of problems about what is missing.
    top: Location,
    phases: Vec<String>,
    classes: Vec<ClassSpec>,
}

impl<'a> Reading<'a> {
    fn problem(&self, place: &Location, message: impl Into<String>, hint: impl Into<String>) {
        self.keys.problems().add(place, message, hint);
    }

    fn zone(&self) -> String {
        match self.keys.text("zone") {
            Some((zone, place)) => {
                if TimeZone::get(&zone).is_err() {
                    let hint = "zones are IANA names, e.g. `zone = \"Asia/Kolkata\"`";
                    self.problem(place, format!("unknown time zone {zone:?}"), hint);
                }
                zone
            }
            None => {
                if self.keys.node("zone").is_none() {
                    self.problem(&self.top, "a calendar has no `zone`", "e.g. `zone = \"Asia/Kolkata\"`");
                }
                "UTC".to_owned()
            }
        }
    }

    /// A list of names, each once and each one of `among` where that is not empty.
    fn names(&self, key: &str, among: &[String]) -> Vec<String> {
        let Some(node) = self.keys.node(key) else {
            if key == "phases" {
                self.problem(&self.top, "a calendar has no `phases`", "e.g. `phases = [\"pre_open\", \"continuous\"]`");
            }
            return Vec::new();
        };
        let names = self.keys.texts(key).unwrap_or_default();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                self.problem(&node.place, format!("`{key}` names {name:?} twice"), "leave one of them out");
            }
        }
        if !among.is_empty() {
            names.iter().for_each(|name| self.known_name(&node.place, "phase", name, among));
        }
        if names.len() > usize::from(u8::MAX) {
            self.problem(&node.place, format!("`{key}` has more than 255 names"), "use fewer");
        }
        names
    }

    fn known_name(&self, place: &Location, what: &str, name: &str, among: &[String]) {
        if among.iter().any(|known| known == name) {
            return;
        }
        let all: Vec<&str> = among.iter().map(String::as_str).collect();
        let hint = match nearest(name, &all) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the choices are {}", all.join(", ")),
        };
        self.problem(place, format!("there is no {what} {name:?}"), hint);
    }

    fn auctions(&self) -> Vec<u8> {
        let names = self.names("auctions", &self.phases);
        let place = |name: String| self.phases.iter().position(|phase| *phase == name).map(|place| place as u8);
        names.into_iter().filter_map(place).collect()
    }

    fn known(&self) -> (i32, i32) {
        let example = "{ from = 2024-01-01, until = 2026-12-31 }";
        let Some(table) = self.keys.table("known", example) else {
            if self.keys.node("known").is_none() {
                let hint = format!("give the dates between which its holidays are complete: `known = {example}`");
                self.problem(&self.top, "a calendar has no `known`", hint);
            }
            return (i32::MIN, i32::MAX);
        };
        let keys = Keys::new("`known`", table, &["from", "until"], self.keys.problems());
        let (from, until) = (date(&keys, "from"), date(&keys, "until"));
        if let (Some((from, _)), Some((until, place))) = (&from, &until)
            && from > until
        {
            self.problem(place, "`known` ends before it begins", format!("e.g. `known = {example}`"));
        }
        (from.map_or(i32::MIN, |(day, _)| day), until.map_or(i32::MAX, |(day, _)| day))
    }

    /// The tables of a repeated key, with their places.
    fn tables(&self, key: &str) -> Vec<(&'a Table, &'a Location)> {
        let Some(items) = self.keys.list(key, &format!("[[{key}]]")) else { return Vec::new() };
        let table = |item: &'a LocatedValue| match &item.value {
            TomlValue::Table(table) => Some((table, &item.place)),
            _ => {
                self.keys.wrong_type(key, item, "a table", format!("write it as `[[{key}]]`"));
                None
            }
        };
        items.iter().filter_map(table).collect()
    }

    fn classes(&mut self) {
        let mut classes: Vec<ClassSpec> = Vec::new();
        let tables = self.tables("class");
        for (index, (table, place)) in tables.iter().enumerate() {
            let keys = Keys::new("a class", table, &["name", "venues", "instruments"], self.keys.problems());
            let Some((name, name_place)) = keys.text("name") else {
                if keys.node("name").is_none() {
                    self.problem(place, "a class has no `name`", "e.g. `name = \"stocks\"`");
                }
                continue;
            };
            if classes.iter().any(|class| class.name == name) {
                self.problem(name_place, format!("there are two classes {name:?}"), "rename one of them");
            }
            let instruments = keys.texts("instruments").map(|all| all.into_iter().collect::<BTreeSet<String>>());
            let venues = keys.texts("venues").unwrap_or_default();
            let takes_all = venues.is_empty() && instruments.is_none();
            if takes_all != (index + 1 == tables.len()) {
                let hint = "the last class, and no other, has neither `venues` nor `instruments`: it takes the rest";
                self.problem(
                    place,
                    format!("class {name:?} takes {}", if takes_all { "everything" } else { "too little" }),
                    hint,
                );
            }
            classes.push(ClassSpec { venues, instruments, ..ClassSpec::all(&name) });
        }
        if classes.is_empty() && tables.is_empty() {
            self.problem(&self.top, "a calendar has no class", "e.g. `[[class]]` with `name = \"stocks\"`");
        }
        if classes.len() > usize::from(u8::MAX) {
            self.problem(&self.top, "a calendar has more than 255 classes", "merge some of them");
            classes.truncate(usize::from(u8::MAX));
        }
        if classes.is_empty() {
            classes.push(ClassSpec::all("all"));
        }
        self.classes = classes;
    }

    /// The indices of the classes that a table names; all classes if it names none.
    fn classes_of(&self, keys: &Keys<'_>) -> Vec<usize> {
        let Some(node) = keys.node("classes") else { return (0..self.classes.len()).collect() };
        let all: Vec<String> = self.classes.iter().map(|class| class.name.clone()).collect();
        let names = keys.texts("classes").unwrap_or_default();
        names.iter().for_each(|name| self.known_name(&node.place, "class", name, &all));
        (0..all.len()).filter(|place| names.contains(&all[*place])).collect()
    }

    fn timetables(&mut self) {
        let known = ["classes", "from", "until", "days", "phases", "source"];
        for (table, place) in self.tables("timetable") {
            let keys = Keys::new("a timetable", table, &known, self.keys.problems());
            let (from, until) = (date(&keys, "from"), date(&keys, "until"));
            let days = self.weekdays(&keys);
            let phases = self.phases_of(&keys, place);
            self.source(&keys, "a timetable", place);
            let from = from.map_or(i32::MIN, |(day, _)| day);
            for class in self.classes_of(&keys) {
                let timetables = &mut self.classes[class].timetables;
                timetables.push(Timetable { from, days, phases: phases.clone() });
                if let Some((until, _)) = until {
                    timetables.push(Timetable::none(until.saturating_add(1)));
                }
            }
            if let Some((until, place)) = until.filter(|(until, _)| *until < from) {
                let until = date_of(until).map_or(String::new(), |date| date.to_string());
                self.problem(
                    place,
                    format!("the timetable ends on {until}, before it begins"),
                    "`until` is its last date",
                );
            }
        }
        for at in 0..self.classes.len() {
            // an end gives way to a timetable that begins on the same date
            self.classes[at].timetables.sort_by_key(|timetable| (timetable.from, timetable.phases.is_empty()));
            let name = self.classes[at].name.clone();
            let mut twice = Vec::new();
            self.classes[at].timetables.dedup_by(|next, kept| {
                let same = next.from == kept.from;
                twice.extend((same && !next.phases.is_empty()).then_some(next.from));
                same
            });
            for day in twice {
                let from = date_of(day).map_or("without `from`".to_owned(), |date| format!("from {date}"));
                self.problem(
                    &self.top,
                    format!("class {name:?} has two timetables {from}"),
                    "give each timetable its own `from`",
                );
            }
            if self.classes[at].timetables.is_empty() {
                self.problem(
                    &self.top,
                    format!("class {name:?} has no timetable"),
                    "e.g. `[[timetable]]` with `phases`",
                );
            }
        }
    }

    fn weekdays(&self, keys: &Keys<'_>) -> [bool; 7] {
        let Some(node) = keys.node("days") else { return WORKDAYS };
        match keys.texts("days").map(|names| weekdays(&names)) {
            Some(Ok(days)) => days,
            Some(Err(error)) => {
                self.problem(&node.place, format!("`days`: {error}"), "e.g. `days = [\"mon-fri\"]`");
                WORKDAYS
            }
            None => WORKDAYS,
        }
    }

    fn source(&self, keys: &Keys<'_>, what: &str, place: &Location) {
        if keys.node("source").is_none() {
            let hint = "name where it comes from: a circular, a page, e.g. `source = \"NSE/CMTR/65587\"`";
            self.problem(place, format!("{what} has no `source`"), hint);
        } else {
            keys.text("source");
        }
    }

    /// The phases of a timetable or a special session, in order.
    fn phases_of(&self, keys: &Keys<'_>, place: &Location) -> Vec<Phase> {
        let Some(items) = keys.list("phases", PHASES_EXAMPLE) else {
            if keys.node("phases").is_none() {
                self.problem(place, "there are no `phases`", format!("e.g. `phases = {PHASES_EXAMPLE}`"));
            }
            return Vec::new();
        };
        let mut phases: Vec<Phase> = Vec::new();
        for item in items {
            let TomlValue::Text(text) = &item.value else {
                keys.wrong_type("phases", item, "a list of texts", format!("e.g. `phases = {PHASES_EXAMPLE}`"));
                continue;
            };
            let Some(phase) = self.phase(text, &item.place, phases.is_empty()) else { continue };
            if phases.last().is_some_and(|before| before.close > phase.open) {
                self.problem(
                    &item.place,
                    format!("{text:?} begins before the previous phase ends"),
                    "put them in order",
                );
                continue;
            }
            phases.push(phase);
        }
        phases
    }

    /// "NAME HH:MM-HH:MM"; the first one of a day may open on the evening before.
    fn phase(&self, text: &str, place: &Location, first: bool) -> Option<Phase> {
        let hint = "a phase is a name and two times, e.g. \"continuous 09:15-15:30\"";
        let wrong = |message: String| {
            self.problem(place, message, hint);
            None
        };
        let parts = text.split_once(' ').and_then(|(name, times)| Some((name, times.trim().split_once('-')?)));
        let Some((name, (open, close))) = parts else { return wrong(format!("{text:?} is not a phase")) };
        let (mut open, close) = match (minutes(open), minutes(close)) {
            (Ok(open), Ok(close)) => (open, close),
            (Err(error), _) | (_, Err(error)) => return wrong(format!("{text:?}: {error}")),
        };
        if open >= close {
            if !first {
                return wrong(format!("{text:?} ends before it begins"));
            }
            open -= DAY_MINUTES;
        }
        self.known_name(place, "phase", name, &self.phases);
        let phase = self.phases.iter().position(|known| known == name)?;
        Some(Phase { phase: u8::try_from(phase).ok()?, open, close })
    }

    /// Holidays, or special sessions instead of the timetable.
    fn days(&mut self, key: &str) {
        let special = key == "special";
        let known: &[&str] =
            if special { &["classes", "days", "phases", "source"] } else { &["classes", "days", "source"] };
        let mut met: BTreeSet<(usize, i32)> = BTreeSet::new();
        for (table, place) in self.tables(key) {
            let what = format!("`{key}`");
            let keys = Keys::new(&what, table, known, self.keys.problems());
            self.source(&keys, &what, place);
            let phases = if special { self.phases_of(&keys, place) } else { Vec::new() };
            let classes = self.classes_of(&keys);
            let example = "[\"2024-01-26 Republic Day\"]";
            let items = keys.list("days", example).unwrap_or_default();
            if keys.node("days").is_none() {
                self.problem(place, format!("{what} has no `days`"), format!("e.g. `days = {example}`"));
            }
            for item in items {
                let hint = format!("a day is a date and its name: `days = {example}`");
                let TomlValue::Text(text) = &item.value else {
                    keys.wrong_type("days", item, "a list of texts", hint);
                    continue;
                };
                let (date, name) = text.split_once(' ').unwrap_or((text, ""));
                let Ok(date) = date.parse::<Date>() else {
                    self.problem(&item.place, format!("{text:?} is not a day"), hint);
                    continue;
                };
                let day = day_of(date);
                for class in &classes {
                    if !met.insert((*class, day)) {
                        let name = &self.classes[*class].name;
                        self.problem(
                            &item.place,
                            format!("{date} is listed twice for class {name:?}"),
                            "leave one of them out",
                        );
                    }
                    let different = Different { name: name.trim().to_owned(), phases: phases.clone() };
                    self.classes[*class].different.insert(day, different);
                }
            }
        }
    }

    fn overlaps(&self) {
        for class in &self.classes {
            if let Some(date) = class.overlap().and_then(date_of) {
                let message = format!("class {:?} opens on {date} before the previous day has ended", class.name);
                self.problem(&self.top, message, "let a day's phases begin after those of the day before");
            }
        }
    }
}

/// A date of a table, days since 1970.
fn date<'a>(keys: &Keys<'a>, key: &str) -> Option<(i32, &'a Location)> {
    let read = |text: &str| match text.parse::<Date>() {
        Ok(date) => Ok(day_of(date)),
        Err(_) => Err(("which is not a date".to_owned(), format!("e.g. `{key} = 2026-08-03`"))),
    };
    keys.read(key, read)
}
