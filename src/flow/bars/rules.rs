//! What all live bars of a worker are judged by: the dataflow's intervals and the epoch's horizons.
//!
//! Why separate from the bars: a record changes one instrument while the rules are read. What must always hold: intervals
//! are finest first, and a coarser bucket is the sum of the buckets of its child interval.

use super::trades::{Trade, TradeReach};
use super::{EVERY, Reached};
use crate::clean::EpochHorizons;
use ticktide_base::rules as base;
use ticktide_base::time::{Interval, Nanos};

/// What the bars need from a dataflow.
#[derive(Clone, Debug)]
pub struct BarsSpec {
    /// Finest first.
    pub intervals: Vec<Interval>,
    pub corrections: bool,
    /// Volume of buckets without a price goes to the bar before them.
    pub carries: bool,
    /// Duplicates are found here, per instrument.
    pub dedupe_here: bool,
    /// Prices ≤ 0 make bars.
    pub prices_signed: bool,
}

pub(super) struct BarRules {
    pub(super) spec: BarsSpec,
    /// For each interval the coarsest finer one that divides it.
    pub(super) child: Vec<Option<usize>>,
    /// The mask of all intervals.
    all: u32,
    pub(super) horizons: EpochHorizons,
}

impl BarRules {
    pub(super) fn new(spec: BarsSpec) -> BarRules {
        let child = (0..spec.intervals.len())
            .map(|level| (0..level).rev().find(|finer| spec.intervals[level].0 % spec.intervals[*finer].0 == 0))
            .collect();
        let all = ((1u64 << spec.intervals.len()) - 1) as u32;
        BarRules { child, all, spec, horizons: EpochHorizons::default() }
    }

    /// This interval's horizon: what ends at or before it is final. An epoch without horizons has passed nothing.
    #[inline]
    pub(super) fn horizon(&self, level: usize) -> Nanos {
        self.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN)
    }

    /// Whether a trade is kept, so that a correction can take it back.
    #[inline]
    pub(super) fn keeps(&self, trade: &Trade, reached: &Reached) -> bool {
        self.spec.corrections && trade.order.at >= reached.kept_from
    }

    /// The mask under which a corrected feed keeps a sum. Without corrections, and under the first rules, a sum is in the
    /// buckets of its intervals and in no other.
    #[inline]
    pub(super) fn sum_mask(&self, mask: u32) -> u32 {
        let by_mask = self.spec.corrections && self.horizons.rules > base::Rules::First;
        if !by_mask || self.is_whole(mask) { EVERY } else { mask }
    }

    /// Whether a mask has all intervals.
    #[inline]
    pub(super) fn is_whole(&self, mask: u32) -> bool {
        mask & self.all == self.all
    }

    /// How far a kept trade reaches; under the first rules every correction meets it, and it is in every bucket.
    #[inline]
    pub(super) fn standing(&self, mask: u32, reached: &Reached) -> TradeReach {
        let first = self.horizons.rules == base::Rules::First;
        TradeReach { mask: self.sum_mask(mask), kept_from: if first { Nanos::MIN } else { reached.kept_from } }
    }

    /// The names of the intervals that a mask lacks.
    pub(super) fn missed(&self, mask: u32) -> Vec<String> {
        let intervals = self.spec.intervals.iter().enumerate();
        intervals.filter(|(index, _)| mask & (1 << index) == 0).map(|(_, interval)| interval.name()).collect()
    }
}
