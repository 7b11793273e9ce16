//! Objects by name under a root: a local folder, or a bucket of S3 or of another store that speaks its protocol.
//!
//! Why our own trait: the log needs a create that fails when the name exists (`If-None-Match: *`), garbage collection needs
//! a listing, and tests need one place to inject faults. What must hold: L1, a name given to [`Store::create`] is created at
//! most once, by one of any number of racing callers; and what a call has confirmed survives a loss of power.

pub mod fileio;
mod folder;
mod meters;
pub(crate) mod patience;
mod probe;
pub(super) mod s3;
pub mod warehouse;

pub use folder::FolderStore;
pub use meters::{Meter, Operation, StoreMeters};
pub use probe::insist_on_conditions;
pub use s3::{S3Place, S3Store};

use super::error::LakeError;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// The outcome of a [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This call created the object.
    Won,
    /// The name was taken before: by this caller itself, if an earlier answer was lost (L3).
    Exists,
}

/// Objects by name; names are relative, with `/` between parts.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// The whole object. Error: [`LakeError::Missing`] if there is none.
    async fn get(&self, key: &str) -> Result<Bytes, LakeError>;
    /// Bytes `range` of the object.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        let bytes = self.get(key).await?;
        let (start, end) = (range.start as usize, range.end as usize);
        if start > end || end > bytes.len() {
            let cause = format!("bytes {start}..{end} of {}", bytes.len());
            return Err(LakeError::format(format!("read {key}"), cause));
        }
        Ok(bytes.slice(start..end))
    }
    /// Writes or replaces the object.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), LakeError>;
    /// Writes the object only if the name is free (`If-None-Match: *`).
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, LakeError>;
    /// All names that start with `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, LakeError>;
    /// Removes the object; one that does not exist is no error.
    async fn delete(&self, key: &str) -> Result<(), LakeError>;
    /// The object's size in bytes; `None` if it does not exist.
    async fn size(&self, key: &str) -> Result<Option<u64>, LakeError>;
    /// The names of files that interrupted writes left and that are never read: for [`Store::delete`].
    async fn leftovers(&self) -> Result<Vec<String>, LakeError> {
        Ok(Vec::new())
    }
    /// The address that catalogs, manifests and other engines use: `file:///ABS/key`, `s3://BUCKET/PREFIX/key`.
    fn location(&self, key: &str) -> String;
    /// The name for an address that [`Store::location`] returned; `None` if it is outside the store.
    fn key(&self, location: &str) -> Option<String> {
        let below = location.strip_prefix(self.location("").as_str())?;
        // the address of a neighbouring lake may begin like this one's
        (below.is_empty() || below.starts_with('/')).then(|| below.trim_start_matches('/').to_owned())
    }
    /// The figures of its requests, for a store that is reached over a network.
    fn meters(&self) -> Option<Arc<StoreMeters>> {
        None
    }
}
