//! A section of the table of keys: the keys of one table of the file, or of its top level.

use super::key::Key;
use crate::spec::Dataflow;

/// Keys that belong together.
pub struct Section {
    /// The table of the file that has its keys; empty: they are at the top level.
    pub name: &'static str,
    /// Its heading on the reference page.
    pub title: &'static str,
    /// Its meaning, in one or two sentences.
    pub doc: &'static str,
    /// A table as a hint proposes it.
    pub example: &'static str,
    /// What is done when its table is in the file, before its keys are read.
    pub begin: fn(&mut Dataflow),
    pub keys: &'static [Key],
}

/// The names that a table may have, in the order of the rows; `above` is the path of the table, with its dot.
pub fn names(keys: &[Key], above: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in keys {
        let Some(below) = key.path.strip_prefix(above) else { continue };
        let name = below.split(['.', '[']).next().unwrap_or(below);
        if name != "*" && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
