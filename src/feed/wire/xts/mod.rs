//! XTS market data: what its messages mean, in full JSON (`xts-json`) and in partial text (`xts-partial`).
//!
//! ```text
//!   a record ─▶ [recorded line] ─▶ [event: 42["1501-json-full","…"]] ─▶ json | partial ─▶ Fields ─▶ message
//!                                                                                                      └─▶ Tick | RecordProblem
//! ```
//!
//! | code | is | becomes |
//! |---|---|---|
//! | 1501, 1502 | touchline; with depth | a snapshot: last price, cumulative volume, best quotes, the day's prices |
//! | 1504 | index | a snapshot without volume |
//! | 1512 | last price | a snapshot without volume and without the time of its last trade |
//! | 1510 | open interest | a snapshot with nothing else |
//! | 1505, 1507, 1105 | candle, market status, properties | a notice: counted, but no bar is made of it; 1105 has price bands |
//! | [a row of the master](master) | what an instrument is | a notice with a listing, of the day on which it was received |
//!
//! What must always hold: times are read as [`segments`] defines; a message whose time is more than a day from its receive time
//! is refused, because its epoch was misread; a price of a time before 1990 is refused; the sequence numbers are kept but never
//! trusted (one publisher repeats the same one all day).

mod event;
mod fields;
mod json;
mod master;
mod message;
mod partial;
#[cfg(test)]
pub mod samples;
pub mod segments;
#[cfg(test)]
mod tests;

use super::problem::{RecordProblem, shorten};
use super::recorded;
use super::{Decoder, RawRecord, no_columns};
use crate::{FeedError, InstrumentTable, WireSpec};
use event::Form;
use fields::Fields;
pub use segments::Segment;
use ticktide_base::rules::Rules;
use ticktide_market::Tick;

/// A decoder of one of the two wires. It reads an event in the form that the event's name gives; a bare message must be in the
/// decoder's own form.
pub struct XtsDecoder {
    form: Form,
    /// The message of an event, with its escapes resolved.
    argument: String,
    rules: Rules,
}

impl XtsDecoder {
    /// A decoder of full JSON. Errors: settings that the format cannot use.
    pub fn json(spec: &WireSpec) -> Result<XtsDecoder, FeedError> {
        XtsDecoder::new(spec, Form::Json)
    }

    /// A decoder of partial text. Errors: as [`XtsDecoder::json`].
    pub fn partial(spec: &WireSpec) -> Result<XtsDecoder, FeedError> {
        XtsDecoder::new(spec, Form::Partial)
    }

    fn new(spec: &WireSpec, form: Form) -> Result<XtsDecoder, FeedError> {
        no_columns(spec)?;
        no_fields(spec)?;
        Ok(XtsDecoder { form, argument: String::new(), rules: spec.rules })
    }
}

/// A row of an instrument master as text; `None`: the frame is something else.
fn master_row(frame: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(frame).ok()?.trim();
    master::is_row(text).then_some(text)
}

/// Checks the settings of a format whose fields are fixed; errors: a mapping of fields.
pub fn no_fields(spec: &WireSpec) -> Result<(), FeedError> {
    match spec.fields.keys().next() {
        None => Ok(()),
        Some(field) => {
            let message = format!("`fields` maps \"{field}\", but the fields of wire {} are fixed", spec.format);
            Err(FeedError::fix(message, "remove `fields`, or set `wire = \"json\"`"))
        }
    }
}

