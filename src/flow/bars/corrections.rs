//! Where trades can be taken back: they are kept, and a bucket is added up anew when one of its trades changes.
//!
//! Why a rebuild and not a difference: greatest and least have no inverse. The finest bucket is its base ⊕ its kept trades, a
//! coarser one its base ⊕ its live finer buckets, so a cancel never rescans a day. What must always hold: a bucket is the
//! same whether its records were added one by one or it was rebuilt.

use super::acc::{Acc, TradeAcc};
use super::bucket::add;
use super::level::Spot;
use super::live::{Live, StateKey};
use super::rules::Rules;
use super::trades::{Correction, Effect, Insertion, Place, Trade, TradeKey};
use super::{Aside, Refused};
use ticktide_base::conservation::count;
use ticktide_base::time::Nanos;
use ticktide_market::calendar::bucket;

impl Live {
    /// Takes a trade that may be taken back. False: it is known already, and nothing changed.
    pub(super) fn keep_trade(
        &mut self,
        rules: &Rules,
        spot: &Spot<'_>,
        key: TradeKey,
        trade: Trade,
        place: Place,
        aside: &mut Aside,
    ) -> bool {
        match self.trades.insert(key.clone(), trade) {
            Insertion::New(matched) => {
                matched.iter().for_each(|correction| aside.is_matched(&correction.place));
                let entry = self.trades.entries.get(&key);
                let acc = entry.and_then(|entry| entry.effective(rules.spec.prices_signed)).map(Acc::Trades);
                // a finer bucket enters every coarser one; the mask only says what may still be published
                for level in &mut self.levels {
                    level.merge(spot, acc.as_ref());
                }
            }
            Insertion::Same(first) => {
                aside.is_known(place, true);
                let Some(open_at) = first else { return false };
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
    pub(super) fn correct(&mut self, rules: &Rules, key: TradeKey, correction: Correction, aside: &mut Aside) {
        let place = correction.place.clone();
        let effect = self.trades.correct(key.clone(), correction);
        self.dirty.insert(StateKey::Trade(key));
        if let Effect::Rebuild(open_at) = effect {
            aside.is_matched(&place);
            let missed = self.frozen_for(rules, open_at);
            if !missed.is_empty() {
                let detail = format!("too late for {}; the others count it", missed.join(", "));
                aside.count(&place.partition, |counts| count(&mut counts.partly, "late_partly", 1));
                aside.refused.push(Refused { place, reason: "late_partly", detail });
            }
            self.rebuild(rules, open_at);
        }
    }

    /// Forgets the trades of before the retention, and refuses the corrections that waited until then.
    pub(super) fn forget_trades(&mut self, rules: &Rules, aside: &mut Aside) {
        let (forgotten, unmatched) = self.trades.forget_before(rules.horizons.retained_from);
        self.dirty.extend(forgotten.into_iter().map(StateKey::Trade));
        unmatched.into_iter().for_each(|correction| aside.is_unmatched(correction));
    }

    /// The intervals whose bar of the finest bucket at `open_at` is behind its horizon: what it published stays.
    fn frozen_for(&self, rules: &Rules, open_at: Nanos) -> Vec<String> {
        let Some(finest) = self.levels[0].buckets.get(&open_at) else { return Vec::new() };
        let intervals = rules.spec.intervals.iter().zip(&rules.horizons.intervals);
        let frozen = intervals.filter(|(interval, horizon)| bucket(&finest.phase, **interval, open_at).1 <= **horizon);
        frozen.map(|(interval, _)| interval.name()).collect()
    }

    /// Adds the finest bucket up from its trades, then every coarser one from its base and its live finer buckets.
    fn rebuild(&mut self, rules: &Rules, open_at: Nanos) {
        let finest = &mut self.levels[0];
        let Some(bucket) = finest.buckets.get_mut(&open_at) else { return };
        let phase = bucket.phase;
        let mut acc = bucket.base();
        let fold = self.trades.fold(open_at, rules.spec.prices_signed);
        if fold != TradeAcc::default() {
            add(&mut acc, &Acc::Trades(fold));
        }
        bucket.acc = acc;
        finest.touched.push(open_at);
        for index in 1..self.levels.len() {
            let Some(child) = rules.child[index] else { continue };
            let (finer, coarser) = self.levels.split_at_mut(index);
            coarser[0].rebuild(&finer[child], &phase, open_at);
        }
    }
}
