//! Records that are too late for some intervals: every cut, every order of partitions and every horizon behind them give one
//! table.

use super::*;
use crate::bars::trades::TradeReach;
use std::collections::BTreeSet;

/// How far back a record counts, by interval.
const REACHES: [Nanos; 3] = [40 * SECOND, 3 * MINUTE, 8 * MINUTE];
/// How far back trades are kept: shorter than the time that records span, or longer.
const KEPT: [Nanos; 2] = [4 * MINUTE, 20 * MINUTE];

/// What a partition reports, in its order.
#[derive(Clone, Debug)]
struct Told {
    id: u8,
    at: Nanos,
    /// 0: a trade, 1: a cancel, 2: a correction.
    kind: u8,
    price: i64,
    order: u64,
}

/// A record with the time that its partition had reached.
#[derive(Clone, Debug)]
struct Judged {
    told: Told,
    partition: usize,
    offset: i64,
    mask: u32,
    reached: Reached,
    counts_from: [Nanos; 3],
}

/// The records of a partition that are not too late for everything.
fn judged(partition: usize, records: &[Told], kept: Nanos) -> Vec<Judged> {
    let mut running = Nanos::MIN;
    let mut all = Vec::new();
    for (offset, told) in records.iter().enumerate() {
        let reach = |span: Nanos| {
            let back = running.saturating_sub(span).max(-DAY);
            back - back.rem_euclid(MINUTE)
        };
        let counts_from = REACHES.map(reach);
        let mask = (0..3).filter(|level| told.at >= counts_from[*level]).fold(0, |mask, level| mask | 1 << level);
        let reached = Reached { kept_from: reach(kept), known_from: counts_from[2] };
        let counts = if told.kind == 0 { mask != 0 } else { told.at >= reached.kept_from };
        running = running.max(told.at);
        if counts {
            let told = told.clone();
            all.push(Judged { told, partition, offset: offset as i64, mask, reached, counts_from });
        }
    }
    all
}

impl Judged {
    /// `copies`: an id may be reported again, and counts once.
    fn routed(&self, copies: bool) -> Routed {
        let place = RecordOrigin { partition: format!("t/{}", self.partition).into(), offset: self.offset, ..place() };
        let Told { id, at, kind, price, order } = self.told;
        if kind > 0 {
            let replaces = (kind == 2).then_some((price, 1));
            let (kept_from, counts_from) = (self.reached.kept_from, self.counts_from.into());
            let correction = Correction { order: (order, at), replaces, place, kept_from, counts_from };
            return Routed::Correction { instrument: instrument(), key: key(id), correction };
        }
        let mut told = trade(id, at, price, 1, self.mask);
        if let Routed::Trade { reached, place: told_at, seen, .. } = &mut told {
            (*reached, *told_at) = (self.reached, place);
            let minute = (at / MINUTE) as i32;
            *seen = copies.then(|| crate::clean::duplicates::SeenEntry::Sequence(id.into(), 0, minute));
        }
        told
    }
}

/// The table of a set of records, from scratch.
fn table_of(records: &[Judged]) -> BTreeMap<(Interval, Nanos), [i128; 6]> {
    let mut counted: Vec<[Vec<(Nanos, u8, i64)>; 3]> = vec![Default::default()];
    let ids: BTreeSet<u8> = records.iter().map(|record| record.told.id).collect();
    for id in ids {
        let of = |kind: fn(u8) -> bool| records.iter().filter(move |r| r.told.id == id && kind(r.told.kind));
        let trades: Vec<&Judged> = of(|kind| kind == 0).collect();
        let Some(first) = trades.first() else { continue };
        let at = first.told.at;
        let kept: Vec<&&Judged> = trades.iter().filter(|trade| at >= trade.reached.kept_from).collect();
        for (level, counted) in counted[0].iter_mut().enumerate() {
            if !trades.iter().any(|trade| trade.mask & (1 << level) != 0) {
                continue;
            }
            let meets = |correction: &&Judged| {
                let known = kept.iter().any(|trade| correction.told.at >= trade.reached.kept_from);
                known && at >= correction.reached.kept_from && at >= correction.counts_from[level]
            };
            if of(|kind| kind == 1).any(|cancel| meets(&cancel)) {
                continue;
            }
            let corrections = of(|kind| kind == 2).filter(meets);
            let greatest = corrections.map(|r| ((r.told.order, r.told.at), r.told.price)).max();
            let price = greatest.map_or(first.told.price, |(_, price)| price);
            if price > 0 {
                counted.push((at, id, price));
            }
        }
    }
    let mut table: BTreeMap<(Interval, Nanos), [i128; 6]> = BTreeMap::new();
    for (interval, mut trades) in INTERVALS.into_iter().zip(counted.remove(0)) {
        trades.sort_unstable();
        for (at, _, price) in trades {
            let price = i128::from(price);
            let bar = table.entry((interval, at - at.rem_euclid(interval.0))).or_insert([price, price, price, 0, 0, 0]);
            *bar = [bar[0], bar[1].max(price), bar[2].min(price), price, bar[4] + 1, bar[5] + 1];
        }
    }
    table
}

