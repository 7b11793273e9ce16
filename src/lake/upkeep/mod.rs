//! Upkeep inside ordinary commits: small files are merged, old snapshots expire, and files that only they reached are deleted.
//!
//! ```text
//!   snapshots of a table, by age:   gone ─ kept by a tag ─ … ─ kept by a tag ─┬─ the newest hundred ─ head
//!   Retention (in the log)          which epochs stay ──▶ which snapshots ────┘
//!
//!   merge     which files are merged          pure, then join writes      a part of the plan of an epoch
//!   expiry    which snapshots expire          pure                        a part of the plan of an epoch
//!   collect   deletes what only they reached                              after the swap
//! ```
//!
//! Why inside: a commit that is slow because nobody compacted is a commit that fails at night. A merge is part of the
//! epoch's own swap and has no record of its own: it reads files of the head that the swap compares with, so it cannot race
//! with a correction (a compaction beside the writer can bring an old row back), and a process that applies the epoch again
//! finds it applied. `lake compact` makes big files; its swap is a slot of the log ([`super::maintain`]).
//!
//! Why tags: another engine's expiry keeps what a tag names, so a retained epoch survives Glue's optimizer and Trino's
//! `expire_snapshots`. What must hold: L6, a file is deleted only when no remaining snapshot reaches it; a snapshot expires
//! only by a retention that is in the log and announced.

pub(crate) mod collect;
pub(crate) mod expiry;
pub(crate) mod merge;
pub mod retention;

use crate::upkeep::retention::Keep;

/// How much of the past stays, and when files and manifests are merged.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// The snapshots of a table that stay without a tag; for the announcing tables, all that stay.
    pub snapshots: usize,
    /// The number of epochs, or of an announcing table's further snapshots, that expire together.
    pub snapshots_batch: usize,
    /// More manifests than this are merged.
    pub manifests: usize,
    /// The small files of a partition are merged when there are at least this many.
    pub files: usize,
    /// A correction rewrites a file of at most this many bytes; in a bigger one it deletes rows by position.
    pub rewrite_bytes_max: u64,
    /// Which epochs stay.
    pub keep: Keep,
}

/// [`Upkeep::rewrite_bytes_max`] unless the dataflow says otherwise.
pub const REWRITE_BYTES_MAX: u64 = 8 << 20;

impl Default for Upkeep {
    fn default() -> Upkeep {
        Upkeep {
            snapshots: 100,
            snapshots_batch: 20,
            manifests: 50,
            files: 32,
            rewrite_bytes_max: REWRITE_BYTES_MAX,
            keep: Keep::default(),
        }
    }
}
