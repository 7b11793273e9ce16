//! The text of a plan; and the plans of the shipped dataflows equal the files beside this one.

use super::*;

fn graph(set: &[&str]) -> Graph {
    let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
    graph_of(&Dataflow::load("market", &[], &set).expect("a shipped dataflow")).expect("it is built")
}

/// The flows, as in the plan's text.
fn flows(graph: &Graph) -> Vec<String> {
    let text = operators(graph);
    text.lines().skip_while(|line| !line.starts_with("FLOWS")).skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_volume_scan_of_cumulative_snapshots_stands_between_bars_and_all_that_reads_them() {
    let cumulative = graph(&["source.volume=cumulative"]);
    let text = operators(&cumulative);
    let volume = text.lines().find(|line| line.trim_start().starts_with("Volume ")).expect("the operator");
    assert!(volume.contains("every worker") && volume.contains("cumulative volume becomes each bar's"), "{volume}");
    let flows = flows(&cumulative);
    for (flow, what) in [
        ("Source ═▶ Bars", "sums of a step"),
        ("Bars ─▶ Volume", "changes of bars"),
        ("Volume ─▶ Finished", "changes of bars"),
        ("Volume ─▶ Close bars", "changes of bars"),
        ("Volume ═▶ Feed gaps", "by venue"),
        ("Volume ─▶ Write", "state"),
    ] {
        assert!(flows.iter().any(|line| line.starts_with(flow) && line.contains(what)), "{flow}: {flows:#?}");
    }
    let around = |line: &&String| ["Finished", "Close", "Feed gaps"].iter().any(|to| line.contains(&format!("▶ {to}")));
    let past = flows.iter().filter(|line| line.starts_with("Bars ")).filter(around).collect::<Vec<_>>();
    assert!(past.is_empty(), "nothing goes past the scan: {past:?}");
}

#[test]
fn the_drawing_and_the_json_of_a_cumulative_source_show_the_scan_and_those_of_trades_do_not() {
    for (set, wanted) in [(&["source.volume=cumulative"][..], true), (&[], false)] {
        let graph = graph(set);
        let drawn = drawing::draw(&graph, "a plan");
        assert_eq!(drawn.contains(">Volume</text>"), wanted, "{set:?}");
        let lines = json_lines(&graph);
        let said = |key: &str, name: &str| lines.iter().filter(|line| line[key] == name).count();
        assert_eq!(said("operator", "Volume"), usize::from(wanted), "{set:?}");
        assert_eq!((said("from", "Volume") >= 4, said("to", "Volume")), (wanted, usize::from(wanted)), "{set:?}");
        assert_eq!(operators(&graph).contains("  Volume "), wanted, "{set:?}");
    }
}

/// The dataflows whose plans are kept: name of the files, dataflow, keys that are set.
const KEPT: &[(&str, &str, &[&str])] = &[
    ("bars", "bars", &[]), //
    ("breakout", "breakout", &[]),
    ("demo", "demo", &[]),
    ("iifl", "iifl", &[]),
    ("market", "market", &[]),
    ("us_tape", "us_tape", &[]),
    ("bars-cumulative", "bars", &["source.volume=cumulative"]),
    ("market-cumulative", "market", &["source.volume=cumulative"]),
    ("market-corrections", "market", &["source.corrections=true"]),
];

fn kept(name: &str, kind: &str) -> Option<String> {
    std::fs::read_to_string(format!("{}/plan/tests/{name}.{kind}", env!("CARGO_MANIFEST_DIR"))).ok()
}

#[test]
fn the_plans_of_the_shipped_dataflows_are_the_ones_that_are_kept() {
    for (dataflow, _) in ticktide_dataflow::SHIPPED {
        assert!(KEPT.iter().any(|(_, of, _)| of == dataflow), "the plan of {dataflow} is not kept");
    }
    let mut drawn = 0;
    for (name, of, set) in KEPT {
        let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).collect();
        let graph = graph_of(&Dataflow::load(of, &[], &set).expect("a shipped dataflow")).expect("it is built");
        assert_eq!(kept(name, "txt").as_deref(), Some(&*operators(&graph)), "{name}");
        if let Some(svg) = kept(name, "svg") {
            drawn += 1;
            assert_eq!(svg, drawing::draw(&graph, &format!("dataflow {of}")), "{name}");
        }
        if let Some(json) = kept(name, "json") {
            let flows = graph.nodes.len() + graph.edges.len();
            let lines: String = json_lines(&graph).iter().take(flows).map(|line| format!("{line}\n")).collect();
            assert_eq!(json, lines, "{name}");
        }
    }
    assert_eq!(drawn, 3, "the drawings are there");
}
