//! MFI: the share of money that flowed at rising typical prices (high + low + close)/3 in all that flowed at changing ones,
//! over n changes, 0 to 100; 0 where nothing has flowed (TA-Lib).

use super::{BarInput, Indicator, NULL, Parameter, Parameters, Spec, window};

pub static SPEC: Spec = Spec {
    name: "mfi",
    doc: "money flow index: the share of price times volume at rising prices, over the last changes, 0 to 100",
    parameters: &[Parameter::bars("period", 14, 2, 1_000, "changes in the window")],
    anchor: None,
    build: |parameters: &Parameters| {
        Ok(Box::new(Mfi { period: parameters.count("period"), name: format!("mfi_{}", parameters.suffix()) }))
    },
};

/// State: whether a bar was seen, the last typical price, a window of flows, those of falling prices below 0.
struct Mfi {
    period: usize,
    name: String,
}

impl Indicator for Mfi {
    fn width(&self) -> usize {
        2 + window::width(self.period)
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        let [seen, previous, flows @ ..] = state else { unreachable!("the width is above 2") };
        let typical = (bar.high + bar.low + bar.close) / 3.0;
        let (change, size) = (typical - *previous, typical.abs() + previous.abs());
        *previous = typical;
        out[0] = NULL;
        if *seen == 0.0 {
            *seen = 1.0;
            return;
        }
        let flow = if window::is_flat(change, size) { 0.0 } else { change.signum() * typical.abs() * bar.volume };
        if let Some(flows) = window::push(flows, flow) {
            let rising: f64 = flows.iter().filter(|flow| **flow > 0.0).sum();
            let falling: f64 = flows.iter().filter(|flow| **flow < 0.0).map(|flow| -flow).sum();
            out[0] = if rising + falling > 0.0 { 100.0 * (rising / (rising + falling)) } else { 0.0 };
        }
    }
}
