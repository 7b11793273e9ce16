//! Compares the data files with the log: every file that a retained epoch reaches is read once.
//!
//! ```text
//!   slots ─▶ rows and hash of each table at each epoch ──────────────┐
//!   manifests ─▶ the files of each retained snapshot ─▶ read once, deleted rows left out ─▶ equal?
//! ```
//!
//! Why files and not a query: every engine reads a file that was put in place of another without complaint. What must hold:
//! a retained epoch's rows and content hash are the sum over its snapshot's files, and the files that a slot names have the
//! rows that were counted when they were written. The first epoch that differs is reported.

use crate::commit::slot::{Slot, TableEntry};
use crate::error::LakeError;
use crate::read::LakeReader;
use crate::table::deletes::{positions, refers_to, surviving};
use crate::table::index::manifests_of;
use crate::table::parquet::read_file;
use crate::table::rows::{Rows, hash_of};
use crate::table::schema::{arrow_schema, spec_of};
use crate::table::spec::{TableSpec, Value};
use ::iceberg::spec::{DataContentType, Manifest};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use ticktide_base::epoch::Epoch;

/// Files that are read concurrently.
const READ_AT_ONCE: usize = 4;
/// A table is read at most this many times when its files disappear during the read.
const LOOKS: usize = 3;

/// What was compared and found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Epochs whose snapshots are all retained.
    pub epochs: u64,
    pub tables: u64,
    pub files: u64,
    /// Rows in those files.
    pub rows: u64,
}

/// The first difference between the files and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditMismatch {
    pub table: String,
    pub epoch: Epoch,
    /// The file that differs, if it is a single one.
    pub file: Option<String>,
    pub detail: String,
}

/// The rows and the content hash of a file, or why it cannot be read.
type Read = Result<(u64, u128), Unread>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unread {
    Missing,
    /// One of its delete files is missing.
    DeletesMissing(String),
    Broken(String),
}

/// A data file without the rows that these delete files delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    file: String,
    deletes: Vec<String>,
}

/// The contents of a snapshot.
enum Contents {
    Parts(Vec<Part>),
    /// Rows and content hash by a scan: the snapshot has delete files of another engine, too.
    Scanned(u64, u128),
}

/// A table with all files that its retained snapshots reach.
struct Reached {
    spec: TableSpec,
    snapshots: HashMap<i64, Contents>,
    /// Whole data files, and the rows that their delete files leave.
    parts: HashMap<Part, Read>,
}

/// The files that a manifest names as live.
#[derive(Default)]
struct Named {
    files: Vec<String>,
    /// Data files with ticktide's delete files.
    deletes: Vec<(String, String)>,
    /// Whether it names delete files of another engine.
    foreign: bool,
}

impl Named {
    fn of(manifest: &Manifest) -> Named {
        let mut named = Named::default();
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            let file = entry.data_file();
            match (file.content_type(), refers_to(file)) {
                (DataContentType::Data, _) => named.files.push(file.file_path().to_owned()),
                (_, Some(data_file)) => named.deletes.push((data_file, file.file_path().to_owned())),
                (_, None) => named.foreign = true,
            }
        }
        named
    }
}

