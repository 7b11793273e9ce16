//! The logic of the source operator on one worker: decisions and batches come in; records, rows and reports go out.
//!
//! Why the capability of an epoch's last step is kept until its binding is there: everything downstream acts on the binding
//! record alone, so it has to travel under a time of its epoch while reading goes on into the next. What must always hold: a
//! record is stamped with an epoch only under that epoch's grant, and out of credit nothing is read, but a cut is answered.

use super::ports::{Outbox, Ports};
use crate::epochs::until::{Ending, Until};
use crate::epochs::{Decision, PartitionProgress, Report};
use crate::graph::checks;
use crate::graph::rows::{Notice, SinkRow};
use crate::ingest::{BatchOutcome, Intake, Sniff};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use ticktide_base::epoch::{Epoch, LAST_STEP, Place, Rewound, epoch_of, stamp, step_of};
use ticktide_base::failure::Failure;
use ticktide_base::metrics::WorkerFigures;
use ticktide_base::time::Nanos;
use ticktide_feed::{Batch, FeedError};
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::close::RowChange;
use timely::dataflow::ProbeHandle;

/// Limits on the work in flight.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    pub steps: u64,
    /// This worker's share of the undecided bytes.
    pub bytes: usize,
}

/// How fast records are taken.
#[derive(Clone, Copy, Debug)]
pub struct ReadPace {
    pub step_every: Duration,
    /// How far a partition may be ahead of the slowest one, by event time.
    pub max_skew: Nanos,
}

/// The input of a source operator: batches of the reader thread, and the intake that takes them.
pub struct SourceInput {
    pub intake: Intake,
    pub batches: Receiver<Result<Batch, FeedError>>,
    /// By partition: the reader leaves it unread.
    pub paused: Arc<Vec<AtomicBool>>,
}

/// What a worker's loop shares with its source operator.
#[derive(Clone)]
pub struct Wires {
    pub decisions: Rc<RefCell<VecDeque<Decision>>>,
    pub reports: Rc<RefCell<Vec<Report>>>,
    /// The times that have passed on to the writers' buffers.
    pub compute: ProbeHandle<u64>,
    /// The times of decided epochs.
    pub commit: ProbeHandle<u64>,
    pub failure: Arc<Failure>,
    pub records: Arc<AtomicU64>,
    pub figures: WorkerFigures,
}

/// The source operator's state on one worker.
pub struct SourceLogic {
    worker: usize,
    intake: Intake,
    batches: Receiver<Result<Batch, FeedError>>,
    paused: Arc<Vec<AtomicBool>>,
    wires: Wires,
    credit: Credit,
    pace: ReadPace,
    /// A partition past this event time is left unread.
    limit: Option<Nanos>,
    limit_since: Instant,
    /// At the open step.
    ports: Option<Ports>,
    epoch: Epoch,
    step: u64,
    step_since: Instant,
    begun: bool,
    grants: BTreeMap<Epoch, EpochHorizons>,
    /// At the last step of epochs that have ended here and are not bound.
    ended: BTreeMap<Epoch, Ports>,
    /// Bytes of epochs that are not decided.
    bytes: BTreeMap<Epoch, usize>,
    asked: Option<Epoch>,
    told_at: Option<Instant>,
    told: (u64, Vec<PartitionProgress>),
    sniff: Sniff,
    /// The recorded ends of a replay.
    until: Option<Until>,
    /// … with the recorded places of the partitions.
    recorded: BTreeMap<Epoch, (BTreeMap<String, Place>, Option<Rewound>)>,
    /// Batches that were received and belong to the next epoch.
    put_off: VecDeque<(Epoch, Batch)>,
}

/// The most batches taken in one activation, so that other operators get their turn.
const BATCHES_A_TURN: usize = 8;
/// After the slowest partition has not moved for this long, others are checked again: they may have run ahead of it. It is
/// longer than librdkafka backs off by itself.
pub(super) const STANDS_STILL: Duration = Duration::from_secs(5);
/// Reports of progress are at least this far apart.
const REPORT_EVERY: Duration = Duration::from_millis(5);
/// Restored rows travel under step 0 of the first epoch, records from here on.
pub const FIRST_STEP: u64 = 1;

