//! The bookkeeping of interruptions: from when until when frames may be missing.
//!
//! ```text
//!   start ─(open: nobody knows since when)─▶ standing ─lost─▶ (open since the last sign of life) ─established─▶ standing ─▶ stop
//!                                              │ closes: a record                                  closes: a record   │
//!                                              ▼                                                                      ▼
//!                                        kind "start"                                        kind "interruption"   kind "stop"
//! ```
//!
//! Why a gap begins at the last sign of life and not at the loss: a connection may be dead for a minute before its loss is
//! noticed, and everything sent before the last packet has arrived. Why it lasts until all subscriptions are answered: until
//! then an instrument may be silent because it is not subscribed. Two losses without a standing connection between them are one
//! gap.

use serde::Serialize;
use ticktide_base::time::Nanos;

/// Why frames may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GapKind {
    /// The time before this process.
    Start,
    /// No connection, or not all subscriptions on it.
    Interruption,
    /// The socket was not read, because the sink took no frames: the vendor may have dropped what it could not send.
    Stall,
    /// Requested instruments that are not sent.
    Refused,
    /// The time after this process.
    Stop,
}

impl GapKind {
    /// Its word in records and figures.
    pub fn name(self) -> &'static str {
        match self {
            GapKind::Start => "start",
            GapKind::Interruption => "interruption",
            GapKind::Stall => "stall",
            GapKind::Refused => "refused",
            GapKind::Stop => "stop",
        }
    }
}

/// A stretch of time in which frames may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub kind: GapKind,
    /// Up to here nothing is missing; `None`: not known.
    pub from: Option<Nanos>,
    /// From here on nothing is missing; `None`: it lasts.
    pub until: Option<Nanos>,
    /// What went wrong first.
    pub reason: String,
    /// Connections lost and tries that failed meanwhile.
    pub failures: u32,
}

/// The gaps of one connection.
#[derive(Debug)]
pub struct Gaps {
    alive_at: Option<Nanos>,
    open: Option<Gap>,
}

impl Default for Gaps {
    fn default() -> Gaps {
        let reason = "the connector starts".to_owned();
        let start = Gap { kind: GapKind::Start, from: None, until: None, reason, failures: 0 };
        Gaps { alive_at: None, open: Some(start) }
    }
}

impl Gaps {
    /// Everything that was sent before a moment has arrived and was handed on.
    pub fn alive(&mut self, at: Nanos) {
        self.alive_at = self.alive_at.max(Some(at));
    }

    /// The connection is lost, or a try has failed.
    pub fn lost(&mut self, reason: &str) {
        let from = self.alive_at;
        let open = self.open.get_or_insert_with(|| Gap {
            kind: GapKind::Interruption,
            from,
            until: None,
            reason: reason.to_owned(),
            failures: 0,
        });
        open.failures += 1;
    }

    /// All subscriptions are answered; returns the gap that ends now, if one was open.
    pub fn established(&mut self, at: Nanos) -> Option<Gap> {
        self.alive(at);
        self.open.take().map(|gap| Gap { until: Some(at.max(gap.from.unwrap_or(at))), ..gap })
    }

    /// The connector ends; returns the gap that begins now, or the interruption that is still open.
    pub fn stopped(&mut self, at: Nanos) -> Gap {
        let from = self.alive_at.or(Some(at));
        self.open.take().filter(|gap| gap.kind == GapKind::Interruption).unwrap_or(Gap {
            kind: GapKind::Stop,
            from,
            until: None,
            reason: "the connector ends".to_owned(),
            failures: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_begins_with_the_last_sign_of_life_and_ends_when_all_is_subscribed() {
        let mut gaps = Gaps::default();
        let start = gaps.established(100).expect("nobody knows what was before");
        assert_eq!((start.kind, start.from, start.until), (GapKind::Start, None, Some(100)));
        assert_eq!(gaps.established(110), None);
        gaps.alive(150);
        gaps.alive(140); // a clock that was set back
        gaps.lost("reset by peer");
        gaps.lost("no route to host");
        let gap = gaps.established(300).expect("an interruption");
        let reason = "reset by peer".to_owned();
        let expected = Gap { kind: GapKind::Interruption, from: Some(150), until: Some(300), reason, failures: 2 };
        assert_eq!(gap, expected);
        assert_eq!((gaps.stopped(400).kind, gaps.stopped(400).from), (GapKind::Stop, Some(300)));
    }

    #[test]
    fn a_connector_that_ends_without_a_connection_leaves_its_gap_open() {
        let mut gaps = Gaps::default();
        gaps.established(1);
        gaps.lost("gone");
        let gap = gaps.stopped(9);
        assert_eq!((gap.kind, gap.from, gap.until), (GapKind::Interruption, Some(1), None));
    }

    proptest! {
        /// Whatever the connection does: a moment without a standing connection is in a gap, and gaps do not overlap.
        #[test]
        fn every_moment_without_a_connection_lies_in_a_gap(steps in proptest::collection::vec(0..3u8, 0..60)) {
            let (mut gaps, mut told, mut standing, mut down) = (Gaps::default(), Vec::new(), false, vec![0]);
            for (step, at) in steps.into_iter().zip(1..) {
                match step {
                    0 if standing => gaps.alive(at),
                    1 => { gaps.lost("lost"); standing = false; }
                    2 => { told.extend(gaps.established(at)); standing = true; }
                    _ => {}
                }
                if !standing {
                    down.push(at);
                }
            }
            told.push(gaps.stopped(100));
            let inside = |at: Nanos| told.iter().any(|gap| gap.from.is_none_or(|from| from <= at) && gap.until.is_none_or(|until| at < until));
            // a connector that never stood has only a start gap, which has not ended
            let stood = told.iter().any(|gap| gap.kind == GapKind::Start);
            prop_assert!(!stood || down.iter().all(|at| inside(*at)));
            prop_assert!(told.windows(2).all(|pair| pair[0].until <= pair[1].from.or(Some(100))));
        }
    }
}
