//! The rules by which the rows of an epoch were made.
//!
//! Why: what a record counts for has changed once, and older epochs must still give the same rows when they are computed again.
//! A lake changes its rules only at a takeover. What must always hold: an epoch that names no rules was made by the first.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The rules of an epoch; recorded as their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rules {
    /// Lateness by the epoch's horizons alone; a falling count adds nothing until it passes its greatest; the platform's `ln`.
    First,
    /// Lateness by the partition's own past; a count that stays lower goes on from there; one `ln` everywhere.
    #[default]
    Second,
}

impl Rules {
    /// The rules by which new epochs are made.
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

    /// The rules of an epoch that names none.
    pub(crate) fn unnamed() -> Rules {
        Rules::First
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.number())
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rules, D::Error> {
        let number = u32::deserialize(deserializer)?;
        Rules::of(number).ok_or_else(|| D::Error::custom(format!("rules {number} belong to a later version")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Binding;

    #[test]
    fn a_number_is_of_the_rules_that_have_it_and_of_no_others() {
        for rules in [Rules::First, Rules::Second] {
            assert_eq!(Rules::of(rules.number()), Some(rules));
        }
        assert_eq!([0, 3].map(Rules::of), [None, None]);
        assert_eq!(Rules::default(), Rules::NEWEST);
    }

    #[test]
    fn a_binding_that_names_no_rules_is_of_the_first_and_one_of_later_rules_is_refused() {
        let mut json = serde_json::to_value(Binding::default()).expect("plain values");
        assert_eq!((&json["lateness"], &json["wild_time"]), (&2.into(), &2.into()));
        json["lateness"] = 3.into();
        assert!(serde_json::from_value::<Binding>(json.clone()).is_err());
        let fields = json.as_object_mut().expect("an object");
        fields.retain(|name, _| !["lateness", "wild_time", "lake_time", "retired_by"].contains(&name.as_str()));
        assert_eq!(serde_json::from_value::<Binding>(json).expect("one of before").lateness, Rules::First);
    }
}
