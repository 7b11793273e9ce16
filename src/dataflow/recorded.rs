//! A dataflow from the settings that a lake has recorded: the one it was made with, even if the file has changed or is gone.
//!
//! ```text
//!   settings ─▶ tree, as read from a file ────▶ flags and --set over it ─▶ read ─▶ Dataflow
//!   session, in its own words ────────────────────────────────────────────────────▶ ┘
//! ```
//!
//! Why through the tree: then every key is read and checked by its row of the table, and a flag overrides a recorded value as
//! it overrides a file's. What must always hold: the dataflow has the hash of the settings that it is read from. Secrets are
//! not recorded: they are taken from a file of the same name.

use crate::load::{DataflowError, Override};
use crate::spec::Dataflow;
use serde_json::{Map, Value as Json};
use ticktide_base::document::{LocatedValue, Location, Problem, Problems, Table, TomlValue};
use ticktide_market::calendar::Session;

/// What settings show instead of a secret.
const MASK: &str = "***";
const KAFKA: &str = "source.kafka.";

/// A dataflow as a lake has recorded it.
pub struct Recorded {
    pub dataflow: Dataflow,
    /// Secret settings of Kafka whose values are not known.
    pub forgotten: Vec<String>,
}

impl Dataflow {
    /// Reads the dataflow from `settings`, those of [`Dataflow::settings_json`]. `overrides` and `set` are as for
    /// [`Dataflow::load`].
    pub fn recorded(
        name: &str,
        settings: &Json,
        overrides: &[Override],
        set: &[String],
    ) -> Result<Recorded, DataflowError> {
        let mut dataflow = Dataflow::from_tree(name, tree(settings), overrides, set, Problems::default())?;
        let is_session = |key: &String| key == "session" || key.starts_with("session.");
        if let Some(words) = settings["session"].as_str().filter(|_| !dataflow.origins.keys().any(is_session)) {
            dataflow.session = Session::described(words).ok_or_else(|| unreadable(name, words))?;
            dataflow.session_text = "as recorded".to_owned();
        }
        let forgotten = recall(&mut dataflow, settings);
        Ok(Recorded { dataflow, forgotten })
    }
}

fn unreadable(name: &str, words: &str) -> DataflowError {
    let first = words.lines().next().unwrap_or_default();
    let problem = Problem {
        place: place(),
        message: format!("its session cannot be read: {first}"),
        hint: "name the dataflow, so that the session comes from its file".to_owned(),
    };
    DataflowError { name: name.to_owned(), problems: vec![problem] }
}

fn place() -> Location {
    Location::Name("the lake's record".to_owned())
}

/// Takes the secrets that were not recorded from the file of the same name; gives those that this file lacks, too.
fn recall(dataflow: &mut Dataflow, settings: &Json) -> Vec<String> {
    let masked = entries(settings).filter(|(_, value)| value.as_str() == Some(MASK));
    let mut forgotten: Vec<String> = masked.filter_map(|(key, _)| key.strip_prefix(KAFKA)).map(str::to_owned).collect();
    forgotten.retain(|key| !dataflow.source.kafka.contains_key(key));
    if dataflow.source.uses != "kafka" {
        forgotten.clear();
    }
    if !forgotten.is_empty()
        && let Ok(file) = Dataflow::load(&dataflow.name, &[], &[])
    {
        forgotten.retain(|key| match file.source.kafka.get(key) {
            Some(secret) => {
                dataflow.source.kafka.insert(key.clone(), secret.clone());
                dataflow.secrets.insert(key.clone());
                false
            }
            None => true,
        });
    }
    forgotten
}

/// The settings that change rows, then those that say where and how it ran.
fn entries(settings: &Json) -> impl Iterator<Item = (&String, &Json)> {
    let of_rows = settings.as_object().into_iter().flatten();
    let running = settings["running"].as_object().into_iter().flatten();
    of_rows.filter(|(key, _)| *key != "running" && *key != "session").chain(running)
}

/// The settings as a file would write them.
fn tree(settings: &Json) -> Table {
    let mut tree = Table::default();
    for (key, value) in entries(settings) {
        let is_secret = key.starts_with(KAFKA) && value.as_str() == Some(MASK);
        if let Some(node) = node_of(key, value).filter(|_| !is_secret) {
            tree.put(&path(key), node);
        }
    }
    tree
}

/// The path of a dotted key; a name of the user's own may have dots.
fn path(key: &str) -> Vec<String> {
    let open = ["source.kafka.", "source.fields.", "horizon."].into_iter().find(|above| key.starts_with(above));
    let (above, own) = key.split_at(open.map_or(0, str::len));
    let parts = above.trim_end_matches('.').split('.').filter(|part| !part.is_empty()).map(str::to_owned);
    match open {
        Some(_) => parts.chain([own.to_owned()]).collect(),
        None => own.split('.').map(str::to_owned).collect(),
    }
}

/// A value as a file would write it; `None`: it is not set.
fn node_of(key: &str, value: &Json) -> Option<LocatedValue> {
    let list = |each: fn(&Json) -> Option<LocatedValue>| {
        let items = value.as_array().into_iter().flatten().filter_map(each).collect();
        Some(node(TomlValue::List(items)))
    };
    match key {
        "bars" => list(|width| Some(table([("every", plain(width)?)]))),
        "indicators" => list(|entry| Some(parameters(entry.as_object()?))),
        "anomalies" => list(check),
        // recorded as pairs, as their order counts
        "source.types" => {
            let pair = |pair: &Json| Some((pair[0].as_str()?.to_owned(), plain(&pair[1])?));
            Some(table(value.as_array().into_iter().flatten().filter_map(pair)))
        }
        _ => plain(value),
    }
}

/// A check: its parameters are JSON in a text.
fn check(entry: &Json) -> Option<LocatedValue> {
    let mut all: Map<String, Json> = serde_json::from_str(entry["parameters"].as_str()?).ok()?;
    for key in ["use", "on"] {
        all.insert(key.to_owned(), entry[key].clone());
    }
    Some(parameters(&all))
}

/// Entries whose numbers may be written as texts.
fn parameters(entries: &Map<String, Json>) -> LocatedValue {
    let number = |text: &str| {
        let whole = text.parse().map(TomlValue::Integer).ok();
        whole.or_else(|| text.parse().map(TomlValue::Float).ok()).map(node)
    };
    let told = |(key, value): (&String, &Json)| {
        let node = match value.as_str() {
            Some(text) if !["use", "on"].contains(&key.as_str()) => number(text).or_else(|| plain(value)),
            _ => plain(value),
        };
        Some((key.clone(), node?))
    };
    table(entries.iter().filter_map(told))
}

fn plain(value: &Json) -> Option<LocatedValue> {
    let value = match value {
        Json::Null => return None,
        Json::Bool(flag) => TomlValue::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => TomlValue::Integer(whole),
            None => TomlValue::Float(number.as_f64()?),
        },
        Json::String(text) => TomlValue::Text(text.clone()),
        Json::Array(items) => TomlValue::List(items.iter().filter_map(plain).collect()),
        Json::Object(entries) => {
            return Some(table(entries.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?)))));
        }
    };
    Some(node(value))
}

fn node(value: TomlValue) -> LocatedValue {
    LocatedValue { value, place: place() }
}

fn table<K: Into<String>>(entries: impl IntoIterator<Item = (K, LocatedValue)>) -> LocatedValue {
    let mut table = Table::default();
    entries.into_iter().for_each(|(key, node)| table.put(&[key.into()], node));
    node(TomlValue::Table(table))
}
