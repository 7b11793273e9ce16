//! Deletes the files that only expired snapshots reached, after the swap that expired them.
//!
//! What must hold: L6, a file is deleted only when no remaining snapshot reaches it.

use crate::error::LakeError;
use crate::store::Store;
use crate::table::base::{Base, Reference, ascending};
use crate::table::index::manifests_of;
use ::iceberg::io::FileIO;
use ::iceberg::spec::{MAIN_BRANCH, ManifestEntry, ManifestFile, ManifestStatus, SnapshotRef, TableMetadata};
use std::collections::HashSet;

/// Whether the remaining snapshots are one line: there is no other branch, and each was made from the one before it.
fn is_line(chain: &[&SnapshotRef], references: &[Reference]) -> bool {
    let known: HashSet<i64> = chain.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let follows = |pair: &[&SnapshotRef]| {
        pair[1].parent_snapshot_id().is_none_or(|id| id == pair[0].snapshot_id() || !known.contains(&id))
    };
    references.iter().all(|reference| !reference.branch || reference.name == MAIN_BRANCH)
        && chain.windows(2).all(follows)
}

/// Deletes the files that the expired snapshots reached and no remaining one does; `before` still has the expired snapshots.
/// If the snapshots are not one line, nothing is surely garbage: all files stay, and `lake expire` examines them as a whole.
///
/// In one line, a file is reached from the snapshot that added it up to the one before the snapshot that removed it. So a file
/// that was removed between an expired snapshot and its successor is garbage, unless the last remaining snapshot before them
/// had it already, as its sequence number shows.
pub(crate) async fn collect(
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

/// The files that a snapshot removed; the manifests that it wrote name them.
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
