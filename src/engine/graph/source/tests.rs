//! The source operator by itself: decisions and batches come in, reports and pauses go out.

use super::logic::STANDS_STILL;
use super::*;
use crate::epochs::{Decision, PartitionProgress, Report};
use crate::ingest::Intake;
use crate::ingest::Sniff;
use crate::share::Share;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use ticktide_base::epoch::{Binding, Epoch, Place};
use ticktide_base::failure::Failure;
use ticktide_base::metrics::Telemetry;
use ticktide_base::time::{Nanos, SECOND};
use ticktide_dataflow::Dataflow;
use ticktide_feed::{Batch, FeedError, Partition, Reject};
use ticktide_flow::clean::EpochHorizons;
use ticktide_market::{Instrument, InstrumentId, Price, Quantity, Tick, TickKind};
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

/// An operator over two partitions, and what surrounds it.
struct Bench<'w> {
    worker: &'w mut Worker,
    activator: Activator,
    batches: SyncSender<Result<Batch, FeedError>>,
    paused: Arc<Vec<AtomicBool>>,
    wires: Wires,
    next: [i64; 2],
}

/// Runs a script over an operator that begins with epoch 1, of a lake with these places.
fn bench(places: &[&str], script: impl FnOnce(&mut Bench<'_>) + Send + Sync + 'static) {
    let place = || Place::default();
    let places = places.iter().map(|name| ((*name).to_owned(), place())).collect();
    let resumed = Binding { places, ..Binding::default() };
    timely::execute_directly(move |worker| {
        let dataflow = Dataflow::load("bars", &[], &["idle_after=\"1ms\"".to_owned()]).expect("a shipped dataflow");
        let partition = |number| Partition {
            topic: "t".into(),
            partition: number,
            source_id: String::new(),
            offset_start: 0,
            offset_end: i64::MAX,
        };
        let intake =
            Intake::new(&dataflow, &[0, 1].map(partition), &[(0, 0), (1, 0)], &resumed, Share { index: 0, peers: 1 });
        let (send, receive) = sync_channel(100);
        let paused: Arc<Vec<AtomicBool>> = Arc::new([false; 2].map(AtomicBool::new).into());
        let wires = Wires {
            decisions: Rc::default(),
            reports: Rc::default(),
            compute: ProbeHandle::new(),
            commit: ProbeHandle::new(),
            failure: Arc::new(Failure::default()),
            records: Arc::default(),
            figures: Telemetry::default().worker(0),
        };
        let index = worker.next_dataflow_index();
        let activator = worker.dataflow::<u64, _, _>(|scope| {
            let sourced = source("Source", scope, |ports, _| {
                let credit = Credit { steps: 8, bytes: 1 << 20 };
                let pace = ReadPace { step_every: Duration::from_millis(50), max_skew: 60 * SECOND };
                let inlet = SourceInput { intake, batches: receive, paused: paused.clone() };
                let source = SourceLogic::new(0, inlet, wires.clone(), credit, pace, ports, 1);
                if resumed.places.is_empty() { source } else { source.going_on() }
            });
            sourced.activator
        });
        script(&mut Bench { worker, activator, batches: send, paused, wires, next: [0; 2] });
        worker.drop_dataflow(index);
    });
}

impl Bench<'_> {
    /// One activation, with these decisions; returns what was reported.
    fn turn(&mut self, decisions: impl IntoIterator<Item = Decision>) -> Vec<Report> {
        self.wires.decisions.borrow_mut().extend(decisions);
        self.activator.activate();
        self.worker.step();
        std::mem::take(&mut *self.wires.reports.borrow_mut())
    }

    fn grant(&self, epoch: Epoch) -> Decision {
        Decision::Grant {
            epoch,
            horizons: EpochHorizons { intervals: vec![Nanos::MIN; 2], ..EpochHorizons::default() },
        }
    }

    fn send(&mut self, mut batch: Batch) {
        let next = &mut self.next[batch.partition];
        batch.records = (batch.ticks.len() + batch.rejects.len()) as u64;
        *next += batch.records as i64;
        batch.offset_next = *next;
        self.batches.send(Ok(batch)).expect("room");
    }

    /// A tick of a partition, which is caught up with it.
    fn tick(&mut self, partition: usize, at: Nanos) {
        let mut batch = Batch::of(partition);
        batch.caught_up = true;
        if self.next == [0, 0] {
            batch.instruments = vec![Instrument::new("", "A", None)];
        }
        let tick = Tick {
            received_at: Some(at),
            witnessed: true,
            price: Some(Price(1)),
            quantity: Some(Quantity(1)),
            ..Tick::new(TickKind::Trade, InstrumentId(0), self.next[partition], at)
        };
        batch.push(tick, b"");
        self.send(batch);
    }

    /// More junk than a format that fits could have.
    fn junk(&mut self) {
        let offset = self.next[0];
        let reject = |offset| Reject {
            offset,
            received_at: None,
            reason: "not_json",
            detail: String::new(),
            payload: b"?".to_vec(),
        };
        let mut batch = Batch::of(0);
        batch.rejects = (offset..offset + Sniff::RECORDS as i64).map(reject).collect();
        self.send(batch);
    }
}