impl SourceLogic {
    pub fn new(
        worker: usize,
        SourceInput { intake, batches, paused }: SourceInput,
        wires: Wires,
        credit: Credit,
        pace: ReadPace,
        mut ports: Ports,
        first: Epoch,
    ) -> SourceLogic {
        ports.downgrade(stamp(first, FIRST_STEP));
        SourceLogic {
            worker,
            intake,
            batches,
            paused,
            wires,
            credit,
            pace,
            limit: None,
            limit_since: Instant::now(),
            ports: Some(ports),
            epoch: first,
            step: FIRST_STEP,
            step_since: Instant::now(),
            begun: false,
            grants: BTreeMap::new(),
            ended: BTreeMap::new(),
            bytes: BTreeMap::new(),
            asked: None,
            told_at: None,
            told: (0, Vec::new()),
            sniff: Sniff::default(),
            until: None,
            recorded: BTreeMap::new(),
            put_off: VecDeque::new(),
        }
    }

    /// Ends its epochs at their recorded ends.
    pub fn replaying(mut self, until: Until) -> SourceLogic {
        self.until = Some(until);
        self
    }

    /// Goes on in a lake that has read the source before: its format is no longer in question.
    pub fn going_on(mut self) -> SourceLogic {
        self.sniff.end();
        self
    }

    /// One activation. True: there is more to do at once.
    pub fn turn(&mut self, out: &mut Outbox) -> bool {
        let now = Instant::now();
        self.intake.tell_clock(crate::wall_clock());
        let decisions = std::mem::take(&mut *self.wires.decisions.borrow_mut());
        for decision in decisions {
            self.decide(decision, out);
        }
        let mut more = false;
        if self.ports.is_some() && self.grants.contains_key(&self.epoch) {
            self.begin(out);
            self.advance(now, out);
            more = self.read(now, out) || self.end_as_recorded(out);
        }
        // a limit that moves is applied when it does: pausing and resuming a partition costs its reader what it has fetched
        if self.until.is_none() && now.saturating_duration_since(self.limit_since) >= STANDS_STILL {
            self.hold_back();
        }
        self.report(now);
        self.measure();
        more
    }

    fn decide(&mut self, decision: Decision, out: &mut Outbox) {
        match decision {
            Decision::Grant { epoch, horizons } => {
                self.grants.insert(epoch, horizons);
            }
            Decision::Slowest(slowest) => {
                self.limit = slowest.map(|at| at.saturating_add(self.pace.max_skew));
                self.limit_since = Instant::now();
                self.hold_back();
                tracing::debug!(worker = self.worker, slowest, "the slowest partition has moved");
            }
            Decision::Cut { epoch, flush, last } => {
                debug_assert_eq!(epoch, self.epoch, "epochs end in order");
                self.end_epoch(flush, last, out);
            }
            Decision::CutAt { epoch, flush, last, places, rewound } => {
                if let Some(until) = &mut self.until {
                    let offsets = places.iter().map(|(name, place)| (name.clone(), place.offset_next));
                    until.expect(epoch, Ending { flush, last }, offsets.collect());
                    self.recorded.insert(epoch, (places, rewound));
                }
            }
            Decision::Bind(binding) => {
                let epoch = binding.epoch;
                if let Some(ports) = self.ended.remove(&epoch) {
                    out.at(&ports).notices.push(Notice::Bind(Arc::new(binding)));
                }
                self.grants = self.grants.split_off(&epoch);
            }
        }
    }

    /// Leaves partitions unread that are too far ahead of the slowest, by the times that they have come to since its report.
    fn hold_back(&self) {
        for (index, ahead) in self.intake.ahead_of(self.limit) {
            self.paused[index].store(ahead, Ordering::Relaxed);
        }
    }

    fn begin(&mut self, out: &mut Outbox) {
        if !self.begun
            && let (Some(ports), Some(horizons)) = (&self.ports, self.grants.get(&self.epoch))
        {
            self.begun = true;
            let recorded = self.recorded.remove(&self.epoch);
            if let Some((places, Some(rewound))) = &recorded {
                self.intake.rewind(rewound, places);
            }
            self.intake.begin_epoch(horizons.clone());
            if let Some((places, _)) = recorded {
                self.intake.recall(&places);
            }
            out.at(ports).notices.push(Notice::Begin(self.epoch, horizons.clone()));
        }
    }

