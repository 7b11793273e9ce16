//! The reference of the dataflow file, made from the table of keys and the registries: a page for people.
//!
//! Why it is generated: a page that is written by hand says what the reader did a year ago. What must hold: the page in `docs`
//! equals the one made here; a test compares them.

use crate::keys::SECTIONS;
use crate::keys::key::{HashForm, Key};
use crate::keys::section::Section;
use crate::keys::values;
use crate::load::SHIPPED;
use std::fmt::Write;
use ticktide_feed::{SOURCES, wire};
use ticktide_flow::anomalies::CHECKS;
use ticktide_flow::indicators::{Anchor, INDICATORS};
use ticktide_flow::parameters::Parameter;
use ticktide_market::calendar::PRESETS;

/// One key as `list keys` and the page show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Dotted; `*` is a name that the file chooses, `[]` each table of a list.
    pub name: &'static str,
    /// Its type, with bounds or allowed words.
    pub kind: String,
    /// As a file would write it; empty: there is none.
    pub default: String,
    pub doc: &'static str,
    /// Whether its value changes rows, and so the hash.
    pub changes_rows: bool,
}

/// Every key, in the order of the table.
pub fn keys() -> Vec<ListedKey> {
    SECTIONS.iter().flat_map(|section| section.keys).map(listed).collect()
}

fn listed(key: &Key) -> ListedKey {
    ListedKey {
        name: key.path,
        kind: values::type_name(key),
        default: values::default_text(key),
        doc: key.doc,
        changes_rows: !matches!(key.hashed, HashForm::No),
    }
}

const HEAD: &str = "\
# The dataflow file

<!-- Made from the table of keys. Renew it: TICKTIDE_BLESS=1 cargo test -p ticktide-dataflow reference -->

A dataflow says which records are read, which bars and indicators are made from them, and when a tick is too late. It is one
TOML file. Each key has a default, so an empty file is a dataflow.

- A value comes from the first of these that has it: `--set KEY=VALUE`, a flag, a `TICKTIDE_…` variable, the file. Otherwise it
  is the default.
- `ticktide check FILE` names every mistake with its line. `ticktide run FILE --dry-run` prints each value and where it came from.
- `ticktide list keys` prints this list. `docs/dataflow.schema.json` is its JSON Schema, for editors.
- A **duration** is a whole number and a unit: `d`, `h`, `m`, `s`, `ms`, `us` or `ns`.
- A **size** is a whole number of bytes, or one with a unit: `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
- A key that is marked **rows** changes rows and belongs to the hash of the dataflow. A lake refuses a run with another
  hash, unless the run has `--evolve` and its dataflow only adds to the lake's.
- In a key, `*` is a name that you choose, and `[]` is each table of a list.
";

/// The reference page, in Markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        rows_of(section, &mut page);
        match section.title {
            "Source" => {
                names("The sources", SOURCES.iter().map(|kind| (kind.name, kind.doc)), &mut page);
                names("The wire formats", wire::FORMATS.iter().map(|format| (format.name, format.doc)), &mut page);
            }
            "Session" => names("The sessions by name", PRESETS.iter().copied(), &mut page),
            "Indicators" => indicators(&mut page),
            "Anomalies" => checks(&mut page),
            _ => {}
        }
    }
    let shipped = SHIPPED.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    page.push_str(&format!(
        "\n## Examples\n\nThe folder `dataflows` holds the dataflows that are shipped with ticktide: {shipped}.\n"
    ));
    page
}

/// Writing into a text cannot fail.
fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    page.write_fmt(line).expect("a text takes every line");
    page.push('\n');
}

fn rows_of(section: &Section, page: &mut String) {
    line(page, format_args!("\n## {}\n\n{}\n", section.title, section.doc));
    if !section.example.is_empty() {
        line(page, format_args!("For example: `{} = {}`\n", section.name, section.example));
    }
    line(page, format_args!("| key | type | default | rows | meaning |\n|---|---|---|---|---|"));
    for key in section.keys.iter().map(listed) {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let rows = if key.changes_rows { "rows" } else { "" };
        let cells = [format!("`{}`", key.name), key.kind, default, rows.to_owned(), key.doc.to_owned()];
        // a bar would end the cell
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        line(page, format_args!("| {} |", cells.join(" | ")));
    }
}

fn names<'a>(title: &str, names: impl Iterator<Item = (&'a str, &'a str)>, page: &mut String) {
    line(page, format_args!("\n### {title}\n\n| name | meaning |\n|---|---|"));
    names.for_each(|(name, doc)| line(page, format_args!("| `{name}` | {doc} |")));
}

fn parameters(parameters: &[Parameter], more: Option<String>) -> String {
    let one = |parameter: &Parameter| {
        let default = parameter.shown(parameter.default);
        let (default, allowed) = match parameter.words {
            [] => (default, format!("{} to {}", parameter.least, parameter.most)),
            words => (format!("{default:?}"), words.join(" or ")),
        };
        format!("`{} = {default}` ({allowed}): {}", parameter.name, parameter.doc)
    };
    parameters.iter().map(one).chain(more).collect::<Vec<_>>().join("<br>")
}

fn indicators(page: &mut String) {
    line(page, format_args!("\n### The indicators\n\nEach parameter has its default and its bounds.\n"));
    line(page, format_args!("| name | meaning | parameters |\n|---|---|---|"));
    for spec in INDICATORS.iter() {
        let anchor = spec.anchor.map(|anchor| {
            let default = if anchor == Anchor::Session { "session" } else { "none" };
            format!("`anchor = {default:?}` (session or none): whether it starts again on every trading date")
        });
        let parameters = parameters(spec.parameters, anchor);
        line(page, format_args!("| `{}` | {} | {parameters} |", spec.name, spec.doc));
    }
}

fn checks(page: &mut String) {
    line(page, format_args!("\n### The checks\n\nEach parameter has its default and its bounds.\n"));
    line(page, format_args!("| name | reads | meaning | parameters |\n|---|---|---|---|"));
    for spec in CHECKS.iter() {
        let parameters = parameters(spec.parameters, None);
        line(page, format_args!("| `{}` | {} | {} | {parameters} |", spec.name, spec.level.name(), spec.doc));
    }
}
