//! Buckets: what the records of one bar's time add up to, and what is known of it downstream.
//!
//! Why a bucket keeps its symbol in its durable value: a row that is taken back must be the row that was published, symbol
//! included, even by another run. What must always hold: the bytes of a bucket are its first layout, followed by tails that
//! an older value may lack.

use super::EVERY;
use super::acc::{Acc, SnapshotOrder};
use super::finished::{BarHead, FinishedBar};
use super::volume::SnapshotBar;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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
    /// The sum that counts for every interval, or `None` once all its trades are cancelled.
    pub(super) acc: Option<Acc>,
    /// With corrections: the sum of finer buckets and trades that are no longer kept.
    base: Option<Box<Acc>>,
    /// With corrections: what counts for some intervals only, by their mask.
    #[serde(skip)]
    partly: Sums,
    #[serde(skip)]
    base_partly: Sums,
    /// The greatest symbol that a record carries; that of a cancelled trade counts, too.
    #[serde(skip)]
    pub(super) symbol: Option<Arc<str>>,
    /// What downstream knows of it; derived, so not part of the durable state.
    #[serde(skip)]
    pub(super) emitted: Option<Emitted>,
    /// `emitted` is withdrawn for good: the horizon has passed the bucket.
    #[serde(skip)]
    pub(super) frozen: bool,
}

/// Sums by the mask of the intervals that they count for.
pub(super) type Sums = Vec<(u32, Acc)>;

/// Adds to the sum of a mask.
fn add_partly(sums: &mut Sums, mask: u32, acc: &Acc) {
    match sums.iter_mut().find(|(own, _)| *own == mask) {
        Some((_, sum)) => sum.merge(acc),
        None => sums.push((mask, acc.clone())),
    }
}

/// What a durable value holds of a bucket after its first layout.
#[derive(Default, Serialize, Deserialize)]
struct Tail {
    symbol: Option<Arc<str>>,
    counted_first: Option<SnapshotOrder>,
}

impl Bucket {
    #[inline]
    pub(super) fn new(phase: PhaseAt, end_at: Nanos) -> Bucket {
        let (partly, base_partly) = (Sums::new(), Sums::new());
        Bucket { phase, end_at, acc: None, base: None, partly, base_partly, symbol: None, emitted: None, frozen: false }
    }

    /// Adds what counts for the intervals of a mask.
    #[inline]
    pub(super) fn add(&mut self, mask: u32, acc: &Acc) {
        match mask {
            EVERY => add(&mut self.acc, acc),
            _ => add_partly(&mut self.partly, mask, acc),
        }
    }

    /// What counts for the interval of the bit.
    #[inline]
    pub(super) fn total(&self, bit: u32) -> Option<Cow<'_, Acc>> {
        let mut partly = self.partly.iter().filter(|(mask, _)| mask & bit != 0).peekable();
        if partly.peek().is_none() {
            return self.acc.as_ref().map(Cow::Borrowed);
        }
        let mut total = self.acc.clone();
        partly.for_each(|(_, acc)| add(&mut total, acc));
        total.map(Cow::Owned)
    }

    /// All its sums, by their masks.
    pub(super) fn sums(&self) -> impl Iterator<Item = (u32, &Acc)> {
        self.acc.iter().map(|acc| (EVERY, acc)).chain(self.partly.iter().map(|(mask, acc)| (*mask, acc)))
    }

    /// Begins anew from what stays when finer buckets and trades are gone.
    pub(super) fn begin_anew(&mut self) {
        self.acc = self.base.as_deref().cloned();
        self.partly.clone_from(&self.base_partly);
    }

    /// Takes the symbol that one of its records carries.
    #[inline]
    pub(super) fn tell(&mut self, symbol: Option<&Arc<str>>) {
        if let Some(symbol) = symbol
            && self.symbol.as_ref().is_none_or(|known| !Arc::ptr_eq(known, symbol) && known < symbol)
        {
            self.symbol = Some(symbol.clone());
        }
    }

    /// Adds to what stays when finer buckets and trades are gone.
    pub(super) fn add_base(&mut self, mask: u32, acc: &Acc) {
        match (&mut self.base, mask) {
            (Some(base), EVERY) => base.merge(acc),
            (None, EVERY) => self.base = Some(Box::new(acc.clone())),
            _ => add_partly(&mut self.base_partly, mask, acc),
        }
    }

    pub(super) fn head(&self, open_at: Nanos) -> BarHead {
        BarHead { open_at, phase: self.phase.phase, trading_date: self.phase.trading_date }
    }

    #[inline]
    pub(super) fn is_priced(&self, bit: u32) -> bool {
        self.total(bit).is_some_and(|total| total.is_priced())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let counted_first = self.acc.as_ref().and_then(Acc::counted_first);
        let mut value = encode(&(self, Tail { symbol: self.symbol.clone(), counted_first }));
        if !(self.partly.is_empty() && self.base_partly.is_empty()) {
            value.extend(encode(&(&self.partly, &self.base_partly)));
        }
        value
    }

    /// A value without a tail was published under the symbol of its key.
    pub(super) fn decode(instrument: &Instrument, mut value: &[u8]) -> Result<Bucket, bincode::Error> {
        let mut bucket: Bucket = bincode::deserialize_from(&mut value)?;
        let tail = match value.is_empty() {
            true => Tail { symbol: instrument.symbol_shared().cloned(), counted_first: None },
            false => bincode::deserialize_from(&mut value)?,
        };
        if !value.is_empty() {
            (bucket.partly, bucket.base_partly) = bincode::deserialize(value)?;
        }
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
