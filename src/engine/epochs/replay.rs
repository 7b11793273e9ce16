//! Recorded bindings as decisions: what was decided once is decided the same way a second time, for any number of workers.
//!
//! ```text
//!   recorded bindings ─▶ Replay (worker 0, instead of the minter) ─▶ Grant(e), CutAt(e, offsets), Bind(e)
//! ```
//!
//! Why beside the minter and not a mode of it: minting depends on clocks, idleness and progress, and none of them may affect
//! what is recorded. What must always hold: every epoch has the recorded horizons, ends at the recorded offsets and is bound
//! with the recorded binding; takeovers and maintenance are epochs without records, so no number is left out.

use crate::epochs::{Decision, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::time::Nanos;
use ticktide_flow::clean::EpochHorizons;

/// A recorded range.
#[derive(Clone, Debug, Default)]
pub struct RecordedRange {
    /// One for each epoch, without a gap; an epoch without records repeats the one before under its own number.
    pub bindings: Arc<[Binding]>,
    /// The offset of each partition's first record in the range, by "topic/partition".
    pub starts: BTreeMap<String, i64>,
}

/// Gives recorded decisions, for as many epochs at once as may be undecided.
pub struct Replay {
    bindings: Arc<[Binding]>,
    /// Names of the intervals, finest first.
    intervals: Vec<String>,
    workers: usize,
    /// The time that every partition has at least come to in the next epoch.
    lake_time: Option<Nanos>,
    /// The most undecided epochs.
    most: usize,
    granted: usize,
    decided: usize,
    ended: BTreeMap<Epoch, BTreeSet<usize>>,
}

impl Replay {
    /// `before`: the binding before the range.
    pub fn new(
        bindings: Arc<[Binding]>,
        before: Option<&Binding>,
        intervals: Vec<String>,
        workers: usize,
        most: u64,
    ) -> Replay {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        let lake_time = before.and_then(Binding::lake_time_next);
        Replay { bindings, intervals, workers, lake_time, most, granted: 0, decided: 0, ended: BTreeMap::new() }
    }

    /// Takes a report; returns the decisions that follow from it.
    pub fn hear(&mut self, report: Report) -> Vec<Decision> {
        let mut decisions = Vec::new();
        match report {
            Report::Decided { .. } => {
                self.decided += 1;
                self.grant(&mut decisions);
            }
            Report::Ended { worker, epoch, .. } => {
                let ended = self.ended.entry(epoch).or_default();
                ended.insert(worker);
                if ended.len() == self.workers {
                    self.ended.remove(&epoch);
                    let bound = self.bindings.iter().find(|binding| binding.epoch == epoch);
                    decisions.extend(bound.cloned().map(Decision::Bind));
                }
            }
            Report::Clock { .. } => self.grant(&mut decisions),
            Report::Progress { .. } | Report::OutOfCredit { .. } | Report::Stop => {}
        }
        decisions
    }

    fn grant(&mut self, decisions: &mut Vec<Decision>) {
        while self.granted < self.bindings.len() && self.granted - self.decided < self.most {
            let binding = &self.bindings[self.granted];
            self.granted += 1;
            let horizon = |name: &String| binding.horizons.get(name).copied().unwrap_or(Nanos::MIN);
            let horizons = EpochHorizons {
                rules: binding.lateness,
                intervals: self.intervals.iter().map(horizon).collect(),
                retained_from: binding.retained_from.unwrap_or(Nanos::MIN),
                lake_time: self.lake_time,
            };
            self.lake_time = binding.lake_time_next();
            decisions.push(Decision::Grant { epoch: binding.epoch, horizons });
            decisions.push(Decision::CutAt {
                epoch: binding.epoch,
                flush: binding.flush,
                last: self.granted == self.bindings.len(),
                places: binding.places.clone(),
                rewound: binding.rewound.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::epoch::Place;
    use ticktide_base::rules::Rules;

    fn bindings(epochs: std::ops::Range<Epoch>) -> Arc<[Binding]> {
        let place = |epoch: Epoch| Place { source_id: "s".into(), offset_next: 10 * epoch as i64, ..Place::default() };
        let binding = |epoch| Binding {
            epoch,
            places: BTreeMap::from([("t/0".to_owned(), place(epoch))]),
            horizons: BTreeMap::from([("1m".to_owned(), 7), ("1s".to_owned(), epoch as Nanos)]),
            flush: epoch == 6,
            lateness: if epoch == 4 { Rules::First } else { Rules::Second },
            frontier: Some(3),
            ..Binding::default()
        };
        epochs.map(binding).collect()
    }

    fn ended(worker: usize, epoch: Epoch) -> Report {
        Report::Ended { worker, epoch, places: BTreeMap::new(), partitions: Vec::new() }
    }

    #[test]
    fn a_replay_grants_cuts_and_binds_what_was_recorded_and_no_more_than_k_epochs_ahead() {
        let recorded = bindings(4..8);
        // epoch 3 ended a run at 11; epoch 4 is of an older lake, whose partitions had come to 3
        let before = Binding { lake_time: Some(11), ..Binding::default() };
        let mut replay = Replay::new(recorded.clone(), Some(&before), vec!["1s".into(), "1m".into()], 2, 2);
        let first = replay.hear(Report::Clock { now_ms: 1, wall: 99 });
        assert_eq!(first.len(), 4, "two epochs: {first:?}");
        let places = recorded[0].places.clone();
        let horizons = |epoch: Epoch, lake_time| EpochHorizons {
            rules: if epoch == 4 { Rules::First } else { Rules::Second },
            intervals: vec![epoch as Nanos, 7],
            retained_from: Nanos::MIN,
            lake_time,
        };
        assert_eq!(first[0], Decision::Grant { epoch: 4, horizons: horizons(4, Some(11)) });
        assert_eq!(first[1], Decision::CutAt { epoch: 4, flush: false, last: false, places, rewound: None });
        assert_eq!(first[2], Decision::Grant { epoch: 5, horizons: horizons(5, Some(3)) });
        assert!(replay.hear(Report::Clock { now_ms: 2, wall: 100 }).is_empty(), "no more may be undecided");

        assert!(replay.hear(ended(1, 4)).is_empty(), "not before every worker has ended it");
        assert_eq!(replay.hear(ended(0, 4)), [Decision::Bind(recorded[0].clone())]);
        let next = replay.hear(Report::Decided { epoch: 4 });
        assert!(matches!(
            &next[..],
            [Decision::Grant { epoch: 6, .. }, Decision::CutAt { flush: true, last: false, .. }]
        ));
        let next = replay.hear(Report::Decided { epoch: 5 });
        assert!(
            matches!(&next[..], [Decision::Grant { epoch: 7, .. }, Decision::CutAt { last: true, .. }]),
            "{next:?}"
        );
        assert!(replay.hear(Report::Decided { epoch: 6 }).is_empty(), "the range is over");
    }
}
