//! `feed`: fills topics and files that a source reads.

mod iifl;
mod replay;
mod sending;
mod simulate;
mod sort;

use super::read::moment;
use super::{Global, aligned, print};
use clap::{Args, Subcommand};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_feed::synthetic::{self, LabelKind};

#[derive(Debug, Subcommand)]
pub enum FeedCommand {
    /// Send IIFL's live feed, XTS or the MQTT bridge, to Kafka topics or lines; keeps the connection and records what it missed
    ///
    /// Keys and tokens come from the environment, never from arguments: TICKTIDE_IIFL_APP_KEY and TICKTIDE_IIFL_SECRET_KEY
    /// for XTS, TICKTIDE_IIFL_TOKEN (and TICKTIDE_IIFL_USER, unless the token names the user) for the bridge. A value @FILE
    /// is the text of that file, read at each login.
    Iifl(iifl::IiflArgs),
    /// List what the synthetic market of a dataflow has planted on a day: bad prints, late and cancelled trades, silences
    Labels(LabelsArgs),
    /// Send a seeded exchange day, as an XTS feed reports it, to Kafka topics or lines; can write its true volumes to a file
    Simulate(simulate::SimulateArgs),
    /// Send recorded frames to Kafka topics or lines, at any speed
    Replay(replay::ReplayArgs),
    /// Sort recorded files by time into one file, e.g. files that are newest first or out of order by days
    ///
    /// Each record keeps its bytes, records with equal times keep their order, and a header is kept once. The dataflow's wire
    /// and mapping define a record's time. A record without a time stays after the record before it. The output gets its name
    /// when it is complete.
    Sort(sort::SortArgs),
}

#[derive(Debug, Args)]
pub struct LabelsArgs {
    /// A dataflow whose source is synthetic, by name or file
    pub dataflow: String,
    /// The trading day; 0 is the first
    #[arg(long, default_value_t = 0)]
    pub day: u64,
    /// Override a key of the dataflow; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs a command of `feed`.
pub fn feed(command: &FeedCommand, global: &Global) -> Result<(), Error> {
    match command {
        FeedCommand::Iifl(args) => iifl::iifl(args, global),
        FeedCommand::Labels(args) => labels(args, global),
        FeedCommand::Simulate(args) => simulate::simulate(args, global),
        FeedCommand::Replay(args) => replay::replay(args, global),
        FeedCommand::Sort(args) => sort::sort_files(args, global),
    }
}

/// The first signal ends the command, a second one kills the process.
fn signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Error::bug(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(stop)
}

/// Prints what is planted; records have a place, silences an end. Errors: the dataflow is wrong, or has another source.
fn labels(args: &LabelsArgs, global: &Global) -> Result<(), Error> {
    let dataflow = Dataflow::load(&args.dataflow, &[], &args.set)?;
    if dataflow.source.uses != "synthetic" {
        let message = format!("dataflow {:?} reads {}, which has no labels", dataflow.name, dataflow.source.uses);
        return Err(Error::fix(message, "set `source.use = \"synthetic\"`"));
    }
    let spec = &dataflow.source.synthetic;
    let mut lines = Vec::new();
    for gap in synthetic::gaps(spec, args.day)? {
        let kind = if gap.symbol.is_some() { "instrument_gap" } else { "feed_gap" };
        lines.push(json!({
            "kind": kind, "venue": gap.venue, "symbol": gap.symbol, "at": moment(gap.from), "until": moment(gap.until),
        }));
    }
    for label in synthetic::labels(spec, args.day)? {
        let kind = match label.kind {
            LabelKind::BadPrint => "bad_print",
            LabelKind::Late => "late",
            LabelKind::Cancelled => "cancelled",
        };
        lines.push(json!({
            "kind": kind, "venue": label.venue, "symbol": label.symbol, "at": moment(label.at),
            "price": label.price.to_string(), "partition": label.partition, "offset": label.offset, "id": label.id,
        }));
    }
    if global.json {
        return lines.iter().try_for_each(|line| print(&format!("{line}\n")));
    }
    let shown = ["kind", "symbol", "at", "until", "price"];
    let row = |line: &serde_json::Value| {
        let cell = |key: &&str| line[*key].as_str().unwrap_or("-").to_owned();
        shown.iter().map(cell).collect::<Vec<_>>()
    };
    let mut rows = vec![shown.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(row));
    print(&aligned(&rows))
}
