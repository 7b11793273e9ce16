//! The keys of `source`: where ticks come from, how they are decoded, and what is known of them.

use super::decoding::{AMBIGUOUS, DECIMAL, FIELDS, PRESET, ROUND, THOUSANDS, TIME_FORMAT, TRIM, TYPES, ZONE};
use super::kafka;
use super::key::{FieldAccess, Key, KeyType, Own, Read, Show, field};
use super::section::Section;
use super::values;
use crate::spec::Volume;
use serde_json::json;
use ticktide_base::time::Nanos;
use ticktide_feed::synthetic::{DAY_LAST, GAPS_MOST};
use ticktide_feed::{LastLine, SOURCES, Speed, StartFrom, wire};
use ticktide_market::calendar::day_of;

/// Where a synthetic market begins: Monday, 2024-07-01.
const FIRST_DAY: i32 = 19_905;

pub static SECTION: Section = Section {
    name: "source",
    title: "Source",
    doc: "Where ticks come from, how a record is decoded, and what is known of the records.",
    example: "{ use = \"kafka\", topics = [\"ticks\"] }",
    begin: |_| {},
    keys: &[
        Key::new(
            "source.use",
            "Where ticks come from: the name of a source.",
            KeyType::Word {
                default: "kafka",
                words: || SOURCES.names(),
                get: |dataflow| &dataflow.source.uses,
                set: |dataflow, name| dataflow.source.uses = name.to_owned(),
            },
        ),
        Key::new("source.brokers", "The addresses of Kafka brokers, each HOST:PORT.", KeyType::Own(BROKERS)),
        Key::new(
            "source.topics",
            "The Kafka topics that are read.",
            KeyType::Texts {
                default: &["ticks"],
                field: FieldAccess {
                    get: |dataflow| Some(dataflow.source.topics.clone()),
                    set: |dataflow, topics| dataflow.source.topics = topics,
                },
            },
        ),
        Key::new(
            "source.paths",
            "The files, folders or glob patterns that are read with `use = \"file\"`.",
            KeyType::Texts {
                default: &[],
                field: FieldAccess {
                    get: |dataflow| Some(dataflow.source.paths.clone()),
                    set: |dataflow, paths| dataflow.source.paths = paths,
                },
            },
        )
        .shown_at(3),
        Key::new(
            "source.from",
            "Where a new lake begins to read: `earliest`, `latest`, or a time with its zone.",
            KeyType::Own(FROM),
        )
        .shown_at(2),
        Key::new(
            "source.until",
            "When a run ends: `end` is the end of the records that it found at its start.",
            KeyType::Word {
                default: "never",
                words: || vec!["never", "end"],
                get: |dataflow| if dataflow.source.until_end { "end" } else { "never" },
                set: |dataflow, word| dataflow.source.until_end = word == "end",
            },
        )
        .shown_at(5),
        Key::new(
            "source.clock",
            "Whether this machine's clock refutes times of a live source that no broker vouches for: `our`, or `none`.",
            KeyType::Word {
                default: "our",
                words: || vec!["our", "none"],
                get: |dataflow| if dataflow.clock { "our" } else { "none" },
                set: |dataflow, word| dataflow.clock = word == "our",
            },
        ),
        Key::new(
            "source.last_line",
            "A file's last line without a line end: it waits and is reported (`leave`), or it is a record (`take`).",
            KeyType::Own(LAST_LINE),
        )
        .shown_at(5),
        Key::new(
            "source.speed",
            "How fast recorded ticks are played: `max`, or a multiple of recorded time (1 is as recorded).",
            KeyType::Own(SPEED),
        )
        .shown_at(4),
        Key::of_rows(
            "source.wire",
            "How a record is decoded: the name of a wire format.",
            KeyType::Word {
                default: "json",
                words: || wire::FORMATS.names(),
                get: |dataflow| &dataflow.source.wire.format,
                set: |dataflow, name| dataflow.source.wire.format = name.to_owned(),
            },
        )
        .shown_at(7),
        Key::of_rows(
            "source.fields.*",
            "The record's name for one of ticktide's fields, where it is another: `time = \"ts\"`.",
            KeyType::Own(FIELDS),
        )
        .shown_at(7),
        Key::of_rows(
            "source.preset",
            "A known feed, whose wire, fields, kinds and times are then set (`ticktide list presets`); keys of the file go before them.",
            KeyType::Own(PRESET),
        )
        .shown_at(7),
        Key::of_rows(
            "source.types",
            "The feed's words for what a record is: `{ match = \"trade\", \"*@depth\" = \"ignore\", \"\" = \"snapshot\", \"*\" = \"ignore\" }`. An exact word goes before patterns, these count in their order; `\"\"` is a record without a type. Without it: trade, snapshot, cancel, correct.",
            KeyType::Own(TYPES),
        )
        .shown_at(7),
        Key::of_rows(
            "source.zone",
            "The time zone (IANA) of times without one.",
            KeyType::Own(ZONE),
        )
        .shown_at(7),
        Key::of_rows(
            "source.ambiguous",
            "What a time is that the clocks of the zone show twice or never: refused (`refuse`), the `earliest` or the `latest` moment.",
            KeyType::Own(AMBIGUOUS),
        )
        .shown_at(7),
        Key::of_rows(
            "source.time_format",
            "The form of every time, in strptime's letters: `%d/%m/%Y %H:%M:%S%.f`.",
            KeyType::Own(TIME_FORMAT),
        )
        .shown_at(7),
        Key::of_rows(
            "source.decimal",
            "The mark before the fraction of a number: `.` or `,`.",
            KeyType::Own(DECIMAL),
        )
        .shown_at(7),
        Key::of_rows(
            "source.thousands",
            "The mark between groups of digits: `,` reads 1,311.00 and 1,45,310.55.",
            KeyType::Own(THOUSANDS),
        )
        .shown_at(7),
        Key::of_rows(
            "source.round",
            "Whether prices and quantities with more than eight digits after the point are rounded, half to even; if not, they are refused unless a binary float has added the digits.",
            KeyType::Own(ROUND),
        )
        .shown_at(7),
        Key::of_rows(
            "source.trim",
            "Whether blanks around the fields of a line are left out (`true`) or belong to them.",
            KeyType::Own(TRIM),
        )
        .shown_at(7),
        Key::of_rows(
            "source.columns",
            "The names of a line's columns, in their order, for a format with columns.",
            KeyType::Texts {
                default: &[],
                field: FieldAccess {
                    get: |dataflow| Some(dataflow.source.wire.columns.clone()).filter(|columns| !columns.is_empty()),
                    set: |dataflow, columns| dataflow.source.wire.columns = columns,
                },
            },
        )
        .shown_at(7),
        Key::of_rows(
            "source.delimiter",
            "The one character between two columns; by default the format's own.",
            KeyType::Own(DELIMITER),
        )
        .shown_at(7),
        Key::of_rows(
            "source.volume",
            "What a record's volume counts: one trade (`trade`) or the day so far (`cumulative`: a record without a type is a snapshot).",
            KeyType::Word {
                default: "trade",
                words: || vec!["trade", "cumulative"],
                get: |dataflow| if dataflow.volume == Volume::Cumulative { "cumulative" } else { "trade" },
                set: |dataflow, word| {
                    dataflow.volume = if word == "cumulative" { Volume::Cumulative } else { Volume::Trade };
                },
            },
        )
        .shown_at(7),
        Key::of_rows(
            "source.sequence",
            "Whether equal sequence numbers mean the same record (`trusted`) or nothing (`none`).",
            KeyType::Word {
                default: "none",
                words: || vec!["none", "trusted"],
                get: |dataflow| if dataflow.sequence_trusted { "trusted" } else { "none" },
                set: |dataflow, word| dataflow.sequence_trusted = word == "trusted",
            },
        )
        .shown_at(7),
        Key::of_rows(
            "source.corrections",
            "Whether cancels and corrections change rows; if not, they go to the quarantine.",
            KeyType::Flag(field!(corrections)),
        )
        .shown_at(7),
        Key::new(
            "source.kafka.*",
            "A setting of librdkafka; `${NAME}` is an environment variable, `@FILE` the text of a file.",
            KeyType::Own(kafka::SETTINGS),
        )
        .shown_at(1),
        Key::new(
            "source.buffer",
            "The bytes that unread records may take in memory, for each reader.",
            KeyType::Size {
                default: 32 << 20,
                field: FieldAccess {
                    get: |dataflow| Some(dataflow.source.buffer_bytes as u64),
                    set: |dataflow, size| dataflow.source.buffer_bytes = usize::try_from(size).unwrap_or(usize::MAX),
                },
            },
        )
        .shown_at(6),
        Key::new(
            "source.seed",
            "The seed of the synthetic market: equal settings give equal records.",
            KeyType::Whole { default: 1, least: 0, most: i64::MAX as u64, field: field!(source.synthetic.seed) },
        )
        .shown_at(6),
        Key::new(
            "source.instruments",
            "How many instruments the synthetic market has.",
            KeyType::Whole {
                default: 50,
                least: 1,
                most: 100_000,
                field: FieldAccess {
                    get: |dataflow| Some(u64::from(dataflow.source.synthetic.instruments)),
                    set: |dataflow, count| dataflow.source.synthetic.instruments = count as u32,
                },
            },
        )
        .shown_at(6),
        Key::new(
            "source.partitions",
            "How many partitions the synthetic market has.",
            KeyType::Whole {
                default: 4,
                least: 1,
                most: 1_000,
                field: FieldAccess {
                    get: |dataflow| Some(u64::from(dataflow.source.synthetic.partitions)),
                    set: |dataflow, count| dataflow.source.synthetic.partitions = count as u32,
                },
            },
        )
        .shown_at(6),
        Key::new(
            "source.trades_a_day",
            "How many trades the synthetic market has in a day, all instruments together.",
            KeyType::Whole {
                default: 1_000_000,
                least: 1,
                most: 1_000_000_000,
                field: field!(source.synthetic.trades_a_day),
            },
        )
        .shown_at(6),
        Key::new(
            "source.first_day",
            "The first trading day of the synthetic market, from 1970-01-01 to 2199-12-31.",
            KeyType::Own(DAY),
        )
        .shown_at(6),
        Key::new(
            "source.gaps",
            "How often a day the synthetic feed is silent; each partition has the same number of silences of one instrument.",
            KeyType::Whole {
                default: 0,
                least: 0,
                most: GAPS_MOST as u64,
                field: FieldAccess {
                    get: |dataflow| Some(u64::from(dataflow.source.synthetic.gaps)),
                    set: |dataflow, count| dataflow.source.synthetic.gaps = count as u32,
                },
            },
        )
        .shown_at(6),
    ],
};

