//! EMA: e = (1 − k)·e + k·close with k = 2/(n + 1), seeded with the mean of the first n closes (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "ema",
    doc: "exponential moving average of the closes, seeded with the mean of the first ones",
    parameters: &[Parameter::bars(
        "period",
        30,
        1,
        100_000,
        "closes in the seed; the weight of a close is 2/(period + 1)",
    )],
    anchor: Some(super::Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let line = ExponentialAverage::new(parameters.count("period"));
        Ok(Box::new(Ema { line, name: format!("ema_{}", parameters.suffix()) }))
    },
};

/// State: closes seen (at most n), the sum of the seed or the average.
struct Ema {
    line: ExponentialAverage,
    name: String,
}

impl Indicator for Ema {
    fn width(&self) -> usize {
        2
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, average] = state else { unreachable!("the width is 2") };
        out[0] = self.line.step(seen, average, bar.close).unwrap_or(NULL);
    }
}

/// One exponential average; other indicators are made of it (MACD of three).
pub(super) struct ExponentialAverage {
    period: f64,
    weight: f64,
    keep: f64,
}

impl ExponentialAverage {
    pub(super) fn new(period: usize) -> ExponentialAverage {
        // As TA-Lib: the two sum to exactly 1.
        let period = period as f64;
        let mut keep = (period - 1.0) / (period + 1.0);
        let weight = 1.0 - keep;
        if keep < 0.5 {
            keep = 1.0 - weight;
        }
        ExponentialAverage { period, weight, keep }
    }

    /// Takes a value; the average from the nth value on. `seen` counts to n, `average` is a sum until then.
    pub(super) fn step(&self, seen: &mut f64, average: &mut f64, value: f64) -> Option<f64> {
        if *seen < self.period {
            *seen += 1.0;
            *average += value;
            if *seen < self.period {
                return None;
            }
            *average /= self.period;
        } else {
            *average = self.keep.mul_add(*average, self.weight * value);
        }
        Some(*average)
    }
}
