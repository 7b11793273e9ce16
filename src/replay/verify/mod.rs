//! `verify`: a range of epochs recomputed from its recorded bindings and compared with the log, epoch by epoch.
//!
//! ```text
//!   log ─▶ EpochRange: state, bindings, offsets ─▶ engine (Replay instead of the minter) ─▶ sums per table and epoch
//!    └──▶ slots: rows and content hash ──────────────────────────────▶ equal?  ◀────────────┘
//!                                         the first that differs: its rows by key
//! ```
//!
//! Why the whole engine again and no second implementation: what is promised (P-a) is that the same bindings give the same
//! rows with any workers, steps and crashes. What must always hold: nothing is written, nothing is taken over; a source that
//! no longer has the records is a user error, never a difference.

mod difference;
#[cfg(test)]
mod tests;

pub use difference::EpochDifference;

use crate::{archive, recorded};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_base::rules::Rules;
use ticktide_dataflow::Dataflow;
use ticktide_engine::commit::CommitJob;
use ticktide_engine::epochs::Report;
use ticktide_engine::epochs::replay::RecordedRange;
use ticktide_engine::open::Recording;
use ticktide_engine::options::ShowFigures;
use ticktide_engine::taker::{Decided, Jobs, Taker};
use ticktide_engine::{Run, RunOptions, RunReport};
use ticktide_feed::Speed;
use ticktide_lake::read::past::{Lineages, Sum};
use ticktide_lake::table::spec::TableSpec;
use ticktide_lake::{Kept, LakeReader, Slot, Warehouse};

/// What to recompute.
pub struct Recompute {
    /// With the recorded source.
    pub dataflow: Dataflow,
    pub warehouse: Warehouse,
    pub catalog: Option<String>,
    pub workers: usize,
    /// Serialise even what crosses workers.
    pub force_bytes: bool,
    /// Read the lake's own archive instead of the recorded source.
    pub archive: bool,
    pub first: Option<Epoch>,
    pub last: Option<Epoch>,
    pub progress: Option<ShowFigures>,
}

/// The result of a recomputation.
#[derive(Clone, Debug, Default)]
pub struct Recomputed {
    pub first: Epoch,
    pub last: Epoch,
    /// How many epochs were compared.
    pub epochs: u64,
    pub records: u64,
    /// Rows added and taken back.
    pub rows: u64,
    /// The first one; nothing after it was compared.
    pub difference: Option<EpochDifference>,
}

/// Recomputes and compares. Errors of kind `Fix`: the lake is another dataflow's, the range is empty, the source is gone.
pub fn recompute(options: Recompute) -> Result<Recomputed, Error> {
    let Recompute { mut dataflow, warehouse, catalog, workers, force_bytes, archive, first, last, progress } = options;
    // the recorded offsets are the end; a file's last line may be a record that only the end of a run takes
    dataflow.source.until_end = true;
    dataflow.source.speed = Speed::Max;
    let of = |rules: Rules| {
        let mut dataflow = dataflow.clone();
        recorded::made_by(&mut dataflow, rules);
        let catalog = catalog.clone();
        RunOptions { catalog, force_bytes, ..RunOptions::new(dataflow, warehouse.clone(), workers) }
    };
    let run = Run::begin(of(Rules::NEWEST))?;
    let lake = run.ground()?.lake;
    let mut all: Option<Recomputed> = None;
    let parts = run.block_on(recorded::by_rules(&lake, first, last))?;
    let (mut progress, newest) = (progress, parts.len() - 1);
    for (part, (rules, first, last)) in parts.into_iter().enumerate() {
        let outcome = Arc::<Mutex<Recomputed>>::default();
        // the progress shown is that of the last part, usually the longest
        let progress = if part == newest { progress.take() } else { None };
        let ran = compare(run.again(RunOptions { progress, ..of(rules) })?, Some(first), Some(last), archive, &outcome);
        let outcome = outcome.lock().map_err(|_| Error::bug("the comparison panicked"))?.clone();
        if let (Err(error), None) = (ran, &outcome.difference) {
            return Err(error);
        }
        let so_far = all.get_or_insert_with(|| Recomputed { first: outcome.first, ..Recomputed::default() });
        so_far.last = outcome.last;
        so_far.epochs += outcome.epochs;
        so_far.records += outcome.records;
        so_far.rows += outcome.rows;
        so_far.difference = outcome.difference;
        if so_far.difference.is_some() {
            break;
        }
    }
    all.ok_or_else(|| Error::bug("a range without epochs"))
}

