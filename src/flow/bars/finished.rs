//! The finished bar: the value that everything downstream of the bars reads, from one shared arrangement.
//!
//! Why the head comes first, and `open_at` and `phase` first in it: the derived order is then the order of positions, on which
//! scans rely. What must always hold: one live bar per series and position.

use crate::scan::{Position, Positioned};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::Instrument;

/// The bars of one instrument in one interval.
pub type Series = (Interval, Instrument);

/// Identifies a bar in its series. A bar begins with it, and so does every row that belongs to a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BarHead {
    /// Nanoseconds of UTC; the label is the start, the end is exclusive.
    pub open_at: Nanos,
    /// The phase of the session, by its number in the calendar; bars of two phases are never one bar.
    pub phase: u8,
    /// Days since 1970.
    pub trading_date: i32,
}

impl BarHead {
    #[inline]
    pub fn position(&self) -> Position {
        (self.open_at, self.phase)
    }

    /// The least head at a position: no bar has its date, so the fields after it do not matter.
    #[inline]
    pub fn floor((open_at, phase): Position) -> BarHead {
        BarHead { open_at, phase, trading_date: i32::MIN }
    }
}

/// A row that begins with the head of its bar: the bar itself, or what is computed from it.
pub trait Headed: Clone + Ord + 'static {
    fn head(&self) -> &BarHead;
    /// The instrument's symbol on the wire.
    fn symbol(&self) -> Option<&str>;
}

/// A bar as it would be published now. Prices and quantities in units of 10⁻⁸, turnover in units of 10⁻¹⁶.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FinishedBar {
    pub head: BarHead,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// None where the feed has no volume (an index).
    pub volume: Option<i128>,
    /// None where the feed has none, or where it was too large.
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
    /// The greatest symbol that a record of the bar carries.
    pub symbol: Option<Arc<str>>,
}

/// A sum of quantities from here on does not fit a DECIMAL(38,8).
const VOLUME_END: i128 = 10i128.pow(38);

impl FinishedBar {
    /// The greatest turnover, as money: sums stop there.
    pub const TURNOVER_MOST: f64 = i128::MAX as f64 / 1e16;

    /// A sum that was too large to keep becomes none: the value where it stopped is wrong. The first rules published it.
    #[inline]
    pub fn without_overflow(mut self, rules: Rules) -> FinishedBar {
        if rules > Rules::First {
            self.turnover = self.turnover.filter(|turnover| *turnover != i128::MAX && *turnover != i128::MIN);
            self.volume = self.volume.filter(|volume| volume.unsigned_abs() < VOLUME_END.unsigned_abs());
        }
        self
    }

    /// Whether a sum of its trades was too large to keep.
    #[inline]
    pub fn overflows(&self) -> bool {
        self.trades.is_some() && (self.turnover.is_none() || self.volume.is_none())
    }
}

impl Positioned for FinishedBar {
    fn position(&self) -> Position {
        self.head.position()
    }

    fn floor(position: Position) -> FinishedBar {
        FinishedBar { head: BarHead::floor(position), ..FinishedBar::default() }
    }
}

impl Headed for FinishedBar {
    fn head(&self) -> &BarHead {
        &self.head
    }

    fn symbol(&self) -> Option<&str> {
        self.symbol.as_deref()
    }
}

/// A row with the symbol that its instrument's master gives it; `None`: only the wire may have named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamedRow<R> {
    pub row: R,
    pub symbol: Option<Arc<str>>,
}

/// The indicators' values at a bar: the bits of one double per output of the composite, the canonical NaN for null.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// Its bar's head.
    pub head: BarHead,
    pub values: Vec<u64>,
    /// Its bar's symbol.
    pub symbol: Option<Arc<str>>,
}

impl Headed for Reading {
    fn head(&self) -> &BarHead {
        &self.head
    }

    fn symbol(&self) -> Option<&str> {
        self.symbol.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::acc::{TradeAcc, TradeOrder};

    /// A trade at the greatest price with the greatest quantity: 10²⁰ of money.
    fn bar_of(trades: u64) -> FinishedBar {
        let most = 999_999_999_999_999_999;
        let mut acc = TradeAcc::default();
        for offset in 0..trades {
            let order = TradeOrder { offset: offset as i64, price: most, quantity: most, ..TradeOrder::default() };
            acc.add(&order, true, true);
        }
        let (volume, turnover) = (Some(acc.volume), Some(acc.turnover));
        FinishedBar { volume, turnover, trades: Some(acc.trades), ..FinishedBar::default() }
    }

    #[test]
    fn a_turnover_that_is_too_great_is_none_and_the_first_rules_tell_where_it_stopped() {
        let (fits, over) = (bar_of(170), bar_of(171));
        assert_eq!(fits.clone().without_overflow(Rules::Second), fits);
        assert!(!fits.overflows());
        let second = over.clone().without_overflow(Rules::Second);
        assert_eq!((second.turnover, second.volume, second.overflows()), (None, over.volume, true));
        assert_eq!(over.clone().without_overflow(Rules::First), over);
        let volume = FinishedBar { volume: Some(VOLUME_END), ..fits };
        assert!(volume.without_overflow(Rules::Second).overflows());
        let of_snapshots = FinishedBar { trades: None, turnover: None, ..over };
        assert!(!of_snapshots.without_overflow(Rules::Second).overflows(), "a snapshot has no turnover");
    }
}
