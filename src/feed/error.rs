//! What can go wrong between the outside and a tick, and who must act.
//!
//! Why a bad record is not an error: it is data, and becomes a [`Reject`](crate::Reject). What must always hold: an error that
//! the user can fix has a hint with the next action.

use crate::Partition;
use ticktide_base::error::{Classified, Kind};

/// What can go wrong between the outside and a tick.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The user must fix a file, a flag, a topic or a broker.
    #[error("{message}")]
    Fix { message: String, hint: String },
    /// The system outside is unavailable just now.
    #[error("{message}")]
    Unavailable { message: String },
    /// Nothing answers at the user's address: a mistake, unless it has answered before.
    #[error("{message}")]
    Unanswered { message: String, hint: String },
    /// The system outside has changed in a way that the next start handles.
    #[error("{message}")]
    Changed { message: String, hint: String },
}

impl FeedError {
    /// The user's file, flag, topic or broker is wrong.
    pub fn fix(message: impl Into<String>, hint: impl Into<String>) -> FeedError {
        FeedError::Fix { message: message.into(), hint: hint.into() }
    }

    /// The system outside is unavailable just now.
    pub fn unavailable(message: impl Into<String>) -> FeedError {
        FeedError::Unavailable { message: message.into() }
    }

    /// Nothing answers at the user's address.
    pub fn unanswered(message: impl Into<String>, hint: impl Into<String>) -> FeedError {
        FeedError::Unanswered { message: message.into(), hint: hint.into() }
    }

    /// The system outside has changed, and the next start handles the change.
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

/// The run continues a partition that the lake has read from a source of another kind.
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
