//! A record's bytes on their way to another process: as one run of bytes, not one by one.
//!
//! Why: serde writes a slice of `u8` element by element, and with `dedupe = "instrument"` or corrections every record crosses
//! with its payload: a quarter of a run's CPU in two processes went into these loops. What must always hold: bincode writes
//! both forms alike, so states of earlier runs stay readable.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;

pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Box<[u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Box<[u8]>, E> {
        Ok(bytes.into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Box<[u8]>, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Box<[u8]>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::bars::trades::RecordOrigin;

    #[test]
    fn a_payload_is_written_as_its_bytes_one_by_one_would_be_and_comes_back() {
        for payload in [&b""[..], b"\0\xff", &[7; 70_000]] {
            let place =
                RecordOrigin { partition: "t/0".into(), offset: 3, received_at: Some(9), payload: payload.into() };
            let bytes = bincode::serialize(&place).expect("plain values");
            assert_eq!(bytes, bincode::serialize(&("t/0", 3i64, Some(9i64), payload)).expect("one by one"));
            assert_eq!(bincode::deserialize::<RecordOrigin>(&bytes).expect("what was written"), place);
            for cut in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                assert!(bincode::deserialize::<RecordOrigin>(&bytes[..cut]).is_err(), "{cut}");
            }
            let json = serde_json::to_string(&place).expect("any format");
            assert_eq!(serde_json::from_str::<RecordOrigin>(&json).expect("as a list of numbers"), place);
        }
    }
}
