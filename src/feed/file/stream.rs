//! The records of one file, in order: decompressed, split into lines, decoded.

use super::hashed::{Digest, HashingReader};
use crate::wire::recorded::Envelope;
use crate::wire::{Decoder, RawRecord};
use crate::{FeedError, InstrumentTable, Reject};
use flate2::read::MultiGzDecoder;
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ticktide_base::epoch::ReadSoFar;
use ticktide_base::time::Nanos;
use ticktide_market::Tick;

pub const BUFFER_LEAST: usize = 16 << 10;
pub const BUFFER_MOST: usize = 256 << 10;
/// The byte order mark that some editors put at the start of a file: not part of the first record.
const EDITORS_MARK: &[u8] = b"\xef\xbb\xbf";
/// A longer line is not a record: the file is of another kind.
pub(crate) const RECORD_BYTES_MOST: u64 = 16 << 20;

/// What comes next in a file.
pub enum Next {
    /// A record and its number of bytes.
    Record(Result<Tick, Reject>, u64),
    /// A record that is later than what is played now.
    NotDue,
    End,
}

/// How a last line without a line end is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unended {
    /// Not a record yet.
    Left,
    /// A record, if it decodes and no longer line that begins with it could decode.
    IfItDecodes,
    /// A record.
    Taken,
}

/// One open file.
pub struct Stream {
    path: PathBuf,
    /// Its name without its folder and its endings.
    stem: String,
    input: HashingReader<Box<dyn Read + Send>>,
    /// The part of it that an earlier run has read.
    read_before: Option<ReadSoFar>,
    compressed: bool,
    /// The number of the next record.
    offset: i64,
    payload: Vec<u8>,
    line: Vec<u8>,
    /// No line was read yet: the next one may be a header.
    first: bool,
    /// The decoder made from the file's header, and that header.
    own: Option<Box<dyn Decoder>>,
    header: Option<Arc<str>>,
    /// The last record was delivered although its line had no line end yet: only that line end may follow.
    line_ends_outstanding: bool,
    /// A tick read ahead of its time.
    held: Option<(Tick, u64)>,
}

impl Stream {
    pub fn open(path: &Path, buffer: usize) -> Result<Stream, FeedError> {
        let (compressed, input) = input(path, buffer)?;
        Ok(Stream {
            path: path.to_path_buf(),
            stem: stem(path),
            input: HashingReader::new(input, buffer),
            read_before: None,
            compressed,
            offset: 0,
            line: Vec::new(),
            first: true,
            own: None,
            header: None,
            payload: Vec::new(),
            line_ends_outstanding: false,
            held: None,
        })
    }

    /// The bytes that an earlier run has read must still be the same. Call it before anything is read.
    pub fn expect(&mut self, read: ReadSoFar) {
        self.input.expect(Digest { bytes: read.bytes, xxh64: read.xxh64 });
        self.read_before = Some(read);
    }

    /// Whether the file begins with the bytes of an earlier run. Call it before anything is read.
    pub fn holds(&mut self, read: ReadSoFar) -> bool {
        let first = std::io::copy(&mut (&mut self.input).take(read.bytes), &mut std::io::sink());
        self.input.mark();
        first.is_ok() && self.input.marked() == Digest { bytes: read.bytes, xxh64: read.xxh64 }
    }

    /// The bytes that the records before [`Stream::offset`] were made of; `None`: there are none.
    pub fn read_so_far(&mut self) -> Option<ReadSoFar> {
        self.mark();
        let Digest { bytes, xxh64 } = self.input.marked();
        (self.offset > 0).then_some(ReadSoFar { offset: self.offset, bytes, xxh64 })
    }

    /// Marks the bytes taken so far as those of delivered records, if no record is unfinished.
    fn mark(&mut self) {
        if self.line.is_empty() && self.held.is_none() {
            self.input.mark();
        }
    }

    /// Whether bytes may still be appended: a compressed file is complete.
    pub fn grows(&self) -> bool {
        !self.compressed
    }

    /// The number of the next record to deliver.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Skips the records before an offset; errors: the file has fewer.
    pub fn skip_to(&mut self, offset: i64, decoder: &dyn Decoder) -> Result<(), FeedError> {
        while self.offset < offset {
            self.line.clear();
            if !self.read_record(true, decoder)? && self.line.is_empty() {
                let (path, have) = (self.path.display(), self.offset);
                return Err(FeedError::fix(
                    format!("file {path} has {have} records, the lake has already read {offset} of it"),
                    "restore the file that was read, or read this one into a new lake with another `--warehouse`",
                ));
            }
            // a last line without its line end: it was a record when the lake took it
            self.line_ends_outstanding = self.line.last() != Some(&b'\n');
            self.offset += 1;
        }
        let last = std::mem::take(&mut self.line);
        self.unchanged(&last)
    }

