//! WMA: the mean of the last n closes with weights 1 to n, the last close the heaviest.

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "wma",
    doc: "weighted moving average: the last closes with weights that grow by one",
    parameters: &[Parameter::bars("period", 30, 1, 1_000, "closes in the window")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Wma { period: parameters.count("period"), name: format!("wma_{}", parameters.suffix()) }))
    },
};

/// State: a window of closes.
struct Wma {
    period: usize,
    name: String,
}

impl Indicator for Wma {
    fn width(&self) -> usize {
        window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = window::push(state, bar.close).map_or(NULL, |closes| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for close in closes {
                weight += 1.0;
                sum += weight * close;
            }
            sum / (weight * (weight + 1.0) / 2.0)
        });
    }
}