/// Runs the range again; puts the result into `outcome`.
fn compare(
    run: Run,
    first: Option<Epoch>,
    last: Option<Epoch>,
    archive: bool,
    outcome: &Arc<Mutex<Recomputed>>,
) -> Result<RunReport, Error> {
    let (ground, dataflow) = (run.ground()?, run.options().dataflow.clone());
    let (reader, past, last) = run.block_on(recorded::open(&ground.lake, first, last, Lineages::One))?;
    let first = past.resume.epoch_next;
    if let Ok(mut outcome) = outcome.lock() {
        (outcome.first, outcome.last) = (first, last);
    }
    let before = match first.checked_sub(1) {
        Some(epoch) => Some(run.block_on(reader.decided(epoch))?),
        None => None,
    };
    let recorded = RecordedRange { bindings: past.bindings.into(), starts: past.starts };
    let source = match archive {
        true => run.block_on(archive::open(&reader, &recorded, &dataflow))?,
        false => recorded::source(&dataflow, &recorded)?,
    };
    let kept: Arc<Kept> = Arc::default();
    let recording = Recording {
        writer: reader.measuring(kept.clone()),
        resume: past.resume,
        recorded,
        source,
        taker: Box::new(Compare {
            tables: upstream_first(ground.tables.specs()),
            reader,
            kept,
            before,
            counted: !archive,
            outcome: outcome.clone(),
        }),
    };
    run.go(ground.recorded(&dataflow, recording)?)
}

/// The names of the tables; those that others are made from come first, so that a cause is named and not its effect.
fn upstream_first(specs: Vec<TableSpec>) -> Vec<String> {
    let (records, made): (Vec<_>, Vec<_>) = specs.into_iter().partition(|spec| spec.key.is_empty());
    records.into_iter().chain(made).map(|spec| spec.name).collect()
}

/// Replaces the commit task of a run: decides nothing, compares.
struct Compare {
    reader: LakeReader,
    kept: Arc<Kept>,
    /// Tables whose sums are compared, in the order of the flow; a history follows from its table.
    tables: Vec<String>,
    before: Option<Slot>,
    /// Whether every record is read again: the archive has no duplicates.
    counted: bool,
    outcome: Arc<Mutex<Recomputed>>,
}

#[async_trait]
impl Taker for Compare {
    /// Compares one epoch after the other; ends at the first difference, which is a failure of the run.
    async fn run(mut self: Box<Self>, mut jobs: Jobs, failure: Arc<Failure>, decided: Decided) {
        while let Some(job) = jobs.recv().await {
            let epoch = job.epoch;
            match self.compare(job).await {
                Ok(None) => decided(Report::Decided { epoch }),
                Ok(Some(difference)) => {
                    let message = difference.to_string();
                    // it is set before the run can end because of it
                    if let Ok(mut outcome) = self.outcome.lock() {
                        outcome.difference = Some(difference);
                    }
                    return failure.set(Error { kind: Kind::Corrupt, message, hint: None });
                }
                Err(error) => {
                    failure.set(error);
                    return;
                }
            }
        }
    }
}

impl Compare {
    async fn compare(&mut self, job: CommitJob) -> Result<Option<EpochDifference>, Error> {
        let epoch = job.epoch;
        let slot = self.reader.decided(epoch).await?;
        let counts = recorded::counts(&job.parts);
        if self.counted {
            recorded::complete(epoch, &slot.conservation, &counts)?;
        }
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for table in job.parts.iter().flat_map(|part| &part.part.tables) {
            let sum = sums.entry(&table.table).or_default();
            sum.rows_added += table.rows_added;
            sum.rows_removed += table.rows_removed;
            sum.content_hash = sum.content_hash.wrapping_add(table.content_hash);
        }
        let kept = self.kept.take(epoch).rows;
        for name in &self.tables {
            let (recorded, recomputed) =
                (slot.sum(name, self.before.as_ref()), sums.get(name.as_str()).copied().unwrap_or_default());
            if recorded != recomputed {
                let past = self.reader.rows_of(name, epoch).await;
                return Ok(Some(difference::of_table(name, epoch, &recorded, &recomputed, &kept, past)));
            }
        }
        let partitions: BTreeSet<&str> =
            counts.keys().copied().chain(slot.conservation.keys().map(String::as_str)).collect();
        for partition in partitions.into_iter().filter(|_| self.counted) {
            let (recorded, recomputed) = (slot.balance(partition), counts.get(partition).cloned().unwrap_or_default());
            if !recorded.agrees_with(&recomputed) {
                return Ok(Some(difference::of_balance(epoch, partition, &recorded, &recomputed)));
            }
        }
        if let Ok(mut outcome) = self.outcome.lock() {
            outcome.epochs += 1;
            outcome.records += counts.values().map(|counts| counts.records.unsigned_abs()).sum::<u64>();
            outcome.rows += sums.values().map(|sum| sum.rows_added + sum.rows_removed).sum::<u64>();
        }
        self.before = Some(slot);
        Ok(None)
    }
}
