//! The graph that timely runs, compared with its topology.

use super::super::source::{Credit, ReadPace, SourceInput, SourceLogic, Wires};
use super::super::topology::{Edge, Operator, Topology};
use super::super::write::PartWriter;
use super::super::{Built, CommitWay, build, outputs};
use super::{Interval, Resumed};
use crate::epochs::control::control;
use crate::graph::checks::Checks;
use crate::ingest::Intake;
use crate::restore::restore;
use crate::share::Share;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;
use ticktide_base::failure::Failure;
use ticktide_base::metrics::Telemetry;
use ticktide_base::panics::PanicAt;
use ticktide_base::time::SECOND;
use ticktide_dataflow::evolution::Additions;
use ticktide_dataflow::{Dataflow, SHIPPED, composites};
use ticktide_feed::Partition;
use ticktide_lake::{Lake, LakeOptions, LakeWriter, Resume, Warehouse};
use ticktide_tables::set::Tables;
use timely::dataflow::ProbeHandle;
use timely::logging::{TimelyEvent, TimelyEventBuilder};

/// What timely logs of a dataflow while it is built: operators by their number, and which one feeds which.
#[derive(Clone, Debug, Default)]
struct Logged {
    names: BTreeMap<usize, String>,
    channels: Vec<(usize, usize)>,
}

impl Logged {
    fn take(&mut self, event: &TimelyEvent) {
        match event {
            // the dataflow itself has one number, its operators have two
            TimelyEvent::Operates(operator) if operator.addr.len() == 2 => {
                self.names.insert(operator.addr[1], operator.name.clone());
            }
            TimelyEvent::Channels(channel) if channel.scope_addr.len() == 1 => {
                self.channels.push((channel.source.0, channel.target.0));
            }
            _ => {}
        }
    }

    fn called(&self, name: &str) -> BTreeSet<usize> {
        self.names.iter().filter(|(_, other)| *other == name).map(|(number, _)| *number).collect()
    }

    /// The operators that one feeds, directly or through some that are not nodes.
    fn fed_by(&self, from: usize, nodes: &BTreeSet<String>) -> BTreeSet<usize> {
        let (mut fed, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(from) = open.pop() {
            for (_, to) in self.channels.iter().filter(|(source, _)| *source == from) {
                if fed.insert(*to) && !self.names.get(to).is_some_and(|name| nodes.contains(name)) {
                    open.push(*to);
                }
            }
        }
        fed
    }
}

/// An empty lake, for tests that need one and do not use it.
fn writer(folder: &std::path::Path, runtime: &tokio::runtime::Runtime) -> LakeWriter {
    let options = LakeOptions {
        warehouse: Warehouse::Folder(folder.to_owned()),
        catalog: None,
        namespace: "market".into(),
        dataflow: "none".into(),
        dataflow_hash: "none".into(),
        settings_json: "{}".into(),
        code_version: "none".into(),
        rewrite_bytes_max: 1,
    };
    runtime.block_on(Lake::open(options, Vec::new())).expect("opens").0.writer()
}

/// Builds a dataflow on a worker, and returns its topology and what timely logs.
fn built(dataflow: &Dataflow, writer: LakeWriter, runtime: tokio::runtime::Handle) -> (Topology, Logged) {
    let dataflow = dataflow.clone();
    timely::execute_directly(move |worker| {
        let logged: Rc<RefCell<Logged>> = Rc::default();
        let into = logged.clone();
        worker.log_register().expect("workers log").insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            let events = events.iter().flatten();
            events.for_each(|(_, event)| into.borrow_mut().take(event));
        });
        let resume = Resume {
            generation: 1,
            binding: None,
            epoch_next: 1,
            bindings: Vec::new(),
            state: Vec::new(),
            state_bytes: 0,
            lineages: Vec::new(),
        };
        let resumed = Resumed::new(&dataflow, &resume, &Additions::default());
        let partition =
            Partition { topic: "t".into(), partition: 0, source_id: String::new(), offset_start: 0, offset_end: 0 };
        let share = Share { index: 0, peers: 1 };
        let intake = Intake::new(&dataflow, &[partition], &[(0, 0)], &resumed.binding, share);
        let wires = Wires {
            decisions: Rc::default(),
            reports: Rc::default(),
            compute: ProbeHandle::new(),
            commit: ProbeHandle::new(),
            failure: Arc::new(Failure::default()),
            records: Arc::default(),
            figures: Telemetry::default().worker(0),
        };
        let composites = composites(&dataflow).expect("a dataflow that fits");
        let outputs: BTreeMap<Interval, Vec<String>> = outputs(&composites);
        let topology = Topology::new(&dataflow, &outputs);
        let all = Built {
            topology: topology.clone(),
            composites,
            checks: Checks::new(&dataflow, resumed.rules),
            restored: restore(&dataflow, &[], share, intake).expect("nothing is restored"),
            resumed,
            writing: PartWriter::new(0, Tables::new(&dataflow, &outputs), writer, runtime, PanicAt::default()),
        };
        let control = control(worker, Box::new(|_| Vec::new()), Rc::default());
        worker.log_register().expect("workers log").flush();
        assert_eq!(logged.take().called(&Operator::Mint.name()).len(), 1, "the decider is in the control dataflow");
        drop(control);
        let index = worker.next_dataflow_index();
        let (_batches, batches) = sync_channel(1);
        let (_decide, decided) = channel();
        worker
            .dataflow::<u64, _, _>(|scope| {
                let open = |intake, ports, _| {
                    let credit = Credit { steps: 1, bytes: 1 };
                    let pace = ReadPace { step_every: Duration::from_millis(50), max_skew: SECOND };
                    let inlet = SourceInput { intake, batches, paused: Arc::default() };
                    SourceLogic::new(0, inlet, wires.clone(), credit, pace, ports, 1)
                };
                build(scope, all, &wires, open, CommitWay { jobs: None, decided, woken: |_| {} })
            })
            .expect("all nodes are built");
        worker.log_register().expect("workers log").flush();
        worker.drop_dataflow(index);
        let logged = logged.borrow().clone();
        (topology, logged)
    })
}

