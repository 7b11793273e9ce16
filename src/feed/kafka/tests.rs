//! Promises of the Kafka source, against a broker in this process and, if one runs, a real one.

use super::identity::identity;
use super::*;
use crate::testing::{open, read_all};
use crate::{Batch, WireSpec};
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use std::time::{Duration, Instant};
use ticktide_base::rules::Rules;

/// A broker in this process.
struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn new(topics: &[(&str, i32)]) -> Broker {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).expect("a topic");
        }
        let producer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().expect("a producer");
        Broker { cluster, producer }
    }

    fn send(&self, topic: &str, partition: i32, payload: Option<&[u8]>) {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).timestamp(1_700_000_000_123).key(b"k");
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        self.producer.flush(Duration::from_secs(10)).expect("delivered");
    }

    fn trades(&self, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
        for number in numbers {
            let line = format!(
                "{{\"symbol\":\"S{partition}\",\"time\":{},\"price\":1,\"quantity\":1}}",
                1_700_000_000 + number
            );
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(topic).partition(partition).payload(line.as_bytes());
            self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        self.producer.flush(Duration::from_secs(10)).expect("delivered");
    }

    fn spec(&self, topics: &[&str]) -> SourceSpec {
        SourceSpec {
            uses: "kafka".into(),
            brokers: self.cluster.bootstrap_servers(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            wire: WireSpec { format: "json".into(), ..WireSpec::default() },
            buffer_bytes: 8 << 20,
            ..SourceSpec::default()
        }
    }
}

/// Polls until enough batches were read; checks that every batch follows the one before.
fn read(
    reader: &mut dyn Reader,
    places: &mut BTreeMap<usize, i64>,
    paused: &dyn Fn(usize) -> bool,
    enough: &dyn Fn(&[Batch]) -> bool,
) -> Vec<Batch> {
    let until = Instant::now() + Duration::from_secs(60);
    let mut batches = Vec::new();
    while !enough(&batches) {
        assert!(Instant::now() < until, "nothing more arrived: {batches:?}");
        let Some(batch) = reader.poll(Duration::from_millis(20), paused).expect("readable") else { continue };
        let place = places.entry(batch.partition).or_insert(batch.offset_next - (batch.records + batch.gaps) as i64);
        assert_eq!(batch.offset_next - *place, (batch.records + batch.gaps) as i64, "advanced = records + gaps");
        assert_eq!(batch.records as usize, batch.ticks.len() + batch.rejects.len());
        *place = batch.offset_next;
        batches.push(batch);
    }
    batches
}

fn count(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.records).sum()
}

fn offsets(batches: &[Batch], partition: usize) -> Vec<i64> {
    batches
        .iter()
        .filter(|batch| batch.partition == partition)
        .flat_map(|b| b.ticks.iter().map(|tick| tick.offset))
        .collect()
}

const NONE: &dyn Fn(usize) -> bool = &|_| false;

#[test]
fn every_partition_of_every_topic_is_read_from_its_own_place() {
    let broker = Broker::new(&[("a", 2), ("b", 1)]);
    broker.trades("a", 0, 0..30);
    broker.trades("a", 1, 0..20);
    broker.trades("b", 0, 0..10);
    let resume = BTreeMap::from([("a/1".to_owned(), 15), ("b/0".to_owned(), 10)]);
    let source = crate::open(&broker.spec(&["b", "a"]), &resume).expect("a source");
    let names: Vec<_> = source.partitions().iter().map(|p| (p.name(), p.offset_start, p.offset_end)).collect();
    assert_eq!(names, [("a/0".to_owned(), 0, 30), ("a/1".to_owned(), 15, 20), ("b/0".to_owned(), 10, 10)]);
    for partition in source.partitions() {
        let (_, id) = identity(&partition.source_id, &partition.topic).expect("a topic of a cluster");
        assert!(!id.is_empty(), "{}", partition.source_id);
        assert!(source.continues(partition, &partition.source_id).is_ok());
    }

    let mut reader = read_all(source.as_ref());
    let mut places = BTreeMap::new();
    let all_caught_up = |batches: &[Batch]| {
        (0..3).all(|partition| {
            batches.iter().rev().find(|b| b.partition == partition).is_some_and(|batch| batch.caught_up)
        })
    };
    let batches = read(reader.as_mut(), &mut places, NONE, &all_caught_up);
    assert_eq!(offsets(&batches, 0), (0..30).collect::<Vec<_>>());
    assert_eq!(offsets(&batches, 1), (15..20).collect::<Vec<_>>());
    assert_eq!(offsets(&batches, 2), Vec::<i64>::new());
    assert!(batches.iter().all(|batch| !batch.finished));
    assert_eq!(places, BTreeMap::from([(0, 30), (1, 20), (2, 10)]));
    // ids continue over the batches of one reader
    let names: Vec<_> = batches.iter().flat_map(|b| b.instruments.iter().map(|i| i.instrument().to_owned())).collect();
    for batch in &batches {
        for tick in &batch.ticks {
            assert_eq!(
                names[tick.instrument.0 as usize],
                format!("S{}", source.partitions()[batch.partition].partition)
            );
        }
    }
}

