//! Who decides: worker 0, from all workers' reports, as a pure state machine.
//!
//! ```text
//!   every worker: Report ══▶ worker 0: Minter ══▶ every worker: Decision
//!      Progress, Ended, OutOfCredit                  Grant(e) → may read into e, with e's horizons
//!      Decided (from the committer), Clock, Stop     Cut(e)   → end e where you are, report, read on into e+1
//!                                                    Bind(e)  → what e is; act on this record and on nothing else
//! ```
//!
//! Why one decider: offsets belong to partitions of many workers and `closed_until` is a global minimum; local views drift.
//! What must always hold: `closed_until`, `frontier` and all horizons never step back; a partition with unread records is a
//! brake; a cut is always possible, so credit always comes back.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, Place};
use ticktide_base::time::{DAY, Interval, Nanos};
use ticktide_flow::bars::bucket;
use ticktide_market::calendar::{Class, Session};

/// How far behind the frontier a tick still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Span(Nanos),
    /// The trading day of the frontier and the one before it.
    Session,
}

/// What the decisions depend on.
#[derive(Clone)]
pub struct ControlSpec {
    pub workers: usize,
    /// Finest first, with the reach of each.
    pub intervals: Vec<(Interval, Reach)>,
    pub session: Arc<Session>,
    pub retention: Nanos,
    pub grace: Nanos,
    pub epoch_every_ms: u64,
    pub epoch_records: u64,
    /// Undecided epochs at most; K of the horizon rule.
    pub epochs: u64,
    pub until_end: bool,
    pub generation: u64,
    pub dataflow_hash: String,
    pub calendar_hash: String,
    pub code_version: String,
}

/// One partition as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub partition: String,
    pub event_at_max: Option<Nanos>,
    /// Caught up for `idle_after`, or finished: no brake.
    pub idle: bool,
    pub finished: bool,
}

/// What worker 0 hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    Clock {
        now_ms: u64,
        wall: Nanos,
    },
    /// `records`: read in `epoch` so far.
    Progress {
        worker: usize,
        epoch: Epoch,
        records: u64,
        partitions: Vec<Progress>,
    },
    OutOfCredit {
        epoch: Epoch,
    },
    Ended {
        worker: usize,
        epoch: Epoch,
        places: BTreeMap<String, Place>,
        partitions: Vec<Progress>,
    },
    Decided {
        epoch: Epoch,
    },
    Stop,
}

/// What every worker hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    Grant {
        epoch: Epoch,
        horizons: Vec<Nanos>,
        retained_from: Nanos,
    },
    /// `flush`: decide what waits, it is the end. `last`: nothing follows.
    Cut {
        epoch: Epoch,
        flush: bool,
        last: bool,
    },
    /// A recorded end: read `epoch` up to these offsets (by partition; one that is not named is left alone), end it there.
    CutAt {
        epoch: Epoch,
        flush: bool,
        last: bool,
        offsets: BTreeMap<String, i64>,
    },
    Bind(Binding),
    /// The event time of the slowest partition with unread records.
    Slowest(Option<Nanos>),
}

/// Event times of partitions: what the frontier may be. The least over those that brake; over none, the greatest of all.
pub fn frontier<'a>(partitions: impl Iterator<Item = &'a Progress> + Clone) -> Option<Nanos> {
    let mut brakes = partitions.clone().filter(|partition| !partition.idle).peekable();
    if brakes.peek().is_some() {
        // one that has unread records and no time yet: nothing is known
        return brakes.map(|partition| partition.event_at_max).min().flatten();
    }
    partitions.filter_map(|partition| partition.event_at_max).max()
}

/// What `closed_until` becomes: behind the frontier by the grace. When every partition has been caught up for a while,
/// whatever happened up to `wall` has been read, so the wall clock closes what the feed has left open.
pub fn closed_until<'a>(
    previous: Option<Nanos>,
    partitions: impl Iterator<Item = &'a Progress> + Clone,
    grace: Nanos,
    wall: Option<Nanos>,
) -> Option<Nanos> {
    let by_event = frontier(partitions.clone()).map(|at| at.saturating_sub(grace));
    let all_idle = partitions.clone().all(|partition| partition.idle);
    let seen = partitions.clone().any(|partition| partition.event_at_max.is_some());
    let by_wall = wall.filter(|_| all_idle && seen).map(|at| at.saturating_sub(grace));
    previous.max(by_event).max(by_wall)
}

