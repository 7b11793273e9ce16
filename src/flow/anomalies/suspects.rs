//! Suspects: odd trades that a cancel or a correction may take back, by the trade they belong to.
//!
//! {odd records, greatest correction, cancelled} is a join-semilattice like that of the trades themselves: records may arrive
//! in any order and leave the same rows. A cancel takes back every row of its trade; a correction takes back those of the
//! original trade and of lesser corrections (its own numbers are judged like any record's). What must always hold: the live
//! rows of a trade are a function of the set of its records, except for the symbol: they have the first one reported, which
//! the key keeps; after the retention nothing changes any longer.

use super::Anomaly;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;

/// What names a trade: instrument, trading date and its id or trusted sequence.
pub type TradeName = (Instrument, i32, TradeIdentity);

/// How a feed tells one trade of an instrument's day from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TradeIdentity {
    Id(Arc<str>),
    Sequence(u64),
}

/// The order of corrections: (sequence or 0, time), then their numbers.
pub type Rank = ((u64, Nanos), i64, i64);

/// What a record reports about a trade.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TradeReport {
    /// The trade itself, or (ranked) a correction, is odd in these ways.
    Odd {
        rank: Option<Rank>,
        anomalies: Vec<Anomaly>,
    },
    /// It was corrected.
    Corrected(Rank),
    Cancelled,
}

/// A record about a trade that is, or may be, odd.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Suspicion {
    pub name: TradeName,
    /// The record's time, which decides how long it is kept.
    pub at: Nanos,
    pub told: TradeReport,
}

/// Everything known about one trade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    odd: BTreeMap<Option<Rank>, Vec<Anomaly>>,
    corrected: Option<Rank>,
    cancelled: bool,
    newest_at: Option<Nanos>,
}

impl Suspect {
    fn live(&self) -> BTreeSet<&Anomaly> {
        if self.cancelled { BTreeSet::new() } else { self.odd.get(&self.corrected).into_iter().flatten().collect() }
    }
}

/// The suspects of one worker's instruments.
#[derive(Default)]
pub struct Suspects {
    trades: BTreeMap<TradeName, Suspect>,
    touched: BTreeSet<TradeName>,
}

impl Suspects {
    /// Restores what an earlier run knew; its rows are in the lake already.
    pub fn restore(&mut self, name: TradeName, mut suspect: Suspect) {
        let symbol = name.0.symbol_shared();
        let rows = suspect.odd.values_mut().flatten();
        rows.for_each(|row| row.symbol = symbol.cloned());
        self.trades.insert(name, suspect);
    }

    /// Takes a record; gives the rows that appear (+1) and vanish (−1).
    pub fn take(&mut self, suspicion: Suspicion) -> Vec<(Anomaly, isize)> {
        let Suspicion { name, at, told } = suspicion;
        let name = self.trades.get_key_value(&name).map_or(name, |(first, _)| first.clone());
        let suspect = self.trades.entry(name.clone()).or_default();
        let before: BTreeSet<Anomaly> = suspect.live().into_iter().cloned().collect();
        suspect.newest_at = suspect.newest_at.max(Some(at));
        match told {
            // reported twice (in two partitions): the least place counts for both
            TradeReport::Odd { anomalies, .. } if anomalies.is_empty() => {}
            TradeReport::Odd { rank, mut anomalies } => {
                anomalies.iter_mut().for_each(|row| row.symbol = name.0.symbol_shared().cloned());
                let told = suspect.odd.entry(rank).or_insert_with(|| anomalies.clone());
                if anomalies < *told {
                    *told = anomalies;
                }
            }
            TradeReport::Corrected(rank) => suspect.corrected = suspect.corrected.max(Some(rank)),
            TradeReport::Cancelled => suspect.cancelled = true,
        }
        let live = suspect.live();
        let mut changes: Vec<(Anomaly, isize)> =
            before.iter().filter(|row| !live.contains(row)).map(|row| (row.clone(), -1)).collect();
        changes.extend(live.into_iter().filter(|row| !before.contains(*row)).map(|row| (row.clone(), 1)));
        self.touched.insert(name);
        changes
    }

    /// An epoch is complete: trades from before `retained_from` are forgotten. Gives the durable changes.
    pub fn retire(&mut self, retained_from: Nanos) -> Vec<(TradeName, Option<Suspect>)> {
        let mut changes = Vec::new();
        self.trades.retain(|name, suspect| {
            let kept = suspect.newest_at.is_some_and(|at| at >= retained_from);
            if !kept {
                changes.push((name.clone(), None));
            }
            kept
        });
        for name in std::mem::take(&mut self.touched) {
            if let Some(suspect) = self.trades.get(&name) {
                let suspect = suspect.clone();
                changes.push((name, Some(suspect)));
            }
        }
        changes
    }
}
