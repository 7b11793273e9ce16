//! Whether the time of a tick is believed: at once, later, or never; and notices, which move no time.
//!
//! Why before everything else: one wild time would move its partition and make all that follows too late. What must hold: a
//! tick that is held is decided once, by the records of its partition and by what is recorded of our clock.

use super::admit::Admission;
use super::belief::{Belief, Extra, HeldTick};
use super::losses::Silent;
use super::{BatchOutcome, Intake, PartitionIntake};
use ticktide_base::rules::Rules;
use ticktide_flow::clean::jumps::Held;
use ticktide_flow::clean::wild::{TimeDecisions, Why};
use ticktide_flow::instruments::{ListingDay, ListingUpdate};
use ticktide_market::{Tick, TickKind};

impl Intake {
    /// Takes one tick, if its time is believed.
    #[inline]
    pub(super) fn tick(&mut self, mut admission: Admission<'_>) {
        let admission = &mut admission;
        match self.horizons.rules {
            Rules::First => self.tick_first(admission),
            Rules::Second => self.tick_second(admission),
        }
    }

    /// Under the first rules a receipt decides, whoever wrote it.
    fn tick_first(&mut self, admission: &mut Admission<'_>) {
        let tick = admission.tick;
        if tick.kind == TickKind::Notice {
            return self.note(admission);
        }
        if let Some(trading_date) = tick.trading_date {
            self.admit_dated(admission, trading_date);
            return self.pass(admission.partition, tick.offset, admission.taken);
        }
        if tick.received_at.is_some() {
            if self.judge.is_future(tick) {
                let detail = "its time is more than 60 s after the broker took it".to_owned();
                return admission.refuse("future_time", detail);
            }
            return self.admit(admission);
        }
        let Belief::First(jumps) = &admission.partition.belief else { return };
        if jumps.is_believed(tick.exchange_at, &self.judge.spec) {
            self.admit(admission);
        } else {
            self.hold(admission);
        }
        self.pass(admission.partition, tick.offset, admission.taken);
    }

    /// Under the second rules only a witness decides; otherwise later records do, or our clock while records are read live.
    #[inline]
    fn tick_second(&mut self, admission: &mut Admission<'_>) {
        let tick = admission.tick;
        if tick.kind == TickKind::Notice {
            return self.note(admission);
        }
        admission.partition.ticked_at = self.looked_at;
        if let Some(trading_date) = tick.trading_date {
            return self.admit_dated(admission, trading_date);
        }
        let at = tick.exchange_at;
        admission.partition.told_behind(at);
        if self.judge.phase_at(tick.instrument, at).is_none() {
            return admission.refuse("off_session", "its time is outside every phase of its session".to_owned());
        }
        let witness = tick.received_at.filter(|_| admission.partition.place.witnessed);
        if let Some(received) = witness {
            if at > received.saturating_add(self.judge.spec.ahead_max) {
                let detail = "its time is more than 60 s after it was received".to_owned();
                return admission.refuse("future_time", detail);
            }
        } else if admission.partition.book.refutes(tick.offset, at, &self.clock) {
            let detail = "its time is more than 60 s ahead of this machine's clock".to_owned();
            return admission.refuse("future_time", detail);
        }
        admission.partition.began_at = Some(admission.partition.began_at.map_or(at, |began| began.min(at)));
        self.believe(
            admission,
            witness.is_some_and(|received| at >= received.saturating_sub(self.judge.spec.max_jump)),
        );
    }

    /// Shows the tick to the records that wait; then it counts or waits itself. `vouched`: a witness confirms its time as now.
    #[inline]
    fn believe(&mut self, admission: &mut Admission<'_>, vouched: bool) {
        let (tick, spec) = (admission.tick, &self.judge.spec);
        let at = tick.exchange_at;
        let Belief::Second(wild) = &mut admission.partition.belief else { return };
        if !wild.is_quiet() {
            let decided = wild.heard(at, tick.offset, spec);
            admission.partition.changed = true;
            self.settle(admission.partition, decided, admission.taken);
        }
        let spec = &self.judge.spec;
        let PartitionIntake { belief: Belief::Second(wild), book, .. } = &mut *admission.partition else { return };
        let believed = vouched
            || wild.is_believed(at, spec)
            || (wild.anchor.is_none() && book.believes_first(tick.offset, at, &self.clock, spec.max_jump));
        if believed {
            return self.admit(admission);
        }
        admission.partition.counts.pending += 1;
        admission.partition.changed = true;
        let extra = (self.instrument(tick).clone(), admission.payload.to_vec());
        let held = Held { tick: tick.clone(), extra };
        if let Belief::Second(wild) = &mut admission.partition.belief {
            wild.hold(held);
        }
    }

    /// Takes what was decided of ticks that waited.
    fn settle(&mut self, partition: &mut PartitionIntake, decided: TimeDecisions<Extra>, taken: &mut BatchOutcome) {
        for held in decided.believed {
            self.admit_held(partition, held, true, taken);
        }
        for (held, why) in decided.refused {
            partition.counts.pending -= 1;
            let (tick, payload) = (&held.tick, &held.extra.1);
            let mut refused = Admission { partition, taken, tick, payload, index: None, moves: false };
            refused.refuse("future_time", why.detail().to_owned());
        }
        for at in decided.confirmed {
            partition.place.event_at_max = partition.place.event_at_max.max(Some(at));
            self.come_to(partition, at);
        }
    }

