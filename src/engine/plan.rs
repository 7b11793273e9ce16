//! What all workers of a run share, from the state that it goes on from to its meters.

use crate::epochs::ControlSpec;
use crate::epochs::replay::RecordedRange;
use crate::figures::Meters;
use crate::graph::source::Wires;
use crate::tasks::CommitEnds;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use ticktide_base::failure::Failure;
use ticktide_base::panics::PanicAt;
use ticktide_cluster::supervise::Heart;
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::evolution::Additions;
use ticktide_feed::Source;
use ticktide_lake::{LakeWriter, Resume, StateEntry};
use ticktide_tables::set::Tables;
use timely::dataflow::ProbeHandle;

/// What all workers of a run share.
pub(crate) struct RunPlan {
    pub dataflow: Dataflow,
    pub source: Arc<dyn Source>,
    pub tables: Tables,
    pub resume: Resume,
    /// The restored state, once for each worker of this process; each drops it when it has its share.
    pub state: Mutex<Vec<Arc<Vec<StateEntry>>>>,
    pub control: ControlSpec,
    pub writer: LakeWriter,
    /// The I/O threads.
    pub runtime: tokio::runtime::Handle,
    pub failure: Arc<Failure>,
    pub stop: Arc<AtomicBool>,
    pub heart: Heart,
    pub panic_at: PanicAt,
    /// When the opening of the lake began.
    pub opened_at: Instant,
    pub meters: Arc<Meters>,
    /// What replaces minted decisions.
    pub recorded: Option<RecordedRange>,
    /// When each addition to the lake's dataflow begins.
    pub additions: Additions,
    /// Worker 0 takes them.
    pub commit: Mutex<Option<CommitEnds>>,
}

impl RunPlan {
    /// What a worker's loop and its operators share.
    pub fn wires(&self, worker: usize) -> Wires {
        Wires {
            decisions: Rc::default(),
            reports: Rc::default(),
            compute: ProbeHandle::new(),
            commit: ProbeHandle::new(),
            failure: self.failure.clone(),
            records: self.meters.records.clone(),
            figures: self.meters.telemetry.worker(worker),
        }
    }

    /// The ends that worker 0 takes; another worker's lead nowhere.
    pub fn commit_ends(&self, worker: usize) -> CommitEnds {
        let ends = if worker == 0 { self.commit.lock().ok().and_then(|mut ends| ends.take()) } else { None };
        ends.unwrap_or_else(CommitEnds::nowhere)
    }
}
