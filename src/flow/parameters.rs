//! Parameters of the registries' entries: from what a dataflow file sets to checked values, or to an error that says what to
//! change.
//!
//! Why settings are checked here and not in each entry's file: bounds, defaults and "did you mean" are then the same for
//! indicators and checks, and `list` prints what is checked. What must always hold: a build only reads parameters that its
//! spec lists.

use std::collections::BTreeMap;
use ticktide_base::error::nearest;

/// A parameter of an entry; `least` and `most` are allowed values.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub default: f64,
    pub least: f64,
    pub most: f64,
    /// Whether only whole numbers are allowed.
    pub whole: bool,
    /// The words that are allowed instead of numbers, the default first; a word's value is its index.
    pub words: &'static [&'static str],
    pub doc: &'static str,
}

impl Parameter {
    /// A whole number of bars.
    pub const fn bars(name: &'static str, default: u32, least: u32, most: u32, doc: &'static str) -> Parameter {
        let (default, least, most) = (default as f64, least as f64, most as f64);
        Parameter { name, default, least, most, whole: true, words: &[], doc }
    }

    /// Any number within the bounds.
    pub const fn real(name: &'static str, default: f64, least: f64, most: f64, doc: &'static str) -> Parameter {
        Parameter { name, default, least, most, whole: false, words: &[], doc }
    }

    /// One of some words, by default the first.
    pub const fn word(name: &'static str, words: &'static [&'static str], doc: &'static str) -> Parameter {
        Parameter { name, default: 0.0, least: 0.0, most: (words.len() - 1) as f64, whole: true, words, doc }
    }

    /// A value as the dataflow file writes it.
    pub fn shown(&self, value: f64) -> String {
        match self.words.get(value as usize) {
            Some(word) => (*word).to_string(),
            None => value.to_string(),
        }
    }
}

/// What is wrong with the parameters of an added entry: one is named like a word of the file, or two have one name. The text
/// ends a sentence that begins with the entry.
pub(crate) fn fault(parameters: &[Parameter], taken: &[&str]) -> Option<String> {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    let mut all = names.iter().enumerate();
    all.find_map(|(index, name)| match (taken.contains(name), names[..index].contains(name)) {
        (true, _) => Some(format!("has the parameter {name:?}, which is a reserved word of the dataflow file")),
        (_, true) => Some(format!("has two parameters named {name:?}")),
        _ => None,
    })
}

/// The checked values of an entry's parameters, in the order of its spec.
#[derive(Clone, Debug)]
pub struct Parameters(Vec<(Parameter, f64)>);

impl Parameters {
    /// A parameter's value.
    pub fn number(&self, name: &str) -> f64 {
        let found = self.0.iter().find(|(have, _)| have.name == name);
        found.expect("a spec lists every parameter that its build reads").1
    }

    /// A whole parameter's value.
    pub fn count(&self, name: &str) -> usize {
        self.number(name) as usize
    }

    /// What follows the name in output names: `12_26_9`. A decimal point becomes an underscore; the default of a word is
    /// left out.
    pub fn suffix(&self) -> String {
        let told = self.0.iter().filter(|(parameter, value)| parameter.words.is_empty() || *value != parameter.default);
        let parts: Vec<String> = told.map(|(parameter, value)| parameter.shown(*value).replace('.', "_")).collect();
        parts.join("_")
    }

    /// All of them as a JSON object with sorted keys, whole numbers without a point: one text for one meaning.
    ///
    /// ```
    /// use ticktide_flow::parameters::{Parameter, read};
    /// let specs = [Parameter::real("z", 6.0, 1.0, 100.0, ""), Parameter::real("floor", 0.5, 0.0, 1.0, "")];
    /// assert_eq!(read("check", "c", &specs, &[], &Default::default()).unwrap().json(), r#"{"floor":0.5,"z":6}"#);
    /// ```
    pub fn json(&self) -> String {
        let text = |(parameter, value): &(Parameter, f64)| match parameter.words.get(*value as usize) {
            Some(word) => (parameter.name, format!("{word:?}")),
            None => (parameter.name, value.to_string()),
        };
        let sorted: BTreeMap<&str, String> = self.0.iter().map(text).collect();
        let parts: Vec<String> = sorted.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", parts.join(","))
    }
}

/// A setting as the dataflow file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Number(f64),
    Text(String),
}

