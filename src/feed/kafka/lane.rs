//! How far one partition was read, and its batches that wait to be handed on.

use crate::{BATCH_BYTES, BATCH_RECORDS, Batch};
use std::collections::VecDeque;
use std::time::Instant;
use ticktide_base::time::Nanos;
use ticktide_market::Instrument;

/// One partition of a reader.
pub struct Lane {
    partition: usize,
    /// The next offset to read.
    next: i64,
    /// With `until_end`: the first offset after the end.
    end: Option<i64>,
    pub pending: Batch,
    /// Full batches before the pending one: a lane that is held fills more than one.
    ready: VecDeque<Batch>,
    /// Since when something waits to be reported.
    since: Option<Instant>,
    caught_up: bool,
    reported_caught_up: bool,
}

impl Lane {
    pub fn new(partition: usize, next: i64, end: Option<i64>) -> Lane {
        let mut lane = Lane {
            partition,
            next,
            end,
            pending: Batch::of(partition),
            ready: VecDeque::new(),
            since: None,
            caught_up: false,
            reported_caught_up: false,
        };
        if lane.finished() {
            lane.caught_up = true;
            lane.news();
        }
        lane
    }

    pub fn partition(&self) -> usize {
        self.partition
    }

    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether the end of `until_end` is reached.
    pub fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Since when something waits to be reported.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether its next batch must not wait for more records.
    pub fn full(&self) -> bool {
        !self.ready.is_empty() || self.pending_is_full() || self.finished()
    }

    fn pending_is_full(&self) -> bool {
        self.pending.records >= BATCH_RECORDS || self.pending.bytes >= BATCH_BYTES
    }

    /// Payload bytes that were read and not yet handed on.
    pub fn waiting_bytes(&self) -> u64 {
        self.ready.iter().map(|batch| batch.bytes).sum::<u64>() + self.pending.bytes
    }

    /// The event time of the first tick that waits; `None`: no tick waits.
    pub fn first_at(&self) -> Option<Nanos> {
        let first = self.ready.front().unwrap_or(&self.pending).ticks.first();
        first.map(|tick| tick.exchange_at)
    }

    /// Counts a record; false: it is after the end, or was read before.
    pub fn record(&mut self, offset: i64, bytes: usize) -> bool {
        if offset < self.next || self.finished() {
            return false;
        }
        if self.end.is_some_and(|end| offset >= end) {
            self.end(offset);
            return false;
        }
        if self.pending_is_full() {
            let batch = self.seal();
            self.ready.push_back(batch);
        }
        self.pass_to(offset);
        self.next = offset + 1;
        self.pending.records += 1;
        self.pending.bytes += bytes as u64;
        self.caught_up = self.finished();
        self.news();
        true
    }

    /// Skips a record without a value, which is a gap.
    pub fn pass(&mut self, offset: i64) {
        if offset < self.next || self.finished() {
            return;
        }
        if self.end.is_some_and(|end| offset >= end) {
            return self.end(offset);
        }
        self.pass_to(offset + 1);
        self.caught_up = self.finished();
        self.news();
    }

    /// The broker has nothing more at this offset.
    pub fn end(&mut self, offset: i64) {
        if self.finished() {
            return;
        }
        self.pass_to(self.end.map_or(offset, |end| offset.min(end)));
        self.caught_up = true;
        if self.pending.records > 0 || self.pending.gaps > 0 || !self.reported_caught_up {
            self.news();
        }
    }

    /// Skips offsets without a record.
    fn pass_to(&mut self, offset: i64) {
        if offset > self.next {
            self.pending.gaps += (offset - self.next) as u64;
            self.next = offset;
        }
    }

    /// The broker has deleted the records before `first`: they are skipped and reported.
    pub fn lose(&mut self, first: i64) {
        let first = self.end.map_or(first, |end| first.min(end));
        if first > self.next {
            self.pending.lost.push((self.next, first));
            self.pass_to(first);
            self.caught_up = self.finished();
            self.news();
        }
    }

