//! What setting a time back does to a binding, number by number; and what must hold whatever the numbers are.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use ticktide_base::time::{DAY, HOUR, Interval, MINUTE, SECOND};
use ticktide_flow::clean::reach::{Reach, ReachSpec};
use ticktide_market::calendar::Session;

const DAY0: Nanos = 20_000 * DAY;
/// Where wild records have moved the lake.
const WILD: Nanos = DAY0 + 730 * DAY;
/// Where it had come to before.
const TO: Nanos = DAY0 + 10 * HOUR + 30 * SECOND;

fn spec() -> ControlSpec {
    ControlSpec {
        workers: 1,
        reach: ReachSpec {
            intervals: vec![
                (Interval(SECOND), Reach::Span(10 * MINUTE)),
                (Interval(MINUTE), Reach::Span(2 * HOUR)),
                (Interval(DAY), Reach::Sessions(1)),
            ],
            retention: 2 * HOUR,
        },
        session: Arc::new(Session::preset("utc-day").expect("a preset")),
        grace: 5 * SECOND,
        epoch_every_ms: 10_000,
        epoch_records: 1_000,
        epochs: 2,
        until_end: true,
        generation: 1,
        dataflow_hash: String::new(),
        calendar_hash: String::new(),
        code_version: String::new(),
    }
}

/// A partition whose last four times are a second apart.
fn place(come_to: Nanos) -> Place {
    let running = (0..4).map(|n| come_to + (3 - n) * SECOND).collect();
    Place {
        source_id: "s".into(),
        offset_next: 9,
        event_at_max: Some(come_to + 3 * SECOND),
        running,
        ..Place::default()
    }
}

/// A lake whose partition "a" wild records have moved, all the way.
fn moved(others: &[(&str, Nanos)]) -> Binding {
    let places =
        others.iter().map(|(name, at)| ((*name).to_owned(), place(*at))).chain([("a".to_owned(), place(WILD))]);
    Binding {
        epoch: 7,
        places: places.collect(),
        frontier: Some(WILD),
        retired_by: Some(WILD),
        lake_time: Some(WILD),
        closed_until: Some(WILD),
        flushed_until: Some(WILD + 3 * SECOND),
        flush: true,
        horizons: [("1s", WILD - 10 * MINUTE), ("1m", WILD - 2 * HOUR), ("1d", WILD - DAY)]
            .map(|(name, at)| (name.to_owned(), at))
            .into(),
        retained_from: Some(WILD - 2 * HOUR),
        ..Binding::default()
    }
}

fn rewind(before: &Binding, to: Nanos) -> Rewind {
    Rewind::new(spec(), 3, before, "a", to).expect("it can be set back")
}

fn share() -> Instrument {
    Instrument::new("V", "S", None)
}

#[test]
fn the_partitions_time_and_all_that_came_from_it_are_set_back() {
    let after = rewind(&moved(&[]), TO).finish();
    let place = &after.places["a"];
    assert_eq!((place.event_at_max, place.offset_next), (Some(TO), 9));
    assert_eq!(
        place.running,
        [TO + 3, TO + 2, TO + 1, TO],
        "four distinct times, the last of which is the running time"
    );
    assert_eq!((after.lake_time, after.retired_by, after.frontier), (Some(TO), Some(TO), Some(TO)));
    assert_eq!((after.closed_until, after.flushed_until), (Some(TO - 5 * SECOND), Some(TO)));
    assert!(!after.flush);
    let rewound = after.rewound.expect("it says so");
    assert_eq!((rewound.partition.as_str(), rewound.to, rewound.forgotten), ("a", TO, WILD - DAY));
    // no row lies after them: they fall as far as the reaches of the time
    let reach = spec().reach.at(&spec().session, TO);
    assert_eq!(
        after.horizons.values().copied().collect::<Vec<_>>(),
        [reach.intervals[2], reach.intervals[1], reach.intervals[0]]
    );
    assert_eq!(after.retained_from, Some(reach.retained_from));
    assert!(after.ahead.is_empty(), "nothing is published");
}

