//! Promises of the volume scan, by either rules, and the second ones against a naive recomputation.

use super::*;
use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use ticktide_base::epoch::{LAST_STEP, stamp};
use ticktide_base::time::{Interval, MINUTE};
use ticktide_market::Instrument;

/// One snapshot: minute, count, price, day high and low.
#[derive(Clone, Copy)]
struct Shot {
    minute: i64,
    count: i128,
    price: i64,
}

fn shot(minute: i64, count: i128, price: i64) -> Shot {
    Shot { minute, count, price }
}

/// Bars of snapshots, folded naively in the order given.
fn fold(shots: &[Shot], day_of: fn(i64) -> i32, baseline_known: bool) -> Vec<SnapshotBar> {
    let mut bars: BTreeMap<i64, SnapshotBar> = BTreeMap::new();
    for shot in shots {
        let bar = bars.entry(shot.minute).or_insert_with(|| SnapshotBar {
            head: BarHead { open_at: shot.minute * MINUTE, phase: 0, trading_date: day_of(shot.minute) },
            open: shot.price,
            high: shot.price,
            low: shot.price,
            cumulative_first: Some(shot.count),
            cumulative_greatest: Some(shot.count),
            baseline_known,
            ..SnapshotBar::default()
        });
        bar.close = shot.price;
        bar.high = bar.high.max(shot.price);
        bar.low = bar.low.min(shot.price);
        bar.cumulative_greatest = bar.cumulative_greatest.max(Some(shot.count));
        bar.cumulative_last = Some(shot.count);
        bar.updates += 1;
    }
    bars.into_values().collect()
}

fn one_day(_: i64) -> i32 {
    1
}

/// By the second rules; by the first ones they are the same.
fn finished(bars: &[SnapshotBar]) -> Vec<FinishedBar> {
    let by_second = finished_by(Rules::Second, bars);
    assert_eq!(finished_by(Rules::First, bars), by_second);
    by_second
}

fn finished_by(rules: Rules, bars: &[SnapshotBar]) -> Vec<FinishedBar> {
    let mut day = DaySoFar::default();
    bars.iter().map(|bar| step(rules, &mut day, bar)).collect()
}

fn partial(bars: &[FinishedBar]) -> Vec<bool> {
    bars.iter().map(|bar| bar.partial).collect()
}

fn volumes(bars: &[FinishedBar]) -> Vec<Option<i128>> {
    bars.iter().map(|bar| bar.volume).collect()
}

#[test]
fn volumes_of_a_day_add_up_to_its_last_count_and_start_anew_the_next_day() {
    let shots = [shot(0, 30, 1), shot(0, 50, 1), shot(1, 80, 1), shot(10, 20, 1), shot(11, 25, 1)];
    let bars = finished(&fold(&shots, |minute| (minute / 10) as i32, true));
    assert_eq!(volumes(&bars), [Some(50), Some(30), Some(20), Some(5)]);
    assert!(bars.iter().all(|bar| !bar.partial && bar.trades.is_none() && bar.turnover.is_none()));
}

#[test]
fn a_last_trade_time_that_steps_back_makes_no_negative_volume() {
    // A {count 100, 09:16:00} comes first, then B {count 120, 09:15:59}: B's bar is the earlier one.
    let shots = [shot(14, 90, 1), shot(16, 100, 1), shot(15, 120, 1), shot(17, 130, 1)];
    let bars = finished(&fold(&shots, one_day, true));
    assert_eq!(volumes(&bars), [Some(90), Some(30), Some(0), Some(10)]);
    assert_eq!(bars.iter().filter_map(|bar| bar.volume).sum::<i128>(), 130);
    assert!(bars.iter().all(|bar| !bar.partial));
}

#[test]
fn an_index_has_prices_and_no_volume() {
    let mut bars = fold(&[shot(0, 0, 100), shot(1, 0, 101)], one_day, true);
    for bar in &mut bars {
        (bar.cumulative_first, bar.cumulative_greatest, bar.cumulative_last) = (None, None, None);
    }
    let bars = finished(&bars);
    assert_eq!(volumes(&bars), [None, None]);
    assert!(bars.iter().all(|bar| !bar.partial));
}

