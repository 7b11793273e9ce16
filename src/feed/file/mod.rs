//! Recorded files: one record a line, in any wire format, plain, `.gz` or `.zst`; each file is a partition.
//!
//! Why a file's place has a name: the order of the files changes when one is added. The name is the file's name when it was
//! first read ([`paths`]). The beginning of a file shows which name it has ([`identity`]), so a file that was renamed, moved or
//! compressed is continued; the part that was read is compared by its hash ([`hashed`]). An offset is a record's number from 0.
//!
//! What must always hold: the same bytes have the same offsets in every run, however often a growing file was checked. A last
//! line without a line end is not a record, and is reported when the run ends. It is a record in a compressed file, and if
//! `last_line` takes it: with `until_end` always, otherwise as soon as it decodes in a format in which no longer line could
//! decode ([`Decoder::ends_itself`]). A header ([`Decoder::header`]) is not a record and has no number.

mod hashed;
mod identity;
mod paths;
pub mod sniff;
mod stream;
#[cfg(test)]
mod tests;

use super::pace::Pace;
use super::{
    Assignment, Batch, FeedError, InstrumentTable, LastLine, Partition, Reader, Source, SourceKind, SourceSpec, Speed,
    StartFrom, wire,
};
use identity::FileBeginning;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
pub use stream::lines;
pub(crate) use stream::{RECORD_BYTES_MOST, input, text, unmark};
use stream::{Stream, Unended};
use ticktide_base::epoch::Place;
use ticktide_base::time::Nanos;
use ticktide_market::TickKind;
use wire::Decoder;

pub static KIND: SourceKind = SourceKind {
    name: "file",
    doc: "recorded files: one record a line, plain, .gz or .zst; `paths` are files, folders or globs, each file a partition",
    open: |spec, resume| Ok(Arc::new(Files::open(spec, resume)?)),
};

/// How often a plain file is checked for growth once its end is reached.
const GROWTH_CHECKED_EVERY: Duration = Duration::from_millis(200);
/// Records that may come before the first tick of a file; a paced replay begins with the earliest first tick.
const FIRST_TICK_WITHIN: usize = 1000;

/// The most names of skipped files in a warning.
const SHOWN: usize = 5;

struct Files {
    spec: SourceSpec,
    partitions: Vec<Partition>,
    paths: Vec<PathBuf>,
    pace: Arc<Pace>,
    /// Opened to continue a lake: the names are those of its places.
    of_lake: bool,
    /// Two files of which one begins with the other, and which the lake has not read as two.
    alike: Option<(PathBuf, PathBuf)>,
    /// What is in the folders and is not read, until that is reported.
    left_out: Mutex<BTreeSet<PathBuf>>,
    left: Arc<Left>,
}

/// The length of each file's last line without a line end, as last seen.
type Left = Mutex<BTreeMap<PathBuf, usize>>;

