//! The operators of a dataflow and what flows between them, as a value: workers build it, and `ticktide plan` draws it.
//!
//! ```text
//!   Dataflow ─▶ Topology ─┬─▶ graph::build   each operator takes its name from its node, and no node may be left
//!                         └─▶ cli/plan       text, drawing, JSON
//! ```
//!
//! Why a value: whether an operator exists is decided here, once, so a plan needs no broker and no lake, and cannot differ
//! from what runs. What must always hold: nodes and edges are in the order of the flow; a node is in it if and only if every
//! worker builds it (test: `the_running_graph_of_a_dataflow_has_the_operators_and_the_flows_of_its_topology`).

use crate::ingest::tick_checks;
use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::document::duration_text;
use ticktide_base::error::Error;
use ticktide_base::time::Interval;
use ticktide_dataflow::{Dataflow, Dedupe, Volume};
use ticktide_flow::anomalies::Check;

/// Which operator a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// The thread that polls the source.
    Reader,
    /// In the control dataflow: decides where epochs end.
    Mint,
    Source,
    Bars,
    /// For cumulative feeds: the volume scan.
    Volume,
    /// The shared arrangement of finished bars.
    Finished,
    Indicators(Interval),
    Anomalies(Interval),
    FeedGaps,
    /// Finished bars joined with the terms of masters.
    ListedBars,
    Listings,
    Suspects,
    TwoPartitions,
    Close(Closes),
    Write,
    Commit,
}

/// What a close operator holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closes {
    Bars,
    Readings(Interval),
    Anomalies,
}

/// Where an operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On a thread of its own beside each worker that has partitions.
    Thread,
    EveryWorker,
    WorkerZero,
}

impl Operator {
    /// Its name in timely.
    pub fn name(self) -> String {
        match self {
            Operator::Close(_) => "Close".to_owned(),
            other => other.title(),
        }
    }

    /// Its name in a plan, unique there.
    pub fn title(self) -> String {
        let name = match self {
            Operator::Reader => "Reader",
            Operator::Mint => "Mint",
            Operator::Source => "Source",
            Operator::Bars => "Bars",
            Operator::Volume => "Volume",
            Operator::Finished => "Finished",
            Operator::Indicators(on) => return format!("Indicators {}", on.name()),
            Operator::Anomalies(on) => return format!("Anomalies {}", on.name()),
            Operator::FeedGaps => "Feed gaps",
            Operator::ListedBars => "Listed bars",
            Operator::Listings => "Listings",
            Operator::Suspects => "Suspects",
            Operator::TwoPartitions => "Two partitions",
            Operator::Close(Closes::Bars) => "Close bars",
            Operator::Close(Closes::Readings(on)) => return format!("Close readings {}", on.name()),
            Operator::Close(Closes::Anomalies) => "Close anomalies",
            Operator::Write => "Write",
            Operator::Commit => "Commit",
        };
        name.to_owned()
    }

    /// Where it runs.
    pub fn runs(self) -> Placement {
        match self {
            Operator::Reader => Placement::Thread,
            Operator::Mint | Operator::Commit => Placement::WorkerZero,
            _ => Placement::EveryWorker,
        }
    }

    /// Whether the data dataflow builds it: the reader is not a timely operator, and minting is a dataflow of its own.
    fn is_built(self) -> bool {
        !matches!(self, Operator::Reader | Operator::Mint)
    }
}

/// An operator of a dataflow, and what it does there.
#[derive(Clone, Debug)]
pub struct Node {
    pub operator: Operator,
    pub doc: String,
}

/// What flows from one operator to another.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: Operator,
    pub to: Operator,
    pub what: &'static str,
    /// How it crosses workers, if it does.
    pub by: Option<&'static str>,
}

/// A dataflow as every worker builds it.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// In the order of the flow; each operator once.
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

