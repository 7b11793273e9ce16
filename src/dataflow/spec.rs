//! A dataflow as the engine takes it: read, checked and complete.
//!
//! What must hold: a secret is in [`Dataflow::source`] and nowhere else, so nothing that prints or stores a dataflow can show it.

use crate::checks::AnomalyUse;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::Location;
use ticktide_base::time::{Interval, Nanos};
use ticktide_feed::SourceSpec;
use ticktide_flow::indicators::{self, Anchor, INDICATORS};
use ticktide_market::calendar;
use ticktide_market::conditions::ConditionsSpec;

/// What a source's volume means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// A record's volume is that of one trade.
    Trade,
    /// A record's volume is what was traded since the day began.
    Cumulative,
}

/// Where duplicates are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    /// In one partition, in offset order.
    Partition,
    /// Over all partitions.
    Instrument,
}

/// How far back an interval's bars can still be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    Span(Nanos),
    /// The trading day and this many before it; at least one.
    Sessions(u32),
}

/// Horizons by interval: an interval takes the entry of the least interval that is not smaller than itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizons {
    pub entries: BTreeMap<Interval, Horizon>,
    /// For intervals above all entries.
    pub default: Horizon,
}

impl Horizons {
    pub fn horizon(&self, interval: Interval) -> Horizon {
        self.entries.range(interval..).next().map_or(self.default, |(_, horizon)| *horizon)
    }
}

/// When an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochSpec {
    pub every: Nanos,
    pub records: u64,
}

/// How much may be in progress, or rewritten, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub steps: u64,
    /// Undecided epochs; K of the protocol.
    pub epochs: u64,
    pub bytes: u64,
    /// Bytes of a data file up to which a correction writes it again; rows of a bigger one are deleted by position.
    pub rewrite: u64,
}

/// An indicator on the bars of one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct IndicatorUse {
    /// A name of [`indicators::INDICATORS`].
    pub name: String,
    /// As [`indicators::build`] takes them; absent ones have their defaults.
    pub parameters: BTreeMap<String, indicators::Setting>,
    pub on: Interval,
}

impl IndicatorUse {
    /// With all its parameters, defaults written out.
    pub fn canonical(&self) -> Value {
        let mut parts = BTreeMap::new();
        if let Some(spec) = INDICATORS.find(&self.name) {
            parts.extend(
                spec.parameters.iter().map(|parameter| (parameter.name.to_owned(), parameter.shown(parameter.default))),
            );
            match spec.anchor {
                Some(Anchor::Session) => parts.insert("anchor".to_owned(), "session".to_owned()),
                Some(Anchor::Unanchored) => parts.insert("anchor".to_owned(), "none".to_owned()),
                None => None,
            };
        }
        parts.extend(
            self.parameters
                .iter()
                .map(|(name, setting)| (name.clone(), setting.to_string().trim_matches('"').to_owned())),
        );
        parts.insert("use".to_owned(), self.name.clone());
        parts.insert("on".to_owned(), self.on.name());
        json!(parts)
    }
}

/// A dataflow, read, checked and complete.
#[derive(Clone, PartialEq)]
pub struct Dataflow {
    pub name: String,
    /// Holds resolved secrets: never print it.
    pub source: SourceSpec,
    pub volume: Volume,
    pub sequence_trusted: bool,
    pub corrections: bool,
    pub session: calendar::Session,
    /// The session as the file names it: by a preset, by a calendar, or by its zone, times and days.
    pub session_text: String,
    pub dedupe: Dedupe,
    /// How long trades are kept for cancels and corrections.
    pub retention: Nanos,
    pub grace: Nanos,
    pub horizons: Horizons,
    pub epoch: EpochSpec,
    /// Whether normalised ticks are archived.
    pub ticks: bool,
    /// Whether masters and price bands are kept, and joined to bars.
    pub instruments: bool,
    /// Sorted, finest first, never empty; all are multiples of the first.
    pub bars: Vec<Interval>,
    pub indicators: Vec<IndicatorUse>,
    pub anomalies: Vec<AnomalyUse>,
    pub conditions: Option<ConditionsSpec>,
    pub limits: Limits,
    /// Whether this machine's clock refutes a live source's times that are ahead of it.
    pub clock: bool,
    pub idle_after: Nanos,
    pub max_skew: Nanos,
    pub max_jump: Nanos,
    /// How many later records must confirm a jump.
    pub confirmations: u64,
    pub prices_signed: bool,
    pub step: Nanos,
    /// Keys of `source.kafka` whose values are secret.
    pub(crate) secrets: BTreeSet<String>,
    /// Where each key was set, by dotted path; absent ones are defaults.
    pub(crate) origins: BTreeMap<String, Location>,
}

impl Dataflow {
    /// A dataflow before any key is read: each row of the table sets its value or its default.
    pub(crate) fn blank(name: &str) -> Dataflow {
        Dataflow {
            name: name.to_owned(),
            source: SourceSpec::default(),
            volume: Volume::Trade,
            sequence_trusted: false,
            corrections: false,
            session: calendar::Session::preset("utc-day").expect("a preset"),
            session_text: String::new(),
            dedupe: Dedupe::Partition,
            retention: 0,
            grace: 0,
            horizons: Horizons { entries: BTreeMap::new(), default: Horizon::Sessions(1) },
            epoch: EpochSpec { every: 0, records: 0 },
            ticks: false,
            instruments: false,
            bars: Vec::new(),
            indicators: Vec::new(),
            anomalies: Vec::new(),
            conditions: None,
            limits: Limits { steps: 0, epochs: 0, bytes: 0, rewrite: 0 },
            clock: true,
            idle_after: 0,
            max_skew: 0,
            max_jump: 0,
            confirmations: 0,
            prices_signed: false,
            step: 0,
            secrets: BTreeSet::new(),
            origins: BTreeMap::new(),
        }
    }
}
