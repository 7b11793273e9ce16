//! A message inside the event that a Socket.IO server sends: `42["1501-json-full","{\"MessageCode\":1501,…}"]`.
//!
//! The digits are the packet types of Engine.IO (4: a message) and Socket.IO (2: an event); connectors may omit them.

use super::fields::Fields;
use super::json;
use crate::wire::json::raw::{blank, string_end};
use crate::wire::problem::{RecordProblem, shorten};
use serde_json::value::RawValue;

/// The format of an event's argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `…-json-full`: an object.
    Json,
    /// `…-json-partial`: `k:v,k:v`.
    Partial,
}

/// The parts of an event's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventName<'a> {
    pub code: &'a str,
    pub form: Form,
}

/// Reads `<code>-json-full` or `<code>-json-partial`.
pub fn name(text: &str) -> Option<EventName<'_>> {
    let (code, form) = match text.strip_suffix("-json-full") {
        Some(code) => (code, Form::Json),
        None => (text.strip_suffix("-json-partial")?, Form::Partial),
    };
    let digits = (1..=5).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(EventName { code, form })
}

/// Whether a text looks like an event, not like a bare message.
#[inline]
pub fn is_event(text: &str) -> bool {
    text.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with('[')
}

/// Splits an event; its argument is put into `argument`. Errors: it is not an event with a message.
pub fn open<'a>(text: &'a str, argument: &mut String) -> Result<EventName<'a>, RecordProblem> {
    argument.clear();
    let bytes = text.as_bytes();
    let from = bytes.iter().position(|byte| *byte == b'[').unwrap_or(bytes.len());
    match plain(text, from, argument) {
        Some(found) => Ok(found),
        None => careful(text, &text[from..], argument),
    }
}

/// An event's name and the position of its argument, if the name is written without escapes.
fn head(text: &str, from: usize) -> Option<(EventName<'_>, usize)> {
    let bytes = text.as_bytes();
    let quote = blank(bytes, from + 1);
    if *bytes.get(quote)? != b'"' {
        return None;
    }
    let end = string_end(bytes, quote + 1)?;
    let found = name(text.get(quote + 1..end)?)?;
    let comma = blank(bytes, end + 1);
    (*bytes.get(comma)? == b',').then(|| (found, blank(bytes, comma + 1)))
}

/// Whether an event ends after its argument.
fn ends(bytes: &[u8], at: usize) -> bool {
    let close = blank(bytes, at);
    bytes.get(close) == Some(&b']') && blank(bytes, close + 1) == bytes.len()
}

/// Reads the usual event in place: full JSON in a string, whose only escapes are its quotes. `None`: [`open`] it and discard
/// `fields`.
#[inline]
pub fn read_inside<'a>(text: &'a str, fields: &mut Fields<'a>) -> Option<()> {
    let bytes = text.as_bytes();
    let from = bytes.iter().position(|byte| *byte == b'[')?;
    let (found, quote) = head(text, from)?;
    if found.form != Form::Json || *bytes.get(quote)? != b'"' {
        return None;
    }
    let end = json::parse_inside(text, quote + 1, fields)?;
    ends(bytes, end + 1).then_some(())
}

/// The usual event: a name without escapes, a string whose only escapes are quotes and backslashes.
fn plain<'a>(text: &'a str, from: usize, argument: &mut String) -> Option<EventName<'a>> {
    let bytes = text.as_bytes();
    let (found, quote) = head(text, from)?;
    if *bytes.get(quote)? != b'"' {
        return None;
    }
    let mut at = quote + 1;
    loop {
        let length = bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        argument.push_str(text.get(at..at + length)?);
        at += length;
        match (bytes[at], bytes.get(at + 1)?) {
            (b'"', _) => break,
            (b'\\', escaped @ (b'"' | b'\\' | b'/')) => argument.push(char::from(*escaped)),
            _ => return None,
        }
        at += 2;
    }
    ends(bytes, at + 1).then_some(found)
}

