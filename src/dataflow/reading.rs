//! From the tree of settings to a dataflow: names, types, bounds and what fits together.
//!
//! What must always hold: every key is read here or reported as unknown, a wrong one leaves its default and a problem, and
//! what is checked across keys (multiples, horizons, retention) is only checked on values that were read.

use super::{Dataflow, Dedupe, EpochSpec, Horizon, Horizons, IndicatorUse, Limits, Volume, checks, session};
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::{self, Keys, Node, Place, Problems, Table, Value, duration, duration_text};
use ticktide_base::environment as settings;
use ticktide_base::error::Classified;
use ticktide_base::time::{DAY, HOUR, Interval, MILLI, MINUTE, Nanos, SECOND};
use ticktide_feed as feed;
use ticktide_feed::synthetic::DAY_LAST;
use ticktide_feed::{SourceSpec, Speed, StartFrom, SyntheticSpec, WireSpec};
use ticktide_flow::indicators;
use ticktide_lake::upkeep::REWRITE_BYTES_MAX;
use ticktide_market::conditions::{Condition, ConditionsSpec};

const KEYS: &[&str] = &[
    "source",
    "session",
    "dedupe",
    "retention",
    "grace",
    "horizon",
    "epoch",
    "ticks",
    "instruments",
    "bars",
    "indicators",
    "anomalies",
    "conditions",
    "limits",
    "idle_after",
    "max_skew",
    "max_jump",
    "confirmations",
    "prices",
    "step",
];
const SOURCE_KEYS: &[&str] = &[
    "use",
    "brokers",
    "topics",
    "paths",
    "from",
    "until",
    "speed",
    "wire",
    "fields",
    "columns",
    "delimiter",
    "volume",
    "sequence",
    "corrections",
    "kafka",
    "buffer",
    "seed",
    "instruments",
    "partitions",
    "trades_a_day",
    "first_day",
    "gaps",
];
const BARS_EXAMPLE: &str = "[{ use = \"time\", every = \"1m\" }]";

/// Steps under way at most: a step holds what a worker has not finished of it.
const STEPS_MOST: u64 = 1_024;
/// Undecided epochs at most: all of them are granted at once, and each holds its horizons and its files.
const EPOCHS_MOST: u64 = 64;

/// The longest a bar can be.
const LONGEST: Nanos = DAY;
/// As many as a tick's mask has bits.
const INTERVALS_MOST: usize = u32::BITS as usize;

/// Reads the whole tree; the dataflow is only good when no problem was added.
pub fn read(name: &str, tree: &Table, problems: &Problems) -> Dataflow {
    let keys = Keys::new("a dataflow", tree, KEYS, problems);
    let conditions = conditions(&keys);
    let (mut source, secrets, traits) = source(&keys);
    source.wire.conditions = conditions.as_ref().map(|spec| spec.field.clone());
    source.wire.suspicious = conditions.as_ref().and_then(|spec| spec.suspicious.clone());
    check_wire(&keys, &source);
    let (session, session_text) = session::read(&keys);
    let bars = bars(&keys);
    let grace = span(&keys, "grace", 5 * SECOND, 0);
    let retention = span(&keys, "retention", 2 * HOUR, 0);
    let horizons = horizons(&keys);
    check_horizons(&keys, &horizons, &bars, grace, retention, traits.corrections);
    let dedupe = match keys.choice("dedupe", &["partition", "instrument"]) {
        Some(1) => Dedupe::Instrument,
        _ => Dedupe::Partition,
    };
    check_together(&keys, &traits, dedupe);
    let epoch = keys.table("epoch", "{ every = \"10s\" }").map(|table| {
        let keys = Keys::new("`epoch`", table, &["every", "records"], problems);
        EpochSpec { every: span(&keys, "every", 10 * SECOND, MILLI), records: whole(&keys, "records", 1_000_000, 1) }
    });
    let limits = keys.table("limits", "{ steps = 8 }").map(|table| {
        let keys = Keys::new("`limits`", table, &["steps", "epochs", "bytes", "rewrite"], problems);
        Limits {
            steps: keys.whole("steps", 1, STEPS_MOST).unwrap_or(8),
            epochs: keys.whole("epochs", 1, EPOCHS_MOST).unwrap_or(4),
            bytes: size(&keys, "bytes", 64 << 20),
            rewrite: size(&keys, "rewrite", REWRITE_BYTES_MAX),
        }
    });
    let step = span(&keys, "step", 100 * MILLI, MILLI);
    Dataflow {
        name: name.to_owned(),
        source,
        volume: traits.volume,
        sequence_trusted: traits.sequence_trusted,
        corrections: traits.corrections,
        session,
        session_text,
        dedupe,
        retention,
        grace,
        horizons,
        epoch: epoch.unwrap_or(EpochSpec { every: 10 * SECOND, records: 1_000_000 }),
        ticks: keys.boolean("ticks").unwrap_or(false),
        instruments: keys.boolean("instruments").unwrap_or(false),
        indicators: indicators_of(&keys, &bars),
        anomalies: checks::read(&keys, &bars, keys.boolean("instruments").unwrap_or(false)),
        bars,
        conditions,
        limits: limits.unwrap_or(Limits { steps: 8, epochs: 4, bytes: 64 << 20, rewrite: REWRITE_BYTES_MAX }),
        idle_after: span(&keys, "idle_after", 2 * SECOND, 0),
        max_skew: span(&keys, "max_skew", 60 * SECOND, MILLI),
        max_jump: span(&keys, "max_jump", 7 * DAY, SECOND),
        confirmations: whole(&keys, "confirmations", 3, 1),
        prices_signed: keys.choice("prices", &["positive", "signed"]) == Some(1),
        step,
        secrets,
        origins: BTreeMap::new(),
    }
}