#[test]
fn open_interest_is_the_days_last_known_and_the_next_day_knows_none() {
    let mut bars = fold(&[0, 1, 2, 10].map(|minute| shot(minute, 0, 100)), |minute| (minute / 10) as i32, true);
    for (bar, interest) in bars.iter_mut().zip([None, Some(70), None, None]) {
        bar.open_interest = interest;
    }
    let told: Vec<Option<i128>> = finished(&bars).iter().map(|bar| bar.open_interest).collect();
    assert_eq!(told, [None, Some(70), Some(70), None]);
}

#[test]
fn a_late_start_counts_what_it_saw_and_says_so() {
    let shots = [shot(5, 1_000, 1), shot(5, 1_010, 1), shot(6, 1_030, 1)];
    let bars = finished(&fold(&shots, one_day, false));
    assert_eq!(volumes(&bars), [Some(10), Some(20)]);
    assert_eq!(bars.iter().map(|bar| bar.partial).collect::<Vec<bool>>(), [true, false]);
}

#[test]
fn the_first_bar_with_a_count_is_partial_whatever_bars_come_before_it() {
    let mut bars = fold(&[shot(4, 0, 1), shot(5, 1_000, 1), shot(5, 1_010, 1), shot(6, 1_030, 1)], one_day, false);
    (bars[0].cumulative_first, bars[0].cumulative_greatest, bars[0].cumulative_last) = (None, None, None);
    let bars = finished(&bars);
    assert_eq!(volumes(&bars), [None, Some(10), Some(20)]);
    assert_eq!(bars.iter().map(|bar| bar.partial).collect::<Vec<bool>>(), [false, true, false]);
}

#[test]
fn by_the_first_rules_a_reset_is_flagged_and_adds_nothing_until_the_count_passes_its_greatest() {
    let shots = [shot(0, 500, 1), shot(0, 1_000, 1), shot(0, 3, 1), shot(1, 8, 1), shot(2, 1_004, 1)];
    let bars = finished_by(Rules::First, &fold(&shots, one_day, true));
    assert_eq!(volumes(&bars), [Some(1_000), Some(0), Some(4)]);
    assert_eq!(partial(&bars), [true, true, false]);
}

#[test]
fn a_count_that_stays_fallen_goes_on_from_there_and_the_bar_says_so() {
    let shots = [shot(0, 500, 1), shot(1, 1_000, 1), shot(2, 3, 1), shot(3, 8, 1), shot(4, 30, 1), shot(5, 1_200, 1)];
    let bars = finished_by(Rules::Second, &fold(&shots, one_day, true));
    assert_eq!(volumes(&bars), [500, 500, 0, 5, 22, 1_170].map(Some));
    assert_eq!(partial(&bars), [false, false, true, true, false, false]);
    // a small fall, and one that goes on falling
    let shots = [shot(0, 100, 1), shot(1, 90, 1), shot(2, 80, 1), shot(3, 70, 1), shot(4, 75, 1), shot(5, 76, 1)];
    let bars = finished_by(Rules::Second, &fold(&shots, one_day, true));
    assert_eq!(volumes(&bars), [100, 0, 0, 0, 5, 1].map(Some), "from 90, from 80, from 70");
    assert_eq!(partial(&bars), [false, false, true, true, true, false]);
}

#[test]
fn a_fall_that_the_next_bar_of_the_day_does_not_confirm_is_dropped_and_flagged_if_it_is_by_more_than_half() {
    for (low, flagged) in [(3, true), (60, false)] {
        let shots = [shot(0, 100, 1), shot(1, low, 1), shot(2, 130, 1)];
        let bars = finished_by(Rules::Second, &fold(&shots, one_day, true));
        assert_eq!(volumes(&bars), [100, 0, 30].map(Some));
        assert_eq!(partial(&bars), [false, flagged, false]);
    }
    // the next bar is of another day
    let shots = [shot(8, 100, 1), shot(9, 90, 1), shot(10, 20, 1), shot(11, 25, 1)];
    let bars = finished_by(Rules::Second, &fold(&shots, |minute| (minute / 10) as i32, true));
    assert_eq!(volumes(&bars), [100, 0, 20, 5].map(Some));
    assert!(bars.iter().all(|bar| !bar.partial));
}

