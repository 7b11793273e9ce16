//! From a name and settings to a built indicator, or to an error that says what to change.
//!
//! Parameters are checked by [`crate::parameters`], like those of every registry; the anchor is special here.

use super::anchored::Anchored;
use super::{INDICATORS, Indicator};
use crate::parameters::{self, read};
pub use crate::parameters::{Parameter, Parameters, Setting, SettingError};
use std::collections::BTreeMap;
use ticktide_base::registry::Entry;

/// An entry's name in errors.
pub(super) const FAMILY: &str = "indicator";

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
    /// The value of `use` in a dataflow file; lower case, and it never changes.
    pub name: &'static str,
    /// One line for `list`.
    pub doc: &'static str,
    /// The parameters, with their defaults and bounds; [`Parameters`] has a value for each.
    pub parameters: &'static [Parameter],
    /// The default of the setting `anchor`; `None` where the start does not matter and the setting is refused.
    pub anchor: Option<Anchor>,
    /// Builds it from checked parameters; an error says how they contradict each other ("fast 26 is not below slow 12").
    pub build: fn(&Parameters) -> Result<Box<dyn Indicator>, String>,
}

impl Entry for Spec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fault(&self) -> Option<String> {
        parameters::fault(self.parameters, &["use", "on", "anchor"])
    }
}

/// Columns of the table of readings, whose names no output may have: those before the outputs, and those after them.
pub const COLUMNS: [&str; 8] = ["venue", "instrument", "symbol", "trading_date", "open_at", "phase", "epoch", "diff"];

/// Whether each output can be a column: a word in lower case that is no other column's.
fn check_outputs(name: &str, built: &dyn Indicator) -> Result<(), SettingError> {
    let is_column = |output: &String| {
        output.starts_with(|first: char| first.is_ascii_lowercase())
            && output.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
            && !COLUMNS.contains(&output.as_str())
    };
    match built.outputs().iter().find(|output| !is_column(output)) {
        None => Ok(()),
        Some(output) => Err(SettingError::new(
            format!("indicator {name:?} has the output {output:?}, which cannot be a column"),
            format!("name its outputs with lower-case words and `_`, but none of {}", COLUMNS.join(", ")),
        )),
    }
}

/// Builds an indicator from its name and settings: its parameters by name and, where its start matters, `anchor`.
///
/// ```
/// use ticktide_flow::indicators::{build, Setting};
/// use std::collections::BTreeMap;
/// let ema = build("ema", &BTreeMap::from([("period".to_string(), Setting::from(20))])).unwrap();
/// assert_eq!(ema.outputs(), ["ema_20"]);
/// let error = build("ema", &BTreeMap::from([("period".to_string(), Setting::from(0))])).err().unwrap();
/// assert_eq!(error.message, r#"indicator "ema" has period 0, the least is 1"#);
/// let error = build("emma", &BTreeMap::new()).err().unwrap();
/// assert_eq!(error.hint, r#"did you mean "ema"?"#);
/// ```
pub fn build(name: &str, settings: &BTreeMap<String, Setting>) -> Result<Box<dyn Indicator>, SettingError> {
    let Some(spec) = INDICATORS.find(name) else {
        return Err(SettingError::unknown(FAMILY, name, &INDICATORS.names()));
    };
    let anchor = anchor(spec, settings)?;
    let others: &[&str] = if spec.anchor.is_some() { &["anchor"] } else { &[] };
    let parameters = read(FAMILY, name, spec.parameters, others, settings)?;
    let built = (spec.build)(&parameters)
        .map_err(|fault| SettingError::contradiction(FAMILY, name, spec.parameters, &fault))?;
    check_outputs(name, built.as_ref())?;
    Ok(match anchor {
        Some(Anchor::Session) => Box::new(Anchored::new(built)),
        Some(Anchor::Unanchored) | None => built,
    })
}

fn anchor(spec: &Spec, settings: &BTreeMap<String, Setting>) -> Result<Option<Anchor>, SettingError> {
    let name = spec.name;
    match (settings.get("anchor"), spec.anchor) {
        (None, default) => Ok(default),
        (Some(_), None) => Err(SettingError::new(
            format!("indicator {name:?} has no anchor: it does not depend on where it starts"),
            "remove `anchor`".to_string(),
        )),
        (Some(Setting::Text(text)), Some(_)) if text == "session" => Ok(Some(Anchor::Session)),
        (Some(Setting::Text(text)), Some(_)) if text == "none" => Ok(Some(Anchor::Unanchored)),
        (Some(other), Some(_)) => Err(SettingError::new(
            format!("indicator {name:?} has anchor {other}, which is none of \"session\" and \"none\""),
            "set `anchor = \"session\"` to start anew with every trading date, `anchor = \"none\"` to carry on"
                .to_string(),
        )),
    }
}
