//! Flags that say which source to read, for every command that reads one.

use clap::Args;
use ticktide_base::document::Location;
use ticktide_base::environment::{self as settings, Origin, ResolvedSetting};
use ticktide_dataflow::Override;

#[derive(Debug, Default, Args)]
pub struct SourceArgs {
    /// Read from another kind of source (see `list sources`); `verify` also takes `lake`: its own tables ticks and quarantine
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
    /// The values that override the dataflow's file: from flags, otherwise from the environment.
    pub fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        let brokers = settings::resolve(self.brokers.clone(), "--brokers", settings::BROKERS, None);
        if let Some(ResolvedSetting { value, origin }) = brokers {
            let place = match origin {
                Origin::Environment(name) => Location::Environment(name),
                Origin::Flag(_) | Origin::Default => Location::Flag("--brokers"),
            };
            overrides.push(Override::text(place, "source.brokers", &value));
        }
        overrides.extend(given("--source", "source.use", self.source.as_deref()));
        for (flag, key, values) in [("--topic", "source.topics", &self.topic), ("--path", "source.paths", &self.path)] {
            if !values.is_empty() {
                overrides.push(Override::texts(Location::Flag(flag), key, values));
            }
        }
        overrides
    }
}

/// The override by a flag that sets one key of the dataflow, if the flag was given.
pub fn given(flag: &'static str, key: &str, value: Option<&str>) -> Option<Override> {
    value.map(|value| Override::text(Location::Flag(flag), key, value))
}
