//! Kafka: ticktide assigns the partitions and keeps their places in the lake, never in a consumer group.
//!
//! ```text
//!   librdkafka's fetchers ─▶ one queue per reader ─▶ decode in place ─▶ a lane per partition ─▶ batches, full or 5 ms old
//! ```
//!
//! Why offsets are counted and not only followed: an epoch must balance, so an offset without a record (compacted away, a
//! transaction's marker, an aborted record) is a gap that a batch reports, also after the last record. What must always hold:
//! `offset_next` of a batch = `offset_next` of the one before + records + gaps; `caught_up` is reported at the end that the
//! broker gives (the position there, not the last record + 1). With `read_committed` the end is the last stable offset, at
//! opening (`until_end`) and while reading.
//!
//! What may happen outside, and what follows: a broker goes away or a leader moves: librdkafka waits and reconnects. Records
//! are deleted before they are read: a gap, reported as `lost_range`. The log ends before ticktide's place (an unclean
//! election), a topic is deleted or recreated ([`guard`]): the run ends, and so would the next one. A topic gets more
//! partitions: the run ends, and the next one reads them.

mod client;
mod errors;
mod guard;
mod identity;
mod lane;
mod queue;
mod reader;
#[cfg(test)]
mod tests;
mod topics;

use crate::{Assignment, FeedError, Partition, Reader, Source, SourceKind, SourceSpec, StartFrom, wire};
use client::{ANSWER_WITHIN, Ends, KafkaClient};
use errors::{cut_off, missing, no_answer};
use guard::Guard;
use identity::{continues, source_id};
use lane::Lane;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use reader::KafkaReader;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once};
use ticktide_base::time::MILLI;

pub static KIND: SourceKind = SourceKind {
    name: "kafka",
    doc: "Kafka topics; every partition is read by exactly one worker, offsets live in the lake",
    open: |spec, resume| Ok(Arc::new(Kafka::open(spec, resume)?)),
};

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
            return Err(FeedError::fix("source kafka has no brokers", "give `--brokers HOST:PORT,…`"));
        }
        if spec.topics.is_empty() {
            return Err(FeedError::fix("source kafka has no topics", "give `--topic NAME` or `topics`"));
        }
        let client = KafkaClient::new(spec)?;
        let metadata = match client.consumer.fetch_metadata(None, ANSWER_WITHIN) {
            Ok(metadata) => metadata,
            Err(error) => return Err(no_answer(&spec.brokers, &why(&client, &error))),
        };
        let there: BTreeMap<&str, _> = metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
        let cluster = client.consumer.client().fetch_cluster_id(ANSWER_WITHIN).unwrap_or_default();
        let names: Vec<String> = spec.topics.iter().filter(|name| there.contains_key(name.as_str())).cloned().collect();
        let described = topics::describe(&client, &distinct(&names), ANSWER_WITHIN);
        let topics =
            described.map_err(|why| FeedError::unavailable(format!("the ids of the topics cannot be read: {why}")))?;
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
                let (first, end) = range.map_err(|error| no_answer(&spec.brokers, &why(&client, &error)))?;
                partition.offset_end = end;
                // a lake that is continued reads all of a partition that is new to it
                let from = if resume.is_empty() { spec.from } else { StartFrom::Earliest };
                partition.offset_start = match (resume.get(&partition.name()), from) {
                    // a place before the first offset: the records between are lost, which is reported when they are skipped
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

/// The names in order, each once.
fn distinct(names: &[String]) -> Vec<String> {
    names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Why a call failed: the broker's own reason, if there is one.
fn why(client: &KafkaClient, error: &KafkaError) -> String {
    client.last_error().unwrap_or_else(|| error.to_string())
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
        let partitions = assigned.iter().map(|assignment| self.partitions[assignment.partition].clone()).collect();
        let reader = KafkaReader::new(&self.spec, &self.ends, &self.guard, partitions, lanes)?;
        self.watched.call_once(|| self.guard.watch());
        Ok(Box::new(reader))
    }
}
