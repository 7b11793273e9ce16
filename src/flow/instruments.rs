//! Listings: what instrument masters and live price bands report by instrument and day, and what of it is joined to bars.
//!
//! ```text
//!   rows of a master, price bands ═ by instrument ═▶ Listings ─┬─▶ (instrument, DatedTerms, ±1) ─▶ joins: symbol, checks
//!                                                              └─▶ rows of `instruments`, one net change a day and epoch
//! ```
//!
//! Per (instrument, day): the newest row, and the widest band reported. Both are joins of a lattice, so readers may report them
//! in any order and repeatedly, and the day is the same. Why the widest band: an operating range slides while the market
//! trades, and a price that was allowed when it was made must not become odd afterwards.
//!
//! What must always hold: a bar is joined with the newest row of its day or an earlier one, and with the bands of its own day
//! only; a day that can no longer be joined to a live bar is forgotten.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticktide_base::time::{DAY, Nanos};
use ticktide_market::{Instrument, Listing, Price};

/// Decides which of two rows of a day is newer: receipt, then a fixed number of the partition, then the offset.
pub type Order = (Nanos, u64, i64);

/// What a reader sends to the instrument's worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListingUpdate {
    pub instrument: Instrument,
    /// Days since 1970.
    pub date: i32,
    pub day: ListingDay,
}

/// What is known of an instrument on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingDay {
    pub listing: Option<(Order, Arc<Listing>)>,
    pub band_low: Option<Price>,
    pub band_high: Option<Price>,
}

impl ListingDay {
    fn join(&mut self, other: ListingDay) {
        if other.listing.as_ref().map(|(order, listing)| (order, listing))
            > self.listing.as_ref().map(|(order, listing)| (order, listing))
        {
            self.listing = other.listing;
        }
        let widest = |ours: Option<Price>, theirs: Option<Price>, pick: fn(Price, Price) -> Price| match (ours, theirs)
        {
            (Some(ours), Some(theirs)) => Some(pick(ours, theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.band_low = widest(self.band_low, other.band_low, Ord::min);
        self.band_high = widest(self.band_high, other.band_high, Ord::max);
    }
}

/// What bars of a day are joined with.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term {
    pub symbol: Option<Arc<str>>,
    pub tick_size: Option<Price>,
    pub band_low: Option<Price>,
    pub band_high: Option<Price>,
}

/// The terms of an instrument, by the day from which they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatedTerms(Arc<Vec<(i32, Term)>>);

impl DatedTerms {
    /// The terms on a day; bands are those of the day itself.
    pub fn on(&self, date: i32) -> Option<Term> {
        let index = self.0.partition_point(|(from, _)| *from <= date).checked_sub(1)?;
        let (from, term) = &self.0[index];
        match *from == date {
            true => Some(term.clone()),
            false => Some(Term { band_low: None, band_high: None, ..term.clone() }),
        }
    }

    fn of(days: &BTreeMap<i32, ListingDay>) -> DatedTerms {
        let mut listed = Term::default();
        let mut all = Vec::with_capacity(days.len());
        for (date, day) in days {
            let listing = day.listing.as_ref().map(|(_, listing)| &**listing);
            if let Some(listing) = listing {
                listed.symbol = listing.symbol.as_deref().map(Arc::from);
                listed.tick_size = listing.tick_size;
            }
            let mut own = ListingDay { listing: None, ..day.clone() };
            own.join(ListingDay {
                listing: None,
                band_low: listing.and_then(|listing| listing.band_low),
                band_high: listing.and_then(|listing| listing.band_high),
            });
            all.push((*date, Term { band_low: own.band_low, band_high: own.band_high, ..listed.clone() }));
        }
        DatedTerms(Arc::new(all))
    }
}

/// A change of a day's row in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingChange {
    pub instrument: Instrument,
    pub date: i32,
    pub old: Option<Arc<Listing>>,
    pub new: Option<Arc<Listing>>,
}

/// The instruments of one worker.
#[derive(Default)]
pub struct Listings {
    days: BTreeMap<Instrument, BTreeMap<i32, ListingDay>>,
    /// The terms that the joins have received.
    terms: BTreeMap<Instrument, DatedTerms>,
    /// Instruments changed in this step.
    moved: BTreeSet<Instrument>,
    /// Days changed in this epoch, with the row in the table.
    touched: BTreeMap<(Instrument, i32), Option<Arc<Listing>>>,
}

/// A durable change at an epoch's end: the day's state, `None` for a day that is forgotten.
pub type DayChange = ((Instrument, i32), Option<ListingDay>);

impl Listings {
    /// Restores what an earlier run knew; its rows are in the table.
    pub fn restore(&mut self, (instrument, date): (Instrument, i32), day: ListingDay) {
        self.moved.insert(instrument.clone());
        self.days.entry(instrument).or_default().insert(date, day);
    }

