//! Sessions with one class: clocks that change, evening opens, custom times. Calendars are tested in [`dated`], the problems of
//! their files in [`problems`].

mod dated;
mod problems;

use super::wall::date_of;
use super::*;
use jiff::Timestamp;
use proptest::prelude::*;
use ticktide_base::time::{HOUR, MINUTE, SECOND};

const ONLY: Class = Class::ONLY;

fn at(text: &str) -> Nanos {
    text.parse::<Timestamp>().expect("a timestamp").as_nanosecond() as Nanos
}

fn day(text: &str) -> i32 {
    day_of(text.parse().expect("a date"))
}

fn preset(name: &str) -> Session {
    Session::preset(name).expect("a preset")
}

#[test]
fn new_york_opens_at_half_past_nine_on_the_wall_before_and_after_the_clocks_change() {
    let us = preset("us");
    // 2013: daylight saving time ended on Sunday, 3 November
    for (open, date) in [("2013-11-01T13:30:00Z", "2013-11-01"), ("2013-11-04T14:30:00Z", "2013-11-04")] {
        let phase = us.phase_at(ONLY, at(open)).expect("open");
        assert_eq!((us.phase_name(phase.phase), phase.trading_date), ("regular", day(date)));
        assert_eq!((phase.start, phase.end - phase.start), (at(open), 6 * HOUR + 30 * MINUTE));
        assert_eq!(us.phase_name(us.phase_at(ONLY, at(open) - 1).expect("before the open").phase), "pre");
        assert_eq!(us.phase_name(us.phase_at(ONLY, phase.end).expect("after the close").phase), "post");
        assert_eq!(us.day_start(ONLY, day(date)), at(open) - 5 * HOUR - 30 * MINUTE);
    }
    assert_eq!(us.phase_at(ONLY, at("2013-11-02T16:00:00Z")), None, "a Saturday");
}

/// The end of the last phase that ended at or before `t`.
fn last_end(session: &Session, class: Class, t: Nanos) -> Option<Nanos> {
    session.last_before(class, t).map(|phase| phase.end)
}

#[test]
fn a_comex_date_starts_on_the_evening_before_and_stops_at_a_quarter_past_five() {
    let comex = preset("comex");
    let phase = comex.phase_at(ONLY, at("2013-10-06T22:00:00Z")).expect("Sunday evening");
    assert_eq!(phase.trading_date, day("2013-10-07"));
    assert_eq!((phase.start, phase.end), (at("2013-10-06T22:00:00Z"), at("2013-10-07T21:15:00Z")));
    assert_eq!(comex.phase_at(ONLY, phase.end), None);
    assert_eq!(comex.trading_date_of(ONLY, phase.end), day("2013-10-07"));
    assert_eq!(comex.phase_at(ONLY, at("2013-10-11T22:30:00Z")), None, "Friday evening belongs to no trading date");
    assert_eq!(last_end(&comex, ONLY, at("2013-10-13T12:00:00Z")), Some(at("2013-10-11T21:15:00Z")));
}

/// The phases that start in a stretch of UTC days: name, trading date, start, end.
fn phases(name: &str, from: &str, to: &str) -> Vec<(String, i32, Nanos, Nanos)> {
    let (session, mut t, to) = (preset(name), at(&format!("{from}T00:00:00Z")), at(&format!("{to}T00:00:00Z")));
    let class = session.classes().last().expect("a class");
    let mut found: Vec<(String, i32, Nanos, Nanos)> = Vec::new();
    while t < to {
        if let Some(phase) = session.phase_at(class, t)
            && phase.start == t
        {
            found.push((session.phase_name(phase.phase).to_owned(), phase.trading_date, phase.start, phase.end));
        }
        t += 5 * MINUTE;
    }
    found
}

fn phase(name: &str, date: &str, start: &str, end: &str) -> (String, i32, Nanos, Nanos) {
    (name.to_owned(), day(date), at(&format!("{start}:00Z")), at(&format!("{end}:00Z")))
}

