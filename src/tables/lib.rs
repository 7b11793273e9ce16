//! The tables of a dataflow, one file each: its columns, what they hold, and the cells of a row, in one list.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! ```text
//!   column   the list: one call a column       cells    values of the flow as cells
//!   shared   columns of several tables, shapes  bars · indicators · anomalies · ticks · instruments · quarantine
//! ```
//!
//! The flow knows bars, the lake knows cells; here they meet. What must always hold: the columns and their order are those
//! of the public interface, and no column but `received_at` depends on a clock.

mod anomalies;
mod bars;
mod cells;
mod column;
mod indicators;
mod instruments;
mod quarantine;
pub mod set;
mod shared;
#[cfg(test)]
mod tests;
mod ticks;

pub use anomalies::{anomalies, anomaly_row};
pub use bars::{bar_row, bars};
pub use cells::{divide_half_even, owned};
pub use indicators::{evolved_indicators, indicators, original_outputs, reading_row};
pub use instruments::{instrument_row, instruments};
pub use quarantine::{QuarantineRow, quarantine, quarantine_row};
pub use ticks::{Archived, ArchivedTick, ticks};
pub use ticktide_dataflow::checks::CheckName;

use ticktide_base::time::{Interval, MINUTE};
use ticktide_lake::table::spec::TableSpec;

/// A table as its readers see it: what a row is, and the columns with their names, types and docs.
pub struct TableDoc {
    /// What one row is.
    pub row: &'static str,
    /// The parts of names that a dataflow decides are in angle brackets: `bars_<interval>`.
    pub spec: TableSpec,
}

/// Every table that a dataflow may fill, except the histories, which have the columns of their tables.
pub fn all() -> [TableDoc; 6] {
    let named = |name: &str, spec: TableSpec| TableSpec { name: name.into(), ..spec };
    let interval = Interval(MINUTE);
    [
        TableDoc { row: "a bar of an instrument", spec: named("bars_<interval>", bars(interval)) },
        TableDoc {
            row: "the values of the indicators at a bar",
            spec: named("indicators_<interval>", indicators(interval, &["<output>".to_owned()])),
        },
        TableDoc { row: "an anomaly that a check found", spec: anomalies() },
        TableDoc { row: "a record that counts", spec: ticks() },
        TableDoc { row: "an instrument on a day, as its master has it", spec: instruments() },
        TableDoc { row: "a record that entered no other table", spec: quarantine() },
    ]
}