impl Topology {
    /// The topology of a dataflow; `outputs`: those of its indicators, by interval.
    pub fn new(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Topology {
        let mut topology = Topology::default();
        let checks = Used::of(dataflow);
        topology.read(dataflow);
        let finished = topology.finish(dataflow);
        let bars = Operator::Close(Closes::Bars);
        if !outputs.is_empty() || !checks.bars.is_empty() {
            topology.node(Operator::Finished, "one shared arrangement: series to finished bars in order");
            topology.edge(finished, Operator::Finished, "changes of bars", None);
        }
        topology.node(bars, format!("holds bars back until closed, grace {}", duration_text(dataflow.grace)));
        topology.edge(finished, bars, "changes of bars", None);
        let mut said = vec![bars];
        said.extend(topology.indicate(outputs));
        said.extend(topology.check(finished, &checks));
        if dataflow.instruments {
            topology.list(&mut said);
        }
        said.extend(topology.check_ticks(dataflow));
        topology.commit(dataflow, said);
        topology
    }

    /// From the outside to the stamped records.
    fn read(&mut self, dataflow: &Dataflow) {
        let source = &dataflow.source;
        let read = match source.uses.as_str() {
            "kafka" => format!("kafka topics {}, wire {}", source.topics.join(", "), source.wire.format),
            "file" if source.paths.is_empty() => format!("files of --path, wire {}", source.wire.format),
            "file" => format!("files {}, wire {}", source.paths.join(", "), source.wire.format),
            other => format!("{other} source, wire {}", source.wire.format),
        };
        self.node(Operator::Reader, read);
        self.node(Operator::Mint, "where epochs end, and what each of them is");
        self.node(Operator::Source, "cleans, finds duplicates, sums a step, stamps it with its epoch");
        self.edge(Operator::Reader, Operator::Source, "batches of ticks and rejects", None);
        self.edge(Operator::Source, Operator::Mint, "reports", Some("to worker 0"));
        self.edge(Operator::Mint, Operator::Source, "grants, cuts, bindings", Some("to every worker"));
    }

    /// From stamped records to finished bars; returns the operator that finishes them.
    fn finish(&mut self, dataflow: &Dataflow) -> Operator {
        let cumulative = dataflow.volume == Volume::Cumulative;
        let intervals: Vec<String> = dataflow.bars.iter().map(|interval| interval.name()).collect();
        self.node(Operator::Bars, format!("live bars of {}; owner by instrument", intervals.join(", ")));
        let routed = match (cumulative, dataflow.corrections, dataflow.dedupe) {
            (true, ..) | (_, false, Dedupe::Partition) => "sums of a step",
            (_, true, _) => "trades, cancels, corrections",
            (_, false, Dedupe::Instrument) => "trades",
        };
        self.edge(Operator::Source, Operator::Bars, routed, Some("by instrument"));
        if !cumulative {
            return Operator::Bars;
        }
        self.node(Operator::Volume, "a day's cumulative volume becomes each bar's");
        self.edge(Operator::Bars, Operator::Volume, "changes of bars", None);
        Operator::Volume
    }

    /// The scans of indicators; returns what closes their readings.
    fn indicate(&mut self, outputs: &BTreeMap<Interval, Vec<String>>) -> Vec<Operator> {
        let mut closes = Vec::new();
        for (interval, names) in outputs {
            let (scan, close) = (Operator::Indicators(*interval), Operator::Close(Closes::Readings(*interval)));
            self.node(scan, names.join(", "));
            self.node(close, "holds readings back until their bar is closed");
            self.edge(Operator::Finished, scan, "bars in order", None);
            self.edge(scan, close, "changes of readings", None);
            closes.push(close);
        }
        closes
    }

    /// The checks of bars; returns what closes their anomalies, if there are any.
    fn check(&mut self, finished: Operator, checks: &Used<'_>) -> Option<Operator> {
        if checks.bars.is_empty() && checks.feed.is_empty() && checks.listed.is_empty() {
            return None;
        }
        let close = Operator::Close(Closes::Anomalies);
        self.node(close, "holds anomalies back until their bar is closed");
        for (interval, names) in &checks.bars {
            let scan = Operator::Anomalies(*interval);
            self.node(scan, names.join(", "));
            self.edge(Operator::Finished, scan, "bars in order", None);
            self.edge(scan, close, "changes of anomalies", None);
        }
        let others = [
            (Operator::FeedGaps, &checks.feed, "which bars there are", Some("by venue")),
            (Operator::ListedBars, &checks.listed, "changes of bars", None),
        ];
        for (operator, names, what, by) in others {
            if !names.is_empty() {
                self.node(operator, names.join(", "));
                self.edge(finished, operator, what, by);
                self.edge(operator, close, "changes of anomalies", None);
            }
        }
        Some(close)
    }

    /// Masters, which name the rows of every close operator in `said`, and have rows of their own.
    fn list(&mut self, said: &mut Vec<Operator>) {
        let doc = "masters and price bands by day; bars, readings and anomalies are joined with them";
        self.node(Operator::Listings, doc);
        self.edge(Operator::Source, Operator::Listings, "masters, price bands", Some("by instrument"));
        for close in &*said {
            self.edge(Operator::Listings, *close, "symbols", None);
        }
        said.push(Operator::Listings);
    }

    /// The checks of ticks that are decided after the exchange.
    fn check_ticks(&mut self, dataflow: &Dataflow) -> Vec<Operator> {
        let mut said = Vec::new();
        let ticks = tick_checks(dataflow);
        if ticks.by_name && !ticks.is_empty() {
            self.node(Operator::Suspects, "odd ticks that may still be taken back");
            self.edge(Operator::Source, Operator::Suspects, "odd ticks", Some("by instrument"));
            said.push(Operator::Suspects);
        }
        if ticks.partitions.is_some() {
            self.node(Operator::TwoPartitions, "instruments that come through several partitions");
            self.edge(Operator::Source, Operator::TwoPartitions, "first ticks of a day", Some("by instrument"));
            said.push(Operator::TwoPartitions);
        }
        said
    }

    /// From rows to the decided epoch; `said`: the operators that give net changes of an epoch.
    fn commit(&mut self, dataflow: &Dataflow, said: Vec<Operator>) {
        self.node(Operator::Write, "buffers an epoch; an I/O task writes Parquet and state");
        self.node(Operator::Commit, "decides the epoch in the log, then brings the tables to it");
        for operator in said {
            self.edge(operator, Operator::Write, "net changes of the epoch", None);
        }
        self.edge(Operator::Write, Operator::Commit, "written parts", Some("to worker 0"));
        self.edge(Operator::Bars, Operator::Write, "state, refused records", None);
        if self.has(Operator::Volume) {
            self.edge(Operator::Volume, Operator::Write, "state", None);
        }
        let aside = if dataflow.ticks { "ticks, quarantine, state, counts" } else { "quarantine, state, counts" };
        self.edge(Operator::Source, Operator::Write, aside, None);
        self.edge(Operator::Commit, Operator::Mint, "decided epochs", None);
    }

    fn node(&mut self, operator: Operator, doc: impl Into<String>) {
        self.nodes.push(Node { operator, doc: doc.into() });
    }

    fn edge(&mut self, from: Operator, to: Operator, what: &'static str, by: Option<&'static str>) {
        self.edges.push(Edge { from, to, what, by });
    }

    /// Whether the dataflow has an operator.
    pub fn has(&self, operator: Operator) -> bool {
        self.nodes.iter().any(|node| node.operator == operator)
    }

    /// The intervals whose bars are read from the shared arrangement.
    pub fn scanned(&self) -> BTreeSet<Interval> {
        let on = self.nodes.iter().filter_map(|node| match node.operator {
            Operator::Indicators(on) | Operator::Anomalies(on) => Some(on),
            _ => None,
        });
        on.collect()
    }

    /// Its nodes, for a worker that builds them.
    pub fn unbuilt(&self) -> Unbuilt {
        let operators = self.nodes.iter().map(|node| node.operator).filter(|operator| operator.is_built());
        Unbuilt { left: operators.collect(), unknown: BTreeSet::new() }
    }
}

/// The checks of bars, by what they read; names as a plan shows them.
#[derive(Default)]
struct Used<'a> {
    bars: BTreeMap<Interval, Vec<&'a str>>,
    feed: Vec<String>,
    listed: Vec<String>,
}

