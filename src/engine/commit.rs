//! From written parts to a decided epoch: the commit task of worker 0.
//!
//! ```text
//!   parts of an epoch ─▶ decide (the log) ─▶ report ─▶ apply (the tables)
//! ```
//!
//! Why a task of its own: the store and the catalog take their time, and workers go on meanwhile. What must always hold: epochs
//! are decided in their order, each from parts that agree on its binding; a decision is reported before the tables follow it.

use crate::epochs::Report;
use crate::figures::Meters;
use crate::verdict::Samples;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use ticktide_base::epoch::{Binding, Conservation, Epoch};
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_lake::{EpochPart, Lake};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// The commit task: decides one epoch after the other and applies it; ends when the sender is gone. `decided` is called
/// after each decision, before the tables are brought to it.
pub async fn commit(
    mut lake: Lake,
    mut jobs: UnboundedReceiver<CommitJob>,
    meters: Arc<Meters>,
    failure: Arc<Failure>,
    decided: impl Fn(Report),
) {
    while let Some(job) = jobs.recv().await {
        if let Err(error) = commit_one(&mut lake, job, &meters, &decided).await {
            failure.set(error);
            break;
        }
    }
    lake.leave().await;
}

/// One worker's share of an epoch, written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPart {
    pub part: EpochPart,
    pub counts: BTreeMap<String, Conservation>,
    /// Rows of the quarantine by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Refused records to show, of reasons of which the worker has shown few so far.
    pub samples: Samples,
    pub binding: Binding,
}

/// What the commit task receives.
pub struct CommitJob {
    pub epoch: Epoch,
    pub parts: Vec<WorkerPart>,
}

async fn commit_one(lake: &mut Lake, job: CommitJob, meters: &Meters, decided: &impl Fn(Report)) -> Result<(), Error> {
    let Some(binding) = job.parts.first().map(|part| part.binding.clone()) else {
        return Err(Error::bug(format!("epoch {} has no part", job.epoch)));
    };
    if let Some(other) = job.parts.iter().find(|part| part.binding != binding) {
        let worker = other.part.worker;
        return Err(Error::bug(format!("worker {worker} has another binding of epoch {}", job.epoch)));
    }
    let mut counts: BTreeMap<String, Conservation> = BTreeMap::new();
    let mut parts = Vec::new();
    let telemetry = &meters.telemetry;
    let closed_until = binding.closed_until;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut samples = Samples::default();
    for part in job.parts {
        samples.add(part.samples);
        for (reason, rows) in part.reasons {
            *reasons.entry(reason).or_default() += rows;
        }
        for (partition, of_worker) in part.counts {
            counts.entry(partition).or_default().add(&of_worker);
        }
        parts.push(part.part);
    }
    parts.sort_by_key(|part| part.worker);
    let rows: u64 = parts.iter().flat_map(|part| &part.tables).map(|table| table.rows_added).sum();
    let corrections: usize = parts.iter().flat_map(|part| &part.tables).map(|table| table.changes.len()).sum();
    let all = counts.values().fold(Conservation::default(), |mut sum, counts| {
        sum.add(counts);
        sum
    });
    let deciding = telemetry.epoch_decide_seconds.start_timer();
    let epoch = lake.decide(binding.clone(), counts.clone(), parts).await?;
    meters.toll().add(&binding, counts, samples);
    deciding.observe_duration();
    telemetry.quarantined(reasons.iter().map(|(reason, rows)| (reason.as_str(), *rows)));
    telemetry.closed_until(closed_until);
    meters.epochs.fetch_add(1, Ordering::Relaxed);
    meters.accepted.fetch_add(all.accepted.max(0) as u64, Ordering::Relaxed);
    meters.duplicates.fetch_add(all.duplicates.max(0) as u64, Ordering::Relaxed);
    meters.rejected.fetch_add(all.rejected.max(0) as u64, Ordering::Relaxed);
    meters.pending.fetch_add(all.pending, Ordering::Relaxed);
    meters.rows.fetch_add(rows, Ordering::Relaxed);
    meters.corrections.fetch_add(corrections as u64, Ordering::Relaxed);
    decided(Report::Decided { epoch });
    let applying = telemetry.epoch_apply_seconds.start_timer();
    apply(lake, epoch).await?;
    applying.observe_duration();
    tracing::info!(epoch, rows, corrections, "epoch committed");
    Ok(())
}

/// How long the task waits for a catalog that does not answer: the epoch is decided, and credit holds the sources back.
const PATIENCE: Duration = Duration::from_secs(300);

/// Brings the tables to the decided epoch. Repeating it is safe (L2), so it waits for a catalog that is away for a while.
async fn apply(lake: &mut Lake, epoch: Epoch) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let error = match lake.apply().await {
            Ok(()) => return Ok(()),
            Err(error) => Error::from(error),
        };
        if error.kind != Kind::Retry || began.elapsed() >= PATIENCE {
            return Err(error);
        }
        tracing::warn!(epoch, error = %error, "the tables cannot be brought to the epoch yet; trying again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
