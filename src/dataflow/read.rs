//! From the tree of settings to a dataflow: reads every key of the table, then checks which values fit together.
//!
//! What must always hold: every key is read or reported as unknown, a wrong one leaves its default and a problem, and what is
//! checked across keys (multiples, horizons, retention) is only checked on values that were read.

use crate::keys::section::{Section, names};
use crate::keys::{SECTIONS, top};
use crate::spec::{Dataflow, Dedupe, Horizon, Volume};
use ticktide_base::document::{Keys, LocatedValue, Location, Problems, Table, TomlValue, duration_text};
use ticktide_base::error::Classified;
use ticktide_base::time::Nanos;
use ticktide_feed as feed;

/// Reads the whole tree; the dataflow is only good when no problem was added.
pub fn read(name: &str, tree: &Table, problems: &Problems) -> Dataflow {
    let keys = Keys::new("a dataflow", tree, &top(), problems);
    let mut dataflow = Dataflow::blank(name);
    for section in SECTIONS {
        section_of(section, &keys, &mut dataflow);
    }
    dataflow.source.wire.conditions = dataflow.conditions.as_ref().map(|spec| spec.field.clone());
    dataflow.source.wire.suspicious = dataflow.conditions.as_ref().and_then(|spec| spec.suspicious.clone());
    dataflow.source.wire.cumulative = dataflow.volume == Volume::Cumulative;
    check_names(&keys, &dataflow);
    check_wire(&keys, &dataflow);
    check_horizons(&keys, &dataflow);
    check_together(&keys, &dataflow);
    dataflow
}

/// Reads the keys of a section; those of a table that is not there take their defaults.
fn section_of(section: &Section, top: &Keys<'_>, dataflow: &mut Dataflow) {
    if section.name.is_empty() {
        return section.keys.iter().for_each(|key| key.read(top, dataflow));
    }
    let empty = Table::default();
    let table = top.table(section.name, section.example);
    if table.is_some() {
        (section.begin)(dataflow);
    }
    let known = names(section.keys, &format!("{}.", section.name));
    let keys = Keys::new(&format!("`{}`", section.name), table.unwrap_or(&empty), &known, top.problems());
    section.keys.iter().for_each(|key| key.read(&keys, dataflow));
}

/// A key of `source`, if it is there.
fn of_source<'a>(keys: &Keys<'a>, key: &str) -> Option<&'a LocatedValue> {
    match &keys.node("source")?.value {
        TomlValue::Table(table) => table.get(key),
        _ => None,
    }
}

/// Refuses a list that is written down and names nothing; an absent one may come from a flag.
fn check_names(keys: &Keys<'_>, dataflow: &Dataflow) {
    let source = &dataflow.source;
    let (key, names, example) = match source.uses.as_str() {
        "kafka" => ("topics", &source.topics, "topics = [\"ticks\"]"),
        "file" => ("paths", &source.paths, "paths = [\"recorded/*.jsonl.gz\"]"),
        _ => return,
    };
    let Some(node) = of_source(keys, key).filter(|node| matches!(node.value, TomlValue::Text(_) | TomlValue::List(_)))
    else {
        return;
    };
    if names.iter().any(|name| name.trim().is_empty()) {
        keys.problems().add(&node.place, format!("`{key}` has an empty name"), format!("e.g. `{example}`"));
    } else if names.is_empty() {
        keys.problems().add(&node.place, format!("`{key}` is empty"), format!("e.g. `{example}`, or leave it out"));
    }
}

/// Asks the format itself whether it knows the fields.
fn check_wire(keys: &Keys<'_>, dataflow: &Dataflow) {
    if let Err(error) = feed::wire::build(&dataflow.source.wire) {
        let source = keys.node("source").filter(|node| matches!(node.value, TomlValue::Table(_)));
        let fields = of_source(keys, "fields").or(source);
        let place = fields.map_or(Location::Name("source.fields".to_owned()), |node| node.place.clone());
        let hint = Classified::hint(&error).unwrap_or_default();
        keys.problems().add(&place, error.to_string(), hint);
    }
}

/// A horizon covers the grace, and with corrections the retention covers every horizon that is a span.
fn check_horizons(keys: &Keys<'_>, dataflow: &Dataflow) {
    let Dataflow { grace, retention, corrections, .. } = *dataflow;
    let place = |key: &str| {
        let places = ["horizon", key, "bars", "source"].map(|key| keys.node(key).map(|node| node.place.clone()));
        places.into_iter().flatten().next().unwrap_or(Location::Name(key.to_owned()))
    };
    let mut longest: Option<(Nanos, String)> = None;
    for interval in &dataflow.bars {
        let Horizon::Span(span) = dataflow.horizons.horizon(*interval) else { continue };
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

/// Refuses keys that exclude each other.
fn check_together(keys: &Keys<'_>, dataflow: &Dataflow) {
    let refuse = |key: &str, message: &str, hint: &str| {
        let place = keys.node(key).map_or(Location::Name(key.to_owned()), |node| node.place.clone());
        keys.problems().add(&place, message, hint);
    };
    if dataflow.corrections && keys.node("conditions").is_some() {
        refuse(
            "conditions",
            "`conditions` and `source.corrections = true` exclude each other: volume that is carried to an earlier bar \
             cannot be taken back once that bar is beyond the horizon",
            "drop `conditions`, or set `source.corrections = false`: cancels and corrections then go to quarantine",
        );
    }
    if dataflow.volume == Volume::Cumulative && dataflow.dedupe == Dedupe::Instrument {
        refuse(
            "dedupe",
            "`dedupe = \"instrument\"` finds no duplicates of snapshots, and `source.volume = \"cumulative\"` reads snapshots",
            "set `dedupe = \"partition\"`, and send each instrument through one partition",
        );
    }
}
