//! Trades that can be taken back: per (trading day, id) a join-semilattice, so any order of arrival ends in the same state.
//!
//! {trade?, greatest correction, cancelled}: a cancel is final, the greatest correction (by sequence or time, then content)
//! wins, and a cancel or correction that arrives before its trade waits. A trade counts while its price, corrected or
//! not, is one that bars may have. A trade that is reported twice counts once: the lesser of the two in order, for the
//! intervals of both. A correction counts for the intervals whose reach its trade lies in when the correction arrives. What
//! must always hold: what a bar counts is a function of the set of records and of the times that their partitions had reached,
//! not of their order; where one id arrives with two contents, the first to arrive counts and the other is refused.

use super::EVERY;
use super::acc::{TradeAcc, TradeOrder};
use super::bucket::encode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::time::Nanos;

/// Names a trade inside its instrument; a trade without an id is named by its partition and offset and can never be taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TradeKey {
    Id(i32, Arc<str>),
    Place(u64, i64),
}

/// A trade as it was first reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    pub order: TradeOrder,
    /// The start of the finest bucket that holds it.
    pub bucket_at: Nanos,
    pub sets_price: bool,
    pub adds_volume: bool,
}

/// How far a trade reaches, by the times that the partitions which reported it had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeReach {
    /// The intervals that it counts for.
    pub mask: u32,
    /// Earlier corrections do not meet it.
    pub kept_from: Nanos,
}

/// A cancel or a correction, as it is exchanged and as it waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Correction {
    /// (sequence or 0, time): the greatest correction wins.
    pub order: (u64, Nanos),
    /// New price and quantity; `None` cancels.
    pub replaces: Option<(i64, i64)>,
    pub place: RecordOrigin,
    /// Earlier trades do not meet it.
    pub kept_from: Nanos,
    /// By interval: it counts for trades from this time on; empty: for all.
    pub counts_from: Box<[Nanos]>,
}

impl Correction {
    /// As [`TradeState`] keeps it: (order, price, quantity).
    fn replacement(&self) -> Option<Replacement> {
        self.replaces.map(|(price, quantity)| (self.order, price, quantity))
    }

    /// Whether it meets a trade.
    fn meets(&self, trade: &Trade, standing: TradeReach) -> bool {
        self.order.1 >= standing.kept_from && trade.order.at >= self.kept_from
    }

    /// The intervals that it counts for, when its trade has this time.
    fn counts_for(&self, at: Nanos) -> u32 {
        let late = self.counts_from.iter().enumerate().filter(|(_, from)| at < **from);
        late.fold(EVERY, |mask, (index, _)| mask & !(1 << index))
    }
}

/// What a correction replaces a trade by: (order, price, quantity).
type Replacement = ((u64, Nanos), i64, i64);

/// Where a record came from, and its payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordOrigin {
    pub partition: Arc<str>,
    pub offset: i64,
    pub received_at: Option<Nanos>,
    #[serde(with = "super::payload")]
    pub payload: Box<[u8]>,
}

/// Everything known under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeState {
    pub trade: Option<Trade>,
    pub standing: TradeReach,
    /// The intervals that no longer count the trade.
    pub cancelled: u32,
    /// Corrections that met the trade with the intervals that they count for, the greatest first.
    pub corrections: Vec<(Replacement, u32)>,
    /// Corrections that wait for the trade, with their own times.
    pub waiting: Vec<Correction>,
}

impl Default for TradeState {
    fn default() -> TradeState {
        let standing = TradeReach { mask: EVERY, kept_from: Nanos::MIN };
        TradeState { trade: None, standing, cancelled: 0, corrections: Vec::new(), waiting: Vec::new() }
    }
}

