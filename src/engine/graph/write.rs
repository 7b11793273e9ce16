//! From rows to a decided epoch: what each worker writes, and what worker 0 commits.
//!
//! ```text
//!   every worker                                              worker 0
//!   rows ─▶ [write]  buffers until its epoch is complete ═▶ [commit]  all parts of an epoch are there
//!              │ I/O task: Parquet, state files                │ commit task: decide, apply
//!              ▼ the capability is kept meanwhile               ▼ the capability is kept until decided
//! ```
//!
//! Why tasks: blocking I/O in an operator stalls the whole worker. What must always hold: a part is sent under the epoch's
//! last step, so worker 0's frontier passing it proves that every worker has written its part.

use crate::epochs::mint::Report;
use crate::ingest::Archived;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ticktide_base::epoch::{Binding, Conservation, Epoch};
use ticktide_base::failure::Failure;
use ticktide_base::metrics::{Telemetry, Totals};
use ticktide_base::panics::{PanicAt, Thread};
use ticktide_base::time::Interval;
use ticktide_dataflow::Dataflow;
use ticktide_flow::anomalies::Anomaly;
use ticktide_flow::bars::finished::{FinishedBar, Named, Reading};
use ticktide_flow::close::NetChange;
use ticktide_flow::instruments::ListingChange;
use ticktide_lake::table::spec::{Change, TableSpec};
use ticktide_lake::{EpochPart, Lake, LakeWriter, Meter, RowBuffer, StateEntry, StateRows, StoreMeters, TableRows};
use ticktide_tables as tables;
use ticktide_tables::QuarantineRow;

/// What reaches a worker's writer.
#[derive(Clone, Debug)]
pub enum SinkRow {
    Bar(NetChange<Named<FinishedBar>>),
    Reading(NetChange<Named<Reading>>),
    Anomaly(NetChange<Named<Anomaly>>),
    Listing(ListingChange),
    Ticks(Arc<Archived>),
    Quarantine(QuarantineRow),
    State(Vec<StateEntry>),
    Counts(Arc<str>, Conservation),
    Bind(Arc<Binding>),
}

/// One worker's share of an epoch, written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPart {
    pub part: EpochPart,
    pub counts: BTreeMap<String, Conservation>,
    /// Rows of the quarantine by reason.
    pub reasons: BTreeMap<String, u64>,
    pub binding: Binding,
}

/// The table `anomalies`, and what its checks are called there.
#[derive(Clone)]
pub struct Anomalies {
    pub spec: Arc<TableSpec>,
    checks: Arc<[tables::CheckName]>,
}

impl Anomalies {
    /// `None` for a dataflow without checks.
    fn new(dataflow: &Dataflow) -> Option<Anomalies> {
        let checks = dataflow.anomalies.iter().map(tables::CheckName::of);
        let checks: Arc<[tables::CheckName]> = checks.collect();
        (!checks.is_empty()).then(|| Anomalies { spec: Arc::new(tables::anomalies()), checks })
    }
}

/// The tables of a dataflow, by what fills them.
#[derive(Clone)]
pub struct Tables {
    pub bars: BTreeMap<Interval, Arc<TableSpec>>,
    pub readings: BTreeMap<Interval, Arc<TableSpec>>,
    pub ticks: Option<Arc<TableSpec>>,
    pub anomalies: Option<Anomalies>,
    pub instruments: Option<Arc<TableSpec>>,
    pub quarantine: Arc<TableSpec>,
    phases: Arc<[String]>,
    source: Arc<str>,
}

