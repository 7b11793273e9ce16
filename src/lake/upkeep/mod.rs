//! Upkeep inside ordinary commits: small files become one, old snapshots leave, what only they reached is deleted.
//!
//! ```text
//!   snapshots of a table, by age:   gone ─ kept by a tag ─ … ─ kept by a tag ─┬─ the newest hundred ─ head
//!   Retention (in the log)          which epochs stay ──▶ which snapshots ────┘
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

pub mod retention;

use super::error::LakeError;
use super::store::Store;
use crate::table::deletes::read_live;
use crate::table::files::{FileNames, write_batch};
use crate::table::index::{LiveFiles, manifests_of};
use crate::table::names;
use crate::table::rewrite::Rewrite;
use crate::table::schema::arrow_schema;
use crate::table::spec::TableSpec;
use crate::table::stage::Base;
use crate::upkeep::retention::{Keep, Retention};
use ::iceberg::io::FileIO;
use ::iceberg::spec::{MAIN_BRANCH, ManifestEntry, ManifestFile, ManifestStatus, SnapshotRef, TableMetadata};
use arrow::compute::concat_batches;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// A file of this many rows is not merged again.
const MERGED_ROWS: u64 = 1 << 16;
/// Rows up to which files are merged at once: all of them are in memory, twice while they are sorted.
const MERGED_TOGETHER: u64 = 1 << 17;
/// Files that are merged at once, at most.
const MERGED_FILES_MAX: usize = 256;
/// Files below it are of the lowest tier; each further tier has eight times the rows.
const TIER_ROWS: u64 = 1 << 10;
/// The property of a snapshot's summary that says which epoch made it.
pub const SNAPSHOT_EPOCH: &str = "ticktide.epoch";
/// Tags of retained epochs begin with it.
const TAG: &str = "epoch-";

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

/// Whether this lake's writers named a file. What other engines wrote stays as it is, so that it can be told apart.
pub fn is_ours(location: &str) -> bool {
    names::of_table(location).is_some()
}

/// Merges the small files of one partition, if there are many, but none that a correction of the same swap is about.
pub async fn merge(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    corrected: &Rewrite,
    names: FileNames,
    files_min: usize,
) -> Result<Rewrite, LakeError> {
    // rows that another engine deleted by position would come back
    if live.foreign_deletes {
        return Ok(Rewrite::default());
    }
    let mut except: HashSet<&str> = corrected.remove.keys().map(String::as_str).collect();
    except.extend(corrected.deletes.iter().map(|deletes| deletes.data_file.as_str()));
    let mut alike: BTreeMap<(Option<i32>, u32), Vec<&str>> = BTreeMap::new();
    for (location, file) in live.files.iter().filter(|(_, file)| file.rows < MERGED_ROWS) {
        if !except.contains(location.as_str()) && is_ours(location) {
            alike.entry((file.partition, tier(file.rows))).or_default().push(location);
        }
    }
    let many = alike.into_values().find(|files| files.len() >= files_min);
    let Some(mut small) = many else { return Ok(Rewrite::default()) };
    small.sort_unstable();
    small.truncate(MERGED_FILES_MAX);
    let mut rows = 0;
    small.retain(|location| {
        let fits = rows < MERGED_TOGETHER;
        rows += live.files.get(*location).map_or(0, |file| file.rows);
        fits
    });
    let add = join(store, spec, live, &small, names).await?;
    let remove = small.into_iter().flat_map(|location| live.with_deletes(location)).collect();
    Ok(Rewrite { remove, add, deletes: Vec::new() })
}

/// Files are merged with others of about their size: each merge makes a file of a higher tier, so a row is written again a
/// few times at most, and not whenever new files have come.
fn tier(rows: u64) -> u32 {
    (rows / TIER_ROWS).checked_ilog2().map_or(0, |bits| 1 + bits / 3)
}