impl Used<'_> {
    fn of(dataflow: &Dataflow) -> Used<'_> {
        let mut all = Used::default();
        for used in &dataflow.anomalies {
            let Some(on) = used.on() else { continue }; // of ticks: the source's, or decided after the exchange
            match used.build().check {
                Check::Bar(_) => all.bars.entry(on).or_default().push(used.name()),
                Check::Feed(_) => all.feed.push(format!("{} on {}", used.name(), on.name())),
                Check::Listed(_) => all.listed.push(format!("{} on {}", used.name(), on.name())),
                Check::Tick(_) | Check::Partitions => {}
            }
        }
        all
    }
}

/// The operators of a topology that are still to be built: each is taken once, and none may be left.
pub struct Unbuilt {
    left: BTreeSet<Operator>,
    unknown: BTreeSet<Operator>,
}

impl Unbuilt {
    /// The name of an operator that is built now; if the topology lacks it, [`Unbuilt::done`] reports that.
    pub fn take(&mut self, operator: Operator) -> String {
        if !self.left.remove(&operator) {
            self.unknown.insert(operator);
        }
        operator.name()
    }

    /// The name of an operator that not every dataflow has, if this one has it.
    pub fn find(&mut self, operator: Operator) -> Option<String> {
        self.left.remove(&operator).then(|| operator.name())
    }

