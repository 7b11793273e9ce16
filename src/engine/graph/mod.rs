//! What each worker builds before it loops: the data dataflow, from source to commit.
//!
//! ```text
//!   reader (thread) ─▶ source ─▶ bars ─▶ [volume] ─▶ finished bars ─▶ readings, checks ─▶ close ─▶ write ─▶ commit
//! ```

pub mod bars;
pub mod checks;
pub mod close;
pub mod commit;
pub mod instruments;
pub mod parts;
mod reader;
pub mod rows;
pub mod source;
pub mod write;

use super::Plan;
use crate::commit::CommitJob;
use crate::epochs::until::Until;
use crate::graph::instruments::{self as listings, close_named};
use crate::graph::reader::read_on_a_thread;
use crate::graph::rows::{Notice, SinkRow};
use crate::graph::source::{Credit, Inlet, Pace, SourceLogic, Wires};
use crate::graph::write::Writing;
use crate::ingest::Intake;
use crate::restore::restore;
use crate::share::Share;
use crate::states;
use checks::Checks;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use ticktide_base::error::Error;
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::{Dataflow, Volume};
use ticktide_feed::Assignment;
use ticktide_flow::bars::keyed::Emitted;
use ticktide_flow::bars::volume;
use ticktide_flow::clean::Horizons;
use ticktide_flow::indicators::readings;
use ticktide_flow::indicators::{self, Composite};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concatenate, Probe};
use timely::worker::Worker;

