//! From bars of snapshots to finished bars: the volume that a cumulative count says, and extremes between two snapshots.
//!
//! ```text
//!   snapshot bars ─▶ arrange series → (position, bar) ─▶ scan (day, greatest count so far, day high, day low) ─▶ finished bars
//! ```
//!
//! Why a scan: a snapshot tells the volume since the start of the day, so a bar's volume is what its greatest count adds to
//! the greatest count of all bars before it. Never last − first of neighbours: the time of the last trade steps back in 4 %
//! of updates while the count rises. What must always hold: a volume is never negative, and a day's volumes add up to its
//! greatest count less the first one known.
//!
//! A late start: before the day's first bar nothing is known unless the source saw the day from before it (`baseline_known`).
//! Then only what was counted inside the first bar that tells a count is its volume, and it is `partial`. A vendor's reset (the count falls by
//! more than half, inside a bar or against the bars before it) makes the bars after it `partial` too: their volume stays 0
//! until the count passes its old greatest, because a wrong count once seen must not be added twice.

use super::finished::{BarHead, FinishedBar, Series};
use crate::scan::{self, BaseChanges, Logic, Position, Positioned};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use timely::dataflow::channels::pact::Pipeline;

/// A bar of snapshots, before its volume is known. Units as in [`FinishedBar`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotBar {
    pub head: BarHead,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// The day's volume as the first snapshot in order that tells one has it; None where the feed has no volume.
    pub cumulative_first: Option<i128>,
    pub cumulative_greatest: Option<i128>,
    /// As the last snapshot in order has it.
    pub cumulative_last: Option<i128>,
    /// The day's high and low as the first snapshot in order tells them.
    pub first_told: (Option<i64>, Option<i64>),
    /// The greatest day high that a snapshot tells.
    pub day_high: Option<i64>,
    /// The least day low that a snapshot tells.
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

/// What is known of the day before a bar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySoFar {
    trading_date: Option<i32>,
    /// The greatest count of the day; None while none is known.
    counted: Option<i128>,
    high: Option<i64>,
    low: Option<i64>,
    /// The day's last known.
    open_interest: Option<i128>,
}

/// Finished bars of snapshot bars, and the changes of the scan's bases. Retirements go through, at their times. `name`: of the
/// scan.
pub fn finish<'scope>(
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
    scan::scan(arranged, name, Volume, bases, scan::retires_at_last_step)
}

struct Volume;

impl Logic<Series, SnapshotBar> for Volume {
    type Acc = DaySoFar;
    type Out = FinishedBar;
    const FORWARDS: bool = true;

    fn initial(&self, _: &Series) -> DaySoFar {
        DaySoFar::default()
    }

    fn step(&self, _: &Series, day: &mut DaySoFar, bar: &SnapshotBar) -> FinishedBar {
        step(day, bar)
    }
}

