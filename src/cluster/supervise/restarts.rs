//! When a run that has failed is started again: after what wait, and how often before it is given up. Pure: no clock, no
//! randomness of its own.
//!
//! Why a window and not a number: a run that fails once a day is restarted forever, one that fails at every start is not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use ticktide_base::error::Kind;

/// Which restarts are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Restarts within [`Policy::window`]; 0: none at all.
    pub most: usize,
    pub window: Duration,
    /// The first wait; it doubles from failure to failure …
    pub wait: Duration,
    /// … up to this, and starts again at the first wait after a run that has decided an epoch.
    pub wait_max: Duration,
}

/// Whether a failure of this kind may be over at the next start. A fenced run must never come back (L5), a wrong flag stays
/// wrong, and a user who has sent two signals means it.
pub fn may_pass(kind: Kind) -> bool {
    match kind {
        Kind::Retry | Kind::Lost | Kind::Corrupt | Kind::Bug => true,
        Kind::Fix | Kind::Fenced | Kind::Interrupted => false,
    }
}

/// The restarts so far.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    at: VecDeque<Instant>,
    /// Failures in a row, each before an epoch was decided.
    in_vain: u32,
}

impl Restarts {
    pub fn new(policy: Policy) -> Restarts {
        Restarts { policy, at: VecDeque::new(), in_vain: 0 }
    }

    /// A run has failed: how long to wait before the next, `None` to give up. `decided`: it has decided an epoch, so what
    /// ended it is not what it started with. `jitter`, from 0 to 1, takes up to half of the wait away, so that many hosts do
    /// not come back at the same moment.
    pub fn next(&mut self, now: Instant, decided: bool, jitter: f64) -> Option<Duration> {
        let Policy { most, window, wait, wait_max } = self.policy;
        while self.at.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
            self.at.pop_front();
        }
        if self.at.len() >= most {
            return None;
        }
        self.at.push_back(now);
        self.in_vain = if decided { 0 } else { self.in_vain };
        let whole = wait.saturating_mul(1_u32.checked_shl(self.in_vain).unwrap_or(u32::MAX)).min(wait_max);
        self.in_vain = self.in_vain.saturating_add(1);
        Some(whole.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0))
    }

    /// Restarts that count now.
    pub fn count(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(most: usize) -> Policy {
        Policy { most, window: 600 * SECOND, wait: SECOND, wait_max: 30 * SECOND }
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_begins_anew_after_a_run_that_decided_an_epoch() {
        let (mut restarts, now) = (Restarts::new(policy(100)), Instant::now());
        let mut next = |decided| restarts.next(now, decided, 0.0).map(|wait| wait.as_secs());
        let waits: Vec<_> = (0..8).map(|_| next(false)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30].map(Some));
        assert_eq!((next(true), next(false)), (Some(1), Some(2)));
    }

    #[test]
    fn jitter_takes_at_most_half_away() {
        let now = Instant::now();
        for (jitter, millis) in [(0.0, 1_000), (0.5, 750), (1.0, 500), (7.0, 500)] {
            let wait = Restarts::new(policy(1)).next(now, false, jitter);
            assert_eq!(wait, Some(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn a_run_is_given_up_after_so_many_restarts_within_the_window_and_not_after_as_many_in_all() {
        let (mut restarts, start) = (Restarts::new(policy(3)), Instant::now());
        let mut at = |second: u32| restarts.next(start + second * SECOND, false, 0.0).is_some();
        assert!(at(0) && at(100) && at(200));
        assert!(!at(599), "a fourth within ten minutes");
        assert!(at(600) && at(700) && at(800), "the first ones no longer count");
        assert!(!at(900));
        assert_eq!(Restarts::new(policy(0)).next(start, false, 0.0), None, "0 is never");
    }

    #[test]
    fn a_wait_of_any_length_in_a_row_overflows_nothing() {
        let (mut restarts, now) = (Restarts::new(policy(usize::MAX)), Instant::now());
        for _ in 0..200 {
            assert!(restarts.next(now, false, 0.0).is_some_and(|wait| wait <= 30 * SECOND));
        }
    }

    #[test]
    fn what_the_user_or_another_owner_must_end_is_never_started_again() {
        for kind in [Kind::Fix, Kind::Fenced, Kind::Interrupted] {
            assert!(!may_pass(kind), "{kind:?}");
        }
        for kind in [Kind::Retry, Kind::Lost, Kind::Corrupt, Kind::Bug] {
            assert!(may_pass(kind), "{kind:?}");
        }
    }
}
