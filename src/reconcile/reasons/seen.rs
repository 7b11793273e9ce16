//! Trades that one side did not receive, or bars that it read earlier than the other.

use super::super::BarValues;
use super::super::bars::{Bar, day};
use super::super::timeline::{DifferenceKind, Timeline};
use super::{Reason, price};
use ticktide_base::time::Nanos;

pub static CORRECTED_LATER: Reason = Reason {
    name: "corrected_later",
    doc: "the candle equals the lake's bar before late ticks, cancels or corrections arrived (see the table's _history)",
    fits: corrected_later,
};

pub static PARTIAL: Reason = Reason {
    name: "partial",
    doc: "the lake's bar is marked partial: some of its ticks were not received",
    fits: partial,
};

pub static NO_TRADE: Reason = Reason {
    name: "no_trade",
    doc: "nothing was traded: one side repeats the last price, the other has no bar",
    fits: no_trade,
};

pub static NOT_RECORDED: Reason = Reason {
    name: "not_recorded",
    doc: "the lake has no bar of any instrument then, or the instrument's day begins later with a partial bar: nothing was received",
    fits: not_recorded,
};

fn corrected_later(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    let candle = timeline.theirs.get(&at)?;
    if what == DifferenceKind::NotTheirs {
        return None;
    }
    let as_theirs = |values: BarValues| {
        let volume = candle.values.volume.is_none() || values.volume == candle.values.volume;
        values.prices() == candle.values.prices() && volume
    };
    let of_day = |version: &&Bar| timeline.ours.get(&at).is_some_and(|bar| bar.trading_date == version.trading_date);
    let found = match timeline.is_days() {
        false => timeline.versions.iter().any(|version| version.open_at == at && as_theirs(version.values)),
        true => timeline.versions.iter().filter(of_day).any(|version| {
            // one phase as it was, the others as they are
            let others = timeline.ours.get(&at).into_iter().flat_map(|bar| bar.parts.iter());
            let parts = others.filter(|part| part.phase != version.phase).chain(std::iter::once(version));
            day(parts.cloned().collect()).is_some_and(|bar| as_theirs(bar.values))
        }),
    };
    found.then(|| "an earlier epoch had this bar".to_owned())
}

fn partial(timeline: &Timeline, at: Nanos, _: DifferenceKind) -> Option<String> {
    let bar = timeline.ours.get(&at).filter(|bar| bar.partial)?;
    Some(format!("partial in phase {}", bar.phase))
}

fn no_trade(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    match what {
        DifferenceKind::NotOurs => {
            let values = &timeline.theirs.get(&at)?.values;
            let flat = values.high == values.low && values.volume.unwrap_or(0) == 0;
            flat.then(|| format!("the candle repeats {}", price(values.close)))
        }
        DifferenceKind::NotTheirs => {
            let values = &timeline.ours.get(&at)?.values;
            (values.volume == Some(0)).then(|| "the lake's bar is of snapshots without a trade".to_owned())
        }
        DifferenceKind::Column(_) => None,
    }
}

fn not_recorded(timeline: &Timeline, at: Nanos, what: DifferenceKind) -> Option<String> {
    if what != DifferenceKind::NotOurs {
        return None;
    }
    if !timeline.beats.contains(&at) {
        return Some("no instrument has a bar then".to_owned());
    }
    // other instruments may have a bar then from a later snapshot, which reports the time of its last trade
    let (_, later) = timeline.ours.range(at..).next()?;
    let before = timeline.ours.range(..at).next_back();
    let first = before.is_none_or(|(_, before)| before.trading_date != later.trading_date);
    (first && later.partial).then(|| "the instrument's day begins later, with a partial bar".to_owned())
}