/// A duration of at least `least`, or the default.
fn span(keys: &Keys<'_>, key: &str, default: Nanos, least: Nanos) -> Nanos {
    let Some((nanos, place)) = keys.duration(key) else { return default };
    if nanos < least {
        let message = format!("`{key}` is {}, the least is {}", duration_text(nanos), duration_text(least));
        keys.problems().add(place, message, format!("e.g. `{key} = \"{}\"`", duration_text(default)));
        return default;
    }
    nanos
}

fn whole(keys: &Keys<'_>, key: &str, default: u64, least: u64) -> u64 {
    keys.whole(key, least, u64::from(u32::MAX)).unwrap_or(default)
}

fn size(keys: &Keys<'_>, key: &str, default: u64) -> u64 {
    let read = |text: &str| document::bytes(text).map_err(|fault| (fault, format!("e.g. `{key} = \"64MiB\"`")));
    keys.read(key, read).map_or(default, |(size, _)| size)
}

/// What a source declares about its records.
struct Traits {
    volume: Volume,
    sequence_trusted: bool,
    corrections: bool,
}

fn source(keys: &Keys<'_>) -> (SourceSpec, BTreeSet<String>, Traits) {
    let empty = Table::default();
    let table = keys.table("source", "{ use = \"kafka\", topics = [\"ticks\"] }").unwrap_or(&empty);
    let keys = Keys::new("`source`", table, SOURCE_KEYS, keys.problems());
    let names = source_names();
    let (kafka, secrets) = kafka(&keys);
    let source = SourceSpec {
        uses: names[keys.choice("use", &names).or(names.iter().position(|name| *name == "kafka")).unwrap_or(0)]
            .to_owned(),
        brokers: keys.texts("brokers").map_or("localhost:9092".to_owned(), |brokers| brokers.join(",")),
        topics: keys.texts("topics").unwrap_or_else(|| vec!["ticks".to_owned()]),
        kafka,
        from: from(&keys),
        paths: keys.texts("paths").unwrap_or_default(),
        recorded: BTreeMap::new(),
        speed: speed(&keys),
        until_end: keys.choice("until", &["never", "end"]) == Some(1),
        wire: wire(&keys),
        synthetic: synthetic(&keys),
        buffer_bytes: usize::try_from(size(&keys, "buffer", 32 << 20)).unwrap_or(usize::MAX),
    };
    named(&keys, &source);
    let traits = Traits {
        volume: if keys.choice("volume", &["trade", "cumulative"]) == Some(1) {
            Volume::Cumulative
        } else {
            Volume::Trade
        },
        sequence_trusted: keys.choice("sequence", &["none", "trusted"]) == Some(1),
        corrections: keys.boolean("corrections").unwrap_or(false),
    };
    (source, secrets, traits)
}

