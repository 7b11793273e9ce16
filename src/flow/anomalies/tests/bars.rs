//! Returns and silences of an instrument, against their definitions worked out by hand.

use super::{bar, bar_check, pass, walk};
use crate::anomalies::{BarFinding, CHECKS, Level};
use crate::bars::finished::FinishedBar;
use ticktide_base::time::MINUTE;
use ticktide_market::SCALE;

/// `return_z` as its definition reads, over all bars before: (start, observed).
fn return_z_by_hand(bars: &[FinishedBar]) -> Vec<(i64, f64)> {
    let (z, window, warm_up, floor) = (6.0, 60, 10, 0.0005);
    let price = |units: i64| units as f64 / SCALE as f64;
    let mut magnitudes: Vec<f64> = Vec::new();
    let mut found = Vec::new();
    let (mut good, mut odd) = (0.0, None);
    for (index, bar) in bars.iter().enumerate() {
        if index == 0 || bars[index - 1].head.trading_date != bar.head.trading_date {
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
            found.push((bar.head.open_at, r));
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
    // signed prices: where there is no logarithm, nothing is reported
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
        let row = |found: &BarFinding| {
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
    // before the warm-up nothing is reported
    assert!(gaps(1, 1_000, 5..8).is_empty());
}

#[test]
fn a_sum_that_is_too_great_is_an_anomaly_of_its_bar_alone() {
    let most = 999_999_999_999_999_999;
    let ordinary = bar(0, [1.0, 1.0, 1.0, 1.0], 5);
    let ordinary = FinishedBar { turnover: Some(5), volume: Some(5), trades: Some(5), ..ordinary };
    let over = FinishedBar { turnover: None, volume: Some(200 * i128::from(most)), high: most, ..ordinary.clone() };
    let lost = FinishedBar { volume: None, ..ordinary.clone() };
    let of_snapshots = FinishedBar { trades: None, turnover: None, volume: None, ..ordinary.clone() };
    let found = pass(&*bar_check("overflow", &[]), &[ordinary.clone(), over.clone(), of_snapshots, lost, ordinary]);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].started_at, found[0].ended_at), (over.head.open_at, None));
    assert!((1.99e22..2.01e22).contains(&found[0].observed), "200 trades of 10^20: {}", found[0].observed);
    assert!((1.70e22..1.71e22).contains(&found[0].expected), "2^127 / 10^16: {}", found[0].expected);
    assert!(found[1].observed.is_nan());
}