impl Tables {
    /// The tables of a dataflow; `outputs`: indicator outputs by interval.
    pub fn new(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Tables {
        let phases = (0..dataflow.session.phase_count()).map(|phase| dataflow.session.phase_name(phase).to_owned());
        Tables {
            bars: dataflow.bars.iter().map(|interval| (*interval, Arc::new(tables::bars(*interval)))).collect(),
            readings: outputs
                .iter()
                .map(|(interval, outputs)| (*interval, Arc::new(tables::indicators(*interval, outputs))))
                .collect(),
            ticks: dataflow.ticks.then(|| Arc::new(tables::ticks())),
            anomalies: Anomalies::new(dataflow),
            instruments: dataflow.instruments.then(|| Arc::new(tables::instruments())),
            quarantine: Arc::new(tables::quarantine()),
            phases: phases.collect(),
            source: dataflow.source.uses.as_str().into(),
        }
    }

    /// The tables of a lake whose dataflow was added to: `original` outputs of an interval were there from the start.
    pub fn evolved(
        mut self,
        original: &BTreeMap<Interval, usize>,
        outputs: &BTreeMap<Interval, Vec<String>>,
    ) -> Tables {
        for (interval, outputs) in outputs {
            let count = original.get(interval).copied().unwrap_or(outputs.len());
            self.readings.insert(*interval, Arc::new(tables::evolved_indicators(*interval, outputs, count)));
        }
        self
    }

    /// Every definition, for opening the lake.
    pub fn specs(&self) -> Vec<TableSpec> {
        let anomalies = self.anomalies.as_ref().map(|anomalies| &anomalies.spec);
        let all = self.bars.values().chain(self.readings.values()).chain(&self.ticks);
        let all = all.chain(anomalies).chain(&self.instruments).chain([&self.quarantine]);
        all.map(|spec| TableSpec::clone(spec)).collect()
    }
}

/// One worker's buffers of one epoch.
#[derive(Default)]
struct Buffers {
    tables: HashMap<String, TableRows>,
    state: Vec<StateEntry>,
    counts: BTreeMap<String, Conservation>,
    reasons: BTreeMap<&'static str, u64>,
    binding: Option<Arc<Binding>>,
}

/// The writer of one worker.
pub struct Writing {
    worker: usize,
    tables: Tables,
    lake: LakeWriter,
    runtime: tokio::runtime::Handle,
    epochs: BTreeMap<Epoch, Buffers>,
    panic_at: PanicAt,
    parts: std::sync::mpsc::Receiver<(Epoch, Result<WorkerPart, ticktide_base::error::Error>)>,
    done: std::sync::mpsc::Sender<(Epoch, Result<WorkerPart, ticktide_base::error::Error>)>,
}

impl Writing {
    pub fn new(
        worker: usize,
        tables: Tables,
        lake: LakeWriter,
        runtime: tokio::runtime::Handle,
        panic_at: PanicAt,
    ) -> Writing {
        let (done, parts) = std::sync::mpsc::channel();
        let epochs = BTreeMap::new();
        Writing { worker, tables, lake, runtime, epochs, panic_at, parts, done }
    }

    /// Takes a row of an epoch.
    pub fn push(&mut self, epoch: Epoch, row: SinkRow) {
        let buffers = self.epochs.entry(epoch).or_default();
        let tables = &self.tables;
        let phase = |phase: u8| tables.phases.get(usize::from(phase)).map_or("", String::as_str);
        match row {
            SinkRow::Bar(NetChange { series, old, new }) => {
                let Some(spec) = tables.bars.get(&series.0) else { return };
                let [old, new] = [old.as_ref(), new.as_ref()]
                    .map(|side| side.map(|bar| tables::bar_row(&series, bar, phase(bar.row.head.phase), epoch)));
                buffers.change(spec, old, new);
            }
            SinkRow::Reading(NetChange { series, old, new }) => {
                let Some(spec) = tables.readings.get(&series.0) else { return };
                let original = tables::original_outputs(spec);
                let [old, new] = [old.as_ref(), new.as_ref()].map(|side| {
                    side.map(|reading| {
                        tables::reading_row(&series, reading, phase(reading.row.head.phase), original, epoch)
                    })
                });
                buffers.change(spec, old, new);
            }
            SinkRow::Anomaly(NetChange { series, old, new }) => {
                let Some(Anomalies { spec, checks }) = &tables.anomalies else { return };
                let [old, new] = [old.as_ref(), new.as_ref()].map(|side| {
                    side.map(|anomaly| {
                        let check = &checks[usize::from(anomaly.row.check)];
                        tables::anomaly_row(&series, anomaly, check, phase(anomaly.row.phase), epoch)
                    })
                });
                buffers.change(spec, old, new);
            }
            SinkRow::Listing(ListingChange { instrument, date, old, new }) => {
                let Some(spec) = &tables.instruments else { return };
                let [old, new] = [old.as_deref(), new.as_deref()]
                    .map(|side| side.map(|listing| tables::instrument_row(&instrument, date, listing, epoch).to_vec()));
                buffers.change(spec, old, new);
            }
            SinkRow::Ticks(archived) => {
                let Some(spec) = &tables.ticks else { return };
                let inserts = &mut buffers.rows(spec).inserts;
                let (topic, partition) = archived.partition.rsplit_once('/').unwrap_or((&archived.partition, "0"));
                let place = (topic, partition.parse().unwrap_or(0));
                for (tick, instrument, trading_date) in &archived.ticks {
                    inserts.push(&tables::tick_row(tick, instrument, *trading_date, place, epoch));
                }
            }
            SinkRow::Quarantine(row) => {
                *buffers.reasons.entry(row.reason).or_default() += 1;
                let cells = tables::quarantine_row(&row, &tables.source, epoch);
                buffers.rows(&tables.quarantine).inserts.push(&cells);
            }
            SinkRow::State(entries) => buffers.state.extend(entries),
            SinkRow::Counts(partition, counts) => {
                buffers.counts.entry(partition.to_string()).or_default().add(&counts);
            }
            SinkRow::Bind(binding) => buffers.binding = Some(binding),
        }
    }

