//! What a process has once for all its runs: its signals, its I/O threads, the channel to the parent that supervises it.
//!
//! Why once: a signal ends all that the process does, and a recomputation within a run needs no threads of its own. What must
//! hold: the I/O threads outlive every run on them, and at its end the process waits no longer than a second for the tasks that
//! still run on them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use ticktide_base::error::Error;
use ticktide_base::panics::PanicAt;
use ticktide_cluster::supervise::Heart;
use tokio::runtime::{Builder, Runtime};

/// How long the process waits at its end for the tasks that still run on the I/O threads.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The process that a run is in.
pub(crate) struct Process {
    /// Set by the first SIGINT or SIGTERM.
    pub stop: Arc<AtomicBool>,
    pub heart: Heart,
    pub panic_at: PanicAt,
    /// Present until the drop.
    io: Option<Runtime>,
}

impl Process {
    /// Handles the signals and starts the I/O threads. Errors: of the system; a malformed request to panic.
    pub fn start() -> Result<Process, Error> {
        let stop = stop_flag()?;
        let (heart, panic_at) = (Heart::inherited(), PanicAt::inherited()?);
        let io = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let io = io.map_err(|error| Error::bug(format!("the I/O threads do not start: {error}")))?;
        Ok(Process { stop, heart, panic_at, io: Some(io) })
    }

    /// The I/O threads.
    pub fn io(&self) -> &Runtime {
        self.io.as_ref().expect("only the drop takes it")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            io.shutdown_timeout(END_WITHIN);
        }
    }
}

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process with 130.
fn stop_flag() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()));
        registered.map_err(|error| Error::bug(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(stop)
}
