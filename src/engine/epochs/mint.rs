//! Worker 0 decides as records come: from all workers' reports, as a pure state machine.
//!
//! Why pure: time and progress come in as reports, so that a test can play any course of a run. What must always hold:
//! `closed_until`, `frontier` and all horizons never step back; a cut is always possible, so credit always comes back.

use super::frontier::{closed_until, frontier, retired_by, slowest};
use super::{ControlSpec, Decision, PartitionProgress, Report};
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Epoch, Place};
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_flow::bars::bucket;
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::clean::reach::{Reaches, started};

/// The state machine of worker 0.
pub struct Minter {
    spec: ControlSpec,
    bindings: BTreeMap<Epoch, Binding>,
    bound: Binding,
    decided: Epoch,
    /// The epoch being read.
    open: Epoch,
    granted: Epoch,
    grant: BTreeMap<Epoch, EpochHorizons>,
    /// The time that every partition has at least come to, in this run.
    lake_time: Option<Nanos>,
    warned: bool,
    open_since_ms: u64,
    now_ms: u64,
    wall: Option<Nanos>,
    progress: BTreeMap<usize, (u64, Vec<PartitionProgress>)>,
    ended: BTreeMap<Epoch, BTreeMap<usize, (BTreeMap<String, Place>, Vec<PartitionProgress>)>>,
    flushing: Option<Epoch>,
    stopping: bool,
    last: Option<Epoch>,
    slowest: Option<Nanos>,
}

impl Minter {
    /// `resumed`: the binding that the takeover carries and those before it, oldest first; `first`: the first epoch to mint.
    pub fn new(spec: ControlSpec, resumed: Vec<Binding>, first: Epoch) -> Minter {
        let bound = resumed.last().cloned().unwrap_or_default();
        Minter {
            lake_time: bound.lake_time_next(),
            warned: false,
            bound,
            bindings: resumed.into_iter().map(|binding| (binding.epoch, binding)).collect(),
            decided: first.wrapping_sub(1),
            open: first,
            granted: first.wrapping_sub(1),
            grant: BTreeMap::new(),
            open_since_ms: 0,
            now_ms: 0,
            wall: None,
            progress: BTreeMap::new(),
            ended: BTreeMap::new(),
            flushing: None,
            stopping: false,
            last: None,
            slowest: None,
            spec,
        }
    }

    /// Takes a report; returns the decisions that follow from it.
    pub fn hear(&mut self, report: Report) -> Vec<Decision> {
        let mut decisions = Vec::new();
        match report {
            Report::Clock { now_ms, wall } => {
                self.now_ms = now_ms;
                self.wall = Some(wall);
                if self.open_since_ms == 0 {
                    self.open_since_ms = now_ms;
                }
                self.mint(&mut decisions);
                self.cut_if_due(false, &mut decisions);
            }
            Report::Progress { worker, epoch, records, partitions } => {
                let records = if epoch == self.open { records } else { 0 };
                self.progress.insert(worker, (records, partitions));
                self.pace(&mut decisions);
                self.cut_if_due(false, &mut decisions);
            }
            Report::OutOfCredit { epoch } => {
                if epoch == self.open {
                    self.cut_if_due(true, &mut decisions);
                }
            }
            Report::Stop => {
                self.stopping = true;
                self.cut_if_due(false, &mut decisions);
            }
            Report::Ended { worker, epoch, places, partitions } => {
                let ended = self.ended.entry(epoch).or_default();
                ended.insert(worker, (places, partitions));
                if ended.len() == self.spec.workers {
                    self.bind(epoch, &mut decisions);
                }
            }
            Report::Decided { epoch } => {
                self.decided = epoch;
                self.mint(&mut decisions);
            }
        }
        decisions
    }

    fn partitions(&self) -> impl Iterator<Item = &PartitionProgress> + Clone {
        self.progress.values().flat_map(|(_, partitions)| partitions)
    }

    /// Grants epochs while fewer than K are undecided. An epoch's horizons come from the binding K before it.
    fn mint(&mut self, decisions: &mut Vec<Decision>) {
        while self.granted.wrapping_sub(self.decided) < self.spec.epochs && self.last.is_none() {
            let epoch = self.granted.wrapping_add(1);
            let basis = epoch.checked_sub(self.spec.epochs);
            let basis = basis.and_then(|basis| self.bindings.range(..=basis).next_back()).map(|(_, binding)| binding);
            let before = self.grant.values().next_back().cloned().unwrap_or_else(|| self.resumed());
            let at = basis.and_then(Binding::retires).map(|at| self.spec.reach.at(&self.spec.session, at));
            let Reaches { intervals, retained_from } = at.unwrap_or_else(|| Reaches::all(before.intervals.len()));
            let later = before.intervals.iter().zip(intervals).map(|(before, at)| at.max(*before));
            let horizons = EpochHorizons {
                intervals: later.collect(),
                retained_from: retained_from.max(before.retained_from),
                lake_time: self.lake_time,
                rules: Rules::NEWEST,
            };
            self.grant.insert(epoch, horizons.clone());
            self.granted = epoch;
            decisions.push(Decision::Grant { epoch, horizons });
        }
    }

