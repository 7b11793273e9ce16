//! A worker's records that come to nothing, by reason: refused ones, and accepted ones that make no bar; and the warning while
//! the run goes on.
//!
//! Why a warning before the end: some runs have no end, and a reach that is too short loses more with every record. What must
//! hold: every refused record is under exactly one reason; a reason is warned of once for each partition and run; a record that
//! counts causes no work here.

use super::admit::Admission;
use super::{Intake, PartitionIntake};
use crate::reasons;
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::conservation::{NOTICE, count};
use ticktide_base::epoch::Conservation;
use ticktide_market::{Tick, TickKind};

/// A partition is judged by its losses after this many of its records were read.
pub(super) const JUDGED_FROM: u64 = 10_000;
/// One in this many records may be refused for a reason without a warning.
const ONE_IN: u64 = 100;

/// Why an accepted record makes no bar; the words are those of [`reasons::SILENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    Notice,
    Snapshot,
    Trade,
    NoPrice,
    Conditions,
    OtherDay,
    FrozenBar,
}

impl Silent {
    const ALL: [(Silent, &'static str); 7] = [
        (Silent::Notice, NOTICE),
        (Silent::Snapshot, "snapshot"),
        (Silent::Trade, "trade"),
        (Silent::NoPrice, "no_price"),
        (Silent::Conditions, "conditions"),
        (Silent::OtherDay, "other_day"),
        (Silent::FrozenBar, "frozen_bar"),
    ];

    /// The reason of a tick of the wrong kind for its source's volume, or of one whose price makes no bar.
    fn by_itself(tick: &Tick, cumulative: bool, signed: bool) -> Option<Silent> {
        match (tick.kind, cumulative) {
            (TickKind::Notice, _) => return Some(Silent::Notice),
            (TickKind::Snapshot, false) => return Some(Silent::Snapshot),
            (TickKind::Snapshot, true) => {}
            (_, true) => return Some(Silent::Trade),
            (_, false) => {}
        }
        let price = tick.price.map_or(0, |price| price.0);
        let none = tick.price.is_none() || (price == 0 && tick.kind == TickKind::Snapshot);
        (none || (price <= 0 && !signed)).then_some(Silent::NoPrice)
    }
}

/// The losses of one partition.
#[derive(Default)]
pub(super) struct Losses {
    /// Of the epoch, in the order of [`Silent::ALL`].
    silent: [i64; Silent::ALL.len()],
    /// Of the run.
    records: u64,
    refused: BTreeMap<&'static str, u64>,
    warned: BTreeSet<&'static str>,
}

impl PartitionIntake {
    /// Counts a refused record.
    pub(super) fn count(&mut self, reason: &'static str) {
        self.counts.refuse(reason);
        *self.losses.refused.entry(reason).or_default() += 1;
    }

    /// Counts an accepted record that has a row in the quarantine: it does not count everywhere.
    pub(super) fn count_partly(&mut self, reason: &'static str) {
        count(&mut self.counts.partly, reason, 1);
    }

    /// Counts an accepted record that makes no bar.
    #[inline]
    pub(super) fn count_silent(&mut self, why: Silent) {
        self.losses.silent[why as usize] += 1;
    }

    /// Adds taken records to those of the run; warns once of each reason that has refused more than its share.
    pub(super) fn warn_of_losses(&mut self, records: u64) {
        for (reason, refused, share) in self.losses.take(records) {
            let (of, partition) = (self.losses.records, &self.name);
            let hint = reasons::hint(reason);
            tracing::warn!(%partition, reason, refused, of, share, hint, "many records are refused");
        }
    }

