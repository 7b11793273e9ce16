//! Which catalog `--catalog` names, and how it is opened.
//!
//! What must hold: the password of an address appears in no text of this module and is stored nowhere.

use super::Catalog;
use super::sql::{PostgresCatalog, SqliteCatalog};
use crate::error::LakeError;
use crate::store::warehouse::Warehouse;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A catalog's address.
#[derive(Clone, PartialEq, Eq)]
pub enum CatalogPlace {
    Sqlite(PathBuf),
    /// The whole address, which may contain a password.
    Postgres(String),
    /// `region: None`: the environment's region; `database: None`: the database named like the namespace.
    Glue {
        region: Option<String>,
        database: Option<String>,
    },
}

/// The hint with the supported kinds.
const KINDS: &str = "write `--catalog sqlite:PATH`, `postgres://USER@HOST/DATABASE`, or `glue` (`glue://REGION/DATABASE`); a folder needs none";

impl fmt::Display for CatalogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogPlace::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            CatalogPlace::Postgres(address) => f.write_str(&masked(address)),
            CatalogPlace::Glue { region: None, database: None } => f.write_str("glue"),
            CatalogPlace::Glue { region, database } => {
                write!(f, "glue://{}", region.as_deref().unwrap_or_default())?;
                database.iter().try_for_each(|database| write!(f, "/{database}"))
            }
        }
    }
}

impl fmt::Debug for CatalogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address without possible passwords: the text between the user's name and the host, and `password` parameters after `?`.
fn masked(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:***@"),
        None => format!("{user}@"),
    });
    let names = parameters.map(|text| {
        let shown = text.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{}{host}{}", user.unwrap_or_default(), names.unwrap_or_default())
}

impl CatalogPlace {
    /// Parses the value of `--catalog`. Error of kind `Fix`: a catalog of an unknown kind.
    pub fn parse(text: &str) -> Result<CatalogPlace, LakeError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // SQLite would open these in memory or as a temporary file
            if path.is_empty() || path == ":memory:" || path.starts_with("file:") {
                return Err(LakeError::fix(
                    format!("catalog {text:?} names no file: it would be gone when this process ends"),
                    "name a file: `--catalog sqlite:PATH`; a lake in a folder needs no `--catalog`",
                ));
            }
            return Ok(CatalogPlace::Sqlite(PathBuf::from(path)));
        }
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(CatalogPlace::Postgres(text.to_owned()));
        }
        if text == "glue" {
            return Ok(CatalogPlace::Glue { region: None, database: None });
        }
        if let Some(rest) = text.strip_prefix("glue://") {
            return glue(text, rest);
        }
        let message = if ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) {
            format!("catalog {:?}: REST catalogs are not supported", masked(text))
        } else {
            format!("catalog {:?} is of an unknown kind", masked(text))
        };
        Err(LakeError::fix(message, KINDS))
    }

    /// Whether commits are so expensive that epochs are longer by default: each table's commit takes several requests over
    /// the network, and the service meters them.
    pub fn is_dear(&self) -> bool {
        matches!(self, CatalogPlace::Glue { .. })
    }

    /// Opens the catalog of the lake in `warehouse`; `write` creates what it lacks. Errors of kind `Fix`: it does not exist,
    /// or this build does not support it.
    pub(crate) async fn open(
        &self,
        warehouse: &Warehouse,
        namespace: &str,
        write: bool,
    ) -> Result<Arc<dyn Catalog>, LakeError> {
        match self {
            CatalogPlace::Sqlite(file) => {
                look(file, write)?;
                Ok(Arc::new(SqliteCatalog::open(file, namespace, write).await?))
            }
            CatalogPlace::Postgres(address) => Ok(Arc::new(PostgresCatalog::open(address, namespace, write).await?)),
            CatalogPlace::Glue { region, database } => {
                let database = database.as_deref().unwrap_or(namespace);
                open_glue(warehouse, region.as_deref(), database, write).await
            }
        }
    }
}

