//! A feed's own words for what a record is: `types = { match = "trade", heartbeat = "ignore" }`.
//!
//! Why an order: a word that is named is meant before a pattern that it happens to fit, and of two patterns the first one in the
//! file. What must always hold: with a mapping, a word that nothing maps is an error, so that a new kind is never taken for a
//! trade.

use super::pattern::TextPattern;
use crate::{FeedError, RecordType};
use std::collections::HashMap;

/// Longer words are compared whole, never with patterns.
const WORD_MOST: usize = 256;

/// A mapping of a feed's words.
#[derive(Debug)]
pub struct Kinds {
    exact: HashMap<Box<str>, RecordType, ahash::RandomState>,
    patterns: Vec<(TextPattern, RecordType)>,
    /// What a record without a word is, if the mapping says so.
    pub absent: Option<RecordType>,
}

impl Kinds {
    /// Compiles a mapping, in the order of the file; errors: a pattern that cannot be read.
    pub fn new(types: &[(String, RecordType)]) -> Result<Kinds, FeedError> {
        let mut kinds = Kinds { exact: HashMap::default(), patterns: Vec::new(), absent: None };
        for (word, kind) in types {
            if word.is_empty() {
                kinds.absent = Some(*kind);
                continue;
            }
            if !word.contains('*') {
                kinds.exact.insert(word.as_str().into(), *kind);
                continue;
            }
            let pattern = TextPattern::new(word).map_err(|fault| {
                FeedError::fix(format!("`types` has {word:?}, {fault}"), "a `*` stands for any run of characters")
            })?;
            kinds.patterns.push((pattern, *kind));
        }
        Ok(kinds)
    }

    /// What a word means; `None`: nothing maps it.
    #[inline]
    pub fn of(&self, word: &str) -> Option<RecordType> {
        if let Some(kind) = self.exact.get(word) {
            return Some(*kind);
        }
        let fits = |pattern: &TextPattern| pattern.text() == "*" || (word.len() <= WORD_MOST && pattern.fits(word));
        self.patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, kind)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_market::TickKind;

    #[test]
    fn an_exact_word_goes_before_patterns_and_these_in_their_order() {
        let is = |kind| RecordType::Tick(kind);
        let types = [
            ("*@trade", is(TickKind::Trade)),
            ("btc@trade", RecordType::Ignored),
            ("*@t*", is(TickKind::Cancel)),
            ("", is(TickKind::Snapshot)),
            ("*", RecordType::Ignored),
        ];
        let kinds = Kinds::new(&types.map(|(word, kind)| (word.to_owned(), kind))).expect("valid");
        assert_eq!(kinds.of("eth@trade"), Some(is(TickKind::Trade)));
        assert_eq!(kinds.of("btc@trade"), Some(RecordType::Ignored));
        assert_eq!(kinds.of("eth@ticker"), Some(is(TickKind::Cancel)));
        assert_eq!(kinds.of(&"x".repeat(10_000)), Some(RecordType::Ignored));
        assert_eq!(kinds.absent, Some(is(TickKind::Snapshot)));
        let few = Kinds::new(&[("match".to_owned(), is(TickKind::Trade))]).expect("valid");
        assert_eq!((few.of("heartbeat"), few.absent), (None, None));
    }
}