const BROKERS: Own = Own {
    name: "text or list of texts",
    default: "\"localhost:9092\"",
    read: Read::With(|keys, dataflow| {
        let brokers = keys.texts("brokers").map(|brokers| brokers.join(","));
        dataflow.source.brokers = brokers.unwrap_or_else(|| "localhost:9092".to_owned());
    }),
    show: Show::One(|dataflow| Some(json!(dataflow.source.brokers))),
    schema: || json!({ "type": ["string", "array"], "items": { "type": "string" } }),
};

const FROM: Own = Own {
    name: "time or word",
    default: "\"earliest\"",
    read: Read::With(|keys, dataflow| {
        dataflow.source.from = keys.read("from", start).map_or(StartFrom::Earliest, |(from, _)| from);
    }),
    show: Show::One(|dataflow| Some(json!(start_text(dataflow.source.from)))),
    schema: || json!({ "type": "string" }),
};

fn start(text: &str) -> Result<StartFrom, (String, String)> {
    match text {
        "earliest" => Ok(StartFrom::Earliest),
        "latest" => Ok(StartFrom::Latest),
        _ => instant(text).map(StartFrom::At).ok_or_else(|| {
            let hint = "set it to \"earliest\", \"latest\" or a time like \"2024-07-01T09:15:00+05:30\"";
            ("which is not a place to start from".to_owned(), hint.to_owned())
        }),
    }
}

