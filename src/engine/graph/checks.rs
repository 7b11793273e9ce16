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
//! What must always hold: a row's key is live at most once, and a restart finds the rows of its lake as it left them: scans have
//! their bases, venues their last retired beat, suspects all they know.

use crate::graph::instruments::{self as listings, Listed, close_named};
use crate::graph::parts::{Rows, Vecs, Waiting, base_state, complete};
use crate::graph::rows::{Notice, SinkRow};
use crate::ingest::tick_checks;
use crate::states::{ANOMALIES, BEATS, SUSPECTS, TWO_PARTITIONS};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::{AsCollection, VecCollection};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, LAST_STEP, step_of};
use ticktide_base::time::{Interval, Nanos};
use ticktide_dataflow::Dataflow;
use ticktide_dataflow::evolution::Additions;
use ticktide_flow::anomalies::beats::{Beat, Beats, Presence, Pulse, route};
use ticktide_flow::anomalies::scan::{BarChecks, anomalies};
use ticktide_flow::anomalies::suspects::{Suspect, Suspects, Suspicion, TradeName};
use ticktide_flow::anomalies::ticks::Remark;
use ticktide_flow::anomalies::two_partitions::{Day, Partitions, Sighting};
use ticktide_flow::anomalies::{Anomaly, BarCheck, Check, FeedGap, ListedCheck};
use ticktide_flow::bars::finished::{FinishedBar, Series};
use ticktide_flow::clean::Horizons;
use ticktide_flow::close::NetChange;
use ticktide_flow::indicators::Accumulator;
use ticktide_flow::indicators::readings::FinishedTrace;
use ticktide_lake::StateEntry;
use ticktide_market::Instrument;
use ticktide_market::calendar::Session;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::generic::operator::Operator;

/// The interval that rows of ticks carry: none.
pub const TICKS: Interval = Interval(0);

type Finished<'scope> = VecCollection<'scope, u64, (Series, FinishedBar), isize>;
type Found<'scope> = VecCollection<'scope, u64, (Series, Anomaly), isize>;

/// The checks of a dataflow that look at bars, built.
pub struct Checks {
    pub bars: BTreeMap<Interval, BarChecks>,
    listed: Vec<(u16, Interval, Box<dyn ListedCheck>)>,
    feed: Vec<(u16, Interval, FeedGap)>,
    /// Whether suspects are decided behind the exchange.
    suspects: bool,
    /// The place of the check of partitions.
    partitions: Option<u16>,
}

impl Checks {
    pub fn new(dataflow: &Dataflow) -> Checks {
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
        let bars = bars.into_iter().map(|(on, checks)| (on, BarChecks::new(on, session.clone(), checks)));
        let ticks = tick_checks(dataflow);
        Checks {
            bars: bars.collect(),
            listed,
            feed,
            suspects: ticks.by_name && !ticks.is_empty(),
            partitions: ticks.partitions,
        }
    }
}

/// What an earlier run left to the checks of one worker.
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
pub struct Inputs<'scope> {
    /// Bars of at least the intervals that bar checks are on.
    pub arranged: Option<Arranged<'scope, FinishedTrace>>,
    pub finished: Finished<'scope>,
    /// What masters say, where the dataflow keeps it.
    pub listed: Option<Listed<'scope>>,
    pub remarks: Stream<'scope, u64, Vec<Remark>>,
    pub notices: Stream<'scope, u64, Vec<Notice>>,
}

/// Where an earlier run ended.
pub struct Resumed<'a> {
    pub binding: Binding,
    pub first: Epoch,
    pub horizons: &'a Horizons,
    /// The dataflow's intervals, as the horizons count them.
    pub intervals: &'a [Interval],
    pub session: Arc<Session>,
    /// When checks begin that were added to a lake.
    pub additions: &'a Additions,
}

