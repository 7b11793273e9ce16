//! Stochastic oscillator: where the close lies between the lowest low and the highest high of the last bars, 0 to 100, as the
//! mean of the last few (k) and the mean of that (d); 0 where nothing has moved (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "stoch",
    doc: "stochastic oscillator: the close between the lowest low and the highest high, smoothed (k) and smoothed again (d)",
    parameters: &[
        Parameter::bars("period", 5, 1, 1_000, "bars of the lows and highs"),
        Parameter::bars("k", 3, 1, 1_000, "values in the mean that makes k"),
        Parameter::bars("d", 3, 1, 1_000, "values of k in the mean that makes d"),
    ],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Stoch {
            period: parameters.count("period"),
            k: parameters.count("k"),
            d: parameters.count("d"),
            name: format!("stoch_{}", parameters.suffix()),
        }))
    },
};

/// State: windows of highs, lows, positions and k.
struct Stoch {
    period: usize,
    k: usize,
    d: usize,
    name: String,
}

impl Indicator for Stoch {
    fn width(&self) -> usize {
        2 * window::width(self.period) + window::width(self.k) + window::width(self.d)
    }

    fn outputs(&self) -> Vec<String> {
        ["k", "d"].map(|line| format!("{}_{line}", self.name)).to_vec()
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out.fill(NULL);
        let (highs, state) = state.split_at_mut(window::width(self.period));
        let (lows, state) = state.split_at_mut(window::width(self.period));
        let (positions, slow) = state.split_at_mut(window::width(self.k));
        let highs = window::push(highs, bar.high);
        let (Some(highs), Some(lows)) = (highs, window::push(lows, bar.low)) else { return };
        let (high, low) = (window::highest(highs), window::lowest(lows));
        let flat = window::is_flat(high - low, high.abs() + low.abs());
        let position = if flat { 0.0 } else { (bar.close - low) / (high - low) * 100.0 };
        let Some(k) = window::push(positions, position).map(window::mean) else { return };
        let Some(d) = window::push(slow, k).map(window::mean) else { return };
        out[0] = k;
        out[1] = d;
    }
}
