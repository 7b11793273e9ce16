//! The ordered scan: what depends on everything before it, per key, kept right when the past changes.
//!
//! ```text
//!   arranged: key → (position, value)          values of one key, in order:   v1   v2   v3 … v64 … v128 …  vn
//!         │ batches                            accumulators kept:           base             ●      ●     ●  ● head
//!         ▼                                                                                checkpoints   before, at
//!   scan ──▶ (key, output) ±1
//!       └──▶ changes of bases (durable state)
//! ```
//!
//! Why not `reduce`: it would compute a key's whole history for every change of its last bar. Here an appended value or a
//! change of the last one costs one step from the head and never looks at the trace; a change further back walks the old
//! and the new values side by side from the checkpoint before it and stops as soon as both accumulators are equal, bit for
//! bit: from there on every output is what it was.
//!
//! Why retirement is a change "by time": values leave the arrangement from below when the horizon passes them, in the last
//! step of an epoch, where no data comes. There the accumulator after the last value that leaves becomes the key's base;
//! later accumulators and outputs stay what they were, so nothing is emitted (a scan whose outputs are arranged again
//! passes the retirement on: [`Logic::FORWARDS`]). With the bases and the live values a restart needs nothing else.
//!
//! What must always hold: at most one live value per key and position (else the worker stops: nothing after it could be
//! right); retired values are the lowest; the output at any time equals a scan over the values live at that time.

mod reader;
mod series;
#[cfg(test)]
mod tests;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::cursor::cursor_list;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, TraceReader};
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use reader::Reader;
use serde::{Serialize, de::DeserializeOwned};
use series::Series;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use ticktide_base::epoch::{LAST_STEP, step_of};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

/// The place of a value in its series: (open_at, phase).
pub type Position = (i64, u8);

/// A value that knows its place; its order must be that of positions first.
pub trait Positioned: Clone + Ord {
    fn position(&self) -> Position;
    /// The least value at a position, to seek with.
    fn floor(position: Position) -> Self;
}

/// What a scan computes.
pub trait Logic<K, V>: 'static {
    /// Everything a key's later outputs depend on. Two are equal iff all outputs after them are: floats by bits.
    type Acc: Clone + Eq + Serialize + DeserializeOwned + 'static;
    /// What is said at a value; carries the position where that matters.
    type Out: ExchangeData;

    /// Whether outputs of retired values are retracted at the time of retirement, for a downstream arrangement that
    /// retires them in turn.
    const FORWARDS: bool = false;

    /// The accumulator before a key's first value ever.
    fn initial(&self, key: &K) -> Self::Acc;
    /// Takes the next value; a pure function of its arguments.
    fn step(&self, key: &K, acc: &mut Self::Acc, value: &V) -> Self::Out;
    /// Whether this scan reads the key: scans of several intervals share one arrangement.
    fn applies(&self, _key: &K) -> bool {
        true
    }
}

/// Changes of bases: the accumulator after the last retired value of a key, `None` when it is the initial one again.
pub type BaseChanges<'scope, K, A> = Stream<'scope, u64, Vec<(K, Option<A>)>>;

/// Scans every key of `arranged` that `logic` reads. `bases` are those of an earlier run, whose live values come again as
/// additions; at times for which `retires` holds, changes are retirements of the lowest values.
pub fn scan<'scope, Tr, K, V, L>(
    arranged: Arranged<'scope, Tr>,
    name: &str,
    logic: L,
    bases: HashMap<K, L::Acc>,
    retires: fn(&u64) -> bool,
) -> (VecCollection<'scope, u64, (K, L::Out), isize>, BaseChanges<'scope, K, L::Acc>)
where
    Tr: TraceReader<Batch: Navigable, Time = u64> + Clone + 'static,
    for<'a> BatchCursor<Tr>: Cursor<Key<'a> = &'a K, Val<'a> = &'a V, ValOwn = V, Time = u64, Diff = isize>,
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

