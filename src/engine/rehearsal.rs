//! A source with an end and few records, read once before a new lake's first epoch: one that is refused leaves the lake empty.
//!
//! ```text
//!   source ─▶ decode ─▶ judge ─▶ counts, samples: the verdict of the whole source        nothing is written, all is read again
//! ```
//!
//! Why beforehand: committed records stay, and the cuts of epochs must not decide whether any are committed. Few records are
//! quickly read twice. What must always hold: a source of [`FEW`] records or more passes, and so does one whose run is stopped;
//! their verdict comes at the end.

use crate::ingest::Intake;
use crate::share::Share;
use crate::verdict::{self, Samples};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticktide_base::epoch::Binding;
use ticktide_base::error::Error;
use ticktide_base::time::Nanos;
use ticktide_dataflow::Dataflow;
use ticktide_feed::{Assignment, Source};
use ticktide_flow::clean::EpochHorizons;

/// Fewer records than this are few.
pub(crate) const FEW: u64 = 1_000;

/// Reads a source to its end if it has few records. Errors: more than half of them are refused; of the source.
/// `goes_on` is called now and then; false ends the reading.
pub(crate) fn rehearse(
    dataflow: &Dataflow,
    source: &Arc<dyn Source>,
    mut goes_on: impl FnMut() -> bool,
) -> Result<(), Error> {
    let partitions = source.partitions();
    let starts: Vec<(usize, i64)> =
        partitions.iter().enumerate().map(|(index, partition)| (index, partition.offset_start)).collect();
    if starts.is_empty() {
        return Ok(());
    }
    let all = Share { index: 0, peers: 1 };
    let mut intake = Intake::new(dataflow, partitions, &starts, &Binding::default(), all);
    intake.begin_epoch(EpochHorizons {
        intervals: vec![Nanos::MIN; dataflow.bars.len()],
        retained_from: Nanos::MIN,
        ..EpochHorizons::default()
    });
    let assigned: Vec<Assignment> =
        starts.iter().map(|(partition, offset)| Assignment { partition: *partition, offset: *offset }).collect();
    let mut reader = source.reader(&assigned)?;
    let mut unread: BTreeSet<usize> = starts.iter().map(|(partition, _)| *partition).collect();
    let mut samples = Samples::default();
    while !unread.is_empty() && goes_on() {
        let Some(batch) = reader.poll(Duration::from_millis(50), &|_| false)? else { continue };
        if batch.finished {
            unread.remove(&batch.partition);
        }
        let taken = intake.take(batch, Instant::now());
        samples.extend(&taken.quarantine);
        if intake.records() >= FEW {
            return Ok(());
        }
    }
    if !unread.is_empty() {
        return Ok(());
    }
    for taken in intake.flush() {
        samples.extend(&taken.quarantine);
    }
    verdict::refused(&intake.counts(), &samples).map_or(Ok(()), Err)
}