/// The fields of a frame. An event's name, inside the frame or as its origin, takes precedence over the form of bare frames.
#[inline]
fn read<'a>(
    frame: &'a [u8],
    origin: &'a [u8],
    bare: Form,
    argument: &'a mut String,
) -> Result<Fields<'a>, RecordProblem> {
    let whole = std::str::from_utf8(frame).map_err(|error| RecordProblem::new("not_utf8", error))?;
    let text = whole.trim();
    if text.is_empty() {
        return Err(RecordProblem::new("empty", "the record is empty"));
    }
    let is_event = event::is_event(text);
    let mut fields = Fields::default();
    if is_event && event::read_inside(text, &mut fields).is_some() {
        return Ok(fields);
    }
    let (text, form, code) = match is_event {
        false => match std::str::from_utf8(origin).ok().and_then(event::name) {
            None => (text, bare, None),
            Some(name) => (text, name.form, Some(name.code)),
        },
        true => {
            let name = event::open(text, argument)?;
            (argument.as_str(), name.form, Some(name.code))
        }
    };
    let mut fields = Fields::default();
    match form {
        Form::Json => json::parse(text, &mut fields).map_err(|error| not_json(text, &error))?,
        Form::Partial => {
            if let Some(code) = code {
                fields.default_code(code);
            }
            partial::parse(text, &mut fields)?;
        }
    }
    Ok(fields)
}

#[cold]
fn not_json(text: &str, error: &serde_json::Error) -> RecordProblem {
    match text.starts_with("t:") {
        true => RecordProblem::new("not_json", format!("partial text is read by wire xts-partial: {}", shorten(text))),
        false => RecordProblem::new("not_json", error),
    }
}

/// The code, venue and instrument of a frame, which decide its topic and key in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameAddress {
    /// `None`: the frame is a row of an instrument master.
    pub code: Option<u16>,
    pub venue: &'static str,
    pub instrument: u64,
}

/// The address of a frame, bare or in an event, with its origin if known; `None`: it is not a message of a known segment. Of a
/// row of a master only the columns of the address are read: its decoder reports what is wrong with the others.
///
/// ```
/// let frame = br#"42["1510-json-full","{\"MessageCode\":1510,\"ExchangeSegment\":2,\"ExchangeInstrumentID\":43423}"]"#;
/// let address = ticktide_feed::wire::xts::address(frame, b"").unwrap();
/// assert_eq!((address.code, address.venue, address.instrument), (Some(1510), "NSEFO", 43423));
/// ```
pub fn address(frame: &[u8], origin: &[u8]) -> Option<FrameAddress> {
    if let Some(row) = master_row(frame) {
        let (segment, instrument) = master::about(row)?;
        return Some(FrameAddress { code: None, venue: segment.venue, instrument });
    }
    let bare = if frame.trim_ascii_start().starts_with(b"{") { Form::Json } else { Form::Partial };
    let mut argument = String::new();
    let fields = read(frame, origin, bare, &mut argument).ok()?;
    let (code, segment, instrument) = message::about(&fields).ok()?;
    Some(FrameAddress { code: Some(code), venue: segment.venue, instrument })
}

/// The code in an event's name.
///
/// ```
/// use ticktide_feed::wire::xts::code;
/// assert_eq!((code("1501-json-full"), code("joined")), (Some(1501), None));
/// ```
pub fn code(event: &str) -> Option<u16> {
    event::name(event)?.code.parse().ok()
}

impl Decoder for XtsDecoder {
    #[inline]
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem> {
        let RawRecord { payload, offset, envelope, .. } = *record;
        let recorded = if envelope.origin.is_none() { recorded::parse(payload) } else { None };
        let (frame, origin, received_at) = match &recorded {
            Some(recorded) => (&*recorded.frame, recorded.origin, recorded.received_at),
            None => (payload, envelope.origin.unwrap_or_default(), record.received_at()),
        };
        // no message begins with a capital letter
        if frame.first().is_some_and(u8::is_ascii_uppercase)
            && let Some(row) = master_row(frame)
        {
            let tick = message::listed(master::row(row)?, offset, received_at, instruments)?;
            return Ok(Tick { witnessed: recorded.is_some(), ..tick });
        }
        let fields = read(frame, origin, self.form, &mut self.argument)?;
        let tick = message::tick(&fields, offset, received_at, self.rules, instruments)?;
        Ok(Tick { witnessed: recorded.is_some() && tick.received_at.is_some(), ..tick })
    }

    fn wants_envelope(&self) -> bool {
        true
    }

    /// Partial text may continue, and either wire reads it if the origin names that form.
    fn ends_itself(&self) -> bool {
        false
    }
}
