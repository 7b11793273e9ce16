//! What became of a run's records, by partition, in its committed epochs: for the run's last lines and its verdict.
//!
//! Why apart from the meters: they are read all the time, this is read once, at the end. What must always hold: a decided epoch
//! adds to it and nothing else does, so it equals the sum of the slots of the run's epochs; only the process that commits has
//! one.

use crate::verdict::{self, Samples};
use std::collections::BTreeMap;
use ticktide_base::epoch::{Binding, Conservation, Place};
use ticktide_base::error::Error;

/// A partition that was read and contributed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barren {
    pub partition: String,
    pub records: u64,
    /// Why most of its records came to nothing: a word of [`crate::reasons`], or `duplicates`; `None`: it has no records.
    pub why: Option<String>,
}

/// What became of the records of a run so far.
#[derive(Debug, Default)]
pub(crate) struct Toll {
    partitions: BTreeMap<String, Conservation>,
    /// Partitions of which no record was ever read.
    untouched: Vec<String>,
    samples: Samples,
    /// The source's end was reached.
    ended: bool,
}

impl Toll {
    /// Adds a decided epoch.
    pub fn add(&mut self, binding: &Binding, counts: BTreeMap<String, Conservation>, samples: Samples) {
        for (partition, counts) in counts {
            self.partitions.entry(partition).or_default().add(&counts);
        }
        // an empty partition of a topic is nothing unusual
        let unusual = |place: &Place| place.offset_next == 0 && !place.source_id.starts_with("kafka:");
        let places = binding.places.iter().filter(|(_, place)| unusual(place));
        self.untouched = places.map(|(partition, _)| partition.clone()).collect();
        self.samples.add(samples);
        self.ended |= binding.flush;
    }

    /// The counts by partition.
    pub fn partitions(&self) -> &BTreeMap<String, Conservation> {
        &self.partitions
    }

    /// The sum over all partitions.
    pub fn all(&self) -> Conservation {
        self.partitions.values().fold(Conservation::default(), |mut sum, counts| {
            sum.add(counts);
            sum
        })
    }

    /// The error that the run ends with, if it has reached the end of its source and more than half of it was refused.
    pub fn verdict(&self) -> Option<Error> {
        if self.ended { verdict::refused(&self.all(), &self.samples) } else { None }
    }

    /// Partitions without a record that counts for a bar, describes instruments or waits; and those that never had a record.
    /// A source without an end may have partitions that are still empty: they are not among these.
    pub fn barren(&self) -> Vec<Barren> {
        let barren = self.partitions.iter().filter_map(|(partition, counts)| {
            let unread = counts.records == 0;
            if (unread && !(self.ended && self.untouched.contains(partition))) || (!unread && counts.gives()) {
                return None;
            }
            let why = counts.why().filter(|_| !unread).map(str::to_owned);
            Some(Barren { partition: partition.clone(), records: counts.records.unsigned_abs(), why })
        });
        barren.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::conservation::count;

    fn binding(places: &[(&str, i64)], flush: bool) -> Binding {
        let place = |offset_next| Place { offset_next, ..Place::default() };
        let places = places.iter().map(|(name, offset)| ((*name).to_owned(), place(*offset)));
        Binding { places: places.collect(), flush, ..Binding::default() }
    }

    fn refused(records: i64) -> Conservation {
        let mut counts = Conservation { records, ..Conservation::default() };
        (0..records).for_each(|_| counts.refuse("not_json"));
        counts
    }

    #[test]
    fn a_partition_that_gives_nothing_is_told_with_what_most_of_it_came_to() {
        let accepted = Conservation { records: 2, accepted: 2, ..Conservation::default() };
        let mut silent = accepted.clone();
        count(&mut silent.silent, "snapshot", 2);
        let mut told = accepted.clone();
        count(&mut told.silent, "notice", 2);
        let again = Conservation { records: 5, duplicates: 5, ..Conservation::default() };
        let all = [("good", accepted), ("silent", silent), ("told", told), ("again", again), ("bad", refused(3))];
        let places: Vec<(&str, i64)> = all.iter().map(|(name, counts)| (*name, counts.records)).collect();
        let counts = all.iter().map(|(name, counts)| ((*name).to_owned(), counts.clone()));
        let none = [("empty".to_owned(), Conservation::default()), ("old".to_owned(), Conservation::default())];
        let places = [&places[..], &[("empty", 0), ("old", 7)]].concat();
        let mut toll = Toll::default();
        toll.add(&binding(&places, false), counts.chain(none).collect(), Samples::default());
        let barren = |toll: &Toll| -> Vec<(String, Option<String>)> {
            toll.barren().into_iter().map(|barren| (barren.partition, barren.why)).collect()
        };
        let some = |name: &str, why: &str| (name.to_owned(), Some(why.to_owned()));
        let all = [some("again", "duplicates"), some("bad", "not_json"), some("silent", "snapshot")];
        assert_eq!(barren(&toll), all, "the empty one may still receive records");
        toll.add(&binding(&places, true), BTreeMap::new(), Samples::default());
        let [again, bad, silent] = all;
        assert_eq!(barren(&toll), [again, bad, ("empty".to_owned(), None), silent]);
    }

    #[test]
    fn an_empty_partition_of_a_topic_is_nothing_unusual() {
        let mut binding = binding(&[("t/0", 0), ("f", 0)], true);
        binding.places.get_mut("t/0").expect("it is there").source_id = "kafka:x".into();
        let counts = ["t/0", "f"].map(|name| (name.to_owned(), Conservation::default()));
        let mut toll = Toll::default();
        toll.add(&binding, counts.into(), Samples::default());
        let names: Vec<String> = toll.barren().into_iter().map(|barren| barren.partition).collect();
        assert_eq!(names, ["f"]);
    }

    #[test]
    fn the_verdict_falls_at_the_end_over_all_epochs() {
        let mut toll = Toll::default();
        let places = [("a", 3)];
        toll.add(&binding(&places, false), BTreeMap::from([("a".to_owned(), refused(3))]), Samples::default());
        assert!(toll.verdict().is_none(), "more may come");
        let good = Conservation { records: 2, accepted: 2, ..Conservation::default() };
        toll.add(&binding(&places, true), BTreeMap::from([("b".to_owned(), good.clone())]), Samples::default());
        assert!(toll.verdict().is_some_and(|error| error.message.starts_with("3 of 5 records")));
        toll.add(&binding(&places, true), BTreeMap::from([("b".to_owned(), good)]), Samples::default());
        assert!(toll.verdict().is_none());
    }
}
