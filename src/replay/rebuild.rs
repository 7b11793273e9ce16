//! `run --evolve --rebuild`: computes what was added to a lake's dataflow for all recorded epochs, as one ordinary correction.
//!
//! ```text
//!   takeover ─▶ replay of epochs 0 … under the new dataflow (nothing written) ─▶ rows of the additions, the whole state
//!            ─▶ ONE epoch: new tables' rows, changes of readings (null → value), full state; no records ─▶ the run goes on
//! ```
//!
//! Why one epoch: half a rebuilt table is worse than none, and an epoch is all or nothing. What must always hold: the
//! rows that were there stay as they are (each change proves its old row by its hash); the bindings are the same before and
//! after it; a crash before the epoch is decided leaves a lineage that has no epoch yet, and the next start rebuilds it.

use crate::recorded;
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_dataflow::evolution::Added;
use ticktide_engine::commit::CommitJob;
use ticktide_engine::epochs::replay::RecordedRange;
use ticktide_engine::epochs::{ControlSpec, ReachSpec, Report, aligned_after, horizon};
use ticktide_engine::open::{Opened, Recording};
use ticktide_engine::taker::{Decided, Jobs, Taker};
use ticktide_engine::{Run, RunOptions, RunReport};
use ticktide_feed::Speed;

use ticktide_lake::read::past::Lineages;
use ticktide_lake::table::rows::hash_of;
use ticktide_lake::table::spec::{Change, Row, TableSpec, Value};
use ticktide_lake::write::measure::KeptEpoch;
use ticktide_lake::{Kept, LakeError, LakeReader, RowBuffer, StateEntry, StateRows, TableRows};

/// Rows of one key, each with its number of copies.
type Net = BTreeMap<u128, (Row, i64)>;

/// A table's rows by key.
#[derive(Debug)]
struct NetRows {
    spec: Arc<TableSpec>,
    keys: BTreeMap<Vec<Value>, Net>,
}

/// The result of a replay: the rows of some tables, and the state after its last epoch.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The tables to keep.
    wanted: BTreeSet<String>,
    tables: BTreeMap<String, NetRows>,
    state: BTreeMap<(Cow<'static, str>, Bytes), Bytes>,
}

impl Collected {
    fn add(&mut self, epoch: KeptEpoch) -> Result<(), LakeError> {
        for rows in epoch.rows.iter().filter(|rows| self.wanted.contains(&rows.spec.name)) {
            let fresh = || NetRows { spec: rows.spec.clone(), keys: BTreeMap::new() };
            let NetRows { keys, .. } = self.tables.entry(rows.spec.name.clone()).or_insert_with(fresh);
            for (row, sign) in rows.signed()? {
                let key: Vec<Value> = rows.spec.key.iter().map(|at| row[*at].clone()).collect();
                let hash = hash_of(&rows.spec, &row);
                let net = keys.entry(key.clone()).or_default();
                let held = net.entry(hash).or_insert((row, 0));
                held.1 += sign;
                if held.1 == 0 {
                    net.remove(&hash);
                }
                if net.is_empty() {
                    keys.remove(&key);
                }
            }
        }
        for entry in epoch.state {
            match entry.value {
                Some(value) => self.state.insert((entry.operator, entry.key), value),
                None => self.state.remove(&(entry.operator, entry.key)),
            };
        }
        Ok(())
    }
}

/// Replaces the commit task of a run: decides nothing, collects.
pub(crate) struct Collect {
    pub reader: LakeReader,
    pub kept: Arc<Kept>,
    pub into: Arc<Mutex<Collected>>,
}

#[async_trait]
impl Taker for Collect {
    async fn run(self: Box<Self>, mut jobs: Jobs, failure: Arc<Failure>, decided: Decided) {
        while let Some(job) = jobs.recv().await {
            match self.collect(&job).await {
                Ok(()) => decided(Report::Decided { epoch: job.epoch }),
                Err(error) => return failure.set(error),
            }
        }
    }
}

impl Collect {
    /// Takes an epoch's rows. Error of kind `Fix`: the source has lost records of it, so they are not those of the lake.
    pub async fn collect(&self, job: &CommitJob) -> Result<(), Error> {
        let slot = self.reader.decided(job.epoch).await?;
        recorded::complete(job.epoch, &slot.conservation, &recorded::counts(&job.parts))?;
        let mut into = self.into.lock().map_err(panicked)?;
        Ok(into.add(self.kept.take(job.epoch))?)
    }
}

