//! Volumes that are counted elsewhere, or not at all.

use super::super::BarColumn;
use super::super::bars::Bar;
use super::super::timeline::{DifferenceKind, Timeline};
use super::{Reason, both, price, volume};
use ticktide_base::time::Nanos;

pub static NO_VOLUME: Reason = Reason {
    name: "no_volume",
    doc: "the lake's bars have no volume: an index, or code 1512 alone (subscribe to 1501 or 1502)",
    fits: no_volume,
};

pub static AUCTION: Reason = Reason {
    name: "auction",
    doc: "the auctions' volume or price is in the broker's first or last candle, or only one side counts it in its day",
    fits: auction,
};

pub static EDGE_VOLUME: Reason = Reason {
    name: "edge_volume",
    doc: "some volume is in the neighbouring bar: over both, or over a few, the sums are equal",
    fits: edge_volume,
};

pub static LAST_QUANTITIES: Reason = Reason {
    name: "last_quantities",
    doc: "likely: one side sums last quantities, a fraction of the volume throughout (`volume = \"cumulative\"` counts all)",
    fits: last_quantities,
};

/// Volume that moved between more bars than this did not move over an edge.
const EDGE_BARS_MOST: usize = 3;

fn no_volume(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let bar = timeline.ours.get(&at)?;
    match what {
        DifferenceKind::Column(BarColumn::Volume) | DifferenceKind::NotTheirs if bar.values.volume.is_none() => {
            let all = timeline.ours.values().all(|bar| bar.values.volume.is_none());
            Some(if all { "no bar of the instrument has a volume" } else { "this bar has no volume" }.to_owned())
        }
        _ => None,
    }
}

fn auction(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (candle, bar) = match what {
        DifferenceKind::NotTheirs => {
            let bar = timeline.ours.get(&at).filter(|bar| bar.parts.is_empty() && !bar.is_continuous())?;
            return Some(format!("the file has no candles of phase {}", bar.phase));
        }
        DifferenceKind::NotOurs => return None,
        DifferenceKind::Column(_) => timeline.both(at)?,
    };
    if timeline.is_days() {
        return left_out(candle.values.get(column(what)?)?, bar, column(what)?);
    }
    let day = timeline.auctions(bar.trading_date);
    let (first, last) = (day.first_at == Some(at), day.last_at == Some(at));
    match column(what)? {
        BarColumn::Volume => {
            let more = timeline.excess(at).filter(|more| *more > 0)?;
            let opening = first && more == day.volume_before;
            let closing = last && more == day.volume_behind;
            let both = first && last && more == day.volume_before.saturating_add(day.volume_behind);
            let when = if opening { "before" } else { "after" };
            (opening || closing || both)
                .then(|| format!("the volume {when} continuous trading, {}, is counted in it", volume(more)))
        }
        other => {
            let auction = day.opening.filter(|_| first)?;
            let theirs = candle.values.get(other)?;
            (theirs == i128::from(auction)).then(|| format!("the opening auction's price {}", price(auction)))
        }
    }
}

fn column(what: DifferenceKind) -> Option<BarColumn> {
    match what {
        DifferenceKind::Column(column) => Some(column),
        _ => None,
    }
}

/// A day without some of its auctions: the value of the remaining phases is the file's.
fn left_out(theirs: i128, bar: &Bar, column: BarColumn) -> Option<String> {
    let others: Vec<&Bar> = bar.parts.iter().filter(|part| !part.is_continuous()).collect();
    // at most three phases are not continuous trading, so there are few combinations
    for choice in 1..1usize << others.len().min(4) {
        let dropped = |part: &Bar| {
            others.iter().position(|other| other.open_at == part.open_at).is_some_and(|at| choice >> at & 1 == 1)
        };
        let rest: Vec<Bar> = bar.parts.iter().filter(|part| !dropped(part)).cloned().collect();
        let Some(rest) = super::super::bars::day(rest) else { continue };
        if rest.values.get(column) == Some(theirs) {
            let names: Vec<&str> =
                bar.parts.iter().filter(|part| dropped(part)).map(|part| part.phase.as_str()).collect();
            return Some(format!("the file's day has no {}", names.join(" and no ")));
        }
    }
    None
}

fn edge_volume(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let moved = run(timeline, at)?;
    let own = timeline.excess(at)?;
    let told = format!("{} moved, the sums over {} bars are equal", volume(own.saturating_abs()), moved.len());
    match what {
        DifferenceKind::Column(BarColumn::Volume) | DifferenceKind::NotOurs | DifferenceKind::NotTheirs => Some(told),
        DifferenceKind::Column(column) => {
            // the volume that moved took its prices along: none of them can be outside both bars
            let theirs = timeline.theirs.get(&at)?.values.get(column)?;
            let bars = moved.iter().filter_map(|at| timeline.ours.get(at));
            let (low, high) = bars
                .fold((i64::MAX, i64::MIN), |(low, high), bar| (low.min(bar.values.low), high.max(bar.values.high)));
            (i128::from(low) <= theirs && theirs <= i128::from(high)).then_some(told)
        }
    }
}

/// Two or three bars in a row, this one among them, whose volumes differ but have equal sums.
fn run(timeline: &Timeline, at: Nanos) -> Option<Vec<Nanos>> {
    if timeline.is_days() || timeline.excess(at)? == 0 {
        return None;
    }
    for length in 2..=EDGE_BARS_MOST {
        for before in 0..length {
            let mut run = vec![at];
            while run.len() <= before {
                let Some(earlier) = timeline.neighbour(run[0], false) else { break };
                run.insert(0, earlier);
            }
            while run.len() < length {
                let Some(behind) = timeline.neighbour(*run.last()?, true) else { break };
                run.push(behind);
            }
            let excess: Option<Vec<i128>> = run.iter().map(|at| timeline.excess(*at)).collect();
            let inside = run.iter().all(|at| timeline.span.contains(at));
            if let Some(excess) = excess.filter(|excess| inside && excess.len() == length)
                && excess.iter().all(|more| *more != 0)
                && excess.iter().fold(0i128, |sum, more| sum.saturating_add(*more)) == 0
            {
                return Some(run);
            }
        }
    }
    None
}

fn last_quantities(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (BarColumn::Volume, ..) = both(timeline, at, what)? else { return None };
    let naive = timeline.naive()?;
    let side = if naive.theirs { "the file's" } else { "the lake's" };
    Some(format!("{side} volumes are {} % of the other side's throughout", naive.percent))
}