/// What is written down and names nothing; what is absent may come from a flag.
fn named(keys: &Keys<'_>, source: &SourceSpec) {
    let (key, names, example) = match source.uses.as_str() {
        "kafka" => ("topics", &source.topics, "topics = [\"ticks\"]"),
        "file" => ("paths", &source.paths, "paths = [\"recorded/*.jsonl.gz\"]"),
        _ => return,
    };
    let Some(node) = keys.node(key).filter(|node| matches!(node.value, Value::Text(_) | Value::List(_))) else {
        return;
    };
    if names.iter().any(|name| name.trim().is_empty()) {
        keys.problems().add(&node.place, format!("`{key}` has an empty name"), format!("e.g. `{example}`"));
    } else if names.is_empty() {
        keys.problems().add(&node.place, format!("`{key}` is empty"), format!("e.g. `{example}`, or leave it out"));
    }
}

/// Names that `source.use` may have.
pub fn source_names() -> Vec<&'static str> {
    feed::SOURCES.iter().map(|kind| kind.name).collect()
}

fn wire(keys: &Keys<'_>) -> WireSpec {
    let formats: Vec<&str> = feed::wire::FORMATS.iter().map(|format| format.name).collect();
    let format = keys.choice("wire", &formats).map_or("json", |index| formats[index]);
    let mut fields = BTreeMap::new();
    for (name, _, node) in keys.table("fields", "{ time = \"ts\" }").into_iter().flat_map(Table::entries) {
        match &node.value {
            Value::Text(field) => {
                fields.insert(name.to_owned(), field.clone());
            }
            _ => keys.wrong_type(name, node, "text: a field of the record", format!("e.g. `{name} = \"field\"`")),
        }
    }
    let delimiter = |text: &str| match text.as_bytes() {
        [byte] if !byte.is_ascii_alphanumeric() && !b"\"\r\n.-+:".contains(byte) => Ok(*byte),
        _ => Err(("which separates no columns".to_owned(), "e.g. \",\", \";\", \"|\" or \"\\t\"".to_owned())),
    };
    WireSpec {
        format: format.to_owned(),
        fields,
        columns: keys.texts("columns").unwrap_or_default(),
        delimiter: keys.read("delimiter", delimiter).map(|(byte, _)| byte),
        ..WireSpec::default()
    }
}

/// Asks the format itself whether it knows the fields.
fn check_wire(keys: &Keys<'_>, source: &SourceSpec) {
    if let Err(error) = feed::wire::build(&source.wire) {
        let fields = keys.node("source").and_then(|node| match &node.value {
            Value::Table(table) => table.get("fields").or(Some(node)),
            _ => None,
        });
        let place = fields.map_or(Place::Name("source.fields".to_owned()), |node| node.place.clone());
        let hint = Classified::hint(&error).unwrap_or_default();
        keys.problems().add(&place, error.to_string(), hint);
    }
}

fn from(keys: &Keys<'_>) -> StartFrom {
    let read = |text: &str| match text {
        "earliest" => Ok(StartFrom::Earliest),
        "latest" => Ok(StartFrom::Latest),
        _ => instant(text).map(StartFrom::At).ok_or_else(|| {
            let hint = "set it to \"earliest\", \"latest\" or a time like \"2024-07-01T09:15:00+05:30\"";
            ("which is no place to start from".to_owned(), hint.to_owned())
        }),
    };
    keys.read("from", read).map_or(StartFrom::Earliest, |(from, _)| from)
}

fn instant(text: &str) -> Option<Nanos> {
    Nanos::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

fn speed(keys: &Keys<'_>) -> Speed {
    let read = |text: &str| match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err((
            "which is no speed".to_owned(),
            "set it to \"max\" or to a number above 0: 1 is as recorded".to_owned(),
        )),
    };
    keys.read("speed", read).map_or(Speed::Max, |(speed, _)| speed)
}

fn synthetic(keys: &Keys<'_>) -> SyntheticSpec {
    let day = |text: &str| match text.parse::<jiff::civil::Date>() {
        Ok(date) if (0..=DAY_LAST).contains(&ticktide_market::calendar::day_of(date)) => {
            Ok(ticktide_market::calendar::day_of(date))
        }
        Ok(_) => Err(("which is too far away".to_owned(), "choose a day from 1970-01-01 to 2199-12-31".to_owned())),
        Err(_) => Err(("which is no date".to_owned(), "write it like \"2024-07-01\"".to_owned())),
    };
    let most = |key: &str, default: u64, most: u64| keys.whole(key, 1, most).unwrap_or(default);
    SyntheticSpec {
        seed: keys.whole("seed", 0, i64::MAX as u64).unwrap_or(1),
        instruments: most("instruments", 50, 100_000) as u32,
        partitions: most("partitions", 4, 1_000) as u32,
        trades_a_day: most("trades_a_day", 1_000_000, 1_000_000_000),
        first_day: keys.read("first_day", day).map_or(19_905, |(day, _)| day), // Mon 2024-07-01
        gaps: keys.whole("gaps", 0, u64::from(feed::synthetic::GAPS_MOST)).unwrap_or(0) as u32,
    }
}

