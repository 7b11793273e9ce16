//! The ordered scan: outputs that depend on everything before them, per key, kept right when the past changes.
//!
//! ```text
//!   arranged: key → (position, value)          values of one key, in order:   v1   v2   v3 … v64 … v128 …  vn
//!         │ batches                            accumulators kept:           base             ●      ●     ●  ● head
//!         ▼                                                                                checkpoints   before, at
//!   scan ──▶ (key, output) ±1
//!       └──▶ changes of bases (durable state)
//!
//!   here    takes batches, lets the trace compact
//!   keys    batches ─▶ the changes of each key ─▶ rounds: the changes of one key at one time
//!   series  a round ─▶ the key's accumulators follow; the outputs that change
//!   reader  the key's values in the trace, for a round that goes back before the head
//! ```
//!
//! Why not `reduce`: it would compute a key's whole history for every change of its last bar. Here an appended value or a
//! change of the last one costs one step from the head and never reads the trace; a change further back walks the old
//! and the new values side by side from the checkpoint before it and stops as soon as both accumulators are equal, bit for
//! bit: from there on every output is what it was.
//!
//! Why retirement is a change "by time": values leave the arrangement from below when the horizon passes them, in the last
//! step of an epoch, which carries no data. There the accumulator after the last value that leaves becomes the key's base;
//! later accumulators and outputs stay what they were, so nothing is emitted (a scan whose outputs are arranged again
//! passes the retirement on: [`Logic::FORWARDS`]). A restart needs the bases and the live values only.
//!
//! What must always hold: at most one live value per key and position (otherwise the worker stops: nothing after it could
//! be right); retired values are the lowest; the output at any time equals a scan over the values live at that time.

mod keys;
mod logic;
mod reader;
mod series;
#[cfg(test)]
mod tests;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use keys::KeyedSeries;
pub use logic::{Logic, Position, Positioned, ScanBatch, ScanTrace};
use std::collections::HashMap;
use std::hash::Hash;
use ticktide_base::epoch::{LAST_STEP, step_of};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

/// Changes of bases: the accumulator after the last retired value of a key, `None` when it is the initial one again.
pub type BaseChanges<'scope, K, A> = Stream<'scope, u64, Vec<(K, Option<A>)>>;

/// Scans every key of `arranged` that `logic` reads. `bases` are those of an earlier run, whose live values come again as
/// additions; at times for which `retires` holds, changes are retirements of the lowest values.
///
/// The greatest high so far, which a late bar changes only for the bars after it:
///
/// ```
/// # use differential_dataflow::input::InputSession;
/// # use std::{cell::RefCell, collections::HashMap, rc::Rc};
/// # use ticktide_flow::bars::finished::FinishedBar;
/// # use ticktide_flow::scan::{Logic, Positioned, retires_at_last_step, scan};
/// struct Greatest;
///
/// impl Logic<String, FinishedBar> for Greatest {
///     type Acc = i64;
///     type Out = (i64, i64);
///
///     fn initial(&self, _: &String) -> i64 {
///         0
///     }
///
///     fn step(&self, _: &String, greatest: &mut i64, bar: &FinishedBar) -> (i64, i64) {
///         *greatest = bar.high.max(*greatest);
///         (bar.position().0, *greatest)
///     }
/// }
///
/// # let seen = timely::execute_directly(|worker| {
/// #     let seen = Rc::new(RefCell::new(Vec::new()));
/// #     let mut bars = InputSession::<u64, (String, FinishedBar), isize>::new();
/// #     worker.dataflow(|scope| {
/// #         let arranged = bars.to_collection(scope).arrange_by_key();
/// let (greatest, _) = scan(arranged, "Greatest", Greatest, HashMap::new(), retires_at_last_step);
/// #         let seen = seen.clone();
/// #         greatest.inspect(move |((_, out), time, diff)| seen.borrow_mut().push((*time, *out, *diff)));
/// #     });
/// let bar = |open_at, high| ("X".to_owned(), FinishedBar { high, ..FinishedBar::floor((open_at, 0)) });
/// for (open_at, high) in [(1, 10), (3, 11), (4, 15)] {
///     bars.insert(bar(open_at, high));
/// }
/// bars.advance_to(1);
/// bars.insert(bar(2, 13));
/// #     drop(bars);
/// #     while worker.step() {}
/// #     let mut seen: Vec<(u64, (i64, i64), isize)> = seen.take();
/// #     seen.sort();
/// #     seen.retain(|(time, _, _)| *time == 1);
/// #     seen
/// # });
/// assert_eq!(seen, [(1, (2, 13), 1), (1, (3, 11), -1), (1, (3, 13), 1)]);
/// ```
pub fn scan<'scope, Tr, K, V, L>(
    arranged: Arranged<'scope, Tr>,
    name: &str,
    logic: L,
    bases: HashMap<K, L::Acc>,
    retires: fn(&u64) -> bool,
) -> (VecCollection<'scope, u64, (K, L::Out), isize>, BaseChanges<'scope, K, L::Acc>)
where
    Tr: ScanTrace<K, V>,
    K: ExchangeData + Hash,
    V: Positioned + 'static,
    L: Logic<K, V>,
{
    scan_spaced(arranged, name, logic, bases, retires, CHECKPOINT_EVERY)
}

