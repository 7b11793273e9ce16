//! SMA: the mean of the last n closes.
//!
//! Why no running sum, as TA-Lib has: what was added and taken away again leaves its rounding behind, so the state would
//! remember every bar for ever and a corrected bar would change all later values in the last digit. Here the window is
//! summed anew, oldest first: n additions a bar, and after n bars a correction is over.

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "sma",
    doc: "simple moving average: the mean of the last closes",
    parameters: &[Parameter::bars("period", 30, 1, 1_000, "closes in the window")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Sma { period: parameters.count("period"), name: format!("sma_{}", parameters.suffix()) }))
    },
};

/// State: closes seen (at most n), then the last n closes, oldest first.
struct Sma {
    period: usize,
    name: String,
}

impl Indicator for Sma {
    fn width(&self) -> usize {
        1 + self.period
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let n = self.period as f64;
        let (seen, window) = state.split_first_mut().expect("the width is above 0");
        window.copy_within(1.., 0);
        window[self.period - 1] = bar.close;
        if *seen < n {
            *seen += 1.0;
        }
        out[0] = if *seen == n { window.iter().sum::<f64>() / n } else { NULL };
    }
}
