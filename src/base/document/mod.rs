//! A settings document: TOML and the flags on top of it, read key by key, every problem with its place.
//!
//! ```text
//!   file ──TOML──▶ Table ◀──put── flags, environment, --set          Keys ──text, duration, list …──▶ values
//!                    └──────────── one tree; each node knows its place ──▶ ┘└──▶ Problems (all of them, sorted)
//! ```
//!
//! Why not serde: it stops at the first error, and the place of a value is gone once flags are laid over the file. What must
//! always hold: reading never stops at a problem, a key that nobody reads is a problem, and each problem names its place.

use crate::error::nearest;
use crate::time::{DAY, HOUR, MICRO, MILLI, MINUTE, Nanos, SECOND};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line and column count from 1.
    File { file: Arc<str>, line: usize, column: usize },
    /// `--set key=value`.
    Set(String),
    /// A flag of its own (`--brokers`).
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The name of the document itself.
    Name(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Set(text) => write!(f, "--set {}", masked(text)),
            Place::Flag(name) | Place::Environment(name) => f.write_str(name),
            Place::Name(name) => f.write_str(name),
        }
    }
}

/// Whether a setting of this name holds what nobody may see.
pub fn looks_secret(name: &str) -> bool {
    ["password", "secret", "token", "key.pem", "credential"].iter().any(|word| name.contains(word))
}

/// A `--set` as it may be shown: without its value where a secret may be in it.
fn masked(setting: &str) -> std::borrow::Cow<'_, str> {
    match setting.split_once('=') {
        Some((key, _)) if looks_secret(setting) => format!("{key}=***").into(),
        _ => setting.into(),
    }
}

/// Something that the user must change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    pub message: String,
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All problems met so far; shared by every [`Keys`] of a document.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    /// Where a value could not be read at all: what stands there in its stead says nothing.
    unread: RefCell<BTreeSet<Place>>,
}

impl Problems {
    pub fn add(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        if self.unread.borrow().contains(place) {
            return;
        }
        let problem = Problem { place: place.clone(), message: message.into(), hint: hint.into() };
        self.found.borrow_mut().push(problem);
    }

    /// As [`Problems::add`]; nothing else is a problem at this place then.
    fn add_unread(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        self.add(place, message, hint);
        self.unread.borrow_mut().insert(place.clone());
    }

    /// The problems in the order of their places, each once.
    pub fn take(&self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut *self.found.borrow_mut());
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A TOML date or time, as written.
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// A scalar as it would be written in a setting; `None` for lists and tables.
    pub fn scalar(&self) -> Option<String> {
        match self {
            Value::Text(text) | Value::Date(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::List(_) | Value::Table(_) => None,
        }
    }
}

/// The entries of a table in the order of their names, each with the place of its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(String, Place, Node)>);

impl Table {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(name, ..)| name == key).map(|(_, _, node)| node)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Place, &Node)> {
        self.0.iter().map(|(name, place, node)| (name.as_str(), place, node))
    }

    /// Lays a value over whatever is at the path; tables on the way are made where they are missing.
    pub fn put(&mut self, path: &[String], node: Node) {
        let [first, rest @ ..] = path else { return };
        let index = match self.0.iter().position(|(name, ..)| name == first) {
            Some(index) => index,
            None => {
                let empty = Node { value: Value::Table(Table::default()), place: node.place.clone() };
                self.0.push((first.clone(), node.place.clone(), empty));
                self.0.len() - 1
            }
        };
        let (_, key_place, slot) = &mut self.0[index];
        if rest.is_empty() {
            key_place.clone_from(&node.place);
            *slot = node;
            return;
        }
        if !matches!(slot.value, Value::Table(_)) {
            *slot = Node { value: Value::Table(Table::default()), place: node.place.clone() };
        }
        let Value::Table(below) = &mut slot.value else { unreachable!("made a table just above") };
        below.put(rest, node);
    }

    /// Every leaf under its dotted path; lists count as leaves.
    pub fn leaves(&self) -> Vec<(String, &Node)> {
        let mut leaves = Vec::new();
        for (name, _, node) in self.entries() {
            match &node.value {
                Value::Table(below) => {
                    leaves.extend(below.leaves().into_iter().map(|(path, leaf)| (format!("{name}.{path}"), leaf)));
                }
                _ => leaves.push((name.to_owned(), node)),
            }
        }
        leaves
    }
}

