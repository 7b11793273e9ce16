//! Adding up before the exchange: one lattice value per step, instrument and finest bucket.

use super::acc::{Acc, SnapshotAcc, TradeAcc, TradeOrder};
use super::{Routed, bucket};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::calendar::PhaseAt;
use ticktide_market::conditions::TradeEffect;
use ticktide_market::{Instrument, InstrumentId};

/// The open sums of one step on one reading worker.
pub struct Partials {
    finest: Interval,
    all: u32,
    open: HashMap<(InstrumentId, Nanos, u32), (PhaseAt, Acc), ahash::RandomState>,
}

impl Partials {
    /// `intervals`: how many there are; a tick in time for all of them has all bits of its mask.
    pub fn new(finest: Interval, intervals: usize) -> Partials {
        Partials { finest, all: ((1u64 << intervals) - 1) as u32, open: HashMap::default() }
    }

    /// Adds one trade.
    #[inline]
    pub fn add_trade(
        &mut self,
        instrument: InstrumentId,
        phase: PhaseAt,
        mask: u32,
        order: &TradeOrder,
        parts: TradeEffect,
    ) {
        let (open_at, _) = bucket(&phase, self.finest, order.at);
        debug_assert!(mask & !self.all == 0);
        let sum = self.open.entry((instrument, open_at, mask));
        let (_, acc) = sum.or_insert_with(|| (phase, Acc::Trades(TradeAcc::default())));
        match acc {
            Acc::Trades(acc) => acc.add(order, parts.sets_price, parts.adds_volume),
            Acc::Snapshots(_) => unreachable!("a dataflow has bars of one kind"),
        }
    }

    /// Adds one snapshot.
    #[inline]
    pub fn add_snapshot(
        &mut self,
        instrument: InstrumentId,
        phase: PhaseAt,
        mask: u32,
        at: Nanos,
        snapshot: SnapshotAcc,
    ) {
        let (open_at, _) = bucket(&phase, self.finest, at);
        debug_assert!(mask & !self.all == 0);
        match self.open.entry((instrument, open_at, mask)) {
            Entry::Occupied(mut sum) => match &mut sum.get_mut().1 {
                Acc::Snapshots(acc) => acc.merge(&snapshot),
                Acc::Trades(_) => unreachable!("a dataflow has bars of one kind"),
            },
            Entry::Vacant(place) => {
                place.insert((phase, Acc::Snapshots(Box::new(snapshot))));
            }
        }
    }

    /// How many buckets are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives the step's sums; `names` turns the reader's ids into instruments.
    pub fn drain<'a>(&'a mut self, names: &'a [Instrument]) -> impl Iterator<Item = Routed> + 'a {
        self.open.drain().map(|((instrument, open_at, mask), (phase, acc))| Routed::Partial {
            instrument: names[instrument.0 as usize].clone(),
            phase,
            at: open_at,
            mask,
            acc,
        })
    }
}
