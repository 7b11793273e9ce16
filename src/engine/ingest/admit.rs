//! What becomes of a tick whose time is believed: it counts, is a duplicate, or goes to quarantine.
//!
//! ```text
//!   verdict ─▶ remember ─▶ advance ─▶ route ─▶ check ─▶ keep
//!      └ refused  └ a duplicate  the partition's  to bars  odd?    for the archive
//!                                time and days
//! ```
//!
//! Why in this order: what is refused or known already must move nothing, and only what counts is checked and archived. What
//! must hold: a tick adds to exactly one term of its partition's balance.

use super::{BatchOutcome, Intake, KeptTick, PartitionIntake};
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_flow::bars::acc::{SnapshotAcc, TradeOrder};
use ticktide_flow::bars::trades::{Correction, RecordOrigin, Trade, TradeKey};
use ticktide_flow::bars::{Reached, Routed, bucket};
use ticktide_flow::clean::Verdict;
use ticktide_flow::clean::duplicates::SeenEntry;
use ticktide_market::calendar::PhaseAt;
use ticktide_market::{Instrument, Tick, TickKind};
use ticktide_tables::{ArchivedTick, QuarantineRow};

/// A tick on its way in: where it comes from, and what it adds to.
pub(super) struct Admission<'a> {
    pub partition: &'a mut PartitionIntake,
    pub taken: &'a mut BatchOutcome,
    pub tick: &'a Tick,
    pub payload: &'a [u8],
    /// Its index in the batch; `None`: it was held, and its batch is gone.
    pub index: Option<usize>,
    /// It moves the time of its partition; one that was accepted at an end does not yet.
    pub moves: bool,
}

impl Intake {
    /// Takes a tick whose time is believed.
    #[inline]
    pub(super) fn admit(&mut self, admission: &mut Admission<'_>) {
        let Some(verdict) = self.verdict(admission) else { return };
        let trading_date = self.trading_date(admission.tick);
        let mut seen = match verdict {
            Verdict::Correction => None,
            _ => SeenEntry::of(admission.tick, self.trusted),
        };
        if self.dedupe_here && seen.take().is_some_and(|seen| !self.remember(admission, trading_date, seen)) {
            return;
        }
        self.advance(admission, trading_date);
        self.route(admission, verdict, trading_date, seen);
        self.check(admission);
        self.keep(admission, trading_date);
    }

    /// Takes a cancel or correction that has its trade's trading day and no time. It moves no time; while it waits for its
    /// trade, its time is the one that its partition has come to. Under the first rules it was that of its receipt, or the
    /// one that the whole lake had come to.
    pub(super) fn admit_dated(&mut self, admission: &mut Admission<'_>, trading_date: i32) {
        if self.verdict(admission).is_none() {
            return;
        }
        let tick = admission.tick;
        let newest = admission.partition.place.event_at_max;
        let at = match self.horizons.rules {
            Rules::First => {
                let retained = Some(self.horizons.retained_from).filter(|from| *from > Nanos::MIN);
                tick.received_at.or(newest.max(retained.map(|from| from.saturating_add(self.retention))))
            }
            Rules::Second => admission.partition.bounds.running().or(newest).or(tick.received_at),
        };
        let at = at.unwrap_or(tick.exchange_at);
        let aged = Tick { exchange_at: at, ..tick.clone() };
        let mut aged = Admission {
            partition: &mut *admission.partition,
            taken: &mut *admission.taken,
            tick: &aged,
            payload: admission.payload,
            index: admission.index,
            moves: false,
        };
        self.correct(&mut aged, trading_date);
        if !self.checks.is_empty() {
            self.look_at(&mut aged, &PhaseAt { phase: 0, trading_date, start: at, end: at });
        }
        self.keep(&mut aged, trading_date);
    }

    /// The verdict on a tick; `None`: it is refused.
    #[inline]
    fn verdict(&mut self, admission: &mut Admission<'_>) -> Option<Verdict> {
        match self.judge.judge(admission.tick, admission.partition.bounds.reaches()) {
            Verdict::Reject { reason: "too_late", .. } if self.horizons.rules > Rules::First => {
                let (reason, detail) = self.late(admission, false);
                admission.refuse(reason, detail);
                None
            }
            Verdict::Reject { reason, detail } => {
                admission.refuse(reason, detail);
                None
            }
            verdict => Some(verdict),
        }
    }

    /// The trading date of a tick; 0 outside of every session.
    #[inline]
    fn trading_date(&mut self, tick: &Tick) -> i32 {
        let trading_date = self.judge.phase_at(tick.instrument, tick.exchange_at).map_or(0, |phase| phase.trading_date);
        if trading_date != self.dated {
            self.dated = trading_date;
            self.judge.warn_unknown(trading_date);
        }
        trading_date
    }