    /// The horizons at the end of the run before.
    fn resumed(&self) -> EpochHorizons {
        let known = |name: &String| self.bound.horizons.get(name).copied().unwrap_or(Nanos::MIN);
        EpochHorizons {
            intervals: self.spec.reach.intervals.iter().map(|(interval, _)| known(&interval.name())).collect(),
            retained_from: self.bound.retained_from.unwrap_or(Nanos::MIN),
            lake_time: self.lake_time,
            rules: Rules::NEWEST,
        }
    }

    /// Sends the workers the time of the slowest partition when it has moved.
    fn pace(&mut self, decisions: &mut Vec<Decision>) {
        let slowest = if self.progress.len() == self.spec.workers { slowest(self.partitions()) } else { None };
        if slowest != self.slowest {
            self.slowest = slowest;
            decisions.push(Decision::Slowest(slowest));
        }
    }

    fn cut_if_due(&mut self, forced: bool, decisions: &mut Vec<Decision>) {
        if self.last.is_some() || self.open_since_ms == 0 {
            return;
        }
        // no worker reads an epoch that is not granted: its end can wait
        if self.granted.wrapping_sub(self.open) > self.spec.epochs {
            return;
        }
        let heard_all = self.progress.len() == self.spec.workers;
        let records: u64 = self.progress.values().map(|(records, _)| records).sum();
        let finished = self.spec.until_end && heard_all && self.partitions().all(|partition| partition.finished);
        let elapsed = self.now_ms.saturating_sub(self.open_since_ms) >= self.spec.epoch_every_ms;
        let due = forced
            || finished
            || self.stopping
            || records >= self.spec.epoch_records
            || (elapsed && (records > 0 || (heard_all && self.closes_something())));
        if !due {
            return;
        }
        let epoch = self.open;
        let last = finished || self.stopping;
        if finished {
            self.flushing = Some(epoch);
        }
        if last {
            self.last = Some(epoch);
        }
        self.open = epoch + 1;
        self.open_since_ms = self.now_ms;
        for (records, _) in self.progress.values_mut() {
            *records = 0;
        }
        decisions.push(Decision::Cut { epoch, flush: finished, last });
    }

    /// Whether an epoch without records would publish a bar.
    fn closes_something(&self) -> bool {
        let before = self.bound.closed_until.unwrap_or(Nanos::MIN);
        let Some(after) = closed_until(self.bound.closed_until, self.partitions(), self.spec.grace, self.wall()) else {
            return false;
        };
        let Some(newest) = self.partitions().filter_map(|partition| partition.event_at_max).max() else { return false };
        let session = &self.spec.session;
        session.classes().any(|class| {
            let Some(phase) = session.phase_at(class, newest) else { return false };
            self.spec.reach.intervals.iter().any(|(interval, _)| {
                let (_, end_at) = bucket(&phase, *interval, newest);
                let reach = after.min(end_at);
                let boundary = if reach == end_at { reach } else { started(session, class, *interval, reach) };
                boundary > before
            })
        })
    }

    /// The wall clock closes bars of a live feed only: a run until the end publishes by its flush.
    fn wall(&self) -> Option<Nanos> {
        self.wall.filter(|_| !self.spec.until_end)
    }