    /// The epoch is complete: an I/O task writes it and calls `wake` when [`Writing::written`] has it.
    pub fn write(&mut self, epoch: Epoch, wake: impl FnOnce() + Send + 'static) {
        let Some(buffers) = self.epochs.remove(&epoch) else { return };
        let Some(binding) = buffers.binding else { return };
        self.panic_at.reach(Thread::Worker(self.worker), epoch);
        let state = StateRows { entries: buffers.state, full: false };
        let (lake, worker, done, panic_at) = (self.lake.clone(), self.worker, self.done.clone(), self.panic_at);
        let tables: Vec<TableRows> = buffers.tables.into_values().collect();
        let counts = buffers.counts;
        let reasons = buffers.reasons.into_iter().map(|(reason, rows)| (reason.to_owned(), rows)).collect();
        self.runtime.spawn(async move {
            panic_at.reach(Thread::Files(worker), epoch);
            let written = lake.write_part(epoch, worker, tables, state).await;
            let written = written.map(|part| WorkerPart { part, counts, reasons, binding: Binding::clone(&binding) });
            // the receiver is gone only when the worker ends anyway
            let _ = done.send((epoch, written.map_err(Into::into)));
            wake();
        });
    }

    /// Parts written since the last call.
    pub fn written(&mut self) -> Option<(Epoch, Result<WorkerPart, ticktide_base::error::Error>)> {
        self.parts.try_recv().ok()
    }
}

impl Buffers {
    fn rows(&mut self, spec: &Arc<TableSpec>) -> &mut TableRows {
        if !self.tables.contains_key(&spec.name) {
            let rows = TableRows { spec: spec.clone(), inserts: RowBuffer::new(spec.clone()), changes: Vec::new() };
            self.tables.insert(spec.name.clone(), rows);
        }
        self.tables.get_mut(&spec.name).expect("it was put there if it was not")
    }

    fn change(
        &mut self,
        spec: &Arc<TableSpec>,
        old: Option<Vec<ticktide_lake::table::spec::Cell<'_>>>,
        new: Option<Vec<ticktide_lake::table::spec::Cell<'_>>>,
    ) {
        let rows = self.rows(spec);
        match (old, new) {
            (None, Some(new)) => rows.inserts.push(&new),
            (None, None) => {}
            (old, new) => rows
                .changes
                .push(Change { old: old.as_deref().map(tables::owned), new: new.as_deref().map(tables::owned) }),
        }
    }
}

/// What the commit task is given.
pub struct CommitJob {
    pub epoch: Epoch,
    pub parts: Vec<WorkerPart>,
}

/// Figures of a run, for progress and the report at its end.
#[derive(Debug, Default)]
pub struct Meters {
    pub records: Arc<AtomicU64>,
    pub epochs: AtomicU64,
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub rejected: AtomicU64,
    pub pending: std::sync::atomic::AtomicI64,
    pub rows: AtomicU64,
    pub corrections: AtomicU64,
    /// What is only counted for those who scrape it.
    pub telemetry: Telemetry,
}

impl Meters {
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
}

impl Meters {
    /// Serves what the store's requests come to with the other figures.
    pub fn follow_store(&self, store: &Arc<StoreMeters>) -> Result<(), ticktide_base::error::Error> {
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
            followed.map_err(|error| ticktide_base::error::Error::bug(format!("figures of the store: {error}")))?;
        }
        Ok(())
    }
}

