//! Stages the next metadata of a table: manifests, manifest list, snapshot, metadata file, all under new names.
//!
//! Why by hand, with iceberg's public spec types: its transactions rebase and retry by themselves, so a commit whose answer
//! was lost can append twice, and they cannot remove files or choose the snapshot id. Nothing here changes the table: only
//! the catalog's swap of the metadata location does. What must hold: L2, the snapshot and the property of the applied epoch
//! are in the same metadata file; every removed file is live in the base.
//!
//! Commits stay cheap because upkeep is part of staging: the oldest snapshots leave, many small manifests become one.

use super::base::{Base, Expiry, SNAPSHOT_EPOCH};
use super::index::manifests;
use super::schema::APPLIED_EPOCH;
use crate::error::LakeError;
use ::iceberg::MetadataLocation;
use ::iceberg::io::FileIO;
use ::iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestContentType, ManifestFile, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, Operation, Snapshot, SnapshotReference, SnapshotRetention, SnapshotSummaryCollector,
    Summary, TableMetadata, TableMetadataBuilder,
};
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use ticktide_base::epoch::Epoch;
use uuid::Uuid;

/// A manifest of this many files is not merged again.
const MANIFEST_FILES_SMALL: u32 = 1_000;
/// Manifests are of data files or of delete files, never of both.
const CONTENTS: [ManifestContentType; 2] = [ManifestContentType::Data, ManifestContentType::Deletes];
/// How much older than the table's last update iceberg lets a snapshot be.
const STAMP_SLACK_MS: i64 = 60_000;

/// What an epoch changes in a table.
#[derive(Debug)]
pub(crate) struct Delta {
    pub epoch: Epoch,
    pub snapshot_id: i64,
    /// Milliseconds since 1970.
    pub cut_at: i64,
    pub add: Vec<DataFile>,
    /// New delete files.
    pub deletes: Vec<DataFile>,
    /// Locations of data and delete files that leave the table, with the manifests that name them.
    pub remove: HashMap<String, String>,
    /// The rows are the same afterwards.
    pub replaces: bool,
    /// Snapshots and tags that are removed, and tags that are added.
    pub leaves: Expiry,
}

/// The next state of a table, written but not yet swapped in.
#[derive(Debug)]
pub(crate) struct Staged {
    pub next: Base,
    /// The manifests written, with the live data or delete files of each.
    pub written: Vec<(String, Vec<DataFile>)>,
    /// Snapshots that the next state no longer has.
    pub expired_snapshots: Vec<i64>,
    /// Metadata files that may be deleted after the swap.
    pub expired_metadata: Vec<String>,
}

/// A positive id that nothing else has.
pub(crate) fn snapshot_id() -> i64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    ((high ^ low) >> 1).max(1) as i64
}

struct Stage<'a> {
    io: &'a FileIO,
    metadata: &'a TableMetadata,
    delta: &'a Delta,
    /// More manifests than this are merged.
    manifests_max: usize,
    folder: String,
    /// Makes the names of one attempt unique, and says for which epoch it was.
    attempt: String,
    summary: SnapshotSummaryCollector,
    written: Vec<(String, Vec<DataFile>)>,
}