/// Every shipped dataflow, and what none of them has.
fn dataflows() -> Vec<(String, Dataflow)> {
    let shipped = SHIPPED.iter().map(|(name, _)| (*name, &[][..]));
    let more = [
        ("market", &["source.volume=cumulative"][..]),
        ("market", &["source.corrections=true"]),
        ("bars", &["source.volume=cumulative"]),
    ];
    let load = |(name, set): (&str, &[&str])| {
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        (format!("{name} {set:?}"), Dataflow::load(name, &[], &set).expect("a shipped dataflow"))
    };
    shipped.chain(more).map(load).collect()
}

#[test]
fn the_running_graph_of_a_dataflow_has_the_operators_and_the_flows_of_its_topology() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let writer = writer(folder.path(), &runtime);
    for (dataflow, loaded) in dataflows() {
        let (topology, logged) = built(&loaded, writer.clone(), runtime.handle().clone());
        let elsewhere = |operator: Operator| matches!(operator, Operator::Reader | Operator::Mint);
        let nodes: Vec<Operator> =
            topology.nodes.iter().map(|node| node.operator).filter(|operator| !elsewhere(*operator)).collect();
        let names: BTreeSet<String> = nodes.iter().map(|operator| operator.name()).collect();
        for name in &names {
            let (wanted, there) = (nodes.iter().filter(|node| node.name() == *name).count(), logged.called(name).len());
            let several = *name == Operator::FeedGaps.name(); // one for each check of venues
            assert!(wanted == there || several && wanted <= there, "{dataflow}: {there} of {wanted} {name:?}");
        }
        for Edge { from, to, what, .. } in
            topology.edges.iter().filter(|edge| !elsewhere(edge.from) && !elsewhere(edge.to))
        {
            let fed = logged.called(&from.name()).into_iter().flat_map(|from| logged.fed_by(from, &names));
            let (fed, wanted) = (fed.collect::<BTreeSet<_>>(), logged.called(&to.name()));
            assert!(!fed.is_disjoint(&wanted), "{dataflow}: no {what} from {from:?} to {to:?}");
        }
        // and an operator that a topology lacks is not in the graph
        for operator in [Operator::Volume, Operator::Finished, Operator::Listings, Operator::ListedBars] {
            assert_eq!(!logged.called(&operator.name()).is_empty(), topology.has(operator), "{dataflow}: {operator:?}");
        }
    }
}
