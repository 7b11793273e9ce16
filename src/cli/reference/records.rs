//! The pages of a record's fields, and of the sources and wire formats of records.

use super::{Page, code};
use ticktide_dataflow::presets;
use ticktide_feed::wire::{FIELDS, FORMATS, FieldDoc, Has};
use ticktide_feed::{SOURCES, wire};

pub(super) fn fields() -> Page {
    let first = "\
A record of the wires `json` and `csv` is a trade, a snapshot, a cancel or a correction. These are its fields by ticktide's \
names; `source.fields` maps them to the record's own names, e.g. `fields = { time = \"ts\" }`. Other fields are ignored.

- A **decimal** is read from its digits, never through a floating-point number: at most eight digits after the point, below \
10¹⁰. In JSON it may be a number or a text.
- A **time** is a whole number of s, ms, µs or ns since 1970, whose size decides the unit, or RFC 3339 text, from 1990 to 2100.
- JSON `null` and an empty text mean that the field is absent. A record with the same field twice is refused.

In the table, *must*: the record is refused without it. *Either*: it or the other field that the meaning names. *May*: it may \
be absent. *–*: it is ignored.";
    let mut page = Page::new("The fields of a record", "the table of fields", first);
    page.text("");
    let row = |field: &FieldDoc| {
        let has = field.has.map(|has| match has {
            Has::Must => "must",
            Has::Either => "either",
            Has::May => "may",
            Has::No => "–",
        });
        let mut cells = vec![code(field.name), field.kind.to_owned()];
        cells.extend(has.map(str::to_owned));
        cells.push(field.meaning.to_owned());
        cells
    };
    let columns = ["field", "what it is", "trade", "snapshot", "cancel", "correct", "meaning"];
    page.table(&columns, FIELDS.iter().map(row));
    page
}

pub(super) fn sources_and_wires() -> Page {
    let first = "\
`source.use` says where records come from, `source.wire` how a record is decoded. `ticktide list formats --sniff FILE` shows \
which format decodes the first records of a file.";
    let mut page = Page::new("Sources and wire formats", "the registries of sources and wire formats", first);
    page.head(2, "Sources");
    page.table(&["source", "meaning"], SOURCES.iter().map(|kind| vec![code(kind.name), kind.doc.to_owned()]));
    page.head(2, "Wire formats");
    page.table(&["wire", "meaning"], FORMATS.iter().map(|format| vec![code(format.name), format.doc.to_owned()]));
    page.text("\nAn example record of each, as it is read without a mapping:");
    for format in FORMATS.iter() {
        page.head(3, code(format.name));
        page.text(shown(format));
    }
    page.head(2, "Presets");
    page.text("`source = { preset = \"NAME\" }` sets what is below; keys of the file go before it.");
    for preset in presets::PRESETS.iter() {
        page.head(3, code(preset.name));
        page.text(format!(
            "{} ([source]({}))\n\n```toml\n[source]\n{}\n```",
            preset.doc,
            preset.source,
            preset.settings.trim()
        ));
    }
    page
}

/// A format's example as a block; bytes that are not text as hexadecimal digits.
fn shown(format: &wire::Format) -> String {
    match std::str::from_utf8(format.example) {
        Ok(text) => format!("```text\n{}\n```", text.trim_end()),
        Err(_) => {
            let digits: Vec<String> = format.example.iter().map(|byte| format!("{byte:02x}")).collect();
            let lines: Vec<String> = digits.chunks(32).map(|line| line.join(" ")).collect();
            format!("In hexadecimal digits:\n\n```text\n{}\n```", lines.join("\n"))
        }
    }
}
