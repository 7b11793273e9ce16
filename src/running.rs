//! A run of a dataflow in this process, from its start to its end.
//!
//! Why in addition to the engine's: a program names a dataflow and a lake, and omits what only the commands need (other
//! processes, metrics, a secret). What must hold: a run here commits what `ticktide run` would.

use crate::{Dataflow, Error, RunReport, place, refuse_async};
use std::path::{Path, PathBuf};
use ticktide_engine::{Evolve, RunOptions};
use ticktide_replay::rebuild;

/// A run: one dataflow into one lake, with workers of this process.
///
/// ```no_run
/// # fn main() -> Result<(), ticktide::Error> {
/// let dataflow = ticktide::Dataflow::load("dataflows/market.toml", &[], &[])?;
/// let report = ticktide::Run::new(dataflow).warehouse("./lake").workers(2).until_end().run()?;
/// println!("{} records in {} epochs", report.records, report.epochs);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Run {
    dataflow: Dataflow,
    warehouse: PathBuf,
    catalog: Option<String>,
    workers: usize,
    evolve: Evolve,
}

impl Run {
    /// A run of a dataflow into `./lake`, with one worker.
    pub fn new(dataflow: Dataflow) -> Run {
        Run { dataflow, warehouse: PathBuf::from("./lake"), catalog: None, workers: 1, evolve: Evolve::No }
    }

    /// Another lake: a folder, which is created if it is missing, or `s3://BUCKET/PREFIX`.
    pub fn warehouse(mut self, place: impl AsRef<Path>) -> Run {
        self.warehouse = place.as_ref().to_owned();
        self
    }

    /// The lake's catalog, as `--catalog` names it; by default `catalog.db` in the folder. A bucket needs one.
    pub fn catalog(mut self, catalog: impl Into<String>) -> Run {
        self.catalog = Some(catalog.into());
        self
    }

    /// How many threads compute, at least 1. The number does not change the tables.
    pub fn workers(mut self, workers: usize) -> Run {
        self.workers = workers;
        self
    }

    /// Ends at the end of the records existing at the start, with every bar closed; otherwise a live source never ends.
    pub fn until_end(mut self) -> Run {
        self.dataflow.source.until_end = true;
        self
    }

    /// Accepts a dataflow that adds to the lake's: the additions begin now.
    pub fn evolve(mut self) -> Run {
        self.evolve = Evolve::Forward;
        self
    }

    /// Runs it on this thread and the workers' until its end, a signal or a failure; every epoch up to then is committed.
    ///
    /// From now on the run handles SIGINT and SIGTERM of the process: the first one ends the run with its epoch, a second one
    /// ends the process with 130. Errors, with who acts ([`Error::kind`]) and a hint: those of the dataflow, the source and the
    /// lake; more than half of the first records were refused; of kind `Fenced`, another process has taken the lake.
    pub fn run(self) -> Result<RunReport, Error> {
        refuse_async()?;
        if self.workers == 0 {
            return Err(Error::fix("a run has 0 workers", "use a number from 1"));
        }
        let warehouse = place(&self.warehouse)?;
        let options = RunOptions {
            catalog: self.catalog,
            evolve: self.evolve,
            ..RunOptions::new(self.dataflow, warehouse, self.workers)
        };
        let mut report = rebuild::run(options)?;
        match report.refused.take() {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }
}
