//! From the connection to the producer: a queue bounded by bytes, and the thread that puts frames into the sink.
//!
//! ```text
//!   websocket | MQTT ──Outlet::take──▶ at most 16 MiB ──▶ writer thread ──Sink::put──▶ librdkafka's queue (64 MiB) ──▶ Kafka
//!        waits for room ◀──────────────────┘                     waits for room ◀──────┘
//! ```
//!
//! Why a thread: a sink may wait, and the connection must go on answering pings meanwhile. What must always hold: every frame
//! taken is put into the sink, in the order of taking, or the connector ends with an error.

use super::figures::Figures;
use crate::produce::{Frame, Sink, destination};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticktide_base::time::Nanos;
use ticktide_feed::FeedError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that may wait for the producer; the largest message fits.
const ROOM: usize = 16 << 20;
/// The memory that a frame takes in addition to its bytes.
const FRAME_COST: usize = 256;
/// How often the writer tends the sink.
const TENDED_EVERY: Duration = Duration::from_millis(200);
/// How long to wait before a topic is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A frame on its way to the sink.
#[derive(Debug)]
pub struct QueuedFrame {
    /// `None`: the topic of frames of its kind.
    pub topic: Option<String>,
    pub key: Option<String>,
    pub origin: String,
    pub received_at: Nanos,
    pub payload: Vec<u8>,
}

impl QueuedFrame {
    /// A frame of the feed.
    pub fn frame(origin: impl Into<String>, received_at: Nanos, payload: impl Into<Vec<u8>>) -> QueuedFrame {
        QueuedFrame { topic: None, key: None, origin: origin.into(), received_at, payload: payload.into() }
    }
}

/// Frames are no longer taken: the sink has failed or is closed.
#[derive(Debug)]
pub struct Closed;

