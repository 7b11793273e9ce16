//! The pages of indicators and checks: each with its parameters, their defaults and bounds, and its names in a table.

use super::{Page, code};
use std::collections::BTreeMap;
use ticktide_flow::anomalies::{CHECKS, Level};
use ticktide_flow::indicators::{Anchor, INDICATORS, build};
use ticktide_flow::parameters::Parameter;

/// The parameters of an entry in a dataflow's file.
fn parameters(page: &mut Page, parameters: &[Parameter], more: Option<[&str; 4]>) {
    let one = |parameter: &Parameter| {
        let default = parameter.shown(parameter.default);
        let (default, allowed) = match parameter.words {
            [] => {
                let kind = if parameter.whole { "whole number" } else { "number" };
                (default, format!("{kind} from {} to {}", parameter.least, parameter.most))
            }
            words => (format!("{default:?}"), words.join(", ")),
        };
        vec![code(parameter.name), code(default), allowed, parameter.doc.to_owned()]
    };
    let more = more.map(|cells| cells.map(str::to_owned).to_vec());
    page.table(&["parameter", "default", "allowed", "meaning"], parameters.iter().map(one).chain(more));
}

pub(super) fn indicators() -> Page {
    let first = "\
An indicator reads the finished bars of an instrument in order and computes numbers, each a column of `indicators_<interval>`. \
They are null until it has seen enough bars. Definitions and seeding are those of TA-Lib 0.8.

A dataflow names it with the width of the bars, and with the parameters that differ from their defaults:

```toml
indicators = [{ use = \"ema\", period = 20, on = \"1m\" }]
```";
    let mut page = Page::new("Indicators", "the registry of indicators", first);
    for spec in INDICATORS.iter() {
        page.head(2, code(spec.name));
        page.text(format_args!("{}.\n", capital(spec.doc)));
        let anchor = spec.anchor.map(|anchor| {
            let default = if anchor == Anchor::Session { "`\"session\"`" } else { "`\"none\"`" };
            ["`anchor`", default, "session, none", "whether it starts again on every trading date"]
        });
        parameters(&mut page, spec.parameters, anchor);
        let built = build(spec.name, &BTreeMap::new()).expect("defaults are allowed");
        let columns: Vec<String> = built.outputs().iter().map(code).collect();
        page.text(format_args!("\nColumns with the defaults: {}.", columns.join(", ")));
    }
    page
}

pub(super) fn checks() -> Page {
    let first = "\
A check looks for anomalies; each one that it finds is a row of the table `anomalies`. A check changes no bar, and its row is \
taken back when a correction removes the cause.

A dataflow names it with the width of the bars, unless it reads ticks, and with the parameters that differ from their defaults:

```toml
anomalies = [{ use = \"return_z\", on = \"1m\", z = 6 }]
```";
    let mut page = Page::new("Checks", "the registry of checks", first);
    for spec in CHECKS.iter() {
        page.head(2, code(spec.name));
        let looks = match spec.level {
            Level::Tick => "It reads ticks one by one, and takes no `on`.",
            Level::Bar => "It reads the bars of an instrument in order.",
            Level::Listed => {
                "It compares each bar with the instrument's row of the master, which `instruments = true` keeps."
            }
            Level::Feed => "It reads the bars of all instruments of a venue.",
        };
        page.text(format_args!("{}. {looks}\n", capital(spec.doc)));
        parameters(&mut page, spec.parameters, None);
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
