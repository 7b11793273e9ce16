//! One instrument of the simulated exchange: what it trades, and what its snapshots report.

use super::random::Random;
use ticktide_base::time::{HOUR, MILLI, MINUTE, Nanos, SECOND};
use ticktide_feed::wire::xts::Segment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstrumentKind {
    Share,
    Future,
    Index,
}

/// The instrument's state as the next snapshot reports it. Prices in hundredths, times in UTC.
#[derive(Clone, Debug)]
pub struct Book {
    pub kind: InstrumentKind,
    pub id: u32,
    /// The rank of the share, or of a future's share, from 0, the most traded one first; not used of an index.
    pub share: u32,
    /// Trades only every few minutes; its quotes move.
    silent: bool,
    pub last: i64,
    pub last_quantity: u64,
    /// Since the day began.
    pub volume: u64,
    /// Price × quantity since the day began.
    turnover: i128,
    pub traded_at: Nanos,
    pub updated_at: Nanos,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub bid: i64,
    pub ask: i64,
    pub bid_size: u64,
    pub ask_size: u64,
    pub interest: u64,
    /// The sequence of the publisher that counts up.
    pub sequence: u64,
}

/// What happened up to a snapshot.
pub struct Moment {
    /// Since the second began.
    pub after: Nanos,
    /// The true time of its trades.
    pub traded_at: Nanos,
    pub volume: u64,
    pub trades: u64,
    /// A snapshot reports it.
    pub told: bool,
    /// The instrument traded since the last one.
    pub new: bool,
    pub book: Book,
}

/// The smallest price step, 0.05.
pub const STEP: i64 = 5;

/// The exchange's number of a share, its future or the index.
pub fn id_of(kind: InstrumentKind, share: u32) -> u32 {
    match kind {
        InstrumentKind::Index => 26_000,
        InstrumentKind::Share => 100 + share,
        InstrumentKind::Future => 40_000 + share,
    }
}

impl Book {
    pub fn new(kind: InstrumentKind, share: u32, price: i64, yesterday: Nanos, silent: bool) -> Book {
        let id = id_of(kind, share);
        Book {
            kind,
            id,
            share,
            silent,
            last: price,
            last_quantity: if kind == InstrumentKind::Index { 0 } else { 25 },
            volume: 0,
            turnover: 0,
            traded_at: yesterday,
            updated_at: yesterday,
            open: 0,
            high: 0,
            low: 0,
            close: price,
            bid: price - STEP,
            ask: price + STEP,
            bid_size: 100,
            ask_size: 100,
            interest: 1_000_000 + u64::from(id) * 75,
            sequence: u64::from(id) << 32,
        }
    }