/// Reads a file's text; what is not TOML becomes problems and whatever could be read is returned.
pub fn parse(file: &str, text: &str, problems: &Problems) -> Table {
    let lines = Lines { file: file.into(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = lines.place(error.span().map_or(0, |span| span.start));
        problems.add(&place, error.message(), "see https://toml.io for how to write it");
    }
    lines.table(table.get_ref(), problems)
}

/// Reads `key=value` of `--set`: the key is dotted as in TOML, a value that is no TOML is text.
pub fn parse_set(setting: &str, problems: &Problems) -> Option<(Vec<String>, Node)> {
    let place = Place::Set(setting.to_owned());
    let Some((key, value)) = setting.split_once('=') else {
        problems.add(&place, "a setting has the form key=value", "e.g. `--set grace=2s`");
        return None;
    };
    let Some(path) = dotted(key) else {
        problems.add(&place, format!("{key:?} is not a key"), "keys are dotted: `--set epoch.every=1s`");
        return None;
    };
    let written = format!("value = {value}");
    let lines = Lines { file: "".into(), text: &written };
    let within = Problems::default();
    let read = DeTable::parse(&written).ok().map(|table| lines.table(table.get_ref(), &within));
    within.take().into_iter().for_each(|problem| problems.add_unread(&place, problem.message, problem.hint));
    let value = match read {
        Some(Table(mut entries)) if entries.len() == 1 => entries.remove(0).2.value,
        _ => Value::Text(value.to_owned()),
    };
    Some((path, Node { value, place: place.clone() }.moved(&place)))
}

/// The parts of a dotted TOML key.
fn dotted(key: &str) -> Option<Vec<String>> {
    if key.contains('\n') {
        return None;
    }
    let written = format!("{key} = 0");
    let table = DeTable::parse(&written).ok()?;
    let mut path = Vec::new();
    let mut here = table.get_ref();
    loop {
        let (name, node) = here.iter().next()?;
        path.push(name.get_ref().to_string());
        match node.get_ref() {
            DeValue::Table(below) => here = below,
            _ => return Some(path),
        }
    }
}

impl Node {
    /// The same value with another place, down to its leaves.
    fn moved(self, place: &Place) -> Node {
        let value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|item| item.moved(place)).collect()),
            Value::Table(Table(entries)) => Value::Table(Table(
                entries.into_iter().map(|(name, _, node)| (name, place.clone(), node.moved(place))).collect(),
            )),
            scalar => scalar,
        };
        Node { value, place: place.clone() }
    }
}

/// Turns byte offsets of a file into places.
struct Lines<'t> {
    file: Arc<str>,
    text: &'t str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Place::File { file: self.file.clone(), line, column: before[line_start..].chars().count() + 1 }
    }

    fn table(&self, table: &DeTable<'_>, problems: &Problems) -> Table {
        let entry = |(name, node): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &Spanned<std::borrow::Cow<'_, str>> = name;
            (name.get_ref().to_string(), self.place(name.span().start), self.node(node, problems))
        };
        Table(table.iter().map(entry).collect())
    }

    fn node(&self, node: &Spanned<DeValue<'_>>, problems: &Problems) -> Node {
        let place = self.place(node.span().start);
        let value = match node.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(moment) => Value::Date(moment.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item, problems)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, problems)),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    problems.add_unread(
                        &place,
                        format!("{} does not fit into 64 bits", digits.as_str()),
                        "use a smaller number",
                    );
                    Value::Integer(0)
                }
            },
            DeValue::Float(digits) => Value::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
        };
        Node { value, place }
    }
}

/// One table while it is read: each reader method takes a key, notes problems and answers `None` for what is absent or wrong.
pub struct Keys<'a> {
    table: &'a Table,
    problems: &'a Problems,
}

