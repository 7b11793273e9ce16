//! Upkeep inside ordinary commits: small files become one, what only expired snapshots reach is deleted.
//!
//! Why inside: a commit that is slow because nobody compacted is a commit that fails at night. A merge is part of the
//! epoch's own swap, so it cannot race with a correction (a compaction beside the writer can bring an old row back).
//! What must hold: L6, a file is deleted only when no snapshot reaches it that is kept or named by a branch or tag.

use super::error::LakeError;
use super::files::{FileNames, write_batch};
use super::index::{LiveFiles, manifests_of};
use super::rewrite::{Rewrite, read_file};
use super::schema::arrow_schema;
use super::store::Store;
use super::table::TableSpec;
use ::iceberg::io::FileIO;
use ::iceberg::spec::{ManifestFile, ManifestStatus, SnapshotRef, TableMetadata};
use arrow::compute::concat_batches;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A file of this many rows is not merged again.
const MERGED_ROWS: u64 = 1 << 16;
/// Rows up to which files are merged at once: all of them are in memory, twice while they are sorted.
const MERGED_TOGETHER: u64 = 1 << 17;
/// Files that are merged at once, at most.
const MERGED_FILES_MAX: usize = 256;

/// How much of the past stays, and how small things may get.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// Snapshots of a table that stay readable.
    pub snapshots: usize,
    /// Further snapshots that go when some have to.
    pub snapshots_batch: usize,
    /// More manifests than this are merged.
    pub manifests: usize,
    /// From this many small files in a partition on, they are merged.
    pub files: usize,
}

impl Default for Upkeep {
    fn default() -> Upkeep {
        Upkeep { snapshots: 100, snapshots_batch: 20, manifests: 50, files: 32 }
    }
}

/// Merges the small files of one partition, if there are many; `except` leave the table anyway.
pub async fn merge(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    except: &HashMap<String, String>,
    names: FileNames,
    files_min: usize,
) -> Result<Rewrite, LakeError> {
    let mut partitions: BTreeMap<Option<i32>, Vec<&str>> = BTreeMap::new();
    for (location, file) in live.files.iter().filter(|(_, file)| file.rows < MERGED_ROWS) {
        if !except.contains_key(location) {
            partitions.entry(file.partition).or_default().push(location);
        }
    }
    let many = partitions.into_values().find(|files| files.len() >= files_min);
    // rows that another engine deleted by position would come back
    let Some(mut small) = many.filter(|_| !live.deletes) else { return Ok(Rewrite::default()) };
    small.sort_unstable();
    let mut rows = 0;
    small.retain(|location| {
        let fits = rows < MERGED_TOGETHER;
        rows += live.files.get(*location).map_or(0, |file| file.rows);
        fits
    });
    small.truncate(MERGED_FILES_MAX);
    let read = small.iter().map(|location| read_file(store, spec, location));
    let batches = futures::future::try_join_all(read).await?;
    let batch = concat_batches(&arrow_schema(spec), &batches)?;
    let rows = batch.num_rows() as u64;
    let add = write_batch(store, spec.clone(), names, batch).await?.0;
    if add.iter().map(|file| file.rows).sum::<u64>() != rows {
        return Err(LakeError::Bug(format!("table {}: merging {rows} rows wrote another number", spec.name)));
    }
    let manifest = |location: &str| live.files.get(location).map(|file| file.manifest.clone()).unwrap_or_default();
    let remove = small.into_iter().map(|location| (location.to_owned(), manifest(location))).collect();
    Ok(Rewrite { remove, add })
}

/// The oldest snapshots, when there are too many with the one being staged; never one that a branch or tag names.
pub fn expired(metadata: &TableMetadata, upkeep: &Upkeep) -> Result<Vec<i64>, LakeError> {
    let count = metadata.snapshots().len() + 1;
    if count <= upkeep.snapshots {
        return Ok(Vec::new());
    }
    let named = named_snapshots(metadata)?;
    let ids = ascending(metadata).into_iter().map(|snapshot| snapshot.snapshot_id());
    Ok(ids.filter(|id| !named.contains(id)).take(count - upkeep.snapshots + upkeep.snapshots_batch).collect())
}

fn ascending(metadata: &TableMetadata) -> Vec<&SnapshotRef> {
    let mut snapshots: Vec<_> = metadata.snapshots().collect();
    snapshots.sort_unstable_by_key(|snapshot| snapshot.sequence_number());
    snapshots
}

/// The snapshots that branches and tags name; iceberg shows them in the metadata's JSON only.
fn named_snapshots(metadata: &TableMetadata) -> Result<HashSet<i64>, LakeError> {
    let json = serde_json::to_value(metadata).map_err(|error| LakeError::format("table metadata", error))?;
    let references = json.get("refs").and_then(|refs| refs.as_object()).into_iter().flat_map(|refs| refs.values());
    Ok(references.filter_map(|reference| reference.get("snapshot-id")?.as_i64()).collect())
}

/// Deletes what the expired snapshots reached and their successors do not. `before` still has them, `after` is the head.
/// What is not sure to be garbage stays: snapshots that do not follow each other, tables with other branches or tags.
pub async fn collect(
    store: &dyn Store,
    io: &FileIO,
    before: &TableMetadata,
    after: &TableMetadata,
    expired: &[i64],
) -> Result<usize, LakeError> {
    let Some(head) = after.current_snapshot() else { return Ok(0) };
    if named_snapshots(after)?.iter().any(|id| *id != head.snapshot_id()) {
        return Ok(0);
    }
    let mut chain = ascending(before);
    chain.push(head);
    let mut garbage = Vec::new();
    let mut known: Option<(i64, Vec<ManifestFile>)> = None;
    for pair in chain.windows(2).filter(|pair| expired.contains(&pair[0].snapshot_id())) {
        let (old, new) = (pair[0], pair[1]);
        if new.parent_snapshot_id() != Some(old.snapshot_id()) {
            continue;
        }
        let reached = match known.take() {
            Some((id, list)) if id == old.snapshot_id() => list,
            _ => manifests_of(io, before, old).await?,
        };
        let kept = manifests_of(io, after, new).await?;
        // what the successor removed is in the manifests that it wrote
        let wrote = kept.iter().filter(|manifest| manifest.added_snapshot_id == new.snapshot_id());
        for manifest in wrote.filter(|manifest| manifest.has_deleted_files()) {
            let entries = manifest.load_manifest(io).await?;
            let removed = entries.entries().iter().filter(|entry| {
                entry.status() == ManifestStatus::Deleted && entry.snapshot_id() == Some(new.snapshot_id())
            });
            garbage.extend(removed.map(|entry| entry.file_path().to_owned()));
        }
        let stays: HashSet<&str> = kept.iter().map(|manifest| manifest.manifest_path.as_str()).collect();
        let gone = reached.into_iter().map(|manifest| manifest.manifest_path);
        garbage.extend(gone.filter(|path| !stays.contains(path.as_str())));
        garbage.push(old.manifest_list().to_owned());
        known = Some((new.snapshot_id(), kept));
    }
    let keys: Vec<_> = garbage.iter().filter_map(|location| store.key(location)).collect();
    futures::future::try_join_all(keys.iter().map(|key| store.delete(key))).await?;
    Ok(keys.len())
}
