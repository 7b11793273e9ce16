//! The operators' handling of time: what comes early waits, what is complete comes in order, what is undecided is held.

mod running;

use super::bars::bars;
use super::close::close;
use super::commit::commit;
use super::resumed::Resumed;
use super::rows::{Notice, SinkRow};
use crate::commit::{CommitJob, WorkerPart};
use differential_dataflow::AsCollection;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use ticktide_base::epoch::{Binding, Epoch, LAST_STEP, epoch_of, stamp, step_of};
use ticktide_base::failure::Failure;
use ticktide_base::rules::Rules;
use ticktide_base::time::{DAY, Interval, MINUTE, Nanos};
use ticktide_dataflow::evolution::Additions;
use ticktide_flow::bars::Reached;
use ticktide_flow::bars::Routed;
use ticktide_flow::bars::acc::TradeOrder;
use ticktide_flow::bars::finished::{FinishedBar, Series};
use ticktide_flow::bars::keyed::{BarsSpec, Emitted, Keyed};
use ticktide_flow::bars::trades::{RecordOrigin, Trade, TradeKey};
use ticktide_flow::clean::EpochHorizons;
use ticktide_flow::clean::duplicates::SeenEntry;
use ticktide_flow::close::RowChange;
use ticktide_flow::scan::Positioned as _;
use ticktide_lake::EpochPart;
use ticktide_market::Instrument;
use ticktide_market::calendar::{PhaseAt, Session};
use timely::dataflow::operators::vec::UnorderedInput;
use timely::dataflow::operators::vec::unordered_input::UnorderedHandle;
use timely::dataflow::operators::{ActivateCapability, Inspect, Probe};
use timely::worker::Worker;

type Seen<T> = Rc<RefCell<Vec<T>>>;
type Input<D> = (UnorderedHandle<u64, D>, ActivateCapability<u64>);

fn series() -> Series {
    (Interval(MINUTE), Instrument::new("X", "A", None))
}

fn bar(minute: Nanos, price: i64) -> FinishedBar {
    FinishedBar { open: price, high: price, low: price, close: price, ..FinishedBar::floor((minute * MINUTE, 0)) }
}

pub(super) fn trade(id: u8, price: i64) -> Routed {
    let phase = PhaseAt { phase: 0, trading_date: 0, start: 0, end: DAY };
    let order = TradeOrder { at: i64::from(id), offset: i64::from(id), price, quantity: 1, ..TradeOrder::default() };
    let trade = Trade { order, bucket_at: 0, sets_price: true, adds_volume: true };
    let place =
        RecordOrigin { partition: "t/0".into(), offset: i64::from(id), received_at: None, payload: Box::default() };
    let (instrument, key) = (series().1, TradeKey::Id(0, id.to_string().into()));
    let reached = Reached { kept_from: Nanos::MIN, known_from: Nanos::MIN };
    Routed::Trade { instrument, phase, mask: 1, key, trade, seen: None, reached, place }
}

/// A trade whose duplicates are found by an id.
pub(super) fn known_as(id: &str, offset: u8, price: i64) -> Routed {
    let mut told = trade(offset, price);
    if let Routed::Trade { seen, .. } = &mut told {
        *seen = Some(SeenEntry::Id(id.into(), price as u32, 0));
    }
    told
}

pub(super) fn keyed() -> Keyed {
    let intervals = vec![Interval(MINUTE)];
    Keyed::new(BarsSpec { intervals, corrections: true, carries: false, dedupe_here: false, prices_signed: false })
}

pub(super) fn close_of(bar: &Emitted) -> i64 {
    match bar {
        Emitted::Finished(bar) => bar.close,
        Emitted::Snapshot(_) => panic!("a bar of trades"),
    }
}

pub(super) fn horizons() -> EpochHorizons {
    EpochHorizons { intervals: vec![Nanos::MIN], retained_from: Nanos::MIN, ..EpochHorizons::default() }
}

pub(super) fn begin(epoch: Epoch) -> Notice {
    Notice::Begin(epoch, horizons())
}

pub(super) fn bind(epoch: Epoch, closed_until: Nanos) -> Notice {
    Notice::Bind(Arc::new(Binding { epoch, closed_until: Some(closed_until), ..Binding::default() }))
}

/// A run of minutes that begins with an epoch, after what is published.
fn resumed(first: Epoch, binding: Binding) -> Resumed {
    let session = Arc::new(Session::preset("utc-day").expect("a preset"));
    let intervals = vec![Interval(MINUTE)];
    Resumed {
        first,
        binding,
        horizons: horizons(),
        intervals,
        session,
        additions: Additions::default(),
        rules: Rules::NEWEST,
    }
}

fn part(worker: usize, epoch: Epoch) -> WorkerPart {
    let part = EpochPart { worker, tables: Vec::new(), state: Vec::new() };
    let binding = Binding { epoch, ..Binding::default() };
    WorkerPart { part, counts: BTreeMap::new(), reasons: BTreeMap::new(), samples: Default::default(), binding }
}