/// librdkafka's settings with `${ENV}` and `@file` resolved, and the keys whose values must never be shown.
fn kafka(keys: &Keys<'_>) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let (mut settings, mut secrets) = (BTreeMap::new(), BTreeSet::new());
    let Some(table) = keys.table("kafka", "{ \"security.protocol\" = \"SASL_SSL\" }") else {
        return (settings, secrets);
    };
    for (key, node) in table.leaves() {
        let Some(written) = node.value.scalar() else {
            keys.wrong_type(&key, node, "text", "librdkafka's settings are texts, numbers or booleans");
            continue;
        };
        if key == "bootstrap.servers" || key == "metadata.broker.list" {
            keys.problems().add(&node.place, format!("`{key}` is set apart from its settings"), "set `source.brokers`");
            continue;
        }
        if document::looks_secret(&key) || written.contains("${") || written.starts_with('@') {
            secrets.insert(key.clone());
        }
        match resolved(&written) {
            Ok(value) => {
                settings.insert(key, value);
            }
            Err((message, hint)) => keys.problems().add(&node.place, format!("`{key}`: {message}"), hint),
        }
    }
    (settings, secrets)
}

/// Replaces every `${NAME}` by the environment's value, or the whole of `@file` by the file's text.
fn resolved(written: &str) -> Result<String, (String, String)> {
    if let Some(path) = written.strip_prefix('@') {
        let text = std::fs::read_to_string(path).map_err(|error| {
            (format!("the file {path:?} cannot be read: {error}"), "check the path after `@`".to_owned())
        })?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (mut value, mut rest) = (String::new(), written);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(("a `${` is not closed".to_owned(), "write it as `${NAME}`".to_owned()));
        };
        let found = settings::variable(name).ok_or_else(|| {
            (format!("the environment variable {name} is not set"), format!("export {name}, or use `@file`"))
        })?;
        value.push_str(before);
        value.push_str(&found);
        rest = behind;
    }
    value.push_str(rest);
    Ok(value)
}

fn bars(keys: &Keys<'_>) -> Vec<Interval> {
    let default = || vec![Interval(SECOND), Interval(MINUTE)];
    let Some(items) = keys.list("bars", BARS_EXAMPLE) else { return default() };
    let problems = keys.problems();
    let mut found: Vec<(Interval, &Place)> = Vec::new();
    for item in items {
        let Value::Table(table) = &item.value else {
            keys.wrong_type("bars", item, "a table", format!("e.g. `bars = {BARS_EXAMPLE}`"));
            continue;
        };
        let bar = Keys::new("a bar", table, &["use", "every"], problems);
        bar.choice("use", &["time"]);
        if bar.node("every").is_none() {
            problems.add(&item.place, "a bar has no `every`", "e.g. `every = \"1m\"`");
        }
        let Some((nanos, place)) = bar.duration("every") else { continue };
        if !(MILLI..=LONGEST).contains(&nanos) || nanos % MILLI != 0 {
            let message = format!("`every` is {}, which is no width for a bar", duration_text(nanos));
            problems.add(place, message, "a bar takes whole milliseconds, at most \"1d\"");
        } else if found.iter().any(|(interval, _)| interval.0 == nanos) {
            problems.add(place, format!("there are two bars of {}", duration_text(nanos)), "remove one of them");
        } else {
            found.push((Interval(nanos), place));
        }
    }
    if items.is_empty() {
        let place = keys.node("bars").map_or(Place::Name("bars".to_owned()), |node| node.place.clone());
        problems.add(&place, "`bars` is empty", format!("a dataflow makes bars: `bars = {BARS_EXAMPLE}`"));
    }
    if found.len() > INTERVALS_MOST {
        let place = keys.node("bars").map_or(Place::Name("bars".to_owned()), |node| node.place.clone());
        let message = format!("`bars` has {} intervals, the most is {INTERVALS_MOST}", found.len());
        problems.add(&place, message, "coarser bars can be added up from finer ones in a query: leave some out");
        return default();
    }
    let Some(finest) = found.iter().map(|(interval, _)| *interval).min() else { return default() };
    for (interval, place) in &found {
        if interval.0 % finest.0 != 0 {
            let (interval, finest) = (duration_text(interval.0), duration_text(finest.0));
            let message = format!("`every` is {interval}, which is not a multiple of the finest bar, {finest}");
            problems.add(place, message, "coarser bars are made of the finest ones: choose multiples of it");
        }
    }
    let mut intervals: Vec<Interval> = found.into_iter().map(|(interval, _)| interval).collect();
    intervals.sort();
    intervals
}