    /// The counts of the epoch, with the records that make no bar.
    pub(super) fn end_counts(&mut self) -> Conservation {
        let mut counts = std::mem::take(&mut self.counts);
        for ((_, why), records) in Silent::ALL.iter().zip(std::mem::take(&mut self.losses.silent)) {
            if records != 0 {
                count(&mut counts.silent, why, records);
            }
        }
        debug_assert_eq!(counts.rejected, counts.reasons.values().sum::<i64>(), "every refusal has a reason");
        counts
    }
}

impl Losses {
    /// Adds taken records; returns the warnings that are due: reason, records, their share in per cent.
    fn take(&mut self, records: u64) -> Vec<(&'static str, u64, String)> {
        self.records += records;
        if self.records < JUDGED_FROM {
            return Vec::new();
        }
        let much = self.refused.iter().filter(|(_, refused)| **refused * ONE_IN > self.records);
        let much: Vec<_> = much.map(|(reason, refused)| (*reason, *refused)).collect();
        let new = much.into_iter().filter(|(reason, _)| self.warned.insert(reason));
        let share = |refused: u64| format!("{:.1} %", 100.0 * refused as f64 / self.records as f64);
        new.map(|(reason, refused)| (reason, refused, share(refused))).collect()
    }
}

impl Intake {
    /// Counts an accepted tick that makes no bar, by the reason.
    pub(super) fn note_silent(&mut self, admission: &mut Admission<'_>) {
        let tick = admission.tick;
        let spec = &self.judge.spec;
        let why = match Silent::by_itself(tick, spec.cumulative, spec.prices_signed) {
            Some(why) => why,
            None if tick.kind == TickKind::Snapshot => self.why_no_snapshot(tick),
            None => Silent::Conditions,
        };
        admission.partition.count_silent(why);
    }

    /// Why a snapshot with a price makes no bar: its last trade is of another day, or in a bar that no longer changes.
    fn why_no_snapshot(&mut self, tick: &Tick) -> Silent {
        let at = tick.snapshot.as_ref().and_then(|snapshot| snapshot.trade_at).unwrap_or(tick.exchange_at);
        let day = |of: Option<ticktide_market::calendar::PhaseAt>| of.map(|phase| phase.trading_date);
        let updated = day(self.judge.phase_at(tick.instrument, tick.exchange_at));
        match day(self.judge.phase_at(tick.instrument, at)) {
            Some(traded) if Some(traded) == updated => Silent::FrozenBar,
            _ => Silent::OtherDay,
        }
    }

    /// Where the records of all partitions have gone since the epoch began.
    pub fn counts(&self) -> Conservation {
        self.partitions.values().fold(Conservation::default(), |mut sum, partition| {
            sum.add(&partition.counts);
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_market::{InstrumentId, Price};

    #[test]
    fn the_words_stand_in_the_order_of_their_numbers_and_each_is_explained() {
        for (index, (why, word)) in Silent::ALL.iter().enumerate() {
            assert_eq!(*why as usize, index);
            assert!(!reasons::hint(word).is_empty(), "{word}");
        }
        assert_eq!(reasons::SILENT.len(), Silent::ALL.len());
    }

    #[test]
    fn a_tick_that_makes_no_bar_says_why() {
        let tick =
            |kind, price: Option<i64>| Tick { price: price.map(Price), ..Tick::new(kind, InstrumentId(0), 0, 0) };
        let why = |kind, price, cumulative, signed| Silent::by_itself(&tick(kind, price), cumulative, signed);
        use TickKind::{Snapshot, Trade};
        assert_eq!(why(Snapshot, Some(5), false, false), Some(Silent::Snapshot));
        assert_eq!(why(Trade, Some(5), true, false), Some(Silent::Trade));
        assert_eq!(why(Trade, Some(0), false, false), Some(Silent::NoPrice));
        assert_eq!(why(Trade, Some(-5), false, true), None);
        assert_eq!(why(Snapshot, Some(0), true, true), Some(Silent::NoPrice), "nothing has traded yet");
        assert_eq!(why(Snapshot, Some(5), true, false), None);
        assert_eq!(why(TickKind::Notice, None, true, false), Some(Silent::Notice));
    }

    #[test]
    fn a_reason_that_refuses_more_than_a_hundredth_is_warned_of_once_and_not_before_enough_was_read() {
        let mut losses = Losses::default();
        losses.refused.insert("too_late", 9_000);
        assert!(losses.take(JUDGED_FROM - 1).is_empty(), "too few records");
        losses.refused.extend([("too_late", 101), ("not_json", 100)]);
        assert_eq!(losses.take(1), [("too_late", 101, "1.0 %".to_owned())], "a hundredth is not more than one");
        assert!(losses.take(1).is_empty(), "it is known");
        losses.refused.insert("not_json", 5_000);
        assert_eq!(losses.take(9_999), [("not_json", 5_000, "25.0 %".to_owned())]);
    }
}
