//! What a connection works with: where its frames go, and what it remembers from one connection to the next.
//!
//! Why gaps are recorded here: whatever a client was doing when frames went missing, this module knows which frame was the
//! last. What must always hold: a gap is a line in the log and a record in the sink; instruments left out again after a
//! reconnect are reported once.

use super::clock::{moment, now};
use super::figures::Figures;
use super::gaps::{Gap, GapKind, Gaps};
use super::outlet::{Outlet, QueuedFrame};
use super::spec::{ConnectSpec, RequestedInstrument};
use super::trouble::Trouble;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::time::Nanos;
use tokio::time::Instant;

/// A longer wait for room is a gap.
const STALL: Duration = Duration::from_secs(5);
/// The key and the origin of gap records.
const GAP: &str = "gap";

/// What a connection works with.
pub struct ConnectorState {
    pub(super) spec: Arc<ConnectSpec>,
    pub(super) outlet: Outlet,
    pub(super) figures: Arc<Figures>,
    pub(super) gaps: Gaps,
    /// Since when all subscriptions stand.
    pub(super) stands_since: Option<Instant>,
    pub(super) stood_ever: bool,
    /// As last reported.
    pub(super) left_out: Vec<LeftOut>,
}

/// Instruments of which no frame will come, or fewer than requested, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The predicate: it follows "2 of 7 instruments".
    pub why: String,
    pub hint: &'static str,
    /// Each once.
    pub instruments: Vec<String>,
    /// Some of their frames are sent.
    pub in_part: bool,
}

impl ConnectorState {
    /// One that has handed on no frame yet.
    pub(super) fn new(spec: Arc<ConnectSpec>, outlet: Outlet, figures: Arc<Figures>) -> ConnectorState {
        ConnectorState {
            spec,
            outlet,
            figures,
            gaps: Gaps::default(),
            stands_since: None,
            stood_ever: false,
            left_out: Vec::new(),
        }
    }

    /// A frame of a code, read at `at`, was handed on after `waited`; a long wait is a gap.
    pub(super) async fn handed_on(&mut self, code: &str, at: Nanos, waited: Duration) -> Result<(), Trouble> {
        self.figures.frame(code);
        self.gaps.alive(at);
        if waited > STALL {
            let reason = "the sink took no frames, and the connection was not read".to_owned();
            let gap = Gap { kind: GapKind::Stall, from: Some(at), until: Some(now()), reason, failures: 0 };
            self.record(gap, None).await?;
        }
        Ok(())
    }

    /// All subscriptions are answered. Errors: no instrument is left, or one is left out at a strict start.
    pub(super) async fn subscribed(&mut self, left_out: Vec<LeftOut>) -> Result<(), Trouble> {
        let missing = missing(&left_out);
        self.figures.missing.set(missing as i64);
        // the same ones are not reported again after each reconnect; the server's wording may change
        let who = |all: &[LeftOut]| {
            all.iter().map(|left| (left.in_part, left.hint, left.instruments.clone())).collect::<Vec<_>>()
        };
        if who(&left_out) != who(&self.left_out) {
            self.tell(&left_out).await?;
        }
        if self.stood_ever {
            self.figures.reconnects.inc();
        }
        let instruments = self.spec.instruments.len().saturating_sub(missing);
        (self.stood_ever, self.stands_since, self.left_out) = (true, Some(Instant::now()), left_out);
        self.figures.standing.set(1);
        tracing::info!(instruments, codes = self.spec.codes.join(","), "all subscriptions stand");
        match self.gaps.established(now()) {
            Some(gap) => self.record(gap, None).await,
            None => Ok(()),
        }
    }

    /// Reports the instruments left out, with one gap record for each reason.
    async fn tell(&mut self, left_out: &[LeftOut]) -> Result<(), Trouble> {
        let (missing, wanted) = (missing(left_out), self.spec.instruments.len());
        let message = |left: &LeftOut| {
            format!("{} of {wanted} instruments {}: {}", left.instruments.len(), left.why, left.instruments.join(", "))
        };
        let whole: Vec<&LeftOut> = left_out.iter().filter(|left| !left.in_part).collect();
        if let Some(first) = whole.first()
            && (missing >= wanted || (self.spec.strict && !self.stood_ever))
        {
            let messages: Vec<String> = whole.iter().map(|left| message(left)).collect();
            return Err(Trouble::refused(messages.join("; "), first.hint));
        }
        for left in left_out {
            let reason = message(left);
            if !left.in_part {
                tracing::error!(hint = left.hint, "{reason}");
            }
            let gap = Gap { kind: GapKind::Refused, from: Some(now()), until: None, reason, failures: 0 };
            self.record(gap, Some(&left.instruments)).await?;
        }
        Ok(())
    }

