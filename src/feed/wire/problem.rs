//! What is wrong with a record: a fixed word and a detail with the values.
//!
//! Why a value and not an error: a bad record is data, and goes to the quarantine with its bytes. What must always hold: a
//! reason is one of few words that a query can count by; a detail is short, whatever the record is.

use super::RawRecord;
use crate::Reject;
use std::borrow::Cow;
use std::fmt::Display;

/// What is wrong with a record.
#[derive(Debug)]
pub struct RecordProblem {
    pub reason: &'static str,
    pub detail: String,
}

impl RecordProblem {
    #[cold]
    pub fn new(reason: &'static str, detail: impl Display) -> RecordProblem {
        RecordProblem { reason, detail: detail.to_string() }
    }

    /// The unchanged record, with what is wrong with it.
    #[cold]
    pub fn reject(self, record: &RawRecord<'_>) -> Reject {
        let (offset, received_at, payload) = (record.offset, record.received_at(), record.payload.to_vec());
        Reject { offset, received_at, reason: self.reason, detail: self.detail, payload }
    }
}

/// The beginning of a text, for a message.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}