/// A time moved back to where no class of instruments has a bar under way, so that every bar is behind a horizon as a whole
/// or not at all. Classes whose phases begin at other times share few starts: then it moves further back than one bar.
pub fn aligned(session: &Session, interval: Interval, at: Nanos) -> Nanos {
    let mut found = at;
    loop {
        let before = found;
        for class in session.classes() {
            found = started(session, class, interval, found);
        }
        if found == before {
            return found;
        }
    }
}

/// The start of the class's bar that holds a time; the time itself outside every phase.
fn started(session: &Session, class: Class, interval: Interval, at: Nanos) -> Nanos {
    session.phase_at(class, at).map_or(at, |phase| bucket(&phase, interval, at).0)
}

/// The horizon of an interval for a frontier: of a session, the earliest that any class of instruments needs.
pub fn horizon(session: &Session, interval: Interval, reach: Reach, frontier: Nanos) -> Nanos {
    let day_before = frontier.saturating_sub(DAY);
    let starts = session.classes().map(|class| session.day_start(class, session.trading_date_of(class, day_before)));
    match reach {
        Reach::Span(span) => aligned(session, interval, frontier.saturating_sub(span)),
        Reach::Session => aligned(session, interval, starts.min().unwrap_or(day_before)),
    }
}

/// The state machine of worker 0.
pub struct Minter {
    spec: ControlSpec,
    bindings: BTreeMap<Epoch, Binding>,
    bound: Binding,
    decided: Epoch,
    /// The epoch being read.
    open: Epoch,
    granted: Epoch,
    grant: BTreeMap<Epoch, (Vec<Nanos>, Nanos)>,
    open_since_ms: u64,
    now_ms: u64,
    wall: Option<Nanos>,
    progress: BTreeMap<usize, (u64, Vec<Progress>)>,
    ended: BTreeMap<Epoch, BTreeMap<usize, (BTreeMap<String, Place>, Vec<Progress>)>>,
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

    /// Takes a report; gives the decisions that follow from it.
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

    fn partitions(&self) -> impl Iterator<Item = &Progress> + Clone {
        self.progress.values().flat_map(|(_, partitions)| partitions)
    }

    /// Grants epochs while fewer than K are undecided. An epoch's horizons come from the binding K before it.
    fn mint(&mut self, decisions: &mut Vec<Decision>) {
        while self.granted.wrapping_sub(self.decided) < self.spec.epochs && self.last.is_none() {
            let epoch = self.granted.wrapping_add(1);
            let basis = epoch.checked_sub(self.spec.epochs);
            let basis = basis.and_then(|basis| self.bindings.range(..=basis).next_back()).map(|(_, binding)| binding);
            let before = self.grant.values().next_back().cloned();
            let frontier = basis.and_then(|binding| binding.frontier);
            let horizons = self.spec.intervals.iter().enumerate().map(|(index, (interval, reach))| {
                let name = interval.name();
                let least = before.as_ref().map(|(horizons, _)| horizons[index]);
                let least = least.or_else(|| self.bound.horizons.get(&name).copied()).unwrap_or(Nanos::MIN);
                frontier.map_or(least, |at| horizon(&self.spec.session, *interval, *reach, at).max(least))
            });
            let horizons: Vec<Nanos> = horizons.collect();
            let least = before.map(|(_, retained)| retained).or(self.bound.retained_from).unwrap_or(Nanos::MIN);
            let finest = self.spec.intervals.first().map_or(Interval(1), |(interval, _)| *interval);
            let retained_from = frontier.map_or(least, |at| {
                aligned(&self.spec.session, finest, at.saturating_sub(self.spec.retention)).max(least)
            });
            self.grant.insert(epoch, (horizons.clone(), retained_from));
            self.granted = epoch;
            decisions.push(Decision::Grant { epoch, horizons, retained_from });
        }
    }

    /// Tells the workers how far the slowest partition is, when that has moved.
    fn pace(&mut self, decisions: &mut Vec<Decision>) {
        let slowest = if self.progress.len() == self.spec.workers {
            let brakes = self.partitions().filter(|partition| !partition.idle);
            brakes.map(|partition| partition.event_at_max).min().flatten()
        } else {
            None
        };
        if slowest != self.slowest {
            self.slowest = slowest;
            decisions.push(Decision::Slowest(slowest));
        }
    }

