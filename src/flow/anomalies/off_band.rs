//! Off band: a bar has a price outside the widest band that the exchange reported on its day.

use super::{Check, Level, ListedCheck, Oddity, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::instruments::Term;
use ticktide_market::Price;

pub static SPEC: Spec = Spec {
    name: "off_band",
    doc: "a price of a bar is outside the price band of its day, from the instrument's master and live changes",
    level: Level::Listed,
    parameters: &[],
    build: |_| Ok(Check::Listed(Box::new(OffBand))),
};

struct OffBand;

impl ListedCheck for OffBand {
    fn look(&self, bar: &FinishedBar, term: &Term) -> Option<Oddity> {
        let above = term.band_high.filter(|band| bar.high > band.0).map(|band| (bar.high, band));
        let below = term.band_low.filter(|band| bar.low < band.0).map(|band| (bar.low, band));
        let (price, band) = above.or(below)?;
        Some(Oddity { severity: Severity::Critical, observed: Price(price).to_f64(), expected: band.to_f64() })
    }
}
