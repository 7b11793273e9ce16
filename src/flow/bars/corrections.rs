//! Where trades can be taken back: they are kept, and a bucket is added up anew when one of its trades changes.
//!
//! Why a rebuild and not a difference: greatest and least have no inverse. The finest bucket is its base ⊕ its kept trades, a
//! coarser one its base ⊕ its live finer buckets, so a cancel never rescans a day. What must always hold: a bucket is the
//! same whether its records were added one by one or it was rebuilt.

use super::acc::Acc;
use super::level::Spot;
use super::live::{Live, StateKey};
use super::rules::BarRules;
use super::trades::{Correction, CorrectionOutcome, Insertion, Matched, RecordOrigin, Trade, TradeKey, TradeReach};
use super::{Aside, Reached};
use ticktide_base::rules as base;
use ticktide_base::time::Nanos;
use ticktide_market::calendar::bucket;

impl Live {
    /// Takes a trade that may be taken back. Returns false when it is known already and nothing changed.
    pub(super) fn keep_trade(
        &mut self,
        rules: &BarRules,
        spot: &Spot<'_>,
        key: TradeKey,
        (trade, standing): (Trade, TradeReach),
        place: RecordOrigin,
        aside: &mut Aside,
    ) -> bool {
        match self.trades.insert(key.clone(), trade, standing) {
            Insertion::New(matched) => {
                matched.into_iter().for_each(|matched| Live::met(rules, matched, aside));
                let entry = self.trades.entries.get(&key);
                let sums = entry.map(|entry| entry.effective(rules.spec.prices_signed)).unwrap_or_default();
                // a finer bucket enters every coarser one; the mask says which of them publish it
                for level in &mut self.levels {
                    let bucket = level.bucket_of(spot);
                    sums.iter().for_each(|(mask, acc)| bucket.add(*mask, &Acc::Trades(acc.clone())));
                }
            }
            Insertion::Same(changed) => {
                aside.is_known(place, true);
                let Some((open_at, matched)) = changed else { return false };
                matched.into_iter().for_each(|matched| Live::met(rules, matched, aside));
                self.rebuild(rules, open_at);
            }
            Insertion::Conflict => {
                aside.is_known(place, false);
                return false;
            }
        }
        self.dirty.insert(StateKey::Trade(key));
        true
    }

    /// Takes a cancel or a correction.
    pub(super) fn correct(&mut self, rules: &BarRules, key: TradeKey, correction: Correction, aside: &mut Aside) {
        let place = correction.place.clone();
        let effect = self.trades.correct(key.clone(), correction);
        self.dirty.insert(StateKey::Trade(key));
        if let CorrectionOutcome::Rebuild(open_at, matched) = effect {
            if rules.horizons.rules == base::Rules::First {
                aside.is_partly_late(place, &self.frozen_for(rules, open_at));
            }
            Live::met(rules, matched, aside);
            self.rebuild(rules, open_at);
        }
    }

    /// A correction and its trade have met, whichever came first.
    fn met(rules: &BarRules, matched: Matched, aside: &mut Aside) {
        aside.is_matched(&matched.place);
        aside.is_partly_late(matched.place, &rules.missed(matched.mask));
    }

    /// Takes a copy of a trade that reaches intervals for which the earlier ones were too late.
    pub(super) fn widen(
        &mut self,
        rules: &BarRules,
        spot: &Spot<'_>,
        key: TradeKey,
        trade: &Trade,
        (lacked, reached): (u32, &Reached),
        aside: &mut Aside,
    ) {
        match self.trades.widen(&key, rules.standing(lacked, reached)) {
            Some((open_at, matched)) => {
                matched.into_iter().for_each(|matched| Live::met(rules, matched, aside));
                self.dirty.insert(StateKey::Trade(key));
                self.rebuild(rules, open_at);
            }
            None => self.add_trade(rules, spot, lacked, trade),
        }
    }

    /// Forgets the trades from before the retention, and refuses the corrections that waited until then.
    pub(super) fn forget_trades(&mut self, rules: &BarRules, aside: &mut Aside) {
        let (forgotten, unmatched) = self.trades.forget_before(rules.horizons.retained_from);
        self.dirty.extend(forgotten.into_iter().map(StateKey::Trade));
        unmatched.into_iter().for_each(|correction| aside.is_unmatched(correction));
    }

    /// The intervals whose horizon has passed their bar of the finest bucket at `open_at`: what it published stays.
    fn frozen_for(&self, rules: &BarRules, open_at: Nanos) -> Vec<String> {
        let Some(finest) = self.levels[0].buckets.get(&open_at) else { return Vec::new() };
        let intervals = rules.spec.intervals.iter().zip(&rules.horizons.intervals);
        let frozen = intervals.filter(|(interval, horizon)| bucket(&finest.phase, **interval, open_at).1 <= **horizon);
        frozen.map(|(interval, _)| interval.name()).collect()
    }

    /// Adds the finest bucket up from its trades, then every coarser one from its base and its live finer buckets.
    fn rebuild(&mut self, rules: &BarRules, open_at: Nanos) {
        let finest = &mut self.levels[0];
        let Some(bucket) = finest.buckets.get_mut(&open_at) else { return };
        let phase = bucket.phase;
        bucket.begin_anew();
        for (mask, acc) in self.trades.fold(open_at, rules.spec.prices_signed) {
            bucket.add(mask, &Acc::Trades(acc));
        }
        finest.touched.push(open_at);
        for index in 1..self.levels.len() {
            let Some(child) = rules.child[index] else { continue };
            let (finer, coarser) = self.levels.split_at_mut(index);
            coarser[0].rebuild(&finer[child], &phase, open_at);
        }
    }
}
