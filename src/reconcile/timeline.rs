//! One instrument's candles and bars on one line of time: the input of the rules of [`super::reasons`].

use super::bars::Bar;
use super::{BarColumn, BarValues, Candle};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use ticktide_base::time::{DAY, Interval, Nanos};

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    Column(BarColumn),
    /// The file has a candle, the lake no bar.
    NotOurs,
    /// The lake has a bar, the file no candle.
    NotTheirs,
}

impl DifferenceKind {
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Column(column) => column.name(),
            DifferenceKind::NotOurs => "not in the lake",
            DifferenceKind::NotTheirs => "not in the file",
        }
    }
}

/// What a day's phases before and after continuous trading traded, and where continuous trading began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auctions {
    /// The price of the opening auction.
    pub opening: Option<i64>,
    pub volume_before: i128,
    pub volume_behind: i128,
    /// Starts of the first and of the last bar of continuous trading.
    pub first_at: Option<Nanos>,
    pub last_at: Option<Nanos>,
}

/// Which side has sums of last quantities as volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naive {
    pub theirs: bool,
    /// The smaller volume in percent of the other one, over all bars.
    pub percent: i128,
}

/// One instrument in one file and in the lake.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub interval: Interval,
    pub theirs: BTreeMap<Nanos, Candle>,
    /// Also before and after the file's range, for bars that may have been shifted.
    pub ours: BTreeMap<Nanos, Bar>,
    /// The file's range: outside of it a missing candle is no difference.
    pub span: RangeInclusive<Nanos>,
    /// Starts at which any instrument of the lake has a bar; read where the lake lacks one.
    pub beats: Arc<BTreeSet<Nanos>>,
    /// Digits after the decimal point of the file's prices.
    pub decimals: u32,
    /// How far the zone's clock is ahead of UTC.
    pub zone_ahead: Nanos,
    /// Its bars as they were in any epoch; read where one differs.
    pub versions: Vec<Bar>,
    auctions: BTreeMap<i32, Auctions>,
    naive: Option<Naive>,
}

/// A file's candles by the start of their bar, and how its times and prices are to be read.
pub struct Placed {
    pub interval: Interval,
    pub theirs: BTreeMap<Nanos, Candle>,
    pub span: RangeInclusive<Nanos>,
    pub decimals: u32,
    pub zone_ahead: Nanos,
}

/// Fewer bars do not distinguish sums of last quantities from other volumes.
const NAIVE_BARS_LEAST: usize = 5;
/// Such sums are at most this percentage of the true volume.
const NAIVE_PERCENT_MOST: i128 = 75;

impl Timeline {
    pub fn new(placed: Placed, bars: Vec<Bar>) -> Timeline {
        let Placed { interval, theirs, span, decimals, zone_ahead } = placed;
        let auctions = auctions(&bars);
        let ours: BTreeMap<Nanos, Bar> = bars.into_iter().map(|bar| (bar.open_at, bar)).collect();
        let naive = naive(&theirs, &ours);
        let (beats, versions) = (Arc::default(), Vec::new());
        Timeline { interval, theirs, ours, span, beats, decimals, zone_ahead, versions, auctions, naive }
    }

    pub fn auctions(&self, trading_date: i32) -> Auctions {
        self.auctions.get(&trading_date).copied().unwrap_or_default()
    }

    pub fn naive(&self) -> Option<Naive> {
        self.naive
    }

    pub fn is_days(&self) -> bool {
        self.interval.0 >= DAY
    }

    /// Both sides of a bar, where both have it.
    pub fn both(&self, at: Nanos) -> Option<(&Candle, &Bar)> {
        Some((self.theirs.get(&at)?, self.ours.get(&at)?))
    }

    /// Starts in the file's range that either side has.
    pub fn starts(&self) -> BTreeSet<Nanos> {
        let ours = self.ours.range(self.span.clone()).map(|(at, _)| *at);
        self.theirs.keys().copied().chain(ours).collect()
    }

    /// The next start after `at`, or the last one before it, that either side has.
    pub fn neighbour(&self, at: Nanos, behind: bool) -> Option<Nanos> {
        if behind {
            let (from, to) = (at.checked_add(1)?, Nanos::MAX);
            let found = [
                self.theirs.range(from..to).next().map(|(at, _)| *at),
                self.ours.range(from..to).next().map(|(at, _)| *at),
            ];
            return found.into_iter().flatten().min();
        }
        let found = [
            self.theirs.range(..at).next_back().map(|(at, _)| *at),
            self.ours.range(..at).next_back().map(|(at, _)| *at),
        ];
        found.into_iter().flatten().max()
    }

