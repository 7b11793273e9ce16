//! Every key of a dataflow file, in one table: its name, its meaning, its type, bounds and default.
//!
//! ```text
//!              ┌─▶ read        a file's tree → Dataflow, unknown keys and wrong values → problems
//!   SECTIONS ──┼─▶ summary     Dataflow → hash, settings of the lake, `run --dry-run`
//!              ├─▶ reference   docs/dataflow-file.md, docs/dataflow.schema.json
//!              └─▶ `list keys`
//! ```
//!
//! One file per section: first its rows, then the readers of those keys that have a reader of their own. Why one table: a key
//! that is accepted, hashed and shown in three places is forgotten in one of them. What must hold: keys are read in the order
//! of their rows (bars before what reads bars), hints name them in that order and, except for [`Key::shown_at`], they are
//! shown in that order.

mod anomalies;
mod bars;
mod conditions;
mod corrections;
mod decoding;
mod indicators;
mod kafka;
pub mod key;
mod running;
pub mod section;
mod session;
mod source;
pub mod values;

use key::Key;
use section::Section;

/// The keys, section by section.
pub static SECTIONS: &[&Section] = &[
    &source::SECTION, //
    &session::SECTION,
    &corrections::SECTION,
    &running::EPOCH,
    &bars::TABLES,
    &bars::SECTION,
    &indicators::SECTION,
    &anomalies::SECTION,
    &conditions::SECTION,
    &running::LIMITS,
    &running::PACE,
];

/// Every key in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The names at the top of a file.
pub fn top() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for name in SECTIONS.iter().flat_map(|section| section::names(section.keys, "")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
