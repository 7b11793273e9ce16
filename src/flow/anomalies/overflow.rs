//! Overflow: a bar whose volume or turnover is too large for its column.
//!
//! The column is null then, never the greatest value that it could hold. Prices and quantities are bounded where they are
//! decoded, so only a bar of very many, or of senseless, trades overflows: hardly any value from such a feed is right.

use super::{BarCheck, BarFinding, Check, Level, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::indicators::BarInput;
use ticktide_base::time::Interval;

pub static SPEC: Spec = Spec {
    name: "overflow",
    doc: "a volume or turnover that is too large for its column, which is null then",
    level: Level::Bar,
    parameters: &[],
    build: |_| Ok(Check::Bar(Box::new(Overflow))),
};

struct Overflow;

impl BarCheck for Overflow {
    fn width(&self) -> usize {
        0
    }

    /// `observed` is an upper bound: the whole volume at the price that is furthest from 0.
    fn step(&self, _: &mut [f64], bar: &FinishedBar, _: Interval) -> Option<BarFinding> {
        let BarInput { high, low, volume, .. } = BarInput::of(bar);
        bar.overflows().then(|| BarFinding {
            started_at: bar.head.open_at,
            ended_at: None,
            severity: Severity::Critical,
            observed: if bar.volume.is_some() { high.abs().max(low.abs()) * volume } else { f64::NAN },
            expected: FinishedBar::TURNOVER_MOST,
        })
    }
}