    /// How much more volume the file has in a bar than the lake; a side without the bar has none. `None`: one has no volumes.
    pub fn excess(&self, at: Nanos) -> Option<i128> {
        let theirs = self.theirs.get(&at).map_or(Some(0), |candle| candle.values.volume)?;
        let ours = self.ours.get(&at).map_or(Some(0), |bar| bar.values.volume)?;
        Some(theirs.saturating_sub(ours))
    }

    /// The columns of a bar that differ (prices by more than the tolerance), and whether any differed within the tolerance.
    pub fn differing(&self, at: Nanos, tolerance: i64) -> (Vec<DifferenceKind>, bool) {
        let (candle, bar) = match (self.theirs.get(&at), self.ours.get(&at)) {
            (Some(candle), Some(bar)) => (candle, bar),
            (Some(_), None) => return (vec![DifferenceKind::NotOurs], false),
            (None, Some(_)) => return (vec![DifferenceKind::NotTheirs], false),
            (None, None) => return (Vec::new(), false),
        };
        let (mut found, mut near) = (Vec::new(), false);
        for column in BarColumn::ALL {
            let by = distance(&candle.values, &bar.values, column);
            let allowed = if column == BarColumn::Volume { 0 } else { i128::from(tolerance) };
            near |= by > 0 && by <= allowed;
            if by > allowed {
                found.push(DifferenceKind::Column(column));
            }
        }
        (found, near)
    }
}

/// How far two bars are apart in a column. A volume that the file does not give is not compared, and a volume of 0 equals a
/// missing volume of the lake.
fn distance(theirs: &BarValues, ours: &BarValues, column: BarColumn) -> i128 {
    match (theirs.get(column), ours.get(column)) {
        (None, _) | (Some(0), None) => 0,
        (Some(theirs), None) => theirs.saturating_abs(),
        (Some(theirs), Some(ours)) => theirs.saturating_sub(ours).saturating_abs(),
    }
}

/// What each day traded outside of continuous trading.
fn auctions(bars: &[Bar]) -> BTreeMap<i32, Auctions> {
    let mut days: BTreeMap<i32, Auctions> = BTreeMap::new();
    let rows = bars.iter().flat_map(|bar| if bar.parts.is_empty() { std::slice::from_ref(bar) } else { &bar.parts });
    let mut rows: Vec<&Bar> = rows.collect();
    rows.sort_by_key(|bar| bar.open_at);
    for bar in rows {
        let day = days.entry(bar.trading_date).or_default();
        let volume = bar.values.volume.unwrap_or(0);
        if bar.is_continuous() {
            day.first_at.get_or_insert(bar.open_at);
            day.last_at = Some(bar.open_at);
        } else if day.first_at.is_none() {
            day.opening = Some(bar.values.close);
            day.volume_before = day.volume_before.saturating_add(volume);
        } else {
            day.volume_behind = day.volume_behind.saturating_add(volume);
        }
    }
    days
}

/// Whether one side's volumes are a fraction of the other's throughout, as sums of last quantities are.
fn naive(theirs: &BTreeMap<Nanos, Candle>, ours: &BTreeMap<Nanos, Bar>) -> Option<Naive> {
    let volumes = theirs.iter().filter_map(|(at, candle)| Some((candle.values.volume?, ours.get(at)?.values.volume?)));
    let volumes: Vec<(i128, i128)> = volumes.filter(|(theirs, ours)| *theirs > 0 && *ours > 0).collect();
    let (theirs, ours) = volumes
        .iter()
        .fold((0, 0), |(a, b): (i128, i128), (theirs, ours)| (a.saturating_add(*theirs), b.saturating_add(*ours)));
    if volumes.len() < NAIVE_BARS_LEAST {
        return None;
    }
    // A last quantity is a part of the volume since the snapshot before, in some bars all of it; a large one that the next
    // quotes repeat may make a bar's sum greater than its volume.
    let throughout = |less: usize| less * 10 >= volumes.len() * 7;
    let percent = |part: i128, whole: i128| part.saturating_mul(100) / whole.max(1);
    let fraction = |part: i128, whole: i128| Some(percent(part, whole)).filter(|found| *found <= NAIVE_PERCENT_MOST);
    if throughout(volumes.iter().filter(|(theirs, ours)| theirs < ours).count()) {
        return fraction(theirs, ours).map(|percent| Naive { theirs: true, percent });
    }
    if throughout(volumes.iter().filter(|(theirs, ours)| theirs > ours).count()) {
        return fraction(ours, theirs).map(|percent| Naive { theirs: false, percent });
    }
    None
}
