//! Which ticks count: sessions, lateness, conditions. [`crate::clean::jumps`] decides wild times, [`crate::clean::duplicates`]
//! duplicates.
//!
//! Runs on the worker that reads, in offset order, before anything is exchanged. Why here: a tick that is refused needs its
//! payload, which only the reader has. What must always hold: each tick gets exactly one verdict, now or later (a held
//! tick gets its verdict when later records arrive, or at the flush), and the verdict is a function of the
//! partition's records, the epoch's horizons and the dataflow, never of a clock.

pub mod bounds;
pub mod duplicates;
pub mod jumps;
pub mod past;
pub mod reach;
pub mod wild;

pub use bounds::{Bounds, EpochHorizons};

use reach::{ReachSpec, Reaches};
use std::sync::{Arc, Once};
use ticktide_base::time::{Nanos, SECOND};
use ticktide_market::calendar::{Class, PhaseAt, Phases, Session};
use ticktide_market::conditions::{ConditionsSpec, TradeEffect};
use ticktide_market::{Instrument, InstrumentId, Tick, TickKind};

/// What the cleaner needs from a dataflow.
#[derive(Clone)]
pub struct CleanSpec {
    pub session: Arc<Session>,
    pub reach: ReachSpec,
    pub conditions: Option<ConditionsSpec>,
    /// Bars from cumulative volume of snapshots, not from trades.
    pub cumulative: bool,
    pub sequence_trusted: bool,
    pub corrections: bool,
    pub prices_signed: bool,
    /// Event time may run ahead of the broker's by this much.
    pub ahead_max: Nanos,
    pub max_jump: Nanos,
    pub confirmations: u64,
    /// A held jump is decided this many offsets after its first record.
    pub patience: u64,
}

impl CleanSpec {
    pub const AHEAD_MAX: Nanos = 60 * SECOND;
    pub const PATIENCE: u64 = 1_000;
}

/// The decision about a tick.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It counts, for the intervals of the mask (bit i = interval i).
    Accept {
        mask: u32,
        parts: TradeEffect,
        phase: PhaseAt,
        /// Event time that the bars use (a snapshot's is that of its last trade).
        at: Nanos,
    },
    /// It counts but makes no bar: a baseline snapshot, or a tick of a kind that makes no bars in this feed.
    AcceptSilently,
    /// A cancel or a correction: decided after the exchange.
    Correction,
    Reject {
        reason: &'static str,
        detail: String,
    },
}

/// The verdicts that need no memory: session, lateness, parts. Keeps each class's last phase at hand.
pub struct Judge {
    pub spec: CleanSpec,
    phases: Phases,
    /// Of the instruments, by their ids.
    classes: Vec<Class>,
}

/// Whether the warning about dates whose holidays the calendar does not know was given.
static UNKNOWN: Once = Once::new();

impl Judge {
    pub fn new(spec: CleanSpec) -> Judge {
        Judge { spec, phases: Phases::default(), classes: Vec::new() }
    }

    /// Adds an instrument; its id is the number of those added before.
    pub fn tell(&mut self, instrument: &Instrument) {
        self.classes.push(self.spec.session.class_of(instrument));
    }

    /// The phase at an event time of an instrument; most calls find it where the last one of its class was.
    #[inline]
    pub fn phase_at(&mut self, instrument: InstrumentId, at: Nanos) -> Option<PhaseAt> {
        let class = self.classes.get(instrument.0 as usize).copied().unwrap_or(Class::ONLY);
        self.phases.at(&self.spec.session, class, at)
    }

    /// Warns once that the calendar does not know the holidays of a time that is read.
    pub fn warn_unknown(&self, trading_date: i32) {
        if !self.spec.session.is_known(trading_date) {
            UNKNOWN.call_once(|| {
                let date = ticktide_market::calendar::date_text(trading_date);
                tracing::warn!(
                    date,
                    "the calendar lists no holidays for this time: all weekdays count as trading days; use a newer calendar \
                     file (`ticktide calendar` shows what is known)"
                );
            });
        }
    }

    /// Whether the broker's clock contradicts the event time.
    pub fn is_future(&self, tick: &Tick) -> bool {
        tick.received_at.is_some_and(|received| tick.exchange_at > received.saturating_add(self.spec.ahead_max))
    }

