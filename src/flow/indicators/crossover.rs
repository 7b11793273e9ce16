//! Crossovers of two exponential averages: 1 where the fast one rises above the slow one, −1 where it falls below, 0
//! otherwise.
//!
//! e(w) = e(w−1) + 2/(n + 1)·(close − e(w−1)), bar by bar; a stretch without a bar changes nothing. It is the query of the DEBS
//! 2022 challenge (38 and 100 windows of five minutes), whose sources differ in the start, so it is a parameter: `zero` is
//! what its programs do (both averages are 0 before the first bar, which therefore crosses upwards), `first` what its paper
//! says (both are the first close). The seed of `ema` is a third one, a mean, and would give nothing for a hundred bars.
//!
//! Why in this form and not (1 − k)·e + k·close: where the price stands still, an average that has reached it stays there to
//! the last bit, so rounding makes no crossings.

use super::{Anchor, BarInput, Indicator, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "crossover",
    doc: "crossovers of two exponential averages: 1 where the fast one rises above the slow one, -1 below, 0 otherwise; and both",
    parameters: &[
        Parameter::bars("fast", 38, 1, 100_000, "period of the fast average"),
        Parameter::bars("slow", 100, 2, 100_000, "period of the slow average"),
        Parameter::word("start", STARTS, "the averages before the first bar: 0, or its close"),
    ],
    anchor: Some(Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let (fast, slow) = (parameters.number("fast"), parameters.number("slow"));
        if fast >= slow {
            return Err(format!("fast {fast} is not below slow {slow}"));
        }
        Ok(Box::new(Crossover {
            fast: 2.0 / (1.0 + fast),
            slow: 2.0 / (1.0 + slow),
            first: STARTS[parameters.count("start")] == "first",
            name: format!("crossover_{}", parameters.suffix()),
        }))
    },
};

const STARTS: &[&str] = &["zero", "first"];

/// State: whether a bar was seen, the fast and the slow average.
struct Crossover {
    fast: f64,
    slow: f64,
    first: bool,
    name: String,
}

impl Indicator for Crossover {
    fn width(&self) -> usize {
        3
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone(), format!("{}_fast", self.name), format!("{}_slow", self.name)]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, fast, slow] = state else { unreachable!("the width is 3") };
        if *seen == 0.0 && self.first {
            (*fast, *slow) = (bar.close, bar.close);
        }
        *seen = 1.0;
        let before = *fast - *slow;
        *fast += self.fast * (bar.close - *fast);
        *slow += self.slow * (bar.close - *slow);
        let now = *fast - *slow;
        let (rises, falls) = (before <= 0.0 && now > 0.0, before >= 0.0 && now < 0.0);
        out[0] = f64::from(i8::from(rises) - i8::from(falls));
        out[1] = *fast;
        out[2] = *slow;
    }
}
