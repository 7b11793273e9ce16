//! From a dataflow's name to a dataflow: the file is found, flags are laid over it, and it is read.
//!
//! What must hold: a user's file has precedence over a shipped dataflow of the same name, and a file that exists and cannot be
//! read is an error.

use crate::presets;
use crate::read;
use crate::spec::Dataflow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use ticktide_base::document;
use ticktide_base::document::{Location, Problem, Problems, Table, parse, parse_set};
use ticktide_base::error::{Classified, Kind, nearest};
use ticktide_base::time::Nanos;

/// The dataflows that the binary carries; a file `dataflows/NAME.toml` in the working directory has precedence.
pub const SHIPPED: &[(&str, &str)] = &[
    ("bars", include_str!("../../dataflows/bars.toml")), //
    ("breakout", include_str!("../../dataflows/breakout.toml")),
    ("demo", include_str!("../../dataflows/demo.toml")),
    ("iifl", include_str!("../../dataflows/iifl.toml")),
    ("market", include_str!("../../dataflows/market.toml")),
    ("us_tape", include_str!("../../dataflows/us_tape.toml")),
];

/// Everything that the user must change in a dataflow, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataflowError {
    /// The dataflow's name, or what was given for it.
    pub name: String,
    /// In the order of their places, never empty.
    pub problems: Vec<Problem>,
}

/// Each problem as an error of its own with its hint; the last hint is [`Classified::hint`].
impl fmt::Display for DataflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                write!(f, "\nhint: {}\nerror: ", self.problems[index - 1].hint)?;
            }
            write!(f, "dataflow {:?}: {problem}", self.name)?;
        }
        Ok(())
    }
}

impl std::error::Error for DataflowError {}

impl Classified for DataflowError {
    fn kind(&self) -> Kind {
        Kind::Fix
    }

    fn hint(&self) -> Option<String> {
        self.problems.last().map(|problem| problem.hint.clone())
    }
}

/// A value laid over the file's: from the environment or from a flag of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    path: Vec<String>,
    node: document::LocatedValue,
}

impl Override {
    /// `key` is dotted ("source.brokers").
    pub fn new(place: Location, key: &str, value: document::TomlValue) -> Override {
        Override { path: key.split('.').map(str::to_owned).collect(), node: document::LocatedValue { value, place } }
    }

    pub fn text(place: Location, key: &str, value: &str) -> Override {
        Override::new(place, key, document::TomlValue::Text(value.to_owned()))
    }

    pub fn texts(place: Location, key: &str, values: &[String]) -> Override {
        let item = |value: &String| document::LocatedValue {
            value: document::TomlValue::Text(value.clone()),
            place: place.clone(),
        };
        Override::new(place.clone(), key, document::TomlValue::List(values.iter().map(item).collect()))
    }
}

impl Dataflow {
    /// Reads a dataflow by name, or by the path of its file (which ends in `.toml` or has a `/`). `overrides` override the
    /// file in their order, `set` (the values of `--set`) overrides everything.
    pub fn load(name_or_path: &str, overrides: &[Override], set: &[String]) -> Result<Dataflow, DataflowError> {
        let (name, file, text) = find(name_or_path)
            .map_err(|problem| DataflowError { name: name_or_path.to_owned(), problems: vec![problem] })?;
        Dataflow::from_text(&name, &file, &text, overrides, set)
    }

    /// Reads a dataflow from the text of its file; `file` is what problems call it.
    pub fn from_text(
        name: &str,
        file: &str,
        text: &str,
        overrides: &[Override],
        set: &[String],
    ) -> Result<Dataflow, DataflowError> {
        let problems = Problems::default();
        let tree = parse(file, text, &problems);
        Dataflow::from_tree(name, tree, overrides, set, problems)
    }

    /// Lays `overrides` and `set` over a tree of settings, and reads it.
    pub(crate) fn from_tree(
        name: &str,
        mut tree: Table,
        overrides: &[Override],
        set: &[String],
        problems: Problems,
    ) -> Result<Dataflow, DataflowError> {
        for over in overrides {
            tree.put(&over.path, over.node.clone());
        }
        for setting in set {
            if let Some((path, node)) = parse_set(setting, &problems) {
                tree.put(&path, node);
            }
        }
        presets::lay_under(&mut tree, &problems);
        let mut dataflow = read::read(name, &tree, &problems);
        dataflow.origins = origins(&tree);
        match problems.take() {
            problems if problems.is_empty() => Ok(dataflow),
            problems => Err(DataflowError { name: name.to_owned(), problems }),
        }
    }

    /// Sets how long an epoch lasts, unless the user did, for a lake whose commits are dear; `place` says why.
    pub fn default_epoch(&mut self, every: Nanos, place: Location) {
        if !self.origins.contains_key("epoch.every") {
            self.epoch.every = every;
            self.origins.insert("epoch.every".to_owned(), place);
        }
    }

    /// What is missing to run it, beyond what a file alone must have: paths for files, topics for Kafka.
    pub fn ready(&self) -> Result<(), ticktide_base::error::Error> {
        let missing = match self.source.uses.as_str() {
            "file" if self.source.paths.is_empty() => ("files", "--path FILE"),
            "kafka" if self.source.topics.is_empty() => ("topics", "--topic NAME"),
            _ => return Ok(()),
        };
        let message = format!("dataflow {:?} reads {} but names none", self.name, missing.0);
        Err(ticktide_base::error::Error::fix(message, format!("give `{}`", missing.1)))
    }
}

fn origins(tree: &Table) -> BTreeMap<String, Location> {
    tree.leaves().into_iter().map(|(path, node)| (path, node.place.clone())).collect()
}

/// Name, file and text of a dataflow.
fn find(name_or_path: &str) -> Result<(String, String, String), Problem> {
    let path = std::path::Path::new(name_or_path);
    let problem =
        |message: String, hint: String| Problem { place: Location::Name(name_or_path.to_owned()), message, hint };
    if name_or_path.ends_with(".toml") || name_or_path.contains('/') {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter)) {
            let hint = "name the file with letters, digits, `_` and `-`: its name is the dataflow's name";
            return Err(problem(format!("{name:?} is not a name for a dataflow"), hint.to_owned()));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| problem(format!("the file cannot be read: {error}"), unreadable(&error).to_owned()))?;
        return Ok((name.to_owned(), name_or_path.to_owned(), text));
    }
    let file = format!("dataflows/{name_or_path}.toml");
    if let Some(text) = own(&file).map_err(|(message, hint)| problem(message, hint))? {
        return Ok((name_or_path.to_owned(), file, text));
    }
    if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
        return Ok(((*name).to_owned(), file, (*text).to_owned()));
    }
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    let hint = match nearest(name_or_path, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are {}; give a file of your own by its path, ending in .toml", names.join(", ")),
    };
    Err(problem("there is no dataflow of this name".to_owned(), hint))
}

/// The text of a file that has precedence over a shipped one, if it exists. Error: it exists and cannot be read.
pub(crate) fn own(file: &str) -> Result<Option<String>, (String, String)> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err((format!("{file} cannot be read: {error}"), unreadable(&error).to_owned())),
    }
}

/// What to do about a file that cannot be read.
fn unreadable(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidData => "a dataflow is text: save the file as UTF-8",
        ErrorKind::IsADirectory => "that is a folder: name the file in it",
        ErrorKind::PermissionDenied => "let this user read the file",
        _ => "check the path",
    }
}
