//! One batch: the records that go to quarantine as they are, its ticks one by one, and where its partition has come to.
//!
//! What must hold: every record of the batch is in one term of its partition's balance, and a range that was lost has a row.

use super::admit::Admission;
use super::{BatchOutcome, Intake, PartitionIntake};
use std::time::Instant;
use ticktide_base::rules::Rules;
use ticktide_feed::Batch;
use ticktide_market::Tick;
use ticktide_tables::{ArchivedTick, QuarantineRow};

impl Intake {
    /// The first offset of a batch whose receipt differs in kind from those of its partition in this epoch: from here on a
    /// witness's, or no longer one. An epoch ends before it.
    pub fn turns_at(&self, batch: &Batch) -> Option<i64> {
        let partition = self.partitions.get(&batch.partition)?;
        let mut told = partition.told_here.then_some(partition.place.witnessed);
        let turned = batch.ticks.iter().find(|tick| tick.witnessed != *told.get_or_insert(tick.witnessed))?;
        (partition.turns < TURNS_MOST).then_some(turned.offset)
    }

    /// Takes a batch.
    pub fn take(&mut self, mut batch: Batch, now: Instant) -> BatchOutcome {
        for instrument in std::mem::take(&mut batch.instruments) {
            let id = self.id(&instrument);
            self.translate.push(id);
        }
        let Some(mut partition) = self.partitions.remove(&batch.partition) else { return BatchOutcome::default() };
        let mut taken = self.nothing_of(&partition);
        partition.counts.records += batch.records as i64;
        partition.counts.gaps += batch.gaps as i64;
        partition.miss(&mut batch, &mut taken);
        partition.reject(&mut batch, &mut taken);
        let ignored = batch.ignored.len() as u64;
        partition.ignore(&mut batch);
        let mut ticks = std::mem::take(&mut batch.ticks);
        for (index, tick) in ticks.iter_mut().enumerate() {
            tick.instrument = self.translate[tick.instrument.0 as usize];
            let (partition, taken) = (&mut partition, &mut taken);
            partition.hear_of(tick.witnessed);
            let payload = batch.payload(index);
            self.tick(Admission { partition, taken, tick, payload, index: Some(index), moves: true });
        }
        self.archive_kept(ticks, &mut taken);
        partition.come_to(&mut batch, now);
        if partition.finished && self.horizons.rules > Rules::First {
            // before it stops being a brake
            self.decide_at_end(&mut partition, &mut taken);
        }
        partition.warn_of_losses(batch.records - ignored);
        if self.archive {
            taken.bytes += batch.bytes as usize;
        }
        self.partitions.insert(batch.partition, partition);
        taken
    }

    /// Moves the ticks of a batch that were kept into the archive, in their order.
    fn archive_kept(&self, ticks: Vec<Tick>, taken: &mut BatchOutcome) {
        let Some(archived) = &mut taken.archived else { return };
        let mut kept = std::mem::take(&mut taken.kept).into_iter().peekable();
        for (index, tick) in ticks.into_iter().enumerate() {
            if let Some(kept) = kept.next_if(|kept| kept.index == index) {
                let instrument = self.instrument(&tick).clone();
                archived.ticks.push(ArchivedTick { tick, instrument, trading_date: kept.trading_date });
            }
        }
    }
}

/// A partition whose receipts have turned more often than this has no witness.
const TURNS_MOST: u32 = 16;

impl PartitionIntake {
    /// Notes the kind of a record's receipt. In a replay the recorded kind holds instead.
    #[inline]
    fn hear_of(&mut self, witnessed: bool) {
        if self.book.is_recalled() || (self.told_here && self.place.witnessed == witnessed) {
            return;
        }
        let turned = self.told_ever && self.place.witnessed != witnessed;
        self.turns = self.turns.saturating_add(u32::from(turned)).min(TURNS_MOST);
        (self.told_here, self.told_ever) = (true, true);
        self.place.witnessed = witnessed && self.turns < TURNS_MOST;
    }

    /// Ranges that the broker deleted. They are counted as gaps; each also has a row without a record, so that nothing is lost
    /// silently.
    fn miss(&mut self, batch: &mut Batch, taken: &mut BatchOutcome) {
        for (from, to) in std::mem::take(&mut batch.lost) {
            let count = to - from;
            self.counts.lost += count;
            tracing::warn!(partition = %self.name, from, to, count, "the broker deleted records before they were read");
            taken.quarantine.push(QuarantineRow {
                partition: self.name.clone(),
                offset: from,
                received_at: None,
                reason: "lost_range",
                detail: format!("offsets {from} to {} ({count}) were deleted before they were read", to - 1),
                payload: Box::default(),
            });
        }
    }

    /// Records that are not ticks.
    fn reject(&mut self, batch: &mut Batch, taken: &mut BatchOutcome) {
        if self.began_at.is_none() {
            self.junk += batch.rejects.len() as u64;
        }
        for reject in std::mem::take(&mut batch.rejects) {
            self.count(reject.reason);
            taken.bytes += reject.payload.len();
            taken.quarantine.push(QuarantineRow {
                partition: self.name.clone(),
                offset: reject.offset,
                received_at: reject.received_at,
                reason: reject.reason,
                detail: reject.detail,
                payload: reject.payload.into(),
            });
        }
    }

    /// Records of kinds that the dataflow ignores: they are counted, and nothing else.
    fn ignore(&mut self, batch: &mut Batch) {
        for (_, word) in std::mem::take(&mut batch.ignored) {
            self.counts.ignore(&word);
        }
    }

    /// The partition has come to the end of a batch.
    fn come_to(&mut self, batch: &mut Batch, now: Instant) {
        self.place.offset_next = batch.offset_next;
        self.place.read = batch.read.or(self.place.read);
        if let Some(header) = batch.header.take().filter(|header| self.place.header.as_deref() != Some(&**header)) {
            self.place.header = Some(header.to_string());
        }
        self.finished |= batch.finished;
        self.caught_up_since = match (batch.caught_up, self.caught_up_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
    }
}
