//! The figures of a run, as Prometheus scrapes them: `GET /metrics` on the address of `--metrics`.
//!
//! ```text
//!   workers, commit task ──▶ Telemetry (counters, gauges, histograms) ◀── scrape ── HTTP on a thread of its own
//!   store, other stages  ──▶ Telemetry::follow (their totals)
//! ```
//!
//! Why a thread of its own: figures are needed most when the I/O threads hang. What must always hold: the address is bound
//! before a lake is touched; an answer is computed at the scrape, so a run without a scraper pays next to nothing; no label
//! holds a secret of a setting.

mod http;
#[cfg(test)]
mod tests;

use crate::time::{Nanos, SECOND};
pub use http::{Listener, Serving, addresses, listen, serve};
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Totals of a run, read at each scrape from where the run counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub records: u64,
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Records that wait for a decision now.
    pub pending: i64,
    pub epochs: u64,
    pub rows: u64,
    pub corrections: u64,
}

/// How far a partition was read.
#[derive(Debug)]
struct Read {
    partition: String,
    offset_next: AtomicI64,
}

/// What one worker reports.
#[derive(Clone, Debug)]
pub struct WorkerFigures {
    pub steps_in_flight: IntGauge,
    /// Set by worker 0 alone: every worker sees the same epochs.
    pub epochs_undecided: Option<IntGauge>,
    read: Arc<OnceLock<Vec<Read>>>,
}

impl WorkerFigures {
    /// The partition at this index was read up to an offset.
    pub fn read_to(&self, partition: usize, offset_next: i64) {
        if let Some(read) = self.read.get().and_then(|read| read.get(partition)) {
            read.offset_next.store(offset_next, Ordering::Relaxed);
        }
    }
}

/// Copies the totals that another stage keeps, at each scrape.
type Follow = Box<dyn Fn() + Send + Sync>;

/// All figures of one run in one process.
pub struct Telemetry {
    registry: Registry,
    /// From the last part of an epoch to its slot in the log.
    pub epoch_decide_seconds: Histogram,
    /// From the decision until every table has the epoch.
    pub epoch_apply_seconds: Histogram,
    /// Bytes of the state's files that this process has read at its start.
    pub restore_bytes: IntGauge,
    /// Entries of the state that the workers of this process took.
    pub restore_entries: IntGauge,
    restore_seconds: Gauge,
    totals: [IntCounter; 7],
    pending: IntGauge,
    quarantined: IntCounterVec,
    late: IntCounter,
    steps_in_flight: IntGaugeVec,
    epochs_undecided: IntGauge,
    lag_records: IntGaugeVec,
    closed_until: Mutex<Option<Nanos>>,
    closed_until_seconds: Gauge,
    closed_until_age_seconds: Gauge,
    resident_bytes: IntGauge,
    read: Arc<OnceLock<Vec<Read>>>,
    /// Held during a scrape: counters follow totals by their difference.
    followed: Mutex<Vec<Follow>>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Names of [`Totals`]' counters, in the order of [`Totals::counters`].
const TOTALS: [(&str, &str); 7] = [
    ("ticktide_records_total", "records read"),
    ("ticktide_accepted_total", "records that entered a table, of decided epochs"),
    ("ticktide_duplicates_total", "records seen before, of decided epochs"),
    ("ticktide_rejected_total", "records in quarantine only, of decided epochs"),
    ("ticktide_epochs_total", "epochs decided"),
    ("ticktide_rows_total", "rows added to tables"),
    ("ticktide_corrections_total", "rows that replaced or took back published ones"),
];

impl Totals {
    fn counters(&self) -> [u64; 7] {
        [self.records, self.accepted, self.duplicates, self.rejected, self.epochs, self.rows, self.corrections]
    }
}

const VALID: &str = "names and labels here are constants that Prometheus allows, each registered once";

impl Default for Telemetry {
    fn default() -> Telemetry {
        let registry = Registry::new();
        let seconds = |name: &str, help: &str| {
            let buckets =
                vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)).expect(VALID);
            kept(&registry, histogram)
        };
        let gauges = |name: &str, help: &str, label: &str| {
            kept(&registry, IntGaugeVec::new(Opts::new(name, help), &[label]).expect(VALID))
        };
        let gauge = |name: &str, help: &str| kept(&registry, Gauge::new(name, help).expect(VALID));
        let whole = |name: &str, help: &str| kept(&registry, IntGauge::new(name, help).expect(VALID));
        let counter = |name: &str, help: &str| kept(&registry, IntCounter::new(name, help).expect(VALID));
        let build = gauges("ticktide_build_info", "the version that runs", "version");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let by_reason = Opts::new("ticktide_quarantined_total", "rows of the quarantine, of decided epochs");
        Telemetry {
            epoch_decide_seconds: seconds(
                "ticktide_epoch_decide_seconds",
                "from the last written part of an epoch to its slot in the log",
            ),
            epoch_apply_seconds: seconds(
                "ticktide_epoch_apply_seconds",
                "from an epoch's decision until all tables have it",
            ),
            restore_bytes: whole("ticktide_restore_bytes", "bytes of the lake's state that were read at the start"),
            restore_entries: whole(
                "ticktide_restore_entries",
                "entries of the lake's state that this process's workers took",
            ),
            restore_seconds: gauge(
                "ticktide_restore_seconds",
                "from opening the lake until every worker of this process had its state",
            ),
            totals: TOTALS.map(|(name, help)| counter(name, help)),
            pending: whole(
                "ticktide_pending_records",
                "records that wait for a decision, as of the last decided epoch",
            ),
            quarantined: kept(&registry, IntCounterVec::new(by_reason, &["reason"]).expect(VALID)),
            late: counter("ticktide_late_total", "records too late for some or all intervals, of decided epochs"),
            steps_in_flight: gauges("ticktide_steps_in_flight", "steps begun and not computed", "worker"),
            epochs_undecided: whole("ticktide_epochs_undecided", "epochs begun and not decided, the open one included"),
            lag_records: gauges(
                "ticktide_lag_records",
                "records behind the partition's end, where it is known",
                "partition",
            ),
            closed_until: Mutex::new(None),
            closed_until_seconds: gauge(
                "ticktide_closed_until_seconds",
                "bars that end at or before it are published, since 1970",
            ),
            closed_until_age_seconds: gauge("ticktide_closed_until_age_seconds", "the wall clock minus closed_until"),
            resident_bytes: whole("process_resident_memory_bytes", "memory of this process in RAM"),
            read: Arc::default(),
            followed: Mutex::default(),
            registry,
        }
    }
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, figures: C) -> C {
    registry.register(Box::new(figures.clone())).expect(VALID);
    figures
}