/// Writes everything that the swap needs. If the base has more than `manifests_max` manifests, small ones are merged.
pub(crate) async fn stage(io: &FileIO, base: &Base, delta: &Delta, manifests_max: usize) -> Result<Staged, LakeError> {
    let metadata = &*base.metadata;
    let mut stage = Stage {
        io,
        metadata,
        delta,
        manifests_max,
        folder: format!("{}/metadata", metadata.location()),
        attempt: format!("{}-{}", delta.epoch, Uuid::new_v4().simple()),
        summary: SnapshotSummaryCollector::default(),
        written: Vec::new(),
    };
    let mut list = stage.rewritten().await?;
    list.extend(stage.added(ManifestContentType::Data, &delta.add).await?);
    list.extend(stage.added(ManifestContentType::Deletes, &delta.deletes).await?);
    let parent = metadata.current_snapshot().map(|snapshot| snapshot.snapshot_id());
    let sequence = metadata.next_sequence_number();
    let list_location = format!("{}/{}-list.avro", stage.folder, stage.attempt);
    let output = io.new_output(&list_location)?.writer().await?;
    let mut writer = ManifestListWriter::v2(output, delta.snapshot_id, parent, sequence);
    writer.add_manifests(list.into_iter())?;
    writer.close().await?;

    let snapshot = Snapshot::builder()
        .with_snapshot_id(delta.snapshot_id)
        .with_parent_snapshot_id(parent)
        .with_sequence_number(sequence)
        .with_timestamp_ms(stamp(metadata, delta.cut_at))
        .with_manifest_list(list_location)
        .with_summary(stage.summary())
        .with_schema_id(metadata.current_schema_id())
        .build();
    let leaves = &delta.leaves;
    let builder = metadata.clone().into_builder(Some(base.location.clone()));
    let builder = leaves.untag.iter().fold(builder, |builder, name| builder.remove_ref(name));
    let builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?.remove_snapshots(&leaves.snapshots);
    let built = leaves
        .tag
        .iter()
        .cloned()
        .try_fold(builder, tagged)?
        .set_properties(HashMap::from([(APPLIED_EPOCH.to_owned(), delta.epoch.to_string())]))?
        .build()?;
    let next = built.metadata;
    let location = MetadataLocation::from_str(&base.location)?.with_next_version().with_new_metadata(&next);
    next.write_to(io, &location).await?;
    Ok(Staged {
        next: base.followed_by(location.to_string(), next, leaves),
        written: stage.written,
        expired_snapshots: leaves.snapshots.clone(),
        expired_metadata: built.expired_metadata_logs.into_iter().map(|log| log.metadata_file).collect(),
    })
}

fn tagged(
    builder: TableMetadataBuilder,
    (name, snapshot_id): (String, i64),
) -> ::iceberg::Result<TableMetadataBuilder> {
    builder.set_ref(&name, SnapshotReference::new(snapshot_id, SnapshotRetention::Tag { max_ref_age_ms: None }))
}

/// The cut, or the least later time that iceberg accepts.
fn stamp(metadata: &TableMetadata, cut_at: i64) -> i64 {
    let logged = metadata.history().last().map_or(i64::MIN, |log| log.timestamp_ms());
    let last = logged.max(metadata.last_updated_ms());
    cut_at.max(last.saturating_sub(STAMP_SLACK_MS))
}