/// The commit task: decides one epoch after the other and applies it; ends when the sender is gone. `decided` is called
/// after each decision, before the tables are brought to it.
pub async fn commit(
    mut lake: Lake,
    mut jobs: tokio::sync::mpsc::UnboundedReceiver<CommitJob>,
    meters: Arc<Meters>,
    failure: Arc<Failure>,
    decided: impl Fn(Report),
) {
    while let Some(job) = jobs.recv().await {
        if let Err(error) = commit_one(&mut lake, job, &meters, &decided).await {
            failure.set(error);
            break;
        }
    }
    lake.leave().await;
}

async fn commit_one(
    lake: &mut Lake,
    job: CommitJob,
    meters: &Meters,
    decided: &impl Fn(Report),
) -> Result<(), ticktide_base::error::Error> {
    let Some(binding) = job.parts.first().map(|part| part.binding.clone()) else {
        return Err(ticktide_base::error::Error::bug(format!("epoch {} has no part", job.epoch)));
    };
    if let Some(other) = job.parts.iter().find(|part| part.binding != binding) {
        let worker = other.part.worker;
        return Err(ticktide_base::error::Error::bug(format!(
            "worker {worker} has another binding of epoch {}",
            job.epoch
        )));
    }
    let mut counts: BTreeMap<String, Conservation> = BTreeMap::new();
    let mut parts = Vec::new();
    let telemetry = &meters.telemetry;
    let closed_until = binding.closed_until;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for part in job.parts {
        for (reason, rows) in part.reasons {
            *reasons.entry(reason).or_default() += rows;
        }
        for (partition, of_worker) in part.counts {
            counts.entry(partition).or_default().add(&of_worker);
        }
        parts.push(part.part);
    }
    parts.sort_by_key(|part| part.worker);
    let rows: u64 = parts.iter().flat_map(|part| &part.tables).map(|table| table.rows_added).sum();
    let corrections: usize = parts.iter().flat_map(|part| &part.tables).map(|table| table.changes.len()).sum();
    let all = counts.values().fold(Conservation::default(), |mut sum, counts| {
        sum.add(counts);
        sum
    });
    let deciding = telemetry.epoch_decide_seconds.start_timer();
    let epoch = lake.decide(binding, counts, parts).await?;
    deciding.observe_duration();
    telemetry.quarantined(reasons.iter().map(|(reason, rows)| (reason.as_str(), *rows)));
    telemetry.closed_until(closed_until);
    meters.epochs.fetch_add(1, Ordering::Relaxed);
    meters.accepted.fetch_add(all.accepted.max(0) as u64, Ordering::Relaxed);
    meters.duplicates.fetch_add(all.duplicates.max(0) as u64, Ordering::Relaxed);
    meters.rejected.fetch_add(all.rejected.max(0) as u64, Ordering::Relaxed);
    meters.pending.fetch_add(all.pending, Ordering::Relaxed);
    meters.rows.fetch_add(rows, Ordering::Relaxed);
    meters.corrections.fetch_add(corrections as u64, Ordering::Relaxed);
    decided(Report::Decided { epoch });
    let applying = telemetry.epoch_apply_seconds.start_timer();
    apply(lake, epoch).await?;
    applying.observe_duration();
    tracing::info!(epoch, rows, corrections, "epoch committed");
    Ok(())
}

/// A catalog that does not answer is waited for this long: the epoch is decided, and credit holds the sources back.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// Brings the tables to what is decided. Repeating it is safe (L2), so a catalog that is away for a while is waited for.
async fn apply(lake: &mut Lake, epoch: Epoch) -> Result<(), ticktide_base::error::Error> {
    let began = tokio::time::Instant::now();
    loop {
        let error = match lake.apply().await {
            Ok(()) => return Ok(()),
            Err(error) => ticktide_base::error::Error::from(error),
        };
        if error.kind != ticktide_base::error::Kind::Retry || began.elapsed() >= PATIENCE {
            return Err(error);
        }
        tracing::warn!(epoch, error = %error, "the tables cannot be brought to the epoch yet; trying again");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