#[test]
fn a_bar_goes_by_its_last_count_so_that_a_wrong_one_in_it_adds_nothing() {
    let shots = [shot(0, 10, 1), shot(1, 5_000_000, 1), shot(1, 20, 1), shot(2, 30, 1)];
    let bars = finished_by(Rules::Second, &fold(&shots, one_day, true));
    assert_eq!(volumes(&bars), [10, 10, 10].map(Some));
    assert_eq!(partial(&bars), [false, true, false]);
}

/// Yesterday's count in bars of its own, then in one with today's; a bar of the whole day gives the same.
#[test]
fn yesterdays_count_at_the_first_snapshots_of_a_day_is_no_count_of_today() {
    let yesterday = [shot(8, 400_000, 1), shot(9, 1_000_000, 1)];
    let today = [
        shot(10, 1_000_000, 1),
        shot(11, 1_000_000, 1),
        shot(12, 1_000_000, 1),
        shot(12, 5_000, 1),
        shot(13, 7_000, 1),
        shot(14, 1_000_000, 1),
    ];
    let shots = [&yesterday[..], &today[..]].concat();
    let by_tens: fn(i64) -> i32 = |minute| (minute / 10) as i32;
    for baseline_known in [true, false] {
        let bars = finished_by(Rules::Second, &fold(&shots, by_tens, baseline_known));
        assert_eq!(volumes(&bars)[2..], [0, 0, 5_000, 2_000, 993_000].map(Some));
        assert!(bars[2..].iter().all(|bar| !bar.partial));
        let days = [shot(0, 1_000_000, 1), shot(10, 1_000_000, 1), shot(10, 5_000, 1), shot(10, 999_000, 1)];
        let bars = finished_by(Rules::Second, &fold(&days, by_tens, baseline_known));
        assert_eq!(volumes(&bars)[1], Some(999_000));
    }
    let bars = finished_by(Rules::First, &fold(&shots, by_tens, true));
    assert_eq!(volumes(&bars)[2..], [1_000_000, 0, 0, 0, 0].map(Some));
}

#[test]
fn a_day_of_yesterdays_count_alone_leaves_it_to_the_next_day() {
    let shots = [shot(9, 700, 1), shot(10, 700, 1), shot(20, 700, 1), shot(21, 40, 1)];
    let bars = finished_by(Rules::Second, &fold(&shots, |minute| (minute / 10) as i32, true));
    assert_eq!(volumes(&bars), [700, 0, 0, 40].map(Some));
    assert!(bars.iter().all(|bar| !bar.partial));
}

/// An earlier durable value knows the greatest count of its day, which its last bars may have fallen below.
#[test]
fn a_value_of_the_first_rules_is_read_and_goes_on() {
    let first = (Some(1i32), Some(1_000_000i128), Some(7i64), Some(5i64), None::<i128>);
    let old = bincode::serialize(&first).expect("plain values");
    let mut day = DaySoFar::decode(&old).expect("its first layout");
    let expected = DaySoFar {
        trading_date: Some(1),
        counted: Some(1_000_000),
        high: Some(7),
        low: Some(5),
        ..DaySoFar::default()
    };
    assert_eq!(day, expected);
    let shots = [shot(0, 1_000_000, 1), shot(0, 5_000, 1), shot(1, 4_000, 1), shot(2, 3_900, 1)];
    let bars = fold(&shots, |_| 2, true);
    let finished: Vec<FinishedBar> = bars.iter().map(|bar| step(Rules::Second, &mut day, bar)).collect();
    assert_eq!(volumes(&finished), [5_000, 0, 0].map(Some), "the old value knows yesterday's count");
    let new = bincode::serialize(&day).expect("plain values");
    assert_eq!(DaySoFar::decode(&new).expect("its own bytes"), day);
    assert_ne!(day.counts, Counts::default());
    assert!(DaySoFar::decode(&new[..new.len() - 1]).is_err(), "a tail is whole");
    let by_first = bincode::serialize(&expected).expect("plain values");
    assert_eq!(by_first[..old.len()], old, "the first layout comes first");
}

