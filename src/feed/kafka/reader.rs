//! The reader: takes records from librdkafka's queue into lanes, and hands lanes on as batches.
//!
//! ```text
//!   queue ──take──▶ decode ─▶ lanes ──batch──▶ the one of the earliest event time that is full or old enough
//!                               └─ hold: lanes that are ahead wait here, and librdkafka pauses them when much waits
//! ```
//!
//! Why a failure waits: all records read before it are handed on first. What must always hold: a lane's records leave in the
//! order of their offsets; a place that the broker refuses continues after the deleted records, and the gap is reported.

use super::client::{ANSWER_WITHIN, Ends, KafkaClient};
use super::errors::{cut_off, refused};
use super::guard::Guard;
use super::lane::Lane;
use super::queue::{Queue, QueueEvent};
use crate::wire::recorded::Envelope;
use crate::wire::{self, Decoder, RawRecord};
use crate::{Batch, FeedError, InstrumentTable, Partition, Reader, Reject, SourceSpec};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticktide_base::rules::Rules;

/// A batch that is not full is handed on at this age.
const BATCH_AGE: Duration = Duration::from_millis(5);
/// How long the reader lets records gather after the first of them.
const GATHER: Duration = Duration::from_micros(500);
/// How often a held lane is checked when nothing arrives.
const HELD_CHECK: Duration = Duration::from_millis(2);
/// Records taken from librdkafka at once.
const TAKEN_MOST: usize = 2000;
/// How often librdkafka's own events (errors, logs) are served.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// How many of them at once.
const NEWS_MOST: usize = 20;
/// How often the broker is asked about a place that it refuses, while it does not answer.
const RESET_EVERY: Duration = Duration::from_secs(1);

/// Reads its partitions through one queue; a lane is an index into `lanes`, `held`, `paused` and `partitions`.
///
/// Why a lane that is ahead of the others is held before it is paused: librdkafka discards what it has fetched of a paused
/// partition, and fetches it again.
pub struct KafkaReader {
    queue: Queue,
    client: Arc<KafkaClient>,
    lanes: Vec<Lane>,
    /// Lanes whose batches wait here.
    held: Vec<bool>,
    /// Lanes that librdkafka leaves unread.
    paused: Vec<bool>,
    /// A held lane is paused when this many bytes wait.
    hold_bytes: u64,
    partitions: Vec<Partition>,
    spec: SourceSpec,
    ends: Arc<Ends>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    news_at: Instant,
    guard: Arc<Guard>,
    /// Lanes whose place the broker refuses.
    reset: Vec<usize>,
    reset_at: Option<Instant>,
    /// The error after the records that must still be delivered.
    failure: Option<FeedError>,
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        let until = Instant::now() + wait;
        self.hold(paused)?;
        if let Some(batch) = self.batch(Instant::now()) {
            return Ok(Some(batch)); // a batch that is ready goes before new records
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure); // all records read before it have been handed on
        }
        loop {
            self.news()?;
            self.hold(paused)?;
            let mut taken = self.take(Duration::ZERO, TAKEN_MOST);
            self.set_anew()?;
            let now = Instant::now();
            if let Some(batch) = self.batch(now) {
                return Ok(Some(batch));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if now >= until {
                return Ok(None);
            }
            let read = self.lanes.iter().zip(&self.held).filter(|(_, held)| !**held);
            let oldest = read.filter_map(|(lane, _)| lane.since()).min();
            let mut due = oldest.map_or(until, |since| until.min(since + BATCH_AGE));
            if self.held.contains(&true) {
                due = due.min(now + HELD_CHECK); // it may be released before anything arrives
            }
            if taken == 0 {
                taken = self.take(due.saturating_duration_since(now), 1);
                if taken > 0 {
                    // more records follow the first: waking up for each would cost more than reading it
                    std::thread::sleep(GATHER);
                }
            }
            if taken == 0 && Instant::now() >= until {
                return Ok(self.batch(Instant::now()));
            }
        }
    }
}

