//! `plan`: the operators that a dataflow would be built of and the tables it would fill, without running it.

mod drawing;
mod graph;

use super::{Global, aligned, note, print};
use clap::Args;
use graph::{Flow, Graph, where_it_runs};
use serde_json::{Value, json};
use std::path::PathBuf;
use ticktide_base::error::Error;
use ticktide_dataflow::{Dataflow, composites};
use ticktide_lake::table::spec::{ColumnType, TableSpec};

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A dataflow's name, or its file ending in .toml
    pub dataflow: String,
    /// Override a key, as in `run`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write a drawing of the operators to a file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Prints the plan, and draws it to the file of `--svg`.
pub fn plan(args: &PlanArgs, global: &Global) -> Result<(), Error> {
    let dataflow = Dataflow::load(&args.dataflow, &[], &args.set)?;
    let graph = graph_of(&dataflow)?;
    if let Some(path) = &args.svg {
        let title = format!("dataflow {}", dataflow.name);
        std::fs::write(path, drawing::draw(&graph, &title)).map_err(|error| {
            Error::fix(format!("{} cannot be written: {error}", path.display()), "choose another path for `--svg`")
        })?;
        if !global.quiet {
            note(format_args!("drawing written to {}", path.display()));
        }
    }
    if global.json {
        return json_lines(&graph).iter().try_for_each(|line| print(&format!("{line}\n")));
    }
    print(&format!("dataflow {}, hash {}\n\n", dataflow.name, &dataflow.hash()[..16]))?;
    print(&operators(&graph))?;
    print(&tables(&graph.tables))
}

fn graph_of(dataflow: &Dataflow) -> Result<Graph, Error> {
    let composites = composites(dataflow)?;
    let outputs = composites.into_iter().map(|(on, composite)| (on, composite.outputs().to_vec())).collect();
    Ok(Graph::new(dataflow, &outputs))
}

/// The tables that a dataflow would fill.
pub fn tables_of(dataflow: &Dataflow) -> Result<Vec<TableSpec>, Error> {
    Ok(graph_of(dataflow)?.tables)
}

fn operators(graph: &Graph) -> String {
    let rows = graph
        .nodes
        .iter()
        .map(|node| vec![format!("  {}", node.name), where_it_runs(node.runs).to_owned(), node.doc.clone()]);
    let mut said = format!("OPERATORS\n{}\nFLOWS (═▶ crosses workers)\n", aligned(&rows.collect::<Vec<_>>()));
    let row = |edge: &Flow| {
        let what = edge.by.map_or_else(|| edge.what.to_owned(), |by| format!("{}, {by}", edge.what));
        let arrow = if edge.by.is_some() { "═▶" } else { "─▶" };
        vec![format!("  {} {arrow} {}", graph.nodes[edge.from].name, graph.nodes[edge.to].name), what]
    };
    said.push_str(&aligned(&graph.edges.iter().map(row).collect::<Vec<_>>()));
    said
}

/// Tables and their columns as text; a history has one line, its columns are those of its table.
pub fn tables(tables: &[TableSpec]) -> String {
    let mut said = "\nTABLES\n".to_owned();
    for table in tables {
        if let Some(of) = table.name.strip_suffix("_history") {
            said.push_str(&format!(
                "  {}: the columns of {of}, and diff INT: +1 the row appeared, -1 it was taken back\n",
                table.name
            ));
            continue;
        }
        let name = |index: &usize| table.columns[*index].name.as_str();
        let mut about = Vec::new();
        about.extend(table.partition.as_ref().map(|index| format!("partitioned by {}", name(index))));
        about.push(match table.key.is_empty() {
            true => "append-only".to_owned(),
            false => format!("one row for each {}", table.key.iter().map(name).collect::<Vec<_>>().join(", ")),
        });
        said.push_str(&format!("  {}: {}\n", table.name, about.join(", ")));
        let row = |column: &ticktide_lake::table::spec::Column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            vec![format!("    {}", column.name), format!("{}{null}", type_name(column.column_type)), column.doc.clone()]
        };
        said.push_str(&aligned(&table.columns.iter().map(row).collect::<Vec<_>>()));
    }
    said
}

/// A table as a JSON object.
pub fn table_json(table: &TableSpec) -> Value {
    let name = |index: &usize| table.columns[*index].name.as_str();
    let columns = table.columns.iter().map(|column| {
        json!({ "name": column.name, "type": type_name(column.column_type), "nullable": column.nullable, "doc": column.doc })
    });
    json!({
        "table": table.name, "key": table.key.iter().map(name).collect::<Vec<_>>(),
        "partitioned_by": table.partition.as_ref().map(name), "columns": columns.collect::<Vec<_>>(),
    })
}

fn json_lines(graph: &Graph) -> Vec<Value> {
    let operator = |node: &graph::PlacedOperator| json!({ "operator": node.name, "runs": where_it_runs(node.runs), "doc": node.doc });
    let flow = |edge: &Flow| {
        let (from, to) = (&graph.nodes[edge.from].name, &graph.nodes[edge.to].name);
        json!({ "flow": edge.what, "from": from, "to": to, "crosses": edge.by })
    };
    let operators = graph.nodes.iter().map(operator);
    operators.chain(graph.edges.iter().map(flow)).chain(graph.tables.iter().map(table_json)).collect()
}

/// The type in SQL's words.
fn type_name(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Text => "TEXT".into(),
        ColumnType::Bool => "BOOLEAN".into(),
        ColumnType::Int => "INT".into(),
        ColumnType::Long => "BIGINT".into(),
        ColumnType::Double => "DOUBLE".into(),
        ColumnType::Date => "DATE".into(),
        ColumnType::Time => "TIMESTAMPTZ".into(),
        ColumnType::Binary => "BINARY".into(),
        ColumnType::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
    }
}

#[cfg(test)]
mod tests;
