//! RSI: 100·g/(g + l) of Wilder's average gain and loss, seeded with the mean of the first n changes; 50 without movement
//! (TA-Lib 0.8).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "rsi",
    doc: "relative strength index: the share of gains in Wilder's averages of gains and losses, 0 to 100",
    parameters: &[Parameter::bars("period", 14, 2, 100_000, "changes in the seed and in the smoothing")],
    anchor: Some(super::Anchor::Unanchored),
    build: |parameters: &Parameters| {
        Ok(Box::new(Rsi { period: parameters.number("period"), name: format!("rsi_{}", parameters.suffix()) }))
    },
};

/// State: closes seen (at most n + 1), the last close, average (or summed) gain and loss.
struct Rsi {
    period: f64,
    name: String,
}

impl Indicator for Rsi {
    fn width(&self) -> usize {
        4
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, previous, gain, loss] = state else { unreachable!("the width is 4") };
        let change = bar.close - *previous;
        *previous = bar.close;
        out[0] = NULL;
        if *seen == 0.0 {
            *seen = 1.0;
            return;
        }
        let up = if change > 0.0 { change } else { 0.0 };
        let share = 1.0 / self.period;
        if *seen <= self.period {
            *gain += up;
            *loss += up - change;
            *seen += 1.0;
            if *seen <= self.period {
                return;
            }
        } else {
            *gain = *gain * (self.period - 1.0) + up;
            *loss = *loss * (self.period - 1.0) + (up - change);
        }
        *gain *= share;
        *loss *= share;
        let total = *gain + *loss;
        out[0] = if total > 0.0 { 100.0 * (*gain / total) } else { 50.0 };
    }
}
