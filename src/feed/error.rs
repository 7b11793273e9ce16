//! What can go wrong between the outside and a tick, and who acts.
//!
//! Why a bad record is no error: it is data, and becomes a [`Reject`](crate::Reject). What must always hold: what the user can
//! mend has a hint with the next action.

use crate::Partition;
use ticktide_base::error::{Classified, Kind};

/// What can go wrong between the outside and a tick.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The user's file, flag, topic or broker.
    #[error("{message}")]
    Fix { message: String, hint: String },
    /// The outside is not there just now.
    #[error("{message}")]
    Unavailable { message: String },
    /// Nobody is there where the user says: a mistake, unless it has been there before.
    #[error("{message}")]
    Unanswered { message: String, hint: String },
    /// The outside has changed in a way that the next start takes in.
    #[error("{message}")]
    Changed { message: String, hint: String },
}

impl FeedError {
    /// The user's file, flag, topic or broker is wrong.
    pub fn fix(message: impl Into<String>, hint: impl Into<String>) -> FeedError {
        FeedError::Fix { message: message.into(), hint: hint.into() }
    }

    /// The outside is not there just now.
    pub fn unavailable(message: impl Into<String>) -> FeedError {
        FeedError::Unavailable { message: message.into() }
    }

    /// Nobody is there where the user says.
    pub fn unanswered(message: impl Into<String>, hint: impl Into<String>) -> FeedError {
        FeedError::Unanswered { message: message.into(), hint: hint.into() }
    }

    /// The outside has changed, and the next start takes that in.
    pub fn changed(message: impl Into<String>, hint: impl Into<String>) -> FeedError {
        FeedError::Changed { message: message.into(), hint: hint.into() }
    }
}

impl Classified for FeedError {
    fn kind(&self) -> Kind {
        match self {
            FeedError::Fix { .. } | FeedError::Unanswered { .. } => Kind::Fix,
            FeedError::Unavailable { .. } | FeedError::Changed { .. } => Kind::Retry,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            FeedError::Fix { hint, .. } | FeedError::Unanswered { hint, .. } | FeedError::Changed { hint, .. } => {
                Some(hint.clone())
            }
            FeedError::Unavailable { .. } => None,
        }
    }
}

/// A lake goes on with a partition that it has read from a source of another kind.
pub(crate) struct OtherSource<'a> {
    pub partition: &'a Partition,
    /// The lake's [`Partition::source_id`].
    pub recorded: &'a str,
    /// What the partition is now: "Kafka", "a file".
    pub now: &'static str,
}

impl From<OtherSource<'_>> for FeedError {
    fn from(fact: OtherSource<'_>) -> FeedError {
        let OtherSource { partition, recorded, now } = fact;
        FeedError::fix(
            format!("partition {}: the lake has read it from {recorded}, not from {now}", partition.name()),
            "read the source that the lake was made from, or write to a new lake with another `--warehouse`",
        )
    }
}
