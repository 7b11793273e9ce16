//! Merges small files of a partition, as a part of an epoch's own swap.
//!
//! The choice of files is a pure function of the live ones. What must hold: no file is merged that a correction of the same
//! swap changes; no file of another engine, so that its files stay recognisable.

use crate::error::LakeError;
use crate::store::Store;
use crate::table::deletes::read_live;
use crate::table::files::write_batch;
use crate::table::index::LiveFiles;
use crate::table::meta::DataFileMeta;
use crate::table::names::{FileNames, epoch_of, is_ours};
use crate::table::schema::arrow_schema;
use crate::table::spec::TableSpec;
use arrow::compute::concat_batches;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// A file with this many rows is not merged again.
const MERGED_ROWS: u64 = 1 << 16;
/// Files are merged together up to this many rows: all of them are in memory, twice while they are sorted.
const MERGED_TOGETHER: u64 = 1 << 17;
/// At most this many files are merged together.
const MERGED_FILES_MAX: usize = 256;
/// Files with fewer rows are of the lowest tier; each further tier has eight times the rows.
const TIER_ROWS: u64 = 1 << 10;

/// The small files of one partition to merge into one, in the order of their epochs, if there are at least `files_min`;
/// without those in `except`.
pub(crate) fn small_files<'a>(live: &'a LiveFiles, except: &HashSet<&str>, files_min: usize) -> Vec<&'a str> {
    // rows that another engine deleted by position would come back
    if live.foreign_deletes {
        return Vec::new();
    }
    let mut alike: BTreeMap<(Option<i32>, u32), Vec<&str>> = BTreeMap::new();
    for (location, file) in live.files.iter().filter(|(_, file)| file.rows < MERGED_ROWS) {
        if !except.contains(location.as_str()) && is_ours(location) {
            alike.entry((file.partition, tier(file.rows))).or_default().push(location);
        }
    }
    let many = alike.into_values().find(|files| files.len() >= files_min);
    let mut small = many.unwrap_or_default();
    small.sort_unstable_by_key(|location| (epoch_of(location), *location));
    small.truncate(MERGED_FILES_MAX);
    let mut rows = 0;
    small.retain(|location| {
        let fits = rows < MERGED_TOGETHER;
        rows += live.files.get(*location).map_or(0, |file| file.rows);
        fits
    });
    small
}

/// The tier of a file. Files are merged with others of about their size: each merge makes a file of a higher tier, so a row is
/// rewritten a few times at most, not whenever new files arrive.
fn tier(rows: u64) -> u32 {
    (rows / TIER_ROWS).checked_ilog2().map_or(0, |bits| 1 + bits / 3)
}

/// Writes the live rows of the files as one file per partition.
pub(crate) async fn join(
    store: &dyn Store,
    spec: &Arc<TableSpec>,
    live: &LiveFiles,
    locations: &[impl AsRef<str>],
    names: FileNames,
) -> Result<Vec<DataFileMeta>, LakeError> {
    let read: Vec<_> = locations
        .iter()
        .map(AsRef::as_ref)
        .map(|location| read_live(store, spec, location, live.deletes_of(location)))
        .collect();
    let batches = futures::future::try_join_all(read).await?;
    let batch = concat_batches(&arrow_schema(spec), &batches)?;
    drop(batches);
    let rows = batch.num_rows() as u64;
    let written = write_batch(store, spec.clone(), names, batch).await?.0;
    if written.iter().map(|file| file.rows).sum::<u64>() != rows {
        return Err(LakeError::Bug(format!("table {}: joining {rows} rows wrote another number", spec.name)));
    }
    Ok(written)
}