fn instant(text: &str) -> Option<Nanos> {
    Nanos::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

fn start_text(from: StartFrom) -> String {
    match from {
        StartFrom::Earliest => "earliest".to_owned(),
        StartFrom::Latest => "latest".to_owned(),
        StartFrom::At(at) => jiff::Timestamp::from_nanosecond(i128::from(at))
            .expect("jiff's range holds every i64 of nanoseconds")
            .to_string(),
    }
}

/// The words for what happens to a last line, the default first.
const LAST_LINES: [(&str, LastLine); 2] = [("leave", LastLine::Leave), ("take", LastLine::Take)];

const LAST_LINE: Own = Own {
    name: "leave | take",
    default: "\"leave\"",
    read: Read::With(|keys, dataflow| {
        let found = keys.choice("last_line", &LAST_LINES.map(|(name, _)| name));
        dataflow.source.last_line = found.map_or(LastLine::Leave, |index| LAST_LINES[index].1);
    }),
    // older lakes have not recorded it
    show: Show::One(|dataflow| (dataflow.source.last_line == LastLine::Take).then(|| json!("take"))),
    schema: || values::words(&LAST_LINES.map(|(name, _)| name)),
};

const SPEED: Own = Own {
    name: "number or word",
    default: "\"max\"",
    read: Read::With(|keys, dataflow| {
        dataflow.source.speed = keys.read("speed", speed).map_or(Speed::Max, |(speed, _)| speed);
    }),
    show: Show::One(|dataflow| match dataflow.source.speed {
        Speed::Times(times) => Some(json!(times)),
        Speed::Max => Some(json!("max")),
    }),
    schema: || json!({ "anyOf": [{ "const": "max" }, { "type": "number", "exclusiveMinimum": 0 }] }),
};

fn speed(text: &str) -> Result<Speed, (String, String)> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err((
            "which is not a speed".to_owned(),
            "set it to \"max\" or to a number above 0: 1 is as recorded".to_owned(),
        )),
    }
}

