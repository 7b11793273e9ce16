//! A recorded frame: the bytes a connector received, with their receive time and origin, on one line of text.
//!
//! ```text
//!   1736142367123456789 ⇥ 1501-json-full ⇥ {"MessageCode":1501,…}
//!   received, ns         origin            the frame as received
//!   1736142367123456789 ⇥ junkhex        ⇥ 0400ff0a
//!                         origin and mark   a frame that is not text, in hex digits
//! ```
//!
//! A frame with a line end, or with bytes that are not UTF-8, is written in hex digits and marked by [`HEX`] after its origin.
//! The bridge's topics have no mark: their frames are never text.
//!
//! Why on the line: a frame alone does not contain its receive time, and some feeds name the instrument only outside it (in an
//! MQTT topic). In Kafka these three values are a record's headers and value, see [`Envelope`]. A record without the header
//! [`ORIGIN`] may be such a line, so that a recorded file that is produced into a topic keeps its meaning.

use std::borrow::Cow;
use std::fmt::Write;
use ticktide_base::time::Nanos;

/// The header with the receive time: digits of ns since 1970; empty: the time is unknown, and the broker's time is not it.
pub const RECEIVED_AT: &str = "received_at";
/// The header with the origin of a frame: a socket's event, an MQTT topic.
pub const ORIGIN: &str = "origin";

/// Follows the origin of a frame that is written in hex digits.
const HEX: &[u8] = b"hex";

/// What surrounds a record's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub key: Option<&'a [u8]>,
    /// The header [`ORIGIN`].
    pub origin: Option<&'a [u8]>,
    /// The header [`RECEIVED_AT`].
    pub received_at: Option<&'a [u8]>,
    /// The headers that the decoder asks for, in its order ([`super::Decoder::headers`]).
    pub headers: &'a [Option<&'a [u8]>],
    /// The Kafka topic and partition.
    pub topic: Option<&'a str>,
    pub partition: Option<i32>,
    /// The name of the file, without its folder and its endings.
    pub file: Option<&'a str>,
}

impl Envelope<'_> {
    /// When the frame was received: the header's time takes precedence over the broker's.
    pub fn received_at(&self, broker: Option<Nanos>) -> Option<Nanos> {
        match self.received_at {
            None => broker,
            Some(digits) => nanos(digits),
        }
    }
}

/// The parts of a recorded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFrame<'a> {
    /// `None`: the line has no receive time.
    pub received_at: Option<Nanos>,
    /// Without the mark of hex digits.
    pub origin: &'a [u8],
    /// As received; frames of the bridge's topics are still in hex digits.
    pub frame: Cow<'a, [u8]>,
}

/// Splits a line into its parts; `None`: it is not a recorded line but perhaps a bare frame.
///
/// ```
/// use ticktide_feed::wire::recorded::{parse, RecordedFrame};
/// let expected = RecordedFrame { received_at: Some(12), origin: b"1501-json-full", frame: b"{}".into() };
/// assert_eq!(parse(b"12\t1501-json-full\t{}"), Some(expected));
/// let marked = RecordedFrame { received_at: Some(12), origin: b"junk", frame: b"\x00\xff".into() };
/// assert_eq!(parse(b"12\tjunkhex\t00ff"), Some(marked));
/// assert_eq!(parse(b"{}"), None);
/// ```
pub fn parse(line: &[u8]) -> Option<RecordedFrame<'_>> {
    // no frame of text starts with digits and a tab
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
    let (origin, frame) = (&rest[..second], &rest[second + 1..]);
    let marked = origin.strip_suffix(HEX).and_then(|origin| Some((origin, unhex(frame)?)));
    Some(match marked {
        Some((origin, frame)) => RecordedFrame { received_at, origin, frame: frame.into() },
        None => RecordedFrame { received_at, origin, frame: frame.into() },
    })
}

/// Whether a frame can be on a line unchanged.
pub fn is_text(frame: &[u8]) -> bool {
    !frame.iter().any(|byte| matches!(byte, b'\n' | b'\r')) && std::str::from_utf8(frame).is_ok()
}

/// Writes a line with its line end; a frame that is not text is written in hex digits.
pub fn write(line: &mut Vec<u8>, received_at: Option<Nanos>, origin: &[u8], frame: &[u8]) {
    if let Some(at) = received_at {
        line.extend_from_slice(at.to_string().as_bytes());
    }
    line.push(b'\t');
    line.extend_from_slice(origin);
    // an origin that ends like the mark would be mistaken for a mark
    if is_text(frame) && !origin.ends_with(HEX) {
        line.push(b'\t');
        line.extend_from_slice(frame);
    } else {
        line.extend_from_slice(HEX);
        line.push(b'\t');
        line.extend_from_slice(hex(frame).as_bytes());
    }
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

/// Hex digits as bytes; `None`: they are not hex digits.
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
        fn a_line_that_is_written_is_read_again_whatever_the_frame(
            at in proptest::option::of(0..Nanos::MAX),
            origin in "[a-z0-9/._-]{1,8}(hex){0,2}",
            frame in prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), "[0-9a-f\t\r\n]{0,8}".prop_map(String::into_bytes)],
        ) {
            let mut line = Vec::new();
            write(&mut line, at, origin.as_bytes(), &frame);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n') && std::str::from_utf8(&line).is_ok());
            let read = parse(&line).expect("a recorded line");
            prop_assert_eq!(read, RecordedFrame { received_at: at, origin: origin.as_bytes(), frame: frame.into() });
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
        let named = parse(b"5\tsome-hex\tno digits").expect("an origin that only ends like the mark");
        assert_eq!((named.origin, &*named.frame), (&b"some-hex"[..], &b"no digits"[..]));
        let of = |header| Envelope { received_at: header, ..Envelope::default() }.received_at(Some(7));
        assert_eq!((of(None), of(Some(b"5")), of(Some(b""))), (Some(7), Some(5), None));
    }
}
