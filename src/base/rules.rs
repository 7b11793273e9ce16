//! By which rules the rows of an epoch were made.
//!
//! Why: what a record counts for has changed once, and the epochs of before must still come out the same when they are computed
//! again. A lake changes its rules at a takeover only. What must always hold: an epoch that names no rules is of the first.

use serde::{Deserialize, Serialize};

/// The rules of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rules {
    /// Lateness by the epoch's horizons alone; a count that falls adds nothing until it passes its greatest; the platform's `ln`.
    First,
    /// Lateness by the partition's own past; a count that stays fallen goes on from there; one `ln` everywhere.
    #[default]
    Second,
}

impl Rules {
    /// The rules that new epochs are made by.
    pub const NEWEST: Rules = Rules::Second;

    /// The number under which a binding records them.
    pub fn number(self) -> u32 {
        match self {
            Rules::First => 1,
            Rules::Second => 2,
        }
    }

    /// The rules of a recorded number; `None`: those of a later version.
    pub fn of(number: u32) -> Option<Rules> {
        [Rules::First, Rules::Second].into_iter().find(|rules| rules.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_the_rules_that_have_it_and_of_no_others() {
        for rules in [Rules::First, Rules::Second] {
            assert_eq!(Rules::of(rules.number()), Some(rules));
        }
        assert_eq!([0, 3].map(Rules::of), [None, None]);
        assert_eq!(Rules::default(), Rules::NEWEST);
    }
}
