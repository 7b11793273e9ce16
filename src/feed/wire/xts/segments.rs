//! Exchange segments of XTS: their numbers, their venues, and the epoch of their times.
//!
//! | field | segments | seconds since |
//! |---|---|---|
//! | LastTradedTime, LastUpdateTime, ExchangeTimeStamp | 1, 2, 3 (NSE) | 1980-01-01 00:00, India's local time |
//! | the same | all others | 1970-01-01 00:00, India's local time |
//! | BarTime | all | 1970-01-01 00:00, India's local time |
//!
//! Why local time: the feed counts from local midnight as if India were at UTC, so 5½ hours are subtracted. India has no
//! daylight saving time: the shift is a constant.

use ticktide_base::time::{Nanos, SECOND};

/// India's local time is this far ahead of UTC.
const INDIA_S: i64 = 19_800;
/// From 1970-01-01 to 1980-01-01.
const TEN_YEARS_S: i64 = 315_532_800;

/// A segment of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    pub number: u16,
    pub venue: &'static str,
    /// The name on the MQTT bridge; empty: the bridge does not carry it.
    pub bridge: &'static str,
    epoch: Epoch,
}

/// Where seconds begin to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// 1970-01-01 00:00 in India.
    Wall1970,
    /// 1980-01-01 00:00 in India.
    Wall1980,
}

impl Epoch {
    /// The instant of a number of seconds; `None` outside the range of [`Nanos`].
    ///
    /// ```
    /// use ticktide_feed::wire::xts::segments::Epoch;
    /// // "THE REGULAR SEGMENT HAS CLOSED FOR 07 NOV 2024": 15:30 in India is 10:00 UTC
    /// assert_eq!(Epoch::Wall1980.instant(1_415_460_600), Some(1_730_973_600_000_000_000));
    /// ```
    pub fn instant(self, seconds: i64) -> Option<Nanos> {
        let shift = match self {
            Epoch::Wall1970 => -INDIA_S,
            Epoch::Wall1980 => TEN_YEARS_S - INDIA_S,
        };
        seconds.checked_add(shift)?.checked_mul(SECOND)
    }

    /// The seconds of an instant.
    pub fn seconds(self, at: Nanos) -> i64 {
        let since_1970 = at.div_euclid(SECOND) + INDIA_S;
        match self {
            Epoch::Wall1970 => since_1970,
            Epoch::Wall1980 => since_1970 - TEN_YEARS_S,
        }
    }
}

const fn segment(number: u16, venue: &'static str, bridge: &'static str, epoch: Epoch) -> Segment {
    Segment { number, venue, bridge, epoch }
}

/// Every segment.
pub static SEGMENTS: &[Segment] = &[
    segment(1, "NSECM", "nseeq", Epoch::Wall1980),
    segment(2, "NSEFO", "nsefo", Epoch::Wall1980),
    segment(3, "NSECD", "nsecurr", Epoch::Wall1980),
    segment(4, "NSECO", "", Epoch::Wall1970),
    segment(5, "SLBM", "", Epoch::Wall1970),
    segment(7, "NIFSC", "", Epoch::Wall1970),
    segment(11, "BSECM", "bseeq", Epoch::Wall1970),
    segment(12, "BSEFO", "bsefo", Epoch::Wall1970),
    segment(13, "BSECD", "bsecurr", Epoch::Wall1970),
    segment(14, "BSECO", "", Epoch::Wall1970),
    segment(21, "NCDEX", "ncdexcomm", Epoch::Wall1970),
    segment(41, "MSECM", "", Epoch::Wall1970),
    segment(42, "MSEFO", "", Epoch::Wall1970),
    segment(43, "MSECD", "", Epoch::Wall1970),
    segment(51, "MCXFO", "mcxcomm", Epoch::Wall1970),
];

impl Segment {
    /// The segment with a number.
    #[inline]
    pub fn of(number: u64) -> Option<&'static Segment> {
        SEGMENTS.iter().find(|segment| u64::from(segment.number) == number)
    }

    /// The segment with a name: its venue, or its name on the bridge.
    pub fn named(name: &[u8]) -> Option<&'static Segment> {
        let has = |segment: &&Segment| segment.venue.as_bytes() == name || segment.bridge.as_bytes() == name;
        SEGMENTS.iter().find(|segment| !name.is_empty() && has(segment))
    }

    /// The epoch of its update and trade times.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Whether two instants are on the same day in India.
pub fn same_day(a: Nanos, b: Nanos) -> bool {
    let day = |at: Nanos| (at.div_euclid(SECOND) + INDIA_S).div_euclid(86_400);
    day(a) == day(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_what_the_recorded_clock_and_the_exchanges_notice_said() {
        let utc = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_nanosecond() as Nanos;
        let nse = Segment::of(1).expect("NSE").epoch();
        assert_eq!(nse.instant(1_420_629_367), Some(utc("2025-01-06T11:16:07+05:30")));
        assert_eq!(nse.instant(1_415_460_600), Some(utc("2024-11-07T15:30:00+05:30")));
        // a candle's time, whatever the segment
        assert_eq!(Epoch::Wall1970.instant(1_736_164_979), Some(utc("2025-01-06T12:02:59+05:30")));
        assert_eq!(Epoch::Wall1970.instant(1_737_331_200), Some(utc("2025-01-20T00:00:00+05:30")));
        let bse = Segment::of(12).expect("BSE").epoch();
        assert_eq!(bse.instant(1_736_162_167), Some(utc("2025-01-06T11:16:07+05:30")));
        for epoch in [Epoch::Wall1970, Epoch::Wall1980] {
            assert_eq!((epoch.instant(i64::MAX), epoch.instant(i64::MIN)), (None, None));
        }
    }

    #[test]
    fn numbers_and_names_are_each_segments_own() {
        for (index, segment) in SEGMENTS.iter().enumerate() {
            assert_eq!(Segment::of(u64::from(segment.number)), Some(segment));
            assert_eq!(Segment::named(segment.venue.as_bytes()), Some(segment));
            assert!(SEGMENTS[..index].iter().all(|other| other.number != segment.number));
            assert!(segment.bridge.is_empty() || Segment::named(segment.bridge.as_bytes()) == Some(segment));
        }
        assert_eq!((Segment::of(6), Segment::named(b"")), (None, None));
    }

    proptest! {
        #[test]
        fn seconds_and_instants_are_each_others_inverse(seconds in -10_000_000_000i64..8_000_000_000) {
            for epoch in [Epoch::Wall1970, Epoch::Wall1980] {
                if let Some(at) = epoch.instant(seconds) {
                    prop_assert_eq!(epoch.seconds(at), seconds);
                }
            }
        }
    }
}
