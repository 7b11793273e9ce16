//! Random numbers for a simulated market.
//!
//! What must always hold: a seed gives the same numbers on every machine.

use ticktide_feed::synthetic::mix;

/// Random numbers, the same ones for a seed.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn of(seed: u64) -> Random {
        Random(mix(seed))
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % end.max(1)
    }

    /// True `of_thousand` times in a thousand.
    pub fn chance(&mut self, of_thousand: u64) -> bool {
        self.below(1000) < of_thousand
    }
}
