//! Bars against a recomputation from the set of records: any order, any cuts, horizons that pass, restarts.

use super::acc::{Acc, TradeAcc, TradeOrder};
use super::keyed::{Aside, BarsSpec, Emitted, Keyed, StateKey};
use super::trades::{Correction, RecordOrigin, Trade, TradeKey};
use super::{Reached, Routed, bucket};
use crate::bars::finished::{FinishedBar, Series};
use crate::clean::EpochHorizons;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::time::{DAY, Interval, MINUTE, Nanos, SECOND};
use ticktide_market::Instrument;
use ticktide_market::calendar::PhaseAt;

mod late;
mod layout;

const PHASE: PhaseAt = PhaseAt { phase: 0, trading_date: 0, start: 0, end: DAY };
const INTERVALS: [Interval; 3] = [Interval(SECOND), Interval(MINUTE), Interval(5 * MINUTE)];
const ALL: u32 = 0b111;
/// For a record that reaches everything.
const REACHED: Reached = Reached { kept_from: Nanos::MIN, known_from: Nanos::MIN };

#[derive(Clone, Debug)]
enum Event {
    Trade { id: u8, at: Nanos, price: i64, quantity: i64 },
    Cancel { id: u8 },
    Correct { id: u8, order: u64, price: i64, quantity: i64 },
}

fn instrument() -> Instrument {
    Instrument::new("X", "A", None)
}

/// What the record of a trade reports.
fn symbol(id: u8) -> Option<&'static str> {
    [None, Some("S1"), Some("S2"), None][usize::from(id % 4)]
}

fn key(id: u8) -> TradeKey {
    TradeKey::Id(0, id.to_string().into())
}

fn place() -> RecordOrigin {
    RecordOrigin { partition: "t/0".into(), offset: 0, received_at: None, payload: Box::default() }
}

fn trade(id: u8, at: Nanos, price: i64, quantity: i64, mask: u32) -> Routed {
    let order = TradeOrder { at, offset: i64::from(id), price, quantity, ..TradeOrder::default() };
    let (bucket_at, _) = bucket(&PHASE, INTERVALS[0], at);
    let trade = Trade { order, bucket_at, sets_price: true, adds_volume: true };
    let instrument = Instrument::new("X", "A", symbol(id));
    Routed::Trade { instrument, phase: PHASE, mask, key: key(id), trade, seen: None, reached: REACHED, place: place() }
}

fn correction(id: u8, order: (u64, Nanos), replaces: Option<(i64, i64)>) -> Routed {
    let correction = Correction { order, replaces, place: place(), kept_from: Nanos::MIN, counts_from: Box::default() };
    Routed::Correction { instrument: instrument(), key: key(id), correction }
}

fn routed(event: &Event) -> Routed {
    match event {
        Event::Trade { id, at, price, quantity } => trade(*id, *at, *price, *quantity, ALL),
        Event::Cancel { id } => correction(*id, (0, 0), None),
        Event::Correct { id, order, price, quantity } => correction(*id, (*order, 0), Some((*price, *quantity))),
    }
}

fn spec(corrections: bool, carries: bool) -> BarsSpec {
    BarsSpec { intervals: INTERVALS.to_vec(), corrections, carries, dedupe_here: false, prices_signed: false }
}

fn horizons(at: [Nanos; 3], retained_from: Nanos) -> EpochHorizons {
    EpochHorizons { intervals: at.to_vec(), retained_from, ..EpochHorizons::default() }
}

const OPEN: [Nanos; 3] = [Nanos::MIN; 3];

/// What downstream knows: at most one bar at one place, and none is taken back that is not there.
#[derive(Default)]
struct Known(BTreeMap<(Interval, Nanos), FinishedBar>);

impl Known {
    fn take(&mut self, changes: Vec<(Series, Emitted, isize)>) {
        for ((interval, _), bar, diff) in changes {
            let Emitted::Finished(bar) = bar else { panic!("a bar of trades") };
            let at = (interval, bar.head.open_at);
            match diff {
                1 => assert!(self.0.insert(at, bar).is_none(), "two bars at one place"),
                _ => assert_eq!(self.0.remove(&at), Some(bar), "what is taken back was there"),
            }
        }
    }