/// The table that a run makes of records in this order, cut into these epochs.
fn run(records: &[Judged], cuts: &[usize], lag: usize, copies: bool) -> BTreeMap<(Interval, Nanos), [i128; 6]> {
    let spec = BarsSpec { dedupe_here: copies, ..spec(true, false) };
    let mut keyed = Keyed::new(spec.clone());
    let (mut table, mut durable) = (Known::default(), Durable::new());
    let mut bounds: Vec<(usize, [Nanos; 3], Nanos)> = Vec::new();
    let mut horizon = horizons(OPEN, Nanos::MIN);
    let mut rest = records;
    for (epoch, cut) in cuts.iter().copied().chain([usize::MAX]).enumerate() {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        rest = later;
        keyed.begin(horizon.clone());
        let (mut aside, mut changes) = (Aside::default(), Vec::new());
        now.iter().for_each(|record| keyed.apply(record.routed(copies), &mut aside));
        keyed.changes(&mut changes);
        table.take(changes);
        for (instrument, key, value) in keyed.retire(epoch as u64, &mut Vec::new(), &mut Aside::default()) {
            match value {
                Some(value) => durable.insert((instrument, key), value),
                None => durable.remove(&(instrument, key)),
            };
        }
        bounds.extend(now.iter().map(|record| (record.partition, record.counts_from, record.reached.kept_from)));
        // memory is judged by the time that every partition had reached a while ago
        let past = &bounds[..bounds.len().saturating_sub(lag)];
        let latest: Vec<_> =
            (0..2).map(|partition| past.iter().rev().find(|(own, ..)| *own == partition)).collect::<Vec<_>>();
        if let [Some(a), Some(b)] = latest[..] {
            let at: Vec<Nanos> = (0..3).map(|level| a.1[level].min(b.1[level])).collect();
            let least = horizon.intervals.iter().zip(&at).map(|(before, at)| *before.max(at)).collect::<Vec<_>>();
            horizon = EpochHorizons { retained_from: horizon.retained_from.max(a.2.min(b.2)), ..horizon };
            horizon.intervals = least;
        }
        if epoch % 3 == 2 {
            keyed = Keyed::new(spec.clone());
            for ((instrument, key), value) in &durable {
                keyed.restore(instrument, key.clone(), value).expect("its own state");
            }
            keyed.restored(horizon.clone(), |_, _| ());
        }
    }
    table.prices()
}

