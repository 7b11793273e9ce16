//! `feed simulate`: a day whose truth is known.

use super::super::Global;
use super::super::read::moment;
use super::sending::{Sending, SendingArgs};
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::{MINUTE, Nanos};
use ticktide_connect::produce::{Frame, key};
use ticktide_connect::simulate::{CODES, SimulateSpec, Simulation, Truth};

#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    pub sending: SendingArgs,
    /// The seed of the day: the same seed gives the same frames
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Number of shares; every fifth has a future, every tenth is silent for minutes, and there is one index
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub instruments: u32,
    /// How many shares the feed reports in a second, on average, the first ones most often: much of a real market trades
    /// rarely [default: all]
    #[arg(long, value_name = "N")]
    pub active: Option<u32>,
    /// The trading date
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = date)]
    pub date: i32,
    /// The first minute, in India's time
    #[arg(long, value_name = "HH:MM", default_value = "09:00", value_parser = minute)]
    pub from: Nanos,
    /// The minute after the last one, in India's time
    #[arg(long, value_name = "HH:MM", default_value = "09:45", value_parser = minute)]
    pub until: Nanos,
    /// Message codes, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = CODES)]
    pub codes: Vec<u16>,
    /// Send frames as the socket's events instead of the messages in them
    #[arg(long)]
    pub wrapped: bool,
    /// Leave out the day's instrument master
    #[arg(long)]
    pub no_master: bool,
    /// Write the true volume of each minute to this file, as CSV
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

fn date(text: &str) -> Result<i32, String> {
    let date: jiff::civil::Date = text.parse().map_err(|_| "give a date like 2026-01-05".to_owned())?;
    Ok(ticktide_market::calendar::day_of(date))
}

fn minute(text: &str) -> Result<Nanos, String> {
    let wrong = || "give a time like 09:15".to_owned();
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    match (hours.parse::<u8>(), minutes.parse::<u8>()) {
        (Ok(hours @ 0..24), Ok(minutes @ 0..60)) => Ok((i64::from(hours) * 60 + i64::from(minutes)) * MINUTE),
        _ => Err(wrong()),
    }
}

/// Sends the day's frames, then writes the truth. Errors: those of sending; the truth's file cannot be written.
pub fn simulate(args: &SimulateArgs, global: &Global) -> Result<(), Error> {
    let spec = SimulateSpec {
        seed: args.seed,
        instruments: args.instruments,
        active: args.active,
        date: args.date,
        from: args.from,
        until: args.until,
        codes: args.codes.clone(),
        wrapped: args.wrapped,
        master: !args.no_master,
    };
    let mut simulation = Simulation::new(&spec)?;
    let mut sending = Sending::open(&args.sending)?;
    for frame in simulation.by_ref() {
        sending.wait_for(frame.received_at);
        let (topic, origin) = (frame.topic(&args.sending.target.prefix), frame.origin());
        let key = key(frame.venue, frame.instrument);
        sending.sink.put(&Frame {
            topic: &topic,
            key: Some(key.as_bytes()),
            origin: origin.as_bytes(),
            received_at: Some(frame.received_at),
            payload: &frame.payload,
        })?;
        if sending.sink.is_closed() {
            return Ok(());
        }
    }
    if let Some(path) = &args.truth {
        write(path, simulation.truth())?;
    }
    sending.finish(global, &[("minutes", simulation.truth().len() as u64)])
}

fn write(path: &Path, truth: &Truth) -> Result<(), Error> {
    let mut text = String::from("venue,instrument,phase,open_at,volume,trades\n");
    for ((venue, instrument, phase, open_at), traded) in truth {
        let (at, volume, trades) = (moment(*open_at), traded.volume, traded.trades);
        let _ = writeln!(text, "{venue},{instrument},{phase},{at},{volume},{trades}"); // a String takes everything
    }
    std::fs::write(path, text).map_err(|error| Error {
        kind: Kind::Fix,
        message: format!("file {} cannot be written: {error}", path.display()),
        hint: Some("choose another path for `--truth`".into()),
    })
}
