//! Beats: the starts of finished bars at which any instrument of a venue has a bar, and the gaps between them.
//!
//! ```text
//!   each worker: bars of its instruments ─▶ Presence  counts per beat: ±1 when the first comes or the last goes
//!                                              ║ by venue
//!   the venue's worker:                     Beats     sums of all workers, neighbours, gaps ─▶ (anomaly, ±1)
//! ```
//!
//! Why not a scan: a gap depends on two neighbours and on nothing before them, so a late beat costs two lookups in a sorted
//! map. Where classes of a venue's instruments are in two phases at one time, neighbours of two phases are no gap: an auction
//! is silent for minutes. What must always hold: every anomaly is that of two beats that are neighbours now; of what lies
//! before the horizon only the last beat is kept, the base, and nothing there changes any longer.

use super::{Anomaly, FEED, FeedGap};
use crate::bars::finished::{BarHead, Series};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use ticktide_base::time::{Interval, Nanos};
use ticktide_market::Instrument;

/// A finished bar's start; the order is that of time.
pub type Beat = BarHead;

/// A venue's beat, gained (+1) or lost (−1) by one worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BeatChange {
    pub venue: Arc<str>,
    pub beat: Beat,
    pub diff: isize,
}

impl BeatChange {
    /// The number that its venue is routed by.
    pub fn route(&self) -> u64 {
        route(&self.venue)
    }
}

/// The number that a venue is routed by.
pub fn route(venue: &str) -> u64 {
    Instrument::new(venue, FEED, None).route()
}

/// How many bars one worker has at each beat.
#[derive(Default)]
pub struct Presence {
    counts: HashMap<(Arc<str>, Beat), isize, ahash::RandomState>,
    venues: HashMap<Box<str>, Arc<str>, ahash::RandomState>,
    touched: BTreeMap<(Arc<str>, Beat), isize>,
}

impl Presence {
    /// Takes a change of one bar.
    pub fn change(&mut self, instrument: &Instrument, beat: Beat, diff: isize) {
        let venue = match self.venues.get(instrument.venue()) {
            Some(venue) => venue.clone(),
            None => {
                let venue: Arc<str> = instrument.venue().into();
                self.venues.insert(instrument.venue().into(), venue.clone());
                venue
            }
        };
        *self.touched.entry((venue, beat)).or_default() += diff;
    }

    /// The changes of one time are in: the beats gained and lost.
    pub fn pulses(&mut self) -> impl Iterator<Item = BeatChange> + '_ {
        std::mem::take(&mut self.touched).into_iter().filter_map(|(key, change)| {
            let count = self.counts.entry(key.clone()).or_default();
            let before = *count;
            *count += change;
            let diff = isize::from(*count > 0) - isize::from(before > 0);
            if *count == 0 {
                self.counts.remove(&key);
            }
            (diff != 0).then_some(BeatChange { venue: key.0, beat: key.1, diff })
        })
    }
}

/// One venue's live beats with the number of workers that have each, and the last one before the horizon.
#[derive(Default)]
struct Venue {
    live: BTreeMap<Beat, isize>,
    base: Option<Beat>,
}

impl Venue {
    fn before(&self, beat: &Beat) -> Option<Beat> {
        self.live.range(..beat).next_back().map(|(beat, _)| *beat).or(self.base)
    }

    fn behind(&self, beat: &Beat) -> Option<Beat> {
        let behind = (std::ops::Bound::Excluded(beat), std::ops::Bound::Unbounded);
        self.live.range::<Beat, _>(behind).next().map(|(beat, _)| *beat)
    }
}

/// The beats of the venues of one worker under one check.
pub struct Beats {
    gap: FeedGap,
    /// Index of the check in the dataflow's list.
    check: u16,
    interval: Interval,
    horizon: Nanos,
    venues: BTreeMap<Arc<str>, Venue>,
}

/// Changes of anomalies.
pub type Changes = Vec<((Series, Anomaly), isize)>;

impl Beats {
    /// `horizon`: up to where an earlier run has retired.
    pub fn new(gap: FeedGap, check: u16, interval: Interval, horizon: Nanos) -> Beats {
        Beats { gap, check, interval, horizon, venues: BTreeMap::new() }
    }

    /// Restores the last beat before the horizon.
    pub fn restore(&mut self, venue: &str, base: Beat) {
        self.venues.entry(venue.into()).or_default().base = Some(base);
    }

    /// Takes a beat's change; the anomalies that it changes go to `out`.
    pub fn take(&mut self, pulse: &BeatChange, out: &mut Changes) {
        let beat = pulse.beat;
        if beat.open_at < self.horizon {
            return;
        }
        let mut venue = self.venues.remove(&pulse.venue).unwrap_or_default();
        let count = venue.live.entry(beat).or_default();
        let was = *count > 0;
        *count += pulse.diff;
        let is = *count > 0;
        if *count == 0 {
            venue.live.remove(&beat);
        }
        if was != is {
            let (before, behind) = (venue.before(&beat), venue.behind(&beat));
            let split: isize = if is { 1 } else { -1 };
            for (from, until, diff) in
                [(before, behind, -split), (before, Some(beat), split), (Some(beat), behind, split)]
            {
                let gap = from.zip(until).and_then(|(from, until)| self.anomaly(&pulse.venue, from, until));
                out.extend(gap.map(|gap| (gap, diff)));
            }
        }
        self.venues.insert(pulse.venue.clone(), venue);
    }

    fn anomaly(&self, venue: &str, from: Beat, until: Beat) -> Option<(Series, Anomaly)> {
        let started_at = from.open_at + self.interval.0;
        if (from.phase, from.trading_date) != (until.phase, until.trading_date) {
            return None;
        }
        let (severity, observed, expected) = self.gap.judge(started_at, until.open_at)?;
        let anomaly = Anomaly {
            open_at: until.open_at,
            phase: until.phase,
            check: self.check,
            started_at,
            ended_at: until.open_at,
            severity,
            observed: observed.to_bits(),
            expected: expected.to_bits(),
            seen: None,
            symbol: None,
        };
        Some(((self.interval, Instrument::new(venue, FEED, None)), anomaly))
    }

    /// An epoch is complete: beats before its horizon retire, and report nothing more. Gives the bases that changed.
    pub fn retire(&mut self, horizon: Nanos) -> Vec<(Arc<str>, Beat)> {
        // it moves back where a time was set back, and what then arrives is taken again
        self.horizon = horizon;
        let first = Beat::floor((self.horizon, 0));
        let mut changed = Vec::new();
        for (name, venue) in &mut self.venues {
            let live = venue.live.split_off(&first);
            if let Some((base, _)) = std::mem::replace(&mut venue.live, live).pop_last() {
                venue.base = Some(base);
                changed.push((name.clone(), base));
            }
        }
        changed
    }
}
