//! The checks of ticks, applied to each accepted tick on the worker that reads it.
//!
//! Why one row per odd tick and no merging of neighbours: what is merged would depend on where a batch or an epoch ends. Row
//! and record are bound by (partition, offset), so a replay gives the same, and a duplicate is never accepted, so it is never
//! checked. What can still be taken back (by a cancel, a correction, or the same trade in another partition) goes to the
//! worker of its instrument instead ([`super::suspects`]).

use super::suspects::{Suspicion, TradeIdentity, TradeReport};
use super::two_partitions::{Sighted, Sighting};
use super::{Anomaly, Facts, RecordRange, TickCheck};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticktide_market::calendar::PhaseAt;
use ticktide_market::{Instrument, Tick, TickKind};

/// The tick checks of a dataflow, with their places in its list.
#[derive(Default)]
pub struct TickChecks {
    pub checks: Vec<(u16, Box<dyn TickCheck>)>,
    pub prices_signed: bool,
    /// Trades that have a name are decided by their instrument's worker.
    pub by_name: bool,
    pub sequence_trusted: bool,
    /// The place of the check of partitions in that list, if the dataflow has the check and it can report anything.
    pub partitions: Option<u16>,
}

/// What the reading worker sends to an instrument's worker about its ticks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Remark {
    Suspicion(Suspicion),
    Sighting(Sighting),
}

/// About how many bytes a row takes on its way.
const BYTES: usize = 300;

/// What is odd about some ticks.
#[derive(Default)]
pub struct OddTicks {
    /// Rows that are final.
    pub rows: Vec<(Instrument, Anomaly)>,
    /// Rows that may be taken back, what takes rows back, and what may become rows.
    pub remarks: Vec<Remark>,
}

impl TickChecks {
    /// Whether no check judges a tick by itself.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// Notes where an accepted tick's instrument comes from. Gives how much memory that takes.
    #[inline]
    pub fn sight(
        &self,
        tick: &Tick,
        phase: &PhaseAt,
        instrument: &Instrument,
        (partition, sighted): (&Arc<str>, &mut Sighted),
        odd: &mut OddTicks,
    ) -> usize {
        if self.partitions.is_none() {
            return 0;
        }
        let sighting = sighted.look(tick, phase, instrument, partition);
        let bytes = if sighting.is_some() { BYTES } else { 0 };
        odd.remarks.extend(sighting.map(Remark::Sighting));
        bytes
    }

    /// Checks an accepted tick; `auction` as in [`Facts`]. Gives how much memory its rows take.
    pub fn look(
        &self,
        tick: &Tick,
        (phase, auction): (&PhaseAt, bool),
        instrument: &Instrument,
        partition: &Arc<str>,
        odd: &mut OddTicks,
    ) -> usize {
        let facts = Facts { auction, prices_signed: self.prices_signed };
        let found = self.checks.iter().filter_map(|(check, judge)| {
            let found = judge.look(tick, &facts)?;
            Some(Anomaly {
                open_at: tick.exchange_at,
                phase: phase.phase,
                check: *check,
                started_at: tick.exchange_at,
                ended_at: tick.exchange_at,
                severity: found.severity,
                observed: found.observed.to_bits(),
                expected: found.expected.to_bits(),
                seen: Some(RecordRange {
                    partition: partition.clone(),
                    offset_first: tick.offset,
                    offset_last: tick.offset,
                }),
                symbol: instrument.symbol_shared().cloned(),
            })
        });
        let anomalies: Vec<Anomaly> = found.collect();
        let takes_back = matches!(tick.kind, TickKind::Cancel | TickKind::Correct);
        if anomalies.is_empty() && !takes_back {
            return 0;
        }
        let bytes = BYTES * anomalies.len().max(1);
        let Some(label) = self.label(tick) else {
            odd.rows.extend(anomalies.into_iter().map(|anomaly| (instrument.clone(), anomaly)));
            return bytes;
        };
        let name = (instrument.clone(), phase.trading_date, label);
        let mut say = |told| {
            let suspicion = Suspicion { name: name.clone(), at: tick.exchange_at, told };
            odd.remarks.push(Remark::Suspicion(suspicion));
        };
        let (price, quantity) = (tick.price.map_or(0, |price| price.0), tick.quantity.map_or(0, |quantity| quantity.0));
        let rank = ((tick.sequence.unwrap_or(0), tick.exchange_at), price, quantity);
        match tick.kind {
            TickKind::Cancel => say(TradeReport::Cancelled),
            TickKind::Correct => {
                say(TradeReport::Corrected(rank));
                say(TradeReport::Odd { rank: Some(rank), anomalies });
            }
            TickKind::Trade | TickKind::Snapshot | TickKind::Notice => say(TradeReport::Odd { rank: None, anomalies }),
        }
        bytes
    }

    /// What names the tick's trade, where its instrument's worker decides.
    fn label(&self, tick: &Tick) -> Option<TradeIdentity> {
        if !self.by_name || tick.kind == TickKind::Snapshot {
            return None;
        }
        let sequence = tick.sequence.filter(|_| self.sequence_trusted);
        tick.id.clone().map(TradeIdentity::Id).or(sequence.map(TradeIdentity::Sequence))
    }
}
