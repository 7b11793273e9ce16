//! How far back a tick still counts: a function of the time that its partition has reached.
//!
//! Why one function: what a partition's past refuses and what memory lets go of must agree, or a bar would be cut in two. What
//! must always hold: it never steps back as time goes on, and it cuts no bar of any class of instruments.

use ticktide_base::time::{DAY, Interval, Nanos, SECOND};
use ticktide_market::calendar::{Class, Session, bucket};

/// How far behind the running time a tick still counts for an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Span(Nanos),
    /// The trading day of the running time and this many before it.
    Sessions(u32),
}

/// The reaches of a dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachSpec {
    /// Finest first, with the reach of each.
    pub intervals: Vec<(Interval, Reach)>,
    /// How long trades are kept for corrections.
    pub retention: Nanos,
}

/// For one time: from where on a tick counts, by interval, and from where on a trade is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaches {
    /// One for each interval, finest first.
    pub intervals: Vec<Nanos>,
    /// Earlier trades and corrections are not kept.
    pub retained_from: Nanos,
}

impl Reaches {
    /// Those of a partition that has not reached any time yet: everything counts.
    pub fn all(intervals: usize) -> Reaches {
        Reaches { intervals: vec![Nanos::MIN; intervals], retained_from: Nanos::MIN }
    }

    /// The least reach: an earlier tick counts for nothing.
    pub fn least(&self) -> Nanos {
        self.intervals.iter().copied().min().unwrap_or(Nanos::MIN)
    }
}

impl ReachSpec {
    /// The grain of time that reaches move by: they are the same for all times within it.
    pub fn grain(&self) -> Nanos {
        self.intervals.first().map_or(SECOND, |(finest, _)| finest.0.clamp(1, SECOND))
    }

    /// From where on a tick counts when time has reached `at`.
    pub fn at(&self, session: &Session, at: Nanos) -> Reaches {
        let at = at - at.rem_euclid(self.grain());
        let intervals = self.intervals.iter().map(|(interval, reach)| horizon(session, *interval, *reach, at));
        let finest = self.intervals.first().map_or(Interval(1), |(interval, _)| *interval);
        let retained_from = aligned(session, finest, at.saturating_sub(self.retention));
        Reaches { intervals: intervals.collect(), retained_from }
    }
}

/// A time moved back to where no class of instruments has a bar under way, so that a horizon passes every bar as a whole or
/// not at all. Classes whose phases begin at different times share few starts: then it moves further back than one bar.
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

/// A time moved on to where no class of instruments has a bar under way; at most to `until`, which is such a time.
pub fn aligned_after(session: &Session, interval: Interval, at: Nanos, until: Nanos) -> Nanos {
    let mut found = at;
    loop {
        let before = found;
        for class in session.classes() {
            let bar = session.phase_at(class, found).map(|phase| bucket(&phase, interval, found));
            found = bar.filter(|(open_at, _)| *open_at < found).map_or(found, |(_, end_at)| end_at);
        }
        if found == before || found >= until {
            return found.min(until);
        }
    }
}

/// The start of the class's bar that holds a time; the time itself outside every phase.
pub fn started(session: &Session, class: Class, interval: Interval, at: Nanos) -> Nanos {
    session.phase_at(class, at).map_or(at, |phase| bucket(&phase, interval, at).0)
}

/// The horizon of an interval for a frontier: in a session, the earliest that any class of instruments needs.
pub fn horizon(session: &Session, interval: Interval, reach: Reach, frontier: Nanos) -> Nanos {
    match reach {
        Reach::Span(span) => aligned(session, interval, frontier.saturating_sub(span)),
        Reach::Sessions(count) => {
            let day_before = frontier.saturating_sub(DAY);
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
    use proptest::prelude::*;
    use ticktide_base::time::{HOUR, MINUTE};

    const DAY0: Nanos = 20_000 * DAY;

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
                let until = august(24 * 60);
                let after = aligned_after(&session, Interval(width * MINUTE), august(minutes), until);
                assert_eq!(aligned(&session, Interval(width * MINUTE), after), after, "{width} m at {minutes}");
                assert!((august(minutes)..=until).contains(&after));
                assert_eq!(after == august(minutes), at == august(minutes), "it stays where no bar is under way");
            }
        }
        // commodities' hours begin at 09:00, shares' at 09:15: until the shares close there is no common start of hours
        assert_eq!(aligned(&session, Interval(HOUR), august(15 * 60)), august(9 * 60));
        assert_eq!(aligned(&session, Interval(15 * MINUTE), august(15 * 60 + 20)), august(15 * 60 + 15));
        assert_eq!(aligned(&session, Interval(MINUTE), august(15 * 60 + 20)), august(15 * 60 + 20));
    }

    #[test]
    fn one_session_is_the_widest_over_classes() {
        let session = Session::preset("nse").expect("a preset");
        // Wednesday after Guru Nanak Jayanti, 10:00: a day before, commodities were to open in the evening, shares not at all
        let wednesday = 1_795_545_000 * SECOND + 10 * HOUR;
        let monday = horizon(&session, Interval(DAY), Reach::Sessions(1), wednesday);
        assert_eq!(monday, 1_795_545_000 * SECOND - 2 * DAY + 8 * HOUR + 45 * MINUTE);
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

    fn spec() -> ReachSpec {
        let reach = |interval, reach| (Interval(interval), reach);
        ReachSpec {
            intervals: vec![
                reach(SECOND, Reach::Span(10 * MINUTE)),
                reach(MINUTE, Reach::Span(2 * HOUR)),
                reach(15 * MINUTE, Reach::Span(100 * MINUTE)),
                reach(HOUR, Reach::Sessions(1)),
                reach(DAY, Reach::Sessions(3)),
            ],
            retention: 2 * HOUR,
        }
    }

    proptest! {
        /// Years of all presets: special sessions, and the two days a year on which clocks are changed, among them.
        #[test]
        fn reaches_never_step_back_and_lie_behind_their_time(
            preset in 0usize..4, from in 0i64..5 * 365 * 86_400, steps in proptest::collection::vec(0i64..200_000, 1..20)
        ) {
            let session = Session::preset(["utc-day", "us", "comex", "nse"][preset]).expect("a preset");
            let mut at = 1_640_995_200 * SECOND + from * SECOND;
            let mut before = spec().at(&session, at);
            for step in steps {
                at += step * SECOND / 7;
                let after = spec().at(&session, at);
                for (after, before) in after.intervals.iter().zip(&before.intervals) {
                    prop_assert!(after >= before && *after <= at, "{before} then {after} at {at}");
                }
                prop_assert!(after.retained_from >= before.retained_from && after.retained_from <= at);
                prop_assert_eq!(&spec().at(&session, at - at.rem_euclid(SECOND)), &after);
                before = after;
            }
        }
    }
}
