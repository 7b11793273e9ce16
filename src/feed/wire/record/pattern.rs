//! Patterns over short texts: `*` stands for any run of characters, one `{name}` for the part that is taken.
//!
//! Why not regular expressions: a name of a file or a topic has fixed parts and one that varies, and a pattern without escapes
//! is read right at first sight. What must always hold: the part that is taken is the shortest that lets the rest fit; a text
//! that does not fit gives nothing.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Any,
    Taken,
}

impl TextPattern {
    /// Reads a pattern. Errors, as the end of a sentence: a brace without its partner, more than one `{…}`.
    pub fn new(text: &str) -> Result<TextPattern, &'static str> {
        let (mut pieces, mut rest, mut taken) = (Vec::new(), text, 0);
        while let Some(first) = rest.chars().next() {
            match first {
                '*' => {
                    pieces.push(Piece::Any);
                    rest = &rest[1..];
                }
                '{' => {
                    let end = rest.find('}').ok_or("which has a { without its }")?;
                    pieces.push(Piece::Taken);
                    taken += 1;
                    rest = &rest[end + 1..];
                }
                '}' => return Err("which has a } without its {"),
                _ => {
                    let end = rest.find(['*', '{', '}']).unwrap_or(rest.len());
                    pieces.push(Piece::Fixed(rest[..end].to_owned()));
                    rest = &rest[end..];
                }
            }
        }
        match taken {
            0 | 1 => Ok(TextPattern { text: text.to_owned(), pieces }),
            _ => Err("which takes more than one part"),
        }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has a `{…}`.
    pub fn takes(&self) -> bool {
        self.pieces.contains(&Piece::Taken)
    }

    /// Whether it is a fixed text.
    pub fn is_exact(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Fixed(_)))
    }

    /// Whether the whole text fits.
    pub fn fits(&self, text: &str) -> bool {
        self.take(text).is_some()
    }

    /// The part of a text that `{…}` stands for; the whole text where the pattern has none. `None`: the text does not fit.
    pub fn take<'t>(&self, text: &'t str) -> Option<&'t str> {
        match fit(&self.pieces, text) {
            Some(Some(part)) => Some(part),
            Some(None) => Some(text),
            None => None,
        }
    }
}

/// Whether pieces fit a whole text, and what they take of it. Patterns are short, so trying each end costs little.
fn fit<'t>(pieces: &[Piece], text: &'t str) -> Option<Option<&'t str>> {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty().then_some(None) };
    match first {
        Piece::Fixed(fixed) => fit(rest, text.strip_prefix(fixed.as_str())?),
        Piece::Any => ends(text).find_map(|end| fit(rest, &text[end..])),
        Piece::Taken => ends(text).skip(1).find_map(|end| fit(rest, &text[end..]).map(|_| Some(&text[..end]))),
    }
}

/// Every position at which a text can be cut, the whole text last.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_the_shortest_part_that_fits() {
        for (pattern, text, expected) in [
            ("{symbol}-trades-*", "BTCUSDT-trades-2024-01", Some("BTCUSDT")),
            ("{s}-*", "a-b-c", Some("a")),
            ("*-{s}", "a-b-c", Some("b-c")),
            ("ticks.{}", "ticks.NSE", Some("NSE")),
            ("ticks.{}", "ticks.", None),
            ("ticks.{}", "trades.NSE", None),
            ("*@trade", "btcusdt@trade", Some("btcusdt@trade")),
            ("*@trade", "btcusdt@trades", None),
            ("trade", "trade", Some("trade")),
            ("*", "", Some("")),
            ("{x}é*", "é\u{e9}a", Some("é")),
        ] {
            assert_eq!(TextPattern::new(pattern).expect("valid").take(text), expected, "{pattern} of {text}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        for (pattern, why) in [("{a", "a { without"), ("a}", "a } without"), ("{a}{b}", "more than one")] {
            assert!(TextPattern::new(pattern).expect_err(pattern).contains(why), "{pattern}");
        }
    }
}
