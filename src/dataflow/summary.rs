//! A dataflow in words: its hash, its settings without secrets, and where each of them came from.
//!
//! Everything is read off one flat list of (dotted key, value). The hash covers those that change rows ([`CHANGES_ROWS`]), in
//! a canonical form: presets and defaults are written out, so two files that mean the same have the same hash.

use super::{AnomalyUse, Dataflow, Dedupe, Horizon, IndicatorUse, Volume};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use ticktide_base::document::duration_text;
use ticktide_feed::{Speed, StartFrom};
use ticktide_flow::indicators::{Anchor, INDICATORS};
use ticktide_market::calendar::hex;

/// First parts of the keys whose change means other rows.
const CHANGES_ROWS: &[&str] = &[
    "source.wire",
    "source.fields",
    "source.columns",
    "source.delimiter",
    "source.volume",
    "source.sequence",
    "source.corrections",
    "session",
    "dedupe",
    "retention",
    "grace",
    "horizon",
    "ticks",
    "instruments",
    "bars",
    "indicators",
    "anomalies",
    "conditions",
    "max_jump",
    "confirmations",
    "prices",
];

/// What is shown for a secret.
const MASK: &str = "***";

/// One setting as `--dry-run` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub key: String,
    pub value: String,
    /// A place in the file, a flag, a variable or "default".
    pub origin: String,
}

impl Dataflow {
    /// SHA-256 over what changes rows, in hex: never brokers, credentials, epoch size or workers.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.hashed() {
            hash.update(format!("{key}={value}\n"));
        }
        hex(&hash.finalize())
    }

    /// The resolved settings without secrets, for the lake: what changes rows by its key, the rest below `running`.
    pub fn settings_json(&self) -> String {
        let mut settings = self.hashed();
        let rest = self.flat().into_iter().filter(|(key, _)| !changes_rows(key));
        settings.insert("running".to_owned(), Value::Object(rest.collect()));
        json!(settings).to_string()
    }

    /// Every setting with its origin, in a fixed order.
    pub fn origins(&self) -> Vec<Described> {
        let origin = |key: &str| {
            let mut prefix = Some(key);
            while let Some(path) = prefix {
                if let Some(place) = self.origins.get(path) {
                    return place.to_string();
                }
                prefix = path.rfind('.').map(|dot| &path[..dot]);
            }
            "default".to_owned()
        };
        let shown = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let described = |(key, value): (String, Value)| Described { origin: origin(&key), value: shown(value), key };
        self.flat().into_iter().map(described).collect()
    }

    /// The part of [`Dataflow::flat`] that changes rows, canonical.
    fn hashed(&self) -> BTreeMap<String, Value> {
        let mut hashed: BTreeMap<String, Value> =
            self.flat().into_iter().filter(|(key, _)| changes_rows(key) && !key.starts_with("horizon.")).collect();
        hashed.insert("session".to_owned(), json!(self.session.describe()));
        for interval in &self.bars {
            let horizon = horizon_text(self.horizons.horizon(*interval));
            hashed.insert(format!("horizon.{}", interval.name()), json!(horizon));
        }
        hashed.insert("indicators".to_owned(), self.indicators.iter().map(canonical).collect());
        hashed
    }

    /// Every setting under its dotted key, secrets masked.
    fn flat(&self) -> Vec<(String, Value)> {
        let source = &self.source;
        let synthetic = &source.synthetic;
        let mut flat: Vec<(String, Value)> = Vec::new();
        let mut put = |key: &str, value: Value| flat.push((key.to_owned(), value));
        put("source.use", json!(source.uses));
        put("source.brokers", json!(source.brokers));
        put("source.topics", json!(source.topics));
        for (key, value) in &source.kafka {
            let shown = if self.secrets.contains(key) { MASK } else { value };
            put(&format!("source.kafka.{key}"), json!(shown));
        }
        put("source.from", json!(from_text(source.from)));
        put("source.paths", json!(source.paths));
        put("source.speed", if let Speed::Times(times) = source.speed { json!(times) } else { json!("max") });
        put("source.until", json!(if source.until_end { "end" } else { "never" }));
        put("source.buffer", json!(source.buffer_bytes));
        put("source.seed", json!(synthetic.seed));
        put("source.instruments", json!(synthetic.instruments));
        put("source.partitions", json!(synthetic.partitions));
        put("source.trades_a_day", json!(synthetic.trades_a_day));
        put("source.first_day", json!(day_text(synthetic.first_day)));
        put("source.gaps", json!(synthetic.gaps));
        put("source.wire", json!(source.wire.format));
        for (name, field) in &source.wire.fields {
            put(&format!("source.fields.{name}"), json!(field));
        }
        if !source.wire.columns.is_empty() {
            put("source.columns", json!(source.wire.columns));
        }
        if let Some(delimiter) = source.wire.delimiter {
            put("source.delimiter", json!(char::from(delimiter)));
        }
        put("source.volume", json!(if self.volume == Volume::Cumulative { "cumulative" } else { "trade" }));
        put("source.sequence", json!(if self.sequence_trusted { "trusted" } else { "none" }));
        put("source.corrections", json!(self.corrections));
        put("session", json!(self.session_text));
        put("dedupe", json!(if self.dedupe == Dedupe::Instrument { "instrument" } else { "partition" }));
        put("retention", json!(duration_text(self.retention)));
        put("grace", json!(duration_text(self.grace)));
        for (interval, horizon) in &self.horizons.entries {
            put(&format!("horizon.{}", interval.name()), json!(horizon_text(*horizon)));
        }
        put("horizon.default", json!(horizon_text(self.horizons.default)));
        put("epoch.every", json!(duration_text(self.epoch.every)));
        put("epoch.records", json!(self.epoch.records));
        put("ticks", json!(self.ticks));
        put("instruments", json!(self.instruments));
        put("bars", self.bars.iter().map(|interval| json!(interval.name())).collect());
        put("indicators", self.indicators.iter().map(canonical).collect());
        put("anomalies", self.anomalies.iter().map(AnomalyUse::canonical).collect());
        if let Some(conditions) = &self.conditions {
            let rules =
                |rules: &[super::Condition]| rules.iter().map(|rule| json!(rule.to_string())).collect::<Value>();
            put("conditions.field", json!(conditions.field));
            put("conditions.hex", json!(conditions.hex));
            put("conditions.no_price", rules(&conditions.no_price));
            put("conditions.no_volume", rules(&conditions.no_volume));
            put("conditions.suspicious", json!(conditions.suspicious));
        }
        put("limits.steps", json!(self.limits.steps));
        put("limits.epochs", json!(self.limits.epochs));
        put("limits.bytes", json!(self.limits.bytes));
        put("limits.rewrite", json!(self.limits.rewrite));
        put("idle_after", json!(duration_text(self.idle_after)));
        put("max_skew", json!(duration_text(self.max_skew)));
        put("max_jump", json!(duration_text(self.max_jump)));
        put("confirmations", json!(self.confirmations));
        put("prices", json!(if self.prices_signed { "signed" } else { "positive" }));
        put("step", json!(duration_text(self.step)));
        flat
    }
}