    /// Whether the tick is new to its partition. A known one is counted as a duplicate, or refused if its content differs.
    #[inline]
    fn remember(&self, admission: &mut Admission<'_>, trading_date: i32, seen: SeenEntry) -> bool {
        let scope = self.scopes[admission.tick.instrument.0 as usize];
        match admission.partition.memory.remember(scope.0, trading_date, seen) {
            None => return true,
            Some(true) => admission.partition.counts.duplicates += 1,
            Some(false) => {
                admission
                    .refuse("conflicting_id", "its id or sequence was there before, with other content".to_owned());
            }
        }
        false
    }

    /// The partition comes to the tick's time; what a snapshot says about its day is noted.
    #[inline]
    fn advance(&mut self, admission: &mut Admission<'_>, trading_date: i32) {
        let Admission { partition, tick, moves, .. } = admission;
        if *moves {
            partition.place.event_at_max = partition.place.event_at_max.max(Some(tick.exchange_at));
            partition.belief.set_anchor(partition.place.event_at_max);
            self.come_to(partition, tick.exchange_at);
        } else {
            partition.lone_max = partition.lone_max.max(Some(tick.exchange_at));
        }
        if tick.kind == TickKind::Snapshot {
            self.note_baseline(partition, tick, trading_date);
            self.volumes.note(tick);
        }
    }

    /// A tick of this time counts: the partition's reaches follow its running time.
    #[inline]
    pub(super) fn come_to(&self, partition: &mut PartitionIntake, at: Nanos) {
        let spec = &self.judge.spec;
        if partition.past.see(at)
            && partition.bounds.advance(partition.past.running(), &self.horizons, &spec.reach, &spec.session)
        {
            partition.memory.know_from(partition.bounds.own().least());
        }
    }

    fn note_baseline(&self, partition: &mut PartitionIntake, tick: &Tick, trading_date: i32) {
        let first = partition.days.entry(trading_date).or_insert(Nanos::MAX);
        if tick.exchange_at < *first {
            *first = tick.exchange_at;
            partition.changed = true;
        }
        let volume = tick.snapshot.as_ref().and_then(|snapshot| snapshot.cumulative_volume);
        if volume == Some(0) {
            partition.changed |= partition.zero.insert((trading_date, self.instrument(tick).clone()));
        }
    }

    /// Gives a tick that counts to the bars: into the sums of the step, or to its instrument's worker as it is. `seen`: how a
    /// duplicate is recognised after the exchange.
    #[inline]
    fn route(&mut self, admission: &mut Admission<'_>, verdict: Verdict, trading_date: i32, seen: Option<SeenEntry>) {
        let (mask, parts, phase, at) = match verdict {
            Verdict::Accept { mask, parts, phase, at } => (mask, parts, phase, at),
            Verdict::AcceptSilently => {
                admission.partition.counts.accepted += 1;
                return self.note_silent(admission);
            }
            Verdict::Correction => return self.correct(admission, trading_date),
            Verdict::Reject { .. } => return,
        };
        let tick = admission.tick;
        admission.partition.counts.accepted += 1;
        if tick.kind == TickKind::Snapshot {
            return self.add_snapshot(admission, phase, mask, at);
        }
        let all = ((1u64 << self.intervals.len()) - 1) as u32;
        if mask != all && tick.kind == TickKind::Trade {
            self.note_late_partly(admission, mask);
        }
        let order = self.order(admission);
        if !self.raw {
            return self.partials.add_trade(tick.instrument, phase, mask, &order, parts);
        }
        let (bucket_at, _) = bucket(&phase, self.intervals[0], at);
        let (sets_price, adds_volume) = (parts.sets_price, parts.adds_volume);
        let key = match &tick.id {
            Some(id) => TradeKey::Id(phase.trading_date, id.clone()),
            None => TradeKey::Place(admission.partition.order, tick.offset),
        };
        let (instrument, place) = (self.instrument(tick).clone(), admission.place());
        let trade = Trade { order, bucket_at, sets_price, adds_volume };
        admission.taken.bytes += 256;
        let bounds = &admission.partition.bounds;
        let reached = Reached {
            kept_from: bounds.reaches().retained_from,
            known_from: bounds.own().least().max(self.horizons.least()),
        };
        admission.taken.routed.push(Routed::Trade { instrument, phase, mask, key, trade, seen, reached, place });
    }

    /// Adds a snapshot to the step's sums; what is known of the day's start decides whether its volume is all of the day's.
    #[inline]
    fn add_snapshot(&mut self, admission: &Admission<'_>, phase: PhaseAt, mask: u32, at: Nanos) {
        let (partition, tick) = (&*admission.partition, admission.tick);
        let known = partition.days.get(&phase.trading_date).is_some_and(|first| *first < phase.start)
            || partition.zero.contains(&(phase.trading_date, self.instrument(tick).clone()));
        let snapshot = SnapshotAcc::of(tick, phase.trading_date, known);
        self.partials.add_snapshot(tick.instrument, phase, mask, at, snapshot);
    }

