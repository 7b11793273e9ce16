//! From a connector to where frames are kept: a Kafka topic, or lines of text that a file source and `feed replay` read.
//!
//! Why headers: the payload stays as it came, and when it was received and from where must not be lost (see
//! [`recorded`]). Why the broker's timestamp is not the receive time: brokers delete by it, and a replay of last year would be
//! gone within minutes. What must always hold: frames of one key keep their order and are there once (idempotent producer); a
//! frame that Kafka did not take is an error of [`Sink::put`] or [`Sink::finish`], never silence; memory is bounded, a full
//! queue makes `put` wait.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ticktide_base::time::Nanos;
use ticktide_feed::wire::recorded::{self, ORIGIN, RECEIVED_AT};
use ticktide_feed::{FeedError, wire};

/// How long a question to the brokers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long the last frames may take to be delivered.
const FLUSH_WITHIN: Duration = Duration::from_secs(300);
/// How often delivery reports are served while frames are put …
const SERVED_EVERY: Duration = Duration::from_millis(50);
/// … and for how long: a poll without a wait serves a single one, and they would pile up.
const SERVED_FOR: Duration = Duration::from_millis(2);

/// A frame on its way.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub topic: &'a str,
    /// `SEGMENT|INSTRUMENT`: what belongs together stays in one partition; `None`: any will do.
    pub key: Option<&'a [u8]>,
    /// The socket's event or the MQTT topic; may be empty.
    pub origin: &'a [u8],
    /// `None`: nobody knows.
    pub received_at: Option<Nanos>,
    pub payload: &'a [u8],
}

/// The key of an instrument's frames.
pub fn key(venue: &str, instrument: impl std::fmt::Display) -> String {
    format!("{venue}|{instrument}")
}

/// Where frames go.
pub trait Sink: Send {
    /// Makes sure that a topic is there. Errors: `Unavailable` while nobody can be asked; it may be tried again.
    fn prepare(&mut self, _topic: &str) -> Result<(), FeedError> {
        Ok(())
    }
    /// To be called now and then, whether something is put or not. Errors: an earlier frame was not delivered.
    fn tend(&mut self) -> Result<(), FeedError> {
        Ok(())
    }
    /// Frames that were put and are not kept yet.
    fn in_flight(&self) -> u64 {
        0
    }
    /// Takes a frame; may wait. Errors: an earlier frame was not delivered, or this one cannot be.
    fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError>;
    /// Whoever reads the output has gone away (`| head`): nothing more is wanted.
    fn is_closed(&self) -> bool {
        false
    }
    /// Waits until all is kept; how many frames that were.
    fn finish(&mut self) -> Result<u64, FeedError>;
}

/// Recorded lines, see [`recorded`]. What was put is with the output after [`Sink::tend`]: a feed of a few frames a minute
/// would else stay in a buffer for an hour.
pub struct Lines<W> {
    output: W,
    line: Vec<u8>,
    frames: u64,
    closed: bool,
}

impl<W: Write + Send> Lines<W> {
    pub fn new(output: W) -> Lines<W> {
        Lines { output, line: Vec::new(), frames: 0, closed: false }
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError> {
        self.line.clear();
        if frame.origin.is_empty() && recorded::is_text(frame.payload) {
            self.line.extend_from_slice(frame.payload);
            self.line.push(b'\n');
        } else if wire::bridge_address(frame.origin).is_some() {
            let digits = recorded::hex(frame.payload);
            recorded::write(&mut self.line, frame.received_at, frame.origin, digits.as_bytes());
        } else {
            recorded::write(&mut self.line, frame.received_at, frame.origin, frame.payload);
        }
        let written = self.output.write_all(&self.line);
        self.frames += 1;
        self.done(written)
    }

    fn tend(&mut self) -> Result<(), FeedError> {
        let flushed = if self.closed { Ok(()) } else { self.output.flush() };
        self.done(flushed)
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    fn finish(&mut self) -> Result<u64, FeedError> {
        self.tend()?;
        Ok(self.frames)
    }
}

impl<W> Lines<W> {
    fn done(&mut self, result: std::io::Result<()>) -> Result<(), FeedError> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(FeedError::Unavailable(format!("the output cannot be written: {error}"))),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// What the producer's thread hears.
#[derive(Default)]
struct Deliveries {
    taken: AtomicU64,
    failure: Mutex<Option<String>>,
    complaint: Mutex<Option<String>>,
}

#[derive(Clone, Default)]
struct Context(Arc<Deliveries>);

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        *self.0.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.0.taken.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| {
                    format!("a frame for topic \"{}\" was not delivered: {error}", message.topic())
                });
            }
        }
    }
}

