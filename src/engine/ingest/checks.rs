//! The checks of ticks, as the dataflow lists them, for the worker that reads.
//!
//! Why here: a tick is checked once, where its record and its partition are known. What must hold: a check's number is its
//! index in the dataflow's list, as for the checks of bars.

use ticktide_dataflow::{Dataflow, Dedupe};
use ticktide_flow::anomalies::Check;
use ticktide_flow::anomalies::ticks::TickChecks;

/// The checks of ticks, for the worker that reads.
pub fn tick_checks(dataflow: &Dataflow) -> TickChecks {
    let built = dataflow.anomalies.iter().enumerate();
    let checks = built.filter_map(|(index, used)| match used.build().check {
        Check::Tick(check) => Some((index as u16, check)),
        Check::Bar(_) | Check::Listed(_) | Check::Feed(_) | Check::Partitions => None,
    });
    let partitions = dataflow.anomalies.iter().position(|used| matches!(used.build().check, Check::Partitions));
    TickChecks {
        // an instrument's own dedupe ignores where records come from
        partitions: partitions.filter(|_| dataflow.dedupe == Dedupe::Partition).map(|index| index as u16),
        checks: checks.collect(),
        prices_signed: dataflow.prices_signed,
        by_name: dataflow.corrections || dataflow.dedupe == Dedupe::Instrument,
        sequence_trusted: dataflow.sequence_trusted,
    }
}
