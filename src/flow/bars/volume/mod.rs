//! From bars of snapshots to finished bars: the volume that a cumulative count gives, and extremes between two snapshots.
//!
//! ```text
//!   snapshot bars ─▶ arrange series → (position, bar) ─▶ scan (day, count so far, day high, day low) ─▶ finished bars
//!
//!   count   what a bar adds to the day's count, by the rules of the lake
//! ```
//!
//! Why a scan: a snapshot reports the volume since the start of the day, so a bar's volume is what its count adds to that of
//! all bars before it. Never last − first of neighbours: the time of the last trade steps back in 4 % of updates while the
//! count rises. What must always hold: a volume is never negative, and a day's volumes add up to its last count less the first
//! one known, except where the count falls (see [`count`]).
//!
//! A late start: before the day's first bar nothing is known unless the source saw the day from before it (`baseline_known`).
//! Then the volume of the first bar with a count is only what was counted inside it, and the bar is `partial`.

mod count;
#[cfg(test)]
mod tests;

use super::finished::{BarHead, FinishedBar, Series};
use crate::scan::{self, BaseChanges, Logic, Position, Positioned};
use count::Counts;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::rules::Rules;
use timely::dataflow::channels::pact::Pipeline;

/// A bar of snapshots, before its volume is known. Units as in [`FinishedBar`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotBar {
    pub head: BarHead,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// The day's volume in the first snapshot in order that reports one; None where the feed has no volume.
    pub cumulative_first: Option<i128>,
    pub cumulative_greatest: Option<i128>,
    /// The day's volume in the last snapshot in order.
    pub cumulative_last: Option<i128>,
    /// The day's high and low in the first snapshot in order.
    pub first_told: (Option<i64>, Option<i64>),
    /// The greatest day high that a snapshot reports.
    pub day_high: Option<i64>,
    /// The least day low that a snapshot reports.
    pub day_low: Option<i64>,
    pub open_interest: Option<i128>,
    /// Distinct snapshots.
    pub updates: u64,
    /// Whether the source saw this trading day from before the bar's phase: then the count started at 0.
    pub baseline_known: bool,
    pub short: bool,
    /// As in [`FinishedBar`].
    pub symbol: Option<Arc<str>>,
}

/// What is known of a day before its next bar. Its bytes are its first layout, followed by a tail that an older value lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySoFar {
    trading_date: Option<i32>,
    /// The count that the next bar's is compared with; None while none is known.
    counted: Option<i128>,
    high: Option<i64>,
    low: Option<i64>,
    /// The last known of the day.
    open_interest: Option<i128>,
    counts: Counts,
}

impl DaySoFar {
    /// Reads a durable value; one without a tail was written by the first rules.
    pub fn decode(mut value: &[u8]) -> Result<DaySoFar, bincode::Error> {
        let (trading_date, counted, high, low, open_interest) = bincode::deserialize_from(&mut value)?;
        let counts = if value.is_empty() { Counts::default() } else { bincode::deserialize(value)? };
        Ok(DaySoFar { trading_date, counted, high, low, open_interest, counts })
    }
}

/// Finishes snapshot bars by the rules of their lake: gives the bars, and the changes of the scan's bases. Retirements pass
/// through at their times. `name` is the scan's.
pub fn finish<'scope>(
    rules: Rules,
    name: &str,
    snapshots: VecCollection<'scope, u64, (Series, SnapshotBar), isize>,
    bases: HashMap<Series, DaySoFar>,
) -> (VecCollection<'scope, u64, (Series, FinishedBar), isize>, BaseChanges<'scope, Series, DaySoFar>) {
    let arranged = arrange_core::<_, _, ValBatcher<_, _, _, _>, ValSpine<Series, SnapshotBar, u64, isize>>(
        snapshots.inner,
        Pipeline,
        "SnapshotBars",
        ValBatcher::new,
    );
    scan::scan(arranged, name, Volume(rules), bases, scan::retires_at_last_step)
}

struct Volume(Rules);

impl Logic<Series, SnapshotBar> for Volume {
    type Acc = DaySoFar;
    type Out = FinishedBar;
    const FORWARDS: bool = true;

    fn initial(&self, _: &Series) -> DaySoFar {
        DaySoFar::default()
    }

    fn step(&self, _: &Series, day: &mut DaySoFar, bar: &SnapshotBar) -> FinishedBar {
        step(self.0, day, bar)
    }
}

fn step(rules: Rules, day: &mut DaySoFar, bar: &SnapshotBar) -> FinishedBar {
    if day.trading_date != Some(bar.head.trading_date) {
        let counted = bar.baseline_known.then_some(0);
        let counts = day.counts.of_next_day(rules, day.counted);
        *day = DaySoFar { trading_date: Some(bar.head.trading_date), counted, counts, ..DaySoFar::default() };
    }
    let (volume, partial) = match rules {
        Rules::First => count::by_greatest(&mut day.counted, bar),
        Rules::Second => day.counts.take(&mut day.counted, bar),
    };
    // A day's extreme that is new happened since the bar before, or, where there is none, since the first snapshot of this one.
    let (mut high, mut low) = (bar.high, bar.low);
    let (known_high, known_low) = (day.high.or(bar.first_told.0), day.low.or(bar.first_told.1));
    // A vendor without an extreme sends 0.
    let (day_high, day_low) = (bar.day_high.filter(|price| *price != 0), bar.day_low.filter(|price| *price != 0));
    if let (Some(known), Some(said)) = (known_high, day_high)
        && said > known
    {
        high = high.max(said);
    }
    if let (Some(known), Some(said)) = (known_low, day_low)
        && said < known
    {
        low = low.min(said);
    }
    day.high = day.high.max(day_high).map(|known| known.max(bar.high));
    day.low = [day.low, day_low].into_iter().flatten().min().map(|known| known.min(bar.low));
    day.open_interest = bar.open_interest.or(day.open_interest);
    FinishedBar {
        head: bar.head,
        open: bar.open,
        high,
        low,
        close: bar.close,
        volume,
        turnover: None,
        trades: None,
        updates: bar.updates,
        open_interest: day.open_interest,
        partial,
        short: bar.short,
        symbol: bar.symbol.clone(),
    }
}

impl Positioned for SnapshotBar {
    fn position(&self) -> Position {
        self.head.position()
    }

    fn floor(position: Position) -> SnapshotBar {
        SnapshotBar { head: BarHead::floor(position), ..SnapshotBar::default() }
    }
}
