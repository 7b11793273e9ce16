//! Bars that are right but at another time.

use super::super::timeline::{DifferenceKind, Timeline};
use super::Reason;
use ticktide_base::time::{DAY, MINUTE, Nanos};

pub static ZONE_OFFSET: Reason = Reason {
    name: "zone_offset",
    doc: "the candle equals the lake's bar at a time that is off by the zone's distance from UTC (5:30 in India)",
    fits: zone_offset,
};

pub static LABEL_SHIFT: Reason = Reason {
    name: "label_shift",
    doc: "the candle equals the lake's previous or next bar: some labels are a bar off",
    fits: label_shift,
};

pub static ANCHOR: Reason = Reason {
    name: "anchor",
    doc: "the broker's bars begin at other times: the lake's are counted from the start of their phase",
    fits: anchor,
};

/// Whether the file has at one time exactly the lake's bar of another time, and the bar is distinguishable from others.
fn same(timeline: &Timeline, theirs_at: Nanos, ours_at: Nanos) -> bool {
    let (Some(candle), Some(bar)) = (timeline.theirs.get(&theirs_at), timeline.ours.get(&ours_at)) else {
        return false;
    };
    candle.values == bar.values && bar.values.is_telling()
}

/// The time at which the other side has this side's bar: a candle's bar, or, for a bar without a candle, its candle.
fn found_at(timeline: &Timeline, at: Nanos, what: DifferenceKind, distances: [Nanos; 2]) -> Option<Nanos> {
    let others = distances.map(|distance| at.saturating_add(distance));
    others.into_iter().find(|other| match what {
        DifferenceKind::Column(_) => same(timeline, at, *other) || same(timeline, *other, at),
        DifferenceKind::NotOurs => same(timeline, at, *other),
        DifferenceKind::NotTheirs => same(timeline, *other, at),
    })
}

fn zone_offset(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let ahead = timeline.zone_ahead;
    if ahead == 0 || timeline.is_days() {
        return None;
    }
    let other = found_at(timeline, at, what, [ahead, -ahead])?;
    let minutes = (other - at).abs() / MINUTE;
    let side = if other > at { "later" } else { "earlier" };
    Some(format!("the same bar is {}:{:02} {side}", minutes / 60, minutes % 60))
}

fn label_shift(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let neighbours = [timeline.neighbour(at, true), timeline.neighbour(at, false)];
    // days have weekends between them, minutes follow at their interval
    let distances = match timeline.is_days() {
        true => neighbours.map(|other| other.map_or(DAY, |other| other - at)),
        false => [timeline.interval.0, -timeline.interval.0],
    };
    let other = found_at(timeline, at, what, distances)?;
    Some(format!("the same bar is one {}", if other > at { "later" } else { "earlier" }))
}

fn anchor(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let width = timeline.interval.0;
    let (from, to) = (at.saturating_sub(width - 1), at.saturating_add(width - 1));
    let off = |other: &Nanos| (other - at) % width != 0;
    let near = |other: &Nanos| (other - at).abs();
    let overlapping = match what {
        DifferenceKind::Column(_) => None,
        DifferenceKind::NotOurs => timeline.ours.range(from..=to).map(|(other, _)| *other).filter(off).min_by_key(near),
        DifferenceKind::NotTheirs => {
            timeline.theirs.range(from..=to).map(|(other, _)| *other).filter(off).min_by_key(near)
        }
    }?;
    let by = (overlapping - at) / MINUTE;
    Some(format!(
        "the other side has a bar that begins {} minutes {}",
        by.abs(),
        if by > 0 { "later" } else { "earlier" }
    ))
}
