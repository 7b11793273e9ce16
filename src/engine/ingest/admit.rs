//! What becomes of one tick: its time is believed, held or refused, then it counts, is there already, or goes to quarantine.

use super::{Intake, Reading, Taken};
use ticktide_base::time::Nanos;
use ticktide_flow::bars::acc::{SnapshotAcc, TradeOrder};
use ticktide_flow::bars::trades::{Correction, Place as RecordPlace, Trade, TradeKey};
use ticktide_flow::bars::{Routed, bucket};
use ticktide_flow::clean::Verdict;
use ticktide_flow::clean::duplicates::SeenEntry;
use ticktide_flow::clean::jumps::Held;
use ticktide_flow::instruments::{Day, Told};
use ticktide_market::calendar::PhaseAt;
use ticktide_market::{Instrument, Tick, TickKind};
use ticktide_tables::QuarantineRow;

impl Intake {
    /// One tick, as far as its time is believed.
    #[inline]
    pub(super) fn tick(&mut self, reading: &mut Reading, index: usize, tick: &Tick, payload: &[u8], taken: &mut Taken) {
        if tick.kind == TickKind::Notice {
            return self.note(reading, index, tick, taken);
        }
        if let Some(trading_date) = tick.trading_date {
            self.admit_dated(reading, index, tick, trading_date, payload, taken);
            return self.pass(reading, tick.offset, taken);
        }
        if tick.received_at.is_some() {
            if self.judge.is_future(tick) {
                let detail = "its time is more than 60 s after the broker took it".to_owned();
                return refuse(reading, tick, payload, "future_time", detail, taken);
            }
            return self.admit(reading, Some(index), tick, payload, taken);
        }
        let at = tick.exchange_at;
        if reading.jumps.is_believed(at, &self.judge.spec) {
            self.admit(reading, Some(index), tick, payload, taken);
        } else {
            reading.counts.pending += 1;
            reading.changed = true;
            let extra = (self.names[tick.instrument.0 as usize].clone(), payload.to_vec());
            let released = reading.jumps.hold(at, &self.judge.spec, Held { tick: tick.clone(), extra });
            self.release(reading, released, Vec::new(), taken);
        }
        self.pass(reading, tick.offset, taken);
    }

    /// The partition has come to an offset: what was held too long is decided.
    #[inline]
    fn pass(&mut self, reading: &mut Reading, offset: i64, taken: &mut Taken) {
        if !reading.jumps.is_quiet() {
            let (take, given_up) = reading.jumps.pass(offset, &self.judge.spec);
            self.release(reading, take, given_up, taken);
        }
    }

