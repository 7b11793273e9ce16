//! What a look at a lake comes to: findings, each with what mends it.

use ticktide_base::epoch::Epoch;

/// How a table goes back.
pub(super) const POINT_BACK: &str = "point the table's entry in the catalog at an older metadata file of its folder \
     `metadata/`, and the next run applies the epochs that are missing (a rollback of its branch alone is refused: the \
     table would still say that it has them)";
/// How an object that is lost comes back.
pub(super) const FROM_BACKUP: &str = "restore the object from a backup or an older version of the bucket; rows that are \
     lost for good are computed again by a run into a new lake from the same source";
/// Names in a message, at most.
const NAMED: usize = 3;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Not only worth knowing.
    pub wrong: bool,
    /// What kind of thing, in a word or two.
    pub what: &'static str,
    pub table: Option<String>,
    pub message: String,
    /// The next action.
    pub mend: String,
}

/// What a lake was found to be.
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
