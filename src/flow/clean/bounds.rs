//! From which time on a record of a partition counts: by the partition's own past, and never before its epoch's horizons.
//!
//! Why both: the time that a partition has reached is a function of its records, so the same records get the same verdicts
//! however they were cut; what the horizons have passed is gone from memory, so nothing before them may come back. For a
//! partition that brakes the frontier, the second never decides. What must always hold: no record before the epoch's horizons
//! reaches the bars.

use super::reach::{ReachSpec, Reaches};
use serde::{Deserialize, Serialize};
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_market::calendar::Session;

/// An epoch's constants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochHorizons {
    pub rules: Rules,
    /// One for each interval, finest first; what lies before it is no longer in memory.
    pub intervals: Vec<Nanos>,
    /// With corrections: earlier trades are no longer kept.
    pub retained_from: Nanos,
    /// Every partition has reached at least this time.
    pub lake_time: Option<Nanos>,
}

impl EpochHorizons {
    /// The least horizon: nothing before it is in memory.
    pub fn least(&self) -> Nanos {
        self.intervals.iter().copied().min().unwrap_or(Nanos::MIN)
    }
}

/// What the records of one partition are judged by.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The greater of the two for each interval.
    reaches: Reaches,
    /// By the partition's past alone; under the first rules everything counts.
    own: Reaches,
    /// The time that `own` is for.
    running: Option<Nanos>,
}

impl Bounds {
    /// From where on a record counts.
    #[inline]
    pub fn reaches(&self) -> &Reaches {
        &self.reaches
    }

    /// The same, by the partition's past alone.
    pub fn own(&self) -> &Reaches {
        &self.own
    }

    /// The time that the partition has reached, in the grain of the reaches; `None`: none yet.
    pub fn running(&self) -> Option<Nanos> {
        self.running
    }

    /// The partition has reached a time. Returns true when the reaches have changed.
    #[inline]
    pub fn advance(
        &mut self,
        running: Option<Nanos>,
        horizons: &EpochHorizons,
        spec: &ReachSpec,
        session: &Session,
    ) -> bool {
        let running = running.max(horizons.lake_time).filter(|_| horizons.rules > Rules::First);
        let grain = running.map(|at| at - at.rem_euclid(spec.grain()));
        if grain == self.running && self.reaches.intervals.len() == spec.intervals.len() {
            return false;
        }
        self.running = grain;
        self.own = match grain {
            Some(at) => spec.at(session, at),
            None => Reaches::all(spec.intervals.len()),
        };
        self.bound(horizons);
        true
    }

    /// An epoch begins.
    pub fn begin(&mut self, running: Option<Nanos>, horizons: &EpochHorizons, spec: &ReachSpec, session: &Session) {
        if !self.advance(running, horizons, spec, session) {
            self.bound(horizons);
        }
    }

    fn bound(&mut self, horizons: &EpochHorizons) {
        let pairs = self.own.intervals.iter().zip(horizons.intervals.iter().chain(std::iter::repeat(&Nanos::MIN)));
        self.reaches = Reaches {
            intervals: pairs.map(|(own, horizon)| *own.max(horizon)).collect(),
            retained_from: self.own.retained_from.max(horizons.retained_from),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::reach::Reach;
    use super::*;
    use ticktide_base::time::{DAY, HOUR, Interval, MINUTE, SECOND};

    #[test]
    fn the_partitions_past_decides_and_the_horizon_where_it_is_later() {
        let session = Session::preset("utc-day").expect("a preset");
        let spec = ReachSpec {
            intervals: vec![(Interval(SECOND), Reach::Span(10 * MINUTE)), (Interval(MINUTE), Reach::Span(2 * HOUR))],
            retention: HOUR,
        };
        let noon = 20_000 * DAY + 12 * HOUR;
        let mut horizons = EpochHorizons { intervals: vec![noon - HOUR, Nanos::MIN], ..EpochHorizons::default() };
        let mut bounds = Bounds::default();
        bounds.begin(None, &horizons, &spec, &session);
        assert_eq!(bounds.reaches().intervals, [noon - HOUR, Nanos::MIN], "it has not reached any time yet");
        assert!(bounds.advance(Some(noon + 7), &horizons, &spec, &session));
        assert_eq!(bounds.reaches().intervals, [noon - 10 * MINUTE, noon - 2 * HOUR]);
        assert_eq!(bounds.reaches().retained_from, noon - HOUR);
        assert!(!bounds.advance(Some(noon + SECOND - 1), &horizons, &spec, &session), "within the grain");
        horizons.intervals = vec![noon - MINUTE, noon - HOUR];
        bounds.begin(Some(noon), &horizons, &spec, &session);
        assert_eq!(bounds.reaches().intervals, [noon - MINUTE, noon - HOUR]);
        assert_eq!(bounds.own().intervals, [noon - 10 * MINUTE, noon - 2 * HOUR]);
        // a flush brought the lake further than this partition
        horizons.lake_time = Some(noon + HOUR);
        bounds.begin(Some(noon), &horizons, &spec, &session);
        assert_eq!(bounds.reaches().intervals, [noon + 50 * MINUTE, noon - HOUR]);
        // under the first rules the horizons alone
        horizons.rules = Rules::First;
        bounds.begin(Some(noon), &horizons, &spec, &session);
        assert_eq!(bounds.reaches().intervals, [noon - MINUTE, noon - HOUR]);
    }
}
