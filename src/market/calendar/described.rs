//! A session from its own words: the words that a lake has recorded are enough to judge its records again.
//!
//! Why from the words and not from a file: a calendar's file may have been moved or changed since. What must always hold: a
//! session describes itself in the words that it was read from; they do not contain the names of holidays.

use super::Session;
use super::class::{ClassSpec, Different, Phase, Timetable};
use super::wall::{DAY_NAMES, day_of};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

impl Session {
    /// The session that [`Session::describe`] describes in these words; `None`: the words describe none.
    ///
    /// ```
    /// use ticktide_market::calendar::Session;
    /// let us = Session::preset("us").unwrap();
    /// assert_eq!(Session::described(&us.describe()), Some(us));
    /// assert_eq!(Session::described("always"), None);
    /// ```
    pub fn described(words: &str) -> Option<Session> {
        let session = if words.contains('\n') { calendar(words) } else { plain(words) }?;
        (session.describe() == words).then_some(session)
    }
}

fn plain(words: &str) -> Option<Session> {
    let (zone, rest) = words.split_once(' ')?;
    let (days, timed) = rest.split_once(' ')?;
    let names: Vec<String> = timed.split(' ').step_by(2).map(str::to_owned).collect();
    let timetable = Timetable { from: i32::MIN, days: weekdays(days), phases: phases(timed, &names)? };
    Some(Session {
        zone: TimeZone::get(zone).ok()?,
        zone_name: zone.to_owned(),
        phases: names,
        auctions: Vec::new(),
        classes: vec![ClassSpec { timetables: vec![timetable], ..ClassSpec::all("all") }],
        known: None,
    })
}

fn calendar(words: &str) -> Option<Session> {
    let mut lines = words.lines();
    let zone = lines.next()?;
    let starred: Vec<&str> = lines.next()?.strip_prefix("phases ")?.split(' ').collect();
    let auctions = starred.iter().enumerate().filter(|(_, name)| name.ends_with('*'));
    let mut session = Session {
        zone: TimeZone::get(zone).ok()?,
        zone_name: zone.to_owned(),
        auctions: auctions.map(|(index, _)| index as u8).collect(),
        phases: starred.iter().map(|name| name.trim_end_matches('*').to_owned()).collect(),
        classes: Vec::new(),
        // the session that a lake was made with is taken as it was
        known: Some((i32::MIN, i32::MAX)),
    };
    for line in lines {
        let (what, rest) = line.split_once(' ')?;
        match what {
            "class" => session.classes.push(class(rest)?),
            "from" | "on" => dated(&mut session, what, rest)?,
            _ => return None,
        }
    }
    (!session.classes.is_empty()).then_some(session)
}

/// `NAME VENUES`, and `TOKENS` of a class that lists its instruments.
fn class(words: &str) -> Option<ClassSpec> {
    let mut words = words.split(' ');
    let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    Some(ClassSpec {
        name: words.next()?.to_owned(),
        venues: list(words.next()?),
        instruments: words.next().map(|tokens| list(tokens).into_iter().collect()),
        timetables: Vec::new(),
        different: BTreeMap::new(),
    })
}

/// After `from`: `DATE CLASS DAYS PHASES…`; after `on`: `DATE CLASS PHASES…`.
fn dated(session: &mut Session, what: &str, words: &str) -> Option<()> {
    let (date, rest) = words.split_once(' ')?;
    let day = if date == "ever" { i32::MIN } else { day_of(date.parse().ok()?) };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let class = session.classes.iter_mut().find(|class| class.name == name)?;
    if what == "on" {
        let phases = phases(rest, &session.phases)?;
        class.different.insert(day, Different { name: String::new(), phases });
    } else {
        let (days, timed) = rest.split_once(' ').unwrap_or((rest, ""));
        let phases = phases(timed, &session.phases)?;
        class.timetables.push(Timetable { from: day, days: weekdays(days), phases });
    }
    Some(())
}

fn weekdays(days: &str) -> [bool; 7] {
    DAY_NAMES.map(|name| days.split(',').any(|day| day == name))
}

/// `NAME OPEN..CLOSE …`, in minutes.
fn phases(timed: &str, names: &[String]) -> Option<Vec<Phase>> {
    let words: Vec<&str> = timed.split(' ').filter(|word| !word.is_empty()).collect();
    let (pairs, []) = words.as_chunks::<2>() else { return None };
    let phase = |[name, span]: &[&str; 2]| {
        let (open, close) = span.split_once("..")?;
        let phase = names.iter().position(|known| known == name)? as u8;
        Some(Phase { phase, open: open.parse().ok()?, close: close.parse().ok()? })
    };
    pairs.iter().map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::PRESETS;

    /// Everything but the names of holidays and the dates between which they are known.
    #[test]
    fn every_session_is_read_from_its_own_words() {
        let mut nse = Session::preset("nse").expect("a preset");
        nse.list_instruments("closing_auction", vec!["2885".into(), "1594".into()]).expect("it lists its own");
        let custom = Session::custom("Europe/London", "22:00", "16:30", &["fri".into(), "sun".into()]).expect("good");
        let presets = PRESETS.iter().filter_map(|(name, _)| Session::preset(name));
        for session in presets.chain([nse, custom]) {
            let words = session.describe();
            let read = Session::described(&words).unwrap_or_else(|| panic!("it is a session: {words}"));
            assert_eq!(read.describe(), words);
            for day in [20_000, 20_123, 20_454, 20_500] {
                for class in session.classes() {
                    assert!(read.phases_of(class, day).eq(session.phases_of(class, day)), "{words}: {day}");
                    assert_eq!(read.class_name(class), session.class_name(class));
                }
            }
            assert!((0..session.phase_count()).all(|phase| read.is_auction(phase) == session.is_auction(phase)));
        }
    }

    #[test]
    fn other_words_are_no_session() {
        for words in [
            "",
            "UTC",
            "UTC mon",
            "Mars mon regular 0..1440",
            "UTC mon regular 0",
            "UTC mon regular x..5",
            "UTC\nphases a",
            "UTC\nphases a\nclass x \nfrom ever y mon a 0..5",
            "UTC\nphases a\nclass x \nfrom ever x mon b 0..5",
            "UTC\nphases a\nclass x \nsince ever x mon a 0..5",
        ] {
            assert!(Session::described(words).is_none(), "{words:?}");
        }
    }
}