/// Whether changes at a time are retirements: the last step of every epoch carries nothing else.
pub fn retires_at_last_step(time: &u64) -> bool {
    step_of(*time) == LAST_STEP
}

/// Values between two checkpoints: a change far back costs at most this many steps more.
const CHECKPOINT_EVERY: usize = 64;

/// The operator: takes batches as they arrive, then lets the trace compact.
fn scan_spaced<'scope, Tr, K, V, L>(
    arranged: Arranged<'scope, Tr>,
    name: &str,
    logic: L,
    bases: HashMap<K, L::Acc>,
    retires: fn(&u64) -> bool,
    checkpoint_every: usize,
) -> (VecCollection<'scope, u64, (K, L::Out), isize>, BaseChanges<'scope, K, L::Acc>)
where
    Tr: ScanTrace<K, V>,
    K: ExchangeData + Hash,
    V: Positioned + 'static,
    L: Logic<K, V>,
{
    let Arranged { stream, mut trace } = arranged;
    let mut builder = OperatorBuilder::new(name.to_string(), stream.scope());
    let mut input = builder.new_input(stream, Pipeline);
    let (output, changes) = builder.new_output::<Vec<((K, L::Out), u64, isize)>>();
    let mut output = OutputBuilder::<u64, CapacityContainerBuilder<_>>::from(output);
    let (base_output, base_changes) = builder.new_output::<Vec<(K, Option<L::Acc>)>>();
    let mut base_output = OutputBuilder::<u64, CapacityContainerBuilder<_>>::from(base_output);

    builder.build(move |_| {
        let mut keys = KeyedSeries::new(logic, bases, retires, checkpoint_every);
        let mut upper = Antichain::from_elem(0);
        move |frontiers| {
            let mut batches = Vec::new();
            let mut held: [Option<Capability<u64>>; 2] = [None, None];
            input.for_each(|stamp, spans| {
                for (port, held) in held.iter_mut().enumerate() {
                    *held = earlier(held.take(), stamp.retain_least(port));
                }
                for span in spans.drain(..) {
                    upper.clone_from(span.upper());
                    batches.extend(span.inner);
                }
            });
            if let [Some(capability), Some(base_capability)] = &held
                && !batches.is_empty()
            {
                let mut output = output.activate();
                let mut session = output.session(capability);
                let store = trace.batches_through(upper.borrow()).expect("the trace is cut where its batches end");
                let moved = keys.follow(batches, store, &mut |out, time, diff| session.give((out, time, diff)));
                let mut base_output = base_output.activate();
                for (time, changes) in moved {
                    base_output.session(&base_capability.delayed(&time)).give_iterator(changes.into_iter());
                }
            }
            // Advance over spans without updates, then let the trace compact: logically to just before the frontier, since
            // reading "before time t" needs updates of t kept apart from earlier ones.
            trace.advance_upper(&mut upper);
            let before: Antichain<u64> = frontiers[0].frontier().iter().map(|time| time.saturating_sub(1)).collect();
            trace.set_logical_compaction(before.borrow());
            trace.set_physical_compaction(upper.borrow());
        }
    });
    (changes.as_collection(), base_changes)
}

fn earlier(left: Option<Capability<u64>>, right: Option<Capability<u64>>) -> Option<Capability<u64>> {
    match (left, right) {
        (Some(left), Some(right)) => Some(if right.time() < left.time() { right } else { left }),
        (left, right) => left.or(right),
    }
}
