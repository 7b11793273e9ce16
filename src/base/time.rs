//! The ground of time: nanoseconds of UTC, their units, the width of a bar.
//!
//! Why plain integers: they are exact, ordered and the same in every process. What must hold: nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Nanoseconds of UTC since 1970.
pub type Nanos = i64;

pub const MICRO: Nanos = 1_000;
pub const MILLI: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;
pub const MINUTE: Nanos = 60 * SECOND;
pub const HOUR: Nanos = 60 * MINUTE;
pub const DAY: Nanos = 24 * HOUR;

/// Noon in UTC of a day since 1970: the moment that represents a trading day where only the day is known.
#[inline]
pub fn noon(day: i32) -> Option<Nanos> {
    i64::from(day).checked_mul(DAY).and_then(|at| at.checked_add(12 * HOUR))
}

/// Whether a trading date may have moments at or after a time: in every time zone it ends within the day after its date.
#[inline]
pub fn reaches(trading_date: i32, at: Nanos) -> bool {
    (i64::from(trading_date) + 2).saturating_mul(DAY) > at
}

/// The width of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval(pub Nanos);

impl Interval {
    /// The name that tables carry: "1s", "5m", "1h", "1d".
    pub fn name(self) -> String {
        for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")] {
            if self.0 % unit == 0 {
                return format!("{}{name}", self.0 / unit);
            }
        }
        format!("{}ms", self.0 / MILLI)
    }
}
