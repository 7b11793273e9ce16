//! A recorded frame: what a connector received, with when and from where, on one line of text.
//!
//! ```text
//!   1736142367123456789 ⇥ 1501-json-full ⇥ {"MessageCode":1501,…}
//!   received, ns         origin            the frame as it came; one that is no text in hex digits
//! ```
//!
//! Why on the line: a frame alone does not say when it was received, and some feeds name the instrument only beside it (an
//! MQTT topic). In Kafka the same three things are a record's headers and value, see [`Envelope`]; a record without the
//! header [`ORIGIN`] may be a line, so that a recorded file poured into a topic means what it says.

use crate::time::Nanos;
use std::fmt::Write;

/// The header with the receive time: digits of ns since 1970; empty: nobody knows, and the broker's time does not tell.
pub const RECEIVED_AT: &str = "received_at";
/// The header with where a frame came from: a socket's event, an MQTT topic.
pub const ORIGIN: &str = "origin";

/// What stands around a record's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub key: Option<&'a [u8]>,
    /// The header [`ORIGIN`].
    pub origin: Option<&'a [u8]>,
    /// The header [`RECEIVED_AT`].
    pub received_at: Option<&'a [u8]>,
}

impl Envelope<'_> {
    /// When the frame was received: the header's word goes before the broker's.
    pub fn received_at(&self, broker: Option<Nanos>) -> Option<Nanos> {
        match self.received_at {
            None => broker,
            Some(digits) => nanos(digits),
        }
    }
}

/// A line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// `None`: the line does not say.
    pub received_at: Option<Nanos>,
    pub origin: &'a [u8],
    pub frame: &'a [u8],
}

/// Takes a line apart; `None`: it is no recorded line but, perhaps, a bare frame.
///
/// ```
/// use ticktide::feed::wire::recorded::{parse, Recorded};
/// let expected = Recorded { received_at: Some(12), origin: b"1501-json-full", frame: b"{}" };
/// assert_eq!(parse(b"12\t1501-json-full\t{}"), Some(expected));
/// assert_eq!(parse(b"{}"), None);
/// ```
pub fn parse(line: &[u8]) -> Option<Recorded<'_>> {
    // a frame of text starts with no digits and a tab
    let first = line.iter().position(|byte| !byte.is_ascii_digit())?;
    if line[first] != b'\t' {
        return None;
    }
    let rest = &line[first + 1..];
    let second = rest.iter().position(|byte| *byte == b'\t')?;
    let origin = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    if second == 0 || !rest[..second].iter().all(origin) {
        return None; // white space before a bare frame
    }
    let received_at = match first {
        0 => None,
        _ => Some(nanos(&line[..first])?),
    };
    Some(Recorded { received_at, origin: &rest[..second], frame: &rest[second + 1..] })
}

/// Writes a line, with its end; the frame must be text without line ends, or hex digits of it.
pub fn write(line: &mut Vec<u8>, received_at: Option<Nanos>, origin: &[u8], frame: &[u8]) {
    if let Some(at) = received_at {
        line.extend_from_slice(at.to_string().as_bytes());
    }
    line.push(b'\t');
    line.extend_from_slice(origin);
    line.push(b'\t');
    line.extend_from_slice(frame);
    line.push(b'\n');
}

fn nanos(digits: &[u8]) -> Option<Nanos> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

/// Hex digits as bytes; `None`: they are none.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let half = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(half(*high)? << 4 | half(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_that_is_written_is_read_again(at in proptest::option::of(0..Nanos::MAX), frame in "[^\t\n]{0,40}") {
            let mut line = Vec::new();
            write(&mut line, at, b"origin", frame.as_bytes());
            prop_assert_eq!(line.pop(), Some(b'\n'));
            let read = parse(&line).expect("a recorded line");
            prop_assert_eq!(read, Recorded { received_at: at, origin: b"origin", frame: frame.as_bytes() });
        }

        #[test]
        fn bytes_survive_hex_digits_and_other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(unhex(hex(&bytes).as_bytes()), Some(bytes.clone()));
            let _ = unhex(&bytes);
        }
    }

    #[test]
    fn a_header_without_a_time_hides_the_brokers_and_white_space_is_no_envelope() {
        assert_eq!(parse(b"\t{\t\"MessageCode\":1501}"), None);
        let of = |header| Envelope { received_at: header, ..Envelope::default() }.received_at(Some(7));
        assert_eq!((of(None), of(Some(b"5")), of(Some(b""))), (Some(7), Some(5), None));
    }
}