impl TradeState {
    /// What the trade counts as now, by the intervals that count it so. Empty: it has not arrived, is cancelled, or (unless
    /// prices are `signed`) has a price ≤ 0.
    pub fn effective(&self, signed: bool) -> Vec<(u32, TradeAcc)> {
        let Some(trade) = self.trade else { return Vec::new() };
        let mut rest = self.standing.mask & !self.cancelled;
        let told = (trade.order.price, trade.order.quantity);
        let corrected = self.corrections.iter().map(|((_, price, quantity), mask)| ((*price, *quantity), *mask));
        let mut sums = Vec::new();
        for ((price, quantity), mask) in corrected.chain([(told, EVERY)]) {
            let counts_for = rest & mask;
            rest &= !mask;
            if counts_for != 0 && (price > 0 || signed) {
                let order = TradeOrder { price, quantity, ..trade.order };
                sums.push((counts_for, TradeAcc::of(order, trade.sets_price, trade.adds_volume)));
            }
        }
        sums
    }

    /// Applies the waiting corrections that meet the trade.
    fn meet(&mut self) -> Vec<Matched> {
        let Some(trade) = self.trade else { return Vec::new() };
        let standing = self.standing;
        let waiting = std::mem::take(&mut self.waiting);
        let (met, waiting) = waiting.into_iter().partition(|waits| waits.meets(&trade, standing));
        self.waiting = waiting;
        met.into_iter().map(|correction| self.act(trade.order.at, correction)).collect()
    }

    /// Applies a correction to the trade.
    fn act(&mut self, at: Nanos, correction: Correction) -> Matched {
        let mask = correction.counts_for(at);
        match correction.replacement() {
            None => self.cancelled |= mask,
            Some(replacement) => {
                let place = self.corrections.partition_point(|(known, _)| *known > replacement);
                self.corrections.insert(place, (replacement, mask));
                // a correction that greater ones cover never counts again
                let mut covered = 0;
                self.corrections.retain(|(_, mask)| {
                    let seen = mask & !covered != 0;
                    covered |= mask;
                    seen
                });
            }
        }
        Matched { place: correction.place, waited_from: correction.order.1, mask }
    }

    /// The durable value: the first layout, followed by what an older value may lack.
    pub(super) fn encode(&self) -> Vec<u8> {
        let waiting = self.waiting.iter().map(|waits| (waits.order, waits.replaces, &waits.place));
        let (none, waiting): (Option<Replacement>, Vec<_>) = (None, waiting.collect());
        let reaches: Vec<_> = self.waiting.iter().map(|waits| (waits.kept_from, &waits.counts_from)).collect();
        let mut value = encode(&(&self.trade, none, false, waiting));
        value.extend(encode(&(self.standing, self.cancelled, &self.corrections, reaches)));
        value
    }

    /// In a value of the first layout alone the trade has met every correction, for all intervals.
    pub(super) fn decode(mut value: &[u8]) -> Result<TradeState, bincode::Error> {
        type First = (Option<Trade>, Option<Replacement>, bool, Vec<((u64, Nanos), Option<(i64, i64)>, RecordOrigin)>);
        type Tail = (TradeReach, u32, Vec<(Replacement, u32)>, Vec<(Nanos, Box<[Nanos]>)>);
        let (trade, correction, cancelled, waiting): First = bincode::deserialize_from(&mut value)?;
        let acted = trade.is_some();
        let (standing, cancelled, corrections, reaches): Tail = match value.is_empty() {
            true => {
                let corrections = correction.filter(|_| acted).map(|correction| (correction, EVERY));
                let cancelled = if acted && cancelled { EVERY } else { 0 };
                (TradeState::default().standing, cancelled, corrections.into_iter().collect(), Vec::new())
            }
            false => bincode::deserialize(value)?,
        };
        let reaches = reaches.into_iter().chain(std::iter::repeat((Nanos::MIN, Box::default())));
        let waiting = waiting.into_iter().zip(reaches).map(|((order, replaces, place), (kept_from, counts_from))| {
            Correction { order, replaces, place, kept_from, counts_from }
        });
        Ok(TradeState { trade, standing, cancelled, corrections, waiting: waiting.collect() })
    }
}

/// A correction that has met its trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    pub place: RecordOrigin,
    waited_from: Nanos,
    /// The intervals that it counts for.
    pub mask: u32,
}