/// Writes the live rows of some files as one file for each partition.
pub async fn join(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    locations: &[&str],
    names: FileNames,
) -> Result<Vec<crate::table::files::DataFileMeta>, LakeError> {
    let read: Vec<_> =
        locations.iter().map(|location| read_live(store, spec, location, live.deletes_of(location))).collect();
    let batches = futures::future::try_join_all(read).await?;
    let batch = concat_batches(&arrow_schema(spec), &batches)?;
    drop(batches);
    let rows = batch.num_rows() as u64;
    let written = write_batch(store, spec.clone(), names, batch).await?.0;
    if written.iter().map(|file| file.rows).sum::<u64>() != rows {
        return Err(LakeError::Bug(format!("table {}: joining {rows} rows wrote another number", spec.name)));
    }
    Ok(written)
}

/// Which of a table's past a commit may let go.
#[derive(Clone, Copy, Debug)]
pub enum Past<'a> {
    /// All but the newest snapshots: of a table that is read at its head.
    Newest,
    /// What no retained epoch is pinned to.
    Retained(&'a Retention),
}

/// What becomes of a table's past in a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    pub snapshots: Vec<i64>,
    /// Names and snapshots.
    pub tag: Vec<(String, i64)>,
    pub untag: Vec<String>,
}

/// What leaves and what is tagged in the commit that brings the table to `epoch`. Never what a branch, or a tag that is
/// not ours, names.
pub fn expiry(base: &Base, upkeep: &Upkeep, past: Past<'_>, epoch: Epoch) -> Result<Expiry, LakeError> {
    let snapshots = ascending(&base.metadata);
    let retention = match past {
        Past::Newest => {
            let count = snapshots.len() + 1;
            if count <= upkeep.snapshots {
                return Ok(Expiry::default());
            }
            let named: HashSet<i64> = base.references()?.iter().map(|reference| reference.snapshot_id).collect();
            let ids = snapshots.iter().map(|snapshot| snapshot.snapshot_id()).filter(|id| !named.contains(id));
            let ids = ids.take(count - upkeep.snapshots + upkeep.snapshots_batch);
            return Ok(Expiry { snapshots: ids.collect(), ..Expiry::default() });
        }
        Past::Retained(retention) => retention,
    };
    let spans = spans(&snapshots, epoch);
    let leaves = spans.iter().any(|(from, to)| retention.first_in(*from, *to).is_none());
    if !leaves && retention.kept.is_empty() {
        return Ok(Expiry::default());
    }
    let references = base.references()?;
    let (ours, others): (Vec<_>, Vec<_>) = references.iter().partition(|reference| reference.is_ours());
    let named: HashSet<i64> = others.iter().map(|reference| reference.snapshot_id).collect();
    let newest = (snapshots.len() + 1).saturating_sub(upkeep.snapshots);
    let (mut expiry, mut wanted) = (Expiry::default(), BTreeMap::new());
    for (at, (snapshot, (from, to))) in snapshots.iter().zip(&spans).enumerate() {
        let (from, to, id) = (*from, *to, snapshot.snapshot_id());
        if retention.first_in(from, to).is_none() {
            expiry.snapshots.extend((!named.contains(&id)).then_some(id));
            continue;
        }
        // behind a snapshot of ours, another engine's has its epochs: they are pinned to ours
        if at > 0 && spans[at - 1].0 == from {
            continue;
        }
        // of those of which every one stays, the newest snapshots outlast the next expiry of any engine without a tag
        let dense = (leaves && at < newest && to > retention.since).then_some(retention.since.max(from));
        wanted.extend(retention.kept_in(from, to).chain(dense).map(|epoch| (format!("{TAG}{epoch}"), id)));
    }
    let known: BTreeMap<&str, i64> =
        ours.iter().map(|reference| (reference.name.as_str(), reference.snapshot_id)).collect();
    if leaves {
        let stale = known.keys().filter(|name| !wanted.contains_key(**name));
        expiry.untag = stale.map(|name| (*name).to_owned()).collect();
    }
    let fresh = wanted.into_iter().filter(|(name, id)| known.get(name.as_str()) != Some(id));
    expiry.tag = fresh.collect();
    Ok(expiry)
}

