//! The buckets of one instrument in one interval, in order, and the bars that are published from them.
//!
//! Why a bar may depend on buckets after it: volume without a price goes to the last bar that has one. What must always
//! hold: a published bar is a function of the buckets of its trading day alone.

use super::acc::{Acc, SnapshotAcc, TradeAcc};
use super::bucket::{Bucket, Emitted};
use super::finished::FinishedBar;
use super::volume::SnapshotBar;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::calendar::{PhaseAt, bucket};

/// Where in time a record belongs, and the symbol that it carries.
pub(super) struct Spot<'a> {
    pub(super) phase: &'a PhaseAt,
    pub(super) at: Nanos,
    pub(super) symbol: Option<&'a Arc<str>>,
}

/// The buckets of one instrument in one interval.
pub(super) struct IntervalBuckets {
    pub(super) interval: Interval,
    /// The interval's bit in a mask.
    pub(super) bit: u32,
    /// In order of time; in boxes, so that the tree moves pointers.
    pub(super) buckets: BTreeMap<Nanos, Box<Bucket>>,
    /// Buckets changed in this step, some more than once.
    pub(super) touched: Vec<Nanos>,
}

impl IntervalBuckets {
    /// `index` is the interval's; the finest has 0.
    pub(super) fn new(interval: Interval, index: usize) -> IntervalBuckets {
        IntervalBuckets { interval, bit: 1 << index, buckets: BTreeMap::new(), touched: Vec::new() }
    }

    /// The bucket that a record falls in, to add the record; the bucket takes the record's symbol.
    #[inline]
    pub(super) fn bucket_of(&mut self, spot: &Spot<'_>) -> &mut Bucket {
        let (open_at, end_at) = bucket(spot.phase, self.interval, spot.at);
        self.touched.push(open_at);
        let bucket = self.buckets.entry(open_at).or_insert_with(|| Box::new(Bucket::new(*spot.phase, end_at)));
        bucket.tell(spot.symbol);
        bucket
    }

    /// Rebuilds the bucket at `at` from its base and the live finer buckets in it.
    pub(super) fn rebuild(&mut self, finer: &IntervalBuckets, phase: &PhaseAt, at: Nanos) {
        let (open_at, end_at) = bucket(phase, self.interval, at);
        let Some(bucket) = self.buckets.get_mut(&open_at) else { return };
        bucket.begin_anew();
        for (_, finer) in finer.buckets.range(open_at..end_at) {
            finer.sums().for_each(|(mask, acc)| bucket.add(mask, acc));
        }
        self.touched.push(open_at);
    }

    /// The newest bucket with a price that the horizon has passed. It stays writable: volume without a price may still be
    /// carried to it, and a bar that arrives in between takes such volume away again. Earlier ones can no longer change.
    pub(super) fn kept_from(&self, horizon: Nanos) -> Option<Nanos> {
        let behind = self.buckets.iter().rev().skip_while(|(_, bucket)| bucket.end_at > horizon);
        behind.into_iter().find(|(_, bucket)| bucket.is_priced(self.bit)).map(|(open_at, _)| *open_at)
    }

    /// The nearest bucket with a price before `at`, of the same trading day as the one at `at`.
    pub(super) fn priced_before(&self, at: Nanos) -> Option<Nanos> {
        let day = self.buckets.get(&at)?.phase.trading_date;
        self.buckets
            .range(..at)
            .rev()
            .take_while(|(_, bucket)| bucket.phase.trading_date == day)
            .find(|(_, bucket)| bucket.is_priced(self.bit))
            .map(|(open_at, _)| *open_at)
    }

    /// The bar of a bucket as it would be published now; with `carries`, the volume of the buckets without a price that
    /// follow it on the same trading day is part of it.
    pub(super) fn published(&self, open_at: Nanos, carries: bool) -> Option<Emitted> {
        let bucket = self.buckets.get(&open_at)?;
        match &*bucket.total(self.bit)? {
            Acc::Snapshots(acc) if acc.updates > 0 => {
                Some(Emitted::Snapshot(Box::new(self.snapshot_bar(open_at, bucket, acc))))
            }
            Acc::Trades(acc) if acc.priced > 0 => {
                Some(Emitted::Finished(self.trade_bar(open_at, bucket, acc, carries)))
            }
            Acc::Trades(_) | Acc::Snapshots(_) => None,
        }
    }

    /// Whether the session ends before the bar would.
    fn is_short(&self, open_at: Nanos, bucket: &Bucket) -> bool {
        bucket.end_at - open_at < self.interval.0
    }

    fn snapshot_bar(&self, open_at: Nanos, bucket: &Bucket, acc: &SnapshotAcc) -> SnapshotBar {
        SnapshotBar {
            head: bucket.head(open_at),
            open: acc.first.price,
            high: acc.high,
            low: acc.low,
            close: acc.last.price,
            cumulative_first: acc.counted_first.and_then(|first| first.cumulative),
            cumulative_greatest: acc.cumulative_greatest,
            cumulative_last: acc.last.cumulative,
            first_told: acc.first_told,
            day_high: acc.day_high,
            day_low: acc.day_low,
            open_interest: acc.open_interest.map(|(_, interest)| interest),
            updates: acc.updates,
            baseline_known: acc.baseline_known,
            short: self.is_short(open_at, bucket),
            symbol: bucket.symbol.clone(),
        }
    }

    fn trade_bar(&self, open_at: Nanos, bucket: &Bucket, acc: &TradeAcc, carries: bool) -> FinishedBar {
        let (mut volume, mut turnover, mut trades) = (acc.volume, acc.turnover, acc.trades);
        if carries {
            for carried in self.carried(open_at, bucket.phase.trading_date) {
                volume = volume.saturating_add(carried.volume);
                turnover = turnover.saturating_add(carried.turnover);
                trades += carried.trades;
            }
        }
        FinishedBar {
            head: bucket.head(open_at),
            open: acc.first.price,
            high: acc.high,
            low: acc.low,
            close: acc.last.price,
            volume: Some(volume),
            turnover: Some(turnover),
            trades: Some(trades),
            updates: trades,
            open_interest: None,
            partial: false,
            short: self.is_short(open_at, bucket),
            symbol: bucket.symbol.clone(),
        }
    }

    /// The sums of the buckets without a price that follow the one at `open_at` on the trading day.
    fn carried(&self, open_at: Nanos, day: i32) -> impl Iterator<Item = TradeAcc> {
        let later = self.buckets.range((Bound::Excluded(open_at), Bound::Unbounded));
        let unpriced = later.take_while(move |(_, next)| next.phase.trading_date == day && !next.is_priced(self.bit));
        unpriced.filter_map(|(_, next)| match next.total(self.bit)?.into_owned() {
            Acc::Trades(acc) => Some(acc),
            Acc::Snapshots(_) => None,
        })
    }
}
