//! TEMA: 3·e₁ − 3·e₂ + e₃, each the exponential average of the one before: it lags less than any of them.
//! Each average is seeded with the mean of its first n values (TA-Lib).

use super::ema::ExponentialAverage;
use super::{Anchor, BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "tema",
    doc: "triple exponential moving average: three averages of averages, their lags taken out",
    parameters: &[Parameter::bars("period", 30, 1, 100_000, "values in the seed of each average")],
    anchor: Some(Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let line = ExponentialAverage::new(parameters.count("period"));
        Ok(Box::new(Tema { line, name: format!("tema_{}", parameters.suffix()) }))
    },
};

/// State: values seen and average, of each average.
struct Tema {
    line: ExponentialAverage,
    name: String,
}

impl Indicator for Tema {
    fn width(&self) -> usize {
        6
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [first_seen, first, second_seen, second, third_seen, third] = state else { unreachable!("the width is 6") };
        out[0] = NULL;
        let Some(first) = self.line.step(first_seen, first, bar.close) else { return };
        let Some(second) = self.line.step(second_seen, second, first) else { return };
        let Some(third) = self.line.step(third_seen, third, second) else { return };
        out[0] = third + (3.0 * first - 3.0 * second);
    }
}
