//! Which snapshots of a table expire in a commit, and which are tagged so that they stay: arithmetic over the table's head.
//!
//! What must hold: a snapshot expires only by a retention that is in the log and announced, and never if a branch, or a tag
//! that is not ticktide's, names it.

use super::Upkeep;
use crate::error::LakeError;
use crate::table::base::{Base, Expiry, KeptSnapshots, TAG, ascending, made_by};
use ::iceberg::spec::SnapshotRef;
use std::collections::{BTreeMap, HashSet};
use ticktide_base::epoch::Epoch;

/// The snapshots that expire and that are tagged in the commit that brings the table to `epoch`. A snapshot that a branch, or
/// a tag that is not ticktide's, names never expires.
pub(crate) fn expiry(base: &Base, upkeep: &Upkeep, past: KeptSnapshots<'_>, epoch: Epoch) -> Result<Expiry, LakeError> {
    let snapshots = ascending(&base.metadata);
    let retention = match past {
        KeptSnapshots::Newest => {
            let count = snapshots.len() + 1;
            if count <= upkeep.snapshots {
                return Ok(Expiry::default());
            }
            let named: HashSet<i64> = base.references()?.iter().map(|reference| reference.snapshot_id).collect();
            let ids = snapshots.iter().map(|snapshot| snapshot.snapshot_id()).filter(|id| !named.contains(id));
            let ids = ids.take(count - upkeep.snapshots + upkeep.snapshots_batch);
            return Ok(Expiry { snapshots: ids.collect(), ..Expiry::default() });
        }
        KeptSnapshots::Retained(retention) => retention,
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
        // another engine's snapshot after ticktide's has the same epochs: they are pinned to ticktide's
        if at > 0 && spans[at - 1].0 == from {
            continue;
        }
        // where every epoch stays, the newest snapshots need no tag: they outlast the next expiry of any engine
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

/// The epochs that are pinned to each snapshot: from the epoch that made it until the next one that touched the table, or
/// `next`. Another engine's snapshot stays as long as the one before it.
pub(crate) fn spans(snapshots: &[&SnapshotRef], next: Epoch) -> Vec<(Epoch, Epoch)> {
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
