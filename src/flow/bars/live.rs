//! The live bars of one instrument: its buckets of every interval, its kept trades, its remembered ids.
//!
//! Why published rows use `own`: records of one instrument may carry several symbols, and a row that is taken back must have
//! the one that it was published under. What must always hold: downstream knows of a bucket its `emitted`, and nothing else.

use super::acc::{Acc, TradeAcc};
use super::bucket::Emitted;
use super::finished::Series;
use super::level::{IntervalBuckets, Spot};
use super::rules::BarRules;
use super::trades::{Trade, TradeKey, Trades};
use super::{EVERY, Reached};
use crate::clean::duplicates::{Memory, SeenEntry, SeenName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::Instrument;

/// Key of one durable value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StateKey {
    Bucket(Interval, Nanos),
    Trade(TradeKey),
    /// Remembered ids of a trading day, by the epoch that remembered them.
    Seen(i32, u64),
    /// An id of a trading day whose trade counts for some intervals only.
    Partly(i32, SeenName),
}

pub(super) struct Live {
    /// As its key has it: what is published and kept uses it, whatever symbols records carry.
    pub(super) own: Instrument,
    /// One for each interval, finest first.
    pub(super) levels: Vec<IntervalBuckets>,
    /// Something changed in this step.
    pub(super) is_touched: bool,
    /// What changed in this epoch.
    pub(super) dirty: BTreeSet<StateKey>,
    pub(super) trades: Trades,
    pub(super) memory: Memory,
    /// Of ids whose trade counts for some intervals only: the mask of those, and the minute of the trade.
    pub(super) partly: BTreeMap<(i32, SeenName), (u32, i32)>,
}

impl Live {
    pub(super) fn new(own: Instrument, rules: &BarRules) -> Live {
        Live {
            own,
            levels: rules
                .spec
                .intervals
                .iter()
                .enumerate()
                .map(|(at, interval)| IntervalBuckets::new(*interval, at))
                .collect(),
            is_touched: false,
            dirty: BTreeSet::new(),
            trades: Trades::default(),
            memory: Memory::default(),
            partly: BTreeMap::new(),
        }
    }

    /// Adds the sum of a step to the intervals of the mask.
    #[inline]
    pub(super) fn add_partial(&mut self, spot: &Spot<'_>, mask: u32, acc: &Acc) {
        for (index, level) in self.levels.iter_mut().enumerate() {
            if mask & (1 << index) != 0 {
                level.bucket_of(spot).add(EVERY, acc);
            }
        }
    }

    /// Adds a trade that is not kept to the intervals of the mask. With corrections it survives a rebuild: it is in the
    /// base of its finest bucket, from which the coarser ones take it.
    #[inline]
    pub(super) fn add_trade(&mut self, rules: &BarRules, spot: &Spot<'_>, mask: u32, trade: &Trade) {
        if trade.order.price <= 0 && !rules.spec.prices_signed {
            return;
        }
        let acc = Acc::Trades(TradeAcc::of(trade.order, trade.sets_price, trade.adds_volume));
        for (index, level) in self.levels.iter_mut().enumerate() {
            if mask & (1 << index) == 0 {
                continue;
            }
            let bucket = level.bucket_of(spot);
            let counts_for = rules.sum_mask(mask);
            bucket.add(counts_for, &acc);
            let from_child = rules.child[index].is_some_and(|child| mask & (1 << child) != 0);
            if rules.spec.corrections && !from_child {
                bucket.add_base(counts_for, &acc);
            }
        }
    }

