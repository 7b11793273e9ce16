//! MOM: the change of the close over n bars.

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "mom",
    doc: "momentum: the change of the close over some bars",
    parameters: &[Parameter::bars("period", 10, 1, 1_000, "bars from the one close to the other")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Mom { period: parameters.count("period"), name: format!("mom_{}", parameters.suffix()) }))
    },
};

/// State: a window of n + 1 closes.
struct Mom {
    period: usize,
    name: String,
}

impl Indicator for Mom {
    fn width(&self) -> usize {
        window::width(self.period + 1)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = window::push(state, bar.close).map_or(NULL, |closes| bar.close - closes[0]);
    }
}
