//! Upkeep inside ordinary commits: small files become one, old snapshots leave, what only they reached is deleted.
//!
//! ```text
//!   snapshots of a table, by age:   gone ─ kept by a tag ─ … ─ kept by a tag ─┬─ the newest hundred ─ head
//!   Retention (in the log)          which epochs stay ──▶ which snapshots ────┘
//!
//!   merge     which files become one        pure, then join writes        a part of the plan of an epoch
//!   expiry    which snapshots leave         pure                          a part of the plan of an epoch
//!   collect   what only they reached goes   behind the swap
//! ```
//!
//! Why inside: a commit that is slow because nobody compacted is a commit that fails at night. A merge is part of the
//! epoch's own swap and no record of its own: it reads files of the head that the swap compares with, so it cannot race
//! with a correction (a compaction beside the writer can bring an old row back), and whoever applies the epoch again finds
//! it applied. Big files are made by `lake compact`, whose swap is a slot of the log ([`super::maintain`]).
//!
//! Why tags: another engine's expiry keeps what a tag names, so a retained epoch survives Glue's optimizer and Trino's
//! `expire_snapshots`. What must hold: L6, a file is deleted only when no snapshot reaches it that stays; a snapshot
//! leaves only by a retention that is in the log and announced.

pub(crate) mod collect;
pub(crate) mod expiry;
pub(crate) mod merge;
pub mod retention;

use crate::upkeep::retention::Keep;

/// How much of the past stays, and how small things may get.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// Snapshots of a table that stay without a tag; of the announcing tables, that stay at all.
    pub snapshots: usize,
    /// Epochs, or further snapshots of an announcing table, that go when some have to.
    pub snapshots_batch: usize,
    /// More manifests than this are merged.
    pub manifests: usize,
    /// From this many small files in a partition on, they are merged.
    pub files: usize,
    /// A correction writes a file of at most so many bytes again; rows of a bigger one are deleted by position.
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