    /// Begins the next step, when its time has come and not too many steps are in flight.
    fn advance(&mut self, now: Instant, out: &mut Outbox) {
        if now < self.step_since + self.pace.step_every || self.step + 1 >= LAST_STEP {
            return;
        }
        self.end_step(out);
        if self.steps_in_flight() < self.credit.steps
            && let Some(ports) = &mut self.ports
        {
            self.step += 1;
            self.step_since = now;
            ports.downgrade(stamp(self.epoch, self.step));
        }
    }

    fn end_step(&mut self, out: &mut Outbox) {
        let Some(ports) = self.ports.as_ref() else { return };
        out.at(ports).routed.extend(self.intake.end_step());
    }

    fn steps_in_flight(&self) -> u64 {
        let oldest = self.wires.compute.with_frontier(|frontier| frontier.first().copied());
        match oldest {
            None => 0,
            Some(at) if epoch_of(at) == self.epoch => self.step.saturating_sub(step_of(at).max(FIRST_STEP)),
            Some(at) if epoch_of(at) < self.epoch => self.step + 1 - FIRST_STEP,
            Some(_) => 0,
        }
    }

    /// Sets the gauges of this worker.
    fn measure(&self) {
        let figures = &self.wires.figures;
        figures.steps_in_flight.set(self.steps_in_flight() as i64);
        if let Some(undecided) = &figures.epochs_undecided {
            let oldest = self.wires.commit.with_frontier(|frontier| frontier.first().copied());
            undecided.set(oldest.map_or(0, |at| (self.epoch + 1).saturating_sub(epoch_of(at)) as i64));
        }
    }

    fn bytes_in_flight(&mut self) -> usize {
        let oldest = self.wires.commit.with_frontier(|frontier| frontier.first().copied());
        let undecided = oldest.map_or(Epoch::MAX, epoch_of);
        self.bytes = self.bytes.split_off(&undecided);
        self.bytes.values().sum()
    }

    /// Whether nothing may be read now. An epoch may take half of the credit, so that one is read while the one before is
    /// written; credit that earlier epochs hold comes back by itself, and ending a small one meanwhile would only make
    /// more of them. An epoch that has all the credit is ended, so credit always comes back.
    fn is_out_of_credit(&mut self) -> bool {
        let in_flight = self.bytes_in_flight();
        let mine = self.bytes.get(&self.epoch).copied().unwrap_or(0);
        if self.until.is_some() {
            // a recorded end cannot come earlier: only the epochs before it are waited for
            return in_flight - mine >= self.credit.bytes;
        }
        let out = in_flight >= self.credit.bytes;
        let enough = mine >= self.credit.bytes.div_ceil(2) || (out && mine == in_flight);
        if enough && self.asked != Some(self.epoch) {
            self.asked = Some(self.epoch);
            self.wires.reports.borrow_mut().push(Report::OutOfCredit { epoch: self.epoch });
        }
        out
    }

    /// Takes batches while there is credit. True: there are more.
    fn read(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if self.steps_in_flight() >= self.credit.steps {
            return false;
        }
        for _ in 0..BATCHES_A_TURN {
            if self.is_out_of_credit() {
                return false;
            }
            self.intake.look(now);
            if self.is_put_off() {
                return false;
            }
            let received = match &mut self.until {
                None => match self.put_off.pop_front() {
                    Some((_, batch)) => Ok(Ok(batch)),
                    None => self.batches.try_recv(),
                },
                Some(until) => until.receive(self.epoch, &self.batches),
            };
            match received {
                Ok(Ok(mut batch)) => {
                    self.put_off(&mut batch);
                    if self.until.is_none()
                        && let Err(error) = self.sniff.look(&batch)
                    {
                        self.wires.failure.set(error);
                        return false;
                    }
                    self.wires.records.fetch_add(batch.records, Ordering::Relaxed);
                    self.wires.figures.read_to(batch.partition, batch.offset_next);
                    let sums = self.intake.open_sums();
                    let taken = self.intake.take(batch, now);
                    if let Err(error) = self.intake.hear_clock(now) {
                        self.wires.failure.set(error);
                        return false;
                    }
                    // a sum, the changes and rows it leads to, and its state take about 2,000 bytes on their way
                    let sums = (self.intake.open_sums() - sums) * 2_000;
                    *self.bytes.entry(self.epoch).or_default() += taken.bytes + sums;
                    self.say(taken, out);
                }
                Ok(Err(error)) => {
                    self.wires.failure.set(error.into());
                    return false;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                    self.intake.drained(now);
                    return false;
                }
            }
        }
        true
    }

