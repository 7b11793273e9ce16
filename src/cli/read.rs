//! `query` and `epochs`: read a lake.

use super::{Global, aligned, losses, note, print};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use ticktide_base::epoch::Epoch;
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::Nanos;
use ticktide_lake::commit::slot::SlotKind;
use ticktide_lake::{EpochRow, LakeReader, Slot};
use ticktide_query as query;
use ticktide_query::output::{self, OutputFormat};
use ticktide_query::{Pinned, QueryError};

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT; tables are named as in `show tables`
    pub sql: String,
    /// Read this epoch instead of the newest
    #[arg(long, value_name = "N")]
    pub epoch: Option<Epoch>,
    /// Write to a file whose ending names the format: .csv, .json (lines) or .parquet; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show times in this zone, e.g. Asia/Kolkata (in Parquet they stay instants, marked with the zone)
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum EpochsCommand {
    /// List all published epochs, the oldest first
    Ls,
    /// Show one epoch: where the records of each partition went, and the binding that defines it
    Show {
        /// The epoch's number [default: the newest]
        epoch: Option<Epoch>,
    },
}

/// Runs a query and writes its rows.
pub fn query(args: QueryArgs, global: &Global) -> Result<(), Error> {
    let zone = args.zone.as_deref().map(output::zone).transpose()?;
    let format = match &args.output {
        Some(path) => OutputFormat::of(path)?,
        None if global.json => OutputFormat::JsonLines,
        None => OutputFormat::Table,
    };
    block_on(async {
        let reader = open(global).await?;
        let pinned = Pinned::load(&reader, args.epoch).await?;
        let answer = query::query(&pinned, &args.sql).await?;
        let Some(path) = &args.output else {
            let written = output::write(answer, format, zone.as_ref(), Stdout(std::io::stdout())).await;
            return written.map(drop).map_err(|error| named("standard output", error));
        };
        let part = part_of(path);
        let shown = path.display().to_string();
        let written = match std::fs::File::create(&part) {
            Ok(file) => {
                let written = output::write(answer, format, zone.as_ref(), BufWriter::new(file)).await;
                written.map_err(|error| named(&shown, error))
            }
            Err(error) => Err(unwritable(path, &error)),
        };
        let rename = |rows: u64| std::fs::rename(&part, path).map(|()| rows).map_err(|error| unwritable(path, &error));
        let rows = written.and_then(rename).inspect_err(|_| {
            // if it cannot be removed, only a part of an answer stays
            let _ = std::fs::remove_file(&part);
        })?;
        if !global.quiet {
            note(format_args!("{rows} rows of epoch {} written to {}", pinned.epoch, path.display()));
        }
        Ok(())
    })
}

/// Rows of a query as JSON objects.
pub fn rows(sql: &str, warehouse: &Path, catalog: Option<&str>) -> Result<Vec<Value>, Error> {
    let text = render(sql, warehouse, OutputFormat::JsonLines, catalog)?;
    let wrong = |error: serde_json::Error| Error::bug(format!("a row of {sql:?} is not JSON: {error}"));
    text.lines().map(|line| serde_json::from_str(line).map_err(wrong)).collect()
}

/// Prints a query's rows as a table.
pub fn show_table(sql: &str, warehouse: &Path, catalog: Option<&str>) -> Result<(), Error> {
    print(&render(sql, warehouse, OutputFormat::Table, catalog)?)
}

