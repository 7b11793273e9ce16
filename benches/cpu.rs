//! A measurement for criterion: CPU time of one thread, so that a busy machine does not distort a figure.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use std::time::Duration;

/// CPU time of the calling thread, from the scheduler's own count.
pub struct ThreadCpu;

impl ThreadCpu {
    fn now(&self) -> u64 {
        // the count moves when the thread is scheduled or yields, and at every tick of the scheduler
        std::thread::yield_now();
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's CPU time");
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first number is nanoseconds")
    }
}

impl Measurement for ThreadCpu {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        self.now()
    }
    fn end(&self, start: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(start).max(1))
    }
    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
