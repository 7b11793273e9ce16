//! One table of a document, read key by key.
//!
//! Why every reader returns an `Option`: reading goes on after a mistake, so one run finds all mistakes. What must hold: `None`
//! for a key that is present means that a problem was added.

use super::problem::{Location, Problems};
use super::tree::{LocatedValue, Table, TomlValue};
use super::units::duration;
use crate::error::nearest;
use crate::time::Nanos;

/// One table while it is read: each reader method takes a key, adds problems and returns `None` for an absent or wrong value.
pub struct Keys<'a> {
    table: &'a Table,
    problems: &'a Problems,
}

impl<'a> Keys<'a> {
    /// Opens a table whose only keys are `known`; other keys become problems at once. `what` names the table ("`source`").
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

    pub fn node(&self, key: &str) -> Option<&'a LocatedValue> {
        self.table.get(key)
    }

    /// A value that `read` makes from text; its error is the end of the message ("is not a duration") and the hint.
    pub fn read<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, (String, String)>) -> Option<(T, &'a Location)> {
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

    pub fn duration(&self, key: &str) -> Option<(Nanos, &'a Location)> {
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
                Some(near) => (
                    "which is not a choice".to_owned(),
                    format!("did you mean `{key} = \"{near}\"`? the choices are {}", all()),
                ),
                None => ("which is not a choice".to_owned(), format!("set `{key}` to one of {}", all())),
            }),
        };
        self.read(key, read).map(|(index, _)| index)
    }

    pub fn text(&self, key: &str) -> Option<(String, &'a Location)> {
        let node = self.node(key)?;
        match &node.value {
            TomlValue::Text(text) => Some((text.clone(), &node.place)),
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
        if let TomlValue::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_type(key, node, "a boolean", format!("set `{key} = true` or `{key} = false`"));
        None
    }

    /// A whole number from `least` to `most`.
    pub fn whole(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let node = self.node(key)?;
        let hint = format!("set `{key}` between {least} and {most}");
        let TomlValue::Integer(number) = node.value else {
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
            TomlValue::Text(text) => Some(vec![text.clone()]),
            TomlValue::List(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    match &item.value {
                        TomlValue::Text(text) => texts.push(text.clone()),
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

    /// A list of any values; a value that is not a list is a problem.
    pub fn list(&self, key: &str, example: &str) -> Option<&'a [LocatedValue]> {
        let node = self.node(key)?;
        if let TomlValue::List(items) = &node.value {
            return Some(items);
        }
        self.wrong_type(key, node, "a list", format!("e.g. `{key} = {example}`"));
        None
    }

    pub fn table(&self, key: &str, example: &str) -> Option<&'a Table> {
        let node = self.node(key)?;
        if let TomlValue::Table(table) = &node.value {
            return Some(table);
        }
        self.wrong_type(key, node, "a table", format!("e.g. `{key} = {example}`"));
        None
    }

    pub fn wrong_type(&self, key: &str, node: &LocatedValue, wanted: &str, hint: impl Into<String>) {
        let message = format!("`{key}` is {} ({}), it should be {wanted}", node.value.kind(), shown(&node.value));
        self.problems.add(&node.place, message, hint);
    }
}

/// A value on one line of a message.
fn shown(value: &TomlValue) -> String {
    match value {
        TomlValue::Text(text) => format!("{text:?}"),
        TomlValue::List(items) => format!("{} items", items.len()),
        TomlValue::Table(table) => format!("{} keys", table.0.len()),
        scalar => scalar.scalar().expect("lists and tables are handled above"),
    }
}
