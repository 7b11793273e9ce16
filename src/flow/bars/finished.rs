//! The finished bar: the value that everything behind the bars reads, from one shared arrangement.
//!
//! Why `open_at` and `phase` come first: the derived order then is the order of positions, which scans rely on. What must
//! always hold: one live bar per series and position.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_base::time::Interval;
use ticktide_market::Instrument;

/// The bars of one instrument in one interval.
pub type Series = (Interval, Instrument);

/// A bar as it would be published now. Prices and quantities in units of 10⁻⁸, turnover in units of 10⁻¹⁶.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FinishedBar {
    /// Nanoseconds of UTC; the label is the start, the end is exclusive.
    pub open_at: i64,
    /// The phase of the session, by its number in the calendar; bars of two phases are never one bar.
    pub phase: u8,
    /// Days since 1970.
    pub trading_date: i32,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// None where the feed has no volume (an index).
    pub volume: Option<i128>,
    pub turnover: Option<i128>,
    /// None on snapshots, which conflate trades.
    pub trades: Option<u64>,
    /// Distinct records that entered the bar.
    pub updates: u64,
    pub open_interest: Option<i128>,
    /// Part of what happened in the bar was not seen.
    pub partial: bool,
    /// The session ends before the bar would.
    pub short: bool,
    /// The greatest symbol that a record of the bar tells.
    pub symbol: Option<Arc<str>>,
}

/// A row with the symbol that its instrument's master gives it; `None`: only the wire may have named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Named<R> {
    pub row: R,
    pub symbol: Option<Arc<str>>,
}

/// What the indicators say at a bar: the bits of one double per output of the composite, the canonical NaN for null.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reading {
    pub open_at: i64,
    pub phase: u8,
    pub trading_date: i32,
    pub values: Vec<u64>,
    /// As the bar has it.
    pub symbol: Option<Arc<str>>,
}
