//! The checks of a dataflow: the key `anomalies`, entry by entry against the registry.

use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::{Keys, Node, Problems, Table, Value, duration_text};
use ticktide_base::time::Interval;
use ticktide_flow::anomalies::{Built, Level, Setting, build, spec};
use ticktide_flow::parameters::SettingError;

const EXAMPLE: &str = "{ use = \"return_z\", on = \"1m\", z = 6 }";

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

    /// `None`: it looks at ticks.
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

/// Reads the list.
pub(super) fn read(keys: &Keys<'_>, bars: &[Interval], lists: bool) -> Vec<AnomalyUse> {
    let mut uses = Vec::new();
    let mut seen = BTreeSet::new();
    for item in keys.list("anomalies", &format!("[{EXAMPLE}]")).unwrap_or_default() {
        let Value::Table(table) = &item.value else {
            keys.wrong_type("anomalies", item, "a table", format!("e.g. `anomalies = [{EXAMPLE}]`"));
            continue;
        };
        let Some(used) = check(table, item, bars, keys.problems()) else { continue };
        if !lists && spec(&used.name).is_ok_and(|spec| spec.level == Level::Listed) {
            let message = format!("check {:?} reads instrument masters, which this dataflow does not keep", used.name);
            keys.problems().add(
                &item.place,
                message,
                "set `instruments = true`, and read a topic or file with masters",
            );
        }
        if seen.insert(used.canonical().to_string()) {
            uses.push(used);
        } else {
            let message = format!("check {:?} stands there twice with the same settings", used.name);
            keys.problems().add(&item.place, message, "remove one of them");
        }
    }
    uses
}

/// One entry: `use`, `on` where it looks at bars, and parameters that the registry checks.
fn check(table: &Table, item: &Node, bars: &[Interval], problems: &Problems) -> Option<AnomalyUse> {
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let keys = Keys::new("a check", table, &names, problems);
    if keys.node("use").is_none() {
        problems.add(&item.place, "a check has no `use`", format!("e.g. `{EXAMPLE}`"));
    }
    let mut parameters = BTreeMap::new();
    for (name, _, node) in table.entries().filter(|(name, ..)| !["use", "on"].contains(name)) {
        let setting = match &node.value {
            Value::Integer(number) => Setting::from(*number),
            Value::Float(number) => Setting::from(*number),
            Value::Text(text) => Setting::from(text.as_str()),
            _ => {
                keys.wrong_type(name, node, "a number", format!("e.g. `{name} = 6`"));
                continue;
            }
        };
        parameters.insert(name.to_owned(), setting);
    }
    let on = keys.duration("on");
    let (name, use_place) = keys.text("use")?;
    let level = match spec(&name) {
        Ok(spec) => spec.level,
        Err(error) => {
            problems.add(use_place, error.message, error.hint);
            return None;
        }
    };
    match (level, on) {
        (Level::Tick, Some((_, place))) => {
            let message = format!("check {name:?} is on bars, but it looks at ticks");
            problems.add(place, message, "remove `on`");
            return None;
        }
        (Level::Bar | Level::Listed | Level::Feed, None) if keys.node("on").is_none() => {
            let there = bars.first().map_or_else(String::new, |interval| interval.name());
            let hint = format!("say on which bars it looks, e.g. `on = \"{there}\"`");
            problems.add(&item.place, format!("check {name:?} has no `on`"), hint);
            return None;
        }
        (Level::Bar | Level::Listed | Level::Feed, Some((on, place))) if !bars.contains(&Interval(on)) => {
            let there: Vec<String> = bars.iter().map(|interval| interval.name()).collect();
            let message = format!("check {name:?} is on {}, but there are no such bars", duration_text(on));
            problems.add(place, message, format!("there are bars of {}", there.join(", ")));
        }
        _ => {}
    }
    match AnomalyUse::new(&name, parameters, on.map(|(on, _)| Interval(on))) {
        Ok(used) => Some(used),
        Err(error) => {
            let culprit = table.entries().find(|(key, ..)| *key != "on" && is_named(&error.message, key));
            let node = culprit.map(|(.., node)| node).or(table.get("use")).unwrap_or(item);
            problems.add(&node.place, error.message, error.hint);
            None
        }
    }
}

/// Whether a message names a key: as a word, or quoted.
fn is_named(message: &str, key: &str) -> bool {
    message.contains(&format!(" {key} ")) || message.contains(&format!("{key:?}"))
}

/// What a dataflow's check is called in the table.
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
