//! Wire formats: the bytes of one record → a [`Tick`] or a [`Reject`].
//!
//! One file per format, one row per format in [`FORMATS`]. Why a reject is a value and not an error: a bad record is data, it
//! goes to the quarantine with its bytes and the stream continues. What must always hold: any bytes give exactly one tick or
//! one reject that carries them; nothing panics; prices and quantities come from their digits, never through floats.

mod bridge;
mod csv;
mod json;
mod problem;
mod quote;
mod record;
pub mod recorded;
mod times;
pub mod xts;
mod xts_json;
mod xts_partial;

use crate::{FeedError, InstrumentTable, Reject, WireSpec};
pub use bridge::address as bridge_address;
pub use problem::{IGNORED, RecordProblem};
pub use record::{FIELDS, FieldDoc, FieldSource, Has, Surrounding, TextPattern};
use recorded::Envelope;
use ticktide_base::error::nearest;
use ticktide_base::registry::{Entry, Family};
use ticktide_base::time::Nanos;
use ticktide_market::Tick;

/// A record as its source delivers it.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    pub payload: &'a [u8],
    pub offset: i64,
    /// When the broker received it, if known.
    pub received_at: Option<Nanos>,
    /// Whether the broker itself set that time, and not the producer.
    pub witnessed: bool,
    /// What surrounds the payload; empty unless [`Decoder::wants_envelope`].
    pub envelope: Envelope<'a>,
}

