//! A row of the table of keys: a key's name and meaning, and how its value gets into a dataflow and out again.
//!
//! ```text
//!   file ──read──▶ Dataflow ──show──▶ --dry-run, settings of the lake
//!                      └─────hashed─▶ hash of the dataflow
//! ```
//!
//! Why the bounds are in the row and not in a reader: the reader, the reference page and the schema then say the same. What
//! must hold: a read always sets a value, if only the default, and a wrong value is a problem with a hint.

use crate::spec::Dataflow;
use serde_json::{Value, json};
use ticktide_base::document::{Keys, bytes, duration_text};
use ticktide_base::time::Nanos;

/// One key of a dataflow file.
pub struct Key {
    /// Dotted, as in `--set`; `*` is a name that the file chooses, `[]` each table of a list.
    pub path: &'static str,
    /// One line for the user.
    pub doc: &'static str,
    pub kind: KeyType,
    pub hashed: HashForm,
    /// Within a section, keys with a lower number are shown first, equal ones in the order of the table.
    pub shown_at: u8,
}

/// Whether a key's value changes rows, and so belongs to the hash of the dataflow.
pub enum HashForm {
    No,
    /// As it is shown.
    Shown,
    /// In another form than the shown one: whole keys with their values.
    As(fn(&Dataflow) -> Vec<(String, Value)>),
}

/// Access to a value of one type in a dataflow; `get` gives `None` if the value is not shown.
pub struct FieldAccess<T: 'static> {
    pub get: fn(&Dataflow) -> Option<T>,
    pub set: fn(&mut Dataflow, T),
}

/// Access to a field of the dataflow by its path.
macro_rules! field {
    ($($name:ident).+) => {
        $crate::keys::key::FieldAccess { get: |dataflow| Some(dataflow.$($name).+), set: |dataflow, value| dataflow.$($name).+ = value }
    };
}
pub(crate) use field;

/// The type of a key with its bounds and its default.
pub enum KeyType {
    /// A duration of at least `least`.
    Span { default: Nanos, least: Nanos, field: FieldAccess<Nanos> },
    /// A whole number from `least` to `most`.
    Whole { default: u64, least: u64, most: u64, field: FieldAccess<u64> },
    /// A size in bytes, at least one.
    Size { default: u64, field: FieldAccess<u64> },
    /// True or false; false by default.
    Flag(FieldAccess<bool>),
    /// One of a few words.
    Word {
        default: &'static str,
        words: fn() -> Vec<&'static str>,
        get: fn(&Dataflow) -> &str,
        set: fn(&mut Dataflow, &str),
    },
    /// A list of texts, or one text.
    Texts { default: &'static [&'static str], field: FieldAccess<Vec<String>> },
    /// Any other type, which has a reader of its own.
    Own(Own),
}

/// A type with a reader of its own.
pub struct Own {
    /// The type's name for the user.
    pub name: &'static str,
    /// As a file would write it; empty: there is none.
    pub default: &'static str,
    pub read: Read,
    pub show: Show,
    /// Which values an editor should accept, in JSON Schema.
    pub schema: fn() -> Value,
}

