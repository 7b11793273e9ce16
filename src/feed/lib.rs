//! Stage 1: bytes from outside → ticks.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! ```text
//!   Source (opened once)        Reader (one per worker, on its own thread)                 worker
//!   lists partitions ──assign──▶ poll ─▶ payloads ─▶ wire::Decoder ─▶ Batch ──bounded──▶ source operator
//! ```
//!
//! [`open`] finds the kind of source in [`SOURCES`]; a [`SourceSpec`] holds a dataflow's settings. [`sort`] puts recorded files
//! in order first. The crate `connect` fills topics.
//!
//! Why ticktide assigns the partitions: an epoch is defined by offsets, so offsets live in the lake's log and never in a
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
pub use spec::{Ambiguous, LastLine, RecordType, SourceSpec, Speed, StartFrom, SyntheticSpec, WireSpec};

use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::error::nearest;
use ticktide_base::registry::{Entry, Family};

/// A kind of source: a row of [`SOURCES`].
pub struct SourceKind {
    /// The value of `source.use`.
    pub name: &'static str,
    /// One line for `list sources`.
    pub doc: &'static str,
    /// Opens the source once; the map is the lake's next offset by [`Partition::name`]. Errors: as [`open`].
    pub open: fn(&SourceSpec, &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError>,
}

/// Every kind of source; a program may add its own.
pub static SOURCES: Family<SourceKind> = Family::new(
    "source",
    &[
        &kafka::KIND, //
        &file::KIND,
        &synthetic::KIND,
    ],
);

impl Entry for SourceKind {
    fn name(&self) -> &'static str {
        self.name
    }
}

/// Opens the source that a dataflow describes. `resume` is the lake's next offset by partition name ([`Partition::name`]).
/// Errors: of kind `Fix`, an unknown kind of source or settings that it cannot use; of kind `Retry`, a system outside that does
/// not answer just now.
pub fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Arc<dyn Source>, FeedError> {
    match SOURCES.find(&spec.uses) {
        Some(kind) => (kind.open)(spec, resume),
        None => {
            let names = SOURCES.names();
            let hint = match nearest(&spec.uses, &names) {
                Some(name) => format!("did you mean `{name}`? known sources are: {}", names.join(", ")),
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
            assert!(SOURCES.iter().take(index).all(|other| other.name != kind.name));
        }
    }
}
