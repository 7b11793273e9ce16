//! The way back for a lake that wild times have moved: one partition's running time is set back, and with it everything derived
//! from it.
//!
//! ```text
//!   last binding, partition, time ─▶ Rewind ◀─ live bars (see)
//!                                      └─▶ finish: the binding to go on from
//! ```
//!
//! Why bars are read: a horizon may fall no further than to what has left memory, and a bar that has left is in its table;
//! what is published stays published, and is in its table, too. Why here and not in the lake: reaches are the flow's. What must
//! always hold: no number falls below what it would have been without the partition; no bar that has left memory lies after
//! a new horizon; a row is published by the new binding if and only if it was by the old one and is there.

#[cfg(test)]
mod tests;

use super::ControlSpec;
use std::collections::BTreeMap;
use ticktide_base::epoch::{Ahead, Binding, Place, Rewound};
use ticktide_base::error::Error;
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_flow::clean::reach::{Reaches, aligned_after};
use ticktide_market::Instrument;
use ticktide_market::calendar::{bucket, time_text};

/// The most stretches published ahead that a binding names; more are joined.
const SPANS_MAX: usize = 64;

/// A binding that is being set back.
pub struct Rewind {
    spec: ControlSpec,
    before: Binding,
    /// The new binding, except for horizons and what is published ahead.
    lowered: Binding,
    /// For each interval the greatest end of a bar that may have left memory.
    left: Vec<Option<Nanos>>,
    /// … of the finest one, the same for its trades.
    left_trades: Option<Nanos>,
    ahead: Spans,
}

impl Rewind {
    /// `before`: the binding that the lake was left with; `confirmations`: this many wild times move nothing. Errors of kind
    /// `Fix`: there is no such partition, or its time is not later than `to`.
    pub fn new(
        spec: ControlSpec,
        confirmations: u64,
        before: &Binding,
        partition: &str,
        to: Nanos,
    ) -> Result<Rewind, Error> {
        if before.lateness == Rules::First {
            return Err(Error::fix(
                "the lake was made by an older ticktide and not run since: its partitions have no running time",
                "run it once (`ticktide run`), then set it back",
            ));
        }
        let Some(place) = before.places.get(partition) else {
            let all: Vec<&str> = before.places.keys().take(20).map(String::as_str).collect();
            let message = format!("the lake has no partition {partition:?}");
            return Err(Error::fix(message, format!("name one of its partitions: [{}]", all.join(", "))));
        };
        if place.event_at_max.is_none_or(|at| at <= to) {
            let at = place.event_at_max.map_or("no time yet".to_owned(), time_text);
            let message = format!("partition {partition} is at {at}, which is not later than {}", time_text(to));
            return Err(Error::fix(message, "set `--to` to the time that it had come to before the wild records"));
        }
        let intervals = spec.reach.intervals.len();
        let lowered = lowered(&spec, confirmations, before, (partition, place), to);
        Ok(Rewind {
            left: vec![None; intervals],
            left_trades: None,
            ahead: Spans::default(),
            before: before.clone(),
            lowered,
            spec,
        })
    }

    /// Names of the intervals, finest first.
    pub fn intervals(&self) -> Vec<String> {
        self.spec.reach.intervals.iter().map(|(interval, _)| interval.name()).collect()
    }

    /// Whether bars of an interval that start at or before a time can matter.
    pub fn wants(&self, level: usize, open_at: Nanos) -> bool {
        let end_at = open_at.saturating_add(self.width(level));
        let left = self.horizon(level) > Nanos::MIN && self.left[level].is_none_or(|left| left < end_at);
        let trades = level == 0
            && self.before.retained_from.is_some_and(|from| from > Nanos::MIN)
            && self.left_trades.is_none_or(|left| left < end_at);
        left || trades || !self.lowered.publishes(open_at, end_at)
    }

    /// Takes a live row of the table of an interval's bars.
    pub fn see(&mut self, level: usize, instrument: &Instrument, open_at: Nanos) {
        let (interval, _) = self.spec.reach.intervals[level];
        let session = &self.spec.session;
        let longest = open_at.saturating_add(interval.0);
        let phase = session.phase_at(session.class_of(instrument), open_at);
        let end_at = phase.map_or(longest, |phase| bucket(&phase, interval, open_at).1);
        if end_at <= self.horizon(level) {
            self.left[level] = self.left[level].max(Some(end_at));
        }
        if level == 0 && self.before.retained_from.is_some_and(|from| end_at <= from) {
            self.left_trades = self.left_trades.max(Some(end_at));
        }
        // a row about a venue may end at another time, but not later
        if !self.lowered.publishes(open_at, longest) {
            self.ahead.add(open_at, longest);
        }
    }

    fn width(&self, level: usize) -> Nanos {
        self.spec.reach.intervals[level].0.0
    }

    /// The horizon that the interval's memory had passed.
    fn horizon(&self, level: usize) -> Nanos {
        let name = self.spec.reach.intervals[level].0.name();
        self.before.horizons.get(&name).copied().unwrap_or(Nanos::MIN)
    }

