//! The live bars of the instruments that one worker owns.
//!
//! What must always hold: a row that is taken back is the row that was published, symbol and all, also by another run: so what a
//! bar is called is part of its bucket's durable value, and nothing that is published or kept goes by the instrument of a record.

use super::acc::{Acc, SnapshotOrder, TradeAcc};
use super::trades::{Correction, Effect, Insertion, Place, Trades};
use super::{Refused, Routed, bucket};
use crate::bars::finished::{FinishedBar, Series};
use crate::bars::volume::SnapshotBar;
use crate::clean::Horizons;
use crate::clean::duplicates::{Memory, SeenEntries};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use ticktide_base::epoch::Conservation;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::Instrument;
use ticktide_market::calendar::PhaseAt;

/// What the bars need of a dataflow.
#[derive(Clone, Debug)]
pub struct BarsSpec {
    /// Finest first.
    pub intervals: Vec<Interval>,
    pub corrections: bool,
    /// Volume of buckets without a price goes to the bar before them.
    pub carries: bool,
    /// Duplicates are found here, per instrument.
    pub dedupe_here: bool,
    /// Prices ≤ 0 make bars.
    pub prices_signed: bool,
}

/// A bar as the keyed operator knows it: finished on trade feeds, still to be scanned for its volume on snapshot feeds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Emitted {
    Finished(FinishedBar),
    /// In a box, since it is the larger one: most feeds have trades.
    Snapshot(Box<SnapshotBar>),
}

/// One bucket of one interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bucket {
    phase: PhaseAt,
    end_at: Nanos,
    /// Everything in it, or `None` once all its trades are cancelled.
    acc: Option<Acc>,
    /// With corrections: what came of finer buckets and trades that are no longer kept.
    base: Option<Box<Acc>>,
    /// The greatest that a record tells; a cancelled trade has told its own, too.
    #[serde(skip)]
    symbol: Option<Arc<str>>,
    /// What downstream knows of it; derived, so not part of the durable state.
    #[serde(skip)]
    emitted: Option<Emitted>,
    /// With `emitted` withdrawn for good: behind the horizon.
    #[serde(skip)]
    frozen: bool,
}

/// What a durable value says of a bucket behind its first layout.
#[derive(Default, Serialize, Deserialize)]
struct Tail {
    symbol: Option<Arc<str>>,
    counted_first: Option<SnapshotOrder>,
}

impl Bucket {
    fn new(phase: PhaseAt, end_at: Nanos) -> Bucket {
        Bucket { phase, end_at, acc: None, base: None, symbol: None, emitted: None, frozen: false }
    }

    /// A record of it calls its instrument so.
    #[inline]
    fn tell(&mut self, symbol: Option<&Arc<str>>) {
        if let Some(symbol) = symbol
            && self.symbol.as_ref().is_none_or(|known| !Arc::ptr_eq(known, symbol) && known < symbol)
        {
            self.symbol = Some(symbol.clone());
        }
    }

    fn encode(&self) -> Vec<u8> {
        let counted_first = self.acc.as_ref().and_then(Acc::counted_first);
        encode(&(self, Tail { symbol: self.symbol.clone(), counted_first }))
    }

    /// A value without a tail was published under the symbol of its key.
    fn decode(instrument: &Instrument, mut value: &[u8]) -> Result<Bucket, bincode::Error> {
        let mut bucket: Bucket = bincode::deserialize_from(&mut value)?;
        let tail = match value.is_empty() {
            true => Tail { symbol: instrument.symbol_shared().cloned(), counted_first: None },
            false => bincode::deserialize(value)?,
        };
        bucket.symbol = tail.symbol;
        if let Some(acc) = &mut bucket.acc {
            acc.set_counted_first(tail.counted_first);
        }
        Ok(bucket)
    }
}

/// The buckets of one interval in order; in boxes, so that the tree moves pointers.
type Level = BTreeMap<Nanos, Box<Bucket>>;

struct State {
    /// As its key has it: what is published and kept goes by it, whatever symbols records tell.
    own: Instrument,
    levels: Vec<Level>,
    /// Buckets changed in this step, by level, some more than once.
    touched: Vec<Vec<Nanos>>,
    is_touched: bool,
    /// What changed in this epoch.
    dirty: BTreeSet<StateKey>,
    trades: Trades,
    memory: Memory,
}

