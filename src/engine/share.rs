//! Which worker owns which part of a run: every key belongs to exactly one worker.
//!
//! Why a type: a worker's number and the number of workers are one fact, and two separate numbers are too easily
//! swapped. What must hold: for any number of workers each route has one owner, the same in every process.

/// One worker among all workers of all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This worker, from 0.
    pub index: usize,
    /// All workers, at least 1.
    pub peers: usize,
}

impl Share {
    /// The share of a worker of a running graph.
    pub fn of(worker: &timely::worker::Worker) -> Share {
        Share { index: worker.index(), peers: worker.peers() }
    }

    /// Whether a route (as a key's exchange gives it) leads to this worker.
    #[inline]
    pub fn owns(self, route: u64) -> bool {
        route % self.peers as u64 == self.index as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_belongs_to_one_worker() {
        for peers in 1..7 {
            for route in [0, 1, 5, 6, u64::MAX] {
                let owners = (0..peers).filter(|index| Share { index: *index, peers }.owns(route));
                assert_eq!(owners.count(), 1, "route {route} of {peers}");
            }
        }
    }
}
