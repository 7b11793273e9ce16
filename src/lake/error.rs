//! The lake's errors, and what to do about each.
//!
//! A store or catalog error says whether the operation *definitely failed* or is *perhaps done*. Only after the second kind
//! must the outcome be looked up before anything is repeated (L3).

use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Classified, Kind};

#[derive(Clone, Debug, thiserror::Error)]
pub enum LakeError {
    /// The object store failed; `perhaps`: the operation may have landed.
    #[error("{operation} {key} {outcome}: {cause}", outcome = outcome(*perhaps))]
    Store { operation: &'static str, key: String, perhaps: bool, cause: String, full: bool },
    /// The object does not exist.
    #[error("{key} is missing in the store")]
    Missing { key: String },
    /// The catalog failed; `perhaps`: the operation may have landed.
    #[error("catalog: {operation} {outcome}: {cause}", outcome = outcome(*perhaps))]
    Catalog { operation: &'static str, perhaps: bool, cause: String, busy: bool },
    /// A higher generation took over the log (L5).
    #[error("epoch {epoch} was decided by generation {theirs}, this run is generation {ours}")]
    Fenced { epoch: Epoch, ours: u64, theirs: u64 },
    /// Records would be lost or counted twice: the epoch must not be decided.
    #[error("epoch {epoch}, {place}: {detail}")]
    Unbalanced { epoch: Epoch, place: String, detail: String },
    /// Committed data is not what it should be.
    #[error("{message}")]
    Corrupt { message: String, hint: String },
    /// A flag, file or folder that the user must correct.
    #[error("{message}")]
    Fix { message: String, hint: String },
    /// The caller broke a contract of this crate.
    #[error("{0}")]
    Bug(String),
    #[error("{context}: {cause}")]
    Format { context: String, cause: String },
}

fn outcome(perhaps: bool) -> &'static str {
    if perhaps { "is perhaps done" } else { "failed" }
}

impl LakeError {
    pub(crate) fn io(operation: &'static str, key: &str, perhaps: bool, cause: &std::io::Error) -> LakeError {
        if cause.kind() == std::io::ErrorKind::NotFound {
            return LakeError::Missing { key: key.to_owned() };
        }
        let full = matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        LakeError::Store { operation, key: key.to_owned(), perhaps, cause: cause.to_string(), full }
    }

    pub(crate) fn format(context: impl Into<String>, cause: impl std::fmt::Display) -> LakeError {
        LakeError::Format { context: context.into(), cause: cause.to_string() }
    }

    pub(crate) fn corrupt(message: impl Into<String>, hint: impl Into<String>) -> LakeError {
        LakeError::Corrupt { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn fix(message: impl Into<String>, hint: impl Into<String>) -> LakeError {
        LakeError::Fix { message: message.into(), hint: hint.into() }
    }

    /// Whether the operation may have landed although it answered with an error (L3).
    pub fn perhaps_done(&self) -> bool {
        matches!(self, LakeError::Store { perhaps: true, .. } | LakeError::Catalog { perhaps: true, .. })
    }
}

impl Classified for LakeError {
    fn kind(&self) -> Kind {
        match self {
            LakeError::Store { full: true, .. } | LakeError::Fix { .. } => Kind::Fix,
            LakeError::Store { .. } | LakeError::Catalog { .. } => Kind::Retry,
            LakeError::Fenced { .. } => Kind::Fenced,
            LakeError::Missing { .. } | LakeError::Corrupt { .. } | LakeError::Format { .. } => Kind::Corrupt,
            LakeError::Unbalanced { .. } | LakeError::Bug(_) => Kind::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LakeError::Store { full: true, .. } => Some("free space on the warehouse's disk, then start again".into()),
            LakeError::Store { .. } => {
                Some("check that the warehouse is reachable (disk, network, permissions), then start again".into())
            }
            LakeError::Catalog { busy: true, .. } => {
                Some("another process has catalog.db locked: end that process, then start again".into())
            }
            LakeError::Catalog { .. } => Some("check that the catalog is reachable, then start again".into()),
            LakeError::Fenced { .. } => {
                Some("another process runs this dataflow into the same lake: stop one of the two".into())
            }
            LakeError::Missing { .. } | LakeError::Format { .. } => {
                Some("run `ticktide lake doctor`; do not delete or move files of a lake by hand".into())
            }
            LakeError::Corrupt { hint, .. } | LakeError::Fix { hint, .. } => Some(hint.clone()),
            LakeError::Unbalanced { .. } => {
                Some("nothing was committed: keep the log output of this run and report it".into())
            }
            LakeError::Bug(_) => None,
        }
    }
}

impl From<::iceberg::Error> for LakeError {
    /// A `LakeError` of ticktide's own storage that passed through iceberg comes out as it went in.
    fn from(error: ::iceberg::Error) -> LakeError {
        let ours = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<LakeError>());
        if let Some(ours) = ours {
            return ours.clone();
        }
        LakeError::Format { context: "iceberg".into(), cause: error.to_string() }
    }
}

impl From<arrow::error::ArrowError> for LakeError {
    fn from(error: arrow::error::ArrowError) -> LakeError {
        LakeError::Format { context: "arrow".into(), cause: error.to_string() }
    }
}

impl From<parquet::errors::ParquetError> for LakeError {
    fn from(error: parquet::errors::ParquetError) -> LakeError {
        LakeError::Format { context: "parquet".into(), cause: error.to_string() }
    }
}
