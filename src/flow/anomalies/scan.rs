//! The bar checks of one interval over its finished bars, as one scan over the shared arrangement.
//!
//! Why all checks of an interval at once: the bars are walked once, and one accumulator is copied and compared. What must
//! always hold: no −0.0 and one NaN in a state, so that equal means equal bits.

use super::{Anomaly, BarCheck};
use crate::bars::bucket;
use crate::bars::finished::{FinishedBar, Series};
use crate::indicators::readings::FinishedTrace;
use crate::indicators::{Accumulator, canonical};
use crate::scan::{self, BaseChanges, Logic};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::Arranged;
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::Interval;
use ticktide_market::Instrument;
use ticktide_market::calendar::Session;

/// The bar checks of one interval, with their places in the dataflow's list.
pub struct BarChecks {
    interval: Interval,
    session: Arc<Session>,
    checks: Vec<(u16, Box<dyn BarCheck>)>,
}

impl BarChecks {
    /// By the rules of the lake.
    pub fn new(
        interval: Interval,
        session: Arc<Session>,
        mut checks: Vec<(u16, Box<dyn BarCheck>)>,
        rules: Rules,
    ) -> BarChecks {
        checks.iter_mut().for_each(|(_, check)| check.go_by(rules));
        BarChecks { interval, session, checks }
    }

    /// How many doubles a state has.
    pub fn width(&self) -> usize {
        self.checks.iter().map(|(_, check)| check.width()).sum()
    }

    /// The state before the first bar.
    pub fn fresh(&self) -> Accumulator {
        Accumulator::fresh(self.width())
    }

    /// Takes the next bar of an instrument: changes `state`, gives what the checks find.
    pub fn step(&self, instrument: &Instrument, state: &mut Accumulator, bar: &FinishedBar) -> Vec<Anomaly> {
        let mut found = Vec::new();
        let mut state = state.doubles_mut();
        for (index, check) in &self.checks {
            let (own, others) = state.split_at_mut(check.width());
            if let Some(odd) = check.step(own, bar, self.interval) {
                found.push(Anomaly {
                    open_at: bar.head.open_at,
                    phase: bar.head.phase,
                    check: *index,
                    started_at: odd.started_at,
                    ended_at: odd.ended_at.unwrap_or_else(|| self.end_at(instrument, bar.head.open_at)),
                    severity: odd.severity,
                    observed: canonical(odd.observed).to_bits(),
                    expected: canonical(odd.expected).to_bits(),
                    seen: None,
                    symbol: bar.symbol.clone(),
                });
            }
            own.iter_mut().for_each(|double| *double = canonical(*double));
            state = others;
        }
        found
    }

    fn end_at(&self, instrument: &Instrument, open_at: i64) -> i64 {
        let phase = self.session.phase_at(self.session.class_of(instrument), open_at);
        phase.map_or(open_at + self.interval.0, |phase| bucket(&phase, self.interval, open_at).1)
    }
}

impl Logic<Series, FinishedBar> for BarChecks {
    type Acc = Accumulator;
    type Out = Vec<Anomaly>;

    fn initial(&self, _: &Series) -> Accumulator {
        self.fresh()
    }

    fn step(&self, (_, instrument): &Series, acc: &mut Accumulator, bar: &FinishedBar) -> Vec<Anomaly> {
        BarChecks::step(self, instrument, acc, bar)
    }

    fn applies(&self, (interval, _): &Series) -> bool {
        *interval == self.interval
    }
}

/// The anomalies of an interval's bars, and the changes of the scan's bases. `bases` are an earlier run's; `name` is the
/// scan's.
///
/// Panics when a base is not of these checks' layout: the lake's dataflow hash holds them together.
pub fn anomalies<'scope>(
    name: &str,
    arranged: Arranged<'scope, FinishedTrace>,
    checks: BarChecks,
    bases: HashMap<Series, Accumulator>,
) -> (VecCollection<'scope, u64, (Series, Anomaly), isize>, BaseChanges<'scope, Series, Accumulator>) {
    for (series, base) in &bases {
        assert!(base.doubles().len() == checks.width(), "bug: the base of {series:?} is not of the checks' layout");
    }
    let (found, bases) = scan::scan(arranged, name, checks, bases, scan::retires_at_last_step);
    (found.flat_map(|(series, found)| found.into_iter().map(move |anomaly| (series.clone(), anomaly))), bases)
}
