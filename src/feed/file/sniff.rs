//! Which wire formats decode the first records of a file: advice before a dataflow is written.
//!
//! What must always hold: a record is found as a run would find it (lines, decompressed by the file's ending), and each
//! format gives a tick or a reason for every record.

use super::stream::{BUFFER_LEAST, Stream, Unended};
use crate::wire::{self, FORMATS, Format, IGNORED};
use crate::{FeedError, InstrumentTable, WireSpec};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use ticktide_market::{Instrument, Tick};

/// The result of one format for a file's first records.
#[derive(Clone, Debug, PartialEq)]
pub struct Sniffed {
    pub format: &'static str,
    pub records: u64,
    pub ticks: u64,
    /// Records of kinds that the settings ignore.
    pub ignored: u64,
    /// The first ticks, at most three, each with its instrument.
    pub first: Vec<(Instrument, Tick)>,
    /// By the reason of the reject.
    pub rejects: BTreeMap<&'static str, RejectSummary>,
}

/// The number of records rejected for one reason, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectSummary {
    pub records: u64,
    pub offset: i64,
    pub detail: String,
    pub payload: Vec<u8>,
}

/// Decodes the first `most` records of a file with every format, without a mapping of fields; the format with the most ticks
/// is first. Errors: the file cannot be read, or holds no record.
pub fn sniff(path: &Path, most: u64) -> Result<Vec<Sniffed>, FeedError> {
    let plain = |format: &'static Format| {
        let spec = WireSpec { format: format.name.into(), ..WireSpec::default() };
        sniff_as(path, most, format.name, &spec)
    };
    let mut all: Vec<Sniffed> = FORMATS.iter().map(plain).collect::<Result<_, _>>()?;
    all.sort_by_key(|sniffed| std::cmp::Reverse(sniffed.ticks));
    Ok(all)
}

/// Decodes the first `most` records of a file as settings say; `name` is what they are called. Errors: the file cannot be read, or
/// holds no record.
pub fn sniff_as(path: &Path, most: u64, name: &'static str, spec: &WireSpec) -> Result<Sniffed, FeedError> {
    let mut decoder = wire::build(spec)?;
    let mut instruments = InstrumentTable::default();
    let mut stream = Stream::open(path, BUFFER_LEAST)?;
    let mut sniffed =
        Sniffed { format: name, records: 0, ticks: 0, ignored: 0, first: Vec::new(), rejects: BTreeMap::new() };
    let mut known = Vec::new();
    while sniffed.records < most {
        let Some(record) = stream.next(Unended::Taken, decoder.as_mut(), &mut instruments)? else { break };
        sniffed.records += 1;
        match record {
            Ok(tick) => {
                sniffed.ticks += 1;
                known.extend(instruments.take_fresh());
                if let Some(instrument) = known.get(tick.instrument.0 as usize).filter(|_| sniffed.first.len() < 3) {
                    sniffed.first.push((Instrument::clone(instrument), tick));
                }
            }
            Err(reject) if reject.reason == IGNORED => sniffed.ignored += 1,
            Err(reject) => {
                let first = || RejectSummary {
                    records: 0,
                    offset: reject.offset,
                    detail: reject.detail,
                    payload: reject.payload,
                };
                sniffed.rejects.entry(reject.reason).or_insert_with(first).records += 1;
            }
        }
    }
    if sniffed.records == 0 {
        let message = format!("file {} holds no record", path.display());
        return Err(FeedError::fix(message, "give a recorded file with one record a line: plain, .gz or .zst"));
    }
    Ok(sniffed)
}

/// The first records of a file as text, without their line ends. Errors: the file cannot be read.
pub fn first_lines(path: &Path, most: usize) -> Result<Vec<String>, FeedError> {
    let (_, input) = super::input(path, BUFFER_LEAST)?;
    let mut lines = Vec::new();
    for line in BufReader::new(input).split(b'\n').take(most) {
        let mut line = line.map_err(|error| {
            FeedError::fix(format!("file {} cannot be read: {error}", path.display()), "is it whole?")
        })?;
        if lines.is_empty() {
            super::unmark(&mut line);
        }
        let text = String::from_utf8_lossy(super::text(&line)).into_owned();
        if !text.is_empty() {
            lines.push(text);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn ticks_and_reasons_are_counted_and_the_first_record_of_each_reason_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mixed.jsonl");
        let example = FORMATS.find("json").expect("json is a format").example;
        let bytes = [example, b"\nnot json\n\n", example, b"\n{}\n[1]"].concat();
        std::fs::write(&path, bytes).expect("written");
        let json = |most| {
            sniff(&path, most).expect("readable").into_iter().find(|found| found.format == "json").expect("json")
        };
        let found = json(1_000);
        assert_eq!((found.records, found.ticks), (6, 2));
        assert_eq!(found.rejects.values().map(|refused| refused.records).sum::<u64>(), 4);
        assert!(found.rejects.values().any(|refused| refused.offset == 1 && refused.payload == b"not json"));
        assert_eq!(json(2).records, 2);
    }

    #[test]
    fn each_format_is_first_for_its_own_example() {
        for format in wire::FORMATS.iter() {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("recorded");
            std::fs::write(&path, format.example).expect("written");
            assert_eq!(sniff(&path, 10).expect("readable")[0].format, format.name);
        }
    }

    #[test]
    fn an_empty_and_a_missing_file_are_errors_with_a_hint() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").expect("written");
        for path in [path, folder.path().join("nothing"), folder.path().to_path_buf()] {
            assert!(matches!(sniff(&path, 10), Err(FeedError::Fix { .. })), "{}", path.display());
        }
    }
}
