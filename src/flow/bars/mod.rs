//! Bars: ticktide's own keyed operator, because live bars must retire and min/max have no inverse.
//!
//! ```text
//!   reading worker                        ═ exchange by instrument ═▶   owning worker
//!   Partials (per step and bucket)  ──┐                                 Keyed: per instrument and interval
//!   trades and corrections (one each) ┴─▶ Routed                        open_at → bucket ──▶ (series, bar, ±1)
//! ```
//!
//! Feeds without corrections are added up before the exchange, one lattice value per step and finest bucket. With
//! corrections every trade is exchanged and kept until the retention ends: the finest bucket is rebuilt from its trades, a
//! coarser one = base ⊕ its live finer buckets, so a cancel never rescans a day. What must always hold: a published bar is a
//! function of the set of ticks of its bucket; a frozen bucket (before its interval's horizon) never changes what was
//! published of it. The newest bar before a horizon may still receive or give back carried volume, so it is kept until the
//! horizon passes a newer one.

pub mod acc;
mod bucket;
mod corrections;
pub mod finished;
pub mod keyed;
mod level;
mod live;
pub mod partial;
mod payload;
mod restore;
mod retire;
mod rules;
#[cfg(test)]
mod tests;
pub mod trades;
pub mod volume;

use crate::clean::duplicates::SeenEntry;
use acc::Acc;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use ticktide_base::conservation::count;
use ticktide_base::epoch::Conservation;
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;
use ticktide_market::calendar::PhaseAt;
pub use ticktide_market::calendar::bucket;
use trades::{Correction, RecordOrigin, Trade, TradeKey};

/// What the reading worker sends to the worker that owns the instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Routed {
    /// Ticks of one finest bucket and one step, added up; for the intervals of the mask.
    Partial {
        instrument: Instrument,
        phase: PhaseAt,
        at: Nanos,
        mask: u32,
        #[serde(with = "acc::whole")]
        acc: Acc,
    },
    /// One trade, where corrections or an instrument-wide dedupe need it whole.
    Trade {
        instrument: Instrument,
        phase: PhaseAt,
        mask: u32,
        key: TradeKey,
        trade: Trade,
        /// How duplicates are recognised, when that is done after the exchange.
        seen: Option<SeenEntry>,
        reached: Reached,
        place: RecordOrigin,
    },
    /// A cancel or a correction of the trade of this id.
    Correction { instrument: Instrument, key: TradeKey, correction: Correction },
}

/// How far back a record reaches, by the time that its partition had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Earlier trades and corrections are not kept.
    pub kept_from: Nanos,
    /// Earlier ids are not known.
    pub known_from: Nanos,
}

/// The mask of a record that counts for every interval.
pub const EVERY: u32 = u32::MAX;

impl Routed {
    /// Where the record came from; `None`: it is a sum of many.
    pub fn place(&self) -> Option<&RecordOrigin> {
        match self {
            Routed::Partial { .. } => None,
            Routed::Trade { place, .. } => Some(place),
            Routed::Correction { correction, .. } => Some(&correction.place),
        }
    }

    pub fn instrument(&self) -> &Instrument {
        match self {
            Routed::Partial { instrument, .. }
            | Routed::Trade { instrument, .. }
            | Routed::Correction { instrument, .. } => instrument,
        }
    }
}

/// A record that is refused after the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecord {
    pub place: RecordOrigin,
    pub reason: &'static str,
    pub detail: String,
}

/// What the operator emits apart from bars.
#[derive(Default)]
pub struct Aside {
    pub refused: Vec<RefusedRecord>,
    /// Changes of the balance, by partition name.
    pub counts: HashMap<Arc<str>, Conservation>,
}

impl Aside {
    fn count(&mut self, partition: &Arc<str>, change: impl FnOnce(&mut Conservation)) {
        change(self.counts.entry(partition.clone()).or_default());
    }

    /// An accepted record is known already, or its id is known with other content.
    fn is_known(&mut self, place: RecordOrigin, same: bool) {
        self.count(&place.partition, |counts| {
            counts.accepted -= 1;
            if same { counts.duplicates += 1 } else { counts.refuse("conflicting_id") }
        });
        if !same {
            let detail = "its id or sequence was there before, with other content".into();
            self.refused.push(RefusedRecord { place, reason: "conflicting_id", detail });
        }
    }

    /// A correction has met its trade.
    fn is_matched(&mut self, place: &RecordOrigin) {
        self.count(&place.partition, |counts| {
            counts.pending -= 1;
            counts.accepted += 1;
        });
    }

    /// A correction counts for some intervals only: `missed` names the others.
    fn is_partly_late(&mut self, place: RecordOrigin, missed: &[String]) {
        if !missed.is_empty() {
            let detail = format!("too late for {}; the others count it", missed.join(", "));
            self.count(&place.partition, |counts| count(&mut counts.partly, "late_partly", 1));
            self.refused.push(RefusedRecord { place, reason: "late_partly", detail });
        }
    }

    /// No trade has arrived for a correction, which waits no longer.
    fn is_unmatched(&mut self, correction: Correction) {
        self.count(&correction.place.partition, |counts| {
            counts.pending -= 1;
            counts.refuse("unmatched");
        });
        let what = if correction.replaces.is_some() { "correction" } else { "cancel" };
        let detail = format!("no trade with its id came within the retention of this {what}");
        self.refused.push(RefusedRecord { place: correction.place, reason: "unmatched", detail });
    }
}