    /// All workers have ended the epoch: binds it.
    fn bind(&mut self, epoch: Epoch, decisions: &mut Vec<Decision>) {
        let Some(ended) = self.ended.remove(&epoch) else { return };
        let partitions: Vec<PartitionProgress> =
            ended.values().flat_map(|(_, partitions)| partitions.clone()).collect();
        let mut places = self.bound.places.clone();
        places.extend(ended.into_values().flat_map(|(places, _)| places));
        let EpochHorizons { intervals, retained_from, .. } = self.grant.get(&epoch).cloned().unwrap_or_default();
        self.grant = self.grant.split_off(&epoch);
        let flush = self.flushing == Some(epoch);
        let our_clock = self.wall.unwrap_or(Nanos::MAX);
        let newest = partitions.iter().filter_map(|partition| partition.event_at_max.max(partition.lone_max)).max();
        let furthest = partitions.iter().filter_map(|partition| partition.running).max().map(|at| at.min(our_clock));
        let lake_time = if flush { self.lake_time.max(furthest) } else { self.lake_time };
        let retired = retired_by(partitions.iter(), self.lake_time).map(|at| at.min(our_clock));
        let retired = if flush { retired.max(lake_time) } else { retired };
        let names = self.spec.reach.intervals.iter().map(|(interval, _)| interval.name());
        let closed_until = closed_until(self.bound.closed_until, partitions.iter(), self.spec.grace, self.wall());
        let binding = Binding {
            epoch,
            generation: self.spec.generation,
            lateness: Rules::NEWEST,
            wild_time: Rules::NEWEST,
            places,
            frontier: self.bound.frontier.max(frontier(partitions.iter())),
            retired_by: self.bound.retires().max(retired),
            lake_time,
            closed_until,
            ahead: self.bound.ahead_of(closed_until),
            rewound: None,
            flushed_until: if flush { self.bound.flushed_until.max(newest) } else { self.bound.flushed_until },
            flush,
            horizons: names.zip(intervals).collect(),
            retained_from: Some(retained_from),
            dataflow_hash: self.spec.dataflow_hash.clone(),
            calendar_hash: self.spec.calendar_hash.clone(),
            code_version: self.spec.code_version.clone(),
        };
        self.warn_ahead(&binding);
        self.bindings.insert(epoch, binding.clone());
        while self.bindings.len() as u64 > 2 * self.spec.epochs + 16 {
            self.bindings.pop_first();
        }
        self.bound = binding.clone();
        decisions.push(Decision::Bind(binding));
    }

