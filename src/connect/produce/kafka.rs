//! Frames into Kafka topics.
//!
//! Why an idempotent producer: a frame sent twice would count twice, and no frame may overtake another of its key. What must
//! always hold: a frame that Kafka did not take is an error of the next call, never a silent loss; a full queue makes `put`
//! wait.

use super::{Frame, Sink};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ticktide_feed::FeedError;
use ticktide_feed::wire::recorded::{ORIGIN, RECEIVED_AT};

/// How long a request to the brokers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long the last frames may take to be delivered.
const FLUSH_WITHIN: Duration = Duration::from_secs(300);
/// How often delivery reports are served while frames are put …
const SERVED_EVERY: Duration = Duration::from_millis(50);
/// … and for how long: a poll without a wait serves a single one, and they would pile up.
const SERVED_FOR: Duration = Duration::from_millis(2);

/// What the producer's thread reports.
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

/// Frames into Kafka topics; a topic that does not exist is created.
pub struct Kafka {
    config: ClientConfig,
    producer: BaseProducer<Context>,
    deliveries: Arc<Deliveries>,
    topics: HashSet<String>,
    /// Of a topic that is created.
    partitions: i32,
    sent: u64,
    /// When delivery reports were last served.
    served_at: Instant,
}

impl Kafka {
    /// Connects. `settings` are librdkafka's own and override ours. Errors: no broker answers, a setting is refused.
    pub fn open(brokers: &str, settings: &BTreeMap<String, String>, partitions: u32) -> Result<Kafka, FeedError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "ticktide-feed")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // as Java's clients choose a key's partition
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
            let hint = "correct it under `--kafka`; librdkafka's CONFIGURATION.md lists all settings";
            FeedError::fix(format!("librdkafka refuses its settings: {error}"), hint)
        };
        let producer: BaseProducer<Context> =
            config.create_with_context(Context(deliveries.clone())).map_err(refused)?;
        let metadata = producer.client().fetch_metadata(None, ANSWER_WITHIN).map_err(|error| {
            let complaint = deliveries.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
            let why = complaint.unwrap_or_else(|| error.to_string());
            FeedError::unanswered(format!("no answer from {brokers}: {why}"), "check `--brokers`")
        })?;
        let topics = metadata.topics().iter().filter(|topic| !topic.partitions().is_empty());
        let topics = topics.map(|topic| topic.name().to_owned()).collect();
        let (partitions, served_at) = (partitions.max(1) as i32, Instant::now());
        Ok(Kafka { config, producer, deliveries, topics, partitions, sent: 0, served_at })
    }

    /// Creates a topic unless it exists.
    pub fn ensure(&mut self, topic: &str) -> Result<(), FeedError> {
        if self.topics.contains(topic) {
            return Ok(());
        }
        let unmade =
            |error: KafkaError| FeedError::unavailable(format!("topic \"{topic}\" cannot be created: {error}"));
        let admin: AdminClient<DefaultClientContext> = self.config.create().map_err(unmade)?;
        // as many replicas as the cluster makes by default
        let wanted = NewTopic::new(topic, self.partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN)).request_timeout(Some(ANSWER_WITHIN));
        let answers = futures::executor::block_on(admin.create_topics([&wanted], &options)).map_err(unmade)?;
        match answers.into_iter().find_map(Result::err).map(|(_, code)| code) {
            None | Some(RDKafkaErrorCode::TopicAlreadyExists) => {
                self.topics.insert(topic.to_owned());
                Ok(())
            }
            Some(code) => Err(FeedError::fix(
                format!("topic \"{topic}\" cannot be created: {code}"),
                "create it, or give the user the right to do so",
            )),
        }
    }

    fn failure(&self) -> Result<(), FeedError> {
        match self.deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(why) => Err(FeedError::unavailable(why)),
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
                    return Err(FeedError::unavailable(format!("a frame for topic \"{}\": {error}", frame.topic)));
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
            let message = format!("Kafka did not take {in_flight} of {} frames in time", self.sent);
            return Err(FeedError::unavailable(message));
        }
        Ok(self.sent)
    }
}