impl<'a> Keys<'a> {
    /// Opens a table whose only keys are `known`; others are problems at once. `what` names the table ("`source`").
    pub fn new(what: &str, table: &'a Table, known: &[&str], problems: &'a Problems) -> Keys<'a> {
        for (name, place, _) in table.entries().filter(|(name, ..)| !known.contains(name)) {
            let hint = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", known.join(", ")),
            };
            problems.add(place, format!("unknown key `{name}` in {what}"), hint);
        }
        Keys { table, problems }
    }

    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key)
    }

    /// A value that is made from text by `read`; its error is the message's end ("is not a duration") and the hint.
    pub fn read<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, (String, String)>) -> Option<(T, &'a Place)> {
        let node = self.node(key)?;
        let Some(text) = node.value.scalar() else {
            let example = read("?").err().map_or(String::new(), |(_, hint)| hint);
            self.wrong_type(key, node, "text", example);
            return None;
        };
        match read(&text) {
            Ok(value) => Some((value, &node.place)),
            Err((fault, hint)) => {
                self.problems.add(&node.place, format!("`{key}` is {}, {fault}", shown(&node.value)), hint);
                None
            }
        }
    }

    pub fn duration(&self, key: &str) -> Option<(Nanos, &'a Place)> {
        self.read(key, |text| {
            duration(text).map_err(|fault| (fault, format!("write a number and a unit, e.g. `{key} = \"5s\"`")))
        })
    }

    /// One of a few words; the index of the word.
    pub fn choice(&self, key: &str, words: &[&str]) -> Option<usize> {
        let all = || words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let read = |text: &str| match words.iter().position(|word| *word == text) {
            Some(index) => Ok(index),
            None => Err(match nearest(text, words) {
                Some(near) => {
                    ("which is no choice".to_owned(), format!("did you mean `{key} = \"{near}\"`? there are {}", all()))
                }
                None => ("which is no choice".to_owned(), format!("set `{key}` to one of {}", all())),
            }),
        };
        self.read(key, read).map(|(index, _)| index)
    }

    pub fn text(&self, key: &str) -> Option<(String, &'a Place)> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some((text.clone(), &node.place)),
            other => {
                self.wrong_type(
                    key,
                    node,
                    "text",
                    format!("put it in quotes: `{key} = \"{}\"`", shown(other).trim_matches('"')),
                );
                None
            }
        }
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_type(key, node, "a boolean", format!("set `{key} = true` or `{key} = false`"));
        None
    }

    /// A whole number from `least` to `most`.
    pub fn whole(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let node = self.node(key)?;
        let hint = format!("set `{key}` between {least} and {most}");
        let Value::Integer(number) = node.value else {
            self.wrong_type(key, node, "a whole number", hint);
            return None;
        };
        match u64::try_from(number) {
            Ok(number) if number >= least && number <= most => Some(number),
            _ => {
                let bound = if i128::from(number) < i128::from(least) {
                    format!("the least is {least}")
                } else {
                    format!("the most is {most}")
                };
                self.problems.add(&node.place, format!("`{key}` is {number}, {bound}"), hint);
                None
            }
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let node = self.node(key)?;
        let hint = format!("e.g. `{key} = [\"one\", \"two\"]`");
        match &node.value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::List(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    match &item.value {
                        Value::Text(text) => texts.push(text.clone()),
                        _ => self.wrong_type(key, item, "a list of texts", hint.clone()),
                    }
                }
                (texts.len() == items.len()).then_some(texts)
            }
            _ => {
                self.wrong_type(key, node, "a list of texts", hint);
                None
            }
        }
    }

    /// A list of anything; what is no list is a problem.
    pub fn list(&self, key: &str, example: &str) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.wrong_type(key, node, "a list", format!("e.g. `{key} = {example}`"));
        None
    }

    pub fn table(&self, key: &str, example: &str) -> Option<&'a Table> {
        let node = self.node(key)?;
        if let Value::Table(table) = &node.value {
            return Some(table);
        }
        self.wrong_type(key, node, "a table", format!("e.g. `{key} = {example}`"));
        None
    }

    pub fn wrong_type(&self, key: &str, node: &Node, wanted: &str, hint: impl Into<String>) {
        let message = format!("`{key}` is {} ({}), it should be {wanted}", node.value.kind(), shown(&node.value));
        self.problems.add(&node.place, message, hint);
    }
}

/// A value on one line of a message.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("{} items", items.len()),
        Value::Table(table) => format!("{} keys", table.0.len()),
        scalar => scalar.scalar().expect("lists and tables are handled above"),
    }
}

/// Units of durations, greatest first.
const UNITS: [(&str, Nanos); 7] =
    [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLI), ("us", MICRO), ("ns", 1)];

/// Reads "200ms", "5s", "7d"; an error says what the text is not.
///
/// ```
/// use ticktide_base::document::duration;
/// assert_eq!(duration("200ms"), Ok(200_000_000));
/// assert!(duration("5").is_err());
/// ```
pub fn duration(text: &str) -> Result<Nanos, String> {
    let (number, unit) = split_number(text).ok_or("which is not a duration")?;
    let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or("which is not a duration")?;
    let nanos = number.checked_mul(unit.1).filter(|nanos| *nanos <= 36_500 * DAY);
    nanos.ok_or_else(|| "which is more than a hundred years".to_owned())
}

