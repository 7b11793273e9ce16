//! What all live bars of a worker go by: the dataflow's intervals and the epoch's horizons.
//!
//! Why apart from the bars: a record changes one instrument, and the rules are read beside it. What must always hold: intervals
//! are finest first, and a coarser bucket is the sum of the buckets of its child interval.

use super::trades::Trade;
use crate::clean::Horizons;
use ticktide_base::time::{Interval, Nanos};

/// What the bars need of a dataflow.
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

pub(super) struct Rules {
    pub(super) spec: BarsSpec,
    /// For each interval the coarsest finer one that divides it.
    pub(super) child: Vec<Option<usize>>,
    pub(super) horizons: Horizons,
}

impl Rules {
    pub(super) fn new(spec: BarsSpec) -> Rules {
        let child = (0..spec.intervals.len())
            .map(|level| (0..level).rev().find(|finer| spec.intervals[level].0 % spec.intervals[*finer].0 == 0))
            .collect();
        Rules { child, spec, horizons: Horizons::default() }
    }

    /// What ends at or before it is final in this interval; an epoch without horizons has passed nothing.
    #[inline]
    pub(super) fn horizon(&self, level: usize) -> Nanos {
        self.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN)
    }

    /// Whether a trade is kept, so that a correction can take it back.
    #[inline]
    pub(super) fn keeps(&self, trade: &Trade) -> bool {
        self.spec.corrections && trade.order.at >= self.horizons.retained_from
    }
}