    /// (open, high, low, close, volume, trades) by interval and start.
    fn prices(&self) -> BTreeMap<(Interval, Nanos), [i128; 6]> {
        let all = self.0.iter().map(|(at, bar)| {
            let trades = i128::from(bar.trades.expect("trades are counted"));
            let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(i128::from);
            (*at, [open, high, low, close, bar.volume.expect("trades have volume"), trades])
        });
        all.collect()
    }

    fn symbols(&self) -> BTreeMap<(Interval, Nanos), Option<String>> {
        self.0.iter().map(|(at, bar)| (*at, bar.symbol.as_deref().map(str::to_owned))).collect()
    }
}

/// The greatest symbol reported in each live bar, also by trades that do not count.
fn symbols(events: &[Event], known: &Known) -> BTreeMap<(Interval, Nanos), Option<String>> {
    let mut symbols: BTreeMap<_, _> = known.0.keys().map(|at| (*at, None)).collect();
    for event in events {
        let Event::Trade { id, at, .. } = event else { continue };
        for interval in INTERVALS {
            if let Some(greatest) = symbols.get_mut(&(interval, at - at.rem_euclid(interval.0))) {
                *greatest = symbol(*id).map(str::to_owned).max(greatest.take());
            }
        }
    }
    symbols
}

fn step(keyed: &mut Keyed, records: impl IntoIterator<Item = Routed>, known: &mut Known) -> Aside {
    let (mut aside, mut changes) = (Aside::default(), Vec::new());
    records.into_iter().for_each(|record| keyed.apply(record, &mut aside));
    keyed.changes(&mut changes);
    known.take(changes);
    aside
}

type Durable = HashMap<(Instrument, StateKey), Vec<u8>>;

/// Ends an epoch; `durable` follows. What retires leaves `known`.
fn end(keyed: &mut Keyed, epoch: u64, known: &mut Known, durable: &mut Durable) {
    let (mut aside, mut changes) = (Aside::default(), Vec::new());
    for (instrument, key, value) in keyed.retire(epoch, &mut changes, &mut aside) {
        match value {
            Some(value) => durable.insert((instrument, key), value),
            None => durable.remove(&(instrument, key)),
        };
    }
    known.take(changes);
}

/// A new operator that goes on from the durable state; it emits what was known.
fn restart(spec: BarsSpec, horizons: EpochHorizons, known: &Known, durable: &Durable) -> Keyed {
    let mut keyed = Keyed::new(spec);
    for ((instrument, key), value) in durable {
        keyed.restore(instrument, key.clone(), value).expect("its own state");
    }
    let mut changes = Vec::new();
    keyed.restored(horizons, |series, bar| changes.push((series, bar, 1)));
    let mut again = Known::default();
    again.take(changes);
    assert_eq!(again.0, known.0, "a restart knows what was known");
    keyed
}

/// The bars of a set of records, from scratch.
fn recomputed(events: &[Event]) -> BTreeMap<(Interval, Nanos), [i128; 6]> {
    let mut live = Vec::new();
    for event in events {
        let Event::Trade { id, at, price, quantity } = event else { continue };
        if events.iter().any(|other| matches!(other, Event::Cancel { id: of } if of == id)) {
            continue;
        }
        let corrections = events.iter().filter_map(|other| match other {
            Event::Correct { id: of, order, price, quantity } if of == id => Some((*order, *price, *quantity)),
            _ => None,
        });
        let (_, price, quantity) = corrections.max().unwrap_or((0, *price, *quantity));
        if price <= 0 {
            continue;
        }
        live.push((*at, *id, i128::from(price), i128::from(quantity)));
    }
    live.sort_unstable();
    let mut bars: BTreeMap<(Interval, Nanos), [i128; 6]> = BTreeMap::new();
    for (at, _, price, quantity) in live {
        for interval in INTERVALS {
            let bar = bars.entry((interval, at - at.rem_euclid(interval.0))).or_insert([price, price, price, 0, 0, 0]);
            bar[1] = bar[1].max(price);
            bar[2] = bar[2].min(price);
            bar[3] = price;
            bar[4] += quantity;
            bar[5] += 1;
        }
    }
    bars
}

