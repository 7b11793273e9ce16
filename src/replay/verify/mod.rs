//! `verify`: a range of epochs recomputed from its recorded bindings and held against the log, epoch by epoch.
//!
//! ```text
//!   log ─▶ Past: state, bindings, offsets ─▶ engine (Replay in the place of the minter) ─▶ sums per table and epoch
//!    └──▶ slots: rows and content hash ──────────────────────────────▶ equal?  ◀────────────┘
//!                                         the first that differs: its rows by key
//! ```
//!
//! Why the whole engine again and no second implementation: what is promised (P-a) is that the same bindings give the same
//! rows with any workers, steps and crashes. What must always hold: nothing is written, nothing is taken over; a source that
//! no longer has the records is an error of the user's, never a difference.

mod difference;
#[cfg(test)]
mod tests;

pub use difference::Difference;

use crate::archive;
use crate::rebuild::{self, Collect, Collected};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Error, Kind};
use ticktide_base::failure::Failure;
use ticktide_dataflow::Dataflow;
use ticktide_engine as engine;
use ticktide_engine::RunOptions;
use ticktide_engine::commit::CommitJob;
use ticktide_engine::epochs::replay::{self, Recorded};
use ticktide_engine::epochs::{ControlSpec, Report};
use ticktide_engine::figures::Meters;
use ticktide_engine::recorded::{self, Decided, Jobs, Opened, Taker};
use ticktide_feed::Speed;
use ticktide_lake::read::past::{Lineages, Sum};
use ticktide_lake::{Kept, LakeOptions, LakeReader, Slot, Warehouse};
use ticktide_tables::set::Tables;

