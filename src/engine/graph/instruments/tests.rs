//! Promises of the listings operators: what a master says reaches the bars of its day, whichever came first.

use super::*;
use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, LAST_STEP};
use ticktide_base::time::{DAY, MINUTE};
use ticktide_flow::anomalies::{Check, build};
use ticktide_flow::bars::finished::{BarHead, FinishedBar};
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::instruments::ListingDay;
use ticktide_market::{Listing, Price};
use timely::dataflow::operators::Input;

const DATE: i32 = 20_000;

/// What happens in a step of a test, to instruments "0" to "2".
#[derive(Clone, Debug)]
enum Event {
    /// A bar's close is this price now; `None`: the bar is gone.
    Bar(u8, i64, Option<i64>),
    /// A row of the master: symbol, tick size.
    Row(u8, i64, u8, i64),
    Band(u8, i64, i64),
}

fn instrument(index: u8) -> Instrument {
    Instrument::new("V", &index.to_string(), None)
}

fn bar(minute: i64, price: i64) -> FinishedBar {
    let open_at = i64::from(DATE) * DAY + minute * MINUTE;
    FinishedBar {
        head: BarHead { open_at, phase: 0, trading_date: DATE },
        open: price,
        high: price,
        low: price,
        close: price,
        ..FinishedBar::default()
    }
}

fn symbol(name: u8) -> Option<Arc<str>> {
    (name > 0).then(|| format!("S{name}").into())
}

fn told(event: &Event, at: i64) -> Option<ListingUpdate> {
    let (index, day) = match event {
        Event::Bar(..) => return None,
        Event::Row(index, order, name, tick) => {
            let symbol = symbol(*name).map(|symbol| symbol.as_ref().into());
            let listing = Listing { symbol, tick_size: Some(Price(*tick)), ..Listing::default() };
            (*index, ListingDay { listing: Some(((*order, 0, at), Arc::new(listing))), ..ListingDay::default() })
        }
        Event::Band(index, low, high) => {
            (*index, ListingDay { listing: None, band_low: Some(Price(*low)), band_high: Some(Price(*high)) })
        }
    };
    Some(ListingUpdate { instrument: instrument(index), date: DATE, day })
}

type Bars = BTreeMap<(u8, i64), i64>;

/// Rows of bars with their symbols, anomalies as (instrument, minute, check), and rows of `instruments`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    named: BTreeMap<(Series, NamedRow<FinishedBar>), isize>,
    odd: BTreeMap<(Series, u16, Nanos), isize>,
    rows: BTreeMap<(String, Option<Arc<str>>), isize>,
}

fn checks() -> Vec<(u16, Interval, Box<dyn ListedCheck>)> {
    let built = ["off_tick", "off_band"].iter().enumerate().map(|(index, name)| {
        match build(name, &BTreeMap::new()).expect("they have no parameters").check {
            Check::Listed(check) => (index as u16, Interval(MINUTE), check),
            _ => panic!("{name} reads masters"),
        }
    });
    built.collect()
}

/// Runs steps, the epochs ending where `epochs` say; a second run takes the state over after epoch `cut`.
fn run(steps: &[Vec<Event>], cut: usize) -> Seen {
    let mut seen = Seen::default();
    let mut live = Bars::new();
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (first, part) in [(0, &steps[..cut]), (cut, &steps[cut..])] {
        // what a run restores it has published: the rows of a second run begin with it
        if first > 0 {
            (seen.named, seen.odd) = Default::default();
        }
        let mut known = Listings::default();
        for (key, value) in &state {
            known.restore(bincode::deserialize(key).expect("a key"), bincode::deserialize(value).expect("a day"));
        }
        let (part, restored, before) = (part.to_vec(), live.clone(), std::mem::take(&mut seen));
        for event in part.iter().flatten() {
            if let Event::Bar(index, minute, price) = event {
                match price {
                    Some(price) => live.insert((*index, *minute), *price),
                    None => live.remove(&(*index, *minute)),
                };
            }
        }
        let (after, states) = timely::execute_directly(move |worker| {
            let (seen, states) = (Rc::new(RefCell::new(before)), Rc::new(RefCell::new(Vec::<StateEntry>::new())));
            let (into, said) = (seen.clone(), states.clone());
            let mut bars = InputSession::<u64, (Series, FinishedBar), isize>::new();
            let start = first as u64 + 1;
            let (mut tells, mut notices) = worker.dataflow::<u64, _, _>(|scope| {
                let (tells, told) = scope.new_input::<Vec<ListingUpdate>>();
                let (notices, noticed) = scope.new_input::<Vec<Notice>>();
                let (listed, rows) = listings("Listings", told, noticed, known, start);
                let finished = bars.to_collection(scope);
                let of_named = into.clone();
                named(finished.clone(), listed.clone()).inspect(move |(row, _, diff)| {
                    *of_named.borrow_mut().named.entry(row.clone()).or_default() += diff;
                });
                let of_odd = into.clone();
                watched("Listed bars", finished, listed, checks()).inspect(move |((series, odd), _, diff)| {
                    let key = (series.clone(), odd.check, odd.open_at);
                    *of_odd.borrow_mut().odd.entry(key).or_default() += diff;
                });
                use timely::dataflow::operators::vec::Map;
                rows.map(move |row| match row {
                    SinkRow::State(entries) => said.borrow_mut().extend(entries),
                    SinkRow::Listing(change) => {
                        let mut seen = into.borrow_mut();
                        for (side, diff) in [(change.old, -1), (change.new, 1)] {
                            if let Some(listing) = side {
                                let name = listing.symbol.as_deref().map(Arc::from);
                                *seen.rows.entry((change.instrument.instrument().to_owned(), name)).or_default() +=
                                    diff;
                            }
                        }
                    }
                    other => panic!("no row of listings: {other:?}"),
                });
                (tells, notices)
            });
            let mut now = restored;
            bars.advance_to(stamp(start, 0));
            now.iter().for_each(|((index, minute), price)| {
                bars.update(((Interval(MINUTE), instrument(*index)), bar(*minute, *price)), 1);
            });
            for (offset, events) in part.iter().enumerate() {
                let epoch = start + offset as u64;
                for (time, last) in [(stamp(epoch, 1), false), (stamp(epoch, LAST_STEP), true)] {
                    bars.advance_to(time);
                    tells.advance_to(time);
                    notices.advance_to(time);
                    if last {
                        notices.send(Notice::Bind(Arc::new(Binding { epoch, ..Binding::default() })));
                        continue;
                    }
                    let horizons = EpochHorizons { intervals: vec![i64::from(DATE) * DAY], ..EpochHorizons::default() };
                    notices.send(Notice::Begin(epoch, horizons));
                    for (at, event) in events.iter().enumerate() {
                        told(event, (epoch * 100) as i64 + at as i64).into_iter().for_each(|told| tells.send(told));
                        if let Event::Bar(index, minute, price) = event {
                            let series = (Interval(MINUTE), instrument(*index));
                            let old = match price {
                                Some(price) => now.insert((*index, *minute), *price),
                                None => now.remove(&(*index, *minute)),
                            };
                            old.into_iter().for_each(|old| bars.update((series.clone(), bar(*minute, old)), -1));
                            price.iter().for_each(|new| bars.update((series.clone(), bar(*minute, *new)), 1));
                        }
                    }
                }
            }
            drop((bars, tells, notices));
            while worker.step() {}
            (seen.take(), states.take())
        });
        seen = after;
        for entry in states {
            match entry.value {
                Some(value) => state.insert(entry.key.to_vec(), value.to_vec()),
                None => state.remove(&entry.key[..]),
            };
        }
    }
    seen.named.retain(|_, count| *count != 0);
    seen.odd.retain(|_, count| *count != 0);
    seen.rows.retain(|_, count| *count != 0);
    seen
}

