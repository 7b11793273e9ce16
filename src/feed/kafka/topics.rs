//! A topic apart from its name: the id that Kafka gave it when it was created, and its number of partitions.
//!
//! Why librdkafka's C interface: only its admin call returns the id, and the safe interface does not have that call. A topic
//! that was deleted and recreated has the same name, other records under the same offsets, and another id; librdkafka itself
//! reads on without an error. What must always hold: every object that librdkafka returns is given back once, and what it
//! points to is copied before.

#![allow(unsafe_code)]

use super::client::KafkaClient;
use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// `None`: the brokers are older than topic ids (2.8).
    pub id: Option<String>,
    pub partitions: usize,
}

/// The most brokers that are asked, one after the other, until one answers.
const ASKED_MOST: usize = 3;
/// The id that old brokers give for a topic without one.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Describes topics by their names; a topic that does not exist is left out. Error: no broker answered in time, or its error.
pub fn describe(client: &KafkaClient, names: &[String], within: Duration) -> Result<BTreeMap<String, Topic>, String> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let metadata = client.consumer.fetch_metadata(names.first().map(String::as_str), within);
    let metadata = metadata.map_err(|error| error.to_string())?;
    // first the broker that has just answered, if its number is known: librdkafka would wait for a controller that may be gone
    let answered = Some(metadata.orig_broker_id()).filter(|id| *id >= 0);
    let others = metadata.brokers().iter().map(|broker| broker.id());
    let mut last = Err("no broker is known".to_owned());
    for broker in answered.into_iter().chain(others).take(ASKED_MOST) {
        last = ask(client, names, broker, within);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// Asks one broker.
fn ask(
    client: &KafkaClient,
    names: &[String],
    broker: i32,
    within: Duration,
) -> Result<BTreeMap<String, Topic>, String> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    let native = client.consumer.client().native_ptr();
    // SAFETY: `native` lives as long as `client`; the topics' names are copied by the call that takes them, the collection
    // and the options by the request; each object is destroyed once, the event after everything in it was copied.
    unsafe {
        let queue = sys::rd_kafka_queue_new(native);
        let options =
            sys::rd_kafka_AdminOptions_new(native, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        // they refuse only impossible values, and then keep their defaults
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis.max(1), ptr::null_mut(), 0);
        sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(native, topics, options, queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        // the request times out by itself; without an answer a little later librdkafka itself hangs
        let event = sys::rd_kafka_queue_poll(queue, millis.saturating_add(1_000));
        let found = if event.is_null() { Err("no answer".to_owned()) } else { read(event) };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        found
    }
}

/// # Safety
/// `event` must be an event of librdkafka that is not destroyed yet.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> Result<BTreeMap<String, Topic>, String> {
    // SAFETY: as above; each pointer is read only where librdkafka guarantees that it is valid.
    unsafe {
        if sys::rd_kafka_event_error(event) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(sys::rd_kafka_event_error_string(event)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("an answer to another request".to_owned());
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut found = BTreeMap::new();
        for index in 0..count {
            let topic = *topics.add(index);
            let name = text(sys::rd_kafka_TopicDescription_name(topic));
            let error = sys::rd_kafka_TopicDescription_error(topic);
            let code: RDKafkaErrorCode = match error.is_null() {
                true => RDKafkaErrorCode::NoError,
                false => sys::rd_kafka_error_code(error).into(),
            };
            match code {
                RDKafkaErrorCode::NoError => {}
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopicId => continue,
                _ => return Err(format!("topic \"{name}\": {}", text(sys::rd_kafka_error_string(error)))),
            }
            let id = sys::rd_kafka_TopicDescription_topic_id(topic);
            let id = if id.is_null() { String::new() } else { text(sys::rd_kafka_Uuid_base64str(id)) };
            let mut partitions = 0;
            sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
            let id = (!id.is_empty() && id != NO_ID).then_some(id);
            found.insert(name, Topic { id, partitions });
        }
        Ok(found)
    }
}

/// # Safety
/// `pointer` must be null or a C string that lives during the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
