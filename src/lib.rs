//! ticktide: a stream of market ticks into a lake that is always right.
//!
//! A program reads a [`Dataflow`], runs it ([`Run`]) into a lake, and reads the [`Lake`] back with a [`Query`]. It first
//! adds its own entries, such as an [`Indicator`], a [`Check`], a [`Wire`] or a kind of [`source`], to the [`Registry`]. The
//! folder `examples` has a whole program for each.
//!
//! ```no_run
//! use ticktide::{Dataflow, Lake, Run};
//! # fn main() -> Result<(), ticktide::Error> {
//! let ours = r#"
//!     source     = { use = "file", paths = ["ticks.jsonl"] }
//!     bars       = [{ every = "1m" }]
//!     indicators = [{ use = "rsi", on = "1m" }]
//! "#;
//! let dataflow = Dataflow::from_text("ours", "ours.toml", ours, &[], &[])?;
//! Run::new(dataflow).warehouse("./lake").until_end().run()?;
//! let rows = Lake::open("./lake")?.query("select symbol, open_at, rsi_14 from indicators_1m").rows()?;
//! # Ok(())
//! # }
//! ```
//!
//! Why the interface is so small: everything behind it changes with the engine. The stages (crates `ticktide-*`) are
//! internal: they are compiled from one repository and promise nothing to programs.
//!
//! Follow a tick: [`ticktide_feed`] decodes it from bytes → [`ticktide_engine::ingest`] judges it (with
//! [`ticktide_flow::clean`]) and adds it to its bar, stamped with a step and an epoch → [`ticktide_engine::graph`] takes it
//! to the worker of its instrument, where [`ticktide_flow::bars`] keep the live bars → [`ticktide_flow::bars::volume`],
//! [`ticktide_flow::indicators::readings`] scan them → [`ticktide_flow::close`] publishes what is closed → [`ticktide_lake`]
//! writes and commits the epoch → [`ticktide_query`] reads it back. [`ticktide_engine`] is the one loop, and
//! [`ticktide_engine::epochs`] decide where epochs end. [`ticktide_replay`] compares a lake with its log,
//! [`ticktide_reconcile`] with bars that others made.
//!
//! One word for each concept:
//!
//! | word | is |
//! |---|---|
//! | tick | one decoded record: a trade, a snapshot, a cancel, a correction or a notice |
//! | snapshot | a tick that reports the state of an instrument: last price, cumulative volume, best quotes |
//! | notice | a tick that no bar is made of (a market's status, a price band, a row of a master): counted |
//! | listing, terms | what a master states about an instrument on a day; the part of it that bars are joined with |
//! | frame, envelope | a record as a connector received it; the data around it: key, origin, time of receipt |
//! | gap record | a stretch of time in which frames of a live feed may be missing, and why |
//! | bar, interval | what happened in one stretch of time; its width |
//! | instrument, series | venue and token; an instrument's bars of one interval |
//! | session, class, phase | when a market trades; instruments with one timetable; a stretch of a trading date, e.g. an auction |
//! | reading | the values of an indicator at a bar |
//! | check, anomaly | what looks for oddities in ticks, bars or a feed; what it finds |
//! | beat | a bar's start at which any instrument of a venue has a bar |
//! | sighting | an instrument's first tick of a trading day in a partition |
//! | suspect | an odd trade that may still be cancelled or corrected |
//! | reject, quarantine | a record that is not a tick or does not count; the table that keeps it as it was received |
//! | offset, partition | a record's number in its ordered run of records |
//! | step | a timely timestamp: when results move on |
//! | epoch | a run of steps that is published together |
//! | grant, cut, binding | permission to read into an epoch; its end; the record that defines it |
//! | frontier | the least of the greatest event times of the partitions that brake |
//! | close | to publish a bar, because its end and the grace have passed |
//! | horizon | the time before which a tick is too late for an interval |
//! | lineage | a dataflow of a lake and its epochs; the next one only adds to it |
//! | replay | reading a recorded range again, under its recorded bindings |
//! | generation, fence | one start of a run; what keeps an older one from deciding |
//! | candle | a bar that ticktide did not make: a broker's, an exchange's |
//! | slot | an epoch's object in the log: the commit |

