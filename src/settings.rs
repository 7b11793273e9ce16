//! The environment, read here and nowhere else, and the order in which settings win.
//!
//! flag > `TICKTIDE_…` variable > file > default. Why one place: `--dry-run` can then say where each value came from, and
//! nothing else in the program changes its mind because of the shell it was started from.

use std::fmt;

/// Where the lake is (`--warehouse`).
pub const WAREHOUSE: &str = "TICKTIDE_WAREHOUSE";
/// Which catalog it uses (`--catalog`).
pub const CATALOG: &str = "TICKTIDE_CATALOG";
/// Kafka brokers (`--brokers`).
pub const BROKERS: &str = "TICKTIDE_BROKERS";
/// Worker threads (`-w`).
pub const WORKERS: &str = "TICKTIDE_WORKERS";
/// Where figures are served (`--metrics`).
pub const METRICS: &str = "TICKTIDE_METRICS";
/// What to log, as tracing-subscriber's filters ("info", "ticktide=debug").
pub const LOG: &str = "TICKTIDE_LOG";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub origin: Origin,
}

/// An environment variable; empty counts as absent. A value that is no UTF-8 is absent, too.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The flag if it was given, else the variable, else the default.
pub fn resolve(
    flag: Option<String>,
    flag_name: &'static str,
    variable_name: &'static str,
    default: Option<&str>,
) -> Option<Sourced<String>> {
    pick(flag, flag_name, variable(variable_name), variable_name, default)
}

fn pick(
    flag: Option<String>,
    flag_name: &'static str,
    environment: Option<String>,
    variable_name: &'static str,
    default: Option<&str>,
) -> Option<Sourced<String>> {
    if let Some(value) = flag {
        return Some(Sourced { value, origin: Origin::Flag(flag_name) });
    }
    if let Some(value) = environment {
        return Some(Sourced { value, origin: Origin::Environment(variable_name) });
    }
    default.map(|value| Sourced { value: value.to_owned(), origin: Origin::Default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_environment_and_both_beat_the_default() {
        let pick = |flag: Option<&str>, environment: Option<&str>, default| {
            let owned = |text: &str| text.to_owned();
            pick(flag.map(owned), "--warehouse", environment.map(owned), WAREHOUSE, default)
                .map(|sourced| (sourced.value, sourced.origin.to_string()))
        };
        assert_eq!(pick(Some("a"), Some("b"), Some("c")), Some(("a".into(), "--warehouse".into())));
        assert_eq!(pick(None, Some("b"), Some("c")), Some(("b".into(), "TICKTIDE_WAREHOUSE".into())));
        assert_eq!(pick(None, None, Some("c")), Some(("c".into(), "default".into())));
        assert_eq!(pick(None, None, None), None);
    }
}
