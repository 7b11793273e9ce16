//! How long to wait before the next try: twice as long each time, minus a random part of up to half.
//!
//! Why random: clients that one outage disconnected would otherwise all come back in the same second. Why a connection that
//! held for only a few seconds does not reset the wait: a server that accepts and drops clients would be overrun.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait after a connection that stood, however briefly.
const LONGEST_AFTER_STANDING: Duration = Duration::from_secs(2);
/// Doublings until that wait.
const STEPS_AFTER_STANDING: u32 = 3;
/// A connection that stood this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// The waits of one connection's tries.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The wait after a failed try. `chance` is from 0 to 1.
    pub fn after_failure(&mut self, chance: f64) -> Duration {
        self.next(LONGEST, chance)
    }

    /// The wait after a connection that stood for a time.
    pub fn after_standing(&mut self, stood: Duration, chance: f64) -> Duration {
        // failures before it stood no longer count
        self.tries = if stood >= GOOD { 0 } else { self.tries.min(STEPS_AFTER_STANDING) };
        self.next(LONGEST_AFTER_STANDING, chance)
    }

    fn next(&mut self, longest: Duration, chance: f64) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.tries.min(20)).min(longest);
        if wait < longest {
            self.tries += 1;
        }
        wait.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// A random number from 0 to 1.
pub fn chance() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_chance_takes_up_to_half_of_them() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..10).map(|_| backoff.after_failure(0.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(15));
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(
            drawn.iter().all(|chance| (0.0..=1.0).contains(chance)) && drawn.iter().any(|chance| *chance != drawn[0])
        );
    }

    #[test]
    fn only_a_connection_that_has_held_starts_from_the_beginning() {
        let mut backoff = Backoff::default();
        let short: Vec<u128> =
            (0..6).map(|_| backoff.after_standing(Duration::from_secs(1), 0.0).as_millis()).collect();
        assert_eq!(short, [250, 500, 1000, 2000, 2000, 2000]);
        let failed: Vec<u128> = (0..4).map(|_| backoff.after_failure(0.0).as_millis()).collect();
        assert_eq!(failed, [2000, 4000, 8000, 16000]);
        assert_eq!(backoff.after_standing(Duration::ZERO, 0.0).as_millis(), 2000);
        assert_eq!(backoff.after_standing(GOOD, 0.0).as_millis(), 250);
    }
}
