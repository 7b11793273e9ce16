//! The end of an epoch: bars before its horizons leave, and what changed becomes durable.
//!
//! Why a bar leaves before its bucket: with corrections the bucket is still needed by the coarser ones until its trades are no
//! longer kept; then its sum goes to their bases. What must always hold: the durable values after an epoch are
//! all that a restart needs.

use super::Aside;
use super::bucket::{Bucket, Emitted, encode};
use super::finished::Series;
use super::keyed::Keyed;
use super::level::IntervalBuckets;
use super::live::{Live, StateKey};
use super::rules::BarRules;
use super::trades::TradeState;
use std::collections::BTreeMap;
use ticktide_base::time::{MINUTE, Nanos};
use ticktide_market::Instrument;
use ticktide_market::calendar::bucket;

/// Durable changes: the value under a key, `None` where it is gone.
type States = Vec<(Instrument, StateKey, Option<Vec<u8>>)>;

impl Keyed {
    /// An epoch is complete: bars before its horizons retire. Gives the retired bars (−1, which is no correction: they only
    /// leave the state downstream) and the durable changes.
    pub fn retire(
        &mut self,
        epoch: u64,
        out: &mut Vec<(Series, Emitted, isize)>,
        aside: &mut Aside,
    ) -> Vec<(Instrument, StateKey, Option<Vec<u8>>)> {
        let rules = &self.rules;
        let mut states = Vec::new();
        for live in self.instruments.values_mut() {
            live.retire_bars(rules, out);
            if rules.spec.corrections {
                live.forget_trades(rules, aside);
            }
            if rules.spec.dedupe_here {
                live.keep_seen(epoch, &mut self.seen_chunks, &mut states);
                live.memory.forget();
                live.forget_partly(rules);
            }
            live.keep_dirty(&mut states);
        }
        self.forget_seen(&mut states);
        self.instruments.retain(|_, live| !live.is_empty());
        states
    }

    /// Forgets remembered ids whose minutes the horizon has passed.
    fn forget_seen(&mut self, states: &mut States) {
        let least = self.rules.horizons.least().div_euclid(MINUTE);
        self.seen_chunks.retain(|(instrument, trading_date, epoch), newest| {
            let live = i64::from(*newest) >= least;
            if !live {
                states.push((instrument.clone(), StateKey::Seen(*trading_date, *epoch), None));
            }
            live
        });
    }
}

impl Live {
    /// Takes back the bars before the horizons, and drops the buckets that nothing needs any longer.
    fn retire_bars(&mut self, rules: &BarRules, out: &mut Vec<(Series, Emitted, isize)>) {
        let corrections = rules.spec.corrections;
        for index in 0..self.levels.len() {
            let horizon = rules.horizon(index);
            let needed_from = if corrections { horizon.min(rules.horizons.retained_from) } else { horizon };
            for (open_at, end_at) in self.levels[index].behind(horizon, rules.spec.carries) {
                let level = &mut self.levels[index];
                let Some(bucket) = level.buckets.get_mut(&open_at) else { continue };
                if let Some(old) = bucket.emitted.take() {
                    out.push(((level.interval, self.own.clone()), old, -1));
                }
                bucket.frozen = true;
                if end_at > needed_from {
                    continue;
                }
                let Some(gone) = level.buckets.remove(&open_at) else { continue };
                self.dirty.insert(StateKey::Bucket(level.interval, open_at));
                if corrections {
                    self.keep_in_coarser(rules, index, open_at, &gone);
                }
            }
        }
    }

    /// A bucket of the level is gone: its sum stays in the bases of the coarser ones built from it.
    fn keep_in_coarser(&mut self, rules: &BarRules, index: usize, at: Nanos, gone: &Bucket) {
        for (coarser, level) in self.levels.iter_mut().enumerate().skip(index + 1) {
            if rules.child[coarser] != Some(index) {
                continue;
            }
            let (open_at, _) = bucket(&gone.phase, level.interval, at);
            if let Some(parent) = level.buckets.get_mut(&open_at) {
                gone.sums().for_each(|(mask, acc)| parent.add_base(mask, acc));
                self.dirty.insert(StateKey::Bucket(level.interval, open_at));
            }
        }
    }

    /// Keeps the ids that the epoch has seen, as a chunk of its own.
    fn keep_seen(&mut self, epoch: u64, chunks: &mut BTreeMap<(Instrument, i32, u64), i32>, states: &mut States) {
        for ((_, trading_date), entries) in self.memory.take_fresh() {
            chunks.insert((self.own.clone(), trading_date, epoch), entries.newest_minute());
            states.push((self.own.clone(), StateKey::Seen(trading_date, epoch), Some(encode(&entries))));
        }
    }

    /// Forgets the lacking intervals of ids that are no longer known.
    fn forget_partly(&mut self, rules: &BarRules) {
        let least = rules.horizons.least().div_euclid(MINUTE);
        self.partly.retain(|(trading_date, name), (_, minute)| {
            let live = i64::from(*minute) >= least;
            if !live {
                self.dirty.insert(StateKey::Partly(*trading_date, name.clone()));
            }
            live
        });
    }

    /// The values that changed in the epoch.
    fn keep_dirty(&mut self, states: &mut States) {
        for key in std::mem::take(&mut self.dirty) {
            let value = match &key {
                StateKey::Bucket(interval, open_at) => {
                    let level = self.levels.iter().find(|level| level.interval == *interval);
                    level.and_then(|level| level.buckets.get(open_at)).map(|bucket| bucket.encode())
                }
                StateKey::Trade(key) => self.trades.entries.get(key).map(TradeState::encode),
                StateKey::Partly(date, name) => self.partly.get(&(*date, name.clone())).map(encode),
                StateKey::Seen(..) => None,
            };
            states.push((self.own.clone(), key, value));
        }
    }
}

impl IntervalBuckets {
    /// Start and end of the buckets that the horizon has passed; with `carries`, those before the newest with a price.
    fn behind(&self, horizon: Nanos, carries: bool) -> Vec<(Nanos, Nanos)> {
        let first_kept = if carries { self.kept_from(horizon).unwrap_or(Nanos::MIN) } else { Nanos::MAX };
        let before = self.buckets.range(..first_kept).map(|(open_at, bucket)| (*open_at, bucket.end_at));
        before.take_while(|(_, end_at)| *end_at <= horizon).collect()
    }
}