    fn news(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Returns the pending batch, complete up to the next offset, and begins a new one.
    fn seal(&mut self) -> Batch {
        let mut batch = std::mem::replace(&mut self.pending, Batch::of(self.partition));
        self.pending.reserve_like(&batch);
        batch.offset_next = self.next;
        batch
    }

    /// The next batch that was read and not yet handed on.
    pub fn take(&mut self, instruments: Vec<Instrument>) -> Batch {
        let mut batch = match self.ready.pop_front() {
            Some(batch) => batch,
            None => {
                let mut batch = self.seal();
                batch.caught_up = self.caught_up;
                batch.finished = self.finished();
                self.reported_caught_up = self.caught_up;
                batch
            }
        };
        batch.instruments = instruments;
        let more = !self.ready.is_empty() || self.pending.records > 0 || self.pending.gaps > 0;
        // an end that was reached after a sealed batch must still be reported
        let more = more || (self.caught_up && !self.reported_caught_up) || (self.finished() && !batch.finished);
        self.since = if more { self.since } else { None };
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_trailing_gap_is_counted_up_to_the_end_that_the_broker_reports() {
        let mut lane = Lane::new(0, 10, None);
        assert!(lane.record(10, 5) && lane.record(13, 5));
        lane.end(17); // 14 to 16: an aborted transaction and its marker
        let batch = lane.take(Vec::new());
        assert_eq!((batch.offset_next, batch.records, batch.gaps, batch.caught_up), (17, 2, 5, true));
        // the same end again is no news, a further one is
        lane.end(17);
        assert!(lane.since().is_none());
        lane.end(18);
        assert_eq!(lane.take(Vec::new()).gaps, 1);
    }

    #[test]
    fn what_the_broker_has_deleted_is_a_gap_and_told_as_lost() {
        let mut lane = Lane::new(0, 10, None);
        assert!(lane.record(10, 5));
        lane.lose(15);
        lane.lose(12); // long passed
        assert!(lane.record(15, 5));
        let batch = lane.take(Vec::new());
        assert_eq!((batch.offset_next, batch.records, batch.gaps, batch.lost), (16, 2, 4, vec![(11, 15)]));
        // the lost range ends at the end of `until_end`
        let mut lane = Lane::new(0, 0, Some(5));
        lane.lose(9);
        let batch = lane.take(Vec::new());
        assert_eq!((batch.offset_next, batch.gaps, batch.lost, batch.finished), (5, 5, vec![(0, 5)], true));
    }

    #[test]
    fn a_record_without_a_value_is_a_gap_wherever_it_stands() {
        let mut lane = Lane::new(0, 10, Some(20));
        lane.pass(9); // read before
        lane.pass(10);
        assert!(lane.since().is_some(), "the new offset is news");
        assert!(lane.record(11, 5));
        lane.pass(15);
        assert!(lane.record(16, 5));
        lane.pass(25); // after the end
        let batch = lane.take(Vec::new());
        assert_eq!((batch.offset_next, batch.records, batch.gaps, batch.finished), (20, 2, 8, true));
        let mut lane = Lane::new(0, 0, Some(1));
        lane.pass(0);
        assert!(lane.full() && lane.take(Vec::new()).finished, "the last record has no value");
    }

    #[test]
    fn nothing_behind_the_end_is_ours() {
        let mut lane = Lane::new(0, 0, Some(5));
        assert!(lane.record(3, 1));
        assert!(!lane.finished());
        assert!(!lane.record(7, 1));
        let batch = lane.take(Vec::new());
        assert_eq!((batch.offset_next, batch.records, batch.gaps), (5, 1, 4));
        assert!(batch.finished && batch.caught_up);
        assert!(!lane.record(8, 1) && lane.since().is_none());
    }

    #[test]
    fn an_empty_partition_is_finished_before_it_is_read() {
        let mut lane = Lane::new(3, 5, Some(5));
        assert!(lane.full() && lane.since().is_some());
        let batch = lane.take(Vec::new());
        assert!(batch.finished && batch.caught_up && batch.partition == 3 && batch.offset_next == 5);
    }

    #[test]
    fn a_lane_that_is_held_back_hands_on_batches_of_the_usual_size() {
        let (mut lane, most) = (Lane::new(0, 0, Some(2 * BATCH_RECORDS as i64 + 1)), BATCH_RECORDS);
        for offset in 0..=2 * most as i64 {
            assert!(lane.record(offset, 1));
        }
        assert_eq!(lane.waiting_bytes(), 2 * most + 1);
        let batches = [(); 3].map(|()| lane.take(Vec::new()));
        assert_eq!(batches.each_ref().map(|batch| batch.records), [most, most, 1]);
        assert_eq!(batches.each_ref().map(|batch| batch.finished), [false, false, true]);
        assert!(lane.since().is_none() && lane.waiting_bytes() == 0);
    }

    proptest! {
        #[test]
        fn advanced_is_records_plus_gaps_whatever_comes(
            steps in proptest::collection::vec((0..40i64, any::<bool>(), any::<bool>()), 0..50), end in proptest::option::of(0..40i64)
        ) {
            let mut lane = Lane::new(0, 0, end);
            let mut place = 0;
            for (offset, is_record, take) in steps {
                if is_record {
                    lane.record(offset, 1);
                } else {
                    lane.end(offset);
                }
                if take {
                    let batch = lane.take(Vec::new());
                    prop_assert_eq!(batch.offset_next - place, (batch.records + batch.gaps) as i64);
                    place = batch.offset_next;
                    prop_assert!(end.is_none_or(|end| place <= end));
                    prop_assert_eq!(batch.finished, end.is_some_and(|end| place >= end));
                }
            }
        }
    }
}
