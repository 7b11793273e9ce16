//! Ticks that cannot be right, case by case.

use super::built;
use crate::anomalies::{Check, Facts, Severity};
use ticktide_market::calendar::Session;
use ticktide_market::{InstrumentId, Price, Quantity, SCALE, Snapshot, Tick, TickKind};

fn tick(kind: TickKind) -> Tick {
    Tick::new(kind, InstrumentId(0), 0, 0)
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
    let judged = |tick: &Tick| look("bad_price_size", &[], tick, Facts::default()).map(|odd| (odd.1, odd.2));
    assert_eq!(judged(&trade(5, 0)), None);
    assert_eq!(judged(&trade(0, 1)), Some((0.0, 0.0)));
    assert_eq!(judged(&trade(-5, 1)), Some((-5.0, 0.0)));
    assert_eq!(judged(&trade(5, 1_000_000_000)), None);
    assert_eq!(judged(&trade(5, 1_000_000_001)), Some((1_000_000_001.0, 1e9)));
    assert_eq!(
        judged(&Tick { price: Some(Price(0)), ..quote(Some(0), None) }),
        None,
        "nothing traded yet, an empty side"
    );
    assert_eq!(judged(&quote(Some(-1), Some(2))), Some((-1.0, 0.0)));
    let signed = Facts { prices_signed: true, ..Facts::default() };
    assert_eq!(look("bad_price_size", &[], &trade(-5, 1), signed), None);
}

#[test]
fn a_quote_is_crossed_outside_auctions_and_locked_on_demand() {
    let plain = Facts::default();
    let judged = |tick: &Tick, locked: f64, facts| look("crossed_quote", &[("locked", locked)], tick, facts);
    assert_eq!(judged(&quote(Some(3), Some(2)), 0.0, plain), Some((Severity::Warning, 3.0, 2.0)));
    assert_eq!(judged(&quote(Some(2), Some(3)), 1.0, plain), None);
    assert_eq!(judged(&quote(Some(2), Some(2)), 0.0, plain), None);
    assert_eq!(judged(&quote(Some(2), Some(2)), 1.0, plain), Some((Severity::Notice, 2.0, 2.0)));
    for one_sided in [quote(Some(3), Some(0)), quote(Some(3), None), quote(None, Some(2))] {
        assert_eq!(judged(&one_sided, 1.0, plain), None);
    }
    assert_eq!(judged(&quote(Some(3), Some(2)), 0.0, Facts { auction: true, ..plain }), None);
    let nse = Session::preset("nse").expect("a preset");
    assert_eq!([0, 1, 2, 3].map(|phase| nse.is_auction(phase)), [true, false, false, true]);
}