fn horizons(keys: &Keys<'_>) -> Horizons {
    let mut horizons = Horizons {
        entries: BTreeMap::from([
            (Interval(SECOND), Horizon::Span(10 * MINUTE)),
            (Interval(MINUTE), Horizon::Span(2 * HOUR)),
        ]),
        default: Horizon::Session,
    };
    let Some(table) = keys.table("horizon", "{ \"1s\" = \"10m\", default = \"1 session\" }") else { return horizons };
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let below = Keys::new("`horizon`", table, &names, keys.problems());
    let read = |text: &str| match text {
        "1 session" | "session" => Ok(Horizon::Session),
        _ => duration(text).map(Horizon::Span).map_err(|fault| (fault, "e.g. \"10m\" or \"1 session\"".to_owned())),
    };
    for (name, place, _) in table.entries() {
        let horizon = below.read(name, read).map(|(horizon, _)| horizon);
        match (name, duration(name)) {
            ("default", _) => horizons.default = horizon.unwrap_or(horizons.default),
            (_, Ok(nanos)) if nanos > 0 => {
                horizons.entries.extend(horizon.map(|horizon| (Interval(nanos), horizon)));
            }
            _ => {
                let hint = "its keys are intervals like \"1m\" (for bars up to a minute) and `default`";
                keys.problems().add(place, format!("`{name}` in `horizon` is no interval"), hint);
            }
        }
    }
    horizons
}

/// A horizon covers the grace, and with corrections the retention covers every horizon that is a span.
fn check_horizons(
    keys: &Keys<'_>,
    horizons: &Horizons,
    bars: &[Interval],
    grace: Nanos,
    retention: Nanos,
    corrections: bool,
) {
    let place = |key: &str| {
        let places = ["horizon", key, "bars", "source"].map(|key| keys.node(key).map(|node| node.place.clone()));
        places.into_iter().flatten().next().unwrap_or(Place::Name(key.to_owned()))
    };
    let mut longest: Option<(Nanos, String)> = None;
    for interval in bars {
        let Horizon::Span(span) = horizons.horizon(*interval) else { continue };
        let (name, text) = (interval.name(), duration_text(span));
        if span < grace {
            let message =
                format!("the horizon of {name} bars is {text}, less than the grace of {}", duration_text(grace));
            keys.problems().add(
                &place("grace"),
                message,
                "a bar must be published before it is frozen: set `horizon` above `grace`",
            );
        }
        longest = longest.max(Some((span, name)));
    }
    // one answer for all intervals: what the longest horizon needs
    if let Some((span, name)) = longest.filter(|(span, _)| corrections && *span > retention) {
        let (text, kept) = (duration_text(span), duration_text(retention));
        let message = format!("the horizon of {name} bars is {text}, more than the retention of {kept}");
        let hint = format!("with corrections, trades are kept as long as bars change: `retention = \"{text}\"`");
        keys.problems().add(&place("retention"), message, hint);
    }
}

/// What cannot be had together.
fn check_together(keys: &Keys<'_>, traits: &Traits, dedupe: Dedupe) {
    let refuse = |key: &str, message: &str, hint: &str| {
        let place = keys.node(key).map_or(Place::Name(key.to_owned()), |node| node.place.clone());
        keys.problems().add(&place, message, hint);
    };
    if traits.corrections && keys.node("conditions").is_some() {
        refuse(
            "conditions",
            "`conditions` and `source.corrections = true` cannot be had together: volume that is carried to an earlier bar \
             cannot be taken back behind the horizon",
            "drop `conditions`, or set `source.corrections = false`: cancels and corrections then go to quarantine",
        );
    }
    if traits.volume == Volume::Cumulative && dedupe == Dedupe::Instrument {
        refuse(
            "dedupe",
            "`dedupe = \"instrument\"` finds no duplicates of snapshots, which `source.volume = \"cumulative\"` makes bars of",
            "set `dedupe = \"partition\"`, and let an instrument come through one partition",
        );
    }
}

