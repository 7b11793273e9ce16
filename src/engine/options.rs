//! The options of a run, and its report at the end.

use crate::figures::Meters;
use crate::toll::Barren;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use ticktide_base::conservation::ByReason;
use ticktide_base::epoch::Conservation;
use ticktide_base::error::Error;
use ticktide_base::metrics;
use ticktide_cluster::mesh::Cluster;
use ticktide_dataflow::Dataflow;
use ticktide_lake::Warehouse;

/// Whether the dataflow may add to the lake's newest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evolve {
    /// It must be the lake's newest.
    #[default]
    No,
    /// What it adds begins now.
    Forward,
    /// What it adds begins with the lake's first record.
    Rebuild,
}

/// What to run and where.
pub struct RunOptions {
    pub dataflow: Dataflow,
    pub warehouse: Warehouse,
    pub catalog: Option<String>,
    /// Workers of this process.
    pub workers: usize,
    /// The other processes; none: this is the only one.
    pub cluster: Option<Cluster>,
    /// Serialise even the data between workers of one process.
    pub force_bytes: bool,
    /// Where figures are served, if anywhere.
    pub metrics: Option<metrics::Listener>,
    /// Called now and then with the figures so far.
    pub progress: Option<ShowFigures>,
    pub evolve: Evolve,
}

/// Shows the figures of a run; the duration is since its start.
pub type ShowFigures = Box<dyn Fn(&Meters, Duration) + Send>;

impl RunOptions {
    /// A run of one process with no other request than its dataflow.
    pub fn new(dataflow: Dataflow, warehouse: Warehouse, workers: usize) -> RunOptions {
        RunOptions {
            dataflow,
            warehouse,
            catalog: None,
            workers,
            cluster: None,
            force_bytes: false,
            metrics: None,
            progress: None,
            evolve: Evolve::No,
        }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct RunReport {
    /// The report is that of process 0; another process knows only the records that it has read itself.
    pub leads: bool,
    pub generation: u64,
    pub epochs: u64,
    pub records: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub pending: i64,
    /// Records of kinds that the dataflow ignores, and their numbers by the feed's word.
    pub ignored: u64,
    pub words: ByReason,
    /// Offsets without a record.
    pub gaps: u64,
    /// Of the gaps: offsets whose records were deleted before they were read.
    pub lost: u64,
    /// Rejected records by reason; the words are those of [`crate::reasons`].
    pub reasons: ByReason,
    /// Accepted records that made no bar, by reason.
    pub silent: ByReason,
    /// Accepted records that count for some intervals only, by reason.
    pub partly: ByReason,
    /// Where the records of each partition went.
    pub partitions: BTreeMap<String, Conservation>,
    /// Partitions that were read and contributed nothing.
    pub barren: Vec<Barren>,
    /// More than half of the records were refused: the error that the run ends with, after everything else is reported.
    pub refused: Option<Error>,
    pub rows: u64,
    pub corrections: u64,
    pub elapsed: Duration,
    /// What the source in this process has left unread, one line each.
    pub remarks: Vec<String>,
}

impl RunReport {
    /// The figures at the end; the rest is for the caller to fill in.
    pub(crate) fn of(meters: &Meters) -> RunReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (accepted, duplicates, rejected) = (get(&meters.accepted), get(&meters.duplicates), get(&meters.rejected));
        let pending = meters.pending.load(Ordering::Relaxed);
        let toll = meters.toll();
        let all = toll.all();
        RunReport {
            epochs: get(&meters.epochs),
            // the sum over all processes: committed counts balance
            records: (accepted + duplicates + rejected + all.ignored.unsigned_abs()).saturating_add_signed(pending),
            accepted,
            duplicates,
            rejected,
            pending,
            ignored: all.ignored.unsigned_abs(),
            words: all.words,
            gaps: all.gaps.unsigned_abs(),
            lost: all.lost.unsigned_abs(),
            reasons: all.reasons,
            silent: all.silent,
            partly: all.partly,
            barren: toll.barren(),
            refused: toll.verdict(),
            partitions: toll.partitions().clone(),
            rows: get(&meters.rows),
            corrections: get(&meters.corrections),
            ..RunReport::default()
        }
    }
}
