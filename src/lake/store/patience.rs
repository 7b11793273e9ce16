//! How often and when a failed request is sent again.
//!
//! Why not the SDK's retries: whether a write is *perhaps done* depends on every attempt, so the code that repeats must also
//! judge (L3). A 409 must be repeated and an outage of a minute survived; none of the SDK's modes does either. They are off.

use std::time::Duration;
use uuid::Uuid;

/// Waits double from `first` up to `most`; each is drawn at random from its upper half. They end when the call as a whole
/// would exceed `total`, its budget. A request is given up if it is not answered within `attempt` plus the time that its body
/// takes on a slow line.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub attempt: Duration,
    pub total: Duration,
    pub first: Duration,
    pub most: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            attempt: Duration::from_secs(15),
            total: Duration::from_secs(120),
            first: Duration::from_millis(50),
            most: Duration::from_secs(5),
        }
    }
}

/// Bytes a second of the slowest line that is worth waiting for.
const SLOW: f64 = 256.0 * 1024.0;

impl Patience {
    /// How long a request with a body of this many bytes may take.
    pub fn attempt_of(&self, bytes: usize) -> Duration {
        self.attempt + Duration::from_secs_f64(bytes as f64 / SLOW)
    }

    /// How long to wait before retry `retry` (0 is the first) of a call that began `elapsed` ago; `None`: no more retries.
    pub fn pause(&self, retry: u32, elapsed: Duration) -> Option<Duration> {
        self.jittered(retry, elapsed, Uuid::new_v4().as_u128() as u32)
    }

    fn jittered(&self, retry: u32, elapsed: Duration, draw: u32) -> Option<Duration> {
        let upper = self.first.saturating_mul(2u32.saturating_pow(retry)).min(self.most);
        let wait = upper.mul_f64(0.5 + 0.5 * f64::from(draw) / f64::from(u32::MAX));
        (elapsed + wait <= self.total).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_differ_by_chance_and_end_with_the_budget() {
        let patience = Patience::default();
        let ms = |retry, draw| patience.jittered(retry, Duration::ZERO, draw).map(|wait| wait.as_millis());
        assert_eq!((0..4).map(|retry| ms(retry, u32::MAX)).collect::<Vec<_>>(), [50, 100, 200, 400].map(Some));
        assert_eq!((ms(0, 0), ms(3, 0)), (Some(25), Some(200)));
        assert_eq!(ms(400, u32::MAX), Some(5_000));
        assert_eq!(patience.jittered(0, Duration::from_millis(119_960), u32::MAX), None);
        let drawn: std::collections::BTreeSet<_> =
            (0..50).map(|_| patience.pause(5, Duration::ZERO).expect("within the budget")).collect();
        assert!(drawn.len() > 40, "{drawn:?}");
    }
}