impl<'a> RawRecord<'a> {
    /// A record of which only the payload is known.
    pub fn of(payload: &'a [u8]) -> RawRecord<'a> {
        RawRecord::new(payload, 0, None)
    }

    /// A record without an envelope.
    pub fn new(payload: &'a [u8], offset: i64, received_at: Option<Nanos>) -> RawRecord<'a> {
        RawRecord { payload, offset, received_at, witnessed: false, envelope: Envelope::default() }
    }

    /// When it was received: the envelope's time takes precedence over the broker's.
    pub fn received_at(&self) -> Option<Nanos> {
        self.envelope.received_at(self.received_at)
    }

    /// Whether the receive time is from an independent witness, the broker or ticktide's connector, and not from the producer.
    #[inline]
    pub fn is_witnessed(&self) -> bool {
        self.witnessed || self.envelope.received_at(None).is_some()
    }
}

/// Turns the records of one reader into ticks. It may keep caches between records (interned texts), but nothing that changes
/// what a record means.
pub trait Decoder: Send {
    /// The tick of a record, or what is wrong with it. The table learns an instrument only from a record that became a tick.
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem>;

    /// The tick of a record, or the reject that keeps the record.
    fn decode(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, Reject> {
        let mut tick = self.tick(record, instruments).map_err(|problem| problem.reject(record))?;
        // a receive time inside the record is the producer's claim
        tick.witnessed |= record.is_witnessed() && tick.received_at == record.received_at();
        Ok(tick)
    }

    /// Whether it reads the envelope of a record.
    fn wants_envelope(&self) -> bool {
        false
    }

    /// The headers of a Kafka record that it reads.
    fn headers(&self) -> &[String] {
        &[]
    }

    /// If this first line of a file is a header that names the fields of the records: the decoder for that file.
    fn header(&self, _first: &[u8]) -> Option<Box<dyn Decoder>> {
        None
    }

    /// A record's fields for people, each with its name; a value of `None`: the record lacks the field. `None` as a whole: the
    /// record names its fields itself, or has none.
    fn named(&self, _payload: &[u8]) -> Option<Vec<(String, Option<String>)>> {
        None
    }

    /// Whether a record that decodes is complete: no longer line that begins with it would decode.
    fn ends_itself(&self) -> bool {
        true
    }
}

/// A wire format: a row of [`FORMATS`].
pub struct Format {
    /// The value of `wire = "…"`.
    pub name: &'static str,
    /// One line for `list formats`.
    pub doc: &'static str,
    /// A decoder for a dataflow's settings; errors: an unknown field name.
    pub build: fn(&WireSpec) -> Result<Box<dyn Decoder>, FeedError>,
    /// A record that it decodes without a mapping.
    pub example: &'static [u8],
}

/// Every wire format; a program may add its own.
pub static FORMATS: Family<Format> = Family::new(
    "wire format",
    &[
        &json::FORMAT, //
        &csv::FORMAT,
        &xts_json::FORMAT,
        &xts_partial::FORMAT,
        &bridge::FORMAT,
    ],
);

impl Entry for Format {
    fn name(&self) -> &'static str {
        self.name
    }
}

/// The decoder that a dataflow's `wire` and `fields` describe.
pub fn build(spec: &WireSpec) -> Result<Box<dyn Decoder>, FeedError> {
    match FORMATS.find(&spec.format) {
        Some(format) => (format.build)(spec),
        None => {
            let names = FORMATS.names();
            let hint = match nearest(&spec.format, &names) {
                Some(name) => format!("did you mean `wire = \"{name}\"`? known formats are: {}", names.join(", ")),
                None => format!("set `wire` to one of: {}", names.join(", ")),
            };
            Err(FeedError::fix(format!("wire format \"{}\" does not exist", spec.format), hint))
        }
    }
}

/// Checks the settings of a format whose records name their fields; errors: settings that make sense only for columns.
fn no_columns(spec: &WireSpec) -> Result<(), FeedError> {
    let found = [("columns", !spec.columns.is_empty()), ("delimiter", spec.delimiter.is_some())];
    match found.into_iter().find(|(_, set)| *set) {
        None => Ok(()),
        Some((key, _)) => {
            let hint = format!("remove `{key}`, or set `wire = \"csv\"`");
            Err(FeedError::fix(format!("`{key}` is set, but wire {} has no columns", spec.format), hint))
        }
    }
}

/// The formats that decode at least one of some payloads without a mapping: advice for a user whose records are rejected.
pub fn formats_that_decode(payloads: &[&[u8]]) -> Vec<&'static str> {
    let decodes = |format: &&Format| {
        let Ok(mut decoder) = (format.build)(&WireSpec { format: format.name.into(), ..WireSpec::default() }) else {
            return false;
        };
        payloads.iter().any(|payload| match decoder.header(payload) {
            Some(own) => {
                decoder = own;
                false
            }
            None => decoder.decode(&RawRecord::of(payload), &mut InstrumentTable::default()).is_ok(),
        })
    };
    FORMATS.iter().filter(decodes).map(|format| format.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_format_decodes_its_example_and_is_documented() {
        for format in FORMATS.iter() {
            let spec = WireSpec { format: format.name.into(), ..WireSpec::default() };
            let mut decoder = build(&spec).expect("a listed format builds");
            decoder.decode(&RawRecord::of(format.example), &mut InstrumentTable::default()).expect(format.name);
            assert!(!format.doc.is_empty());
            assert_eq!(formats_that_decode(&[b"junk", format.example]), [format.name]);
        }
    }

    #[test]
    fn a_header_among_the_payloads_tells_what_the_others_are() {
        let payloads: [&[u8]; 2] = [b"quantity,price,time,symbol", b"1,2,1700000000,A"];
        assert_eq!(formats_that_decode(&payloads), ["csv"]);
        assert_eq!(formats_that_decode(&payloads[1..]), [""; 0]);
    }

    #[test]
    fn columns_are_refused_where_records_name_their_fields() {
        let spec = WireSpec { format: "json".into(), delimiter: Some(b';'), ..WireSpec::default() };
        let Err(FeedError::Fix { message, hint }) = build(&spec) else { panic!("json has no columns") };
        assert_eq!(message, "`delimiter` is set, but wire json has no columns");
        assert!(hint.contains("set `wire = \"csv\"`"), "{hint}");
    }

    #[test]
    fn an_unknown_format_is_named_and_a_near_one_proposed() {
        let spec = WireSpec { format: "jsn".into(), ..WireSpec::default() };
        let Err(FeedError::Fix { message, hint }) = build(&spec) else { panic!("no such format") };
        assert!(message.contains("\"jsn\""), "{message}");
        assert!(hint.contains("did you mean `wire = \"json\"`"), "{hint}");
    }

    /// A decoder must answer any bytes with a tick or with a reject that holds exactly these bytes.
    fn answers(format: &Format, payload: &[u8]) -> Result<(), TestCaseError> {
        let mut decoder = (format.build)(&WireSpec::default()).expect("a listed format builds");
        let mut instruments = InstrumentTable::default();
        match decoder.decode(&RawRecord::new(payload, 7, Some(5)), &mut instruments) {
            Ok(tick) => prop_assert_eq!(tick.offset, 7),
            Err(reject) => {
                prop_assert_eq!(reject.offset, 7);
                prop_assert_eq!(reject.received_at, Some(5));
                prop_assert_eq!(reject.payload.as_slice(), payload);
                prop_assert!(!reject.reason.is_empty());
                prop_assert!(!reject.detail.is_empty());
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn random_bytes_become_a_tick_or_a_reject(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in FORMATS.iter() {
                answers(format, &bytes)?;
            }
        }

        #[test]
        fn a_damaged_record_becomes_a_tick_or_a_reject(
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6)
        ) {
            for format in FORMATS.iter() {
                let mut bytes = format.example.to_vec();
                for (at, byte, how) in &cuts {
                    if bytes.is_empty() {
                        break;
                    }
                    let at = at.index(bytes.len());
                    match how {
                        0 => bytes[at] = *byte,
                        1 => bytes.insert(at, *byte),
                        2 => drop(bytes.remove(at)),
                        _ => bytes.truncate(at),
                    }
                }
                answers(format, &bytes)?;
            }
        }
    }
}