/// Values between two checkpoints: a change far back costs at most so many steps more.
const CHECKPOINT_EVERY: usize = 64;

fn scan_spaced<'scope, Tr, K, V, L>(
    arranged: Arranged<'scope, Tr>,
    name: &str,
    logic: L,
    mut bases: HashMap<K, L::Acc>,
    retires: fn(&u64) -> bool,
    checkpoint_every: usize,
) -> (VecCollection<'scope, u64, (K, L::Out), isize>, BaseChanges<'scope, K, L::Acc>)
where
    Tr: TraceReader<Batch: Navigable, Time = u64> + Clone + 'static,
    for<'a> BatchCursor<Tr>: Cursor<Key<'a> = &'a K, Val<'a> = &'a V, ValOwn = V, Time = u64, Diff = isize>,
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
        let mut all: HashMap<K, Series<V, L::Acc, L::Out>, ahash::RandomState> = HashMap::default();
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
                let mut retired: BTreeMap<u64, Vec<(K, Option<L::Acc>)>> = BTreeMap::new();
                let store = trace.batches_through(upper.borrow()).expect("the trace is cut where its batches end");
                let mut reader = Reader::new(store);
                let (mut cursor, storage) = cursor_list(batches);
                while let Some(key) = cursor.get_key(&storage) {
                    if !logic.applies(key) {
                        cursor.step_key(&storage);
                        continue;
                    }
                    let mut updates: Vec<(u64, &V, isize)> = Vec::new();
                    while let Some(value) = cursor.get_val(&storage) {
                        cursor.map_times(&storage, |time, diff| {
                            let time = <BatchCursor<Tr> as Cursor>::owned_time(time);
                            updates.push((time, value, <BatchCursor<Tr> as Cursor>::owned_diff(diff)));
                        });
                        cursor.step_val(&storage);
                    }
                    // Stable: values of one time stay in their order.
                    updates.sort_by_key(|(time, _, _)| *time);
                    let mut moved: Vec<(u64, Option<L::Acc>)> = Vec::new();
                    let series = match all.get_mut(key) {
                        Some(series) => series,
                        None => {
                            let base = bases.remove_entry(key);
                            let (own, base) = base.unwrap_or_else(|| (key.clone(), logic.initial(key)));
                            all.entry(own).or_insert_with(|| Series::new(base, checkpoint_every))
                        }
                    };
                    let step = |acc: &mut L::Acc, value: &V| logic.step(key, acc, value);
                    for round in updates.chunk_by(|left, right| left.0 == right.0) {
                        let time = round[0].0;
                        let mut emit = |out: L::Out, diff: isize| session.give(((key.clone(), out), time, diff));
                        let done = if retires(&time) {
                            let forward = L::FORWARDS.then_some(&mut emit as &mut dyn FnMut(L::Out, isize));
                            series.retire(&step, round, &mut reader.read(key, time), forward)
                        } else {
                            series.change(&step, round, || reader.read(key, time), &mut emit).map(|()| false)
                        };
                        match done {
                            Ok(false) => (),
                            Ok(true) => {
                                let base = series.base();
                                let base = (*base != logic.initial(key)).then(|| base.clone());
                                moved.push((time, base));
                            }
                            Err(fault) => panic!("scan of {key:?} at time {time}: {fault}"),
                        }
                    }
                    // keys that are equal may be written differently: a base stays under the one that it came with
                    if let Some((own, _)) = all.get_key_value(key).filter(|_| !moved.is_empty()) {
                        for (time, base) in moved {
                            retired.entry(time).or_default().push((own.clone(), base));
                        }
                    }
                    cursor.step_key(&storage);
                }
                let mut base_output = base_output.activate();
                for (time, changes) in retired {
                    base_output.session(&base_capability.delayed(&time)).give_iterator(changes.into_iter());
                }
            }
            // Over spans without updates, then let the trace compact. Logically to just before the frontier: reading "before
            // time t" needs updates of t kept apart from earlier ones.
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
