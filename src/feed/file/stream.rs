//! The records of one file, in order: lines found, decompressed, decoded.

use super::hashed::{Digest, Hashed};
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
/// What some editors put at the start of a file: no part of its first record.
const EDITORS_MARK: &[u8] = b"\xef\xbb\xbf";
/// A longer line is no record but a file of another kind.
pub(crate) const RECORD_BYTES_MOST: u64 = 16 << 20;

/// What stands next in a file.
pub enum Next {
    /// A record and the bytes it took.
    Record(Result<Tick, Reject>, u64),
    /// A record that is later than what is played now.
    NotDue,
    End,
}

/// What a last line without its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unended {
    /// Not a record yet.
    Left,
    /// A record if it is one and could be no other with more behind it.
    IfItDecodes,
    /// A record.
    Taken,
}

/// One open file.
pub struct Stream {
    path: PathBuf,
    input: Hashed<Box<dyn Read + Send>>,
    /// What an earlier run has read of it.
    read_before: Option<ReadSoFar>,
    compressed: bool,
    /// The number of the next record.
    offset: i64,
    payload: Vec<u8>,
    line: Vec<u8>,
    /// No line was read yet: the next one may be a header.
    first: bool,
    /// What the file's header made, and that header.
    own: Option<Box<dyn Decoder>>,
    header: Option<Arc<str>>,
    /// The record in `line` was delivered although its line has no end yet: what may follow is only that end.
    line_ends_outstanding: bool,
    /// A tick read ahead of its time.
    held: Option<(Tick, u64)>,
}

impl Stream {
    pub fn open(path: &Path, buffer: usize) -> Result<Stream, FeedError> {
        let (compressed, input) = input(path, buffer)?;
        Ok(Stream {
            path: path.to_path_buf(),
            input: Hashed::new(input, buffer),
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

    /// What was read before is to be there still; nothing was read yet.
    pub fn expect(&mut self, read: ReadSoFar) {
        self.input.expect(Digest { bytes: read.bytes, xxh64: read.xxh64 });
        self.read_before = Some(read);
    }

    /// Whether it begins with what was read; nothing was read yet.
    pub fn holds(&mut self, read: ReadSoFar) -> bool {
        let first = std::io::copy(&mut (&mut self.input).take(read.bytes), &mut std::io::sink());
        self.input.mark();
        first.is_ok() && self.input.marked() == Digest { bytes: read.bytes, xxh64: read.xxh64 }
    }

    /// What the records before [`Stream::offset`] were made of; `None`: there are none.
    pub fn read_so_far(&mut self) -> Option<ReadSoFar> {
        self.mark();
        let Digest { bytes, xxh64 } = self.input.marked();
        (self.offset > 0).then_some(ReadSoFar { offset: self.offset, bytes, xxh64 })
    }

    /// Nothing is under way: what was taken so far belongs to records that were delivered.
    fn mark(&mut self) {
        if self.line.is_empty() && self.held.is_none() {
            self.input.mark();
        }
    }

    /// Whether bytes may still be appended: a compressed file is a whole one.
    pub fn grows(&self) -> bool {
        !self.compressed
    }

    /// The number of the next record to deliver.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Passes over the records before an offset; errors: there are fewer.
    pub fn skip_to(&mut self, offset: i64, decoder: &dyn Decoder) -> Result<(), FeedError> {
        while self.offset < offset {
            self.line.clear();
            if !self.read_record(true, decoder)? && self.line.is_empty() {
                let (path, have) = (self.path.display(), self.offset);
                return Err(FeedError::fix(
                    format!("file {path} has {have} records, the lake has already read {offset} of it"),
                    "give back the file that was read, or read this one into a new lake with another `--warehouse`",
                ));
            }
            // a last line without its end: it was a record when the lake took it
            self.line_ends_outstanding = self.line.last() != Some(&b'\n');
            self.offset += 1;
        }
        let last = std::mem::take(&mut self.line);
        self.unchanged(&last)
    }

    /// Refuses a file of which less, more or something else stands where an earlier run has read, `last` being the line
    /// that was passed over last.
    fn unchanged(&mut self, last: &[u8]) -> Result<(), FeedError> {
        let Some(before) = self.read_before.filter(|before| before.offset <= self.offset) else { return Ok(()) };
        self.mark();
        let behind = self.input.marked().bytes.checked_sub(before.bytes);
        let as_it_was = match behind {
            _ if self.input.differs() => false,
            Some(behind) if before.offset == self.offset => {
                // a last line that was read without its end may have it now
                let end =
                    &last[last.len() - usize::try_from(behind).map_or(last.len(), |count| count.min(last.len()))..];
                end.is_empty() || matches!(end, b"\n" | b"\r\n")
            }
            behind => behind.is_some(),
        };
        if as_it_was { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> FeedError {
        let (path, ReadSoFar { offset, bytes, .. }) = (self.path.display(), self.read_before.unwrap_or_default());
        FeedError::fix(
            format!(
                "file {path} was changed where it was read: its first {bytes} bytes, {offset} records, are others now"
            ),
            "put back the file that was read, or read this one into a new lake with another `--warehouse`",
        )
    }

    /// The bytes of a last line that has no end and was not taken.
    pub fn left(&self) -> usize {
        self.line.len()
    }

    /// The next record whatever its time.
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
                let decoded = decoder.decode(&RawRecord::new(text(&self.line), self.offset, None), instruments);
                if !ended {
                    if unended == Unended::IfItDecodes && (decoded.is_err() || !decoder.ends_itself()) {
                        return Ok(Next::End); // the line goes on when the file has grown
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

    /// The header, if there is one, and the first record without its line end; `None`: the file ends before, or breaks off.
    pub fn first_record(&mut self, decoder: &dyn Decoder) -> Option<(Option<Arc<str>>, Vec<u8>)> {
        let ended = self.read_record(self.compressed, decoder).ok()?;
        let whole = ended || (self.compressed && !self.line.is_empty());
        whole.then(|| (self.header.clone(), text(&self.line).to_vec()))
    }

    /// The payload of the tick that was given last.
    pub fn payload(&self) -> &[u8] {
        text(&self.payload)
    }

    /// As [`Stream::read_line`], past a header, which is no record and has no number.
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

    /// The line that named what is in the records, if it has been read and there was one.
    pub fn header(&self) -> Option<&Arc<str>> {
        self.header.as_ref()
    }

    /// Reads on until `line` holds a line with its end; false: the file ends before.
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
                    "one record a line is read; is it a file of another kind?",
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
            format!("the {record} records before it were read; replace the file by a whole one, or repack what it has"),
        )
    }
}

/// The bytes of a file, decompressed by its ending, and whether they were compressed.
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

/// A recorded file's lines as a [`Stream`] finds them, not decoded.
pub struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    first: bool,
}

/// The lines of a file, decompressed by its ending. Errors: it cannot be read.
pub fn lines(path: &Path) -> Result<Lines, FeedError> {
    let (_, input) = input(path, BUFFER_MOST)?;
    Ok(Lines { input: BufReader::with_capacity(BUFFER_MOST, input), line: Vec::new(), first: true })
}

impl Lines {
    /// The next line without its end; `None`: there is none. Errors: the file cannot be read on.
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

/// Takes an editor's mark off the first line of a file.
pub(crate) fn unmark(line: &mut Vec<u8>) {
    if line.starts_with(EDITORS_MARK) {
        line.drain(..EDITORS_MARK.len());
    }
}

/// A line without its end.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
