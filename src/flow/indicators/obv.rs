//! OBV: on-balance volume, the volume of rising closes less that of falling ones, since the anchor; the first bar's volume
//! counts (TA-Lib).

use super::{Anchor, BarInput, Indicator, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "obv",
    doc: "on-balance volume: the volume of rising closes less that of falling ones, since the start of the session",
    parameters: &[],
    anchor: Some(Anchor::Session),
    build: |_: &Parameters| Ok(Box::new(Obv)),
};

/// State: whether a bar was seen, the last close, the balance.
struct Obv;

impl Indicator for Obv {
    fn width(&self) -> usize {
        3
    }

    fn outputs(&self) -> Vec<String> {
        vec!["obv".to_string()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, previous, balance] = state else { unreachable!("the width is 3") };
        if *seen == 0.0 || bar.close > *previous {
            *balance += bar.volume;
        } else if bar.close < *previous {
            *balance -= bar.volume;
        }
        *seen = 1.0;
        *previous = bar.close;
        out[0] = *balance;
    }
}