    pub fn take(&mut self, told: ListingUpdate) {
        let day = self.days.entry(told.instrument.clone()).or_default().entry(told.date).or_default();
        let before = day.clone();
        day.join(told.day);
        if *day != before {
            self.moved.insert(told.instrument.clone());
            let row = before.listing.map(|(_, listing)| listing);
            self.touched.entry((told.instrument, told.date)).or_insert(row);
        }
    }

    /// The changes for the joins since the last call.
    pub fn changes(&mut self) -> Vec<((Instrument, DatedTerms), isize)> {
        let mut changes = Vec::new();
        for instrument in std::mem::take(&mut self.moved) {
            let new = self.days.get(&instrument).map(DatedTerms::of);
            let old = match &new {
                Some(new) => self.terms.insert(instrument.clone(), new.clone()),
                None => self.terms.remove(&instrument),
            };
            if old != new {
                changes.extend(old.map(|old| ((instrument.clone(), old), -1)));
                changes.extend(new.map(|new| ((instrument, new), 1)));
            }
        }
        changes
    }

    /// An epoch is complete: the net changes of the table's rows.
    pub fn rows(&mut self) -> Vec<ListingChange> {
        let mut rows = Vec::new();
        for ((instrument, date), old) in &self.touched {
            let day = self.days.get(instrument).and_then(|days| days.get(date));
            let new = day.and_then(|day| day.listing.as_ref()).map(|(_, listing)| listing.clone());
            if *old != new {
                rows.push(ListingChange { instrument: instrument.clone(), date: *date, old: old.clone(), new });
            }
        }
        rows
    }

