//! `list`: prints the registries.

use super::{Global, aligned, print};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use ticktide_base::error::Error;
use ticktide_dataflow::{SHIPPED, presets, reference};
use ticktide_feed as feed;
use ticktide_flow::anomalies::CHECKS;
use ticktide_flow::indicators::{Anchor, INDICATORS, Spec};
use ticktide_flow::parameters::Parameter;
use ticktide_market::calendar::PRESETS;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The registry to list
    pub what: RegistryName,
    /// With `formats`: show which formats and presets decode the first records of a file, and propose its `source`
    #[arg(long, value_name = "FILE")]
    pub sniff: Option<PathBuf>,
    /// With `--sniff`: how many records to read
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RegistryName {
    /// Where ticks come from
    Sources,
    /// How records are decoded
    Formats,
    /// What is computed from bars, with parameters and defaults
    Indicators,
    /// Checks of ticks, bars and feeds, with parameters and defaults
    Anomalies,
    /// Dataflows that are shipped with ticktide
    Dataflows,
    /// Feeds whose records are known: one name sets wire, fields, kinds and times
    Presets,
    /// Trading sessions by name
    Sessions,
    /// The keys of a dataflow file, with types and defaults
    Keys,
}

/// One entry: name, settings in columns, a line of doc.
struct Entry {
    name: String,
    settings: Vec<String>,
    doc: String,
    detail: Value,
}

fn entry(name: &str, doc: &str) -> Entry {
    Entry { name: name.to_owned(), settings: Vec::new(), doc: doc.to_owned(), detail: json!({}) }
}

/// Prints a registry.
pub fn list(args: &ListArgs, global: &Global) -> Result<(), Error> {
    if let Some(path) = &args.sniff {
        if args.what != RegistryName::Formats {
            return Err(Error::fix("`--sniff` needs `formats`", "run `ticktide list formats --sniff FILE`"));
        }
        return super::sniff::sniff(path, args.records, global.json);
    }
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
        let cells = [&entry.name].into_iter().chain(&entry.settings).chain([&entry.doc]);
        cells.cloned().collect()
    };
    print(&aligned(&entries.iter().map(row).collect::<Vec<_>>()))
}

fn entries(what: RegistryName) -> Vec<Entry> {
    match what {
        RegistryName::Sources => feed::SOURCES.iter().map(|kind| entry(kind.name, kind.doc)).collect(),
        RegistryName::Formats => feed::wire::FORMATS.iter().map(|format| entry(format.name, format.doc)).collect(),
        RegistryName::Indicators => indicators(),
        RegistryName::Anomalies => checks(),
        RegistryName::Dataflows => SHIPPED.iter().map(|(name, text)| entry(name, &first_comment(text))).collect(),
        RegistryName::Presets => presets::PRESETS.iter().map(preset).collect(),
        RegistryName::Sessions => PRESETS.iter().map(|(name, doc)| entry(name, doc)).collect(),
        RegistryName::Keys => keys(),
    }
}

fn preset(preset: &presets::Preset) -> Entry {
    let detail = json!({ "source": preset.source, "settings": preset.settings.trim() });
    Entry { detail, ..entry(preset.name, preset.doc) }
}

/// The comment that a dataflow's file opens with, on one line.
fn first_comment(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix('#')).take_while(|line| !line.starts_with("   "));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Name and default of each parameter, or `-`.
fn defaults(parameters: &[Parameter], more: Option<String>) -> String {
    let settings: Vec<String> =
        parameters.iter().map(|p| format!("{}={}", p.name, p.shown(p.default))).chain(more).collect();
    if settings.is_empty() { "-".to_owned() } else { settings.join(" ") }
}

fn described(p: &Parameter) -> Value {
    if p.words.is_empty() {
        json!({ "name": p.name, "default": p.default, "least": p.least, "most": p.most, "doc": p.doc })
    } else {
        json!({ "name": p.name, "default": p.shown(p.default), "words": p.words, "doc": p.doc })
    }
}

fn checks() -> Vec<Entry> {
    let entries = CHECKS.iter().map(|spec| Entry {
        name: spec.name.to_owned(),
        settings: vec![defaults(spec.parameters, Some(format!("level={}", spec.level.name())))],
        doc: spec.doc.to_owned(),
        detail: json!({
            "level": spec.level.name(),
            "parameters": spec.parameters.iter().map(described).collect::<Vec<_>>(),
        }),
    });
    entries.collect()
}

fn indicators() -> Vec<Entry> {
    let entry = |spec: &Spec| {
        let anchor = spec.anchor.map(|anchor| if anchor == Anchor::Session { "session" } else { "none" });
        Entry {
            name: spec.name.to_owned(),
            settings: vec![defaults(spec.parameters, anchor.map(|anchor| format!("anchor={anchor}")))],
            doc: spec.doc.to_owned(),
            detail: json!({
                "parameters": spec.parameters.iter().map(described).collect::<Vec<_>>(),
                "anchor": anchor,
            }),
        }
    };
    INDICATORS.iter().map(entry).collect()
}

fn keys() -> Vec<Entry> {
    let entry = |key: reference::ListedKey| Entry {
        name: key.name.to_owned(),
        detail: json!({
            "type": key.kind,
            "default": if key.default.is_empty() { None } else { Some(&key.default) },
            "changes_rows": key.changes_rows,
        }),
        settings: vec![key.kind, if key.default.is_empty() { "-".to_owned() } else { key.default }],
        doc: key.doc.to_owned(),
    };
    reference::keys().into_iter().map(entry).collect()
}
