//! Reading up to recorded offsets: what a source hands on in each epoch of a replay, and what it holds back for the next.
//!
//! A reader gives batches as they come and knows nothing of epochs. Here they are cut where the epoch ended; the rest is held,
//! and its partition is paused meanwhile. What must always hold: an epoch gets exactly the records between its recorded offsets
//! and those of the epoch before it; a source that ends before them is an error, not a shorter epoch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, TryRecvError};
use ticktide_base::epoch::Epoch;
use ticktide_base::error::Error;
use ticktide_feed::{Batch, FeedError};

/// How an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub flush: bool,
    pub last: bool,
}

/// One partition that the worker reads.
struct Track {
    name: String,
    /// The first offset that was not handed on.
    next: i64,
    held: VecDeque<Batch>,
    /// The source has no record at or after this offset.
    ends_at: Option<i64>,
}

/// The recorded ends of one worker's partitions.
#[derive(Default)]
pub struct Until {
    tracks: BTreeMap<usize, Track>,
    ends: BTreeMap<Epoch, (Ending, BTreeMap<String, i64>)>,
}

type Received = Result<Result<Batch, FeedError>, TryRecvError>;

impl Until {
    /// `assigned`: index, name and first offset of each partition.
    pub fn new(assigned: impl IntoIterator<Item = (usize, String, i64)>) -> Until {
        let track = |(index, name, next)| (index, Track { name, next, held: VecDeque::new(), ends_at: None });
        Until { tracks: assigned.into_iter().map(track).collect(), ends: BTreeMap::new() }
    }

    /// Sets the offsets at which the epoch ends.
    pub fn expect(&mut self, epoch: Epoch, ending: Ending, offsets: BTreeMap<String, i64>) {
        self.ends.insert(epoch, (ending, offsets));
    }

    /// Where the epoch ends in a partition; `None`: it has no records of it.
    fn end(&self, epoch: Epoch, name: &str) -> Option<i64> {
        self.ends.get(&epoch).and_then(|(_, offsets)| offsets.get(name)).copied()
    }

    /// The next batch of the epoch: from what was held back, otherwise from the reader.
    pub fn receive(&mut self, epoch: Epoch, batches: &Receiver<Result<Batch, FeedError>>) -> Received {
        let open = |until: &Until, track: &Track| {
            until.end(epoch, &track.name).is_some_and(|end| track.next < end) && !track.held.is_empty()
        };
        let held = self.tracks.iter().find(|(_, track)| open(self, track)).map(|(index, _)| *index);
        if let Some(batch) = held.and_then(|index| self.tracks.get_mut(&index)?.held.pop_front()) {
            return Ok(Ok(self.cut(epoch, batch)));
        }
        loop {
            let mut batch = match batches.try_recv()? {
                Ok(batch) => batch,
                Err(error) => return Ok(Err(error)),
            };
            let Some(track) = self.tracks.get_mut(&batch.partition) else { continue };
            if batch.finished {
                track.ends_at = Some(batch.offset_next);
            }
            if !track.held.is_empty() {
                // instruments are numbered in the order in which the reader met them: they cannot wait
                let rest = batch.split_off(i64::MIN);
                track.held.extend(rest);
                batch.offset_next = track.next;
                if batch.instruments.is_empty() {
                    continue;
                }
                return Ok(Ok(batch));
            }
            return Ok(Ok(self.cut(epoch, batch)));
        }
    }

    /// The part of the batch that belongs to the epoch, which may be nothing; the rest is held.
    fn cut(&mut self, epoch: Epoch, mut batch: Batch) -> Batch {
        let end = self.tracks.get(&batch.partition).and_then(|track| self.end(epoch, &track.name));
        let Some(track) = self.tracks.get_mut(&batch.partition) else { return batch };
        if let Some(rest) = batch.split_off(end.unwrap_or(track.next).max(track.next)) {
            track.held.push_front(rest);
        }
        track.next = batch.offset_next;
        batch
    }

    /// Whether each partition, by index, is to be left unread: something of it waits here.
    pub fn paused(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.tracks.iter().map(|(index, track)| (*index, !track.held.is_empty()))
    }

    /// How the epoch ends, if every partition has reached its end of it. Error of kind `Fix`: the source has fewer records.
    pub fn reached(&mut self, epoch: Epoch) -> Result<Option<Ending>, Error> {
        let Some((ending, offsets)) = self.ends.get(&epoch) else { return Ok(None) };
        for track in self.tracks.values() {
            let Some(end) = offsets.get(&track.name).filter(|end| track.next < **end) else { continue };
            if let Some(has) = track.ends_at.filter(|has| has < end) {
                return Err(short(&track.name, has, epoch, *end));
            }
            return Ok(None);
        }
        let ending = *ending;
        self.ends.remove(&epoch);
        Ok(Some(ending))
    }
}

