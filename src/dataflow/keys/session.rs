//! The key `session`: a preset's name, custom hours, or a calendar file.

use super::key::{Key, KeyType, Own, Read, Show};
use super::section::{Section, names};
use super::values;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use ticktide_base::document::{Keys, LocatedValue, Location, Problems, Table, TomlValue};
use ticktide_base::error::nearest;
use ticktide_market::calendar::{CALENDARS, PRESETS, Session, file};

pub static SECTION: Section = Section {
    name: "",
    title: "Session",
    doc: "When the market is open. A bar ends with its phase of the session, and a horizon may be a session.",
    example: "",
    begin: |_| {},
    keys: &[SESSION, ZONE, OPEN, CLOSE, DAYS, FILE, INSTRUMENTS],
};

/// The keys of a custom session.
const CUSTOM: &[Key] = &[ZONE, OPEN, CLOSE, DAYS];
/// The keys of a session that a calendar defines.
const CALENDAR: &[Key] = &[FILE, INSTRUMENTS];

const SESSION: Key = Key::of_rows(
    "session",
    "When the market is open: the name of a session, hours of your own, or a calendar.",
    KeyType::Own(Own {
        name: "text or table",
        default: "\"utc-day\"",
        read: Read::With(|keys, dataflow| (dataflow.session, dataflow.session_text) = read(keys)),
        show: Show::One(|dataflow| Some(json!(dataflow.session_text))),
        schema: || {
            let presets: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            let custom = values::table(CUSTOM, &["zone", "open", "close"]);
            json!({ "anyOf": [values::words(&presets), custom, values::table(CALENDAR, &["calendar"])] })
        },
    }),
)
.hashed_as(|dataflow| vec![("session".to_owned(), json!(dataflow.session.describe()))]);

const ZONE: Key = part("session.zone", "The IANA name of the time zone of `open` and `close`.", TEXT);
const OPEN: Key = part("session.open", "When a session opens, HH:MM.", TEXT);
const CLOSE: Key =
    part("session.close", "When it closes, HH:MM; if that is not after `open`, it opens on the day before.", TEXT);
const DAYS: Key = part(
    "session.days",
    "The days on which it closes, e.g. `[\"mon-fri\"]`; by default Monday to Friday.",
    ("text or list of texts", values::texts),
);
const FILE: Key = part(
    "session.calendar",
    "The name of a calendar, or the path of its file ending in .toml, relative to the dataflow's file.",
    TEXT,
);
const INSTRUMENTS: Key = part(
    "session.instruments.*",
    "The tokens of the instruments of a class, for a class of the calendar that lists its instruments.",
    ("text or list of texts", || json!({ "type": "object", "additionalProperties": values::texts() })),
);