    /// Logs a gap and produces its record. `instruments`: those it concerns; `None`: all.
    pub(super) async fn record(&mut self, gap: Gap, instruments: Option<&[String]>) -> Result<(), Trouble> {
        let told = |at: Option<Nanos>| at.map(moment).unwrap_or_else(|| "?".to_owned());
        tracing::warn!(
            kind = gap.kind.name(),
            from = told(gap.from),
            until = told(gap.until),
            reason = gap.reason,
            failures = gap.failures,
            "gap"
        );
        self.figures.gap(gap.kind);
        let payload = gap_json(&gap, &self.spec, instruments).to_string();
        let record = QueuedFrame {
            topic: Some(self.spec.gaps_topic()),
            key: Some(GAP.to_owned()),
            origin: GAP.to_owned(),
            received_at: gap.until.or(gap.from).unwrap_or_else(now),
            payload: payload.into_bytes(),
        };
        Ok(self.outlet.take(record).await?)
    }
}

/// How many instruments send no frame.
fn missing(left_out: &[LeftOut]) -> usize {
    left_out.iter().filter(|left| !left.in_part).map(|left| left.instruments.len()).sum()
}

/// A gap record: its times for people and for machines, the reason, and the subscriptions it concerns.
fn gap_json(gap: &Gap, spec: &ConnectSpec, instruments: Option<&[String]>) -> serde_json::Value {
    let all = || spec.instruments.iter().map(RequestedInstrument::name).collect::<Vec<_>>();
    json!({
        "kind": gap.kind,
        "from": gap.from.map(moment),
        "until": gap.until.map(moment),
        "from_ns": gap.from,
        "until_ns": gap.until,
        "reason": gap.reason,
        "failures": gap.failures,
        "api": spec.api.name(),
        "subscriptions": { "codes": spec.codes, "instruments": instruments.map_or_else(all, <[String]>::to_vec) },
    })
}

#[cfg(test)]
mod tests {
    use super::super::outlet;
    use super::super::testing::spec;
    use super::*;

    #[test]
    fn a_gap_record_says_when_why_and_of_what() {
        let reason = "reset".to_owned();
        let gap = Gap {
            kind: GapKind::Interruption,
            from: Some(1_000_000_000),
            until: Some(2_500_000_000),
            reason,
            failures: 3,
        };
        let expected = json!({
            "kind": "interruption", "from": "1970-01-01T00:00:01Z", "until": "1970-01-01T00:00:02.5Z",
            "from_ns": 1_000_000_000, "until_ns": 2_500_000_000i64, "reason": "reset", "failures": 3, "api": "xts",
            "subscriptions": { "codes": ["1501"], "instruments": ["NSECM|2885", "NSECM|467"] },
        });
        assert_eq!(gap_json(&gap, &spec(), None), expected);
    }

    /// Instruments left out, with a reason.
    fn left_out(why: &str, instruments: &[&str]) -> LeftOut {
        let instruments = instruments.iter().map(|name| (*name).to_owned()).collect();
        LeftOut { why: why.to_owned(), hint: "do", instruments, in_part: false }
    }

    #[tokio::test]
    async fn instruments_that_are_missing_are_told_and_none_at_all_is_a_mistake() {
        let (outlet, _inlet) = outlet::queue();
        let mut state = ConnectorState::new(Arc::new(spec()), outlet, Arc::default());
        assert!(state.subscribed(vec![left_out("are dead", &["NSECM|467"])]).await.is_ok());
        assert_eq!((state.figures.missing.get(), state.figures.gaps()), (1, 2));
        // the same one in other words
        assert!(state.subscribed(vec![left_out("are still dead", &["NSECM|467"])]).await.is_ok());
        assert_eq!(state.figures.gaps(), 2);
        let all = vec![left_out("are dead", &["NSECM|467"]), left_out("are too many", &["NSECM|2885"])];
        let Err(Trouble::Refused { message, .. }) = state.subscribed(all).await else { panic!("nothing is left") };
        let expected = "1 of 2 instruments are dead: NSECM|467; 1 of 2 instruments are too many: NSECM|2885";
        assert_eq!(message, expected);
        let mut strict =
            ConnectorState::new(Arc::new(ConnectSpec { strict: true, ..spec() }), state.outlet.clone(), Arc::default());
        assert!(strict.subscribed(vec![left_out("are dead", &["NSECM|467"])]).await.is_err());
    }

    #[tokio::test]
    async fn instruments_that_are_left_out_in_part_are_a_gap_record_and_not_missing() {
        let (outlet, _inlet) = outlet::queue();
        let strict = Arc::new(ConnectSpec { strict: true, ..spec() });
        let mut state = ConnectorState::new(strict, outlet, Arc::default());
        let parts = LeftOut { in_part: true, ..left_out("are sent without x", &["NSECM|467", "NSECM|2885"]) };
        assert!(state.subscribed(vec![parts]).await.is_ok());
        assert_eq!((state.figures.missing.get(), state.figures.gaps()), (0, 2));
    }
}
