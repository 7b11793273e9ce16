//! How the ends of epochs are decided, and the messages for it: workers report, worker 0 decides.
//!
//! ```text
//!   every worker: Report ══▶ worker 0: Minter ══▶ every worker: Decision
//!      Progress, Ended, OutOfCredit                  Grant(e) → may read into e, with e's horizons
//!      Decided (from the committer), Clock, Stop     Cut(e)   → end e where you are, report, read on into e+1
//!                                                    Bind(e)  → what e is; act on this record and on nothing else
//! ```
//!
//! Why one decider: offsets belong to partitions of many workers and `closed_until` is a global minimum; local views drift.
//! There are two deciders: [`mint`] decides as records come, [`replay`] repeats what is recorded. What must always hold: a
//! worker acts on decisions alone, in the order in which they were made.

pub mod control;
pub mod frontier;
pub mod mint;
pub mod replay;
pub mod rewind;
pub mod until;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, Place, Rewound};
use ticktide_base::time::{Interval, MILLI, Nanos};
use ticktide_base::version::code_version;
use ticktide_dataflow::{Dataflow, Horizon};
use ticktide_flow::clean::EpochHorizons;
pub use ticktide_flow::clean::reach::{Reach, ReachSpec, aligned_after, horizon};
use ticktide_market::calendar::Session;

/// What the decisions depend on.
#[derive(Clone)]
pub struct ControlSpec {
    pub workers: usize,
    pub reach: ReachSpec,
    pub session: Arc<Session>,
    pub grace: Nanos,
    pub epoch_every_ms: u64,
    pub epoch_records: u64,
    /// The most undecided epochs; K of the horizon rule.
    pub epochs: u64,
    pub until_end: bool,
    pub generation: u64,
    pub dataflow_hash: String,
    pub calendar_hash: String,
    pub code_version: String,
}

impl ControlSpec {
    /// The settings of a dataflow; `workers`: those of all processes.
    pub fn of(dataflow: &Dataflow, workers: usize, generation: u64) -> ControlSpec {
        ControlSpec {
            workers,
            reach: reaches(dataflow),
            session: Arc::new(dataflow.session.clone()),
            grace: dataflow.grace,
            epoch_every_ms: (dataflow.epoch.every / MILLI).max(1) as u64,
            epoch_records: dataflow.epoch.records.max(1),
            epochs: dataflow.limits.epochs.max(1),
            until_end: dataflow.source.until_end,
            generation,
            dataflow_hash: dataflow.hash(),
            calendar_hash: dataflow.session.hash(),
            code_version: code_version(),
        }
    }
}

/// How far back a dataflow's records count.
pub fn reaches(dataflow: &Dataflow) -> ReachSpec {
    let reach = |interval: Interval| match dataflow.horizons.horizon(interval) {
        Horizon::Span(span) => Reach::Span(span),
        Horizon::Sessions(count) => Reach::Sessions(count),
    };
    let intervals = dataflow.bars.iter().map(|interval| (*interval, reach(*interval))).collect();
    ReachSpec { intervals, retention: dataflow.retention }
}

/// One partition as its reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProgress {
    pub partition: String,
    /// The greatest event time believed.
    pub event_at_max: Option<Nanos>,
    /// The greatest event time of records that were accepted at an end and move no time yet.
    pub lone_max: Option<Nanos>,
    /// The time that its ticks have come to.
    pub running: Option<Nanos>,
    /// The least event time of its first ticks in this run.
    pub began_at: Option<Nanos>,
    /// Caught up for `idle_after`, or finished: bars close without it.
    pub idle: bool,
    /// Without a tick for so long that memory goes on without it, or finished.
    pub silent: bool,
    pub finished: bool,
}

/// What worker 0 receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    Clock {
        now_ms: u64,
        wall: Nanos,
    },
    /// `records`: read in `epoch` so far.
    Progress {
        worker: usize,
        epoch: Epoch,
        records: u64,
        partitions: Vec<PartitionProgress>,
    },
    OutOfCredit {
        epoch: Epoch,
    },
    Ended {
        worker: usize,
        epoch: Epoch,
        places: BTreeMap<String, Place>,
        partitions: Vec<PartitionProgress>,
    },
    Decided {
        epoch: Epoch,
    },
    Stop,
}

/// What every worker receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    Grant {
        epoch: Epoch,
        horizons: EpochHorizons,
    },
    /// `flush`: decide the records that wait, it is the end. `last`: nothing follows.
    Cut {
        epoch: Epoch,
        flush: bool,
        last: bool,
    },
    /// A recorded end: read `epoch` up to these places (by partition; one without a place is not read), end it there.
    /// `rewound`: a partition's time is set back before its records.
    CutAt {
        epoch: Epoch,
        flush: bool,
        last: bool,
        places: BTreeMap<String, Place>,
        rewound: Option<Rewound>,
    },
    Bind(Binding),
    /// The running time of the slowest partition with unread records.
    Slowest(Option<Nanos>),
}
