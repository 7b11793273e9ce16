//! A family of entries that a dataflow names: indicators, checks, wire formats, sources.
//!
//! ```text
//!   built in (a table in the source) ─┬─▶ Family ─▶ find, list, "did you mean", reference pages
//!   added (once, by a program) ───────┘
//! ```
//!
//! Why additions are possible: a program that embeds ticktide brings its own indicator without a copy of the source. Why once,
//! and before the first lookup: then every dataflow of a process is read with the same names. What must always hold: the
//! built-in entries come first and in their order; each name occurs once; a family does not change after its first lookup.

use crate::error::Error;
use std::sync::OnceLock;

/// An entry of a family: known by its name.
pub trait Entry: Sync + 'static {
    /// The name in a dataflow's file.
    fn name(&self) -> &'static str;

    /// What prevents its addition, apart from its name: the rest of a sentence that begins with the entry.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// All entries of one kind.
pub struct Family<T: 'static> {
    word: &'static str,
    built_in: &'static [&'static T],
    /// Set by an addition, or empty from the first lookup on.
    added: OnceLock<Vec<&'static T>>,
}

impl<T: Entry> Family<T> {
    /// A family of the built-in entries; `word` is what errors call an entry ("indicator").
    pub const fn new(word: &'static str, built_in: &'static [&'static T]) -> Family<T> {
        Family { word, built_in, added: OnceLock::new() }
    }

    /// What errors call an entry.
    pub fn word(&self) -> &'static str {
        self.word
    }

    /// The entries without any addition. This is not a lookup: additions are possible afterwards.
    pub fn built_in(&self) -> &'static [&'static T] {
        self.built_in
    }

    /// Every entry, the built-in ones first. From now on nothing can be added.
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + Clone + use<'_, T> {
        self.built_in.iter().copied().chain(self.added.get_or_init(Vec::new).iter().copied())
    }

    /// The entry of a name.
    pub fn find(&self, name: &str) -> Option<&'static T> {
        self.iter().find(|entry| entry.name() == name)
    }

    /// Every name, in the order of [`Family::iter`].
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(Entry::name).collect()
    }

    /// Whether all of these can be added. Errors of kind `Fix`: a taken or invalid name, an entry's fault, an earlier lookup.
    pub fn takes(&self, more: &[&'static T]) -> Result<(), Error> {
        let word = self.word;
        for (index, entry) in more.iter().enumerate() {
            let name = entry.name();
            let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter));
            if !is_name {
                let hint = "use lower-case letters, digits, `_` and `-`, a letter first";
                return Err(Error::fix(format!("{name:?} is not a valid name for the added {word}"), hint));
            }
            if self.built_in.iter().chain(&more[..index]).any(|other| other.name() == name) {
                return Err(Error::fix(format!("{word} {name:?} already exists"), "give yours another name"));
            }
            if let Some(fault) = entry.fault() {
                return Err(Error::fix(format!("{word} {name:?} {fault}"), "change its row"));
            }
        }
        if self.added.get().is_some() && !more.is_empty() {
            let message = format!("{word}s cannot be added any more: the registry is in use");
            return Err(Error::fix(
                message,
                "install one registry with all your entries, before the first dataflow is read",
            ));
        }
        Ok(())
    }

    /// Adds entries. Errors: as [`Family::takes`]; nothing is added then.
    pub fn add(&self, more: Vec<&'static T>) -> Result<(), Error> {
        self.takes(&more)?;
        let lost = |_| {
            Error::fix(format!("{}s were looked up while others were added", self.word), "install the registry first")
        };
        let none = more.is_empty();
        match self.added.set(more).map_err(lost) {
            Err(_) if none => Ok(()),
            added => added,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str, Option<&'static str>);

    impl Entry for Row {
        fn name(&self) -> &'static str {
            self.0
        }

        fn fault(&self) -> Option<String> {
            self.1.map(str::to_owned)
        }
    }

    static A: Row = Row("a", None);
    static B: Row = Row("b", None);
    static OWN: Row = Row("own_1", None);
    static LOUD: Row = Row("Own", None);
    static WRONG: Row = Row("own_2", Some("has two parameters of one name"));

    static BUILT_IN: &[&Row] = &[&A, &B];

    fn family() -> Family<Row> {
        Family::new("row", BUILT_IN)
    }

    #[test]
    fn what_is_added_stands_behind_what_is_built_in() {
        let family = family();
        family.add(vec![&OWN]).expect("a new name");
        assert_eq!(family.names(), ["a", "b", "own_1"]);
        assert!(family.find("own_1").is_some() && family.find("own_2").is_none());
        assert_eq!(family.built_in().len(), 2);
    }

    #[test]
    fn a_name_that_is_there_a_name_that_is_none_and_a_fault_are_refused_and_change_nothing() {
        for (more, said) in [
            (vec![&OWN, &A], r#"row "a" already exists"#),
            (vec![&OWN, &OWN], r#"row "own_1" already exists"#),
            (vec![&LOUD], r#""Own" is not a valid name for the added row"#),
            (vec![&WRONG], r#"row "own_2" has two parameters of one name"#),
        ] {
            let family = family();
            assert_eq!(family.add(more).expect_err("refused").message, said);
            family.add(vec![&OWN]).expect("nothing was added before");
        }
    }

    #[test]
    fn nothing_is_added_after_the_first_look_or_a_second_time() {
        let looked_at = family();
        assert_eq!(looked_at.iter().count(), 2);
        let error = looked_at.add(vec![&OWN]).expect_err("it was read");
        assert_eq!(error.message, "rows cannot be added any more: the registry is in use");
        assert_eq!(looked_at.names(), ["a", "b"]);
        let added_to = family();
        added_to.add(Vec::new()).expect("the first time");
        assert!(added_to.add(vec![&OWN]).is_err());
    }
}