/// A duration in its greatest whole unit: the inverse of [`duration`].
pub fn duration_text(nanos: Nanos) -> String {
    let whole = UNITS.iter().find(|(_, unit)| nanos != 0 && nanos % unit == 0);
    whole.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", nanos / unit))
}

/// Reads "64MiB", "1GB", "4096".
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text).ok_or("which is not a size")?;
    let factor: i64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("which is not a size".to_owned()),
    };
    let size = number.checked_mul(factor).filter(|size| *size > 0);
    size.map(i64::unsigned_abs).ok_or_else(|| "which is zero or too large".to_owned())
}

/// Leading digits and what follows them.
fn split_number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(setting: &str) -> (Vec<String>, Value) {
        let problems = Problems::default();
        let (path, node) = parse_set(setting, &problems).expect("a setting");
        assert_eq!(problems.take(), []);
        (path, node.value)
    }

    #[test]
    fn a_set_value_that_may_be_a_secret_is_never_shown() {
        for setting in [
            "source.kafka.\"sasl.password\"=hunter2",
            "source.kafka.ssl.key.password=hunter2",
            "source.kafka={ \"sasl.password\" = \"hunter2\" }",
        ] {
            let shown = Place::Set(setting.to_owned()).to_string();
            assert!(!shown.contains("hunter2") && shown.ends_with("=***"), "{shown}");
        }
        assert_eq!(Place::Set("grace=2s".to_owned()).to_string(), "--set grace=2s");
    }

    #[test]
    fn a_set_value_that_is_no_toml_is_text() {
        assert_eq!(set("grace=200ms"), (vec!["grace".into()], Value::Text("200ms".into())));
        assert_eq!(set("a.b=3"), (vec!["a".into(), "b".into()], Value::Integer(3)));
        assert_eq!(set("ticks=true").1, Value::Bool(true));
        assert_eq!(set("brokers=k1:9092,k2:9092").1, Value::Text("k1:9092,k2:9092".into()));
        assert_eq!(set("x=\"quoted\"").1, Value::Text("quoted".into()));
        assert_eq!(set("x=").1, Value::Text(String::new()));
        assert_eq!(set("x=1\ny=2").1, Value::Text("1\ny=2".into()));
        assert_eq!(set("a.\"b.c\"=x").0, ["a", "b.c"]);
        assert!(matches!(set("x=[{a=1}]").1, Value::List(_)));
    }

    #[test]
    fn a_set_that_is_no_setting_is_a_problem_with_its_text() {
        for setting in ["grace", "=1", "a b=1", "a..b=1"] {
            let problems = Problems::default();
            assert!(parse_set(setting, &problems).is_none(), "{setting}");
            assert!(problems.take()[0].to_string().starts_with(&format!("--set {setting}")));
        }
    }

    #[test]
    fn places_count_lines_and_letters_from_one() {
        let problems = Problems::default();
        let table = parse("x.toml", "a = 1\n# ä\n  b = { ü = 'x', c = 2 }\n", &problems);
        let leaves = table.leaves();
        let place = |path: &str| leaves.iter().find(|(name, _)| name == path).map(|(_, node)| node.place.to_string());
        assert_eq!(problems.take().len(), 1, "a bare key must be ASCII");
        assert_eq!(place("a").as_deref(), Some("x.toml:1:5"));
        assert_eq!(place("b.c").as_deref(), Some("x.toml:3:22"));
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("2h"), Ok(7_200_000_000_000));
        for wrong in ["", "5", "h", "5 weeks", "-5s", "1.5s", "99999999999999999999s", "999999999999d", "1h30m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!((bytes("64MiB"), bytes("1024"), bytes("2 GB")), (Ok(67_108_864), Ok(1024), Ok(2_000_000_000)));
        for wrong in ["", "0", "MiB", "1TiBB", "-1", "9999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_written_and_read_again_is_the_same(nanos in 0..1000 * DAY) {
            prop_assert_eq!(duration(&duration_text(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", set in "[a-z.\"=\\[{ 0-9\n']*") {
            let problems = Problems::default();
            parse("x", &text, &problems);
            parse("x", &set, &problems);
            parse_set(&set, &problems);
        }
    }
}