/// The data dataflow; gives what activates its source.
pub(super) fn flow(
    worker: &mut Worker,
    plan: &Plan,
    wires: &Wires,
    jobs: Option<tokio::sync::mpsc::UnboundedSender<CommitJob>>,
    decided: mpsc::Receiver<u64>,
    wake: Option<Arc<Mutex<Option<timely::scheduling::SyncActivator>>>>,
) -> Result<timely::scheduling::Activator, Error> {
    let share = Share::of(worker);
    let Share { index, peers } = share;
    let dataflow = &plan.dataflow;
    let first = plan.resume.epoch_next;
    let resumed = plan.resume.binding.clone().unwrap_or_default();
    let partitions = plan.source.partitions();
    let assigned: Vec<(usize, i64)> = (0..partitions.len())
        .filter(|partition| partition % peers == index)
        .filter_map(|partition| {
            if let Some(recorded) = &plan.recorded {
                let start = recorded.starts.get(&partitions[partition].name())?;
                return Some((partition, *start));
            }
            let place = resumed.places.get(&partitions[partition].name());
            Some((partition, place.map_or(partitions[partition].offset_start, |place| place.offset_next)))
        })
        .collect();
    let mut restored = {
        let intake = Intake::new(dataflow, partitions, &assigned, &resumed, share);
        let state = plan.state.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        restore(dataflow, &state, share, intake)?
    };
    let named = assigned.iter().map(|(partition, offset)| (*partition, partitions[*partition].name(), *offset));
    let until = plan.recorded.as_ref().map(|_| Until::new(named));
    let paused: Arc<Vec<AtomicBool>> = Arc::new(partitions.iter().map(|_| AtomicBool::new(false)).collect());
    let assignments: Vec<Assignment> =
        assigned.iter().map(|(partition, offset)| Assignment { partition: *partition, offset: *offset }).collect();
    let reader = if assignments.is_empty() { None } else { Some(plan.source.reader(&assignments)?) };
    let credit = Credit { steps: dataflow.limits.steps.max(1), bytes: (dataflow.limits.bytes as usize / peers).max(1) };
    let session = Arc::new(dataflow.session.clone());
    let step_every = Duration::from_nanos(dataflow.step.max(1) as u64);
    let pace = Pace { step_every, max_skew: dataflow.max_skew };
    let composites = composites(dataflow)?;
    let checks = Checks::new(dataflow);
    let horizons = Horizons {
        intervals: dataflow
            .bars
            .iter()
            .map(|interval| resumed.horizons.get(&interval.name()).copied().unwrap_or(Nanos::MIN))
            .collect(),
        retained_from: resumed.retained_from.unwrap_or(Nanos::MIN),
    };
    let (tables, writer, runtime) = (plan.tables.clone(), plan.writer.clone(), plan.runtime.clone());
    let writing = Writing::new(index, tables, writer, runtime, plan.panic_at);
    let mut activator = None;
    worker.dataflow::<u64, _, _>(|scope| {
        let sourced = source::source(scope, |ports, wake, again| {
            let batches = read_on_a_thread(reader, wake, paused.clone(), plan.failure.clone(), (index, plan.panic_at));
            activator = Some(again);
            let inlet = Inlet { intake: restored.intake, batches, paused };
            let source = SourceLogic::new(index, inlet, wires.clone(), credit, pace, ports, first);
            let source = if resumed.places.is_empty() { source } else { source.going_on() };
            match until {
                Some(until) => source.replaying(until),
                None => source,
            }
        });
        let (changes, bar_rows) =
            bars::bars(sourced.routed, sourced.notices.clone(), restored.keyed, (first, horizons.clone()));
        let mut rows = vec![sourced.rows, bar_rows];
        let finished = if dataflow.volume == Volume::Cumulative {
            let snapshots = changes.flat_map(|(series, bar)| match bar {
                Emitted::Snapshot(bar) => Some((series, *bar)),
                Emitted::Finished(_) => None,
            });
            let (finished, bases) = volume::finish(snapshots, restored.volume);
            rows.push(parts::base_state(bases, states::VOLUME));
            finished
        } else {
            changes.flat_map(|(series, bar)| match bar {
                Emitted::Finished(bar) => Some((series, bar)),
                Emitted::Snapshot(_) => None,
            })
        };
        let finished = match plan.additions.bars.is_empty() {
            true => finished,
            false => {
                let additions = plan.additions.clone();
                finished.filter(move |(series, bar)| additions.has_bar(series.0, bar.open_at))
            }
        };
        let published = (session.clone(), resumed.clone());
        let listed = dataflow.instruments.then(|| {
            let notices = sourced.notices.clone();
            let (listed, said) = listings::listings(sourced.listings, notices, restored.listings, first);
            rows.push(said);
            listed
        });
        let scanned: BTreeSet<Interval> = composites.keys().chain(checks.bars.keys()).copied().collect();
        let arranged = (!scanned.is_empty())
            .then(|| readings::arrange(finished.clone().filter(move |(series, _)| scanned.contains(&series.0))));
        if let Some(arranged) = &arranged {
            for (interval, composite) in composites {
                let mut bases = restored.indicators.remove(&interval).unwrap_or_default();
                bases.values_mut().for_each(|base| base.widen(composite.width()));
                let (mut readings, bases) = readings::readings(arranged.clone(), interval, composite, bases);
                if plan.additions.readings.contains_key(&interval) {
                    let additions = plan.additions.clone();
                    readings = readings.flat_map(move |(series, reading)| {
                        additions.shown(interval, reading).map(|reading| (series, reading))
                    });
                }
                rows.push(parts::base_state(bases, states::INDICATORS));
                let (session, resumed) = published.clone();
                let notices = sourced.notices.clone();
                let listed = listed.clone();
                rows.push(close_named(readings, listed, notices, session, resumed, first, SinkRow::Reading));
            }
        }
        let watched = checks::Inputs {
            arranged,
            finished: finished.clone(),
            listed: listed.clone(),
            remarks: sourced.remarks,
            notices: sourced.notices.clone(),
        };
        let ended = checks::Resumed {
            binding: resumed.clone(),
            first,
            horizons: &horizons,
            intervals: &dataflow.bars,
            session,
            additions: &plan.additions,
        };
        rows.extend(checks::watch(checks, restored.checks, watched, &ended));
        let notices = sourced.notices.clone();
        let (session, resumed) = published;
        rows.push(close_named(finished, listed, notices, session, resumed, first, SinkRow::Bar));
        rows.push(sourced.notices.flat_map(|notice| match notice {
            Notice::Bind(binding) => Some(SinkRow::Bind(binding)),
            Notice::Begin(..) => None,
        }));
        let rows = scope.concatenate(rows).probe_with(&wires.compute);
        let parts = write::write(rows, writing, plan.failure.clone());
        let told = move |activator| {
            if let Some(wake) = wake
                && let Ok(mut wake) = wake.lock()
            {
                *wake = Some(activator);
            }
        };
        commit::commit(parts, jobs, decided, told, plan.failure.clone()).probe_with(&wires.commit);
    });
    activator.ok_or_else(|| Error::bug("the source operator was not built"))
}

/// The indicators of a dataflow, by interval, in the order of the file.
pub fn composites(dataflow: &Dataflow) -> Result<BTreeMap<Interval, Composite>, Error> {
    let mut built: BTreeMap<Interval, Vec<Box<dyn indicators::Indicator>>> = BTreeMap::new();
    for usage in &dataflow.indicators {
        let indicator = indicators::build(&usage.name, &usage.parameters)
            .map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        built.entry(usage.on).or_default().push(indicator);
    }
    let composed = built.into_iter().map(|(interval, all)| {
        let composite = Composite::new(all).map_err(|error| Error::fix(error.message.clone(), error.hint.clone()))?;
        Ok((interval, composite))
    });
    composed.collect()
}

#[cfg(test)]
mod tests;
