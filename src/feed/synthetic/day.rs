//! One trading day of one partition of the synthetic market: trades in event order, records in order of arrival.
//!
//! Why all arithmetic is on integers, or on doubles with + − × ÷ only: the same bytes on every machine.

use super::LabelKind;
use super::silence::{GAPS_MOST, Silences};
use crate::{FeedError, SyntheticSpec};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use ticktide_base::time::{DAY, HOUR, MICRO, MILLI, MINUTE, Nanos, SECOND};
use ticktide_market::{Price, SCALE};

pub const VENUE: &str = "DEMO";
/// From the open to the close.
pub const SESSION: Nanos = 6 * HOUR + 15 * MINUTE;
const OPENS: Nanos = 9 * HOUR + 15 * MINUTE;
/// The least price step, 0.05.
const STEP: i64 = SCALE / 20;
/// Late records come at most this long after their time, cancels and corrections after their trade.
const LATE_MOST: Nanos = 9 * MINUTE;
const LETTERS: u64 = 26 * 26 * 26 * 26;
/// Instruments up to four letters' worth of symbols, fewer than there are.
const INSTRUMENTS_MOST: u32 = 100_000;

/// One in this many trades (exactly one in each run of so many) …
const DUPLICATES: Every = Every { period: 400, salt: 1 };
const LATE: Every = Every { period: 1_000, salt: 2 };
const CANCELLED: Every = Every { period: 2_000, salt: 3 };
const CORRECTED: Every = Every { period: 2_500, salt: 4 };
const BAD: Every = Every { period: 5_000, salt: 5 };

/// The last day that is played, days since 1970 (2199-12-31): what follows stays far from the end of time in nanoseconds.
pub const DAY_LAST: i32 = 84_005;

struct Every {
    period: u64,
    salt: u64,
}

impl Every {
    /// Whether trade `index` of `trades` is the chosen one of its run; a last, shorter run has none.
    #[inline]
    fn chooses(&self, day_seed: u64, index: u64, trades: u64, chosen: &mut u64) -> bool {
        if index.is_multiple_of(self.period) {
            let whole = index + self.period <= trades;
            let place = index + mix(day_seed ^ self.salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index) % self.period;
            *chosen = if whole { place } else { u64::MAX };
        }
        *chosen == index
    }
}

/// The market's fixed part: who trades where, and how much.
pub struct Market {
    seed: u64,
    first_day: i32,
    gaps: u32,
    partitions: Vec<Shard>,
    symbols: Vec<Symbol>,
}

struct Shard {
    trades: u64,
    records: u64,
    /// Running sums of the weights of its instruments (partition, partition + n, …).
    weights: Vec<u64>,
}

struct Symbol {
    name: String,
    /// The line up to the time.
    head: Vec<u8>,
    /// Its usual price, in steps.
    price: i64,
    /// How far a trade moves the price, in steps: quiet names move more a trade.
    stride: i64,
}

impl Market {
    /// Errors: settings that leave a partition without instruments or without trades.
    pub fn new(spec: &SyntheticSpec) -> Result<Market, FeedError> {
        let fix = |message: String, hint: &str| Err(FeedError::Fix(message, hint.into()));
        if spec.instruments == 0 || spec.instruments > INSTRUMENTS_MOST {
            let message = format!("synthetic market of {} instruments", spec.instruments);
            return fix(message, "set instruments to a number from 1 to 100000");
        }
        if spec.partitions == 0 || spec.partitions > spec.instruments {
            let message = format!("{} partitions for {} instruments", spec.partitions, spec.instruments);
            return fix(message, "set partitions to a number from 1 to that of the instruments");
        }
        if spec.trades_a_day < u64::from(spec.instruments) || spec.trades_a_day > 1 << 40 {
            let message = format!("{} trades a day for {} instruments", spec.trades_a_day, spec.instruments);
            return fix(message, "set trades a day to at least one for each instrument, and below 2^40");
        }
        if spec.gaps > GAPS_MOST {
            let message = format!("synthetic market with {} gaps", spec.gaps);
            return fix(message, "set gaps to a number from 0 to 10");
        }
        if !(0..=DAY_LAST).contains(&spec.first_day) {
            let message = format!("synthetic market that begins {} days after 1970-01-01", spec.first_day);
            return fix(message, "set first_day to a date from 1970-01-01 to 2199-12-31");
        }
        let weight = |instrument: u64| 1_000_000_000 / (instrument + 4);
        let symbols = (0..u64::from(spec.instruments)).map(|instrument| {
            let random = mix(spec.seed ^ mix(instrument));
            let name = symbol_name(instrument);
            Symbol {
                head: format!("{{\"venue\":\"{VENUE}\",\"symbol\":\"{name}\",\"time\":").into_bytes(),
                name,
                // 50 to 4,050
                price: 1_000 + ((random % 1_000) * (random >> 32) % 80_000) as i64,
                stride: 1 + (instrument / 16).min(8) as i64,
            }
        });
        let total: u64 = (0..u64::from(spec.instruments)).map(weight).sum();
        let partitions = (0..spec.partitions).map(|partition| {
            let mut sum = 0;
            let own = (partition..spec.instruments).step_by(spec.partitions as usize);
            let weights: Vec<u64> = own
                .map(|instrument| {
                    sum += weight(u64::from(instrument));
                    sum
                })
                .collect();
            let trades = (u128::from(spec.trades_a_day) * u128::from(sum) / u128::from(total)).max(1) as u64;
            let extra: u64 = [&DUPLICATES, &CANCELLED, &CORRECTED].iter().map(|every| trades / every.period).sum();
            Shard { trades, records: trades + extra, weights }
        });
        Ok(Market {
            seed: spec.seed,
            first_day: spec.first_day,
            gaps: spec.gaps,
            partitions: partitions.collect(),
            symbols: symbols.collect(),
        })
    }

