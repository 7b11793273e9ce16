//! Overflow: a bar whose volume or turnover is too great to be told.
//!
//! Its column is null then, never the greatest that it could hold. Prices and quantities are bounded where they are decoded, so that
//! only a bar of very many, or of senseless, trades gets there: hardly any reading of such a feed is right.

use super::{BarCheck, Check, Found, Level, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::indicators::BarInput;
use ticktide_base::time::Interval;

pub static SPEC: Spec = Spec {
    name: "overflow",
    doc: "a volume or a turnover that is too great to be told, and null for that",
    level: Level::Bar,
    parameters: &[],
    build: |_| Ok(Check::Bar(Box::new(Overflow))),
};

struct Overflow;

impl BarCheck for Overflow {
    fn width(&self) -> usize {
        0
    }

    /// What is observed is at most so much: the whole volume at the price that is furthest from 0.
    fn step(&self, _: &mut [f64], bar: &FinishedBar, _: Interval) -> Option<Found> {
        let BarInput { high, low, volume, .. } = BarInput::of(bar);
        bar.overflows().then(|| Found {
            started_at: bar.head.open_at,
            ended_at: None,
            severity: Severity::Critical,
            observed: if bar.volume.is_some() { high.abs().max(low.abs()) * volume } else { f64::NAN },
            expected: FinishedBar::TURNOVER_MOST,
        })
    }
}