impl KafkaReader {
    /// A reader of some partitions, each with its lane. Errors: librdkafka refuses a setting.
    pub fn new(
        spec: &SourceSpec,
        ends: &Arc<Ends>,
        guard: &Arc<Guard>,
        partitions: Vec<Partition>,
        lanes: Vec<Lane>,
    ) -> Result<KafkaReader, FeedError> {
        let (client, queue) = connect(spec, ends, &partitions, &lanes)?;
        Ok(KafkaReader {
            held: vec![false; lanes.len()],
            paused: vec![false; lanes.len()],
            hold_bytes: (spec.buffer_bytes / 2 / lanes.len().max(1)).clamp(256 << 10, 4 << 20) as u64,
            queue,
            client,
            lanes,
            partitions,
            spec: spec.clone(),
            ends: ends.clone(),
            decoder: wire::build(&spec.wire)?,
            instruments: InstrumentTable::default(),
            news_at: Instant::now(),
            guard: guard.clone(),
            reset: Vec::new(),
            reset_at: None,
            failure: None,
        })
    }

    /// Moves librdkafka's records into the lanes and returns the number of events.
    fn take(&mut self, wait: Duration, most: usize) -> usize {
        let KafkaReader { queue, lanes, partitions, decoder, instruments, failure, guard, reset, spec, .. } = self;
        let rules = spec.rules;
        queue.take(wait, most, &mut |lane, event| match event {
            // what a compacted topic has instead of a deleted record is no fact of the market
            QueueEvent::Record { offset, payload: None, .. } if rules > Rules::First => lanes[lane].pass(offset),
            QueueEvent::Record { offset, payload, received_at, witnessed, envelope } => {
                let from = &partitions[lane];
                let lane = &mut lanes[lane];
                if !lane.record(offset, payload.map_or(0, <[u8]>::len)) {
                    return;
                }
                let Some(payload) = payload else {
                    lane.pending.rejects.push(Reject {
                        offset,
                        received_at,
                        reason: "tombstone",
                        detail: "the record has no value".into(),
                        payload: Vec::new(),
                    });
                    return;
                };
                let envelope = Envelope { topic: Some(&from.topic), partition: Some(from.partition), ..envelope };
                match decoder.decode(&RawRecord { payload, offset, received_at, witnessed, envelope }, instruments) {
                    Ok(tick) => lane.pending.push(tick, payload),
                    Err(reject) => lane.pending.refuse(reject),
                }
            }
            QueueEvent::End { offset } => lanes[lane].end(offset),
            QueueEvent::Error { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, .. } => reset.push(lane),
            QueueEvent::Error { code, text } => {
                if failure.is_none() {
                    *failure = broken(guard, &partitions[lane], lanes[lane].next(), code, &text);
                }
            }
        })
    }

    /// The next batch that is full, old enough, or the last of its partition; after a failure any batch. Of several the one
    /// with the earliest event time, so that partitions advance together.
    fn batch(&mut self, now: Instant) -> Option<Batch> {
        let ready = self.lanes.iter().enumerate().filter(|(index, lane)| match lane.since() {
            None => false,
            Some(_) if self.failure.is_some() => true,
            Some(since) => !self.held[*index] && (lane.full() || now.saturating_duration_since(since) >= BATCH_AGE),
        });
        let (index, _) = ready.min_by_key(|(_, lane)| lane.first_at())?;
        Some(self.lanes[index].take(self.instruments.take_fresh()))
    }

    /// Holds lanes, and pauses and resumes their partitions in librdkafka.
    fn hold(&mut self, held: &dyn Fn(usize) -> bool) -> Result<(), FeedError> {
        let (mut stop, mut go) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (index, partition) in self.partitions.iter().enumerate() {
            let lane = &self.lanes[index];
            self.held[index] = held(lane.partition());
            let waiting = lane.waiting_bytes();
            let pause = match self.paused[index] {
                false => self.held[index] && waiting >= self.hold_bytes,
                true => waiting >= self.hold_bytes / 2,
            };
            if pause != self.paused[index] && !lane.finished() {
                let list = if pause { &mut stop } else { &mut go };
                list.add_partition(&partition.topic, partition.partition);
                self.paused[index] = pause;
            }
        }
        if stop.count() > 0 {
            self.client.consumer.pause(&stop).map_err(refused)?;
        }
        if go.count() > 0 {
            self.client.consumer.resume(&go).map_err(refused)?;
        }
        Ok(())
    }