    pub fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    pub fn records_a_day(&self, partition: u32) -> i64 {
        self.partitions[partition as usize].records as i64
    }

    /// The offset of a day's first record.
    pub fn first_offset(&self, partition: u32, day: u64) -> i64 {
        self.records_a_day(partition).saturating_mul(day as i64)
    }

    /// How many trading days there are: from the first one to [`DAY_LAST`].
    pub fn days(&self) -> u64 {
        let weeks = u64::from(DAY_LAST.abs_diff(self.first_day)) / 7;
        let about = (weeks * 5).saturating_sub(5)..=weeks * 5 + 7;
        about.take_while(|day| weekday(self.first_day, *day) <= DAY_LAST).last().map_or(0, |day| day + 1)
    }

    pub fn symbol(&self, instrument: u32) -> &str {
        &self.symbols[instrument as usize].name
    }

    /// When a day opens.
    pub fn opens_at(&self, day: u64) -> Nanos {
        Nanos::from(weekday(self.first_day, day)) * DAY + OPENS
    }

    /// When a partition is silent on a day; one of a single instrument has no silence of its own.
    pub fn silences(&self, partition: u32, day: u64) -> Silences {
        let alone = self.partitions[partition as usize].weights.len() == 1;
        let own = if alone { 0 } else { self.gaps };
        Silences::new((mix(self.seed ^ mix(day ^ 0x6761_7073)), self.gaps), (self.day_seed(partition, day), own))
    }

    fn day_seed(&self, partition: u32, day: u64) -> u64 {
        mix(self.seed ^ mix((u64::from(partition) << 32) ^ day ^ 0x6461_7973))
    }
}

/// Four letters, others for every instrument below 26⁴.
fn symbol_name(instrument: u64) -> String {
    // a step without a common factor with 26⁴ visits every name once
    let mut code = (instrument * 93_283 + 12_345) % LETTERS;
    let mut name = String::new();
    for _ in 0..4 {
        name.push(char::from(b'A' + (code % 26) as u8));
        code /= 26;
    }
    name
}

/// The k-th weekday at or after a date, days since 1970.
pub fn weekday(first: i32, k: u64) -> i32 {
    // 1970-01-01 was a Thursday; 0 = Monday
    let of_week = (i64::from(first) + 3).rem_euclid(7);
    let start = if of_week >= 5 { i64::from(first) + 7 - of_week } else { i64::from(first) };
    let (of_week, k) = (if of_week >= 5 { 0 } else { of_week }, k as i64);
    let days = (of_week + k) / 5 * 7 + (of_week + k) % 5 - of_week;
    (start + days) as i32
}

/// What a record says of its trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Trade,
    Cancel,
    Correct,
}

/// One record; ordered by arrival, then by the order of making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub arrives_at: Nanos,
    number: u64,
    what: What,
    pub instrument: u32,
    pub exchange_at: Nanos,
    sequence: u64,
    /// In steps.
    price: i64,
    quantity: u64,
    /// The trade that a cancel or correction names, or that one of them will name.
    id: Option<u64>,
    bad: bool,
    late: bool,
    cancelled: bool,
}

impl Record {
    pub fn price(&self) -> Price {
        Price(self.price * STEP)
    }

    pub fn id(&self) -> Option<String> {
        self.id.map(|id| format!("T{id}"))
    }