/// Gives intervals that are not in the recorded bindings the horizons that they would have had: `most` undecided epochs
/// lie between a frontier and the horizon that follows from it.
fn horizons(bindings: &mut [Binding], spec: &ReachSpec, session: &ticktide_market::calendar::Session, most: u64) {
    let frontiers: BTreeMap<Epoch, Option<Nanos>> =
        bindings.iter().map(|binding| (binding.epoch, binding.retires())).collect();
    for (interval, reach) in &spec.intervals {
        let (name, mut least, mut since) = (interval.name(), Nanos::MIN, 0);
        for binding in bindings.iter_mut().filter(|binding| !binding.horizons.contains_key(&name)) {
            if binding.rewound.is_some() {
                // it falls with the others: what has left memory lies before the least of them
                let passed = binding.horizons.values().copied().min().unwrap_or(Nanos::MIN);
                least = aligned_after(session, *interval, passed, least);
                since = binding.epoch;
            }
            let basis = binding.epoch.checked_sub(most).filter(|basis| *basis >= since);
            let frontier = basis.and_then(|basis| frontiers.range(since..=basis).next_back()).and_then(|(_, at)| *at);
            let grain = if binding.lateness == Rules::First { 1 } else { spec.grain() };
            let at = |at: Nanos| horizon(session, *interval, *reach, at - at.rem_euclid(grain));
            least = frontier.map_or(least, |frontier| at(frontier).max(least));
            binding.horizons.insert(name.clone(), least);
        }
    }
}

/// Runs a dataflow as [`ticktide_engine::run`] does; the part of it that the lake lacks is computed and decided first.
pub fn run(options: RunOptions) -> Result<RunReport, Error> {
    let mut run = Run::begin(options)?;
    let mut opened = run.open()?;
    rebuild(&run, &mut opened)?;
    run.go(opened)
}

/// Recomputes what is missing and decides its epoch; the run then goes on after it. Errors of kind `Fix`: the source lacks
/// records.
fn rebuild(run: &Run, opened: &mut Opened) -> Result<(), Error> {
    let Some(added) = opened.missing.take() else { return Ok(()) };
    let Some(before) = opened.resume.binding.clone() else { return Ok(()) };
    tracing::info!(epoch = before.epoch, "computing the additions for all recorded epochs");
    let collected = collect(run, (before.epoch, before.lateness), &added)?;
    let lake = opened.lake().ok_or_else(|| Error::bug("additions cannot be rebuilt without a lake"))?;
    let epoch = lake.epoch_next();
    let tables = collected.tables.into_iter().map(|(name, NetRows { spec, keys })| {
        let rows = keys.into_values().flat_map(|net| net.into_values()).map(|(row, _)| row);
        correction(&name, spec, rows, &added, epoch)
    });
    let tables: Vec<TableRows> = tables.collect();
    let entries = collected.state.into_iter();
    let state: Vec<StateEntry> =
        entries.map(|((operator, key), value)| StateEntry { operator, key, value: Some(value) }).collect();
    let binding = Binding {
        epoch,
        generation: lake.generation(),
        flush: false,
        rewound: None,
        dataflow_hash: run.options().dataflow.hash(),
        code_version: ticktide_base::version::code_version(),
        ..before
    };
    let rows = StateRows { entries: state.clone(), full: true };
    run.block_on(async {
        let part = lake.writer().write_part(epoch, 0, tables, rows).await?;
        lake.decide(binding.clone(), BTreeMap::new(), vec![part]).await?;
        lake.apply().await
    })?;
    let epoch_next = lake.epoch_next();
    tracing::info!(epoch, "the additions are in the lake");
    let resume = &mut opened.resume;
    resume.bindings.push(binding.clone());
    resume.binding = Some(binding);
    resume.epoch_next = epoch_next;
    resume.state = state;
    Ok(())
}

