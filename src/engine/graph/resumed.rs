//! Where an earlier run ended: what every operator goes on from.

use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::rules::Rules;
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::evolution::Additions;
use ticktide_flow::clean::EpochHorizons;
use ticktide_lake::Resume;
use ticktide_market::calendar::Session;

/// Where an earlier run ended, and what was added to its dataflow since.
#[derive(Clone)]
pub struct Resumed {
    /// The first epoch of this run.
    pub first: Epoch,
    /// What is published: the binding of the last data epoch.
    pub binding: Binding,
    /// By the intervals of the dataflow.
    pub horizons: EpochHorizons,
    /// The dataflow's intervals, as the horizons count them.
    pub intervals: Vec<Interval>,
    pub session: Arc<Session>,
    /// When each addition to the lake's dataflow begins.
    pub additions: Additions,
    /// The rules by which its rows are made.
    pub rules: Rules,
}

impl Resumed {
    /// What a run of a dataflow goes on from in its lake.
    pub fn new(dataflow: &Dataflow, resume: &Resume, additions: &Additions) -> Resumed {
        let binding = resume.binding.clone().unwrap_or_default();
        let horizon = |interval: &Interval| binding.horizons.get(&interval.name()).copied().unwrap_or(Nanos::MIN);
        let horizons = EpochHorizons {
            intervals: dataflow.bars.iter().map(horizon).collect(),
            retained_from: binding.retained_from.unwrap_or(Nanos::MIN),
            lake_time: binding.lake_time_next(),
            rules: binding.lateness,
        };
        Resumed {
            first: resume.epoch_next,
            binding,
            horizons,
            intervals: dataflow.bars.clone(),
            session: Arc::new(dataflow.session.clone()),
            additions: additions.clone(),
            rules: dataflow.source.rules,
        }
    }
}
