//! How a run ends that has refused too many records: with which, why and what helps.
//!
//! ```text
//!   every worker: samples of refused records, with its part of an epoch ═▶ worker 0's process: sums, the verdict at the end
//! ```
//!
//! Why at the end and not at the first records: a source with an end is complete only there, and the records refused by then
//! are in the lake, so that the place moves on and the rows do not depend on where epochs were cut. What must always hold: more
//! than half means more than half of all records of the run, of all processes, whichever stage refused them.

use crate::reasons;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ticktide_base::epoch::Conservation;
use ticktide_base::error::Error;
use ticktide_dataflow::presets::{PRESETS, Preset};
use ticktide_feed::wire::RawRecord;
use ticktide_feed::{InstrumentTable, wire};
use ticktide_tables::QuarantineRow;

/// Samples that are shown.
pub(crate) const SHOWN: usize = 3;
/// Longer payloads are cut: their beginning shows the format, or nothing does.
const PAYLOAD_MAX: usize = 16 << 10;

/// A refused record, to be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    pub partition: String,
    pub offset: i64,
    pub detail: String,
    pub payload: Vec<u8>,
}

/// The first refused records by reason, a few of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples(BTreeMap<String, Vec<Sample>>);

impl Samples {
    /// Takes a refused record, if there are few of its reason so far; true: it was taken.
    pub fn take(&mut self, row: &QuarantineRow) -> bool {
        if self.0.get(row.reason).is_some_and(|few| few.len() >= SHOWN) {
            return false;
        }
        let payload = row.payload[..row.payload.len().min(PAYLOAD_MAX)].to_vec();
        let (partition, detail) = (row.partition.to_string(), row.detail.clone());
        let sample = Sample { partition, offset: row.offset, detail, payload };
        self.0.entry(row.reason.to_owned()).or_default().push(sample);
        true
    }

    /// Takes those refused records that are among the first of their reasons.
    pub fn extend<'a>(&mut self, rows: impl IntoIterator<Item = &'a QuarantineRow>) {
        for row in rows {
            self.take(row);
        }
    }

    /// Adds the samples of another worker; keeps the first of both, by partition and offset.
    pub fn add(&mut self, others: Samples) {
        for (reason, more) in others.0 {
            let few = self.0.entry(reason).or_default();
            few.extend(more);
            few.sort();
            few.truncate(SHOWN);
        }
    }

    /// The samples to show if the reasons come in this order: the first of each reason, then the second of each.
    fn shown<'a>(&'a self, order: &[&'a str]) -> Vec<(&'a str, &'a Sample)> {
        let rounds = (0..SHOWN).flat_map(|round| order.iter().map(move |reason| (*reason, round)));
        let found = rounds.filter_map(|(reason, round)| Some((reason, self.0.get(reason)?.get(round)?)));
        found.take(SHOWN).collect()
    }
}

/// The error of a run that has refused more than half of its records.
pub fn refused(counts: &Conservation, samples: &Samples) -> Option<Error> {
    let Conservation { records, rejected, reasons, ignored, .. } = counts;
    let records = &(records - ignored);
    if *rejected == 0 || 2 * rejected <= *records {
        return None;
    }
    let mut order: Vec<(&str, i64)> = reasons.iter().map(|(reason, records)| (reason.as_str(), *records)).collect();
    order.sort_by_key(|(reason, records)| (-records, *reason));
    let sums: Vec<String> = order.iter().map(|(reason, records)| format!("{records} {reason}")).collect();
    let words: Vec<&str> = order.iter().map(|(reason, _)| *reason).collect();
    let samples = samples.shown(&words);
    let shown = samples.iter().map(|(reason, sample)| line(&sample.payload, &format!("{reason}: {}", sample.detail)));
    let shown: String = shown.collect();
    let message = format!("{rejected} of {records} records were refused ({}):{shown}", sums.join(", "));
    let decoders: Vec<&[u8]> = samples
        .iter()
        .filter(|(reason, _)| reasons::reason(reason).is_some_and(|reason| reason.decoder))
        .map(|(_, sample)| sample.payload.as_slice())
        .collect();
    let formats = (!decoders.is_empty()).then(|| formats(&decoders));
    let keys = words.iter().take(SHOWN).map(|reason| format!("{reason}: {}", reasons::hint(reason)));
    let hints: Vec<String> = formats.into_iter().chain(keys).collect();
    Some(Error::fix(message, hints.join("; ")))
}

/// A payload in readable form, with what is wrong with it.
pub(crate) fn line(payload: &[u8], why: &str) -> String {
    let text: String = String::from_utf8_lossy(payload).chars().take(120).collect();
    format!("\n  {text:?}: {why}")
}