/// What to recompute.
pub struct Recompute {
    /// With the recorded source.
    pub dataflow: Dataflow,
    pub warehouse: Warehouse,
    pub catalog: Option<String>,
    pub workers: usize,
    /// Serialise even what crosses workers.
    pub force_bytes: bool,
    /// Read the lake's own archive in the place of the recorded source.
    pub archive: bool,
    pub first: Option<Epoch>,
    pub last: Option<Epoch>,
    pub progress: Option<Box<dyn Fn(&Meters, Duration) + Send>>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Recomputed {
    pub first: Epoch,
    pub last: Epoch,
    /// How many were compared.
    pub epochs: u64,
    pub records: u64,
    /// Added and taken back.
    pub rows: u64,
    /// The first one; nothing behind it was compared.
    pub difference: Option<Difference>,
}

/// The range of a run that verifies, and where its outcome is put.
#[derive(Clone, Default)]
pub struct Wanted {
    first: Option<Epoch>,
    last: Option<Epoch>,
    archive: bool,
    outcome: Arc<Mutex<Recomputed>>,
    /// Not compared but collected, over all dataflows that the lake has had.
    collect: Option<Arc<Mutex<Collected>>>,
}

impl Wanted {
    /// All epochs up to `last`, of any dataflow, for what comes of them.
    pub fn collecting(last: Epoch, into: Arc<Mutex<Collected>>) -> Wanted {
        Wanted { first: Some(0), last: Some(last), collect: Some(into), ..Wanted::default() }
    }
}

/// Recomputes and compares. Errors of kind `Fix`: the lake is another dataflow's, the range is none, the source is gone.
pub fn recompute(options: Recompute) -> Result<Recomputed, Error> {
    let Recompute { mut dataflow, warehouse, catalog, workers, force_bytes, archive, first, last, progress } = options;
    // the recorded offsets are the end; a file's last line may be a record that only the end of a run takes
    dataflow.source.until_end = true;
    dataflow.source.speed = Speed::Max;
    let wanted = Wanted { first, last, archive, ..Wanted::default() };
    let outcome = wanted.outcome.clone();
    let ran = engine::run(RunOptions {
        catalog,
        force_bytes,
        progress,
        replay: Some(Box::new(wanted)),
        ..RunOptions::new(dataflow, warehouse, workers)
    });
    let outcome = outcome.lock().map_err(|_| Error::bug("the comparison panicked"))?.clone();
    match ran {
        Err(error) if outcome.difference.is_none() => Err(error),
        _ => Ok(outcome),
    }
}

#[async_trait]
impl recorded::Wanted for Wanted {
    async fn open(
        &self,
        options: &LakeOptions,
        tables: &Tables,
        control: &ControlSpec,
        dataflow: &Dataflow,
    ) -> Result<Opened, Error> {
        open(self, options, tables, control, dataflow).await
    }
}

/// Opens the lake for reading and finds the range.
async fn open(
    wanted: &Wanted,
    options: &LakeOptions,
    tables: &Tables,
    control: &ControlSpec,
    dataflow: &Dataflow,
) -> Result<Opened, Error> {
    let reader = LakeReader::open(&options.warehouse, options.catalog.as_deref()).await?;
    reader.belongs_to(options).map_err(|error| {
        let hint = "name the dataflow that the lake was made with, with the same `--set`, or compare the data files with \
                    the log alone: `verify --files`";
        Error { hint: Some(hint.to_owned()), ..Error::from(error) }
    })?;
    let (first, last) = range(&reader, wanted.first, wanted.last).await?;
    let lineages = if wanted.collect.is_some() { Lineages::Any } else { Lineages::One };
    let mut past = reader.past(first, last, lineages).await?;
    let first = past.resume.epoch_next;
    if let Ok(mut outcome) = wanted.outcome.lock() {
        (outcome.first, outcome.last) = (first, last);
    }
    let before = match first.checked_sub(1) {
        Some(epoch) => Some(reader.decided(epoch).await?),
        None => None,
    };
    let kept: Arc<Kept> = Arc::default();
    if let Some(into) = &wanted.collect {
        rebuild::horizons(&mut past.bindings, &control.intervals, &control.session, control.epochs);
        return Ok(Opened {
            writer: reader.measuring(kept.clone()),
            resume: past.resume,
            recorded: Recorded { bindings: past.bindings.into(), starts: past.starts },
            taker: Box::new(Collect { reader, kept, into: into.clone() }),
            source: None,
        });
    }
    let recorded = Recorded { bindings: past.bindings.into(), starts: past.starts };
    let source = if wanted.archive { Some(archive::open(&reader, &recorded, dataflow).await?) } else { None };
    Ok(Opened {
        writer: reader.measuring(kept.clone()),
        resume: past.resume,
        recorded,
        source,
        taker: Box::new(Compare {
            tables: upstream_first(tables),
            reader,
            kept,
            before,
            counted: !wanted.archive,
            outcome: wanted.outcome.clone(),
        }),
    })
}

/// The range in numbers: what is not said is the first epoch of the newest lineage, and the last there is. Error of kind `Fix`: it is empty.
pub async fn range(reader: &LakeReader, first: Option<Epoch>, last: Option<Epoch>) -> Result<(Epoch, Epoch), Error> {
    let Some(newest) = reader.decided_last().await? else {
        return Err(Error::fix("the lake has no epoch yet", "wait for the first one, or start `ticktide run`"));
    };
    let begins = reader.lineage_first().await?;
    let first = match first {
        // the epoch that rebuilt what was added comes of no records of its own
        Some(first) if begins > 0 && first + 1 == begins => begins.min(newest),
        Some(first) => first,
        None => begins.min(newest),
    };
    let last = last.unwrap_or(newest);
    if first > last || last > newest {
        let message = format!("there are no epochs {first} to {last}: the newest is {newest}");
        return Err(Error::fix(message, "list them with `ticktide epochs ls`"));
    }
    Ok((first, last))
}

/// The names of the tables; what others are made from comes first, so that a cause is named and not what follows from it.
fn upstream_first(tables: &Tables) -> Vec<String> {
    let specs = tables.specs();
    let (records, made): (Vec<_>, Vec<_>) = specs.into_iter().partition(|spec| spec.key.is_empty());
    records.into_iter().chain(made).map(|spec| spec.name).collect()
}

/// What stands where the commit task of a run stands: decides nothing, compares.
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
                    failure.set(Error { kind: Kind::Corrupt, message: difference.to_string(), hint: None });
                    if let Ok(mut outcome) = self.outcome.lock() {
                        outcome.difference = Some(difference);
                    }
                    return;
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
    async fn compare(&mut self, job: CommitJob) -> Result<Option<Difference>, Error> {
        let epoch = job.epoch;
        let slot = self.reader.decided(epoch).await?;
        let counts = replay::counts(&job.parts);
        if self.counted {
            replay::complete(epoch, &slot.conservation, &counts)?;
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
            let (recorded, recomputed) = (slot.balance(partition), counts.get(partition).copied().unwrap_or_default());
            if recorded != recomputed {
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
