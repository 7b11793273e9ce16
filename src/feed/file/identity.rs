//! A file's identity: how it begins, not its name.
//!
//! Why not its path: a recording is renamed, moved or compressed, and another file takes its name. Why its beginning: it is the
//! only part of a growing file that stays the same. Why the first record has a hash of its own, before that of the first
//! 64 KiB: older lakes have only this one, and only files that share it need to be compared. What must always hold: a file
//! without a whole record has no identity; an id without a hash fits any file of the name.
//!
//! `file:NAME` · `file:NAME:FIRST` · `file:NAME:FIRST:BYTES:HASH`, where NAME is the partition's name, FIRST the hash of the
//! first record, BYTES the length of the beginning (whole lines, at most 64 KiB) and HASH its hash.

use super::stream::{self, Stream};
use crate::error::OtherSource;
use crate::wire::Decoder;
use crate::{FeedError, Partition};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// The prefix of the ids of files.
const KIND: &str = "file:";
/// Letters of a hash: enough that no two recordings share a hash by chance.
const LETTERS: usize = 32;
/// The most bytes of a beginning.
const BEGINNING: u64 = 64 << 10;

/// How a file begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBeginning {
    /// The hash of its first record, with the header before it if there is one.
    pub first: String,
    /// The number of its first bytes and their hash; older lakes have not recorded it.
    pub bytes: Option<(u64, String)>,
}

impl FileBeginning {
    /// The beginning of a file; `None`: it has no whole record, or can be read only once (a pipe). Errors: it cannot be read.
    pub fn of(path: &Path, decoder: &dyn Decoder) -> Result<Option<FileBeginning>, FeedError> {
        if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
            return Ok(None);
        }
        let mut stream = Stream::open(path, stream::BUFFER_LEAST)?;
        let Some((header, record)) = stream.first_record(decoder) else { return Ok(None) };
        let first = hash([header.as_deref().unwrap_or_default().as_bytes(), b"\n", &record]);
        let bytes = lines(path)?;
        Ok(Some(FileBeginning { first, bytes: Some((bytes.len() as u64, hash([&bytes[..]]))) }))
    }

    /// Whether a file has this beginning. `file`: its own beginning.
    pub fn is_of(&self, path: &Path, file: &FileBeginning) -> Result<bool, FeedError> {
        match &self.bytes {
            _ if self.first != file.first => Ok(false),
            None => Ok(true),
            bytes if *bytes == file.bytes => Ok(true),
            Some((count, hashed)) => {
                let head = head(path, *count)?;
                Ok(head.len() as u64 == *count && hash([&head[..]]) == *hashed)
            }
        }
    }

    /// The id of the partition of a file with this beginning.
    pub fn id(&self, name: &str) -> String {
        match &self.bytes {
            None => format!("{KIND}{name}:{}", self.first),
            Some((bytes, hash)) => format!("{KIND}{name}:{}:{bytes}:{hash}", self.first),
        }
    }

    /// The beginning in an id; `None`: the id is not of a file of this name. Inner `None`: the id has no beginning.
    pub fn in_id(id: &str, name: &str) -> Option<Option<FileBeginning>> {
        let rest = id.strip_prefix(KIND)?.strip_prefix(name)?;
        if rest.is_empty() {
            return Some(None);
        }
        let mut parts = rest.strip_prefix(':')?.split(':');
        let (first, bytes, hash) = (parts.next()?.to_owned(), parts.next(), parts.next());
        let bytes = bytes.zip(hash).map(|(bytes, hash)| Some((bytes.parse().ok()?, hash.to_owned())));
        Some(Some(FileBeginning { first, bytes: bytes.flatten() }))
    }
}

/// The id of a file of which only the name is known.
pub fn nameless(name: &str) -> String {
    format!("{KIND}{name}")
}

/// The whole lines at the start of a file, at most the bytes that identify it; a longer line is cut.
pub fn lines(path: &Path) -> Result<Vec<u8>, FeedError> {
    let mut head = head(path, BEGINNING)?;
    if let Some(end) = head.iter().rposition(|byte| *byte == b'\n') {
        head.truncate(end + 1);
    }
    Ok(head)
}

/// The first uncompressed bytes of a file; fewer if it is shorter or breaks off.
fn head(path: &Path, bytes: u64) -> Result<Vec<u8>, FeedError> {
    let (_, input) = stream::input(path, stream::BUFFER_LEAST)?;
    let mut head = Vec::new();
    // an unreadable rest is reported when the records are read
    let _ = input.take(bytes).read_to_end(&mut head);
    Ok(head)
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..LETTERS].to_owned()
}

/// Whether an id recorded under the partition's name can be the id of its file.
pub fn is_same(partition: &Partition, recorded: &str) -> bool {
    let [was, is] = [recorded, &partition.source_id].map(|id| FileBeginning::in_id(id, &partition.topic).flatten());
    let bytes = was.zip(is).and_then(|(was, is)| was.bytes.zip(is.bytes));
    begins_as(partition, recorded) && bytes.is_none_or(|(was, is)| was == is)
}

/// Whether the first record of the partition's file can be the one recorded under its name.
pub fn begins_as(partition: &Partition, recorded: &str) -> bool {
    let [was, is] = [recorded, &partition.source_id].map(|id| FileBeginning::in_id(id, &partition.topic));
    match (was, is) {
        (Some(Some(was)), Some(Some(is))) => was.first == is.first,
        (was, is) => was.is_some() && is.is_some(),
    }
}

/// Refuses a file that does not begin as the one that was read under its name.
pub fn continues(partition: &Partition, path: &Path, recorded: &str) -> Result<(), FeedError> {
    let (name, path) = (&partition.topic, path.display());
    if is_same(partition, recorded) {
        return Ok(());
    }
    if FileBeginning::in_id(recorded, name).is_none() {
        return Err(OtherSource { partition, recorded, now: "a file" }.into());
    }
    Err(FeedError::fix(
        format!("file {path} is not the {name} that the lake has read: its beginning is different"),
        format!(
            "if {name} was renamed, moved or compressed, add it with another `--path`: this one then counts as a new file; \
             if it was changed or replaced, restore the file that was read, or read this one into a new lake with another \
             `--warehouse`"
        ),
    ))
}

/// Refuses two files of which one begins with the other.
pub fn alike(one: &Path, other: &Path) -> FeedError {
    let (one, other) = (one.display(), other.display());
    FeedError::fix(
        format!("files {one} and {other} begin alike: their records would count twice"),
        "if one is a copy or a part of the other, leave it out with `--path`; different recordings that begin with the same \
         64 KiB cannot be distinguished: join them, or read each into its own lake with `--warehouse`",
    )
}
