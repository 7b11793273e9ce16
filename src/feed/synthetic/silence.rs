//! Planted silences of one partition's day: of the whole feed, and of the partition's busiest instrument.
//!
//! Why trading time is stretched and not cut: a day keeps its number of records, so its offsets are known without playing it.
//! What must always hold: all partitions have the same silences of the feed; silences do not touch each other.

use super::draw::mix;
use super::hours::SESSION;
use ticktide_base::time::{MICRO, MINUTE, Nanos};

/// The most silences a day; each has its own slot.
pub const GAPS_MOST: u32 = 10;

/// The shortest silence, and how much longer the longest can be.
const FEED: (Nanos, Nanos) = (2 * MINUTE, 4 * MINUTE);
const BUSIEST: (Nanos, Nanos) = (6 * MINUTE, 6 * MINUTE);

/// A part of a day, since the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    start: Nanos,
    end: Nanos,
}

impl Part {
    /// Its start and end on a day that opens at `opens_at`.
    pub fn from(&self, opens_at: Nanos) -> (Nanos, Nanos) {
        (opens_at + self.start, opens_at + self.end)
    }
}

/// The silences of a partition's day, in order.
#[derive(Clone, Debug, Default)]
pub struct Silences {
    pub feed: Vec<Part>,
    pub busiest: Vec<Part>,
}

impl Silences {
    /// Takes a seed and a number for the feed's silences, and for the busiest instrument's. A day has that many slots: the
    /// first half of each is for the feed, the second for the instrument.
    pub fn new(feed: (u64, u32), busiest: (u64, u32)) -> Silences {
        let plant = |(seed, number): (u64, u32), half: Nanos, (least, more): (Nanos, Nanos)| {
            let slot = SESSION / Nanos::from(number.max(1));
            let parts = (0..number).map(|index| {
                let random = mix(seed ^ mix(u64::from(index)));
                let draw = |random: u64, below: Nanos| (random % (below / MICRO) as u64) as Nanos * MICRO;
                let length = least + draw(random, more);
                // a minute of trading on each side
                let room = slot / 2 - 2 * MINUTE - length;
                let start = Nanos::from(index) * slot + half * slot / 2 + MINUTE + draw(mix(random), room);
                Part { start, end: start + length }
            });
            parts.collect()
        };
        Silences { feed: plant(feed, 0, FEED), busiest: plant(busiest, 1, BUSIEST) }
    }

    /// How long the feed is silent in total.
    pub fn feed_silent(&self) -> Nanos {
        self.feed.iter().map(|part| part.end - part.start).sum()
    }

    /// The time since the open for a trading time that does not count the feed's silences.
    pub fn stretched(&self, traded: Nanos) -> Nanos {
        self.feed.iter().fold(traded, |at, part| if at >= part.start { at + (part.end - part.start) } else { at })
    }

    pub fn busiest_is_silent(&self, at: Nanos) -> bool {
        self.busiest.iter().any(|part| part.start <= at && at < part.end)
    }
}
