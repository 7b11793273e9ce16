//! Readings: the indicators of one interval over its finished bars, as a scan.
//!
//! ```text
//!   finished bars ─▶ arrange ═ series → (position, bar) ═╦▶ scan 1s ─▶ readings of 1s
//!                    (shared)                            ╠▶ scan 1m ─▶ readings of 1m
//!                                                        ╚▶ … checks, joins
//! ```
//!
//! Why one arrangement for all intervals: every reader of finished bars (indicators, checks, joins) shares its memory and its
//! merging; a scan passes over the keys of other intervals. What must always hold: records are already on the worker of
//! their instrument, so nothing is exchanged here.

use crate::bars::finished::{FinishedBar, Reading, Series};
use crate::indicators::{Accumulator, BarInput, Composite};
use crate::scan::{self, BaseChanges, Logic};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent, arrangement::arrange_core};
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use std::collections::HashMap;
use ticktide_base::time::Interval;
use timely::dataflow::channels::pact::Pipeline;

/// The trace of finished bars.
pub type FinishedTrace = TraceAgent<ValSpine<Series, FinishedBar, u64, isize>>;

/// THE shared arrangement of finished bars; everything that reads them reads this one.
pub fn arrange<'scope>(
    name: &str,
    finished: VecCollection<'scope, u64, (Series, FinishedBar), isize>,
) -> Arranged<'scope, FinishedTrace> {
    arrange_core::<_, _, ValBatcher<_, _, _, _>, _>(finished.inner, Pipeline, name, ValBatcher::new)
}

/// The readings of `interval`, one per finished bar, and the changes of its bases. `bases` are an earlier run's; `name` is
/// the scan's.
///
/// Panics when a base is not of this composite's layout: the caller compares layouts before it restores.
pub fn readings<'scope>(
    name: &str,
    arranged: Arranged<'scope, FinishedTrace>,
    interval: Interval,
    composite: Composite,
    bases: HashMap<Series, Accumulator>,
) -> (VecCollection<'scope, u64, (Series, Reading), isize>, BaseChanges<'scope, Series, Accumulator>) {
    for (series, base) in &bases {
        assert!(composite.fits(base), "bug: the base of {series:?} is not of the layout of {:?}", composite.outputs());
    }
    scan::scan(arranged, name, Indicators { interval, composite }, bases, scan::retires_at_last_step)
}

struct Indicators {
    interval: Interval,
    composite: Composite,
}

impl Logic<Series, FinishedBar> for Indicators {
    type Acc = Accumulator;
    type Out = Reading;

    fn initial(&self, _: &Series) -> Accumulator {
        self.composite.fresh()
    }

    fn step(&self, _: &Series, acc: &mut Accumulator, bar: &FinishedBar) -> Reading {
        let values = self.composite.step(acc, &BarInput::of(bar));
        Reading { head: bar.head, values, symbol: bar.symbol.clone() }
    }

    fn applies(&self, (interval, _): &Series) -> bool {
        *interval == self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::finished::BarHead;
    use crate::indicators::{INDICATORS, build};
    use crate::scan::Positioned;
    use differential_dataflow::input::InputSession;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use ticktide_base::epoch::{LAST_STEP, stamp};
    use ticktide_base::time::{MINUTE, SECOND};
    use ticktide_market::{Instrument, SCALE};

    fn all_indicators() -> Composite {
        let built = INDICATORS.iter().map(|spec| build(spec.name, &BTreeMap::new()).expect("defaults are allowed"));
        Composite::new(built.collect()).expect("no two outputs have one name")
    }

    fn bar(index: i64, price: i64) -> FinishedBar {
        let (open, close) = (price * SCALE, (price + 1) * SCALE);
        FinishedBar {
            open,
            close,
            high: close + SCALE,
            low: open - SCALE,
            head: BarHead { open_at: index * MINUTE, phase: 0, trading_date: 19_000 + (index / 50) as i32 },
            volume: Some(i128::from(price * SCALE)),
            ..FinishedBar::default()
        }
    }

    /// Accumulated readings of 1m after all `updates`.
    fn run(updates: Vec<(u64, (Series, FinishedBar), isize)>) -> BTreeMap<(Series, Reading), isize> {
        timely::execute_directly(move |worker| {
            let seen: Rc<RefCell<BTreeMap<(Series, Reading), isize>>> = Rc::default();
            let mut input = InputSession::<u64, (Series, FinishedBar), isize>::new();
            worker.dataflow::<u64, _, _>(|scope| {
                let arranged = arrange("Finished", input.to_collection(scope));
                let (readings, _) =
                    readings("Indicators 1m", arranged, Interval(MINUTE), all_indicators(), HashMap::new());
                let seen = seen.clone();
                readings.inspect(move |(reading, _, diff)| {
                    *seen.borrow_mut().entry(reading.clone()).or_default() += diff;
                });
            });
            for (time, value, diff) in updates {
                input.advance_to(time);
                input.flush();
                input.update(value, diff);
            }
            drop(input);
            while worker.step() {}
            seen.borrow_mut().retain(|_, count| *count != 0);
            seen.take()
        })
    }

    /// One pass over the bars, without any dataflow.
    fn expected(series: &Series, bars: &[FinishedBar]) -> BTreeMap<(Series, Reading), isize> {
        let composite = all_indicators();
        let mut acc = composite.fresh();
        let reading = |bar: &FinishedBar| {
            let values = composite.step(&mut acc, &BarInput::of(bar));
            Reading { head: bar.head, values, symbol: None }
        };
        bars.iter().map(reading).map(|reading| ((series.clone(), reading), 1)).collect()
    }

    #[test]
    fn readings_after_a_late_bar_a_correction_a_cancel_and_a_retirement_equal_one_pass_over_the_bars() {
        let series: Series = (Interval(MINUTE), Instrument::new("X", "1", None));
        let other: Series = (Interval(SECOND), Instrument::new("X", "1", None));
        let mut bars: Vec<FinishedBar> = (0..120).map(|index| bar(index, 100 + (index * 7) % 13)).collect();
        let mut updates = Vec::new();
        for (time, bar) in bars.iter().enumerate() {
            updates.push((time as u64, (other.clone(), bar.clone()), 1));
            if time != 70 {
                updates.push((time as u64, (series.clone(), bar.clone()), 1));
            }
        }
        updates.extend(bars[..40].iter().map(|bar| (LAST_STEP, (series.clone(), bar.clone()), -1)));
        updates.push((stamp(1, 0), (series.clone(), bars[70].clone()), 1));
        updates.push((stamp(1, 1), (series.clone(), bars[60].clone()), -1));
        bars[60] = bar(60, 500);
        updates.push((stamp(1, 1), (series.clone(), bars[60].clone()), 1));
        updates.push((stamp(1, 2), (series.clone(), bars[90].clone()), -1));
        bars.remove(90);
        assert_eq!(run(updates), expected(&series, &bars));
    }

    #[test]
    fn the_floor_of_a_position_is_not_above_any_bar_there() {
        let bar = bar(3, 1);
        let bar = FinishedBar { head: BarHead { trading_date: i32::MIN, ..bar.head }, ..bar };
        assert!(FinishedBar::floor(bar.position()) <= bar);
        assert!(FinishedBar::floor((bar.head.open_at, 1)) > bar);
    }
}
