//! Indicators: what is computed from the finished bars of one instrument, in order.
//!
//! One file and two lines each: the file holds the arithmetic and its `SPEC`, the two lines are its `mod` and its row in
//! [`INDICATORS`]. `list`, validation and the generic tests (oracle, warm-up, any split) read that table.
//!
//! Why the state is a flat slice of doubles: all indicators of an interval share one accumulator, which is copied with one
//! `memcpy`, compared by bits and written to the lake's state as it is. What must always hold: a state never contains −0.0
//! or a NaN other than the canonical one, and `step` is a pure function. A state also holds nothing that counts bars without
//! end (a counter saturates, a window is shifted, never a ring with a running index): a correction of an old bar is over as
//! soon as the states before and after it are equal again, and such a number would keep them apart forever.
//!
//! Definitions and seeding are those of TA-Lib 0.8, multiply-adds included.

mod adx;
mod anchored;
mod atr;
mod bbands;
mod cci;
mod composite;
mod crossover;
mod dema;
mod ema;
mod macd;
mod mfi;
mod mom;
mod obv;
pub mod readings;
mod registry;
mod roc;
mod rsi;
#[cfg(test)]
mod samples;
mod sma;
mod stoch;
mod tema;
#[cfg(test)]
mod tests;
mod vwap;
mod willr;
mod window;
mod wma;

use crate::bars::finished::FinishedBar;
pub use composite::{Accumulator, Composite, canonical};
pub use registry::{Anchor, COLUMNS, Parameter, Parameters, Setting, SettingError, Spec, build};
use ticktide_base::registry::Family;
use ticktide_market::SCALE;

/// An indicator's value before its lookback: null in the lake, the canonical NaN here.
pub const NULL: f64 = f64::NAN;

/// Every indicator, in the order in which they are listed; a program may add its own.
pub static INDICATORS: Family<Spec> = Family::new(
    registry::FAMILY,
    &[
        &sma::SPEC, //
        &ema::SPEC,
        &rsi::SPEC,
        &macd::SPEC,
        &bbands::SPEC,
        &atr::SPEC,
        &vwap::SPEC,
        &obv::SPEC,
        &wma::SPEC,
        &dema::SPEC,
        &tema::SPEC,
        &adx::SPEC,
        &stoch::SPEC,
        &cci::SPEC,
        &willr::SPEC,
        &mfi::SPEC,
        &roc::SPEC,
        &mom::SPEC,
        &crossover::SPEC,
    ],
);

/// A finished bar as indicators see it: prices in the instrument's currency, the volume in shares or contracts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BarInput {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    /// 0 where the feed has no volume.
    pub volume: f64,
    /// Days since 1970; `anchor = "session"` starts anew when it changes.
    pub trading_date: i32,
}

impl BarInput {
    pub fn of(bar: &FinishedBar) -> BarInput {
        let price = |units: i64| units as f64 / SCALE as f64;
        BarInput {
            open: price(bar.open),
            high: price(bar.high),
            low: price(bar.low),
            close: price(bar.close),
            volume: bar.volume.unwrap_or(0) as f64 / SCALE as f64,
            trading_date: bar.head.trading_date,
        }
    }
}

/// A built indicator: parameters are inside.
///
/// What must hold: `step` depends on state and bar alone; the state counts nothing without end, since a correction ends where
/// the states before and after it are equal.
pub trait Indicator: Send + Sync {
    /// How many doubles its state takes; a fresh state is all zeros.
    fn width(&self) -> usize;
    /// Names of its outputs (`macd_12_26_9`, `macd_12_26_9_signal`, …), each a column: lower-case words with `_`, none of
    /// [`COLUMNS`], and different for different parameters.
    fn outputs(&self) -> Vec<String>;
    /// Takes the next bar: changes `state` (`width` doubles), fills `out` (one double per output, NaN = null).
    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]);
}
