//! How far event time has come over all partitions: for what closes, for what memory forgets, and for which partitions wait.
//!
//! Why three: bars may close without a partition that is quiet for seconds, memory goes on without one that is quiet for
//! minutes, and unread records decide which partitions are paused. What must always hold: a partition with unread records is a
//! brake.

use super::PartitionProgress;
use ticktide_base::time::Nanos;

/// The frontier by the event times of partitions: the least over those that brake; if none brakes, the greatest of all.
pub fn frontier<'a>(partitions: impl Iterator<Item = &'a PartitionProgress> + Clone) -> Option<Nanos> {
    let mut brakes = partitions.clone().filter(|partition| !partition.idle).peekable();
    if brakes.peek().is_some() {
        // one that has unread records and no time yet: nothing is known
        return brakes.map(|partition| partition.event_at_max).min().flatten();
    }
    partitions.filter_map(|partition| partition.event_at_max).max()
}

/// The next `closed_until`: the frontier less the grace. When every partition has been caught up for a while, everything that
/// happened up to `wall` has been read, so the wall clock closes what the feed has left open.
pub fn closed_until<'a>(
    previous: Option<Nanos>,
    partitions: impl Iterator<Item = &'a PartitionProgress> + Clone,
    grace: Nanos,
    wall: Option<Nanos>,
) -> Option<Nanos> {
    let by_event = frontier(partitions.clone()).map(|at| at.saturating_sub(grace));
    let all_idle = partitions.clone().all(|partition| partition.idle);
    let seen = partitions.clone().any(|partition| partition.event_at_max.is_some());
    let by_wall = wall.filter(|_| all_idle && seen).map(|at| at.saturating_sub(grace));
    previous.max(by_event).max(by_wall)
}

/// The time that memory follows: the least running time over the partitions that brake retirement. `None`: there are none, or
/// one of them has no running time yet, so nothing is known.
pub fn retired_by<'a>(
    partitions: impl Iterator<Item = &'a PartitionProgress>,
    lake_time: Option<Nanos>,
) -> Option<Nanos> {
    let brakes = partitions.filter(|partition| !partition.silent);
    brakes.map(|partition| partition.running.map(|running| running.max(lake_time.unwrap_or(running)))).min().flatten()
}

/// The time of the slowest partition with unread records. One without a running time is where the earliest of all began.
pub fn slowest<'a>(partitions: impl Iterator<Item = &'a PartitionProgress> + Clone) -> Option<Nanos> {
    let began_at = partitions.clone().filter_map(|partition| partition.began_at).min();
    let brakes = partitions.filter(|partition| !partition.idle);
    brakes.map(|partition| partition.running.or(began_at)).min().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::{DAY, HOUR, SECOND};

    const DAY0: Nanos = 20_000 * DAY;

    fn progress(partition: &str, event_at_max: Option<Nanos>, idle: bool) -> PartitionProgress {
        PartitionProgress { partition: partition.into(), event_at_max, idle, ..PartitionProgress::default() }
    }

    #[test]
    fn a_partition_with_unread_records_brakes_however_far_behind_it_is() {
        let (a, b) = (DAY0 + 15 * HOUR, DAY0 + 10 * HOUR);
        let behind = [progress("a", Some(a), false), progress("b", Some(b), false)];
        assert_eq!(closed_until(None, behind.iter(), 5 * SECOND, Some(a)), Some(b - 5 * SECOND));
        // caught up, it is idle and no longer brakes
        let idle = [progress("a", Some(a), false), progress("b", Some(b), true)];
        assert_eq!(closed_until(None, idle.iter(), 5 * SECOND, Some(a)), Some(a - 5 * SECOND));
    }

    #[test]
    fn a_partition_that_has_told_no_time_yet_holds_everything() {
        let unknown = [progress("a", Some(DAY0), false), progress("b", None, false)];
        assert_eq!(frontier(unknown.iter()), None);
        assert_eq!(closed_until(Some(7), unknown.iter(), 0, Some(DAY0)), Some(7));
        let empty = [progress("a", Some(DAY0), false), progress("b", None, true)];
        assert_eq!(frontier(empty.iter()), Some(DAY0));
    }

    #[test]
    fn closed_until_never_steps_back_when_a_partition_wakes() {
        let woken = [progress("a", Some(DAY0 + HOUR), false), progress("b", Some(DAY0), false)];
        assert_eq!(closed_until(Some(DAY0 + HOUR), woken.iter(), 0, None), Some(DAY0 + HOUR));
    }

    #[test]
    fn the_wall_clock_closes_only_what_every_partition_has_caught_up_with() {
        let quiet = [progress("a", Some(DAY0), true), progress("b", None, true)];
        assert_eq!(closed_until(None, quiet.iter(), 5 * SECOND, Some(DAY0 + HOUR)), Some(DAY0 + HOUR - 5 * SECOND));
        let busy = [progress("a", Some(DAY0), true), progress("b", Some(DAY0), false)];
        assert_eq!(closed_until(None, busy.iter(), 5 * SECOND, Some(DAY0 + HOUR)), Some(DAY0 - 5 * SECOND));
        // nothing was ever read: there is nothing to close
        let empty = [progress("a", None, true)];
        assert_eq!(closed_until(None, empty.iter(), 0, Some(DAY0)), None);
    }

    #[test]
    fn memory_goes_by_the_slowest_that_was_heard_lately_and_stands_when_there_is_none() {
        let of = |running, silent| PartitionProgress { running, silent, ..PartitionProgress::default() };
        let all = [of(Some(9), false), of(Some(5), false), of(Some(2), true)];
        assert_eq!(retired_by(all.iter(), None), Some(5));
        assert_eq!(retired_by(all.iter(), Some(7)), Some(7), "every partition has come to where the lake is");
        assert_eq!(retired_by([of(Some(9), false), of(None, false)].iter(), Some(7)), None, "one has no time yet");
        assert_eq!(retired_by([of(Some(9), true)].iter(), None), None, "it stays where it was");
    }

    #[test]
    fn a_partition_without_a_time_is_paced_by_where_the_earliest_began() {
        let of = |running, began_at| PartitionProgress { running, began_at, ..PartitionProgress::default() };
        assert_eq!(slowest([of(Some(50), Some(10)), of(None, None)].iter()), Some(10));
        assert_eq!(slowest([of(Some(50), Some(10)), of(Some(40), Some(12))].iter()), Some(40));
        assert_eq!(slowest([of(None, None)].iter()), None);
    }
}
