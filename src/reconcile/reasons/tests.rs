//! For each rule one timeline that it fits, and one nearby that it must not fit.

use super::super::BarValues;
use super::super::bars::day;
use super::super::tests::{OPEN, bar, candle_of};
use super::super::timeline::{Placed, Timeline};
use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::time::{DAY, HOUR, Interval, MINUTE};
use ticktide_market::SCALE;

const INDIA: Nanos = 5 * HOUR + 30 * MINUTE;
const VOLUME: DifferenceKind = DifferenceKind::Column(BarColumn::Volume);

fn timeline(theirs: BTreeMap<Nanos, Candle>, ours: Vec<Bar>) -> Timeline {
    of_interval(Interval(MINUTE), theirs, ours)
}

fn of_interval(interval: Interval, theirs: BTreeMap<Nanos, Candle>, ours: Vec<Bar>) -> Timeline {
    let (first, last) = (*theirs.keys().next().expect("one"), *theirs.keys().next_back().expect("one"));
    let beats = Arc::new(ours.iter().map(|bar| bar.open_at).collect());
    let placed = Placed { interval, theirs, span: first..=last, decimals: 2, zone_ahead: INDIA };
    let mut timeline = Timeline::new(placed, ours);
    timeline.beats = beats;
    timeline
}

/// Ten bars that differ from each other.
fn bars() -> Vec<Bar> {
    (0..10).map(|minute| bar(at(minute), 100 + 7 * minute, 1_000 + 13 * minute * minute)).collect()
}

fn at(minute: i64) -> Nanos {
    OPEN + minute * MINUTE
}

fn theirs(bars: &[Bar]) -> BTreeMap<Nanos, Candle> {
    bars.iter().map(|bar| (bar.open_at, candle_of(bar, 1))).collect()
}

fn reason(timeline: &Timeline, minute: i64, what: DifferenceKind) -> &'static str {
    explain(timeline, at(minute), what).0
}

fn price(column: BarColumn) -> DifferenceKind {
    DifferenceKind::Column(column)
}

fn units(count: i64) -> i128 {
    i128::from(count) * i128::from(SCALE)
}

/// Candles that equal the bars except for a change of one.
fn changed(minute: i64, change: impl Fn(&mut BarValues)) -> Timeline {
    let mut candles = theirs(&bars());
    change(&mut candles.get_mut(&at(minute)).expect("a candle").values);
    timeline(candles, bars())
}

fn add(values: &mut BarValues, count: i64) {
    values.volume = values.volume.map(|volume| volume + units(count));
}

#[test]
fn names_are_unique_and_documented() {
    for (index, reason) in REASONS.iter().enumerate() {
        assert!(!reason.doc.is_empty() && reason.name != UNEXPLAINED);
        assert!(REASONS[..index].iter().all(|other| other.name != reason.name), "{}", reason.name);
    }
}

#[test]
fn a_wrong_number_without_a_cause_is_unexplained() {
    assert_eq!(reason(&changed(4, |values| add(values, 7)), 4, VOLUME), UNEXPLAINED);
    let wild = changed(4, |values| values.high += 500 * SCALE);
    assert_eq!(reason(&wild, 4, price(BarColumn::High)), UNEXPLAINED);
    let mut lost = theirs(&bars());
    lost.remove(&at(4));
    assert_eq!(reason(&timeline(lost, bars()), 4, DifferenceKind::NotTheirs), UNEXPLAINED);
    let ours = bars().into_iter().filter(|bar| bar.open_at != at(4)).collect();
    let mut without = timeline(theirs(&bars()), ours);
    Arc::make_mut(&mut without.beats).insert(at(4)); // another instrument was received
    assert_eq!(reason(&without, 4, DifferenceKind::NotOurs), UNEXPLAINED);
}

#[test]
fn candles_off_by_the_zone_are_found_on_both_sides() {
    let candles = theirs(&bars()).into_iter().map(|(at, candle)| (at - INDIA, candle)).collect();
    let mut shifted = timeline(candles, bars());
    shifted.span = at(0) - INDIA..=at(9);
    assert_eq!(
        explain(&shifted, at(3) - INDIA, DifferenceKind::NotOurs),
        ("zone_offset", "the same bar is 5:30 later".to_owned())
    );
    assert_eq!(reason(&shifted, 3, DifferenceKind::NotTheirs), "zone_offset");
    // an hour is not India's offset
    let candles = theirs(&bars()).into_iter().map(|(at, candle)| (at - HOUR, candle)).collect();
    assert_ne!(explain(&timeline(candles, bars()), at(3) - HOUR, DifferenceKind::NotOurs).0, "zone_offset");
}

