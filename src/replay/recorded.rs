//! A recorded range opened to be run again: what it goes on from, its source, and whether the source still has all of it.
//!
//! What must always hold: the lake is only read; a source that no longer has the records is a user error, never a difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use ticktide_base::epoch::{Conservation, Epoch};
use ticktide_base::error::{Error, Kind};
use ticktide_base::rules::Rules;
use ticktide_dataflow::Dataflow;
use ticktide_engine::commit::WorkerPart;
use ticktide_engine::epochs::replay::RecordedRange;
use ticktide_engine::epochs::until::WITHOUT_SOURCE;
use ticktide_engine::open::known;
use ticktide_feed as feed;
use ticktide_feed::{Partition, Source};
use ticktide_lake::read::past::{EpochRange, Lineages};
use ticktide_lake::{LakeOptions, LakeReader};

/// The range in numbers: by default from the first epoch of the newest lineage to the last epoch. Error of kind `Fix`: it is
/// empty.
pub async fn range(reader: &LakeReader, first: Option<Epoch>, last: Option<Epoch>) -> Result<(Epoch, Epoch), Error> {
    let Some(newest) = reader.decided_last().await? else {
        return Err(Error::fix("the lake has no epoch yet", "wait for the first one, or start `ticktide run`"));
    };
    let begins = reader.lineage_first().await?;
    let first = match first {
        // the epoch that rebuilt the additions has no records of its own
        Some(first) if begins > 0 && first + 1 == begins => begins.min(newest),
        Some(first) => first,
        None => begins.min(newest),
    };
    let last = last.unwrap_or(newest);
    if first > last || last > newest {
        let message = format!("there are no epochs {first} to {last}: the newest is {newest}");
        return Err(Error::fix(message, "list them with `ticktide epochs ls`"));
    }
    Ok((first, last))
}

/// The parts of a range whose epochs were made by one set of rules each, in order. A lake changes its rules once, at a
/// takeover.
pub(crate) async fn by_rules(
    lake: &LakeOptions,
    first: Option<Epoch>,
    last: Option<Epoch>,
) -> Result<Vec<(Rules, Epoch, Epoch)>, Error> {
    let (reader, first, last) = in_range(lake, first, last).await?;
    let rules = async |epoch: Epoch| {
        let binding = reader.decided(epoch).await?.binding;
        Ok::<Rules, Error>(binding.map_or(Rules::First, |binding| binding.lateness))
    };
    let newest = rules(last).await?;
    // the first epoch of the newest rules lies in [from, to]
    let (mut from, mut to) = (first, last);
    while from < to {
        let middle = from + (to - from) / 2;
        if rules(middle).await? == newest { to = middle } else { from = middle + 1 }
    }
    // epochs before the first record have no rules
    let others = from > first && reader.decided(from - 1).await?.binding.is_some();
    let before = others.then(|| (Rules::First, first, from - 1));
    Ok(before.into_iter().chain([(newest, if others { from } else { first }, last)]).collect())
}

/// A dataflow whose rows are to be made by these rules.
pub fn made_by(dataflow: &mut Dataflow, rules: Rules) {
    dataflow.source.rules = rules;
    dataflow.source.wire.rules = rules;
}

/// Opens the lake for reading and finds the range; returns its last epoch, too. Errors of kind `Fix`: the lake is another
/// dataflow's, the range is empty.
pub(crate) async fn open(
    lake: &LakeOptions,
    first: Option<Epoch>,
    last: Option<Epoch>,
    lineages: Lineages,
) -> Result<(LakeReader, EpochRange, Epoch), Error> {
    let (reader, first, last) = in_range(lake, first, last).await?;
    let past = reader.past(first, last, lineages).await?;
    Ok((reader, past, last))
}

async fn in_range(
    lake: &LakeOptions,
    first: Option<Epoch>,
    last: Option<Epoch>,
) -> Result<(LakeReader, Epoch, Epoch), Error> {
    let reader = LakeReader::open(&lake.warehouse, lake.catalog.as_deref()).await?;
    reader.belongs_to(lake).map_err(|error| {
        let hint = "name the dataflow that the lake was made with, with the same `--set`, or compare the data files with \
                    the log alone: `verify --files`";
        Error { hint: Some(hint.to_owned()), ..Error::from(error) }
    })?;
    let (first, last) = range(&reader, first, last).await?;
    Ok((reader, first, last))
}

/// Opens the source that was recorded, at the first records of the range. Errors of kind `Fix`: it is another one, or gone.
pub(crate) fn source(dataflow: &Dataflow, recorded: &RecordedRange) -> Result<Arc<dyn Source>, Error> {
    let end = recorded.bindings.last().map(|end| end.places.clone()).unwrap_or_default();
    let source = feed::open(&known(&dataflow.source, &end), &recorded.starts).map_err(without_source)?;
    check_source(recorded, &*source)?;
    Ok(source)
}

