//! Which objects of a lake are garbage, judged by their names and by what snapshots reach: exactly, whatever else runs (L6).
//!
//! | object | garbage when |
//! |---|---|
//! | written for an epoch that is decided | the table has the epoch and no snapshot reaches it: not listed, or expired |
//! | written for an epoch after the log's end | its generation is below the last takeover's: it can never decide the epoch |
//! | written while a table was brought to an epoch | the table has the epoch and no snapshot reaches it: that swap lost |
//! | a version of the metadata | it is not in the log of versions, and its number is not above the current one's |
//! | state | no epoch from the retention's `since` on needs it |
//! | changes beside the log | their epoch is before the retention's `since`, or its slot is another attempt's |
//! | a temporary file of a folder | it is older than a minute: its writer was killed, or its write fails without an effect |
//!
//! Everything else is left alone. Why age counts only there: each other rule says why no process can come to need the object
//! any more, not even a writer that was stopped in the middle and goes on: a slot that is taken stays taken, and a swap whose
//! base is not the head fails.

use super::super::Lake;
use super::super::error::LakeError;
use super::super::store::Store;
use super::Survey;
use super::survey::applied;
use crate::commit::log::read_slot;
use crate::commit::slot::Slot;
use crate::table::names::table_folder;
use crate::table::names::{self, FileOrigin};
use std::collections::{BTreeMap, HashMap, HashSet};
use ticktide_base::epoch::Epoch;

/// The name under which a folder's temporary files are reported.
const UNFINISHED: &str = "unfinished writes";
/// Objects that are deleted side by side.
const DELETED_AT_ONCE: usize = 32;

/// Whether an object is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectStatus {
    Needed,
    Garbage,
    /// Named by ticktide, and a process may come to need it.
    Waiting,
    /// Not named by ticktide.
    Unknown,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub epoch: Epoch,
    /// The generation of the last takeover.
    pub generation: u64,
}

/// A table's head, and what its snapshots reach.
pub struct TableHead {
    pub applied: Option<Epoch>,
    /// The number of its metadata file.
    pub version: u64,
    pub reached: HashSet<String>,
}

/// Judges an object in a table's folder.
pub fn of_table(key: &str, end: End, head: &TableHead) -> ObjectStatus {
    if head.reached.contains(key) {
        return ObjectStatus::Needed;
    }
    garbage_if(match names::of_table(key) {
        Some(FileOrigin::Written { epoch, generation }) if epoch > end.epoch => generation < end.generation,
        Some(FileOrigin::Written { epoch, .. } | FileOrigin::Applied { epoch }) => head.applied >= Some(epoch),
        Some(FileOrigin::Version(version)) => version <= head.version,
        None => return ObjectStatus::Unknown,
    })
}

fn garbage_if(holds: bool) -> ObjectStatus {
    if holds { ObjectStatus::Garbage } else { ObjectStatus::Waiting }
}

/// Judges an object of the state; `named`: the objects that the slots name whose state is still needed.
pub fn of_state(key: &str, end: End, named: &HashSet<&str>) -> ObjectStatus {
    if named.contains(key) {
        return ObjectStatus::Needed;
    }
    garbage_if(match names::of_state(key) {
        // a base is written in the background, a later slot names it
        Some((epoch, base, generation)) => generation < end.generation || (epoch <= end.epoch && !base),
        None => return ObjectStatus::Unknown,
    })
}

/// Judges a list of changes; `tokens`: of the slots from the retention's `since` on.
pub fn of_changes(key: &str, end: End, tokens: &HashMap<Epoch, &str>) -> ObjectStatus {
    match names::of_changes(key) {
        Some((epoch, generation, _)) if epoch > end.epoch => garbage_if(generation < end.generation),
        Some((epoch, _, token)) if tokens.get(&epoch) == Some(&token) => ObjectStatus::Needed,
        Some(_) => ObjectStatus::Garbage,
        None => ObjectStatus::Unknown,
    }
}

/// Whether only epochs before a retention's `since`, whose slot this is, need a file of the state or a list of changes: a run
/// deletes these as it goes.
pub fn is_past(key: &str, since: &Slot) -> bool {
    let base_from = since.state_base.as_ref().map_or(since.state_from, |base| base.epoch);
    match (names::of_state(key), names::of_changes(key)) {
        (Some((epoch, base, _)), _) => epoch < if base { base_from } else { since.state_from },
        (_, Some((epoch, ..))) => epoch < since.epoch,
        _ => false,
    }
}

