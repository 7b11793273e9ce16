//! What a bucket of ticks adds up to: lattices, merged in any order with the same result.
//!
//! Why whole order keys: two trades in one millisecond without a sequence still have a first and a last, and they must
//! be the same in any order of merging. What must always hold: `merge` is commutative and associative over all fields.

use serde::{Deserialize, Serialize};
use ticktide_base::time::Nanos;
use ticktide_market::{Price, Snapshot, Tick};

/// The total order of trades, compared whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TradeOrder {
    pub at: Nanos,
    /// 0 where the feed's sequence is not trusted.
    pub sequence: u64,
    /// A fixed hash of the partition's name.
    pub partition: u64,
    pub offset: i64,
    /// Units of 10⁻⁸.
    pub price: i64,
    pub quantity: i64,
}

/// Trades of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeAcc {
    /// Trades that set prices; the next four fields mean nothing while it is 0.
    pub priced: u64,
    pub first: TradeOrder,
    pub last: TradeOrder,
    pub high: i64,
    pub low: i64,
    /// Units of 10⁻⁸.
    pub volume: i128,
    /// Units of 10⁻¹⁶.
    pub turnover: i128,
    pub trades: u64,
}

impl TradeAcc {
    /// One trade, as far as its parts count.
    pub fn of(order: TradeOrder, sets_price: bool, adds_volume: bool) -> TradeAcc {
        let mut acc = TradeAcc { trades: 1, ..TradeAcc::default() };
        if sets_price {
            acc = TradeAcc { priced: 1, first: order, last: order, high: order.price, low: order.price, ..acc };
        }
        if adds_volume {
            acc.volume = i128::from(order.quantity);
            acc.turnover = i128::from(order.price) * i128::from(order.quantity);
        }
        acc
    }

    /// Adds one trade: what merging [`TradeAcc::of`] it gives.
    #[inline]
    pub fn add(&mut self, order: &TradeOrder, sets_price: bool, adds_volume: bool) {
        if sets_price {
            if self.priced == 0 {
                (self.first, self.last, self.high, self.low) = (*order, *order, order.price, order.price);
            } else {
                if *order < self.first {
                    self.first = *order;
                }
                if *order > self.last {
                    self.last = *order;
                }
                self.high = self.high.max(order.price);
                self.low = self.low.min(order.price);
            }
            self.priced += 1;
        }
        if adds_volume {
            self.volume = self.volume.saturating_add(i128::from(order.quantity));
            self.turnover = self.turnover.saturating_add(i128::from(order.price) * i128::from(order.quantity));
        }
        self.trades += 1;
    }

    #[inline]
    pub fn merge(&mut self, other: &TradeAcc) {
        if other.priced > 0 {
            if self.priced == 0 {
                (self.first, self.last, self.high, self.low) = (other.first, other.last, other.high, other.low);
            } else {
                self.first = self.first.min(other.first);
                self.last = self.last.max(other.last);
                self.high = self.high.max(other.high);
                self.low = self.low.min(other.low);
            }
        }
        self.priced += other.priced;
        self.volume = self.volume.saturating_add(other.volume);
        self.turnover = self.turnover.saturating_add(other.turnover);
        self.trades += other.trades;
    }
}

/// The total order of snapshots, compared whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotOrder {
    pub trading_date: i32,
    pub updated_at: Nanos,
    pub cumulative: Option<i128>,
    pub received_at: Option<Nanos>,
    pub price: i64,
}

/// Snapshots of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAcc {
    /// Snapshots with a price, duplicates are taken out before; the next five fields mean nothing while it is 0.
    pub updates: u64,
    pub first: SnapshotOrder,
    pub last: SnapshotOrder,
    pub high: i64,
    pub low: i64,
    /// The day's high and low in the first snapshot.
    pub first_told: (Option<i64>, Option<i64>),
    pub cumulative_greatest: Option<i128>,
    pub day_high: Option<i64>,
    pub day_low: Option<i64>,
    /// The last open interest reported, with its time; of two at one time the greater.
    pub open_interest: Option<(Nanos, i128)>,
    /// The day was seen from before the phase, or this instrument with volume 0.
    pub baseline_known: bool,
    /// The first snapshot with a price and a count. Not part of the layout: [`whole`] carries it.
    #[serde(skip)]
    pub counted_first: Option<SnapshotOrder>,
}