fn indicators_of(keys: &Keys<'_>, bars: &[Interval]) -> Vec<IndicatorUse> {
    let example = "[{ use = \"ema\", period = 20, on = \"1m\" }]";
    let mut uses: Vec<IndicatorUse> = Vec::new();
    let mut outputs: BTreeSet<(Interval, String)> = BTreeSet::new();
    for item in keys.list("indicators", example).unwrap_or_default() {
        let Value::Table(table) = &item.value else {
            keys.wrong_type("indicators", item, "a table", format!("e.g. `indicators = {example}`"));
            continue;
        };
        let Some(found) = indicator(table, item, bars, keys.problems()) else { continue };
        match indicators::build(&found.name, &found.parameters) {
            Ok(built) => {
                for output in built.outputs() {
                    if !outputs.insert((found.on, output.clone())) {
                        let message = format!("two indicators on {} say {output:?}", found.on.name());
                        keys.problems().add(&item.place, message, "remove one of them");
                    }
                }
                uses.push(found);
            }
            Err(error) => {
                let culprit =
                    table.entries().find(|(key, ..)| error.message.contains(&format!(" {key} ")) && *key != "on");
                let node = culprit.map(|(.., node)| node).or(table.get("use")).unwrap_or(item);
                keys.problems().add(&node.place, error.message, error.hint);
            }
        }
    }
    uses
}

/// One entry of `indicators`: `use`, `on`, and parameters that the registry checks.
fn indicator(table: &Table, item: &Node, bars: &[Interval], problems: &Problems) -> Option<IndicatorUse> {
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let keys = Keys::new("an indicator", table, &names, problems);
    for key in ["use", "on"] {
        if keys.node(key).is_none() {
            problems.add(
                &item.place,
                format!("an indicator has no `{key}`"),
                "e.g. `{ use = \"ema\", period = 20, on = \"1m\" }`",
            );
        }
    }
    let mut parameters = BTreeMap::new();
    for (name, _, node) in table.entries().filter(|(name, ..)| !["use", "on"].contains(name)) {
        let setting = match &node.value {
            Value::Integer(number) => indicators::Setting::from(*number),
            Value::Float(number) => indicators::Setting::from(*number),
            Value::Text(text) => indicators::Setting::from(text.as_str()),
            _ => {
                keys.wrong_type(name, node, "a number or text", format!("e.g. `{name} = 14`"));
                continue;
            }
        };
        parameters.insert(name.to_owned(), setting);
    }
    let (name, on) = (keys.text("use"), keys.duration("on"));
    let ((name, _), (on, place)) = (name?, on?);
    if !bars.contains(&Interval(on)) {
        let there: Vec<String> = bars.iter().map(|interval| interval.name()).collect();
        let message = format!("indicator {name:?} is on {}, but there are no such bars", duration_text(on));
        problems.add(place, message, format!("there are bars of {}", there.join(", ")));
    }
    Some(IndicatorUse { name, parameters, on: Interval(on) })
}

fn conditions(keys: &Keys<'_>) -> Option<ConditionsSpec> {
    let example = "{ field = \"conditions\", hex = true, no_price = [\"0x20 & !0x2000\"] }";
    let table = keys.table("conditions", example)?;
    let known = ["field", "hex", "no_price", "no_volume", "suspicious"];
    let keys = Keys::new("`conditions`", table, &known, keys.problems());
    let rules = |key: &str| {
        let mut rules = Vec::new();
        for text in keys.texts(key).unwrap_or_default() {
            match Condition::parse(&text) {
                Some(rule) => rules.push(rule),
                None => {
                    let place = keys.node(key).map_or(Place::Name(key.to_owned()), |node| rule_place(node, &text));
                    let hint = "a rule is `MASK`, `MASK & !MASK2` or `= CODE`, numbers like 0x20 or 32";
                    keys.problems().add(&place, format!("`{key}` has the rule {text:?}, which cannot be read"), hint);
                }
            }
        }
        rules
    };
    Some(ConditionsSpec {
        field: keys.text("field").map_or("conditions".to_owned(), |(field, _)| field),
        hex: keys.boolean("hex").unwrap_or(false),
        no_price: rules("no_price"),
        no_volume: rules("no_volume"),
        suspicious: keys.text("suspicious").map(|(field, _)| field),
    })
}

/// The place of one text in a list of texts.
fn rule_place(node: &Node, text: &str) -> Place {
    let items = if let Value::List(items) = &node.value { items.as_slice() } else { &[] };
    let item = items.iter().find(|item| item.value == Value::Text(text.to_owned()));
    item.unwrap_or(node).place.clone()
}
