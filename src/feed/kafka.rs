//! Kafka: partitions assigned by us, places kept by us (in the lake), never a consumer group's.
//!
//! ```text
//!   librdkafka's fetchers ─▶ one queue per reader ─▶ decode in place ─▶ a lane per partition ─▶ batches, full or 5 ms old
//! ```
//!
//! Why offsets are counted and not only followed: an epoch must balance, so an offset that no record has (compacted away,
//! a transaction's marker, an aborted record) is a gap that some batch reports, also behind the last record. What must
//! always hold: `offset_next` of a batch = that of the one before + records + gaps; `caught_up` is said at the end that the
//! broker reported (the position there, not the last record + 1). With `read_committed` the end is the last stable offset,
//! at opening (`until_end`) and while reading.

mod client;
mod lane;
mod queue;

use super::{
    Assignment, Batch, FeedError, InstrumentTable, Partition, Reader, Reject, Source, SourceKind, SourceSpec,
    StartFrom, nearest, wire,
};
use crate::time::MILLI;
use client::{Client, Ends, refused, unanswered};
use lane::Lane;
use queue::{Event, Intake};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Decoder;

pub static KIND: SourceKind = SourceKind {
    name: "kafka",
    doc: "Kafka topics; every partition is read by exactly one worker, offsets live in the lake",
    open: |spec, resume| Ok(Arc::new(Kafka::open(spec, resume)?)),
};

/// How long any question to the brokers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// A batch that is not full is handed on at this age.
const BATCH_AGE: Duration = Duration::from_millis(5);
/// How long records are left to gather behind the first of them.
const GATHER: Duration = Duration::from_micros(500);
/// How often a held lane is looked at when nothing comes.
const HELD_LOOK: Duration = Duration::from_millis(2);
/// Records taken from librdkafka at once.
const TAKEN_MOST: usize = 2000;
/// How often librdkafka's own news (errors, logs) are served.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// How much of it at once.
const NEWS_MOST: usize = 20;

struct Kafka {
    spec: SourceSpec,
    partitions: Vec<Partition>,
    ends: Arc<Ends>,
}

impl Kafka {
    fn open(spec: &SourceSpec, resume: &BTreeMap<String, i64>) -> Result<Kafka, FeedError> {
        wire::build(&spec.wire)?;
        if spec.brokers.is_empty() {
            return Err(FeedError::Fix("source kafka has no brokers".into(), "give `--brokers HOST:PORT,…`".into()));
        }
        if spec.topics.is_empty() {
            return Err(FeedError::Fix("source kafka has no topics".into(), "give `--topic NAME` or `topics`".into()));
        }
        let client = Client::new(spec)?;
        let metadata = match client.consumer.fetch_metadata(None, ANSWER_WITHIN) {
            Ok(metadata) => metadata,
            Err(error) => return Err(no_answer(spec, &client, &error)),
        };
        let there: BTreeMap<&str, _> = metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
        let cluster = client.consumer.client().fetch_cluster_id(ANSWER_WITHIN).unwrap_or_default();
        let mut partitions = Vec::new();
        for topic in spec.topics.iter().collect::<std::collections::BTreeSet<_>>() {
            let Some(found) = there.get(topic.as_str()).filter(|found| !found.partitions().is_empty()) else {
                return Err(missing(topic, there.keys().copied()));
            };
            let mut ids: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
            ids.sort_unstable();
            for id in ids {
                let mut partition = Partition {
                    topic: topic.clone(),
                    partition: id,
                    source_id: format!("kafka:{cluster}/{topic}"),
                    offset_start: 0,
                    offset_end: 0,
                };
                let range = client.consumer.fetch_watermarks(topic, id, ANSWER_WITHIN);
                let (first, end) = range.map_err(|error| no_answer(spec, &client, &error))?;
                partition.offset_end = end;
                partition.offset_start = match (resume.get(&partition.name()), spec.from) {
                    (Some(place), _) if (first..=end).contains(place) => *place,
                    (Some(place), _) => return Err(out_of_range(&partition, *place, first, end)),
                    (None, StartFrom::Earliest) => first,
                    (None, StartFrom::Latest) => end,
                    (None, StartFrom::At(at)) => {
                        let millis = at.div_euclid(MILLI) + i64::from(at.rem_euclid(MILLI) > 0);
                        client.offset_at(topic, id, millis)?.unwrap_or(end)
                    }
                };
                partitions.push(partition);
            }
        }
        let ends = Arc::new(Ends::new(&partitions));
        Ok(Kafka { spec: spec.clone(), partitions, ends })
    }
}

