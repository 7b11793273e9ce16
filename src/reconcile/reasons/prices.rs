//! Prices made by another rule, or not received by one side.

use super::super::BarColumn;
use super::super::bars::Bar;
use super::super::timeline::{DifferenceKind, Timeline};
use super::{Reason, both, price, volume};
use ticktide_base::time::Nanos;
use ticktide_market::SCALE;

pub static CORPORATE_ACTION: Reason = Reason {
    name: "corporate_action",
    doc: "adjusted for a split or a bonus: all prices by one ratio, the volume by its inverse",
    fits: corporate_action,
};

pub static ROUNDING: Reason = Reason {
    name: "rounding",
    doc: "the file has fewer digits: its value is the lake's, rounded or cut off",
    fits: rounding,
};

pub static EXCHANGE_OPEN: Reason = Reason {
    name: "exchange_open",
    doc: "one side opens with the auction's price, the other with the first trade of continuous trading",
    fits: exchange_open,
};

pub static CLOSING_PRICE: Reason = Reason {
    name: "closing_price",
    doc: "the file's close is the exchange's closing price (an average, or an auction's), the lake's the last trade",
    fits: closing_price,
};

pub static CONFLATED: Reason = Reason {
    name: "conflated",
    doc: "likely: the broker's candle missed the extreme, its high or low is inside the lake's bar",
    fits: conflated,
};

pub static BETWEEN_SNAPSHOTS: Reason = Reason {
    name: "between_snapshots",
    doc: "likely: a price between two snapshots, which the feed does not report; no volume differs, the price is at most the bar's range away",
    fits: between_snapshots,
};

/// Ratios nearer to one are not a split.
const SPLIT_PERCENT_LEAST: i128 = 1;
/// The inverse ratio of whole shares agrees to one part in this number.
const SHARES_EXACT: i128 = 1_000;

/// One unit in the last digit of the file's prices.
fn last_digit(timeline: &Timeline) -> i128 {
    i128::from(SCALE) / 10i128.pow(timeline.decimals.min(8))
}

fn corporate_action(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (_, candle, bar) = both(timeline, at, what)?;
    let (theirs, ours) = (&candle.values, &bar.values);
    let (their_close, our_close) = (i128::from(theirs.close), i128::from(ours.close));
    if their_close <= 0 || our_close <= 0 || (their_close - our_close).abs() * 100 <= SPLIT_PERCENT_LEAST * our_close {
        return None;
    }
    // a rounded price is off by half a unit of the last digit, and so is the price that the ratio is taken from
    let off = |ours: i64| (last_digit(timeline) * (our_close + i128::from(ours).abs())) / 2 + 1;
    let kept =
        |theirs: i64, ours: i64| (i128::from(theirs) * our_close - i128::from(ours) * their_close).abs() <= off(ours);
    if !theirs.prices().into_iter().zip(ours.prices()).all(|(theirs, ours)| kept(theirs, ours)) {
        return None;
    }
    let (their_volume, our_volume) = (theirs.volume?, ours.volume?);
    let share = i128::from(SCALE);
    // whole shares times a price: far below the reach of an i128
    let (left, right) = (their_volume.checked_mul(their_close)?, our_volume.checked_mul(our_close)?);
    let allowed = (right / SHARES_EXACT).max(share.checked_mul(their_close.max(our_close))?);
    let inverse = our_volume > 0 && their_volume != our_volume && left.saturating_sub(right).abs() <= allowed;
    inverse.then(|| format!("prices {}, volume {}", ratio(their_close, our_close), ratio(their_volume, our_volume)))
}

/// A ratio for people, to four digits.
fn ratio(part: i128, whole: i128) -> String {
    let units = part.saturating_mul(10_000) / whole.max(1);
    format!("×{}.{:04}", units / 10_000, units % 10_000)
}

fn rounding(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (column, candle, bar) = both(timeline, at, what)?;
    let unit = if column == BarColumn::Volume { i128::from(SCALE) } else { last_digit(timeline) };
    let (theirs, ours) = (candle.values.get(column)?, bar.values.get(column)?);
    let fits = ours % unit != 0 && theirs % unit == 0 && theirs.saturating_sub(ours).saturating_abs() < unit;
    fits.then(|| format!("the file has {} digits after the decimal point", timeline.decimals))
}

fn exchange_open(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (BarColumn::Open, candle, bar) = both(timeline, at, what)? else { return None };
    let (theirs, ours) = (candle.values.open, bar.values.open);
    let day = timeline.auctions(bar.trading_date);
    let auction = day.opening?;
    let first = match bar.parts.iter().find(|part| part.is_continuous()) {
        Some(part) => part.values.open,
        None if day.first_at == Some(at) => ours,
        None => return None,
    };
    if theirs == auction {
        return Some(format!("the auction's price {}, the first trade after it {}", price(auction), price(first)));
    }
    (timeline.is_days() && theirs == first)
        .then(|| format!("the first trade after the auction {}, whose price is {}", price(first), price(auction)))
}

fn closing_price(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (BarColumn::Close, candle, bar) = both(timeline, at, what)? else { return None };
    if !timeline.is_days() {
        return None;
    }
    if candle.last == Some(bar.values.close) {
        return Some(format!("the file's last price is the lake's close {}", price(bar.values.close)));
    }
    let official = |part: &&Bar| !part.is_continuous() && part.values.close == candle.values.close;
    let part = bar.parts.iter().skip_while(|part| !part.is_continuous()).find(official)?;
    Some(format!("phase {} traded at {}", part.phase, price(part.values.close)))
}

fn conflated(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (column, candle, bar) = both(timeline, at, what)?;
    let (theirs, ours) = (&candle.values, &bar.values);
    let inside = match column {
        BarColumn::High => theirs.high < ours.high && theirs.high >= ours.low,
        BarColumn::Low => theirs.low > ours.low && theirs.low <= ours.high,
        _ => false,
    };
    inside.then(|| format!("the lake has {} to {}", price(ours.low), price(ours.high)))
}

fn between_snapshots(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let (column, candle, bar) = both(timeline, at, what)?;
    let (theirs, ours) = (&candle.values, &bar.values);
    let counted = ours.volume.is_none() || theirs.volume.is_none() || theirs.volume == ours.volume;
    if column == BarColumn::Volume || !bar.snapshots || !counted {
        return None;
    }
    let outside = match column {
        BarColumn::High => theirs.high > ours.high,
        BarColumn::Low => theirs.low < ours.low,
        _ => true,
    };
    let near = (theirs.get(column)? - ours.get(column)?).abs() <= i128::from(ours.high) - i128::from(ours.low);
    let volumes = match (theirs.volume, ours.volume) {
        (Some(_), Some(ours)) => format!("both have volume {}", volume(ours)),
        _ => "one side has no volume that would show a loss".to_owned(),
    };
    (outside && near).then(|| format!("the lake has {} to {}, {volumes}", price(ours.low), price(ours.high)))
}