/// The objects that are garbage, and the number of those that ticktide did not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Names by table, or `state`, `changes`, `unfinished writes`.
    pub keys: BTreeMap<String, Vec<String>>,
    /// How many objects are unknown, by table.
    pub unknown: BTreeMap<String, usize>,
}

impl Garbage {
    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    fn sort(&mut self, place: &str, key: String, fate: ObjectStatus) {
        match fate {
            ObjectStatus::Needed | ObjectStatus::Waiting => {}
            ObjectStatus::Garbage => self.keys.entry(place.to_owned()).or_default().push(key),
            ObjectStatus::Unknown => *self.unknown.entry(place.to_owned()).or_default() += 1,
        }
    }
}

/// The number of a metadata file; 0 for a name of another kind.
fn version(location: &str) -> u64 {
    match names::of_table(location) {
        Some(FileOrigin::Version(version)) => version,
        _ => 0,
    }
}

impl Survey {
    /// All garbage of the lake. `reached` is called for each table, with its head and the names in its folder.
    pub(super) async fn garbage(
        &self,
        mut reached: impl FnMut(&str, &TableHead, &[String]),
    ) -> Result<Garbage, LakeError> {
        self.insist_on_slots()?;
        let end = End { epoch: self.last.epoch, generation: self.last.generation };
        let mut garbage = Garbage::default();
        let leftovers = self.store.leftovers().await?;
        leftovers.into_iter().for_each(|key| garbage.sort(UNFINISHED, key, ObjectStatus::Garbage));
        for (name, found) in &self.tables {
            let folder = table_folder(&self.identity.namespace, name);
            let metadata = &found.base.metadata;
            let head = TableHead {
                applied: applied(metadata),
                version: version(&found.base.location),
                reached: self.reached(found).await?,
            };
            let keys = self.store.list(&format!("{folder}/")).await?;
            reached(name, &head, &keys);
            for key in keys {
                let fate = of_table(&key, end, &head);
                garbage.sort(name, key, fate);
            }
        }
        let since = self.retention.since;
        let lasting = self.slots.iter().filter(|slot| slot.epoch >= since);
        let bases = lasting.clone().filter_map(|slot| slot.state_base.as_ref()).map(|base| base.file.path.as_str());
        let from = lasting.clone().map(|slot| slot.state_from).min().unwrap_or(since);
        let files = self.slots.iter().filter(|slot| slot.epoch >= from).flat_map(|slot| &slot.state);
        let named: HashSet<&str> = files.map(|file| file.path.as_str()).chain(bases).collect();
        for key in self.store.list("state/").await? {
            let fate = of_state(&key, end, &named);
            garbage.sort("state", key, fate);
        }
        let tokens: HashMap<Epoch, &str> = lasting.map(|slot| (slot.epoch, slot.token.as_str())).collect();
        for key in self.store.list(names::CHANGES).await? {
            let fate = of_changes(&key, end, &tokens);
            garbage.sort("changes", key, fate);
        }
        Ok(garbage)
    }
}

/// All garbage of a lake.
#[cfg(test)]
pub async fn of(survey: &Survey) -> Result<Garbage, LakeError> {
    survey.garbage(|_, _, _| ()).await
}

impl Lake {
    /// Deletes state and changes that only epochs before the retention needed.
    pub(crate) async fn forget(&self, since: Epoch) -> Result<usize, LakeError> {
        let store = &*self.place.store;
        let Some(slot) = read_slot(store, since).await? else { return Ok(0) };
        let mut keys = store.list("state/").await?;
        keys.extend(store.list(names::CHANGES).await?);
        keys.retain(|key| is_past(key, &slot));
        delete(store, &keys).await?;
        Ok(keys.len())
    }

    /// Deletes the garbage of the lake, which must be applied to its end. Returns what was deleted.
    pub(super) async fn clear(&self) -> Result<Garbage, LakeError> {
        let survey = Survey::open_on(self.place.store.clone(), self.place.catalog.clone()).await?;
        let garbage = survey.garbage(|_, _, _| ()).await?;
        for keys in garbage.keys.values() {
            delete(&*self.place.store, keys).await?;
        }
        Ok(garbage)
    }
}

