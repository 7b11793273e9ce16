//! Crossed quote: a snapshot whose bid is above its ask.
//!
//! In an auction both sides are orders that wait, and may cross: nothing is reported there. A bid equal to the ask (locked) is
//! reported only with `locked = 1`, as a notice. An empty side (0 or absent) crosses nothing.

use super::{Check, Facts, Level, Oddity, Severity, Spec, TickCheck};
use crate::parameters::{Parameter, Parameters};
use ticktide_market::Tick;

pub static SPEC: Spec = Spec {
    name: "crossed_quote",
    doc: "a bid above the ask outside auctions",
    level: Level::Tick,
    parameters: &[Parameter::bars("locked", 0, 0, 1, "1: report a bid equal to the ask, too")],
    build: |parameters: &Parameters| {
        Ok(Check::Tick(Box::new(CrossedQuote { locked: parameters.count("locked") == 1 })))
    },
};

struct CrossedQuote {
    locked: bool,
}

impl TickCheck for CrossedQuote {
    fn look(&self, tick: &Tick, facts: &Facts) -> Option<Oddity> {
        let snapshot = tick.snapshot.as_deref().filter(|_| !facts.auction)?;
        let (bid, ask) = (snapshot.bid.filter(|bid| bid.0 > 0)?, snapshot.ask.filter(|ask| ask.0 > 0)?);
        let severity = match bid.cmp(&ask) {
            std::cmp::Ordering::Greater => Severity::Warning,
            std::cmp::Ordering::Equal if self.locked => Severity::Notice,
            _ => return None,
        };
        Some(Oddity { severity, observed: bid.to_f64(), expected: ask.to_f64() })
    }
}
