//! What a worker goes on from: its share of the durable state, by instrument or by the partition that it reads.
//!
//! Why by key and never by worker: the next run may have other workers on other hosts. What must hold: exactly one worker
//! takes every entry, and no entry is skipped because its name is unknown.

use crate::graph::checks;
use crate::ingest::Intake;
use crate::share::Share;
use crate::states::{By, StateKind, StateOwner, kind_of};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use ticktide_base::error::Error;
use ticktide_base::time::Interval;
use ticktide_dataflow::{Dataflow, Dedupe};
use ticktide_flow::anomalies::beats::route;
use ticktide_flow::bars::finished::Series;
use ticktide_flow::bars::keyed::{BarsSpec, Keyed, StateKey};
use ticktide_flow::bars::volume::DaySoFar;
use ticktide_flow::indicators::Accumulator;
use ticktide_flow::instruments::Listings;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;

/// Drops the entries that none of these workers takes, so that a process does not hold the state of its whole cluster. Error of
/// kind `Corrupt`: a newer version wrote the state.
pub fn keep(state: &mut Vec<StateEntry>, workers: &Range<usize>, peers: usize) -> Result<(), Error> {
    let mut kept = Vec::new();
    let mut owners = Owners::new(peers);
    for entry in std::mem::take(state) {
        let owner = owners.worker(kind_of(&entry.operator)?, &entry.key).map_err(|error| wrong(&entry, &error))?;
        if owner.is_none_or(|owner| workers.contains(&owner)) {
            kept.push(entry);
        }
    }
    *state = kept;
    Ok(())
}

/// Gives each operator of a worker its share of the state. Error of kind `Corrupt`: a newer version wrote the state.
pub fn restore(dataflow: &Dataflow, state: &[StateEntry], share: Share, intake: Intake) -> Result<Restored, Error> {
    let keyed = Keyed::new(BarsSpec {
        intervals: dataflow.bars.clone(),
        corrections: dataflow.corrections,
        carries: dataflow.conditions.is_some(),
        dedupe_here: dataflow.dedupe == Dedupe::Instrument,
        prices_signed: dataflow.prices_signed,
    });
    let mut restored = Restored {
        intake,
        keyed,
        volume: HashMap::new(),
        indicators: BTreeMap::new(),
        checks: checks::State::default(),
        listings: Listings::default(),
    };
    let mut owners = Owners::new(share.peers);
    for entry in state {
        let kind = kind_of(&entry.operator)?;
        if let Some(value) = &entry.value {
            restored.take(kind, Kept { entry, value }, share, &mut owners)?;
        }
    }
    Ok(restored)
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

/// An entry that has a value.
#[derive(Clone, Copy)]
struct Kept<'a> {
    entry: &'a StateEntry,
    value: &'a Bytes,
}

impl Kept<'_> {
    fn key<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        bincode::deserialize(&self.entry.key).map_err(|error| wrong(self.entry, &error))
    }

    fn value<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        bincode::deserialize(self.value).map_err(|error| wrong(self.entry, &error))
    }

    /// The series that is the key; `None`: it is another worker's.
    fn series(self, share: Share) -> Result<Option<Series>, Error> {
        let series: Series = self.key()?;
        Ok(share.owns(series.1.route()).then_some(series))
    }
}

impl Restored {
    /// Takes an entry, if it is this worker's.
    fn take(&mut self, kind: &StateKind, kept: Kept<'_>, share: Share, owners: &mut Owners) -> Result<(), Error> {
        let failed = |error: bincode::Error| wrong(kept.entry, &error);
        let mut taken = true;
        match kind.owner {
            StateOwner::Bars => {
                let (instrument, owner, rest) = owners.of(&kept.entry.key).map_err(failed)?;
                if owner == share.index {
                    let key: StateKey = bincode::deserialize(rest).map_err(failed)?;
                    self.keyed.restore(instrument, key, kept.value).map_err(|error| wrong(kept.entry, &error))?;
                }
            }
            StateOwner::Volume => {
                if let Some(series) = kept.series(share)? {
                    let day = DaySoFar::decode(kept.value).map_err(|error| wrong(kept.entry, &error))?;
                    self.volume.insert(series, day);
                }
            }
            StateOwner::Indicators => {
                if let Some(series) = kept.series(share)? {
                    self.indicators.entry(series.0).or_default().insert(series, kept.value()?);
                }
            }
            StateOwner::Listings => {
                let key: (Instrument, i32) = kept.key()?;
                if share.owns(key.0.route()) {
                    self.listings.restore(key, kept.value()?);
                }
            }
            StateOwner::Checks => taken = self.checks.restore(kept.entry, |route| share.owns(route)).map_err(failed)?,
            StateOwner::Intake => taken = self.intake.restore(kept.entry).map_err(failed)?,
        }
        if taken { Ok(()) } else { Err(Error::bug(format!("no operator takes the state of {:?}", kind.name))) }
    }
}

