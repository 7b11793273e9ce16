//! DEMA: 2·e₁ − e₂, where e₂ is the exponential average of the average e₁: it lags less than either.
//! Each average is seeded with the mean of its first n values (TA-Lib).

use super::ema::ExponentialAverage;
use super::{Anchor, BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "dema",
    doc: "double exponential moving average: twice the average less the average of the average",
    parameters: &[Parameter::bars("period", 30, 1, 100_000, "values in the seed of each average")],
    anchor: Some(Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let line = ExponentialAverage::new(parameters.count("period"));
        Ok(Box::new(Dema { line, name: format!("dema_{}", parameters.suffix()) }))
    },
};

/// State: values seen and average, of each average.
struct Dema {
    line: ExponentialAverage,
    name: String,
}

impl Indicator for Dema {
    fn width(&self) -> usize {
        4
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [first_seen, first, second_seen, second] = state else { unreachable!("the width is 4") };
        out[0] = NULL;
        let Some(first) = self.line.step(first_seen, first, bar.close) else { return };
        let Some(second) = self.line.step(second_seen, second, first) else { return };
        out[0] = 2.0 * first - second;
    }
}
