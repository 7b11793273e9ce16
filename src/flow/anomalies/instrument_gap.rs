//! Instrument gap: an active instrument that is silent for much longer than usual, inside a phase.
//!
//! Each instrument has its own usual wait: over its last `window` bars, the time they span by the records in them. A silence
//! lies between the end of one bar and the start of the next one of the same phase, which is at most two bars less than the
//! true silence. It is a gap when it exceeds `seconds`, `times` that wait, and five times the mean silence between those bars
//! (an instrument that trades in bursts waits long between them, however many records they hold). The bar that ends a gap
//! reports it: a silence that lasts has no bar yet, and a function of records alone cannot know of it. A late bar inside the
//! gap splits it or takes it back.

use super::window::{Window, session};
use super::{BarCheck, BarFinding, Check, Level, Severity, Spec};
use crate::bars::finished::FinishedBar;
use crate::parameters::{Parameter, Parameters};
use ticktide_base::time::{Interval, MICRO, SECOND};

pub static SPEC: Spec = Spec {
    name: "instrument_gap",
    doc: "no bar of an instrument for much longer than its records are usually apart, inside a phase",
    level: Level::Bar,
    parameters: &[
        Parameter::real("seconds", 60.0, 0.001, 86_400.0, "a shorter silence is no gap"),
        Parameter::real("times", 20.0, 1.0, 10_000.0, "how many times its usual wait"),
        Parameter::bars("window", 60, 5, 1_000, "bars that the usual wait is taken from"),
        Parameter::bars("warm_up", 10, 3, 1_000, "bars to see before anything is reported"),
    ],
    build: |parameters: &Parameters| {
        let (seconds, times) = (parameters.number("seconds"), parameters.number("times"));
        Ok(Check::Bar(Box::new(InstrumentGap { seconds, times, window: Window::of(parameters)? })))
    },
};

/// State: bars seen (at most n), trading date, phase + 1, end of the bar before (microseconds); then of the last n bars,
/// oldest first, records and seconds spanned.
struct InstrumentGap {
    seconds: f64,
    times: f64,
    window: Window,
}

const FIXED: usize = 4;
/// How many times the mean silence between bars is still ordinary.
const BURSTS: f64 = 5.0;

impl BarCheck for InstrumentGap {
    fn width(&self) -> usize {
        FIXED + 2 * self.window.size
    }

    fn step(&self, state: &mut [f64], bar: &FinishedBar, interval: Interval) -> Option<BarFinding> {
        let (fixed, window) = state.split_at_mut(FIXED);
        let (records, spans) = window.split_at_mut(self.window.size);
        let [seen, date, phase, end] = fixed else { unreachable!("split at their number") };
        // bars start and end at whole milliseconds: microseconds are exact in a double for 285 years
        let micros = |nanos: i64| (nanos / MICRO) as f64;
        let now = session(bar);
        let width = interval.0 as f64 / SECOND as f64;
        let silence = if (*date, *phase) == now { (micros(bar.head.open_at) - *end) / 1e6 } else { 0.0 };
        let sum = |values: &[f64]| self.window.filled(*seen, values).iter().sum::<f64>();
        let (said, spanned) = (sum(records), sum(spans));
        let mut longest = f64::INFINITY;
        if self.window.is_warm(*seen) {
            let between = spanned / *seen - width;
            longest = self.seconds.max(self.times * spanned / said).max(BURSTS * between);
        }
        let found = (silence > longest).then(|| BarFinding {
            started_at: *end as i64 * MICRO,
            ended_at: Some(bar.head.open_at),
            severity: Severity::beyond(silence, longest),
            observed: silence,
            expected: longest,
        });
        self.window.push(records, bar.updates.max(1) as f64);
        self.window.push(spans, width + silence.min(longest));
        self.window.count(seen);
        (*date, *phase, *end) = (now.0, now.1, micros(bar.head.open_at + interval.0));
        found
    }
}