fn wrong(entry: &StateEntry, error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("the state of {:?} cannot be read: {error}", entry.operator))
}

/// An instrument, as the bytes of a key name it.
struct Keyholder {
    bytes: Bytes,
    instrument: Instrument,
    owner: usize,
}

/// The owners of keys. Entries of one instrument mostly follow each other: then its bytes are compared, not decoded again.
struct Owners {
    last: Option<Keyholder>,
    peers: usize,
}

impl Owners {
    fn new(peers: usize) -> Owners {
        Owners { last: None, peers }
    }

    fn at(&self, route: u64) -> usize {
        (route % self.peers as u64) as usize
    }

    /// The worker that an entry belongs to; `None`: the key alone does not show it.
    fn worker(&mut self, kind: &StateKind, key: &Bytes) -> Result<Option<usize>, bincode::Error> {
        Ok(match kind.by {
            By::Instrument => Some(self.of(key)?.1),
            By::Series => Some(self.at(bincode::deserialize::<Series>(key)?.1.route())),
            By::Venue => Some(self.at(route(&bincode::deserialize::<(u16, String)>(key)?.1))),
            By::Partition => None,
        })
    }

    /// The instrument that a key begins with, its owner, and the rest of the key.
    fn of<'a>(&mut self, key: &'a Bytes) -> Result<(&Instrument, usize, &'a [u8]), bincode::Error> {
        if !self.last.as_ref().is_some_and(|last| key.starts_with(&last.bytes)) {
            let mut rest = &key[..];
            let instrument: Instrument = bincode::deserialize_from(&mut rest)?;
            let owner = self.at(instrument.route());
            self.last = Some(Keyholder { bytes: key.slice(..key.len() - rest.len()), instrument, owner });
        }
        let Keyholder { bytes, instrument, owner } = self.last.as_ref().expect("it was just put there");
        Ok((instrument, *owner, &key[bytes.len()..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::states::{ANCHOR, BEATS, INDICATORS, LISTINGS, STATES, SUSPECTS};
    use ticktide_base::epoch::Binding;
    use ticktide_base::error::Kind;
    use ticktide_flow::anomalies::suspects::TradeIdentity;

    /// What the only worker of a run takes.
    fn restored(state: &[StateEntry]) -> Result<Restored, Error> {
        let dataflow = Dataflow::load("bars", &[], &[]).expect("a shipped dataflow");
        let share = Share { index: 0, peers: 1 };
        restore(&dataflow, state, share, Intake::new(&dataflow, &[], &[], &Binding::default(), share))
    }

    #[test]
    fn state_of_an_unknown_name_ends_the_run_before_anything_is_taken() {
        for value in [Some(&7u64), None] {
            let state = vec![StateEntry::new("breakouts", &1u64, value)];
            let errors = [restored(&state).err(), keep(&mut state.clone(), &(0..1), 1).err()];
            for error in errors {
                let error = error.expect("no version has that name");
                assert_eq!(error.kind, Kind::Corrupt);
                assert_eq!(error.message, "the lake has state of \"breakouts\", which this version does not know");
                assert!(error.hint.is_some_and(|hint| hint.contains("go on with that version")));
            }
        }
    }

    #[test]
    fn every_kind_of_state_has_an_owner_that_reads_it() {
        for kind in STATES {
            let entry = StateEntry { operator: kind.name.into(), key: Bytes::new(), value: Some(Bytes::new()) };
            let error = restored(&[entry]).err().map(|error| (error.kind, error.message));
            let (kind_of_error, message) = error.unwrap_or_else(|| panic!("{} is skipped", kind.name));
            assert_eq!(kind_of_error, Kind::Bug);
            assert!(message.starts_with(&format!("the state of {:?} cannot be read: ", kind.name)), "{message}");
        }
    }

    #[test]
    fn a_process_keeps_what_its_workers_take_and_all_of_partitions() {
        let instrument = Instrument::new("NSE", "22", None);
        let series: Series = (Interval(1), instrument.clone());
        let state = [
            StateEntry::new(LISTINGS, &(&instrument, 5), Some(&0u8)),
            StateEntry::new(SUSPECTS, &(&instrument, 5, TradeIdentity::Sequence(1)), Some(&0u8)),
            StateEntry::new(INDICATORS, &series, Some(&0u8)),
            StateEntry::new(BEATS, &(0u16, "NSE"), Some(&0u8)),
            StateEntry::new(ANCHOR, &"t/0", Some(&0i64)),
        ];
        let mut times = [0; 5];
        for worker in 0..3 {
            let mut kept = state.to_vec();
            keep(&mut kept, &(worker..worker + 1), 3).expect("known names");
            for entry in kept {
                times[state.iter().position(|other| *other == entry).expect("one of them")] += 1;
            }
        }
        assert_eq!(times, [1, 1, 1, 1, 3], "by key once, by partition for the worker that reads it");
    }
}
