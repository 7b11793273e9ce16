//! Random draws of the synthetic market: good hashes of numbers, and the choices made by them.
//!
//! Why hashes instead of a generator with a state: any part of the market can be made without the parts before it. What must
//! always hold: all arithmetic is on integers, so every machine draws the same.

/// One in this many trades, exactly one in each run of that length.
pub const DUPLICATES: Every = Every { period: 400, salt: 1 };
pub const LATE: Every = Every { period: 1_000, salt: 2 };
pub const CANCELLED: Every = Every { period: 2_000, salt: 3 };
pub const CORRECTED: Every = Every { period: 2_500, salt: 4 };
pub const BAD: Every = Every { period: 5_000, salt: 5 };

/// One trade in each run of `period` trades.
pub struct Every {
    pub period: u64,
    salt: u64,
}

impl Every {
    /// Whether trade `index` of `trades` is the chosen one of its run; a shorter last run has none.
    #[inline]
    pub fn chooses(&self, day_seed: u64, index: u64, trades: u64, chosen: &mut u64) -> bool {
        if index.is_multiple_of(self.period) {
            let whole = index + self.period <= trades;
            let place = index + mix(day_seed ^ self.salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index) % self.period;
            *chosen = if whole { place } else { u64::MAX };
        }
        *chosen == index
    }
}

/// A quantity from 1 to about 10,000: many are small, few are large.
#[inline]
pub fn quantity(random: u64) -> u64 {
    let size = ((random >> 20) & 0xfff).trailing_zeros().min(10);
    1 + (((random >> 32) & 0x3ff) << size) / 100
}

/// A good hash of a number (the finaliser of SplitMix64).
#[inline]
pub fn mix(value: u64) -> u64 {
    mix_step(value.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// The finaliser alone.
#[inline]
pub fn mix_step(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