/// What becomes of a trade that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is new; these corrections waited for it.
    New(Vec<Matched>),
    /// It is known already, with this content. `Some`: the copy changes what it counts as, so its bucket has to be rebuilt, and
    /// these corrections waited for that.
    Same(Option<(Nanos, Vec<Matched>)>),
    /// Its id is known with other content.
    Conflict,
}

impl Trade {
    /// Whether the content is the same, wherever it comes from.
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
    pub entries: HashMap<TradeKey, TradeState, ahash::RandomState>,
    buckets: BTreeMap<Nanos, Vec<TradeKey>>,
    waiting: BTreeMap<(Nanos, TradeKey), ()>,
}

/// What a correction did.
#[derive(Debug, PartialEq, Eq)]
pub enum CorrectionOutcome {
    /// It meets its trade, whose finest bucket has to be rebuilt.
    Rebuild(Nanos, Matched),
    /// It waits.
    Waits,
}

impl Trades {
    /// Takes a trade that is new in its dedupe scope: another partition may have reported it before.
    pub fn insert(&mut self, key: TradeKey, trade: Trade, standing: TradeReach) -> Insertion {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(known) = &mut entry.trade {
            if !known.is_same(&trade) {
                return Insertion::Conflict;
            }
            let first = trade.order < known.order;
            if first {
                *known = trade;
            }
            let widened = self.widen(&key, standing);
            return Insertion::Same(widened.or_else(|| first.then(|| (trade.bucket_at, Vec::new()))));
        }
        (entry.trade, entry.standing) = (Some(trade), standing);
        let matched = entry.meet();
        self.waited(&key, &matched);
        self.buckets.entry(trade.bucket_at).or_default().push(key);
        Insertion::New(matched)
    }

    /// Takes a copy of a trade that reaches further; `None`: it changes nothing, or the trade is not kept.
    pub fn widen(&mut self, key: &TradeKey, standing: TradeReach) -> Option<(Nanos, Vec<Matched>)> {
        let entry = self.entries.get_mut(key)?;
        let bucket_at = entry.trade?.bucket_at;
        let before = entry.standing;
        let mask = before.mask | standing.mask;
        entry.standing = TradeReach { mask, kept_from: before.kept_from.min(standing.kept_from) };
        let matched = entry.meet();
        let changed = mask != before.mask || !matched.is_empty();
        self.waited(key, &matched);
        changed.then_some((bucket_at, matched))
    }

    fn waited(&mut self, key: &TradeKey, matched: &[Matched]) {
        for matched in matched {
            let still = |waits: &Correction| waits.order.1 == matched.waited_from;
            if !self.entries.get(key).is_some_and(|entry| entry.waiting.iter().any(still)) {
                self.waiting.remove(&(matched.waited_from, key.clone()));
            }
        }
    }

    /// Takes a cancel or correction.
    pub fn correct(&mut self, key: TradeKey, correction: Correction) -> CorrectionOutcome {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(trade) = entry.trade.filter(|trade| correction.meets(trade, entry.standing)) {
            let matched = entry.act(trade.order.at, correction);
            return CorrectionOutcome::Rebuild(trade.bucket_at, matched);
        }
        self.waiting.insert((correction.order.1, key), ());
        entry.waiting.push(correction);
        CorrectionOutcome::Waits
    }

    /// The bucket's trades added up anew, by the intervals that they count for.
    pub fn fold(&self, bucket_at: Nanos, signed: bool) -> BTreeMap<u32, TradeAcc> {
        let mut sums: BTreeMap<u32, TradeAcc> = BTreeMap::new();
        for key in self.buckets.get(&bucket_at).into_iter().flatten() {
            for (mask, acc) in self.entries.get(key).map(|entry| entry.effective(signed)).unwrap_or_default() {
                sums.entry(mask).or_default().merge(&acc);
            }
        }
        sums
    }

    /// Forgets trades in buckets that start before `at`, and gives up waiting corrections from before it: (keys whose entries
    /// are gone or have changed, unmatched corrections).
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
                }
                keys.push(key);
            }
        }
        (keys, unmatched)
    }

    /// Restores an entry that an earlier run kept.
    pub fn restore(&mut self, key: TradeKey, entry: TradeState) {
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
