//! Wild times: a partition's first record, and a jump far ahead, wait until later records confirm
//! that time.
//!
//! ```text
//!   a record ─▶ heard   its time is evidence for what waits: confirmed, contradicted, waited long enough
//!            ─▶ is it within `max_jump` of what is believed?   yes: it counts    no: it waits
//!   the end  ─▶ what nothing contradicts counts, and moves no time until later records confirm it
//! ```
//!
//! Why: one tick of 2099, or milliseconds read as microseconds, would move the time of its partition and make every later
//! record too late. Why later records confirm it however far after it they lie: trades of a rare instrument are weeks apart,
//! and each confirms the one before. What must always hold: a record that waits is decided once, by the records of its
//! partition alone.

use super::CleanSpec;
use super::jumps::Held;
use serde::{Deserialize, Serialize};
use ticktide_base::time::Nanos;

/// A record that waits, with the evidence of later ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending<T> {
    held: Held<T>,
    /// Distinct times that confirm it.
    confirmed_by: Vec<Nanos>,
    /// Later records that lie within `max_jump` before it, or after it.
    agree: u64,
    /// Later records that lie further before it.
    contradict: u64,
}

/// A record that was accepted at an end and has moved no time yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lone {
    at: Nanos,
    offset: i64,
    confirmed_by: Vec<Nanos>,
}

/// What waits, as the durable state keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WildState<T> {
    pending: Vec<Pending<T>>,
    lone: Vec<Lone>,
}

/// One partition's belief about the time.
pub struct Wild<T> {
    /// The greatest event time believed; `None` until a first record is.
    pub anchor: Option<Nanos>,
    pending: Vec<Pending<T>>,
    lone: Vec<Lone>,
}

/// What was decided about records that waited, in order of their offsets.
#[derive(Debug, PartialEq)]
pub struct TimeDecisions<T> {
    pub believed: Vec<Held<T>>,
    pub refused: Vec<(Held<T>, Why)>,
    /// Times of records that count already: they move the partition from now on.
    pub confirmed: Vec<Nanos>,
}

impl<T> Default for TimeDecisions<T> {
    fn default() -> TimeDecisions<T> {
        TimeDecisions { believed: Vec::new(), refused: Vec::new(), confirmed: Vec::new() }
    }
}

/// Why a time is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Later records lie far before it.
    Contradicted,
    /// It is ahead of ticktide's clock.
    Ahead,
}

impl Why {
    pub fn detail(self) -> &'static str {
        match self {
            Why::Contradicted => {
                "its time jumps ahead of the partition by more than `max_jump`, and later records fall back behind it"
            }
            Why::Ahead => "its time jumps ahead of the partition by more than `max_jump`, and is ahead of our clock",
        }
    }
}

/// Adds a confirming time, if it is a new one and not the record's own.
fn confirm(confirmed_by: &mut Vec<Nanos>, own: Nanos, at: Nanos, most: u64) {
    if at != own && (confirmed_by.len() as u64) < most && !confirmed_by.contains(&at) {
        confirmed_by.push(at);
    }
}

impl<T: Clone> Wild<T> {
    /// `anchor`: the greatest event time that an earlier run believed.
    pub fn new(anchor: Option<Nanos>) -> Wild<T> {
        Wild { anchor, pending: Vec::new(), lone: Vec::new() }
    }

    /// Goes on from the first rules: what waited then waits on, and those records confirm each other.
    pub fn taken_over(anchor: Option<Nanos>, mut held: Vec<Held<T>>, spec: &CleanSpec) -> Wild<T> {
        let mut wild = Wild::new(anchor);
        held.sort_by_key(|held| held.tick.offset);
        for held in held {
            wild.note(held.tick.exchange_at, spec);
            wild.hold(held);
        }
        wild
    }

    /// What waits, for the durable state; `None`: nothing does.
    pub fn state(&self) -> Option<WildState<T>> {
        (!self.is_quiet()).then(|| WildState { pending: self.pending.clone(), lone: self.lone.clone() })
    }