    fn cut_if_due(&mut self, forced: bool, decisions: &mut Vec<Decision>) {
        if self.last.is_some() || self.open_since_ms == 0 {
            return;
        }
        // an epoch that is not granted is read by nobody: its end can wait
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
            self.spec.intervals.iter().any(|(interval, _)| {
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

    /// All workers have ended the epoch: what it is.
    fn bind(&mut self, epoch: Epoch, decisions: &mut Vec<Decision>) {
        let Some(ended) = self.ended.remove(&epoch) else { return };
        let partitions: Vec<Progress> = ended.values().flat_map(|(_, partitions)| partitions.clone()).collect();
        let mut places = self.bound.places.clone();
        places.extend(ended.into_values().flat_map(|(places, _)| places));
        let (horizons, retained_from) = self.grant.get(&epoch).cloned().unwrap_or_default();
        self.grant = self.grant.split_off(&epoch);
        let flush = self.flushing == Some(epoch);
        let newest = partitions.iter().filter_map(|partition| partition.event_at_max).max();
        let binding = Binding {
            epoch,
            generation: self.spec.generation,
            places,
            frontier: self.bound.frontier.max(frontier(partitions.iter())),
            closed_until: closed_until(self.bound.closed_until, partitions.iter(), self.spec.grace, self.wall()),
            flushed_until: if flush { self.bound.flushed_until.max(newest) } else { self.bound.flushed_until },
            flush,
            horizons: self.spec.intervals.iter().map(|(interval, _)| interval.name()).zip(horizons).collect(),
            retained_from: Some(retained_from),
            dataflow_hash: self.spec.dataflow_hash.clone(),
            calendar_hash: self.spec.calendar_hash.clone(),
            code_version: self.spec.code_version.clone(),
        };
        self.bindings.insert(epoch, binding.clone());
        while self.bindings.len() as u64 > 2 * self.spec.epochs + 16 {
            self.bindings.pop_first();
        }
        self.bound = binding.clone();
        decisions.push(Decision::Bind(binding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::{HOUR, MINUTE, SECOND};

    const DAY0: Nanos = 20_000 * DAY;

    fn spec() -> ControlSpec {
        ControlSpec {
            workers: 1,
            intervals: vec![(Interval(SECOND), Reach::Span(10 * MINUTE)), (Interval(MINUTE), Reach::Span(2 * HOUR))],
            session: Arc::new(Session::preset("utc-day").expect("a preset")),
            retention: 2 * HOUR,
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

    fn progress(partition: &str, event_at_max: Option<Nanos>, idle: bool) -> Progress {
        Progress { partition: partition.into(), event_at_max, idle, finished: false }
    }

    fn clock(minter: &mut Minter, now_ms: u64) -> Vec<Decision> {
        minter.hear(Report::Clock { now_ms, wall: DAY0 + now_ms as i64 * 1_000_000 })
    }

    fn ended(minter: &mut Minter, epoch: Epoch, partitions: Vec<Progress>) -> Binding {
        match minter.hear(Report::Ended { worker: 0, epoch, places: BTreeMap::new(), partitions }).as_slice() {
            [Decision::Bind(binding)] => binding.clone(),
            other => panic!("{other:?} is no binding"),
        }
    }

    #[test]
    fn a_partition_with_unread_records_brakes_however_far_behind_it_is() {
        let (a, b) = (DAY0 + 15 * HOUR, DAY0 + 10 * HOUR);
        let behind = [progress("a", Some(a), false), progress("b", Some(b), false)];
        assert_eq!(closed_until(None, behind.iter(), 5 * SECOND, Some(a)), Some(b - 5 * SECOND));
        // caught up, it is idle and brakes no more
        let idle = [progress("a", Some(a), false), progress("b", Some(b), true)];
        assert_eq!(closed_until(None, idle.iter(), 5 * SECOND, Some(a)), Some(a - 5 * SECOND));
    }

    #[test]
    fn a_partition_that_has_told_no_time_yet_holds_everything() {
        let unknown = [progress("a", Some(DAY0), false), progress("b", None, false)];
        assert_eq!(frontier(unknown.iter()), None);
        assert_eq!(closed_until(Some(7), unknown.iter(), 0, Some(DAY0)), Some(7));
        let empty = [progress("a", Some(DAY0), false), progress("b", None, true)];
        assert_eq!(frontier(empty.iter()), Some(DAY0));
    }

    #[test]
    fn closed_until_never_steps_back_when_a_partition_wakes() {
        let woken = [progress("a", Some(DAY0 + HOUR), false), progress("b", Some(DAY0), false)];
        assert_eq!(closed_until(Some(DAY0 + HOUR), woken.iter(), 0, None), Some(DAY0 + HOUR));
    }

    #[test]
    fn the_wall_clock_closes_only_what_every_partition_has_caught_up_with() {
        let quiet = [progress("a", Some(DAY0), true), progress("b", None, true)];
        assert_eq!(closed_until(None, quiet.iter(), 5 * SECOND, Some(DAY0 + HOUR)), Some(DAY0 + HOUR - 5 * SECOND));
        let busy = [progress("a", Some(DAY0), true), progress("b", Some(DAY0), false)];
        assert_eq!(closed_until(None, busy.iter(), 5 * SECOND, Some(DAY0 + HOUR)), Some(DAY0 - 5 * SECOND));
        // nothing was ever read: there is nothing to close
        let empty = [progress("a", None, true)];
        assert_eq!(closed_until(None, empty.iter(), 0, Some(DAY0)), None);
    }

    #[test]
    fn a_horizon_lies_on_the_start_of_a_bar_and_counts_from_event_times() {
        let session = Session::preset("utc-day").expect("a preset");
        let at = DAY0 + 5 * HOUR + 17 * SECOND + 3;
        assert_eq!(horizon(&session, Interval(MINUTE), Reach::Span(2 * HOUR), at), DAY0 + 3 * HOUR);
        assert_eq!(horizon(&session, Interval(DAY), Reach::Session, at), DAY0 - DAY);
    }

    /// 2026-08-03 in India, minutes from midnight.
    fn august(minutes: i64) -> Nanos {
        1_785_695_400 * SECOND + minutes * MINUTE
    }

    #[test]
    fn with_classes_of_instruments_a_horizon_cuts_no_bar_of_any_of_them() {
        let session = Session::preset("nse").expect("a preset");
        let first = session.classes().last().map(|stocks| session.day_start(stocks, 20_668));
        assert_eq!(first, Some(august(9 * 60)), "Monday 2026-08-03");
        for minutes in (8 * 60..24 * 60).step_by(7) {
            for width in [1, 5, 15, 20, 60] {
                let at = aligned(&session, Interval(width * MINUTE), august(minutes));
                assert!(at <= august(minutes));
                for class in session.classes() {
                    let start = started(&session, class, Interval(width * MINUTE), at);
                    assert_eq!(start, at, "{} m at {minutes}: class {}", width, session.class_name(class));
                }
            }
        }
        // commodities' hours begin at 09:00, shares' at 09:15: until the shares close there is no common start of hours
        assert_eq!(aligned(&session, Interval(HOUR), august(15 * 60)), august(9 * 60));
        assert_eq!(aligned(&session, Interval(15 * MINUTE), august(15 * 60 + 20)), august(15 * 60 + 15));
        assert_eq!(aligned(&session, Interval(MINUTE), august(15 * 60 + 20)), august(15 * 60 + 20));
    }

    #[test]
    fn one_session_is_the_widest_over_classes() {
        let session = Session::preset("nse").expect("a preset");
        // Wednesday after Guru Nanak Jayanti, 10:00: a day before, commodities were to open in the evening, shares not at all
        let wednesday = 1_795_545_000 * SECOND + 10 * HOUR;
        let monday = horizon(&session, Interval(DAY), Reach::Session, wednesday);
        assert_eq!(monday, 1_795_545_000 * SECOND - 2 * DAY + 8 * HOUR + 45 * MINUTE);
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
        clock(&mut minter, 1);
        minter.hear(Report::OutOfCredit { epoch: 1 });
        let at = DAY0 + 5 * HOUR;
        ended(&mut minter, 1, vec![progress("a", Some(at), false)]);
        let grants = minter.hear(Report::Decided { epoch: 1 });
        let [Decision::Grant { epoch: 3, horizons, retained_from }] = grants.as_slice() else { panic!("{grants:?}") };
        assert_eq!(horizons, &[at - 10 * MINUTE, at - 2 * HOUR]);
        assert_eq!(*retained_from, at - 2 * HOUR);
    }

    #[test]
    fn a_run_until_the_end_flushes_and_leaves_the_horizon_where_it_was() {
        let mut minter = Minter::new(ControlSpec { until_end: true, ..spec() }, Vec::new(), 1);
        clock(&mut minter, 1);
        let finished = Progress { finished: true, ..progress("a", Some(DAY0 + 90 * SECOND), true) };
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