impl State {
    fn new(own: Instrument, levels: usize) -> State {
        State {
            own,
            levels: vec![BTreeMap::new(); levels],
            touched: vec![Vec::new(); levels],
            is_touched: false,
            dirty: BTreeSet::new(),
            trades: Trades::default(),
            memory: Memory::default(),
        }
    }
}

/// Key of one durable value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StateKey {
    Bucket(Interval, Nanos),
    Trade(super::trades::TradeKey),
    /// Remembered ids of a trading day, by the epoch that remembered them.
    Seen(i32, u64),
}

/// What the operator says besides bars.
#[derive(Default)]
pub struct Aside {
    pub refused: Vec<Refused>,
    /// Changes of the balance, by partition name.
    pub counts: HashMap<Arc<str>, Conservation>,
}

impl Aside {
    fn count(&mut self, partition: &Arc<str>, change: impl FnOnce(&mut Conservation)) {
        change(self.counts.entry(partition.clone()).or_default());
    }

    /// A record that was accepted is known already, or its id is with other content.
    fn is_known(&mut self, place: Place, same: bool) {
        self.count(&place.partition, |counts| {
            counts.accepted -= 1;
            if same { counts.duplicates += 1 } else { counts.rejected += 1 }
        });
        if !same {
            let detail = "its id or sequence was there before, with other content".into();
            self.refused.push(Refused { place, reason: "conflicting_id", detail });
        }
    }
}

/// All live bars of one worker's instruments.
pub struct Keyed {
    spec: BarsSpec,
    /// For each interval the coarsest finer one that divides it.
    child: Vec<Option<usize>>,
    instruments: HashMap<Instrument, State, ahash::RandomState>,
    /// Instruments changed in this step.
    touched: Vec<Instrument>,
    horizons: Horizons,
    seen_chunks: BTreeMap<(Instrument, i32, u64), i32>,
}

impl Keyed {
    pub fn new(spec: BarsSpec) -> Keyed {
        let child = (0..spec.intervals.len())
            .map(|level| (0..level).rev().find(|finer| spec.intervals[level].0 % spec.intervals[*finer].0 == 0))
            .collect();
        Keyed {
            child,
            spec,
            instruments: HashMap::default(),
            touched: Vec::new(),
            horizons: Horizons::default(),
            seen_chunks: BTreeMap::new(),
        }
    }

    /// Whether records have to be given in an order that does not depend on their arrival.
    pub fn finds_duplicates(&self) -> bool {
        self.spec.dedupe_here
    }

    /// An epoch begins: what its horizons pass is frozen from now on.
    pub fn begin(&mut self, horizons: Horizons) {
        if self.spec.dedupe_here {
            self.instruments.values_mut().for_each(|state| state.memory.begin(horizons.least()));
        }
        self.horizons = horizons;
    }