#[test]
fn a_shifted_label_is_found_unless_all_bars_are_alike() {
    let mut candles = theirs(&bars());
    let (third, fourth) = (candles[&at(3)].values, at(4));
    candles.get_mut(&fourth).expect("a candle").values = third;
    let shifted = timeline(candles, bars());
    assert_eq!(reason(&shifted, 4, price(BarColumn::Open)), "label_shift");
    let flat = |volume: i64| Bar {
        values: BarValues { open: 1, high: 1, low: 1, close: 1, volume: Some(units(volume)) },
        ..bar(at(0), 1, 0)
    };
    let ours = vec![flat(0), Bar { open_at: at(1), ..flat(3) }];
    let candles = BTreeMap::from([(at(0), candle_of(&flat(0), 1)), (at(1), candle_of(&flat(0), 2))]);
    assert_ne!(reason(&timeline(candles, ours), 1, VOLUME), "label_shift");
}

#[test]
fn bars_that_begin_at_other_minutes_are_of_another_anchor() {
    let hours =
        |start: Nanos| -> Vec<Bar> { (0..4).map(|hour| bar(start + hour * HOUR, 100 + hour, 10 + hour)).collect() };
    let (ours, candles) = (hours(OPEN), theirs(&hours(OPEN - 15 * MINUTE)));
    let found = of_interval(Interval(HOUR), candles, ours);
    let evidence = "the other side has a bar that begins 15 minutes later".to_owned();
    assert_eq!(explain(&found, OPEN - 15 * MINUTE + HOUR, DifferenceKind::NotOurs), ("anchor", evidence));
    assert_eq!(explain(&found, OPEN + HOUR, DifferenceKind::NotTheirs).0, "anchor");
}

#[test]
fn what_a_correction_replaced_is_found_in_the_history() {
    let mut found = changed(4, |values| add(values, -9));
    assert_eq!(reason(&found, 4, VOLUME), UNEXPLAINED);
    let earlier = found.theirs[&at(4)].values;
    found.versions = vec![Bar { values: earlier, ..bar(at(4), 0, 0) }];
    assert_eq!(reason(&found, 4, VOLUME), "corrected_later");
    found.versions = vec![Bar { values: earlier, ..bar(at(5), 0, 0) }];
    assert_eq!(reason(&found, 4, VOLUME), UNEXPLAINED);
}

#[test]
fn a_split_moves_prices_and_volume_against_each_other() {
    let halved = changed(4, |values| {
        *values = BarValues {
            open: values.open / 2,
            high: values.high / 2,
            low: values.low / 2,
            close: values.close / 2,
            ..*values
        };
        values.volume = values.volume.map(|volume| volume * 2);
    });
    assert_eq!(explain(&halved, at(4), VOLUME), ("corporate_action", "prices ×0.5000, volume ×2.0000".to_owned()));
    assert_eq!(reason(&halved, 4, price(BarColumn::Close)), "corporate_action");
    let prices_alone = changed(4, |values| {
        *values = BarValues {
            open: values.open / 2,
            high: values.high / 2,
            low: values.low / 2,
            close: values.close / 2,
            ..*values
        };
    });
    assert_eq!(reason(&prices_alone, 4, price(BarColumn::Close)), UNEXPLAINED);
}

#[test]
fn bars_without_volume_say_so() {
    let ours: Vec<Bar> =
        bars().into_iter().map(|bar| Bar { values: BarValues { volume: None, ..bar.values }, ..bar }).collect();
    let found = timeline(theirs(&bars()), ours);
    assert_eq!(explain(&found, at(2), VOLUME), ("no_volume", "no bar of the instrument has a volume".to_owned()));
    let mut found = found;
    found.theirs.get_mut(&at(2)).expect("a candle").values.high += 500 * SCALE;
    assert_eq!(reason(&found, 2, price(BarColumn::High)), UNEXPLAINED);
}

#[test]
fn fewer_digits_are_rounding_and_a_tick_is_not() {
    let mut ours = bars();
    ours[4].values.close += 123_456; // 0.00123456
    assert_eq!(reason(&timeline(theirs(&bars()), ours), 4, price(BarColumn::Close)), "rounding");
    let tick = changed(4, |values| values.close += 500 * SCALE);
    assert_eq!(reason(&tick, 4, price(BarColumn::Close)), UNEXPLAINED);
}

/// An auction at 150 for 777 before the first bar.
fn with_auction() -> Vec<Bar> {
    let mut auction = Bar { phase: "pre_open".into(), ..bar(at(-8), 150, 777) };
    auction.values =
        BarValues { open: 150 * SCALE, high: 150 * SCALE, low: 150 * SCALE, close: 150 * SCALE, ..auction.values };
    std::iter::once(auction).chain(bars()).collect()
}