    /// Error, of kind `Bug`: a node was not built, or what was built is no node or was built twice.
    pub fn done(self) -> Result<(), Error> {
        let list = |operators: &BTreeSet<Operator>| {
            operators.iter().map(|operator| operator.title()).collect::<Vec<_>>().join(", ")
        };
        match (self.left.is_empty(), self.unknown.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Error::bug(format!("operators of the topology were not built: {}", list(&self.left)))),
            (_, false) => Err(Error::bug(format!("operators were built without a node: {}", list(&self.unknown)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(name: &str) -> Topology {
        let dataflow = Dataflow::load(name, &[], &[]).expect("a shipped dataflow");
        Topology::new(&dataflow, &BTreeMap::new())
    }

    #[test]
    fn a_node_that_is_not_built_is_an_error_and_so_is_an_operator_without_a_node() {
        let of_bars = || topology("bars").unbuilt();
        let always =
            [Operator::Source, Operator::Bars, Operator::Close(Closes::Bars), Operator::Write, Operator::Commit];
        let mut all = of_bars();
        always.into_iter().for_each(|operator| drop(all.take(operator)));
        assert_eq!(all.find(Operator::Volume), None, "a dataflow of trades has none");
        assert!(all.done().is_ok());

        let mut lacking = of_bars();
        always.into_iter().skip(1).for_each(|operator| drop(lacking.take(operator)));
        let error = lacking.done().expect_err("the source was not built").to_string();
        assert!(error.contains("were not built: Source"), "{error}");

        for more in [Operator::Listings, Operator::Source] {
            let mut all = of_bars();
            always.into_iter().for_each(|operator| drop(all.take(operator)));
            assert_eq!(all.take(more), more.name());
            let error = all.done().expect_err("it is no node, or built twice").to_string();
            assert!(error.contains("without a node"), "{error}");
        }
    }

    #[test]
    fn an_edge_has_its_nodes_and_no_node_is_there_twice() {
        for (name, _) in ticktide_dataflow::SHIPPED {
            let topology = topology(name);
            let operators: BTreeSet<Operator> = topology.nodes.iter().map(|node| node.operator).collect();
            assert_eq!(operators.len(), topology.nodes.len(), "{name}");
            for Edge { from, to, .. } in &topology.edges {
                assert!(operators.contains(from) && operators.contains(to), "{name}: {from:?} to {to:?}");
            }
        }
    }
}