    pub fn segment(&self) -> &'static Segment {
        Segment::of(if self.kind == InstrumentKind::Future { 2 } else { 1 }).expect("NSE's segments are known")
    }

    pub fn venue(&self) -> &'static str {
        self.segment().venue
    }

    pub fn average(&self) -> i64 {
        if self.volume == 0 { self.last } else { (self.turnover / i128::from(self.volume)) as i64 }
    }

    /// Quotes every 20 s that still show yesterday's last trade; shares are matched once, after 09:08.
    pub fn before_the_open(&mut self, at: Nanos, exchange_at: Nanos, random: &mut Random) -> Vec<Moment> {
        let matched_at = 9 * HOUR + 8 * MINUTE + Nanos::from(self.id % 30) * SECOND;
        let (mut volume, mut trades) = (0, 0);
        if self.kind == InstrumentKind::Share && !self.silent && at == matched_at {
            (volume, trades) = (1_000 + random.below(50_000), 1 + random.below(40));
            self.fill(self.last + STEP * (random.below(21) as i64 - 10), volume, exchange_at);
            self.last_quantity = 1 + volume / (10 * trades);
        }
        if trades == 0 && (at / SECOND + Nanos::from(self.id)) % 20 != 0 {
            return Vec::new();
        }
        if self.kind == InstrumentKind::Index {
            return Vec::new();
        }
        vec![self.moment(exchange_at, 300 * MILLI, exchange_at, (volume, trades), true, random)]
    }

    /// A second of continuous trading: up to two snapshots, with all trades of the second before the last snapshot.
    pub fn trade(&mut self, exchange_at: Nanos, random: &mut Random) -> Vec<Moment> {
        let first = (50 + random.below(550) as Nanos) * MILLI;
        let second = first + (5 + random.below(295) as Nanos) * MILLI;
        if self.kind == InstrumentKind::Index {
            return self.tick_index(exchange_at, [first, second], random);
        }
        let trades = random.chance(if self.silent { 4 } else { 760 });
        if !trades && self.silent && !random.chance(100) {
            return Vec::new();
        }
        // mostly a few trades and sometimes a sweep, of which a snapshot reports only the last trade's quantity
        let children = |random: &mut Random, least: u64| match trades {
            true if random.chance(200) => least + random.below(45),
            true => least + random.below(3),
            false => 0,
        };
        let (before, between) = (children(random, 1), children(random, 0));
        let one = self.children(before, exchange_at, random);
        let mut moments = vec![self.moment(exchange_at, first, exchange_at, (one, before), true, random)];
        // A trade of the previous second that is reported late: the last trade's time steps back while the count rises.
        let is_minutes_first = exchange_at % MINUTE == 0;
        if before > 0 && !is_minutes_first && random.chance(80) {
            let late = self.children(1, exchange_at - SECOND, random);
            moments.push(self.moment(exchange_at, second, exchange_at - SECOND, (late, 1), true, random));
            return moments;
        }
        let two = self.children(between, exchange_at, random);
        moments.push(self.moment(exchange_at, second, exchange_at, (two, between), true, random));
        moments
    }

    fn tick_index(&mut self, exchange_at: Nanos, after: [Nanos; 2], random: &mut Random) -> Vec<Moment> {
        let tick = |book: &mut Book, after, random: &mut Random| {
            let price = book.last + random.below(401) as i64 - 200;
            book.see(price.max(1_000_000), exchange_at);
            (book.bid, book.ask, book.bid_size, book.ask_size) = (0, 0, 0, 0);
            book.updated_at = exchange_at;
            Moment { after, traded_at: exchange_at, volume: 0, trades: 0, told: true, new: true, book: book.clone() }
        };
        after.map(|after| tick(self, after, random)).into()
    }

    /// Trades of one moment, one by one; returns their volume.
    fn children(&mut self, count: u64, at: Nanos, random: &mut Random) -> u64 {
        let mut volume = 0;
        for _ in 0..count {
            let price = self.last + STEP * (random.below(3) as i64 - 1);
            let quantity = quantity(random);
            self.fill(price.max(100 * STEP), quantity, at);
            volume += quantity;
        }
        volume
    }

    fn fill(&mut self, price: i64, quantity: u64, at: Nanos) {
        self.see(price, at);
        self.last_quantity = quantity;
        self.volume += quantity;
        self.turnover += i128::from(price) * i128::from(quantity);
        self.interest += quantity / 10;
    }

    fn see(&mut self, price: i64, at: Nanos) {
        if self.open == 0 {
            (self.open, self.high, self.low) = (price, price, price);
        }
        (self.last, self.high, self.low) = (price, self.high.max(price), self.low.min(price));
        self.traded_at = at;
    }

    /// The quotes move, and a snapshot reports all.
    fn moment(
        &mut self,
        exchange_at: Nanos,
        after: Nanos,
        traded_at: Nanos,
        (volume, trades): (u64, u64),
        told: bool,
        random: &mut Random,
    ) -> Moment {
        // the last price is outside the best quotes in six of a hundred snapshots
        let shift = if random.chance(60) { 3 * STEP } else { 0 };
        (self.bid, self.ask) = (self.last - STEP + shift, self.last + STEP + shift);
        (self.bid_size, self.ask_size) = (1 + random.below(900), 1 + random.below(900));
        self.updated_at = exchange_at;
        self.sequence += 1;
        Moment { after, traded_at, volume, trades, told, new: trades > 0, book: self.clone() }
    }
}

/// Many small quantities, few large ones.
fn quantity(random: &mut Random) -> u64 {
    let size = (random.below(1 << 12) | 1 << 10).trailing_zeros();
    1 + (random.below(60) << size)
}
