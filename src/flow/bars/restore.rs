//! A restart: rebuilds the live bars from the durable values of an earlier run.
//!
//! Why two steps: with `carries` a bar depends on the buckets after it, so nothing is emitted before all values are in. What
//! must always hold: the bars emitted are those that the earlier run had published and its horizons have not frozen.

use super::bucket::{Bucket, Emitted};
use super::finished::Series;
use super::keyed::Keyed;
use super::live::{Frozen, Live, StateKey};
use super::trades::TradeState;
use crate::clean::EpochHorizons;
use crate::clean::duplicates::SeenEntries;
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;

impl Keyed {
    /// Restores one durable value. Call [`Keyed::restored`] when all are in.
    pub fn restore(&mut self, instrument: &Instrument, key: StateKey, value: &[u8]) -> Result<(), String> {
        let live = match self.instruments.get_mut(instrument) {
            Some(live) => live,
            None => {
                let live = Live::new(instrument.clone(), &self.rules);
                self.instruments.entry(instrument.clone()).or_insert(live)
            }
        };
        let wrong = |error: bincode::Error| error.to_string();
        match key {
            StateKey::Bucket(interval, open_at) => {
                let level = live.levels.iter_mut().find(|level| level.interval == interval);
                let level = level
                    .ok_or_else(|| format!("state of bars of {}, which the dataflow does not have", interval.name()))?;
                let bucket = Bucket::decode(instrument, value).map_err(wrong)?;
                level.buckets.insert(open_at, Box::new(bucket));
            }
            StateKey::Trade(key) => {
                live.trades.restore(key, TradeState::decode(value).map_err(wrong)?);
            }
            StateKey::Partly(trading_date, name) => {
                live.partly.insert((trading_date, name), bincode::deserialize(value).map_err(wrong)?);
            }
            StateKey::Seen(trading_date, epoch) => {
                let entries: SeenEntries = bincode::deserialize(value).map_err(wrong)?;
                self.seen_chunks.insert((instrument.clone(), trading_date, epoch), entries.newest_minute());
                live.memory.restore(0, trading_date, entries);
            }
        }
        Ok(())
    }

    /// All durable values are in: emits every live bar that its horizon has not frozen.
    pub fn restored(&mut self, horizons: EpochHorizons, mut say: impl FnMut(Series, Emitted)) {
        self.rules.horizons = horizons;
        for live in self.instruments.values_mut() {
            for (index, level) in live.levels.iter_mut().enumerate() {
                let frozen = Frozen::of(&self.rules, index, level);
                let all: Vec<Nanos> = level.buckets.keys().copied().collect();
                for open_at in all {
                    let published = level.published(open_at, self.rules.spec.carries);
                    let Some(bucket) = level.buckets.get_mut(&open_at) else { continue };
                    if frozen.has(open_at, bucket.end_at) {
                        bucket.frozen = true;
                    } else if let Some(bar) = published {
                        bucket.emitted = Some(bar.clone());
                        say((level.interval, live.own.clone()), bar);
                    }
                }
            }
        }
    }
}