#[test]
fn new_records_end_the_idleness_and_the_end_is_told_again() {
    let broker = Broker::new(&[("a", 1)]);
    broker.trades("a", 0, 0..5);
    let source = open(&broker.spec(&["a"]));
    let (mut reader, mut places) = (read_all(source.as_ref()), BTreeMap::new());
    let caught_up = |batches: &[Batch]| batches.last().is_some_and(|batch| batch.caught_up);
    assert_eq!(count(&read(reader.as_mut(), &mut places, NONE, &caught_up)), 5);
    assert!(reader.poll(Duration::from_millis(300), NONE).expect("readable").is_none(), "no news");
    broker.trades("a", 0, 5..9);
    let batches = read(reader.as_mut(), &mut places, NONE, &|batches| count(batches) == 4 && caught_up(batches));
    assert_eq!(offsets(&batches, 0), [5, 6, 7, 8]);
}

/// Offsets and reasons of the rejects among a trade, junk, records without a value, an empty record and a trade; and the gaps.
fn odd_ones(rules: Rules) -> (Vec<(i64, &'static str)>, u64) {
    let broker = Broker::new(&[("a", 1)]);
    let trade = b"{\"symbol\":\"A\",\"time\":1700000000,\"price\":1,\"quantity\":1}";
    for value in [Some(&trade[..]), Some(b"junk \xff"), None, Some(b""), None, Some(trade)] {
        broker.send("a", 0, value);
    }
    let source = open(&SourceSpec { rules, until_end: true, ..broker.spec(&["a"]) });
    let finished = |batches: &[Batch]| batches.iter().any(|batch| batch.finished);
    let batches = read(read_all(source.as_ref()).as_mut(), &mut BTreeMap::new(), NONE, &finished);
    let received_at = Some(1_700_000_000_123_000_000);
    assert!(batches.iter().flat_map(|batch| &batch.ticks).all(|tick| tick.received_at == received_at));
    assert_eq!(offsets(&batches, 0).first().zip(offsets(&batches, 0).last()), Some((&0, &5)));
    let rejects: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).collect();
    assert!(rejects.iter().all(|reject| reject.received_at == received_at));
    assert_eq!(rejects[0].payload, b"junk \xff");
    let reasons = rejects.iter().map(|reject| (reject.offset, reject.reason)).collect();
    (reasons, batches.iter().map(|batch| batch.gaps).sum())
}

#[test]
fn junk_is_a_reject_with_its_time_of_arrival_and_a_record_without_a_value_is_a_gap() {
    let (reasons, gaps) = odd_ones(Rules::Second);
    // a client may return an empty value as none
    let empty = reasons.iter().filter(|reason| **reason == (3, "empty")).count();
    assert_eq!((reasons[0], reasons.len(), gaps), ((1, "not_utf8"), 1 + empty, 3 - empty as u64));
}

#[test]
fn a_record_without_a_value_is_a_reject_by_the_first_rules() {
    let (reasons, gaps) = odd_ones(Rules::First);
    assert_eq!((reasons[..2].to_vec(), gaps), (vec![(1, "not_utf8"), (2, "tombstone")], 0));
    assert_eq!(reasons.last(), Some(&(4, "tombstone")));
}