impl LakeReader {
    /// Reads and compares the files that the epochs from `first` to `last` reach. `Ok(Err(_))`: the first difference.
    pub async fn audit(&self, first: Epoch, last: Epoch) -> Result<Result<Audited, AuditMismatch>, LakeError> {
        let mut before = match first.checked_sub(1) {
            Some(epoch) => Some(self.decided(epoch).await?),
            None => None,
        };
        let newest = self.decided(last).await?;
        let mut tables = BTreeMap::new();
        for name in newest.tables.keys() {
            tables.insert(name.clone(), self.reach(name).await?);
        }
        let mut audited = Audited { tables: tables.len() as u64, ..Audited::default() };
        // the files of epochs that were equal, to name the suspects of the first one that differs
        let mut good: HashMap<String, HashSet<String>> = HashMap::new();
        for epoch in first..=last {
            let slot = self.decided(epoch).await?;
            let mut retained = true;
            for (name, entry) in &slot.tables {
                let Some(reached) = tables.get(name) else { continue };
                let earlier = before.as_ref().and_then(|slot| slot.tables.get(name));
                if let Some(finding) = self.own_files(&slot, name, entry, earlier, reached).await? {
                    return Ok(Err(finding));
                }
                match reached.at(epoch, name, entry, good.entry(name.clone()).or_default()) {
                    Ok(kept) => retained &= kept,
                    Err(finding) => return Ok(Err(finding)),
                }
            }
            audited.epochs += u64::from(retained);
            before = Some(slot);
        }
        let whole = tables.values().flat_map(|table| &table.parts).filter(|(part, _)| part.deletes.is_empty());
        for read in whole.flat_map(|(_, read)| read) {
            audited.files += 1;
            audited.rows += read.0;
        }
        Ok(Ok(audited))
    }

    /// Reads all files that a table's snapshots reach.
    async fn reach(&self, name: &str) -> Result<Reached, LakeError> {
        let mut looks = 1;
        loop {
            let table = self.load(name).await?;
            let metadata = table.metadata();
            let spec = spec_of(name, metadata)?;
            let mut known: HashMap<String, Arc<Named>> = HashMap::new();
            let mut snapshots = HashMap::new();
            // for each data file, all sets of delete files that apply to it in some snapshot
            let mut all: HashMap<String, HashSet<Vec<String>>> = HashMap::new();
            for snapshot in metadata.snapshots() {
                let (mut files, mut deletes, mut foreign) = (Vec::new(), HashMap::<_, Vec<_>>::new(), false);
                for manifest in manifests_of(self.io(), metadata, snapshot).await? {
                    let named = match known.get(&manifest.manifest_path) {
                        Some(named) => named.clone(),
                        None => {
                            let named = Arc::new(Named::of(&manifest.load_manifest(self.io()).await?));
                            known.insert(manifest.manifest_path.clone(), named.clone());
                            named
                        }
                    };
                    files.extend(named.files.iter().cloned());
                    let of_files = named.deletes.iter().cloned();
                    of_files.for_each(|(file, delete)| deletes.entry(file).or_default().push(delete));
                    foreign |= named.foreign;
                }
                let part = |file: String| {
                    let mut deletes = deletes.remove(&file).unwrap_or_default();
                    deletes.sort_unstable();
                    Part { file, deletes }
                };
                let parts: Vec<Part> = files.into_iter().map(part).collect();
                for part in &parts {
                    let ways = all.entry(part.file.clone()).or_insert_with(|| HashSet::from([Vec::new()]));
                    ways.insert(part.deletes.clone());
                }
                let id = snapshot.snapshot_id();
                let contents = if foreign { self.scanned(&spec, id).await? } else { Contents::Parts(parts) };
                snapshots.insert(id, contents);
            }
            let read = futures::stream::iter(all).map(async |(file, ways)| self.read(&spec, file, ways).await);
            let read: Vec<Vec<(Part, Read)>> = read.buffer_unordered(READ_AT_ONCE).try_collect().await?;
            let parts: HashMap<Part, Read> = read.into_iter().flatten().collect();
            let gone = parts.values().any(|read| matches!(read, Err(Unread::Missing | Unread::DeletesMissing(_))));
            // a table that is being written may have expired them
            if gone && looks < LOOKS && self.load(name).await?.metadata_location() != table.metadata_location() {
                looks += 1;
                continue;
            }
            return Ok(Reached { spec, snapshots, parts });
        }
    }