#[test]
fn the_opening_auction_is_known_by_its_price_and_its_volume() {
    let mut candles = theirs(&bars());
    let first = &mut candles.get_mut(&at(0)).expect("a candle").values;
    add(first, 777);
    (first.open, first.high) = (150 * SCALE, 150 * SCALE);
    let found = timeline(candles.clone(), with_auction());
    assert_eq!(reason(&found, 0, price(BarColumn::Open)), "exchange_open");
    assert_eq!(reason(&found, 0, price(BarColumn::High)), "auction");
    assert_eq!(reason(&found, 0, VOLUME), "auction");
    assert_eq!(reason(&found, -8, DifferenceKind::NotTheirs), "auction");
    // another volume is not the auction's
    add(&mut candles.get_mut(&at(0)).expect("a candle").values, 1);
    assert_eq!(reason(&timeline(candles, with_auction()), 0, VOLUME), UNEXPLAINED);
}

#[test]
fn a_closing_auction_may_stand_in_the_last_candle() {
    let closing = Bar { phase: "closing_auction".into(), ..bar(at(20), 163, 555) };
    let mut candles = theirs(&bars());
    add(&mut candles.get_mut(&at(9)).expect("a candle").values, 555);
    let ours: Vec<Bar> = with_auction().into_iter().chain([closing]).collect();
    assert_eq!(reason(&timeline(candles, ours), 9, VOLUME), "auction");
}

#[test]
fn a_day_is_explained_by_the_phases_that_it_leaves_out() {
    let close = Bar {
        phase: "post_close".into(),
        values: BarValues { open: SCALE, high: SCALE, low: SCALE, close: 165 * SCALE, volume: Some(units(5)) },
        ..bar(at(400), 1, 5)
    };
    let ours = day(with_auction().into_iter().chain([close]).collect()).expect("a day");
    let start = ours.open_at;
    let candle = |change: &dyn Fn(&mut Candle)| {
        let mut candle = candle_of(&ours, 1);
        change(&mut candle);
        of_interval(Interval(DAY), BTreeMap::from([(start, candle)]), vec![ours.clone()])
    };
    let left_out = candle(&|candle| add(&mut candle.values, -777 - 5));
    let evidence = "the file's day has no pre_open and no post_close".to_owned();
    assert_eq!(explain(&left_out, start, VOLUME), ("auction", evidence));
    let continuous = candle(&|candle| candle.values.open = 100 * SCALE);
    assert_eq!(explain(&continuous, start, price(BarColumn::Open)).0, "exchange_open");
    let averaged = candle(&|candle| {
        candle.values.close += SCALE / 4;
        candle.last = Some(ours.values.close);
    });
    assert_eq!(explain(&averaged, start, price(BarColumn::Close)).0, "closing_price");
    let official = candle(&|candle| candle.values.close = 165 * SCALE);
    assert_eq!(explain(&official, start, price(BarColumn::Close)).0, "closing_price");
    let wrong = candle(&|candle| add(&mut candle.values, -1));
    assert_eq!(explain(&wrong, start, VOLUME).0, UNEXPLAINED);
}

#[test]
fn volume_that_moved_to_a_neighbour_takes_its_prices_along() {
    let mut candles = theirs(&bars());
    add(&mut candles.get_mut(&at(4)).expect("a candle").values, 9);
    add(&mut candles.get_mut(&at(5)).expect("a candle").values, -9);
    candles.get_mut(&at(4)).expect("a candle").values.close = bars()[5].values.open;
    let found = timeline(candles.clone(), bars());
    for what in [VOLUME, price(BarColumn::Close)] {
        assert_eq!(reason(&found, 4, what), "edge_volume");
    }
    assert_eq!(reason(&found, 5, VOLUME), "edge_volume");
    candles.get_mut(&at(4)).expect("a candle").values.high = 500 * SCALE;
    assert_eq!(reason(&timeline(candles.clone(), bars()), 4, price(BarColumn::High)), UNEXPLAINED);
    // the whole bar is in its neighbour
    let mut candles = theirs(&bars());
    let lost = candles.remove(&at(4)).expect("a candle").values.volume.expect("told");
    add(&mut candles.get_mut(&at(5)).expect("a candle").values, (lost / units(1)) as i64);
    assert_eq!(reason(&timeline(candles, bars()), 4, DifferenceKind::NotTheirs), "edge_volume");
    // between the first two and the last two
    for (first, second) in [(0, 1), (8, 9)] {
        let mut candles = theirs(&bars());
        add(&mut candles.get_mut(&at(first)).expect("a candle").values, -3);
        add(&mut candles.get_mut(&at(second)).expect("a candle").values, 3);
        let found = timeline(candles, bars());
        assert_eq!([first, second].map(|minute| reason(&found, minute, VOLUME)), ["edge_volume"; 2]);
    }
    // sums that differ by one did not move
    let mut candles = theirs(&bars());
    add(&mut candles.get_mut(&at(4)).expect("a candle").values, 9);
    add(&mut candles.get_mut(&at(5)).expect("a candle").values, -8);
    assert_eq!(reason(&timeline(candles, bars()), 4, VOLUME), UNEXPLAINED);
}

