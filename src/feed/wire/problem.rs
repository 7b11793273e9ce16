//! What is wrong with a record: a fixed word and a detail with the values.
//!
//! Why a value and not an error: a bad record is data, and goes to the quarantine with its bytes. What must always hold: a
//! reason is one of few words that a query can count by; a detail is short, whatever the record is.

use super::RawRecord;
use crate::Reject;
use std::borrow::Cow;
use std::fmt::Display;

/// Not a reason of the quarantine: its record is ignored, and the detail is the word that it is counted under.
pub const IGNORED: &str = "ignored";

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

    /// A record of a kind that the dataflow ignores: not refused, only counted, under the feed's word for it.
    #[cold]
    pub fn ignored(word: &str) -> RecordProblem {
        RecordProblem::new(IGNORED, shorten(word))
    }

    /// The unchanged record, with what is wrong with it.
    #[cold]
    pub fn reject(self, record: &RawRecord<'_>) -> Reject {
        let payload = if self.reason == IGNORED { Vec::new() } else { record.payload.to_vec() };
        let (offset, received_at) = (record.offset, record.received_at());
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
