//! Which part of its bar a candle's time labels, and on which clock.
//!
//! It is not documented whether XTS's `ts` is a bar's first second, its last second or its end, and files of other makers
//! differ. So every reading is tried, and the one under which most candles equal the lake's bars is taken for the whole file.
//! If none fits, times that are mostly a bar's last second are read as that, all others as the start.

use super::bars::Bar;
use super::{Candle, TimeLabel};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ticktide_base::time::{Interval, Nanos, SECOND};

/// The part of a bar that a time labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelled {
    Start,
    LastSecond,
    End,
}

/// The clock of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The zone's wall clock, written as if it were UTC.
    Wall,
    Utc,
}

const LABELLED: [Labelled; 3] = [Labelled::Start, Labelled::LastSecond, Labelled::End];

impl Labelled {
    pub fn name(self) -> &'static str {
        match self {
            Labelled::Start => "start",
            Labelled::LastSecond => "last second",
            Labelled::End => "end",
        }
    }

    /// The start of the bar that a time labels; `bars` in order of time. Why it needs the bars: the last bar of a phase may be
    /// shorter than the interval, so its start does not follow from its end.
    pub fn open_at(self, at: Nanos, bars: &[Bar], interval: Interval) -> Nanos {
        let (inside, back) = match self {
            Labelled::Start => return at,
            Labelled::LastSecond => (at, interval.0 - SECOND),
            Labelled::End => (at.saturating_sub(1), interval.0),
        };
        let before = &bars[..bars.partition_point(|bar| bar.open_at <= inside)];
        let holds = |bar: &&Bar| inside < bar.open_at.saturating_add(interval.0);
        before.last().filter(holds).map_or(at.saturating_sub(back), |bar| bar.open_at)
    }
}

impl Clock {
    pub fn name(self) -> &'static str {
        match self {
            Clock::Wall => "wall",
            Clock::Utc => "UTC",
        }
    }
}

/// How the times of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeReading {
    pub labelled: Labelled,
    /// The clock under which the file fits; candles are still placed by the wall clock, and then differ.
    pub clock: Clock,
    /// How many prices and volumes of candles equal the lake's under this reading.
    pub fitting: usize,
}

/// The instant of a candle's seconds; `None`: out of range.
pub fn instant(seconds: i64, clock: Clock, zone: &TimeZone) -> Option<Nanos> {
    let stamp = Timestamp::from_second(seconds).ok()?;
    let stamp = match clock {
        Clock::Utc => stamp,
        Clock::Wall => {
            let wall = TimeZone::UTC.to_datetime(stamp);
            zone.to_ambiguous_timestamp(wall).compatible().ok()?
        }
    };
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// The reading under which most candles fit; among equals the first of start, last second, end.
pub fn decide(candles: &[Candle], bars: &[Bar], interval: Interval, zone: &TimeZone) -> TimeReading {
    let seconds = |candle: &Candle| match candle.label {
        TimeLabel::Wall(seconds) => Some(seconds),
        TimeLabel::Day(_) => None,
    };
    let fitting = |labelled: Labelled, clock: Clock| -> usize {
        let fits = |candle: &Candle| {
            let at = instant(seconds(candle)?, clock, zone)?;
            let open_at = labelled.open_at(at, bars, interval);
            let bar = &bars[bars.binary_search_by_key(&open_at, |bar| bar.open_at).ok()?];
            let (theirs, ours) = (&candle.values, &bar.values);
            let volume = ours.volume.is_some() && theirs.volume == ours.volume;
            Some(usize::from(theirs.prices() == ours.prices()) + usize::from(volume))
        };
        candles.iter().filter_map(fits).sum()
    };
    let mut best = TimeReading {
        labelled: by_shape(candles.iter().filter_map(seconds), interval),
        clock: Clock::Wall,
        fitting: 0,
    };
    for clock in [Clock::Wall, Clock::Utc] {
        for labelled in LABELLED {
            let fitting = fitting(labelled, clock);
            if fitting > best.fitting {
                best = TimeReading { labelled, clock, fitting };
            }
        }
    }
    best
}

/// The part that most times look like.
fn by_shape(seconds: impl Iterator<Item = i64>, interval: Interval) -> Labelled {
    let width = (interval.0 / SECOND).max(1);
    let (mut last, mut all) = (0, 0);
    for second in seconds {
        all += 1;
        // phases begin at full minutes
        last += usize::from((second + 1).rem_euclid(width.min(60)) == 0);
    }
    if width > 1 && last * 2 > all { Labelled::LastSecond } else { Labelled::Start }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bar, candle_of};
    use super::*;
    use ticktide_base::time::MINUTE;

    const M: Interval = Interval(MINUTE);
    /// 2025-01-06 09:15 in India.
    const OPEN: Nanos = 1_736_135_100 * SECOND;
    const INDIA_S: i64 = 19_800;

    fn kolkata() -> TimeZone {
        TimeZone::get("Asia/Kolkata").expect("a zone")
    }

    /// Five bars that differ, and candles of them whose times are moved by `shift_s` seconds.
    fn five(shift_s: i64) -> (Vec<Bar>, Vec<Candle>) {
        let bars: Vec<Bar> = (0..5).map(|minute| bar(OPEN + minute * MINUTE, 100 + minute, 10 + minute)).collect();
        let candle = |bar: &Bar| {
            let label = TimeLabel::Wall(bar.open_at / SECOND + shift_s);
            Candle { label, ..candle_of(bar, 1) }
        };
        let candles = bars.iter().map(candle).collect();
        (bars, candles)
    }

    #[test]
    fn each_way_to_label_is_found_by_what_fits() {
        for (shift_s, labelled, clock) in [
            (INDIA_S, Labelled::Start, Clock::Wall),
            (INDIA_S + 59, Labelled::LastSecond, Clock::Wall),
            (INDIA_S + 60, Labelled::End, Clock::Wall),
            (0, Labelled::Start, Clock::Utc),
            (59, Labelled::LastSecond, Clock::Utc),
        ] {
            let (bars, candles) = five(shift_s);
            let decided = decide(&candles, &bars, M, &kolkata());
            assert_eq!(decided, TimeReading { labelled, clock, fitting: 10 }, "{shift_s}");
        }
    }

    #[test]
    fn where_nothing_fits_the_last_second_is_known_by_its_shape() {
        for (shift_s, labelled) in [(INDIA_S, Labelled::Start), (INDIA_S + 59, Labelled::LastSecond)] {
            let (_, candles) = five(shift_s);
            assert_eq!(decide(&candles, &[], M, &kolkata()), TimeReading { labelled, clock: Clock::Wall, fitting: 0 });
        }
    }

    #[test]
    fn the_end_of_a_short_bar_tells_its_start() {
        let hour = Interval(60 * MINUTE);
        let bars = [bar(OPEN, 1, 1), bar(OPEN + 60 * MINUTE, 2, 2)];
        // the phase ends after a quarter of the second hour
        let end = OPEN + 75 * MINUTE;
        assert_eq!(Labelled::End.open_at(end, &bars, hour), OPEN + 60 * MINUTE);
        assert_eq!(Labelled::LastSecond.open_at(end - SECOND, &bars, hour), OPEN + 60 * MINUTE);
        assert_eq!(Labelled::Start.open_at(end, &bars, hour), end);
    }

    #[test]
    fn no_second_is_out_of_a_clocks_reach() {
        for seconds in [i64::MIN, i64::MAX, 0] {
            for clock in [Clock::Wall, Clock::Utc] {
                assert_eq!(instant(seconds, clock, &kolkata()).is_some(), seconds == 0);
            }
        }
    }
}
