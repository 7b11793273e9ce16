//! The first failure of a run, as every thread of it sees it.
//!
//! Why the first counts: later failures follow from it. What must hold: a thread that meets a failure sets it and ends.

use crate::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first failure of a run; a thread that sees it ends.
#[derive(Default)]
pub struct Failure {
    met: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    pub fn set(&self, error: Error) {
        if let Ok(mut first) = self.first.lock() {
            first.get_or_insert(error);
        }
        self.met.store(true, Ordering::Release);
    }

    pub fn is_met(&self) -> bool {
        self.met.load(Ordering::Acquire)
    }

    /// Shows the failure, if one was met and not yet taken.
    pub fn with_first(&self, show: impl FnOnce(&Error)) {
        if let Ok(first) = self.first.lock() {
            first.as_ref().map(show);
        }
    }

    pub fn take(&self) -> Option<Error> {
        self.first.lock().ok().and_then(|mut first| first.take())
    }
}
