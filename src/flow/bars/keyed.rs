//! The live bars of the instruments that one worker owns.
//!
//! ```text
//!   Routed ─▶ apply ─▶ Live of its instrument         ─▶ changes  a step is complete: what downstream receives
//!                        IntervalBuckets per interval  ─▶ retire   an epoch is complete: bars leave, durable values
//!                          Bucket per bar              ◀─ restore  the durable values of an earlier run
//! ```
//!
//! What must always hold: a row that is taken back is the row that was published, symbol included, even by another run. So a
//! bar's symbol is part of its bucket's durable value, and nothing that is published or kept uses the instrument of a record.

pub use super::Aside;
use super::Routed;
pub use super::bucket::Emitted;
use super::finished::Series;
use super::level::Spot;
pub use super::live::StateKey;
use super::live::{KnownTrade, Live};
use super::rules::BarRules;
pub use super::rules::BarsSpec;
use crate::clean::EpochHorizons;
use std::collections::{BTreeMap, HashMap};
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;

/// All live bars of one worker's instruments.
pub struct Keyed {
    pub(super) rules: BarRules,
    pub(super) instruments: HashMap<Instrument, Live, ahash::RandomState>,
    /// Instruments changed in this step.
    touched: Vec<Instrument>,
    /// The newest minute of each durable chunk of remembered ids, by instrument, trading day and epoch.
    pub(super) seen_chunks: BTreeMap<(Instrument, i32, u64), i32>,
}

impl Keyed {
    pub fn new(spec: BarsSpec) -> Keyed {
        Keyed {
            rules: BarRules::new(spec),
            instruments: HashMap::default(),
            touched: Vec::new(),
            seen_chunks: BTreeMap::new(),
        }
    }

    /// Whether records must be given in an order that does not depend on their arrival.
    pub fn finds_duplicates(&self) -> bool {
        self.rules.spec.dedupe_here
    }

    /// An epoch begins: what its horizons pass is frozen from now on.
    pub fn begin(&mut self, horizons: EpochHorizons) {
        if self.rules.spec.dedupe_here {
            self.instruments.values_mut().for_each(|live| live.memory.begin(horizons.least()));
        }
        let falls = |(new, old): (&Nanos, &Nanos)| new < old;
        let rewound = horizons.intervals.iter().zip(&self.rules.horizons.intervals).any(falls);
        self.rules.horizons = horizons;
        if rewound {
            self.instruments.values_mut().for_each(|live| live.thaw(&self.rules));
        }
    }

    /// Takes one record.
    pub fn apply(&mut self, routed: Routed, aside: &mut Aside) {
        let rules = &self.rules;
        let live = match self.instruments.get_mut(routed.instrument()) {
            Some(live) => live,
            None => {
                let own = routed.instrument().unnamed();
                let mut live = Live::new(own.clone(), rules);
                live.memory.begin(rules.horizons.least());
                self.instruments.entry(own).or_insert(live)
            }
        };
        let changed = match routed {
            Routed::Partial { instrument, phase, at, mask, acc } => {
                let spot = Spot { phase: &phase, at, symbol: instrument.symbol_shared() };
                live.add_partial(&spot, mask, &acc);
                true
            }
            Routed::Trade { instrument, phase, mask, key, trade, seen, reached, place } => {
                let spot = Spot { phase: &phase, at: trade.order.at, symbol: instrument.symbol_shared() };
                let standing = rules.standing(mask, &reached);
                match seen.and_then(|seen| live.known(rules, phase.trading_date, seen, (mask, &reached))) {
                    Some(known) => {
                        aside.is_known(place, known != KnownTrade::Other);
                        let lacked = if let KnownTrade::Lacks(lacked) = known { lacked } else { 0 };
                        if lacked != 0 {
                            live.widen(rules, &spot, key, &trade, (lacked, &reached), aside);
                        }
                        lacked != 0
                    }
                    None if rules.keeps(&trade, &reached) => {
                        live.keep_trade(rules, &spot, key, (trade, standing), place, aside)
                    }
                    None => {
                        live.add_trade(rules, &spot, mask, &trade);
                        true
                    }
                }
            }
            Routed::Correction { key, correction, .. } => {
                live.correct(rules, key, correction, aside);
                true
            }
        };
        if changed && !std::mem::replace(&mut live.is_touched, true) {
            self.touched.push(live.own.clone());
        }
    }

    /// A step is complete: the changes it makes to what downstream knows.
    pub fn changes(&mut self, out: &mut Vec<(Series, Emitted, isize)>) {
        for instrument in std::mem::take(&mut self.touched) {
            if let Some(live) = self.instruments.get_mut(&instrument) {
                live.changes(&self.rules, out);
            }
        }
    }
}