const DELIMITER: Own = Own {
    name: "character",
    default: "",
    read: Read::With(|keys, dataflow| {
        dataflow.source.wire.delimiter = keys.read("delimiter", delimiter).map(|(byte, _)| byte);
    }),
    show: Show::One(|dataflow| dataflow.source.wire.delimiter.map(|byte| json!(char::from(byte)))),
    schema: || json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
};

fn delimiter(text: &str) -> Result<u8, (String, String)> {
    match text.as_bytes() {
        [byte] if !byte.is_ascii_alphanumeric() && !b"\"\r\n.-+:".contains(byte) => Ok(*byte),
        _ => Err(("which cannot separate columns".to_owned(), "e.g. \",\", \";\", \"|\" or \"\\t\"".to_owned())),
    }
}

const DAY: Own = Own {
    name: "date",
    default: "\"2024-07-01\"",
    read: Read::With(|keys, dataflow| {
        dataflow.source.synthetic.first_day = keys.read("first_day", day).map_or(FIRST_DAY, |(day, _)| day);
    }),
    show: Show::One(|dataflow| Some(json!(day_text(dataflow.source.synthetic.first_day)))),
    schema: || json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
};

fn day(text: &str) -> Result<i32, (String, String)> {
    match text.parse::<jiff::civil::Date>() {
        Ok(date) if (0..=DAY_LAST).contains(&day_of(date)) => Ok(day_of(date)),
        Ok(_) => Err(("which is out of range".to_owned(), "choose a day from 1970-01-01 to 2199-12-31".to_owned())),
        Err(_) => Err(("which is not a date".to_owned(), "write it like \"2024-07-01\"".to_owned())),
    }
}

fn day_text(day: i32) -> String {
    let at = jiff::Span::new().try_days(day).and_then(|days| jiff::civil::Date::constant(1970, 1, 1).checked_add(days));
    at.map_or_else(|_| day.to_string(), |date| date.to_string())
}
