//! The file that `quarantine retry` writes.
//!
//! What must always hold: a file is complete or absent; an existing file is never overwritten; all records of a file are read
//! by one header, or all without one.

use super::Row;
use crate::read::{part_of, unwritable};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use ticktide_base::error::Error;

/// The file that payloads are written to: under another name until it is complete, and removed if it never is.
pub struct OutputFile {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
    /// Lines written so far.
    pub lines: u64,
    /// The place and the header of its first record.
    begun: Option<(String, Option<String>)>,
}

impl OutputFile {
    /// Errors: the file exists, or cannot be made.
    pub fn create(path: &Path) -> Result<OutputFile, Error> {
        if path.exists() {
            let message = format!("{} exists already", path.display());
            return Err(Error::fix(message, "choose a name that was never fed: a lake knows a file by its name"));
        }
        let part = part_of(path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&part);
        let file = opened.map_err(|error| unwritable(path, &error))?;
        Ok(OutputFile { path: path.to_path_buf(), part, file: Some(BufWriter::new(file)), lines: 0, begun: None })
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
            "choose the records of one file with `--topic NAME`, and write each file's records to an output of their own",
        ))
    }

    /// Writes a line.
    pub fn line(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.lines += 1;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(payload).and_then(|()| file.write_all(b"\n")).map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives the file its name; a file that has appeared there meanwhile is left as it is.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        if let Some(mut file) = self.file.take() {
            file.flush().map_err(|error| unwritable(&self.path, &error))?;
        }
        std::fs::hard_link(&self.part, &self.path).map_err(|error| unwritable(&self.path, &error))?;
        Ok(self.path.clone())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // a file that cannot be removed does no harm: its name ends in .part, and it is overwritten next time
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
        let mut given_up = OutputFile::create(&path).expect("made");
        given_up.line(b"x").expect("written");
        drop(given_up);
        assert_eq!(names(), 0);
        let mut kept = OutputFile::create(&path).expect("made");
        kept.line(b"x").expect("written");
        kept.keep().expect("kept");
        assert_eq!((std::fs::read(&path).expect("there"), names()), (b"x\n".to_vec(), 1));
        assert_eq!(OutputFile::create(&path).err().map(|error| error.kind), Some(ticktide_base::error::Kind::Fix));
    }
}
