//! One trading day of one partition of the synthetic market: trades in event order, records in order of arrival.
//!
//! Why all arithmetic is on integers, or on doubles with only + − × ÷: every machine makes the same bytes.

use super::draw::{BAD, CANCELLED, CORRECTED, DUPLICATES, LATE, mix, mix_step, quantity};
use super::hours::SESSION;
use super::market::Market;
use super::record::{MarketRecord, RecordKind};
use super::silence::Silences;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use ticktide_base::time::{MICRO, MILLI, MINUTE, Nanos, SECOND};

/// Late records arrive at most this long after their time, cancels and corrections after their trade.
const LATE_MOST: Nanos = 9 * MINUTE;

/// A day that is being played.
pub struct MarketDay {
    market_trades: u64,
    records: u64,
    weights: Vec<u64>,
    strides: Vec<i64>,
    partition: u32,
    partitions: u32,
    day: u64,
    seed: u64,
    random: u64,
    opens_at: Nanos,
    silences: Silences,
    /// For each instrument of the partition: its price in steps and its next sequence.
    state: Vec<(i64, u64)>,
    chosen: [u64; 5],
    made: u64,
    made_records: u64,
    taken: u64,
    waiting: BinaryHeap<Reverse<MarketRecord>>,
}

impl MarketDay {
    /// The day that contains an offset, played up to it.
    pub fn at(market: &Market, partition: u32, offset: i64) -> MarketDay {
        let number = (offset / market.records_a_day(partition)) as u64;
        let mut day = MarketDay::new(market, partition, number);
        let passed = (offset - market.first_offset(partition, number)) as usize;
        if passed > 0 {
            day.nth(passed - 1);
        }
        day
    }

    pub fn new(market: &Market, partition: u32, day: u64) -> MarketDay {
        let shard = &market.partitions[partition as usize];
        let seed = market.day_seed(partition, day);
        let own = market.symbols.iter().skip(partition as usize).step_by(market.partitions.len());
        let state = own.clone().enumerate().map(|(index, symbol)| {
            // a day opens within three hundredths of the usual price
            let gap = (mix(seed ^ index as u64) % 601) as i64 - 300;
            (symbol.price + symbol.price * gap / 10_000, 1)
        });
        MarketDay {
            market_trades: shard.trades,
            records: shard.records,
            weights: shard.weights.clone(),
            strides: own.clone().map(|symbol| symbol.stride).collect(),
            partition,
            partitions: market.partitions(),
            day,
            seed,
            random: seed,
            opens_at: market.opens_at(day),
            silences: market.silences(partition, day),
            state: state.collect(),
            chosen: [u64::MAX; 5],
            made: 0,
            made_records: 0,
            taken: 0,
            waiting: BinaryHeap::new(),
        }
    }

    pub fn day(&self) -> u64 {
        self.day
    }

    pub fn ended(&self) -> bool {
        self.taken == self.records
    }

    /// When the next record arrives, in trading time since the first day's open (nights do not count); `None` at the end of the
    /// day.
    pub fn arrives_in(&mut self) -> Option<Nanos> {
        self.fill();
        self.waiting.peek().map(|Reverse(record)| self.day as i64 * SESSION + record.arrives_at - self.opens_at)
    }

    /// Makes trades until no later trade can arrive before the first record that waits.
    fn fill(&mut self) {
        while self.made < self.market_trades
            && self.waiting.peek().is_none_or(|Reverse(first)| first.arrives_at >= self.event_at(self.made))
        {
            self.trade();
        }
    }

    /// The earliest time of a trade by its number: trading is busy at the open and the close.
    fn event_at(&self, number: u64) -> Nanos {
        self.opens_at + self.silences.stretched(self.traded(number))
    }

    /// The same time since the open, without the feed's silences.
    fn traded(&self, number: u64) -> Nanos {
        let u = number as f64 / self.market_trades as f64;
        let part = u + 0.4 * u * (1.0 - u) * (2.0 * u - 1.0);
        (part * (SESSION - SECOND - self.silences.feed_silent()) as f64) as Nanos / MICRO * MICRO
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix_step(self.random)
    }

