//! From a connector to where frames are kept: a Kafka topic, or lines of text that a file source and `feed replay` read.
//!
//! Why headers: the payload stays as it came, and its receive time and origin must not be lost (see
//! [`recorded`](ticktide_feed::wire::recorded)). Why the broker's timestamp is not the receive time: brokers delete by it, and
//! a replay of last year would be gone within minutes. What must always hold: frames of one key keep their order and are stored
//! once (idempotent producer); a frame that Kafka did not take is an error of [`Sink::put`] or [`Sink::finish`], never lost
//! silently; memory is bounded, a full queue makes `put` wait.

mod kafka;
mod lines;

pub use kafka::Kafka;
pub use lines::LineSink;
use ticktide_base::time::Nanos;
use ticktide_feed::{FeedError, wire};

/// A frame on its way.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub topic: &'a str,
    /// `SEGMENT|INSTRUMENT`: what belongs together stays in one partition; `None`: any will do.
    pub key: Option<&'a [u8]>,
    /// The socket's event or the MQTT topic; may be empty.
    pub origin: &'a [u8],
    /// `None`: not known.
    pub received_at: Option<Nanos>,
    pub payload: &'a [u8],
}

/// The key of an instrument's frames.
pub fn key(venue: &str, instrument: impl std::fmt::Display) -> String {
    format!("{venue}|{instrument}")
}

/// Where frames go.
pub trait Sink: Send {
    /// Makes sure that a topic exists. Errors: `Unavailable` while no broker can be reached; the call may be repeated.
    fn prepare(&mut self, _topic: &str) -> Result<(), FeedError> {
        Ok(())
    }
    /// To be called now and then, whether frames are put or not. Errors: an earlier frame was not delivered.
    fn tend(&mut self) -> Result<(), FeedError> {
        Ok(())
    }
    /// Frames that were put and are not stored yet.
    fn in_flight(&self) -> u64 {
        0
    }
    /// Takes a frame; may wait. Errors: an earlier frame was not delivered, or this one cannot be.
    fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError>;
    /// The reader of the output has gone away (`| head`): no more frames are needed.
    fn is_closed(&self) -> bool {
        false
    }
    /// Waits until all frames are stored; returns their number.
    fn finish(&mut self) -> Result<u64, FeedError>;
}

/// Where a frame goes: the topic of its code or kind, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub topic: String,
    pub key: Option<String>,
}

/// The destination of a frame by its content or, for the bridge, by its topic. A frame that matches neither goes to `…other`.
///
/// ```
/// use ticktide_connect::produce::destination;
/// let found = destination("xts-", b"1105-json-partial", b"t:12_2201,87:-7.75");
/// assert_eq!((found.topic.as_str(), found.key.as_deref()), ("xts-1105", Some("BSEFO|2201")));
/// let row = b"NSECM|4847|8|KIMS|KIMS-EQ|EQ|KIMS-EQ|1100100004847|2618.75|1745.85|45775|0.05|1|1|KIMS|INE967H01017|1|1|KIMS LTD";
/// assert_eq!(destination("xts-", b"", row).topic, "xts-master");
/// assert_eq!(destination("", b"prod/marketfeed/oi/v1/nsefo/43423", b"").topic, "bridge-oi");
/// assert_eq!(destination("xts-", b"", b"hello").topic, "xts-other");
/// ```
pub fn destination(prefix: &str, origin: &[u8], payload: &[u8]) -> Destination {
    if let Some(address) = wire::bridge_address(origin) {
        let key = address.instrument.map(|id| key(address.segment.venue, id));
        return Destination { topic: format!("bridge-{}", address.kind), key };
    }
    match wire::xts::address(payload, origin) {
        Some(address) => {
            let what = address.code.map_or("master".to_owned(), |code| code.to_string());
            Destination { topic: format!("{prefix}{what}"), key: Some(key(address.venue, address.instrument)) }
        }
        None => Destination { topic: format!("{prefix}other"), key: None },
    }
}
