//! The live files of a table that can be corrected, with the bounds of their keys: finds the files that may hold an old row
//! without reading a manifest.
//!
//! Built from the manifests of the head once, then kept up to date by our own commits; a head that is not ours rebuilds it.
//! What must hold: every live data file is in it exactly once, and its bounds enclose all of its keys.

use super::epoch::NetChange;
use super::error::LakeError;
use super::schema::{field_id, value};
use super::table::{TableSpec, Value};
use ::iceberg::io::FileIO;
use ::iceberg::spec::{DataFile, ManifestContentType, ManifestFile, ManifestList, Snapshot, TableMetadata};
use std::collections::HashMap;

/// A live data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    /// The manifest that names it as live.
    pub manifest: String,
    pub rows: u64,
    pub bytes: u64,
    /// Days since 1970, where the table has a partition column.
    pub partition: Option<i32>,
    /// For each key column least and greatest value, as far as they are known.
    pub bounds: Vec<Option<(Value, Value)>>,
}

/// The live data files by location, at one metadata location.
#[derive(Clone, Debug, Default)]
pub struct LiveFiles {
    /// The metadata file that this describes.
    pub at: String,
    pub files: HashMap<String, LiveFile>,
    /// Whether delete files of another engine refer to the table's rows.
    pub deletes: bool,
}

/// The manifests of the table's head.
pub async fn manifests(io: &FileIO, metadata: &TableMetadata) -> Result<Vec<ManifestFile>, LakeError> {
    match metadata.current_snapshot() {
        Some(snapshot) => manifests_of(io, metadata, snapshot).await,
        None => Ok(Vec::new()),
    }
}

/// The manifests of a snapshot.
pub async fn manifests_of(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>, LakeError> {
    let bytes = io.new_input(snapshot.manifest_list())?.read().await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

impl LiveFile {
    pub fn new(spec: &TableSpec, manifest: String, file: &DataFile) -> LiveFile {
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
        LiveFile { manifest, rows, bytes, partition, bounds: bounds.collect() }
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
    pub async fn build(
        spec: &TableSpec,
        io: &FileIO,
        at: &str,
        metadata: &TableMetadata,
    ) -> Result<LiveFiles, LakeError> {
        let mut live = LiveFiles { at: at.to_owned(), ..LiveFiles::default() };
        for manifest in manifests(io, metadata).await? {
            if !manifest.has_added_files() && !manifest.has_existing_files() {
                continue;
            }
            if manifest.content == ManifestContentType::Deletes {
                live.deletes = true;
                continue;
            }
            let entries = manifest.load_manifest(io).await?;
            for entry in entries.entries().iter().filter(|entry| entry.is_alive()) {
                let file = LiveFile::new(spec, manifest.manifest_path.clone(), entry.data_file());
                live.files.insert(entry.file_path().to_owned(), file);
            }
        }
        Ok(live)
    }

    /// The manifest that names a file as live; empty if none does.
    pub fn manifest(&self, location: &str) -> String {
        self.files.get(location).map(|file| file.manifest.clone()).unwrap_or_default()
    }

    /// The files that may hold an old row of the changes, in order of their names.
    pub fn candidates(&self, changes: &[NetChange]) -> Vec<&str> {
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
