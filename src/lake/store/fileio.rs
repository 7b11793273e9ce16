//! iceberg's reads and writes over our [`Store`]: one client, one place for faults, no second storage library.
//!
//! iceberg names files by their whole address; the store by the part below its root. A factory that was serialized and
//! read back has no store: it answers with an error.

use crate::error::LakeError;
use crate::store::Store;
use ::iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use ::iceberg::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// iceberg's view of a store.
pub fn file_io(store: Arc<dyn Store>) -> FileIO {
    FileIOBuilder::new(Arc::new(LakeStorage { store: Some(store) })).build()
}

/// Both the factory and the storage; it holds nothing but the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LakeStorage {
    #[serde(skip)]
    store: Option<Arc<dyn Store>>,
}

fn foreign(error: LakeError) -> Error {
    let kind = if matches!(error, LakeError::Missing { .. }) { ErrorKind::DataInvalid } else { ErrorKind::Unexpected };
    Error::new(kind, error.to_string()).with_source(error)
}

impl LakeStorage {
    fn resolve(&self, location: &str) -> Result<(Arc<dyn Store>, String)> {
        let store = self.store.clone().ok_or_else(|| Error::new(ErrorKind::Unexpected, "storage without a store"))?;
        let key = store.key(location).ok_or_else(|| {
            Error::new(ErrorKind::DataInvalid, format!("{location} is outside the lake at {}", store.location("")))
        })?;
        Ok((store, key))
    }
}

#[typetag::serde(name = "ticktide")]
impl StorageFactory for LakeStorage {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "ticktide")]
impl Storage for LakeStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        let (store, key) = self.resolve(path)?;
        Ok(store.size(&key).await.map_err(foreign)?.is_some())
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let (store, key) = self.resolve(path)?;
        let size = store.size(&key).await.map_err(foreign)?;
        let size = size.ok_or_else(|| foreign(LakeError::Missing { key }))?;
        Ok(FileMetadata { size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let (store, key) = self.resolve(path)?;
        store.get(&key).await.map_err(foreign)
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let (store, key) = self.resolve(path)?;
        Ok(Box::new(Reader { store, key }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        let (store, key) = self.resolve(path)?;
        store.put(&key, bytes).await.map_err(foreign)
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let (store, key) = self.resolve(path)?;
        Ok(Box::new(Writer { store, key, buffer: Some(BytesMut::new()) }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let (store, key) = self.resolve(path)?;
        store.delete(&key).await.map_err(foreign)
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let (store, key) = self.resolve(path)?;
        for found in store.list(&format!("{}/", key.trim_end_matches('/'))).await.map_err(foreign)? {
            store.delete(&found).await.map_err(foreign)?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            Storage::delete(self, &path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct Reader {
    store: Arc<dyn Store>,
    key: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.store.get_range(&self.key, range).await.map_err(foreign)
    }
}

/// Collects a file and writes it whole when it is closed: half a file never has a name.
struct Writer {
    store: Arc<dyn Store>,
    key: String,
    buffer: Option<BytesMut>,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let closed = || Error::new(ErrorKind::DataInvalid, "write to a closed file");
        self.buffer.as_mut().ok_or_else(closed)?.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let closed = || Error::new(ErrorKind::DataInvalid, "a file is closed twice");
        let bytes = self.buffer.take().ok_or_else(closed)?.freeze();
        self.store.put(&self.key, bytes).await.map_err(foreign)
    }
}