    #[inline]
    fn order(&self, admission: &Admission<'_>) -> TradeOrder {
        let tick = admission.tick;
        TradeOrder {
            at: tick.exchange_at,
            sequence: if self.trusted { tick.sequence.unwrap_or(0) } else { 0 },
            partition: admission.partition.order,
            offset: tick.offset,
            price: tick.price.map_or(0, |price| price.0),
            quantity: tick.quantity.map_or(0, |quantity| quantity.0),
        }
    }

    /// Sends a cancel or correction to where its trade is; of two the one with the later sequence or time counts.
    fn correct(&self, admission: &mut Admission<'_>, trading_date: i32) {
        let tick = admission.tick;
        admission.partition.counts.pending += 1;
        let replaces = (tick.kind == TickKind::Correct)
            .then(|| (tick.price.map_or(0, |price| price.0), tick.quantity.map_or(0, |quantity| quantity.0)));
        let (order, place) = ((tick.sequence.unwrap_or(0), tick.exchange_at), admission.place());
        let reaches = admission.partition.bounds.reaches();
        let (kept_from, counts_from) = match self.horizons.rules {
            Rules::First => (Nanos::MIN, Box::default()),
            Rules::Second => (reaches.retained_from, reaches.intervals.as_slice().into()),
        };
        admission.taken.bytes += 256 + admission.payload.len();
        admission.taken.routed.push(Routed::Correction {
            instrument: self.instrument(tick).clone(),
            key: TradeKey::Id(trading_date, tick.id.clone().unwrap_or_default()),
            correction: Correction { order, replaces, place, kept_from, counts_from },
        });
    }

    fn note_late_partly(&self, admission: &mut Admission<'_>, mask: u32) {
        if self.horizons.rules > Rules::First {
            let (reason, detail) = self.late(admission, true);
            return admission.quarantine(reason, detail);
        }
        let missed = self.intervals.iter().enumerate().filter(|(level, _)| mask & (1 << level) == 0);
        let missed: Vec<String> = missed.map(|(_, interval)| interval.name()).collect();
        let detail = format!("too late for {}; the others count it", missed.join(", "));
        admission.partition.count_partly("late_partly");
        admission.quarantine("late_partly", detail);
    }

    /// Applies the checks of ticks to one that counts.
    #[inline]
    fn check(&mut self, admission: &mut Admission<'_>) {
        let tick = admission.tick;
        if (!self.checks.is_empty() || self.checks.partitions.is_some())
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            self.look_at(admission, &phase);
        }
    }

    #[inline]
    fn look_at(&self, admission: &mut Admission<'_>, phase: &PhaseAt) {
        let Admission { partition, taken, tick, .. } = admission;
        let auction = self.judge.spec.session.is_auction(phase.phase);
        let instrument = self.instrument(tick);
        let sighted = (&partition.name, &mut partition.sighted);
        taken.bytes += self.checks.sight(tick, phase, instrument, sighted, &mut taken.odd);
        taken.bytes += self.checks.look(tick, (phase, auction), instrument, &partition.name, &mut taken.odd);
    }

    /// Keeps a tick for the archive: one of the batch by its index, one that was held as it is.
    #[inline]
    pub(super) fn keep(&self, admission: &mut Admission<'_>, trading_date: i32) {
        let Some(archived) = &mut admission.taken.archived else { return };
        match admission.index {
            Some(index) => admission.taken.kept.push(KeptTick { index, trading_date }),
            None => {
                let (tick, instrument) = (admission.tick.clone(), self.instrument(admission.tick).clone());
                archived.ticks.push(ArchivedTick { tick, instrument, trading_date });
            }
        }
    }

    /// The instrument of a tick, by this worker's id.
    #[inline]
    pub(super) fn instrument(&self, tick: &Tick) -> &Instrument {
        &self.names[tick.instrument.0 as usize]
    }
}

impl Admission<'_> {
    /// Refuses the tick: its record goes to quarantine.
    pub(super) fn refuse(&mut self, reason: &'static str, detail: String) {
        self.partition.count(reason);
        self.quarantine(reason, detail);
    }

    fn quarantine(&mut self, reason: &'static str, detail: String) {
        self.taken.bytes += self.payload.len();
        self.taken.quarantine.push(QuarantineRow {
            partition: self.partition.name.clone(),
            offset: self.tick.offset,
            received_at: self.tick.received_at,
            reason,
            detail,
            payload: self.payload.into(),
        });
    }

    /// Where its record is, with the record.
    fn place(&self) -> RecordOrigin {
        RecordOrigin {
            partition: self.partition.name.clone(),
            offset: self.tick.offset,
            received_at: self.tick.received_at,
            payload: self.payload.into(),
        }
    }
}
