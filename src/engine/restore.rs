//! What a worker goes on from: its share of the durable state, by instrument or by the partition that it reads.
//!
//! Why by key and never by worker: the next run may have other workers on other hosts. What must hold: every entry is taken
//! by exactly one worker of all.

use crate::graph::checks;
use crate::graph::instruments::LISTINGS;
use crate::graph::parts as graph;
use crate::ingest::Intake;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use ticktide_base::error::Error;
use ticktide_base::time::Interval;
use ticktide_dataflow::{Dataflow, Dedupe};
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::{BarsSpec, Keyed, StateKey};
use ticktide_flow::bars::volume::DaySoFar;
use ticktide_flow::indicators::Accumulator;
use ticktide_flow::instruments::Listings;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;

fn owner(instrument: &Instrument, peers: usize) -> usize {
    (instrument.route() % peers as u64) as usize
}

fn wrong(operator: &str, error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("the state of {operator:?} cannot be read: {error}"))
}

/// Drops what none of these workers takes, so that a process does not hold the state of its whole cluster.
pub fn keep(state: &mut Vec<StateEntry>, workers: &Range<usize>, peers: usize) -> Result<(), Error> {
    let mut kept = Vec::new();
    let mut owners = Owners::new(peers);
    for entry in std::mem::take(state) {
        let owner = match &*entry.operator {
            graph::BARS | LISTINGS => owners.of(&entry.key).map(|(_, owner, _)| Some(owner)),
            graph::VOLUME | graph::INDICATORS => {
                bincode::deserialize::<Series>(&entry.key).map(|series| Some(owner(&series.1, peers)))
            }
            _ => Ok(None), // of a partition
        };
        if owner.map_err(|error| wrong(&entry.operator, &error))?.is_none_or(|owner| workers.contains(&owner)) {
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
    pub listings: Listings,
}

/// Whose keys are. Entries of one instrument mostly follow each other: then its bytes are compared and not read again.
#[derive(Default)]
struct Owners {
    last: Option<(Bytes, Instrument, usize)>,
    peers: usize,
}

impl Owners {
    fn new(peers: usize) -> Owners {
        Owners { last: None, peers }
    }

    /// The instrument that a key begins with, its owner, and the rest of the key.
    fn of<'a>(&mut self, key: &'a Bytes) -> Result<(&Instrument, usize, &'a [u8]), bincode::Error> {
        if !self.last.as_ref().is_some_and(|(bytes, ..)| key.starts_with(bytes)) {
            let mut rest = &key[..];
            let instrument: Instrument = bincode::deserialize_from(&mut rest)?;
            let owner = owner(&instrument, self.peers);
            self.last = Some((key.slice(..key.len() - rest.len()), instrument, owner));
        }
        let (bytes, instrument, owner) = self.last.as_ref().expect("it was just put there");
        Ok((instrument, *owner, &key[bytes.len()..]))
    }
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
        prices_signed: dataflow.prices_signed,
    });
    let (mut volume, mut indicators) = (HashMap::new(), BTreeMap::<Interval, HashMap<Series, Accumulator>>::new());
    let (mut checks, mut listings) = (checks::State::default(), Listings::default());
    let mut owners = Owners::new(peers);
    let mine = |instrument: &Instrument| owner(instrument, peers) == index;
    for entry in state {
        let Some(value) = &entry.value else { continue };
        let failed = |error: bincode::Error| wrong(&entry.operator, &error);
        match &*entry.operator {
            graph::BARS => {
                let (instrument, owner, rest) = owners.of(&entry.key).map_err(failed)?;
                if owner == index {
                    let key: StateKey = bincode::deserialize(rest).map_err(failed)?;
                    keyed.restore(instrument, key, value).map_err(|error| wrong(graph::BARS, &error))?;
                }
            }
            graph::VOLUME | graph::INDICATORS => {
                let series: Series = bincode::deserialize(&entry.key).map_err(failed)?;
                if mine(&series.1) && entry.operator == graph::VOLUME {
                    volume.insert(series, bincode::deserialize(value).map_err(failed)?);
                } else if mine(&series.1) {
                    let base = bincode::deserialize(value).map_err(failed)?;
                    indicators.entry(series.0).or_default().insert(series, base);
                }
            }
            LISTINGS => {
                let key: (Instrument, i32) = bincode::deserialize(&entry.key).map_err(failed)?;
                if mine(&key.0) {
                    listings.restore(key, bincode::deserialize(value).map_err(failed)?);
                }
            }
            _ => {
                if !checks.restore(entry, |route| route % peers as u64 == index as u64).map_err(failed)? {
                    intake.restore(entry).map_err(failed)?;
                }
            }
        }
    }
    Ok(Restored { intake, keyed, volume, indicators, checks, listings })
}