    /// Takes one record.
    pub fn apply(&mut self, routed: Routed, aside: &mut Aside) {
        let levels = self.spec.intervals.len();
        let state = match self.instruments.get_mut(routed.instrument()) {
            Some(state) => state,
            None => {
                let own = routed.instrument().unnamed();
                let mut state = State::new(own.clone(), levels);
                state.memory.begin(self.horizons.least());
                self.instruments.entry(own).or_insert(state)
            }
        };
        let signed = self.spec.prices_signed;
        match routed {
            Routed::Partial { instrument, phase, at, mask, acc } => {
                let symbol = instrument.symbol_shared();
                for (level, interval) in self.spec.intervals.iter().enumerate() {
                    if mask & (1 << level) != 0 {
                        merge(state, level, *interval, &phase, at, Some(&acc), symbol);
                    }
                }
            }
            Routed::Trade { instrument, phase, mask, key, trade, seen, place } => {
                let symbol = instrument.symbol_shared();
                if let Some(seen) = seen
                    && let Some(same) = state.memory.remember(0, phase.trading_date, seen)
                {
                    return aside.is_known(place, same);
                }
                let retained = !self.spec.corrections || trade.order.at >= self.horizons.retained_from;
                if self.spec.corrections && retained {
                    match state.trades.insert(key.clone(), trade) {
                        Insertion::New(matched) => {
                            for correction in matched {
                                aside.count(&correction.place.partition, |counts| {
                                    counts.pending -= 1;
                                    counts.accepted += 1;
                                });
                            }
                            let effective = state.trades.entries.get(&key).and_then(|entry| entry.effective(signed));
                            let acc = effective.map(Acc::Trades);
                            // a finer bucket enters every coarser one; the mask only says what may still be published
                            for (level, interval) in self.spec.intervals.iter().enumerate() {
                                merge(state, level, *interval, &phase, trade.order.at, acc.as_ref(), symbol);
                            }
                        }
                        Insertion::Same(None) => return aside.is_known(place, true),
                        Insertion::Same(Some(open_at)) => {
                            aside.is_known(place, true);
                            rebuild(state, &self.spec, &self.child, open_at);
                        }
                        Insertion::Conflict => return aside.is_known(place, false),
                    }
                    state.dirty.insert(StateKey::Trade(key));
                } else if trade.order.price > 0 || signed {
                    let acc = Acc::Trades(TradeAcc::of(trade.order, trade.sets_price, trade.adds_volume));
                    for (level, interval) in self.spec.intervals.iter().enumerate() {
                        if mask & (1 << level) == 0 {
                            continue;
                        }
                        merge(state, level, *interval, &phase, trade.order.at, Some(&acc), symbol);
                        let from_child = self.child[level].is_some_and(|child| mask & (1 << child) != 0);
                        if self.spec.corrections && !from_child {
                            let (open_at, _) = bucket(&phase, *interval, trade.order.at);
                            if let Some(bucket) = state.levels[level].get_mut(&open_at) {
                                add_base(&mut bucket.base, &acc);
                            }
                        }
                    }
                }
            }
            Routed::Correction { key, correction, .. } => {
                let place = correction.place.clone();
                let effect = state.trades.correct(key.clone(), correction);
                state.dirty.insert(StateKey::Trade(key));
                if let Effect::Rebuild(open_at) = effect {
                    aside.count(&place.partition, |counts| {
                        counts.pending -= 1;
                        counts.accepted += 1;
                    });
                    let missed = frozen_for(&self.spec.intervals, &self.horizons, state, open_at);
                    if !missed.is_empty() {
                        let detail = format!("too late for {}; the others count it", missed.join(", "));
                        aside.refused.push(Refused { place, reason: "late_partly", detail });
                    }
                    rebuild(state, &self.spec, &self.child, open_at);
                }
            }
        }
        if !std::mem::replace(&mut state.is_touched, true) {
            self.touched.push(state.own.clone());
        }
    }

    /// A step is complete: the changes it makes to what downstream knows.
    pub fn changes(&mut self, out: &mut Vec<(Series, Emitted, isize)>) {
        for instrument in std::mem::take(&mut self.touched) {
            let Some(state) = self.instruments.get_mut(&instrument) else { continue };
            state.is_touched = false;
            for level in 0..self.spec.intervals.len() {
                let interval = self.spec.intervals[level];
                let horizon = self.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
                let mut touched = std::mem::take(&mut state.touched[level]);
                if touched.is_empty() {
                    continue;
                }
                let buckets = &mut state.levels[level];
                touched.sort_unstable();
                touched.dedup();
                state.dirty.extend(touched.iter().map(|open_at| StateKey::Bucket(interval, *open_at)));
                if self.spec.carries {
                    let before: Vec<Nanos> = touched.iter().filter_map(|at| priced_before(buckets, *at)).collect();
                    touched.extend(before);
                    touched.sort_unstable();
                    touched.dedup();
                }
                let kept_from = if self.spec.carries { kept_from(buckets, horizon) } else { None };
                for open_at in touched.drain(..) {
                    let published = published(buckets, open_at, interval, self.spec.carries);
                    let Some(bucket) = buckets.get_mut(&open_at) else { continue };
                    let behind = bucket.end_at <= horizon && kept_from.is_none_or(|kept| open_at < kept);
                    if bucket.frozen || behind || published == bucket.emitted {
                        continue;
                    }
                    let series = (interval, instrument.clone());
                    if let Some(old) = bucket.emitted.take() {
                        out.push((series.clone(), old, -1));
                    }
                    if let Some(new) = published {
                        bucket.emitted = Some(new.clone());
                        out.push((series, new, 1));
                    }
                }
                state.touched[level] = touched;
            }
        }
    }