    /// Restores what an earlier run left waiting.
    pub fn restore(&mut self, state: WildState<T>) {
        (self.pending, self.lone) = (state.pending, state.lone);
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.lone.is_empty()
    }

    /// Records that wait.
    pub fn held(&self) -> impl Iterator<Item = &Held<T>> {
        self.pending.iter().map(|pending| &pending.held)
    }

    /// Whether a time needs no later record.
    #[inline]
    pub fn is_believed(&self, at: Nanos, spec: &CleanSpec) -> bool {
        spec.confirmations == 0 || self.anchor.is_some_and(|anchor| at <= anchor.saturating_add(spec.max_jump))
    }

    /// Believes a time.
    #[inline]
    pub fn believe(&mut self, at: Nanos) {
        self.anchor = self.anchor.max(Some(at));
    }

    /// Makes a record wait.
    pub fn hold(&mut self, held: Held<T>) {
        self.pending.push(Pending { held, confirmed_by: Vec::new(), agree: 0, contradict: 0 });
    }

    /// Takes the time of a record that is not decided yet as evidence for what waits; gives what that decides.
    pub fn heard(&mut self, at: Nanos, offset: i64, spec: &CleanSpec) -> TimeDecisions<T> {
        let mut decided = TimeDecisions::default();
        self.settle(spec, &mut decided);
        self.note(at, spec);
        self.expire(offset, spec, &mut decided);
        self.settle(spec, &mut decided);
        decided.believed.sort_by_key(|held| held.tick.offset);
        decided
    }

    fn note(&mut self, at: Nanos, spec: &CleanSpec) {
        let agrees = |own: Nanos| at >= own.saturating_sub(spec.max_jump);
        for pending in &mut self.pending {
            let own = pending.held.tick.exchange_at;
            if agrees(own) {
                pending.agree += 1;
                confirm(&mut pending.confirmed_by, own, at, spec.confirmations);
            } else {
                pending.contradict += 1;
            }
        }
        for lone in self.lone.iter_mut().filter(|lone| agrees(lone.at)) {
            confirm(&mut lone.confirmed_by, lone.at, at, spec.confirmations);
        }
    }

