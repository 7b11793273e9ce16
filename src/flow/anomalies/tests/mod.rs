//! The registry's walk: every check of bars, whatever happens to its bars.

mod bars;
mod feed;
mod partitions;
mod ticks;

use super::scan::BarChecks;
use super::*;
use crate::bars::finished::{BarHead, Series};
use crate::indicators::Accumulator;
use crate::indicators::readings::arrange;
use differential_dataflow::input::InputSession;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use ticktide_base::epoch::{LAST_STEP, stamp};
use ticktide_base::rules::Rules;
use ticktide_base::time::MINUTE;
use ticktide_market::calendar::Session;
use ticktide_market::{Instrument, SCALE};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A bar of a minute with its prices in plain units.
fn bar(minute: i64, [open, high, low, close]: [f64; 4], updates: u64) -> FinishedBar {
    let units = |price: f64| (price * SCALE as f64).round() as i64;
    FinishedBar {
        head: BarHead { open_at: minute * MINUTE, phase: 0, trading_date: 19_000 + (minute / 200) as i32 },
        open: units(open),
        high: units(high),
        low: units(low),
        close: units(close),
        updates,
        ..FinishedBar::default()
    }
}

/// Minutes of a walk with missing minutes, spikes inside and at the end of bars, and jumps that stay.
fn walk(seed: u64, minutes: i64) -> Vec<FinishedBar> {
    let mut random = Random(seed);
    let (mut price, mut minute, mut bars) = (50.0 + random.below(100) as f64, 0, Vec::new());
    let quiet = seed.is_multiple_of(3);
    while minute < minutes {
        let open = price;
        if !quiet || random.below(3) == 0 {
            price *= 1.0 + (random.below(201) as f64 - 100.0) / 50_000.0;
        }
        let mut extremes = (open.max(price), open.min(price));
        let mut close = price;
        match random.below(40) {
            0 => extremes.0 *= 1.3,
            1 => (close, extremes.1) = (price / 1.3, price / 1.3),
            2 => {
                price *= 1.2;
                (close, extremes.0) = (price, price.max(extremes.0));
            }
            _ => {}
        }
        bars.push(bar(minute, [open, extremes.0, extremes.1, close], 1 + random.below(30)));
        minute += 1 + if random.below(25) == 0 { random.below(30) as i64 } else { 0 };
    }
    bars
}

fn instrument() -> Instrument {
    Instrument::new("X", "1", None)
}

fn session() -> Arc<Session> {
    Arc::new(Session::preset("utc-day").expect("a preset"))
}

fn built(name: &str, settings: &[(&str, f64)]) -> Check {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), Setting::from(*value))).collect();
    build(name, &settings).expect("the settings are allowed").check
}

fn bar_check(name: &str, settings: &[(&str, f64)]) -> Box<dyn BarCheck> {
    match built(name, settings) {
        Check::Bar(check) => check,
        _ => panic!("{name} looks at bars"),
    }
}

/// Every bar check with its defaults, as one.
fn all_bar_checks() -> BarChecks {
    let checks = CHECKS.iter().enumerate().filter_map(|(index, spec)| match built(spec.name, &[]) {
        Check::Bar(check) => Some((index as u16, check)),
        _ => None,
    });
    BarChecks::new(Interval(MINUTE), session(), checks.collect(), Rules::NEWEST)
}

/// One pass of a check over bars.
fn pass(check: &dyn BarCheck, bars: &[FinishedBar]) -> Vec<BarFinding> {
    let mut state = vec![0.0; check.width()];
    bars.iter().filter_map(|bar| check.step(&mut state, bar, Interval(MINUTE))).collect()
}

type Accumulated<R> = BTreeMap<(Series, R), isize>;

/// The anomalies of the shared arrangement after all `updates`.
fn scanned(updates: Vec<(u64, (Series, FinishedBar), isize)>) -> Accumulated<Anomaly> {
    timely::execute_directly(move |worker| {
        let seen: Rc<RefCell<Accumulated<Anomaly>>> = Rc::default();
        let mut input = InputSession::<u64, (Series, FinishedBar), isize>::new();
        worker.dataflow::<u64, _, _>(|scope| {
            let arranged = arrange("Finished", input.to_collection(scope));
            let (found, _) = scan::anomalies("Anomalies", arranged, all_bar_checks(), HashMap::new());
            let seen = seen.clone();
            found.inspect(move |(anomaly, _, diff)| *seen.borrow_mut().entry(anomaly.clone()).or_default() += diff);
        });
        for (time, value, diff) in updates {
            input.advance_to(time);
            input.flush();
            input.update(value, diff);
        }
        drop(input);
        while worker.step() {}
        seen.borrow_mut().retain(|_, count| *count != 0);
        seen.take()
    })
}