#[test]
fn until_end_stops_at_the_end_seen_at_opening() {
    let broker = Broker::new(&[("a", 2)]);
    broker.trades("a", 0, 0..3000);
    let source = open(&SourceSpec { until_end: true, ..broker.spec(&["a"]) });
    broker.trades("a", 0, 3000..3100);
    let mut reader = read_all(source.as_ref());
    let finished = |batches: &[Batch]| batches.iter().filter(|batch| batch.finished).count() == 2;
    let batches = read(reader.as_mut(), &mut BTreeMap::new(), NONE, &finished);
    assert_eq!(offsets(&batches, 0), (0..3000).collect::<Vec<_>>());
    assert!(batches.iter().filter(|batch| batch.finished).all(|batch| batch.caught_up));
    assert!(reader.poll(Duration::from_millis(300), NONE).expect("readable").is_none(), "nothing after the end");
}

#[test]
fn a_paused_partition_is_left_unread_and_read_on_without_loss() {
    let broker = Broker::new(&[("a", 2)]);
    broker.trades("a", 0, 0..500);
    broker.trades("a", 1, 0..500);
    let source = open(&broker.spec(&["a"]));
    let (mut reader, mut places) = (read_all(source.as_ref()), BTreeMap::new());
    let first = read(reader.as_mut(), &mut places, &|partition| partition == 0, &|batches| count(batches) == 500);
    assert!(first.iter().all(|batch| batch.partition == 1));
    let second = read(reader.as_mut(), &mut places, &|partition| partition == 1, &|batches| count(batches) == 500);
    assert_eq!(offsets(&second, 0), (0..500).collect::<Vec<_>>());
    broker.trades("a", 1, 500..510);
    assert!(
        reader
            .poll(Duration::from_millis(200), &|partition| partition == 1)
            .expect("readable")
            .is_none_or(|b| b.partition == 0)
    );
    let third = read(reader.as_mut(), &mut places, NONE, &|batches| count(batches) == 10);
    assert_eq!(offsets(&third, 1), (500..510).collect::<Vec<_>>());
}

#[test]
fn a_missing_topic_is_refused_with_the_topics_there_are() {
    let broker = Broker::new(&[("ticks", 1), ("quotes", 1)]);
    let error = crate::open(&broker.spec(&["tick"]), &BTreeMap::new()).map(|_| ()).expect_err("no such topic");
    let FeedError::Fix { message, hint } = error else { panic!("{error}") };
    assert_eq!(message, "topic \"tick\" does not exist");
    assert!(hint.contains("did you mean \"ticks\"") && hint.contains("quotes"), "{hint}");
}

