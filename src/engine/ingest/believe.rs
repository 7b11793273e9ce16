//! Whether the time of a tick is believed: at once, later, or never; and notices, which move no time.
//!
//! Why before all else: one wild time would move the frontier and send a whole feed to quarantine. What must hold: a tick that
//! is held is decided once, by the records of its partition alone.

use super::admit::Admission;
use super::losses::Silent;
use super::{Intake, PartitionIntake, Taken};
use ticktide_flow::clean::jumps::Held;
use ticktide_flow::instruments::{Day, Told};
use ticktide_market::{Instrument, Tick, TickKind};

/// A tick that waits, with its instrument and its record.
pub(super) type HeldTick = Held<(Instrument, Vec<u8>)>;

impl Intake {
    /// One tick, as far as its time is believed.
    #[inline]
    pub(super) fn tick(&mut self, mut admission: Admission<'_>) {
        let tick = admission.tick;
        let admission = &mut admission;
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
        if admission.partition.jumps.is_believed(tick.exchange_at, &self.judge.spec) {
            self.admit(admission);
        } else {
            self.hold(admission);
        }
        self.pass(admission.partition, tick.offset, admission.taken);
    }

    /// Holds a tick whose time is not believed; it may be the one that confirms those before it.
    fn hold(&mut self, admission: &mut Admission<'_>) {
        let Admission { partition, taken, tick, payload, .. } = admission;
        partition.counts.pending += 1;
        partition.changed = true;
        let extra = (self.instrument(tick).clone(), payload.to_vec());
        let held = Held { tick: Tick::clone(tick), extra };
        let released = partition.jumps.hold(tick.exchange_at, &self.judge.spec, held);
        self.release(partition, released, Vec::new(), taken);
    }

    /// The partition has come to an offset: what was held too long is decided.
    #[inline]
    fn pass(&mut self, partition: &mut PartitionIntake, offset: i64, taken: &mut Taken) {
        if !partition.jumps.is_quiet() {
            let (take, given_up) = partition.jumps.pass(offset, &self.judge.spec);
            self.release(partition, take, given_up, taken);
        }
    }

    /// Decides held ticks: some are believed after all, some given up.
    pub(super) fn release(
        &mut self,
        partition: &mut PartitionIntake,
        believed: Vec<HeldTick>,
        given_up: Vec<HeldTick>,
        taken: &mut Taken,
    ) {
        partition.changed |= !(believed.is_empty() && given_up.is_empty());
        for held in believed {
            partition.counts.pending -= 1;
            let (mut tick, (instrument, payload)) = (held.tick, held.extra);
            tick.instrument = self.id(&instrument);
            self.admit(&mut Admission { partition, taken, tick: &tick, payload: &payload, index: None });
        }
        for held in given_up {
            partition.counts.pending -= 1;
            let detail = "its time jumps ahead of the partition and no later record agrees with it".to_owned();
            let (tick, payload) = (&held.tick, &held.extra.1);
            Admission { partition, taken, tick, payload, index: None }.refuse("future_time", detail);
        }
    }

    /// A notice: counted, and archived on the trading date of its time if there is one. Its partition has come as far as its
    /// receipt less what clocks may differ by: one that has nothing but notices must not hold the others back for ever.
    fn note(&mut self, admission: &mut Admission<'_>) {
        let (partition, tick) = (&mut *admission.partition, admission.tick);
        partition.counts.accepted += 1;
        partition.count_silent(Silent::Notice);
        if let Some(received_at) = tick.received_at {
            let come_to = received_at.saturating_sub(self.judge.spec.ahead_max);
            partition.place.event_at_max = partition.place.event_at_max.max(Some(come_to));
            partition.jumps.anchor = partition.place.event_at_max;
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

    /// What a notice says of its instrument: it is of the day on the session's wall on which it was received.
    fn told(&self, partition: &PartitionIntake, tick: &Tick) -> Option<Told> {
        let (snapshot, at) = (tick.snapshot.as_deref()?, tick.received_at?);
        let listing = snapshot.listing.clone().map(|listing| ((at, partition.order, tick.offset), listing));
        let day = Day { listing, band_low: snapshot.band_low, band_high: snapshot.band_high };
        (day != Day::default()).then(|| Told {
            instrument: self.instrument(tick).clone(),
            date: self.judge.spec.session.local_day(at),
            day,
        })
    }
}