fn changes_rows(key: &str) -> bool {
    let starts = |known: &&str| key.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    CHANGES_ROWS.iter().any(starts)
}

fn day_text(day: i32) -> String {
    let at = jiff::Span::new().try_days(day).and_then(|days| jiff::civil::Date::constant(1970, 1, 1).checked_add(days));
    at.map_or_else(|_| day.to_string(), |date| date.to_string())
}

fn horizon_text(horizon: Horizon) -> String {
    match horizon {
        Horizon::Span(span) => duration_text(span),
        Horizon::Session => "1 session".to_owned(),
    }
}

fn from_text(from: StartFrom) -> String {
    match from {
        StartFrom::Earliest => "earliest".to_owned(),
        StartFrom::Latest => "latest".to_owned(),
        StartFrom::At(at) => jiff::Timestamp::from_nanosecond(i128::from(at))
            .expect("jiff's range holds every i64 of nanoseconds")
            .to_string(),
    }
}

/// An indicator with all its parameters, defaults written out.
fn canonical(used: &IndicatorUse) -> Value {
    let mut parts = BTreeMap::new();
    if let Some(spec) = INDICATORS.iter().find(|spec| spec.name == used.name) {
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
        used.parameters.iter().map(|(name, setting)| (name.clone(), setting.to_string().trim_matches('"').to_owned())),
    );
    parts.insert("use".to_owned(), used.name.clone());
    parts.insert("on".to_owned(), used.on.name());
    json!(parts)
}