impl Stage<'_> {
    fn writer(&self, content: ManifestContentType) -> Result<(ManifestWriter, String), LakeError> {
        let location = format!("{}/{}-m{}.avro", self.folder, self.attempt, self.written.len());
        let schema = self.metadata.current_schema().clone();
        let spec = self.metadata.default_partition_spec().as_ref().clone();
        let output = self.io.new_output(&location)?;
        let builder = ManifestWriterBuilder::new(output, Some(self.delta.snapshot_id), schema, spec);
        let writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        Ok((writer, location))
    }

    /// The base's manifests without the removed files; small ones merged when there are many.
    async fn rewritten(&mut self) -> Result<Vec<ManifestFile>, LakeError> {
        let mut all = manifests(self.io, self.metadata).await?;
        all.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        let (mut list, mut removed) = (Vec::new(), 0);
        for content in CONTENTS {
            let of: Vec<_> = all.iter().filter(|manifest| manifest.content == content).cloned().collect();
            removed += self.rewritten_of(content, of, &mut list).await?;
        }
        if removed != self.delta.remove.len() {
            let message = format!("{removed} of {} files to replace are live", self.delta.remove.len());
            return Err(LakeError::corrupt(message, "run `ticktide lake doctor`"));
        }
        Ok(list)
    }

    /// The same for the manifests of data files or of delete files. Returns how many files were removed.
    async fn rewritten_of(
        &mut self,
        content: ManifestContentType,
        all: Vec<ManifestFile>,
        list: &mut Vec<ManifestFile>,
    ) -> Result<usize, LakeError> {
        let merge = all.len() > self.manifests_max;
        let named: HashSet<&str> = self.delta.remove.values().map(String::as_str).collect();
        let small = |manifest: &ManifestFile| {
            let files = manifest.added_files_count.unwrap_or(u32::MAX);
            files.saturating_add(manifest.existing_files_count.unwrap_or(u32::MAX)) < MANIFEST_FILES_SMALL
        };
        let (open, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|manifest| (merge && small(manifest)) || named.contains(manifest.manifest_path.as_str()));
        list.extend(others);
        let loaded = open.iter().map(|manifest| manifest.load_manifest(self.io));
        let loaded = futures::future::try_join_all(loaded).await?;
        let (mut writer, location) = self.writer(content)?;
        let (mut kept, mut removed) = (Vec::new(), 0);
        for entry in loaded.iter().flat_map(|manifest| manifest.entries()).filter(|entry| entry.is_alive()) {
            let missing = || LakeError::format(entry.file_path(), "its manifest entry has no sequence number");
            let sequence = entry.sequence_number().ok_or_else(missing)?;
            let file = entry.data_file();
            if self.delta.remove.contains_key(entry.file_path()) {
                removed += 1;
                let (schema, spec) = (self.metadata.current_schema(), self.metadata.default_partition_spec());
                self.summary.remove_file(file, schema.clone(), spec.clone());
                writer.add_delete_file(file.clone(), sequence, entry.file_sequence_number)?;
            } else {
                let snapshot_id = entry.snapshot_id().ok_or_else(missing)?;
                writer.add_existing_file(file.clone(), snapshot_id, sequence, entry.file_sequence_number)?;
                kept.push(file.clone());
            }
        }
        if removed + kept.len() > 0 {
            list.push(writer.write_manifest_file().await?);
            self.written.push((location, kept));
        }
        Ok(removed)
    }

    /// The manifest of the new data files or of the new delete files.
    async fn added(
        &mut self,
        content: ManifestContentType,
        files: &[DataFile],
    ) -> Result<Option<ManifestFile>, LakeError> {
        if files.is_empty() {
            return Ok(None);
        }
        let (mut writer, location) = self.writer(content)?;
        for file in files {
            let (schema, spec) = (self.metadata.current_schema(), self.metadata.default_partition_spec());
            self.summary.add_file(file, schema.clone(), spec.clone());
            writer.add_file(file.clone(), -1)?; // its sequence number is that of the snapshot
        }
        self.written.push((location, files.to_vec()));
        Ok(Some(writer.write_manifest_file().await?))
    }

    fn summary(&self) -> Summary {
        let mut properties = self.summary.build();
        properties.insert(SNAPSHOT_EPOCH.to_owned(), self.delta.epoch.to_string());
        let parent = self.metadata.current_snapshot().map(|snapshot| snapshot.summary());
        let totals = [
            ("total-records", "added-records", "deleted-records"),
            ("total-data-files", "added-data-files", "deleted-data-files"),
            ("total-delete-files", "added-delete-files", "removed-delete-files"),
            ("total-files-size", "added-files-size", "removed-files-size"),
            ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
            ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
        ];
        let number = |value: Option<&String>| value.and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        for (total, added, removed) in totals {
            let before = number(parent.and_then(|summary| summary.additional_properties.get(total)));
            let after = before + number(properties.get(added)) - number(properties.get(removed));
            properties.insert(total.to_owned(), after.to_string());
        }
        let appends = self.delta.remove.is_empty() && self.delta.deletes.is_empty();
        let operation = match (appends, self.delta.replaces) {
            (true, _) => Operation::Append,
            (false, true) => Operation::Replace,
            (false, false) => Operation::Overwrite,
        };
        Summary { operation, additional_properties: properties }
    }
}
