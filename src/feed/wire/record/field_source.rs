//! Where the text of a field comes from: a key or path of the record, what surrounds the record, a constant, several joined.
//!
//! Why one value for all: `fields` is written by people, hashed, shown again and compiled; each of these reads the same four
//! forms. What must always hold: `from_text(x.to_text()) == x` for the forms that are one text.

use super::pattern::TextPattern;

/// Where a field's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// A key of the record, or a path into it: `price`, `data.T`, `trades[0].p`, `$[3]`.
    Key(String),
    /// What surrounds the record; with a pattern, the part of it that the pattern takes.
    Around(Surrounding, Option<TextPattern>),
    /// The same text for each record.
    Constant(String),
    /// Several keys whose texts are joined with one blank between them: a date and a time of day.
    Joined(Vec<String>),
}

/// What surrounds a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surrounding {
    /// The Kafka record's key.
    Key,
    /// The Kafka topic.
    Topic,
    /// The number of the Kafka partition.
    Partition,
    /// The name of the file, without its folder and its endings (`.csv`, `.gz`).
    File,
    /// A header of the Kafka record.
    Header(String),
}

impl Surrounding {
    /// `@key`, `@topic`, `@partition`, `@file` or `@header.NAME`; another text is a key of the record (`@timestamp`).
    fn from_text(text: &str) -> Option<Surrounding> {
        match text {
            "@key" => Some(Surrounding::Key),
            "@topic" => Some(Surrounding::Topic),
            "@partition" => Some(Surrounding::Partition),
            "@file" => Some(Surrounding::File),
            _ => text
                .strip_prefix("@header.")
                .filter(|name| !name.is_empty())
                .map(|name| Surrounding::Header(name.to_owned())),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Surrounding::Key => "@key".to_owned(),
            Surrounding::Topic => "@topic".to_owned(),
            Surrounding::Partition => "@partition".to_owned(),
            Surrounding::File => "@file".to_owned(),
            Surrounding::Header(name) => format!("@header.{name}"),
        }
    }
}

impl FieldSource {
    /// What a single text of `fields` means.
    pub fn from_text(text: &str) -> FieldSource {
        match Surrounding::from_text(text) {
            Some(around) => FieldSource::Around(around, None),
            None => FieldSource::Key(text.to_owned()),
        }
    }

    /// The single text it is written as, if it is one.
    pub fn to_text(&self) -> Option<String> {
        match self {
            FieldSource::Key(key) => Some(key.clone()),
            FieldSource::Around(around, None) => Some(around.to_text()),
            FieldSource::Around(_, Some(_)) | FieldSource::Constant(_) | FieldSource::Joined(_) => None,
        }
    }

    /// What messages call it.
    pub fn label(&self) -> String {
        match self {
            FieldSource::Key(key) => key.clone(),
            FieldSource::Around(around, _) => around.to_text(),
            FieldSource::Constant(text) => format!("the constant {text:?}"),
            FieldSource::Joined(keys) => keys.join(" and "),
        }
    }

    /// The keys of the record that it reads.
    pub fn keys(&self) -> &[String] {
        match self {
            FieldSource::Key(key) => std::slice::from_ref(key),
            FieldSource::Joined(keys) => keys,
            FieldSource::Around(..) | FieldSource::Constant(_) => &[],
        }
    }
}

impl From<&str> for FieldSource {
    fn from(text: &str) -> FieldSource {
        FieldSource::from_text(text)
    }
}

impl std::fmt::Display for Surrounding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}