/// Expected times are the exchange's wall times, converted to UTC by hand: EST = UTC−5, EDT = UTC−4.
#[test]
fn the_phases_of_new_york_over_both_changes_of_the_clocks() {
    let spring = [
        phase("pre", "2024-03-08", "2024-03-08T09:00", "2024-03-08T14:30"),
        phase("regular", "2024-03-08", "2024-03-08T14:30", "2024-03-08T21:00"),
        phase("post", "2024-03-08", "2024-03-08T21:00", "2024-03-09T01:00"),
        phase("pre", "2024-03-11", "2024-03-11T08:00", "2024-03-11T13:30"),
        phase("regular", "2024-03-11", "2024-03-11T13:30", "2024-03-11T20:00"),
        phase("post", "2024-03-11", "2024-03-11T20:00", "2024-03-12T00:00"),
    ];
    assert_eq!(phases("us", "2024-03-08", "2024-03-12"), spring);
    let autumn = [
        phase("pre", "2024-11-01", "2024-11-01T08:00", "2024-11-01T13:30"),
        phase("regular", "2024-11-01", "2024-11-01T13:30", "2024-11-01T20:00"),
        phase("post", "2024-11-01", "2024-11-01T20:00", "2024-11-02T00:00"),
        phase("pre", "2024-11-04", "2024-11-04T09:00", "2024-11-04T14:30"),
        phase("regular", "2024-11-04", "2024-11-04T14:30", "2024-11-04T21:00"),
        phase("post", "2024-11-04", "2024-11-04T21:00", "2024-11-05T01:00"),
    ];
    assert_eq!(phases("us", "2024-11-01", "2024-11-05"), autumn);
}

#[test]
fn a_comex_date_opens_at_six_in_the_evening_before_over_both_changes_of_the_clocks() {
    let spring = [
        phase("regular", "2024-03-08", "2024-03-07T23:00", "2024-03-08T22:15"),
        phase("regular", "2024-03-11", "2024-03-10T22:00", "2024-03-11T21:15"),
        phase("regular", "2024-03-12", "2024-03-11T22:00", "2024-03-12T21:15"),
    ];
    assert_eq!(phases("comex", "2024-03-07", "2024-03-12"), spring);
    let autumn = [
        phase("regular", "2024-11-01", "2024-10-31T22:00", "2024-11-01T21:15"),
        phase("regular", "2024-11-04", "2024-11-03T23:00", "2024-11-04T22:15"),
    ];
    assert_eq!(phases("comex", "2024-10-31", "2024-11-04"), autumn);
}

#[test]
fn nse_keeps_its_times_all_year_and_rests_at_weekends() {
    for date in ["2024-01-05", "2024-07-05"] {
        let [next, monday] = [1, 3].map(|days| date_of(day(date) + days).expect("a date").to_string());
        let expected = [
            phase("pre_open", date, &format!("{date}T03:30"), &format!("{date}T03:45")),
            phase("continuous", date, &format!("{date}T03:45"), &format!("{date}T10:00")),
            phase("post_close", date, &format!("{date}T10:00"), &format!("{date}T10:30")),
        ];
        assert_eq!(phases("nse", date, &next), expected);
        assert_eq!(phases("nse", &next, &monday), [], "Saturday and Sunday");
    }
    let nse = preset("nse");
    let stocks = nse.classes().last().expect("a class");
    let open = nse.phase_at(stocks, at("2024-07-05T06:00:00Z")).expect("trading");
    let hour = bucket(&open, Interval(HOUR), at("2024-07-05T06:00:00Z"));
    assert_eq!(hour, (at("2024-07-05T05:45:00Z"), at("2024-07-05T06:45:00Z")), "hours from 09:15 on");
    let last = bucket(&open, Interval(HOUR), open.end - 1);
    assert_eq!(last, (at("2024-07-05T09:45:00Z"), at("2024-07-05T10:00:00Z")), "the last one is short");
}

#[test]
fn bars_are_anchored_at_the_phase_and_clipped_to_it() {
    let (us, minute) = (preset("us"), Interval(MINUTE));
    let phase = us.phase_at(ONLY, at("2013-10-07T13:45:31Z")).expect("open");
    let bucket = |interval, time: &str| super::bucket(&phase, interval, at(time));
    assert_eq!(bucket(minute, "2013-10-07T13:45:31Z"), (at("2013-10-07T13:45:00Z"), at("2013-10-07T13:46:00Z")));
    assert_eq!(bucket(Interval(HOUR), "2013-10-07T13:45:31Z").0, at("2013-10-07T13:30:00Z"));
    let last = bucket(Interval(HOUR), "2013-10-07T19:59:00Z");
    assert_eq!(last, (at("2013-10-07T19:30:00Z"), at("2013-10-07T20:00:00Z")));
    assert_eq!(bucket(Interval(DAY), "2013-10-07T13:45:31Z"), (phase.start, phase.end));
}

