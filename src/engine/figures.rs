//! Figures of a run: for its progress, for the report at its end, and for metrics scrapes.

use crate::toll::Toll;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ticktide_base::error::Error;
use ticktide_base::metrics::{Telemetry, Totals};
use ticktide_lake::{Meter, StoreMeters};

/// Figures of a run, for progress and the report at its end.
#[derive(Debug, Default)]
pub struct Meters {
    pub records: Arc<AtomicU64>,
    pub epochs: AtomicU64,
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub rejected: AtomicU64,
    pub pending: AtomicI64,
    pub rows: AtomicU64,
    pub corrections: AtomicU64,
    /// The records that came to nothing, in committed epochs.
    toll: Mutex<Toll>,
    /// Figures that are counted for scrapes only.
    pub telemetry: Telemetry,
}

impl Meters {
    /// The records that came to nothing so far.
    pub(crate) fn toll(&self) -> MutexGuard<'_, Toll> {
        self.toll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All figures in Prometheus' text format; `ends` as [`Telemetry::text`] takes them.
    pub fn text(&self, ends: &[Option<i64>]) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let totals = Totals {
            records: get(&self.records),
            accepted: get(&self.accepted),
            duplicates: get(&self.duplicates),
            rejected: get(&self.rejected),
            pending: self.pending.load(Ordering::Relaxed),
            epochs: get(&self.epochs),
            rows: get(&self.rows),
            corrections: get(&self.corrections),
        };
        self.telemetry.text(&totals, ends)
    }

    /// Serves the figures of the store's requests with the others.
    pub fn follow_store(&self, store: &Arc<StoreMeters>) -> Result<(), Error> {
        let figures: [(&str, &str, fn(&Meter) -> f64); 4] = [
            ("ticktide_store_requests_total", "Requests to the store, repeated ones included", |meter| {
                meter.requests() as f64
            }),
            ("ticktide_store_errors_total", "Requests to the store that failed", |meter| meter.errors() as f64),
            ("ticktide_store_retries_total", "Requests to the store that repeated a failed one", |meter| {
                meter.retries() as f64
            }),
            ("ticktide_store_seconds_total", "Seconds that requests to the store took", Meter::seconds),
        ];
        for (name, help, figure) in figures {
            let store = store.clone();
            let read = move || store.iter().map(|(operation, meter)| (operation.name(), figure(meter))).collect();
            let followed = self.telemetry.follow((name, help), "operation", read);
            followed.map_err(|error| Error::bug(format!("figures of the store: {error}")))?;
        }
        Ok(())
    }
}
