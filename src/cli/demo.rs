//! `demo`: a first look without any outside: a seeded market, a lake in a folder, SQL over it.

use super::run::{Prepared, start, workers};
use super::{Global, read};
use crate::dataflow::{Dataflow, Override};
use crate::document::{Place, Value};
use crate::error::Error;
use clap::Args;

/// Where the demonstration's lake is unless `--warehouse` says otherwise.
const WAREHOUSE: &str = "./ticktide-demo";

/// Bars with what indicators say of them, the most traded instrument first.
const QUERY: &str = "select b.symbol, b.open_at, b.open, b.high, b.low, b.close, b.volume, i.ema_20, i.rsi_14
from bars_1m b join indicators_1m i using (venue, instrument, phase, open_at)
where i.rsi_14 is not null
order by b.volume desc, b.symbol, b.open_at
limit 10";

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Trades of the one day that is played
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub trades: u32,
    /// The market's seed: the same seed gives the same lake
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u32,
    /// Worker threads [default: 1, or TICKTIDE_WORKERS]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<String>,
    /// Override any key of the dataflow `market`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Plays the market and shows what came of it.
pub fn demo(args: &DemoArgs, global: &Global) -> Result<(), Error> {
    let dataflow = Dataflow::load("market", &overrides(args), &args.set)?;
    dataflow.ready()?;
    let warehouse = global.warehouse(WAREHOUSE);
    let place = warehouse.value.display().to_string();
    let prepared = Prepared { dataflow, warehouse, catalog: global.catalog(), workers: workers(args.workers.clone())? };
    start(prepared, false, global)?;
    if global.json || global.quiet {
        return Ok(());
    }
    eprintln!("\nThe lake is in {place}. Ask it:\n\n    ticktide query --warehouse {place} \"{QUERY}\"\n");
    read::show(QUERY, &place, global)?;
    eprintln!("\nMore: `ticktide query --warehouse {place} \"show tables\"`, `ticktide epochs ls --warehouse {place}`");
    Ok(())
}

fn overrides(args: &DemoArgs) -> Vec<Override> {
    let place = Place::Flag("demo");
    let text = |key: &str, value: &str| Override::text(place.clone(), key, value);
    vec![
        text("source.use", "synthetic"),
        text("source.wire", "json"),
        text("source.until", "end"),
        Override::new(place.clone(), "source.corrections", Value::Bool(true)),
        Override::new(Place::Flag("--trades"), "source.trades_a_day", Value::Integer(i64::from(args.trades))),
        Override::new(Place::Flag("--seed"), "source.seed", Value::Integer(i64::from(args.seed))),
    ]
}
