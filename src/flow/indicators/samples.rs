//! Change: the close less the close of the bar before.

use super::{BarInput, Indicator, NULL, Spec};

pub static SPEC: Spec = Spec {
    name: "change",
    doc: "the close less the close of the bar before",
    parameters: &[],
    anchor: None,
    build: |_| Ok(Box::new(Change)),
};

/// State: whether a bar was seen, its close.
struct Change;

impl Indicator for Change {
    fn width(&self) -> usize {
        2
    }

    fn outputs(&self) -> Vec<String> {
        vec!["change".into()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = if state[0] > 0.0 { bar.close - state[1] } else { NULL };
        state.copy_from_slice(&[1.0, bar.close]);
    }
}
