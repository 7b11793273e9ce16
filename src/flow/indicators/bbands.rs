//! Bollinger bands: the mean of the last n closes, and k standard deviations above and below it.
//!
//! The deviation is that of the population (divided by n), as TA-Lib has it. Why it is computed from the window in two passes:
//! a difference of running sums cancels where prices are large and quiet, and remembers what has left the window.

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "bbands",
    doc: "Bollinger bands: the mean of the last closes, k population standard deviations above and below it",
    parameters: &[
        Parameter::bars("period", 20, 2, 1_000, "closes in the window"),
        Parameter::real("k", 2.0, 0.1, 100.0, "standard deviations from the middle to a band"),
    ],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Bbands {
            period: parameters.count("period"),
            k: parameters.number("k"),
            name: format!("bbands_{}", parameters.suffix()),
        }))
    },
};

/// State: a window of closes.
struct Bbands {
    period: usize,
    k: f64,
    name: String,
}

impl Indicator for Bbands {
    fn width(&self) -> usize {
        window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        ["upper", "middle", "lower"].map(|band| format!("{}_{band}", self.name)).to_vec()
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out.fill(NULL);
        if let Some(closes) = window::push(state, bar.close) {
            let middle = window::mean(closes);
            let variance =
                closes.iter().map(|close| (close - middle) * (close - middle)).sum::<f64>() / closes.len() as f64;
            let reach = self.k * variance.sqrt();
            out[0] = middle + reach;
            out[1] = middle;
            out[2] = middle - reach;
        }
    }
}
