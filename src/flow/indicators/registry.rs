//! From a name and settings to a built indicator, or to an error that says what to change.
//!
//! Why settings are checked here and not in each indicator's file: bounds, defaults and "did you mean" are then the same
//! for all, and `list` prints what is checked. What must always hold: `build` of a spec only reads parameters the spec lists.

use super::anchored::Anchored;
use super::{INDICATORS, Indicator};
use std::collections::BTreeMap;

/// A parameter of an indicator; `least` and `most` are allowed.
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

    /// Any number between two.
    pub const fn factor(name: &'static str, default: f64, least: f64, most: f64, doc: &'static str) -> Parameter {
        Parameter { name, default, least, most, whole: false, words: &[], doc }
    }

    /// One of some words, by default the first.
    pub const fn word(name: &'static str, words: &'static [&'static str], doc: &'static str) -> Parameter {
        Parameter { name, default: 0.0, least: 0.0, most: (words.len() - 1) as f64, whole: true, words, doc }
    }

    /// A value as the dataflow file has it.
    pub fn shown(&self, value: f64) -> String {
        match self.words.get(value as usize) {
            Some(word) => (*word).to_string(),
            None => value.to_string(),
        }
    }
}

/// Where an indicator that depends on its start starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// With every trading date.
    Session,
    /// Never: it carries across sessions.
    Unanchored,
}

/// A row of the registry.
pub struct Spec {
    pub name: &'static str,
    /// One line for `list`.
    pub doc: &'static str,
    pub parameters: &'static [Parameter],
    /// The default of the setting `anchor`; `None` where the start does not matter and the setting is refused.
    pub anchor: Option<Anchor>,
    /// Builds it from checked parameters; an error says how they contradict each other ("fast 26 is not below slow 12").
    pub build: fn(&Parameters) -> Result<Box<dyn Indicator>, String>,
}

