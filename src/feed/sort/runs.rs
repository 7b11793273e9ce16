//! Sorted parts on disk, and their merge.
//!
//! Why files without a name: nothing of them is left, however the process ends. Why the number merged at once is limited: each
//! part takes a buffer and a file handle. More parts are merged in rounds, neighbours first, so that parts stay in the order in
//! which they were read. What must always hold: of records of one time, those of the part that was read first come first.

use super::pile::Pile;
use super::unwritten;
use crate::FeedError;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The number of parts merged at once.
const AT_ONCE: usize = 64;
/// Bytes of one part that are read or written at once.
const BUFFER_LEAST: usize = 8 << 10;
const BUFFER_MOST: usize = 1 << 20;
/// Bytes before a line: its time and its length.
const HEAD: usize = 12;

pub struct SortedRuns {
    folder: PathBuf,
    buffer: usize,
    /// In the order in which they were read, each with the number of its merges.
    files: Vec<(u32, File)>,
    count: u64,
}

impl SortedRuns {
    /// Keeps the parts in a folder; a merge may take `memory` bytes.
    pub fn new(folder: &Path, memory: u64) -> SortedRuns {
        let buffer = usize::try_from(memory).unwrap_or(usize::MAX) / (AT_ONCE + 1);
        SortedRuns {
            folder: folder.to_path_buf(),
            buffer: buffer.clamp(BUFFER_LEAST, BUFFER_MOST),
            files: Vec::new(),
            count: 0,
        }
    }

    /// The number of piles added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sorts a pile into a part and empties the pile. Errors: the part cannot be written.
    pub fn add(&mut self, pile: &mut Pile) -> Result<(), FeedError> {
        if pile.is_empty() {
            return Ok(());
        }
        let mut part = self.part()?;
        for (at, line) in pile.sorted() {
            part.put(at, line).map_err(|error| unwritten(&self.folder, &error))?;
        }
        pile.clear();
        self.count += 1;
        self.files.push((0, self.closed(part)?));
        // that many parts of one level become one of the next: few are open, and each record is written only a few times
        while let Some((level, _)) = self.files.last()
            && self.files.iter().rev().take_while(|(of, _)| of == level).count() >= AT_ONCE
        {
            self.merge_last()?;
        }
        Ok(())
    }

    /// Gives every line in order until `write` returns false; false: it did so before the end.
    pub fn merge(mut self, write: &mut dyn FnMut(&[u8]) -> Result<bool, FeedError>) -> Result<bool, FeedError> {
        while self.files.len() > AT_ONCE {
            self.merge_last()?;
        }
        let last = std::mem::take(&mut self.files);
        self.merged(last, &mut |_, line| write(line))
    }

    /// Merges the last parts into one.
    fn merge_last(&mut self) -> Result<(), FeedError> {
        let last = self.files.split_off(self.files.len() - AT_ONCE);
        let level = last.iter().map(|(level, _)| level + 1).max().unwrap_or(0);
        let mut part = self.part()?;
        let failed = |error: std::io::Error| unwritten(&self.folder, &error);
        self.merged(last, &mut |at, line| part.put(at, line).map(|()| true).map_err(failed))?;
        let file = self.closed(part)?;
        self.files.push((level, file));
        Ok(())
    }

    fn merged(
        &self,
        files: Vec<(u32, File)>,
        give: &mut dyn FnMut(i64, &[u8]) -> Result<bool, FeedError>,
    ) -> Result<bool, FeedError> {
        let failed = |error: std::io::Error| unwritten(&self.folder, &error);
        let mut parts = Vec::new();
        let mut heap = BinaryHeap::new();
        for (index, (_, file)) in files.into_iter().enumerate() {
            let mut part = Sorted { input: BufReader::with_capacity(self.buffer, file), line: Vec::new() };
            heap.extend(part.next().map_err(failed)?.map(|at| Reverse((at, index))));
            parts.push(part);
        }
        while let Some(mut least) = heap.peek_mut() {
            let Reverse((at, index)) = *least;
            let part = &mut parts[index];
            if !give(at, &part.line)? {
                return Ok(false);
            }
            match part.next().map_err(failed)? {
                Some(at) => *least = Reverse((at, index)),
                None => drop(std::collections::binary_heap::PeekMut::pop(least)),
            }
        }
        Ok(true)
    }

    fn part(&self) -> Result<Part, FeedError> {
        let file = tempfile::tempfile_in(&self.folder).map_err(|error| unwritten(&self.folder, &error))?;
        Ok(Part(BufWriter::with_capacity(self.buffer.max(BUFFER_LEAST), file)))
    }

    fn closed(&self, part: Part) -> Result<File, FeedError> {
        let file = part.0.into_inner().map_err(std::io::IntoInnerError::into_error);
        let file = file.and_then(|mut file| file.rewind().map(|()| file));
        file.map_err(|error| unwritten(&self.folder, &error))
    }
}

/// A part that is being written.
struct Part(BufWriter<File>);

impl Part {
    fn put(&mut self, at: i64, line: &[u8]) -> std::io::Result<()> {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&at.to_le_bytes());
        head[8..].copy_from_slice(&(line.len() as u32).to_le_bytes());
        self.0.write_all(&head)?;
        self.0.write_all(line)
    }
}

/// A part that is being read back.
struct Sorted {
    input: BufReader<File>,
    line: Vec<u8>,
}

impl Sorted {
    /// Reads the next line and returns its time; `None`: there is none.
    fn next(&mut self) -> std::io::Result<Option<i64>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let (mut at, mut length) = ([0; 8], [0; 4]);
        self.input.read_exact(&mut at)?;
        self.input.read_exact(&mut length)?;
        self.line.resize(u32::from_le_bytes(length) as usize, 0);
        self.input.read_exact(&mut self.line)?;
        Ok(Some(i64::from_le_bytes(at)))
    }
}
