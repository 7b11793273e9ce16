//! The MQTT bridge of IIFL Capital: packed little-endian packets, one a message.
//!
//! | topic | bytes | becomes |
//! |---|---|---|
//! | `prod/marketfeed/mw/v1/SEGMENT/ID`, `…/index/…` | 186 or more | a snapshot |
//! | `…/oi/v1/SEGMENT/ID` | 16: open interest, day's high and low, previous | a snapshot with nothing else |
//! | `…/lpp/…` 12: high, low, divisor; `…/uppercircuit/v1/SEGMENT`, `…/lowercircuit/…` 12: id, price, divisor | | a notice with price bands |
//! | `…/marketstatus/v1/SEGMENT` 2, `…/high52week/…`, `…/low52week/…` 12 | | a notice |
//!
//! The topic names the instrument, not the packet. A Kafka record has the topic in its header `origin` (or, for a market watch,
//! the instrument in its key `SEGMENT|ID`), a recorded line ([`recorded`]) in its second part. What must always hold: a price
//! is its integer divided by the packet's own divisor, exactly, or the packet is refused.
//!
//! Why an update's time is the later of its last trade and its receive time: a packet has no time of its own, and a quote on an
//! instrument that last traded an hour ago is current. Its bar is the bar of the last trade, as with every snapshot.

use super::problem::RecordProblem;
use super::quote::Quote;
use super::recorded;
use super::times::{self, impossible};
use super::xts::segments::{Segment, same_day};
use super::{Decoder, Format, RawRecord, no_columns};
use crate::{FeedError, InstrumentTable, WireSpec};
use ticktide_base::rules::Rules;
use ticktide_base::time::{Nanos, SECOND};
use ticktide_market::{LIMIT, Price, Quantity, SCALE, Snapshot, Tick, TickKind};

pub static FORMAT: Format = Format {
    name: "bridge",
    doc: "IIFL Capital's MQTT bridge: packed packets of 186 bytes and smaller ones; the topic names the instrument",
    build: |spec| Ok(Box::new(Bridge::new(spec)?)),
    example: b"1736142367500000000\tprod/marketfeed/mw/v1/nseeq/2885\t61de01000800000027421e00bfe4010094dd010098e30100c0e30100f2de010000000c0000005cde01002800000066de01000c00000028000000640000001f6e7b670c0000005cde010003000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
};

/// A market watch's bytes; longer ones may follow.
const WATCH_BYTES: usize = 186;

struct Bridge {
    rules: Rules,
}

impl Bridge {
    fn new(spec: &WireSpec) -> Result<Bridge, FeedError> {
        no_columns(spec)?;
        super::xts::no_fields(spec)?;
        Ok(Bridge { rules: spec.rules })
    }
}

/// The kind, segment and instrument of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// `mw`, `oi` …
    pub kind: &'a str,
    pub segment: &'static Segment,
    /// Absent if the packet holds it, and for a market's status.
    pub instrument: Option<&'a str>,
}

/// The address in an MQTT topic.
///
/// ```
/// let address = ticktide_feed::wire::bridge_address(b"prod/marketfeed/mw/v1/nseeq/2885").unwrap();
/// assert_eq!((address.kind, address.segment.venue, address.instrument), ("mw", "NSECM", Some("2885")));
/// ```
pub fn address(topic: &[u8]) -> Option<Address<'_>> {
    let parts: Vec<&str> = std::str::from_utf8(topic).ok()?.split('/').collect();
    let ["prod", "marketfeed", kind, "v1", segment, ref rest @ ..] = parts[..] else { return None };
    let instrument = match rest {
        [] => None,
        [id] if is_id(id) => Some(*id),
        _ => return None,
    };
    Some(Address { kind, segment: Segment::named(segment.as_bytes())?, instrument })
}