/// What to do when the recorded source is no longer what it was.
pub const WITHOUT_SOURCE: &str = "name the recorded source with the options of `run` (`--path`, `--brokers`, `--topic`), \
    choose epochs whose records it still has with `--epochs A..B`, read the lake's own archive with `--source lake` (it needs \
    `ticks = true`), or compare the data files with the log alone: `verify --files`";

fn short(partition: &str, has: i64, epoch: Epoch, end: i64) -> Error {
    let message =
        format!("partition {partition} ends at offset {has}, but epoch {epoch} of the lake ends at offset {end}");
    Error::fix(message, WITHOUT_SOURCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use ticktide_feed::Reject;

    fn batch(partition: usize, offsets: std::ops::Range<i64>, finished: bool) -> Batch {
        let reject =
            |offset| Reject { offset, received_at: None, reason: "r", detail: String::new(), payload: Vec::new() };
        let rejects: Vec<Reject> = offsets.clone().map(reject).collect();
        let mut batch = Batch::of(partition);
        batch.offset_next = offsets.end;
        batch.records = rejects.len() as u64;
        batch.rejects = rejects;
        batch.finished = finished;
        batch
    }

    fn ends(a: i64, b: i64) -> BTreeMap<String, i64> {
        BTreeMap::from([("a/0".to_owned(), a), ("b/0".to_owned(), b)])
    }

    const ENDING: Ending = Ending { flush: false, last: false };

    #[test]
    fn every_epoch_gets_the_records_between_its_offsets_however_they_were_batched() {
        for size in 1..12 {
            let mut until = Until::new([(0, "a/0".to_owned(), 0), (1, "b/0".to_owned(), 5), (2, "c/0".to_owned(), 0)]);
            let (send, batches) = sync_channel(100);
            for start in (0..24).step_by(size) {
                let end = (start + size as i64).min(24);
                for (partition, shift) in [(0, 0), (1, 5), (2, 0)] {
                    send.send(Ok(batch(partition, start + shift..end + shift, end == 24))).expect("room");
                }
            }
            let recorded = [ends(7, 5), ends(7, 20), ends(7, 20), ends(20, 21)];
            let mut from = [0, 5];
            for (epoch, offsets) in recorded.into_iter().enumerate() {
                let epoch = epoch as Epoch;
                assert_eq!(until.reached(epoch).expect("long enough"), None, "before its end is known");
                until.expect(epoch, ENDING, offsets.clone());
                let mut seen: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
                while until.reached(epoch).expect("long enough").is_none() {
                    let batch = until.receive(epoch, &batches).expect("there is more").expect("no failure");
                    seen.entry(batch.partition).or_default().extend(batch.rejects.iter().map(|reject| reject.offset));
                }
                for (partition, name) in [(0, "a/0"), (1, "b/0")] {
                    let expected: Vec<i64> = (from[partition]..offsets[name]).collect();
                    assert_eq!(seen.remove(&partition).unwrap_or_default(), expected, "epoch {epoch}, size {size}");
                    from[partition] = offsets[name];
                }
                assert!(seen.values().all(Vec::is_empty), "c/0 has no part in it: {seen:?}");
            }
        }
    }

    #[test]
    fn a_source_that_ends_before_the_recorded_offset_is_an_error_and_no_shorter_epoch() {
        let mut until = Until::new([(0, "a/0".to_owned(), 0)]);
        let (send, batches) = sync_channel(2);
        send.send(Ok(batch(0, 0..5, true))).expect("room");
        until.expect(1, ENDING, ends(6, 0));
        until.receive(1, &batches).expect("there is one").expect("no failure");
        let error = until.reached(1).expect_err("one record is missing");
        assert!(
            error.message.contains("a/0 ends at offset 5") && error.kind == ticktide_base::error::Kind::Fix,
            "{error}"
        );
    }

    #[test]
    fn a_partition_is_paused_while_something_of_it_waits() {
        let mut until = Until::new([(3, "a/0".to_owned(), 0)]);
        let (send, batches) = sync_channel(2);
        send.send(Ok(batch(3, 0..5, false))).expect("room");
        until.expect(1, ENDING, ends(2, 0));
        until.receive(1, &batches).expect("there is one").expect("no failure");
        assert_eq!(until.paused().collect::<Vec<_>>(), [(3, true)]);
        assert_eq!(until.reached(1).expect("long enough"), Some(ENDING));
        until.expect(2, ENDING, ends(5, 0));
        until.receive(2, &batches).expect("the held one").expect("no failure");
        assert_eq!(until.paused().collect::<Vec<_>>(), [(3, false)]);
    }
}