/// Which partitions a report of an epoch's end calls idle.
fn idle_at_end(reports: &[Report], of: Epoch) -> Vec<bool> {
    let ended = reports.iter().find_map(|report| match report {
        Report::Ended { epoch, partitions, .. } if *epoch == of => Some(partitions),
        _ => None,
    });
    ended.expect("it has ended").iter().map(|partition: &PartitionProgress| partition.idle).collect()
}

fn cut(epoch: Epoch) -> Decision {
    Decision::Cut { epoch, flush: false, last: false }
}

const AT: Nanos = 1_728_309_600 * SECOND;

#[test]
fn an_epoch_that_was_granted_and_cut_at_once_has_idle_partitions_only_where_it_was_looked() {
    bench(&[], |bench| {
        bench.turn([bench.grant(1)]);
        bench.tick(0, AT);
        bench.tick(1, AT);
        bench.turn([]);
        std::thread::sleep(Duration::from_millis(2)); // `idle_after` is a length of time
        bench.turn([]);
        let ended = bench.turn([cut(1)]);
        assert_eq!(idle_at_end(&ended, 1), [true, true], "nothing waited at the last look");
        // no grant, as when the store stalls: what comes meanwhile is not read
        bench.turn([]);
        bench.tick(1, AT + SECOND);
        std::thread::sleep(Duration::from_millis(600));
        bench.turn([]);
        let ended = bench.turn([bench.grant(2), bench.grant(3), cut(2)]);
        assert_eq!(idle_at_end(&ended, 2), [false, false], "one has unread records, and no check was made");
        std::thread::sleep(Duration::from_millis(2));
        bench.turn([]);
        std::thread::sleep(Duration::from_millis(2));
        bench.turn([]);
        assert_eq!(idle_at_end(&bench.turn([cut(3)]), 3), [true, true]);
    });
}

#[test]
fn a_partition_that_runs_ahead_is_paused_though_the_slowest_does_not_move() {
    bench(&[], |bench| {
        let all = |bench: &Bench<'_>| -> Vec<bool> {
            bench.paused.iter().map(|paused| paused.load(Ordering::Relaxed)).collect()
        };
        bench.tick(0, AT);
        bench.tick(1, AT);
        bench.turn([bench.grant(1), Decision::Slowest(Some(AT))]);
        assert_eq!(all(bench), [false, false]);
        // four times that differ: one wild tick moves nothing
        (61..65).for_each(|second| bench.tick(1, AT + second * SECOND));
        let begun = Instant::now();
        while all(bench) != [false, true] {
            assert!(begun.elapsed() < Duration::from_secs(20), "it runs on");
            bench.turn([]);
        }
        assert!(begun.elapsed() >= STANDS_STILL / 2, "one that moves is not checked all the time");
        bench.turn([Decision::Slowest(None)]);
        assert_eq!(all(bench), [false, false]);
    });
}

#[test]
fn a_wrong_format_ends_the_run_before_the_first_epoch_of_a_new_lake_and_never_later() {
    bench(&[], |bench| {
        bench.junk();
        bench.turn([bench.grant(1)]);
        let error = bench.wires.failure.take().expect("nothing is a tick");
        assert!(
            error.kind == ticktide_base::error::Kind::Fix && error.message.contains("of the first 1000"),
            "{error}"
        );
    });
    bench(&[], |bench| {
        bench.turn([bench.grant(1), bench.grant(2), cut(1)]);
        bench.junk();
        bench.turn([]);
        assert!(bench.wires.failure.take().is_none(), "the first epoch is over");
    });
    bench(&["t/0"], |bench| {
        bench.junk();
        bench.turn([bench.grant(5), bench.grant(1)]);
        assert!(bench.wires.failure.take().is_none(), "the lake has read it before");
        assert_eq!(bench.wires.records.load(Ordering::Relaxed), Sniff::RECORDS);
    });
}
