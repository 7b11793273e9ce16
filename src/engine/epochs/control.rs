//! The control dataflow: every worker's reports go to worker 0, its decisions to every worker.
//!
//! ```text
//!   reports ─▶ Mint (worker 0) ─▶ decisions, to every worker
//! ```
//!
//! Why a dataflow: the processes of a run have no other channel between them. What must always hold: every worker gets the same
//! decisions in the same order.

use super::mint::Minter;
use super::replay::{RecordedRange, Replay};
use super::{ControlSpec, Decision, Report};
use crate::graph::topology;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use ticktide_lake::Resume;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect};
use timely::worker::Worker;

/// Takes a report and returns the decisions that follow from it.
pub type Decider = Box<dyn FnMut(Report) -> Vec<Decision>>;

/// The input for a worker's reports.
pub type Reports = InputHandle<u64, CapacityContainerBuilder<Vec<Report>>>;

/// The decider: the recorded decisions if there are any, otherwise a minter.
pub fn decider(spec: &ControlSpec, resume: &Resume, recorded: Option<&RecordedRange>) -> Decider {
    match recorded {
        None => {
            let mut minter = Minter::new(spec.clone(), resume.bindings.clone(), resume.epoch_next);
            Box::new(move |report| minter.hear(report))
        }
        Some(recorded) => {
            let ControlSpec { reach, workers, epochs, .. } = spec;
            let intervals = reach.intervals.iter().map(|(interval, _)| interval.name()).collect();
            let mut replay =
                Replay::new(recorded.bindings.clone(), resume.binding.as_ref(), intervals, *workers, *epochs);
            Box::new(move |report| replay.hear(report))
        }
    }
}

/// Builds the control dataflow; a worker's decisions are put into `decisions`.
pub fn control(worker: &mut Worker, mut decide: Decider, decisions: Rc<RefCell<VecDeque<Decision>>>) -> Reports {
    let mut input = Reports::new();
    let name = topology::Operator::Mint.name();
    worker.dataflow::<u64, _, _>(|scope| {
        let reports = scope.input_from(&mut input);
        reports
            .unary::<CapacityContainerBuilder<Vec<Decision>>, _, _, _>(Exchange::new(|_: &Report| 0), &name, |_, _| {
                let mut newest = 0;
                move |input, output| {
                    input.for_each(|cap, reports| {
                        let heard = reports.drain(..).flat_map(&mut decide);
                        // operators after this one work by time: decisions must not overtake each other
                        newest = cap.least().map_or(newest, |time| newest.max(*time));
                        output.session(&cap.delayed(&newest, 0)).give_iterator(heard);
                    });
                }
            })
            .broadcast()
            .inspect(move |decision| decisions.borrow_mut().push_back(decision.clone()));
    });
    input
}
