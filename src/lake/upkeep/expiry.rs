//! What of a table's past leaves in a commit, and what is tagged so that it stays: arithmetic over the table's head.
//!
//! What must hold: a snapshot leaves only by a retention that is in the log and announced; never what a branch, or a tag
//! that is not ours, names.

use super::Upkeep;
use crate::error::LakeError;
use crate::table::base::{Base, Expiry, Past, TAG, ascending, made_by};
use ::iceberg::spec::SnapshotRef;
use std::collections::{BTreeMap, HashSet};
use ticktide_base::epoch::Epoch;

/// What leaves and what is tagged in the commit that brings the table to `epoch`. Never what a branch, or a tag that is
/// not ours, names.
pub(crate) fn expiry(base: &Base, upkeep: &Upkeep, past: Past<'_>, epoch: Epoch) -> Result<Expiry, LakeError> {
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

/// For each snapshot the epochs that are pinned to it: from the one that made it until the next that touched the table, or
/// `next`. One of another engine stays as long as the one before it.
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