/// The checked values of an indicator's parameters, in the order of its spec.
#[derive(Clone, Debug)]
pub struct Parameters(Vec<(&'static Parameter, f64)>);

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

    /// What follows the name in output names: `12_26_9`; a decimal point becomes an underscore, the default of a word is
    /// left out.
    pub fn suffix(&self) -> String {
        let told = self.0.iter().filter(|(parameter, value)| parameter.words.is_empty() || *value != parameter.default);
        let parts: Vec<String> = told.map(|(parameter, value)| parameter.shown(*value).replace('.', "_")).collect();
        parts.join("_")
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

/// Why an indicator could not be built: the user's file is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IndicatorError {
    pub message: String,
    pub hint: String,
}

impl IndicatorError {
    pub(super) fn new(message: String, hint: String) -> IndicatorError {
        IndicatorError { message, hint }
    }
}

/// Builds an indicator from its name and settings: its parameters by name and, where its start matters, `anchor`.
///
/// ```
/// use ticktide::flow::indicators::{build, Setting};
/// use std::collections::BTreeMap;
/// let ema = build("ema", &BTreeMap::from([("period".to_string(), Setting::from(20))])).unwrap();
/// assert_eq!(ema.outputs(), ["ema_20"]);
/// let error = build("ema", &BTreeMap::from([("period".to_string(), Setting::from(0))])).err().unwrap();
/// assert_eq!(error.message, r#"indicator "ema" has period 0, the least is 1"#);
/// let error = build("emma", &BTreeMap::new()).err().unwrap();
/// assert_eq!(error.hint, r#"did you mean "ema"?"#);
/// ```
pub fn build(name: &str, settings: &BTreeMap<String, Setting>) -> Result<Box<dyn Indicator>, IndicatorError> {
    let Some(spec) = INDICATORS.iter().find(|spec| spec.name == name) else {
        let names: Vec<&str> = INDICATORS.iter().map(|spec| spec.name).collect();
        return Err(IndicatorError::new(format!("there is no indicator {name:?}"), did_you_mean(name, &names)));
    };
    let anchor = anchor(spec, settings)?;
    let parameters = parameters(spec, settings)?;
    let built = (spec.build)(&parameters).map_err(|contradiction| {
        let names: Vec<String> =
            spec.parameters.iter().map(|p| format!("`{} = {}`", p.name, p.shown(p.default))).collect();
        let hint = format!("the defaults are {}", names.join(", "));
        IndicatorError::new(format!("indicator {name:?}: {contradiction}"), hint)
    })?;
    Ok(match anchor {
        Some(Anchor::Session) => Box::new(Anchored::new(built)),
        Some(Anchor::Unanchored) | None => built,
    })
}

fn anchor(spec: &Spec, settings: &BTreeMap<String, Setting>) -> Result<Option<Anchor>, IndicatorError> {
    let name = spec.name;
    match (settings.get("anchor"), spec.anchor) {
        (None, default) => Ok(default),
        (Some(_), None) => Err(IndicatorError::new(
            format!("indicator {name:?} has no anchor: it does not depend on where it starts"),
            "remove `anchor`".to_string(),
        )),
        (Some(Setting::Text(text)), Some(_)) if text == "session" => Ok(Some(Anchor::Session)),
        (Some(Setting::Text(text)), Some(_)) if text == "none" => Ok(Some(Anchor::Unanchored)),
        (Some(other), Some(_)) => Err(IndicatorError::new(
            format!("indicator {name:?} has anchor {other}, which is none of \"session\" and \"none\""),
            "set `anchor = \"session\"` to start anew with every trading date, `anchor = \"none\"` to carry on"
                .to_string(),
        )),
    }
}

fn parameters(spec: &Spec, settings: &BTreeMap<String, Setting>) -> Result<Parameters, IndicatorError> {
    let name = spec.name;
    for key in settings.keys() {
        if key != "anchor" && !spec.parameters.iter().any(|parameter| parameter.name == key) {
            let mut names: Vec<&str> = spec.parameters.iter().map(|parameter| parameter.name).collect();
            if spec.anchor.is_some() {
                names.push("anchor");
            }
            let message = format!("indicator {name:?} has no parameter {key:?}");
            return Err(IndicatorError::new(message, did_you_mean(key, &names)));
        }
    }
    let mut values = Vec::with_capacity(spec.parameters.len());
    for parameter in spec.parameters {
        let Parameter { name: key, least, most, default, .. } = *parameter;
        let hint = || format!("set `{key}` between {least} and {most}, e.g. `{key} = {default}`");
        let word = |text: &str| parameter.words.iter().position(|word| *word == text);
        let value = match settings.get(key) {
            None => default,
            Some(Setting::Text(text)) if word(text).is_some() => word(text).map_or(default, |index| index as f64),
            Some(other) if !parameter.words.is_empty() => {
                let words: Vec<String> = parameter.words.iter().map(|word| format!("{word:?}")).collect();
                let message = format!("indicator {name:?} has {key} {other}, which is none of {}", words.join(" and "));
                return Err(IndicatorError::new(message, format!("e.g. `{key} = {}`", words[0])));
            }
            Some(Setting::Number(value)) => *value,
            Some(other) => {
                let message = format!("indicator {name:?} has {key} {other}, which is no number");
                return Err(IndicatorError::new(message, hint()));
            }
        };
        let fault = if !value.is_finite() || (parameter.whole && value.fract() != 0.0) {
            Some(format!("which is no {}", if parameter.whole { "whole number" } else { "finite number" }))
        } else if value < least {
            Some(format!("the least is {least}"))
        } else if value > most {
            Some(format!("the most is {most}"))
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(IndicatorError::new(format!("indicator {name:?} has {key} {value}, {fault}"), hint()));
        }
        values.push((parameter, value + 0.0));
    }
    Ok(Parameters(values))
}

fn did_you_mean(word: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return "it takes no parameters".to_string();
    }
    let nearest = names.iter().map(|name| (distance(word, name), *name)).min().expect("names is not empty");
    if nearest.0 <= 1 + word.len() / 3 {
        return format!("did you mean {:?}?", nearest.1);
    }
    format!("choose one of {}", names.join(", "))
}

/// The number of letters to insert, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, have) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, want) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(have != *want);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
