//! The file that `quarantine retry` writes.
//!
//! What must always hold: a file is whole or not there; an existing one is never written over; all its records are read by one
//! header, or all without one.

use super::Row;
use crate::read::{part_of, unwritable};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use ticktide_base::error::Error;

/// The file that payloads are written to: under another name until it is whole, and gone if it never is.
pub struct Output {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
    /// Lines so far.
    pub lines: u64,
    /// Of its first record: the record's place and header.
    begun: Option<(String, Option<String>)>,
}

impl Output {
    /// Errors: the file is there, or cannot be made.
    pub fn create(path: &Path) -> Result<Output, Error> {
        if path.exists() {
            let message = format!("{} exists", path.display());
            return Err(Error::fix(message, "choose a name that was never fed: a lake knows a file by its name"));
        }
        let part = part_of(path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&part);
        let file = opened.map_err(|error| unwritable(path, &error))?;
        Ok(Output { path: path.to_path_buf(), part, file: Some(BufWriter::new(file)), lines: 0, begun: None })
    }

    /// All records of a file are read by one header, or all without one.
    pub fn agree(&mut self, row: &Row, header: Option<&str>) -> Result<(), Error> {
        let (first, begun) = self.begun.get_or_insert_with(|| (row.place(), header.map(str::to_owned)));
        if begun.as_deref() == header {
            return Ok(());
        }
        let shown = |header: Option<&str>| header.map_or_else(|| "none".to_owned(), |header| format!("{header:?}"));
        Err(Error::fix(
            format!(
                "records {first} and {} cannot be in one file: their headers are {} and {}",
                row.place(),
                shown(begun.as_deref()),
                shown(header)
            ),
            "write the records of each file to an output of their own: `--topic NAME`",
        ))
    }

    /// Writes a line.
    pub fn line(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.lines += 1;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(payload).and_then(|()| file.write_all(b"\n")).map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives the file its name; one that came meanwhile is left as it is.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        if let Some(mut file) = self.file.take() {
            file.flush().map_err(|error| unwritable(&self.path, &error))?;
        }
        std::fs::hard_link(&self.part, &self.path).map_err(|error| unwritable(&self.path, &error))?;
        Ok(self.path.clone())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // a name that could not be removed does no harm: it ends in .part and is written over next time
        let _ = std::fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there_and_is_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("retry.jsonl");
        let names = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let mut given_up = Output::create(&path).expect("made");
        given_up.line(b"x").expect("written");
        drop(given_up);
        assert_eq!(names(), 0);
        let mut kept = Output::create(&path).expect("made");
        kept.line(b"x").expect("written");
        kept.keep().expect("kept");
        assert_eq!((std::fs::read(&path).expect("there"), names()), (b"x\n".to_vec(), 1));
        assert_eq!(Output::create(&path).err().map(|error| error.kind), Some(ticktide_base::error::Kind::Fix));
    }
}
