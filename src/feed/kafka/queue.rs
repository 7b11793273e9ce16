//! One queue for all partitions of a reader, read in batches.
//!
//! Why librdkafka's C interface: its batch call costs a quarter of `poll` (no event object for each record), and only the
//! message itself has the topic and the offset at which a partition ended; the safe interface gives only the partition's
//! number. What must always hold: a message's bytes are read only before it is destroyed; every pointer comes from librdkafka
//! and is given back to it once; the client outlives the queue.

#![allow(unsafe_code)]

use super::client::KafkaClient;
use crate::FeedError;
use crate::wire::Decoder;
use crate::wire::recorded::{Envelope, ORIGIN, RECEIVED_AT};
use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::time::{MILLI, Nanos};

/// What the queue holds of a partition.
pub enum QueueEvent<'a> {
    Record {
        offset: i64,
        payload: Option<&'a [u8]>,
        received_at: Option<Nanos>,
        /// The broker, not the producer, wrote `received_at`.
        witnessed: bool,
        envelope: Envelope<'a>,
    },
    /// The end for now, and the position there.
    End {
        offset: i64,
    },
    Error {
        code: RDKafkaErrorCode,
        text: String,
    },
}

/// The queue of a reader.
pub struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    lanes: HashMap<(String, i32), usize>,
    /// Lanes by librdkafka's topic handle, which stays while the partition is assigned.
    handles: HashMap<(usize, i32), usize, ahash::RandomState>,
    /// Whether the decoder needs headers: librdkafka reads them only on request.
    envelopes: bool,
    /// The headers it asks for by name.
    headers: Vec<CString>,
    _client: Arc<KafkaClient>,
}

// SAFETY: the queue is librdkafka's, whose functions may be called from any thread; `messages` is empty between calls.
unsafe impl Send for Queue {}

impl Queue {
    /// A queue that receives the partitions' records from now on; a partition's lane is its index in the list.
    pub fn new(
        client: Arc<KafkaClient>,
        partitions: &[(String, i32)],
        decoder: &dyn Decoder,
    ) -> Result<Queue, FeedError> {
        let native = client.consumer.client().native_ptr();
        // SAFETY: `native` lives as long as `client`, which the value keeps; the queue is destroyed in `drop`.
        let queue = unsafe { sys::rd_kafka_queue_new(native) };
        let made = Queue {
            queue,
            messages: Vec::new(),
            lanes: partitions.iter().cloned().enumerate().map(|(lane, partition)| (partition, lane)).collect(),
            handles: HashMap::default(),
            envelopes: decoder.wants_envelope(),
            // a name with a NUL is no header's
            headers: decoder.headers().iter().map(|name| CString::new(name.as_str()).unwrap_or_default()).collect(),
            _client: client.clone(),
        };
        for (topic, partition) in partitions {
            let unusable = || FeedError::unavailable(format!("kafka: no queue for {topic}/{partition}"));
            let name = CString::new(topic.as_str()).map_err(|_| unusable())?;
            // SAFETY: as above; librdkafka counts references, and this one to the partition's queue is given back at once.
            unsafe {
                let own = sys::rd_kafka_queue_get_partition(native, name.as_ptr(), *partition);
                if own.is_null() {
                    return Err(unusable());
                }
                sys::rd_kafka_queue_forward(own, queue);
                sys::rd_kafka_queue_destroy(own);
            }
        }
        Ok(made)
    }