#[test]
fn an_extreme_between_two_snapshots_enters_the_bar_in_which_the_day_high_or_low_changed() {
    let mut bars = fold(&[shot(0, 1, 100), shot(1, 2, 101), shot(2, 3, 100), shot(3, 4, 100)], one_day, true);
    let says = [(120, 90), (120, 90), (125, 80), (125, 80)];
    for (bar, (high, low)) in bars.iter_mut().zip(says) {
        (bar.day_high, bar.day_low) = (Some(high), Some(low));
    }
    let extremes: Vec<(i64, i64)> = finished(&bars).iter().map(|bar| (bar.high, bar.low)).collect();
    // The first bar cannot know whether 120 and 90 happened in it.
    assert_eq!(extremes, [(100, 100), (101, 101), (125, 80), (100, 100)]);
}

/// What a day's bar absorbs is what its minutes absorb.
#[test]
fn an_extreme_behind_the_first_snapshot_of_a_day_enters_its_first_bar_and_an_older_one_does_not() {
    let first = |first_told| {
        let mut bars = fold(&[shot(0, 1, 100), shot(0, 2, 101)], one_day, true);
        (bars[0].first_told, bars[0].day_high, bars[0].day_low) = (first_told, Some(105), Some(95));
        (finished(&bars)[0].high, finished(&bars)[0].low)
    };
    assert_eq!(first((Some(101), Some(99))), (105, 95));
    assert_eq!(first((Some(105), Some(95))), (101, 100), "reported by the first: perhaps from before it");
    assert_eq!(first((None, None)), (101, 100));
}

#[test]
fn a_day_high_that_lags_behind_the_last_price_raises_no_later_bar_and_zero_is_no_extreme() {
    let mut bars = fold(&[shot(0, 1, 100), shot(1, 2, 106), shot(2, 3, 104)], one_day, true);
    for (bar, high) in bars.iter_mut().zip([105, 105, 106]) {
        (bar.day_high, bar.day_low) = (Some(high), Some(0));
    }
    let extremes: Vec<(i64, i64)> = finished(&bars).iter().map(|bar| (bar.high, bar.low)).collect();
    assert_eq!(extremes, [(100, 100), (106, 106), (104, 104)]);
}

/// Its key in the durable state must not change when records carry another symbol.
#[test]
fn a_base_stays_under_the_key_that_it_came_with() {
    let series = |symbol| (Interval(MINUTE), Instrument::new("NSE", "1", symbol));
    let bars = fold(&[shot(0, 110, 1), shot(1, 130, 1)], one_day, false);
    let before = DaySoFar { trading_date: Some(1), counted: Some(100), ..DaySoFar::default() };
    let symbols = timely::execute_directly(move |worker| {
        let seen: Rc<RefCell<Vec<(Option<String>, Option<i128>)>>> = Rc::default();
        let mut input = InputSession::<u64, (Series, SnapshotBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let bases = HashMap::from([(series(Some("S")), before)]);
            let (finished, bases) = finish(Rules::NEWEST, "Volume", input.to_collection(scope), bases);
            finished.inspect(|((_, bar), _, _)| assert!([Some(10), Some(20)].contains(&bar.volume)));
            let seen = seen.clone();
            timely::dataflow::operators::Inspect::inspect(bases, move |((_, instrument), base)| {
                let counted = base.as_ref().and_then(|day: &DaySoFar| day.counted);
                seen.borrow_mut().push((instrument.symbol().map(str::to_owned), counted));
            });
        });
        bars.iter().for_each(|bar| input.update((series(None), bar.clone()), 1));
        input.advance_to(LAST_STEP);
        input.update((series(Some("T")), bars[0].clone()), -1);
        input.advance_to(stamp(1, 0));
        drop(input);
        while worker.step() {}
        seen.take()
    });
    assert_eq!(symbols, [(Some("S".to_owned()), Some(110))]);
}

