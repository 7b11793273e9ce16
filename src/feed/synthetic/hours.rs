//! When the synthetic market trades: on weekdays, 09:15 to 15:30 UTC.

use ticktide_base::time::{HOUR, MINUTE, Nanos};

/// From the open to the close.
pub const SESSION: Nanos = 6 * HOUR + 15 * MINUTE;
/// The open, since midnight.
pub const OPENS: Nanos = 9 * HOUR + 15 * MINUTE;
/// The last day that is played, days since 1970 (2199-12-31): all times stay far from the end of the nanosecond range.
pub const DAY_LAST: i32 = 84_005;

/// The k-th weekday at or after a date, days since 1970.
pub fn weekday(first: i32, k: u64) -> i32 {
    // 1970-01-01 was a Thursday; 0 = Monday
    let of_week = (i64::from(first) + 3).rem_euclid(7);
    let start = if of_week >= 5 { i64::from(first) + 7 - of_week } else { i64::from(first) };
    let (of_week, k) = (if of_week >= 5 { 0 } else { of_week }, k as i64);
    let days = (of_week + k) / 5 * 7 + (of_week + k) % 5 - of_week;
    (start + days) as i32
}