    /// Reads a data file once, for all sets of delete files that apply to it.
    async fn read(
        &self,
        spec: &TableSpec,
        file: String,
        ways: HashSet<Vec<String>>,
    ) -> Result<Vec<(Part, Read)>, LakeError> {
        let batch = match read_file(&**self.store(), spec, &file).await {
            Ok(batch) => Ok(batch),
            Err(LakeError::Missing { .. }) => Err(Unread::Missing),
            Err(error @ LakeError::Format { .. }) => Err(Unread::Broken(error.to_string())),
            Err(error) => return Err(error),
        };
        let mut parts = Vec::with_capacity(ways.len());
        for deletes in ways {
            let read = match &batch {
                Ok(batch) => self.part(spec, batch, &file, &deletes).await?,
                Err(unread) => Err(unread.clone()),
            };
            parts.push((Part { file: file.clone(), deletes }, read));
        }
        Ok(parts)
    }

    /// The rows and the content hash that delete files leave of a data file.
    async fn part(
        &self,
        spec: &TableSpec,
        batch: &RecordBatch,
        file: &str,
        deletes: &[String],
    ) -> Result<Read, LakeError> {
        let gone = match positions(&**self.store(), file, deletes).await {
            Ok(gone) => gone,
            Err(LakeError::Missing { key }) => return Ok(Err(Unread::DeletesMissing(key))),
            Err(error @ LakeError::Format { .. }) => return Ok(Err(Unread::Broken(error.to_string()))),
            Err(error) => return Err(error),
        };
        Ok(Ok(sum(spec.clone(), vec![surviving(batch, &gone)?]).await?))
    }

    /// Scans a snapshot that has delete files of another engine.
    async fn scanned(&self, spec: &TableSpec, snapshot_id: i64) -> Result<Contents, LakeError> {
        let table = self.load(&spec.name).await?;
        let scan = table.scan().select_all().snapshot_id(snapshot_id).build()?;
        let batches: Vec<RecordBatch> = scan.to_arrow().await?.try_collect().await?;
        let shaped = batches.iter().map(|batch| shaped(spec, batch)).collect::<Result<Vec<_>, LakeError>>()?;
        let (rows, hash) = sum(spec.clone(), shaped).await?;
        Ok(Contents::Scanned(rows, hash))
    }

    /// Checks the files that the epoch itself wrote, as far as they still exist.
    async fn own_files(
        &self,
        slot: &Slot,
        name: &str,
        entry: &TableEntry,
        earlier: Option<&TableEntry>,
        reached: &Reached,
    ) -> Result<Option<AuditMismatch>, LakeError> {
        let Some(work) = &entry.work else { return Ok(None) };
        let finding = |file: Option<&str>, detail: String| {
            Ok(Some(AuditMismatch { table: name.to_owned(), epoch: slot.epoch, file: file.map(str::to_owned), detail }))
        };
        let (mut all, mut rows, mut hash) = (true, 0, 0u128);
        for file in &work.files {
            let location = self.store().location(&file.path);
            match reached.parts.get(&Part { file: location.clone(), deletes: Vec::new() }) {
                None => all = false, // merged into another file since
                Some(Err(unread)) => return finding(Some(&location), unread.told()),
                Some(Ok((found, _))) if *found != file.rows => {
                    let detail = format!("{location} has {found} rows, but the epoch wrote {}", file.rows);
                    return finding(Some(&location), detail);
                }
                Some(Ok((found, sum))) => (rows, hash) = (rows + found, hash.wrapping_add(*sum)),
            }
        }
        // a merged file has the rows of other epochs' files: only its snapshot can be checked
        if !all || work.files.is_empty() || !work.replaced.is_empty() {
            return Ok(None);
        }
        let changes = match work.changes.load(&**self.store()).await {
            Err(LakeError::Missing { .. }) => return Ok(None), // the snapshot decides
            changes => changes?,
        };
        let mut expected = entry.content_hash.wrapping_sub(earlier.map_or(0, |entry| entry.content_hash));
        for change in &changes {
            expected = expected.wrapping_add(change.old_hash);
            if let Some(mut new) = change.new.clone() {
                new.resize(reached.spec.columns.len(), Value::Null); // columns may have been added since
                expected = expected.wrapping_sub(hash_of(&reached.spec, &new));
            }
        }
        if hash == expected {
            return Ok(None);
        }
        let files: Vec<&str> = work.files.iter().map(|file| file.path.as_str()).collect();
        let alone = if let [file] = files[..] { Some(self.store().location(file)) } else { None };
        let detail = format!("the {rows} rows in {} differ from those that the epoch wrote", files.join(", "));
        finding(alone.as_deref(), detail)
    }
}