/// Events of a few ids, each id traded at most once.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0u8..30, 0u8..6, 0..10 * 60i64, -4i64..50, 0i64..9, 1u64..4);
    let event = event.prop_map(|(id, kind, second, price, quantity, order)| match kind {
        0 => Event::Cancel { id },
        1 => Event::Correct { id, order, price, quantity },
        _ => Event::Trade { id, at: second * SECOND / 2, price, quantity },
    });
    proptest::collection::vec(event, 1..60).prop_map(|mut events| {
        let mut traded = [false; 30];
        events.retain(|event| match event {
            Event::Trade { id, .. } => !std::mem::replace(&mut traded[usize::from(*id)], true),
            _ => true,
        });
        events
    })
}

proptest! {
    #[test]
    fn bars_are_a_function_of_the_set_of_records(
        (ordered, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        cuts in proptest::collection::vec(1usize..9, 60),
        restarts in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let open = horizons(OPEN, Nanos::MIN);
        let mut keyed = Keyed::new(spec(true, false));
        keyed.begin(open.clone());
        let (mut known, mut durable) = (Known::default(), Durable::new());
        let mut rest = shuffled.as_slice();
        for (epoch, (cut, restarts)) in cuts.into_iter().zip(restarts).enumerate() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            step(&mut keyed, now.iter().map(routed), &mut known);
            if restarts {
                end(&mut keyed, epoch as u64, &mut known, &mut durable);
                keyed = restart(spec(true, false), open.clone(), &known, &durable);
            }
        }
        prop_assert_eq!(known.prices(), recomputed(&ordered));
        prop_assert_eq!(known.symbols(), symbols(&ordered, &known));
        prop_assert!(durable.keys().all(|(instrument, _)| instrument.symbol().is_none()));
    }

    #[test]
    fn sums_before_the_exchange_make_the_bars_of_their_trades(
        trades in proptest::collection::vec((0..10 * 60i64, 1i64..50, 0i64..9), 1..60), cut in 1usize..20
    ) {
        let events: Vec<Event> = trades.iter().enumerate().map(|(id, (second, price, quantity))| {
            Event::Trade { id: id as u8, at: second * SECOND / 2, price: *price, quantity: *quantity }
        }).collect();
        let mut keyed = Keyed::new(spec(false, false));
        keyed.begin(horizons(OPEN, Nanos::MIN));
        let mut known = Known::default();
        for part in events.chunks(cut) {
            let mut sums: BTreeMap<Nanos, TradeAcc> = BTreeMap::new();
            for event in part {
                let Event::Trade { id, at, price, quantity } = event else { continue };
                let order = TradeOrder { at: *at, offset: i64::from(*id), price: *price, quantity: *quantity, ..TradeOrder::default() };
                sums.entry(bucket(&PHASE, INTERVALS[0], *at).0).or_default().add(&order, true, true);
            }
            let partial = |(at, acc)| Routed::Partial { instrument: instrument(), phase: PHASE, at, mask: ALL, acc: Acc::Trades(acc) };
            step(&mut keyed, sums.into_iter().map(partial), &mut known);
        }
        prop_assert_eq!(known.prices(), recomputed(&events));
    }
}

#[test]
fn a_bar_whose_only_trade_is_cancelled_vanishes_from_every_interval() {
    let mut keyed = Keyed::new(spec(true, false));
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let mut known = Known::default();
    step(&mut keyed, [trade(1, SECOND, 100, 2, ALL)], &mut known);
    assert_eq!(known.0.len(), 3);
    step(&mut keyed, [correction(1, (0, 0), None)], &mut known);
    assert!(known.0.is_empty());
}

