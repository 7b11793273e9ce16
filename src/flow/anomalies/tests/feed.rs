//! Gaps of a feed and suspects, as properties over any order of what comes.

use super::{Random, built};
use crate::anomalies::beats::{Beat, BeatChange, Beats, Changes, Presence};
use crate::anomalies::suspects::{Suspects, Suspicion, TradeIdentity, TradeReport};
use crate::anomalies::{Anomaly, Check, FeedGap, RecordRange, Severity};
use proptest::prelude::*;
use std::collections::BTreeMap;
use ticktide_base::time::{Interval, SECOND};
use ticktide_market::Instrument;

fn pulse(open_at: i64, diff: isize) -> BeatChange {
    let trading_date = (open_at / (1_000 * SECOND)) as i32;
    BeatChange { venue: "V".into(), beat: Beat { open_at, phase: 0, trading_date }, diff }
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
            seen: Some(RecordRange { partition: "t/0".into(), offset_first: offset, offset_last: offset }), symbol: None,
        };
        let name = (Instrument::new("V", "S", None), 0, TradeIdentity::Id("a".into()));
        let mut told = Vec::new();
        if odd {
            told.push(TradeReport::Odd { rank: None, anomalies: vec![anomaly(0)] });
        }
        for (sequence, is_odd) in &corrections {
            let rank = ((*sequence, 0), 1, 1);
            told.push(TradeReport::Corrected(rank));
            if *is_odd {
                told.push(TradeReport::Odd { rank: Some(rank), anomalies: vec![anomaly(*sequence as i64)] });
            }
        }
        if cancelled {
            told.push(TradeReport::Cancelled);
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
fn a_trades_row_is_taken_back_under_the_symbol_it_had_whatever_symbol_its_cancel_tells() {
    let row = Anomaly {
        open_at: 0,
        phase: 0,
        check: 0,
        started_at: 0,
        ended_at: 0,
        severity: Severity::Critical,
        observed: 0,
        expected: 0,
        seen: None,
        symbol: None,
    };
    let told = |symbol, told| Suspicion {
        name: (Instrument::new("V", "S", symbol), 0, TradeIdentity::Id("a".into())),
        at: 5,
        told,
    };
    let mut suspects = Suspects::default();
    let odd = TradeReport::Odd { rank: None, anomalies: vec![row] };
    let mut rows = suspects.take(told(Some("S"), odd));
    let mut keys = Vec::new();
    for (name, suspect) in std::mem::take(&mut suspects).retire(0).into_iter().chain(suspects.retire(0)) {
        keys.push(name.0.symbol().map(str::to_owned));
        let bytes = bincode::serialize(&suspect.expect("kept")).expect("plain values");
        suspects.restore(name, bincode::deserialize(&bytes).expect("its own bytes"));
    }
    rows.extend(suspects.take(told(None, TradeReport::Cancelled)));
    keys.extend(suspects.retire(0).into_iter().map(|(name, _)| name.0.symbol().map(str::to_owned)));
    let shown: Vec<(Option<&str>, isize)> = rows.iter().map(|(row, diff)| (row.symbol.as_deref(), *diff)).collect();
    assert_eq!(shown, [(Some("S"), 1), (Some("S"), -1)]);
    assert_eq!(keys, [Some("S".to_owned()), Some("S".to_owned())]);
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

#[test]
fn beats_between_a_horizon_and_where_it_falls_to_are_taken_again() {
    let mut beats = Beats::new(feed_gap(7.0), 0, Interval(SECOND), i64::MIN);
    let mut changes = Vec::new();
    [10, 2_000].into_iter().for_each(|second| beats.take(&pulse(second * SECOND, 1), &mut changes));
    let bases = beats.retire(1_000 * SECOND);
    // set back to 20: the last beat before is the base, here as after a restart
    assert!(beats.retire(20 * SECOND).is_empty());
    let mut again = Beats::new(feed_gap(7.0), 0, Interval(SECOND), 20 * SECOND);
    bases.iter().for_each(|(venue, base)| again.restore(venue, *base));
    again.take(&pulse(2_000 * SECOND, 1), &mut Vec::new());
    let [mut here, mut behind] = [Vec::new(), Vec::new()];
    beats.take(&pulse(30 * SECOND, 1), &mut here);
    again.take(&pulse(30 * SECOND, 1), &mut behind);
    assert_eq!(here, behind);
    assert!(summed(&here).contains_key(&(11, 30)), "{here:?}");
}
