use super::beats::{Beat, Beats, Changes, Presence, Pulse};
use super::scan::BarChecks;
use super::suspects::{Label, Suspects, Suspicion, Told};
use super::*;
use crate::calendar::Session;
use crate::flow::finished::Series;
use crate::flow::indicators::Accumulator;
use crate::flow::readings::arrange;
use crate::flow::scan::Positioned;
use crate::market::{Instrument, InstrumentId, Price, Quantity, SCALE, Snapshot, TickKind};
use crate::time::{LAST_STEP, MINUTE, SECOND, stamp};
use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

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
        trading_date: 19_000 + (minute / 200) as i32,
        open: units(open),
        high: units(high),
        low: units(low),
        close: units(close),
        updates,
        ..FinishedBar::floor((minute * MINUTE, 0))
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
    BarChecks::new(Interval(MINUTE), session(), checks.collect())
}

/// One pass of a check over bars.
fn pass(check: &dyn BarCheck, bars: &[FinishedBar]) -> Vec<Found> {
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
            let arranged = arrange(input.to_collection(scope));
            let (found, _) = scan::anomalies(arranged, all_bar_checks(), HashMap::new());
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
        // in the next epoch one of those that are left is corrected to and fro
        let left = &bars[retired + random.below((bars.len() - retired) as u64) as usize];
        let other = FinishedBar { low: left.low / 2, ..left.clone() };
        updates.extend([(stamp(1, 1), left.clone(), -1), (stamp(1, 1), other.clone(), 1)]);
        updates.extend([(stamp(1, 2), other, -1), (stamp(1, 2), left.clone(), 1)]);
        updates.sort_by_key(|(time, ..)| *time);
        let updates = updates.into_iter().map(|(time, bar, diff)| (time, (series.clone(), bar), diff)).collect();

        let (checks, mut expected) = (all_bar_checks(), Accumulated::new());
        let mut state = checks.fresh();
        for anomaly in bars.iter().flat_map(|bar| checks.step(&mut state, bar)) {
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
        assert_eq!(checks.step(&mut state, bar), all_bar_checks().step(&mut loaded, bar));
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

/// `return_z` as its definition reads, over all bars before: (start, observed).
fn return_z_by_hand(bars: &[FinishedBar]) -> Vec<(i64, f64)> {
    let (z, window, warm_up, floor) = (6.0, 60, 10, 0.0005);
    let price = |units: i64| units as f64 / SCALE as f64;
    let mut magnitudes: Vec<f64> = Vec::new();
    let mut found = Vec::new();
    let (mut good, mut odd) = (0.0, None);
    for (index, bar) in bars.iter().enumerate() {
        if index == 0 || bars[index - 1].trading_date != bar.trading_date {
            (good, odd) = (price(bar.open), None);
        }
        let furthest = |from: f64| {
            let both = [(price(bar.high) / from).ln(), (price(bar.low) / from).ln()];
            *both.iter().max_by(|a, b| a.abs().total_cmp(&b.abs())).expect("two of them")
        };
        if let Some(from) = odd.take()
            && furthest(from).abs() < furthest(good).abs()
        {
            good = from;
        }
        let r = furthest(good);
        let last = &magnitudes[magnitudes.len().saturating_sub(window)..];
        let n = last.len() as f64;
        let mut bound = f64::INFINITY;
        if last.len() >= warm_up {
            let mut sorted = last.to_vec();
            sorted.sort_by(f64::total_cmp);
            let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
            let mean = last.iter().sum::<f64>() / n;
            let deviation = (1.4826 * median).max((std::f64::consts::PI / 2.0).sqrt() * mean).max(floor);
            bound = z * deviation * (30.0 / n).sqrt().max(1.0);
        }
        magnitudes.push(r.abs().min(bound));
        if r.abs() > bound {
            found.push((bar.open_at, r));
            odd = Some(price(bar.close));
        } else {
            good = price(bar.close);
        }
    }
    found
}

#[test]
fn returns_are_judged_as_the_definition_reads() {
    let mut found = 0;
    for seed in 0..60 {
        let bars = walk(seed, 400);
        let said: Vec<(i64, f64)> =
            pass(&*bar_check("return_z", &[]), &bars).iter().map(|found| (found.started_at, found.observed)).collect();
        let expected = return_z_by_hand(&bars);
        assert_eq!(said.len(), expected.len(), "seed {seed}");
        for (said, expected) in said.iter().zip(&expected) {
            assert_eq!(said.0, expected.0, "seed {seed}");
            assert!((said.1 - expected.1).abs() < 1e-12, "seed {seed}: {said:?} {expected:?}");
        }
        found += said.len();
    }
    assert!(found > 500, "{found}");
}

/// Forty quiet minutes, then those given, then ten more at the last close.
fn with_quiet(odd: &[[f64; 4]]) -> Vec<FinishedBar> {
    let mut prices: Vec<[f64; 4]> = (0..40).map(|n| [100.0, 100.0 + f64::from(n % 3) * 0.05, 100.0, 100.0]).collect();
    prices.extend(odd);
    let last = prices[prices.len() - 1][3];
    prices.extend([[last; 4]; 10]);
    prices.into_iter().enumerate().map(|(minute, prices)| bar(minute as i64, prices, 5)).collect()
}

#[test]
fn a_spike_with_its_reversal_and_a_jump_that_stays_are_one_anomaly_each() {
    let starts = |odd: &[[f64; 4]]| -> Vec<i64> {
        let found = pass(&*bar_check("return_z", &[]), &with_quiet(odd));
        found.iter().map(|found| found.started_at / MINUTE).collect()
    };
    assert!(starts(&[]).is_empty());
    assert_eq!(starts(&[[100.0, 130.0, 100.0, 100.0]]), [40], "inside a bar");
    assert_eq!(starts(&[[100.0, 130.0, 100.0, 130.0], [100.0; 4]]), [40], "the last print of a bar");
    assert_eq!(starts(&[[130.0, 130.0, 100.0, 100.0]]), [40], "the first print of a bar");
    assert_eq!(starts(&[[100.0, 120.0, 100.0, 120.0], [120.0; 4]]), [40], "a jump that stays");
    assert_eq!(starts(&[[130.0; 4], [130.0; 4], [100.0; 4]]), [40, 42], "out for two bars, and back");
    // signed prices: where there is no logarithm, nothing is said
    assert!(starts(&[[-1.0; 4], [-1.0; 4]]).is_empty());
}

#[test]
fn a_night_is_no_anomaly_and_no_gap() {
    let night = |minute: i64| bar(minute, if minute < 200 { [100.0; 4] } else { [150.0; 4] }, 5);
    let bars: Vec<FinishedBar> = (0..60).chain(400..460).map(night).collect();
    for spec in CHECKS.iter().filter(|spec| spec.level == Level::Bar) {
        assert_eq!(pass(&*bar_check(spec.name, &[]), &bars), [], "{}", spec.name);
    }
}

#[test]
fn an_instrument_is_silent_by_its_own_measure() {
    let gaps = |every: i64, updates: u64, missing: std::ops::Range<i64>| -> Vec<(i64, i64, f64, f64)> {
        let minutes = (0..120).filter(|minute| minute % every == 0 && !missing.contains(minute));
        let bars: Vec<FinishedBar> = minutes.map(|minute| bar(minute, [100.0; 4], updates)).collect();
        let found = pass(&*bar_check("instrument_gap", &[]), &bars);
        let minute = |at: i64| at / MINUTE;
        let row = |found: &Found| {
            (minute(found.started_at), minute(found.ended_at.expect("a gap ends")), found.observed, found.expected)
        };
        found.iter().map(row).collect()
    };
    // ten records a minute: one in 6 s, so 20 times that is two minutes
    assert_eq!(gaps(1, 10, 60..65), [(60, 65, 300.0, 120.0)]);
    assert!(gaps(1, 10, 60..62).is_empty(), "as long as the bound");
    // one record a minute: twenty minutes are ordinary
    assert!(gaps(1, 1, 60..75).is_empty());
    assert_eq!(gaps(1, 1, 60..85).len(), 1);
    // busy, but only every third minute
    assert!(gaps(3, 300, 60..66).is_empty());
    assert_eq!(gaps(3, 300, 60..76).len(), 1);
    // the least is `seconds`, however busy
    assert!(gaps(1, 1_000, 60..61).is_empty());
    assert_eq!(gaps(1, 1_000, 60..62), [(60, 62, 120.0, 60.0)]);
    // before the warm-up nothing is said
    assert!(gaps(1, 1_000, 5..8).is_empty());
}

fn pulse(open_at: i64, diff: isize) -> Pulse {
    let trading_date = (open_at / (1_000 * SECOND)) as i32;
    Pulse { venue: "V".into(), beat: Beat { open_at, phase: 0, trading_date }, diff }
}

fn feed_gap(seconds: f64) -> FeedGap {
    match built("feed_gap", &[("seconds", seconds)]) {
        Check::Feed(gap) => gap,
        _ => panic!("it looks at feeds"),
    }
}

fn summed(changes: &Changes) -> BTreeMap<(i64, i64), isize> {
    let mut sums = BTreeMap::new();
    for ((_, anomaly), diff) in changes {
        *sums.entry((anomaly.started_at / SECOND, anomaly.ended_at / SECOND)).or_default() += diff;
    }
    sums.retain(|_, count| *count != 0);
    sums
}

proptest! {
    /// Seconds with bars, in any order, some lost again, some retired below a horizon and a restart there.
    #[test]
    fn gaps_of_a_feed_are_those_between_its_neighbouring_beats(
        beats in proptest::collection::btree_set(0i64..3_000, 1..120),
        lost in proptest::collection::btree_set(0i64..3_000, 0..20),
        seed in any::<u64>(),
        horizon in 0i64..3_000,
    ) {
        let mut random = Random(seed);
        let mut arrivals: Vec<(u64, i64, isize)> = Vec::new();
        for second in beats.iter().chain(&lost) {
            let at = random.below(1 << 20);
            arrivals.push((at, *second, 1));
            // a second worker that has the beat, too, for a while
            if random.below(3) == 0 {
                arrivals.extend([(random.below(1 << 19), *second, 1), ((1 << 20) + random.below(9), *second, -1)]);
            }
        }
        arrivals.extend(lost.iter().map(|second| ((1 << 20) + 9 + random.below(9), *second, -1)));
        // a beat both kept and lost was added twice
        arrivals.sort_unstable();
        let live: Vec<i64> = beats.iter().copied().collect();

        let mut naive = BTreeMap::new();
        for pair in live.windows(2).filter(|pair| pair[0] / 1_000 == pair[1] / 1_000 && pair[1] - pair[0] - 1 > 7) {
            naive.insert((pair[0] + 1, pair[1]), 1);
        }
        let mut changes = Vec::new();
        let mut all = Beats::new(feed_gap(7.0), 0, Interval(SECOND), i64::MIN);
        for (_, second, diff) in &arrivals {
            all.take(&pulse(second * SECOND, *diff), &mut changes);
        }
        prop_assert_eq!(&summed(&changes), &naive);

        // retired up to the horizon; changes before it do nothing, and a restart knows the last beat there
        let bases = all.retire(horizon * SECOND);
        let kept = changes.clone();
        all.take(&pulse((horizon - 1) * SECOND, -1), &mut changes);
        prop_assert_eq!(changes.len(), kept.len());
        let mut again = Beats::new(feed_gap(7.0), 0, Interval(SECOND), horizon * SECOND);
        bases.iter().for_each(|(venue, base)| again.restore(venue, *base));
        let mut restored = Vec::new();
        live.iter().for_each(|second| again.take(&pulse(second * SECOND, 1), &mut restored));
        naive.retain(|(_, end), _| *end >= horizon);
        prop_assert_eq!(summed(&restored), naive);
    }

    /// What is odd about a trade, corrections and a cancel, in any order and in any two runs.
    #[test]
    fn the_rows_of_a_trade_do_not_depend_on_the_order_of_its_records(
        odd in any::<bool>(),
        corrections in proptest::collection::btree_map(1u64..5, any::<bool>(), 0..4),
        cancelled in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let anomaly = |offset: i64| Anomaly {
            open_at: 0, phase: 0, check: 0, started_at: 0, ended_at: 0, severity: Severity::Critical, observed: 0, expected: 0,
            seen: Some(Seen { partition: "t/0".into(), offset_first: offset, offset_last: offset }),
        };
        let name = (Instrument::new("V", "S", None), 0, Label::Id("a".into()));
        let mut told = Vec::new();
        if odd {
            told.push(Told::Odd { rank: None, anomalies: vec![anomaly(0)] });
        }
        for (sequence, is_odd) in &corrections {
            let rank = ((*sequence, 0), 1, 1);
            told.push(Told::Corrected(rank));
            if *is_odd {
                told.push(Told::Odd { rank: Some(rank), anomalies: vec![anomaly(*sequence as i64)] });
            }
        }
        if cancelled {
            told.push(Told::Cancelled);
        }
        let expected: Vec<i64> = match corrections.last_key_value() {
            _ if cancelled => vec![],
            Some((sequence, is_odd)) => Vec::from_iter(is_odd.then_some(*sequence as i64)),
            None => Vec::from_iter(odd.then_some(0)),
        };
        let mut random = Random(seed);
        let (mut suspects, mut live) = (Suspects::default(), BTreeMap::<i64, isize>::new());
        while !told.is_empty() {
            let told = told.swap_remove(random.below(told.len() as u64) as usize);
            for (row, diff) in suspects.take(Suspicion { name: name.clone(), at: 5, told }) {
                *live.entry(row.seen.expect("it has a place").offset_first).or_default() += diff;
            }
            if random.below(2) == 0 {
                // the state of an epoch's end, and a restart from it
                let mut restored = Suspects::default();
                for (name, suspect) in suspects.retire(0) {
                    let bytes = bincode::serialize(&suspect.expect("kept")).expect("plain values");
                    restored.restore(name, bincode::deserialize(&bytes).expect("its own bytes"));
                    suspects = std::mem::take(&mut restored);
                }
            }
        }
        live.retain(|_, count| *count != 0);
        prop_assert!(live.values().all(|count| *count == 1));
        prop_assert_eq!(live.into_keys().collect::<Vec<_>>(), expected);
        let forgotten = suspects.retire(6);
        prop_assert!(forgotten.iter().all(|(_, suspect)| suspect.is_none()));
    }
}

#[test]
fn a_workers_beats_come_and_go_with_its_first_and_last_bar() {
    let (first, second) = (Instrument::new("V", "1", None), Instrument::new("V", "2", None));
    let beat = Beat { open_at: 0, phase: 0, trading_date: 0 };
    let mut presence = Presence::default();
    let mut step = |changes: &[(&Instrument, isize)]| -> Vec<isize> {
        changes.iter().for_each(|(instrument, diff)| presence.change(instrument, beat, *diff));
        presence.pulses().map(|pulse| pulse.diff).collect()
    };
    assert_eq!(step(&[(&first, 1)]), [1]);
    assert!(step(&[(&second, 1)]).is_empty());
    assert!(step(&[(&first, -1), (&first, 1)]).is_empty(), "a bar that changes stays");
    assert!(step(&[(&first, -1)]).is_empty());
    assert_eq!(step(&[(&second, -1)]), [-1]);
}

fn tick(kind: TickKind) -> Tick {
    Tick {
        kind,
        suspicious: false,
        instrument: InstrumentId(0),
        offset: 0,
        exchange_at: 0,
        received_at: None,
        sequence: None,
        price: None,
        quantity: None,
        id: None,
        conditions: None,
        snapshot: None,
    }
}

fn quote(bid: Option<i64>, ask: Option<i64>) -> Tick {
    let price = |plain: Option<i64>| plain.map(|plain| Price(plain * SCALE));
    let snapshot = Snapshot { bid: price(bid), ask: price(ask), ..Snapshot::default() };
    Tick { price: Some(Price(SCALE)), snapshot: Some(Box::new(snapshot)), ..tick(TickKind::Snapshot) }
}

fn look(name: &str, settings: &[(&str, f64)], tick: &Tick, facts: Facts) -> Option<(Severity, f64, f64)> {
    match built(name, settings) {
        Check::Tick(check) => check.look(tick, &facts).map(|odd| (odd.severity, odd.observed, odd.expected)),
        _ => panic!("{name} looks at ticks"),
    }
}

#[test]
fn a_bad_price_or_size_is_what_no_trade_and_no_quote_can_have() {
    let trade = |price: i64, quantity: i64| Tick {
        price: Some(Price(price * SCALE)),
        quantity: Some(Quantity(quantity * SCALE)),
        ..tick(TickKind::Trade)
    };
    let look = |tick: &Tick| look("bad_price_size", &[], tick, Facts::default()).map(|odd| (odd.1, odd.2));
    assert_eq!(look(&trade(5, 0)), None);
    assert_eq!(look(&trade(0, 1)), Some((0.0, 0.0)));
    assert_eq!(look(&trade(-5, 1)), Some((-5.0, 0.0)));
    assert_eq!(look(&trade(5, 1_000_000_000)), None);
    assert_eq!(look(&trade(5, 1_000_000_001)), Some((1_000_000_001.0, 1e9)));
    assert_eq!(
        look(&Tick { price: Some(Price(0)), ..quote(Some(0), None) }),
        None,
        "nothing traded yet, an empty side"
    );
    assert_eq!(look(&quote(Some(-1), Some(2))), Some((-1.0, 0.0)));
    let signed = Facts { prices_signed: true, ..Facts::default() };
    assert_eq!(super::tests::look("bad_price_size", &[], &trade(-5, 1), signed), None);
}

#[test]
fn a_quote_is_crossed_outside_auctions_and_locked_on_demand() {
    let plain = Facts::default();
    let look = |tick: &Tick, locked: f64, facts| look("crossed_quote", &[("locked", locked)], tick, facts);
    assert_eq!(look(&quote(Some(3), Some(2)), 0.0, plain), Some((Severity::Warning, 3.0, 2.0)));
    assert_eq!(look(&quote(Some(2), Some(3)), 1.0, plain), None);
    assert_eq!(look(&quote(Some(2), Some(2)), 0.0, plain), None);
    assert_eq!(look(&quote(Some(2), Some(2)), 1.0, plain), Some((Severity::Notice, 2.0, 2.0)));
    for one_sided in [quote(Some(3), Some(0)), quote(Some(3), None), quote(None, Some(2))] {
        assert_eq!(look(&one_sided, 1.0, plain), None);
    }
    assert_eq!(look(&quote(Some(3), Some(2)), 0.0, Facts { auction: true, ..plain }), None);
    let nse = Session::preset("nse").expect("a preset");
    assert_eq!([0, 1, 2].map(|phase| nse.is_auction(phase)), [true, false, false]);
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
    assert_eq!(error("feed_gap", "seconds", "x".into()).0, r#"check "feed_gap" has seconds "x", which is no number"#);
}

#[test]
fn every_check_builds_with_its_defaults_and_shows_them_all() {
    for spec in CHECKS {
        let built = build(spec.name, &BTreeMap::new()).expect("defaults are allowed");
        let shown: BTreeMap<String, f64> = serde_json::from_str(&built.parameters).expect("a JSON object of numbers");
        let expected = spec.parameters.iter().map(|parameter| (parameter.name.to_string(), parameter.default));
        assert_eq!(shown, expected.collect(), "{}", spec.name);
        let level = match built.check {
            Check::Tick(_) => Level::Tick,
            Check::Bar(_) => Level::Bar,
            Check::Feed(_) => Level::Feed,
        };
        assert_eq!(level, spec.level, "{}", spec.name);
    }
}
