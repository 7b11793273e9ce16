//! The live files of a table that can be corrected, with the bounds of their keys: finds the files that may hold an old row
//! without reading a manifest.
//!
//! It is built once from the manifests of the head, then kept up to date by this process's commits; if another writer made
//! the head, it is built again. What must hold: every live data file is in it exactly once, with the files that delete rows
//! of it, and its bounds enclose all of its keys.

use super::deletes::{DeleteFile, refers_to};
use super::schema::{field_id, value};
use crate::commit::slot::NetChange;
use crate::error::LakeError;
use crate::table::spec::{TableSpec, Value};
use ::iceberg::io::FileIO;
use ::iceberg::spec::{
    DataContentType, DataFile, ManifestContentType, ManifestFile, ManifestList, Snapshot, TableMetadata,
};
use std::collections::HashMap;

/// A live data file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveFile {
    /// The manifest that names it as live.
    pub manifest: String,
    /// Rows in the file, including deleted ones.
    pub rows: u64,
    pub bytes: u64,
    /// Days since 1970, where the table has a partition column.
    pub partition: Option<i32>,
    /// The least and the greatest value of each key column, as far as they are known.
    pub bounds: Vec<Option<(Value, Value)>>,
    /// The delete files that say which of its rows are gone.
    pub deletes: Vec<DeleteFile>,
}

/// The live data files by location, at one metadata location.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveFiles {
    /// The metadata file that this describes.
    pub at: String,
    pub files: HashMap<String, LiveFile>,
    /// Delete files whose data file is no longer live, with the manifests that name them: they may be removed.
    pub dangling: HashMap<String, String>,
    /// Whether delete files of another engine refer to the table's rows.
    pub foreign_deletes: bool,
}

/// The manifests of the table's head.
pub(crate) async fn manifests(io: &FileIO, metadata: &TableMetadata) -> Result<Vec<ManifestFile>, LakeError> {
    match metadata.current_snapshot() {
        Some(snapshot) => manifests_of(io, metadata, snapshot).await,
        None => Ok(Vec::new()),
    }
}

/// The manifests of a snapshot.
pub(crate) async fn manifests_of(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>, LakeError> {
    let bytes = io.new_input(snapshot.manifest_list())?.read().await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

impl LiveFile {
    pub(crate) fn new(spec: &TableSpec, manifest: String, file: &DataFile) -> LiveFile {
        let bounds = spec.key.iter().map(|column| {
            let id = field_id(*column);
            let (least, greatest) = (file.lower_bounds().get(&id)?, file.upper_bounds().get(&id)?);
            Some((value(least)?, value(greatest)?))
        });
        let partition = file.partition().iter().next().flatten().and_then(|literal| literal.as_primitive_literal());
        let partition = match partition {
            Some(::iceberg::spec::PrimitiveLiteral::Int(days)) => Some(days),
            _ => None,
        };
        let (rows, bytes) = (file.record_count(), file.file_size_in_bytes());
        LiveFile { manifest, rows, bytes, partition, bounds: bounds.collect(), deletes: Vec::new() }
    }

    /// Rows that its delete files name.
    pub(crate) fn rows_deleted(&self) -> u64 {
        self.deletes.iter().map(|file| file.rows).sum()
    }

    /// Rows that are live.
    pub(crate) fn rows_live(&self) -> u64 {
        self.rows.saturating_sub(self.rows_deleted())
    }

    fn may_hold(&self, key: &[Value]) -> bool {
        self.bounds.iter().zip(key).all(|(bounds, value)| match (bounds, value) {
            // doubles are compared by bits here, which is not their order
            (None, _) | (_, Value::Null | Value::Double(_)) => true,
            (Some((least, greatest)), value) => least <= value && value <= greatest,
        })
    }
}

impl LiveFiles {
    /// Reads all manifests of the head.
    pub(crate) async fn build(
        spec: &TableSpec,
        io: &FileIO,
        at: &str,
        metadata: &TableMetadata,
    ) -> Result<LiveFiles, LakeError> {
        let mut live = LiveFiles { at: at.to_owned(), ..LiveFiles::default() };
        let mut manifests = manifests(io, metadata).await?;
        manifests.retain(|manifest| manifest.has_added_files() || manifest.has_existing_files());
        // data files first, so that each delete file finds its data file
        manifests.sort_by_key(|manifest| manifest.content == ManifestContentType::Deletes);
        for manifest in manifests {
            let entries = manifest.load_manifest(io).await?;
            for entry in entries.entries().iter().filter(|entry| entry.is_alive()) {
                live.add(spec, &manifest.manifest_path, entry.data_file());
            }
        }
        Ok(live)
    }

    /// Adds a file, new or known, that a manifest names as live.
    pub(crate) fn add(&mut self, spec: &TableSpec, manifest: &str, file: &DataFile) {
        let location = file.file_path();
        if file.content_type() == DataContentType::Data {
            let fresh = LiveFile::new(spec, manifest.to_owned(), file);
            let known = self.files.remove(location);
            let deletes = known.map(|file| file.deletes).unwrap_or_default();
            self.files.insert(location.to_owned(), LiveFile { deletes, ..fresh });
            return;
        }
        let Some(data_file) = refers_to(file) else {
            self.foreign_deletes = true;
            return;
        };
        let (location, manifest) = (location.to_owned(), manifest.to_owned());
        match self.files.get_mut(&data_file) {
            Some(known) => {
                known.deletes.retain(|file| file.location != location);
                known.deletes.push(DeleteFile { location, manifest, rows: file.record_count() });
            }
            None => drop(self.dangling.insert(location, manifest)),
        }
    }

    /// Removes a data or delete file that is no longer live.
    pub(crate) fn remove(&mut self, location: &str) {
        if self.files.remove(location).is_some() || self.dangling.remove(location).is_some() {
            return;
        }
        for file in self.files.values_mut() {
            file.deletes.retain(|file| file.location != location);
        }
    }

    /// The files that leave the table with a data file: itself and its delete files, each with its manifest.
    pub(crate) fn with_deletes(&self, location: &str) -> impl Iterator<Item = (String, String)> {
        let known = self.files.get(location);
        let own = known.map(|file| (location.to_owned(), file.manifest.clone()));
        let deletes = known.into_iter().flat_map(|file| &file.deletes);
        own.into_iter().chain(deletes.map(|file| (file.location.clone(), file.manifest.clone())))
    }

    /// The delete files of a data file.
    pub(crate) fn deletes_of(&self, location: &str) -> &[DeleteFile] {
        self.files.get(location).map_or(&[], |file| &file.deletes)
    }

    /// The number of ticktide's live delete files.
    #[cfg(test)]
    pub(crate) fn delete_files(&self) -> usize {
        self.files.values().map(|file| file.deletes.len()).sum()
    }

    /// The files that may hold an old row of the changes, in order of their names.
    pub(crate) fn candidates(&self, changes: &[NetChange]) -> Vec<&str> {
        let mut found: Vec<_> = self
            .files
            .iter()
            .filter(|(_, file)| changes.iter().any(|change| file.may_hold(&change.key)))
            .map(|(location, _)| location.as_str())
            .collect();
        found.sort_unstable();
        found
    }
}
