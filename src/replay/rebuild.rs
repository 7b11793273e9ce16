//! `run --evolve --rebuild`: what was added to a lake's dataflow, for all that is recorded, as one ordinary correction.
//!
//! ```text
//!   takeover ─▶ replay of epochs 0 … under the new dataflow (nothing written) ─▶ rows of the additions, the whole state
//!            ─▶ ONE epoch: new tables' rows, changes of readings (null → value), full state; no records ─▶ the run goes on
//! ```
//!
//! Why one epoch: half a rebuilt table is worse than none, and an epoch is what is all or nothing. What must always hold: the
//! rows that were there stay as they are (each change proves its old row by its hash); the bindings say the same before and
//! behind it; a crash before the epoch is decided leaves a lineage that has no epoch yet, and the next start rebuilds it.

use crate::verify;
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::evolution::Added;
use ticktide_engine as engine;
use ticktide_engine::RunOptions;
use ticktide_engine::commit::CommitJob;
use ticktide_engine::epochs::frontier::horizon;
use ticktide_engine::epochs::replay;
use ticktide_engine::epochs::{Reach, Report};
use ticktide_engine::recorded::{Decided, Jobs, Missing, Taker};
use ticktide_feed::Speed;
use ticktide_lake::table::rows::hash_of;
use ticktide_lake::table::spec::{Change, Row, TableSpec, Value};
use ticktide_lake::write::measure::KeptEpoch;
use ticktide_lake::{Kept, LakeError, LakeReader, RowBuffer, StateEntry, StateRows, TableRows};

/// Rows of one key with how often each is there.
type Net = BTreeMap<u128, (Row, i64)>;

/// A table's rows by key.
#[derive(Debug)]
struct NetRows {
    spec: Arc<TableSpec>,
    keys: BTreeMap<Vec<Value>, Net>,
}

/// What a replay comes to: the rows of some tables, and the state behind its last epoch.
#[derive(Debug, Default)]
pub struct Collected {
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

/// What stands where the commit task of a run stands: decides nothing, collects.
pub struct Collect {
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
        replay::complete(job.epoch, &slot.conservation, &replay::counts(&job.parts))?;
        let mut into = self.into.lock().map_err(|_| Error::bug("collecting rows panicked"))?;
        Ok(into.add(self.kept.take(job.epoch))?)
    }
}

/// Gives intervals that the recorded bindings do not know the horizons that they would have had: `most` undecided epochs
/// lie between a frontier and the horizon that comes of it.
pub fn horizons(
    bindings: &mut [Binding],
    intervals: &[(Interval, Reach)],
    session: &ticktide_market::calendar::Session,
    most: u64,
) {
    let frontiers: BTreeMap<Epoch, Option<Nanos>> =
        bindings.iter().map(|binding| (binding.epoch, binding.frontier)).collect();
    for (interval, reach) in intervals {
        let (name, mut least) = (interval.name(), Nanos::MIN);
        for binding in bindings.iter_mut().filter(|binding| !binding.horizons.contains_key(&name)) {
            let basis = binding.epoch.checked_sub(most);
            let frontier = basis.and_then(|basis| frontiers.range(..=basis).next_back()).and_then(|(_, at)| *at);
            least = frontier.map_or(least, |at| horizon(session, *interval, *reach, at).max(least));
            binding.horizons.insert(name.clone(), least);
        }
    }
}

/// Recomputes and decides the epoch; `resume` then goes on behind it. Errors of kind `Fix`: the source lacks records.
pub fn rebuild(missing: Missing<'_>) -> Result<(), Error> {
    let Missing { lake, resume, options, dataflow, added, workers, runtime } = missing;
    let Some(before) = resume.binding.clone() else { return Ok(()) };
    let into = Arc::new(Mutex::new(Collected { wanted: added.tables(), ..Collected::default() }));
    tracing::info!(epoch = before.epoch, "what was added is computed for all that is recorded");
    let mut again = dataflow.clone();
    again.source.until_end = true;
    again.source.speed = Speed::Max;
    engine::run(RunOptions {
        catalog: options.catalog.clone(),
        replay: Some(Box::new(verify::Wanted::collecting(before.epoch, into.clone()))),
        ..RunOptions::new(again, options.warehouse.clone(), workers)
    })?;
    let collected = std::mem::take(&mut *into.lock().map_err(|_| Error::bug("collecting rows panicked"))?);
    let epoch = lake.epoch_next();
    let tables = collected.tables.into_iter().map(|(name, NetRows { spec, keys })| {
        let rows = keys.into_values().flat_map(|net| net.into_values()).map(|(row, _)| row);
        correction(&name, spec, rows, added, epoch)
    });
    let state: Vec<StateEntry> = collected
        .state
        .into_iter()
        .map(|((operator, key), value)| StateEntry { operator, key, value: Some(value) })
        .collect();
    let binding = Binding {
        epoch,
        generation: lake.generation(),
        flush: false,
        dataflow_hash: dataflow.hash(),
        code_version: ticktide_base::version::code_version(),
        ..before
    };
    let rows = StateRows { entries: state.clone(), full: true };
    let tables: Vec<TableRows> = tables.collect();
    runtime.block_on(async {
        let part = lake.writer().write_part(epoch, 0, tables, rows).await?;
        lake.decide(binding.clone(), BTreeMap::new(), vec![part]).await?;
        lake.apply().await
    })?;
    tracing::info!(epoch, "what was added is in the lake");
    resume.bindings.push(binding.clone());
    resume.binding = Some(binding);
    resume.epoch_next = lake.epoch_next();
    resume.state = state;
    Ok(())
}

/// A table's rows as the epoch says them: inserts, or for added columns changes from null.
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
    use ticktide_base::time::{HOUR, MINUTE};
    use ticktide_market::calendar::Session;

    #[test]
    fn an_interval_that_was_not_recorded_gets_the_horizons_that_it_would_have_had() {
        let session = Session::preset("utc-day").expect("a preset");
        let day = 20_000 * ticktide_base::time::DAY;
        let binding = |epoch: Epoch| Binding {
            epoch,
            frontier: Some(day + epoch as Nanos * HOUR),
            horizons: BTreeMap::from([("1m".to_owned(), 7)]),
            ..Binding::default()
        };
        let mut bindings: Vec<Binding> = (3..8).map(binding).collect();
        let intervals = [(Interval(MINUTE), Reach::Span(HOUR)), (Interval(5 * MINUTE), Reach::Span(2 * HOUR))];
        horizons(&mut bindings, &intervals, &session, 2);
        let five: Vec<Nanos> = bindings.iter().map(|binding| binding.horizons["5m"]).collect();
        assert_eq!(five, [Nanos::MIN, Nanos::MIN, day + HOUR, day + 2 * HOUR, day + 3 * HOUR]);
        assert!(bindings.iter().all(|binding| binding.horizons["1m"] == 7), "what is recorded stays");
    }
}