/// Everything that checks find behind the source, as rows.
pub fn watch<'scope>(
    checks: Checks,
    mut state: State,
    inputs: Inputs<'scope>,
    resumed: &Resumed<'_>,
) -> Vec<Rows<'scope>> {
    let Inputs { arranged, finished, listed, remarks, notices } = inputs;
    let (mut rows, mut found) = (Vec::new(), Vec::<Found<'scope>>::new());
    if let Some(arranged) = arranged {
        for (interval, checks) in checks.bars {
            let mut bases = state.bars.remove(&interval).unwrap_or_default();
            bases.values_mut().for_each(|base| base.widen(checks.width()));
            let (said, bases) = anomalies(arranged.clone(), checks, bases);
            rows.push(base_state(bases, ANOMALIES));
            found.push(said);
        }
    }
    for (check, on, gap) in checks.feed {
        let Some(level) = resumed.intervals.iter().position(|interval| *interval == on) else { continue };
        let horizon = resumed.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
        let mut beats = Beats::new(gap, check, on, horizon);
        for (_, venue, base) in state.beats.iter().filter(|(of, ..)| *of == check) {
            beats.restore(venue, *base);
        }
        let pulses = presence(finished.clone(), on);
        let (said, states) = feed_gaps(pulses, notices.clone(), beats, (check, level));
        rows.push(states);
        found.push(said);
    }
    if let Some(listed) = &listed
        && !checks.listed.is_empty()
    {
        found.push(listings::watched(finished.clone(), listed.clone(), checks.listed));
    }
    if let Some(first) = found.pop() {
        let mut all = first.concatenate(found);
        if !resumed.additions.checks.is_empty() {
            let additions = resumed.additions.clone();
            all = all.filter(move |(_, anomaly)| additions.has_anomaly(anomaly.check, anomaly.open_at));
        }
        let (session, binding) = (resumed.session.clone(), resumed.binding.clone());
        let notices = notices.clone();
        rows.push(close_named(all, listed, notices, session, binding, resumed.first, SinkRow::Anomaly));
    }
    let (suspicions, sightings) = remarks.ok_err(|remark| match remark {
        Remark::Suspicion(suspicion) => Ok(suspicion),
        Remark::Sighting(sighting) => Err(sighting),
    });
    let suspicions: Stream<'scope, u64, Vec<Suspicion>> = suspicions;
    let sightings: Stream<'scope, u64, Vec<Sighting>> = sightings;
    if checks.suspects {
        rows.push(net_rows(suspicions, notices.clone(), "Suspects", state.suspects));
    }
    if let Some(check) = checks.partitions {
        rows.push(net_rows(sightings, notices, "Two partitions", (check, state.partitions)));
    }
    rows
}

/// The beats that this worker's bars of an interval gain and lose.
fn presence<'scope>(finished: Finished<'scope>, on: Interval) -> Stream<'scope, u64, Vec<Pulse>> {
    finished.inner.unary_frontier::<Vecs<Pulse>, _, _, _>(Pipeline, "Presence", move |_, _| {
        let mut presence = Presence::default();
        let mut waiting: Waiting<(Instrument, Beat, isize)> = Waiting::new();
        move |(input, frontier), output| {
            input.for_each(|cap, data| {
                let mut by_time: BTreeMap<u64, Vec<(Instrument, Beat, isize)>> = BTreeMap::new();
                for (((interval, instrument), bar), time, diff) in data.drain(..) {
                    if interval == on {
                        let FinishedBar { open_at, phase, trading_date, .. } = bar;
                        let beat = Beat { open_at, phase, trading_date };
                        by_time.entry(time).or_default().push((instrument, beat, diff));
                    }
                }
                for (time, mut all) in by_time {
                    waiting.push(time, || Some(cap.delayed(&time, 0)), &mut all);
                }
            });
            while let Some((cap, all)) = waiting.next(|time| complete(frontier, time)) {
                all.iter().for_each(|(instrument, beat, diff)| presence.change(instrument, *beat, *diff));
                output.session(&cap).give_iterator(presence.pulses());
            }
        }
    })
}