impl SnapshotAcc {
    pub fn of(tick: &Tick, trading_date: i32, baseline_known: bool) -> SnapshotAcc {
        let price = tick.price.map_or(0, |price| price.0);
        let none = Snapshot::default();
        let snapshot = tick.snapshot.as_deref().unwrap_or(&none);
        let order = SnapshotOrder {
            trading_date,
            updated_at: tick.exchange_at,
            cumulative: snapshot.cumulative_volume,
            received_at: tick.received_at,
            price,
        };
        // a day's extreme of 0 means that the feed has none yet
        let extreme = |price: Option<Price>| price.map(|price| price.0).filter(|price| *price != 0);
        let (day_high, day_low) = (extreme(snapshot.day_high), extreme(snapshot.day_low));
        SnapshotAcc {
            updates: u64::from(tick.price.is_some()),
            first: order,
            last: order,
            high: price,
            low: price,
            first_told: (day_high, day_low),
            cumulative_greatest: snapshot.cumulative_volume,
            day_high,
            day_low,
            open_interest: snapshot.open_interest.map(|interest| (tick.exchange_at, interest)),
            baseline_known,
            counted_first: Some(order).filter(|order| tick.price.is_some() && order.cumulative.is_some()),
        }
    }

    pub fn merge(&mut self, other: &SnapshotAcc) {
        if other.updates > 0 {
            if self.updates == 0 {
                (self.first, self.last, self.high, self.low) = (other.first, other.last, other.high, other.low);
                self.first_told = other.first_told;
            } else {
                (self.first, self.first_told) = (self.first, self.first_told).min((other.first, other.first_told));
                self.last = self.last.max(other.last);
                self.high = self.high.max(other.high);
                self.low = self.low.min(other.low);
            }
        }
        self.open_interest = self.open_interest.max(other.open_interest);
        self.cumulative_greatest = self.cumulative_greatest.max(other.cumulative_greatest);
        self.day_high = self.day_high.max(other.day_high);
        self.day_low = match (self.day_low, other.day_low) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.counted_first = match (self.counted_first, other.counted_first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.updates += other.updates;
        self.baseline_known |= other.baseline_known;
    }
}

/// Either kind; one dataflow has one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acc {
    Trades(TradeAcc),
    /// In a box, since it is the larger one: most feeds have trades.
    Snapshots(Box<SnapshotAcc>),
}

impl Acc {
    #[inline]
    pub fn merge(&mut self, other: &Acc) {
        match (self, other) {
            (Acc::Trades(a), Acc::Trades(b)) => a.merge(b),
            (Acc::Snapshots(a), Acc::Snapshots(b)) => a.merge(b),
            _ => unreachable!("a dataflow has bars of one kind"),
        }
    }

    /// What the layout of a snapshot sum leaves out.
    pub fn counted_first(&self) -> Option<SnapshotOrder> {
        match self {
            Acc::Trades(_) => None,
            Acc::Snapshots(acc) => acc.counted_first,
        }
    }

    /// Restores it; where it was not kept, the first snapshot replaces it if that has a count.
    pub fn set_counted_first(&mut self, counted_first: Option<SnapshotOrder>) {
        if let Acc::Snapshots(acc) = self {
            let first = Some(acc.first).filter(|first| acc.updates > 0 && first.cumulative.is_some());
            acc.counted_first = counted_first.or(first);
        }
    }

    /// Whether a bar can be made of it: some tick set a price.
    pub fn is_priced(&self) -> bool {
        match self {
            Acc::Trades(acc) => acc.priced > 0,
            Acc::Snapshots(acc) => acc.updates > 0,
        }
    }
}

