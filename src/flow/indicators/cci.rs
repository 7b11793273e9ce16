//! CCI: how far the typical price (high + low + close)/3 is from its mean over n bars, in units of 0.015 mean absolute
//! deviations; 0 where nothing has moved (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "cci",
    doc: "commodity channel index: the typical price less its mean, in units of 0.015 mean absolute deviations",
    parameters: &[Parameter::bars("period", 14, 2, 1_000, "typical prices in the window")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Cci { period: parameters.count("period"), name: format!("cci_{}", parameters.suffix()) }))
    },
};

/// State: a window of typical prices.
struct Cci {
    period: usize,
    name: String,
}

impl Indicator for Cci {
    fn width(&self) -> usize {
        window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let typical = (bar.high + bar.low + bar.close) / 3.0;
        out[0] = window::push(state, typical).map_or(NULL, |prices| {
            let mean = window::mean(prices);
            let deviation = prices.iter().map(|price| (price - mean).abs()).sum::<f64>() / prices.len() as f64;
            let flat = window::is_flat(typical - mean, mean.abs()) || window::is_flat(deviation, mean.abs());
            if flat { 0.0 } else { (typical - mean) / (0.015 * deviation) }
        });
    }
}