/// The gaps of the venues of this worker, and their durable state.
fn feed_gaps<'scope>(
    pulses: Stream<'scope, u64, Vec<Pulse>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    mut beats: Beats,
    (check, level): (u16, usize),
) -> (Found<'scope>, Rows<'scope>) {
    #[derive(Clone)]
    enum Out {
        Change((Series, Anomaly), u64, isize),
        Row(SinkRow),
    }
    enum Work {
        Pulse(Pulse),
        Notice(Notice),
    }
    let route = Exchange::new(Pulse::route);
    let out = pulses.binary_frontier::<_, Vecs<Out>, _, _, _, _>(notices, route, Pipeline, "Feed gaps", move |_, _| {
        let mut waiting: Waiting<Work> = Waiting::new();
        let mut horizon = Nanos::MIN;
        move |(input, input_frontier), (notices, notices_frontier), output| {
            waiting.fill(input, Work::Pulse);
            waiting.fill(notices, Work::Notice);
            let ready = |time| complete(input_frontier, time) && complete(notices_frontier, time);
            while let Some((cap, all)) = waiting.next(ready) {
                let time = *cap.time();
                let mut changes = Vec::new();
                let mut retires = false;
                for work in all {
                    match work {
                        // under an epoch's last step bars only retire, which the beats do by the horizon
                        Work::Pulse(pulse) if step_of(time) != LAST_STEP => beats.take(&pulse, &mut changes),
                        Work::Pulse(_) => {}
                        Work::Notice(Notice::Begin(_, horizons)) => {
                            horizon = horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
                        }
                        Work::Notice(Notice::Bind(_)) => retires = true,
                    }
                }
                consolidate(&mut changes);
                let mut session = output.session(&cap);
                session.give_iterator(changes.into_iter().map(|(change, diff)| Out::Change(change, time, diff)));
                if retires {
                    session.give_iterator(beats.retire(horizon).into_iter().map(|(venue, base)| {
                        let entry = StateEntry::new(BEATS, &(check, venue.as_ref()), Some(&base));
                        Out::Row(SinkRow::State(vec![entry]))
                    }));
                }
            }
        }
    });
    let (changes, rows) = out.ok_err(|out| match out {
        Out::Change(change, time, diff) => Ok((change, time, diff)),
        Out::Row(row) => Err(row),
    });
    let changes: Stream<'scope, u64, Vec<((Series, Anomaly), u64, isize)>> = changes;
    (changes.as_collection(), rows)
}

/// What decides rows by what readers tell about an instrument's ticks.
trait Deciding {
    type Told;
    fn instrument(told: &Self::Told) -> &Instrument;
    /// Rows that appear (+1) and vanish (−1).
    fn take(&mut self, told: Self::Told) -> Vec<(Anomaly, isize)>;
    /// An epoch is complete, with these horizons: its durable changes.
    fn retire(&mut self, horizons: &Horizons) -> Vec<StateEntry>;
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

    fn retire(&mut self, horizons: &Horizons) -> Vec<StateEntry> {
        let changes = Suspects::retire(self, horizons.retained_from).into_iter();
        changes.map(|(name, suspect)| StateEntry::new(SUSPECTS, &name, suspect.as_ref())).collect()
    }
}

/// Instruments that come through several partitions; with the check's place.
impl Deciding for (u16, Partitions) {
    type Told = Sighting;

    fn instrument(told: &Sighting) -> &Instrument {
        &told.day.0
    }

    fn take(&mut self, told: Sighting) -> Vec<(Anomaly, isize)> {
        self.1.take(told, self.0)
    }

    fn retire(&mut self, horizons: &Horizons) -> Vec<StateEntry> {
        let changes = self.1.retire(horizons.least()).into_iter();
        changes.map(|(day, firsts)| StateEntry::new(TWO_PARTITIONS, &day, firsts.as_ref())).collect()
    }
}

/// What is told, decided on the worker of its instrument: one net change per row and epoch, and the durable state.
fn net_rows<'scope, D>(
    told: Stream<'scope, u64, Vec<D::Told>>,
    notices: Stream<'scope, u64, Vec<Notice>>,
    operator: &str,
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
    told.binary_frontier::<_, Vecs<SinkRow>, _, _, _, _>(notices, route, Pipeline, operator, move |_, _| {
        let mut waiting: Waiting<Work<D::Told>> = Waiting::new();
        let mut horizons = Horizons { intervals: Vec::new(), retained_from: Nanos::MIN };
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
                                SinkRow::Anomaly(NetChange { series, old, new }.unnamed())
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