/// Lets the worker do all that it can do now.
fn settle(worker: &mut Worker) {
    (0..20).for_each(|_| {
        worker.step();
    });
}

/// The bars operator with its two inputs, and what comes out: step, close of the bar, difference.
fn watched_bars(worker: &mut Worker) -> (Input<Routed>, Input<Notice>, Seen<(u64, i64, isize)>) {
    let seen: Seen<(u64, i64, isize)> = Rc::default();
    let into = seen.clone();
    let (routed, notices) = worker.dataflow(|scope| {
        let (routed, routed_stream) = scope.new_unordered_input();
        let (notices, notices_stream) = scope.new_unordered_input();
        let (changes, _) = bars("Bars", routed_stream, notices_stream, keyed(), &resumed(1, Binding::default()));
        changes.inner.inspect(move |((_, bar), time, diff)| {
            into.borrow_mut().push((step_of(*time), close_of(bar), *diff));
        });
        (routed, notices)
    });
    (routed, notices, seen)
}

#[test]
fn a_step_waits_for_both_inputs_and_steps_are_worked_through_in_their_order() {
    timely::execute_directly(|worker| {
        let ((mut routed, first), (mut notices, mut told), seen) = watched_bars(worker);
        let at = |step| first.delayed(&stamp(1, step));
        let (one, two, three) = (at(1), at(2), at(3));
        // the second step's record is there before the first one's
        routed.activate().session(&two).give(trade(2, 50));
        routed.activate().session(&one).give(trade(1, 70));
        drop((first, one, two));
        settle(worker);
        assert_eq!(*seen.borrow(), [], "the epoch's beginning may still come");
        notices.activate().session(&told.delayed(&stamp(1, 1))).give(begin(1));
        told = told.delayed(&stamp(1, 2));
        settle(worker);
        assert_eq!(*seen.borrow(), [(1, 70, 1)], "nothing can come for the first step");
        drop(told);
        settle(worker);
        let mut all = seen.take();
        all[1..].sort_unstable();
        assert_eq!(all, [(1, 70, 1), (2, 50, 1), (2, 70, -1)]);
        drop(three);
    });
}

#[test]
fn records_whose_duplicates_are_found_here_wait_for_each_other_and_come_in_their_partitions_order() {
    timely::execute_directly(|worker| {
        let seen: Seen<(u64, i64, isize)> = Rc::default();
        let into = seen.clone();
        let spec = BarsSpec {
            intervals: vec![Interval(MINUTE)],
            corrections: false,
            carries: false,
            dedupe_here: true,
            prices_signed: false,
        };
        let ((mut routed, first), (mut notices, told)) = worker.dataflow(|scope| {
            let (routed, routed_stream) = scope.new_unordered_input();
            let (notices, notices_stream) = scope.new_unordered_input();
            let (changes, _) =
                bars("Bars", routed_stream, notices_stream, Keyed::new(spec), &resumed(1, Binding::default()));
            changes.inner.inspect(move |((_, bar), time, diff)| {
                into.borrow_mut().push((step_of(*time), close_of(bar), *diff));
            });
            (routed, notices)
        });
        // one id, two contents: the record that arrives first is the later one of its partition
        let of = |offset: u8, price| known_as("x", offset, price);
        let (one, two) = (first.delayed(&stamp(1, 1)), first.delayed(&stamp(1, 2)));
        notices.activate().session(&told.delayed(&stamp(1, 0))).give(begin(1));
        drop((told, first));
        routed.activate().session(&one).give(of(2, 70));
        drop(one);
        settle(worker);
        assert_eq!(*seen.borrow(), [], "the epoch may have more");
        routed.activate().session(&two).give(of(1, 50));
        drop(two);
        settle(worker);
        assert_eq!(*seen.borrow(), [(LAST_STEP - 1, 50, 1)]);
    });
}

#[test]
fn what_an_epoch_begins_with_comes_before_its_records() {
    timely::execute_directly(|worker| {
        let ((mut routed, mut at), (mut notices, told), seen) = watched_bars(worker);
        at = at.delayed(&stamp(1, 1));
        // sent first, known second: the bar is before the horizon, and no longer changes
        routed.activate().session(&at).give(trade(1, 70));
        settle(worker);
        let begin = Notice::Begin(1, EpochHorizons { intervals: vec![MINUTE], ..horizons() });
        notices.activate().session(&told.delayed(&stamp(1, 1))).give(begin);
        drop((at, told));
        settle(worker);
        assert_eq!(*seen.borrow(), []);
    });
}

