//! The durable state of a run: every name that an entry may have, with its key, its value and the owner that takes it.
//!
//! Why one table: names, keys and values are a wire format between a run and every later one. Code that writes state takes the
//! name from here; a restart walks the table and gives each entry to its owner. What must always hold: a name never changes its
//! meaning, and a name that is not in the table ends the run. An entry that is skipped is lost with the next full base.

use ticktide_base::error::{Error, Kind};

pub const BARS: &str = "bars";
pub const VOLUME: &str = "volume";
pub const INDICATORS: &str = "indicators";
pub const ANOMALIES: &str = "anomalies";
pub const BEATS: &str = "beats";
pub const SUSPECTS: &str = "suspects";
pub const TWO_PARTITIONS: &str = "two_partitions";
pub const LISTINGS: &str = "listings";
pub const PARTITION: &str = "partition";
pub const ANCHOR: &str = "anchor";
pub const SEEN: &str = "seen";
pub const WILD: &str = "wild";

/// The part of a run that writes entries and takes them at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOwner {
    Bars,
    Volume,
    Indicators,
    /// The operators of the checks.
    Checks,
    Listings,
    /// The reading worker.
    Intake,
}

/// What a key begins with: it says which worker an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An instrument, whatever follows it.
    Instrument,
    /// An interval and an instrument.
    Series,
    /// The number of a check and a venue.
    Venue,
    /// The name of a partition: the worker that reads it, which the key alone does not show.
    Partition,
}

/// One kind of entries in the durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateKind {
    /// The name in every lake.
    pub name: &'static str,
    pub owner: StateOwner,
    pub by: By,
    /// The parts of the key; bincode, like the value.
    pub key: &'static str,
    pub value: &'static str,
    pub doc: &'static str,
}

/// Every kind, in the order of the graph.
pub const STATES: &[StateKind] = &[
    StateKind {
        name: BARS,
        owner: StateOwner::Bars,
        by: By::Instrument,
        key: "Instrument, StateKey",
        value: "Bucket, trade or SeenEntries, as the StateKey says",
        doc: "what live bars are made of, trades that may be corrected, ids of an instrument's trading day",
    },
    StateKind {
        name: VOLUME,
        owner: StateOwner::Volume,
        by: By::Series,
        key: "Series",
        value: "DaySoFar",
        doc: "a day's volume before the first live bar",
    },
    StateKind {
        name: INDICATORS,
        owner: StateOwner::Indicators,
        by: By::Series,
        key: "Series",
        value: "Accumulator",
        doc: "the indicators' numbers before the first live bar",
    },
    StateKind {
        name: ANOMALIES,
        owner: StateOwner::Checks,
        by: By::Series,
        key: "Series",
        value: "Accumulator",
        doc: "the numbers of the checks of bars before the first live bar",
    },
    StateKind {
        name: BEATS,
        owner: StateOwner::Checks,
        by: By::Venue,
        key: "number of the check, venue",
        value: "Beat",
        doc: "a venue's last beat before the live ones",
    },
    StateKind {
        name: SUSPECTS,
        owner: StateOwner::Checks,
        by: By::Instrument,
        key: "TradeName",
        value: "Suspect",
        doc: "odd trades that may be taken back",
    },
    StateKind {
        name: TWO_PARTITIONS,
        owner: StateOwner::Checks,
        by: By::Instrument,
        key: "Instrument, trading date",
        value: "Firsts",
        doc: "the first record of an instrument's day in each partition",
    },
    StateKind {
        name: LISTINGS,
        owner: StateOwner::Listings,
        by: By::Instrument,
        key: "Instrument, date",
        value: "ListingDay",
        doc: "what masters and price bands say about an instrument's day",
    },
    StateKind {
        name: PARTITION,
        owner: StateOwner::Intake,
        by: By::Partition,
        key: "name of the partition",
        value: "PartitionState",
        doc: "held ticks and baselines of a partition",
    },
    StateKind {
        name: ANCHOR,
        owner: StateOwner::Intake,
        by: By::Partition,
        key: "name of the partition",
        value: "Nanos",
        doc: "the time that jumps are measured from, if it is not the greatest accepted one",
    },
    StateKind {
        name: WILD,
        owner: StateOwner::Intake,
        by: By::Partition,
        key: "name of the partition",
        value: "WildState",
        doc: "records of a partition whose times later ones must confirm, with what those have confirmed so far",
    },
    StateKind {
        name: SEEN,
        owner: StateOwner::Intake,
        by: By::Partition,
        key: "SeenKey",
        value: "SeenEntries",
        doc: "ids of an instrument's trading day in a partition, by the epoch that remembered them",
    },
];

/// The kind of an entry by its name. Error of kind `Corrupt`: this version does not know the name.
pub fn kind_of(name: &str) -> Result<&'static StateKind, Error> {
    STATES.iter().find(|kind| kind.name == name).ok_or_else(|| Error {
        kind: Kind::Corrupt,
        message: format!("the lake has state of {name:?}, which this version does not know"),
        hint: Some("a newer version of ticktide wrote it; go on with that version".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_every_lake() {
        let names: Vec<&str> = STATES.iter().map(|kind| kind.name).collect();
        let expected = [
            "bars",
            "volume",
            "indicators",
            "anomalies",
            "beats",
            "suspects",
            "two_partitions",
            "listings",
            "partition",
            "anchor",
            "wild",
            "seen",
        ];
        assert_eq!(names, expected);
        for name in names {
            assert_eq!(kind_of(name).expect("it is in the table").name, name);
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_what_to_do() {
        let error = kind_of("Bars").expect_err("names are compared letter by letter");
        assert_eq!(error.kind, Kind::Corrupt);
        assert_eq!(error.message, "the lake has state of \"Bars\", which this version does not know");
        assert!(error.hint.is_some_and(|hint| hint.contains("newer version")));
    }
}
