//! A plan as SVG: boxes on a grid, arrows labelled with what flows, the tables at the end.
//!
//! No library and no measured fonts: the grid is fixed, text is wrapped by its number of letters. What must always hold:
//! the output is well-formed XML whatever a dataflow's names are, and the same plan gives the same bytes.

use super::graph::{Flow, Graph, PlacedOperator};
use std::collections::BTreeMap;
use std::fmt::Write;
use ticktide_engine::graph::topology::Placement;

const BOX_WIDTH: usize = 190;
const BOX_HEIGHT: usize = 92;
const GAP_X: usize = 150;
const GAP_Y: usize = 46;
const MARGIN: usize = 24;
/// Height of the title.
const TITLE: usize = 44;
/// Letters that fit into a line of a box, and lines below its name.
const LETTERS: usize = 31;
const LINES: usize = 4;
/// Letters of a label between two boxes.
const LABEL_LETTERS: usize = 24;
/// Distance of the lanes below the boxes, for arrows that would cross other boxes.
const LANE: usize = 24;

/// The drawing of a plan under a title.
pub fn draw(graph: &Graph, title: &str) -> String {
    let columns = graph.nodes.iter().map(|node| node.column).max().unwrap_or(0) + 1;
    let rows = graph.nodes.iter().map(|node| node.row).max().unwrap_or(0) + 1;
    let lanes_at = TITLE + MARGIN + rows * (BOX_HEIGHT + GAP_Y);
    let far: Vec<&Flow> = graph.edges.iter().filter(|edge| is_far(graph, edge)).collect();
    let tables_x = left(columns);
    let width = tables_x + BOX_WIDTH + MARGIN;
    let tables_height = 40 + 16 * graph.tables.len();
    let height = (lanes_at + LANE * far.len() + MARGIN).max(TITLE + MARGIN + tables_height + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#444\"/></marker></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, MARGIN, 28, "font-size=\"16\" font-weight=\"bold\"", title);
    let legend = "white: every worker · yellow: worker 0 · grey: reader threads · thick: crosses workers";
    text(&mut svg, MARGIN, 46, "fill=\"#666\"", legend);
    for edge in graph.edges.iter().filter(|edge| !is_far(graph, edge)) {
        near(&mut svg, graph, edge);
    }
    let mut leaving: BTreeMap<usize, usize> = BTreeMap::new();
    for (lane, edge) in far.into_iter().enumerate() {
        let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
        let aside = leaving.entry(edge.from).or_default();
        *aside += 1;
        let (start, end) = (left(from.column) + BOX_WIDTH - 20 * *aside, left(to.column) + 30 + 22 * lane);
        let y = lanes_at + LANE * lane;
        let path = format!("M{start} {} V{y} H{end} V{}", top(from.row) + BOX_HEIGHT, top(to.row) + BOX_HEIGHT);
        arrow(&mut svg, &path, edge);
        text(&mut svg, start.min(end) + 40, y - 4, "fill=\"#666\"", &said(edge));
    }
    for node in &graph.nodes {
        draw_node(&mut svg, node);
    }
    draw_tables(&mut svg, graph, tables_x, tables_height);
    svg.push_str("</svg>\n");
    svg
}

fn left(column: usize) -> usize {
    MARGIN + column * (BOX_WIDTH + GAP_X)
}

fn top(row: usize) -> usize {
    TITLE + MARGIN + row * (BOX_HEIGHT + GAP_Y)
}

/// Whether an arrow would lie on boxes if it were straight.
fn is_far(graph: &Graph, edge: &Flow) -> bool {
    let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
    let between = from.column.min(to.column) + 1..from.column.max(to.column);
    let lowest = from.row.min(to.row);
    let crossed = graph
        .nodes
        .iter()
        .any(|node| between.contains(&node.column) && node.row <= from.row.max(to.row) && node.row >= lowest);
    crossed && lowest > 0
}

/// An arrow between neighbours, or over the empty row above them.
fn near(svg: &mut String, graph: &Graph, edge: &Flow) {
    let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
    if from.column == to.column {
        // there and back, side by side
        let x = left(from.column) + if from.row > to.row { 60 } else { 120 };
        let (start, end) = if from.row > to.row {
            (top(from.row), top(to.row) + BOX_HEIGHT)
        } else {
            (top(from.row) + BOX_HEIGHT, top(to.row))
        };
        arrow(svg, &format!("M{x} {start} V{end}"), edge);
        let anchor = if from.row > to.row { "text-anchor=\"end\"" } else { "" };
        let at = if from.row > to.row { x - 6 } else { x + 6 };
        return text(svg, at, start.midpoint(end) + 4, &format!("fill=\"#666\" {anchor}"), edge.what);
    }
    if from.column > to.column {
        let (x, y) = (left(from.column) + BOX_WIDTH / 2, top(to.row) + BOX_HEIGHT / 2);
        arrow(svg, &format!("M{x} {} V{y} H{}", top(from.row), left(to.column) + BOX_WIDTH), edge);
        return text(svg, x - 130, y - 5, "fill=\"#666\"", &said(edge));
    }
    let (x1, x2) = (left(from.column) + BOX_WIDTH, left(to.column));
    let (y1, y2) = (top(from.row) + BOX_HEIGHT / 2, top(to.row) + BOX_HEIGHT / 2);
    let bend = x1.midpoint(x2);
    arrow(svg, &format!("M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}"), edge);
    let lines = wrapped(&said(edge), LABEL_LETTERS, 2);
    let y = y1.midpoint(y2) - 6 - 12 * lines.len().saturating_sub(1);
    for (index, line) in lines.iter().enumerate() {
        text(svg, bend, y + 12 * index, "fill=\"#666\" text-anchor=\"middle\"", line);
    }
}

fn said(edge: &Flow) -> String {
    edge.by.map_or_else(|| edge.what.to_owned(), |by| format!("{}, {by}", edge.what))
}

fn arrow(svg: &mut String, path: &str, edge: &Flow) {
    let width = if edge.by.is_some() { 2.5 } else { 1.0 };
    put(
        svg,
        format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"#444\" stroke-width=\"{width}\" marker-end=\"url(#arrow)\"/>\n"
        ),
    );
}

