//! What an epoch does to a table, as a value: no store, no clock, no names.
//!
//! ```text
//!   TableView (head, live files, hits) ┐            work     files to write, in this order
//!   EpochInput (the slot's part)       ├─▶ plan ─▶  files    files of the slot that are added, written already
//!   Upkeep (limits)                    ┘            remove   what leaves, with the manifests that name it
//!                                                   leaves   snapshots and tags
//!   a hit:  small file, or half of it dead ─▶ Rewrite: its other rows and the new ones in a new file, the old one leaves
//!           big file                       ─▶ Delete: it stays, a delete file has the positions; Fresh: the new rows
//! ```
//!
//! Why copy where it is cheap: the files of the last minutes are small, and a table without delete files is fast to read in
//! every engine. Why not always: the correction of one row of a compacted day would write the whole day again. What must
//! hold: L2, nothing is planned for an epoch that the head has; a file is in at most one piece of work, and leaves at most
//! once. Files of one partition are rewritten together up to [`TOGETHER_ROWS`] rows, so that corrections make fewer files,
//! not more, and the cost of a correction stays bounded.

use super::base::{Base, Expiry, KeptSnapshots};
use super::hits::Hit;
use super::index::{LiveFile, LiveFiles};
use super::meta::DataFileMeta;
use crate::commit::protocol::Applied;
use crate::error::LakeError;
use crate::upkeep::Upkeep;
use crate::upkeep::expiry::expiry;
use crate::upkeep::merge::small_files;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use ticktide_base::epoch::Epoch;

/// Rows up to which touched files of a partition become one.
pub(crate) const TOGETHER_ROWS: usize = 1 << 16;

/// A table as it is when an epoch is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableView<'a> {
    pub base: &'a Base,
    /// The live files of the base.
    pub live: &'a LiveFiles,
    /// The live files that hold the old rows, in order of their names.
    pub hits: &'a [Hit],
}

/// What an epoch brings to the table, apart from the changes whose old rows are the hits.
#[derive(Clone, Debug)]
pub(crate) struct EpochInput<'a> {
    pub epoch: Epoch,
    /// Files that were written before the epoch was decided.
    pub files: &'a [DataFileMeta],
    /// The locations of the files that they replace: all of these, or none.
    pub replaced: HashSet<String>,
    /// Touched files become one up to this many rows: [`TOGETHER_ROWS`], fewer where the same files will not be touched again.
    pub together_rows: usize,
    pub past: KeptSnapshots<'a>,
}

/// One piece of writing. Hits and changes are numbered as in the view and the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileWork {
    /// The data file stays; a delete file has the positions of all of its rows that are gone.
    Delete { hit: usize, data_file: String, partition: Option<i32>, gone: BTreeSet<u64> },
    /// The new rows of the files that stay, in a file of their own.
    Fresh { changes: Vec<usize> },
    /// The other rows of these files and the new ones, as one file.
    Rewrite { hits: Vec<usize>, changes: Vec<usize> },
    /// The live rows of small files that the epoch does not otherwise touch.
    Merge { files: Vec<String> },
}

/// All that an epoch does to a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TablePlan<'a> {
    /// What is written, in this order.
    pub work: Vec<FileWork>,
    /// Files that were written before and are added.
    pub files: &'a [DataFileMeta],
    /// The files to replace have changed since, so their replacements are not added.
    pub given_up: bool,
    /// Locations of data and delete files that leave, with the manifests that name them.
    pub remove: HashMap<String, String>,
    /// Snapshots and tags that are removed or added.
    pub leaves: Expiry,
}

/// Plans an epoch on the head of the view; `None`: the head has the epoch already (L2).
pub(crate) fn plan<'a>(
    view: TableView<'_>,
    wanted: &EpochInput<'a>,
    upkeep: &Upkeep,
) -> Result<Option<TablePlan<'a>>, LakeError> {
    if matches!(view.base.applied(), Applied::Epoch(applied) if applied >= wanted.epoch) {
        return Ok(None);
    }
    let live = view.live;
    let mut plan = TablePlan { leaves: expiry(view.base, upkeep, wanted.past, wanted.epoch)?, ..TablePlan::default() };
    plan.correct(view, wanted.together_rows, upkeep.rewrite_bytes_max);
    plan.remove.extend(live.dangling.clone());
    match replaceable(live, &wanted.replaced) {
        Some(replaced) => {
            plan.remove.extend(replaced);
            plan.files = wanted.files;
        }
        None => plan.given_up = true,
    }
    plan.merge(live, upkeep.files);
    Ok(Some(plan))
}

