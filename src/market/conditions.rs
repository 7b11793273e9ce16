//! Which trades set prices and which add volume, by the codes that a tape prints beside them.
//!
//! Why two answers: a late report or an average-price trade belongs to the day's volume but must not move the last price;
//! an official close sets a price whose volume was counted before. What must always hold: without a rule a trade does both.

/// One entry of `no_price` or `no_volume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Any bit of `mask` is set and none of `none_of`.
    Any { mask: u64, none_of: u64 },
    /// The whole code is this value.
    Equals(u64),
}

impl Condition {
    /// Reads `MASK`, `MASK & !MASK2` or `= CODE`; numbers are decimal or `0x…`.
    ///
    /// ```
    /// use ticktide_market::conditions::Condition;
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

    /// Whether a trade's code meets it.
    #[inline]
    pub fn holds(self, code: u64) -> bool {
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

/// The rules of a dataflow's `conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionsSpec {
    /// The record's field that holds the code.
    pub field: String,
    /// Whether the field's text is hexadecimal, with or without `0x`.
    pub hex: bool,
    pub no_price: Vec<Condition>,
    pub no_volume: Vec<Condition>,
    /// The record's field that says whether the vendor doubts the trade: such a trade sets no price.
    pub suspicious: Option<String>,
}

/// What a trade does to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeEffect {
    pub sets_price: bool,
    pub adds_volume: bool,
}

impl TradeEffect {
    pub const FULL: TradeEffect = TradeEffect { sets_price: true, adds_volume: true };
}

impl ConditionsSpec {
    /// The code in the field's text; `None` if that is not a number in the dataflow's base. Empty text is code 0.
    #[inline]
    pub fn code(&self, text: &str) -> Option<u64> {
        match text.trim() {
            "" => Some(0),
            text if !self.hex || text.starts_with("0x") || text.starts_with("0X") => number(text),
            text if text.starts_with(['+', '-']) => None,
            text => u64::from_str_radix(text, 16).ok(),
        }
    }

    /// What a trade with this code does to its bar.
    #[inline]
    pub fn effect(&self, code: u64, suspicious: bool) -> TradeEffect {
        let met = |rules: &[Condition]| rules.iter().any(|rule| rule.holds(code));
        TradeEffect { sets_price: !suspicious && !met(&self.no_price), adds_volume: !met(&self.no_volume) }
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

    #[test]
    fn a_code_is_read_in_the_base_of_the_dataflow() {
        let spec = |hex| ConditionsSpec {
            field: "c".into(),
            hex,
            no_price: vec![Condition::Equals(0x20)],
            no_volume: vec![Condition::Any { mask: 0x40, none_of: 0 }],
            suspicious: None,
        };
        assert_eq!((spec(true).code("20"), spec(false).code("20")), (Some(32), Some(20)));
        assert_eq!((spec(true).code("0x20"), spec(false).code("0x20")), (Some(32), Some(32)));
        assert_eq!((spec(true).code(""), spec(true).code("@ F"), spec(true).code("-1")), (Some(0), None, None));
        assert_eq!(spec(true).effect(0x20, false), TradeEffect { sets_price: false, adds_volume: true });
        assert_eq!(spec(true).effect(0x40, true), TradeEffect { sets_price: false, adds_volume: false });
        assert_eq!(spec(true).effect(0, false), TradeEffect::FULL);
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