/// Nobody answered: the brokers' own words tell why.
fn no_answer(spec: &SourceSpec, client: &Client, error: &KafkaError) -> FeedError {
    let why = client.last_error().unwrap_or_else(|| error.to_string());
    FeedError::Fix(format!("no broker at {} answers: {why}", spec.brokers), unanswered(&why).into())
}

fn missing<'a>(topic: &str, there: impl Iterator<Item = &'a str>) -> FeedError {
    let there: Vec<&str> = there.filter(|name| !name.starts_with("__")).collect();
    let hint = match (nearest(topic, &there), there.len()) {
        (_, 0) => "the cluster has no topics that this user may see; create the topic first".into(),
        (Some(name), _) => format!("did you mean \"{name}\"? there are: {}", listed(&there)),
        (None, _) => format!("there are: {}", listed(&there)),
    };
    FeedError::Fix(format!("topic \"{topic}\" does not exist"), hint)
}

/// Some names, not a page of them.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn out_of_range(partition: &Partition, wanted: i64, first: i64, end: i64) -> FeedError {
    let why = if wanted < first {
        "the broker has deleted what comes next (its retention was shorter than the pause)"
    } else {
        "the topic was truncated or made anew"
    };
    FeedError::Fix(
        format!("partition {}: offset {wanted} is wanted, available are {first} to {end}", partition.name()),
        format!("{why}; write to a new lake, or read a topic that still has these records"),
    )
}

impl Source for Kafka {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn ends(&self) -> Vec<Option<i64>> {
        self.ends.known()
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        let lanes: Vec<Lane> = assigned
            .iter()
            .map(|assignment| {
                let end = self.spec.until_end.then(|| self.partitions[assignment.partition].offset_end);
                Lane::new(assignment.partition, assignment.offset, end)
            })
            .collect();
        let client = Arc::new(Client::telling(&self.spec, self.ends.clone())?);
        let mut list = TopicPartitionList::new();
        let mut names = Vec::new();
        for (lane, assignment) in assigned.iter().enumerate() {
            let partition = &self.partitions[assignment.partition];
            names.push((partition.topic.clone(), partition.partition));
            if !lanes[lane].finished() {
                list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(assignment.offset))
                    .map_err(refused)?;
            }
        }
        // the queue first: what is fetched before it stands would be lost to it
        let intake = Intake::new(client.clone(), &names)?;
        client.consumer.assign(&list).map_err(refused)?;
        Ok(Box::new(KafkaReader {
            held: vec![false; lanes.len()],
            paused: vec![false; lanes.len()],
            hold_bytes: (self.spec.buffer_bytes / 2 / lanes.len().max(1)).clamp(256 << 10, 4 << 20) as u64,
            intake,
            client,
            lanes,
            partitions: assigned.iter().map(|assignment| self.partitions[assignment.partition].clone()).collect(),
            decoder: wire::build(&self.spec.wire)?,
            instruments: InstrumentTable::default(),
            news_at: Instant::now(),
            failure: None,
        }))
    }
}

