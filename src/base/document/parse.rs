//! From TOML text to the tree, each value with its line and column.
//!
//! Why spans and not serde: a value keeps its place only if the parser reports where it was. What must hold: text that is not
//! TOML becomes problems, and the tree holds whatever could be read.

use super::problem::{Location, Problems};
use super::tree::{LocatedValue, Table, TomlValue};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a file's text; what is not TOML becomes problems, and whatever could be read is returned.
pub fn parse(file: &str, text: &str, problems: &Problems) -> Table {
    let lines = Lines { file: file.into(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = lines.place(error.span().map_or(0, |span| span.start));
        problems.add(&place, error.message(), "see https://toml.io for the syntax");
    }
    lines.table(table.get_ref(), problems)
}

/// Reads `key=value` of `--set`: the key is dotted as in TOML, a value that is not TOML is text.
pub fn parse_set(setting: &str, problems: &Problems) -> Option<(Vec<String>, LocatedValue)> {
    let place = Location::Set(setting.to_owned());
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
        _ => TomlValue::Text(value.to_owned()),
    };
    Some((path, LocatedValue { value, place: place.clone() }.moved(&place)))
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

/// Turns byte offsets of a file into places.
struct Lines<'t> {
    file: Arc<str>,
    text: &'t str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Location {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Location::File { file: self.file.clone(), line, column: before[line_start..].chars().count() + 1 }
    }

    fn table(&self, table: &DeTable<'_>, problems: &Problems) -> Table {
        let entry = |(name, node): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &Spanned<std::borrow::Cow<'_, str>> = name;
            (name.get_ref().to_string(), self.place(name.span().start), self.node(node, problems))
        };
        // in the order of the text, which some tables mean
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        Table(entries.into_iter().map(entry).collect())
    }

    fn node(&self, node: &Spanned<DeValue<'_>>, problems: &Problems) -> LocatedValue {
        let place = self.place(node.span().start);
        let value = match node.get_ref() {
            DeValue::String(text) => TomlValue::Text(text.to_string()),
            DeValue::Boolean(value) => TomlValue::Bool(*value),
            DeValue::Datetime(moment) => TomlValue::Date(moment.to_string()),
            DeValue::Array(items) => TomlValue::List(items.iter().map(|item| self.node(item, problems)).collect()),
            DeValue::Table(table) => TomlValue::Table(self.table(table, problems)),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => TomlValue::Integer(number),
                Err(_) => {
                    problems.add_unread(
                        &place,
                        format!("{} does not fit into 64 bits", digits.as_str()),
                        "use a smaller number",
                    );
                    TomlValue::Integer(0)
                }
            },
            DeValue::Float(digits) => TomlValue::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
        };
        LocatedValue { value, place }
    }
}