    pub fn labels(&self) -> impl Iterator<Item = LabelKind> {
        let kinds =
            [(self.bad, LabelKind::BadPrint), (self.late, LabelKind::Late), (self.cancelled, LabelKind::Cancelled)];
        kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind)
    }

    /// The record as a line of wire json, without its end.
    pub fn write(&self, market: &Market, out: &mut Vec<u8>) {
        out.extend_from_slice(&market.symbols[self.instrument as usize].head);
        push(out, (self.exchange_at / MICRO) as u64);
        match self.what {
            What::Trade => {
                out.extend_from_slice(b",\"sequence\":");
                push(out, self.sequence);
            }
            What::Cancel => out.extend_from_slice(b",\"type\":\"cancel\""),
            What::Correct => out.extend_from_slice(b",\"type\":\"correct\""),
        }
        if self.what != What::Cancel {
            out.extend_from_slice(b",\"price\":");
            let cents = self.price as u64 * 5;
            push(out, cents / 100);
            out.extend_from_slice(&[b'.', b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
            out.extend_from_slice(b",\"quantity\":");
            push(out, self.quantity);
        }
        if let Some(id) = self.id {
            out.extend_from_slice(b",\"id\":\"T");
            push(out, id);
            out.push(b'"');
        }
        out.push(b'}');
    }
}

fn push(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A day in play.
pub struct Day {
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
    /// Per own instrument: price in steps, next sequence.
    state: Vec<(i64, u64)>,
    chosen: [u64; 5],
    made: u64,
    made_records: u64,
    taken: u64,
    waiting: BinaryHeap<Reverse<Record>>,
}

impl Day {
    /// The day of an offset, played up to it.
    pub fn at(market: &Market, partition: u32, offset: i64) -> Day {
        let number = (offset / market.records_a_day(partition)) as u64;
        let mut day = Day::new(market, partition, number);
        let passed = (offset - market.first_offset(partition, number)) as usize;
        if passed > 0 {
            day.nth(passed - 1);
        }
        day
    }

    pub fn new(market: &Market, partition: u32, day: u64) -> Day {
        let shard = &market.partitions[partition as usize];
        let seed = market.day_seed(partition, day);
        let own = market.symbols.iter().skip(partition as usize).step_by(market.partitions.len());
        let state = own.clone().enumerate().map(|(index, symbol)| {
            // a day opens within three hundredths of the usual price
            let gap = (mix(seed ^ index as u64) % 601) as i64 - 300;
            (symbol.price + symbol.price * gap / 10_000, 1)
        });
        Day {
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

    /// When the next record arrives, in trading time since the first day's open (nights take none of it); none at the end
    /// of the day.
    pub fn arrives_in(&mut self) -> Option<Nanos> {
        self.fill();
        self.waiting.peek().map(|Reverse(record)| self.day as i64 * SESSION + record.arrives_at - self.opens_at)
    }

    /// Makes trades until none that is still to come can arrive before the first that waits.
    fn fill(&mut self) {
        while self.made < self.market_trades
            && self.waiting.peek().is_none_or(|Reverse(first)| first.arrives_at >= self.event_at(self.made))
        {
            self.trade();
        }
    }

    /// The earliest time of a trade by its number: busy at the open and the close.
    fn event_at(&self, number: u64) -> Nanos {
        self.opens_at + self.silences.stretched(self.traded(number))
    }

    /// The same without the feed's silences, since the open.
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
        // half of the trades repeat the price; a price stays above a tenth of what an instrument may cost
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
        let record = Record {
            arrives_at: exchange_at + delay,
            number: self.made_records,
            what: What::Trade,
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
        let plain = Record { bad: false, late: false, cancelled: false, ..record };
        if duplicate {
            self.make(Record { arrives_at: record.arrives_at + (mix(random) % (3 * SECOND) as u64) as i64, ..plain });
        }
        if corrected {
            let after = 5 * SECOND + (mix(random ^ 1) % MINUTE as u64) as i64;
            self.make(Record {
                what: What::Correct,
                arrives_at: record.arrives_at + after,
                price: record.price + 1,
                quantity: record.quantity + 1,
                ..plain
            });
        }
        if cancelled {
            let after = 5 * SECOND + (mix(random ^ 2) % LATE_MOST as u64) as i64;
            self.make(Record { what: What::Cancel, arrives_at: record.arrives_at + after, ..plain });
        }
    }

    fn make(&mut self, record: Record) {
        self.waiting.push(Reverse(Record { number: self.made_records, ..record }));
        self.made_records += 1;
    }
}

/// The records in order of arrival.
impl Iterator for Day {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.fill();
        let Reverse(record) = self.waiting.pop()?;
        self.taken += 1;
        Some(record)
    }
}

/// Many small ones, few large ones: 1 to about 10,000.
fn quantity(random: u64) -> u64 {
    let size = ((random >> 20) & 0xfff).trailing_zeros().min(10);
    1 + (((random >> 32) & 0x3ff) << size) / 100
}

/// A good hash of a number (the finaliser of SplitMix64).
pub fn mix(value: u64) -> u64 {
    mix_step(value.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

#[inline]
pub fn mix_step(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
