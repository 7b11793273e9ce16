//! ADX: how strongly a market has a direction, up or down: Wilder's average of DX = 100·|+DI − −DI|/(+DI + −DI), where +DI and
//! −DI are the shares of upward and downward movement in the true range.
//!
//! The seeds are TA-Lib's: sums of n − 1 movements, then s − s/n + movement; the first ADX is the mean of n DX. Without any
//! movement the ADX stays what it was.

use super::atr::true_range;
use super::{Anchor, BarInput, Indicator, NULL, Parameter, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "adx",
    doc: "average directional index: how strongly prices have a direction, 0 to 100, and the shares of up and down in it",
    parameters: &[Parameter::bars("period", 14, 2, 100_000, "movements in the sums and in the average")],
    anchor: Some(Anchor::Unanchored),
    build: |parameters: &Parameters| {
        Ok(Box::new(Adx { period: parameters.number("period"), name: format!("adx_{}", parameters.suffix()) }))
    },
};

/// State: bars seen (at most 2n + 1), the last high, low and close, sums of upward and downward movement and of true range, the
/// average (or the sum of its seed).
struct Adx {
    period: f64,
    name: String,
}

impl Indicator for Adx {
    fn width(&self) -> usize {
        8
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone(), format!("{}_plus_di", self.name), format!("{}_minus_di", self.name)]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, high, low, close, up, down, range, average] = state else { unreachable!("the width is 8") };
        let (rise, fall, reach) = (bar.high - *high, *low - bar.low, true_range(bar, *close));
        (*high, *low, *close) = (bar.high, bar.low, bar.close);
        out.fill(NULL);
        let seed = 2.0 * self.period;
        if *seen <= seed {
            *seen += 1.0;
        }
        if *seen == 1.0 {
            return;
        }
        let share = 1.0 / self.period;
        if *seen > self.period {
            *up -= *up * share;
            *down -= *down * share;
            *range -= *range * share;
        }
        *up += if rise > 0.0 && rise > fall { rise } else { 0.0 };
        *down += if fall > 0.0 && fall > rise { fall } else { 0.0 };
        *range += reach;
        if *seen <= self.period {
            return;
        }
        let percent = |sum: f64| if *range > 0.0 { 100.0 * (sum / *range) } else { 0.0 };
        let (plus, minus) = (percent(*up), percent(*down));
        out[1] = plus;
        out[2] = minus;
        let total = minus + plus;
        let moved = total >= 1e-14;
        let strength = if moved { 100.0 * ((minus - plus).abs() / total) } else { 0.0 };
        if *seen <= seed {
            *average += strength;
            if *seen < seed {
                return;
            }
            *average *= share;
        } else if moved {
            *average -= (*average - strength) * share;
        }
        out[0] = *average;
    }
}
