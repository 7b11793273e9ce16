//! What every kind of source provides: its partitions, and a reader for some of them.
//!
//! Why two traits: a source is opened once and shared, a reader lives on its own thread. What must always hold: a partition
//! is one ordered run of records, and its offsets count the same records at every opening.

use crate::{Batch, FeedError};
use std::time::Duration;

/// One ordered run of records: a Kafka partition, a file, a shard of the synthetic market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    /// Kafka's topic id, a file's identity, the synthetic market's settings.
    pub source_id: String,
    /// The first offset to read when the lake has none.
    pub offset_start: i64,
    /// The end at opening (Kafka: last stable offset; files: number of records, `i64::MAX` if not known yet).
    pub offset_end: i64,
}

impl Partition {
    /// The name under which bindings record its place.
    pub fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

/// What one reader reads of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Index into [`Source::partitions`].
    pub partition: usize,
    /// The first offset to read.
    pub offset: i64,
}

/// Where records come from, opened once.
pub trait Source: Send + Sync {
    fn partitions(&self) -> &[Partition];
    /// The end of each partition as far as it is known now: the first offset without a record; by partition index.
    fn ends(&self) -> Vec<Option<i64>> {
        Vec::new()
    }
    /// Checks that all records read so far belong to the partitions as they were opened. May take seconds.
    fn confirm(&self) -> Result<(), FeedError> {
        Ok(())
    }
    /// Checks that the partition continues the one that the lake has read: `recorded` is the lake's [`Partition::source_id`].
    fn continues(&self, _partition: &Partition, _recorded: &str) -> Result<(), FeedError> {
        Ok(())
    }
    /// Refuses two partitions that hold the same records, unless the lake has already read them as two.
    fn distinct(&self) -> Result<(), FeedError> {
        Ok(())
    }
    /// Whether a recorded [`Partition::source_id`] can be the partition's as it is now.
    fn is_recorded_as(&self, partition: &Partition, recorded: &str) -> bool {
        partition.source_id == recorded
    }
    /// What its readers have left unread, for the user when a run is over: one line each.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
    /// A reader for some of the partitions, with its own decoder.
    fn reader(&self, assigned: &[Assignment]) -> Result<Box<dyn Reader>, FeedError>;
}

/// Reads assigned partitions; lives on its own thread.
pub trait Reader: Send {
    /// The next batch of one partition (a few thousand records at most), or `None` when nothing arrived within `wait`.
    /// Partitions with `paused[index]` (by [`Source::partitions`] index) are left unread. A batch without records reports
    /// a change of `caught_up` or `finished`, or gaps.
    fn poll(&mut self, wait: Duration, paused: &dyn Fn(usize) -> bool) -> Result<Option<Batch>, FeedError>;
}
