//! Stage 1: bytes from outside → ticks.
//!
//! ```text
//!   Source (opened once)        Reader (one per worker, on its own thread)                 worker
//!   lists partitions ──assign──▶ poll ─▶ payloads ─▶ wire::Decoder ─▶ Batch ──bounded──▶ source operator
//! ```
//!
//! [`open`] finds the kind of source in [`SOURCES`]; a dataflow's words are a [`SourceSpec`]. [`sort`] puts recorded files in
//! order for it. What fills topics is the crate
//! `connect`.
//!
//! Why partitions are assigned by us: an epoch is defined by offsets, so offsets live in the lake's log and never in a
//! consumer group. What must always hold: every record becomes exactly one tick or one reject, and a batch says how far it
//! got (`offset_next`), so that an epoch can end between any two batches.

mod batch;
mod error;
mod file;
mod instruments;
mod kafka;
mod pace;
pub mod sort;
mod source;
mod spec;
pub mod synthetic;
#[doc(hidden)]
pub mod testing;
pub mod wire;

use batch::{BATCH_BYTES, BATCH_RECORDS};
pub use batch::{Batch, Reject};
pub use error::FeedError;
pub use file::{lines, sniff};
pub use instruments::InstrumentTable;
pub use pace::Pace;
pub use source::{Assignment, Partition, Reader, Source};
pub use spec::{LastLine, SourceSpec, Speed, StartFrom, SyntheticSpec, WireSpec};

use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::error::nearest;

/// A kind of source: a row of [`SOURCES`].
pub struct SourceKind {
    /// What `source.use` says.
    pub name: &'static str,
    /// One line for `list sources`.
    pub doc: &'static str,
    /// Looks at the outside once; the places are those of the lake, by [`Partition::name`].
    pub open: fn(&SourceSpec, &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError>,
}

/// Every kind of source.
pub static SOURCES: &[&SourceKind] = &[
    &kafka::KIND, //
    &file::KIND,
    &synthetic::KIND,
];

/// Opens the source that a dataflow describes. `resume` is the lake's next offset by partition name ([`Partition::name`]).
pub fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError> {
    match SOURCES.iter().find(|kind| kind.name == spec.uses) {
        Some(kind) => (kind.open)(spec, resume),
        None => {
            let names: Vec<&str> = SOURCES.iter().map(|kind| kind.name).collect();
            let hint = match nearest(&spec.uses, &names) {
                Some(name) => format!("did you mean `{name}`? there are: {}", names.join(", ")),
                None => format!("set `source.use` or `--source` to one of: {}", names.join(", ")),
            };
            Err(FeedError::fix(format!("source \"{}\" does not exist", spec.uses), hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbour_and_a_strange_one_none() {
        let words = ["kafka", "file", "synthetic"];
        assert_eq!(nearest("kafak", &words), Some("kafka"));
        assert_eq!(nearest("File", &words), Some("file"));
        assert_eq!(nearest("sintetic", &words), Some("synthetic"));
        assert_eq!(nearest("postgres", &words), None);
        assert_eq!(nearest("", &words), None);
    }

    #[test]
    fn every_source_has_a_name_of_its_own_and_a_line_of_doc() {
        for (index, kind) in SOURCES.iter().enumerate() {
            assert!(!kind.doc.is_empty());
            assert!(SOURCES[..index].iter().all(|other| other.name != kind.name));
        }
    }
}
