//! Trades that can be taken back: per (trading day, id) a join-semilattice, so any order of arrival ends the same.
//!
//! {trade?, greatest correction, cancelled}: a cancel is final, the greatest correction (by sequence or time, then content)
//! wins, and a cancel or correction may come before its trade: then it waits. What must always hold: what a bar counts is a
//! function of the set of records, not of their order.

use super::acc::{TradeAcc, TradeOrder};
use crate::time::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names a trade inside its instrument; a trade without an id is named by its place and can never be taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TradeKey {
    Id(i32, Arc<str>),
    Place(u64, i64),
}

/// A trade as it was told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    pub order: TradeOrder,
    /// The start of the finest bucket that holds it.
    pub bucket_at: Nanos,
    pub sets_price: bool,
    pub adds_volume: bool,
}

/// A cancel or a correction, as it travels and as it waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Correction {
    /// (sequence or 0, time): the greatest correction wins.
    pub order: (u64, Nanos),
    /// New price and quantity; `None` cancels.
    pub replaces: Option<(i64, i64)>,
    pub place: Place,
}

/// Where a record came from, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub partition: Arc<str>,
    pub offset: i64,
    pub received_at: Option<Nanos>,
    #[serde(with = "super::payload")]
    pub payload: Box<[u8]>,
}

/// Everything known under one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub trade: Option<Trade>,
    /// (order, price, quantity) of the greatest correction.
    pub correction: Option<((u64, Nanos), i64, i64)>,
    pub cancelled: bool,
    /// Corrections that wait for the trade, with their own times.
    pub waiting: Vec<Correction>,
}

impl Entry {
    /// What the trade counts as now; `None`: not there, or cancelled.
    pub fn effective(&self) -> Option<TradeAcc> {
        let trade = self.trade.filter(|_| !self.cancelled)?;
        let mut order = trade.order;
        if let Some((_, price, quantity)) = self.correction {
            (order.price, order.quantity) = (price, quantity);
        }
        Some(TradeAcc::of(order, trade.sets_price, trade.adds_volume))
    }
}

/// The retained trades of one instrument, by the finest bucket they fall in.
#[derive(Default)]
pub struct Trades {
    pub entries: HashMap<TradeKey, Entry, ahash::RandomState>,
    buckets: BTreeMap<Nanos, Vec<TradeKey>>,
    waiting: BTreeMap<(Nanos, TradeKey), ()>,
}

/// What a correction did.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// The trade is there: its finest bucket has to be rebuilt.
    Rebuild(Nanos),
    /// It waits.
    Waits,
}

impl Trades {
    /// Takes a trade that is new in its dedupe scope; gives the corrections that waited for it.
    pub fn insert(&mut self, key: TradeKey, trade: Trade) -> Vec<Correction> {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.trade = Some(trade);
        let matched = std::mem::take(&mut entry.waiting);
        for correction in &matched {
            self.waiting.remove(&(correction.order.1, key.clone()));
        }
        self.buckets.entry(trade.bucket_at).or_default().push(key);
        matched
    }

    /// Takes a cancel or correction.
    pub fn correct(&mut self, key: TradeKey, correction: Correction) -> Effect {
        let entry = self.entries.entry(key.clone()).or_default();
        match correction.replaces {
            None => entry.cancelled = true,
            Some((price, quantity)) => {
                entry.correction = entry.correction.max(Some((correction.order, price, quantity)));
            }
        }
        match entry.trade {
            Some(trade) => Effect::Rebuild(trade.bucket_at),
            None => {
                self.waiting.insert((correction.order.1, key), ());
                entry.waiting.push(correction);
                Effect::Waits
            }
        }
    }

    /// The bucket's trades added up anew.
    pub fn fold(&self, bucket_at: Nanos) -> TradeAcc {
        let mut acc = TradeAcc::default();
        for key in self.buckets.get(&bucket_at).into_iter().flatten() {
            if let Some(trade) = self.entries.get(key).and_then(Entry::effective) {
                acc.merge(&trade);
            }
        }
        acc
    }

    /// Forgets trades in buckets that start before `at`, and gives up corrections that waited past it: (keys forgotten,
    /// corrections unmatched).
    pub fn forget_before(&mut self, at: Nanos) -> (Vec<TradeKey>, Vec<Correction>) {
        let (mut keys, mut unmatched) = (Vec::new(), Vec::new());
        while let Some(bucket) = self.buckets.first_entry() {
            if *bucket.key() >= at {
                break;
            }
            for key in bucket.remove() {
                self.entries.remove(&key);
                keys.push(key);
            }
        }
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 >= at {
                break;
            }
            let ((waited_from, key), ()) = first.remove_entry();
            if let Some(entry) = self.entries.get_mut(&key) {
                let (given_up, still) = entry.waiting.drain(..).partition(|waits| waits.order.1 == waited_from);
                entry.waiting = still;
                unmatched.extend::<Vec<Correction>>(given_up);
                if entry.waiting.is_empty() && entry.trade.is_none() {
                    self.entries.remove(&key);
                    keys.push(key);
                }
            }
        }
        (keys, unmatched)
    }

    /// Puts an entry back that an earlier run kept.
    pub fn restore(&mut self, key: TradeKey, entry: Entry) {
        if let Some(trade) = entry.trade {
            self.buckets.entry(trade.bucket_at).or_default().push(key.clone());
        }
        for correction in &entry.waiting {
            self.waiting.insert((correction.order.1, key.clone()), ());
        }
        self.entries.insert(key, entry);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