/// A sum on its way to another worker, with what its durable layout leaves out.
pub mod whole {
    use super::{Acc, SnapshotOrder};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(acc: &Acc, serializer: S) -> Result<S::Ok, S::Error> {
        (acc, acc.counted_first()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Acc, D::Error> {
        let (mut acc, counted_first) = <(Acc, Option<SnapshotOrder>)>::deserialize(deserializer)?;
        acc.set_counted_first(counted_first);
        Ok(acc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trade() -> impl Strategy<Value = TradeAcc> {
        (0i64..4, 0u64..3, 0u64..2, 0i64..3, 1i64..5, 0i64..4, any::<bool>(), any::<bool>()).prop_map(
            |(at, sequence, partition, offset, price, quantity, sets, adds)| {
                TradeAcc::of(TradeOrder { at, sequence, partition, offset, price, quantity }, sets, adds)
            },
        )
    }

    fn snapshot() -> impl Strategy<Value = SnapshotAcc> {
        let order = (0i32..2, 0i64..4, proptest::option::of(0i128..5), proptest::option::of(0i64..3), 1i64..5);
        let interest = proptest::option::of((0i64..4, 0i128..3));
        (order, proptest::option::of(1i64..9), proptest::option::of(1i64..9), any::<bool>(), 0u64..2, interest)
            .prop_map(
                |(
                    (trading_date, updated_at, cumulative, received_at, price),
                    day_high,
                    day_low,
                    baseline_known,
                    updates,
                    interest,
                )| {
                    if updates == 0 {
                        return SnapshotAcc { open_interest: interest, ..SnapshotAcc::default() };
                    }
                    let order = SnapshotOrder { trading_date, updated_at, cumulative, received_at, price };
                    SnapshotAcc {
                        open_interest: interest,
                        updates,
                        first: order,
                        last: order,
                        high: price,
                        low: price,
                        first_told: (day_high, day_low),
                        cumulative_greatest: cumulative,
                        day_high,
                        day_low,
                        baseline_known,
                        counted_first: cumulative.map(|_| order),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn trades_merge_in_any_order_and_grouping(a in trade(), b in trade(), c in trade()) {
            let merged = |x: &TradeAcc, y: &TradeAcc| { let mut z = x.clone(); z.merge(y); z };
            // fields of an unpriced bucket mean nothing: compare what is published
            let view = |x: &TradeAcc| (x.priced, (x.priced > 0).then_some((x.first, x.last, x.high, x.low)), x.volume, x.turnover, x.trades);
            prop_assert_eq!(view(&merged(&a, &b)), view(&merged(&b, &a)));
            prop_assert_eq!(view(&merged(&merged(&a, &b), &c)), view(&merged(&a, &merged(&b, &c))));
        }

        #[test]
        fn adding_a_trade_is_merging_it(
            a in trade(), at in 0i64..4, price in 1i64..5, quantity in 0i64..4, sets in any::<bool>(), adds in any::<bool>()
        ) {
            let order = TradeOrder { at, price, quantity, ..TradeOrder::default() };
            let (mut added, mut merged) = (a.clone(), a);
            added.add(&order, sets, adds);
            merged.merge(&TradeAcc::of(order, sets, adds));
            prop_assert_eq!(added, merged);
        }

        #[test]
        fn a_sum_that_travels_is_whole(a in snapshot()) {
            #[derive(Serialize, Deserialize)]
            struct Sent(#[serde(with = "whole")] Acc);
            let acc = Acc::Snapshots(Box::new(a));
            let bytes = bincode::serialize(&Sent(acc.clone())).expect("plain values");
            prop_assert_eq!(bincode::deserialize::<Sent>(&bytes).expect("its own bytes").0, acc);
        }

        #[test]
        fn snapshots_merge_in_any_order_and_grouping(a in snapshot(), b in snapshot(), c in snapshot()) {
            let merged = |x: &SnapshotAcc, y: &SnapshotAcc| { let mut z = x.clone(); z.merge(y); z };
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            let twice = merged(&merged(&a, &b), &b);
            let updates = a.updates + b.updates;
            prop_assert_eq!(SnapshotAcc { updates, ..twice }, merged(&a, &b), "only the count sees a snapshot twice");
        }
    }
}
