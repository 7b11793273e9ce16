//! A recorded frame: what a connector received, with when and from where, on one line of text.
//!
//! ```text
//!   1736142367123456789 ⇥ 1501-json-full ⇥ {"MessageCode":1501,…}
//!   received, ns         origin            the frame as it came
//!   1736142367123456789 ⇥ junkhex        ⇥ 0400ff0a
//!                         origin and mark   one that is no text, in hex digits
//! ```
//!
//! A frame with a line end or with bytes that are no UTF-8 stands in hex digits, and [`HEX`] behind its origin tells so. The
//! bridge's topics do without the mark: their frames are never text.
//!
//! Why on the line: a frame alone does not say when it was received, and some feeds name the instrument only beside it (an
//! MQTT topic). In Kafka the same three things are a record's headers and value, see [`Envelope`]; a record without the
//! header [`ORIGIN`] may be a line, so that a recorded file poured into a topic means what it says.

use std::borrow::Cow;
use std::fmt::Write;
use ticktide_base::time::Nanos;

/// The header with the receive time: digits of ns since 1970; empty: nobody knows, and the broker's time does not tell.
pub const RECEIVED_AT: &str = "received_at";
/// The header with where a frame came from: a socket's event, an MQTT topic.
pub const ORIGIN: &str = "origin";

/// Stands behind the origin of a frame that is written in hex digits.
const HEX: &[u8] = b"hex";

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// `None`: the line does not say.
    pub received_at: Option<Nanos>,
    /// Without the mark of hex digits.
    pub origin: &'a [u8],
    /// As it came; of the bridge's topics still in hex digits.
    pub frame: Cow<'a, [u8]>,
}

/// Takes a line apart; `None`: it is no recorded line but, perhaps, a bare frame.
///
/// ```
/// use ticktide_feed::wire::recorded::{parse, Recorded};
/// let expected = Recorded { received_at: Some(12), origin: b"1501-json-full", frame: b"{}".into() };
/// assert_eq!(parse(b"12\t1501-json-full\t{}"), Some(expected));
/// assert_eq!(parse(b"12\tjunkhex\t00ff"), Some(Recorded { received_at: Some(12), origin: b"junk", frame: b"\x00\xff".into() }));
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
    let (origin, frame) = (&rest[..second], &rest[second + 1..]);
    let marked = origin.strip_suffix(HEX).and_then(|origin| Some((origin, unhex(frame)?)));
    Some(match marked {
        Some((origin, frame)) => Recorded { received_at, origin, frame: frame.into() },
        None => Recorded { received_at, origin, frame: frame.into() },
    })
}

/// Whether a frame can stand on a line as it is.
pub fn is_text(frame: &[u8]) -> bool {
    !frame.iter().any(|byte| matches!(byte, b'\n' | b'\r')) && std::str::from_utf8(frame).is_ok()
}

/// Writes a line, with its end; a frame that is no text in hex digits.
pub fn write(line: &mut Vec<u8>, received_at: Option<Nanos>, origin: &[u8], frame: &[u8]) {
    if let Some(at) = received_at {
        line.extend_from_slice(at.to_string().as_bytes());
    }
    line.push(b'\t');
    line.extend_from_slice(origin);
    // an origin that ends like the mark would be taken for one
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
            prop_assert_eq!(read, Recorded { received_at: at, origin: origin.as_bytes(), frame: frame.into() });
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