/// Any event, by serde_json.
#[cold]
fn careful<'a>(whole: &'a str, array: &'a str, argument: &mut String) -> Result<EventName<'a>, RecordProblem> {
    argument.clear();
    let not = |why: String| RecordProblem::new("not_an_event", format!("{why}: {}", shorten(whole)));
    let parts: Vec<&RawValue> =
        serde_json::from_str(array).map_err(|error| not(format!("no array of an event ({error})")))?;
    let [named, given] = parts[..] else {
        return Err(not(format!("{} parts, not a name and a message", parts.len())));
    };
    let text: &str =
        serde_json::from_str(named.get()).map_err(|_| not("the event's name is no plain string".to_owned()))?;
    let Some(found) = name(text) else {
        let detail =
            format!("event {} holds no message; those are CODE-json-full and CODE-json-partial", shorten(text));
        return Err(RecordProblem::new("unknown_event", detail));
    };
    match serde_json::from_str::<String>(given.get()) {
        Ok(inner) => argument.push_str(&inner),
        // a client library may have parsed the argument already
        Err(_) => argument.push_str(given.get()),
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::xts::samples;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_found_in_every_wrapping_of_its_event() {
        let message = r#"{"MessageCode":1501,"x":"a\\b"}"#;
        let quoted = serde_json::to_string(message).expect("a string");
        for (event, code) in [
            (format!("42[\"1501-json-full\",{quoted}]"), "1501"),
            (format!("[ \"1501-json-full\" , {quoted} ] "), "1501"),
            (format!("[\"1501-json-full\",{message}]"), "1501"),
            (format!("42[\"1501-json-full\",{}]", quoted.replace('M', "\\u004d")), "1501"),
        ] {
            let mut argument = String::new();
            assert!(is_event(&event));
            let Ok(found) = open(&event, &mut argument) else { panic!("{event}") };
            assert_eq!((found.code, found.form, argument.as_str()), (code, Form::Json, message));
        }
        let mut argument = String::new();
        let partial = open("42[\"1105-json-partial\",\"t:12_1,24:\\u0000\"]", &mut argument);
        assert!(partial.is_ok_and(|found| found.form == Form::Partial) && argument == "t:12_1,24:\0");
    }

    #[test]
    fn other_events_and_control_frames_are_refused_with_a_reason() {
        for (frame, reason) in [
            (r#"42["joined",{"type":"success"}]"#, "unknown_event"),
            (r#"42["xts-binary-packet",{"_placeholder":true,"num":0}]"#, "unknown_event"),
            (r#"42["1501-json-full"]"#, "not_an_event"),
            ("42[", "not_an_event"),
            ("[1,2]", "not_an_event"),
        ] {
            let Err(problem) = open(frame, &mut String::new()) else { panic!("{frame}") };
            assert_eq!(problem.reason, reason, "{frame}: {}", problem.detail);
        }
        assert!(!is_event("3") && !is_event("t:1_2"));
    }

    proptest! {
        #[test]
        fn an_event_read_where_it_stands_says_what_an_opened_one_says(
            message in 0..samples::JSON.len(),
            spaced in any::<bool>(),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[ \t\"{}:,.0-9a-zü\\[\\]\\\\/-]", 0..3u8), 0..3)
        ) {
            let given = serde_json::to_string(samples::JSON[message]).expect("a string");
            let event = if spaced { format!("42[ \"1501-json-full\" , {given} ] ") } else { format!("42[\"1501-json-full\",{given}]") };
            let mut letters: Vec<char> = event.chars().collect();
            for (at, letter, how) in &cuts {
                let (at, letter) = (at.index(letters.len()), letter.chars().next().expect("one"));
                match how {
                    0 => letters[at] = letter,
                    1 => letters.insert(at, letter),
                    _ => drop(letters.remove(at)),
                }
            }
            let event: String = letters.into_iter().collect();
            let (mut found, mut expected, mut argument) = (Fields::default(), Fields::default(), String::new());
            if read_inside(&event, &mut found).is_some() {
                let from = event.find('[').expect("an array");
                let opened = careful(&event, &event[from..], &mut argument);
                prop_assert!(opened.is_ok_and(|name| name.form == Form::Json), "{event}");
                prop_assert!(json::parse(&argument, &mut expected).is_ok(), "{event}");
                prop_assert!(found.says_the_same(&expected), "{event}");
            }
        }

        #[test]
        fn the_plain_way_reads_what_serde_json_reads(text in "[ -~\"\\\\]{0,40}") {
            let event = format!("42[\"1501-json-full\",{}]", serde_json::to_string(&text).expect("a string"));
            let (mut argument, mut expected) = (String::new(), String::new());
            if plain(&event, 2, &mut argument).is_some() {
                prop_assert!(careful(&event, &event[2..], &mut expected).is_ok());
                prop_assert_eq!(&argument, &expected);
                prop_assert_eq!(argument, text);
            }
        }
    }
}
