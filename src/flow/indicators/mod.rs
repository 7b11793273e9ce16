//! Indicators: what is read off the finished bars of one instrument, in order.
//!
//! One file and two lines each: the file holds the arithmetic and its `SPEC`, the two lines are its `mod` and its row in
//! [`INDICATORS`]. `list`, validation and the generic tests (oracle, warm-up, any split) read that table.
//!
//! Why the state is a flat slice of doubles: all indicators of an interval share one accumulator, which is copied with one
//! `memcpy`, compared by bits and written to the lake's state as it is. What must always hold: a state never contains −0.0
//! or a NaN other than the canonical one, and `step` is a pure function.

/// A finished bar as indicators see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BarInput {
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    pub volume: f64,
    /// Days since 1970; `anchor = "session"` starts anew when it changes.
    pub trading_date: i32,
}

/// A built indicator: parameters are inside.
pub trait Indicator: Send + Sync {
    /// How many doubles its state takes; a fresh state is all zeros.
    fn width(&self) -> usize;
    /// Names of its outputs (`macd_12_26_9`, `macd_12_26_9_signal`, …).
    fn outputs(&self) -> Vec<String>;
    /// Takes the next bar: changes `state` (`width` doubles), fills `out` (one double per output, NaN = null).
    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]);
}
