//! Small files of a partition become one big file, sorted.
//!
//! Which files go together is a pure function of the live files. What must hold: every round makes a table's files fewer,
//! so it ends; a compacted lake has nothing to compact; files that other engines wrote are left alone, so that
//! their rows remain distinguishable from those of the log.

use super::super::Lake;
use super::super::error::LakeError;
use super::Survey;
use crate::commit::slot::TableWork;
use crate::table::index::LiveFiles;
use crate::table::meta::DataFileMeta;
use crate::table::names::{COMPACT, FileNames, epoch_of, is_ours, table_folder};
use crate::upkeep::merge::join;
use std::collections::BTreeMap;
use ticktide_base::epoch::Epoch;

/// A compacted file has at most this many rows: one row group.
const ROWS_MAX: u64 = 1 << 20;
/// … and is made of files of at most this many bytes together.
const BYTES_MAX: u64 = 64 << 20;
/// … and of at most this many files.
const GROUP_MAX: usize = 250;
/// Files that one slot replaces, over all tables.
const FILES_MAX: usize = 4 * GROUP_MAX;

/// What a compaction did, or would do, to a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Data and delete files.
    pub files_before: usize,
    pub files_after: usize,
    pub rows: u64,
}

/// Groups of files, by location, each of which becomes one file: of one partition, within the limits, at least two files or
/// one with deleted rows. Why in the order of their epochs: neighbours in time have keys and times next to each other, so that
/// a group spans few of them.
pub(crate) fn groups(live: &LiveFiles) -> Vec<Vec<&str>> {
    if live.foreign_deletes {
        return Vec::new();
    }
    let mut partitions: BTreeMap<Option<i32>, Vec<(Option<Epoch>, &str, u64, u64)>> = BTreeMap::new();
    for (location, file) in live.files.iter().filter(|(location, _)| is_ours(location)) {
        // a file of more than half the limits would be written again and again for little
        if !file.deletes.is_empty() || (file.rows <= ROWS_MAX / 2 && file.bytes <= BYTES_MAX / 2) {
            partitions.entry(file.partition).or_default().push((
                epoch_of(location),
                location,
                file.rows_live(),
                file.bytes,
            ));
        }
    }
    let mut groups = Vec::new();
    for mut files in partitions.into_values() {
        files.sort_unstable();
        let (mut group, mut rows, mut bytes) = (Vec::new(), 0, 0);
        for (_, location, more_rows, more_bytes) in files {
            let full = rows + more_rows > ROWS_MAX || bytes + more_bytes > BYTES_MAX || group.len() == GROUP_MAX;
            if full && !group.is_empty() {
                groups.push(std::mem::take(&mut group));
                (rows, bytes) = (0, 0);
            }
            group.push(location);
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
        }
        groups.push(group);
    }
    let deleted = |location: &&str| live.files.get(*location).is_some_and(|file| !file.deletes.is_empty());
    groups.retain(|group| group.len() > 1 || group.iter().any(deleted));
    groups
}

impl Lake {
    /// Compacts every table; `told` is called for each table's round. Returns the epochs that it made.
    pub async fn compact(&mut self, told: impl FnMut(&str, &Compacted)) -> Result<Vec<Epoch>, LakeError> {
        let done = self.compact_all(told).await;
        self.unless_fenced(done).await
    }

    async fn compact_all(&mut self, mut told: impl FnMut(&str, &Compacted)) -> Result<Vec<Epoch>, LakeError> {
        let mut epochs = Vec::new();
        loop {
            let mut work = BTreeMap::new();
            let (mut done, mut budget) = (Vec::new(), FILES_MAX);
            let names: Vec<String> = self.tables.keys().cloned().collect();
            for name in names {
                let Some((files, replaced)) = self.compact_table(&name, &mut budget).await? else { continue };
                let rows = files.iter().map(|file| file.rows).sum();
                done.push((name.clone(), Compacted { files_before: replaced.len(), files_after: files.len(), rows }));
                work.insert(name, TableWork { files, replaced, ..TableWork::default() });
            }
            if work.is_empty() {
                return Ok(epochs);
            }
            epochs.push(self.maintain(work, None).await?);
            done.iter().for_each(|(name, done)| told(name, done));
        }
    }

    /// Writes what one slot may do to a table. Returns the new files, and the names of those that they replace.
    async fn compact_table(
        &mut self,
        name: &str,
        budget: &mut usize,
    ) -> Result<Option<(Vec<DataFileMeta>, Vec<String>)>, LakeError> {
        let (epoch, generation, place) = (self.epoch_next(), self.generation, self.place.clone());
        let Some(table) = self.tables.get_mut(name) else { return Ok(None) };
        let folder = table_folder(&place.namespace, name);
        let spec = table.spec.clone();
        let live = table.live(&place).await?;
        let (mut files, mut replaced) = (Vec::new(), Vec::new());
        for (number, group) in groups(live).into_iter().enumerate() {
            if group.len() > *budget {
                break;
            }
            *budget -= group.len();
            let stem = format!("{epoch}-{COMPACT}-{generation}-{number}");
            let names = FileNames { folder: folder.clone(), stem };
            files.extend(join(&*place.store, &spec, live, &group, names).await?);
            let leaving = group.iter().flat_map(|location| live.with_deletes(location));
            replaced.extend(leaving.filter_map(|(location, _)| place.store.key(&location)));
        }
        Ok((!replaced.is_empty()).then_some((files, replaced)))
    }
}