#[test]
fn what_other_partitions_have_come_to_stays() {
    let later = moved(&[("b", TO + HOUR), ("c", TO - HOUR)]);
    let after = rewind(&later, TO).finish();
    assert_eq!(after.lake_time, Some(TO + HOUR));
    assert_eq!(after.flushed_until, Some(TO + HOUR + 3 * SECOND));
    assert_eq!(after.retired_by, Some(TO + HOUR), "every partition has come to where the lake is");
    assert_eq!((&after.places["b"], &after.places["c"]), (&later.places["b"], &later.places["c"]));
    // without a flush memory follows the slowest
    let live = Binding { lake_time: None, ..later };
    let after = rewind(&live, TO).finish();
    assert_eq!((after.lake_time, after.retired_by), (None, Some(TO - HOUR)));
    // and what had not come that far stays where it was
    let early = Binding { lake_time: Some(5), closed_until: Some(6), retired_by: None, ..moved(&[]) };
    let after = rewind(&early, TO).finish();
    assert_eq!((after.lake_time, after.closed_until, after.retired_by), (Some(5), Some(6), None));
}

#[test]
fn horizons_fall_to_what_has_left_memory_and_no_further() {
    let mut rewind = rewind(&moved(&[]), TO);
    let minute = TO - TO.rem_euclid(MINUTE);
    for before in (0..200).rev() {
        rewind.see(1, &share(), minute - before * MINUTE);
    }
    for (level, open_at) in [(2, DAY0), (0, TO - SECOND - TO.rem_euclid(SECOND)), (1, WILD), (0, WILD), (2, WILD)] {
        rewind.see(level, &share(), open_at);
    }
    let after = rewind.finish();
    assert_eq!(after.horizons["1m"], minute + MINUTE, "the minute of the time itself has left");
    assert_eq!(after.horizons["1d"], DAY0 + DAY, "and its day");
    assert_eq!(after.horizons["1s"], TO, "its last second");
    assert_eq!(after.retained_from, Some(TO));
    // the wild bars are published, and no others ahead of the time
    assert_eq!(after.ahead.len(), 1);
    assert_eq!(after.ahead[0].spans, [(WILD, WILD + DAY)]);
    assert!(after.publishes(WILD, WILD + MINUTE) && after.publishes(WILD, WILD + DAY));
    assert!(!after.publishes(WILD + HOUR, WILD + HOUR + MINUTE), "nor was it before");
    assert!(!after.publishes(DAY0 + 2 * DAY, DAY0 + 2 * DAY + MINUTE), "it is open again");
}

#[test]
fn a_lake_that_never_let_go_of_anything_keeps_all_its_memory() {
    let before = Binding { horizons: BTreeMap::new(), retained_from: Some(Nanos::MIN), ..moved(&[]) };
    let mut rewind = rewind(&before, TO);
    assert!(!rewind.wants(1, TO - HOUR), "earlier closed bars do not matter");
    assert!(rewind.wants(1, WILD));
    rewind.see(1, &share(), TO - HOUR);
    let after = rewind.finish();
    assert!(after.horizons.values().all(|at| *at == Nanos::MIN));
    assert_eq!((after.retained_from, after.rewound.expect("it").forgotten), (Some(Nanos::MIN), Nanos::MIN));
}

#[test]
fn files_that_can_say_nothing_are_not_wanted() {
    let mut rewind = rewind(&moved(&[]), TO);
    assert!(rewind.wants(1, TO - 3 * HOUR), "it may be the last that has left");
    rewind.see(1, &share(), TO - HOUR - TO.rem_euclid(MINUTE));
    assert!(!rewind.wants(1, TO - 3 * HOUR));
    assert!(rewind.wants(1, TO - HOUR) && rewind.wants(1, TO), "later ones may be");
}

