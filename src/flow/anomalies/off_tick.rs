//! Off tick: a bar's price is no multiple of the tick size in the instrument's master.

use super::{Check, Level, ListedCheck, Oddity, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::instruments::{Term, nearest_multiple};
use ticktide_market::Price;

pub static SPEC: Spec = Spec {
    name: "off_tick",
    doc: "a price of a bar is no multiple of the tick size in the instrument's master",
    level: Level::Listed,
    parameters: &[],
    build: |_| Ok(Check::Listed(Box::new(OffTick))),
};

struct OffTick;

impl ListedCheck for OffTick {
    /// The first of open, high, low and close that is off.
    fn look(&self, bar: &FinishedBar, term: &Term) -> Option<Oddity> {
        let tick = term.tick_size.filter(|tick| tick.0 > 0)?;
        let off = [bar.open, bar.high, bar.low, bar.close].into_iter().find(|price| price % tick.0 != 0)?;
        Some(Oddity {
            severity: Severity::Warning,
            observed: Price(off).to_f64(),
            expected: Price(nearest_multiple(off, tick)).to_f64(),
        })
    }
}
