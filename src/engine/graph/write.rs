//! The write operator: buffers each epoch's rows, has them written when the epoch is complete, and gives this worker's part.
//!
//! ```text
//!   every worker                                              worker 0
//!   rows ─▶ [write]  buffers until its epoch is complete ═▶ [commit]  all parts of an epoch are there
//!              │ I/O task: Parquet, state files                │ commit task: decide, apply
//!              ▼ the capability is kept meanwhile               ▼ the capability is kept until decided
//! ```
//!
//! Why tasks: blocking I/O in an operator stalls the whole worker. What must always hold: a part is sent under the epoch's
//! last step, and an epoch whose part cannot be written keeps its capability, so it never looks complete to worker 0.

use crate::commit::WorkerPart;
use crate::graph::parts::{Rows, Vecs, complete};
use crate::graph::rows::SinkRow;
use crate::verdict::Samples;
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use ticktide_base::epoch::{Binding, Conservation, Epoch, LAST_STEP, epoch_of, stamp};
use ticktide_base::error::Error;
use ticktide_base::failure::Failure;
use ticktide_base::panics::{PanicAt, Thread};
use ticktide_flow::close::RowChange;
use ticktide_flow::instruments::ListingChange;
use ticktide_lake::table::spec::{Cell, Change, TableSpec};
use ticktide_lake::{LakeWriter, RowBuffer, StateEntry, StateRows, TableRows};
use ticktide_tables as tables;
use ticktide_tables::set::{Anomalies, Tables};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// The write operator: gives this worker's part of each epoch to worker 0 when its files are there.
pub fn write<'scope>(
    name: &str,
    rows: Rows<'scope>,
    mut writing: PartWriter,
    failure: Arc<Failure>,
) -> Stream<'scope, u64, Vec<WorkerPart>> {
    let scope = rows.scope();
    rows.unary_frontier::<Vecs<WorkerPart>, _, _, _>(Pipeline, name, move |_, info| {
        let wake = scope.worker().sync_activator_for(info.address.to_vec());
        let wake = Arc::new(Mutex::new(wake));
        let mut open: BTreeMap<Epoch, Capability<u64>> = BTreeMap::new();
        let mut writes: BTreeMap<Epoch, Capability<u64>> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|cap, data| {
                let Some(time) = cap.least().copied() else { return };
                let epoch = epoch_of(time);
                open.entry(epoch).or_insert_with(|| cap.delayed(&stamp(epoch, LAST_STEP), 0));
                for row in data.drain(..) {
                    writing.push(epoch, row);
                }
            });
            while let Some(entry) = open.first_entry() {
                if !complete(frontier, stamp(*entry.key(), LAST_STEP)) {
                    break;
                }
                let (epoch, cap) = entry.remove_entry();
                writes.insert(epoch, cap);
                let wake = wake.clone();
                writing.write(epoch, move || {
                    if let Ok(wake) = wake.lock() {
                        // a worker that is gone needs no waking
                        let _ = wake.activate();
                    }
                });
            }
            while let Some((epoch, written)) = writing.written() {
                let Some(cap) = writes.remove(&epoch) else { continue };
                match written {
                    Ok(part) => output.session(&cap).give(part),
                    Err(error) => {
                        failure.set(error);
                        // without its capability the epoch would look complete to worker 0, and lack this part
                        writes.insert(epoch, cap);
                        return;
                    }
                }
            }
        }
    })
}

/// One worker's buffers of one epoch.
#[derive(Default)]
struct Buffers {
    tables: HashMap<String, TableRows>,
    state: Vec<StateEntry>,
    counts: BTreeMap<String, Conservation>,
    reasons: BTreeMap<&'static str, u64>,
    samples: Samples,
    binding: Option<Arc<Binding>>,
}