#[test]
fn a_retired_high_does_not_rise_again_in_a_later_record_of_its_bar() {
    // as a merged difference (−a + b) of {n 2, high 100} and {n 2, high 50} it would: min and max have no inverse
    let mut keyed = Keyed::new(spec(false, false));
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    step(&mut keyed, [trade(1, SECOND, 100, 1, ALL), trade(2, SECOND, 90, 1, ALL)], &mut known);
    keyed.begin(horizons([MINUTE; 3], Nanos::MIN));
    end(&mut keyed, 1, &mut known, &mut durable);
    let left: Vec<Interval> = known.0.keys().map(|(interval, _)| *interval).collect();
    assert_eq!(left, [INTERVALS[2]], "bars that end at or before the horizon have left");
    keyed.begin(horizons(OPEN, Nanos::MIN)); // a horizon never steps back; if it did, the bar would start anew
    step(&mut keyed, [trade(3, SECOND, 50, 1, 0b001)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[0], SECOND)], [50, 50, 50, 50, 1, 1]);
}

#[test]
fn a_tick_too_late_for_the_second_still_counts_in_the_minute_and_so_does_its_cancel() {
    let mut keyed = Keyed::new(spec(true, false));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    keyed.begin(horizons(OPEN, Nanos::MIN));
    step(&mut keyed, [trade(1, 10 * SECOND, 100, 1, ALL), trade(2, 70 * SECOND, 110, 1, ALL)], &mut known);
    let passed = horizons([100 * SECOND, Nanos::MIN, Nanos::MIN], Nanos::MIN);
    keyed.begin(passed.clone());
    end(&mut keyed, 1, &mut known, &mut durable);
    assert!(!known.0.contains_key(&(INTERVALS[0], 10 * SECOND)), "the second is frozen");
    step(&mut keyed, [trade(3, 10 * SECOND + 1, 130, 4, 0b110)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[1], 0)], [100, 130, 100, 130, 5, 2]);
    let mut cancel = correction(3, (0, 0), None);
    if let Routed::Correction { correction, .. } = &mut cancel {
        correction.counts_from = [100 * SECOND, Nanos::MIN, Nanos::MIN].into();
    }
    let aside = step(&mut keyed, [cancel], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[1], 0)], [100, 100, 100, 100, 1, 1]);
    assert_eq!(known.prices()[&(INTERVALS[2], 0)], [100, 110, 100, 110, 2, 2]);
    assert_eq!(aside.refused.iter().map(|refused| refused.reason).collect::<Vec<_>>(), ["late_partly"]);
    end(&mut keyed, 2, &mut known, &mut durable);
    restart(spec(true, false), passed, &known, &durable);
}

#[test]
fn a_bar_keeps_what_came_of_trades_that_are_no_longer_kept() {
    let mut keyed = Keyed::new(spec(true, false));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    keyed.begin(horizons(OPEN, Nanos::MIN));
    step(&mut keyed, [trade(1, 10 * SECOND, 100, 1, ALL), trade(2, 50 * SECOND, 110, 1, ALL)], &mut known);
    keyed.begin(horizons([40 * SECOND, Nanos::MIN, Nanos::MIN], 40 * SECOND));
    end(&mut keyed, 1, &mut known, &mut durable);
    // the trade at 50 s is still kept: taking it back leaves the base, which the one at 10 s went into
    step(&mut keyed, [correction(2, (0, 0), None)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[1], 0)], [100, 100, 100, 100, 1, 1]);
    assert_eq!(known.prices()[&(INTERVALS[2], 0)], [100, 100, 100, 100, 1, 1]);
}