impl From<i64> for Setting {
    fn from(value: i64) -> Setting {
        Setting::Number(value as f64)
    }
}

impl From<f64> for Setting {
    fn from(value: f64) -> Setting {
        Setting::Number(value)
    }
}

impl From<&str> for Setting {
    fn from(value: &str) -> Setting {
        Setting::Text(value.to_string())
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Number(value) => write!(f, "{value}"),
            Setting::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// Why an entry could not be built: the user's file is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingError {
    pub message: String,
    pub hint: String,
}

impl SettingError {
    pub fn new(message: String, hint: String) -> SettingError {
        SettingError { message, hint }
    }

    /// There is no entry of this name; `family` is what its registry holds ("indicator").
    pub fn unknown(family: &str, name: &str, names: &[&str]) -> SettingError {
        SettingError::new(format!("there is no {family} {name:?}"), did_you_mean(name, names))
    }

    /// Parameters contradict each other; the hint names all defaults.
    pub fn contradiction(family: &str, name: &str, specs: &[Parameter], fault: &str) -> SettingError {
        let defaults: Vec<String> = specs.iter().map(|p| format!("`{} = {}`", p.name, p.shown(p.default))).collect();
        let hint = format!("the defaults are {}", defaults.join(", "));
        SettingError::new(format!("{family} {name:?}: {fault}"), hint)
    }
}

/// Checks the settings of the entry `name` of a `family` against its parameters; `others` are settings that are read elsewhere.
pub fn read(
    family: &str,
    name: &str,
    specs: &[Parameter],
    others: &[&str],
    settings: &BTreeMap<String, Setting>,
) -> Result<Parameters, SettingError> {
    for key in settings.keys() {
        if !others.contains(&key.as_str()) && !specs.iter().any(|parameter| parameter.name == key) {
            let names: Vec<&str> = specs.iter().map(|parameter| parameter.name).chain(others.iter().copied()).collect();
            let message = format!("{family} {name:?} has no parameter {key:?}");
            return Err(SettingError::new(message, did_you_mean(key, &names)));
        }
    }
    let mut values = Vec::with_capacity(specs.len());
    for parameter in specs {
        let Parameter { name: key, least, most, default, .. } = *parameter;
        let hint = || format!("set `{key}` between {least} and {most}, e.g. `{key} = {default}`");
        let word = |text: &str| parameter.words.iter().position(|word| *word == text);
        let value = match settings.get(key) {
            None => default,
            Some(Setting::Text(text)) if word(text).is_some() => word(text).map_or(default, |index| index as f64),
            Some(other) if !parameter.words.is_empty() => {
                let words: Vec<String> = parameter.words.iter().map(|word| format!("{word:?}")).collect();
                let message = format!("{family} {name:?} has {key} {other}, which is none of {}", words.join(" and "));
                return Err(SettingError::new(message, format!("set e.g. `{key} = {}`", words[0])));
            }
            Some(Setting::Number(value)) => *value,
            Some(other) => {
                let message = format!("{family} {name:?} has {key} {other}, which is not a number");
                return Err(SettingError::new(message, hint()));
            }
        };
        let fault = if !value.is_finite() || (parameter.whole && value.fract() != 0.0) {
            Some(format!("which is not a {}", if parameter.whole { "whole number" } else { "finite number" }))
        } else if value < least {
            Some(format!("the least is {least}"))
        } else if value > most {
            Some(format!("the most is {most}"))
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(SettingError::new(format!("{family} {name:?} has {key} {value}, {fault}"), hint()));
        }
        values.push((*parameter, value + 0.0));
    }
    Ok(Parameters(values))
}

fn did_you_mean(word: &str, names: &[&str]) -> String {
    match nearest(word, names) {
        Some(near) => format!("did you mean {near:?}?"),
        None if names.is_empty() => "it takes no parameters".to_string(),
        None => format!("choose one of {}", names.join(", ")),
    }
}