    /// Lanes whose place the broker refuses continue after the deleted records, with a new client: librdkafka does not restart
    /// a partition that it has given up, and forgets the reader's queue at a new assignment. Error: no new client.
    fn set_anew(&mut self) -> Result<(), FeedError> {
        let waits = self.reset_at.is_some_and(|at| at.elapsed() < RESET_EVERY);
        if self.reset.is_empty() || waits || self.failure.is_some() {
            return Ok(());
        }
        for lane in self.reset.iter().copied().filter(|lane| !self.lanes[*lane].finished()).collect::<BTreeSet<_>>() {
            let (partition, next) = (&self.partitions[lane], self.lanes[lane].next());
            match self.client.consumer.fetch_watermarks(&partition.topic, partition.partition, ANSWER_WITHIN) {
                Err(error) => {
                    tracing::warn!(
                        partition = partition.name(),
                        offset = next,
                        %error,
                        "the broker refuses its place: will ask again"
                    );
                    self.reset_at = Some(Instant::now());
                    return Ok(());
                }
                Ok((first, end)) if next > end => {
                    let why = self.guard.confirm().err();
                    self.failure = Some(why.unwrap_or_else(|| cut_off(partition, next, first, end)));
                    return Ok(());
                }
                Ok((first, _)) => self.lanes[lane].lose(first),
            }
        }
        (self.reset, self.reset_at) = (Vec::new(), Some(Instant::now()));
        let (client, queue) = connect(&self.spec, &self.ends, &self.partitions, &self.lanes)?;
        (self.queue, self.client) = (queue, client);
        self.paused.fill(false);
        Ok(())
    }

    /// Serves librdkafka's own queue; only a fatal error ends the reader, because librdkafka reconnects after any other.
    fn news(&mut self) -> Result<(), FeedError> {
        if self.news_at.elapsed() < NEWS_EVERY {
            return Ok(());
        }
        self.news_at = Instant::now();
        if let Some(found) = self.guard.found() {
            return Err(found);
        }
        for _ in 0..NEWS_MOST {
            // `None` may also mean that a log line was served
            if let Some(Err(KafkaError::MessageConsumptionFatal(code))) = self.client.consumer.poll(Duration::ZERO) {
                let why = self.client.last_error().unwrap_or_else(|| code.to_string());
                return Err(FeedError::unavailable(format!("kafka: {why}")));
            }
        }
        Ok(())
    }
}

/// A client that reads each lane from its place on.
fn connect(
    spec: &SourceSpec,
    ends: &Arc<Ends>,
    partitions: &[Partition],
    lanes: &[Lane],
) -> Result<(Arc<KafkaClient>, Queue), FeedError> {
    let client = Arc::new(KafkaClient::with_ends(spec, ends.clone())?);
    let mut list = TopicPartitionList::new();
    for (partition, lane) in partitions.iter().zip(lanes).filter(|(_, lane)| !lane.finished()) {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(lane.next()))
            .map_err(refused)?;
    }
    let names: Vec<_> = partitions.iter().map(|partition| (partition.topic.clone(), partition.partition)).collect();
    // the queue first: it would miss records fetched before it exists
    let queue = Queue::new(client.clone(), &names, wire::build(&spec.wire)?.as_ref())?;
    client.consumer.assign(&list).map_err(refused)?;
    Ok((client, queue))
}

/// What an error of a partition means for the reader; `None`: librdkafka continues by itself.
fn broken(guard: &Guard, partition: &Partition, next: i64, code: Code, text: &str) -> Option<FeedError> {
    let name = partition.name();
    match code {
        Code::LogTruncation => Some(FeedError::fix(
            format!("partition {name}: records before offset {next} were read and no longer exist: {text}"),
            "an unclean election has lost records that were read; write to a new lake",
        )),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => {
            let gone = guard.confirm().err();
            if gone.is_none() {
                tracing::warn!(partition = name, %code, text, "kafka: a broker does not know the topic yet, others do");
            }
            gone
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Some(FeedError::fix(
            format!("partition {name} may not be read: {text}"),
            "grant the user of `source.kafka` the right to read the topic",
        )),
        Code::Fatal | Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::MessageSizeTooLarge => {
            Some(FeedError::unavailable(format!("partition {name}, offset {next}: {text}")))
        }
        _ => {
            tracing::warn!(partition = name, %code, text, "kafka: will try again");
            None
        }
    }
}
