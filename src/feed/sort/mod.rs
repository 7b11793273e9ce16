//! Recorded files into one, its records by their times: for files that are newest first, or lie out of order by days.
//!
//! ```text
//!   lines ─▶ Pile (times and bytes, in memory) ─▶ sorted runs ─▶ merged ─▶ one file, under its name when it is whole
//! ```
//!
//! Why outside of a run: how far back a record still counts is bounded by the state that is kept, and a file that lies the
//! wrong way round needs all of it. Why runs: whatever the file's size, what is in memory stays below a limit. What must
//! always hold: the output has each record of the inputs once, with its bytes; those of one time stand in the order in which
//! they were read; a record that tells no time stays behind the one before it in its file.

mod inputs;
mod output;
mod pile;
mod runs;
#[cfg(test)]
mod tests;

use crate::{FeedError, WireSpec};
use inputs::{Inputs, Line};
use output::Output;
use pile::Pile;
use runs::Runs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is sorted, and where to.
#[derive(Clone, Debug)]
pub struct SortSpec {
    /// Files, in the order in which records of one time are to stand.
    pub inputs: Vec<PathBuf>,
    /// A file that is not there yet; packed by its ending.
    pub output: PathBuf,
    pub wire: WireSpec,
    /// Bytes that records may take in memory.
    pub memory: u64,
    /// The folder for what memory cannot hold; without it that of the output.
    pub temp: Option<PathBuf>,
}

/// What was sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub records: u64,
    /// Uncompressed bytes of the records.
    pub bytes: u64,
    /// Records that tell no time.
    pub untimed: u64,
    /// Records that stood behind one of a later time, in their file or in one before it.
    pub late: u64,
    /// Parts that were sorted in memory.
    pub runs: u64,
    /// Last lines without an end, with their bytes: each has one now.
    pub unended: Vec<(PathBuf, u64)>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Read(u64),
    /// Of the records that were read.
    Written(u64),
}

/// Sorts. `tell` hears of it now and then; once `stop` is set it ends. `None`: it was stopped, and nothing was made. Errors: a
/// file cannot be read or written, the output is there, two inputs have different headers.
pub fn sort(spec: &SortSpec, tell: &mut dyn FnMut(Progress), stop: &AtomicBool) -> Result<Option<Sorted>, FeedError> {
    let mut output = Output::create(&spec.output)?;
    let folder = spec.temp.clone().unwrap_or_else(|| output::folder(&spec.output));
    let mut runs = Runs::new(&folder, spec.memory);
    let mut pile = Pile::new(spec.memory)?;
    let mut inputs = Inputs::new(&spec.inputs, &spec.wire)?;
    let (mut sorted, mut latest) = (Sorted::default(), i64::MIN);
    while let Some(Line { at, timed, bytes }) = inputs.next()? {
        if !pile.has_room(bytes.len()) {
            runs.add(&mut pile)?;
        }
        pile.push(at, bytes);
        sorted.records += 1;
        sorted.bytes += bytes.len() as u64;
        sorted.untimed += u64::from(!timed);
        sorted.late += u64::from(at < latest);
        latest = latest.max(at);
        if halted(sorted.records, stop, || tell(Progress::Read(sorted.records))) {
            return Ok(None);
        }
    }
    sorted.unended = inputs.unended();
    if let Some(header) = inputs.header() {
        output.line(header)?;
    }
    let mut written = 0;
    let mut write = |line: &[u8]| {
        output.line(line)?;
        written += 1;
        Ok(!halted(written, stop, || tell(Progress::Written(written))))
    };
    sorted.runs = runs.count() + u64::from(!pile.is_empty());
    let whole = match runs.count() {
        0 => pile.sorted().try_fold(true, |go, (_, line)| if go { write(line) } else { Ok(false) })?,
        _ => {
            runs.add(&mut pile)?;
            drop(pile); // its memory is the merge's now
            runs.merge(&mut write)?
        }
    };
    if !whole {
        return Ok(None);
    }
    output.keep()?;
    Ok(Some(sorted))
}

/// Looks up every few thousand records.
fn halted(count: u64, stop: &AtomicBool, tell: impl FnOnce()) -> bool {
    if !count.is_multiple_of(8_192) {
        return false;
    }
    tell();
    stop.load(Ordering::Relaxed)
}

/// A file cannot be written.
fn unwritten(path: &Path, error: &std::io::Error) -> FeedError {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "make room there, or give another folder with `--temp` or `--output`; nothing was left behind"
        }
        _ => "check the folder and its permissions; nothing was left behind",
    };
    FeedError::fix(format!("{} cannot be written: {error}", path.display()), hint)
}