#[test]
fn rows_come_with_their_binding_and_what_was_published_before_a_restart_does_not_come_again() {
    timely::execute_directly(|worker| {
        let seen: Seen<(Epoch, Option<i64>, Option<i64>)> = Rc::default();
        let into = seen.clone();
        let ((mut changes, mut at), (mut notices, mut told)) = worker.dataflow(|scope| {
            let (changes, changes_stream) = scope.new_unordered_input::<((Series, FinishedBar), u64, isize)>();
            let (notices, notices_stream) = scope.new_unordered_input();
            // epoch 6 has published the first minute
            let published = Binding { epoch: 6, closed_until: Some(MINUTE), ..Binding::default() };
            let rows = close("Close", changes_stream.as_collection(), notices_stream, &resumed(7, published), |net| {
                SinkRow::Bar(RowChange::unnamed(net))
            });
            rows.inspect_core(move |event| {
                let Ok((stamp, rows)) = event else { return };
                let time = *stamp.least().expect("rows have a time");
                for row in rows {
                    let SinkRow::Bar(net) = row else { panic!("no bar: {row:?}") };
                    let [old, new] = [&net.old, &net.new].map(|side| side.as_ref().map(|bar| bar.row.close));
                    into.borrow_mut().push((epoch_of(time), old, new));
                }
            });
            (changes, notices)
        });
        let mut say = |time: u64, bar: FinishedBar, diff| {
            changes.activate().session(&at.delayed(&time)).give(((series(), bar), time, diff));
        };
        // what a restored state contains
        say(stamp(7, 0), bar(0, 10), 1);
        say(stamp(7, 0), bar(1, 20), 1);
        // the next epoch's correction is there before this one's binding
        say(stamp(8, 3), bar(1, 20), -1);
        say(stamp(8, 3), bar(1, 21), 1);
        // a retirement is no news
        say(stamp(7, LAST_STEP), bar(0, 10), -1);
        for (epoch, minutes) in [(7, 2), (8, 3)] {
            notices.activate().session(&told.delayed(&stamp(epoch, LAST_STEP))).give(bind(epoch, minutes * MINUTE));
        }
        settle(worker);
        assert_eq!(*seen.borrow(), [], "a change of epoch 7 may still come");
        (at, told) = (at.delayed(&stamp(8, 0)), told.delayed(&stamp(9, 0)));
        settle(worker);
        assert_eq!(*seen.borrow(), [(7, None, Some(20))]);
        drop((at, told));
        settle(worker);
        assert_eq!(*seen.borrow(), [(7, None, Some(20)), (8, Some(20), Some(21))]);
    });
}

#[test]
fn an_epoch_is_given_to_commit_when_it_is_complete_and_held_until_it_is_decided() {
    timely::execute_directly(|worker| {
        let (jobs, mut given) = tokio::sync::mpsc::unbounded_channel::<CommitJob>();
        let (decide, decided) = std::sync::mpsc::channel();
        let failure = Arc::new(Failure::default());
        let (task, woken) = (failure.clone(), Rc::new(RefCell::new(None)));
        let wake = woken.clone();
        let ((mut parts, at), probe) = worker.dataflow(|scope| {
            let (parts, stream) = scope.new_unordered_input();
            let told = move |activator| *wake.borrow_mut() = Some(activator);
            let (probe, _) = commit("Commit", stream, Some(jobs), decided, told, task).probe();
            (parts, probe)
        });
        let [first, second] = [1, 2].map(|epoch| at.delayed(&stamp(epoch, LAST_STEP)));
        drop(at);
        parts.activate().session(&second).give(part(0, 2));
        parts.activate().session(&first).give(part(0, 1));
        settle(worker);
        assert!(given.try_recv().is_err(), "another worker's part may still come");
        drop((first, second));
        settle(worker);
        let epochs: Vec<Epoch> = std::iter::from_fn(|| given.try_recv().ok()).map(|job| job.epoch).collect();
        assert_eq!(epochs, [1, 2]);
        let first = stamp(1, LAST_STEP);
        assert!(probe.less_equal(&first), "epoch 1 is not decided");
        let mut tell = |epoch| {
            decide.send(epoch).expect("the operator is there");
            woken.borrow().as_ref().expect("the operator has told").activate().expect("its worker is there");
            settle(worker);
        };
        tell(1);
        assert!(!probe.less_equal(&first) && probe.less_equal(&stamp(2, LAST_STEP)), "epoch 1 is, epoch 2 is not");
        tell(2);
        assert!(probe.done() && !failure.is_met());
        assert!(matches!(given.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Disconnected)), "no more come");
    });
}

#[test]
fn an_epoch_with_a_part_too_many_is_never_committed() {
    timely::execute_directly(|worker| {
        let (jobs, mut given) = tokio::sync::mpsc::unbounded_channel::<CommitJob>();
        let (_decide, decided) = std::sync::mpsc::channel();
        let failure = Arc::new(Failure::default());
        let task = failure.clone();
        let (mut parts, at) = worker.dataflow(|scope| {
            let (parts, stream) = scope.new_unordered_input();
            commit("Commit", stream, Some(jobs), decided, |_| {}, task);
            parts
        });
        let cap = at.delayed(&stamp(1, LAST_STEP));
        parts.activate().session(&cap).give_iterator([part(0, 1), part(1, 1)].into_iter());
        drop((at, cap));
        settle(worker);
        assert!(given.try_recv().is_err(), "no job");
        let error = failure.take().expect("a failure").to_string();
        assert!(error.contains("epoch 1 has 2 parts of 1 workers"), "{error}");
    });
}