    /// Whether the next batch belongs to the next epoch; then requests the end of this one.
    fn is_put_off(&mut self) -> bool {
        let later = self.put_off.front().is_some_and(|(epoch, _)| *epoch > self.epoch);
        let out = later || self.intake.is_full();
        if out && self.until.is_none() && self.asked != Some(self.epoch) {
            self.asked = Some(self.epoch);
            self.wires.reports.borrow_mut().push(Report::OutOfCredit { epoch: self.epoch });
        }
        out && self.until.is_none()
    }

    /// Puts off the part of a batch whose receipts differ in kind from those of the epoch so far.
    fn put_off(&mut self, batch: &mut Batch) {
        if self.until.is_none()
            && let Some(offset) = self.intake.turns_at(batch)
            && let Some(rest) = batch.split_off(offset)
        {
            self.put_off.push_front((self.epoch + 1, rest));
        }
    }

    fn say(&self, taken: BatchOutcome, out: &mut Outbox) {
        let Some(ports) = &self.ports else { return };
        let said = out.at(ports);
        said.routed.extend(taken.routed);
        said.rows.extend(taken.quarantine.into_iter().map(SinkRow::Quarantine));
        said.rows.extend(taken.odd.rows.into_iter().map(|(instrument, anomaly)| {
            SinkRow::Anomaly(RowChange { series: (checks::TICKS, instrument), old: None, new: Some(anomaly) }.unnamed())
        }));
        said.remarks.extend(taken.odd.remarks);
        said.listings.extend(taken.listings);
        let archived = taken.archived.filter(|archived| !archived.ticks.is_empty());
        said.rows.extend(archived.map(|archived| SinkRow::Ticks(Arc::new(archived))));
    }

    /// Ends the epoch if all its recorded records were read. True: it ended, and there is a next one.
    fn end_as_recorded(&mut self, out: &mut Outbox) -> bool {
        let Some(until) = &mut self.until else { return false };
        for (index, paused) in until.paused() {
            self.paused[index].store(paused, Ordering::Relaxed);
        }
        match until.reached(self.epoch) {
            Ok(None) => false,
            Ok(Some(Ending { flush, last })) => {
                self.end_epoch(flush, last, out);
                !last
            }
            Err(error) => {
                self.wires.failure.set(error);
                false
            }
        }
    }

    fn end_epoch(&mut self, flush: bool, last: bool, out: &mut Outbox) {
        self.begin(out);
        if flush {
            for taken in self.intake.flush() {
                self.say(taken, out);
            }
        }
        self.end_step(out);
        self.sniff.end();
        let Some(mut ports) = self.ports.take() else { return };
        let ended = self.intake.end_epoch(self.epoch);
        let rows = &mut out.at(&ports).rows;
        rows.extend(ended.counts.into_iter().map(|(partition, counts)| SinkRow::Counts(partition, counts)));
        rows.push(SinkRow::State(ended.state));
        self.wires.reports.borrow_mut().push(Report::Ended {
            worker: self.worker,
            epoch: self.epoch,
            places: ended.places,
            partitions: self.intake.progress(Instant::now()),
        });
        self.ended.insert(self.epoch, ports.delayed(stamp(self.epoch, LAST_STEP)));
        self.epoch += 1;
        self.step = FIRST_STEP;
        self.step_since = Instant::now();
        self.begun = false;
        if !last {
            ports.downgrade(stamp(self.epoch, FIRST_STEP));
            self.ports = Some(ports);
        }
    }

    fn report(&mut self, now: Instant) {
        if self.ports.is_none() || self.told_at.is_some_and(|at| now < at + REPORT_EVERY) {
            return;
        }
        let progress = (self.intake.records(), self.intake.progress(now));
        if self.told_at.is_none() || progress != self.told {
            self.told_at = Some(now);
            self.told = progress.clone();
            let (records, partitions) = progress;
            tracing::debug!(worker = self.worker, epoch = self.epoch, records, ?partitions, "progress");
            let report = Report::Progress { worker: self.worker, epoch: self.epoch, records, partitions };
            self.wires.reports.borrow_mut().push(report);
        }
    }

    /// Whether nothing more will be read and every binding has been passed on.
    pub fn is_done(&self) -> bool {
        self.ports.is_none() && self.ended.is_empty()
    }
}