fn step(day: &mut DaySoFar, bar: &SnapshotBar) -> FinishedBar {
    let mut partial = false;
    if day.trading_date != Some(bar.head.trading_date) {
        let counted = bar.baseline_known.then_some(0);
        *day = DaySoFar { trading_date: Some(bar.head.trading_date), counted, ..DaySoFar::default() };
    }
    let volume = bar.cumulative_greatest.map(|greatest| {
        // without a volume there is nothing that a baseline would tell: the first bar with one lacks it
        partial = day.counted.is_none();
        let before = day.counted.or(bar.cumulative_first).unwrap_or(greatest);
        partial |= fell(before, greatest) || bar.cumulative_last.is_some_and(|last| fell(greatest, last));
        day.counted = Some(before.max(greatest));
        (greatest - before).max(0)
    });
    // A day's extreme that is new happened since the bar before, or, where there is none, since the first snapshot of this one.
    let (mut high, mut low) = (bar.high, bar.low);
    let (known_high, known_low) = (day.high.or(bar.first_told.0), day.low.or(bar.first_told.1));
    // A vendor without an extreme says 0.
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

/// Whether a count fell as only a vendor's reset does: by more than half.
fn fell(from: i128, to: i128) -> bool {
    to < from / 2
}

impl Positioned for SnapshotBar {
    fn position(&self) -> Position {
        self.head.position()
    }

    fn floor(position: Position) -> SnapshotBar {
        SnapshotBar { head: BarHead::floor(position), ..SnapshotBar::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use differential_dataflow::input::InputSession;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use ticktide_base::epoch::{LAST_STEP, stamp};
    use ticktide_base::time::{Interval, MINUTE};
    use ticktide_market::Instrument;

    /// One snapshot: minute, count, price, day high and low.
    #[derive(Clone, Copy)]
    struct Shot {
        minute: i64,
        count: i128,
        price: i64,
    }

    fn shot(minute: i64, count: i128, price: i64) -> Shot {
        Shot { minute, count, price }
    }

    /// Bars of snapshots, folded naively in the order given.
    fn fold(shots: &[Shot], day_of: fn(i64) -> i32, baseline_known: bool) -> Vec<SnapshotBar> {
        let mut bars: BTreeMap<i64, SnapshotBar> = BTreeMap::new();
        for shot in shots {
            let bar = bars.entry(shot.minute).or_insert_with(|| SnapshotBar {
                head: BarHead { open_at: shot.minute * MINUTE, phase: 0, trading_date: day_of(shot.minute) },
                open: shot.price,
                high: shot.price,
                low: shot.price,
                cumulative_first: Some(shot.count),
                cumulative_greatest: Some(shot.count),
                baseline_known,
                ..SnapshotBar::default()
            });
            bar.close = shot.price;
            bar.high = bar.high.max(shot.price);
            bar.low = bar.low.min(shot.price);
            bar.cumulative_greatest = bar.cumulative_greatest.max(Some(shot.count));
            bar.cumulative_last = Some(shot.count);
            bar.updates += 1;
        }
        bars.into_values().collect()
    }

    fn one_day(_: i64) -> i32 {
        1
    }

    fn finished(bars: &[SnapshotBar]) -> Vec<FinishedBar> {
        let mut day = DaySoFar::default();
        bars.iter().map(|bar| step(&mut day, bar)).collect()
    }

    fn volumes(bars: &[FinishedBar]) -> Vec<Option<i128>> {
        bars.iter().map(|bar| bar.volume).collect()
    }

    #[test]
    fn volumes_of_a_day_add_up_to_its_last_count_and_start_anew_the_next_day() {
        let shots = [shot(0, 30, 1), shot(0, 50, 1), shot(1, 80, 1), shot(10, 20, 1), shot(11, 25, 1)];
        let bars = finished(&fold(&shots, |minute| (minute / 10) as i32, true));
        assert_eq!(volumes(&bars), [Some(50), Some(30), Some(20), Some(5)]);
        assert!(bars.iter().all(|bar| !bar.partial && bar.trades.is_none() && bar.turnover.is_none()));
    }

    #[test]
    fn a_last_trade_time_that_steps_back_makes_no_negative_volume() {
        // A {count 100, 09:16:00} comes first, then B {count 120, 09:15:59}: B's bar is the earlier one.
        let shots = [shot(14, 90, 1), shot(16, 100, 1), shot(15, 120, 1), shot(17, 130, 1)];
        let bars = finished(&fold(&shots, one_day, true));
        assert_eq!(volumes(&bars), [Some(90), Some(30), Some(0), Some(10)]);
        assert_eq!(bars.iter().filter_map(|bar| bar.volume).sum::<i128>(), 130);
        assert!(bars.iter().all(|bar| !bar.partial));
    }

    #[test]
    fn an_index_has_prices_and_no_volume() {
        let mut bars = fold(&[shot(0, 0, 100), shot(1, 0, 101)], one_day, true);
        for bar in &mut bars {
            (bar.cumulative_first, bar.cumulative_greatest, bar.cumulative_last) = (None, None, None);
        }
        let bars = finished(&bars);
        assert_eq!(volumes(&bars), [None, None]);
        assert!(bars.iter().all(|bar| !bar.partial));
    }

    #[test]
    fn open_interest_is_the_days_last_known_and_the_next_day_knows_none() {
        let mut bars = fold(&[0, 1, 2, 10].map(|minute| shot(minute, 0, 100)), |minute| (minute / 10) as i32, true);
        for (bar, interest) in bars.iter_mut().zip([None, Some(70), None, None]) {
            bar.open_interest = interest;
        }
        let told: Vec<Option<i128>> = finished(&bars).iter().map(|bar| bar.open_interest).collect();
        assert_eq!(told, [None, Some(70), Some(70), None]);
    }

    #[test]
    fn a_late_start_counts_what_it_saw_and_says_so() {
        let shots = [shot(5, 1_000, 1), shot(5, 1_010, 1), shot(6, 1_030, 1)];
        let bars = finished(&fold(&shots, one_day, false));
        assert_eq!(volumes(&bars), [Some(10), Some(20)]);
        assert_eq!(bars.iter().map(|bar| bar.partial).collect::<Vec<bool>>(), [true, false]);
    }

    #[test]
    fn the_first_bar_with_a_count_is_partial_whatever_bars_come_before_it() {
        let mut bars = fold(&[shot(4, 0, 1), shot(5, 1_000, 1), shot(5, 1_010, 1), shot(6, 1_030, 1)], one_day, false);
        (bars[0].cumulative_first, bars[0].cumulative_greatest, bars[0].cumulative_last) = (None, None, None);
        let bars = finished(&bars);
        assert_eq!(volumes(&bars), [None, Some(10), Some(20)]);
        assert_eq!(bars.iter().map(|bar| bar.partial).collect::<Vec<bool>>(), [false, true, false]);
    }

    #[test]
    fn a_vendor_reset_is_flagged_and_adds_nothing_twice() {
        let shots = [shot(0, 500, 1), shot(0, 1_000, 1), shot(0, 3, 1), shot(1, 8, 1), shot(2, 1_004, 1)];
        let bars = finished(&fold(&shots, one_day, true));
        assert_eq!(volumes(&bars), [Some(1_000), Some(0), Some(4)]);
        assert_eq!(bars.iter().map(|bar| bar.partial).collect::<Vec<bool>>(), [true, true, false]);
    }

    #[test]
    fn an_extreme_between_two_snapshots_enters_the_bar_in_which_the_day_high_or_low_changed() {
        let mut bars = fold(&[shot(0, 1, 100), shot(1, 2, 101), shot(2, 3, 100), shot(3, 4, 100)], one_day, true);
        let says = [(120, 90), (120, 90), (125, 80), (125, 80)];
        for (bar, (high, low)) in bars.iter_mut().zip(says) {
            (bar.day_high, bar.day_low) = (Some(high), Some(low));
        }
        let extremes: Vec<(i64, i64)> = finished(&bars).iter().map(|bar| (bar.high, bar.low)).collect();
        // The first bar cannot know whether 120 and 90 happened in it.
        assert_eq!(extremes, [(100, 100), (101, 101), (125, 80), (100, 100)]);
    }

    /// What a day's bar absorbs is what its minutes absorb.
    #[test]
    fn an_extreme_behind_the_first_snapshot_of_a_day_enters_its_first_bar_and_an_older_one_does_not() {
        let first = |first_told| {
            let mut bars = fold(&[shot(0, 1, 100), shot(0, 2, 101)], one_day, true);
            (bars[0].first_told, bars[0].day_high, bars[0].day_low) = (first_told, Some(105), Some(95));
            (finished(&bars)[0].high, finished(&bars)[0].low)
        };
        assert_eq!(first((Some(101), Some(99))), (105, 95));
        assert_eq!(first((Some(105), Some(95))), (101, 100), "told by the first: perhaps of before it");
        assert_eq!(first((None, None)), (101, 100));
    }

    #[test]
    fn a_day_high_that_lags_behind_the_last_price_raises_no_later_bar_and_zero_is_no_extreme() {
        let mut bars = fold(&[shot(0, 1, 100), shot(1, 2, 106), shot(2, 3, 104)], one_day, true);
        for (bar, high) in bars.iter_mut().zip([105, 105, 106]) {
            (bar.day_high, bar.day_low) = (Some(high), Some(0));
        }
        let extremes: Vec<(i64, i64)> = finished(&bars).iter().map(|bar| (bar.high, bar.low)).collect();
        assert_eq!(extremes, [(100, 100), (106, 106), (104, 104)]);
    }

    /// Its key in the durable state must not become another one when records call the instrument otherwise.
    #[test]
    fn a_base_stays_under_the_key_that_it_came_with() {
        let series = |symbol| (Interval(MINUTE), Instrument::new("NSE", "1", symbol));
        let bars = fold(&[shot(0, 110, 1), shot(1, 130, 1)], one_day, false);
        let before = DaySoFar { trading_date: Some(1), counted: Some(100), ..DaySoFar::default() };
        let symbols = timely::execute_directly(move |worker| {
            let seen: Rc<RefCell<Vec<(Option<String>, Option<i128>)>>> = Rc::default();
            let mut input = InputSession::<u64, (Series, SnapshotBar), isize>::new();
            worker.dataflow::<u64, _, _>(|scope| {
                let bases = HashMap::from([(series(Some("S")), before)]);
                let (finished, bases) = finish("Volume", input.to_collection(scope), bases);
                finished.inspect(|((_, bar), _, _)| assert!([Some(10), Some(20)].contains(&bar.volume)));
                let seen = seen.clone();
                timely::dataflow::operators::Inspect::inspect(bases, move |((_, instrument), base)| {
                    let counted = base.as_ref().and_then(|day: &DaySoFar| day.counted);
                    seen.borrow_mut().push((instrument.symbol().map(str::to_owned), counted));
                });
            });
            bars.iter().for_each(|bar| input.update((series(None), bar.clone()), 1));
            input.advance_to(LAST_STEP);
            input.update((series(Some("T")), bars[0].clone()), -1);
            input.advance_to(stamp(1, 0));
            drop(input);
            while worker.step() {}
            seen.take()
        });
        assert_eq!(symbols, [(Some("S".to_owned()), Some(110))]);
    }

    #[test]
    fn a_correction_moves_volume_between_bars_and_retirement_goes_through() {
        let series: Series = (Interval(MINUTE), Instrument::new("NSE", "1", None));
        let bars = fold(&[shot(0, 10, 1), shot(1, 30, 1), shot(2, 60, 1)], one_day, true);
        let corrected = SnapshotBar { cumulative_greatest: Some(40), ..bars[1].clone() };
        let seen: Vec<((i64, Option<i128>), u64, isize)> = timely::execute_directly(move |worker| {
            let seen: Rc<RefCell<Vec<((i64, Option<i128>), u64, isize)>>> = Rc::default();
            let mut input = InputSession::<u64, (Series, SnapshotBar), isize>::new();
            worker.dataflow::<u64, _, _>(|scope| {
                let (finished, _) = finish("Volume", input.to_collection(scope), HashMap::new());
                let seen = seen.clone();
                finished.inspect(move |((_, bar), time, diff)| {
                    seen.borrow_mut().push(((bar.head.open_at / MINUTE, bar.volume), *time, *diff));
                });
            });
            for bar in &bars {
                input.update((series.clone(), bar.clone()), 1);
            }
            input.advance_to(1);
            input.update((series.clone(), bars[1].clone()), -1);
            input.update((series.clone(), corrected.clone()), 1);
            input.advance_to(LAST_STEP);
            input.update((series.clone(), bars[0].clone()), -1);
            input.update((series.clone(), corrected), -1);
            input.advance_to(stamp(1, 0));
            drop(input);
            while worker.step() {}
            seen.take()
        });
        let mut changes: Vec<((i64, Option<i128>), u64, isize)> =
            seen.into_iter().filter(|(_, time, _)| *time > 0).collect();
        changes.sort_by_key(|(bar, time, diff)| (*time, *bar, *diff));
        let expected = [
            ((1, Some(20)), 1, -1),
            ((1, Some(30)), 1, 1),
            ((2, Some(20)), 1, 1),
            ((2, Some(30)), 1, -1),
            ((0, Some(10)), LAST_STEP, -1),
            ((1, Some(30)), LAST_STEP, -1),
        ];
        assert_eq!(changes, expected);
    }
}
