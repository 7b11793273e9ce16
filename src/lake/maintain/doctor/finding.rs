//! The result of a diagnosis: findings, each with its remedy.

use ticktide_base::epoch::Epoch;

/// How a table is set back.
pub(super) const POINT_BACK: &str = "point the table's entry in the catalog at an older metadata file of its folder \
     `metadata/`, and the next run applies the missing epochs (a rollback of its branch alone is refused: the table \
     would still say that it has them)";
/// How a lost object is restored.
pub(super) const FROM_BACKUP: &str = "restore the object from a backup or an older version of the bucket; if rows \
     are lost for good, a run from the same source into a new lake computes them again";
/// The most names in a message.
const NAMED: usize = 3;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// An error, not only worth knowing.
    pub wrong: bool,
    /// The kind of finding, in a few words.
    pub what: &'static str,
    pub table: Option<String>,
    pub message: String,
    /// The next action.
    pub mend: String,
}

/// The result of diagnosing a lake.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    pub findings: Vec<Finding>,
    pub epoch_last: Epoch,
    pub tables: usize,
    /// Files and rows that were read.
    pub files: usize,
    pub rows: u64,
}

impl Diagnosis {
    pub(super) fn wrong(&mut self, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        self.add(true, what, table, message, mend);
    }

    pub(super) fn notice(&mut self, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        self.add(false, what, table, message, mend);
    }

    pub(super) fn add(&mut self, wrong: bool, what: &'static str, table: Option<&str>, message: String, mend: &str) {
        let (table, mend) = (table.map(str::to_owned), mend.to_owned());
        self.findings.push(Finding { wrong, what, table, message, mend });
    }
}

/// The first few of many.
pub(super) fn listed<T: std::fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let more = items.len().saturating_sub(NAMED);
    let first: Vec<String> = items.take(NAMED).map(|item| item.to_string()).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