    /// Whether a trade was reported before; `None`: it is new. A copy may count for intervals for which the
    /// earlier ones were too late.
    pub(super) fn known(
        &mut self,
        rules: &BarRules,
        trading_date: i32,
        seen: SeenEntry,
        (mask, reached): (u32, &Reached),
    ) -> Option<KnownTrade> {
        let whole = rules.is_whole(mask);
        let name = (!whole || !self.partly.is_empty()).then(|| (trading_date, seen.name()));
        let minute = seen.minute();
        self.memory.know_from(reached.known_from);
        let known = self.memory.remember(0, trading_date, seen);
        let Some(name) = name else { return known.map(|same| if same { KnownTrade::Same } else { KnownTrade::Other }) };
        let (counts_for, known) = match (known, self.partly.get(&name)) {
            (None, _) => (mask, None),
            (Some(true), Some((had, _))) => (mask | had, Some(KnownTrade::Lacks(mask & !had))),
            (Some(true), None) => return Some(KnownTrade::Same),
            (Some(false), _) => return Some(KnownTrade::Other),
        };
        let partly = (!rules.is_whole(counts_for)).then_some(counts_for);
        let before = match partly {
            None => self.partly.remove(&name),
            Some(mask) => self.partly.insert(name.clone(), (mask, minute)),
        };
        if before.map(|(had, _)| had) != partly {
            self.dirty.insert(StateKey::Partly(name.0, name.1));
        }
        known
    }

    /// A step is complete: the changes it makes to what downstream knows.
    pub(super) fn changes(&mut self, rules: &BarRules, out: &mut Vec<(Series, Emitted, isize)>) {
        self.is_touched = false;
        for (index, level) in self.levels.iter_mut().enumerate() {
            if level.touched.is_empty() {
                continue;
            }
            let mut touched = std::mem::take(&mut level.touched);
            touched.sort_unstable();
            touched.dedup();
            self.dirty.extend(touched.iter().map(|open_at| StateKey::Bucket(level.interval, *open_at)));
            if rules.spec.carries {
                let before: Vec<Nanos> = touched.iter().filter_map(|at| level.priced_before(*at)).collect();
                touched.extend(before);
                touched.sort_unstable();
                touched.dedup();
            }
            let frozen = Frozen::of(rules, index, level);
            for open_at in touched.drain(..) {
                let published = level.published(open_at, rules.spec.carries);
                let Some(bucket) = level.buckets.get_mut(&open_at) else { continue };
                if bucket.frozen || frozen.has(open_at, bucket.end_at) || published == bucket.emitted {
                    continue;
                }
                let series = (level.interval, self.own.clone());
                if let Some(old) = bucket.emitted.take() {
                    out.push((series.clone(), old, -1));
                }
                if let Some(new) = published {
                    bucket.emitted = Some(new.clone());
                    out.push((series, new, 1));
                }
            }
            level.touched = touched;
        }
    }

    /// The horizons have moved back: what they no longer pass may change again, as it may after a restart.
    pub(super) fn thaw(&mut self, rules: &BarRules) {
        for (index, level) in self.levels.iter_mut().enumerate() {
            let frozen = Frozen::of(rules, index, level);
            for (open_at, bucket) in &mut level.buckets {
                bucket.frozen = bucket.frozen && frozen.has(*open_at, bucket.end_at);
            }
        }
    }

    /// Whether nothing of it is left.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.buckets.is_empty())
            && self.trades.is_empty()
            && self.memory.is_empty()
            && self.partly.is_empty()
    }
}

/// A trade that was reported before, compared with its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownTrade {
    Same,
    /// With other content.
    Other,
    /// It was too late for these intervals of the copy.
    Lacks(u32),
}

/// Which buckets of an interval emit nothing any longer.
pub(super) struct Frozen {
    horizon: Nanos,
    kept_from: Option<Nanos>,
}

impl Frozen {
    pub(super) fn of(rules: &BarRules, index: usize, level: &IntervalBuckets) -> Frozen {
        let horizon = rules.horizon(index);
        let kept_from = if rules.spec.carries { level.kept_from(horizon) } else { None };
        Frozen { horizon, kept_from }
    }

    #[inline]
    pub(super) fn has(&self, open_at: Nanos, end_at: Nanos) -> bool {
        end_at <= self.horizon && self.kept_from.is_none_or(|kept| open_at < kept)
    }
}
