//! Buckets: what the records of one bar's time add up to, and what is known of it downstream.
//!
//! Why a bucket keeps its symbol in its durable value: a row that is taken back must be the row that was published, symbol and
//! all, also by another run. What must always hold: the bytes of a bucket are its first layout, and behind it a tail that
//! an older value may lack.

use super::acc::{Acc, SnapshotOrder};
use super::finished::{BarHead, FinishedBar};
use super::volume::SnapshotBar;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;
use ticktide_market::calendar::PhaseAt;

/// A bar as the keyed operator knows it: finished on trade feeds, still to be scanned for its volume on snapshot feeds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Emitted {
    Finished(FinishedBar),
    /// In a box, since it is the larger one: most feeds have trades.
    Snapshot(Box<SnapshotBar>),
}

/// One bucket of one interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub(super) phase: PhaseAt,
    pub(super) end_at: Nanos,
    /// Everything in it, or `None` once all its trades are cancelled.
    pub(super) acc: Option<Acc>,
    /// With corrections: what came of finer buckets and trades that are no longer kept.
    base: Option<Box<Acc>>,
    /// The greatest that a record tells; a cancelled trade has told its own, too.
    #[serde(skip)]
    pub(super) symbol: Option<Arc<str>>,
    /// What downstream knows of it; derived, so not part of the durable state.
    #[serde(skip)]
    pub(super) emitted: Option<Emitted>,
    /// With `emitted` withdrawn for good: behind the horizon.
    #[serde(skip)]
    pub(super) frozen: bool,
}

/// What a durable value says of a bucket behind its first layout.
#[derive(Default, Serialize, Deserialize)]
struct Tail {
    symbol: Option<Arc<str>>,
    counted_first: Option<SnapshotOrder>,
}

impl Bucket {
    #[inline]
    pub(super) fn new(phase: PhaseAt, end_at: Nanos) -> Bucket {
        Bucket { phase, end_at, acc: None, base: None, symbol: None, emitted: None, frozen: false }
    }

    /// A record of it calls its instrument so.
    #[inline]
    pub(super) fn tell(&mut self, symbol: Option<&Arc<str>>) {
        if let Some(symbol) = symbol
            && self.symbol.as_ref().is_none_or(|known| !Arc::ptr_eq(known, symbol) && known < symbol)
        {
            self.symbol = Some(symbol.clone());
        }
    }

    /// Adds to what stays when finer buckets and trades are gone.
    pub(super) fn add_base(&mut self, acc: &Acc) {
        match &mut self.base {
            Some(base) => base.merge(acc),
            None => self.base = Some(Box::new(acc.clone())),
        }
    }

    /// What stays when finer buckets and trades are gone.
    pub(super) fn base(&self) -> Option<Acc> {
        self.base.as_deref().cloned()
    }

    pub(super) fn head(&self, open_at: Nanos) -> BarHead {
        BarHead { open_at, phase: self.phase.phase, trading_date: self.phase.trading_date }
    }

    #[inline]
    pub(super) fn is_priced(&self) -> bool {
        self.acc.as_ref().is_some_and(Acc::is_priced)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let counted_first = self.acc.as_ref().and_then(Acc::counted_first);
        encode(&(self, Tail { symbol: self.symbol.clone(), counted_first }))
    }

    /// A value without a tail was published under the symbol of its key.
    pub(super) fn decode(instrument: &Instrument, mut value: &[u8]) -> Result<Bucket, bincode::Error> {
        let mut bucket: Bucket = bincode::deserialize_from(&mut value)?;
        let tail = match value.is_empty() {
            true => Tail { symbol: instrument.symbol_shared().cloned(), counted_first: None },
            false => bincode::deserialize(value)?,
        };
        bucket.symbol = tail.symbol;
        if let Some(acc) = &mut bucket.acc {
            acc.set_counted_first(tail.counted_first);
        }
        Ok(bucket)
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serialize(value).expect("plain values in memory always serialise")
}

/// Adds to a sum that may not have begun.
#[inline]
pub(super) fn add(sum: &mut Option<Acc>, acc: &Acc) {
    match sum {
        Some(sum) => sum.merge(acc),
        None => *sum = Some(acc.clone()),
    }
}