/// Refuses a source that lacks a partition with records of the range, or has another one under its name.
fn check_source(recorded: &RecordedRange, source: &dyn Source) -> Result<(), Error> {
    let Some(end) = recorded.bindings.last() else { return Ok(()) };
    let partitions = source.partitions();
    for (name, place) in &end.places {
        if recorded.starts.get(name).is_none_or(|start| *start >= place.offset_next) {
            continue;
        }
        match partitions.iter().find(|partition| partition.name() == *name) {
            None => {
                let there: Vec<String> = partitions.iter().take(10).map(Partition::name).collect();
                let message = format!("the source no longer has partition {name}, only [{}]", there.join(", "));
                return Err(Error::fix(message, WITHOUT_SOURCE));
            }
            Some(partition) if !source.is_recorded_as(partition, &place.source_id) => {
                let (ours, theirs) = (&place.source_id, &partition.source_id);
                let message =
                    format!("partition {name} belongs to another source now: {theirs}, but the lake has read {ours}");
                return Err(Error::fix(message, WITHOUT_SOURCE));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The source cannot be opened: the hint says what else can be done.
fn without_source(error: impl Into<Error>) -> Error {
    let error = error.into();
    match (error.kind, &error.hint) {
        (Kind::Fix, Some(hint)) => Error { hint: Some(format!("{hint}; {WITHOUT_SOURCE}")), ..error },
        _ => error,
    }
}

/// Where the records of an epoch went, of all workers together.
pub fn counts(parts: &[WorkerPart]) -> BTreeMap<&str, Conservation> {
    let mut counts: BTreeMap<&str, Conservation> = BTreeMap::new();
    for (partition, of_worker) in parts.iter().flat_map(|part| &part.counts) {
        counts.entry(partition).or_default().add(of_worker);
    }
    counts
}

/// Refuses an epoch of which a replay has read less than is recorded. Error of kind `Fix`: a topic's retention or compaction
/// has taken records from the source since, and whatever comes of the rest says nothing about the lake.
pub fn complete(
    epoch: Epoch,
    recorded: &BTreeMap<String, Conservation>,
    read: &BTreeMap<&str, Conservation>,
) -> Result<(), Error> {
    for (name, was) in recorded {
        let is = read.get(name.as_str()).cloned().unwrap_or_default();
        if is.records < was.records || is.gaps > was.gaps {
            let (is, was) = (is.records, was.records);
            let message =
                format!("partition {name} has {is} of the {was} records of epoch {epoch}, the others are gone");
            return Err(Error::fix(message, WITHOUT_SOURCE));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::epoch::{Binding, Place};
    use ticktide_feed::{Assignment, FeedError, Reader};

    /// A source that is not read.
    struct Looked(Vec<Partition>);

    impl Source for Looked {
        fn partitions(&self) -> &[Partition] {
            &self.0
        }

        fn reader(&self, _: &[Assignment]) -> Result<Box<dyn Reader>, FeedError> {
            Err(FeedError::unavailable("it is not read"))
        }
    }

    #[test]
    fn a_source_without_a_recorded_partition_or_with_another_in_its_place_is_refused() {
        let place = |source_id: &str, offset_next| Place {
            source_id: source_id.into(),
            offset_next,
            event_at_max: None,
            ..Place::default()
        };
        let places = [("a/0", place("kafka:1", 9)), ("b/0", place("kafka:1", 4))];
        let places = places.map(|(name, place)| (name.to_owned(), place)).into();
        let recorded = RecordedRange {
            bindings: vec![Binding { places, ..Binding::default() }].into(),
            starts: BTreeMap::from([("a/0".to_owned(), 3), ("b/0".to_owned(), 4)]),
        };
        let partition = |topic: &str, source_id: &str| Partition {
            topic: topic.into(),
            partition: 0,
            source_id: source_id.into(),
            offset_start: 0,
            offset_end: 9,
        };
        check_source(&recorded, &Looked(vec![partition("a", "kafka:1")])).expect("nothing of b is in the range");
        for partitions in [vec![partition("b", "kafka:1")], vec![partition("a", "kafka:2")]] {
            let error = check_source(&recorded, &Looked(partitions)).expect_err("another source");
            assert!(error.kind == Kind::Fix && error.message.contains("a/0"), "{error}");
            assert!(error.hint.is_some_and(|hint| hint.contains("verify --files")));
        }
    }

    #[test]
    fn an_epoch_of_which_records_are_gone_is_refused_and_not_compared() {
        let counts =
            |records, gaps| Conservation { records, gaps, advanced: records + gaps, ..Conservation::default() };
        let recorded = BTreeMap::from([("t/0".to_owned(), counts(7, 3)), ("t/1".to_owned(), counts(0, 0))]);
        complete(4, &recorded, &BTreeMap::from([("t/0", counts(7, 3))])).expect("all of it");
        // less than was lost before is a difference for others to find
        complete(4, &recorded, &BTreeMap::from([("t/0", counts(8, 2))])).expect("all of it");
        for read in [BTreeMap::new(), BTreeMap::from([("t/0", counts(6, 4))])] {
            let error = complete(4, &recorded, &read).expect_err("one is missing");
            assert!(error.kind == Kind::Fix && error.message.contains("of the 7 records of epoch 4"));
            assert_eq!(error.hint.as_deref(), Some(WITHOUT_SOURCE));
        }
    }
}