#[test]
fn a_correction_moves_volume_between_bars_and_retirement_goes_through() {
    let series: Series = (Interval(MINUTE), Instrument::new("NSE", "1", None));
    let bars = fold(&[shot(0, 10, 1), shot(1, 30, 1), shot(2, 60, 1)], one_day, true);
    let (cumulative_greatest, cumulative_last) = (Some(40), Some(40));
    let corrected = SnapshotBar { cumulative_greatest, cumulative_last, ..bars[1].clone() };
    let seen: Vec<((i64, Option<i128>), u64, isize)> = timely::execute_directly(move |worker| {
        let seen: Rc<RefCell<Vec<((i64, Option<i128>), u64, isize)>>> = Rc::default();
        let mut input = InputSession::<u64, (Series, SnapshotBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let (finished, _) = finish(Rules::NEWEST, "Volume", input.to_collection(scope), HashMap::new());
            let seen = seen.clone();
            finished.inspect(move |((_, bar), time, diff)| {
                seen.borrow_mut().push(((bar.head.open_at / MINUTE, bar.volume), *time, *diff));
            });
        });
        for bar in &bars {
            input.update((series.clone(), bar.clone()), 1);
        }
        input.advance_to(1);
        input.update((series.clone(), bars[1].clone()), -1);
        input.update((series.clone(), corrected.clone()), 1);
        input.advance_to(LAST_STEP);
        input.update((series.clone(), bars[0].clone()), -1);
        input.update((series.clone(), corrected), -1);
        input.advance_to(stamp(1, 0));
        drop(input);
        while worker.step() {}
        seen.take()
    });
    let mut changes: Vec<((i64, Option<i128>), u64, isize)> =
        seen.into_iter().filter(|(_, time, _)| *time > 0).collect();
    changes.sort_by_key(|(bar, time, diff)| (*time, *bar, *diff));
    let expected = [
        ((1, Some(20)), 1, -1),
        ((1, Some(30)), 1, 1),
        ((2, Some(20)), 1, 1),
        ((2, Some(30)), 1, -1),
        ((0, Some(10)), LAST_STEP, -1),
        ((1, Some(30)), LAST_STEP, -1),
    ];
    assert_eq!(changes, expected);
}

/// What the bars of one day add, by looking ahead: (volume, whether the day went on from a fallen count there).
fn naive_day(ends: &[i128], from: i128) -> Vec<(i128, bool)> {
    let (mut level, mut added) = (from, vec![(0, false); ends.len()]);
    for (at, end) in ends.iter().enumerate() {
        if *end >= level {
            added[at].0 = end - level;
            level = *end;
        } else if ends.get(at + 1).is_some_and(|next| *next < level) {
            added[at + 1].1 = true;
            level = *end;
        }
    }
    added
}

/// Days of bars of (first, last) counts; the first bars of a day may repeat the count that the day before ended with.
fn days() -> impl Strategy<Value = Vec<Vec<(i128, i128)>>> {
    let bar = (1..60i128, 0..6u8, 0..40i128);
    let day = (proptest::collection::vec(bar, 1..12), 0..3usize);
    proptest::collection::vec(day, 1..4).prop_map(|days| {
        let mut ended = 0;
        let mut all = Vec::new();
        for (bars, stale) in days {
            let mut day = vec![(ended, ended); if ended > 0 { stale } else { 0 }];
            let mut count = 0;
            for (rise, kind, low) in bars {
                let first = count + rise / 2;
                // one in six falls, and a fall may stay
                count = if kind == 0 { low } else { count + rise };
                day.push((first, count));
            }
            if stale > 0
                && ended > 0
                && let Some(begins) = day.get_mut(stale)
            {
                begins.0 = ended;
            }
            ended = count;
            all.push(day);
        }
        all
    })
}

fn bars_of(days: &[Vec<(i128, i128)>]) -> Vec<SnapshotBar> {
    let mut shots = Vec::new();
    for (day, bars) in days.iter().enumerate() {
        for (at, (first, last)) in bars.iter().enumerate() {
            let minute = (day * 100 + at) as i64;
            shots.extend([shot(minute, *first, 1), shot(minute, *last, 1)]);
        }
    }
    fold(&shots, |minute| (minute / 100) as i32, true)
}

