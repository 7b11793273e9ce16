//! placeholder until merged
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotBar {
    pub open_at: i64,
    pub phase: u8,
    pub trading_date: i32,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub cumulative_first: Option<i128>,
    pub cumulative_greatest: Option<i128>,
    pub cumulative_last: Option<i128>,
    pub day_high: Option<i64>,
    pub day_low: Option<i64>,
    pub open_interest: Option<i128>,
    pub baseline_known: bool,
    pub short: bool,
}
