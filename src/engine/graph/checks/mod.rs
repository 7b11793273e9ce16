//! The checks of a dataflow in its graph: what they read, where they run, and how their rows reach the writer.
//!
//! ```text
//!   arranged bars ─▶ scan of an interval's checks ──────────────┐
//!   finished bars ⋈ terms of masters ─────────────────────────────┤
//!   finished bars ─▶ presence ═ by venue ═▶ beats ──────────────┴─▶ close ─▶ rows of `anomalies`
//!   suspicions ═ by instrument ═▶ suspects ─────────────────────────────────▶ rows   (ticks that can be taken back)
//!   sightings ═ by instrument ═▶ two partitions ────────────────────────────▶ rows   (instruments in several partitions)
//!   odd ticks ──────────────────────────────────────────────────────────────▶ rows   (the others: from the source itself)
//! ```
//!
//! What must always hold: a row's key is live at most once, and a restart finds the rows of its lake as it left them: scans
//! have their bases, venues their last retired beat, suspects everything that is known of them.

mod decided;
mod feed_gaps;

use crate::graph::instruments::{Publishing, close_named, watched};
use crate::graph::parts::{Finished, Rows, base_state};
use crate::graph::rows::SinkRow;
use crate::graph::topology::{Closes, Operator, Unbuilt};
use crate::ingest::tick_checks;
use crate::states::{ANOMALIES, BEATS, SUSPECTS, TWO_PARTITIONS};
use decided::net_rows;
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::Arranged;
use feed_gaps::{CheckPosition, feed_gaps, presence};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::rules::Rules;
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::Dataflow;
use ticktide_flow::anomalies::beats::{Beat, Beats, route};
use ticktide_flow::anomalies::scan::{BarChecks, anomalies};
use ticktide_flow::anomalies::suspects::{Suspect, Suspects, Suspicion, TradeName};
use ticktide_flow::anomalies::ticks::Remark;
use ticktide_flow::anomalies::two_partitions::{Day, Partitions, Sighting};
use ticktide_flow::anomalies::{Anomaly, BarCheck, Check, FeedGap, ListedCheck};
use ticktide_flow::bars::finished::Series;
use ticktide_flow::indicators::Accumulator;
use ticktide_flow::indicators::readings::FinishedTrace;
use ticktide_lake::StateEntry;
use timely::dataflow::Stream;
use timely::dataflow::operators::core::OkErr;

/// The interval that rows of ticks carry: none.
pub const TICKS: Interval = Interval(0);

type Found<'scope> = VecCollection<'scope, u64, (Series, Anomaly), isize>;

/// The built checks of a dataflow that are not made by its source.
pub struct Checks {
    pub bars: BTreeMap<Interval, BarChecks>,
    listed: Vec<(u16, Interval, Box<dyn ListedCheck>)>,
    feed: Vec<(u16, Interval, FeedGap)>,
    /// The index of the check of partitions.
    partitions: Option<u16>,
}

impl Checks {
    /// Builds the checks of a dataflow, by the rules of the lake.
    pub fn new(dataflow: &Dataflow, rules: Rules) -> Checks {
        let session = Arc::new(dataflow.session.clone());
        let mut bars: BTreeMap<Interval, Vec<(u16, Box<dyn BarCheck>)>> = BTreeMap::new();
        let (mut listed, mut feed) = (Vec::new(), Vec::new());
        for (index, used) in dataflow.anomalies.iter().enumerate() {
            let index = index as u16;
            match (used.build().check, used.on()) {
                (Check::Bar(check), Some(on)) => bars.entry(on).or_default().push((index, check)),
                (Check::Listed(check), Some(on)) => listed.push((index, on, check)),
                (Check::Feed(gap), Some(on)) => feed.push((index, on, gap)),
                _ => {}
            }
        }
        let bars = bars.into_iter().map(|(on, checks)| (on, BarChecks::new(on, session.clone(), checks, rules)));
        Checks { bars: bars.collect(), listed, feed, partitions: tick_checks(dataflow).partitions }
    }
}

/// The state that an earlier run left to the checks of one worker.
#[derive(Default)]
pub struct State {
    bars: BTreeMap<Interval, HashMap<Series, Accumulator>>,
    /// By index of the check.
    beats: Vec<(u16, String, Beat)>,
    suspects: Suspects,
    partitions: Partitions,
}