/// The same from the final bars and everything that was reported, without any dataflow.
fn expected(steps: &[Vec<Event>]) -> Seen {
    let mut seen = Seen::default();
    let mut bars = Bars::new();
    type Newest = BTreeMap<u8, ((i64, i64), u8, i64)>;
    let (mut newest, mut bands): (Newest, BTreeMap<u8, (i64, i64)>) = Default::default();
    for (epoch, events) in steps.iter().enumerate() {
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Bar(index, minute, Some(price)) => drop(bars.insert((*index, *minute), *price)),
                Event::Bar(index, minute, None) => drop(bars.remove(&(*index, *minute))),
                Event::Row(index, order, name, tick) => {
                    let order = (*order, (epoch as i64 + 1) * 100 + at as i64);
                    if newest.get(index).is_none_or(|known| known.0 < order) {
                        newest.insert(*index, (order, *name, *tick));
                    }
                }
                Event::Band(index, low, high) => {
                    let band = bands.entry(*index).or_insert((*low, *high));
                    *band = (band.0.min(*low), band.1.max(*high));
                }
            }
        }
    }
    for ((index, minute), price) in bars {
        let (row, series) = (bar(minute, price), (Interval(MINUTE), instrument(index)));
        let listed = newest.get(&index);
        let odd = [
            listed.is_some_and(|(_, _, tick)| price % tick != 0),
            bands.get(&index).is_some_and(|(low, high)| price < *low || price > *high),
        ];
        for (check, _) in odd.into_iter().enumerate().filter(|(_, odd)| *odd) {
            seen.odd.insert((series.clone(), check as u16, row.head.open_at), 1);
        }
        let symbol = listed.and_then(|(_, name, _)| symbol(*name));
        seen.named.insert((series, NamedRow { row, symbol }), 1);
    }
    for (index, (_, name, _)) in newest {
        seen.rows.insert((index.to_string(), symbol(name)), 1);
    }
    seen
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3u8, 0..4i64, proptest::option::weighted(0.8, 90..112i64)).prop_map(|(index, minute, price)| Event::Bar(index, minute, price)),
        2 => (0..3u8, 0..4i64, 0..3u8, 1..6i64).prop_map(|(index, order, name, tick)| Event::Row(index, order, name, tick)),
        1 => (0..3u8, 90..100i64, 100..110i64).prop_map(|(index, low, high)| Event::Band(index, low, high)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn joins_in_any_steps_and_over_a_restart_are_what_is_known_in_the_end(
        steps in proptest::collection::vec(proptest::collection::vec(event(), 0..6), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assert_eq!(run(&steps, cut.index(steps.len())), expected(&steps));
    }
}

#[test]
fn a_bar_has_its_symbol_once_the_master_has_come_and_a_new_master_takes_back_what_the_old_one_found() {
    let steps = [
        vec![Event::Bar(0, 1, Some(103))],
        vec![Event::Row(0, 1, 1, 5), Event::Band(0, 90, 100)],
        vec![Event::Row(0, 2, 2, 1), Event::Band(0, 95, 104)],
    ];
    let names = |until: usize| {
        let seen = run(&steps[..until], 0);
        let names: Vec<_> = seen.named.keys().map(|(_, named)| named.symbol.clone()).collect();
        (names, seen.odd.len())
    };
    assert_eq!(names(1), (vec![None], 0));
    assert_eq!(names(2), (vec![Some("S1".into())], 2));
    assert_eq!(names(3), (vec![Some("S2".into())], 0));
}
