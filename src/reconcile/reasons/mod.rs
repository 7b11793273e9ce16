//! Why a candle and a bar may differ: one rule for each reason, the surest first; the first that fits a difference names it.
//!
//! A rule judges one difference on its instrument's [`Timeline`] and returns its evidence, in words with the values. What must
//! always hold: a rule fits by numbers that agree exactly (or to the digits that the file has), except those whose doc says
//! "likely"; a rule reads only its timeline.

mod prices;
mod seen;
#[cfg(test)]
mod tests;
mod times;
mod volumes;

use super::bars::Bar;
use super::timeline::{DifferenceKind, Timeline};
use super::{BarColumn, Candle};
use ticktide_base::time::Nanos;
use ticktide_market::{Price, Quantity};

/// A rule: a row of [`REASONS`].
pub struct Reason {
    pub name: &'static str,
    /// One line: what happened, and on which side.
    pub doc: &'static str,
    /// The evidence, if it fits.
    pub fits: fn(&Timeline, Nanos, DifferenceKind) -> Option<String>,
}

/// The reason of a difference that no rule fits.
pub const UNEXPLAINED: &str = "unexplained";

/// Every rule, the surest first.
pub static REASONS: &[&Reason] = &[
    &times::ZONE_OFFSET, //
    &times::LABEL_SHIFT,
    &times::ANCHOR,
    &seen::CORRECTED_LATER,
    &prices::CORPORATE_ACTION,
    &volumes::NO_VOLUME,
    &prices::ROUNDING,
    &prices::EXCHANGE_OPEN,
    &volumes::AUCTION,
    &prices::CLOSING_PRICE,
    &volumes::EDGE_VOLUME,
    &volumes::LAST_QUANTITIES,
    &seen::PARTIAL,
    &prices::CONFLATED,
    &prices::BETWEEN_SNAPSHOTS,
    &seen::NO_TRADE,
    &seen::NOT_RECORDED,
];

/// The name of the first rule that fits a difference, and its evidence.
pub fn explain(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> (&'static str, String) {
    let found = REASONS.iter().find_map(|reason| Some((reason.name, (reason.fits)(timeline, at, what)?)));
    found.unwrap_or_else(|| (UNEXPLAINED, "no rule fits".to_owned()))
}

/// The column, the candle and the bar of a difference in values; `None`: one side has no bar there.
fn both(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<(BarColumn, &Candle, &Bar)> {
    let DifferenceKind::Column(column) = what else { return None };
    timeline.both(at).map(|(candle, bar)| (column, candle, bar))
}

fn price(units: i64) -> String {
    Price(units).to_string()
}

/// A volume for people; one beyond the range of quantities is shown at its bound.
fn volume(units: i128) -> String {
    Quantity(units.clamp(i64::MIN.into(), i64::MAX.into()) as i64).to_string()
}
