//! The command line: its commands, and how each of them reaches the stages.
//!
//! Internal: programs use the crate `ticktide`; what is here may change with every version.
//!
//! Data goes to standard output, as text for people or with `--json` as JSON lines; everything else goes to standard error.
//! What must always hold: a command ends with an [`Error`] whose kind is the exit code, and only `main` prints it.

mod calendar;
mod check;
mod demo;
mod explain;
mod feed;
mod lake;
mod list;
mod losses;
mod plan;
mod quarantine;
mod read;
mod reconcile;
#[cfg(test)]
mod reference;
mod rewind;
mod run;
mod sniff;
mod source;
#[cfg(test)]
mod tests;
mod verify;
mod writing;

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::io::Write;
use ticktide_base::document::Location;
use ticktide_base::environment::{self as settings, ResolvedSetting};
use ticktide_base::error::{Error, Kind};
use ticktide_lake::Warehouse;

/// Stream market ticks into a lake that is always right.
#[derive(Debug, Parser)]
#[command(name = "ticktide", version, max_term_width = 120, arg_required_else_help = true)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command, with its own options.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The lake: a folder, or s3://BUCKET/PREFIX [default: ./lake, or TICKTIDE_WAREHOUSE]
    #[arg(long, global = true, value_name = "DIR|s3://…")]
    pub warehouse: Option<String>,
    /// The lake's catalog: sqlite:PATH, postgres://USER@HOST/DATABASE or glue[://REGION/DATABASE] [default: catalog.db in
    /// the folder, or TICKTIDE_CATALOG]
    #[arg(long, global = true, value_name = "CATALOG")]
    pub catalog: Option<String>,
    /// Print data as JSON lines
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only data and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Every command, in the order in which the help lists them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: write a seeded market into a lake in ./ticktide-demo, then query it
    Demo(demo::DemoArgs),
    /// Run a dataflow into a lake
    Run(run::RunArgs),
    /// Check dataflow and calendar files without running them
    Check(check::CheckArgs),
    /// Query a lake with SQL, all tables at one epoch
    Query(read::QueryArgs),
    /// List the epochs of a lake, or show one
    #[command(subcommand)]
    Epochs(read::EpochsCommand),
    /// Fill topics and files that a source reads: a live feed, a simulation, recordings
    #[command(subcommand)]
    Feed(feed::FeedCommand),
    /// List what a dataflow can use: sources, formats, indicators, checks and more
    List(list::ListArgs),
    /// Explain an error code, a quarantine reason or an exit code, and what to do about it
    Explain(explain::ExplainArgs),
    /// Show when a session trades: its phases by date and class of instruments
    Calendar(calendar::CalendarArgs),
    /// Show the operators and tables of a dataflow, as text and as a drawing
    Plan(plan::PlanArgs),
    /// Count, show and retry quarantined records: those that entered no table
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Maintain a lake: compact files, expire epochs, set a time back, find faults
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// Check a lake against its log: read its data files, recompute its epochs from the recorded source
    Verify(verify::VerifyArgs),
    /// Compare a broker's candles and an exchange's bhavcopies with the lake: what differs, and the likely reason
    Reconcile(reconcile::ReconcileArgs),
    /// Print the completion script of a shell, e.g. `ticktide completions bash > /etc/bash_completion.d/ticktide`
    Completions { shell: clap_complete::Shell },
}

/// Runs a command. Errors: those of every stage; their kind is the exit code, and none of them is printed here.
pub fn run(cli: Cli) -> Result<(), Error> {
    let global = cli.global;
    match cli.command {
        Command::Demo(args) => demo::demo(&args, &global),
        Command::Run(args) => run::run(&args, &global),
        Command::Check(args) => check::check(&args, &global),
        Command::Query(args) => read::query(args, &global),
        Command::Epochs(command) => read::epochs(&command, &global),
        Command::Feed(command) => feed::feed(&command, &global),
        Command::List(args) => list::list(&args, &global),
        Command::Explain(args) => explain::explain(&args, &global),
        Command::Calendar(args) => calendar::calendar(&args, &global),
        Command::Plan(args) => plan::plan(&args, &global),
        Command::Quarantine(command) => quarantine::quarantine(&command, &global),
        Command::Lake(command) => lake::lake(&command, &global),
        Command::Verify(args) => verify::verify(args, &global),
        Command::Reconcile(args) => reconcile::reconcile(&args, &global),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ticktide", &mut script);
    print(&String::from_utf8_lossy(&script))
}

impl Global {
    /// The lake's place: flag, variable, or `default`.
    fn warehouse(&self, default: &str) -> Result<ResolvedSetting<Warehouse>, Error> {
        let found = settings::resolve(self.warehouse.clone(), "--warehouse", settings::WAREHOUSE, Some(default));
        let ResolvedSetting { value, origin } = found.expect("there is a default");
        Ok(ResolvedSetting { value: Warehouse::parse(&value, settings::s3)?, origin })
    }

    fn catalog(&self) -> Option<ResolvedSetting<String>> {
        settings::resolve(self.catalog.clone(), "--catalog", settings::CATALOG, None)
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), Error> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let message = format!("standard output cannot be written: {error}");
            Err(Error { kind: Kind::Retry, message, hint: None })
        }
        _ => Ok(()),
    }
}

/// Prints a line to standard error. A closed standard error is ignored: `eprintln!` would panic.
fn note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The start of a payload on one line.
pub(crate) fn shown(payload: &[u8]) -> String {
    const LETTERS: usize = 120;
    let text = String::from_utf8_lossy(payload);
    let start: String = text.chars().take(LETTERS).collect();
    let more = if text.chars().nth(LETTERS).is_some() { "…" } else { "" };
    format!("{start:?}{more}")
}

/// Rows of text with aligned columns; the last column has any width.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A place in a file or a setting, for `--json`.
fn place_json(place: &Location) -> serde_json::Value {
    match place {
        Location::File { file, line, column } => {
            serde_json::json!({ "file": file.as_ref(), "line": line, "column": column })
        }
        other => serde_json::json!({ "file": null, "line": null, "column": null, "setting": other.to_string() }),
    }
}
