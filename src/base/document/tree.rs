//! The tree that a document is read into: values, tables, and the place of each.
//!
//! Why a tree of our own: flags are laid over a file, and each value keeps the place that set it. What must hold: each name stands in a
//! table once.

use super::problem::Place;

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
    pub(super) fn kind(&self) -> &'static str {
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
pub struct Table(pub(super) Vec<(String, Place, Node)>);

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

impl Node {
    /// The same value with another place, down to its leaves.
    pub(super) fn moved(self, place: &Place) -> Node {
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
