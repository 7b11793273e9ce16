//! Trades that can be taken back: per (trading day, id) a join-semilattice, so any order of arrival ends the same.
//!
//! {trade?, greatest correction, cancelled}: a cancel is final, the greatest correction (by sequence or time, then content)
//! wins, and a cancel or correction may come before its trade: then it waits. A trade counts while its price, corrected or
//! not, is one that bars may have. One that is told twice is one: the least of the two in order. What must always hold: what a
//! bar counts is a function of the set of records, not of their order; where one id is told with two contents (of which one
//! is refused) the one that came first counts.

use super::acc::{TradeAcc, TradeOrder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::time::Nanos;

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

impl Correction {
    /// As an entry keeps the greatest one: (order, price, quantity).
    fn replacement(&self) -> Option<((u64, Nanos), i64, i64)> {
        self.replaces.map(|(price, quantity)| (self.order, price, quantity))
    }
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
    /// What the trade counts as now; `None`: not there, cancelled, or (unless prices are `signed`) at a price ≤ 0.
    pub fn effective(&self, signed: bool) -> Option<TradeAcc> {
        let trade = self.trade.filter(|_| !self.cancelled)?;
        let mut order = trade.order;
        if let Some((_, price, quantity)) = self.correction {
            (order.price, order.quantity) = (price, quantity);
        }
        if order.price <= 0 && !signed {
            return None;
        }
        Some(TradeAcc::of(order, trade.sets_price, trade.adds_volume))
    }
}

/// What becomes of a trade that is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is new; these corrections waited for it.
    New(Vec<Correction>),
    /// It is there already, with this content; `Some`: the one told now is the first in order, and its bucket has to be rebuilt.
    Same(Option<Nanos>),
    /// Another trade is there under its id.
    Conflict,
}

impl Trade {
    /// Whether it says the same, wherever it comes from.
    fn is_same(&self, other: &Trade) -> bool {
        let content = |trade: &Trade| {
            let TradeOrder { at, price, quantity, .. } = trade.order;
            (at, price, quantity, trade.sets_price, trade.adds_volume)
        };
        content(self) == content(other)
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
    /// Takes a trade that is new in its dedupe scope: in another partition it may have been told before.
    pub fn insert(&mut self, key: TradeKey, trade: Trade) -> Insertion {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(known) = &mut entry.trade {
            if !known.is_same(&trade) {
                return Insertion::Conflict;
            }
            let first = trade.order < known.order;
            if first {
                *known = trade;
            }
            return Insertion::Same(first.then_some(trade.bucket_at));
        }
        entry.trade = Some(trade);
        let matched = std::mem::take(&mut entry.waiting);
        for correction in &matched {
            self.waiting.remove(&(correction.order.1, key.clone()));
        }
        self.buckets.entry(trade.bucket_at).or_default().push(key);
        Insertion::New(matched)
    }

    /// Takes a cancel or correction.
    pub fn correct(&mut self, key: TradeKey, correction: Correction) -> Effect {
        let entry = self.entries.entry(key.clone()).or_default();
        match correction.replaces {
            None => entry.cancelled = true,
            Some(_) => entry.correction = entry.correction.max(correction.replacement()),
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
    pub fn fold(&self, bucket_at: Nanos, signed: bool) -> TradeAcc {
        let mut acc = TradeAcc::default();
        for key in self.buckets.get(&bucket_at).into_iter().flatten() {
            if let Some(trade) = self.entries.get(key).and_then(|entry| entry.effective(signed)) {
                acc.merge(&trade);
            }
        }
        acc
    }

    /// Forgets trades in buckets that start before `at`, and gives up corrections that waited past it: (keys whose entries
    /// are gone or have changed, corrections unmatched).
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
                if entry.trade.is_none() {
                    // what is given up is refused: it must not act on a trade that comes after all
                    entry.cancelled = entry.waiting.iter().any(|waits| waits.replaces.is_none());
                    entry.correction = entry.waiting.iter().filter_map(Correction::replacement).max();
                }
                if entry.waiting.is_empty() && entry.trade.is_none() {
                    self.entries.remove(&key);
                }
                keys.push(key);
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
