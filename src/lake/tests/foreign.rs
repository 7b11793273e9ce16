//! Another engine in the same lake: a commit of its own between two of ticktide's.

use super::doubles::{Faults, World};
use super::scenario::spec_of;
use crate::catalog::{Catalog, Swapped};
use crate::error::LakeError;
use crate::store::Store;
use crate::store::fileio::file_io;
use crate::table::base::{Base, KeptSnapshots};
use crate::table::deletes::read_live;
use crate::table::files::write_batch;
use crate::table::index::LiveFiles;
use crate::table::meta::DataFileMeta;
use crate::table::names::FileNames;
use crate::table::schema::{APPLIED_EPOCH, arrow_schema, data_file};
use crate::table::spec::TableSpec;
use crate::table::stage::{Delta, snapshot_id, stage};
use crate::upkeep::Upkeep;
use crate::upkeep::expiry::expiry;
use crate::upkeep::retention::Retention;
use ::iceberg::MetadataLocation;
use ::iceberg::io::FileIO;
use ::iceberg::spec::TableMetadata;
use arrow::compute::concat_batches;
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// What OPTIMIZE of another engine does: the live files of the fullest partition become one, in a snapshot of its own, with
/// all properties kept. A table with fewer than two files gets a property instead.
pub async fn optimize(world: &World, table: &str) -> Result<(), LakeError> {
    let (store, catalog) = world.process(&Faults::planned("foreign", Vec::new(), 0));
    let Some(location) = catalog.location(table).await? else { return Ok(()) };
    let io = file_io(store.clone());
    let metadata = TableMetadata::read_from(&io, &location).await?;
    let base = Base::new(location, metadata);
    let (next, snapshot_id) = match merged(&*store, &io, &Arc::new(spec_of(table)), &base).await? {
        Some(delta) => {
            let staged = stage(&io, &base, &delta, Upkeep::default().manifests).await?;
            (staged.next.location, Some(delta.snapshot_id))
        }
        None => (with_property(&io, &base).await?, None),
    };
    if catalog.swap(table, &base.location, &next).await? == Swapped::Done {
        snapshot_id.into_iter().for_each(|id| world.add_foreign(id));
    }
    Ok(())
}

async fn merged(
    store: &dyn Store,
    io: &FileIO,
    spec: &Arc<TableSpec>,
    base: &Base,
) -> Result<Option<Delta>, LakeError> {
    let live = LiveFiles::build(spec, io, &base.location, &base.metadata).await?;
    let mut partitions: BTreeMap<Option<i32>, Vec<&String>> = BTreeMap::new();
    for (file, known) in &live.files {
        partitions.entry(known.partition).or_default().push(file);
    }
    let fullest = partitions.into_values().max_by_key(Vec::len).filter(|files| files.len() > 1);
    let Some(files) = fullest else { return Ok(None) };
    let mut batches = Vec::new();
    for file in &files {
        batches.push(read_live(store, spec, file, live.deletes_of(file)).await?);
    }
    let batch = concat_batches(&arrow_schema(spec), &batches)?;
    let names = FileNames { folder: format!("market/{}", spec.name), stem: format!("foreign-{}", Uuid::new_v4()) };
    let written = write_batch(store, spec.clone(), names, batch).await?.0;
    let entry = |file: &DataFileMeta| data_file(spec, store.location(&file.path), file);
    let applied = base.metadata.properties().get(APPLIED_EPOCH).and_then(|text| text.parse().ok());
    let snapshot_id = snapshot_id();
    let leaving = files.iter().flat_map(|file| live.with_deletes(file));
    // some engines take delete files out with their data file (Trino), some leave them behind (Spark)
    let leaving = leaving.filter(|(location, _)| snapshot_id % 2 == 0 || live.files.contains_key(location));
    let epoch = applied.expect("a table with files has an epoch");
    Ok(Some(Delta {
        epoch,
        snapshot_id,
        cut_at: crate::now_ms(),
        add: written.iter().map(entry).collect::<Result<_, _>>()?,
        deletes: Vec::new(),
        remove: leaving.collect(),
        replaces: true,
        leaves: expiry(base, &Upkeep::default(), KeptSnapshots::Retained(&Retention::default()), epoch)?,
    }))
}

async fn with_property(io: &FileIO, base: &Base) -> Result<String, LakeError> {
    let property = HashMap::from([("foreign".to_owned(), Uuid::new_v4().to_string())]);
    let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.location.clone()));
    let next = builder.set_properties(property)?.build()?.metadata;
    let at = MetadataLocation::from_str(&base.location)?.with_next_version().with_new_metadata(&next);
    next.write_to(io, &at).await?;
    Ok(at.to_string())
}
