//! Keys and tokens: read again at each login, shown nowhere.
//!
//! A value `@FILE` is the content of the file, read when it is needed: a token replaced in its file is used from the next
//! connection on. What must always hold: every text from outside goes through [`Secrets::hide`] before it is printed or
//! produced, because servers tend to repeat what they were sent.

use super::trouble::Trouble;
use std::sync::{Arc, Mutex, PoisonError};
use ticktide_base::environment;

/// All secrets used so far, to be removed from texts.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Mutex<Vec<String>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// Shorter values occur in ordinary words.
const HIDDEN_FROM: usize = 4;

impl Secrets {
    /// The value of a variable, or of the file that it names; `None`: it is not set. Errors: the file cannot be read.
    pub fn optional(&self, variable: &'static str) -> Result<Option<String>, Trouble> {
        let Some(value) = environment::variable(variable) else { return Ok(None) };
        let value = match value.strip_prefix('@') {
            None => value,
            Some(path) => std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
                let message = format!("file {path} of {variable} cannot be read: {error}");
                Trouble::refused(message, "check the path and its permissions")
            })?,
        };
        self.remember(&value);
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// As [`Secrets::optional`]; a variable that is not set is an error.
    pub fn required(&self, variable: &'static str) -> Result<String, Trouble> {
        self.optional(variable)?.ok_or_else(|| {
            let hint = format!("set {variable} to the value, or to @FILE with the path of a file that holds it");
            Trouble::refused(format!("{variable} is not set or empty"), hint)
        })
    }

    /// Hides this secret, too, from now on.
    pub fn remember(&self, secret: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if secret.len() >= HIDDEN_FROM && !known.iter().any(|known| known == secret) {
            known.push(secret.to_owned());
            // the longest first: one may be a part of another
            known.sort_by_key(|known| std::cmp::Reverse(known.len()));
            known.truncate(64);
        }
    }

    /// A text without secrets, in one line of at most 300 letters.
    pub fn hide(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        let mut short: String = hidden.chars().take(300).map(plain).collect();
        if short.len() < hidden.len() {
            short.push('…');
        }
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_is_shown_without_the_secrets_in_it() {
        let secrets = Secrets::default();
        secrets.remember("key-1");
        secrets.remember("key-1-and-more");
        secrets.remember("abc");
        assert_eq!(secrets.hide("no key-1-and-more,\nno key-1, abc"), "no ***, no ***, abc");
        assert_eq!(secrets.hide(&"x".repeat(1000)).chars().count(), 301);
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }
}