fn is_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The address in a key `SEGMENT|ID`: the length decides the kind of packet, unless several kinds have that length.
fn keyed<'a>(key: &'a [u8], length: usize) -> Result<Address<'a>, RecordProblem> {
    let unknown = || {
        let detail = format!("neither header {} nor key names an instrument: {}", recorded::ORIGIN, key.escape_ascii());
        RecordProblem::new("no_instrument", detail)
    };
    let at = key.iter().position(|byte| *byte == b'|').ok_or_else(unknown)?;
    let segment = Segment::named(&key[..at]).ok_or_else(unknown)?;
    let instrument = std::str::from_utf8(&key[at + 1..]).ok().filter(|id| is_id(id)).ok_or_else(unknown)?;
    let kind = match length {
        WATCH_BYTES.. => "mw",
        16 => "oi",
        2 => "marketstatus",
        _ => {
            let detail = format!(
                "{length} bytes may be one of several packets, and header {} does not say which",
                recorded::ORIGIN
            );
            return Err(RecordProblem::new("unknown_packet", detail));
        }
    };
    Ok(Address { kind, segment, instrument: Some(instrument) })
}

/// A packet's integers by their positions.
struct Packet<'a>(&'a [u8]);

impl Packet<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let found = self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        found.expect("the packet's length was checked against its layout")
    }

    fn signed(&self, at: usize) -> i64 {
        i64::from(i32::from_le_bytes(self.bytes(at)))
    }

    fn unsigned(&self, at: usize) -> i64 {
        i64::from(u32::from_le_bytes(self.bytes(at)))
    }

    fn quantity(&self, at: usize) -> Quantity {
        Quantity(self.unsigned(at) * SCALE) // below 2³² · 10⁸, less than the limit
    }
}

/// `raw / divisor` in units of 10⁻⁸, if that is exact.
fn price(raw: i64, divisor: i64) -> Result<Price, RecordProblem> {
    if divisor <= 0 {
        return Err(RecordProblem::new("bad_divisor", format!("the packet's price divisor is {divisor}")));
    }
    let scaled = i128::from(raw) * i128::from(SCALE);
    let units = scaled / i128::from(divisor);
    if scaled % i128::from(divisor) != 0 {
        return Err(RecordProblem::new(
            "too_precise",
            format!("{raw}/{divisor} has more than eight digits after the point"),
        ));
    }
    match i64::try_from(units) {
        Ok(units) if units.abs() < LIMIT => Ok(Price(units)),
        _ => Err(RecordProblem::new("out_of_range", format!("{raw}/{divisor} is no price below 10^10"))),
    }
}

fn read(
    address: &Address<'_>,
    packet: &[u8],
    received_at: Option<Nanos>,
    rules: Rules,
) -> Result<Quote, RecordProblem> {
    let needed = match address.kind {
        "mw" | "index" => WATCH_BYTES,
        "oi" => 16,
        "lpp" | "uppercircuit" | "lowercircuit" | "high52week" | "low52week" => 12,
        "marketstatus" => 2,
        other => return Err(RecordProblem::new("unknown_packet", format!("topic \"{other}\" is not known"))),
    };
    if packet.len() < needed || (packet.len() > needed && needed != WATCH_BYTES) {
        let detail = format!("a packet of \"{}\" has {needed} bytes, this one {}", address.kind, packet.len());
        return Err(RecordProblem::new("bad_length", detail));
    }
    let packet = Packet(packet);
    match address.kind {
        "mw" | "index" => watch(&packet, received_at, rules),
        "oi" => interest(&packet, received_at),
        "lpp" => {
            let divisor = packet.signed(8);
            let (high, low) = (price(packet.unsigned(0), divisor)?, price(packet.unsigned(4), divisor)?);
            let snapshot = Snapshot { band_low: Some(low), band_high: Some(high), ..Snapshot::default() };
            Ok(Quote::of(TickKind::Notice, snapshot))
        }
        "marketstatus" => Ok(Quote::notice(None)),
        kind => {
            let limit = Some(price(packet.unsigned(4), packet.signed(8))?);
            let snapshot = match kind {
                "uppercircuit" => Snapshot { band_high: limit, ..Snapshot::default() },
                "lowercircuit" => Snapshot { band_low: limit, ..Snapshot::default() },
                _ => Snapshot::default(),
            };
            Ok(Quote::of(TickKind::Notice, snapshot))
        }
    }
}

/// The instrument that a packet itself names. The packet's length must be checked before.
fn own_instrument(kind: &str, packet: &[u8]) -> Option<i64> {
    matches!(kind, "uppercircuit" | "lowercircuit" | "high52week" | "low52week").then(|| Packet(packet).unsigned(0))
}