    /// After [`Listings::rows`]: the durable changes. No bar can be joined with a day before `least`. Of those days the newest
    /// row is kept for a month, for later bars of an instrument that the newer masters do not list.
    pub fn retire(&mut self, least: Nanos) -> Vec<DayChange> {
        let mut changes: BTreeMap<(Instrument, i32), Option<ListingDay>> = BTreeMap::new();
        for (key, _) in std::mem::take(&mut self.touched) {
            let day = self.days.get(&key.0).and_then(|days| days.get(&key.1)).cloned();
            changes.insert(key, day);
        }
        // a trading day begins at most a day before its date, in any time zone
        let least = i32::try_from(least.div_euclid(DAY) - 1).unwrap_or(i32::MIN);
        let mut forgotten = Vec::new();
        for (instrument, days) in &mut self.days {
            let newest_before = days.range(..=least).next_back().map(|(date, _)| *date);
            let Some(newest_before) = newest_before else { continue };
            let stale = newest_before < least.saturating_sub(KEPT_DAYS);
            let keep_from = if stale { newest_before + 1 } else { newest_before };
            let kept = days.split_off(&keep_from);
            let gone = std::mem::replace(days, kept);
            if !gone.is_empty() {
                self.moved.insert(instrument.clone());
            }
            forgotten.extend(gone.into_keys().map(|date| (instrument.clone(), date)));
        }
        self.days.retain(|_, days| !days.is_empty());
        changes.extend(forgotten.into_iter().map(|key| (key, None)));
        changes.into_iter().collect()
    }
}

/// How many days the newest row of an instrument stays valid for later days.
const KEPT_DAYS: i32 = 31;

/// The multiple of a tick size that is nearest to a price.
pub fn nearest_multiple(price: i64, tick: Price) -> i64 {
    debug_assert!(tick.0 > 0);
    let below = price - price.rem_euclid(tick.0);
    if 2 * (price - below) > tick.0 { below + tick.0 } else { below }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listing(symbol: &str, tick: i64) -> Arc<Listing> {
        Arc::new(Listing { symbol: Some(symbol.into()), tick_size: Some(Price(tick)), ..Listing::default() })
    }

    fn told(date: i32, at: Nanos, symbol: &str) -> ListingUpdate {
        let day = ListingDay { listing: Some(((at, 0, 0), listing(symbol, 5))), ..ListingDay::default() };
        ListingUpdate { instrument: Instrument::new("V", "1", None), date, day }
    }

    fn band(date: i32, low: i64, high: i64) -> ListingUpdate {
        let day = ListingDay { listing: None, band_low: Some(Price(low)), band_high: Some(Price(high)) };
        ListingUpdate { instrument: Instrument::new("V", "1", None), date, day }
    }

    fn symbol(terms: &DatedTerms, date: i32) -> Option<String> {
        terms.on(date)?.symbol.map(|symbol| symbol.to_string())
    }

    #[test]
    fn a_day_has_the_newest_row_of_its_day_or_before_and_its_own_bands() {
        let mut listings = Listings::default();
        for told in [told(10, 2, "NEW"), told(10, 1, "OLD"), band(10, 90, 110), band(10, 95, 120), told(12, 3, "LATER")]
        {
            listings.take(told);
        }
        let [((_, terms), 1)] = &listings.changes()[..] else { panic!("one instrument, one change") };
        assert_eq!(terms.on(9), None);
        assert_eq!([10, 11, 12, 99].map(|date| symbol(terms, date).expect("listed")), ["NEW", "NEW", "LATER", "LATER"]);
        let bands = |date| terms.on(date).map(|term| (term.band_low, term.band_high)).expect("listed");
        assert_eq!((bands(10), bands(11)), ((Some(Price(90)), Some(Price(120))), (None, None)));
    }

    #[test]
    fn rows_of_the_table_are_net_changes_and_days_that_no_bar_meets_are_forgotten() {
        let mut listings = Listings::default();
        listings.take(told(10, 1, "A"));
        listings.take(told(10, 2, "B"));
        let row = |old: Option<&str>, new: &str| ListingChange {
            instrument: Instrument::new("V", "1", None),
            date: 10,
            old: old.map(|symbol| listing(symbol, 5)),
            new: Some(listing(new, 5)),
        };
        assert_eq!(listings.rows(), [row(None, "B")]);
        assert_eq!(listings.retire(Nanos::MIN).len(), 1);
        listings.take(told(10, 3, "B"));
        assert_eq!(listings.rows(), [], "the same row again");
        listings.take(told(10, 4, "C"));
        assert_eq!(listings.rows(), [row(Some("B"), "C")]);
        listings.take(told(11, 5, "D"));
        listings.changes();
        let retired = listings.retire(12 * DAY);
        assert!(retired.iter().any(|((_, date), day)| *date == 10 && day.is_none()), "day 11 replaces it");
        let [((_, old), -1), ((_, new), 1)] = &listings.changes()[..] else { panic!("a shorter history") };
        assert_eq!((old.on(10).is_some(), new.on(10), symbol(new, 11).as_deref()), (true, None, Some("D")));
        assert_eq!(listings.retire(60 * DAY).len(), 1);
        assert_eq!(listings.changes().len(), 1, "nothing is left to be joined");
    }

    #[test]
    fn a_multiple_is_the_nearest_one() {
        assert_eq!([0, 12, 13, 15, -12, -13].map(|price| nearest_multiple(price, Price(5))), [0, 10, 15, 15, -10, -15]);
    }

    proptest! {
        #[test]
        fn what_is_told_in_any_order_cut_anywhere_and_told_again_is_the_same(
            told in proptest::collection::vec((0..4i32, 0..5i64, 0..3usize, any::<bool>()), 0..20),
            order in any::<u64>(), cut in any::<prop::sample::Index>(),
        ) {
            let of = |(date, at, name, rows): (i32, i64, usize, bool)| match rows {
                true => super::tests::told(date, at, ["A", "B", "C"][name]),
                false => band(date, at, at + name as i64),
            };
            let mut whole = Listings::default();
            told.iter().for_each(|one| whole.take(of(*one)));
            let whole = whole.changes();
            let mut shuffled = told.clone();
            shuffled.sort_by_key(|(date, at, name, rows)| (order ^ (*date as u64) << 7 ^ (*at as u64) << 3 ^ *name as u64 ^ u64::from(*rows)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut first = Listings::default();
            let at = if shuffled.is_empty() { 0 } else { cut.index(shuffled.len()) };
            shuffled[..at].iter().for_each(|one| first.take(of(*one)));
            let mut second = Listings::default();
            for (key, day) in first.retire(Nanos::MIN) {
                second.restore(key, day.expect("nothing is forgotten"));
            }
            shuffled.iter().for_each(|one| second.take(of(*one)));
            prop_assert_eq!(second.changes(), whole);
        }
    }
}