impl Files {
    fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Files, FeedError> {
        let decoder = wire::build(&spec.wire)?;
        let found = paths::found(&spec.paths)?;
        let mut files = Files {
            spec: spec.clone(),
            partitions: Vec::new(),
            paths: Vec::new(),
            pace: Arc::new(Pace::new(Speed::Max, 0)),
            of_lake: !(resume.is_empty() && spec.recorded.is_empty()),
            alike: None,
            left_out: Mutex::new(found.left_out),
            left: Arc::default(),
        };
        let named = named(found.files, spec, resume, decoder.as_ref())?;
        files.alike = alike(&named)?;
        for Named { name, path, begins, .. } in named {
            let mut partition = Partition {
                source_id: begins.map_or_else(|| identity::nameless(&name), |begins| begins.id(&name)),
                topic: name,
                partition: 0,
                offset_start: 0,
                offset_end: i64::MAX,
            };
            // an unreadable file fails here, before anything runs
            let mut stream = Stream::open(&path, stream::BUFFER_LEAST)?;
            // a lake that is continued reads all of a file that is new to it
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

    /// How a last line without a line end is treated.
    fn unended(&self) -> Unended {
        match (self.spec.last_line, self.spec.until_end) {
            (LastLine::Leave, _) => Unended::Left,
            (LastLine::Take, false) => Unended::IfItDecodes,
            (LastLine::Take, true) => Unended::Taken,
        }
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
            let Some(record) = stream.next(self.unended(), decoder.as_mut(), &mut instruments)? else {
                return Ok(offset);
            };
            if let (Some(from), Ok(tick)) = (from, record)
                && tick.exchange_at >= from
                && tick.trading_date.is_none()
            {
                return Ok(offset);
            }
        }
    }

    /// The earliest first event of all files, each from its next record on.
    fn first_event(&self, resume: &BTreeMap<String, i64>) -> Result<Nanos, FeedError> {
        let (mut decoder, mut instruments) = (wire::build(&self.spec.wire)?, InstrumentTable::default());
        let mut first = None;
        for (partition, path) in self.partitions.iter().zip(&self.paths) {
            let mut stream = Stream::open(path, stream::BUFFER_LEAST)?;
            stream
                .skip_to(resume.get(&partition.name()).copied().unwrap_or(partition.offset_start), decoder.as_ref())?;
            for _ in 0..FIRST_TICK_WITHIN {
                match stream.next(self.unended(), decoder.as_mut(), &mut instruments)? {
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

/// A file under the name of its partition.
struct Named {
    name: String,
    path: PathBuf,
    /// As the lake has recorded it, if it has read the file.
    begins: Option<FileBeginning>,
    /// The lake has read some of it.
    of_lake: bool,
}

/// The files in order of their names, each with its beginning.
fn named(
    found: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    spec: &SourceSpec,
    resume: &BTreeMap<String, i64>,
    decoder: &dyn Decoder,
) -> Result<Vec<Named>, FeedError> {
    let names = spec.recorded.keys().chain(resume.keys()).filter_map(|name| name.strip_suffix("/0"));
    let place = |name: &str| spec.recorded.get(&format!("{name}/0"));
    let begins = |name: &str| {
        // a file without a record may become any file
        let place = place(name).filter(|place| place.offset_next > 0)?;
        FileBeginning::in_id(&place.source_id, name).flatten()
    };
    let known: BTreeMap<String, Option<FileBeginning>> = names.map(|name| (name.to_owned(), begins(name))).collect();
    let mut files = Vec::new();
    for ways in found.into_values() {
        let begins = ways.first().map_or(Ok(None), |way| FileBeginning::of(way, decoder))?;
        files.push((paths::File { ways, begun: begins.is_some(), is: BTreeSet::new() }, begins));
    }
    let mut by_first: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (_, begins)) in files.iter().enumerate() {
        let first = begins.iter().map(|begins| begins.first.clone());
        first.for_each(|first| by_first.entry(first).or_default().push(index));
    }
    for (name, was) in known.iter().filter_map(|(name, was)| Some((name, was.as_ref()?))) {
        let mut such = Vec::new();
        for index in by_first.get(&was.first).into_iter().flatten() {
            if let (file, Some(begins)) = &files[*index]
                && let Some(way) = file.ways.first()
                && was.is_of(way, begins)?
            {
                such.push((*index, way.clone()));
            }
        }
        // several files may have a short beginning: then all bytes that were read decide
        if let (2.., Some(read)) = (such.len(), place(name).and_then(|place| place.read)) {
            such.retain(|(_, way)| Stream::open(way, stream::BUFFER_MOST).is_ok_and(|mut file| file.holds(read)));
        }
        such.into_iter().for_each(|(index, _)| _ = files[index].0.is.insert(name.clone()));
    }
    let (files, begins): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    let read = |name: &str| {
        let offset = resume.get(&format!("{name}/0")).copied().or(place(name).map(|place| place.offset_next));
        offset.is_some_and(|offset| offset > 0)
    };
    let all = known.iter().map(|(name, was)| {
        let named = if read(name) { paths::KnownFile::Name } else { paths::KnownFile::Nothing };
        (name.clone(), if was.is_some() { paths::KnownFile::Beginning } else { named })
    });
    let names = paths::named(&files, &all.collect())?;
    let named = |(((name, path), own), file): (((String, PathBuf), Option<FileBeginning>), &paths::File)| {
        // the recorded id stays, so that the lake's places stay those of one source
        let recorded = known.get(&name).cloned().flatten().filter(|was| was.bytes.is_some());
        let begins = if file.is.contains(&name) { recorded.or(own) } else { own };
        Named { begins, of_lake: read(&name), name, path }
    };
    let mut named: Vec<Named> = names.into_iter().zip(begins).zip(&files).map(named).collect();
    named.sort_by(|one, other| (&one.name, &one.path).cmp(&(&other.name, &other.path)));
    Ok(named)
}

/// Two files of which one begins with the other, unless the lake has read both as two.
fn alike(named: &[Named]) -> Result<Option<(PathBuf, PathBuf)>, FeedError> {
    let mut by_first: BTreeMap<&str, Vec<&Named>> = BTreeMap::new();
    for file in named {
        if let Some(begins) = &file.begins {
            by_first.entry(&begins.first).or_default().push(file);
        }
    }
    for files in by_first.values().filter(|files| files.len() > 1) {
        let mut lines: Vec<(Vec<u8>, &Named)> = Vec::new();
        for file in files {
            lines.push((identity::lines(&file.path)?, file));
        }
        // in sorted order, the texts that begin with a text follow it
        lines.sort_by(|one, other| (&one.0, &one.1.path).cmp(&(&other.0, &other.1.path)));
        for (index, (one, a)) in lines.iter().enumerate() {
            let mut longer = lines[index + 1..].iter().take_while(|(other, _)| other.starts_with(one));
            if let Some((_, b)) = longer.find(|(_, b)| !(a.of_lake && b.of_lake)) {
                return Ok(Some((a.path.clone(), b.path.clone())));
            }
        }
    }
    Ok(None)
}

impl Source for Files {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn continues(&self, partition: &Partition, recorded: &str) -> Result<(), FeedError> {
        let index = self.partitions.iter().position(|own| own.topic == partition.topic);
        // without the lake's places the names are not the lake's
        let place = self.spec.recorded.get(&partition.name());
        match index.filter(|_| self.of_lake) {
            // a file without a record may become any file
            Some(_) if place.is_some_and(|place| place.offset_next == 0 && place.source_id == recorded) => Ok(()),
            Some(index) => identity::continues(partition, &self.paths[index], recorded),
            None => Ok(()),
        }
    }

    fn distinct(&self) -> Result<(), FeedError> {
        self.alike.as_ref().map_or(Ok(()), |(one, other)| Err(identity::alike(one, other)))
    }

    fn remarks(&self) -> Vec<String> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let remark = |(path, bytes): (&PathBuf, &usize)| {
            format!(
                "1 line without a line end left unread in {} ({bytes} bytes): it is read once it has one, or with \
                 `source.last_line = \"take\"`",
                path.display()
            )
        };
        left.iter().map(remark).collect()
    }

    fn is_recorded_as(&self, partition: &Partition, recorded: &str) -> bool {
        identity::begins_as(partition, recorded)
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        if let Ok(mut left_out) = self.left_out.lock()
            && !left_out.is_empty()
        {
            let (files, left_out) = (left_out.len(), std::mem::take(&mut *left_out));
            let names: Vec<String> = left_out.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
            tracing::warn!(
                files,
                "entries that do not end in .jsonl, .json, .csv, .gz or .zst are skipped: {}",
                names.join(", ")
            );
        }
        let share = self.spec.buffer_bytes / assigned.len().max(1);
        let buffer = share.clamp(stream::BUFFER_LEAST, stream::BUFFER_MOST);
        let entries = assigned.iter().map(|assignment| Entry {
            path: self.paths[assignment.partition].clone(),
            before: self.spec.recorded.get(&self.partitions[assignment.partition].name()).cloned().unwrap_or_default(),
            assignment: *assignment,
            stream: None,
            check_at: None,
            reported_caught_up: false,
            finished: false,
        });
        Ok(Box::new(FileReader {
            entries: entries.collect(),
            turn: 0,
            buffer,
            until_end: self.spec.until_end,
            unended: self.unended(),
            left: self.left.clone(),
            decoder: wire::build(&self.spec.wire)?,
            instruments: InstrumentTable::default(),
            pace: self.pace.clone(),
            failure: None,
        }))
    }
}

/// Records how many bytes are left unread at a file's end.
fn note(left: &Left, path: &Path, bytes: usize) {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    match bytes {
        0 => _ = left.remove(path),
        bytes => _ = left.insert(path.to_owned(), bytes),
    }
}

/// One assigned file; opened at its first turn.
struct Entry {
    path: PathBuf,
    /// The place that the lake has reached, or had reached when the records now read again were first read.
    before: Place,
    assignment: Assignment,
    stream: Option<Stream>,
    /// At its end: when to check for growth.
    check_at: Option<Instant>,
    reported_caught_up: bool,
    finished: bool,
}

/// Reads its files in turns of one batch.
struct FileReader {
    entries: Vec<Entry>,
    turn: usize,
    buffer: usize,
    until_end: bool,
    unended: Unended,
    left: Arc<Left>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    pace: Arc<Pace>,
    /// The error after the records that could still be delivered.
    failure: Option<FeedError>,
}

impl FileReader {
    /// The next batch of one file, if there is one now.
    fn batch(&mut self, index: usize) -> Result<Option<Batch>, FeedError> {
        let entry = &mut self.entries[index];
        if entry.finished || entry.check_at.is_some_and(|at| Instant::now() < at) {
            return Ok(None);
        }
        entry.check_at = None;
        let stream = match &mut entry.stream {
            Some(stream) => stream,
            None => {
                let mut stream = Stream::open(&entry.path, self.buffer)?;
                // records that are read again are compared by their rows, which show where a change is
                let before = entry.before.read.filter(|read| read.offset <= entry.assignment.offset);
                before.into_iter().for_each(|read| stream.expect(read));
                stream.skip_to(entry.assignment.offset, self.decoder.as_ref())?;
                entry.stream.insert(stream)
            }
        };
        let played = self.pace.now();
        let mut batch = Batch::of(entry.assignment.partition);
        let ended = loop {
            if batch.records >= crate::BATCH_RECORDS || batch.bytes >= crate::BATCH_BYTES {
                break false;
            }
            // what was a record stays one, with or without its line end
            let was_taken = stream.offset() < entry.before.offset_next;
            let unended = if was_taken { Unended::Taken } else { self.unended };
            match stream.next_due(played, unended, self.decoder.as_mut(), &mut self.instruments) {
                Ok(stream::Next::Record(Ok(tick), bytes)) => {
                    batch.bytes += bytes;
                    batch.push(tick, stream.payload());
                }
                Ok(stream::Next::Record(Err(reject), bytes)) => {
                    batch.bytes += bytes;
                    batch.refuse(reject);
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
        batch.read = stream.read_so_far();
        if ended {
            note(&self.left, &entry.path, stream.left());
            batch.caught_up = true;
            batch.finished = self.until_end;
            entry.finished = self.until_end || !stream.grows();
            entry.check_at = Some(Instant::now() + GROWTH_CHECKED_EVERY);
            if entry.finished {
                entry.stream = None; // closes the file
            }
        }
        let news = batch.records > 0 || (ended && !entry.reported_caught_up);
        entry.reported_caught_up = ended;
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