/// The result of all epochs up to `last` under the run's dataflow, whatever dataflow made them.
fn collect(run: &Run, (last, rules): (Epoch, Rules), added: &Added) -> Result<Collected, Error> {
    let RunOptions { dataflow, warehouse, catalog, workers, .. } = run.options();
    let mut dataflow = dataflow.clone();
    dataflow.source.until_end = true;
    dataflow.source.speed = Speed::Max;
    recorded::made_by(&mut dataflow, rules);
    let options =
        RunOptions { catalog: catalog.clone(), ..RunOptions::new(dataflow.clone(), warehouse.clone(), *workers) };
    let again = run.again(options)?;
    let ground = again.ground()?;
    let (reader, mut past, _) = again.block_on(recorded::open(&ground.lake, Some(0), Some(last), Lineages::Any))?;
    let ControlSpec { reach, session, epochs, .. } = ControlSpec::of(&dataflow, *workers, 0);
    horizons(&mut past.bindings, &reach, &session, epochs);
    let recorded = RecordedRange { bindings: past.bindings.into(), starts: past.starts };
    let wanted = Collected { wanted: added.tables(), ..Collected::default() };
    let (kept, into) = (Arc::<Kept>::default(), Arc::new(Mutex::new(wanted)));
    let recording = Recording {
        writer: reader.measuring(kept.clone()),
        resume: past.resume,
        source: recorded::source(&dataflow, &recorded)?,
        recorded,
        taker: Box::new(Collect { reader, kept, into: into.clone() }),
    };
    again.go(ground.recorded(&dataflow, recording)?)?;
    Ok(std::mem::take(&mut *into.lock().map_err(panicked)?))
}

fn panicked<T>(_: PoisonError<T>) -> Error {
    Error::bug("collecting rows panicked")
}

/// A table's rows as the epoch has them: inserts, or for added columns changes from null.
fn correction(
    name: &str,
    spec: Arc<TableSpec>,
    rows: impl Iterator<Item = Row>,
    added: &Added,
    epoch: Epoch,
) -> TableRows {
    let columns: Vec<usize> =
        added.columns.get(name).into_iter().flatten().filter_map(|name| spec.column(name)).collect();
    let epoch_at = spec.column("epoch");
    let mut inserts = RowBuffer::new(spec.clone());
    let mut changes = Vec::new();
    for mut row in rows.filter(|row| added.has(name, &spec, row)) {
        let mut old = row.clone();
        if let Some(at) = epoch_at {
            row[at] = Value::Long(epoch as i64);
        }
        if columns.is_empty() {
            inserts.push_row(&row);
            continue;
        }
        columns.iter().for_each(|at| old[*at] = Value::Null);
        if columns.iter().any(|at| row[*at] != Value::Null) {
            changes.push(Change { old: Some(old), new: Some(row) });
        }
    }
    TableRows { spec, inserts, changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::epoch::Rewound;
    use ticktide_base::time::{HOUR, Interval, MINUTE};
    use ticktide_engine::epochs::Reach;
    use ticktide_market::calendar::Session;

    #[test]
    fn an_interval_that_was_not_recorded_gets_the_horizons_that_it_would_have_had() {
        let session = Session::preset("utc-day").expect("a preset");
        let day = 20_000 * ticktide_base::time::DAY;
        let binding = |epoch: Epoch| Binding {
            epoch,
            retired_by: Some(day + epoch as Nanos * HOUR),
            horizons: BTreeMap::from([("1m".to_owned(), 7)]),
            ..Binding::default()
        };
        let mut bindings: Vec<Binding> = (3..8).map(binding).collect();
        let intervals = vec![(Interval(MINUTE), Reach::Span(HOUR)), (Interval(5 * MINUTE), Reach::Span(2 * HOUR))];
        horizons(&mut bindings, &ReachSpec { intervals, retention: HOUR }, &session, 2);
        let five: Vec<Nanos> = bindings.iter().map(|binding| binding.horizons["5m"]).collect();
        assert_eq!(five, [Nanos::MIN, Nanos::MIN, day + HOUR, day + 2 * HOUR, day + 3 * HOUR]);
        assert!(bindings.iter().all(|binding| binding.horizons["1m"] == 7), "what is recorded stays");

        // an epoch that sets the time back: the interval's horizon falls, too, and derives from nothing before it
        let mut bindings: Vec<Binding> = (3..11).map(binding).collect();
        let passed = day - 9 * HOUR - MINUTE;
        for (binding, hours) in bindings[4..].iter_mut().zip(-8..) {
            binding.retired_by = Some(day + hours * HOUR);
            binding.horizons.insert("1m".to_owned(), passed);
        }
        bindings[4].rewound = Some(Rewound::default());
        let spec = vec![(Interval(MINUTE), Reach::Span(HOUR)), (Interval(5 * MINUTE), Reach::Span(2 * HOUR))];
        horizons(&mut bindings, &ReachSpec { intervals: spec, retention: HOUR }, &session, 2);
        let five: Vec<Nanos> = bindings[3..].iter().map(|binding| binding.horizons["5m"]).collect();
        // the 5 minutes in which the last bar has left have left as a whole
        assert_eq!(five, [day + 2 * HOUR, day - 9 * HOUR, day - 9 * HOUR, day - 9 * HOUR, day - 9 * HOUR]);
    }
}
