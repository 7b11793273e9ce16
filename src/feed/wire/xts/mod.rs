//! XTS market data: what its messages mean, in full JSON (`xts-json`) and in partial text (`xts-partial`).
//!
//! ```text
//!   a record ─▶ [recorded line] ─▶ [event: 42["1501-json-full","…"]] ─▶ json | partial ─▶ Fields ─▶ message ─▶ Tick | Problem
//! ```
//!
//! | code | is | becomes |
//! |---|---|---|
//! | 1501, 1502 | touchline; with depth | a snapshot: last price, cumulative volume, best quotes, the day's prices |
//! | 1504 | index | a snapshot without volume |
//! | 1512 | last price | a snapshot without volume and without the time of its last trade |
//! | 1510 | open interest | a snapshot with nothing else |
//! | 1505, 1507, 1105 | candle, market status, properties | a notice: counted, no bar is made of it; 1105 tells price bands |
//! | [a row of the master](master) | what an instrument is | a notice with a listing, of the day of its receipt |
//!
//! What must always hold: times as [`segments`] says them; a message whose time is a day from its receipt is refused, because
//! its epoch was misread; a price of before 1990 is none; the sequence numbers are kept and never trusted (one publisher repeats the same one all day).

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

use super::problem::{Problem, shorten};
use super::recorded;
use super::{Decoder, RawRecord, no_columns};
use crate::{FeedError, InstrumentTable, WireSpec};
use event::Form;
use fields::Fields;
pub use segments::Segment;
use ticktide_base::rules::Rules;
use ticktide_market::Tick;

/// A decoder of one of the two wires; either takes what an event's name says, bare messages must be of its own form.
pub struct Xts {
    form: Form,
    /// The message of an event, its escapes resolved.
    argument: String,
    rules: Rules,
}

impl Xts {
    /// Of full JSON. Errors: settings that the format has no use for.
    pub fn json(spec: &WireSpec) -> Result<Xts, FeedError> {
        Xts::new(spec, Form::Json)
    }

    /// Of partial text. Errors: as [`Xts::json`].
    pub fn partial(spec: &WireSpec) -> Result<Xts, FeedError> {
        Xts::new(spec, Form::Partial)
    }

    fn new(spec: &WireSpec, form: Form) -> Result<Xts, FeedError> {
        no_columns(spec)?;
        no_fields(spec)?;
        Ok(Xts { form, argument: String::new(), rules: spec.rules })
    }
}

/// A row of an instrument master as text; `None`: the frame is something else.
fn master_row(frame: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(frame).ok()?.trim();
    master::is_row(text).then_some(text)
}

/// For formats whose fields are fixed; errors: a mapping of fields.
pub fn no_fields(spec: &WireSpec) -> Result<(), FeedError> {
    match spec.fields.keys().next() {
        None => Ok(()),
        Some(field) => {
            let message = format!("`fields` maps \"{field}\", but the fields of wire {} are fixed", spec.format);
            Err(FeedError::fix(message, "remove `fields`, or set `wire = \"json\"`"))
        }
    }
}

/// The fields of a frame; an event's name, inside it or as its origin, goes before the form that bare ones have.
#[inline]
fn read<'a>(frame: &'a [u8], origin: &'a [u8], bare: Form, argument: &'a mut String) -> Result<Fields<'a>, Problem> {
    let whole = std::str::from_utf8(frame).map_err(|error| Problem::new("not_utf8", error))?;
    let text = whole.trim();
    if text.is_empty() {
        return Err(Problem::new("empty", "the record is empty"));
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
fn not_json(text: &str, error: &serde_json::Error) -> Problem {
    match text.starts_with("t:") {
        true => Problem::new("not_json", format!("partial text is read by wire xts-partial: {}", shorten(text))),
        false => Problem::new("not_json", error),
    }
}

/// What a frame is about: where it belongs in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `None`: it is a row of an instrument master.
    pub code: Option<u16>,
    pub venue: &'static str,
    pub instrument: u64,
}

/// The address of a frame, bare or in an event, with its origin if that is known; `None`: it is no message of a segment that is known.
/// Of a row of a master only the columns of the address are looked at: what is wrong with the others, its decoder says.
///
/// ```
/// let frame = br#"42["1510-json-full","{\"MessageCode\":1510,\"ExchangeSegment\":2,\"ExchangeInstrumentID\":43423}"]"#;
/// let address = ticktide_feed::wire::xts::address(frame, b"").unwrap();
/// assert_eq!((address.code, address.venue, address.instrument), (Some(1510), "NSEFO", 43423));
/// ```
pub fn address(frame: &[u8], origin: &[u8]) -> Option<Address> {
    if let Some(row) = master_row(frame) {
        let (segment, instrument) = master::about(row)?;
        return Some(Address { code: None, venue: segment.venue, instrument });
    }
    let bare = if frame.trim_ascii_start().starts_with(b"{") { Form::Json } else { Form::Partial };
    let mut argument = String::new();
    let fields = read(frame, origin, bare, &mut argument).ok()?;
    let (code, segment, instrument) = message::about(&fields).ok()?;
    Some(Address { code: Some(code), venue: segment.venue, instrument })
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

impl Decoder for Xts {
    #[inline]
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, Problem> {
        let RawRecord { payload, offset, envelope, .. } = *record;
        let recorded = if envelope.origin.is_none() { recorded::parse(payload) } else { None };
        let (frame, origin, received_at) = match &recorded {
            Some(recorded) => (&*recorded.frame, recorded.origin, recorded.received_at),
            None => (payload, envelope.origin.unwrap_or_default(), record.received_at()),
        };
        // a message begins otherwise
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

    /// Partial text may go on, and either wire reads it where an origin says so.
    fn ends_itself(&self) -> bool {
        false
    }
}