#[test]
fn volume_without_a_price_goes_to_the_newest_earlier_bar_of_the_day_even_behind_the_horizon() {
    let volume_only = |at: Nanos, quantity| {
        let order = TradeOrder { at, price: 999, quantity, ..TradeOrder::default() };
        let acc = Acc::Trades(TradeAcc::of(order, false, true));
        Routed::Partial { instrument: instrument(), phase: PHASE, at: bucket(&PHASE, INTERVALS[0], at).0, mask: 1, acc }
    };
    let mut keyed = Keyed::new(spec(false, true));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    keyed.begin(horizons(OPEN, Nanos::MIN));
    step(&mut keyed, [trade(1, SECOND, 100, 1, 1), volume_only(3 * SECOND, 7)], &mut known);
    assert_eq!(known.prices(), BTreeMap::from([((INTERVALS[0], SECOND), [100, 100, 100, 100, 8, 2])]));
    let passed = horizons([MINUTE, Nanos::MIN, Nanos::MIN], Nanos::MIN);
    keyed.begin(passed.clone());
    end(&mut keyed, 1, &mut known, &mut durable);
    keyed = restart(spec(false, true), passed, &known, &durable);
    step(&mut keyed, [volume_only(90 * SECOND, 5)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[0], SECOND)][4], 13, "the newest bar before the horizon stays writable");
    step(&mut keyed, [trade(2, 100 * SECOND, 102, 1, 1)], &mut known);
    step(&mut keyed, [trade(3, 80 * SECOND, 101, 1, 1)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[0], SECOND)][4], 8, "the volume of 90 s now follows the bar of 80 s");
    assert_eq!(known.prices()[&(INTERVALS[0], 80 * SECOND)][4], 6);
    let passed = horizons([2 * MINUTE, Nanos::MIN, Nanos::MIN], Nanos::MIN);
    keyed.begin(passed.clone());
    end(&mut keyed, 2, &mut known, &mut durable);
    let left: Vec<Nanos> = known.0.keys().map(|(_, open_at)| *open_at).collect();
    assert_eq!(left, [100 * SECOND], "only the newest bar before the horizon can still change");
    restart(spec(false, true), passed, &known, &durable);
}

#[test]
fn a_cancel_that_never_meets_its_trade_is_refused_when_the_retention_passes_it() {
    let mut keyed = Keyed::new(spec(true, false));
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let mut known = Known::default();
    step(&mut keyed, [correction(9, (0, 5 * SECOND), None)], &mut known);
    keyed.begin(horizons(OPEN, 10 * SECOND));
    let (mut changes, mut aside) = (Vec::new(), Aside::default());
    keyed.retire(1, &mut changes, &mut aside);
    assert!(changes.is_empty());
    assert_eq!(aside.refused.iter().map(|refused| refused.reason).collect::<Vec<_>>(), ["unmatched"]);
    let counts = &aside.counts[&Arc::<str>::from("t/0")];
    assert_eq!((counts.pending, counts.rejected), (-1, 1), "from pending to rejected");
}

#[test]
fn a_state_without_symbols_is_named_by_its_key_and_goes_on() {
    let mut keyed = Keyed::new(spec(false, false));
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    step(&mut keyed, [trade(1, SECOND, 100, 2, ALL)], &mut known);
    end(&mut keyed, 1, &mut known, &mut durable);
    // the tail of a value: a text of two letters that is there, no snapshot
    let tail = 1 + 8 + 2 + 1;
    let cut = |((_, key), value): ((Instrument, StateKey), Vec<u8>)| {
        ((Instrument::new("X", "A", symbol(1)), key), value[..value.len() - tail].to_vec())
    };
    let mut durable: Durable = durable.into_iter().map(cut).collect();
    let mut keyed = restart(spec(false, false), horizons(OPEN, Nanos::MIN), &known, &durable);
    step(&mut keyed, [trade(2, SECOND, 101, 1, ALL)], &mut known);
    assert!(known.symbols().values().all(|symbol| symbol.as_deref() == Some("S2")));
    end(&mut keyed, 2, &mut known, &mut durable);
    assert!(durable.keys().all(|(instrument, _)| instrument.symbol() == symbol(1)), "under the keys that were there");
    restart(spec(false, false), horizons(OPEN, Nanos::MIN), &known, &durable);
}