    /// Believes what is confirmed, and what lies within reach of it, until none is left.
    fn settle(&mut self, spec: &CleanSpec, decided: &mut TimeDecisions<T>) {
        let confirmed = |confirmed_by: &[Nanos]| confirmed_by.len() as u64 >= spec.confirmations;
        loop {
            let anchor = self.anchor;
            let near = |at: Nanos| anchor.is_some_and(|anchor| at <= anchor.saturating_add(spec.max_jump));
            let (believed, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                .into_iter()
                .partition(|pending| confirmed(&pending.confirmed_by) || near(pending.held.tick.exchange_at));
            self.pending = rest;
            let (lone, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.lone)
                .into_iter()
                .partition(|lone| confirmed(&lone.confirmed_by) || near(lone.at));
            self.lone = rest;
            if believed.is_empty() && lone.is_empty() {
                return;
            }
            for pending in believed {
                self.believe(pending.held.tick.exchange_at);
                decided.believed.push(pending.held);
            }
            for lone in lone {
                self.believe(lone.at);
                decided.confirmed.push(lone.at);
            }
        }
    }

    /// Decides what has waited for `patience` offsets, by the majority of the records since. Offsets measure the wait, not a
    /// counter, so it does not begin anew with each run.
    fn expire(&mut self, offset: i64, spec: &CleanSpec, decided: &mut TimeDecisions<T>) {
        let patience = i64::try_from(spec.patience).unwrap_or(i64::MAX);
        let ripe = |first: i64| offset.saturating_sub(first) >= patience;
        self.lone.retain(|lone| !ripe(lone.offset));
        if !self.pending.iter().any(|pending| ripe(pending.held.tick.offset)) {
            return;
        }
        let (ripe, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| ripe(pending.held.tick.offset));
        self.pending = rest;
        for pending in ripe {
            if pending.contradict >= pending.agree {
                decided.refused.push((pending.held, Why::Contradicted));
            } else {
                self.believe(pending.held.tick.exchange_at);
                decided.believed.push(pending.held);
            }
        }
    }

    /// The end of the input: refuses what a later record contradicts, and what is later than `limit`, ticktide's clock.
    /// Everything else is to be accepted, and moves no time until later records confirm it.
    pub fn end(&mut self, limit: Nanos, spec: &CleanSpec) -> (TimeDecisions<T>, Vec<Held<T>>) {
        let mut decided = TimeDecisions::default();
        self.settle(spec, &mut decided);
        let mut accepted = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let at = pending.held.tick.exchange_at;
            if pending.contradict > 0 {
                decided.refused.push((pending.held, Why::Contradicted));
            } else if at > limit {
                decided.refused.push((pending.held, Why::Ahead));
            } else {
                let (offset, confirmed_by) = (pending.held.tick.offset, pending.confirmed_by);
                self.lone.push(Lone { at, offset, confirmed_by });
                accepted.push(pending.held);
            }
        }
        (decided, accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::samples::{spec, tick};
    use ticktide_base::time::{DAY, SECOND};

    const DAY0: Nanos = 16_000 * DAY;
    const WILD: Nanos = 47_000 * DAY;

    /// The outcome: times believed in order, times refused.
    type Ends = (Vec<Nanos>, Vec<Nanos>);

    fn times<T>(held: &[Held<T>]) -> impl Iterator<Item = Nanos> {
        held.iter().map(|held| held.tick.exchange_at)
    }

    /// Plays times, in runs that end without a flush before the given records; the last run flushes.
    fn play(times_: &[Nanos], spec: &CleanSpec, restarts: &[usize], flushes: &[usize]) -> (Ends, Option<Nanos>) {
        let mut wild = Wild::<()>::new(None);
        let (mut believed, mut refused) = (Vec::new(), Vec::new());
        for (index, at) in times_.iter().enumerate() {
            if flushes.contains(&index) {
                let (decided, accepted) = wild.end(Nanos::MAX, spec);
                believed.extend(times(&decided.believed).chain(times(&accepted)));
                refused.extend(decided.refused.iter().map(|(held, _)| held.tick.exchange_at));
            }
            if restarts.contains(&index) {
                let bytes = bincode::serialize(&wild.state()).expect("plain values");
                wild = Wild::new(wild.anchor);
                if let Some(state) = bincode::deserialize(&bytes).expect("its own bytes") {
                    wild.restore(state);
                }
            }
            let decided = wild.heard(*at, index as i64, spec);
            believed.extend(times(&decided.believed));
            refused.extend(decided.refused.iter().map(|(held, _)| held.tick.exchange_at));
            if wild.is_believed(*at, spec) {
                wild.believe(*at);
                believed.push(*at);
            } else {
                wild.hold(Held { tick: tick(*at, index as u64), extra: () });
            }
        }
        let (decided, accepted) = wild.end(Nanos::MAX, spec);
        believed.extend(times(&decided.believed).chain(times(&accepted)));
        refused.extend(decided.refused.iter().map(|(held, _)| held.tick.exchange_at));
        ((believed, refused), wild.anchor)
    }

    #[test]
    fn up_to_three_ticks_of_2099_move_nothing_wherever_they_stand() {
        for wild in 1..=3 {
            for place in 0..12 {
                let mut all: Vec<Nanos> = (0..11).map(|second| DAY0 + second * SECOND).collect();
                for one in 0..wild {
                    all.insert((place * (one + 1) as usize).min(all.len()), WILD + one * SECOND);
                }
                let ((mut believed, mut refused), anchor) = play(&all, &spec(), &[], &[]);
                believed.sort_unstable();
                refused.sort_unstable();
                let last_wild = all.iter().rev().take_while(|at| **at >= WILD).count();
                // nothing contradicts those at the end; without a clock they are history
                assert_eq!(refused.len() + last_wild, wild as usize, "{wild} from place {place}");
                assert_eq!(anchor, Some(DAY0 + 10 * SECOND));
                assert_eq!(believed.len(), all.len() - refused.len());
            }
        }
    }

    #[test]
    fn at_the_end_what_is_ahead_of_our_clock_is_refused() {
        let mut wild = Wild::<()>::new(Some(DAY0));
        wild.hold(Held { tick: tick(WILD, 1), extra: () });
        let (decided, accepted) = wild.end(DAY0 + 60 * SECOND, &spec());
        assert!(accepted.is_empty());
        assert_eq!(decided.refused.len(), 1);
        assert_eq!(decided.refused[0].1, Why::Ahead);
    }

    #[test]
    fn trades_that_are_weeks_apart_are_all_believed_and_move_the_partition() {
        let all: Vec<Nanos> = (0..80).map(|n| DAY0 + n * (9 + n % 24) * DAY).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        let ((believed, refused), anchor) = play(&sorted, &spec(), &[], &[]);
        assert_eq!((believed.len(), refused), (80, Vec::new()));
        // the last ones wait for records to confirm them
        assert!(anchor >= Some(sorted[75]), "{anchor:?}");
    }

    #[test]
    fn many_records_of_one_moment_bear_each_other_out() {
        let all = vec![DAY0; 3_000];
        let ((believed, refused), anchor) = play(&all, &spec(), &[], &[]);
        assert_eq!((believed.len(), refused.len(), anchor), (3_000, 0, Some(DAY0)));
    }

    #[test]
    fn a_tick_that_counted_at_an_end_moves_the_partition_when_later_ones_confirm_it() {
        let later = DAY0 + 30 * DAY;
        let all: Vec<Nanos> = (0..5).map(|n| DAY0 + n).chain((0..6).map(|n| later + n)).collect();
        let ((believed, refused), anchor) = play(&all, &spec(), &[], &[6]);
        assert_eq!((believed.len(), refused.len(), anchor), (11, 0, Some(later + 5)));
        // and one that they contradict moves it never
        let mut all: Vec<Nanos> = (0..5).map(|n| DAY0 + n).collect();
        all.push(WILD);
        all.extend((5..10).map(|n| DAY0 + n));
        let ((believed, _), anchor) = play(&all, &spec(), &[], &[6]);
        assert_eq!((believed.len(), anchor), (11, Some(DAY0 + 9)));
    }

    #[test]
    fn a_restart_changes_nothing_of_what_is_believed() {
        let spec = CleanSpec { patience: 6, ..spec() };
        let all: Vec<Nanos> =
            (0..40).map(|n| if [0, 7, 8, 12, 14].contains(&n) { WILD } else { DAY0 } + n * SECOND).collect();
        let whole = play(&all, &spec, &[], &[]);
        assert_eq!(whole.0.1.len(), 5);
        for restart in 0..all.len() {
            assert_eq!(play(&all, &spec, &[restart, restart + 3], &[]), whole, "a run ends before record {restart}");
        }
    }

    #[test]
    fn what_waited_under_the_first_rules_waits_on() {
        let held = |at, offset: u64| Held { tick: tick(at, offset), extra: () };
        let mut wild = Wild::taken_over(None, vec![held(DAY0 + 1, 1), held(DAY0, 0)], &spec());
        assert_eq!(wild.held().count(), 2);
        wild.heard(DAY0 + 2, 2, &spec());
        wild.hold(held(DAY0 + 2, 2));
        let decided = wild.heard(DAY0 + 3, 3, &spec());
        assert_eq!(times(&decided.believed).collect::<Vec<_>>(), [DAY0, DAY0 + 1, DAY0 + 2]);
    }
}