#[test]
fn every_bar_check_finds_the_same_however_bars_come_are_corrected_and_retire() {
    let series: Series = (Interval(MINUTE), Instrument::new("X", "1", None));
    let mut found = 0;
    for seed in 0..40 {
        let mut random = Random(seed + 1_000);
        let bars = walk(seed, 300);
        let retired = random.below(bars.len() as u64 / 2) as usize;
        let mut updates = Vec::new();
        let mut late = Vec::new();
        for (index, bar) in bars.iter().enumerate() {
            let time = 1 + index as u64 / (1 + seed % 7);
            match random.below(12) {
                0 => late.push(bar.clone()),
                1 => {
                    let wrong = FinishedBar { high: bar.high * 2, updates: bar.updates + 9, ..bar.clone() };
                    updates.push((time, wrong.clone(), 1));
                    let corrected = time + 1 + random.below(60);
                    updates.extend([(corrected, wrong, -1), (corrected, bar.clone(), 1)]);
                }
                2 => {
                    // it was there, was cancelled whole, and came again
                    let (gone, again) = (time + random.below(30) + 1, time + 31 + random.below(30));
                    updates.extend([(time, bar.clone(), 1), (gone, bar.clone(), -1), (again, bar.clone(), 1)]);
                }
                _ => updates.push((time, bar.clone(), 1)),
            }
        }
        updates.extend(late.into_iter().map(|bar| (400 + random.below(5), bar, 1)));
        updates.extend(bars[..retired].iter().map(|bar| (LAST_STEP, bar.clone(), -1)));
        // in the next epoch one of the remaining bars is corrected back and forth
        let left = &bars[retired + random.below((bars.len() - retired) as u64) as usize];
        let other = FinishedBar { low: left.low / 2, ..left.clone() };
        updates.extend([(stamp(1, 1), left.clone(), -1), (stamp(1, 1), other.clone(), 1)]);
        updates.extend([(stamp(1, 2), other, -1), (stamp(1, 2), left.clone(), 1)]);
        updates.sort_by_key(|(time, ..)| *time);
        let updates = updates.into_iter().map(|(time, bar, diff)| (time, (series.clone(), bar), diff)).collect();

        let (checks, mut expected) = (all_bar_checks(), Accumulated::new());
        let mut state = checks.fresh();
        for anomaly in bars.iter().flat_map(|bar| checks.step(&instrument(), &mut state, bar)) {
            *expected.entry((series.clone(), anomaly)).or_default() += 1;
        }
        found += expected.len();
        assert!(expected.values().all(|count| *count == 1), "a key is live once");
        assert_eq!(scanned(updates), expected, "seed {seed}");
    }
    assert!(found > 300, "the bars of the test are odd enough: {found}");
}

#[test]
fn a_state_saved_and_loaded_at_any_bar_goes_on_as_if_nothing_happened() {
    let bars = walk(4, 250);
    let checks = all_bar_checks();
    let (mut state, mut loaded) = (checks.fresh(), checks.fresh());
    for bar in &bars {
        let bytes = bincode::serialize(&loaded).expect("an accumulator serialises");
        loaded = bincode::deserialize::<Accumulator>(&bytes).expect("and comes back");
        assert_eq!(checks.step(&instrument(), &mut state, bar), all_bar_checks().step(&instrument(), &mut loaded, bar));
        assert_eq!(state, loaded);
    }
}

#[test]
fn every_bar_check_forgets_a_bar_that_came_too_much() {
    for spec in CHECKS.iter().filter(|spec| spec.level == Level::Bar) {
        let check = bar_check(spec.name, &[]);
        let bars = walk(1, 4_000);
        let (mut with, mut without) = (vec![0.0; check.width()], vec![0.0; check.width()]);
        check.step(&mut with, &bars[0], Interval(MINUTE));
        let forgotten = bars[1..].iter().position(|bar| {
            check.step(&mut with, bar, Interval(MINUTE));
            check.step(&mut without, bar, Interval(MINUTE));
            with == without
        });
        assert!(forgotten.is_some(), "{} remembers one bar for 4,000 minutes", spec.name);
    }
}

#[test]
fn wrong_settings_say_what_and_how() {
    let error = |name: &str, key: &str, value: Setting| {
        let error = build(name, &BTreeMap::from([(key.to_string(), value)])).err().expect("it is refused");
        (error.message, error.hint)
    };
    assert_eq!(error("return_z", "z", 0.into()).0, r#"check "return_z" has z 0, the least is 1"#);
    assert_eq!(error("return_z", "windw", 9.into()).1, r#"did you mean "window"?"#);
    assert_eq!(error("return_z", "warm_up", 90.into()).0, r#"check "return_z": warm_up 90 is above window 60"#);
    assert_eq!(error("feed_gab", "z", 0.into()).1, r#"did you mean "feed_gap"?"#);
    assert_eq!(
        error("feed_gap", "seconds", "x".into()).0,
        r#"check "feed_gap" has seconds "x", which is not a number"#
    );
}

#[test]
fn every_check_builds_with_its_defaults_and_shows_them_all() {
    for spec in CHECKS.iter() {
        let built = build(spec.name, &BTreeMap::new()).expect("defaults are allowed");
        let shown: BTreeMap<String, f64> = serde_json::from_str(&built.parameters).expect("a JSON object of numbers");
        let expected = spec.parameters.iter().map(|parameter| (parameter.name.to_string(), parameter.default));
        assert_eq!(shown, expected.collect(), "{}", spec.name);
        let level = match built.check {
            Check::Tick(_) | Check::Partitions => Level::Tick,
            Check::Bar(_) => Level::Bar,
            Check::Listed(_) => Level::Listed,
            Check::Feed(_) => Level::Feed,
        };
        assert_eq!(level, spec.level, "{}", spec.name);
    }
}
