//! The running time of a partition: how far its ticks show that time has advanced, whatever a few of them claim.
//!
//! Why the (k+1)-th greatest distinct time and not the greatest: up to k wild records move nothing, however wild. What
//! must always hold: it never steps back, and it is a function of the set of times alone.

use ticktide_base::time::Nanos;

/// The greatest distinct times of a partition's ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningTime {
    /// The greatest first; at most `depth`.
    times: Vec<Nanos>,
    depth: usize,
}

impl RunningTime {
    /// `confirmations`: how many wild records move nothing; `times`: what an earlier run has seen, the greatest first.
    pub fn new(confirmations: u64, times: &[Nanos]) -> RunningTime {
        let depth = usize::try_from(confirmations).unwrap_or(usize::MAX).saturating_add(1);
        RunningTime { times: times.iter().copied().take(depth).collect(), depth }
    }

    /// Takes the time of a believed tick. Returns true when the running time has moved.
    #[inline]
    pub fn see(&mut self, at: Nanos) -> bool {
        let full = self.times.len() == self.depth;
        if full && self.times.last().is_some_and(|least| at <= *least) {
            return false;
        }
        let place = self.times.partition_point(|time| *time > at);
        if self.times.get(place) == Some(&at) {
            return false;
        }
        if full {
            self.times.pop();
        }
        self.times.insert(place, at);
        self.times.len() == self.depth
    }

    /// The running time; `None`: too few distinct times were seen, and nothing is too late.
    #[inline]
    pub fn running(&self) -> Option<Nanos> {
        self.times.last().copied().filter(|_| self.times.len() == self.depth)
    }

    /// The times, for the partition's place.
    pub fn times(&self) -> &[Nanos] {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn with_fewer_times_than_it_takes_nothing_is_known() {
        let mut past = RunningTime::new(3, &[]);
        assert_eq!([5, 5, 9, 7].map(|at| (past.see(at), past.running())), [(false, None); 4]);
        assert!(past.see(1));
        assert_eq!(past.running(), Some(1));
    }

    proptest! {
        #[test]
        fn it_is_the_fourth_greatest_distinct_time_and_outlives_a_restart(
            times in proptest::collection::vec(-9i64..9, 0..40), restart in 0usize..40, confirmations in 0u64..4
        ) {
            let mut past = RunningTime::new(confirmations, &[]);
            let mut seen = std::collections::BTreeSet::new();
            for (index, at) in times.into_iter().enumerate() {
                if index == restart {
                    past = RunningTime::new(confirmations, past.times());
                }
                let before = past.running();
                let moved = past.see(at);
                seen.insert(at);
                prop_assert_eq!(past.running(), seen.iter().rev().nth(confirmations as usize).copied());
                prop_assert_eq!(moved, past.running() != before);
            }
        }
    }
}