    /// An epoch is complete: bars behind its horizons retire. Gives the retired bars (−1, no correction: they only leave
    /// the state of what is downstream) and the durable changes.
    pub fn retire(
        &mut self,
        epoch: u64,
        out: &mut Vec<(Series, Emitted, isize)>,
        aside: &mut Aside,
    ) -> Vec<(Instrument, StateKey, Option<Vec<u8>>)> {
        let horizons = self.horizons.clone();
        let corrections = self.spec.corrections;
        let mut states = Vec::new();
        for (instrument, state) in &mut self.instruments {
            for (level, interval) in self.spec.intervals.iter().enumerate() {
                let horizon = horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
                let keep_from = if corrections { horizon.min(horizons.retained_from) } else { horizon };
                let first_kept = if self.spec.carries {
                    kept_from(&state.levels[level], horizon).unwrap_or(Nanos::MIN)
                } else {
                    Nanos::MAX
                };
                let behind: Vec<(Nanos, Nanos)> = state.levels[level]
                    .range(..first_kept)
                    .map(|(open_at, bucket)| (*open_at, bucket.end_at))
                    .take_while(|(_, end_at)| *end_at <= horizon)
                    .collect();
                for (open_at, end_at) in behind {
                    let buckets = &mut state.levels[level];
                    let Some(bucket) = buckets.get_mut(&open_at) else { continue };
                    if let Some(old) = bucket.emitted.take() {
                        out.push(((*interval, instrument.clone()), old, -1));
                    }
                    bucket.frozen = true;
                    if end_at > keep_from {
                        continue;
                    }
                    let Some(gone) = buckets.remove(&open_at) else { continue };
                    state.dirty.insert(StateKey::Bucket(*interval, open_at));
                    if corrections && let Some(acc) = gone.acc {
                        for coarser in level + 1..self.spec.intervals.len() {
                            if self.child[coarser] != Some(level) {
                                continue;
                            }
                            let (parent_at, _) = super::bucket(&gone.phase, self.spec.intervals[coarser], open_at);
                            if let Some(parent) = state.levels[coarser].get_mut(&parent_at) {
                                add_base(&mut parent.base, &acc);
                                state.dirty.insert(StateKey::Bucket(self.spec.intervals[coarser], parent_at));
                            }
                        }
                    }
                }
            }
            if corrections {
                let (forgotten, unmatched) = state.trades.forget_before(horizons.retained_from);
                state.dirty.extend(forgotten.into_iter().map(StateKey::Trade));
                unmatched.into_iter().for_each(|correction| refuse_unmatched(correction, aside));
            }
            if self.spec.dedupe_here {
                for ((_, trading_date), entries) in state.memory.take_fresh() {
                    let newest = entries.newest_minute();
                    self.seen_chunks.insert((instrument.clone(), trading_date, epoch), newest);
                    states.push((instrument.clone(), StateKey::Seen(trading_date, epoch), Some(encode(&entries))));
                }
                state.memory.forget();
            }
            for key in std::mem::take(&mut state.dirty) {
                let value = match &key {
                    StateKey::Bucket(interval, open_at) => {
                        let level = self.spec.intervals.iter().position(|other| other == interval);
                        level.and_then(|level| state.levels[level].get(open_at)).map(|bucket| bucket.encode())
                    }
                    StateKey::Trade(key) => state.trades.entries.get(key).map(encode),
                    StateKey::Seen(..) => None,
                };
                states.push((instrument.clone(), key, value));
            }
        }
        let least = horizons.least().div_euclid(ticktide_base::time::MINUTE);
        let mut expired = Vec::new();
        self.seen_chunks.retain(|key, newest| {
            let live = i64::from(*newest) >= least;
            if !live {
                expired.push(key.clone());
            }
            live
        });
        for (instrument, trading_date, chunk) in expired {
            states.push((instrument, StateKey::Seen(trading_date, chunk), None));
        }
        self.instruments.retain(|_, state| {
            !(state.levels.iter().all(BTreeMap::is_empty) && state.trades.is_empty() && state.memory.is_empty())
        });
        states
    }