/// Reads its partitions through one queue; a lane is an index into `lanes`, `held`, `paused` and `partitions`.
///
/// Why a lane that is ahead of the others is held before it is paused: librdkafka throws away what it has fetched of a
/// partition that is paused, and fetches it again.
struct KafkaReader {
    intake: Intake,
    client: Arc<Client>,
    lanes: Vec<Lane>,
    /// Lanes whose batches wait here.
    held: Vec<bool>,
    /// Lanes that librdkafka leaves unread.
    paused: Vec<bool>,
    /// A held lane with this much waiting is paused.
    hold_bytes: u64,
    partitions: Vec<Partition>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    news_at: Instant,
    /// What broke behind the records that are still to be delivered.
    failure: Option<FeedError>,
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError> {
        let until = Instant::now() + wait;
        self.hold(paused)?;
        if let Some(batch) = self.batch(Instant::now()) {
            return Ok(Some(batch)); // what is ready goes before what could be read
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure); // all that was read before it has been handed on
        }
        loop {
            self.news()?;
            self.hold(paused)?;
            let mut taken = self.take(Duration::ZERO, TAKEN_MOST);
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
                due = due.min(now + HELD_LOOK); // it may be let go before anything comes
            }
            if taken == 0 {
                taken = self.take(due.saturating_duration_since(now), 1);
                if taken > 0 {
                    // behind the first record more are coming: being woken for each would cost more than reading it
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
    /// Takes what librdkafka has into the lanes; the number of events.
    fn take(&mut self, wait: Duration, most: usize) -> usize {
        let KafkaReader { intake, lanes, partitions, decoder, instruments, failure, client, .. } = self;
        intake.take(wait, most, &mut |lane, event| match event {
            Event::Record { offset, payload, received_at } => {
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
                match decoder.decode(payload, offset, received_at, instruments) {
                    Ok(tick) => lane.pending.push(tick, payload),
                    Err(reject) => lane.pending.rejects.push(reject),
                }
            }
            Event::End { offset } => lanes[lane].end(offset),
            Event::Error { code, text } => {
                if failure.is_none() {
                    *failure = broken(client, &partitions[lane], lanes[lane].next(), code, &text);
                }
            }
        })
    }

    /// The next batch that is full, old enough, or the last of its partition; after a failure whatever was read. Of
    /// several that of the earliest event time, so that partitions advance together.
    fn batch(&mut self, now: Instant) -> Option<Batch> {
        let ready = self.lanes.iter().enumerate().filter(|(index, lane)| match lane.since() {
            None => false,
            Some(_) if self.failure.is_some() => true,
            Some(since) => !self.held[*index] && (lane.full() || now.saturating_duration_since(since) >= BATCH_AGE),
        });
        let (index, _) = ready.min_by_key(|(_, lane)| lane.first_at())?;
        Some(self.lanes[index].take(self.instruments.take_fresh()))
    }

    /// Holds lanes back, and tells librdkafka which partitions to leave unread.
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

    /// Serves librdkafka's own queue; only a fatal error ends the reader, for everything else it connects again.
    fn news(&mut self) -> Result<(), FeedError> {
        if self.news_at.elapsed() < NEWS_EVERY {
            return Ok(());
        }
        self.news_at = Instant::now();
        for _ in 0..NEWS_MOST {
            // `None` may also mean that a line of log was served
            if let Some(Err(KafkaError::MessageConsumptionFatal(code))) = self.client.consumer.poll(Duration::ZERO) {
                let why = self.client.last_error().unwrap_or_else(|| code.to_string());
                return Err(FeedError::Unavailable(format!("kafka: {why}")));
            }
        }
        Ok(())
    }
}

/// What an error of a partition means for the reader: `None` where librdkafka goes on by itself.
fn broken(client: &Client, partition: &Partition, next: i64, code: RDKafkaErrorCode, text: &str) -> Option<FeedError> {
    use RDKafkaErrorCode as Code;
    let name = partition.name();
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            let range = client.consumer.fetch_watermarks(&partition.topic, partition.partition, ANSWER_WITHIN);
            Some(match range {
                Ok((first, end)) => out_of_range(partition, next, first, end),
                Err(_) => FeedError::Unavailable(format!("partition {name}: offset {next} is not available: {text}")),
            })
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Some(FeedError::Fix(
            format!("partition {name} is gone: {text}"),
            "was the topic deleted? read another one into a new lake".into(),
        )),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Some(FeedError::Fix(
            format!("partition {name} may not be read: {text}"),
            "give the user of `source.kafka` the right to read the topic".into(),
        )),
        Code::Fatal | Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::MessageSizeTooLarge => {
            Some(FeedError::Unavailable(format!("partition {name}, offset {next}: {text}")))
        }
        _ => {
            tracing::warn!(partition = name, %code, text, "kafka: will try again");
            None
        }
    }
}

#[cfg(test)]
mod tests;
