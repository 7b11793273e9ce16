//! The keys that say how a run goes: when an epoch ends, how much is under way, how it waits for partitions and wild times.

use super::key::{Key, Kind, field};
use super::section::Section;
use ticktide_base::time::{DAY, MILLI, SECOND};
use ticktide_lake::upkeep::REWRITE_BYTES_MAX;

/// Steps under way at most: a step holds what a worker has not finished of it.
const STEPS_MOST: u64 = 1_024;
/// Undecided epochs at most: all of them are granted at once, and each holds its horizons and its files.
const EPOCHS_MOST: u64 = 64;
/// Counts of records.
const COUNT_MOST: u64 = u32::MAX as u64;

pub static EPOCH: Section = Section {
    name: "epoch",
    title: "Epochs",
    doc: "An epoch is what is published together. It ends with the first of these two.",
    example: "{ every = \"10s\" }",
    begin: |_| {},
    keys: &[
        Key::new(
            "epoch.every",
            "How long an epoch lasts at most.",
            Kind::Span { default: 10 * SECOND, least: MILLI, field: field!(epoch.every) },
        ),
        Key::new(
            "epoch.records",
            "How many records an epoch has before it ends early.",
            Kind::Whole { default: 1_000_000, least: 1, most: COUNT_MOST, field: field!(epoch.records) },
        ),
    ],
};

pub static LIMITS: Section = Section {
    name: "limits",
    title: "Limits",
    doc: "How much may be under way, or written again, at once. A run that reaches a limit reads on later.",
    example: "{ steps = 8 }",
    begin: |_| {},
    keys: &[
        Key::new(
            "limits.steps",
            "How many steps may be under way.",
            Kind::Whole { default: 8, least: 1, most: STEPS_MOST, field: field!(limits.steps) },
        ),
        Key::new(
            "limits.epochs",
            "How many epochs may wait for their commit.",
            Kind::Whole { default: 4, least: 1, most: EPOCHS_MOST, field: field!(limits.epochs) },
        ),
        Key::new(
            "limits.bytes",
            "How many bytes of records may be under way, all workers together.",
            Kind::Size { default: 64 << 20, field: field!(limits.bytes) },
        ),
        Key::new(
            "limits.rewrite",
            "Up to how many bytes a data file is written again by a correction; a bigger one gets a delete file.",
            Kind::Size { default: REWRITE_BYTES_MAX, field: field!(limits.rewrite) },
        ),
    ],
};

pub static PACE: Section = Section {
    name: "",
    title: "Pace, wild times and prices",
    doc: "How long a run waits for a slow partition, and how it treats a time or a price that looks wrong.",
    example: "",
    begin: |_| {},
    keys: &[
        Key::new(
            "idle_after",
            "How long a partition must have nothing to read before no other one waits for it.",
            Kind::Span { default: 2 * SECOND, least: 0, field: field!(idle_after) },
        ),
        Key::new(
            "max_skew",
            "How far a partition may be ahead of the slowest one, in event time, before its reading pauses.",
            Kind::Span { default: 60 * SECOND, least: MILLI, field: field!(max_skew) },
        ),
        Key::of_rows(
            "max_jump",
            "How far a record's time may jump ahead before later records must confirm it.",
            Kind::Span { default: 7 * DAY, least: SECOND, field: field!(max_jump) },
        ),
        Key::of_rows(
            "confirmations",
            "How many later records must confirm a jump in time.",
            Kind::Whole { default: 3, least: 1, most: COUNT_MOST, field: field!(confirmations) },
        ),
        Key::of_rows(
            "prices",
            "Whether prices are above 0 (`positive`), or may be 0 and below (`signed`).",
            Kind::Word {
                default: "positive",
                words: || vec!["positive", "signed"],
                get: |dataflow| if dataflow.prices_signed { "signed" } else { "positive" },
                set: |dataflow, word| dataflow.prices_signed = word == "signed",
            },
        ),
        Key::new(
            "step",
            "How often a worker hands on what it has read; a step is the least unit of an epoch.",
            Kind::Span { default: 100 * MILLI, least: MILLI, field: field!(step) },
        ),
    ],
};
