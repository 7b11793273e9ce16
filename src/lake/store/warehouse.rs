//! Where a lake is: a folder or a prefix of a bucket, read once from what the user wrote.

use crate::catalog::{Catalog, CatalogPlace};
use crate::error::LakeError;
use crate::store::{FolderStore, S3Place, S3Store, Store, insist_on_conditions};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ticktide_base::environment::S3Settings;

/// A folder or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warehouse {
    Folder(PathBuf),
    S3(S3Place),
}

impl fmt::Display for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warehouse::Folder(folder) => write!(f, "{}", folder.display()),
            Warehouse::S3(place) => place.fmt(f),
        }
    }
}

impl From<&Path> for Warehouse {
    fn from(folder: &Path) -> Warehouse {
        Warehouse::Folder(folder.to_owned())
    }
}

impl From<&PathBuf> for Warehouse {
    fn from(folder: &PathBuf) -> Warehouse {
        Warehouse::Folder(folder.clone())
    }
}

impl From<PathBuf> for Warehouse {
    fn from(folder: PathBuf) -> Warehouse {
        Warehouse::Folder(folder)
    }
}

impl From<&Warehouse> for Warehouse {
    fn from(other: &Warehouse) -> Warehouse {
        other.clone()
    }
}

/// The mark of an address: `NAME://`.
const SCHEME: &str = "://";

impl Warehouse {
    /// Reads the value of `--warehouse`; `s3` says how a bucket is reached. Error of kind `Fix`: an address of another kind.
    pub fn parse(
        text: &str,
        s3: impl FnOnce() -> Result<S3Settings, ticktide_base::error::Error>,
    ) -> Result<Warehouse, ticktide_base::error::Error> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("s3://") {
            return Ok(Warehouse::S3(S3Place::parse(text, s3()?)?));
        }
        if text.trim().is_empty() {
            return Err(ticktide_base::error::Error::fix(
                format!("warehouse {text:?} names no folder"),
                "write a folder's path, or s3://BUCKET/PREFIX; without `--warehouse` it is ./lake",
            ));
        }
        if let Some(path) = text.strip_prefix("file://").filter(|path| path.starts_with('/')) {
            return Ok(Warehouse::Folder(PathBuf::from(path)));
        }
        if text.contains(SCHEME) {
            return Err(ticktide_base::error::Error::fix(
                format!("warehouse {text:?} is neither a folder nor an S3 address"),
                "write a folder's path, or s3://BUCKET/PREFIX (with TICKTIDE_S3_ENDPOINT for a store that is not Amazon's)",
            ));
        }
        Ok(Warehouse::Folder(PathBuf::from(text)))
    }

    /// Its full name: the same for the same warehouse, whatever the current folder.
    pub fn address(&self) -> String {
        match self {
            Warehouse::Folder(folder) => {
                let full = folder.canonicalize().or_else(|_| std::path::absolute(folder));
                full.unwrap_or_else(|_| folder.clone()).display().to_string()
            }
            Warehouse::S3(place) => place.to_string(),
        }
    }

    /// The folder; `None` for a bucket.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Warehouse::Folder(folder) => Some(folder),
            Warehouse::S3(_) => None,
        }
    }

    /// Opens it for writing: a folder is created, a bucket is probed (L8).
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, LakeError> {
        match self {
            Warehouse::Folder(folder) => Ok(Arc::new(FolderStore::open(folder)?)),
            Warehouse::S3(place) => {
                let store = S3Store::open(place).await?;
                insist_on_conditions(&store).await?;
                Ok(Arc::new(store))
            }
        }
    }

    /// Opens it for reading. Error of kind `Fix`: there is no such folder or bucket.
    pub(crate) async fn open_existing(&self) -> Result<Arc<dyn Store>, LakeError> {
        match self {
            Warehouse::Folder(folder) if !folder.is_dir() => Err(LakeError::fix(
                format!("there is no lake at {}", folder.display()),
                "name the folder of a lake with `--warehouse`, or make one with `ticktide run` or `ticktide demo`",
            )),
            Warehouse::Folder(folder) => Ok(Arc::new(FolderStore::open(folder)?)),
            Warehouse::S3(place) => Ok(Arc::new(S3Store::open(place).await?)),
        }
    }

    /// Opens the lake's catalog: the one that `--catalog` names, otherwise `catalog.db` in the folder. Errors of kind `Fix`:
    /// the catalog is of an unknown kind or does not exist, or a bucket has none.
    pub(crate) async fn catalog(
        &self,
        option: Option<&str>,
        namespace: &str,
        write: bool,
    ) -> Result<Arc<dyn Catalog>, LakeError> {
        let place = match (option, self) {
            (Some(text), _) => CatalogPlace::parse(text)?,
            (None, Warehouse::Folder(folder)) => CatalogPlace::Sqlite(folder.join("catalog.db")),
            (None, Warehouse::S3(place)) => {
                return Err(LakeError::fix(
                    format!("the lake at {place} has no catalog: a bucket cannot hold one"),
                    "name it with `--catalog glue`, `postgres://…` or `sqlite:PATH`; readers of the lake need the same",
                ));
            }
        };
        place.open(self, namespace, write).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::Kind;

    #[test]
    fn a_warehouse_is_a_folder_or_a_bucket_and_nothing_else() {
        let parse = |text: &str| Warehouse::parse(text, || Ok(S3Settings::default()));
        assert_eq!(parse("./lake").expect("a folder"), Warehouse::Folder("./lake".into()));
        assert_eq!(parse("file:///data/lake").expect("a folder"), Warehouse::Folder("/data/lake".into()));
        let bucket = parse("s3://bucket/market").expect("a bucket");
        assert_eq!((bucket.to_string().as_str(), bucket.folder()), ("s3://bucket/market", None));
        for text in ["", " ", "gs://bucket/x", "s3a://bucket/x", "https://bucket.s3.amazonaws.com/x", "file://lake"] {
            let error = parse(text).expect_err(text);
            assert!(error.kind == Kind::Fix && error.hint.is_some(), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_lake_in_a_bucket_needs_a_catalog_that_is_named() {
        let bucket = Warehouse::S3(S3Place::parse("s3://bucket/x", S3Settings::default()).expect("an address"));
        let error = bucket.catalog(None, "market", true).await.expect_err("none");
        assert!(error.to_string().contains("s3://bucket/x"), "{error}");
        for name in ["sqlite:/no/such/folder/catalog.db", "hive"] {
            assert!(matches!(bucket.catalog(Some(name), "market", true).await, Err(LakeError::Fix { .. })), "{name}");
        }
    }
}
