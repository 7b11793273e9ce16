//! Two partitions: an instrument whose records of one trading day arrive through more than one partition.
//!
//! Why it is odd: with `dedupe = "partition"` a record that arrives in both counts twice, and nothing decides which of two
//! trades of one moment was first. With `dedupe = "instrument"` both are handled, and this check reports nothing.
//!
//! {partition → its first record of the day} is a join-semilattice: readers may report it in any order and repeatedly (each
//! start reports it again), and the row is the same. The row is that of the partition that came second, by the time of its
//! first record; `observed` counts the partitions. Its symbol is the first one reported, which the key keeps. What must always
//! hold: an instrument has at most one live row a day; a day that is forgotten can have no more records.

use super::{Anomaly, Check, Level, RecordRange, Severity, Spec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::time::{Nanos, reaches};
use ticktide_market::calendar::PhaseAt;
use ticktide_market::{Instrument, Tick, TickKind};

pub static SPEC: Spec = Spec {
    name: "two_partitions",
    doc: "an instrument that comes through more than one partition in a day, while `dedupe` treats each partition by itself",
    level: Level::Tick,
    parameters: &[],
    build: |_| Ok(Check::Partitions),
};

/// An instrument's trading day.
pub type Day = (Instrument, i32);

/// The first record of a day in a partition, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct First {
    pub offset: i64,
    pub at: Nanos,
    pub phase: u8,
}

/// What a reader sends to the instrument's worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sighting {
    pub day: Day,
    pub partition: Arc<str>,
    pub first: First,
}

/// What was reported of one partition since the start: by instrument, day and offset.
#[derive(Default)]
pub struct Sighted(Vec<Option<(i32, i64)>>);

impl Sighted {
    /// Takes an accepted tick; gives a sighting if it is the first of its instrument's day here, as far as is known.
    #[inline]
    pub fn look(
        &mut self,
        tick: &Tick,
        phase: &PhaseAt,
        instrument: &Instrument,
        partition: &Arc<str>,
    ) -> Option<Sighting> {
        if !matches!(tick.kind, TickKind::Trade | TickKind::Snapshot) {
            return None;
        }
        let (index, trading_date) = (tick.instrument.0 as usize, phase.trading_date);
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        // a record that was held may arrive after later ones
        if self.0[index].is_some_and(|(day, offset)| day == trading_date && offset <= tick.offset) {
            return None;
        }
        self.0[index] = Some((trading_date, tick.offset));
        let first = First { offset: tick.offset, at: tick.exchange_at, phase: phase.phase };
        Some(Sighting { day: (instrument.clone(), trading_date), partition: partition.clone(), first })
    }
}

/// The first records of an instrument's day, by partition.
pub type Firsts = BTreeMap<Arc<str>, First>;

/// The days of one worker's instruments.
#[derive(Default)]
pub struct Partitions {
    days: BTreeMap<Day, Firsts>,
    touched: BTreeSet<Day>,
}

impl Partitions {
    /// Restores what an earlier run knew; its rows are in the lake already.
    pub fn restore(&mut self, day: Day, firsts: Firsts) {
        self.days.insert(day, firsts);
    }

    /// Takes a sighting; gives the rows that appear (+1) and vanish (−1).
    pub fn take(&mut self, sighting: Sighting, check: u16) -> Vec<(Anomaly, isize)> {
        let Sighting { day, partition, first } = sighting;
        let day = self.days.get_key_value(&day).map_or(day, |(first, _)| first.clone());
        let firsts = self.days.entry(day.clone()).or_default();
        if firsts.get(&partition).is_some_and(|known| *known <= first) {
            return Vec::new();
        }
        let before = row(&day.0, firsts, check);
        firsts.insert(partition, first);
        let after = row(&day.0, firsts, check);
        self.touched.insert(day);
        if before == after {
            return Vec::new();
        }
        before.into_iter().map(|row| (row, -1)).chain(after.into_iter().map(|row| (row, 1))).collect()
    }

    /// An epoch is complete, and what is earlier than `least` is too late for everything: earlier days are forgotten. Gives
    /// the durable changes.
    pub fn retire(&mut self, least: Nanos) -> Vec<(Day, Option<Firsts>)> {
        let mut changes = Vec::new();
        self.days.retain(|day, _| {
            let kept = reaches(day.1, least);
            if !kept {
                changes.push((day.clone(), None));
            }
            kept
        });
        for day in std::mem::take(&mut self.touched) {
            if let Some(firsts) = self.days.get(&day) {
                let firsts = firsts.clone();
                changes.push((day, Some(firsts)));
            }
        }
        changes
    }
}

/// The row of a day, if there is one.
fn row(instrument: &Instrument, firsts: &Firsts, check: u16) -> Option<Anomaly> {
    let mut in_order: Vec<_> = firsts.iter().map(|(partition, first)| (first.at, partition, first)).collect();
    in_order.sort();
    let (at, partition, first) = *in_order.get(1)?;
    Some(Anomaly {
        open_at: at,
        phase: first.phase,
        check,
        started_at: at,
        ended_at: at,
        severity: Severity::Warning,
        observed: (firsts.len() as f64).to_bits(),
        expected: 1f64.to_bits(),
        seen: Some(RecordRange { partition: partition.clone(), offset_first: first.offset, offset_last: first.offset }),
        symbol: instrument.symbol_shared().cloned(),
    })
}