    /// Judges everything but duplicates, for a tick whose time is believed.
    pub fn judge(&mut self, tick: &Tick, reaches: &Reaches) -> Verdict {
        if tick.kind == TickKind::Notice {
            return Verdict::AcceptSilently;
        }
        let reject = |reason, detail: String| Verdict::Reject { reason, detail };
        if tick.trading_date.is_some() {
            // a trading day alone is not a time: it is never off session, and never too late
            return self.judge_correction(tick, Nanos::MIN);
        }
        let Some(phase) = self.phase_at(tick.instrument, tick.exchange_at) else {
            return reject("off_session", "its time is outside every phase of its session".into());
        };
        if matches!(tick.kind, TickKind::Cancel | TickKind::Correct) {
            return self.judge_correction(tick, reaches.retained_from);
        }
        let mask = mask(tick.exchange_at, reaches);
        if mask == 0 {
            return reject("too_late", "its time is before every interval's horizon".into());
        }
        if (tick.kind == TickKind::Snapshot) != self.spec.cumulative {
            return Verdict::AcceptSilently;
        }
        if tick.kind == TickKind::Snapshot {
            return self.judge_snapshot(tick, phase, mask, reaches);
        }
        let Some(price) = tick.price else { return Verdict::AcceptSilently };
        // a trade that may be corrected waits for its correction where trades are kept
        if price.0 <= 0 && !self.spec.prices_signed && !self.spec.corrections {
            return Verdict::AcceptSilently;
        }
        let parts = match &self.spec.conditions {
            Some(conditions) => {
                let code = tick.conditions.as_deref().and_then(|text| conditions.code(text));
                conditions.effect(code.unwrap_or(0), tick.suspicious)
            }
            None => TradeEffect::FULL,
        };
        if parts.sets_price || parts.adds_volume {
            Verdict::Accept { mask, parts, phase, at: tick.exchange_at }
        } else {
            Verdict::AcceptSilently
        }
    }

    /// A cancel or correction of a time at or after `retained_from` is decided where its trade is.
    fn judge_correction(&self, tick: &Tick, retained_from: Nanos) -> Verdict {
        let reject = |reason, detail: &str| Verdict::Reject { reason, detail: detail.to_owned() };
        if !self.spec.corrections {
            reject("corrections_off", "the source is declared with corrections = false")
        } else if tick.id.is_none() {
            reject("missing_field", "a cancel or correction names no id")
        } else if tick.exchange_at < retained_from {
            reject("too_late", "its time is older than the retention")
        } else {
            Verdict::Correction
        }
    }

    /// A snapshot makes a bar at its last trade's time; one whose last trade is of an earlier day is a baseline only. A
    /// snapshot of open interest alone makes no bar; it is part of the bar at its time.
    fn judge_snapshot(&mut self, tick: &Tick, phase: PhaseAt, in_time: u32, reaches: &Reaches) -> Verdict {
        if tick.price.is_none() && tick.snapshot.as_ref().is_some_and(|snapshot| snapshot.open_interest.is_some()) {
            return Verdict::Accept { mask: in_time, parts: TradeEffect::FULL, phase, at: tick.exchange_at };
        }
        let price = tick.price.map_or(0, |price| price.0);
        if price == 0 || (price < 0 && !self.spec.prices_signed) {
            return Verdict::AcceptSilently;
        }
        let at = tick.snapshot.as_ref().and_then(|snapshot| snapshot.trade_at).unwrap_or(tick.exchange_at);
        let Some(trade_phase) = self.phase_at(tick.instrument, at) else { return Verdict::AcceptSilently };
        if trade_phase.trading_date != phase.trading_date {
            return Verdict::AcceptSilently;
        }
        // the update decides lateness; a frozen bar stays frozen: an old last trade is not new
        let mask = in_time & mask(at, reaches);
        if mask == 0 {
            return Verdict::AcceptSilently;
        }
        Verdict::Accept { mask, parts: TradeEffect::FULL, phase: trade_phase, at }
    }
}

/// The intervals that a time is not too late for: bit i = interval i.
#[inline]
pub fn mask(at: Nanos, reaches: &Reaches) -> u32 {
    let mut mask = 0;
    for (index, reach) in reaches.intervals.iter().enumerate() {
        mask |= u32::from(at >= *reach) << index;
    }
    mask
}

