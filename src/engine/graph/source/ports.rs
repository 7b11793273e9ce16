//! What the source operator sends, at which time and to which operators.
//!
//! What must always hold: all that is sent at one time leaves under the capabilities of that time, in the order of times.

use crate::graph::rows::{Notice, SinkRow};
use ticktide_flow::anomalies::ticks::Remark;
use ticktide_flow::bars::Routed;
use ticktide_flow::instruments::ListingUpdate;
use timely::dataflow::operators::Capability;

/// The capabilities of the operator's outputs, all at one time.
#[derive(Clone, Debug)]
pub struct Ports {
    pub routed: Capability<u64>,
    pub notices: Capability<u64>,
    pub remarks: Capability<u64>,
    pub listings: Capability<u64>,
    pub rows: Capability<u64>,
}

impl Ports {
    fn all(&mut self) -> [&mut Capability<u64>; 5] {
        [&mut self.routed, &mut self.notices, &mut self.remarks, &mut self.listings, &mut self.rows]
    }

    pub(super) fn downgrade(&mut self, time: u64) {
        self.all().into_iter().for_each(|cap| cap.downgrade(&time));
    }

    pub(super) fn delayed(&self, time: u64) -> Ports {
        let mut delayed = self.clone();
        delayed.downgrade(time);
        delayed
    }
}

/// What is sent at one time, one kind for each output.
pub struct Said {
    pub ports: Ports,
    pub routed: Vec<Routed>,
    pub notices: Vec<Notice>,
    pub remarks: Vec<Remark>,
    pub listings: Vec<ListingUpdate>,
    pub rows: Vec<SinkRow>,
}

/// What is sent in one activation, in order of times.
#[derive(Default)]
pub struct Outbox(pub Vec<Said>);

impl Outbox {
    /// What is sent at the time of the ports.
    pub(super) fn at(&mut self, ports: &Ports) -> &mut Said {
        if self.0.last().is_none_or(|last| last.ports.rows.time() != ports.rows.time()) {
            let (routed, notices, remarks, listings, rows) = Default::default();
            self.0.push(Said { ports: ports.clone(), routed, notices, remarks, listings, rows });
        }
        self.0.last_mut().expect("it was put there if it was not")
    }
}
