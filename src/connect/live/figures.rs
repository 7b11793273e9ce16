//! What a connector counts: for `--metrics`, and for a line of the log every ten seconds.

use super::gaps::GapKind;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const VALID: &str = "names and labels here are constants that Prometheus allows, each registered once";

/// The figures of one connector.
#[derive(Debug)]
pub struct Figures {
    registry: Registry,
    frames: IntCounterVec,
    by_code: Mutex<BTreeMap<String, IntCounter>>,
    /// Messages of codes that were not requested: not produced.
    pub unasked: IntCounter,
    /// Times that all subscriptions stood again.
    pub reconnects: IntCounter,
    /// Connections lost and tries failed.
    pub failures: IntCounter,
    gaps: IntCounterVec,
    /// Instruments of which no frame comes.
    pub missing: IntGauge,
    /// Bytes received and not yet handed to the producer.
    pub waiting_bytes: IntGauge,
    /// Frames that Kafka has not taken yet.
    pub in_flight: IntGauge,
    /// 1 while all subscriptions stand.
    pub standing: IntGauge,
}

impl Default for Figures {
    fn default() -> Figures {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
            registry.register(Box::new(counters.clone())).expect(VALID);
            counters
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect(VALID);
            registry.register(Box::new(counter.clone())).expect(VALID);
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect(VALID);
            registry.register(Box::new(gauge.clone())).expect(VALID);
            gauge
        };
        Figures {
            frames: counters("ticktide_feed_frames_total", "frames received and handed on, by message code", "code"),
            gaps: counters("ticktide_feed_gaps_total", "gap records, by kind", "kind"),
            unasked: counter("ticktide_feed_unasked_total", "messages of codes that were not requested, not produced"),
            reconnects: counter("ticktide_feed_reconnects_total", "times that all subscriptions stood again"),
            failures: counter("ticktide_feed_failures_total", "connections lost and tries that failed"),
            missing: gauge("ticktide_feed_missing_instruments", "instruments of which no frame comes"),
            waiting_bytes: gauge("ticktide_feed_waiting_bytes", "bytes received and not yet handed to the producer"),
            in_flight: gauge("ticktide_feed_in_flight_frames", "frames that Kafka has not taken yet"),
            standing: gauge("ticktide_feed_standing", "1 while all subscriptions stand"),
            by_code: Mutex::default(),
            registry,
        }
    }
}

impl Figures {
    /// A frame of a code was handed on; a frame without a code counts as `other`.
    pub fn frame(&self, code: &str) {
        let mut by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        match by_code.get(code) {
            Some(counter) => counter.inc(),
            None => {
                let counter = self.frames.with_label_values(&[code]);
                counter.inc();
                by_code.insert(code.to_owned(), counter);
            }
        }
    }

    /// A gap was recorded.
    pub fn gap(&self, kind: GapKind) {
        self.gaps.with_label_values(&[kind.name()]).inc();
    }

    /// Gaps recorded so far.
    pub fn gaps(&self) -> u64 {
        let kinds = [GapKind::Start, GapKind::Interruption, GapKind::Stall, GapKind::Refused, GapKind::Stop];
        kinds.iter().map(|kind| self.gaps.with_label_values(&[kind.name()]).get()).sum()
    }

    /// Frames so far, `1501: 17 1510: 3`.
    pub fn frames(&self) -> String {
        let by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<String> = by_code.iter().map(|(code, count)| format!("{code}: {}", count.get())).collect();
        counts.join(" ")
    }

    /// All figures in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // the encoder refuses only families without a name or a sample, which a registry does not give
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_code_and_gaps_by_kind() {
        let figures = Figures::default();
        ["1501", "1510", "1501"].iter().for_each(|code| figures.frame(code));
        figures.gap(GapKind::Stall);
        assert_eq!((figures.frames().as_str(), figures.gaps()), ("1501: 2 1510: 1", 1));
        let text = figures.text();
        assert!(text.contains("ticktide_feed_frames_total{code=\"1501\"} 2\n"), "{text}");
        assert!(text.contains("ticktide_feed_gaps_total{kind=\"stall\"} 1\n"), "{text}");
    }
}
