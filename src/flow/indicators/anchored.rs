//! `anchor = "session"`: any indicator, started anew with every trading date.
//!
//! Why a wrapper: the arithmetic of an indicator then knows nothing of sessions, and TA-Lib, which knows none either, is its
//! oracle date by date. What must always hold: bars come in order, so dates never step back.

use super::{BarInput, Indicator};

/// State: the trading date, then the inner state.
pub(super) struct Anchored {
    inner: Box<dyn Indicator>,
}

impl Anchored {
    pub(super) fn new(inner: Box<dyn Indicator>) -> Anchored {
        Anchored { inner }
    }
}

impl Indicator for Anchored {
    fn width(&self) -> usize {
        1 + self.inner.width()
    }

    fn outputs(&self) -> Vec<String> {
        self.inner.outputs()
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let date = f64::from(bar.trading_date);
        // A fresh state carries date 0: starting anew or not gives the same zeros.
        if state[0] != date {
            state[1..].fill(0.0);
            state[0] = date;
        }
        self.inner.step(&mut state[1..], bar, out);
    }
}
