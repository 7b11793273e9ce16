//! The operators of a dataflow and what flows between them, as values: for the text, the drawing and JSON.
//!
//! Why not read off a running dataflow: a plan must not need a broker or a lake. What must always hold: an operator's name
//! is the one that timely knows it by (a test looks for each in the source of the graph), and a place is on the grid once.

use std::collections::BTreeMap;
use ticktide_base::time::Interval;
use ticktide_dataflow::{Dataflow, Dedupe, Volume};
use ticktide_engine::ingest::tick_checks;
use ticktide_flow::anomalies::Check;
use ticktide_lake::commit::announce;
use ticktide_lake::table::spec::TableSpec;
use ticktide_tables::set::Tables;

/// Where an operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// On a thread of its own beside each worker that has partitions.
    Thread,
    EveryWorker,
    WorkerZero,
}

impl Runs {
    pub fn name(self) -> &'static str {
        match self {
            Runs::Thread => "reader thread",
            Runs::EveryWorker => "every worker",
            Runs::WorkerZero => "worker 0",
        }
    }
}

/// One operator, and its place on the drawing's grid.
#[derive(Clone, Debug)]
pub struct Node {
    /// Timely's name of the operator, and what tells two of one name apart.
    pub operator: &'static str,
    pub of: String,
    pub doc: String,
    pub runs: Runs,
    pub column: usize,
    pub row: usize,
}

impl Node {
    pub fn name(&self) -> String {
        if self.of.is_empty() { self.operator.to_owned() } else { format!("{} {}", self.operator, self.of) }
    }
}

/// What flows from one operator to another (indices into [`Graph::nodes`]).
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub what: &'static str,
    /// How it crosses workers, if it does.
    pub by: Option<&'static str>,
}

/// A dataflow as it would be built.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// What the lake then has, the announcing tables last; histories follow their tables.
    pub tables: Vec<TableSpec>,
}