mod command_line;
mod reading;
mod running;

pub use arrow;
pub use command_line::command_line;
pub use reading::{Lake, Query};
pub use running::Run;
pub use ticktide_base::error::{Error, Kind};
pub use ticktide_dataflow::{Dataflow, DataflowError, Override, Registry};
pub use ticktide_engine::RunReport;
pub use ticktide_feed::wire::Format as Wire;
pub use ticktide_flow::anomalies::Check;
pub use ticktide_flow::indicators::Indicator;
pub use ticktide_lake::EpochRow;

use std::path::Path;
use ticktide_base::environment;
use ticktide_lake::Warehouse;

/// The types that an [`Indicator`] of your own is made of.
///
/// A `static` [`Spec`](indicator::Spec) names it, lists its parameters and builds it; [`Registry::indicator`] adds it. It takes
/// an instrument's finished bars in order and returns numbers, one for each column. Its state is a slice of doubles, all zeros
/// at first. What must hold: `step` is a pure function of state and bar, and no state has a count that grows without end,
/// since a correction ends where the states before and after it are equal again.
///
/// The built-in ones follow the definitions and the seeding of TA-Lib 0.8.
pub mod indicator {
    pub use ticktide_flow::indicators::{Anchor, BarInput, NULL, Parameter, Parameters, Spec};
}

/// The types that a [`Check`] of your own is made of.
///
/// A `static` [`Spec`](check::Spec) names it, lists its parameters, states what it checks and builds it; [`Registry::check`]
/// adds it. What it finds is a row of the table `anomalies`. Prices and volumes of a bar are integers of 10⁻⁸, times
/// nanoseconds of UTC.
pub mod check {
    pub use ticktide_base::time::{Interval, Nanos};
    pub use ticktide_flow::anomalies::{
        BarCheck, BarFinding, Facts, Level, ListedCheck, Oddity, Severity, Spec, TickCheck,
    };
    pub use ticktide_flow::bars::finished::FinishedBar;
    pub use ticktide_flow::indicators::{Parameter, Parameters};
    pub use ticktide_flow::instruments::Term;
}

/// The types that a [`Wire`] of your own is made of: the bytes of a record become a tick, or a problem that keeps the record.
///
/// A `static` [`Wire`] names it and builds a decoder for a dataflow's settings; [`Registry::wire`] adds it. What must hold: any
/// bytes give a tick or a problem, and prices and quantities are read from their digits ([`decimal`](wire::decimal)).
pub mod wire {
    pub use ticktide_feed::wire::{Decoder, RawRecord, RecordProblem as Problem};
    pub use ticktide_feed::{FeedError, InstrumentTable, WireSpec as Settings};
    pub use ticktide_market::{NumberError, Price, Quantity, Snapshot, Tick, TickKind, decimal, decimal_wide};
}

/// The types that a kind of source of your own is made of: partitions, each an ordered run of records, and their readers.
///
/// A `static` [`Kind`](source::Kind) names it and opens it with a dataflow's settings; [`Registry::source`] adds it. What must
/// hold: an offset names the same record at every opening, since a lake goes on from offsets and is verified by them.
pub mod source {
    pub use ticktide_feed::wire::{Decoder, RawRecord, build as decoder};
    pub use ticktide_feed::{
        Assignment, Batch, FeedError, InstrumentTable, Partition, Reader, Reject, Source, SourceKind as Kind,
        SourceSpec as Settings,
    };
}

/// The location of a lake, as a program names it.
fn place(path: &Path) -> Result<Warehouse, Error> {
    match path.to_str() {
        Some(text) => Warehouse::parse(text, environment::s3),
        None => Ok(Warehouse::from(path)),
    }
}

/// Refuses a blocking call where it would stop other tasks. Error of kind `Fix`.
fn refuse_async() -> Result<(), Error> {
    match tokio::runtime::Handle::try_current() {
        Err(_) => Ok(()),
        Ok(_) => Err(Error::fix(
            "a run and a query of a lake block, so they cannot be called within async code",
            "call them on a thread of their own: `std::thread::spawn`",
        )),
    }
}
