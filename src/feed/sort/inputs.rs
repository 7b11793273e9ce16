//! The lines of the inputs one after the other, each with its time.
//!
//! Why a record is decoded whole: its time depends on the wire, and a run refuses a record that is not a tick wherever it is.
//! What must always hold: a header is not a record, all files have the same header, and a byte order mark at the start of a
//! file is part of no line.

use crate::file;
use crate::wire::{self, Decoder, RawRecord};
use crate::{FeedError, InstrumentTable, WireSpec};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use ticktide_base::time::Nanos;
use ticktide_market::TickKind;

const BUFFER: usize = 256 << 10;

/// A line with its line end.
pub struct InputLine<'a> {
    /// Its time, or the time of the record before it in its file.
    pub at: Nanos,
    pub timed: bool,
    pub bytes: &'a [u8],
}

/// The current file.
struct Open {
    path: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    own: Option<Box<dyn Decoder>>,
    at: Nanos,
    records: u64,
}

pub struct SortInputs {
    waiting: VecDeque<PathBuf>,
    open: Option<Open>,
    base: Box<dyn Decoder>,
    instruments: InstrumentTable,
    line: Vec<u8>,
    /// The first file that is not empty, and its header.
    header: Option<(PathBuf, Option<Vec<u8>>)>,
    unended: Vec<(PathBuf, u64)>,
}

impl SortInputs {
    /// Errors, before anything is sorted: the wire is wrong, or a file cannot be read.
    pub fn new(paths: &[PathBuf], wire: &WireSpec) -> Result<SortInputs, FeedError> {
        for path in paths {
            file::input(path, BUFFER)?;
        }
        Ok(SortInputs {
            waiting: paths.iter().cloned().collect(),
            open: None,
            base: wire::build(wire)?,
            instruments: InstrumentTable::default(),
            line: Vec::new(),
            header: None,
            unended: Vec::new(),
        })
    }

    /// The line that names the fields of the records, if the files have one.
    pub fn header(&self) -> Option<&[u8]> {
        self.header.as_ref()?.1.as_deref()
    }

    /// The last lines without a line end so far.
    pub fn unended(&mut self) -> Vec<(PathBuf, u64)> {
        std::mem::take(&mut self.unended)
    }

    /// The next record of the current file, or the first of the next file. Errors: the rest of the file cannot be read.
    pub fn next(&mut self) -> Result<Option<InputLine<'_>>, FeedError> {
        loop {
            let begun = match &mut self.open {
                Some(open) => open.read(&mut self.line, &mut self.unended)?,
                None => match self.waiting.pop_front() {
                    Some(path) => self.begin(path)?,
                    None => return Ok(None),
                },
            };
            if begun {
                break;
            }
            self.open = None;
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        let decoder: &mut dyn Decoder = match &mut open.own {
            Some(own) => own.as_mut(),
            None => self.base.as_mut(),
        };
        let record = RawRecord::new(file::text(&self.line), open.records as i64, None);
        let tick = decoder.decode(&record, &mut self.instruments).ok();
        let tick = tick.filter(|tick| tick.kind != TickKind::Notice && tick.trading_date.is_none());
        open.at = tick.as_ref().map_or(open.at, |tick| tick.exchange_at);
        open.records += 1;
        Ok(Some(InputLine { at: open.at, timed: tick.is_some(), bytes: &self.line }))
    }

    /// Opens a file and reads up to its first record; false: it has none.
    fn begin(&mut self, path: PathBuf) -> Result<bool, FeedError> {
        let (_, input) = file::input(&path, BUFFER)?;
        let input = BufReader::with_capacity(BUFFER, input);
        let mut open = Open { path, input, own: None, at: Nanos::MIN, records: 0 };
        if !open.read(&mut self.line, &mut self.unended)? {
            return Ok(false);
        }
        file::unmark(&mut self.line);
        open.own = self.base.header(file::text(&self.line));
        let header = open.own.is_some().then(|| self.line.clone());
        match &self.header {
            None => self.header = Some((open.path.clone(), header.clone())),
            Some((first, known)) => agree((first, known.as_deref()), (&open.path, header.as_deref()))?,
        }
        let has = match header {
            Some(_) => open.read(&mut self.line, &mut self.unended)?,
            None => true,
        };
        self.open = Some(open);
        Ok(has)
    }
}

impl Open {
    /// Reads the next line into `line`, with a line end; false: there is none.
    fn read(&mut self, line: &mut Vec<u8>, unended: &mut Vec<(PathBuf, u64)>) -> Result<bool, FeedError> {
        line.clear();
        let read = (&mut self.input).take(file::RECORD_BYTES_MOST).read_until(b'\n', line);
        let failed = |message: String, hint: &str| {
            let (path, record) = (self.path.display(), self.records);
            FeedError::fix(format!("file {path}, record {record}: {message}"), hint)
        };
        read.map_err(|error| failed(error.to_string(), "replace the file by a whole one, or recompress what it has"))?;
        if line.len() as u64 >= file::RECORD_BYTES_MOST {
            let most = file::RECORD_BYTES_MOST >> 20;
            let hint = "ticktide reads one record a line: check that the file is not of another kind";
            return Err(failed(format!("the line is longer than {most} MiB"), hint));
        }
        if !line.is_empty() && line.last() != Some(&b'\n') {
            unended.push((self.path.clone(), line.len() as u64));
            line.push(b'\n');
        }
        Ok(!line.is_empty())
    }
}

/// Refuses two different headers: an output has one.
fn agree((first, known): (&Path, Option<&[u8]>), (path, header): (&Path, Option<&[u8]>)) -> Result<(), FeedError> {
    if known.map(file::text) == header.map(file::text) {
        return Ok(());
    }
    let shown = |header: Option<&[u8]>| {
        header.map_or("none".to_owned(), |header| format!("{:?}", String::from_utf8_lossy(file::text(header))))
    };
    let (first, path, known, header) = (first.display(), path.display(), shown(known), shown(header));
    Err(FeedError::fix(
        format!("files {first} and {path} have different headers: {known} and {header}"),
        "sort each into its own file: an output has one header",
    ))
}