    /// Refuses a file whose part that an earlier run has read is now shorter, longer or different; `last` is the line that was
    /// skipped last.
    fn unchanged(&mut self, last: &[u8]) -> Result<(), FeedError> {
        let Some(before) = self.read_before.filter(|before| before.offset <= self.offset) else { return Ok(()) };
        self.mark();
        let beyond = self.input.marked().bytes.checked_sub(before.bytes);
        let as_it_was = match beyond {
            _ if self.input.differs() => false,
            Some(beyond) if before.offset == self.offset => {
                // a last line that was read without its line end may have one now
                let end =
                    &last[last.len() - usize::try_from(beyond).map_or(last.len(), |count| count.min(last.len()))..];
                end.is_empty() || matches!(end, b"\n" | b"\r\n")
            }
            beyond => beyond.is_some(),
        };
        if as_it_was { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> FeedError {
        let (path, ReadSoFar { offset, bytes, .. }) = (self.path.display(), self.read_before.unwrap_or_default());
        FeedError::fix(
            format!(
                "file {path} was changed where it was read: its first {bytes} bytes ({offset} records) are different now"
            ),
            "restore the file that was read, or read this one into a new lake with another `--warehouse`",
        )
    }

    /// The length of a last line that has no line end and was not taken.
    pub fn left(&self) -> usize {
        self.line.len()
    }

    /// The next record, whatever its time.
    pub fn next(
        &mut self,
        unended: Unended,
        decoder: &mut dyn Decoder,
        instruments: &mut InstrumentTable,
    ) -> Result<Option<Result<Tick, Reject>>, FeedError> {
        match self.next_due(Nanos::MAX, unended, decoder, instruments)? {
            Next::Record(record, _) => Ok(Some(record)),
            Next::End | Next::NotDue => Ok(None),
        }
    }

    /// The next record unless it is a tick later than `played`.
    pub fn next_due(
        &mut self,
        played: Nanos,
        unended: Unended,
        decoder: &mut dyn Decoder,
        instruments: &mut InstrumentTable,
    ) -> Result<Next, FeedError> {
        let (tick, bytes) = match self.held.take() {
            Some(held) => held,
            None => {
                let unended = if self.compressed { Unended::Taken } else { unended };
                let ended = self.read_record(unended == Unended::Taken, decoder)?;
                let decoder: &mut dyn Decoder = match &mut self.own {
                    Some(own) => own.as_mut(),
                    None => decoder,
                };
                if !ended && (self.line.is_empty() || unended == Unended::Left) {
                    return Ok(Next::End);
                }
                let bytes = self.line.len() as u64;
                let envelope = Envelope { file: Some(&self.stem), ..Envelope::default() };
                let record = RawRecord { envelope, ..RawRecord::new(text(&self.line), self.offset, None) };
                let decoded = decoder.decode(&record, instruments);
                if !ended {
                    if unended == Unended::IfItDecodes && (decoded.is_err() || !decoder.ends_itself()) {
                        return Ok(Next::End); // the rest of the line may follow when the file grows
                    }
                    self.line_ends_outstanding = true;
                    self.first = false;
                }
                std::mem::swap(&mut self.line, &mut self.payload);
                self.line.clear();
                match decoded {
                    Ok(tick) => (tick, bytes),
                    Err(reject) => {
                        self.offset += 1;
                        return Ok(Next::Record(Err(reject), bytes));
                    }
                }
            }
        };
        if tick.exchange_at > played && tick.trading_date.is_none() {
            self.held = Some((tick, bytes));
            return Ok(Next::NotDue);
        }
        self.offset += 1;
        Ok(Next::Record(Ok(tick), bytes))
    }

    /// The header, if there is one, and the first record without its line end; `None`: the file ends or breaks off before.
    pub fn first_record(&mut self, decoder: &dyn Decoder) -> Option<(Option<Arc<str>>, Vec<u8>)> {
        let ended = self.read_record(self.compressed, decoder).ok()?;
        let whole = ended || (self.compressed && !self.line.is_empty());
        whole.then(|| (self.header.clone(), text(&self.line).to_vec()))
    }

    /// The payload of the tick that was returned last.
    pub fn payload(&self) -> &[u8] {
        text(&self.payload)
    }

    /// As [`Stream::read_line`], but skips a header, which is not a record and has no number.
    fn read_record(&mut self, whole: bool, decoder: &dyn Decoder) -> Result<bool, FeedError> {
        let ended = self.read_line()?;
        if self.first {
            unmark(&mut self.line);
        }
        if !self.first || !(ended || whole) {
            return Ok(ended);
        }
        self.first = false;
        self.own = decoder.header(text(&self.line));
        if self.own.is_none() {
            return Ok(ended);
        }
        self.header = Some(String::from_utf8_lossy(text(&self.line)).into());
        self.line.clear();
        self.read_line()
    }

    /// The line that names the fields of the records, if the file has one and it was read.
    pub fn header(&self) -> Option<&Arc<str>> {
        self.header.as_ref()
    }

    /// Reads until `line` holds a line with its line end; false: the file ends before.
    fn read_line(&mut self) -> Result<bool, FeedError> {
        loop {
            self.mark();
            let room = RECORD_BYTES_MOST.saturating_sub(self.line.len() as u64);
            let read = (&mut self.input).take(room).read_until(b'\n', &mut self.line);
            if let Err(error) = read {
                return Err(self.broken(error));
            }
            if self.input.differs() {
                return Err(self.changed());
            }
            let ended = self.line.last() == Some(&b'\n');
            if !ended && self.line.len() as u64 >= RECORD_BYTES_MOST {
                let (path, record) = (self.path.display(), self.offset);
                return Err(FeedError::fix(
                    format!("file {path}, record {record}: the line is longer than {} MiB", RECORD_BYTES_MOST >> 20),
                    "ticktide reads one record a line: check that the file is not of another kind",
                ));
            }
            if ended && self.line_ends_outstanding && text(&self.line).is_empty() {
                self.line_ends_outstanding = false;
                self.line.clear();
                continue;
            }
            if ended {
                self.line_ends_outstanding = false;
            }
            return Ok(ended);
        }
    }

    fn broken(&self, error: std::io::Error) -> FeedError {
        let (path, record) = (self.path.display(), self.offset);
        let what = match (self.compressed, error.kind()) {
            (true, std::io::ErrorKind::UnexpectedEof) => "the file is cut off".to_owned(),
            _ => error.to_string(),
        };
        FeedError::fix(
            format!("file {path}, record {record}: {what}"),
            format!(
                "the {record} records before it were read; replace the file by a whole one, or recompress what it has"
            ),
        )
    }
}

/// The bytes of a file, decompressed by its ending, and whether it was compressed.
pub(crate) fn input(path: &Path, buffer: usize) -> Result<(bool, Box<dyn Read + Send>), FeedError> {
    let failed = |error: std::io::Error| {
        let hint = match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE) => "raise `ulimit -n` or give fewer files at once",
            _ => "check the path and its permissions",
        };
        FeedError::fix(format!("file {} cannot be read: {error}", path.display()), hint)
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let name = path.to_string_lossy();
    if name.ends_with(".gz") {
        return Ok((true, Box::new(MultiGzDecoder::new(BufReader::with_capacity(buffer, file)))));
    }
    if name.ends_with(".zst") {
        return Ok((true, Box::new(zstd::stream::read::Decoder::new(file).map_err(failed)?)));
    }
    Ok((false, Box::new(file)))
}

/// A file's name without its folder, the ending of its compression and the one of its form: `BTCUSDT-2024.csv.gz` is
/// `BTCUSDT-2024`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let forms = [".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log"];
    forms.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name).to_owned()
}

/// The lines of a recorded file as a [`Stream`] finds them, not decoded.
pub struct FileLines {
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    first: bool,
}

/// The lines of a file, decompressed by its ending. Errors: it cannot be read.
pub fn lines(path: &Path) -> Result<FileLines, FeedError> {
    let (_, input) = input(path, BUFFER_MOST)?;
    Ok(FileLines { input: BufReader::with_capacity(BUFFER_MOST, input), line: Vec::new(), first: true })
}

impl FileLines {
    /// The next line without its line end; `None`: there is none. Errors: the rest of the file cannot be read.
    pub fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        if self.input.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if std::mem::take(&mut self.first) {
            unmark(&mut self.line);
        }
        Ok(Some(text(&self.line)))
    }
}

/// Removes a byte order mark from the first line of a file.
pub(crate) fn unmark(line: &mut Vec<u8>) {
    if line.starts_with(EDITORS_MARK) {
        line.drain(..EDITORS_MARK.len());
    }
}

/// A line without its line end.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
