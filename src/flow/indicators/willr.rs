//! Williams %R: how far the close is below the highest high of the last n bars, in hundredths of their range, −100 to 0; 0
//! where nothing has moved (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "willr",
    doc: "Williams %R: how far the close is below the highest high, of the range of the last bars, -100 to 0",
    parameters: &[Parameter::bars("period", 14, 2, 1_000, "bars of the lows and highs")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Willr { period: parameters.count("period"), name: format!("willr_{}", parameters.suffix()) }))
    },
};

/// State: windows of highs and lows.
struct Willr {
    period: usize,
    name: String,
}

impl Indicator for Willr {
    fn width(&self) -> usize {
        2 * window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = NULL;
        let (highs, lows) = state.split_at_mut(window::width(self.period));
        let highs = window::push(highs, bar.high);
        let (Some(highs), Some(lows)) = (highs, window::push(lows, bar.low)) else { return };
        let (high, low) = (window::highest(highs), window::lowest(lows));
        let flat = window::is_flat(high - low, high.abs() + low.abs());
        out[0] = if flat { 0.0 } else { ((high - bar.close) / (high - low) * -100.0).clamp(-100.0, 0.0) };
    }
}