    /// Warns once that bars close ahead of our clock.
    fn warn_ahead(&mut self, binding: &Binding) {
        let (Some(closed_until), Some(our_clock)) = (binding.closed_until, self.wall) else { return };
        if closed_until > our_clock && !std::mem::replace(&mut self.warned, true) {
            let minutes = (closed_until - our_clock) / ticktide_base::time::MINUTE;
            let most = binding.places.iter().max_by_key(|(_, place)| place.event_at_max);
            let partition = most.map_or("", |(name, _)| name);
            tracing::warn!(minutes, partition, "bars close ahead of this machine's clock: the feed sends later times");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use ticktide_base::time::Interval;
    use ticktide_base::time::{DAY, HOUR, MINUTE, SECOND};
    use ticktide_flow::clean::reach::{Reach, ReachSpec};
    use ticktide_market::calendar::Session;

    const DAY0: Nanos = 20_000 * DAY;

    fn spec() -> ControlSpec {
        ControlSpec {
            workers: 1,
            reach: ReachSpec {
                intervals: vec![
                    (Interval(SECOND), Reach::Span(10 * MINUTE)),
                    (Interval(MINUTE), Reach::Span(2 * HOUR)),
                ],
                retention: 2 * HOUR,
            },
            session: Arc::new(Session::preset("utc-day").expect("a preset")),
            grace: 5 * SECOND,
            epoch_every_ms: 10_000,
            epoch_records: 1_000_000,
            epochs: 2,
            until_end: false,
            generation: 1,
            dataflow_hash: String::new(),
            calendar_hash: String::new(),
            code_version: String::new(),
        }
    }

    fn progress(partition: &str, event_at_max: Option<Nanos>, idle: bool) -> PartitionProgress {
        let running = event_at_max;
        PartitionProgress {
            partition: partition.into(),
            event_at_max,
            running,
            idle,
            silent: idle,
            ..PartitionProgress::default()
        }
    }

    fn clock(minter: &mut Minter, now_ms: u64) -> Vec<Decision> {
        minter.hear(Report::Clock { now_ms, wall: DAY0 + now_ms as i64 * 1_000_000 })
    }

    fn ended(minter: &mut Minter, epoch: Epoch, partitions: Vec<PartitionProgress>) -> Binding {
        match minter.hear(Report::Ended { worker: 0, epoch, places: BTreeMap::new(), partitions }).as_slice() {
            [Decision::Bind(binding)] => binding.clone(),
            other => panic!("{other:?} is no binding"),
        }
    }

    #[test]
    fn an_epoch_is_granted_only_while_fewer_than_k_are_undecided() {
        let mut minter = Minter::new(spec(), Vec::new(), 1);
        let grants = clock(&mut minter, 1);
        assert_eq!(grants.len(), 2, "{grants:?}");
        assert!(clock(&mut minter, 2).is_empty());
        let next = minter.hear(Report::Decided { epoch: 1 });
        assert!(matches!(next.as_slice(), [Decision::Grant { epoch: 3, .. }]), "{next:?}");
    }

    #[test]
    fn with_one_epoch_and_no_credit_a_cut_still_comes() {
        let mut minter = Minter::new(ControlSpec { epochs: 1, ..spec() }, Vec::new(), 1);
        assert_eq!(clock(&mut minter, 1).len(), 1);
        for epoch in 1..20 {
            let cut = minter.hear(Report::OutOfCredit { epoch });
            assert_eq!(cut, [Decision::Cut { epoch, flush: false, last: false }]);
            assert!(minter.hear(Report::OutOfCredit { epoch }).is_empty(), "asked twice, cut once");
            ended(&mut minter, epoch, vec![progress("a", Some(DAY0), false)]);
            let grant = minter.hear(Report::Decided { epoch });
            assert!(matches!(grant.as_slice(), [Decision::Grant { .. }]), "{grant:?}");
        }
    }

    #[test]
    fn an_epochs_horizon_is_that_of_the_binding_k_before_it() {
        let mut minter = Minter::new(spec(), Vec::new(), 1);
        minter.hear(Report::Clock { now_ms: 1, wall: DAY0 + DAY });
        minter.hear(Report::OutOfCredit { epoch: 1 });
        let at = DAY0 + 5 * HOUR;
        ended(&mut minter, 1, vec![progress("a", Some(at), false)]);
        let grants = minter.hear(Report::Decided { epoch: 1 });
        let [Decision::Grant { epoch: 3, horizons }] = grants.as_slice() else { panic!("{grants:?}") };
        assert_eq!(horizons.intervals, [at - 10 * MINUTE, at - 2 * HOUR]);
        assert_eq!(horizons.retained_from, at - 2 * HOUR);
    }

    #[test]
    fn a_run_until_the_end_flushes_and_leaves_the_horizon_where_it_was() {
        let mut minter = Minter::new(ControlSpec { until_end: true, ..spec() }, Vec::new(), 1);
        clock(&mut minter, 1);
        let finished = PartitionProgress { finished: true, ..progress("a", Some(DAY0 + 90 * SECOND), true) };
        let cut = minter.hear(Report::Progress { worker: 0, epoch: 1, records: 5, partitions: vec![finished.clone()] });
        assert!(cut.contains(&Decision::Cut { epoch: 1, flush: true, last: true }), "{cut:?}");
        let binding = ended(&mut minter, 1, vec![finished]);
        assert!(binding.flush);
        assert!(binding.publishes(DAY0 + MINUTE, DAY0 + 2 * MINUTE), "the bar of the last tick is published");
        assert!(!binding.publishes(DAY0 + 2 * MINUTE, DAY0 + 3 * MINUTE));
        assert_eq!(binding.closed_until, Some(DAY0 + 85 * SECOND), "a later run's ticks are ordinary corrections");
        assert!(binding.horizons.values().all(|at| *at == Nanos::MIN));
    }

    #[test]
    fn a_quiet_feed_makes_no_epochs() {
        let mut minter = Minter::new(spec(), Vec::new(), 1);
        clock(&mut minter, 1);
        minter.hear(Report::Progress { worker: 0, epoch: 1, records: 0, partitions: vec![progress("a", None, true)] });
        for now in (1..200).map(|tenth| tenth * 5_000) {
            assert!(clock(&mut minter, now).is_empty());
        }
    }

    #[test]
    fn the_last_bar_of_a_feed_that_falls_silent_is_closed_once() {
        let mut minter = Minter::new(spec(), Vec::new(), 1);
        clock(&mut minter, 1);
        let last = DAY0 + 10 * SECOND;
        let busy = vec![progress("a", Some(last), false)];
        minter.hear(Report::Progress { worker: 0, epoch: 1, records: 9, partitions: busy.clone() });
        assert!(clock(&mut minter, 10_001).contains(&Decision::Cut { epoch: 1, flush: false, last: false }));
        ended(&mut minter, 1, busy);
        let quiet = vec![progress("a", Some(last), true)];
        minter.hear(Report::Progress { worker: 0, epoch: 1, records: 0, partitions: quiet.clone() });
        let (mut cuts, mut epoch) = (Vec::new(), 2);
        for now in (11..=200).map(|second| second * 1_000) {
            for decision in clock(&mut minter, now) {
                if matches!(decision, Decision::Cut { .. }) {
                    cuts.push(now);
                    ended(&mut minter, epoch, quiet.clone());
                    epoch += 1;
                }
            }
            minter.hear(Report::Decided { epoch: epoch - 1 });
        }
        // the second bar closes 5 s after its end at the latest with the next epoch, the minute bar 5 s after 60 s
        assert_eq!(cuts.len(), 2, "{cuts:?}");
        assert!(cuts[0] <= 21_000 && (65_000..=75_000).contains(&cuts[1]), "{cuts:?}");
    }
}
