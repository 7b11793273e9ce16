//! Anomalies: what looks wrong in ticks, in the bars of an instrument, or in the feed as a whole.
//!
//! One file and two lines each: the file holds the judgement and its `SPEC`, the two lines are its `mod` and its row in
//! [`CHECKS`]. `list`, validation and the generic tests read that table.
//!
//! ```text
//!   a tick, where it is accepted ──▶ TickCheck ─────────────────────────▶ a row at once; a cancel takes it back (suspects)
//!   an instrument's first tick of a day in a partition ─▶ two_partitions ─▶ a row when it is not the only partition
//!   finished bars of an instrument ─▶ BarCheck, in the bars' order (scan) ─▶ collection of (anomaly, ±1) ─▶ close
//!   finished bars ⋈ their instruments' terms ─▶ ListedCheck ──────────────────────▶ collection of (anomaly, ±1) ─▶ close
//!   beats of a venue ───────────────▶ FeedGap, between neighbours (beats) ─▶ collection of (anomaly, ±1) ─▶ close
//! ```
//!
//! Why from bars and event times, never a clock: then the same records give the same anomalies, and one whose cause is
//! corrected vanishes as a bar does. What must always hold: a check is a pure function of what it has seen in order; its state
//! is a flat slice of doubles that counts nothing without end, as an indicator's does (a correction has to end somewhere).

mod bad_price_size;
pub mod beats;
mod crossed_quote;
mod feed_gap;
mod instrument_gap;
mod off_band;
mod off_tick;
mod overflow;
mod registry;
mod return_z;
pub mod scan;
pub mod suspects;
#[cfg(test)]
mod tests;
pub mod ticks;
pub mod two_partitions;
mod window;

use crate::bars::finished::FinishedBar;
use crate::close::AtBar;
use crate::instruments::Term;
pub use feed_gap::FeedGap;
pub use registry::{Built, Check, Level, Setting, Spec, build, spec};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_base::registry::Family;
use ticktide_base::rules::Rules;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::Tick;

/// Every check, in the order in which they are listed; a program may add its own.
pub static CHECKS: Family<Spec> = Family::new(
    registry::FAMILY,
    &[
        &bad_price_size::SPEC, //
        &crossed_quote::SPEC,
        &two_partitions::SPEC,
        &return_z::SPEC,
        &instrument_gap::SPEC,
        &feed_gap::SPEC,
        &off_tick::SPEC,
        &off_band::SPEC,
        &overflow::SPEC,
    ],
);

/// The token for all instruments of a venue.
pub const FEED: &str = "*";

/// How far from ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing, perhaps right.
    Notice,
    /// Probably wrong.
    Warning,
    /// Cannot be right, or twice as far off as a warning.
    Critical,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// A warning, or more when `observed` is beyond twice what is allowed.
    pub fn beyond(observed: f64, allowed: f64) -> Severity {
        if observed > 2.0 * allowed { Severity::Critical } else { Severity::Warning }
    }
}

/// What a check finds at a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BarFinding {
    /// Nanoseconds of UTC; no earlier than the bars that the check has seen.
    pub started_at: Nanos,
    /// `None`: the end of the bar.
    pub ended_at: Option<Nanos>,
    pub severity: Severity,
    pub observed: f64,
    /// The bound that `observed` should have kept.
    pub expected: f64,
}

/// What a check finds in a tick, or in a bar by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oddity {
    pub severity: Severity,
    pub observed: f64,
    pub expected: f64,
}

/// What a tick's check knows apart from the tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The phase collects orders and matches them at its end, so quotes may cross.
    pub auction: bool,
    /// Prices may be 0 or negative.
    pub prices_signed: bool,
}

/// Checks ticks one by one.
pub trait TickCheck: Send + Sync {
    /// What is odd in a tick; a pure function.
    fn look(&self, tick: &Tick, facts: &Facts) -> Option<Oddity>;
}

/// Checks an instrument's finished bars in their order.
pub trait BarCheck: Send + Sync {
    /// Adopts the rules of the lake whose bars it checks; most checks are the same under all rules.
    fn go_by(&mut self, _rules: Rules) {}
    /// How many doubles its state takes; a fresh state is all zeros.
    fn width(&self) -> usize;
    /// Takes the next bar.
    fn step(&self, state: &mut [f64], bar: &FinishedBar, interval: Interval) -> Option<BarFinding>;
}

/// Checks a bar against what the exchange reports of its instrument.
pub trait ListedCheck: Send + Sync {
    /// What is odd in a bar; a pure function.
    fn look(&self, bar: &FinishedBar, term: &Term) -> Option<Oddity>;
}

/// The records an anomaly was seen in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRange {
    /// "topic/partition".
    pub partition: Arc<str>,
    pub offset_first: i64,
    pub offset_last: i64,
}

/// One anomaly. Numbers by their bits, so that it can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Anomaly {
    /// The start of the bar that reports it: it is published with that bar. For ticks their own time.
    pub open_at: Nanos,
    pub phase: u8,
    /// Index in the dataflow's list of checks.
    pub check: u16,
    pub started_at: Nanos,
    pub ended_at: Nanos,
    pub severity: Severity,
    pub observed: u64,
    pub expected: u64,
    /// `None` where bars are judged.
    pub seen: Option<RecordRange>,
    /// The instrument's symbol on the wire. It is not exchanged and not kept: the worker that decides a row sets its symbol.
    #[serde(skip)]
    pub symbol: Option<Arc<str>>,
}

impl AtBar for Anomaly {
    /// Check and start, as in the table's key. After a correction another bar may report it.
    type Key = (u16, Nanos);

    fn symbol(&self) -> Option<&str> {
        self.symbol.as_deref()
    }

    fn key(&self) -> (u16, Nanos) {
        (self.check, self.started_at)
    }

    fn open_at(&self) -> Nanos {
        self.open_at
    }
}