/// Rows and content hash of batches.
async fn sum(spec: TableSpec, batches: Vec<RecordBatch>) -> Result<(u64, u128), LakeError> {
    let summed = tokio::task::spawn_blocking(move || {
        let mut sum = (0, 0u128);
        for batch in &batches {
            let rows = Rows::new(&spec, batch)?;
            sum = (sum.0 + rows.len() as u64, sum.1.wrapping_add(rows.content_hash(&spec)));
        }
        Ok(sum)
    });
    summed.await.unwrap_or_else(|error| Err(LakeError::Bug(format!("hashing rows panicked: {error}"))))
}

/// Casts a scan's batch to the table's own types.
fn shaped(spec: &TableSpec, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let schema = arrow_schema(spec);
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name());
        let column = column.ok_or_else(|| LakeError::format(&spec.name, format!("a scan lacks {}", field.name())))?;
        Ok(cast(column, field.data_type())?)
    });
    let columns = columns.collect::<Result<Vec<_>, LakeError>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

impl Unread {
    fn told(&self) -> String {
        match self {
            Unread::Missing => "the file is missing".to_owned(),
            Unread::DeletesMissing(key) => format!("its delete file {key} is missing"),
            Unread::Broken(why) => format!("the file cannot be read: {why}"),
        }
    }
}

impl Reached {
    /// Compares the table at an epoch with its slot. True: its snapshot is retained. `good`: files of epochs that were equal.
    fn at(
        &self,
        epoch: Epoch,
        name: &str,
        entry: &TableEntry,
        good: &mut HashSet<String>,
    ) -> Result<bool, AuditMismatch> {
        let Some(id) = entry.snapshot_id else { return Ok(true) };
        let Some(contents) = self.snapshots.get(&id) else { return Ok(false) };
        let found = |file: Option<&str>, detail: String| {
            Err(AuditMismatch { table: name.to_owned(), epoch, file: file.map(str::to_owned), detail })
        };
        let (mut rows, mut hash, mut fresh) = (0, 0u128, Vec::new());
        match contents {
            Contents::Scanned(scanned, sum) => (rows, hash) = (*scanned, *sum),
            Contents::Parts(parts) => {
                for part in parts {
                    match self.parts.get(part) {
                        Some(Ok((found, sum))) => (rows, hash) = (rows + found, hash.wrapping_add(*sum)),
                        Some(Err(unread)) => return found(Some(&part.file), unread.told()),
                        None => return found(Some(&part.file), "the file was not read".to_owned()),
                    }
                    // if the data file was in an equal epoch, its newest delete file is the suspect
                    let named = part.deletes.last().filter(|_| good.contains(&part.file)).unwrap_or(&part.file);
                    if !good.contains(named) {
                        fresh.push(named);
                    }
                }
            }
        }
        if (rows, hash) == (entry.rows, entry.content_hash) {
            if let Contents::Parts(parts) = contents {
                good.extend(parts.iter().flat_map(|part| part.deletes.iter().chain([&part.file])).cloned());
            }
            return Ok(true);
        }
        let among = match &fresh[..] {
            [] => String::new(),
            [file] => format!("; its new file is {file}"),
            files => format!("; it has {} new files, the first is {}", files.len(), files[0]),
        };
        let alone = if let [file] = fresh[..] { Some(file.as_str()) } else { None };
        let what = match entry.rows {
            recorded if rows == recorded => format!("its {rows} rows differ from the recorded ones"),
            recorded => format!("it has {rows} rows, but the log records {recorded}"),
        };
        found(alone, what + &among)
    }
}