impl Survey {
    /// What a compaction would do to each table.
    pub async fn compactions(&self) -> Result<BTreeMap<String, Compacted>, LakeError> {
        let mut all = BTreeMap::new();
        for (name, spec) in self.data_tables() {
            let live = self.live(name, spec).await?;
            let groups = groups(&live);
            if groups.is_empty() {
                continue;
            }
            let files = groups.iter().flatten();
            let (mut rows, mut files_before) = (0, 0);
            for file in files.filter_map(|location| live.files.get(*location)) {
                rows += file.rows_live();
                files_before += 1 + file.deletes.len();
            }
            all.insert(name.to_owned(), Compacted { files_before, files_after: groups.len(), rows });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::deletes::DeleteFile;
    use crate::table::index::LiveFile;
    use std::collections::HashMap;

    fn live(files: impl IntoIterator<Item = (String, u64, Option<i32>)>) -> LiveFiles {
        let file = |(name, rows, partition): (String, u64, Option<i32>)| {
            (name, LiveFile { rows, bytes: 20 * rows, partition, ..LiveFile::default() })
        };
        LiveFiles { files: files.into_iter().map(file).collect::<HashMap<_, _>>(), ..LiveFiles::default() }
    }

    #[test]
    fn every_file_is_in_one_group_of_its_partition_and_no_group_is_too_big() {
        let name = |number: u64| format!("{number}-0-1-0.parquet");
        let files = live((0..3_000).map(|number| (name(number), 1 + number * 97 % 5_000, Some(number as i32 % 3))));
        let groups = groups(&files);
        let mut seen = std::collections::HashSet::new();
        for group in &groups {
            let of = |location: &&str| &files.files[*location];
            assert!(
                group.len() > 1
                    && group.len() <= GROUP_MAX
                    && group.iter().map(of).map(|file| file.rows).sum::<u64>() <= ROWS_MAX
            );
            assert!(group.iter().map(of).all(|file| file.partition == of(&group[0]).partition));
            assert!(group.iter().all(|location| seen.insert(*location)));
        }
        assert_eq!(seen.len(), 3_000);
        assert!(groups.len() < 20, "{}", groups.len());
    }

    #[test]
    fn files_go_together_in_the_order_of_their_epochs_and_not_of_their_names() {
        let of = |epoch: u64| format!("a/data/{epoch}-0-1-0.parquet");
        let files = live((1..=500).map(|epoch| (of(epoch), 5, Some(1))));
        let groups = groups(&files);
        let expected: Vec<Vec<String>> = vec![(1..=250).map(of).collect(), (251..=500).map(of).collect()];
        assert_eq!(groups, expected, "the 10th epoch is after the 9th");
        let of_one = live(
            ["9-0-1-0", "9-compact-2-0-1", "10-1-1-0", "10-0-1-0"].map(|stem| (format!("{stem}.parquet"), 5, None)),
        );
        let expected = ["9-0-1-0.parquet", "9-compact-2-0-1.parquet", "10-0-1-0.parquet", "10-1-1-0.parquet"];
        assert_eq!(super::groups(&of_one), [expected]);
    }

    #[test]
    fn big_files_single_files_and_those_of_other_engines_are_left_alone() {
        let foreign = "00000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet";
        let files = live([
            ("1-0-1-0.parquet".into(), 5, Some(1)),
            ("2-0-1-0.parquet".into(), 5, Some(2)),
            ("3-0-1-0.parquet".into(), ROWS_MAX / 2 + 1, Some(2)),
            (foreign.into(), 5, Some(2)),
        ]);
        assert!(groups(&files).is_empty());
        let many = || live((0..9).map(|at| (format!("{at}-0-1-0.parquet"), 5, None)));
        let deleted = LiveFiles { foreign_deletes: true, ..many() };
        assert!(groups(&deleted).is_empty(), "rows that another engine deleted would come back");
    }

    #[test]
    fn a_file_with_deleted_rows_is_written_again_even_if_it_is_big_and_alone() {
        let name = |number: u64| format!("{number}-0-1-0.parquet");
        let mut files = live([(name(1), 2 * ROWS_MAX, Some(1)), (name(2), 5, Some(2)), (name(3), ROWS_MAX, Some(3))]);
        for at in [1, 2] {
            let deletes = vec![DeleteFile { location: format!("{at}.d"), manifest: String::new(), rows: 1 }];
            files.files.get_mut(&name(at)).expect("a file").deletes = deletes;
        }
        assert_eq!(groups(&files), [[name(1).as_str()], [name(2).as_str()]]);
    }
}