impl Telemetry {
    /// Adds totals that another stage keeps (a store's requests, errors and seconds by operation): at each scrape `read` gives
    /// each value of `label` with its total, which only grows. Error: the name is taken or invalid.
    pub fn follow(
        &self,
        (name, help): (&str, &str),
        label: &str,
        read: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        let counters = CounterVec::new(Opts::new(name, help), &[label])?;
        self.registry.register(Box::new(counters.clone()))?;
        let follow = move || {
            for (value, total) in read() {
                let counter = counters.with_label_values(&[value]);
                counter.inc_by((total - counter.get()).max(0.0));
            }
        };
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(follow));
        Ok(())
    }

    /// Sets the names of the partitions that a run reads, by their index.
    pub fn set_partitions(&self, names: impl Iterator<Item = String>) {
        // a run has one source, so there is no second call
        let _ = self.read.set(names.map(|partition| Read { partition, offset_next: AtomicI64::new(-1) }).collect());
    }

    /// The figures of the worker with this index.
    pub fn worker(&self, index: usize) -> WorkerFigures {
        WorkerFigures {
            steps_in_flight: self.steps_in_flight.with_label_values(&[&index.to_string()]),
            epochs_undecided: (index == 0).then(|| self.epochs_undecided.clone()),
            read: self.read.clone(),
        }
    }

    /// Counts the quarantine's rows of a decided epoch, by reason.
    pub fn quarantined<'r>(&self, rows: impl Iterator<Item = (&'r str, u64)>) {
        for (reason, count) in rows {
            self.quarantined.with_label_values(&[reason]).inc_by(count);
            if matches!(reason, "too_late" | "late_partly") {
                self.late.inc_by(count);
            }
        }
    }

    /// One more worker has its state, this long after the opening of the lake began.
    pub fn restored(&self, after: Duration) {
        // workers finish within milliseconds of each other: the last of them counts
        self.restore_seconds.set(self.restore_seconds.get().max(after.as_secs_f64()));
    }

    /// A decided epoch has closed the bars that end at or before a time.
    pub fn closed_until(&self, at: Option<Nanos>) {
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed_until = (*closed_until).max(at);
    }

    /// All figures in Prometheus' text format. `ends`: that of each partition by index, `None` if unknown.
    pub fn text(&self, totals: &Totals, ends: &[Option<i64>]) -> String {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.iter().for_each(|follow| follow());
        for (counter, total) in self.totals.iter().zip(totals.counters()) {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        self.pending.set(totals.pending);
        for (read, end) in self.read.get().into_iter().flatten().zip(ends) {
            let offset_next = read.offset_next.load(Ordering::Relaxed);
            if let Some(end) = end.filter(|_| offset_next >= 0) {
                self.lag_records.with_label_values(&[&read.partition]).set((end - offset_next).max(0));
            }
        }
        let closed_until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = |nanos: Nanos| nanos as f64 / SECOND as f64;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        // before the first epoch nothing is closed: an age since 1970 would raise alarms, NaN raises none
        self.closed_until_seconds.set(closed_until.map_or(f64::NAN, seconds));
        self.closed_until_age_seconds.set(closed_until.map_or(f64::NAN, |at| now - seconds(at)));
        self.resident_bytes.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        // the encoder refuses only families without a name or a sample, which a registry does not give
        let _ = prometheus::TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}

/// Resident memory of this process, where the system reports it.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok().map(|kib| kib * 1024)
}
