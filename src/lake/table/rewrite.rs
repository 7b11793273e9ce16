//! Writes the files of a plan, each in its turn. Nothing of it is in the table before the swap.
//!
//! What must hold: every old row is proved by its hash before the first file is written; the files are written in the order
//! of the plan, so that after a crash their names show how far the writer came.

use super::deletes::{self, Deletes, surviving};
use super::files::write_batch;
use super::hits::Hit;
use super::index::LiveFiles;
use super::meta::DataFileMeta;
use super::names::FileNames;
use super::parquet::read_rows;
use super::plan::FileWork;
use super::rows::Rows;
use super::schema::arrow_schema;
use crate::commit::slot::NetChange;
use crate::error::LakeError;
use crate::store::Store;
use crate::table::buffer::RowBuffer;
use crate::table::spec::TableSpec;
use crate::upkeep::merge::join;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// What the work of a plan needs.
#[derive(Clone, Debug)]
pub(crate) struct Site<'a> {
    pub store: &'a dyn Store,
    pub spec: &'a Arc<TableSpec>,
    pub live: &'a LiveFiles,
    pub epoch: Epoch,
    pub changes: &'a [NetChange],
    /// The names of files that corrections write, and of those that a merge writes.
    pub corrected: FileNames,
    pub merged: FileNames,
}

/// The files that were written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub add: Vec<DataFileMeta>,
    pub deletes: Vec<Deletes>,
}

/// Does the work of a plan.
pub(crate) async fn perform(site: &Site<'_>, work: &[FileWork], hits: Vec<Hit>) -> Result<Written, LakeError> {
    let Site { store, spec, live, corrected, .. } = site;
    let mut kept = site.proved(work, hits).await?;
    let (mut written, mut rewrites) = (Written::default(), 0);
    for work in work {
        match work {
            FileWork::Delete { data_file, partition, gone, .. } => {
                let names = with_suffix(corrected, "deletes");
                let path = names.name(spec, *partition, written.deletes.len());
                written.deletes.push(deletes::write(*store, path, data_file, *partition, gone).await?);
            }
            FileWork::Fresh { changes } => {
                let rows = site.new_rows(changes)?;
                let names = with_suffix(corrected, "new");
                written.add.extend(write_batch(*store, (*spec).clone(), names, rows).await?.0);
            }
            FileWork::Rewrite { hits, changes } => {
                let fresh = site.new_rows(changes)?;
                let others: Vec<_> = hits.iter().filter_map(|hit| kept.remove(hit)).collect();
                let batch = concat_batches(&arrow_schema(spec), others.iter().chain([&fresh]))?;
                drop(others);
                let names = with_suffix(corrected, rewrites);
                written.add.extend(write_batch(*store, (*spec).clone(), names, batch).await?.0);
                rewrites += 1;
            }
            FileWork::Merge { files } => {
                written.add.extend(join(*store, spec, live, files, site.merged.clone()).await?);
            }
        }
    }
    Ok(written)
}

fn with_suffix(names: &FileNames, suffix: impl std::fmt::Display) -> FileNames {
    FileNames { stem: format!("{}-{suffix}", names.stem), folder: names.folder.clone() }
}

impl Site<'_> {
    /// Proves every old row by its hash. Returns the rows that stay of the files that are written again, by hit.
    async fn proved(&self, work: &[FileWork], hits: Vec<Hit>) -> Result<HashMap<usize, RecordBatch>, LakeError> {
        let staying = work.iter().filter_map(|work| match work {
            FileWork::Delete { hit, .. } => Some(*hit),
            _ => None,
        });
        let (staying, changes) = (staying.collect::<HashSet<_>>(), (self.epoch, self.changes));
        let mut kept = HashMap::new();
        for (number, hit) in hits.into_iter().enumerate() {
            if staying.contains(&number) {
                let only: BTreeSet<u64> = hit.at.keys().copied().collect();
                let order: HashMap<u64, usize> = only.iter().enumerate().map(|(nth, at)| (*at, nth)).collect();
                let batch = read_rows(hit.bytes.clone(), self.spec, Some(only)).await?;
                let row_of = |at: usize| order.get(&(at as u64)).copied().unwrap_or(at);
                hit.prove(self.spec, &Rows::new(self.spec, &batch)?, row_of, changes)?;
            } else {
                let batch = read_rows(hit.bytes.clone(), self.spec, None).await?;
                hit.prove(self.spec, &Rows::new(self.spec, &batch)?, |row| row, changes)?;
                kept.insert(number, surviving(&batch, &hit.gone_after())?);
            }
        }
        Ok(kept)
    }

    /// The new rows of these changes; a tombstone has none.
    fn new_rows(&self, changes: &[usize]) -> Result<RecordBatch, LakeError> {
        let mut rows = RowBuffer::new(self.spec.clone());
        let new = changes.iter().filter_map(|change| self.changes[*change].new.as_ref());
        new.for_each(|new| rows.push_row(new));
        rows.finish()
    }
}