#[test]
fn a_correction_at_its_end_acts_no_more_after_any_restart() {
    let mut keyed = Keyed::new(spec(true, false));
    let (mut known, mut durable) = (Known::default(), Durable::new());
    keyed.begin(horizons(OPEN, Nanos::MIN));
    step(&mut keyed, [correction(1, (0, 5 * SECOND), None), correction(1, (1, 20 * SECOND), Some((7, 1)))], &mut known);
    let later = horizons(OPEN, 10 * SECOND);
    keyed.begin(later.clone());
    let mut refused = Vec::new();
    for epoch in 1..3 {
        let (mut aside, mut changes) = (Aside::default(), Vec::new());
        for (instrument, key, value) in keyed.retire(epoch, &mut changes, &mut aside) {
            match value {
                Some(value) => durable.insert((instrument, key), value),
                None => durable.remove(&(instrument, key)),
            };
        }
        refused.extend(aside.refused.into_iter().map(|refused| refused.reason));
        keyed = restart(spec(true, false), later.clone(), &known, &durable);
        keyed.begin(later.clone());
    }
    assert_eq!(refused, ["unmatched"], "once");
    let aside = step(&mut keyed, [trade(1, 30 * SECOND, 100, 2, ALL)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[1], 0)], [7, 7, 7, 7, 1, 1], "not cancelled, but corrected");
    assert_eq!(aside.counts[&Arc::<str>::from("t/0")].pending, -1);
}

#[test]
fn a_trade_told_twice_is_one_the_first_in_order_and_of_two_contents_one_is_refused() {
    let told = |price: i64, offset: i64, partition: u64| {
        let mut told = trade(1, SECOND, price, 2, ALL);
        if let Routed::Trade { trade, .. } = &mut told {
            (trade.order.partition, trade.order.offset) = (partition, offset);
        }
        told
    };
    let counts = |aside: &Aside| {
        let counts = &aside.counts[&Arc::<str>::from("t/0")];
        (counts.accepted, counts.duplicates, counts.rejected)
    };
    let other = |partition| {
        let mut other = trade(2, SECOND, 300, 1, ALL);
        if let Routed::Trade { trade, .. } = &mut other {
            trade.order.partition = partition;
        }
        other
    };
    let mut bars = Vec::new();
    for order in [[1, 3], [3, 1]] {
        let mut keyed = Keyed::new(spec(true, false));
        let (mut known, mut durable) = (Known::default(), Durable::new());
        keyed.begin(horizons(OPEN, Nanos::MIN));
        step(&mut keyed, [other(2)], &mut known);
        step(&mut keyed, [told(100, 5, order[0])], &mut known);
        let aside = step(&mut keyed, [told(100, 5, order[1])], &mut known);
        assert_eq!((counts(&aside), aside.refused.len()), ((-1, 1, 0), 0));
        let aside = step(&mut keyed, [told(101, 5, 0)], &mut known);
        assert_eq!((counts(&aside), aside.refused[0].reason), ((-1, 0, 1), "conflicting_id"));
        end(&mut keyed, 1, &mut known, &mut durable);
        keyed = restart(spec(true, false), horizons(OPEN, Nanos::MIN), &known, &durable);
        bars.push(known.prices());
        step(&mut keyed, [correction(1, (0, 0), None)], &mut known);
        assert_eq!(known.prices()[&(INTERVALS[0], SECOND)], [300, 300, 300, 300, 1, 1], "taken back as one");
    }
    assert_eq!(bars[0], bars[1], "whichever came first");
    assert_eq!(bars[0][&(INTERVALS[0], SECOND)], [100, 300, 100, 300, 3, 2]);
}

