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
//!
//! What the outside may do meanwhile, and what becomes of it: a broker goes away, a leader moves: librdkafka waits and
//! connects again. Records are deleted before they are read: a gap, told as `lost_range`. The log is cut off behind our place
//! (an unclean election), a topic is deleted, or made anew ([`guard`]): the run ends, and the next one, too, would. A topic
//! gets more partitions: the run ends, and the next one reads them.

mod client;
mod guard;
mod lane;
mod queue;
#[cfg(test)]
mod tests;
mod topics;

use super::{
    Assignment, Batch, FeedError, InstrumentTable, Partition, Reader, Reject, Source, SourceKind, SourceSpec,
    StartFrom, nearest, wire,
};
use client::{Client, Ends, refused, unanswered};
use guard::Guard;
use lane::Lane;
use queue::{Event, Intake};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use ticktide_base::time::MILLI;
use wire::{Decoder, RawRecord};

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
/// How often a place that the broker refuses is asked about while nobody answers.
const RESET_EVERY: Duration = Duration::from_secs(1);

struct Kafka {
    spec: SourceSpec,
    partitions: Vec<Partition>,
    /// The first offset that each partition still has.
    firsts: Vec<i64>,
    ends: Arc<Ends>,
    guard: Arc<Guard>,
    watched: Once,
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
        let names: Vec<String> = spec.topics.iter().filter(|name| there.contains_key(name.as_str())).cloned().collect();
        let described = topics::describe(&client, &distinct(&names), ANSWER_WITHIN);
        let topics =
            described.map_err(|why| FeedError::Unavailable(format!("the topics' ids cannot be had: {why}")))?;
        let (mut partitions, mut firsts) = (Vec::new(), Vec::new());
        for topic in &distinct(&spec.topics) {
            let Some(found) = there.get(topic.as_str()).filter(|found| !found.partitions().is_empty()) else {
                return Err(missing(topic, there.keys().copied()));
            };
            let mut ids: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
            ids.sort_unstable();
            for id in ids {
                let mut partition = Partition {
                    topic: topic.clone(),
                    partition: id,
                    source_id: source_id(&cluster, topic, topics.get(topic).and_then(|topic| topic.id.as_deref())),
                    offset_start: 0,
                    offset_end: 0,
                };
                let range = client.consumer.fetch_watermarks(topic, id, ANSWER_WITHIN);
                let (first, end) = range.map_err(|error| no_answer(spec, &client, &error))?;
                partition.offset_end = end;
                // a lake that goes on reads all of a partition that is new to it
                let from = if resume.is_empty() { spec.from } else { StartFrom::Earliest };
                partition.offset_start = match (resume.get(&partition.name()), from) {
                    // one before the first: what lies between is lost, and told when it is passed over
                    (Some(place), _) if *place <= end => *place,
                    (Some(place), _) => return Err(cut_off(&partition, *place, first, end)),
                    (None, StartFrom::Earliest) => first,
                    (None, StartFrom::Latest) => end,
                    (None, StartFrom::At(at)) => {
                        let millis = at.div_euclid(MILLI) + i64::from(at.rem_euclid(MILLI) > 0);
                        client.offset_at(topic, id, millis)?.unwrap_or(end)
                    }
                };
                partitions.push(partition);
                firsts.push(first);
            }
        }
        let ends = Arc::new(Ends::new(&partitions));
        let guard = Arc::new(Guard::new(client, topics, spec.until_end));
        Ok(Kafka { spec: spec.clone(), partitions, firsts, ends, guard, watched: Once::new() })
    }
}

/// Names in their order, each once.
fn distinct(names: &[String]) -> Vec<String> {
    names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Which records the offsets of a topic count: the cluster's, the name's, those since the topic was made.
fn source_id(cluster: &str, topic: &str, id: Option<&str>) -> String {
    let id = id.map_or_else(String::new, |id| format!(":{id}"));
    format!("kafka:{cluster}/{topic}{id}")
}

/// The cluster and the topic's id of a [`source_id`]; empty: not known.
fn identity<'a>(source_id: &'a str, topic: &str) -> Option<(&'a str, &'a str)> {
    let (cluster, rest) = source_id.strip_prefix("kafka:")?.split_once('/')?;
    let id = rest.strip_prefix(topic)?;
    if id.is_empty() { Some((cluster, "")) } else { Some((cluster, id.strip_prefix(':')?)) }
}

