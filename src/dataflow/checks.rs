//! The checks of a dataflow, as it uses them and as rows name them.
//!
//! What must hold: a use builds, and two uses with equal settings have equal canonical forms.

use std::collections::BTreeMap;
use ticktide_base::time::Interval;
use ticktide_flow::anomalies::{Built, Setting, build};
use ticktide_flow::parameters::SettingError;

/// A check, on the bars of an interval or on ticks; it builds.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyUse {
    name: String,
    parameters: BTreeMap<String, Setting>,
    on: Option<Interval>,
}

impl AnomalyUse {
    /// Errors: what the registry does not know or allow.
    pub fn new(
        name: &str,
        parameters: BTreeMap<String, Setting>,
        on: Option<Interval>,
    ) -> Result<AnomalyUse, SettingError> {
        build(name, &parameters)?;
        Ok(AnomalyUse { name: name.to_owned(), parameters, on })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None`: it reads ticks.
    pub fn on(&self) -> Option<Interval> {
        self.on
    }

    pub fn build(&self) -> Built {
        build(&self.name, &self.parameters).expect("it was built when it was made, of the same values")
    }

    /// With all its parameters, defaults written out.
    pub fn canonical(&self) -> serde_json::Value {
        serde_json::json!({
            "use": self.name,
            "on": self.on.map(Interval::name),
            "parameters": self.build().parameters,
        })
    }
}

/// How the rows of the table name a dataflow's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckName {
    pub check: String,
    pub interval: Option<String>,
    /// A JSON object.
    pub parameters: String,
}

impl CheckName {
    pub fn of(used: &AnomalyUse) -> CheckName {
        CheckName {
            check: used.name().to_owned(),
            interval: used.on().map(Interval::name),
            parameters: used.build().parameters,
        }
    }
}