impl State {
    /// Takes an entry of the checks, if it is this worker's; `false`: it is another operator's.
    pub fn restore(&mut self, entry: &StateEntry, mine: impl Fn(u64) -> bool) -> Result<bool, bincode::Error> {
        let Some(value) = &entry.value else { return Ok(false) };
        match &*entry.operator {
            ANOMALIES => {
                let series: Series = bincode::deserialize(&entry.key)?;
                if mine(series.1.route()) {
                    self.bars.entry(series.0).or_default().insert(series, bincode::deserialize(value)?);
                }
            }
            BEATS => {
                let (check, venue): (u16, String) = bincode::deserialize(&entry.key)?;
                if mine(route(&venue)) {
                    self.beats.push((check, venue, bincode::deserialize(value)?));
                }
            }
            SUSPECTS => {
                let name: TradeName = bincode::deserialize(&entry.key)?;
                if mine(name.0.route()) {
                    self.suspects.restore(name, bincode::deserialize::<Suspect>(value)?);
                }
            }
            TWO_PARTITIONS => {
                let day: Day = bincode::deserialize(&entry.key)?;
                if mine(day.0.route()) {
                    self.partitions.restore(day, bincode::deserialize(value)?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What the checks read.
pub struct CheckInputs<'scope> {
    /// Bars of at least the intervals that bar checks are on.
    pub arranged: Option<Arranged<'scope, FinishedTrace>>,
    pub finished: Finished<'scope>,
    pub remarks: Stream<'scope, u64, Vec<Remark>>,
}

/// Everything that checks find after the source, as rows.
pub fn watch<'scope>(
    nodes: &mut Unbuilt,
    checks: Checks,
    state: State,
    inputs: CheckInputs<'scope>,
    publishing: &Publishing<'scope>,
) -> Vec<Rows<'scope>> {
    let CheckInputs { arranged, finished, remarks } = inputs;
    let mut watch = Watch { publishing, found: Vec::new(), rows: Vec::new() };
    if let Some(arranged) = arranged {
        watch.scans(nodes, arranged, checks.bars, state.bars);
    }
    if let Some(name) = nodes.find(Operator::FeedGaps) {
        watch.venues(&name, finished.clone(), checks.feed, &state.beats);
    }
    if let Some(name) = nodes.find(Operator::ListedBars)
        && let Some(listed) = &publishing.listed
    {
        watch.found.push(watched(&name, finished, listed.clone(), checks.listed));
    }
    if let Some(name) = nodes.find(Operator::Close(Closes::Anomalies)) {
        watch.close(&name);
    }
    let (suspicions, sightings): (Stream<'scope, u64, Vec<Suspicion>>, Stream<'scope, u64, Vec<Sighting>>) = remarks
        .ok_err(|remark| match remark {
            Remark::Suspicion(suspicion) => Ok(suspicion),
            Remark::Sighting(sighting) => Err(sighting),
        });
    let notices = &publishing.notices;
    if let Some(name) = nodes.find(Operator::Suspects) {
        watch.rows.push(net_rows(&name, suspicions, notices.clone(), state.suspects));
    }
    if let Some(check) = checks.partitions {
        let name = nodes.take(Operator::TwoPartitions);
        watch.rows.push(net_rows(&name, sightings, notices.clone(), (check, state.partitions)));
    }
    watch.rows
}

/// What the checks of bars have found so far, to be closed together, and the rows of all checks.
struct Watch<'a, 'scope> {
    publishing: &'a Publishing<'scope>,
    found: Vec<Found<'scope>>,
    rows: Vec<Rows<'scope>>,
}

impl<'scope> Watch<'_, 'scope> {
    /// The checks that go over an instrument's bars in order: a scan for each interval.
    fn scans(
        &mut self,
        nodes: &mut Unbuilt,
        arranged: Arranged<'scope, FinishedTrace>,
        checks: BTreeMap<Interval, BarChecks>,
        mut bases: BTreeMap<Interval, HashMap<Series, Accumulator>>,
    ) {
        for (interval, checks) in checks {
            let name = nodes.take(Operator::Anomalies(interval));
            let mut bases = bases.remove(&interval).unwrap_or_default();
            bases.values_mut().for_each(|base| base.widen(checks.width()));
            let (found, bases) = anomalies(&name, arranged.clone(), checks, bases);
            self.rows.push(base_state(bases, ANOMALIES));
            self.found.push(found);
        }
    }

    /// The checks of venues that fall silent.
    fn venues(
        &mut self,
        name: &str,
        finished: Finished<'scope>,
        checks: Vec<(u16, Interval, FeedGap)>,
        state: &[(u16, String, Beat)],
    ) {
        let Publishing { notices, resumed, .. } = self.publishing;
        for (check, on, gap) in checks {
            let Some(level) = resumed.intervals.iter().position(|interval| *interval == on) else { continue };
            let horizon = resumed.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
            let mut beats = Beats::new(gap, check, on, horizon);
            for (_, venue, base) in state.iter().filter(|(of, ..)| *of == check) {
                beats.restore(venue, *base);
            }
            let pulses = presence(finished.clone(), on);
            let (found, states) = feed_gaps(name, pulses, notices.clone(), beats, CheckPosition { check, level });
            self.rows.push(states);
            self.found.push(found);
        }
    }

    /// Closes what was found, without bars from before a check began.
    fn close(&mut self, name: &str) {
        let Some(first) = self.found.pop() else { return };
        let mut all = first.concatenate(std::mem::take(&mut self.found));
        let additions = &self.publishing.resumed.additions;
        if !additions.checks.is_empty() {
            let additions = additions.clone();
            all = all.filter(move |(_, anomaly)| additions.has_anomaly(anomaly.check, anomaly.open_at));
        }
        self.rows.push(close_named(name, all, self.publishing, SinkRow::Anomaly));
    }
}
