//! Feed gap: not one bar of a whole venue for too long inside a phase.
//!
//! A beat is a finished bar's start at which at least one instrument of the venue has a bar. The gap lies between two
//! neighbouring beats of the same phase; the later one reports it. Before the first and after the last beat of a
//! phase nothing is reported: a session declared wider than the market trades is no silence. The row's instrument is `*`.

use super::{Check, Level, Severity, Spec};
use crate::parameters::{Parameter, Parameters};
use ticktide_base::time::{Nanos, SECOND};

pub static SPEC: Spec = Spec {
    name: "feed_gap",
    doc: "no bar of any instrument of a venue for too long inside a phase; its row has the instrument *",
    level: Level::Feed,
    parameters: &[Parameter::real("seconds", 30.0, 0.001, 86_400.0, "silence that is still ordinary")],
    build: |parameters: &Parameters| Ok(Check::Feed(FeedGap { seconds: parameters.number("seconds") })),
};

/// The longest ordinary silence of a venue.
#[derive(Clone, Copy, Debug)]
pub struct FeedGap {
    seconds: f64,
}

impl FeedGap {
    /// Judges a silence; (severity, observed, expected), in seconds.
    pub fn judge(&self, from: Nanos, until: Nanos) -> Option<(Severity, f64, f64)> {
        let silence = until.saturating_sub(from) as f64 / SECOND as f64;
        (silence > self.seconds).then(|| (Severity::beyond(silence, self.seconds), silence, self.seconds))
    }
}
