//! Which file it is: by what it begins with, not by its name.
//!
//! Why not its path: a recording is renamed, moved and compressed, and another one takes its name. Why its beginning: it is
//! all of a growing file that stays. Why the hash of the first record stands before that of the first 64 KiB: it is what lakes
//! of before have, and only files that share it need to be compared. What must always hold: a file without a whole record has
//! no identity; ids without a hash are those of any file of the name.
//!
//! `file:NAME` · `file:NAME:FIRST` · `file:NAME:FIRST:BYTES:HASH`, where NAME is that of the partition and the last two say
//! how much of the beginning was there (whole lines, at most 64 KiB) and its hash.

use super::stream::{self, Stream};
use crate::error::OtherSource;
use crate::wire::Decoder;
use crate::{FeedError, Partition};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// What ids of files begin with.
const KIND: &str = "file:";
/// Letters of a hash: enough that no two recordings share them by chance.
const LETTERS: usize = 32;
/// Bytes of a beginning at most.
const BEGINNING: u64 = 64 << 10;

/// What a file begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The hash of its first record, with the header before it if there is one.
    pub first: String,
    /// Of its first bytes, how many and their hash; lakes of before have not recorded it.
    pub bytes: Option<(u64, String)>,
}

impl Beginning {
    /// That of a file; `None`: it has no whole record, or can be read only once (a pipe). Errors: it cannot be read.
    pub fn of(path: &Path, decoder: &dyn Decoder) -> Result<Option<Beginning>, FeedError> {
        if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
            return Ok(None);
        }
        let mut stream = Stream::open(path, stream::BUFFER_LEAST)?;
        let Some((header, record)) = stream.first_record(decoder) else { return Ok(None) };
        let first = hash([header.as_deref().unwrap_or_default().as_bytes(), b"\n", &record]);
        let bytes = lines(path)?;
        Ok(Some(Beginning { first, bytes: Some((bytes.len() as u64, hash([&bytes[..]]))) }))
    }

    /// Whether a file begins as this says. `file`: its beginning.
    pub fn is_of(&self, path: &Path, file: &Beginning) -> Result<bool, FeedError> {
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

    /// The id of the partition of such a file.
    pub fn id(&self, name: &str) -> String {
        match &self.bytes {
            None => format!("{KIND}{name}:{}", self.first),
            Some((bytes, hash)) => format!("{KIND}{name}:{}:{bytes}:{hash}", self.first),
        }
    }

    /// What an id says of the beginning; `None`: it is of no file of this name. Inner `None`: nothing.
    pub fn in_id(id: &str, name: &str) -> Option<Option<Beginning>> {
        let rest = id.strip_prefix(KIND)?.strip_prefix(name)?;
        if rest.is_empty() {
            return Some(None);
        }
        let mut parts = rest.strip_prefix(':')?.split(':');
        let (first, bytes, hash) = (parts.next()?.to_owned(), parts.next(), parts.next());
        let bytes = bytes.zip(hash).map(|(bytes, hash)| Some((bytes.parse().ok()?, hash.to_owned())));
        Some(Some(Beginning { first, bytes: bytes.flatten() }))
    }
}

/// The id of a file that is known by its name alone.
pub fn nameless(name: &str) -> String {
    format!("{KIND}{name}")
}

/// The whole lines that a file begins with, at most as many bytes as identify it; a longer line is cut.
pub fn lines(path: &Path) -> Result<Vec<u8>, FeedError> {
    let mut head = head(path, BEGINNING)?;
    if let Some(end) = head.iter().rposition(|byte| *byte == b'\n') {
        head.truncate(end + 1);
    }
    Ok(head)
}

/// The first uncompressed bytes of a file, fewer if it has not as many or breaks off.
fn head(path: &Path, bytes: u64) -> Result<Vec<u8>, FeedError> {
    let (_, input) = stream::input(path, stream::BUFFER_LEAST)?;
    let mut head = Vec::new();
    // what cannot be read on is told by who reads it
    let _ = input.take(bytes).read_to_end(&mut head);
    Ok(head)
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..LETTERS].to_owned()
}

/// Whether an id that was recorded under the partition's name can be that of its file.
pub fn is_same(partition: &Partition, recorded: &str) -> bool {
    let [was, is] = [recorded, &partition.source_id].map(|id| Beginning::in_id(id, &partition.topic).flatten());
    let bytes = was.zip(is).and_then(|(was, is)| was.bytes.zip(is.bytes));
    begins_as(partition, recorded) && bytes.is_none_or(|(was, is)| was == is)
}

/// Whether the first record of the partition's file can be the one that was recorded under its name.
pub fn begins_as(partition: &Partition, recorded: &str) -> bool {
    let [was, is] = [recorded, &partition.source_id].map(|id| Beginning::in_id(id, &partition.topic));
    match (was, is) {
        (Some(Some(was)), Some(Some(is))) => was.first == is.first,
        (was, is) => was.is_some() && is.is_some(),
    }
}

/// Refuses a file that begins otherwise than the one that was read under its name.
pub fn continues(partition: &Partition, path: &Path, recorded: &str) -> Result<(), FeedError> {
    let (name, path) = (&partition.topic, path.display());
    if is_same(partition, recorded) {
        return Ok(());
    }
    if Beginning::in_id(recorded, name).is_none() {
        return Err(OtherSource { partition, recorded, now: "a file" }.into());
    }
    Err(FeedError::fix(
        format!(
            "file {path} is not the {name} that the lake has read: it begins with another record or was changed there"
        ),
        format!(
            "if {name} was renamed, moved or compressed, read it with `--path`, too: then this one counts as a new file; if \
             it was changed or replaced, put the one that was read back, or read this one into a new lake with another \
             `--warehouse`"
        ),
    ))
}

/// Refuses two files of which one begins with the other.
pub fn alike(one: &Path, other: &Path) -> FeedError {
    let (one, other) = (one.display(), other.display());
    FeedError::fix(
        format!("files {one} and {other} begin alike: their records would count twice"),
        "a copy, or a part of the same recording? leave one of them out with `--path`; recordings that begin with the same 64 \
         KiB cannot be told apart: join them, or read each into a lake of its own with `--warehouse`",
    )
}
