//! ATR: Wilder's average of the true range, which is what a bar moved from the close before it; seeded with the mean of the
//! first n true ranges (TA-Lib).

use super::{Anchor, BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "atr",
    doc: "average true range: Wilder's average of how far bars reach from the close before them",
    parameters: &[Parameter::bars("period", 14, 1, 100_000, "true ranges in the seed and in the smoothing")],
    anchor: Some(Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let (period, name) = (parameters.number("period"), format!("atr_{}", parameters.suffix()));
        Ok(Box::new(Atr { period, keep: (period - 1.0) / period, name }))
    },
};

/// State: bars seen (at most n + 1), the last close, the average (or the sum of the seed).
struct Atr {
    period: f64,
    keep: f64,
    name: String,
}

impl Indicator for Atr {
    fn width(&self) -> usize {
        3
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, previous, average] = state else { unreachable!("the width is 3") };
        let range = true_range(bar, *previous);
        *previous = bar.close;
        out[0] = NULL;
        if *seen <= self.period {
            *seen += 1.0;
            if *seen > 1.0 {
                *average += range;
            }
            if *seen <= self.period {
                return;
            }
            *average /= self.period;
        } else {
            *average = self.keep.mul_add(*average, (1.0 - self.keep) * range);
        }
        out[0] = *average;
    }
}

/// The bar's range, the close before it included.
pub(super) fn true_range(bar: &BarInput, previous: f64) -> f64 {
    (bar.high - bar.low).max((previous - bar.high).abs()).max((previous - bar.low).abs())
}