/// What two partitions report: trades out of order by minutes, in one or in both, and their cancels and corrections.
fn told() -> impl Strategy<Value = [Vec<Told>; 2]> {
    let one = (0u8..12, 0i64..900, 0u8..4, 1i64..50, 1u64..4);
    let records = proptest::collection::vec(one, 1..40);
    [records.clone(), records].prop_map(|both| {
        let mut trades: BTreeMap<u8, (Nanos, i64)> = BTreeMap::new();
        both.map(|records| {
            let told = records.into_iter().map(|(id, second, kind, price, order)| {
                let kind = kind.saturating_sub(1);
                let (at, price) = match kind {
                    0 => *trades.entry(id).or_insert((second * SECOND, price)),
                    _ => (second * SECOND, price),
                };
                Told { id, at, kind, price, order }
            });
            told.collect::<Vec<_>>()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn late_trades_and_corrections_give_one_table_in_every_order_and_with_every_cut(
        told in told(), turns in proptest::collection::vec(any::<bool>(), 80),
        cuts in proptest::collection::vec(1usize..12, 0..12), lag in 0usize..20, copies in any::<bool>()
    ) {
        let kept = KEPT[usize::from(copies)];
        let mut once = BTreeSet::new();
        let told = told.map(|told| {
            let once = told.into_iter().filter(|told| copies || told.kind > 0 || once.insert(told.id));
            once.collect::<Vec<_>>()
        });
        let [a, b] = [judged(0, &told[0], kept), judged(1, &told[1], kept)];
        let all: Vec<Judged> = a.iter().chain(&b).cloned().collect();
        let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
        let mut mixed = Vec::new();
        for turn in turns {
            mixed.extend(if turn { a.next() } else { b.next() });
        }
        mixed.extend(a.chain(b));
        prop_assert_eq!(run(&mixed, &cuts, lag, copies), table_of(&all));
    }
}

#[test]
fn with_one_id_for_all_partitions_a_copy_adds_the_intervals_that_the_first_was_too_late_for() {
    let copy = |mask, partition: &str| {
        let mut told = trade(1, 10 * SECOND, 100, 1, mask);
        if let Routed::Trade { seen, place, .. } = &mut told {
            *seen = Some(crate::clean::duplicates::SeenEntry::Sequence(1, 7, 0));
            place.partition = partition.into();
        }
        told
    };
    for corrections in [false, true] {
        let spec = BarsSpec { dedupe_here: true, ..spec(corrections, false) };
        let mut tables = Vec::new();
        for (first, second) in [(0b100, 0b110), (0b110, 0b100), (0b110, ALL), (ALL, 0b100)] {
            let mut keyed = Keyed::new(spec.clone());
            let (mut known, mut durable) = (Known::default(), Durable::new());
            keyed.begin(horizons(OPEN, Nanos::MIN));
            step(&mut keyed, [copy(first, "t/0")], &mut known);
            end(&mut keyed, 1, &mut known, &mut durable);
            keyed = restart(spec.clone(), horizons(OPEN, Nanos::MIN), &known, &durable);
            keyed.begin(horizons(OPEN, Nanos::MIN));
            let aside = step(&mut keyed, [copy(second, "t/1")], &mut known);
            assert_eq!(aside.counts[&Arc::<str>::from("t/1")].duplicates, 1);
            assert!(
                known.prices().values().all(|bar| bar[5] == 1),
                "counted once: {corrections} {first} {second} {:?}",
                known.prices()
            );
            tables.push(known.0.keys().map(|(interval, _)| interval.name()).collect::<Vec<_>>());
        }
        assert_eq!(tables, [vec!["1m", "5m"], vec!["1m", "5m"], vec!["1s", "1m", "5m"], vec!["1s", "1m", "5m"]]);
    }
}

#[test]
fn a_correction_meets_only_trades_that_both_records_reach() {
    let meets = |trade_at: Nanos, standing: TradeReach, correction_at: Nanos, kept_from: Nanos| {
        let mut keyed = Keyed::new(spec(true, false));
        keyed.begin(horizons(OPEN, Nanos::MIN));
        let mut known = Known::default();
        let mut told = trade(1, trade_at, 100, 1, ALL);
        if let Routed::Trade { reached, .. } = &mut told {
            reached.kept_from = standing.kept_from;
        }
        let mut cancel = correction(1, (0, correction_at), None);
        if let Routed::Correction { correction, .. } = &mut cancel {
            correction.kept_from = kept_from;
        }
        let mut other = Keyed::new(spec(true, false));
        other.begin(horizons(OPEN, Nanos::MIN));
        let mut reversed = Known::default();
        step(&mut keyed, [told.clone(), cancel.clone()], &mut known);
        step(&mut other, [cancel, told], &mut reversed);
        assert_eq!(known.prices(), reversed.prices(), "whichever comes first");
        known.prices().is_empty()
    };
    let standing = |kept_from| TradeReach { mask: ALL, kept_from };
    assert!(meets(20 * SECOND, standing(10 * SECOND), 15 * SECOND, 10 * SECOND));
    assert!(!meets(20 * SECOND, standing(10 * SECOND), 9 * SECOND, 0), "too old for the trade's record");
    assert!(!meets(20 * SECOND, standing(0), 40 * SECOND, 30 * SECOND), "the trade is too old for its own");
}

#[test]
fn horizons_that_fall_leave_bars_as_a_restart_under_them_does() {
    let (passed, fallen) = (horizons([100 * SECOND, 0, 0], 0), horizons([40 * SECOND, 0, 0], 0));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    let mut keyed = Keyed::new(spec(true, false));
    keyed.begin(passed);
    // it counts for no second, and its second stays for the sake of its minute
    step(&mut keyed, [trade(1, 50 * SECOND, 7, 1, 0b110)], &mut known);
    end(&mut keyed, 1, &mut known, &mut durable);
    let again = restart(spec(true, false), fallen.clone(), &known, &durable);
    let second = (INTERVALS[0], 50 * SECOND);
    assert!(!known.0.contains_key(&second));
    let known = known.0;
    for mut keyed in [keyed, again] {
        let mut known = Known(known.clone());
        keyed.begin(fallen.clone());
        step(&mut keyed, [trade(2, 50 * SECOND, 9, 1, ALL)], &mut known);
        assert_eq!(known.prices().get(&second).map(|bar| (bar[0], bar[5])), Some((9, 1)));
    }
}