fn draw_node(svg: &mut String, node: &PlacedOperator) {
    let (x, y) = (left(node.column), top(node.row));
    let fill = match node.runs {
        Placement::Thread => "#eee",
        Placement::EveryWorker => "#fff",
        Placement::WorkerZero => "#fff3cd",
    };
    put(
        svg,
        format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"6\" fill=\"{fill}\" stroke=\"#444\"/>\n"
        ),
    );
    text(svg, x + 10, y + 20, "font-size=\"13\" font-weight=\"bold\"", &node.name);
    for (index, line) in wrapped(&node.doc, LETTERS, LINES).iter().enumerate() {
        text(svg, x + 10, y + 38 + 14 * index, "", line);
    }
}

fn draw_tables(svg: &mut String, graph: &Graph, x: usize, height: usize) {
    let (y, commit) = (top(1), left(graph.nodes.iter().map(|node| node.column).max().unwrap_or(0)) + BOX_WIDTH);
    let middle = y + BOX_HEIGHT / 2;
    put(svg, format_args!("<path d=\"M{commit} {middle} H{x}\" stroke=\"#444\" marker-end=\"url(#arrow)\"/>\n"));
    text(svg, commit.midpoint(x), middle - 6, "fill=\"#666\" text-anchor=\"middle\"", "snapshots of the epoch");
    let y = TITLE + MARGIN;
    put(
        svg,
        format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{height}\" fill=\"#e7f1fb\" stroke=\"#444\"/>\n"
        ),
    );
    text(svg, x + 10, y + 20, "font-size=\"13\" font-weight=\"bold\"", "Tables");
    for (index, table) in graph.tables.iter().enumerate() {
        text(svg, x + 10, y + 40 + 16 * index, "", &table.name);
    }
}

fn text(svg: &mut String, x: usize, y: usize, style: &str, words: &str) {
    put(svg, format_args!("<text x=\"{x}\" y=\"{y}\" {style}>{}</text>\n", escaped(words)));
}

fn put(svg: &mut String, words: std::fmt::Arguments<'_>) {
    svg.write_fmt(words).expect("a string takes all that is written");
}

/// Escapes XML's five special characters; a character that XML cannot hold becomes U+FFFD.
fn escaped(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Words in lines of at most `letters`, and at most `most` lines; an ellipsis replaces what does not fit.
fn wrapped(words: &str, letters: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        let word: String = match word.chars().count() > letters {
            true => word.chars().take(letters - 1).chain(['…']).collect(),
            false => word.to_owned(),
        };
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = last.chars().take(letters - 2).chain([' ', '…']).collect();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_what_does_not_fit_is_an_ellipsis() {
        assert_eq!(wrapped("one two three", 7, 4), ["one two", "three"]);
        assert_eq!(wrapped("one two three four", 7, 1), ["one t …"]);
        assert_eq!(wrapped("incomprehensibilities", 5, 2), ["inco…"]);
        assert_eq!(wrapped("", 5, 2), Vec::<String>::new());
    }

    #[test]
    fn no_name_can_break_out_of_its_element() {
        assert_eq!(escaped("<a href='x'>&\"\u{1}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}");
    }
}
