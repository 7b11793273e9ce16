//! The key `bars`, and the two keys for tables beside those of bars.

use super::key::{Key, KeyType, Own, Read, Show, field};
use super::section::{Section, names};
use super::values;
use serde_json::json;
use ticktide_base::document::{Keys, Location, TomlValue, duration_text};
use ticktide_base::time::{DAY, Interval, MILLI, MINUTE, Nanos, SECOND};

const EXAMPLE: &str = "[{ use = \"time\", every = \"1m\" }]";
/// What may end a bar.
const USES: &[&str] = &["time"];
/// The longest a bar can be.
const LONGEST: Nanos = DAY;
/// The most intervals: as many as a tick's mask has bits.
const INTERVALS_MOST: usize = u32::BITS as usize;

pub static TABLES: Section = Section {
    name: "",
    title: "Tables beside the bars",
    doc: "Which tables a lake has in addition to bars, readings, anomalies and quarantine.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::of_rows("ticks", "Whether the table `ticks` keeps every accepted tick.", KeyType::Flag(field!(ticks))),
        Key::of_rows(
            "instruments",
            "Whether instrument masters and price bands are kept, and joined to bars.",
            KeyType::Flag(field!(instruments)),
        ),
    ],
};

pub static SECTION: Section = Section {
    name: "",
    title: "Bars",
    doc: "The widths of the bars. Each of them is a multiple of the finest one.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::of_rows(
            "bars",
            "The bars that are made, at most 32 widths, each with a table of its own.",
            KeyType::Own(BARS),
        ),
        Key::of_rows("bars[].use", "What ends a bar.", KeyType::Own(USE)),
        Key::of_rows("bars[].every", "How wide a bar is: whole milliseconds, at most a day.", KeyType::Own(EVERY)),
    ],
};

const BARS: Own = Own {
    name: "list of tables",
    default: "[{ use = \"time\", every = \"1s\" }, { use = \"time\", every = \"1m\" }]",
    read: Read::With(|keys, dataflow| dataflow.bars = intervals(keys)),
    show: Show::One(|dataflow| Some(dataflow.bars.iter().map(|interval| json!(interval.name())).collect())),
    schema: || {
        let parts = SECTION.keys.iter().filter(|key| key.path.starts_with("bars[]."));
        let bar = values::table(parts, &["every"]);
        json!({ "type": "array", "minItems": 1, "maxItems": INTERVALS_MOST, "items": bar })
    },
};

const USE: Own =
    Own { name: "time", default: "\"time\"", read: Read::ByWhole, show: Show::No, schema: || values::words(USES) };

const EVERY: Own =
    Own { name: "duration from 1ms to 1d", default: "", read: Read::ByWhole, show: Show::No, schema: values::duration };

fn intervals(keys: &Keys<'_>) -> Vec<Interval> {
    let default = || vec![Interval(SECOND), Interval(MINUTE)];
    let Some(items) = keys.list("bars", EXAMPLE) else { return default() };
    let problems = keys.problems();
    let mut found: Vec<(Interval, &Location)> = Vec::new();
    for item in items {
        let TomlValue::Table(table) = &item.value else {
            keys.wrong_type("bars", item, "a table", format!("e.g. `bars = {EXAMPLE}`"));
            continue;
        };
        let bar = Keys::new("a bar", table, &names(SECTION.keys, "bars[]."), problems);
        bar.choice("use", USES);
        if bar.node("every").is_none() {
            problems.add(&item.place, "a bar has no `every`", "e.g. `every = \"1m\"`");
        }
        let Some((nanos, place)) = bar.duration("every") else { continue };
        if !(MILLI..=LONGEST).contains(&nanos) || nanos % MILLI != 0 {
            let message = format!("`every` is {}, which is not a width for a bar", duration_text(nanos));
            problems.add(place, message, "a bar has whole milliseconds, at most \"1d\"");
        } else if found.iter().any(|(interval, _)| interval.0 == nanos) {
            problems.add(place, format!("there are two bars of {}", duration_text(nanos)), "remove one of them");
        } else {
            found.push((Interval(nanos), place));
        }
    }
    if items.is_empty() {
        let place = keys.node("bars").map_or(Location::Name("bars".to_owned()), |node| node.place.clone());
        problems.add(&place, "`bars` is empty", format!("a dataflow makes bars: `bars = {EXAMPLE}`"));
    }
    if found.len() > INTERVALS_MOST {
        let place = keys.node("bars").map_or(Location::Name("bars".to_owned()), |node| node.place.clone());
        let message = format!("`bars` has {} intervals, the most is {INTERVALS_MOST}", found.len());
        problems.add(&place, message, "leave some out: a query can add up finer bars to coarser ones");
        return default();
    }
    let Some(finest) = found.iter().map(|(interval, _)| *interval).min() else { return default() };
    for (interval, place) in &found {
        if interval.0 % finest.0 != 0 {
            let (interval, finest) = (duration_text(interval.0), duration_text(finest.0));
            let message = format!("`every` is {interval}, which is not a multiple of the finest bar, {finest}");
            problems.add(place, message, "coarser bars are made of the finest ones: choose multiples of it");
        }
    }
    let mut intervals: Vec<Interval> = found.into_iter().map(|(interval, _)| interval).collect();
    intervals.sort();
    intervals
}
