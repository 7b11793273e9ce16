//! Recorded files: one line a record, in any wire format, plain, `.gz` or `.zst`; each file is a partition.
//!
//! Why a file's place goes by its name: the order of the files changes when one is added, their names do not; the directory
//! is left out so that a moved recording is still the same ([`paths`]); that it is the same its first record says
//! ([`identity`]). An offset is a record's number, from 0. What must always hold:
//! the same bytes have the same offsets in every run, however often a growing file was looked at: a last line without its
//! end counts as a record at `until_end`, in a compressed file, and once it decodes in a format where nothing that continues
//! it could ([`Decoder::ends_itself`]). A header ([`Decoder::header`]) is no record and has no number.

mod identity;
mod paths;
pub mod sniff;
mod stream;
#[cfg(test)]
mod tests;

use super::pace::Pace;
use super::{
    Assignment, Batch, FeedError, InstrumentTable, Partition, Reader, Source, SourceKind, SourceSpec, Speed, StartFrom,
    wire,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stream::Stream;
pub use stream::lines;
use ticktide_base::time::Nanos;
use ticktide_market::TickKind;
use wire::Decoder;

pub static KIND: SourceKind = SourceKind {
    name: "file",
    doc: "recorded files: one record a line, plain or .gz or .zst; `paths` are files, folders or globs, each file a partition",
    open: |spec, resume| Ok(Arc::new(Files::open(spec, resume)?)),
};

/// How often a plain file at its end is looked at again.
const GROWTH_CHECKED_EVERY: Duration = Duration::from_millis(200);
/// Records that may stand before the first tick of a file; the pace of a replay begins with the earliest first tick.
const FIRST_TICK_WITHIN: usize = 1000;

/// Names of files that are left out, in a warning.
const SHOWN: usize = 5;

struct Files {
    spec: SourceSpec,
    partitions: Vec<Partition>,
    paths: Vec<PathBuf>,
    pace: Arc<Pace>,
    /// Opened with what a lake has: the names are those of its places.
    of_lake: bool,
    /// What stands beside the files and is not read, until that is told.
    left_out: Mutex<BTreeSet<PathBuf>>,
}

impl Files {
    fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Files, FeedError> {
        let decoder = wire::build(&spec.wire)?;
        let found = paths::found(&spec.paths)?;
        let known = known(spec, resume);
        let mut files = Files {
            spec: spec.clone(),
            partitions: Vec::new(),
            paths: Vec::new(),
            pace: Arc::new(Pace::new(Speed::Max, 0)),
            of_lake: !known.is_empty(),
            left_out: Mutex::new(found.left_out),
        };
        for (name, path, hash) in named(found.files, &known, decoder.as_ref())? {
            let mut partition = Partition {
                source_id: identity::source_id(&name, hash.as_deref()),
                topic: name,
                partition: 0,
                offset_start: 0,
                offset_end: i64::MAX,
            };
            // fails here, before anything runs, if the file cannot be read
            let mut stream = Stream::open(&path, stream::BUFFER_LEAST)?;
            // a lake that goes on reads all of a file that is new to it
            if resume.is_empty() {
                partition.offset_start = files.start(&mut stream)?;
            }
            files.partitions.push(partition);
            files.paths.push(path);
        }
        if let Speed::Times(_) = spec.speed {
            let begins_at = files.first_event(resume)?;
            files.pace = Arc::new(Pace::new(spec.speed, begins_at));
        }
        Ok(files)
    }

    /// The first record of a file that a new lake reads.
    fn start(&self, stream: &mut Stream) -> Result<i64, FeedError> {
        let from = match self.spec.from {
            StartFrom::Earliest => return Ok(0),
            StartFrom::Latest => None,
            StartFrom::At(at) => Some(at),
        };
        let (mut decoder, mut instruments) = (wire::build(&self.spec.wire)?, InstrumentTable::default());
        loop {
            let offset = stream.offset();
            let Some(record) = stream.next(true, decoder.as_mut(), &mut instruments)? else { return Ok(offset) };
            if let (Some(from), Ok(tick)) = (from, record)
                && tick.exchange_at >= from
                && tick.trading_date.is_none()
            {
                return Ok(offset);
            }
        }
    }

    /// The earliest first event of all files, from where each is read on.
    fn first_event(&self, resume: &BTreeMap<String, i64>) -> Result<Nanos, FeedError> {
        let (mut decoder, mut instruments) = (wire::build(&self.spec.wire)?, InstrumentTable::default());
        let mut first = None;
        for (partition, path) in self.partitions.iter().zip(&self.paths) {
            let mut stream = Stream::open(path, stream::BUFFER_LEAST)?;
            stream
                .skip_to(resume.get(&partition.name()).copied().unwrap_or(partition.offset_start), decoder.as_ref())?;
            for _ in 0..FIRST_TICK_WITHIN {
                match stream.next(true, decoder.as_mut(), &mut instruments)? {
                    None => break,
                    Some(Err(_)) => continue,
                    Some(Ok(tick)) if tick.kind == TickKind::Notice || tick.trading_date.is_some() => continue,
                    Some(Ok(tick)) => {
                        first = Some(first.map_or(tick.exchange_at, |first: Nanos| first.min(tick.exchange_at)));
                        break;
                    }
                }
            }
        }
        Ok(first.unwrap_or(0))
    }
}

/// The lake's names, and the hashes of the first records behind them.
fn known(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> BTreeMap<String, Option<String>> {
    let names = spec.recorded.keys().chain(resume.keys()).filter_map(|name| name.strip_suffix("/0"));
    let hash = |name: &str| {
        let id = spec.recorded.get(&format!("{name}/0"))?;
        identity::hash_in(id, name).flatten().map(str::to_owned)
    };
    names.map(|name| (name.to_owned(), hash(name))).collect()
}

/// The files in order of their names, each with the hash of its first record.
fn named(
    found: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    known: &BTreeMap<String, Option<String>>,
    decoder: &dyn Decoder,
) -> Result<Vec<(String, PathBuf, Option<String>)>, FeedError> {
    let file = |ways: BTreeSet<PathBuf>| {
        let hash = ways.first().map_or(Ok(None), |way| identity::first_record(way, decoder))?;
        Ok(paths::File { ways, hash })
    };
    let files: Vec<paths::File> = found.into_values().map(file).collect::<Result<_, FeedError>>()?;
    let names = paths::named(&files, known)?;
    let mut named: Vec<_> = names.into_iter().zip(files).map(|((name, way), file)| (name, way, file.hash)).collect();
    named.sort();
    Ok(named)
}

impl Source for Files {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn continues(&self, partition: &Partition, recorded: &str) -> Result<(), FeedError> {
        let index = self.partitions.iter().position(|own| own.topic == partition.topic);
        // without the lake's places the names are not those that its places have
        match index.filter(|_| self.of_lake) {
            Some(index) => identity::continues(partition, &self.paths[index], recorded),
            None => Ok(()),
        }
    }

    fn is_recorded_as(&self, partition: &Partition, recorded: &str) -> bool {
        identity::is_same(partition, recorded)
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        if let Ok(mut left_out) = self.left_out.lock()
            && !left_out.is_empty()
        {
            let (files, left_out) = (left_out.len(), std::mem::take(&mut *left_out));
            let names: Vec<String> = left_out.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
            tracing::warn!(
                files,
                "what is in the folder and no .jsonl, .json, .csv, .gz or .zst is left out: {}",
                names.join(", ")
            );
        }
        let share = self.spec.buffer_bytes / assigned.len().max(1);
        let buffer = share.clamp(stream::BUFFER_LEAST, stream::BUFFER_MOST);
        let entries = assigned.iter().map(|assignment| Entry {
            path: self.paths[assignment.partition].clone(),
            assignment: *assignment,
            stream: None,
            look_again_at: None,
            told_caught_up: false,
            finished: false,
        });
        Ok(Box::new(FileReader {
            entries: entries.collect(),
            turn: 0,
            buffer,
            until_end: self.spec.until_end,
            decoder: wire::build(&self.spec.wire)?,
            instruments: InstrumentTable::default(),
            pace: self.pace.clone(),
            failure: None,
        }))
    }
}

/// One assigned file; opened when its first turn comes.
struct Entry {
    path: PathBuf,
    assignment: Assignment,
    stream: Option<Stream>,
    /// At its end: when to look for growth.
    look_again_at: Option<Instant>,
    told_caught_up: bool,
    finished: bool,
}

/// Reads its files in turns of one batch.
struct FileReader {
    entries: Vec<Entry>,
    turn: usize,
    buffer: usize,
    until_end: bool,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    pace: Arc<Pace>,
    /// What broke behind the records that were still delivered.
    failure: Option<FeedError>,
}

impl FileReader {
    /// The next batch of one file, if it has one just now.
    fn batch(&mut self, index: usize) -> Result<Option<Batch>, FeedError> {
        let entry = &mut self.entries[index];
        if entry.finished || entry.look_again_at.is_some_and(|at| Instant::now() < at) {
            return Ok(None);
        }
        entry.look_again_at = None;
        let stream = match &mut entry.stream {
            Some(stream) => stream,
            None => {
                let mut stream = Stream::open(&entry.path, self.buffer)?;
                stream.skip_to(entry.assignment.offset, self.decoder.as_ref())?;
                entry.stream.insert(stream)
            }
        };
        let played = self.pace.now();
        let mut batch = Batch::of(entry.assignment.partition);
        let whole = self.until_end || !stream.grows();
        let ended = loop {
            if batch.records >= crate::BATCH_RECORDS || batch.bytes >= crate::BATCH_BYTES {
                break false;
            }
            match stream.next_due(played, whole, self.decoder.as_mut(), &mut self.instruments) {
                Ok(stream::Next::Record(Ok(tick), bytes)) => {
                    batch.bytes += bytes;
                    batch.push(tick, stream.payload());
                }
                Ok(stream::Next::Record(Err(reject), bytes)) => {
                    batch.bytes += bytes;
                    batch.rejects.push(reject);
                }
                Ok(stream::Next::NotDue) => break false,
                Ok(stream::Next::End) => break true,
                Err(error) if batch.records > 0 => {
                    self.failure = Some(error);
                    break false;
                }
                Err(error) => return Err(error),
            }
            batch.records += 1;
        };
        batch.offset_next = stream.offset();
        batch.header = stream.header().cloned();
        if ended {
            batch.caught_up = true;
            batch.finished = self.until_end;
            entry.finished = self.until_end || !stream.grows();
            entry.look_again_at = Some(Instant::now() + GROWTH_CHECKED_EVERY);
            if entry.finished {
                entry.stream = None; // gives the file handle back
            }
        }
        let news = batch.records > 0 || (ended && !entry.told_caught_up);
        entry.told_caught_up = ended;
        batch.instruments = if news { self.instruments.take_fresh() } else { Vec::new() };
        Ok(news.then_some(batch))
    }
}

impl Reader for FileReader {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        for _ in 0..self.entries.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.entries.len();
            if !paused(self.entries[index].assignment.partition)
                && let Some(batch) = self.batch(index)?
            {
                return Ok(Some(batch));
            }
        }
        std::thread::sleep(wait.min(Duration::from_millis(10)));
        Ok(None)
    }
}
