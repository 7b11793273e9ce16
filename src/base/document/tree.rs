//! The tree that a document is read into: values, tables, and the place of each.
//!
//! Why ticktide's own tree: flags are laid over a file, and each value keeps the place that set it. What must hold: each name
//! occurs once in a table.

use super::problem::Location;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedValue {
    pub value: TomlValue,
    pub place: Location,
}

/// A value, of one of TOML's types.
#[derive(Clone, Debug, PartialEq)]
pub enum TomlValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A TOML date or time, as written.
    Date(String),
    List(Vec<LocatedValue>),
    Table(Table),
}

impl TomlValue {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            TomlValue::Text(_) => "text",
            TomlValue::Integer(_) => "an integer",
            TomlValue::Float(_) => "a float",
            TomlValue::Bool(_) => "a boolean",
            TomlValue::Date(_) => "a date",
            TomlValue::List(_) => "a list",
            TomlValue::Table(_) => "a table",
        }
    }

    /// A scalar as it would be written in a setting; `None` for lists and tables.
    pub fn scalar(&self) -> Option<String> {
        match self {
            TomlValue::Text(text) | TomlValue::Date(text) => Some(text.clone()),
            TomlValue::Integer(number) => Some(number.to_string()),
            TomlValue::Float(number) => Some(number.to_string()),
            TomlValue::Bool(value) => Some(value.to_string()),
            TomlValue::List(_) | TomlValue::Table(_) => None,
        }
    }
}

/// The entries of a table in the order of the text, each with the place of its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub(super) Vec<(String, Location, LocatedValue)>);

impl Table {
    pub fn get(&self, key: &str) -> Option<&LocatedValue> {
        self.0.iter().find(|(name, ..)| name == key).map(|(_, _, node)| node)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Location, &LocatedValue)> {
        self.0.iter().map(|(name, place, node)| (name.as_str(), place, node))
    }

    /// Lays a value over whatever is at the path; missing tables on the way are created.
    pub fn put(&mut self, path: &[String], node: LocatedValue) {
        let [first, rest @ ..] = path else { return };
        let index = match self.0.iter().position(|(name, ..)| name == first) {
            Some(index) => index,
            None => {
                let empty = LocatedValue { value: TomlValue::Table(Table::default()), place: node.place.clone() };
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
        if !matches!(slot.value, TomlValue::Table(_)) {
            *slot = LocatedValue { value: TomlValue::Table(Table::default()), place: node.place.clone() };
        }
        let TomlValue::Table(below) = &mut slot.value else { unreachable!("made a table just above") };
        below.put(rest, node);
    }

    /// Every leaf under its dotted path; lists count as leaves.
    pub fn leaves(&self) -> Vec<(String, &LocatedValue)> {
        let mut leaves = Vec::new();
        for (name, _, node) in self.entries() {
            match &node.value {
                TomlValue::Table(below) => {
                    leaves.extend(below.leaves().into_iter().map(|(path, leaf)| (format!("{name}.{path}"), leaf)));
                }
                _ => leaves.push((name.to_owned(), node)),
            }
        }
        leaves
    }
}

impl LocatedValue {
    /// The same value with another place, down to its leaves.
    pub fn moved(self, place: &Location) -> LocatedValue {
        let value = match self.value {
            TomlValue::List(items) => TomlValue::List(items.into_iter().map(|item| item.moved(place)).collect()),
            TomlValue::Table(Table(entries)) => TomlValue::Table(Table(
                entries.into_iter().map(|(name, _, node)| (name, place.clone(), node.moved(place))).collect(),
            )),
            scalar => scalar,
        };
        LocatedValue { value, place: place.clone() }
    }
}