impl Expiry {
    /// The branches and tags of `after`, which came of this and of a new head of the main branch; `known`: those before.
    pub fn references(&self, known: &[Reference], after: &TableMetadata) -> Vec<Reference> {
        let mut all: BTreeMap<&str, Reference> =
            known.iter().map(|reference| (reference.name.as_str(), reference.clone())).collect();
        self.untag.iter().for_each(|name| drop(all.remove(name.as_str())));
        let reference = |name: &str, snapshot_id, branch| Reference { name: name.to_owned(), snapshot_id, branch };
        all.extend(self.tag.iter().map(|(name, id)| (name.as_str(), reference(name, *id, false))));
        all.extend(after.current_snapshot_id().map(|id| (MAIN_BRANCH, reference(MAIN_BRANCH, id, true))));
        // one that names a snapshot that has left has left with it
        all.into_values().filter(|reference| after.snapshot_by_id(reference.snapshot_id).is_some()).collect()
    }
}

/// The snapshots in the order in which they were made.
pub fn ascending(metadata: &TableMetadata) -> Vec<&SnapshotRef> {
    let mut snapshots: Vec<_> = metadata.snapshots().collect();
    snapshots.sort_unstable_by_key(|snapshot| snapshot.sequence_number());
    snapshots
}

/// The epoch that made a snapshot; `None`: another engine did.
pub fn made_by(snapshot: &SnapshotRef) -> Option<Epoch> {
    snapshot.summary().additional_properties.get(SNAPSHOT_EPOCH)?.parse().ok()
}

/// The epoch of the newest snapshot of ours on the main branch; `None`: none of ours is left there.
pub fn on_main(metadata: &TableMetadata) -> Option<Epoch> {
    let mut at = metadata.current_snapshot();
    while let Some(snapshot) = at {
        if let Some(epoch) = made_by(snapshot) {
            return Some(epoch);
        }
        at = metadata.snapshot_by_id(snapshot.parent_snapshot_id()?);
    }
    None
}

/// For each snapshot the epochs that are pinned to it: from the one that made it until the next that touched the table, or
/// `next`. One of another engine stays as long as the one before it.
pub fn spans(snapshots: &[&SnapshotRef], next: Epoch) -> Vec<(Epoch, Epoch)> {
    let mut last = 0;
    let from: Vec<Epoch> = snapshots
        .iter()
        .map(|snapshot| {
            last = made_by(snapshot).unwrap_or(last);
            last
        })
        .collect();
    let to = |at: usize| from[at..].iter().copied().find(|epoch| *epoch > from[at]).unwrap_or(next);
    from.iter().enumerate().map(|(at, epoch)| (*epoch, to(at))).collect()
}

/// A branch or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    pub snapshot_id: i64,
    branch: bool,
}

impl Reference {
    /// Whether it is the tag of a retained epoch.
    pub fn is_ours(&self) -> bool {
        !self.branch && self.name.strip_prefix(TAG).is_some_and(|epoch| epoch.parse::<Epoch>().is_ok())
    }
}

/// All branches and tags, from the metadata's JSON; [`Base::references`] has them cheaper.
pub fn references(metadata: &TableMetadata) -> Result<Vec<Reference>, LakeError> {
    let json = serde_json::to_value(metadata).map_err(|error| LakeError::format("table metadata", error))?;
    let all = json.get("refs").and_then(|refs| refs.as_object()).into_iter().flatten();
    let references = all.filter_map(|(name, reference)| {
        let branch = reference.get("type").and_then(|kind| kind.as_str()) != Some("tag");
        Some(Reference { name: name.clone(), snapshot_id: reference.get("snapshot-id")?.as_i64()?, branch })
    });
    Ok(references.collect())
}

/// Whether the snapshots are one line, as far as they are still there: no other branch, none made from one that is not the
/// last before it.
fn is_line(chain: &[&SnapshotRef], references: &[Reference]) -> bool {
    let known: HashSet<i64> = chain.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let follows = |pair: &[&SnapshotRef]| {
        pair[1].parent_snapshot_id().is_none_or(|id| id == pair[0].snapshot_id() || !known.contains(&id))
    };
    references.iter().all(|reference| !reference.branch || reference.name == MAIN_BRANCH)
        && chain.windows(2).all(follows)
}

