//! From where on a record of a partition counts: what the partition's own past says, and never behind the horizons of its epoch.
//!
//! Why both: what a partition has come to is a function of its records, so the same records get the same verdicts however they
//! were cut; what the horizons have passed is gone from memory, so nothing behind them may come back. Of a partition that brakes
//! the second never decides. What must always hold: no record behind the epoch's horizons reaches the bars.

use super::reach::{ReachSpec, Reaches};
use serde::{Deserialize, Serialize};
use ticktide_base::rules::Rules;
use ticktide_base::time::Nanos;
use ticktide_market::calendar::Session;

/// An epoch's constants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizons {
    pub rules: Rules,
    /// One for each interval, finest first; what lies before it is no longer in memory.
    pub intervals: Vec<Nanos>,
    /// With corrections: earlier trades are no longer kept.
    pub retained_from: Nanos,
    /// Every partition has come to it at least.
    pub lake_time: Option<Nanos>,
}

impl Horizons {
    /// Before it nothing is in memory.
    pub fn least(&self) -> Nanos {
        self.intervals.iter().copied().min().unwrap_or(Nanos::MIN)
    }
}

/// What the records of one partition are judged by.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The greater of the two for each interval.
    reaches: Reaches,
    /// What the partition's past says; under the first rules nothing.
    own: Reaches,
    /// What time `own` is for.
    running: Option<Nanos>,
}

impl Bounds {
    /// A record counts from here on.
    #[inline]
    pub fn reaches(&self) -> &Reaches {
        &self.reaches
    }

    /// By its partition's past alone.
    pub fn own(&self) -> &Reaches {
        &self.own
    }

    /// What time the partition has come to, in the grain of the reaches; `None`: to none yet.
    pub fn running(&self) -> Option<Nanos> {
        self.running
    }

    /// The partition has come to a time. True: the reaches are others now.
    #[inline]
    pub fn advance(
        &mut self,
        running: Option<Nanos>,
        horizons: &Horizons,
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
    pub fn begin(&mut self, running: Option<Nanos>, horizons: &Horizons, spec: &ReachSpec, session: &Session) {
        if !self.advance(running, horizons, spec, session) {
            self.bound(horizons);
        }
    }

    fn bound(&mut self, horizons: &Horizons) {
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
        let mut horizons = Horizons { intervals: vec![noon - HOUR, Nanos::MIN], ..Horizons::default() };
        let mut bounds = Bounds::default();
        bounds.begin(None, &horizons, &spec, &session);
        assert_eq!(bounds.reaches().intervals, [noon - HOUR, Nanos::MIN], "it has come to no time yet");
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