fn render(sql: &str, warehouse: &Path, format: OutputFormat, catalog: Option<&str>) -> Result<String, Error> {
    block_on(async {
        let reader = LakeReader::open(warehouse, catalog).await?;
        let pinned = Pinned::load(&reader, None).await?;
        let mut bytes = Vec::new();
        output::write(query::query(&pinned, sql).await?, format, None, &mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// Lists epochs, or shows one.
pub fn epochs(command: &EpochsCommand, global: &Global) -> Result<(), Error> {
    match command {
        EpochsCommand::Ls => ls(&block_on(async { Ok(open(global).await?.epochs().await?) })?, global),
        EpochsCommand::Show { epoch } => {
            let (row, slot) = block_on(async {
                let reader = open(global).await?;
                let row = find(reader.epochs().await?, *epoch)?;
                let slot = reader.slot(row.epoch).await?;
                Ok((row, slot))
            })?;
            show(&row, slot.as_ref(), global)
        }
    }
}

fn ls(rows: &[EpochRow], global: &Global) -> Result<(), Error> {
    if global.json {
        return rows.iter().try_for_each(|row| print(&format!("{}\n", as_json(row))));
    }
    let names =
        ["epoch", "cut_at", "closed_until", "records", "accepted", "duplicates", "rejected", "pending", "expired"];
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| {
        let counts = [row.records, row.accepted, row.duplicates, row.rejected, row.pending];
        let mut line = vec![row.epoch.to_string(), moment(row.cut_at), row.closed_until.map_or("-".into(), moment)];
        line.extend(counts.map(|count| count.to_string()));
        line.extend(row.expired.then(|| "yes".to_owned()));
        line
    }));
    print(&aligned(&lines))
}

/// One of these epochs; the newest if none is given.
fn find(mut rows: Vec<EpochRow>, epoch: Option<Epoch>) -> Result<EpochRow, Error> {
    let found = match epoch {
        Some(epoch) => rows.into_iter().find(|row| row.epoch == epoch),
        None => rows.pop(),
    };
    found.ok_or_else(|| {
        let message =
            epoch.map_or("the lake has no epoch yet".to_owned(), |epoch| format!("there is no epoch {epoch}"));
        Error::fix(message, "list them with `ticktide epochs ls`")
    })
}

fn show(row: &EpochRow, slot: Option<&Slot>, global: &Global) -> Result<(), Error> {
    let mut shown = as_json(row);
    if global.json {
        shown["partitions"] = slot.map_or(Value::Null, |slot| Value::Object(partitions(slot)));
        shown["losses"] = slot.map_or(Value::Null, |slot| losses::epoch_json(&slot.conservation));
        shown["barren"] = slot.map_or(Value::Null, |slot| losses::epoch_barren(&slot.conservation));
        return print(&format!("{shown}\n"));
    }
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = shown.as_object().into_iter().flatten().filter(|(name, _)| *name != "binding");
    let lines: Vec<Vec<String>> = fields.map(|(name, value)| vec![name.clone(), cell(value)]).collect();
    print(&aligned(&lines))?;
    let partitions = slot.map(partitions).unwrap_or_default();
    if !partitions.is_empty() {
        let mut lines = vec![std::iter::once("partition").chain(COUNTS).map(str::to_owned).collect::<Vec<_>>()];
        lines.extend(partitions.iter().map(|(name, counts)| {
            std::iter::once(name.clone()).chain(COUNTS.iter().map(|column| cell(&counts[*column]))).collect()
        }));
        print(&format!("\n{}\n", aligned(&lines)))?;
    }
    for line in slot.iter().flat_map(|slot| losses::epoch_lines(&slot.conservation)) {
        print(&format!("{line}\n"))?;
    }
    match serde_json::to_string_pretty(&shown["binding"]) {
        Ok(binding) if row.binding.is_some() => print(&format!("binding\n{binding}\n")),
        _ => Ok(()),
    }
}

/// The figures that are shown of a partition, in this order.
const COUNTS: [&str; 9] =
    ["offset_first", "offset_next", "gaps", "records", "accepted", "duplicates", "rejected", "pending", "balance"];

/// Where the records of each partition went; `balance` is the rest, which is zero in every committed epoch.
fn partitions(slot: &Slot) -> serde_json::Map<String, Value> {
    let places = slot.binding.iter().flat_map(|binding| &binding.places);
    // a takeover repeats the binding of the last data epoch, and reads nothing
    let counted = places.filter(|_| slot.kind == SlotKind::Data).map(|(name, place)| {
        let counts = slot.conservation.get(name).cloned().unwrap_or_default();
        let [offsets, records] = counts.balance();
        let shown = json!({
            "offset_first": place.offset_next - counts.advanced, "offset_next": place.offset_next, "gaps": counts.gaps,
            "records": counts.records, "accepted": counts.accepted, "duplicates": counts.duplicates,
            "rejected": counts.rejected, "pending": counts.pending, "balance": offsets.abs() + records.abs(),
            "reasons": counts.reasons, "silent": counts.silent, "partly": counts.partly, "lost": counts.lost,
        });
        (name.clone(), shown)
    });
    counted.collect()
}

fn as_json(row: &EpochRow) -> Value {
    let binding: Value = row.binding.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    json!({
        "epoch": row.epoch, "cut_at": moment(row.cut_at), "decided_at": moment(row.decided_at),
        "generation": row.generation, "closed_until": row.closed_until.map(moment), "records": row.records,
        "accepted": row.accepted, "duplicates": row.duplicates, "rejected": row.rejected, "pending": row.pending,
        "gaps": row.gaps, "expired": row.expired, "binding": binding,
    })
}

pub(super) fn moment(at: Nanos) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
    stamp.expect("jiff's range holds every i64 of nanoseconds").to_string()
}

pub(super) async fn open(global: &Global) -> Result<LakeReader, Error> {
    let catalog = global.catalog().map(|found| found.value);
    Ok(LakeReader::open(&global.warehouse("./lake")?.value, catalog.as_deref()).await?)
}

/// An error of writing rows, with the place that they were written to.
fn named(place: &str, error: QueryError) -> Error {
    match &error {
        QueryError::Unwritable(cause) => Error::fix(format!("{place} cannot be written: {cause}"), query::room(cause)),
        _ => error.into(),
    }
}

/// The name of a file that is not complete yet.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::fix(format!("{} cannot be written: {error}", path.display()), format!("{} (`--output`)", query::room(error)))
}

pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Error {
        kind: Kind::Retry,
        message: format!("the threads for reading cannot be started: {error}"),
        hint: None,
    })?;
    runtime.block_on(work)
}

/// Standard output, whose reader may go away.
struct Stdout(std::io::Stdout);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
