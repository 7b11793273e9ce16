//! The current time: when a frame was read, when a gap begins.

use std::time::{SystemTime, UNIX_EPOCH};
use ticktide_base::time::Nanos;

/// Nanoseconds since 1970.
pub fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A moment as text for people.
pub fn moment(at: Nanos) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
    stamp.expect("jiff's range holds every i64 of nanoseconds").to_string()
}
