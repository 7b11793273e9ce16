//! Return z-score: a bar whose prices go much further from the last good close than the instrument's bars usually do.
//!
//! The return is ln(p / reference), p being the bar's high or low, whichever is further: a bad print in the middle of a bar is
//! seen, not only one that happens to be the last. The reference is the close of the bar before it; the first bar of a
//! trading date or phase is measured from its own open, so that a night's gap is no anomaly.
//!
//! The scale is robust and knows nothing of the bar it judges: the greatest of 1.4826 · median |r|, √(π/2) · mean |r| and
//! `floor`, over the last `window` returns before it (half of a quiet name's returns are 0, and its median with them: hence
//! the mean). A return that is found odd enters the window cut to the bound, so that one spike does not blind the check and a
//! new regime is learnt. A scale of fewer than 30 returns is widened by √(30 / n).
//!
//! Why ticktide's own logarithm: those of two platforms' C libraries may differ in the last bit, and then the findings differ.
//! The first rules took the platform's.
//!
//! A spike and its reversal are one anomaly: after an odd bar the next one is measured from the last good close and from the
//! odd one, and the nearer counts. So is a jump to a new level. An excursion of several bars is two: its way out and back.

use super::window::{Window, session};
use super::{BarCheck, BarFinding, Check, Level, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::indicators::BarInput;
use crate::parameters::{Parameter, Parameters};
use ticktide_base::rules::Rules;
use ticktide_base::time::Interval;

pub static SPEC: Spec = Spec {
    name: "return_z",
    doc: "a bar whose high or low is more than z robust deviations of the instrument's own returns from the last good close",
    level: Level::Bar,
    parameters: &[
        Parameter::real("z", 6.0, 1.0, 1_000.0, "deviations that are still ordinary"),
        Parameter::bars("window", 60, 5, 1_000, "returns that the scale is taken from"),
        Parameter::bars("warm_up", 10, 3, 1_000, "returns to see before anything is reported"),
        Parameter::real("floor", 0.0005, 0.0, 1.0, "the least scale: half a price step or so, as a return"),
    ],
    build: |parameters: &Parameters| {
        let (z, floor) = (parameters.number("z"), parameters.number("floor"));
        Ok(Check::Bar(Box::new(ReturnZ { z, window: Window::of(parameters)?, floor, ln: libm::log })))
    },
};

/// With this many returns a scale is taken as it is.
const SETTLED: f64 = 30.0;
/// Makes a median of magnitudes the deviation of a normal distribution.
const BY_MEDIAN: f64 = 1.4826;
/// √(π/2) makes a mean of magnitudes one.
const BY_MEAN: f64 = 1.253_314_137_315_500_3;

/// State: returns seen (at most n), the last good close, the close of an odd bar after it, trading date, phase + 1; then the
/// magnitudes of the last n returns, oldest first.
struct ReturnZ {
    z: f64,
    window: Window,
    floor: f64,
    ln: fn(f64) -> f64,
}

const FIXED: usize = 5;

impl ReturnZ {
    /// The deviation of the returns in the window.
    fn scale(&self, magnitudes: &[f64]) -> f64 {
        let n = magnitudes.len() as f64;
        let mut sorted = magnitudes.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        let mean = magnitudes.iter().sum::<f64>() / n;
        (BY_MEDIAN * median).max(BY_MEAN * mean).max(self.floor) * (SETTLED / n).sqrt().max(1.0)
    }

    /// The return to the further of high and low; none where a price has no logarithm.
    fn furthest(&self, reference: f64, high: f64, low: f64) -> Option<f64> {
        if !(reference > 0.0 && low > 0.0) {
            return None;
        }
        let (up, down) = ((self.ln)(high / reference), (self.ln)(low / reference));
        Some(if down.abs() > up.abs() { down } else { up })
    }
}

impl BarCheck for ReturnZ {
    fn go_by(&mut self, rules: Rules) {
        self.ln = match rules {
            Rules::First => f64::ln,
            Rules::Second => libm::log,
        };
    }

    fn width(&self) -> usize {
        FIXED + self.window.size
    }

    fn step(&self, state: &mut [f64], bar: &FinishedBar, _: Interval) -> Option<BarFinding> {
        let (fixed, window) = state.split_at_mut(FIXED);
        let [seen, good, odd, date, phase] = fixed else { unreachable!("split at their number") };
        let input = BarInput::of(bar);
        let now = session(bar);
        if (*date, *phase) != now {
            (*date, *phase, *good, *odd) = (now.0, now.1, input.open, 0.0);
        }
        let from_odd = if *odd > 0.0 { self.furthest(*odd, input.high, input.low) } else { None };
        let from_good = self.furthest(*good, input.high, input.low);
        if let (Some(by_odd), Some(by_good)) = (from_odd, from_good)
            && by_odd.abs() < by_good.abs()
        {
            *good = *odd;
        }
        *odd = 0.0;
        let Some(found) = self.furthest(*good, input.high, input.low) else {
            *good = input.close;
            return None;
        };
        let magnitude = found.abs();
        let judged = self.window.is_warm(*seen);
        let bound = if judged { self.z * self.scale(self.window.filled(*seen, window)) } else { f64::INFINITY };
        self.window.push(window, magnitude.min(bound));
        self.window.count(seen);
        if magnitude <= bound {
            *good = input.close;
            return None;
        }
        *odd = input.close;
        Some(BarFinding {
            started_at: bar.head.open_at,
            ended_at: None,
            severity: Severity::beyond(magnitude, bound),
            observed: found,
            expected: bound.copysign(found),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(rules: Rules) -> ReturnZ {
        let window = Window::of(
            &crate::parameters::read("check", "return_z", SPEC.parameters, &[], &Default::default()).expect("defaults"),
        );
        let mut check = ReturnZ { z: 6.0, window: window.expect("defaults"), floor: 0.0005, ln: |_| f64::NAN };
        check.go_by(rules);
        check
    }

    #[test]
    fn the_first_rules_take_the_platforms_logarithm_and_the_second_ones_have_the_same_bits_everywhere() {
        let (first, second) = (by(Rules::First), by(Rules::Second));
        let mut bits = 0u64;
        for step in 1..=20_000 {
            let price = 1.0 + f64::from(step) / 32_768.0;
            let said = |check: &ReturnZ| check.furthest(1.0, price, price).expect("prices above 0");
            assert_eq!(said(&first).to_bits(), price.ln().to_bits());
            bits = bits.rotate_left(7) ^ said(&second).to_bits();
            assert!((said(&second) - price.ln()).abs() <= f64::EPSILON, "{price}");
        }
        assert_eq!(bits, BITS);
    }

    /// Of the 20,000 logarithms by FreeBSD's `e_log.c`, computed in another language: no version of libm may change them.
    const BITS: u64 = 0x9c39_4d50_758b_72cd;
}