impl TablePlan<'_> {
    /// Plans what happens to the files that hold old rows.
    fn correct(&mut self, view: TableView<'_>, together_rows: usize, rewrite_bytes_max: u64) {
        let live = view.live;
        let (mut fresh, mut rewritten) = (Vec::new(), Vec::new());
        for (number, hit) in view.hits.iter().enumerate() {
            let Some(file) = live.files.get(&hit.location) else { continue };
            let gone = hit.gone_after();
            if !stays(file, &gone, rewrite_bytes_max) {
                let kept = hit.rows - gone.range(..hit.rows).count() as u64;
                rewritten.push((number, file.partition, kept as usize));
                continue;
            }
            fresh.extend(hit.at.values());
            self.remove.extend(file.deletes.iter().map(|file| (file.location.clone(), file.manifest.clone())));
            let (data_file, partition) = (hit.location.clone(), file.partition);
            self.work.push(FileWork::Delete { hit: number, data_file, partition, gone });
        }
        if !fresh.is_empty() {
            self.work.push(FileWork::Fresh { changes: fresh });
        }
        for hits in groups(rewritten, together_rows) {
            let of = || hits.iter().map(|number| &view.hits[*number]);
            self.remove.extend(of().flat_map(|hit| live.with_deletes(&hit.location)));
            let changes = of().flat_map(|hit| hit.at.values().copied()).collect();
            self.work.push(FileWork::Rewrite { hits, changes });
        }
    }

    /// Merges the small files into one, if there are many.
    fn merge(&mut self, live: &LiveFiles, files_min: usize) {
        let mut except: HashSet<&str> = self.remove.keys().map(String::as_str).collect();
        except.extend(self.work.iter().filter_map(|work| match work {
            FileWork::Delete { data_file, .. } => Some(data_file.as_str()),
            _ => None,
        }));
        let files: Vec<String> = small_files(live, &except, files_min).into_iter().map(str::to_owned).collect();
        if !files.is_empty() {
            self.remove.extend(files.iter().flat_map(|location| live.with_deletes(location)));
            self.work.push(FileWork::Merge { files });
        }
    }
}

/// Whether a file that holds old rows stays, with a delete file.
fn stays(file: &LiveFile, gone: &BTreeSet<u64>, rewrite_bytes_max: u64) -> bool {
    // if more than half of it is dead, every reader pays for that: it is written again after all
    file.bytes > rewrite_bytes_max && 2 * gone.len() as u64 <= file.rows
}

/// Files that are written as one: of one partition, up to `together_rows` rows that stay.
fn groups(rewritten: Vec<(usize, Option<i32>, usize)>, together_rows: usize) -> Vec<Vec<usize>> {
    let mut partitions: BTreeMap<Option<i32>, Vec<(usize, Vec<usize>)>> = BTreeMap::new();
    for (hit, partition, kept) in rewritten {
        let groups = partitions.entry(partition).or_default();
        match groups.last_mut() {
            Some((rows, group)) if *rows + kept <= together_rows => {
                *rows += kept;
                group.push(hit);
            }
            _ => groups.push((kept, vec![hit])),
        }
    }
    partitions.into_values().flatten().map(|(_, group)| group).collect()
}

