//! How far event time has come, and what follows from it: what is closed, and how far back a tick still counts.
//!
//! Why apart from the minter: these are functions of their arguments alone, and a recomputation needs them, too. What must
//! always hold: a partition with unread records is a brake; a horizon cuts no bar of any class of instruments.

use super::{Progress, Reach};
use ticktide_base::time::{DAY, Interval, Nanos};
use ticktide_flow::bars::bucket;
use ticktide_market::calendar::{Class, Session};

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
pub(super) fn started(session: &Session, class: Class, interval: Interval, at: Nanos) -> Nanos {
    session.phase_at(class, at).map_or(at, |phase| bucket(&phase, interval, at).0)
}

/// The horizon of an interval for a frontier: of a session, the earliest that any class of instruments needs.
pub fn horizon(session: &Session, interval: Interval, reach: Reach, frontier: Nanos) -> Nanos {
    let day_before = frontier.saturating_sub(DAY);
    match reach {
        Reach::Span(span) => aligned(session, interval, frontier.saturating_sub(span)),
        Reach::Sessions(count) => {
            let starts = session.classes().map(|class| {
                let last = session.trading_date_of(class, day_before);
                session.day_start(class, (1..count).fold(last, |day, _| session.trading_date_before(class, day)))
            });
            aligned(session, interval, starts.min().unwrap_or(day_before))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::{HOUR, MINUTE, SECOND};

    const DAY0: Nanos = 20_000 * DAY;

    fn progress(partition: &str, event_at_max: Option<Nanos>, idle: bool) -> Progress {
        Progress { partition: partition.into(), event_at_max, idle, finished: false }
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
        assert_eq!(horizon(&session, Interval(DAY), Reach::Sessions(1), at), DAY0 - DAY);
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
    fn sessions_are_trading_days_whatever_lies_between_them() {
        let nse = Session::preset("nse").expect("a preset");
        let shares = nse.classes().last().expect("a session has a class");
        // Monday 2026-08-03, 10:00: Friday, Thursday … each from the start of the earliest class
        let reach = |count| horizon(&nse, Interval(MINUTE), Reach::Sessions(count), august(10 * 60));
        for (count, days) in [(1, 3), (2, 4), (5, 7), (6, 10)] {
            assert_eq!(reach(count), august(8 * 60 + 45) - days * DAY, "{count} sessions");
            assert_eq!(nse.trading_date_of(shares, reach(count) + 2 * HOUR), 20_668 - days as i32);
        }
        let utc = Session::preset("utc-day").expect("a preset");
        for count in [1, 2, 30] {
            let at = horizon(&utc, Interval(HOUR), Reach::Sessions(count), DAY0 + 5 * HOUR);
            assert_eq!(at, DAY0 - i64::from(count) * DAY);
        }
    }

    #[test]
    fn one_session_is_the_widest_over_classes() {
        let session = Session::preset("nse").expect("a preset");
        // Wednesday after Guru Nanak Jayanti, 10:00: a day before, commodities were to open in the evening, shares not at all
        let wednesday = 1_795_545_000 * SECOND + 10 * HOUR;
        let monday = horizon(&session, Interval(DAY), Reach::Sessions(1), wednesday);
        assert_eq!(monday, 1_795_545_000 * SECOND - 2 * DAY + 8 * HOUR + 45 * MINUTE);
    }
}