    fn trade(&mut self) {
        let (number, trades) = (self.made, self.market_trades);
        let (seed, chosen) = (self.seed, &mut self.chosen);
        let duplicate = DUPLICATES.chooses(seed, number, trades, &mut chosen[0]);
        let late = LATE.chooses(seed, number, trades, &mut chosen[1]);
        let cancelled = CANCELLED.chooses(seed, number, trades, &mut chosen[2]);
        let corrected = CORRECTED.chooses(seed, number, trades, &mut chosen[3]);
        let bad = BAD.chooses(seed, number, trades, &mut chosen[4]);
        let (random, more) = (self.draw(), self.draw());

        let total = self.weights[self.weights.len() - 1];
        let pick = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        let (from, to) = (self.traded(number), self.traded(number + 1));
        let traded = from + (more >> 40) as i64 * ((to - from) / MICRO) / (1 << 24) * MICRO;
        let of_day = self.silences.stretched(traded);
        let exchange_at = self.opens_at + of_day;
        let own = match self.weights.partition_point(|sum| *sum <= pick) {
            0 if self.silences.busiest_is_silent(of_day) => 1,
            own => own,
        };
        let (price, sequence) = &mut self.state[own];
        // half of the trades repeat the price; a price stays above a tenth of the least usual price
        *price = (*price + [0, 0, 1, -1][(more & 3) as usize] * self.strides[own]).max(100);
        let wrong = if more & 4 == 0 { *price * 13 / 10 } else { *price * 10 / 13 };
        let (price, sequence_now) = (if bad { wrong } else { *price }, *sequence);
        *sequence += 1;

        let delay = match (more >> 8) & 0xff {
            0..3 => 500 * MILLI + ((more >> 16) & 0xffff) as i64 * 1_500 * MILLI / 65_536,
            3..24 => 20 * MILLI + ((more >> 16) & 0xffff) as i64 * 480 * MILLI / 65_536,
            _ => ((more >> 16) & 0xffff) as i64 * 20 * MILLI / 65_536,
        };
        let delay = if late { MINUTE + (mix(more) % ((LATE_MOST - MINUTE) as u64)) as i64 } else { delay };
        let id = (cancelled || corrected).then_some(number * u64::from(self.partitions) + u64::from(self.partition));
        let record = MarketRecord {
            arrives_at: exchange_at + delay,
            number: self.made_records,
            what: RecordKind::Trade,
            instrument: self.partition + own as u32 * self.partitions,
            exchange_at,
            sequence: sequence_now,
            price,
            quantity: quantity(random),
            id,
            bad,
            late,
            cancelled,
        };
        self.made += 1;
        self.make(record);
        let plain = MarketRecord { bad: false, late: false, cancelled: false, ..record };
        if duplicate {
            let after = (mix(random) % (3 * SECOND) as u64) as i64;
            self.make(MarketRecord { arrives_at: record.arrives_at + after, ..plain });
        }
        if corrected {
            let after = 5 * SECOND + (mix(random ^ 1) % MINUTE as u64) as i64;
            self.make(MarketRecord {
                what: RecordKind::Correct,
                arrives_at: record.arrives_at + after,
                price: record.price + 1,
                quantity: record.quantity + 1,
                ..plain
            });
        }
        if cancelled {
            let after = 5 * SECOND + (mix(random ^ 2) % LATE_MOST as u64) as i64;
            self.make(MarketRecord { what: RecordKind::Cancel, arrives_at: record.arrives_at + after, ..plain });
        }
    }

    fn make(&mut self, record: MarketRecord) {
        self.waiting.push(Reverse(MarketRecord { number: self.made_records, ..record }));
        self.made_records += 1;
    }
}

/// The records in order of arrival.
impl Iterator for MarketDay {
    type Item = MarketRecord;

    fn next(&mut self) -> Option<MarketRecord> {
        self.fill();
        let Reverse(record) = self.waiting.pop()?;
        self.taken += 1;
        Some(record)
    }
}
