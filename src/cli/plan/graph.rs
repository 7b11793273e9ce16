//! The topology of a dataflow on the grid of a drawing, and the tables that it fills: for the text, the drawing and JSON.
//!
//! Why only places are decided here: the engine's [`Topology`] knows the operators and what flows between them, so a plan is
//! what runs. What must always hold: no two operators share a place on the grid, and a plan needs no broker and no lake.

use std::collections::{BTreeMap, BTreeSet};
use ticktide_base::time::Interval;
use ticktide_dataflow::Dataflow;
use ticktide_engine::graph::topology::{self, Closes, Operator, Placement, Topology};
use ticktide_lake::commit::announce;
use ticktide_lake::table::spec::TableSpec;
use ticktide_tables::set::Tables;

/// One operator, and its place on the drawing's grid.
#[derive(Clone, Debug)]
pub struct PlacedOperator {
    pub name: String,
    pub doc: String,
    pub runs: Placement,
    pub column: usize,
    pub row: usize,
}

/// What flows from one operator to another (indices into [`Graph::nodes`]).
#[derive(Clone, Debug)]
pub struct Flow {
    pub from: usize,
    pub to: usize,
    pub what: &'static str,
    /// How it crosses workers, if it does.
    pub by: Option<&'static str>,
}

/// A dataflow as it would be built.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<PlacedOperator>,
    pub edges: Vec<Flow>,
    /// The tables of the lake, the announcing tables last; histories follow their tables.
    pub tables: Vec<TableSpec>,
}

impl Graph {
    /// The graph of a dataflow; `outputs`: indicator outputs by interval, as [`Tables::new`] takes them.
    pub fn new(dataflow: &Dataflow, outputs: &BTreeMap<Interval, Vec<String>>) -> Graph {
        let topology = Topology::new(dataflow, outputs);
        let places = Places::new(&topology);
        let node = |node: &topology::Node| {
            let (name, runs) = (node.operator.title(), node.operator.runs());
            let (column, row) = (places.column(node.operator), places.row(node.operator));
            PlacedOperator { name, doc: node.doc.clone(), runs, column, row }
        };
        let index = |operator| topology.nodes.iter().position(|node| node.operator == operator);
        let edge = |edge: &topology::Edge| {
            let (from, to) = (index(edge.from)?, index(edge.to)?);
            Some(Flow { from, to, what: edge.what, by: edge.by })
        };
        Graph {
            nodes: topology.nodes.iter().map(node).collect(),
            edges: topology.edges.iter().filter_map(edge).collect(),
            tables: tables(dataflow, outputs),
        }
    }
}

/// Where an operator runs, in a plan's words.
pub fn where_it_runs(runs: Placement) -> &'static str {
    match runs {
        Placement::Thread => "reader thread",
        Placement::EveryWorker => "every worker",
        Placement::WorkerZero => "worker 0",
    }
}

/// How far down the flow an operator is: those of one stage share a column.
fn stage(operator: Operator) -> usize {
    match operator {
        Operator::Reader => 0,
        Operator::Mint | Operator::Source => 1,
        Operator::Bars => 2,
        Operator::Volume => 3,
        Operator::Finished => 4,
        Operator::Indicators(_) | Operator::Anomalies(_) | Operator::FeedGaps | Operator::ListedBars => SCANS,
        Operator::Listings | Operator::Suspects | Operator::TwoPartitions => SCANS,
        Operator::Close(_) => 6,
        Operator::Write => 7,
        Operator::Commit => 8,
    }
}

/// The stage whose operators are below each other, and the row of the first of them.
const SCANS: usize = 5;
const FIRST_SCAN: usize = 2;

/// The grid: its columns are the stages of a dataflow, its rows below the main one the scans.
struct Places<'a> {
    topology: &'a Topology,
    stages: BTreeSet<usize>,
    scans: Vec<Operator>,
}

impl Places<'_> {
    fn new(topology: &Topology) -> Places<'_> {
        let operators = || topology.nodes.iter().map(|node| node.operator);
        let stages = operators().map(stage).collect();
        Places { topology, stages, scans: operators().filter(|operator| stage(*operator) == SCANS).collect() }
    }

    fn column(&self, operator: Operator) -> usize {
        self.stages.range(..stage(operator)).count()
    }

    fn row(&self, operator: Operator) -> usize {
        let of_scan = |operator| self.scans.iter().position(|scan| *scan == operator).map(|place| FIRST_SCAN + place);
        match operator {
            Operator::Mint => 0,
            Operator::Finished => FIRST_SCAN,
            // beside the first scan that it closes
            Operator::Close(Closes::Readings(_) | Closes::Anomalies) => {
                let from = self.topology.edges.iter().filter(|edge| edge.to == operator).map(|edge| edge.from);
                from.filter_map(of_scan).min().unwrap_or(FIRST_SCAN)
            }
            other => of_scan(other).unwrap_or(1),
        }
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
    fn no_two_operators_share_a_name_or_a_place_and_every_one_is_reached() {
        for (name, graph) in graphs() {
            let names: BTreeSet<String> = graph.nodes.iter().map(|node| node.name.clone()).collect();
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