#[test]
fn sums_of_last_quantities_are_known_by_their_fraction() {
    let mut candles = theirs(&bars());
    for (minute, candle) in candles.values_mut().enumerate() {
        candle.values.volume = candle.values.volume.map(|volume| volume * (20 + minute as i128) / 100);
    }
    let found = timeline(candles, bars());
    let (name, evidence) = explain(&found, at(4), VOLUME);
    assert_eq!(name, "last_quantities");
    assert!(evidence.starts_with("the file's volumes are 2"), "{evidence}");
    // only a part of the bars is something else
    let mut candles = theirs(&bars());
    for candle in candles.values_mut().take(5) {
        candle.values.volume = candle.values.volume.map(|volume| volume / 5);
    }
    assert_eq!(reason(&timeline(candles, bars()), 4, VOLUME), UNEXPLAINED);
    let ours: Vec<Bar> = bars()
        .into_iter()
        .map(|bar| Bar {
            values: BarValues { volume: bar.values.volume.map(|volume| volume / 3), ..bar.values },
            ..bar
        })
        .collect();
    let (name, evidence) = explain(&timeline(theirs(&bars()), ours), at(4), VOLUME);
    assert_eq!(
        (name, evidence.as_str()),
        ("last_quantities", "the lake's volumes are 33 % of the other side's throughout")
    );
}

#[test]
fn a_partial_bar_is_enough_of_a_reason() {
    let mut ours = bars();
    ours[4].partial = true;
    add(&mut ours[4].values, -100);
    let found = timeline(theirs(&bars()), ours);
    assert_eq!(reason(&found, 4, VOLUME), "partial");
}

#[test]
fn extremes_inside_the_lakes_bar_are_conflated_and_those_just_outside_between_snapshots() {
    assert_eq!(reason(&changed(4, |values| values.high -= SCALE), 4, price(BarColumn::High)), "conflated");
    assert_eq!(reason(&changed(4, |values| values.low += SCALE), 4, price(BarColumn::Low)), "conflated");
    let outside = |values: &mut BarValues| values.high += 2 * SCALE;
    assert_eq!(reason(&changed(4, outside), 4, price(BarColumn::High)), "between_snapshots");
    // not if the volumes differ, nor if every trade was seen
    let differs = changed(4, |values| {
        outside(values);
        add(values, 1);
    });
    assert_eq!(reason(&differs, 4, price(BarColumn::High)), UNEXPLAINED);
    let mut candles = theirs(&bars());
    outside(&mut candles.get_mut(&at(4)).expect("a candle").values);
    let ours = bars().into_iter().map(|bar| Bar { snapshots: false, ..bar }).collect();
    assert_eq!(reason(&timeline(candles, ours), 4, price(BarColumn::High)), UNEXPLAINED);
}

#[test]
fn silence_is_no_loss() {
    let flat = BarValues { open: SCALE, high: SCALE, low: SCALE, close: SCALE, volume: Some(0) };
    let mut candles = theirs(&bars());
    candles.get_mut(&at(4)).expect("a candle").values = flat;
    let ours = bars().into_iter().filter(|bar| bar.open_at != at(4)).collect();
    let mut found = timeline(candles, ours);
    Arc::make_mut(&mut found.beats).insert(at(4));
    assert_eq!(reason(&found, 4, DifferenceKind::NotOurs), "no_trade");
    let mut ours = bars();
    ours[4].values.volume = Some(0);
    let mut candles = theirs(&bars());
    candles.remove(&at(4));
    assert_eq!(reason(&timeline(candles, ours), 4, DifferenceKind::NotTheirs), "no_trade");
    let ours = bars().into_iter().filter(|bar| bar.open_at != at(4)).collect();
    assert_eq!(reason(&timeline(theirs(&bars()), ours), 4, DifferenceKind::NotOurs), "not_recorded");
    // another one was received, this one from a later bar on
    let mut ours: Vec<Bar> = bars().into_iter().filter(|bar| bar.open_at > at(4)).collect();
    for (partial, wanted) in [(true, "not_recorded"), (false, UNEXPLAINED)] {
        ours[0].partial = partial;
        let mut found = timeline(theirs(&bars()), ours.clone());
        Arc::make_mut(&mut found.beats).insert(at(4));
        assert_eq!(reason(&found, 4, DifferenceKind::NotOurs), wanted);
    }
}
