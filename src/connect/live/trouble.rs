//! Why a connection ends, and what follows from it.
//!
//! What must always hold: only a user's mistake has a hint; everything else is tried again.

use super::outlet::Closed;
use std::time::Duration;
use ticktide_base::error::{Error, Kind};

/// Why a connection ended or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The user's mistake.
    #[error("{message}")]
    Refused { message: String, hint: String },
    /// The token is no longer valid.
    #[error("{0}")]
    Expired(String),
    /// The connection is given up for a new token.
    #[error("the token is renewed before it ends")]
    Renewal,
    /// The server wants to be called later.
    #[error("too many calls (429)")]
    Busy(Option<Duration>),
    /// The server failed, or the way to it.
    #[error("{0}")]
    Lost(String),
    /// Frames are no longer taken.
    #[error("frames are no longer taken")]
    Closed,
}

impl Trouble {
    /// The user's mistake.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Trouble {
        Trouble::Refused { message: message.into(), hint: hint.into() }
    }
}

impl From<Closed> for Trouble {
    fn from(_: Closed) -> Trouble {
        Trouble::Closed
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        let (kind, hint) = match &trouble {
            Trouble::Refused { hint, .. } => (Kind::Fix, Some(hint.clone())),
            _ => (Kind::Retry, None),
        };
        Error { kind, message: trouble.to_string(), hint }
    }
}