/// The presets that decode at least one of the payloads. Those that need the file's name decode none.
fn presets_that_decode(payloads: &[&[u8]]) -> Vec<&'static str> {
    let decodes = |preset: &&Preset| {
        let Some(mut decoder) = preset.wire().ok().and_then(|spec| wire::build(&spec).ok()) else { return false };
        let mut instruments = InstrumentTable::default();
        payloads.iter().any(|payload| decoder.decode(&RawRecord::of(payload), &mut instruments).is_ok())
    };
    PRESETS.iter().filter(decodes).map(|preset| preset.name).collect()
}

/// Which formats decode payloads that were refused.
pub(crate) fn formats(payloads: &[&[u8]]) -> String {
    let presets = presets_that_decode(payloads);
    if !presets.is_empty() {
        return format!("these presets decode some of them: {}; set `source.preset`", presets.join(", "));
    }
    match wire::formats_that_decode(payloads).as_slice() {
        [] => {
            "no wire format decodes them as they are; is `source.fields` missing, or is it the wrong topic? `ticktide list formats --sniff FILE` proposes a `source`".to_owned()
        }
        formats => format!("these formats decode some of them: {}; set `source.wire`", formats.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::Kind;

    fn row(reason: &'static str, offset: i64) -> QuarantineRow {
        QuarantineRow {
            partition: "t/0".into(),
            offset,
            received_at: None,
            reason,
            detail: format!("detail {offset}"),
            payload: format!("payload {offset}").into_bytes().into(),
        }
    }

    fn counts(records: i64, refused: &[(&str, i64)]) -> Conservation {
        let mut counts = Conservation { records, ..Conservation::default() };
        refused.iter().for_each(|(reason, many)| (0..*many).for_each(|_| counts.refuse(reason)));
        counts
    }

    #[test]
    fn more_than_half_is_refused_whatever_the_number_and_whoever_refused_it() {
        let none = Samples::default();
        assert!(refused(&counts(0, &[]), &none).is_none());
        for (records, many, is) in
            [(1, 1, true), (2, 1, false), (3, 2, true), (4_000, 2_000, false), (4_000, 2_001, true)]
        {
            for reason in ["too_late", "not_json"] {
                assert_eq!(refused(&counts(records, &[(reason, many)]), &none).is_some(), is, "{many} of {records}");
            }
        }
        assert!(refused(&counts(10, &[("too_late", 3), ("not_json", 3)]), &none).is_some(), "together");
    }

    #[test]
    fn the_error_shows_three_payloads_with_their_reasons_and_the_keys_that_help() {
        let mut samples = Samples::default();
        samples.extend(&(0..9).map(|offset| row("too_late", offset)).collect::<Vec<_>>());
        assert!(!samples.take(&row("too_late", 9)), "there are three");
        samples.take(&row("not_json", 20));
        let error = refused(&counts(100, &[("not_json", 20), ("too_late", 60)]), &samples).expect("refused");
        assert_eq!(error.kind, Kind::Fix);
        let lines: Vec<&str> = error.message.lines().collect();
        assert_eq!(
            lines,
            [
                "80 of 100 records were refused (60 too_late, 20 not_json):",
                "  \"payload 0\": too_late: detail 0",
                "  \"payload 20\": not_json: detail 20",
                "  \"payload 1\": too_late: detail 1"
            ]
        );
        let hint = error.hint.expect("a hint");
        for word in ["feed sort", "`horizon`", "new lake", "no wire format decodes", "`source.wire`"] {
            assert!(hint.contains(word), "{word}: {hint}");
        }
    }

    #[test]
    fn a_format_that_decodes_the_refused_records_is_named() {
        let mut samples = Samples::default();
        let payload = wire::FORMATS.find("xts-json").expect("a format").example;
        samples.take(&QuarantineRow { payload: payload.into(), ..row("not_csv", 0) });
        let hint = refused(&counts(1, &[("not_csv", 1)]), &samples).and_then(|error| error.hint).expect("a hint");
        assert!(hint.contains("xts-json"), "{hint}");
    }

    #[test]
    fn the_samples_of_all_workers_are_the_first_ones_in_any_order() {
        let of = |offsets: &[i64]| {
            let mut samples = Samples::default();
            samples.extend(&offsets.iter().map(|offset| row("too_late", *offset)).collect::<Vec<_>>());
            samples
        };
        let (one, two) = (of(&[1, 5, 9]), of(&[2, 3]));
        let together = |mut a: Samples, b: Samples| {
            a.add(b);
            a
        };
        assert_eq!(together(one.clone(), two.clone()), together(two, one.clone()));
        let mut all = one.clone();
        all.add(of(&[2, 3]));
        let offsets: Vec<i64> = all.shown(&["too_late"]).iter().map(|(_, sample)| sample.offset).collect();
        assert_eq!(offsets, [1, 2, 3]);
    }
}