    fn admit_held(&mut self, partition: &mut PartitionIntake, held: HeldTick, moves: bool, taken: &mut BatchOutcome) {
        partition.counts.pending -= 1;
        let (mut tick, (instrument, payload)) = (held.tick, held.extra);
        tick.instrument = self.id(&instrument);
        self.admit(&mut Admission { partition, taken, tick: &tick, payload: &payload, index: None, moves });
    }

    /// Decides what waits where a partition ends: what nothing contradicts counts.
    pub(super) fn decide_at_end(&mut self, partition: &mut PartitionIntake, taken: &mut BatchOutcome) {
        match &mut partition.belief {
            Belief::First(jumps) => {
                let (believed, given_up) = jumps.flush(&self.judge.spec);
                self.release(partition, believed, given_up, taken);
            }
            Belief::Second(wild) if wild.is_quiet() => {}
            Belief::Second(wild) => {
                let next = partition.place.offset_next;
                let limit = partition.book.at_end(next, &self.clock);
                let (decided, accepted) = wild.end(limit, &self.judge.spec);
                if decided.refused.iter().any(|(_, why)| *why == Why::Ahead) {
                    partition.book.refuted_at_end(next, limit);
                }
                partition.changed = true;
                self.settle(partition, decided, taken);
                for held in accepted {
                    self.admit_held(partition, held, false, taken);
                }
            }
        }
    }

    /// Holds a tick whose time is not believed; it may be the one that confirms those before it.
    fn hold(&mut self, admission: &mut Admission<'_>) {
        let Admission { partition, taken, tick, payload, .. } = admission;
        partition.counts.pending += 1;
        partition.changed = true;
        let extra = (self.instrument(tick).clone(), payload.to_vec());
        let held = Held { tick: Tick::clone(tick), extra };
        let Belief::First(jumps) = &mut partition.belief else { return };
        let released = jumps.hold(tick.exchange_at, &self.judge.spec, held);
        self.release(partition, released, Vec::new(), taken);
    }

    /// The partition has come to an offset: what was held too long is decided.
    #[inline]
    fn pass(&mut self, partition: &mut PartitionIntake, offset: i64, taken: &mut BatchOutcome) {
        if let Belief::First(jumps) = &mut partition.belief
            && !jumps.is_quiet()
        {
            let (take, given_up) = jumps.pass(offset, &self.judge.spec);
            self.release(partition, take, given_up, taken);
        }
    }

    /// Decides held ticks: some are believed after all, some given up.
    fn release(
        &mut self,
        partition: &mut PartitionIntake,
        believed: Vec<HeldTick>,
        given_up: Vec<HeldTick>,
        taken: &mut BatchOutcome,
    ) {
        partition.changed |= !(believed.is_empty() && given_up.is_empty());
        for held in believed {
            self.admit_held(partition, held, true, taken);
        }
        for held in given_up {
            partition.counts.pending -= 1;
            let detail = "its time jumps ahead of the partition and no later record agrees with it".to_owned();
            let (tick, payload) = (&held.tick, &held.extra.1);
            Admission { partition, taken, tick, payload, index: None, moves: false }.refuse("future_time", detail);
        }
    }

    /// A notice: counted, and archived on the trading date of its time if there is one. A partition that has only notices must
    /// not hold the others back forever: it has come as far as its receipt less the difference that clocks may have, if a
    /// witness wrote the receipt.
    fn note(&mut self, admission: &mut Admission<'_>) {
        let (partition, tick) = (&mut *admission.partition, admission.tick);
        partition.counts.accepted += 1;
        partition.count_silent(Silent::Notice);
        let first = self.horizons.rules == Rules::First;
        let told = tick.received_at.filter(|_| first || (partition.place.witnessed && partition.began_at.is_none()));
        if let Some(received_at) = told.filter(|_| first || partition.past.times().is_empty()) {
            let come_to = received_at.saturating_sub(self.judge.spec.ahead_max);
            partition.place.event_at_max = partition.place.event_at_max.max(Some(come_to));
            if first {
                partition.belief.set_anchor(partition.place.event_at_max);
            }
        }
        if admission.taken.archived.is_some()
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            self.keep(admission, phase.trading_date);
        }
        if self.lists
            && let Some(told) = self.told(admission.partition, tick)
        {
            admission.taken.bytes += 512;
            admission.taken.listings.push(told);
        }
    }

    /// What a notice says about its instrument, for the session's local day on which it was received.
    fn told(&self, partition: &PartitionIntake, tick: &Tick) -> Option<ListingUpdate> {
        let (snapshot, at) = (tick.snapshot.as_deref()?, tick.received_at?);
        let listing = snapshot.listing.clone().map(|listing| ((at, partition.order, tick.offset), listing));
        let day = ListingDay { listing, band_low: snapshot.band_low, band_high: snapshot.band_high };
        (day != ListingDay::default()).then(|| ListingUpdate {
            instrument: self.instrument(tick).clone(),
            date: self.judge.spec.session.local_day(at),
            day,
        })
    }
}
