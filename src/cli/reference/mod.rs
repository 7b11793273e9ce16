//! The reference pages in `docs/reference`, made from the registries, the tables and the command line; these tests keep them
//! fresh.
//!
//! Why only tests make them: a page is read from the repository, and nothing in the binary needs it. What must always hold:
//! each page in `docs/reference` equals the one made here. `TICKTIDE_BLESS=1 cargo test -p ticktide-cli reference` renews them.

mod commands;
mod errors;
mod families;
mod records;
mod tables;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use ticktide_base::environment::variable;

const RENEW: &str = "TICKTIDE_BLESS=1 cargo test -p ticktide-cli reference";

/// A page that grows line by line.
struct Page(String);

impl Page {
    /// A page with its title, what it is made from, and its first words.
    fn new(title: &str, made_from: &str, first: &str) -> Page {
        Page(format!("# {title}\n\n<!-- Made from {made_from}. Renew it: {RENEW} -->\n\n{first}\n"))
    }

    fn head(&mut self, level: usize, title: impl Display) {
        self.0.push_str(&format!("\n{} {title}\n\n", "#".repeat(level)));
    }

    fn text(&mut self, text: impl Display) {
        self.0.push_str(&format!("{text}\n"));
    }

    /// A table; nothing if it has no rows. A `|` within a cell is escaped, because it would end the cell.
    fn table(&mut self, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        self.text(format_args!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())));
        for row in rows {
            assert_eq!(row.len(), columns.len(), "{row:?}");
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
            self.text(format_args!("| {} |", cells.join(" | ")));
        }
    }
}

fn code(text: impl Display) -> String {
    format!("`{text}`")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

/// Every page by its file's name.
fn pages() -> Vec<(&'static str, Page)> {
    vec![
        ("checks.md", families::checks()),
        ("commands.md", commands::page()),
        ("errors.md", errors::page()),
        ("indicators.md", families::indicators()),
        ("record-fields.md", records::fields()),
        ("sources-and-wires.md", records::sources_and_wires()),
        ("tables.md", tables::page()),
    ]
}

#[test]
fn every_reference_page_is_the_one_that_is_made_today() {
    let mut stale = Vec::new();
    for (name, page) in pages() {
        let path = folder().join(name);
        if variable("TICKTIDE_BLESS").is_some() {
            std::fs::create_dir_all(folder()).expect("a folder");
            std::fs::write(&path, &page.0).expect("written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != page.0 {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "stale in docs/reference: {}: {RENEW}", stale.join(", "));
}

#[test]
fn the_reference_folder_holds_no_page_that_nothing_makes() {
    let made: BTreeSet<String> = pages().iter().map(|(name, _)| (*name).to_owned()).collect();
    let there = std::fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let there: BTreeSet<String> = there.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(there, made);
}

/// A misplaced `|` or bracket would break a table or vanish in a page.
#[test]
fn every_row_of_a_reference_page_has_as_many_cells_as_its_table() {
    for (name, page) in pages() {
        let mut width = 0;
        for line in page.0.lines() {
            let cells = line.replace("\\|", "").matches('|').count();
            if !line.starts_with('|') {
                width = 0;
                continue;
            }
            assert!(width == 0 || cells == width, "{name}: {line}");
            width = cells;
        }
    }
}
