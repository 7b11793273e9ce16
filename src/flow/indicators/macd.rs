//! MACD: the fast less the slow exponential average, its own exponential average (signal) and their difference (histogram).
//!
//! The seeds are TA-Lib's: both averages give their first value on the slow one's last seed bar, so the fast one's seed starts
//! slow − fast bars late; all three outputs start together, with the signal.

use super::ema::ExponentialAverage;
use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "macd",
    doc: "moving average convergence divergence: fast less slow average, its signal line and the histogram between them",
    parameters: &[
        Parameter::bars("fast", 12, 2, 100_000, "period of the fast average"),
        Parameter::bars("slow", 26, 2, 100_000, "period of the slow average"),
        Parameter::bars("signal", 9, 1, 100_000, "period of the signal line"),
    ],
    anchor: Some(super::Anchor::Unanchored),
    build: |parameters: &Parameters| {
        let (fast, slow) = (parameters.count("fast"), parameters.count("slow"));
        if fast >= slow {
            return Err(format!("fast {fast} is not below slow {slow}"));
        }
        Ok(Box::new(Macd {
            wait: (slow - fast) as f64,
            fast: ExponentialAverage::new(fast),
            slow: ExponentialAverage::new(slow),
            signal: ExponentialAverage::new(parameters.count("signal")),
            name: format!("macd_{}", parameters.suffix()),
        }))
    },
};

/// State: closes that the fast average has let pass, then values seen and average of fast, slow and signal.
struct Macd {
    wait: f64,
    fast: ExponentialAverage,
    slow: ExponentialAverage,
    signal: ExponentialAverage,
    name: String,
}

impl Indicator for Macd {
    fn width(&self) -> usize {
        7
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone(), format!("{}_signal", self.name), format!("{}_histogram", self.name)]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [passed, fast_seen, fast, slow_seen, slow, signal_seen, signal] = state else {
            unreachable!("the width is 7")
        };
        out.fill(NULL);
        let slow = self.slow.step(slow_seen, slow, bar.close);
        if *passed < self.wait {
            *passed += 1.0;
            return;
        }
        let fast = self.fast.step(fast_seen, fast, bar.close);
        let (Some(fast), Some(slow)) = (fast, slow) else { return };
        let line = fast - slow;
        if let Some(signal) = self.signal.step(signal_seen, signal, line) {
            out[0] = line;
            out[1] = signal;
            out[2] = line - signal;
        }
    }
}