proptest! {
    /// Whatever the order and the steps in which bars come, and wherever a run ends: the scan gives what a pass over all of a
    /// day's counts gives, nothing is negative, and a day adds up to its last count where nothing fell.
    #[test]
    fn volumes_are_those_of_a_naive_recomputation_whatever_the_cuts(days in days(), steps in proptest::collection::vec(0..4u64, 48), cut in 0..40usize) {
        let bars = bars_of(&days);
        let cut = cut.min(bars.len());
        let (before, base) = scanned(&bars[..cut], &steps, DaySoFar::default(), true);
        let (behind, _) = scanned(&bars[cut..], &steps, base, false);
        let found: Vec<FinishedBar> = before.into_iter().chain(behind).collect();
        let mut ended = None;
        let mut at = 0;
        for day in &days {
            let stale = day.iter().take_while(|(first, last)| ended == Some(*first) && first == last).count();
            let ends: Vec<i128> = day[stale..].iter().map(|(_, last)| *last).collect();
            let expected: Vec<(i128, bool)> = vec![(0, false); stale].into_iter().chain(naive_day(&ends, 0)).collect();
            let volumes: Vec<i128> = found[at..at + day.len()].iter().map(|bar| bar.volume.expect("each has one")).collect();
            prop_assert_eq!(&volumes, &expected.iter().map(|(volume, _)| *volume).collect::<Vec<_>>());
            for (bar, (_, went_on)) in found[at..].iter().zip(&expected) {
                prop_assert!(bar.partial || !went_on);
            }
            if ends.is_sorted() {
                prop_assert_eq!(volumes.iter().sum::<i128>(), ends.last().copied().unwrap_or(0));
            }
            at += day.len();
            ended = ends.last().copied().or(ended);
        }
    }
}

/// The finished bars of a run whose bars come in random order, each once wrong, and its base once all are retired.
fn scanned(bars: &[SnapshotBar], steps: &[u64], base: DaySoFar, retires: bool) -> (Vec<FinishedBar>, DaySoFar) {
    let series: Series = (Interval(MINUTE), Instrument::new("NSE", "1", None));
    let (bars, steps) = (bars.to_vec(), steps.to_vec());
    timely::execute_directly(move |worker| {
        let live: Rc<RefCell<BTreeMap<FinishedBar, isize>>> = Rc::default();
        let last: Rc<RefCell<DaySoFar>> = Rc::new(RefCell::new(base.clone()));
        let mut input = InputSession::<u64, (Series, SnapshotBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let (finished, moved) =
                finish(Rules::NEWEST, "Volume", input.to_collection(scope), HashMap::from([(series.clone(), base)]));
            let (live, last) = (live.clone(), last.clone());
            finished.inspect(move |((_, bar), time, diff)| {
                if *time < LAST_STEP {
                    *live.borrow_mut().entry(bar.clone()).or_default() += diff;
                }
            });
            timely::dataflow::operators::Inspect::inspect(moved, move |(_, base)| {
                *last.borrow_mut() = base.clone().unwrap_or_default();
            });
        });
        for step in 0..5 {
            for (at, bar) in bars.iter().enumerate() {
                let comes = steps[at % steps.len()];
                let wrong = SnapshotBar { cumulative_last: Some(1), ..bar.clone() };
                if step == comes {
                    input.update((series.clone(), wrong.clone()), 1);
                }
                if step == comes + 1 {
                    input.update((series.clone(), wrong), -1);
                    input.update((series.clone(), bar.clone()), 1);
                }
            }
            input.advance_to(step + 1);
        }
        input.advance_to(LAST_STEP);
        if retires {
            bars.iter().for_each(|bar| input.update((series.clone(), bar.clone()), -1));
        }
        input.advance_to(stamp(1, 0));
        drop(input);
        while worker.step() {}
        let live = live.take();
        assert!(live.values().all(|count| [0, 1].contains(count)));
        (live.into_iter().filter(|(_, count)| *count == 1).map(|(bar, _)| bar).collect(), last.take())
    })
}
