//! `list`: the registries, as they are.

use super::{Global, aligned, print};
use crate::calendar::PRESETS;
use crate::dataflow::SHIPPED;
use crate::error::Error;
use crate::feed;
use crate::flow::anomalies::CHECKS;
use crate::flow::indicators::{Anchor, INDICATORS, Spec};
use crate::flow::parameters::Parameter;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub struct ListArgs {
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Where ticks come from
    Sources,
    /// How records are decoded
    Formats,
    /// What is read off bars, with parameters and defaults
    Indicators,
    /// Checks of ticks, bars and feeds, with parameters and defaults
    Anomalies,
    /// Dataflows that come with ticktide
    Dataflows,
    /// Trading sessions by name
    Sessions,
}

/// One entry: name, settings, a line of doc.
struct Entry {
    name: String,
    settings: String,
    doc: String,
    detail: Value,
}

fn entry(name: &str, doc: &str) -> Entry {
    Entry { name: name.to_owned(), settings: String::new(), doc: doc.to_owned(), detail: json!({}) }
}

/// Prints a registry.
pub fn list(args: ListArgs, global: &Global) -> Result<(), Error> {
    let entries = entries(args.what);
    if global.json {
        for Entry { name, doc, detail, .. } in &entries {
            let mut line = json!({ "name": name, "doc": doc });
            if let (Some(line), Value::Object(detail)) = (line.as_object_mut(), detail) {
                line.extend(detail.clone());
            }
            print(&format!("{line}\n"))?;
        }
        return Ok(());
    }
    let row = |entry: &Entry| {
        let cells = [&entry.name, &entry.settings, &entry.doc];
        cells.into_iter().filter(|cell| !cell.is_empty()).cloned().collect()
    };
    print(&aligned(&entries.iter().map(row).collect::<Vec<_>>()))
}

fn entries(what: What) -> Vec<Entry> {
    match what {
        What::Sources => feed::SOURCES.iter().map(|kind| entry(kind.name, kind.doc)).collect(),
        What::Formats => feed::wire::FORMATS.iter().map(|format| entry(format.name, format.doc)).collect(),
        What::Indicators => indicators(),
        What::Anomalies => checks(),
        What::Dataflows => SHIPPED.iter().map(|(name, text)| entry(name, &first_comment(text))).collect(),
        What::Sessions => PRESETS.iter().map(|(name, doc)| entry(name, doc)).collect(),
    }
}

/// The comment that a dataflow's file opens with, on one line.
fn first_comment(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#')).take_while(|line| !line.starts_with("   "));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Name and default of each parameter, or `-`.
fn defaults(parameters: &[Parameter], more: Option<String>) -> String {
    let settings: Vec<String> = parameters.iter().map(|p| format!("{}={}", p.name, p.default)).chain(more).collect();
    if settings.is_empty() { "-".to_owned() } else { settings.join(" ") }
}

fn described(p: &Parameter) -> Value {
    json!({ "name": p.name, "default": p.default, "least": p.least, "most": p.most, "doc": p.doc })
}

fn checks() -> Vec<Entry> {
    let entries = CHECKS.iter().map(|spec| Entry {
        name: spec.name.to_owned(),
        settings: defaults(spec.parameters, Some(format!("level={}", spec.level.name()))),
        doc: spec.doc.to_owned(),
        detail: json!({
            "level": spec.level.name(),
            "parameters": spec.parameters.iter().map(described).collect::<Vec<_>>(),
        }),
    });
    entries.collect()
}

fn indicators() -> Vec<Entry> {
    let entry = |spec: &&Spec| {
        let anchor = spec.anchor.map(|anchor| if anchor == Anchor::Session { "session" } else { "none" });
        Entry {
            name: spec.name.to_owned(),
            settings: defaults(spec.parameters, anchor.map(|anchor| format!("anchor={anchor}"))),
            doc: spec.doc.to_owned(),
            detail: json!({
                "parameters": spec.parameters.iter().map(described).collect::<Vec<_>>(),
                "anchor": anchor,
            }),
        }
    };
    INDICATORS.iter().map(entry).collect()
}