/// Whether a partition is the one that the lake has read. What one side does not know cannot differ.
fn continues(partition: &Partition, recorded: &str) -> Result<(), FeedError> {
    let name = &partition.topic;
    let (Some(was), Some(is)) = (identity(recorded, name), identity(&partition.source_id, name)) else {
        return Err(FeedError::Fix(
            format!("partition {}: the lake has read it from {recorded}, not from Kafka", partition.name()),
            "read the source that the lake was made from, or write to a new lake with another `--warehouse`".into(),
        ));
    };
    let differ = |was: &str, is: &str| !was.is_empty() && !is.is_empty() && was != is;
    if differ(was.1, is.1) {
        return Err(guard::anew(name, was.1, is.1));
    }
    // a copy of a topic in another cluster counts its offsets anew
    if differ(was.0, is.0) {
        return Err(FeedError::Fix(
            format!("topic \"{name}\": the lake has read it from cluster {}, `--brokers` lead to {}", was.0, is.0),
            "name brokers of that cluster, or write to a new lake with another `--warehouse`".into(),
        ));
    }
    Ok(())
}

/// Nobody answered: the brokers' own words tell why.
fn no_answer(spec: &SourceSpec, client: &Client, error: &KafkaError) -> FeedError {
    let why = client.last_error().unwrap_or_else(|| error.to_string());
    FeedError::Unanswered(format!("no broker at {} answers: {why}", spec.brokers), unanswered(&why).into())
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

/// The log ends before our place: records that were read are not there any more.
fn cut_off(partition: &Partition, wanted: i64, first: i64, end: i64) -> FeedError {
    FeedError::Fix(
        format!("partition {}: offset {wanted} is wanted, available are {first} to {end}", partition.name()),
        "the topic was made anew, or an unclean election has cut it off behind what was read; write to a new lake"
            .into(),
    )
}

impl Source for Kafka {
    fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn ends(&self) -> Vec<Option<i64>> {
        self.ends.known()
    }

    fn confirm(&self) -> Result<(), FeedError> {
        self.guard.confirm()
    }

    fn continues(&self, partition: &Partition, recorded: &str) -> Result<(), FeedError> {
        continues(partition, recorded)
    }

    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
        let lanes: Vec<Lane> = assigned
            .iter()
            .map(|assignment| {
                let end = self.spec.until_end.then(|| self.partitions[assignment.partition].offset_end);
                let mut lane = Lane::new(assignment.partition, assignment.offset, end);
                lane.lose(self.firsts[assignment.partition]);
                lane
            })
            .collect();
        let partitions: Vec<Partition> =
            assigned.iter().map(|assignment| self.partitions[assignment.partition].clone()).collect();
        let (client, intake) = connect(&self.spec, &self.ends, &partitions, &lanes)?;
        self.watched.call_once(|| self.guard.watch());
        Ok(Box::new(KafkaReader {
            held: vec![false; lanes.len()],
            paused: vec![false; lanes.len()],
            hold_bytes: (self.spec.buffer_bytes / 2 / lanes.len().max(1)).clamp(256 << 10, 4 << 20) as u64,
            intake,
            client,
            lanes,
            partitions,
            spec: self.spec.clone(),
            ends: self.ends.clone(),
            decoder: wire::build(&self.spec.wire)?,
            instruments: InstrumentTable::default(),
            news_at: Instant::now(),
            guard: self.guard.clone(),
            reset: Vec::new(),
            reset_at: None,
            failure: None,
        }))
    }
}

