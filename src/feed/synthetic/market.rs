//! The market's fixed part: its instruments, and each partition's number of trades and records a day.
//!
//! What must always hold: a partition has the same number of records every day.

use super::draw::{CANCELLED, CORRECTED, DUPLICATES, mix};
use super::hours::{DAY_LAST, OPENS, weekday};
use super::silence::{GAPS_MOST, Silences};
use crate::{FeedError, SyntheticSpec};
use ticktide_base::time::{DAY, Nanos};

pub const VENUE: &str = "DEMO";
const LETTERS: u64 = 26 * 26 * 26 * 26;
/// The most instruments: fewer than the possible symbols of four letters.
const INSTRUMENTS_MOST: u32 = 100_000;

/// The market's fixed part: which instruments trade in which partition, and how much.
pub struct Market {
    seed: u64,
    first_day: i32,
    gaps: u32,
    pub(super) partitions: Vec<Shard>,
    pub(super) symbols: Vec<Symbol>,
}

/// A partition's part of a day.
pub(super) struct Shard {
    pub trades: u64,
    pub records: u64,
    /// Running sums of the weights of its instruments (partition, partition + n, …).
    pub weights: Vec<u64>,
}

/// An instrument.
pub(super) struct Symbol {
    name: String,
    /// The line up to the time.
    pub head: Vec<u8>,
    /// Its usual price, in steps.
    pub price: i64,
    /// How far a trade moves the price, in steps: quiet instruments move further with each trade.
    pub stride: i64,
}

impl Market {
    /// Errors: settings that leave a partition without instruments or without trades.
    pub fn new(spec: &SyntheticSpec) -> Result<Market, FeedError> {
        let fix = |message: String, hint: &str| Err(FeedError::fix(message, hint));
        if spec.instruments == 0 || spec.instruments > INSTRUMENTS_MOST {
            let message = format!("the synthetic market cannot have {} instruments", spec.instruments);
            return fix(message, "set instruments to a number from 1 to 100000");
        }
        if spec.partitions == 0 || spec.partitions > spec.instruments {
            let message =
                format!("{} partitions are not possible for {} instruments", spec.partitions, spec.instruments);
            return fix(message, "set partitions to a number from 1 to the number of instruments");
        }
        if spec.trades_a_day < u64::from(spec.instruments) || spec.trades_a_day > 1 << 40 {
            let message =
                format!("{} trades a day are not possible for {} instruments", spec.trades_a_day, spec.instruments);
            return fix(message, "set the trades a day to at least one for each instrument, and below 2^40");
        }
        if spec.gaps > GAPS_MOST {
            let message = format!("the synthetic market cannot have {} gaps a day", spec.gaps);
            return fix(message, "set gaps to a number from 0 to 10");
        }
        if !(0..=DAY_LAST).contains(&spec.first_day) {
            let message = format!("the synthetic market cannot begin {} days after 1970-01-01", spec.first_day);
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

    /// The number of trading days: from the first one to [`DAY_LAST`].
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

    /// When a partition is silent on a day; a partition with a single instrument has no silence of its own.
    pub fn silences(&self, partition: u32, day: u64) -> Silences {
        let alone = self.partitions[partition as usize].weights.len() == 1;
        let own = if alone { 0 } else { self.gaps };
        Silences::new((mix(self.seed ^ mix(day ^ 0x6761_7073)), self.gaps), (self.day_seed(partition, day), own))
    }

    /// The seed of a partition's day.
    pub(super) fn day_seed(&self, partition: u32, day: u64) -> u64 {
        mix(self.seed ^ mix((u64::from(partition) << 32) ^ day ^ 0x6461_7973))
    }
}

/// Four letters, different for every instrument below 26⁴.
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
