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
    fn holds(self, code: u64) -> bool {
        match self {
            Condition::Any { mask, none_of } => code & mask != 0 && code & none_of == 0,
            Condition::Equals(value) => code == value,
        }
    }
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