#[test]
fn a_price_that_no_bar_may_have_waits_for_its_correction() {
    let mut keyed = Keyed::new(spec(true, false));
    keyed.begin(horizons(OPEN, Nanos::MIN));
    let mut known = Known::default();
    step(&mut keyed, [trade(1, SECOND, -5, 2, ALL)], &mut known);
    assert!(known.0.is_empty());
    let aside = step(&mut keyed, [correction(1, (1, 0), Some((50, 3)))], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[2], 0)], [50, 50, 50, 50, 3, 1]);
    assert_eq!(aside.counts[&Arc::<str>::from("t/0")].accepted, 1, "matched");
    step(&mut keyed, [correction(1, (2, 0), Some((0, 3)))], &mut known);
    assert!(known.0.is_empty());
    let mut keyed = Keyed::new(BarsSpec { prices_signed: true, ..spec(true, false) });
    keyed.begin(horizons(OPEN, Nanos::MIN));
    step(&mut keyed, [trade(1, SECOND, -5, 2, ALL)], &mut known);
    assert_eq!(known.prices()[&(INTERVALS[2], 0)], [-5, -5, -5, -5, 2, 1], "unless prices are signed");
}

#[test]
fn the_first_count_that_is_told_is_known_whatever_comes_before_it() {
    let shot = |second: i64, count: Option<i128>| {
        let id = ticktide_market::InstrumentId(0);
        let mut tick = ticktide_market::Tick::new(ticktide_market::TickKind::Snapshot, id, second, second * SECOND);
        tick.price = Some(ticktide_market::Price(100 + second));
        tick.snapshot = Some(Box::new(ticktide_market::Snapshot { cumulative_volume: count, ..Default::default() }));
        let acc = Acc::Snapshots(Box::new(super::acc::SnapshotAcc::of(&tick, 0, false)));
        Routed::Partial { instrument: instrument(), phase: PHASE, at: second * SECOND, mask: ALL, acc }
    };
    let first = |records: &[(i64, Option<i128>)], restarts: bool| {
        let mut keyed = Keyed::new(spec(false, false));
        keyed.begin(horizons(OPEN, Nanos::MIN));
        let (mut told, mut durable) = (None, Durable::new());
        for (epoch, (second, count)) in records.iter().enumerate() {
            let (mut aside, mut changes) = (Aside::default(), Vec::new());
            keyed.apply(shot(*second, *count), &mut aside);
            keyed.changes(&mut changes);
            for ((interval, _), bar, diff) in changes {
                let Emitted::Snapshot(bar) = bar else { panic!("a bar of snapshots") };
                if interval == INTERVALS[1] && diff > 0 {
                    told = Some((bar.open, bar.cumulative_first, bar.cumulative_greatest));
                }
            }
            if restarts {
                let states = keyed.retire(epoch as u64, &mut Vec::new(), &mut aside);
                states
                    .into_iter()
                    .for_each(|(instrument, key, value)| drop(durable.insert((instrument, key), value.expect("live"))));
                keyed = Keyed::new(spec(false, false));
                durable.iter().for_each(|((instrument, key), value)| {
                    keyed.restore(instrument, key.clone(), value).expect("its own")
                });
                keyed.restored(horizons(OPEN, Nanos::MIN), |_, _| {});
            }
        }
        told
    };
    let records = [(1, None), (2, Some(1_000)), (3, Some(1_010))];
    let turned = [(3, Some(1_010)), (2, Some(1_000)), (1, None)];
    for restarts in [false, true] {
        assert_eq!(first(&records, restarts), Some((101, Some(1_000), Some(1_010))));
        assert_eq!(first(&turned, restarts), Some((101, Some(1_000), Some(1_010))));
    }
}

#[test]
fn a_bar_of_a_day_is_its_phase_also_where_the_clocks_make_it_longer() {
    let phase = PhaseAt { end: 25 * ticktide_base::time::HOUR, ..PHASE };
    for at in [0, DAY - 1, DAY, phase.end - 1] {
        assert_eq!(bucket(&phase, Interval(DAY), at), (0, phase.end));
    }
    assert_eq!(bucket(&phase, Interval(MINUTE), DAY), (DAY, DAY + MINUTE));
}
