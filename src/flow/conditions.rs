//! Which part of a trade counts: some prints set no price, some add no volume.
//!
//! The rule belongs to the dataflow file, because it describes one vendor's codes. `MASK` = any bit of it is set,
//! `MASK & !MASK2` = and none of MASK2, `= CODE` = the whole value; the entries of a list are OR-ed.

use crate::market::Tick;

/// One entry of a list of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Any { mask: u64, none_of: u64 },
    Equals(u64),
}

impl Condition {
    /// Reads `MASK`, `MASK & !MASK2` or `= CODE`; numbers are decimal or `0x…`.
    ///
    /// ```
    /// use ticktide::flow::conditions::Condition;
    /// assert_eq!(Condition::parse("0x20 & !0x2000"), Some(Condition::Any { mask: 0x20, none_of: 0x2000 }));
    /// assert_eq!(Condition::parse("= 0x20100000"), Some(Condition::Equals(0x2010_0000)));
    /// assert_eq!(Condition::parse("late"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Condition> {
        if let Some(code) = text.trim().strip_prefix('=') {
            return number(code).map(Condition::Equals);
        }
        let (mask, none_of) = match text.split_once('&') {
            Some((mask, rest)) => (number(mask)?, number(rest.trim().strip_prefix('!')?)?),
            None => (number(text)?, 0),
        };
        (mask != 0).then_some(Condition::Any { mask, none_of })
    }

    fn holds(self, code: u64) -> bool {
        match self {
            Condition::Any { mask, none_of } => code & mask != 0 && code & none_of == 0,
            Condition::Equals(value) => code == value,
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Any { mask, none_of: 0 } => write!(f, "0x{mask:x}"),
            Condition::Any { mask, none_of } => write!(f, "0x{mask:x} & !0x{none_of:x}"),
            Condition::Equals(code) => write!(f, "= 0x{code:x}"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    // from_str_radix would take a sign
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Which trades set prices and which add volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The code is written in hexadecimal.
    pub hex: bool,
    pub no_price: Vec<Condition>,
    pub no_volume: Vec<Condition>,
}

/// What a trade does to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub price: bool,
    pub volume: bool,
}

impl Conditions {
    /// The parts of a trade that count. A code that is absent or no number meets no condition.
    ///
    /// ```
    /// use ticktide::flow::conditions::{Condition, Conditions};
    /// let rule = Conditions { hex: true, no_price: vec![Condition::Any { mask: 0x20, none_of: 0x2000 }], no_volume: vec![] };
    /// assert!(!rule.parts_of("20").price);
    /// assert!(rule.parts_of("2020").price);
    /// assert!(rule.parts_of("").price);
    /// ```
    pub fn parts_of(&self, text: &str) -> Parts {
        let text = text.trim();
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let code = u64::from_str_radix(digits, if self.hex || digits.len() != text.len() { 16 } else { 10 });
        let Ok(code) = code else { return Parts { price: true, volume: true } };
        let any = |list: &[Condition]| list.iter().any(|condition| condition.holds(code));
        Parts { price: !any(&self.no_price), volume: !any(&self.no_volume) }
    }

    /// [`Conditions::parts_of`] the tick's code.
    pub fn parts(&self, tick: &Tick) -> Parts {
        self.parts_of(tick.conditions.as_deref().unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mask_and_an_exception_are_met_bit_by_bit() {
        let rule = Condition::parse("0x50002E0 & !0x2000").expect("a rule");
        for (code, met) in [(0, false), (0x20, true), (0x200, true), (0x2020, false), (0x10, false), (u64::MAX, false)]
        {
            assert_eq!(rule.holds(code), met, "{code:x}");
        }
        assert!(Condition::Equals(0x20100000).holds(0x20100000) && !Condition::Equals(0x20100000).holds(0x20100001));
    }

    #[test]
    fn a_rule_that_can_never_be_met_or_read_is_refused() {
        for text in ["", "0", "0x", "=", "= ", "0x20 & 0x2000", "0x20 & !", "&", "-1", "+1", "0x20 | 1", "1e3", "= -1"]
        {
            assert_eq!(Condition::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_rule_written_and_read_again_is_the_same(mask in 1u64.., none_of: u64, code: u64) {
            for rule in [Condition::Any { mask, none_of }, Condition::Equals(code)] {
                prop_assert_eq!(Condition::parse(&rule.to_string()), Some(rule));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Condition::parse(&text);
        }
    }
}
