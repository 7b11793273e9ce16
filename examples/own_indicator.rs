//! An indicator of your own, by name in a dataflow: how far a bar closes from the one before it.
//!
//! `cargo run --example own_indicator`

use std::error::Error;
use ticktide::indicator::{BarInput, NULL, Parameter, Parameters, Spec};
use ticktide::{Dataflow, Indicator, Lake, Registry, Run};

static CHANGE: Spec = Spec {
    name: "change",
    doc: "close over the close of the bar before, less 1, times a factor",
    parameters: &[Parameter::real("times", 100.0, 1.0, 1_000_000.0, "100 for percent, 10000 for basis points")],
    anchor: None,
    build: |parameters: &Parameters| {
        let name = format!("change_{}", parameters.suffix());
        Ok(Box::new(Change { times: parameters.number("times"), name }))
    },
};

/// State: whether there was a bar, and its close.
struct Change {
    times: f64,
    name: String,
}

impl Indicator for Change {
    fn width(&self) -> usize {
        2
    }

    fn outputs(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn step(&self, state: &mut [f64], bar: &BarInput, out: &mut [f64]) {
        out[0] = if state[0] == 0.0 { NULL } else { (bar.close / state[1] - 1.0) * self.times };
        (state[0], state[1]) = (1.0, bar.close);
    }
}

const DATAFLOW: &str = r#"
source     = { use = "file", sequence = "trusted" }
bars       = [{ every = "1m" }]
indicators = [{ use = "change", on = "1m" }, { use = "change", times = 10000, on = "1m" }]
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // before anything else: from here on every dataflow can name it
    Registry::built_in().indicator(&CHANGE).install()?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ticks.jsonl");
    let trade = |(minute, price): (usize, &f64)| {
        let time = 1_767_711_600 + 60 * minute;
        format!("{{\"symbol\":\"ACME\",\"time\":{time},\"sequence\":{minute},\"price\":{price},\"quantity\":1}}\n")
    };
    std::fs::write(&path, [100.0, 110.0, 99.0].iter().enumerate().map(trade).collect::<String>())?;

    let paths = format!("source.paths=[{path:?}]");
    let dataflow = Dataflow::from_text("own_indicator", "own_indicator.toml", DATAFLOW, &[], &[paths])?;
    let lake = folder.path().join("lake");
    Run::new(dataflow).warehouse(&lake).until_end().run()?;

    let lake = Lake::open(&lake)?;
    let query = lake.query("select open_at, change_100, change_10000 from indicators_1m order by open_at");
    println!("{}", query.text()?);
    let percent: Vec<Option<f64>> =
        query.rows()?.iter().map(|row| row["change_100"].as_f64().map(f64::round)).collect();
    assert_eq!(percent, [None, Some(10.0), Some(-10.0)]);
    Ok(())
}