/// Refuses a file that does not exist, or cannot be created.
fn look(file: &Path, write: bool) -> Result<(), LakeError> {
    if !write && !file.is_file() {
        return Err(LakeError::fix(
            format!("there is no catalog at {}", file.display()),
            "name the catalog that the lake was created with: `--catalog sqlite:PATH`",
        ));
    }
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(LakeError::fix(
            format!("the catalog {} cannot be created: {} is not a folder", file.display(), folder.display()),
            "create the folder, or name another file with `--catalog sqlite:PATH`",
        ));
    }
    Ok(())
}

/// Parses the part after `glue://`: a region, a database.
fn glue(text: &str, rest: &str) -> Result<CatalogPlace, LakeError> {
    let (region, database) = rest.split_once('/').unwrap_or((rest, ""));
    let of_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let of_database = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !region.bytes().all(of_region) || !database.bytes().all(of_database) || database.len() > 255 {
        return Err(LakeError::fix(
            format!("catalog {text:?} does not name a Glue database"),
            "write glue://REGION/DATABASE, e.g. glue://eu-central-1/market; a database name has only a-z, 0-9 and `_`, for Athena",
        ));
    }
    let given = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Ok(CatalogPlace::Glue { region: given(region), database: given(database) })
}

#[cfg(feature = "aws")]
async fn open_glue(
    warehouse: &Warehouse,
    region: Option<&str>,
    database: &str,
    write: bool,
) -> Result<Arc<dyn Catalog>, LakeError> {
    if let Some(folder) = warehouse.folder() {
        return Err(LakeError::fix(
            format!("the lake is in the folder {}, which the readers of Glue cannot read", folder.display()),
            "put the lake into a bucket (`--warehouse s3://…`), or leave out `--catalog`",
        ));
    }
    let store = warehouse.open_existing().await?;
    Ok(Arc::new(super::glue::GlueCatalog::open(store, region, database, write).await?))
}

#[cfg(not(feature = "aws"))]
async fn open_glue(_: &Warehouse, _: Option<&str>, database: &str, _: bool) -> Result<Arc<dyn Catalog>, LakeError> {
    Err(LakeError::fix(
        format!("this build cannot reach the Glue database {database:?}: it was built without support for Glue"),
        "build ticktide with `cargo build --release --features aws`, or use `--catalog sqlite:PATH` or `postgres://…`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::{Classified, Kind};

    #[test]
    fn a_catalog_is_a_file_a_postgres_or_a_database_of_glue_and_nothing_else() {
        let shown = |text: &str| CatalogPlace::parse(text).expect(text).to_string();
        for text in
            ["sqlite:/x/catalog.db", "postgres://db/lake", "glue", "glue://eu-central-1/market", "glue://eu-west-1"]
        {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("sqlite:///x/catalog.db"), "sqlite:/x/catalog.db");
        assert_eq!(shown("glue://"), "glue");
        for text in ["sqlite:", "sqlite://", "sqlite::memory:", "sqlite://:memory:", "sqlite:file::memory:"] {
            let error = CatalogPlace::parse(text).expect_err(text);
            assert!(error.kind() == Kind::Fix && error.to_string().contains("names no file"), "{text}: {error}");
        }
        for text in
            ["glue:x", "glue://Eu/market", "glue://eu-west-1/Market", "glue://eu-west-1/a/b", "https://h/x", "hive"]
        {
            let error = CatalogPlace::parse(text).expect_err(text);
            assert!(error.kind() == Kind::Fix && error.hint().is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        for text in [
            "postgres://ann:pass@wor@d@db:5432/lake?sslmode=prefer&password=passwd&application_name=x",
            "postgresql://ann:passwd@db/lake",
            "https://ann:passwd@catalog/x",
            "mysql://ann:passwd@db/lake",
        ] {
            let said = match CatalogPlace::parse(text) {
                Ok(place) => format!("{place} {place:?}"),
                Err(error) => format!("{error} {error:?} {:?}", error.hint()),
            };
            assert!(said.contains("ann:***@") && !said.contains("pass@") && !said.contains("passwd"), "{said}");
        }
    }

    #[test]
    fn epochs_are_longer_where_a_commit_is_dear() {
        let dear = |text: &str| CatalogPlace::parse(text).expect(text).is_dear();
        assert!(dear("glue") && dear("glue://eu-west-1/x") && !dear("sqlite:x") && !dear("postgres://db/lake"));
    }
}
