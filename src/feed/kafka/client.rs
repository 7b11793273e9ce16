//! The consumer: its settings, and what it reports about itself.

use super::errors::refused;
use crate::{FeedError, Partition, SourceSpec};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long any request to the brokers may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Keeps the last error, because a call that fails reports only "timed out".
#[derive(Default)]
pub struct Context {
    last_error: Mutex<Option<String>>,
    /// The number of log lines so far.
    log_lines: AtomicU64,
    ends: Option<Arc<Ends>>,
}

/// The ends of all partitions, as the brokers reported them with the last records.
pub struct Ends(BTreeMap<String, BTreeMap<i32, (usize, AtomicI64)>>);

impl Ends {
    /// The ends when the source was opened.
    pub fn new(partitions: &[Partition]) -> Ends {
        let mut ends = BTreeMap::<String, BTreeMap<i32, (usize, AtomicI64)>>::new();
        for (index, partition) in partitions.iter().enumerate() {
            let end = (index, AtomicI64::new(partition.offset_end));
            ends.entry(partition.topic.clone()).or_default().insert(partition.partition, end);
        }
        Ends(ends)
    }

    /// The ends known now, by index into the partitions.
    pub fn known(&self) -> Vec<Option<i64>> {
        let mut all: Vec<&(usize, AtomicI64)> = self.0.values().flat_map(BTreeMap::values).collect();
        all.sort_by_key(|(index, _)| *index);
        all.iter().map(|(_, end)| Some(end.load(Ordering::Relaxed))).collect()
    }

    fn update(&self, statistics: &Statistics) {
        for (topic, reported) in &statistics.topics {
            for (id, partition) in &reported.partitions {
                let known = self.0.get(topic).and_then(|topic| topic.get(id));
                if let Some((_, end)) = known {
                    // negative: not known yet; another reader may have reported a later end
                    end.fetch_max(partition.ls_offset, Ordering::Relaxed);
                }
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log_lines.fetch_add(1, Ordering::Relaxed);
        // an error that matters is also reported as an error
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(facility, message, "librdkafka"),
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(ends) = &self.ends {
            ends.update(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        // "all brokers are down" follows the reason, which is more precise
        if !matches!(error, KafkaError::Global(rdkafka::types::RDKafkaErrorCode::AllBrokersDown)) {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {}

pub struct KafkaClient {
    pub consumer: BaseConsumer<Context>,
}

impl KafkaClient {
    /// A consumer that is not connected yet. Errors: librdkafka refuses a setting.
    pub fn new(spec: &SourceSpec) -> Result<KafkaClient, FeedError> {
        KafkaClient::with(spec, Context::default())
    }

    /// As [`KafkaClient::new`], but it also keeps the ends of the partitions up to date.
    pub fn with_ends(spec: &SourceSpec, ends: Arc<Ends>) -> Result<KafkaClient, FeedError> {
        KafkaClient::with(spec, Context { ends: Some(ends), ..Context::default() })
    }

    fn with(spec: &SourceSpec, context: Context) -> Result<KafkaClient, FeedError> {
        let mut config = ClientConfig::new();
        // half of the reader's memory is for the client, half for unread batches
        let kbytes = (spec.buffer_bytes / 2048).clamp(1024, 1 << 20);
        // librdkafka's default, answers of 1 MiB a partition, costs 4 % of the CPU time of catching up
        let answer_bytes = (spec.buffer_bytes / 8).clamp(1 << 20, 4 << 20);
        config
            .set("bootstrap.servers", &spec.brokers)
            .set("client.id", "ticktide")
            // never joined: offsets live in the lake; librdkafka requires the name
            .set("group.id", "ticktide")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            // librdkafka's default of 1 s makes catching up several times slower
            .set("fetch.queue.backoff.ms", "5")
            .set("max.partition.fetch.bytes", answer_bytes.to_string())
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", kbytes.to_string())
            .set("statistics.interval.ms", if context.ends.is_some() { "2000" } else { "0" })
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.max.ms", "2000");
        for (key, value) in &spec.kafka {
            config.set(key, value);
        }
        let consumer = config.create_with_context(context).map_err(refused)?;
        Ok(KafkaClient { consumer })
    }

    /// The first offset at or after a time in ms; `None`: no record is that late.
    pub fn offset_at(&self, topic: &str, partition: i32, millis: i64) -> Result<Option<i64>, FeedError> {
        let mut times = TopicPartitionList::new();
        times.add_partition_offset(topic, partition, Offset::Offset(millis.max(0))).map_err(refused)?;
        let found = self.consumer.offsets_for_times(times, ANSWER_WITHIN);
        let found = found.map_err(|error| FeedError::unavailable(format!("topic \"{topic}\": {error}")))?;
        match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(Some(offset)),
            _ => Ok(None),
        }
    }

    /// The last error that librdkafka reported.
    pub fn last_error(&self) -> Option<String> {
        // errors wait in the client's queue between log lines, and a poll that serves a log line returns nothing
        let context = self.consumer.context();
        let until = Instant::now() + Duration::from_secs(2);
        loop {
            let log_lines = context.log_lines.load(Ordering::Relaxed);
            let silent = self.consumer.poll(Duration::from_millis(20)).is_none();
            if (silent && context.log_lines.load(Ordering::Relaxed) == log_lines) || Instant::now() >= until {
                break;
            }
        }
        context.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
