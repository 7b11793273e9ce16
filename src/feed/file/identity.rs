//! Which file a name stands for: by what it begins with.
//!
//! Why not its path alone: a recording is moved, and another one takes its name; the records that a lake counts are then of
//! another file, and as many of them as it has read would be passed over in silence. Why its beginning: it is all of a growing
//! file that stays. What must always hold: an id without a hash (a lake that has not known it, a file without a record) is
//! that of any file of the name, two hashes are one file only if they are equal.

use super::stream::Stream;
use crate::error::OtherSource;
use crate::wire::Decoder;
use crate::{FeedError, Partition};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What ids of files begin with.
const KIND: &str = "file:";
/// Letters of a hash: enough that no two recordings share them by chance.
const LETTERS: usize = 32;

/// The hash of a file's first record, with the header before it if there is one; `None` while it has no whole record, and for
/// what can be read only once (a pipe). Errors: the file cannot be read.
pub fn first_record(path: &Path, decoder: &dyn Decoder) -> Result<Option<String>, FeedError> {
    if !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let mut stream = Stream::open(path, super::stream::BUFFER_LEAST)?;
    let Some((header, record)) = stream.first_record(decoder) else { return Ok(None) };
    let mut hash = Sha256::new();
    for line in [header.as_deref().unwrap_or_default().as_bytes(), b"\n", &record] {
        hash.update(line);
    }
    let digest = hash.finalize();
    Ok(Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..LETTERS].to_owned()))
}

/// The id of the file that a name stands for.
pub fn source_id(name: &str, hash: Option<&str>) -> String {
    hash.map_or_else(|| format!("{KIND}{name}"), |hash| format!("{KIND}{name}:{hash}"))
}

/// The hash in an id; `None`: the id is of no file of this name. Inner `None`: not known.
pub fn hash_in<'a>(id: &'a str, name: &str) -> Option<Option<&'a str>> {
    match id.strip_prefix(KIND)?.strip_prefix(name)? {
        "" => Some(None),
        rest => rest.strip_prefix(':').map(Some),
    }
}

/// Whether an id that was recorded under the partition's name can be that of its file.
pub fn is_same(partition: &Partition, recorded: &str) -> bool {
    let [was, is] = [recorded, &partition.source_id].map(|id| hash_in(id, &partition.topic));
    match (was, is) {
        (Some(Some(was)), Some(Some(is))) => was == is,
        (was, is) => was.is_some() && is.is_some(),
    }
}

/// Refuses a file that begins otherwise than the one that was read under its name.
pub fn continues(partition: &Partition, path: &Path, recorded: &str) -> Result<(), FeedError> {
    let (name, path) = (&partition.topic, path.display());
    if is_same(partition, recorded) {
        return Ok(());
    }
    if hash_in(recorded, name).is_none() {
        return Err(OtherSource { partition, recorded, now: "a file" }.into());
    }
    Err(FeedError::fix(
        format!("file {path} is not the {name} that the lake has read: it begins with another record"),
        format!(
            "its records would be taken for those that were read: give it a name of its own, or `--path` of both files, or \
             read it into a new lake with another `--warehouse`; if {name} was replaced, put the one that was read back"
        ),
    ))
}