#[test]
fn what_cannot_be_set_back_is_refused_with_what_helps() {
    let refused = |before: &Binding, partition: &str, to| match Rewind::new(spec(), 3, before, partition, to) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{partition} is set back to {to}"),
    };
    let lake = moved(&[("b", TO)]);
    assert!(refused(&lake, "c", TO).contains("no partition \"c\""));
    assert!(refused(&lake, "a", WILD + DAY).contains("not later than"));
    assert!(refused(&lake, "b", TO + 3 * SECOND).contains("not later than"), "it is there already");
    let older = Binding { lateness: Rules::First, ..lake };
    assert!(refused(&older, "a", TO).contains("an older ticktide"));
}

#[test]
fn many_stretches_become_few_and_none_is_lost() {
    let mut spans = Spans::default();
    for n in 0..10_000i64 {
        let at = (n * 7_919) % 10_000 * 100;
        spans.add(at, at + 50);
        spans.add(at + 20, at + 60);
    }
    let joined = spans.joined(SPANS_MAX);
    assert_eq!(joined.len(), SPANS_MAX);
    assert!(joined.windows(2).all(|pair| pair[0].1 < pair[1].0));
    for n in 0..10_000 {
        assert!(joined.iter().any(|(from, until)| *from <= n * 100 && n * 100 + 60 <= *until), "{n}");
    }
    assert_eq!(Spans::default().joined(SPANS_MAX), []);
    // the nearest are joined
    let mut spans = Spans::default();
    [(0, 10), (100, 110), (112, 120), (300, 310)].into_iter().for_each(|(from, until)| spans.add(from, until));
    assert_eq!(spans.joined(3), [(0, 10), (100, 120), (300, 310)]);
}

proptest! {
    /// Whatever the lake is: nothing rises, nothing that has left memory comes back, and what is published is what was.
    #[test]
    fn nothing_that_was_said_is_unsaid_or_said_again(
        to in 0i64..40_000, others in proptest::collection::vec(0i64..80_000, 0..3), bars in
        proptest::collection::vec((0usize..3, 0i64..90_000), 0..80), passed in 0i64..80_000, flush in 0i64..80_000
    ) {
        let at = |second: i64| DAY0 + second * SECOND;
        let mut before = moved(&[]);
        before.places.insert("a".to_owned(), place(at(60_000)));
        for (n, other) in others.iter().enumerate() {
            before.places.insert(format!("p{n}"), place(at(*other)));
        }
        let reach = spec().reach.at(&spec().session, at(passed));
        before.horizons = ["1s", "1m", "1d"].map(str::to_owned).into_iter().zip(reach.intervals).collect();
        before.retained_from = Some(reach.retained_from);
        (before.closed_until, before.flushed_until) = (Some(at(passed)), Some(at(flush)));
        (before.lake_time, before.retired_by) = (Some(at(flush)), Some(at(passed)));
        let mut rewind = rewind(&before, at(to));
        let widths = [SECOND, MINUTE, DAY];
        let published = |(level, second): &(usize, i64)| {
            let open_at = at(*second) - at(*second) % widths[*level];
            let bar = (*level, open_at, open_at + widths[*level]);
            before.publishes(bar.1, bar.2).then_some(bar)
        };
        let rows: Vec<_> = bars.iter().filter_map(published).collect();
        for (level, open_at, _) in &rows {
            rewind.see(*level, &share(), *open_at);
        }
        let after = rewind.finish();
        for (level, open_at, end_at) in &rows {
            let name = ["1s", "1m", "1d"][*level];
            prop_assert!(after.publishes(*open_at, *end_at), "a row is published again");
            prop_assert!(*end_at > before.horizons[name] || *end_at <= after.horizons[name], "a bar comes back");
        }
        for second in (0..90_000).step_by(61) {
            for width in widths {
                let open_at = at(second) - at(second) % width;
                prop_assert!(before.publishes(open_at, open_at + width) || !after.publishes(open_at, open_at + width));
            }
        }
        for (name, horizon) in &after.horizons {
            prop_assert!(*horizon <= before.horizons[name]);
        }
        for (old, new) in [
            (before.lake_time, after.lake_time), (before.retired_by, after.retired_by), (before.frontier, after.frontier),
            (before.closed_until, after.closed_until), (before.flushed_until, after.flushed_until),
            (before.retained_from, after.retained_from),
        ] {
            prop_assert!(new <= old);
        }
    }
}
