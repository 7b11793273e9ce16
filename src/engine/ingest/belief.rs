//! What a partition believes of its times, under the rules by which its epochs are made.
//!
//! Why both are here: an older lake is computed again by the first rules, and goes on by the second. What must always hold:
//! records that wait when the rules change keep waiting.

use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_flow::clean::CleanSpec;
use ticktide_flow::clean::jumps::{Held, Jumps};
use ticktide_flow::clean::wild::Wild;
use ticktide_market::Instrument;

/// What goes with a tick that waits: its instrument and its record.
pub(super) type Extra = (Instrument, Vec<u8>);

/// A tick that waits.
pub(super) type HeldTick = Held<Extra>;

pub(super) enum Belief {
    First(Jumps<Extra>),
    Second(Wild<Extra>),
}

impl Belief {
    /// `anchor`: the greatest event time that an earlier run believed.
    pub(super) fn new(rules: Rules, anchor: Option<Nanos>) -> Belief {
        match rules {
            Rules::First => Belief::First(Jumps::new(anchor)),
            Rules::Second => Belief::Second(Wild::new(anchor)),
        }
    }

    /// Goes on under these rules. True: they have changed.
    pub(super) fn go_on(&mut self, rules: Rules, spec: &CleanSpec) -> bool {
        *self = match (&*self, rules) {
            (Belief::First(jumps), Rules::Second) => {
                Belief::Second(Wild::taken_over(jumps.anchor, jumps.held().cloned().collect(), spec))
            }
            // a replay that begins before its partition was read
            (Belief::Second(wild), Rules::First) => Belief::First(Jumps::new(wild.anchor)),
            _ => return false,
        };
        true
    }

    pub(super) fn anchor(&self) -> Option<Nanos> {
        match self {
            Belief::First(jumps) => jumps.anchor,
            Belief::Second(wild) => wild.anchor,
        }
    }

    pub(super) fn set_anchor(&mut self, anchor: Option<Nanos>) {
        match self {
            Belief::First(jumps) => jumps.anchor = anchor,
            Belief::Second(wild) => wild.anchor = anchor,
        }
    }

    /// Records that wait.
    pub(super) fn held(&self) -> Vec<HeldTick> {
        match self {
            Belief::First(jumps) => jumps.held().cloned().collect(),
            Belief::Second(_) => Vec::new(), // in a state of its own
        }
    }
}