/// The end of the queue to which connections hand frames.
#[derive(Clone, Debug)]
pub struct Outlet {
    frames: UnboundedSender<(QueuedFrame, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Outlet {
    /// Hands a frame on; waits while there is no room.
    pub async fn take(&self, frame: QueuedFrame) -> Result<(), Closed> {
        let cost = (frame.payload.len() + frame.origin.len() + FRAME_COST).min(ROOM);
        let room = self.room.clone().acquire_many_owned(cost as u32).await.map_err(|_| Closed)?;
        self.frames.send((frame, room)).map_err(|_| Closed)
    }

    /// Bytes that are waiting.
    pub fn waiting(&self) -> usize {
        ROOM - self.room.available_permits().min(ROOM)
    }
}

/// The other end of an [`Outlet`].
#[derive(Debug)]
pub struct QueueReceiver {
    frames: UnboundedReceiver<(QueuedFrame, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Both ends.
pub fn queue() -> (Outlet, QueueReceiver) {
    let (sender, frames) = unbounded_channel();
    let room = Arc::new(Semaphore::new(ROOM));
    (Outlet { frames: sender, room: room.clone() }, QueueReceiver { frames, room })
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        // a connection that waits for room gets `Closed`
        self.room.close();
    }
}

impl QueueReceiver {
    /// Puts frames into the sink until every [`Outlet`] is gone or the sink is closed. Errors: the sink's.
    pub fn write(
        mut self,
        sink: &mut dyn Sink,
        prefix: &str,
        figures: &Figures,
        runtime: &Handle,
    ) -> Result<(), FeedError> {
        let mut tended_at = Instant::now();
        while let Some(next) = self.next(runtime) {
            if let Some((frame, room)) = next {
                put(sink, prefix, &frame)?;
                drop(room);
            }
            // also while the feed never pauses
            if tended_at.elapsed() >= TENDED_EVERY {
                sink.tend()?;
                tended_at = Instant::now();
            }
            figures.in_flight.set(sink.in_flight() as i64);
            if sink.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// The next frame. `Some(None)`: none came for a while; `None`: no more will come.
    fn next(&mut self, runtime: &Handle) -> Option<Option<(QueuedFrame, OwnedSemaphorePermit)>> {
        match self.frames.try_recv() {
            Ok(frame) => return Some(Some(frame)),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        let waited = runtime.block_on(async { tokio::time::timeout(TENDED_EVERY, self.frames.recv()).await });
        waited.map_or(Some(None), |frame| frame.map(Some))
    }
}

fn put(sink: &mut dyn Sink, prefix: &str, taken: &QueuedFrame) -> Result<(), FeedError> {
    let destination = match &taken.topic {
        None => destination(prefix, taken.origin.as_bytes(), &taken.payload),
        Some(topic) => crate::produce::Destination { topic: topic.clone(), key: taken.key.clone() },
    };
    // unreachable brokers cannot create a topic: the frame waits, as frames of other topics do
    while let Err(error) = sink.prepare(&destination.topic) {
        match error {
            FeedError::Unavailable { message: why } => {
                tracing::warn!(topic = destination.topic, why, "Kafka cannot be reached, frames wait")
            }
            other => return Err(other),
        }
        sink.tend()?;
        std::thread::sleep(AGAIN_AFTER);
    }
    sink.put(&Frame {
        topic: &destination.topic,
        key: destination.key.as_deref().map(str::as_bytes),
        origin: taken.origin.as_bytes(),
        received_at: Some(taken.received_at),
        payload: &taken.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Takes frames while it is open.
    #[derive(Default)]
    struct Door {
        open: AtomicBool,
        taken: Mutex<Vec<(String, Vec<u8>)>>,
    }

    struct Behind(Arc<Door>);

    impl Sink for Behind {
        fn put(&mut self, frame: &Frame<'_>) -> Result<(), FeedError> {
            while !self.0.open.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.0.taken.lock().expect("whole").push((frame.topic.to_owned(), frame.payload.to_owned()));
            Ok(())
        }

        fn finish(&mut self) -> Result<u64, FeedError> {
            Ok(0)
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_sink_that_takes_nothing_makes_the_connection_wait_and_gets_all_in_order_later() {
        let (runtime, door) = (runtime(), Arc::<Door>::default());
        let (outlet, inlet) = queue();
        let (handle, behind) = (runtime.handle().clone(), door.clone());
        let writer = std::thread::spawn(move || {
            inlet.write(&mut Behind(behind), "p-", &Figures::default(), &handle).expect("written");
        });
        let big = |number: u8| QueuedFrame::frame("junk", 1, vec![number; 1 << 20]);
        let mut given = 0u8;
        runtime.block_on(async {
            while tokio::time::timeout(Duration::from_millis(300), outlet.take(big(given))).await.is_ok() {
                given += 1;
            }
        });
        // 16 MiB minus what frames cost in addition to their bytes
        assert_eq!(given, 15);
        assert!(outlet.waiting() > 14 << 20);
        door.open.store(true, Ordering::Relaxed);
        runtime.block_on(outlet.take(big(given))).expect("there is room again");
        drop(outlet);
        writer.join().expect("no panic");
        let taken = door.taken.lock().expect("whole");
        assert!(taken.iter().map(|(topic, payload)| (topic.as_str(), payload[0])).eq((0..16).map(|n| ("p-other", n))));
    }

    #[test]
    fn a_sink_is_tended_to_while_frames_never_pause() {
        #[derive(Default)]
        struct Tended {
            puts: u32,
            done: Arc<AtomicBool>,
        }
        impl Sink for Tended {
            fn put(&mut self, _: &Frame<'_>) -> Result<(), FeedError> {
                self.puts += 1;
                Ok(())
            }
            fn tend(&mut self) -> Result<(), FeedError> {
                self.done.store(self.puts > 0, Ordering::Relaxed);
                Ok(())
            }
            fn is_closed(&self) -> bool {
                self.done.load(Ordering::Relaxed)
            }
            fn finish(&mut self) -> Result<u64, FeedError> {
                Ok(0)
            }
        }
        let (runtime, done) = (runtime(), Arc::<AtomicBool>::default());
        let (outlet, inlet) = queue();
        let (handle, mut sink) = (runtime.handle().clone(), Tended { puts: 0, done: done.clone() });
        let writer = std::thread::spawn(move || inlet.write(&mut sink, "", &Figures::default(), &handle));
        let (begun, mut given) = (Instant::now(), 0u64);
        while runtime.block_on(outlet.take(QueuedFrame::frame("x", 1, "y"))).is_ok() && begun.elapsed().as_secs() < 10 {
            given += 1;
        }
        drop(outlet);
        assert!(writer.join().expect("no panic").is_ok());
        assert!(done.load(Ordering::Relaxed), "not once in {given} frames");
    }

    #[test]
    fn a_sink_that_fails_ends_the_connection() {
        struct Failing;
        impl Sink for Failing {
            fn put(&mut self, _: &Frame<'_>) -> Result<(), FeedError> {
                Err(FeedError::unavailable("gone"))
            }
            fn finish(&mut self) -> Result<u64, FeedError> {
                Ok(0)
            }
        }
        let runtime = runtime();
        let (outlet, inlet) = queue();
        runtime.block_on(outlet.take(QueuedFrame::frame("x", 1, "y"))).expect("room");
        assert!(inlet.write(&mut Failing, "", &Figures::default(), runtime.handle()).is_err());
        assert!(runtime.block_on(outlet.take(QueuedFrame::frame("x", 1, "y"))).is_err());
    }
}
