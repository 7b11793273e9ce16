//! Flags that say which source to read, for every command that reads one.

use clap::Args;
use ticktide_base::document::Place;
use ticktide_base::environment::{self as settings, Origin, Sourced};
use ticktide_dataflow::Override;

#[derive(Debug, Default, Args)]
pub struct SourceArgs {
    /// Read from another kind of source (see `list sources`); for `verify` also `lake`: its own tables ticks and quarantine
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Kafka brokers, separated by commas [or TICKTIDE_BROKERS]
    #[arg(long, value_name = "LIST")]
    pub brokers: Option<String>,
    /// A Kafka topic; may be repeated
    #[arg(long, value_name = "NAME")]
    pub topic: Vec<String>,
    /// A recorded file, a folder of them or a pattern; may be repeated; each file is a partition
    #[arg(long, value_name = "FILE|DIR|GLOB")]
    pub path: Vec<String>,
}

impl SourceArgs {
    /// What goes over the dataflow's file: flags, then the environment.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        let brokers = settings::resolve(self.brokers.clone(), "--brokers", settings::BROKERS, None);
        if let Some(Sourced { value, origin }) = brokers {
            let place = match origin {
                Origin::Environment(name) => Place::Environment(name),
                Origin::Flag(_) | Origin::Default => Place::Flag("--brokers"),
            };
            overrides.push(Override::text(place, "source.brokers", &value));
        }
        overrides.extend(given("--source", "source.use", self.source.as_deref()));
        for (flag, key, values) in [("--topic", "source.topics", &self.topic), ("--path", "source.paths", &self.path)] {
            if !values.is_empty() {
                overrides.push(Override::texts(Place::Flag(flag), key, values));
            }
        }
        overrides
    }
}

/// A flag of its own for a key of the dataflow, if it was given.
pub fn given(flag: &'static str, key: &str, value: Option<&str>) -> Option<Override> {
    value.map(|value| Override::text(Place::Flag(flag), key, value))
}