fn watch(packet: &Packet<'_>, received_at: Option<Nanos>, rules: Rules) -> Result<Quote, RecordProblem> {
    let divisor = packet.signed(58);
    let at = |place| price(packet.signed(place), divisor);
    let some = |place| at(place).map(|price| (price.0 != 0).then_some(price));
    let trade_at = packet.signed(62) * SECOND; // below 2³¹ s
    let exchange_at = received_at.map_or(trade_at, |received_at| received_at.max(trade_at));
    if !times::is_possible(exchange_at, rules) {
        return Err(impossible(exchange_at));
    }
    let (quantity, volume) = (packet.quantity(4), packet.unsigned(8));
    let (bid, ask) = (some(38)?, some(46)?);
    // an index trades but has no volume
    let is_index = volume == 0 && quantity.0 == 0 && same_day(trade_at, exchange_at);
    let snapshot = Snapshot {
        trade_at: Some(trade_at),
        cumulative_volume: (!is_index).then_some(i128::from(volume) * i128::from(SCALE)),
        bid,
        bid_quantity: Some(packet.quantity(34)).filter(|size| bid.is_some() || size.0 != 0),
        ask,
        ask_quantity: Some(packet.quantity(42)).filter(|size| ask.is_some() || size.0 != 0),
        day_open: some(20)?,
        day_high: some(12)?,
        day_low: some(16)?,
        ..Snapshot::default()
    };
    let kind = TickKind::Snapshot;
    Ok(Quote { at: Some(exchange_at), price: Some(at(0)?), quantity: Some(quantity), ..Quote::of(kind, snapshot) })
}

fn interest(packet: &Packet<'_>, received_at: Option<Nanos>) -> Result<Quote, RecordProblem> {
    let interest = packet.signed(0);
    if interest < 0 {
        return Err(RecordProblem::new("negative_quantity", format!("open interest is {interest}: below 0")));
    }
    let open_interest = Some(i128::from(interest) * i128::from(SCALE));
    let kind = if received_at.is_some() { TickKind::Snapshot } else { TickKind::Notice };
    Ok(Quote { at: received_at, ..Quote::of(kind, Snapshot { open_interest, ..Snapshot::default() }) })
}

/// The tick of a packet with its address.
fn tick(
    address: &Address<'_>,
    packet: &[u8],
    offset: i64,
    received_at: Option<Nanos>,
    rules: Rules,
    instruments: &mut InstrumentTable,
) -> Result<Tick, RecordProblem> {
    let quote = read(address, packet, received_at, rules)?;
    let own = own_instrument(address.kind, packet).map(|id| id.to_string());
    let instrument = match (own.as_deref().or(address.instrument), address.kind) {
        (Some(id), _) => id,
        (None, "marketstatus") => "0",
        (None, kind) => {
            return Err(RecordProblem::new("no_instrument", format!("topic \"{kind}\" names no instrument")));
        }
    };
    let instrument = instruments.id(address.segment.venue, instrument, None);
    let exchange_at = quote.at.or(received_at).unwrap_or(Nanos::MIN);
    Ok(Tick { received_at, ..quote.tick(instrument, offset, exchange_at) })
}

/// The tick of a recorded line.
fn line(payload: &[u8], offset: i64, rules: Rules, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem> {
    let bare =
        || RecordProblem::new("no_instrument", "neither a recorded line nor a record with a key or a topic around it");
    let recorded = recorded::parse(payload).ok_or_else(bare)?;
    let unknown = || RecordProblem::new("no_instrument", format!("no topic: {}", recorded.origin.escape_ascii()));
    let address = address(recorded.origin).ok_or_else(unknown)?;
    let not_hex = || RecordProblem::new("not_hex", "the line's frame is not in hex digits");
    let packet = recorded::unhex(&recorded.frame).ok_or_else(not_hex)?;
    tick(&address, &packet, offset, recorded.received_at, rules, instruments)
}

impl Decoder for Bridge {
    /// A record without a topic or a key is a recorded line, whose frame is in hex digits.
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem> {
        let RawRecord { payload, offset, envelope, .. } = *record;
        let address = match (envelope.origin.and_then(address), envelope.key) {
            (Some(address), _) => address,
            (None, Some(key)) => keyed(key, payload.len())?,
            (None, None) => return line(payload, offset, self.rules, instruments),
        };
        tick(&address, payload, offset, record.received_at(), self.rules, instruments)
    }

    fn wants_envelope(&self) -> bool {
        true
    }

    /// More hex digits may follow.
    fn ends_itself(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