    /// A notice: counted, and archived on the trading date of its time if there is one. Its partition has come as far as its
    /// receipt less what clocks may differ by: one that has nothing but notices must not hold the others back for ever.
    fn note(&mut self, reading: &mut Reading, index: usize, tick: &Tick, taken: &mut Taken) {
        reading.counts.accepted += 1;
        if let Some(received_at) = tick.received_at {
            let come_to = received_at.saturating_sub(self.judge.spec.ahead_max);
            reading.place.event_at_max = reading.place.event_at_max.max(Some(come_to));
            reading.jumps.anchor = reading.place.event_at_max;
        }
        if taken.archived.is_some()
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            taken.kept.push((index, phase.trading_date));
        }
        if self.lists
            && let Some(told) = self.told(reading, tick)
        {
            taken.bytes += 512;
            taken.listings.push(told);
        }
    }

    /// What a notice says of its instrument: it is of the day on the session's wall on which it was received.
    fn told(&self, reading: &Reading, tick: &Tick) -> Option<Told> {
        let (snapshot, at) = (tick.snapshot.as_deref()?, tick.received_at?);
        let listing = snapshot.listing.clone().map(|listing| ((at, reading.order, tick.offset), listing));
        let day = Day { listing, band_low: snapshot.band_low, band_high: snapshot.band_high };
        (day != Day::default()).then(|| Told {
            instrument: self.names[tick.instrument.0 as usize].clone(),
            date: self.judge.spec.session.local_day(at),
            day,
        })
    }

    /// Decides held ticks: some are believed after all, some given up.
    pub(super) fn release(
        &mut self,
        reading: &mut Reading,
        believed: Vec<Held<(Instrument, Vec<u8>)>>,
        given_up: Vec<Held<(Instrument, Vec<u8>)>>,
        taken: &mut Taken,
    ) {
        reading.changed |= !(believed.is_empty() && given_up.is_empty());
        for held in believed {
            reading.counts.pending -= 1;
            let (mut tick, (instrument, payload)) = (held.tick, held.extra);
            tick.instrument = self.id(&instrument);
            self.admit(reading, None, &tick, &payload, taken);
        }
        for held in given_up {
            reading.counts.pending -= 1;
            let detail = "its time jumps ahead of the partition and no later record agrees with it".to_owned();
            refuse(reading, &held.tick, &held.extra.1, "future_time", detail, taken);
        }
    }

    /// A tick whose time is believed; `index`: its place in the batch, unless it was held.
    #[inline]
    fn admit(&mut self, reading: &mut Reading, index: Option<usize>, tick: &Tick, payload: &[u8], taken: &mut Taken) {
        let verdict = self.judge.judge(tick, &self.horizons);
        if let Verdict::Reject { reason, detail } = verdict {
            return refuse(reading, tick, payload, reason, detail, taken);
        }
        let trading_date = self.judge.phase_at(tick.instrument, tick.exchange_at).map_or(0, |phase| phase.trading_date);
        if trading_date != self.dated {
            self.dated = trading_date;
            self.judge.warn_unknown(trading_date);
        }
        let mut seen = None;
        if !matches!(verdict, Verdict::Correction) {
            seen = SeenEntry::of(tick, self.trusted);
            if self.dedupe_here
                && let Some(entry) = seen.take()
            {
                let scope = self.scopes[tick.instrument.0 as usize];
                match reading.memory.remember(scope.0, trading_date, entry) {
                    None => {}
                    Some(true) => {
                        reading.counts.duplicates += 1;
                        return;
                    }
                    Some(false) => {
                        let detail = "its id or sequence was there before, with other content".to_owned();
                        return refuse(reading, tick, payload, "conflicting_id", detail, taken);
                    }
                }
            }
        }
        reading.place.event_at_max = reading.place.event_at_max.max(Some(tick.exchange_at));
        reading.jumps.anchor = reading.place.event_at_max;
        if tick.kind == TickKind::Snapshot {
            self.note_baseline(reading, tick, trading_date);
            self.volumes.note(tick);
        }
        match verdict {
            Verdict::Accept { mask, parts, phase, at } => {
                reading.counts.accepted += 1;
                let all = ((1u64 << self.intervals.len()) - 1) as u32;
                if mask != all && tick.kind == TickKind::Trade {
                    self.note_late_partly(reading, tick, payload, mask, taken);
                }
                if tick.kind == TickKind::Snapshot {
                    let instrument = &self.names[tick.instrument.0 as usize];
                    let known = reading.days.get(&phase.trading_date).is_some_and(|first| *first < phase.start)
                        || reading.zero.contains(&(phase.trading_date, instrument.clone()));
                    let snapshot = SnapshotAcc::of(tick, phase.trading_date, known);
                    self.partials.add_snapshot(tick.instrument, phase, mask, at, snapshot);
                } else {
                    let order = self.order(reading, tick);
                    if self.raw {
                        let (bucket_at, _) = bucket(&phase, self.intervals[0], at);
                        let (sets_price, adds_volume) = (parts.sets_price, parts.adds_volume);
                        taken.bytes += 256;
                        taken.routed.push(Routed::Trade {
                            instrument: self.names[tick.instrument.0 as usize].clone(),
                            phase,
                            mask,
                            key: match &tick.id {
                                Some(id) => TradeKey::Id(phase.trading_date, id.clone()),
                                None => TradeKey::Place(reading.order, tick.offset),
                            },
                            trade: Trade { order, bucket_at, sets_price, adds_volume },
                            seen,
                            place: record_place(reading, tick, payload),
                        });
                    } else {
                        self.partials.add_trade(tick.instrument, phase, mask, &order, parts);
                    }
                }
            }
            Verdict::AcceptSilently => reading.counts.accepted += 1,
            Verdict::Correction => self.correct(reading, tick, trading_date, payload, taken),
            Verdict::Reject { .. } => {}
        }
        if (!self.checks.is_empty() || self.checks.partitions.is_some())
            && let Some(phase) = self.judge.phase_at(tick.instrument, tick.exchange_at)
        {
            self.check(reading, tick, &phase, taken);
        }
        if let Some(archived) = &mut taken.archived {
            match index {
                Some(index) => taken.kept.push((index, trading_date)),
                None => {
                    let instrument = self.names[tick.instrument.0 as usize].clone();
                    archived.ticks.push((tick.clone(), instrument, trading_date));
                }
            }
        }
    }

    /// A cancel or correction that tells its trade's trading day and no time. What it would have moved by its time stays where it
    /// is; while it waits for its trade it is as old as its receipt, else as the newest that its partition has come to.
    fn admit_dated(
        &mut self,
        reading: &mut Reading,
        index: usize,
        tick: &Tick,
        trading_date: i32,
        payload: &[u8],
        taken: &mut Taken,
    ) {
        if let Verdict::Reject { reason, detail } = self.judge.judge(tick, &self.horizons) {
            return refuse(reading, tick, payload, reason, detail, taken);
        }
        let retained = Some(self.horizons.retained_from).filter(|from| *from > Nanos::MIN);
        let come_to = reading.place.event_at_max.max(retained.map(|from| from.saturating_add(self.retention)));
        let at = tick.received_at.or(come_to).unwrap_or(tick.exchange_at);
        let aged = Tick { exchange_at: at, ..tick.clone() };
        self.correct(reading, &aged, trading_date, payload, taken);
        if !self.checks.is_empty() {
            self.check(reading, &aged, &PhaseAt { phase: 0, trading_date, start: at, end: at }, taken);
        }
        if taken.archived.is_some() {
            taken.kept.push((index, trading_date));
        }
    }

    /// Sends a cancel or correction to where its trade is; of two the one with the later sequence or time counts.
    fn correct(&self, reading: &mut Reading, tick: &Tick, trading_date: i32, payload: &[u8], taken: &mut Taken) {
        reading.counts.pending += 1;
        let replaces = (tick.kind == TickKind::Correct)
            .then(|| (tick.price.map_or(0, |price| price.0), tick.quantity.map_or(0, |quantity| quantity.0)));
        taken.bytes += 256 + payload.len();
        taken.routed.push(Routed::Correction {
            instrument: self.names[tick.instrument.0 as usize].clone(),
            key: TradeKey::Id(trading_date, tick.id.clone().unwrap_or_default()),
            correction: Correction {
                order: (tick.sequence.unwrap_or(0), tick.exchange_at),
                replaces,
                place: record_place(reading, tick, payload),
            },
        });
    }

    /// Puts the checks of ticks to one that counts.
    #[inline]
    fn check(&self, reading: &mut Reading, tick: &Tick, phase: &PhaseAt, taken: &mut Taken) {
        let auction = self.judge.spec.session.is_auction(phase.phase);
        let instrument = &self.names[tick.instrument.0 as usize];
        let sighted = (&reading.name, &mut reading.sighted);
        taken.bytes += self.checks.sight(tick, phase, instrument, sighted, &mut taken.odd);
        taken.bytes += self.checks.look(tick, (phase, auction), instrument, &reading.name, &mut taken.odd);
    }

    #[inline]
    fn order(&self, reading: &Reading, tick: &Tick) -> TradeOrder {
        TradeOrder {
            at: tick.exchange_at,
            sequence: if self.trusted { tick.sequence.unwrap_or(0) } else { 0 },
            partition: reading.order,
            offset: tick.offset,
            price: tick.price.map_or(0, |price| price.0),
            quantity: tick.quantity.map_or(0, |quantity| quantity.0),
        }
    }

    fn note_baseline(&mut self, reading: &mut Reading, tick: &Tick, trading_date: i32) {
        let first = reading.days.entry(trading_date).or_insert(Nanos::MAX);
        if tick.exchange_at < *first {
            *first = tick.exchange_at;
            reading.changed = true;
        }
        let volume = tick.snapshot.as_ref().and_then(|snapshot| snapshot.cumulative_volume);
        if volume == Some(0) {
            let instrument = self.names[tick.instrument.0 as usize].clone();
            reading.changed |= reading.zero.insert((trading_date, instrument));
        }
    }

    fn note_late_partly(&self, reading: &Reading, tick: &Tick, payload: &[u8], mask: u32, taken: &mut Taken) {
        let missed = self.intervals.iter().enumerate().filter(|(level, _)| mask & (1 << level) == 0);
        let missed: Vec<String> = missed.map(|(_, interval)| interval.name()).collect();
        taken.bytes += payload.len();
        taken.quarantine.push(QuarantineRow {
            partition: reading.name.clone(),
            offset: tick.offset,
            received_at: tick.received_at,
            reason: "late_partly",
            detail: format!("too late for {}; the others count it", missed.join(", ")),
            payload: payload.into(),
        });
    }
}

fn refuse(reading: &mut Reading, tick: &Tick, payload: &[u8], reason: &'static str, detail: String, taken: &mut Taken) {
    reading.counts.rejected += 1;
    taken.bytes += payload.len();
    taken.quarantine.push(QuarantineRow {
        partition: reading.name.clone(),
        offset: tick.offset,
        received_at: tick.received_at,
        reason,
        detail,
        payload: payload.into(),
    });
}

fn record_place(reading: &Reading, tick: &Tick, payload: &[u8]) -> RecordPlace {
    RecordPlace {
        partition: reading.name.clone(),
        offset: tick.offset,
        received_at: tick.received_at,
        payload: payload.into(),
    }
}
