//! Sorts recorded files into one, in the order of their times: for files that are newest first or out of order by days.
//!
//! ```text
//!   lines ─▶ Pile (times and bytes, in memory) ─▶ sorted runs ─▶ merged ─▶ one file, under its name when it is whole
//! ```
//!
//! Why not in a run of the dataflow: the state that a run keeps bounds how late a record may be, and a reversed file would need
//! all of that state. Why sorted runs: memory stays below a limit whatever the file's size. What must always hold: the output
//! has each record of the inputs once, with its bytes; records of one time are in the order in which they were read; a record
//! without a time stays after the record before it in its file.

mod inputs;
mod output;
mod pile;
mod runs;
#[cfg(test)]
mod tests;

use crate::{FeedError, WireSpec};
use inputs::{InputLine, SortInputs};
use output::SortedFile;
use pile::Pile;
use runs::SortedRuns;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The files to sort, and the output.
#[derive(Clone, Debug)]
pub struct SortSpec {
    /// Files, in the order that records of one time must have.
    pub inputs: Vec<PathBuf>,
    /// A file that does not exist yet; compressed by its ending.
    pub output: PathBuf,
    pub wire: WireSpec,
    /// Bytes of memory that records may take.
    pub memory: u64,
    /// The folder for what memory cannot hold; without it the folder of the output.
    pub temp: Option<PathBuf>,
}

/// The result of a sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub records: u64,
    /// Uncompressed bytes of the records.
    pub bytes: u64,
    /// Records without a time.
    pub untimed: u64,
    /// Records after one of a later time, in their file or in a file before it.
    pub late: u64,
    /// Runs that were sorted in memory.
    pub runs: u64,
    /// Last lines without a line end, with their lengths: each has one in the output.
    pub unended: Vec<(PathBuf, u64)>,
}

/// How far the sort has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortProgress {
    /// Records read.
    Read(u64),
    /// Records written, of those that were read.
    Written(u64),
}

/// Sorts. `report` receives the progress now and then; the sort ends once `stop` is set. `None`: it was stopped, without an
/// output. Errors: a file cannot be read or written, the output exists, two inputs have different headers.
pub fn sort(
    spec: &SortSpec,
    report: &mut dyn FnMut(SortProgress),
    stop: &AtomicBool,
) -> Result<Option<Sorted>, FeedError> {
    let mut output = SortedFile::create(&spec.output)?;
    let folder = spec.temp.clone().unwrap_or_else(|| output::folder(&spec.output));
    let mut runs = SortedRuns::new(&folder, spec.memory);
    let mut pile = Pile::new(spec.memory)?;
    let mut inputs = SortInputs::new(&spec.inputs, &spec.wire)?;
    let (mut sorted, mut latest) = (Sorted::default(), i64::MIN);
    while let Some(InputLine { at, timed, bytes }) = inputs.next()? {
        if !pile.has_room(bytes.len()) {
            runs.add(&mut pile)?;
        }
        pile.push(at, bytes);
        sorted.records += 1;
        sorted.bytes += bytes.len() as u64;
        sorted.untimed += u64::from(!timed);
        sorted.late += u64::from(at < latest);
        latest = latest.max(at);
        if halted(sorted.records, stop, || report(SortProgress::Read(sorted.records))) {
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
        Ok(!halted(written, stop, || report(SortProgress::Written(written))))
    };
    sorted.runs = runs.count() + u64::from(!pile.is_empty());
    let whole = match runs.count() {
        0 => pile.sorted().try_fold(true, |go, (_, line)| if go { write(line) } else { Ok(false) })?,
        _ => {
            runs.add(&mut pile)?;
            drop(pile); // the merge uses its memory
            runs.merge(&mut write)?
        }
    };
    if !whole {
        return Ok(None);
    }
    output.keep()?;
    Ok(Some(sorted))
}

/// Reports progress every few thousand records, and returns whether the sort must stop.
fn halted(count: u64, stop: &AtomicBool, report: impl FnOnce()) -> bool {
    if !count.is_multiple_of(8_192) {
        return false;
    }
    report();
    stop.load(Ordering::Relaxed)
}

/// The error for a file that cannot be written.
fn unwritten(path: &Path, error: &std::io::Error) -> FeedError {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "free space there, or give another folder with `--temp` or `--output`; no partial file is left"
        }
        _ => "check the folder and its permissions; no partial file is left",
    };
    FeedError::fix(format!("{} cannot be written: {error}", path.display()), hint)
}