/// What the tests of cleaning start from.
#[doc(hidden)]
pub mod samples {
    use super::*;
    use ticktide_market::{InstrumentId, Price, Quantity};

    pub fn spec() -> CleanSpec {
        CleanSpec {
            session: Arc::new(Session::preset("utc-day").expect("a preset")),
            reach: ReachSpec { intervals: Vec::new(), retention: 0 },
            conditions: None,
            cumulative: false,
            sequence_trusted: true,
            corrections: false,
            prices_signed: false,
            ahead_max: CleanSpec::AHEAD_MAX,
            max_jump: 7 * ticktide_base::time::DAY,
            confirmations: 3,
            patience: CleanSpec::PATIENCE,
        }
    }

    pub fn tick(exchange_at: Nanos, sequence: u64) -> Tick {
        Tick {
            sequence: Some(sequence),
            price: Some(Price(100)),
            quantity: Some(Quantity(1)),
            ..Tick::new(TickKind::Trade, InstrumentId(0), sequence as i64, exchange_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{spec, tick};
    use super::*;

    #[test]
    fn a_tick_is_off_session_outside_the_phases_of_its_own_class() {
        let mut judge =
            Judge::new(CleanSpec { session: Arc::new(Session::preset("nse").expect("a preset")), ..spec() });
        let venues = ["NSECM", "NSEFO", "MCXFO", "NSECD"];
        venues.iter().for_each(|venue| judge.tell(&Instrument::new(venue, "1", None)));
        let mut names = |time: &str| -> Vec<String> {
            let at = time.parse::<jiff::Timestamp>().expect("a time").as_nanosecond() as Nanos;
            let reaches = Reaches::all(1);
            let name = |id: u32| match judge.judge(&Tick { instrument: InstrumentId(id), ..tick(at, 1) }, &reaches) {
                Verdict::Accept { phase, .. } => judge.spec.session.phase_name(phase.phase).to_owned(),
                Verdict::Reject { reason, .. } => reason.to_owned(),
                other => panic!("{other:?}"),
            };
            (0..venues.len() as u32).map(name).collect()
        };
        let [open, after, off] = ["continuous", "post_close", "off_session"];
        assert_eq!(names("2026-08-03T15:29:59+05:30"), [open, open, open, open]);
        assert_eq!(names("2026-08-03T15:35:00+05:30"), [after, open, open, open]);
        assert_eq!(names("2026-08-03T16:00:00+05:30"), [off, off, open, open]);
        assert_eq!(names("2026-08-03T20:00:00+05:30"), [off, off, open, off]);
        assert_eq!(names("2026-11-24T18:00:00+05:30"), [off, off, open, off], "a holiday of shares");
        assert_eq!(names("2024-11-01T18:30:00+05:30"), [open, open, open, open], "Muhurat trading");
        assert_eq!(names("2024-11-01T12:00:00+05:30"), [off, off, off, off], "on the same day");
    }

    #[test]
    fn a_price_that_makes_no_bar_is_passed_on_where_it_may_be_corrected() {
        let reaches = Reaches::all(1);
        let verdict = |corrections| {
            let mut judge = Judge::new(CleanSpec { corrections, ..spec() });
            judge.judge(&Tick { price: Some(ticktide_market::Price(0)), ..tick(1, 1) }, &reaches)
        };
        assert_eq!(verdict(false), Verdict::AcceptSilently);
        assert!(matches!(verdict(true), Verdict::Accept { mask: 1, .. }));
    }

    #[test]
    fn a_tick_counts_for_the_intervals_whose_reach_it_lies_in() {
        let mut judge = Judge::new(spec());
        let day = 16_000 * ticktide_base::time::DAY;
        let reaches = Reaches { intervals: vec![day + 10 * SECOND, day], retained_from: day };
        let mask = |judge: &mut Judge, at| match judge.judge(&tick(at, 1), &reaches) {
            Verdict::Accept { mask, .. } => mask,
            Verdict::Reject { reason: "too_late", .. } => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!([day - 1, day, day + 10 * SECOND].map(|at| mask(&mut judge, at)), [0, 0b10, 0b11]);
    }
}
