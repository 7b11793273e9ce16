//! The checks of ticks that are decided on the worker of an instrument: odd trades that may be taken back, and instruments
//! that come through several partitions.
//!
//! What must always hold: one net change per row and epoch, whatever the order in which workers report.

use super::TICKS;
use crate::graph::parts::{Rows, Vecs, Waiting, complete};
use crate::graph::rows::{Notice, SinkRow};
use crate::states::{SUSPECTS, TWO_PARTITIONS};
use differential_dataflow::consolidation::consolidate;
use ticktide_base::time::Nanos;
use ticktide_flow::anomalies::Anomaly;
use ticktide_flow::anomalies::suspects::{Suspects, Suspicion};
use ticktide_flow::anomalies::two_partitions::{Partitions, Sighting};
use ticktide_flow::bars::finished::Series;
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::close::RowChange;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// Decides rows from what readers report of an instrument's ticks.
pub trait Deciding {
    type Told;
    fn instrument(told: &Self::Told) -> &Instrument;
    /// Rows that appear (+1) and vanish (−1).
    fn take(&mut self, told: Self::Told) -> Vec<(Anomaly, isize)>;
    /// An epoch is complete, with these horizons: its durable changes.
    fn retire(&mut self, horizons: &EpochHorizons) -> Vec<StateEntry>;
}

/// Odd trades that may be taken back.
impl Deciding for Suspects {
    type Told = Suspicion;

    fn instrument(told: &Suspicion) -> &Instrument {
        &told.name.0
    }

    fn take(&mut self, told: Suspicion) -> Vec<(Anomaly, isize)> {
        Suspects::take(self, told)
    }

    fn retire(&mut self, horizons: &EpochHorizons) -> Vec<StateEntry> {
        let changes = Suspects::retire(self, horizons.retained_from).into_iter();
        changes.map(|(name, suspect)| StateEntry::new(SUSPECTS, &name, suspect.as_ref())).collect()
    }
}

/// Instruments that come through several partitions; with the check's index.
impl Deciding for (u16, Partitions) {
    type Told = Sighting;

    fn instrument(told: &Sighting) -> &Instrument {
        &told.day.0
    }

    fn take(&mut self, told: Sighting) -> Vec<(Anomaly, isize)> {
        self.1.take(told, self.0)
    }

    fn retire(&mut self, horizons: &EpochHorizons) -> Vec<StateEntry> {
        let changes = self.1.retire(horizons.least()).into_iter();
        changes.map(|(day, firsts)| StateEntry::new(TWO_PARTITIONS, &day, firsts.as_ref())).collect()
    }
}

/// Decides what readers report, on the worker of its instrument: one net change per row and epoch, and the durable state.
pub fn net_rows<'scope, D>(
    name: &str,
    told: Stream<'scope, u64, Vec<D::Told>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    mut deciding: D,
) -> Rows<'scope>
where
    D: Deciding + 'static,
    D::Told: ExchangeData,
{
    enum Work<T> {
        Told(T),
        Notice(Notice),
    }
    let route = Exchange::new(|told: &D::Told| D::instrument(told).route());
    told.binary_frontier::<_, Vecs<SinkRow>, _, _, _, _>(notices, route, Pipeline, name, move |_, _| {
        let mut waiting: Waiting<Work<D::Told>> = Waiting::new();
        let mut horizons = EpochHorizons { retained_from: Nanos::MIN, ..EpochHorizons::default() };
        let mut changes: Vec<((Series, Anomaly), isize)> = Vec::new();
        move |(input, input_frontier), (notices, notices_frontier), output| {
            waiting.fill(input, Work::Told);
            waiting.fill(notices, Work::Notice);
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, all)) = waiting.next(ready) {
                for work in all {
                    match work {
                        Work::Told(told) => {
                            let series = (TICKS, D::instrument(&told).clone());
                            let rows = deciding.take(told).into_iter();
                            changes.extend(rows.map(|(anomaly, diff)| ((series.clone(), anomaly), diff)));
                        }
                        Work::Notice(Notice::Begin(_, begun)) => horizons = begun,
                        Work::Notice(Notice::Bind(_)) => {
                            let mut session = output.session(&cap);
                            consolidate(&mut changes);
                            session.give_iterator(changes.drain(..).map(|((series, anomaly), diff)| {
                                let (old, new) = if diff < 0 { (Some(anomaly), None) } else { (None, Some(anomaly)) };
                                SinkRow::Anomaly(RowChange { series, old, new }.unnamed())
                            }));
                            let states = deciding.retire(&horizons).into_iter();
                            session.give_iterator(states.map(|entry| SinkRow::State(vec![entry])));
                        }
                    }
                }
            }
        }
    })
}