/// The data and delete files to replace with their manifests, if every data file is live with just these delete files: the
/// check at the swap that keeps a compaction from bringing back rows that were corrected or deleted since it read them.
fn replaceable(live: &LiveFiles, replaced: &HashSet<String>) -> Option<HashMap<String, String>> {
    if live.foreign_deletes && !replaced.is_empty() {
        return None;
    }
    let found: HashMap<_, _> = replaced.iter().flat_map(|location| live.with_deletes(location)).collect();
    (found.len() == replaced.len() && found.keys().all(|location| replaced.contains(location))).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::deletes::DeleteFile;
    use crate::table::schema::{APPLIED_EPOCH, creation};
    use crate::tests::scenario::bars;
    use crate::upkeep::retention::Retention;
    use ::iceberg::spec::TableMetadataBuilder;
    use bytes::Bytes;

    static NONE: Retention = Retention { since: 0, kept: Vec::new() };
    const UPKEEP: Upkeep = Upkeep { rewrite_bytes_max: 1_000, files: 4, ..crate::tests::scenario::HASTY };

    /// The head of a table that has epoch 4.
    fn base() -> Base {
        let creation = creation(&bars(), "file:///lake/market/bars_1m".into()).expect("a table");
        let builder = TableMetadataBuilder::from_table_creation(creation).expect("a table");
        let applied = HashMap::from([(APPLIED_EPOCH.to_owned(), "4".to_owned())]);
        let built = builder.set_properties(applied).expect("a property").build().expect("metadata");
        Base::new("file:///lake/market/bars_1m/metadata/0.metadata.json".into(), built.metadata)
    }

    /// Live files by location: rows, bytes, day, delete files with their rows.
    fn live(files: &[(&str, u64, u64, i32, &[(&str, u64)])]) -> LiveFiles {
        let file = |(location, rows, bytes, day, deletes): &(&str, u64, u64, i32, &[(&str, u64)])| {
            let delete = |(location, rows): &(&str, u64)| DeleteFile {
                location: (*location).into(),
                manifest: "md".into(),
                rows: *rows,
            };
            let deletes = deletes.iter().map(delete).collect();
            let partition = Some(*day);
            let manifest = format!("m of {location}");
            let file = LiveFile { manifest, rows: *rows, bytes: *bytes, partition, deletes, ..LiveFile::default() };
            ((*location).to_owned(), file)
        };
        LiveFiles { files: files.iter().map(file).collect(), ..LiveFiles::default() }
    }

    /// A file in which a change finds its old row, for each position, after others of its rows have gone.
    fn hit(live: &LiveFiles, location: &str, at: &[(u64, usize)], gone: &[u64]) -> Hit {
        Hit {
            location: location.into(),
            bytes: Bytes::new(),
            rows: live.files[location].rows,
            at: at.iter().copied().collect(),
            gone: gone.iter().copied().collect(),
        }
    }

    fn wanted(epoch: Epoch, files: &[DataFileMeta]) -> EpochInput<'_> {
        let (replaced, past) = (HashSet::new(), KeptSnapshots::Retained(&NONE));
        EpochInput { epoch, files, replaced, together_rows: 100, past }
    }

    fn file(path: &str) -> DataFileMeta {
        DataFileMeta { path: path.into(), partition: None, rows: 1, bytes: 1, columns: vec![], split_offsets: vec![] }
    }

    fn planned<'a>(live: &LiveFiles, hits: &[Hit], wanted: &EpochInput<'a>) -> TablePlan<'a> {
        let base = base();
        let plan = plan(TableView { base: &base, live, hits }, wanted, &UPKEEP);
        plan.expect("nothing is wrong").expect("the head lacks the epoch")
    }

    fn leaving(plan: &TablePlan<'_>) -> Vec<(String, String)> {
        let mut leaving: Vec<_> = plan.remove.clone().into_iter().collect();
        leaving.sort_unstable();
        leaving
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(location, manifest)| ((*location).to_owned(), (*manifest).to_owned())).collect()
    }

    #[test]
    fn a_small_hot_file_is_written_again_and_leaves_with_its_delete_file() {
        let live = live(&[("hot", 10, 1_000, 1, &[("d", 1)]), ("other", 10, 1_000, 1, &[])]);
        let hits = [hit(&live, "hot", &[(3, 0), (7, 1)], &[5])];
        let plan = planned(&live, &hits, &wanted(5, &[]));
        assert_eq!(plan.work, [FileWork::Rewrite { hits: vec![0], changes: vec![0, 1] }]);
        assert_eq!(leaving(&plan), pairs(&[("d", "md"), ("hot", "m of hot")]));
    }

    #[test]
    fn a_big_compacted_file_stays_and_gets_one_delete_file_in_place_of_the_one_it_had() {
        let live = live(&[("big", 1_000, 1_001, 1, &[("d", 1)])]);
        let hits = [hit(&live, "big", &[(3, 0), (700, 1)], &[5])];
        let plan = planned(&live, &hits, &wanted(5, &[]));
        let gone = BTreeSet::from([3, 5, 700]);
        let delete = FileWork::Delete { hit: 0, data_file: "big".into(), partition: Some(1), gone };
        assert_eq!(plan.work, [delete, FileWork::Fresh { changes: vec![0, 1] }]);
        assert_eq!(leaving(&plan), pairs(&[("d", "md")]), "the data file stays");
    }

    #[test]
    fn a_big_file_of_which_more_than_half_is_gone_is_written_again() {
        let live = live(&[("big", 6, 1_001, 1, &[("d", 2)])]);
        let half = [hit(&live, "big", &[(0, 0)], &[1, 2])];
        assert!(matches!(planned(&live, &half, &wanted(5, &[])).work[0], FileWork::Delete { .. }));
        let more = [hit(&live, "big", &[(0, 0), (3, 1)], &[1, 2])];
        let plan = planned(&live, &more, &wanted(5, &[]));
        assert_eq!(plan.work, [FileWork::Rewrite { hits: vec![0], changes: vec![0, 1] }]);
        assert_eq!(leaving(&plan), pairs(&[("big", "m of big"), ("d", "md")]));
    }

    #[test]
    fn touched_files_of_a_partition_are_written_as_one_up_to_the_limit_of_rows_that_stay() {
        let live = live(&[
            ("a", 60, 1, 1, &[]),
            ("b", 60, 1, 2, &[]),
            ("c", 42, 1, 1, &[]),
            ("d", 60, 1, 1, &[]),
            ("e", 1_000, 1_001, 1, &[]),
        ]);
        let at = |location, change| hit(&live, location, &[(0, change)], &[]);
        let hits = [at("a", 0), at("b", 1), at("c", 2), at("d", 3), at("e", 4)];
        let plan = planned(&live, &hits, &wanted(5, &[]));
        let rewrite = |hits: &[usize]| FileWork::Rewrite { hits: hits.to_vec(), changes: hits.to_vec() };
        let delete = FileWork::Delete { hit: 4, data_file: "e".into(), partition: Some(1), gone: [0].into() };
        let fresh = FileWork::Fresh { changes: vec![4] };
        assert_eq!(plan.work, [delete, fresh, rewrite(&[0, 2]), rewrite(&[3]), rewrite(&[1])]);
    }

    #[test]
    fn an_epoch_that_corrects_nothing_only_adds_its_files() {
        let (live, files) = (live(&[("1-0-1-0.parquet", 10, 1, 1, &[])]), [file("2-0-1-0.parquet")]);
        let plan = planned(&live, &[], &wanted(5, &files));
        assert_eq!(plan, TablePlan { files: &files, ..TablePlan::default() });
        assert_eq!(
            planned(&live, &[], &wanted(5, &[])),
            TablePlan::default(),
            "nothing to do but to say that it has the epoch"
        );
    }

    #[test]
    fn nothing_is_planned_for_an_epoch_that_the_head_has() {
        let (base, live, files) = (base(), live(&[("hot", 10, 1, 1, &[])]), [file("a")]);
        let hits = [hit(&live, "hot", &[(0, 0)], &[])];
        for (epoch, lacks) in [(3, false), (4, false), (5, true)] {
            let view = TableView { base: &base, live: &live, hits: &hits };
            let plan = plan(view, &wanted(epoch, &files), &UPKEEP).expect("nothing is wrong");
            assert_eq!(plan.is_some(), lacks, "epoch {epoch}");
        }
    }

    #[test]
    fn a_compaction_is_given_up_when_one_of_its_files_is_no_longer_as_it_was() {
        let files = [file("big")];
        let sound = || live(&[("a", 10, 1, 1, &[("d", 1)]), ("b", 10, 1, 1, &[])]);
        let replaced = |locations: &[&str]| EpochInput {
            replaced: locations.iter().map(|location| (*location).to_owned()).collect(),
            ..wanted(5, &files)
        };
        let all = replaced(&["a", "b", "d"]);
        let plan = planned(&sound(), &[], &all);
        assert_eq!((plan.given_up, plan.files), (false, &files[..]));
        assert_eq!(leaving(&plan), pairs(&[("a", "m of a"), ("b", "m of b"), ("d", "md")]));
        let corrected = live(&[("a", 10, 1, 1, &[("d2", 2)]), ("b", 10, 1, 1, &[])]);
        let gone = live(&[("a", 10, 1, 1, &[("d", 1)])]);
        let foreign = LiveFiles { foreign_deletes: true, ..sound() };
        for live in [corrected, gone, foreign] {
            let plan = planned(&live, &[], &all);
            assert!(plan.given_up && plan.files.is_empty() && plan.remove.is_empty(), "{plan:?}");
        }
    }

    #[test]
    fn small_files_are_merged_but_none_that_is_corrected_or_another_engines() {
        let name = |number: usize| format!("{number}-0-1-0.parquet");
        let names: Vec<String> = (0..7).map(name).collect();
        let foreign = "00000-0-66a4f8cd-5f4f-4a5a-9d6c-0c0ff6d8a9b1.parquet";
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), 10, 1, 1, &[][..])).collect();
        // it stays, and its rows are deleted by position
        files[6].2 = 1_001;
        files.push((foreign, 10, 1, 1, &[]));
        let mut live = live(&files);
        live.dangling.insert("left over".into(), "mm".into());
        let hits = [hit(&live, &names[0], &[(0, 0)], &[]), hit(&live, &names[6], &[(0, 1)], &[])];
        let plan = planned(&live, &hits, &wanted(5, &[]));
        assert_eq!(plan.work.last(), Some(&FileWork::Merge { files: names[1..6].to_vec() }));
        let mut left: Vec<_> = names[..6].iter().map(|name| (name.clone(), format!("m of {name}"))).collect();
        left.extend(pairs(&[("left over", "mm")]));
        assert_eq!(leaving(&plan), left);
        // fewer than it takes
        let few = planned(&live, &[], &EpochInput { replaced: names[..4].iter().cloned().collect(), ..wanted(5, &[]) });
        assert_eq!(few.work, []);
    }
}
