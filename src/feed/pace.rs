//! How fast recorded data is replayed: recorded time against wall-clock time.
//!
//! Why one pace for all readers of a source: two partitions of one recording must stay together, so they share the recorded
//! time and the wall-clock time at which the replay began.

use super::Speed;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use ticktide_base::time::Nanos;

/// When a recorded moment is due.
pub struct Pace {
    /// Recorded time per wall-clock time; `None`: as fast as it can be read.
    factor: Option<f64>,
    /// The recorded moment at which the replay begins.
    begins_at: Nanos,
    started: OnceLock<Instant>,
}

impl Pace {
    pub fn new(speed: Speed, begins_at: Nanos) -> Pace {
        let factor = match speed {
            Speed::Times(factor) if factor.is_finite() && factor > 0.0 => Some(factor),
            Speed::Times(_) | Speed::Max => None,
        };
        Pace { factor, begins_at, started: OnceLock::new() }
    }

    /// The recorded moment that is played now: nothing later may be delivered.
    pub fn now(&self) -> Nanos {
        match self.factor {
            None => Nanos::MAX,
            Some(factor) => self.after(self.started.get_or_init(Instant::now).elapsed(), factor),
        }
    }

    fn after(&self, elapsed: Duration, factor: f64) -> Nanos {
        self.begins_at.saturating_add((elapsed.as_nanos() as f64 * factor) as Nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_time_runs_as_many_times_as_fast_as_the_wall() {
        let pace = Pace::new(Speed::Times(60.0), 1_000);
        assert_eq!(pace.after(Duration::from_secs(2), 60.0), 1_000 + 120_000_000_000);
        assert!(pace.now() >= 1_000);
        assert_eq!(Pace::new(Speed::Max, 1_000).now(), Nanos::MAX);
    }
}
