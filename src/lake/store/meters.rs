//! The figures of a store's requests: counted where requests are sent, read where they are shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Get,
    Put,
    Create,
    List,
    Delete,
    Size,
}

impl Operation {
    pub const ALL: [Operation; 6] =
        [Operation::Get, Operation::Put, Operation::Create, Operation::List, Operation::Delete, Operation::Size];

    /// Its name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Put => "put",
            Operation::Create => "create",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Size => "size",
        }
    }
}

/// Figures of one kind of request. They only grow.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    nanos: AtomicU64,
}

impl Meter {
    /// Requests that were answered or given up, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those that failed; "there is none" and "the name is taken" are answers.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Those that repeated a failed one.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The time that requests took, from sending to the whole answer; each of several parallel ones counts.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64()
    }

    pub(super) fn count(&self, took: Duration, failed: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// One meter for each kind of request.
#[derive(Debug, Default)]
pub struct StoreMeters {
    meters: [Meter; Operation::ALL.len()],
}

impl StoreMeters {
    pub fn of(&self, operation: Operation) -> &Meter {
        &self.meters[operation as usize]
    }

    /// All meters with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, &Meter)> {
        Operation::ALL.into_iter().map(|operation| (operation, self.of(operation)))
    }
}
