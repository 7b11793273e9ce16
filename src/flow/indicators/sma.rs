//! SMA: the mean of the last n closes.
//!
//! Why no running sum, as TA-Lib has: what was added and taken away again leaves its rounding behind, so the state would
//! remember every bar forever, and a corrected bar would change all later values in the last digit. Here the window is
//! summed anew, oldest first: n additions a bar, and after n bars a correction is over.

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "sma",
    doc: "simple moving average: the mean of the last closes",
    parameters: &[Parameter::bars("period", 30, 1, 1_000, "closes in the window")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Sma { period: parameters.count("period"), name: format!("sma_{}", parameters.suffix()) }))
    },
};

/// State: a window of closes.
struct Sma {
    period: usize,
    name: String,
}

impl Indicator for Sma {
    fn width(&self) -> usize {
        window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = window::push(state, bar.close).map_or(NULL, window::mean);
    }
}