/// A client that reads each lane from its place on.
fn connect(
    spec: &SourceSpec,
    ends: &Arc<Ends>,
    partitions: &[Partition],
    lanes: &[Lane],
) -> Result<(Arc<Client>, Intake), FeedError> {
    let client = Arc::new(Client::telling(spec, ends.clone())?);
    let mut list = TopicPartitionList::new();
    for (partition, lane) in partitions.iter().zip(lanes).filter(|(_, lane)| !lane.finished()) {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(lane.next()))
            .map_err(refused)?;
    }
    let names: Vec<_> = partitions.iter().map(|partition| (partition.topic.clone(), partition.partition)).collect();
    // the queue first: what is fetched before it stands would be lost to it
    let intake = Intake::new(client.clone(), &names, wire::build(&spec.wire)?.wants_envelope())?;
    client.consumer.assign(&list).map_err(refused)?;
    Ok((client, intake))
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
    spec: SourceSpec,
    ends: Arc<Ends>,
    decoder: Box<dyn Decoder>,
    instruments: InstrumentTable,
    news_at: Instant,
    guard: Arc<Guard>,
    /// Lanes whose place the broker refuses.
    reset: Vec<usize>,
    reset_at: Option<Instant>,
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
        let KafkaReader { intake, lanes, partitions, decoder, instruments, failure, guard, reset, .. } = self;
        intake.take(wait, most, &mut |lane, event| match event {
            Event::Record { offset, payload, received_at, envelope } => {
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
                match decoder.decode(&RawRecord { payload, offset, received_at, envelope }, instruments) {
                    Ok(tick) => lane.pending.push(tick, payload),
                    Err(reject) => lane.pending.rejects.push(reject),
                }
            }
            Event::End { offset } => lanes[lane].end(offset),
            Event::Error { code: Code::AutoOffsetReset | Code::OffsetOutOfRange, .. } => reset.push(lane),
            Event::Error { code, text } => {
                if failure.is_none() {
                    *failure = broken(guard, &partitions[lane], lanes[lane].next(), code, &text);
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

    /// Lanes whose place the broker refuses go on behind what it has deleted, with a client of their own: librdkafka does not
    /// start a partition again that it has given up, and forgets our queue when it is assigned anew. Error: no new client.
    fn set_anew(&mut self) -> Result<(), FeedError> {
        let waits = self.reset_at.is_some_and(|at| at.elapsed() < RESET_EVERY);
        if self.reset.is_empty() || waits || self.failure.is_some() {
            return Ok(());
        }
        for lane in self.reset.iter().copied().filter(|lane| !self.lanes[*lane].finished()).collect::<BTreeSet<_>>() {
            let (partition, next) = (&self.partitions[lane], self.lanes[lane].next());
            match self.client.consumer.fetch_watermarks(&partition.topic, partition.partition, ANSWER_WITHIN) {
                Err(error) => {
                    tracing::warn!(partition = partition.name(), offset = next, %error, "its place is refused: will ask again");
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
        let (client, intake) = connect(&self.spec, &self.ends, &self.partitions, &self.lanes)?;
        (self.intake, self.client) = (intake, client);
        self.paused.fill(false);
        Ok(())
    }

    /// Serves librdkafka's own queue; only a fatal error ends the reader, for everything else it connects again.
    fn news(&mut self) -> Result<(), FeedError> {
        if self.news_at.elapsed() < NEWS_EVERY {
            return Ok(());
        }
        self.news_at = Instant::now();
        if let Some(found) = self.guard.found() {
            return Err(found);
        }
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
fn broken(guard: &Guard, partition: &Partition, next: i64, code: Code, text: &str) -> Option<FeedError> {
    let name = partition.name();
    match code {
        Code::LogTruncation => Some(FeedError::Fix(
            format!("partition {name}: records before offset {next} were read and are gone: {text}"),
            "an unclean election has cut the log off behind what was read; write to a new lake".into(),
        )),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => {
            let gone = guard.confirm().err();
            if gone.is_none() {
                tracing::warn!(partition = name, %code, text, "kafka: a broker does not know it yet, others do");
            }
            gone
        }
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
