//! The reader thread of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use ticktide_base::failure::Failure;
use ticktide_base::panics::{PanicAt, Thread};
use ticktide_feed::{Batch, FeedError, Reader};
use timely::scheduling::SyncActivator;

/// Reads on a thread of its own into a bounded channel; a full one is the back-pressure.
pub fn read_on_a_thread(
    reader: Option<Box<dyn Reader>>,
    wake: SyncActivator,
    paused: Arc<Vec<AtomicBool>>,
    failure: Arc<Failure>,
    worker: usize,
    panic_at: PanicAt,
) -> Receiver<Result<Batch, FeedError>> {
    let (send, batches) = sync_channel(4);
    let Some(mut reader) = reader else { return batches };
    let read = move || {
        let is_paused = |partition: usize| paused[partition].load(Ordering::Relaxed);
        let mut batches = 0;
        while !failure.is_met() {
            let sent = match reader.poll(Duration::from_millis(50), &is_paused) {
                Ok(None) => continue,
                Ok(Some(batch)) => {
                    batches += 1;
                    panic_at.reach(Thread::Reader(worker), batches);
                    send.send(Ok(batch))
                }
                Err(error) => {
                    let _ = send.send(Err(error)); // fails only if the worker is gone and needs no error
                    let _ = wake.activate();
                    return;
                }
            };
            if sent.is_err() || wake.activate().is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(read)
        .expect("a thread can be started at the start of a run");
    batches
}
