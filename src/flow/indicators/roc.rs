//! ROC: the change of the close over n bars, in percent; 0 from a price of 0 (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "roc",
    doc: "rate of change: the change of the close over some bars, in percent",
    parameters: &[Parameter::bars("period", 10, 1, 1_000, "bars from the one close to the other")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Roc { period: parameters.count("period"), name: format!("roc_{}", parameters.suffix()) }))
    },
};

/// State: a window of n + 1 closes.
struct Roc {
    period: usize,
    name: String,
}

impl Indicator for Roc {
    fn width(&self) -> usize {
        window::width(self.period + 1)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = window::push(state, bar.close)
            .map_or(NULL, |closes| if closes[0] == 0.0 { 0.0 } else { (bar.close / closes[0] - 1.0) * 100.0 });
    }
}