    /// Passes up to `most` events to `show`, in order for each partition, and returns their number; waits at most `wait`.
    pub fn take(&mut self, wait: Duration, most: usize, show: &mut dyn FnMut(usize, QueueEvent<'_>)) -> usize {
        self.messages.clear();
        self.messages.resize(most, ptr::null_mut());
        let millis = i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: the array has room for `most` pointers; the count returned is how many were written.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue, millis, self.messages.as_mut_ptr(), most) };
        let count = usize::try_from(count).unwrap_or(0).min(most);
        let mut last = (ptr::null_mut(), -1, None);
        for index in 0..count {
            let pointer = self.messages[index];
            // SAFETY: librdkafka returns a valid message that belongs to the caller until it is destroyed below.
            let message = unsafe { &*pointer };
            if (message.rkt, message.partition) != (last.0, last.1) {
                last = (message.rkt, message.partition, self.lane(message.rkt, message.partition));
            }
            if let Some(lane) = last.2 {
                let mut found = Vec::new();
                let headers = self.envelopes.then_some(&self.headers[..]);
                show(lane, event(message, headers, &mut found));
            }
            // SAFETY: the borrow of its bytes has ended with `show`.
            unsafe { sys::rd_kafka_message_destroy(pointer) };
        }
        self.messages.clear();
        count
    }

    fn lane(&mut self, topic: *mut sys::rd_kafka_topic_t, partition: i32) -> Option<usize> {
        if let Some(lane) = self.handles.get(&(topic as usize, partition)) {
            return Some(*lane);
        }
        if topic.is_null() {
            return None;
        }
        // SAFETY: the message that holds `topic` is not destroyed yet; the name is a C string of librdkafka.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) };
        let lane = *self.lanes.get(&(name.to_str().ok()?.to_owned(), partition))?;
        self.handles.insert((topic as usize, partition), lane);
        Some(lane)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is owned since `new` and destroyed once; the client is dropped after this.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

/// `headers`: those the decoder asks for, if it needs the envelope; `found` keeps their values.
fn event<'a>(
    message: &'a sys::rd_kafka_message_t,
    headers: Option<&[CString]>,
    found: &'a mut Vec<Option<&'a [u8]>>,
) -> QueueEvent<'a> {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
            let payload = match message.payload.is_null() {
                true => None,
                // SAFETY: librdkafka guarantees `len` bytes there as long as the message lives.
                false => Some(unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) }),
            };
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            // SAFETY: both pointers are valid for the call.
            let millis = unsafe { sys::rd_kafka_message_timestamp(message, &mut kind) };
            let received_at = if millis > 0 { millis.checked_mul(MILLI) } else { None };
            let witnessed = kind == sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
            let envelope = headers.map_or(Envelope::default(), |headers| envelope(message, headers, found));
            QueueEvent::Record { offset: message.offset, payload, received_at, witnessed, envelope }
        }
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => QueueEvent::End { offset: message.offset },
        error => {
            // SAFETY: a C string that lives as long as the message.
            let text = unsafe {
                let text = sys::rd_kafka_message_errstr(message);
                if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
            };
            QueueEvent::Error { code: error.into(), text }
        }
    }
}

/// What surrounds a record's value: its key and the two headers that a decoder may need.
fn envelope<'a>(
    message: &'a sys::rd_kafka_message_t,
    asked: &[CString],
    into: &'a mut Vec<Option<&'a [u8]>>,
) -> Envelope<'a> {
    let key = match message.key.is_null() {
        true => None,
        // SAFETY: librdkafka guarantees `key_len` bytes there as long as the message lives.
        false => Some(unsafe { std::slice::from_raw_parts(message.key.cast::<u8>(), message.key_len) }),
    };
    let mut headers = ptr::null_mut();
    // SAFETY: both pointers are valid for the call; the headers stay the message's.
    let found = unsafe { sys::rd_kafka_message_headers(message, &mut headers) };
    if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
        return Envelope { key, ..Envelope::default() };
    }
    let value = |name: &CStr| {
        let (mut bytes, mut length) = (ptr::null(), 0);
        // SAFETY: `headers` is the living message's, the others are valid for the call.
        let found = unsafe { sys::rd_kafka_header_get_last(headers, name.as_ptr(), &mut bytes, &mut length) };
        match found {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR if bytes.is_null() => Some(&[][..]),
            // SAFETY: librdkafka guarantees `length` bytes there as long as the message lives.
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                Some(unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) })
            }
            _ => None,
        }
    };
    into.extend(asked.iter().map(|name| value(name)));
    let named = |name: &str| value(&CString::new(name).ok()?);
    let (origin, received_at) = (named(ORIGIN), named(RECEIVED_AT));
    Envelope { key, origin, received_at, headers: into, ..Envelope::default() }
}