#[test]
fn a_place_that_the_broker_does_not_have_is_named_with_what_it_has() {
    let broker = Broker::new(&[("a", 1)]);
    broker.trades("a", 0, 0..5);
    let error =
        crate::open(&broker.spec(&["a"]), &BTreeMap::from([("a/0".to_owned(), 7)])).map(|_| ()).expect_err("7 > 5");
    let FeedError::Fix { message, .. } = error else { panic!("{error}") };
    assert_eq!(message, "partition a/0: offset 7 is needed, available are 0 to 5");
    // the same while reading
    let source = open(&broker.spec(&["a"]));
    let mut reader = source.reader(&[Assignment { partition: 0, offset: 9 }]).expect("a reader");
    let until = Instant::now() + Duration::from_secs(30);
    let error = loop {
        assert!(Instant::now() < until, "the broker never refused");
        match reader.poll(Duration::from_millis(20), NONE) {
            Ok(batch) => assert!(batch.is_none_or(|batch| batch.records == 0)),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("offset 9 is needed, available are 0 to 5"), "{error}");
}

#[test]
fn a_broker_that_nobody_hears_is_named_in_ten_seconds() {
    let broker = Broker::new(&[]);
    let started = Instant::now();
    let spec = SourceSpec { brokers: "127.0.0.1:1".into(), ..broker.spec(&["a"]) };
    let error = crate::open(&spec, &BTreeMap::new()).map(|_| ()).expect_err("no broker");
    let FeedError::Unanswered { message, hint } = error else { panic!("{error}") };
    assert!(message.starts_with("no broker at 127.0.0.1:1 answers: "), "{message}");
    assert!(message.contains("refused"), "the reason, not only a time-out: {message}");
    assert!(hint.contains("--brokers"), "{hint}");
    assert!(started.elapsed() < Duration::from_secs(12));
}

#[test]
fn a_wrong_setting_is_named_and_a_secret_is_not_shown() {
    let broker = Broker::new(&[]);
    for (key, value) in [("no.such.setting", "1"), ("isolation.level", "sometimes"), ("ssl.key.pem", "hunter2")] {
        let spec = SourceSpec { kafka: BTreeMap::from([(key.into(), value.into())]), ..broker.spec(&["a"]) };
        let Err(error) = crate::open(&spec, &BTreeMap::new()).map(|_| ()) else { panic!("{key} is no setting") };
        let FeedError::Fix { message, hint } = &error else { continue };
        assert!(message.contains(key) || key.contains("pem") || message.contains("topic"), "{message}");
        assert!(!message.contains("hunter2") && !hint.contains("hunter2"));
    }
}

#[test]
fn a_topic_is_the_lakes_only_with_its_cluster_and_id_as_far_as_both_are_known() {
    let of = |cluster: &str, id: Option<&str>| source_id(cluster, "a.b", id);
    let partition =
        |source_id: String| Partition { topic: "a.b".into(), partition: 0, source_id, offset_start: 0, offset_end: 0 };
    let judge = |was: String, is: String| continues(&partition(is), &was).map_err(|error| error.to_string());
    for (was, is) in [
        (of("C", Some("X")), of("C", Some("X"))),
        (of("C", None), of("C", Some("X"))),
        (of("C", Some("X")), of("", Some("X"))),
        (of("", None), of("C", Some("X"))),
    ] {
        assert_eq!(judge(was.clone(), is.clone()), Ok(()), "{was} {is}");
    }
    let recreated = judge(of("C", Some("X")), of("C", Some("Y"))).expect_err("recreated");
    assert!(recreated.contains("deleted and recreated"), "{recreated}");
    assert!(recreated.contains("id X") && recreated.contains("id Y"), "{recreated}");
    let moved = judge(of("C", None), of("D", Some("X"))).expect_err("another cluster");
    assert!(moved.contains("cluster C") && moved.contains("lead to D"), "{moved}");
    assert!(judge("file:a".into(), of("C", None)).is_err());
}

#[test]
fn what_was_deleted_before_the_start_is_a_lost_range_and_reading_goes_on_behind_it() {
    let broker = Broker::new(&[("a", 1)]);
    broker.trades("a", 0, 0..5);
    let spec = broker.spec(&["a"]);
    let mut kafka = Kafka::open(&spec, &BTreeMap::from([("a/0".to_owned(), 1)])).expect("a source");
    kafka.firsts[0] = 3; // the mock's log begins at 0
    let mut reader = kafka.reader(&[Assignment { partition: 0, offset: 1 }]).expect("a reader");
    let batches = read(reader.as_mut(), &mut BTreeMap::new(), NONE, &|batches| count(batches) == 2);
    assert_eq!(offsets(&batches, 0), [3, 4]);
    let lost: Vec<_> = batches.iter().flat_map(|batch| batch.lost.clone()).collect();
    assert_eq!((lost, batches.iter().map(|batch| batch.gaps).sum::<u64>()), (vec![(1, 3)], 2));
}

#[test]
fn new_partitions_do_not_spoil_an_epoch_and_a_missing_topic_is_left_out() {
    let broker = Broker::new(&[("a", 1)]);
    let described = |partitions| BTreeMap::from([("a".to_owned(), topics::Topic { id: None, partitions })]);
    let guard = |partitions, until_end| {
        let client = KafkaClient::new(&broker.spec(&["a"])).expect("a client");
        Guard::new(client, described(partitions), until_end)
    };
    // described as if it had no partition when it was opened: the mock cannot add one
    for until_end in [false, true] {
        assert!(guard(0, until_end).confirm().is_ok(), "what was read is of the topic");
    }
    let names = ["a".to_owned(), "none".to_owned()];
    let client = KafkaClient::new(&broker.spec(&["a"])).expect("a client");
    let found = topics::describe(&client, &names, ANSWER_WITHIN).expect("an answer");
    assert_eq!(found.iter().map(|(name, topic)| (name.as_str(), topic.partitions)).collect::<Vec<_>>(), [("a", 1)]);
}

#[test]
fn a_new_lake_may_start_at_the_end() {
    let broker = Broker::new(&[("a", 1)]);
    broker.trades("a", 0, 0..5);
    let source = open(&SourceSpec { from: StartFrom::Latest, ..broker.spec(&["a"]) });
    assert_eq!(source.partitions()[0].offset_start, 5);
    broker.trades("a", 0, 5..6);
    let batches = read(read_all(source.as_ref()).as_mut(), &mut BTreeMap::new(), NONE, &|batches| count(batches) == 1);
    assert_eq!(offsets(&batches, 0), [5]);
}

/// The mock broker has no transactions.
#[test]
#[ignore = "needs a real broker on 127.0.0.1:19092"]
fn transactions_leave_gaps_and_an_open_one_is_the_end() {
    let brokers = "127.0.0.1:19092";
    let topic = format!(
        "tx-{}",
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
    );
    let admin: rdkafka::admin::AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin");
    let new = rdkafka::admin::NewTopic::new(&topic, 1, rdkafka::admin::TopicReplication::Fixed(1));
    futures::executor::block_on(admin.create_topics([&new], &rdkafka::admin::AdminOptions::new())).expect("created");
    let producer = |id: &str| -> BaseProducer {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", format!("{topic}-{id}"))
            .create()
            .expect("a producer");
        producer.init_transactions(Duration::from_secs(20)).expect("transactions");
        producer
    };
    let send = |producer: &BaseProducer, n: i64| {
        for number in 0..n {
            let line = format!("{{\"symbol\":\"S\",\"time\":{},\"price\":1,\"quantity\":1}}", 1_700_000_000 + number);
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(0).payload(line.as_bytes());
            producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        producer.flush(Duration::from_secs(10)).expect("delivered");
    };
    let ten = Duration::from_secs(10);
    let one = producer("one");
    one.begin_transaction().expect("begun");
    send(&one, 10); // 0..10, marker 10
    one.commit_transaction(ten).expect("committed");
    one.begin_transaction().expect("begun");
    send(&one, 5); // 11..16, marker 16
    one.abort_transaction(ten).expect("aborted");
    let broker = Broker::new(&[]);
    let spec = SourceSpec { brokers: brokers.into(), until_end: true, ..broker.spec(&[&topic]) };
    let source = open(&spec);
    assert_eq!(source.partitions()[0].offset_end, 17);
    let finished = |batches: &[Batch]| batches.last().is_some_and(|batch| batch.finished);
    let batches = read(read_all(source.as_ref()).as_mut(), &mut BTreeMap::new(), NONE, &finished);
    assert_eq!(offsets(&batches, 0), (0..10).collect::<Vec<_>>());
    assert_eq!((batches.iter().map(|b| b.gaps).sum::<u64>(), batches.last().expect("some").offset_next), (7, 17));

    // an open transaction: its first offset is the end
    let two = producer("two");
    two.begin_transaction().expect("begun");
    send(&two, 3); // 17..20
    let source = open(&spec);
    assert_eq!(source.partitions()[0].offset_end, 17, "the last stable offset");
    let live = open(&SourceSpec { until_end: false, ..spec.clone() });
    let (mut reader, mut places) = (read_all(live.as_ref()), BTreeMap::new());
    let caught_up = |batches: &[Batch]| batches.last().is_some_and(|batch| batch.caught_up);
    assert_eq!(count(&read(reader.as_mut(), &mut places, NONE, &caught_up)), 10);
    assert_eq!(places[&0], 17);
    two.commit_transaction(ten).expect("committed");
    let more = read(reader.as_mut(), &mut places, NONE, &|batches| count(batches) == 3 && caught_up(batches));
    assert_eq!(offsets(&more, 0), [17, 18, 19]);
    assert_eq!(places[&0], 21);
}

#[test]
fn a_lake_that_goes_on_reads_all_of_a_partition_that_is_new_to_it() {
    let broker = Broker::new(&[("a", 2)]);
    broker.trades("a", 0, 0..9);
    broker.trades("a", 1, 0..5);
    let starts = |resume: &BTreeMap<String, i64>| -> Vec<i64> {
        let spec = SourceSpec { from: StartFrom::Latest, ..broker.spec(&["a"]) };
        let source = crate::open(&spec, resume).expect("a source");
        source.partitions().iter().map(|partition| partition.offset_start).collect()
    };
    assert_eq!(starts(&BTreeMap::new()), [9, 5], "a new lake");
    assert_eq!(starts(&BTreeMap::from([("a/0".to_owned(), 7)])), [7, 0], "`from` is for a new lake");
}