/// Deletes what the expired snapshots reached and none that stays does. `before` still has them.
/// What is not sure to be garbage stays, for `lake expire` to look at as a whole: snapshots that are not one line.
///
/// In one line a file is reached from the snapshot that added it to the last before the one that removed it. So what left
/// between an expired snapshot and its successor is garbage unless it was there already in the last one before that stays,
/// which its sequence number tells.
pub async fn collect(
    store: &dyn Store,
    io: &FileIO,
    before: &TableMetadata,
    head: &Base,
    expired: &[i64],
) -> Result<usize, LakeError> {
    let after = &*head.metadata;
    let Some(newest) = after.current_snapshot() else { return Ok(0) };
    let mut chain = ascending(before);
    chain.push(newest);
    if !is_line(&chain, &head.references()?) {
        return Ok(0);
    }
    let mut garbage = Vec::new();
    let mut known: Option<(i64, Vec<ManifestFile>)> = None;
    let mut stays_until = i64::MIN;
    for pair in chain.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        if !expired.contains(&old.snapshot_id()) {
            stays_until = old.sequence_number();
            continue;
        }
        let reached = match known.take() {
            Some((id, list)) if id == old.snapshot_id() => list,
            _ => manifests_of(io, before, old).await?,
        };
        let kept = manifests_of(io, after, new).await?;
        let left = |entry: &ManifestEntry| {
            let added = entry.file_sequence_number.or(entry.sequence_number());
            added.is_some_and(|added| added > stays_until)
        };
        if new.parent_snapshot_id() == Some(old.snapshot_id()) {
            garbage.extend(removed_by(io, new, &kept, left).await?);
        } else {
            garbage.extend(difference(io, &reached, &kept, left).await?);
        }
        let stays: HashSet<&str> = kept.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
        let gone = reached.into_iter().filter(|manifest| {
            manifest.sequence_number > stays_until && !stays.contains(manifest.manifest_path.as_str())
        });
        garbage.extend(gone.map(|manifest| manifest.manifest_path));
        garbage.push(old.manifest_list().to_owned());
        known = Some((new.snapshot_id(), kept));
    }
    let keys: Vec<_> = garbage.iter().filter_map(|location| store.key(location)).collect();
    futures::future::try_join_all(keys.iter().map(|key| store.delete(key))).await?;
    Ok(keys.len())
}

/// The files that a snapshot removed: they are in the manifests that it wrote.
async fn removed_by(
    io: &FileIO,
    snapshot: &SnapshotRef,
    manifests: &[ManifestFile],
    left: impl Fn(&ManifestEntry) -> bool,
) -> Result<Vec<String>, LakeError> {
    let id = snapshot.snapshot_id();
    let mut removed = Vec::new();
    let wrote = manifests.iter().filter(|manifest| manifest.added_snapshot_id == id && manifest.has_deleted_files());
    for manifest in wrote {
        let manifest = manifest.load_manifest(io).await?;
        let entries = manifest.entries().iter().filter(|entry| {
            entry.status() == ManifestStatus::Deleted && entry.snapshot_id() == Some(id) && left(entry)
        });
        removed.extend(entries.map(|entry| entry.file_path().to_owned()));
    }
    Ok(removed)
}

/// The files that one list of manifests reaches and another does not; shared manifests need not be read.
async fn difference(
    io: &FileIO,
    reached: &[ManifestFile],
    kept: &[ManifestFile],
    left: impl Fn(&ManifestEntry) -> bool,
) -> Result<Vec<String>, LakeError> {
    let paths =
        |list: &[ManifestFile]| list.iter().map(|manifest| manifest.manifest_path.clone()).collect::<HashSet<_>>();
    let (before, after) = (paths(reached), paths(kept));
    let mut live = HashSet::new();
    for manifest in kept.iter().filter(|manifest| !before.contains(&manifest.manifest_path)) {
        let manifest = manifest.load_manifest(io).await?;
        live.extend(
            manifest.entries().iter().filter(|entry| entry.is_alive()).map(|entry| entry.file_path().to_owned()),
        );
    }
    let mut gone = Vec::new();
    for manifest in reached.iter().filter(|manifest| !after.contains(&manifest.manifest_path)) {
        let manifest = manifest.load_manifest(io).await?;
        let entries = manifest.entries().iter().filter(|entry| entry.is_alive() && left(entry));
        gone.extend(entries.map(|entry| entry.file_path().to_owned()).filter(|path| !live.contains(path)));
    }
    Ok(gone)
}