    /// All bars were seen: the binding to go on from.
    pub fn finish(mut self) -> Binding {
        let reach = self.lowered.retired_by.map(|at| self.spec.reach.at(&self.spec.session, at));
        let Reaches { intervals, retained_from } = reach.unwrap_or_else(|| Reaches::all(self.left.len()));
        let fallen = |level: usize, old: Nanos, left: Option<Nanos>, reach: Nanos| {
            let (interval, _) = self.spec.reach.intervals[level];
            let left = left.map_or(Nanos::MIN, |at| aligned_after(&self.spec.session, interval, at, old));
            old.min(left.max(reach))
        };
        let horizons = (0..self.left.len()).map(|level| {
            let name = self.spec.reach.intervals[level].0.name();
            (name, fallen(level, self.horizon(level), self.left[level], intervals[level]))
        });
        let horizons: BTreeMap<String, Nanos> = horizons.collect();
        let retained = self.before.retained_from.map(|old| fallen(0, old, self.left_trades, retained_from));
        let spans = self.ahead.joined(SPANS_MAX);
        if !spans.is_empty() {
            let Binding { closed_until, flushed_until, .. } = self.before;
            self.lowered.ahead.push(Ahead { closed_until, flushed_until, spans });
        }
        Binding { horizons, retained_from: retained, ..self.lowered }
    }
}

/// The numbers derived from partitions alone: from the others and the new time, never more than before.
fn lowered(
    spec: &ControlSpec,
    confirmations: u64,
    before: &Binding,
    (partition, place): (&str, &Place),
    to: Nanos,
) -> Binding {
    let depth = usize::try_from(confirmations).unwrap_or(usize::MAX).saturating_add(1);
    let others = || before.places.iter().filter(|(name, _)| *name != partition).map(|(_, place)| place);
    let running = || {
        let full = |place: &Place| place.running.last().copied().filter(|_| place.running.len() == depth);
        others().map(full).chain([Some(to)])
    };
    let furthest = others().filter_map(|place| place.event_at_max).fold(to, Nanos::max);
    let least_of = |old: Option<Nanos>, new: Option<Nanos>| old.and_then(|old| new.map(|new| old.min(new)));
    let lake_time = least_of(before.lake_time, running().flatten().max());
    let set_back = Place {
        event_at_max: Some(to),
        running: (0..depth as Nanos).rev().map(|more| to.saturating_add(more)).collect(),
        ..place.clone()
    };
    let mut places = before.places.clone();
    places.insert(partition.to_owned(), set_back);
    // they belong to records of another epoch
    places.values_mut().for_each(|place| place.clock.clear());
    let passed = spec.reach.intervals.iter().map(|(interval, _)| before.horizons.get(&interval.name()).copied());
    let forgotten = passed.map(|at| at.unwrap_or(Nanos::MIN)).min().unwrap_or(Nanos::MIN);
    Binding {
        places,
        frontier: least_of(before.frontier, Some(furthest)),
        retired_by: least_of(before.retired_by, running().min().flatten().max(lake_time)),
        lake_time,
        closed_until: least_of(before.closed_until, Some(furthest.saturating_sub(spec.grace))),
        flushed_until: least_of(before.flushed_until, Some(furthest)),
        flush: false,
        rewound: Some(Rewound { partition: partition.to_owned(), to, forgotten }),
        ..before.clone()
    }
}

/// Stretches of time, apart from each other.
#[derive(Default)]
struct Spans(BTreeMap<Nanos, Nanos>);

impl Spans {
    fn add(&mut self, mut from: Nanos, mut until: Nanos) {
        while let Some((first, last)) = self.0.range(..=until).next_back().map(|(first, last)| (*first, *last))
            && last >= from
        {
            self.0.remove(&first);
            (from, until) = (from.min(first), until.max(last));
        }
        self.0.insert(from, until);
        if self.0.len() > 64 * SPANS_MAX {
            self.0 = self.joined(32 * SPANS_MAX).into_iter().collect();
        }
    }

    /// At most `most` stretches, in order: those that are nearest to each other are joined.
    fn joined(&self, most: usize) -> Vec<(Nanos, Nanos)> {
        let spans: Vec<(Nanos, Nanos)> = self.0.iter().map(|(from, until)| (*from, *until)).collect();
        let mut gaps: Vec<(Nanos, usize)> =
            spans.windows(2).enumerate().map(|(at, pair)| (pair[1].0 - pair[0].1, at)).collect();
        gaps.sort_unstable();
        let mut kept: Vec<usize> = gaps.into_iter().rev().take(most.saturating_sub(1)).map(|(_, at)| at).collect();
        kept.sort_unstable();
        let begins = std::iter::once(0).chain(kept.iter().map(|at| at + 1));
        let ends = kept.iter().copied().chain(spans.len().checked_sub(1));
        begins.zip(ends).filter_map(|(first, last)| Some((spans.get(first)?.0, spans.get(last)?.1))).collect()
    }
}