#[test]
fn a_wall_time_that_the_clocks_skip_is_the_moment_of_the_skip() {
    // New York, 2024-03-10: 02:00 → 03:00 at 07:00 UTC
    let night = Session::custom("America/New_York", "02:30", "04:00", &["sun".into()]).expect("a session");
    assert_eq!(night.day_start(ONLY, day("2024-03-10")), at("2024-03-10T07:00:00Z"));
    let skipped = Session::custom("America/New_York", "02:10", "02:50", &["sun".into()]).expect("a session");
    assert_eq!(skipped.phase_at(ONLY, at("2024-03-10T07:00:00Z")), None);
}

#[test]
fn a_custom_session_says_what_is_wrong_with_it() {
    let custom = |zone, open, close, day: &str| Session::custom(zone, open, close, &[day.to_owned()]);
    assert_eq!(custom("Mars/Base", "09:00", "17:00", "mon"), Err(SessionError::UnknownZone("Mars/Base".into())));
    for time in ["9", "25:00", "24:01", "09:60", "-1:00", "+1:00", "009:00", "nine:00", ""] {
        assert_eq!(custom("UTC", time, "17:00", "mon"), Err(SessionError::NotATime(time.into())));
    }
    assert_eq!(custom("UTC", "09:00", "17:00", "someday"), Err(SessionError::NotADay("someday".into())));
    let week = custom("UTC", "09:00", "17:00", "fri-mon").expect("a range over the weekend");
    // 1970-01-05 was a Monday
    let trades = |day: i32| week.phases_of(ONLY, 4 + day).next().is_some();
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(trades), [true, false, false, false, true, true, true]);
}

#[test]
fn no_instant_of_any_year_panics() {
    for (name, _) in PRESETS {
        let session = preset(name);
        for class in session.classes() {
            for t in [Nanos::MIN, Nanos::MIN + 1, Nanos::MIN + DAY, -1, 0, Nanos::MAX - DAY, Nanos::MAX] {
                if let Some(phase) = session.phase_at(class, t) {
                    bucket(&phase, Interval(MINUTE), t);
                }
                last_end(&session, class, t);
                session.trading_date_of(class, t);
            }
            for date in [i32::MIN, -1_000_000, 0, 1_000_000, i32::MAX] {
                session.day_start(class, date);
                session.phases_of(class, date).count();
            }
        }
    }
}

proptest! {
    /// Against a naive search: every minute of the surrounding days that is in a phase.
    #[test]
    fn the_last_end_is_the_nearest_one_behind(t in -3_000_000_000i64..6_000_000_000, which in 0..PRESETS.len()) {
        let (session, t) = (preset(PRESETS[which].0), t * SECOND);
        let class = session.classes().last().expect("a class");
        let end = last_end(&session, class, t).expect("far from the edges");
        prop_assert!(end <= t);
        let before = session.phase_at(class, end - 1).expect("a phase ends there");
        prop_assert_eq!(before.end, end);
        let mut probe = end;
        while probe < t {
            if let Some(phase) = session.phase_at(class, probe) {
                prop_assert!(phase.end > t, "another phase ended in between");
                break;
            }
            probe += 5 * MINUTE;
        }
    }

    #[test]
    fn an_instant_is_inside_its_phase_and_its_bar(t in any::<i64>(), which in 0..PRESETS.len(), class in any::<u8>()) {
        let session = preset(PRESETS[which].0);
        let class = Class(class % session.classes().count() as u8);
        if let Some(phase) = session.phase_at(class, t) {
            prop_assert!(phase.start <= t && t < phase.end);
            prop_assert_eq!(session.trading_date_of(class, t), phase.trading_date);
            prop_assert_eq!(session.phase_at(class, phase.start), Some(phase));
            let (open_at, end_at) = bucket(&phase, Interval(MINUTE), t);
            prop_assert!(phase.start <= open_at && open_at <= t && t < end_at && end_at <= phase.end);
        }
    }
}
