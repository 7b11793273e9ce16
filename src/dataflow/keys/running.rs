//! The keys that control a run: when an epoch ends, how much is in progress, how it waits for partitions and wild times.

use super::key::{Key, KeyType, field};
use super::section::Section;
use ticktide_base::time::{DAY, MILLI, SECOND};
use ticktide_lake::upkeep::REWRITE_BYTES_MAX;

/// The most steps in progress: a step holds what a worker has not finished of it.
const STEPS_MOST: u64 = 1_024;
/// The most undecided epochs: all of them are granted at once, and each holds its horizons and its files.
const EPOCHS_MOST: u64 = 64;
/// The greatest count of records.
const COUNT_MOST: u64 = u32::MAX as u64;

pub static EPOCH: Section = Section {
    name: "epoch",
    title: "Epochs",
    doc: "An epoch is what is published together. It ends when it reaches the first of these two limits.",
    example: "{ every = \"10s\" }",
    begin: |_| {},
    keys: &[
        Key::new(
            "epoch.every",
            "How long an epoch lasts at most.",
            KeyType::Span { default: 10 * SECOND, least: MILLI, field: field!(epoch.every) },
        ),
        Key::new(
            "epoch.records",
            "How many records an epoch has before it ends early.",
            KeyType::Whole { default: 1_000_000, least: 1, most: COUNT_MOST, field: field!(epoch.records) },
        ),
    ],
};

pub static LIMITS: Section = Section {
    name: "limits",
    title: "Limits",
    doc: "How much may be in progress, or rewritten, at once. A run that reaches a limit pauses its reading.",
    example: "{ steps = 8 }",
    begin: |_| {},
    keys: &[
        Key::new(
            "limits.steps",
            "How many steps may be in progress.",
            KeyType::Whole { default: 8, least: 1, most: STEPS_MOST, field: field!(limits.steps) },
        ),
        Key::new(
            "limits.epochs",
            "How many epochs may wait for their commit.",
            KeyType::Whole { default: 4, least: 1, most: EPOCHS_MOST, field: field!(limits.epochs) },
        ),
        Key::new(
            "limits.bytes",
            "How many bytes of records may be in progress, all workers together.",
            KeyType::Size { default: 64 << 20, field: field!(limits.bytes) },
        ),
        Key::new(
            "limits.rewrite",
            "Up to how many bytes a correction rewrites a data file; a bigger one gets a delete file.",
            KeyType::Size { default: REWRITE_BYTES_MAX, field: field!(limits.rewrite) },
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
            "How long a partition must have nothing to read before the others no longer wait for it.",
            KeyType::Span { default: 2 * SECOND, least: 0, field: field!(idle_after) },
        ),
        Key::new(
            "max_skew",
            "How far a partition may be ahead of the slowest one, in event time, before its reading pauses.",
            KeyType::Span { default: 60 * SECOND, least: MILLI, field: field!(max_skew) },
        ),
        Key::of_rows(
            "max_jump",
            "How far a record's time may jump ahead before later records must confirm it.",
            KeyType::Span { default: 7 * DAY, least: SECOND, field: field!(max_jump) },
        ),
        Key::of_rows(
            "confirmations",
            "How many later records must confirm a jump in time.",
            KeyType::Whole { default: 3, least: 1, most: COUNT_MOST, field: field!(confirmations) },
        ),
        Key::of_rows(
            "prices",
            "Whether prices are above 0 (`positive`), or may be 0 and below (`signed`).",
            KeyType::Word {
                default: "positive",
                words: || vec!["positive", "signed"],
                get: |dataflow| if dataflow.prices_signed { "signed" } else { "positive" },
                set: |dataflow, word| dataflow.prices_signed = word == "signed",
            },
        ),
        Key::new(
            "step",
            "How often a worker passes on what it has read; a step is the smallest unit of an epoch.",
            KeyType::Span { default: 100 * MILLI, least: MILLI, field: field!(step) },
        ),
    ],
};
