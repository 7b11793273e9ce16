//! What a worker goes on from: its share of the durable state, by instrument or by the partition that it reads.
//!
//! Why by key and never by worker: the next run may have other workers on other hosts. What must hold: every entry is taken
//! by exactly one worker of all.

use crate::checks;
use crate::dataflow::{Dataflow, Dedupe};
use crate::error::Error;
use crate::flow::bars::keyed::{BarsSpec, Keyed, StateKey};
use crate::flow::finished::Series;
use crate::flow::indicators::Accumulator;
use crate::flow::volume::DaySoFar;
use crate::graph;
use crate::intake::Intake;
use crate::lake::StateEntry;
use crate::market::Instrument;
use crate::time::Interval;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

fn owner(instrument: &Instrument, peers: usize) -> usize {
    (instrument.route() % peers as u64) as usize
}

fn wrong(operator: &str, error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("the state of {operator:?} cannot be read: {error}"))
}

/// Drops what none of these workers takes, so that a process does not hold the state of its whole cluster.
pub fn keep(state: &mut Vec<StateEntry>, workers: &Range<usize>, peers: usize) -> Result<(), Error> {
    let mut kept = Vec::new();
    for entry in std::mem::take(state) {
        let instrument = match &*entry.operator {
            graph::BARS => Some(bincode::deserialize::<(Instrument, StateKey)>(&entry.key).map(|(owner, _)| owner)),
            graph::VOLUME | graph::INDICATORS => {
                Some(bincode::deserialize::<Series>(&entry.key).map(|series| series.1))
            }
            _ => None, // of a partition
        };
        let instrument = instrument.transpose().map_err(|error| wrong(&entry.operator, &error))?;
        if instrument.is_none_or(|instrument| workers.contains(&owner(&instrument, peers))) {
            kept.push(entry);
        }
    }
    *state = kept;
    Ok(())
}

/// What one worker takes from the restored state.
pub struct Restored {
    pub intake: Intake,
    pub keyed: Keyed,
    pub volume: HashMap<Series, DaySoFar>,
    pub indicators: BTreeMap<Interval, HashMap<Series, Accumulator>>,
    pub checks: checks::State,
    /// Its entries as they were.
    pub whole: BTreeMap<(Cow<'static, str>, Vec<u8>), Vec<u8>>,
}

/// Gives each operator of a worker its share of the state: by instrument, or by the partition it reads.
pub fn restore(
    dataflow: &Dataflow,
    state: &[StateEntry],
    (index, peers): (usize, usize),
    mut intake: Intake,
) -> Result<Restored, Error> {
    let mut keyed = Keyed::new(BarsSpec {
        intervals: dataflow.bars.clone(),
        corrections: dataflow.corrections,
        carries: dataflow.conditions.is_some(),
        dedupe_here: dataflow.dedupe == Dedupe::Instrument,
    });
    let (mut volume, mut indicators) = (HashMap::new(), BTreeMap::<Interval, HashMap<Series, Accumulator>>::new());
    let mut checks = checks::State::default();
    let mut whole = BTreeMap::new();
    let mine = |instrument: &Instrument| owner(instrument, peers) == index;
    for entry in state {
        let Some(value) = &entry.value else { continue };
        let taken = match &*entry.operator {
            graph::BARS => {
                let (instrument, key): (Instrument, StateKey) =
                    bincode::deserialize(&entry.key).map_err(|error| wrong(graph::BARS, &error))?;
                if mine(&instrument) {
                    keyed.restore(instrument, key, value).map_err(|error| wrong(graph::BARS, &error))?;
                    true
                } else {
                    false
                }
            }
            graph::VOLUME | graph::INDICATORS => {
                let failed = |error: bincode::Error| wrong(&entry.operator, &error);
                let series: Series = bincode::deserialize(&entry.key).map_err(failed)?;
                let taken = mine(&series.1);
                if taken && entry.operator == graph::VOLUME {
                    volume.insert(series, bincode::deserialize(value).map_err(failed)?);
                } else if taken {
                    let base = bincode::deserialize(value).map_err(failed)?;
                    indicators.entry(series.0).or_default().insert(series, base);
                }
                taken
            }
            _ => {
                let failed = |error: bincode::Error| wrong(&entry.operator, &error);
                match checks.restore(entry, |route| route % peers as u64 == index as u64).map_err(failed)? {
                    Some(taken) => taken,
                    None => intake.restore(entry).map_err(failed)?,
                }
            }
        };
        if taken {
            whole.insert((entry.operator.clone(), entry.key.clone()), value.clone());
        }
    }
    Ok(Restored { intake, keyed, volume, indicators, checks, whole })
}
