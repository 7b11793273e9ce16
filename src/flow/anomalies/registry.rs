//! From a name and settings to a built check, or to an error that says what to change.

use super::{BarCheck, CHECKS, FeedGap, ListedCheck, TickCheck};
pub use crate::parameters::Setting;
use crate::parameters::{self, Parameter, Parameters, SettingError, read};
use std::collections::BTreeMap;
use ticktide_base::registry::Entry;

/// An entry's name in errors.
pub(super) const FAMILY: &str = "check";

/// What a check judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Each tick by itself: `on` is refused.
    Tick,
    /// An instrument's bars of the interval `on`.
    Bar,
    /// Bars of the interval `on`, each against the instrument's master: the dataflow must keep `instruments`.
    Listed,
    /// All bars of a venue of the interval `on`.
    Feed,
}

impl Level {
    /// As `list` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Tick => "ticks",
            Level::Bar => "bars",
            Level::Listed => "bars, master",
            Level::Feed => "feed",
        }
    }
}

/// A row of the registry.
pub struct Spec {
    /// The value of `use` in a dataflow file, and of `check_name` in the table; lower case, and it never changes.
    pub name: &'static str,
    /// One line for `list`.
    pub doc: &'static str,
    /// What it judges; [`Spec::build`] builds a check of this level.
    pub level: Level,
    /// The parameters, with their defaults and bounds; [`Parameters`] has a value for each.
    pub parameters: &'static [Parameter],
    /// Builds it from checked parameters; an error says how they contradict each other.
    pub build: fn(&Parameters) -> Result<Check, String>,
}

impl Entry for Spec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fault(&self) -> Option<String> {
        parameters::fault(self.parameters, &["use", "on"])
    }
}

/// A check of any level.
pub enum Check {
    /// Checks ticks one by one, where they are accepted.
    Tick(Box<dyn TickCheck>),
    /// Checks an instrument's finished bars in their order.
    Bar(Box<dyn BarCheck>),
    /// Checks each bar against its instrument's master.
    Listed(Box<dyn ListedCheck>),
    /// Looks for the silence of a whole venue.
    Feed(FeedGap),
    /// Checks through which partitions an instrument arrives.
    Partitions,
}

/// A built check, and its parameters as the table shows them.
pub struct Built {
    pub check: Check,
    /// A JSON object with every parameter, defaults included.
    pub parameters: String,
}

/// Builds a check from its name and settings.
///
/// ```
/// use ticktide_flow::anomalies::{build, Setting};
/// use std::collections::BTreeMap;
/// let built = build("return_z", &BTreeMap::from([("z".to_string(), Setting::from(8))])).unwrap();
/// assert!(built.parameters.contains(r#""z":8"#));
/// let error = build("return_x", &BTreeMap::new()).err().unwrap();
/// assert_eq!(error.hint, r#"did you mean "return_z"?"#);
/// ```
pub fn build(name: &str, settings: &BTreeMap<String, Setting>) -> Result<Built, SettingError> {
    let spec = spec(name)?;
    let parameters = read(FAMILY, name, spec.parameters, &[], settings)?;
    let check = (spec.build)(&parameters)
        .map_err(|fault| SettingError::contradiction(FAMILY, name, spec.parameters, &fault))?;
    Ok(Built { check, parameters: parameters.json() })
}

/// A row of the registry by its name.
pub fn spec(name: &str) -> Result<&'static Spec, SettingError> {
    CHECKS.find(name).ok_or_else(|| SettingError::unknown(FAMILY, name, &CHECKS.names()))
}
