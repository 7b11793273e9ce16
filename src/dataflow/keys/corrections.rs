//! The keys that say what can still change: duplicates, late ticks, corrections, and how far back bars are open to them.

use super::key::{Key, KeyType, Own, Read, Show, field};
use super::section::Section;
use super::values;
use crate::spec::{Dedupe, Horizon, Horizons};
use serde_json::json;
use std::collections::BTreeMap;
use ticktide_base::document::{Keys, duration, duration_text};
use ticktide_base::time::{HOUR, Interval, MINUTE, SECOND};

/// Sessions of a horizon: each is looked up in the calendar.
const SESSIONS_MOST: u32 = 1_000;

pub static SECTION: Section = Section {
    name: "",
    title: "Duplicates, late ticks and corrections",
    doc: "What can still change a row that was published.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::of_rows(
            "dedupe",
            "Where duplicates of a record are searched for: in its partition, or in all partitions of its instrument.",
            KeyType::Word {
                default: "partition",
                words: || vec!["partition", "instrument"],
                get: |dataflow| if dataflow.dedupe == Dedupe::Instrument { "instrument" } else { "partition" },
                set: |dataflow, word| {
                    dataflow.dedupe = if word == "instrument" { Dedupe::Instrument } else { Dedupe::Partition };
                },
            },
        ),
        Key::of_rows(
            "retention",
            "How long trades are kept so that a cancel or a correction finds them.",
            KeyType::Span { default: 2 * HOUR, least: 0, field: field!(retention) },
        ),
        Key::of_rows(
            "grace",
            "How long a bar waits for late ticks before it is published.",
            KeyType::Span { default: 5 * SECOND, least: 0, field: field!(grace) },
        ),
        Key::of_rows(
            "horizon.*",
            "How far back bars up to this interval (`\"1m\"`) can change: a duration, or `N sessions` (the trading day and the N before it).",
            KeyType::Own(HORIZON),
        )
        .hashed_as(|dataflow| {
            let resolved = |interval: &Interval| {
                let horizon = horizon_text(dataflow.horizons.horizon(*interval));
                (format!("horizon.{}", interval.name()), json!(horizon))
            };
            dataflow.bars.iter().map(resolved).collect()
        }),
        Key::of_rows("horizon.default", "The same for bars of longer intervals.", KeyType::Own(HORIZON_DEFAULT))
            // each interval's horizon is in the hash already
            .hashed_as(|_| Vec::new()),
    ],
};

const HORIZON: Own = Own {
    name: "duration or word",
    default: "{ \"1s\" = \"10m\", \"1m\" = \"2h\" }",
    read: Read::With(|keys, dataflow| dataflow.horizons = horizons(keys)),
    show: Show::Each(|dataflow| {
        let entries = dataflow.horizons.entries.iter();
        entries.map(|(interval, horizon)| (interval.name(), json!(horizon_text(*horizon)))).collect()
    }),
    schema: || {
        let sessions = json!({ "type": "string", "pattern": "^[0-9]*\\s*sessions?$" });
        let horizon = json!({ "anyOf": [sessions, values::duration()] });
        json!({ "type": "object", "additionalProperties": horizon })
    },
};

const HORIZON_DEFAULT: Own = Own {
    name: "duration or word",
    default: "\"1 session\"",
    read: Read::ByWhole,
    show: Show::One(|dataflow| Some(json!(horizon_text(dataflow.horizons.default)))),
    schema: || json!({}),
};

fn horizons(keys: &Keys<'_>) -> Horizons {
    let mut horizons = Horizons {
        entries: BTreeMap::from([
            (Interval(SECOND), Horizon::Span(10 * MINUTE)),
            (Interval(MINUTE), Horizon::Span(2 * HOUR)),
        ]),
        default: Horizon::Sessions(1),
    };
    let Some(table) = keys.table("horizon", "{ \"1s\" = \"10m\", default = \"1 session\" }") else { return horizons };
    let names: Vec<&str> = table.entries().map(|(name, ..)| name).collect();
    let below = Keys::new("`horizon`", table, &names, keys.problems());
    for (name, place, _) in table.entries() {
        let horizon = below.read(name, horizon).map(|(horizon, _)| horizon);
        match (name, duration(name)) {
            ("default", _) => horizons.default = horizon.unwrap_or(horizons.default),
            (_, Ok(nanos)) if nanos > 0 => {
                horizons.entries.extend(horizon.map(|horizon| (Interval(nanos), horizon)));
            }
            _ => {
                let hint = "its keys are intervals like \"1m\" (for bars up to a minute) and `default`";
                keys.problems().add(place, format!("`{name}` in `horizon` is not an interval"), hint);
            }
        }
    }
    horizons
}

fn horizon(text: &str) -> Result<Horizon, (String, String)> {
    let hint = || "e.g. \"10m\", \"1 session\" or \"5 sessions\"".to_owned();
    let Some(count) = text.strip_suffix("sessions").or_else(|| text.strip_suffix("session")).map(str::trim_end) else {
        return duration(text).map(Horizon::Span).map_err(|fault| (fault, hint()));
    };
    match count.parse() {
        _ if text == "session" => Ok(Horizon::Sessions(1)),
        _ if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(("which is not a count of sessions".to_owned(), hint()))
        }
        Ok(count @ 1..=SESSIONS_MOST) => Ok(Horizon::Sessions(count)),
        Ok(0) => Err(("the least is one session".to_owned(), hint())),
        _ => {
            let longer = "a duration may be longer, e.g. \"2000d\"".to_owned();
            Err((format!("the most is {SESSIONS_MOST} sessions"), longer))
        }
    }
}

fn horizon_text(horizon: Horizon) -> String {
    match horizon {
        Horizon::Span(span) => duration_text(span),
        Horizon::Sessions(1) => "1 session".to_owned(),
        Horizon::Sessions(count) => format!("{count} sessions"),
    }
}
