//! The first records of a new lake: a wrong format shows at once, before the first epoch.

use ticktide_base::error::Error;
use ticktide_feed::{Batch, wire};

/// The first records of a new lake: a wrong format shows at once, before the first epoch. Later ones were never its fault.
#[derive(Default)]
pub struct Sniff {
    records: u64,
    rejects: u64,
    samples: Vec<(String, Vec<u8>)>,
}

impl Sniff {
    /// Records after which a verdict stands.
    pub const RECORDS: u64 = 1_000;
    const SAMPLES: usize = 3;

    /// Looks no more.
    pub fn end(&mut self) {
        self.records = Sniff::RECORDS;
        self.samples = Vec::new();
    }

    /// Looks at a batch; an error when more than half of the first records are no ticks.
    pub fn look(&mut self, batch: &Batch) -> Result<(), Error> {
        if self.records >= Sniff::RECORDS {
            return Ok(());
        }
        self.records += batch.records;
        self.rejects += batch.rejects.len() as u64;
        for reject in batch.rejects.iter().take(Sniff::SAMPLES - self.samples.len().min(Sniff::SAMPLES)) {
            self.samples.push((format!("{}: {}", reject.reason, reject.detail), reject.payload.clone()));
        }
        if self.records < Sniff::RECORDS || 2 * self.rejects <= self.records {
            return Ok(());
        }
        let shown = self.samples.iter().map(|(why, payload)| {
            let text: String = String::from_utf8_lossy(payload).chars().take(120).collect();
            format!("\n  {text:?}: {why}")
        });
        let shown: String = shown.collect();
        let payloads: Vec<&[u8]> = self.samples.iter().map(|(_, payload)| payload.as_slice()).collect();
        let hint = match wire::formats_that_decode(&payloads).as_slice() {
            [] => {
                "no wire format decodes them as they are; is `source.fields` missing, or the topic another one?".into()
            }
            formats => format!("these formats decode some of them: {}; set `source.wire`", formats.join(", ")),
        };
        Err(Error::fix(format!("{} of the first {} records are no ticks:{shown}", self.rejects, self.records), hint))
    }
}
