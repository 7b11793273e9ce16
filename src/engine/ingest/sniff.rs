//! The first records of a new lake: a wrong format shows at once, before the first epoch.
//!
//! Why not for a source with an end: its verdict comes after the last record, or before the first if there are few.
//! What must hold: refused records after the first epoch are not blamed on the format.

use crate::verdict;
use ticktide_base::error::Error;
use ticktide_feed::Batch;

/// The first records of a new lake: a wrong format shows at once, before the first epoch. Later ones are not blamed on it.
#[derive(Default)]
pub struct Sniff {
    records: u64,
    rejects: u64,
    samples: Vec<(String, Vec<u8>)>,
}

impl Sniff {
    /// The number of records after which the verdict is final.
    pub const RECORDS: u64 = 1_000;
    const SAMPLES: usize = 3;

    /// Stops looking.
    pub fn end(&mut self) {
        self.records = Sniff::RECORDS;
        self.samples = Vec::new();
    }

    /// Looks at a batch; an error when more than half of the first records are not ticks.
    pub fn look(&mut self, batch: &Batch) -> Result<(), Error> {
        if self.records >= Sniff::RECORDS {
            return Ok(());
        }
        self.records += batch.records - batch.ignored.len() as u64;
        self.rejects += batch.rejects.len() as u64;
        for reject in batch.rejects.iter().take(Sniff::SAMPLES - self.samples.len().min(Sniff::SAMPLES)) {
            self.samples.push((format!("{}: {}", reject.reason, reject.detail), reject.payload.clone()));
        }
        if self.records < Sniff::RECORDS || 2 * self.rejects <= self.records {
            return Ok(());
        }
        let shown: String = self.samples.iter().map(|(why, payload)| verdict::line(payload, why)).collect();
        let payloads: Vec<&[u8]> = self.samples.iter().map(|(_, payload)| payload.as_slice()).collect();
        let hint = verdict::formats(&payloads);
        Err(Error::fix(format!("{} of the first {} records are not ticks:{shown}", self.rejects, self.records), hint))
    }
}
