//! `lake rewind`: sets the time of a partition back that wild times have moved ahead.
//!
//! Why the result is computed twice: first so that a refusal comes before the lake is taken over, then from what the lake holds
//! after the takeover. What must hold: nothing is written with `--dry-run`.

use super::read::{block_on, open};
use super::verify::recorded_source;
use super::writing::WriteOptions;
use super::{Global, aligned, print};
use clap::Args;
use serde_json::{Map, Value, json};
use ticktide_base::epoch::{Binding, Epoch};
use ticktide_base::error::Error;
use ticktide_base::time::Nanos;
use ticktide_dataflow::Dataflow;
use ticktide_lake::upkeep::Upkeep;
use ticktide_lake::{Lake, LakeReader};
use ticktide_market::calendar::time_text;
use ticktide_replay::rewind::rewound;

#[derive(Debug, Args)]
pub struct RewindArgs {
    /// The dataflow that the lake was made with, if it is neither shipped nor in ./dataflows
    pub dataflow: Option<String>,
    /// The partition, as `epochs show` names it
    #[arg(long, value_name = "NAME")]
    pub partition: String,
    /// The time that the partition had reached before the wild records, e.g. 2026-11-30T15:30:00Z
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    pub to: Nanos,
    /// A `--set` that the run had; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub writing: WriteOptions,
}

fn moment(text: &str) -> Result<Nanos, String> {
    let example = "e.g. 2026-11-30T15:30:00Z";
    let at = text.parse::<jiff::Timestamp>().map_err(|_| format!("it is not a time with its zone, {example}"))?;
    Nanos::try_from(at.as_nanosecond()).map_err(|_| format!("it is out of range, {example}"))
}

/// Sets a partition's time back, or shows what that would change.
pub fn rewind(args: &RewindArgs, global: &Global) -> Result<(), Error> {
    let (warehouse, catalog) = (global.warehouse("./lake")?.value, global.catalog().map(|found| found.value));
    let (before, after, epoch) = block_on(async {
        let reader = open(global).await?;
        let dataflow = dataflow(args, &reader)?;
        let last = match reader.decided_last().await? {
            Some(epoch) => reader.decided(epoch).await?.binding,
            None => None,
        };
        let before =
            last.ok_or_else(|| Error::fix("the lake has no epoch with records yet", "there is nothing to set back"))?;
        let after = rewound(&dataflow, &reader, &before, &args.partition, args.to).await?;
        if args.writing.dry_run {
            return Ok((before, after, None));
        }
        let mut lake = Lake::tend(&warehouse, catalog.as_deref(), Upkeep::default(), args.writing.take_over).await?;
        let done = decided(args, &dataflow, &mut lake, global).await;
        lake.leave().await;
        done
    })?;
    show(args, (&before, &after), epoch, global)
}

/// The lake's dataflow, which defines reaches and sessions.
fn dataflow(args: &RewindArgs, reader: &LakeReader) -> Result<Dataflow, Error> {
    let identity = reader.identity();
    let name = args.dataflow.as_ref().unwrap_or(&identity.dataflow);
    Ok(Dataflow::load(name, &recorded_source(&identity.settings), &args.set)?)
}

async fn decided(
    args: &RewindArgs,
    dataflow: &Dataflow,
    lake: &mut Lake,
    global: &Global,
) -> Result<(Binding, Binding, Option<Epoch>), Error> {
    let before = lake.binding().cloned().unwrap_or_default();
    let after = rewound(dataflow, &open(global).await?, &before, &args.partition, args.to).await?;
    let epoch = lake.rewind(&before, after.clone()).await?;
    Ok((before, after, Some(epoch)))
}

/// The numbers of a binding that a rewind may change, by name.
fn numbers(partition: &str, binding: &Binding) -> Vec<(String, Option<Nanos>)> {
    let place = binding.places.get(partition);
    let named = [
        ("running_time", place.and_then(|place| place.running.last().copied())),
        ("event_at_max", place.and_then(|place| place.event_at_max)),
        ("lake_time", binding.lake_time),
        ("retired_by", binding.retired_by),
        ("frontier", binding.frontier),
        ("closed_until", binding.closed_until),
        ("flushed_until", binding.flushed_until),
        ("retained_from", known(binding.retained_from)),
    ];
    let horizons = binding.horizons.iter().map(|(interval, at)| (format!("horizon_{interval}"), known(Some(*at))));
    named.into_iter().map(|(name, at)| (name.to_owned(), at)).chain(horizons).collect()
}

/// The least time of all means that there is none.
fn known(at: Option<Nanos>) -> Option<Nanos> {
    at.filter(|at| *at > Nanos::MIN)
}

fn show(
    args: &RewindArgs,
    (before, after): (&Binding, &Binding),
    epoch: Option<Epoch>,
    global: &Global,
) -> Result<(), Error> {
    let pairs = numbers(&args.partition, before).into_iter().zip(numbers(&args.partition, after));
    if global.json {
        let pairs = pairs.map(|((name, old), (_, new))| {
            (name, json!({ "before": old.map(time_text), "after": new.map(time_text) }))
        });
        let numbers: Map<String, Value> = pairs.collect();
        let line = json!({
            "partition": args.partition, "numbers": numbers, "epoch": epoch, "done": epoch.is_some(),
        });
        return print(&format!("{line}\n"));
    }
    let cell = |at: Option<Nanos>| at.map_or_else(|| "-".to_owned(), time_text);
    let mut lines = vec![[args.partition.as_str(), "before", "after"].map(str::to_owned).to_vec()];
    lines.extend(pairs.map(|((name, old), (_, new))| vec![name, cell(old), cell(new)]));
    print(&aligned(&lines))?;
    match epoch {
        Some(epoch) if !global.quiet => print(&format!(
            "epoch {epoch}: the lake continues from there; `ticktide quarantine retry` finds the refused records\n"
        )),
        _ => Ok(()),
    }
}