/// Writes the parts of one worker.
pub struct PartWriter {
    worker: usize,
    tables: Tables,
    lake: LakeWriter,
    runtime: tokio::runtime::Handle,
    epochs: BTreeMap<Epoch, Buffers>,
    /// Samples shown in this run: a reason of which enough was shown needs no more.
    shown: Samples,
    panic_at: PanicAt,
    parts: Receiver<(Epoch, Result<WorkerPart, Error>)>,
    done: Sender<(Epoch, Result<WorkerPart, Error>)>,
}

impl PartWriter {
    pub fn new(
        worker: usize,
        tables: Tables,
        lake: LakeWriter,
        runtime: tokio::runtime::Handle,
        panic_at: PanicAt,
    ) -> PartWriter {
        let (done, parts) = channel();
        let epochs = BTreeMap::new();
        let shown = Samples::default();
        PartWriter { worker, tables, lake, runtime, epochs, shown, panic_at, parts, done }
    }

    /// Takes a row of an epoch.
    pub fn push(&mut self, epoch: Epoch, row: SinkRow) {
        let buffers = self.epochs.entry(epoch).or_default();
        let tables = &self.tables;
        let phase = |phase: u8| tables.phases.get(usize::from(phase)).map_or("", String::as_str);
        match row {
            SinkRow::Bar(RowChange { series, old, new }) => {
                let Some(spec) = tables.bars.get(&series.0) else { return };
                let [old, new] = [old.as_ref(), new.as_ref()]
                    .map(|side| side.map(|bar| tables::bar_row(&series, bar, phase(bar.row.head.phase), epoch)));
                buffers.change(spec, old, new);
            }
            SinkRow::Reading(RowChange { series, old, new }) => {
                let Some(spec) = tables.readings.get(&series.0) else { return };
                let original = tables::original_outputs(spec);
                let [old, new] = [old.as_ref(), new.as_ref()].map(|side| {
                    side.map(|reading| {
                        tables::reading_row(&series, reading, phase(reading.row.head.phase), original, epoch)
                    })
                });
                buffers.change(spec, old, new);
            }
            SinkRow::Anomaly(RowChange { series, old, new }) => {
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
                archived.rows(epoch).for_each(|row| inserts.push(&row));
            }
            SinkRow::Quarantine(row) => {
                *buffers.reasons.entry(row.reason).or_default() += 1;
                if self.shown.take(&row) {
                    buffers.samples.take(&row);
                }
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

    /// The epoch is complete: an I/O task writes it and calls `wake` when [`PartWriter::written`] has it.
    pub fn write(&mut self, epoch: Epoch, wake: impl FnOnce() + Send + 'static) {
        let Some(buffers) = self.epochs.remove(&epoch) else { return };
        let Some(binding) = buffers.binding else { return };
        self.panic_at.reach(Thread::Worker(self.worker), epoch);
        let state = StateRows { entries: buffers.state, full: false };
        let (lake, worker, done, panic_at) = (self.lake.clone(), self.worker, self.done.clone(), self.panic_at);
        let tables: Vec<TableRows> = buffers.tables.into_values().collect();
        let (counts, samples) = (buffers.counts, buffers.samples);
        let reasons = buffers.reasons.into_iter().map(|(reason, rows)| (reason.to_owned(), rows)).collect();
        self.runtime.spawn(async move {
            panic_at.reach(Thread::Files(worker), epoch);
            let written = lake.write_part(epoch, worker, tables, state).await;
            let written =
                written.map(|part| WorkerPart { part, counts, reasons, samples, binding: Binding::clone(&binding) });
            // the receiver is gone only when the worker ends anyway
            let _ = done.send((epoch, written.map_err(Into::into)));
            wake();
        });
    }

    /// Parts written since the last call.
    pub fn written(&mut self) -> Option<(Epoch, Result<WorkerPart, Error>)> {
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

    fn change(&mut self, spec: &Arc<TableSpec>, old: Option<Vec<Cell<'_>>>, new: Option<Vec<Cell<'_>>>) {
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
