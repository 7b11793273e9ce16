//! Sorted parts on disk, and their merge.
//!
//! Why files without a name: whatever ends the process, nothing of them is left. Why a limit of how many are merged at once:
//! each takes a buffer and a file handle; more are merged in rounds, neighbours first, so that parts stay in the order in which
//! they were read. What must always hold: of equal times the part that was read first comes first.

use super::pile::Pile;
use super::unwritten;
use crate::FeedError;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Parts that are merged at once.
const AT_ONCE: usize = 64;
/// Bytes that are read or written at once, of one part.
const BUFFER_LEAST: usize = 8 << 10;
const BUFFER_MOST: usize = 1 << 20;
/// What stands before a line: its time and how long it is.
const HEAD: usize = 12;

pub struct Runs {
    folder: PathBuf,
    buffer: usize,
    /// In the order in which they were read, with how often each was merged.
    files: Vec<(u32, File)>,
    count: u64,
}

impl Runs {
    /// In a folder; `memory`: bytes that a merge may take.
    pub fn new(folder: &Path, memory: u64) -> Runs {
        let buffer = usize::try_from(memory).unwrap_or(usize::MAX) / (AT_ONCE + 1);
        Runs {
            folder: folder.to_path_buf(),
            buffer: buffer.clamp(BUFFER_LEAST, BUFFER_MOST),
            files: Vec::new(),
            count: 0,
        }
    }

    /// Piles that were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sorts a pile into a part and empties it. Errors: there is no room.
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
        // as many of one size become one of the next: few are open, and each record is written a few times only
        while let Some((level, _)) = self.files.last()
            && self.files.iter().rev().take_while(|(of, _)| of == level).count() >= AT_ONCE
        {
            self.merge_last()?;
        }
        Ok(())
    }

    /// Gives every line in order while `write` says so; false: it did not to the end.
    pub fn merge(mut self, write: &mut dyn FnMut(&[u8]) -> Result<bool, FeedError>) -> Result<bool, FeedError> {
        while self.files.len() > AT_ONCE {
            self.merge_last()?;
        }
        let last = std::mem::take(&mut self.files);
        self.merged(last, &mut |_, line| write(line))
    }

    /// Makes one of the last parts.
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

/// A part under way.
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

/// A part that is read back.
struct Sorted {
    input: BufReader<File>,
    line: Vec<u8>,
}

impl Sorted {
    /// Reads the next line, and says its time; `None`: there is none.
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
