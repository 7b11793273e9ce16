//! VWAP of bars: Σ(typical price·volume)/Σ(volume) with the typical price (high + low + close)/3, since the anchor.
//!
//! Null while nothing has traded: TA-Lib gives 0 there, which is a price.

use super::{Anchor, BarInput, Indicator, NULL, Parameters, Spec};

pub static SPEC: Spec = Spec {
    name: "vwap",
    doc: "volume-weighted average of the typical price (high + low + close)/3, since the start of the session",
    parameters: &[],
    anchor: Some(Anchor::Session),
    build: |_: &Parameters| Ok(Box::new(Vwap)),
};

/// State: Σ(price·volume), Σ(volume).
struct Vwap;

impl Indicator for Vwap {
    fn width(&self) -> usize {
        2
    }

    fn outputs(&self) -> Vec<String> {
        vec!["vwap".to_string()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [money, volume] = state else { unreachable!("the width is 2") };
        let typical = (bar.high + bar.low + bar.close) / 3.0;
        *money += typical * bar.volume;
        *volume += bar.volume;
        out[0] = if *volume > 0.0 { *money / *volume } else { NULL };
    }
}
