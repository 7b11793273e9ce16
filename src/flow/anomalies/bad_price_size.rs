//! Bad price or size: a number that no trade and no quote can have.
//!
//! A price ≤ 0 (a snapshot's 0 means that nothing has traded yet, a side's 0 that it is empty: neither is odd), a negative
//! side, or a quantity above any plausible one. With `prices = "signed"` no price is bad by its sign. What cannot be decoded
//! at all is rejected and is in quarantine.

use super::{Check, Level, Oddity, Severity, Spec, TickCheck};
use crate::parameters::{Parameter, Parameters};
use ticktide_market::{SCALE, Tick, TickKind};

pub static SPEC: Spec = Spec {
    name: "bad_price_size",
    doc: "a price that is not above 0, a negative bid or ask, a quantity above any plausible one",
    level: Level::Tick,
    parameters: &[Parameter::real("quantity_most", 1e9, 1.0, 1e10, "a greater quantity is bad")],
    build: |parameters: &Parameters| {
        Ok(Check::Tick(Box::new(BadPriceSize { quantity_most: parameters.number("quantity_most") })))
    },
};

struct BadPriceSize {
    quantity_most: f64,
}

impl TickCheck for BadPriceSize {
    fn look(&self, tick: &Tick, facts: &super::Facts) -> Option<Oddity> {
        let plain = |units: i64| units as f64 / SCALE as f64;
        let bad = |observed, expected| Some(Oddity { severity: Severity::Critical, observed, expected });
        if !facts.prices_signed {
            let is_bad = |price: i64| price < 0 || (price == 0 && tick.kind != TickKind::Snapshot);
            let snapshot = tick.snapshot.as_deref();
            let sides = [snapshot.and_then(|snapshot| snapshot.bid), snapshot.and_then(|snapshot| snapshot.ask)];
            let prices = [tick.price.filter(|price| is_bad(price.0))].into_iter();
            let bad_price = prices.chain(sides.map(|side| side.filter(|price| price.0 < 0))).flatten().next();
            if let Some(price) = bad_price {
                return bad(plain(price.0), 0.0);
            }
        }
        let quantity =
            tick.quantity.map(|quantity| plain(quantity.0)).filter(|quantity| *quantity > self.quantity_most);
        quantity.and_then(|quantity| bad(quantity, self.quantity_most))
    }
}