impl Graph {
    /// The graph of a dataflow; `outputs`: indicator outputs by interval, as [`Tables::new`] takes them.
    pub fn new(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Graph {
        let mut graph = Graph { nodes: Vec::new(), edges: Vec::new(), tables: tables(dataflow, outputs) };
        let cumulative = dataflow.volume == Volume::Cumulative;
        let intervals: Vec<String> = dataflow.bars.iter().map(|interval| interval.name()).collect();
        let source = &dataflow.source;
        let read = match source.uses.as_str() {
            "kafka" => format!("kafka topics {}, wire {}", source.topics.join(", "), source.wire.format),
            "file" if source.paths.is_empty() => format!("files of --path, wire {}", source.wire.format),
            "file" => format!("files {}, wire {}", source.paths.join(", "), source.wire.format),
            other => format!("{other} source, wire {}", source.wire.format),
        };
        let mut column = 0;
        let mut next = || {
            column += 1;
            column - 1
        };
        let reader = graph.node("Reader", "", read, Runs::Thread, next(), 1);
        let at = next();
        let mint = graph.node("Mint", "", "where epochs end, and what each of them is".into(), Runs::WorkerZero, at, 0);
        let stamp = "cleans, finds duplicates, sums a step, stamps it with its epoch".to_owned();
        let stamped = graph.node("Source", "", stamp, Runs::EveryWorker, at, 1);
        let live = format!("live bars of {}; owner by instrument", intervals.join(", "));
        let bars = graph.node("Bars", "", live, Runs::EveryWorker, next(), 1);
        graph.edge(reader, stamped, "batches of ticks and rejects", None);
        graph.edge(stamped, mint, "reports", Some("to worker 0"));
        graph.edge(mint, stamped, "grants, cuts, bindings", Some("to every worker"));
        let routed = match (cumulative, dataflow.corrections, dataflow.dedupe) {
            (true, ..) | (_, false, Dedupe::Partition) => "sums of a step",
            (_, true, _) => "trades, cancels, corrections",
            (_, false, Dedupe::Instrument) => "trades",
        };
        graph.edge(stamped, bars, routed, Some("by instrument"));
        let finished = match cumulative {
            true => {
                let doc = "a day's cumulative volume becomes each bar's".to_owned();
                let volume = graph.node("Volume", "", doc, Runs::EveryWorker, next(), 1);
                graph.edge(bars, volume, "changes of bars", None);
                volume
            }
            false => bars,
        };
        let mut closes = Vec::new();
        let (mut bar_checks, mut feed_checks) = (BTreeMap::<Interval, Vec<&str>>::new(), Vec::new());
        let mut listed_checks = Vec::new();
        for used in &dataflow.anomalies {
            match (used.build().check, used.on()) {
                (Check::Bar(_), Some(on)) => bar_checks.entry(on).or_default().push(used.name()),
                (Check::Feed(_), Some(on)) => feed_checks.push(format!("{} on {}", used.name(), on.name())),
                (Check::Listed(_), Some(on)) => listed_checks.push(format!("{} on {}", used.name(), on.name())),
                _ => {} // of ticks: the source's, or those of suspects
            }
        }
        let arranged = (!outputs.is_empty() || !bar_checks.is_empty()).then(|| {
            let doc = "one shared arrangement: series to finished bars in order".to_owned();
            let arranged = graph.node("Finished", "", doc, Runs::EveryWorker, next(), 2);
            graph.edge(finished, arranged, "changes of bars", None);
            arranged
        });
        let ticks = tick_checks(dataflow);
        let suspects = ticks.by_name && !ticks.is_empty();
        let scans = arranged.is_some()
            || !feed_checks.is_empty()
            || suspects
            || ticks.partitions.is_some()
            || dataflow.instruments;
        let (scan_at, close_at) = if scans { (next(), next()) } else { (0, next()) };
        let doc =
            format!("holds bars back until closed, grace {}", ticktide_base::document::duration_text(dataflow.grace));
        let close = graph.node("Close", "bars", doc, Runs::EveryWorker, close_at, 1);
        graph.edge(finished, close, "changes of bars", None);
        closes.push(close);
        for (index, (interval, names)) in outputs.iter().enumerate() {
            let Some(arranged) = arranged else { continue };
            let (name, row) = (interval.name(), 2 + index);
            let scan = graph.node("Indicators", &name, names.join(", "), Runs::EveryWorker, scan_at, row);
            let doc = "holds readings back until their bar is closed".to_owned();
            let close = graph.node("Close", &format!("readings {name}"), doc, Runs::EveryWorker, close_at, row);
            graph.edge(arranged, scan, "bars in order", None);
            graph.edge(scan, close, "changes of readings", None);
            closes.push(close);
        }
        let mut row = 2 + outputs.len();
        if !bar_checks.is_empty() || !feed_checks.is_empty() || !listed_checks.is_empty() {
            let doc = "holds anomalies back until their bar is closed".to_owned();
            let close = graph.node("Close", "anomalies", doc, Runs::EveryWorker, close_at, row);
            for (interval, names) in bar_checks {
                let Some(arranged) = arranged else { continue };
                let scan = graph.node("Anomalies", &interval.name(), names.join(", "), Runs::EveryWorker, scan_at, row);
                graph.edge(arranged, scan, "bars in order", None);
                graph.edge(scan, close, "changes of anomalies", None);
                row += 1;
            }
            if !feed_checks.is_empty() {
                let gaps = graph.node("Feed gaps", "", feed_checks.join(", "), Runs::EveryWorker, scan_at, row);
                graph.edge(finished, gaps, "which bars there are", Some("by venue"));
                graph.edge(gaps, close, "changes of anomalies", None);
                row += 1;
            }
            if !listed_checks.is_empty() {
                let joined = graph.node("Listed bars", "", listed_checks.join(", "), Runs::EveryWorker, scan_at, row);
                graph.edge(finished, joined, "changes of bars", None);
                graph.edge(joined, close, "changes of anomalies", None);
                row += 1;
            }
            closes.push(close);
        }
        if dataflow.instruments {
            let doc = "masters and price bands by day; bars, readings and anomalies are joined with them".to_owned();
            let listings = graph.node("Listings", "", doc, Runs::EveryWorker, scan_at, row);
            graph.edge(stamped, listings, "masters, price bands", Some("by instrument"));
            for close in closes.clone() {
                graph.edge(listings, close, "symbols", None);
            }
            closes.push(listings);
            row += 1;
        }
        let suspected = suspects.then(|| {
            let doc = "odd ticks that may still be taken back".to_owned();
            let suspected = graph.node("Suspects", "", doc, Runs::EveryWorker, scan_at, row);
            graph.edge(stamped, suspected, "odd ticks", Some("by instrument"));
            row += 1;
            suspected
        });
        let sighted = ticks.partitions.map(|_| {
            let doc = "instruments that come through several partitions".to_owned();
            let sighted = graph.node("Two partitions", "", doc, Runs::EveryWorker, scan_at, row);
            graph.edge(stamped, sighted, "first ticks of a day", Some("by instrument"));
            sighted
        });
        let doc = "buffers an epoch; an I/O task writes Parquet and state".to_owned();
        let write = graph.node("Write", "", doc, Runs::EveryWorker, next(), 1);
        let doc = "decides the epoch in the log, then brings the tables to it".to_owned();
        let commit = graph.node("Commit", "", doc, Runs::WorkerZero, next(), 1);
        for close in closes.into_iter().chain(suspected).chain(sighted) {
            graph.edge(close, write, "net changes of the epoch", None);
        }
        graph.edge(write, commit, "written parts", Some("to worker 0"));
        graph.edge(bars, write, "state, refused records", None);
        if finished != bars {
            graph.edge(finished, write, "state", None);
        }
        let aside = if dataflow.ticks { "ticks, quarantine, state, counts" } else { "quarantine, state, counts" };
        graph.edge(stamped, write, aside, None);
        graph.edge(commit, mint, "decided epochs", None);
        graph
    }

    fn node(&mut self, operator: &'static str, of: &str, doc: String, runs: Runs, column: usize, row: usize) -> usize {
        self.nodes.push(Node { operator, of: of.to_owned(), doc, runs, column, row });
        self.nodes.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, what: &'static str, by: Option<&'static str>) {
        self.edges.push(Edge { from, to, what, by });
    }
}

/// Every table of a dataflow's lake.
fn tables(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Vec<TableSpec> {
    let mut tables = Vec::new();
    for spec in Tables::new(dataflow, outputs).specs() {
        let history = spec.history.then(|| spec.history_spec());
        tables.push(spec);
        tables.extend(history);
    }
    tables.extend([announce::epochs_spec(), announce::epoch_tables_spec()]);
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use ticktide_dataflow::SHIPPED;

    fn graph(name: &str) -> Graph {
        graph_with(name, &[])
    }

    fn graph_with(name: &str, set: &[&str]) -> Graph {
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        super::super::graph_of(&Dataflow::load(name, &[], &set).expect("a shipped dataflow")).expect("it is built")
    }

    /// Every shipped dataflow, and what none of them has.
    fn graphs() -> Vec<(String, Graph)> {
        let shipped = SHIPPED.iter().map(|(name, _)| ((*name).to_owned(), graph(name)));
        let more = [
            ("market", &["source.volume=cumulative"][..]),
            ("market", &["source.corrections=true"]),
            ("bars", &["source.volume=cumulative"]),
        ];
        let more = more.into_iter().map(|(name, set)| (format!("{name} {set:?}"), graph_with(name, set)));
        shipped.chain(more).collect()
    }

    #[test]
    fn every_operator_has_the_name_that_the_running_graph_gives_it() {
        let source = [
            include_str!("../../engine/graph/operators/mod.rs"),
            include_str!("../../engine/graph/mod.rs"),
            include_str!("../../engine/graph/checks.rs"),
            include_str!("../../engine/graph/instruments/mod.rs"),
            include_str!("../../flow/anomalies/scan.rs"),
            include_str!("../../flow/indicators/readings.rs"),
            include_str!("../../flow/bars/volume.rs"),
        ]
        .concat();
        for (name, graph) in graphs() {
            for node in graph.nodes.iter().filter(|node| node.runs != Runs::Thread) {
                assert!(source.contains(&format!("\"{}", node.operator)), "{name}: {}", node.operator);
            }
        }
    }

    #[test]
    fn no_two_operators_share_a_name_or_a_place_and_every_one_is_reached() {
        for (name, graph) in graphs() {
            let names: BTreeSet<String> = graph.nodes.iter().map(Node::name).collect();
            let places: BTreeSet<(usize, usize)> = graph.nodes.iter().map(|node| (node.column, node.row)).collect();
            assert_eq!((names.len(), places.len()), (graph.nodes.len(), graph.nodes.len()), "{name}");
            let reached: BTreeSet<usize> = graph.edges.iter().map(|edge| edge.to).collect();
            assert_eq!(reached.len(), graph.nodes.len() - 1, "{name}: all but the reader have an input");
        }
    }

    #[test]
    fn a_plan_has_the_tables_of_the_interface() {
        let names: Vec<String> = graph("bars").tables.iter().map(|table| table.name.clone()).collect();
        let wanted =
            ["bars_1s", "bars_1s_history", "bars_1m", "bars_1m_history", "quarantine", "epochs", "epoch_tables"];
        assert_eq!(names, wanted);
        let market = graph("market");
        let readings = market.tables.iter().find(|table| table.name == "indicators_1m").expect("readings");
        assert!(readings.column("macd_12_26_9_signal").is_some());
        assert!(market.tables.iter().any(|table| table.name == "ticks"));
    }
}