/// How a key of its own type is read.
pub enum Read {
    With(fn(&Keys<'_>, &mut Dataflow)),
    /// The key that it is a part of reads it, too.
    ByWhole,
}

/// How a key of its own type is shown.
pub enum Show {
    No,
    One(fn(&Dataflow) -> Option<Value>),
    /// Under each name that the `*` of its path can be.
    Each(fn(&Dataflow) -> Vec<(String, Value)>),
}

impl Key {
    /// A key that changes no row.
    pub const fn new(path: &'static str, doc: &'static str, kind: KeyType) -> Key {
        Key { path, doc, kind, hashed: HashForm::No, shown_at: 0 }
    }

    /// A key that changes rows.
    pub const fn of_rows(path: &'static str, doc: &'static str, kind: KeyType) -> Key {
        Key { path, doc, kind, hashed: HashForm::Shown, shown_at: 0 }
    }

    /// A key that changes rows and enters the hash in another form than it is shown in.
    pub const fn hashed_as(mut self, hashed: fn(&Dataflow) -> Vec<(String, Value)>) -> Key {
        self.hashed = HashForm::As(hashed);
        self
    }

    /// The same key in another place of the list that `--dry-run` prints.
    pub const fn shown_at(mut self, place: u8) -> Key {
        self.shown_at = place;
        self
    }

    /// Its name in its table: the last part of its path that is a name.
    pub fn name(&self) -> &'static str {
        let path = self.path.strip_suffix(".*").unwrap_or(self.path);
        path.rsplit('.').next().unwrap_or(path)
    }

    /// Reads it from its table, or takes the default.
    pub fn read(&self, keys: &Keys<'_>, dataflow: &mut Dataflow) {
        let name = self.name();
        match &self.kind {
            KeyType::Span { default, least, field } => (field.set)(dataflow, span(keys, name, *default, *least)),
            KeyType::Whole { default, least, most, field } => {
                (field.set)(dataflow, keys.whole(name, *least, *most).unwrap_or(*default));
            }
            KeyType::Size { default, field } => (field.set)(dataflow, size(keys, name, *default)),
            KeyType::Flag(field) => (field.set)(dataflow, keys.boolean(name).unwrap_or(false)),
            KeyType::Word { default, words, set, .. } => {
                let words = words();
                set(dataflow, keys.choice(name, &words).map_or(default, |index| words[index]));
            }
            KeyType::Texts { default, field } => {
                let default = || default.iter().map(|text| (*text).to_owned()).collect();
                (field.set)(dataflow, keys.texts(name).unwrap_or_else(default));
            }
            KeyType::Own(Own { read: Read::With(read), .. }) => read(keys, dataflow),
            KeyType::Own(Own { read: Read::ByWhole, .. }) => {}
        }
    }

    /// Its values in a dataflow, each under its dotted key; secrets are masked.
    pub fn shown(&self, dataflow: &Dataflow) -> Vec<(String, Value)> {
        let value = match &self.kind {
            KeyType::Span { field, .. } => (field.get)(dataflow).map(|nanos| json!(duration_text(nanos))),
            KeyType::Whole { field, .. } | KeyType::Size { field, .. } => {
                (field.get)(dataflow).map(|number| json!(number))
            }
            KeyType::Flag(field) => (field.get)(dataflow).map(|flag| json!(flag)),
            KeyType::Word { get, .. } => Some(json!(get(dataflow))),
            KeyType::Texts { field, .. } => (field.get)(dataflow).map(|texts| json!(texts)),
            KeyType::Own(Own { show: Show::One(show), .. }) => show(dataflow),
            KeyType::Own(Own { show: Show::No, .. }) => None,
            KeyType::Own(Own { show: Show::Each(show), .. }) => {
                let above = self.path.trim_end_matches('*');
                return show(dataflow).into_iter().map(|(name, value)| (format!("{above}{name}"), value)).collect();
            }
        };
        value.map(|value| (self.path.to_owned(), value)).into_iter().collect()
    }
}

/// A duration of at least `least`, or the default.
fn span(keys: &Keys<'_>, key: &str, default: Nanos, least: Nanos) -> Nanos {
    let Some((nanos, place)) = keys.duration(key) else { return default };
    if nanos < least {
        let message = format!("`{key}` is {}, the least is {}", duration_text(nanos), duration_text(least));
        keys.problems().add(place, message, format!("e.g. `{key} = \"{}\"`", duration_text(default)));
        return default;
    }
    nanos
}

fn size(keys: &Keys<'_>, key: &str, default: u64) -> u64 {
    let read = |text: &str| bytes(text).map_err(|fault| (fault, format!("e.g. `{key} = \"64MiB\"`")));
    keys.read(key, read).map_or(default, |(size, _)| size)
}