    /// Puts one durable value back. Call [`Keyed::restored`] when all are in.
    pub fn restore(&mut self, instrument: &Instrument, key: StateKey, value: &[u8]) -> Result<(), String> {
        let levels = self.spec.intervals.len();
        let state = match self.instruments.get_mut(instrument) {
            Some(state) => state,
            None => {
                let state = State::new(instrument.clone(), levels);
                self.instruments.entry(instrument.clone()).or_insert(state)
            }
        };
        let wrong = |error: bincode::Error| error.to_string();
        match key {
            StateKey::Bucket(interval, open_at) => {
                let level = self.spec.intervals.iter().position(|other| *other == interval);
                let level =
                    level.ok_or_else(|| format!("state of bars of {}, which the dataflow has not", interval.name()))?;
                let bucket = Bucket::decode(instrument, value).map_err(wrong)?;
                state.levels[level].insert(open_at, Box::new(bucket));
            }
            StateKey::Trade(key) => {
                state.trades.restore(key, bincode::deserialize(value).map_err(wrong)?);
            }
            StateKey::Seen(trading_date, epoch) => {
                let entries: SeenEntries = bincode::deserialize(value).map_err(wrong)?;
                self.seen_chunks.insert((instrument.clone(), trading_date, epoch), entries.newest_minute());
                state.memory.restore(0, trading_date, entries);
            }
        }
        Ok(())
    }