async fn delete(store: &dyn Store, keys: &[String]) -> Result<(), LakeError> {
    for some in keys.chunks(DELETED_AT_ONCE) {
        futures::future::try_join_all(some.iter().map(|key| store.delete(key))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: End = End { epoch: 10, generation: 3 };

    fn head(applied: Option<Epoch>) -> TableHead {
        TableHead { applied, version: 12, reached: HashSet::from(["t/data/4-0-1-0.parquet".to_owned()]) }
    }

    #[test]
    fn a_file_goes_only_when_nobody_can_come_to_need_it() {
        let judge = |name: &str, applied| of_table(&format!("t/data/{name}"), END, &head(applied));
        assert_eq!(judge("4-0-1-0.parquet", Some(10)), ObjectStatus::Needed, "a snapshot reaches it");
        assert_eq!(judge("4-1-1-0.parquet", Some(10)), ObjectStatus::Garbage, "decided without it, or expired");
        assert_eq!(judge("9-0-3-0.parquet", Some(8)), ObjectStatus::Waiting, "decided, and still to be applied");
        assert_eq!(judge("11-0-2-0.parquet", Some(10)), ObjectStatus::Garbage, "a fenced generation's next epoch");
        assert_eq!(judge("11-0-3-0.parquet", Some(10)), ObjectStatus::Waiting, "the present generation is writing it");
        assert_eq!(judge("11-compact-3-0-0.parquet", Some(10)), ObjectStatus::Waiting, "a compaction under way");
        assert_eq!(judge("11-compact-2-0-0.parquet", Some(10)), ObjectStatus::Garbage, "a fenced compaction");
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(judge(&format!("9-apply-{id}-0-0.parquet"), Some(9)), ObjectStatus::Garbage, "a swap that lost");
        assert_eq!(judge(&format!("9-apply-{id}-0-0.parquet"), Some(8)), ObjectStatus::Waiting, "a swap that may come");
        assert_eq!(judge(&format!("9-{id}-m0.avro"), Some(9)), ObjectStatus::Garbage);
        assert_eq!(judge(&format!("9-{id}-m0.avro"), None), ObjectStatus::Waiting);
        assert_eq!(
            judge("00012-66a4f8cd.metadata.json", None),
            ObjectStatus::Garbage,
            "its base is no longer the head"
        );
        assert_eq!(
            judge("00013-66a4f8cd.metadata.json", None),
            ObjectStatus::Waiting,
            "a writer may be about to swap it in"
        );
        for foreign in ["00000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet", "snap-1-0-66a4.avro", "notes.txt"] {
            assert_eq!(judge(foreign, Some(10)), ObjectStatus::Unknown, "{foreign}");
        }
    }

    #[test]
    fn state_and_changes_live_as_long_as_the_epochs_that_need_them() {
        let named = HashSet::from(["state/7-0-3.bin.zst", "state/5-base-2.bin.zst"]);
        let state = |key| of_state(key, END, &named);
        assert_eq!(state("state/7-0-3.bin.zst"), ObjectStatus::Needed);
        assert_eq!(state("state/5-base-2.bin.zst"), ObjectStatus::Needed);
        assert_eq!(state("state/4-0-1.bin.zst"), ObjectStatus::Garbage);
        assert_eq!(state("state/8-1-3.bin.zst"), ObjectStatus::Garbage, "decided without it");
        assert_eq!(state("state/9-base-3.bin.zst"), ObjectStatus::Waiting, "the next slot may name it");
        assert_eq!(state("state/11-0-3.bin.zst"), ObjectStatus::Waiting);
        assert_eq!(state("state/11-0-2.bin.zst"), ObjectStatus::Garbage);
        let tokens = HashMap::from([(9, "abc")]);
        let changes = |key| of_changes(key, END, &tokens);
        assert_eq!(changes("changes/9-3-abc/t.json"), ObjectStatus::Needed);
        assert_eq!(changes("changes/9-3-xyz/t.json"), ObjectStatus::Garbage, "an attempt that lost");
        assert_eq!(changes("changes/2-1-abc/t.json"), ObjectStatus::Garbage);
        assert_eq!(changes("changes/11-3-abc/t.json"), ObjectStatus::Waiting);
        assert_eq!(changes("changes/11-2-abc/t.json"), ObjectStatus::Garbage);
    }
}
