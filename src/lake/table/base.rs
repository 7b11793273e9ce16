//! The head of a table: its metadata, its snapshots in order, its branches and tags.
//!
//! Why in addition to Iceberg's own metadata: iceberg shows branches and tags only in the metadata's JSON, which is long, and
//! every commit needs them. What must hold: the remembered tags follow every commit of ticktide.

use super::schema::{APPLIED_EPOCH, APPLIED_NONE};
use crate::commit::protocol::Applied;
use crate::error::LakeError;
use crate::upkeep::retention::Retention;
use ::iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use ticktide_base::epoch::Epoch;

/// The property of a snapshot's summary that names the epoch that made it.
pub(crate) const SNAPSHOT_EPOCH: &str = "ticktide.epoch";
/// The prefix of the tags of retained epochs.
pub(crate) const TAG: &str = "epoch-";

/// A table's present state: where its metadata file is and what the file says.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub location: String,
    pub metadata: Arc<TableMetadata>,
    references: OnceLock<Arc<Vec<Reference>>>,
}

impl Base {
    pub(crate) fn new(location: String, metadata: TableMetadata) -> Base {
        Base { location, metadata: Arc::new(metadata), references: OnceLock::new() }
    }

    /// All branches and tags. Iceberg shows them only in the metadata's JSON, which is long: it is rendered once for a head
    /// that was loaded, and never for a head that this process made.
    pub(crate) fn references(&self) -> Result<Arc<Vec<Reference>>, LakeError> {
        if let Some(known) = self.references.get() {
            return Ok(known.clone());
        }
        let references = Arc::new(references(&self.metadata)?);
        Ok(self.references.get_or_init(|| references).clone())
    }

    /// The epoch that the table has.
    pub(crate) fn applied(&self) -> Applied {
        match self.metadata.properties().get(APPLIED_EPOCH).map(String::as_str) {
            Some(APPLIED_NONE) => Applied::Nothing,
            Some(text) => text.parse().map_or(Applied::Missing, Applied::Epoch),
            None => Applied::Missing,
        }
    }

    /// The state after a commit, which changed the tags as `leaves` says.
    pub(crate) fn followed_by(&self, location: String, metadata: TableMetadata, leaves: &Expiry) -> Base {
        let next = Base::new(location, metadata);
        if let Some(known) = self.references.get() {
            let _ = next.references.set(Arc::new(leaves.references(known, &next.metadata)));
        }
        next
    }
}

/// Which snapshots of a table a commit keeps; it may expire the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeptSnapshots<'a> {
    /// The newest ones: for a table that is read at its head.
    Newest,
    /// Those to which a retained epoch is pinned.
    Retained(&'a Retention),
}

/// The snapshots and tags that a commit removes, and the tags that it adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub snapshots: Vec<i64>,
    /// Names and snapshots.
    pub tag: Vec<(String, i64)>,
    pub untag: Vec<String>,
}

impl Expiry {
    /// The branches and tags of `after`, the metadata after this and a new head of the main branch; `known`: those before.
    pub(crate) fn references(&self, known: &[Reference], after: &TableMetadata) -> Vec<Reference> {
        let mut all: BTreeMap<&str, Reference> =
            known.iter().map(|reference| (reference.name.as_str(), reference.clone())).collect();
        self.untag.iter().for_each(|name| drop(all.remove(name.as_str())));
        let reference = |name: &str, snapshot_id, branch| Reference { name: name.to_owned(), snapshot_id, branch };
        all.extend(self.tag.iter().map(|(name, id)| (name.as_str(), reference(name, *id, false))));
        all.extend(after.current_snapshot_id().map(|id| (MAIN_BRANCH, reference(MAIN_BRANCH, id, true))));
        // a reference leaves together with its snapshot
        all.into_values().filter(|reference| after.snapshot_by_id(reference.snapshot_id).is_some()).collect()
    }
}

/// The snapshots in the order in which they were made.
pub(crate) fn ascending(metadata: &TableMetadata) -> Vec<&SnapshotRef> {
    let mut snapshots: Vec<_> = metadata.snapshots().collect();
    snapshots.sort_unstable_by_key(|snapshot| snapshot.sequence_number());
    snapshots
}

/// The epoch that made a snapshot; `None`: another engine did.
pub(crate) fn made_by(snapshot: &SnapshotRef) -> Option<Epoch> {
    snapshot.summary().additional_properties.get(SNAPSHOT_EPOCH)?.parse().ok()
}

/// The epoch of ticktide's newest snapshot on the main branch; `None`: none is left there.
pub(crate) fn on_main(metadata: &TableMetadata) -> Option<Epoch> {
    let mut at = metadata.current_snapshot();
    while let Some(snapshot) = at {
        if let Some(epoch) = made_by(snapshot) {
            return Some(epoch);
        }
        at = metadata.snapshot_by_id(snapshot.parent_snapshot_id()?);
    }
    None
}

/// A branch or tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub name: String,
    pub snapshot_id: i64,
    pub branch: bool,
}

impl Reference {
    /// Whether it is the tag of a retained epoch.
    pub(crate) fn is_ours(&self) -> bool {
        !self.branch && self.name.strip_prefix(TAG).is_some_and(|epoch| epoch.parse::<Epoch>().is_ok())
    }
}

/// All branches and tags, from the metadata's JSON; [`Base::references`] is cheaper.
pub(crate) fn references(metadata: &TableMetadata) -> Result<Vec<Reference>, LakeError> {
    let json = serde_json::to_value(metadata).map_err(|error| LakeError::format("table metadata", error))?;
    let all = json.get("refs").and_then(|refs| refs.as_object()).into_iter().flatten();
    let references = all.filter_map(|(name, reference)| {
        let branch = reference.get("type").and_then(|kind| kind.as_str()) != Some("tag");
        Some(Reference { name: name.clone(), snapshot_id: reference.get("snapshot-id")?.as_i64()?, branch })
    });
    Ok(references.collect())
}