    /// All durable values are in: says every live bar that its horizon has not frozen.
    pub fn restored(&mut self, horizons: Horizons, mut say: impl FnMut(Series, Emitted)) {
        self.horizons = horizons;
        for (instrument, state) in &mut self.instruments {
            for (level, interval) in self.spec.intervals.iter().enumerate() {
                let horizon = self.horizons.intervals.get(level).copied().unwrap_or(Nanos::MIN);
                let kept_from = if self.spec.carries { kept_from(&state.levels[level], horizon) } else { None };
                let all: Vec<Nanos> = state.levels[level].keys().copied().collect();
                for open_at in all {
                    let published = published(&state.levels[level], open_at, *interval, self.spec.carries);
                    let Some(bucket) = state.levels[level].get_mut(&open_at) else { continue };
                    if bucket.end_at <= horizon && kept_from.is_none_or(|kept| open_at < kept) {
                        bucket.frozen = true;
                    } else if let Some(bar) = published {
                        bucket.emitted = Some(bar.clone());
                        say((*interval, instrument.clone()), bar);
                    }
                }
            }
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serialize(value).expect("plain values in memory always serialise")
}

fn refuse_unmatched(correction: Correction, aside: &mut Aside) {
    aside.count(&correction.place.partition, |counts| {
        counts.pending -= 1;
        counts.rejected += 1;
    });
    let what = if correction.replaces.is_some() { "correction" } else { "cancel" };
    let detail = format!("no trade with its id came within the retention of this {what}");
    aside.refused.push(Refused { place: correction.place, reason: "unmatched", detail });
}

fn add(sum: &mut Option<Acc>, acc: &Acc) {
    match sum {
        Some(sum) => sum.merge(acc),
        None => *sum = Some(acc.clone()),
    }
}

fn add_base(base: &mut Option<Box<Acc>>, acc: &Acc) {
    match base {
        Some(base) => base.merge(acc),
        None => *base = Some(Box::new(acc.clone())),
    }
}

fn is_priced(bucket: &Bucket) -> bool {
    bucket.acc.as_ref().is_some_and(Acc::is_priced)
}

/// The newest bucket with a price that the horizon has passed. It stays writable: volume without a price may still be
/// carried to it, and a bar that comes between takes such volume away again. Earlier ones can change no more.
fn kept_from(buckets: &Level, horizon: Nanos) -> Option<Nanos> {
    let behind = buckets.iter().rev().skip_while(|(_, bucket)| bucket.end_at > horizon);
    behind.into_iter().find(|(_, bucket)| is_priced(bucket)).map(|(open_at, _)| *open_at)
}

/// Adds what a record under `symbol` counts as (`None`: it is cancelled) to the bucket that it falls in.
#[inline]
fn merge(
    state: &mut State,
    level: usize,
    interval: Interval,
    phase: &PhaseAt,
    at: Nanos,
    acc: Option<&Acc>,
    symbol: Option<&Arc<str>>,
) {
    let (open_at, end_at) = bucket(phase, interval, at);
    let bucket = state.levels[level].entry(open_at).or_insert_with(|| Box::new(Bucket::new(*phase, end_at)));
    if let Some(acc) = acc {
        add(&mut bucket.acc, acc);
    }
    bucket.tell(symbol);
    state.touched[level].push(open_at);
}

/// The intervals whose bar of the finest bucket at `open_at` is behind its horizon: what it published stays.
fn frozen_for(intervals: &[Interval], horizons: &Horizons, state: &State, open_at: Nanos) -> Vec<String> {
    let Some(finest) = state.levels[0].get(&open_at) else { return Vec::new() };
    let ends = intervals.iter().map(|interval| bucket(&finest.phase, *interval, open_at).1);
    let frozen = intervals.iter().zip(ends).zip(&horizons.intervals).filter(|((_, end_at), horizon)| end_at <= horizon);
    frozen.map(|((interval, _), _)| interval.name()).collect()
}

/// Adds the finest bucket up from its trades, then every coarser one from its base and its live finer buckets.
fn rebuild(state: &mut State, spec: &BarsSpec, child: &[Option<usize>], open_at: Nanos) {
    let intervals = &spec.intervals;
    let Some(finest) = state.levels[0].get_mut(&open_at) else { return };
    let phase = finest.phase;
    let mut acc = finest.base.as_deref().cloned();
    let fold = state.trades.fold(open_at, spec.prices_signed);
    if fold != TradeAcc::default() {
        add(&mut acc, &Acc::Trades(fold));
    }
    finest.acc = acc;
    state.touched[0].push(open_at);
    for level in 1..intervals.len() {
        let Some(child) = child[level] else { continue };
        let (parent_at, parent_end) = bucket(&phase, intervals[level], open_at);
        let Some(parent) = state.levels[level].get(&parent_at) else { continue };
        let mut acc = parent.base.as_deref().cloned();
        for (_, finer) in state.levels[child].range(parent_at..parent_end) {
            if let Some(finer) = &finer.acc {
                add(&mut acc, finer);
            }
        }
        if let Some(parent) = state.levels[level].get_mut(&parent_at) {
            parent.acc = acc;
        }
        state.touched[level].push(parent_at);
    }
}

/// The nearest bucket with a price before `at`, of the same trading day as the one at `at`.
fn priced_before(buckets: &Level, at: Nanos) -> Option<Nanos> {
    let day = buckets.get(&at)?.phase.trading_date;
    buckets
        .range(..at)
        .rev()
        .take_while(|(_, bucket)| bucket.phase.trading_date == day)
        .find(|(_, bucket)| is_priced(bucket))
        .map(|(open_at, _)| *open_at)
}

/// The bar of a bucket as it would be published now: its own ticks, and the volume of the buckets without a price that
/// follow it on the same trading day.
fn published(buckets: &Level, open_at: Nanos, interval: Interval, carries: bool) -> Option<Emitted> {
    let bucket = buckets.get(&open_at)?;
    let short = bucket.end_at - open_at < interval.0;
    match bucket.acc.as_ref()? {
        Acc::Snapshots(acc) if acc.updates > 0 => Some(Emitted::Snapshot(Box::new(SnapshotBar {
            open_at,
            phase: bucket.phase.phase,
            trading_date: bucket.phase.trading_date,
            open: acc.first.price,
            high: acc.high,
            low: acc.low,
            close: acc.last.price,
            cumulative_first: acc.counted_first.and_then(|first| first.cumulative),
            cumulative_greatest: acc.cumulative_greatest,
            cumulative_last: acc.last.cumulative,
            first_told: acc.first_told,
            day_high: acc.day_high,
            day_low: acc.day_low,
            open_interest: acc.open_interest.map(|(_, interest)| interest),
            updates: acc.updates,
            baseline_known: acc.baseline_known,
            short,
            symbol: bucket.symbol.clone(),
        }))),
        Acc::Trades(acc) if acc.priced > 0 => {
            let (mut volume, mut turnover, mut trades) = (acc.volume, acc.turnover, acc.trades);
            if carries {
                let day = bucket.phase.trading_date;
                let later = buckets.range((std::ops::Bound::Excluded(open_at), std::ops::Bound::Unbounded));
                for (_, next) in later.take_while(|(_, next)| next.phase.trading_date == day && !is_priced(next)) {
                    if let Some(Acc::Trades(carried)) = &next.acc {
                        volume = volume.saturating_add(carried.volume);
                        turnover = turnover.saturating_add(carried.turnover);
                        trades += carried.trades;
                    }
                }
            }
            Some(Emitted::Finished(FinishedBar {
                open_at,
                phase: bucket.phase.phase,
                trading_date: bucket.phase.trading_date,
                open: acc.first.price,
                high: acc.high,
                low: acc.low,
                close: acc.last.price,
                volume: Some(volume),
                turnover: Some(turnover),
                trades: Some(trades),
                updates: trades,
                open_interest: None,
                partial: false,
                short,
                symbol: bucket.symbol.clone(),
            }))
        }
        Acc::Trades(_) | Acc::Snapshots(_) => None,
    }
}