/// Frames into Kafka topics; a topic that does not exist is made.
pub struct Kafka {
    config: ClientConfig,
    producer: BaseProducer<Context>,
    deliveries: Arc<Deliveries>,
    topics: HashSet<String>,
    /// Of a topic that is made.
    partitions: i32,
    sent: u64,
    /// When delivery reports were looked at.
    served_at: Instant,
}

impl Kafka {
    /// Connects. `settings` are librdkafka's own and go before ours. Errors: no broker answers, a setting is refused.
    pub fn open(brokers: &str, settings: &BTreeMap<String, String>, partitions: u32) -> Result<Kafka, FeedError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "ticktide-feed")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // as Java's clients place a key
            .set("partitioner", "murmur2_random")
            .set("compression.type", "zstd")
            .set("linger.ms", "20")
            .set("queue.buffering.max.kbytes", "65536")
            .set("queue.buffering.max.messages", "200000");
        for (key, value) in settings {
            config.set(key, value);
        }
        let deliveries = Arc::<Deliveries>::default();
        let refused = |error: KafkaError| {
            let hint = "correct it under `--kafka`; its CONFIGURATION.md lists all settings";
            FeedError::Fix(format!("librdkafka refuses its settings: {error}"), hint.into())
        };
        let producer: BaseProducer<Context> =
            config.create_with_context(Context(deliveries.clone())).map_err(refused)?;
        let metadata = producer.client().fetch_metadata(None, ANSWER_WITHIN).map_err(|error| {
            let complaint = deliveries.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
            let why = complaint.unwrap_or_else(|| error.to_string());
            FeedError::Unanswered(format!("no answer from {brokers}: {why}"), "check `--brokers`".into())
        })?;
        let topics = metadata.topics().iter().filter(|topic| !topic.partitions().is_empty());
        let topics = topics.map(|topic| topic.name().to_owned()).collect();
        let (partitions, served_at) = (partitions.max(1) as i32, Instant::now());
        Ok(Kafka { config, producer, deliveries, topics, partitions, sent: 0, served_at })
    }

    /// Makes a topic unless it is there.
    pub fn ensure(&mut self, topic: &str) -> Result<(), FeedError> {
        if self.topics.contains(topic) {
            return Ok(());
        }
        let admin: AdminClient<DefaultClientContext> = self.config.create().map_err(|error: KafkaError| {
            FeedError::Unavailable(format!("topic \"{topic}\" cannot be made: {error}"))
        })?;
        // as many replicas as the cluster makes by itself
        let wanted = NewTopic::new(topic, self.partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN)).request_timeout(Some(ANSWER_WITHIN));
        let answers = futures::executor::block_on(admin.create_topics([&wanted], &options));
        let refused = match answers {
            Ok(answers) => answers.into_iter().find_map(Result::err).map(|(_, code)| code),
            Err(error) => return Err(FeedError::Unavailable(format!("topic \"{topic}\" cannot be made: {error}"))),
        };
        match refused {
            None | Some(RDKafkaErrorCode::TopicAlreadyExists) => {
                self.topics.insert(topic.to_owned());
                Ok(())
            }
            Some(code) => Err(FeedError::Fix(
                format!("topic \"{topic}\" cannot be made: {code}"),
                "make it, or give the user the right to".into(),
            )),
        }
    }

    fn failure(&self) -> Result<(), FeedError> {
        match self.deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(why) => Err(FeedError::Unavailable(why)),
            None => Ok(()),
        }
    }
}

impl Sink for Kafka {
    fn prepare(&mut self, topic: &str) -> Result<(), FeedError> {
        self.ensure(topic)
    }

    fn tend(&mut self) -> Result<(), FeedError> {
        self.producer.poll(SERVED_FOR);
        self.served_at = Instant::now();
        self.failure()
    }

    fn in_flight(&self) -> u64 {
        self.sent - self.deliveries.taken.load(Ordering::Relaxed)
    }

    fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError> {
        self.ensure(frame.topic)?;
        let received_at = frame.received_at.map(|at| at.to_string()).unwrap_or_default();
        let mut headers =
            OwnedHeaders::new_with_capacity(2).insert(Header { key: RECEIVED_AT, value: Some(received_at.as_bytes()) });
        if !frame.origin.is_empty() {
            headers = headers.insert(Header { key: ORIGIN, value: Some(frame.origin) });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(frame.topic).payload(frame.payload).headers(headers);
        if let Some(key) = frame.key {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.producer.poll(Duration::from_millis(20));
                    self.failure()?;
                    record = again;
                }
                Err((error, _)) => {
                    return Err(FeedError::Unavailable(format!("a frame for topic \"{}\": {error}", frame.topic)));
                }
            }
        }
        self.sent += 1;
        if self.served_at.elapsed() >= SERVED_EVERY {
            self.tend()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<u64, FeedError> {
        let flushed = self.producer.flush(FLUSH_WITHIN);
        self.failure()?;
        let in_flight = self.in_flight();
        if flushed.is_err() || in_flight > 0 {
            let message = format!("{in_flight} of {} frames were not taken by Kafka in time", self.sent);
            return Err(FeedError::Unavailable(message));
        }
        Ok(self.sent)
    }
}

/// Where a frame belongs: the topic of its code or kind, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub key: Option<String>,
}

/// The place of a frame by what is in it, or, for the bridge, by its topic. A frame that is neither belongs to `…other`.
///
/// ```
/// use crate::produce::place;
/// let found = place("xts-", b"1105-json-partial", b"t:12_2201,87:-7.75");
/// assert_eq!((found.topic.as_str(), found.key.as_deref()), ("xts-1105", Some("BSEFO|2201")));
/// let row = b"NSECM|4847|8|KIMS|KIMS-EQ|EQ|KIMS-EQ|1100100004847|2618.75|1745.85|45775|0.05|1|1|KIMS|INE967H01017|1|1|KIMS LTD";
/// assert_eq!(place("xts-", b"", row).topic, "xts-master");
/// assert_eq!(place("", b"prod/marketfeed/oi/v1/nsefo/43423", b"").topic, "bridge-oi");
/// assert_eq!(place("xts-", b"", b"hello").topic, "xts-other");
/// ```
pub fn place(prefix: &str, origin: &[u8], payload: &[u8]) -> Place {
    if let Some(address) = wire::bridge_address(origin) {
        let key = address.instrument.map(|id| key(address.segment.venue, id));
        return Place { topic: format!("bridge-{}", address.kind), key };
    }
    match wire::xts::address(payload, origin) {
        Some(address) => {
            let what = address.code.map_or("master".to_owned(), |code| code.to_string());
            Place { topic: format!("{prefix}{what}"), key: Some(key(address.venue, address.instrument)) }
        }
        None => Place { topic: format!("{prefix}other"), key: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_feed::testing::Shared;

    #[test]
    fn lines_hold_what_a_connector_received() {
        let mut written = Vec::new();
        let mut lines = Lines::new(&mut written);
        let frame = |origin: &'static [u8], payload: &'static [u8]| Frame {
            topic: "t",
            key: None,
            origin,
            received_at: Some(5),
            payload,
        };
        lines.put(&frame(b"1501-json-full", b"{}")).expect("written");
        lines.put(&frame(b"prod/marketfeed/marketstatus/v1/nseeq", &[1, 0])).expect("written");
        lines.put(&frame(b"", b"bare")).expect("written");
        lines.put(&frame(b"", b"two\nlines")).expect("written");
        lines.put(&frame(b"prod/marketfeed/mw/v1/moon/1", &[0x80, 0])).expect("written");
        assert_eq!(lines.finish().expect("flushed"), 5);
        let expected = "5\t1501-json-full\t{}\n5\tprod/marketfeed/marketstatus/v1/nseeq\t0100\nbare\n\
                        5\thex\t74776f0a6c696e6573\n5\tprod/marketfeed/mw/v1/moon/1hex\t8000\n";
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    #[test]
    fn a_line_is_with_the_output_as_soon_as_it_is_tended_to() {
        let output = Shared::default();
        let mut lines = Lines::new(std::io::BufWriter::with_capacity(1 << 20, output.clone()));
        lines.put(&Frame { topic: "t", key: None, origin: b"x", received_at: Some(5), payload: b"{}" }).expect("put");
        lines.tend().expect("flushed");
        let written = output.0.lock().expect("whole").clone();
        assert_eq!(written, b"5\tx\t{}\n");
    }

    #[test]
    fn an_output_that_is_full_is_an_error_and_one_that_nobody_reads_is_closed() {
        struct Broken(ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let frame = Frame { topic: "t", key: None, origin: b"", received_at: None, payload: b"x" };
        let full = Lines::new(Broken(ErrorKind::StorageFull)).put(&frame);
        assert!(matches!(full, Err(FeedError::Unavailable(_))));
        let mut left = Lines::new(Broken(ErrorKind::BrokenPipe));
        assert!(left.put(&frame).is_ok() && left.is_closed() && left.tend().is_ok() && left.finish().is_ok());
    }
}