/// A type's name for the user, and its values.
type Shape = (&'static str, fn() -> Json);
const TEXT: Shape = ("text", || json!({ "type": "string" }));

/// A key inside the table of a session; the session shows it.
const fn part(path: &'static str, doc: &'static str, (name, schema): Shape) -> Key {
    Key::of_rows(path, doc, KeyType::Own(Own { name, default: "", read: Read::ByWhole, show: Show::No, schema }))
}

const EXAMPLE: &str = "or { zone = \"Europe/London\", open = \"08:00\", close = \"16:30\", days = [\"mon-fri\"] }, or { calendar = \
                      \"FILE.toml\" }";

fn default() -> (Session, String) {
    (Session::preset("utc-day").expect("a preset"), "utc-day".to_owned())
}

/// The session, and how the file names it.
fn read(keys: &Keys<'_>) -> (Session, String) {
    let Some(node) = keys.node("session") else { return default() };
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    match &node.value {
        TomlValue::Text(name) => match Session::preset(name) {
            Some(session) => (session, name.clone()),
            None => {
                let near = nearest(name, &names).map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
                let hint = format!("{near}there are {}, {EXAMPLE}", names.join(", "));
                keys.problems().add(&node.place, format!("there is no session {name:?}"), hint);
                default()
            }
        },
        TomlValue::Table(table) if table.get("calendar").is_some() => {
            calendar(table, keys.problems()).unwrap_or_else(default)
        }
        TomlValue::Table(table) => custom(table, node, keys.problems()).unwrap_or_else(default),
        _ => {
            keys.wrong_type("session", node, "a name or a table", format!("one of {}, {EXAMPLE}", names.join(", ")));
            default()
        }
    }
}

fn custom(table: &Table, node: &LocatedValue, problems: &Problems) -> Option<(Session, String)> {
    let keys = Keys::new("`session`", table, &names(CUSTOM, "session."), problems);
    for key in ["zone", "open", "close"] {
        if keys.node(key).is_none() {
            problems.add(
                &node.place,
                format!("`session` has no `{key}`"),
                "a session needs `zone`, `open` and `close`",
            );
        }
    }
    let days = keys.texts("days").unwrap_or_default();
    let (zone, open, close) = (keys.text("zone"), keys.text("open"), keys.text("close"));
    let ((zone, _), (open, _), (close, _)) = (zone?, open?, close?);
    match Session::custom(&zone, &open, &close, &days) {
        Ok(session) => Some((session, format!("{zone} {open}-{close} {}", days.join(",")).trim_end().to_owned())),
        Err(error) => {
            let hint = "zones are IANA names, times \"HH:MM\", days \"mon\" or \"mon-fri\"";
            problems.add(&node.place, format!("`session`: {error}"), hint);
            None
        }
    }
}

/// A calendar by its name or its file, with the instruments of classes that list theirs.
fn calendar(table: &Table, problems: &Problems) -> Option<(Session, String)> {
    let keys = Keys::new("`session`", table, &names(CALENDAR, "session."), problems);
    let (name, place) = keys.text("calendar")?;
    let mut session = if names_a_file(&name) {
        let path = beside(place, &name);
        match std::fs::read_to_string(&path) {
            Ok(text) => file::parse(&path.to_string_lossy(), &text, problems),
            Err(error) => {
                let hint = "its path is relative to the dataflow's file";
                problems.add(place, format!("the calendar {} cannot be read: {error}", path.display()), hint);
                return None;
            }
        }
    } else {
        let named = CALENDARS.iter().any(|(calendar, _)| *calendar == name);
        named.then(|| Session::preset(&name)).flatten().or_else(|| {
            let names: Vec<&str> = CALENDARS.iter().map(|(calendar, _)| *calendar).collect();
            let hint = format!("there are {}; give a file of your own by its path, ending in .toml", names.join(", "));
            problems.add(place, format!("there is no calendar {name:?}"), hint);
            None
        })?
    };
    if let Some(listed) = keys.table("instruments", "{ closing_auction = [\"2885\"] }") {
        let classes: Vec<&str> = listed.entries().map(|(class, ..)| class).collect();
        let below = Keys::new("`instruments`", listed, &classes, problems);
        for (class, place, _) in listed.entries() {
            let tokens = below.texts(class).unwrap_or_default();
            if let Err(others) = session.list_instruments(class, tokens) {
                let hint = match others.is_empty() {
                    true => "no class of the calendar has a list of `instruments`".to_owned(),
                    false => format!("the classes with a list of `instruments` are {}", others.join(", ")),
                };
                problems.add(place, format!("the calendar has no class {class:?} that lists instruments"), hint);
            }
        }
    }
    Some((session, format!("calendar {name}")))
}

fn names_a_file(name: &str) -> bool {
    name.ends_with(".toml") || name.contains('/')
}

/// A path relative to the file of a place.
fn beside(place: &Location, path: &str) -> PathBuf {
    match place {
        Location::File { file, .. } => {
            Path::new(&**file).parent().map_or_else(|| path.into(), |folder| folder.join(path))
        }
        _ => path.into(),
    }
}
