//! `quarantine retry`: finds out which records would be ticks now, and writes those to a file.

use super::output::OutputFile;
use super::{Filters, Row, each_row, headers};
use crate::shown;
use crate::{Global, aligned, note, print};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_feed::InstrumentTable;
use ticktide_feed::wire::{self, Decoder, RawRecord};

/// Show which rows decode now, and write those to a file that can be fed again
///
/// Nothing in the lake changes: quarantine rows stay. Each chosen payload is decoded with the wire of the lake's dataflow,
/// or of `--dataflow`, which may be a corrected one. Only decoding is tested here: a record that decodes is still
/// judged when it is fed (`too_late`, `conflicting_id`, …), and may return to the quarantine.
///
/// `--output FILE` writes the payloads that decode, one a line, byte for byte, in the order of their places. Feed them with
/// `ticktide run NAME --source file --path FILE --until end --warehouse …`
/// while no other run writes the lake (a second one would fence the first). What counts once, and what does not: a lake
/// knows a record by partition and offset, which are here the start of the file's text, whatever its name, and the line.
/// Feeding one file again reads nothing twice. The same payloads in a file with another start are other records: they count
/// again, unless the dataflow recognises them (`dedupe = "instrument"` with ids or a trusted sequence). So feed each retry
/// once, and do not change it: an existing file is never overwritten. A corrected mapping of fields changes the dataflow's
/// hash: its records go into a new lake, together with everything else.
///
/// Two kinds of rows are left out: the records of `late_partly` are in the tables of some intervals already, and those of
/// `lost_range` were never read. A payload with a line end in it cannot be a line of a file, and one that reads as a csv
/// header cannot be the first line: `retry` refuses them, or leaves them out with `--single-line`. Records of a csv file with
/// a header are decoded by that header, which becomes the first line of the output; so an output has the records of one
/// header.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    pub filters: Filters,
    /// Decode with this dataflow: a name, or a file ending in .toml [default: the lake's]
    #[arg(long, value_name = "DATAFLOW")]
    pub dataflow: Option<String>,
    /// Override a key of the dataflow, as in `run`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the payloads that decode to a new file, one per line
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the payloads that do not decode, too
    #[arg(long, requires = "output")]
    pub all: bool,
    /// Leave out payloads that would not be read back unchanged: those with a line end in them, or that read as a header
    #[arg(long, requires = "output")]
    pub single_line: bool,
}

/// The reasons of rows that are not refused records: the record was accepted, too, or was never read.
const NOT_REFUSED: [&str; 2] = ["late_partly", "lost_range"];

/// What became of the rows of one reason.
#[derive(Default)]
struct Tally {
    rows: u64,
    decode: u64,
    written: u64,
    left_out: u64,
    /// The first record that does not decode now: its place, why, and its payload.
    refused: Option<(String, String, String)>,
}

/// Decodes the chosen rows and writes them if `--output` is given. Errors: no row matches, the file exists.
pub fn retry(args: &RetryArgs, global: &Global) -> Result<(), Error> {
    let dataflow = dataflow(args, global)?;
    let decoders =
        Decoders { base: wire::build(&dataflow.source.wire)?, headers: headers(global)?, own: BTreeMap::new() };
    let output = args.output.as_deref().map(OutputFile::create).transpose()?;
    let mut retried = Retried {
        all: args.all,
        single_line: args.single_line,
        decoders,
        instruments: InstrumentTable::default(),
        tallies: BTreeMap::new(),
        output,
    };
    let (identity, epoch) = each_row(&args.filters.sql(), global, |row| retried.take(&row))?;
    let Retried { tallies, output, .. } = retried;
    if tallies.is_empty() {
        let message = format!("no quarantine row matches at epoch {epoch}");
        return Err(Error::fix(message, "`ticktide quarantine ls` lists what the quarantine has"));
    }
    let written: u64 = tallies.values().map(|tally| tally.written).sum();
    let kept = match output {
        Some(output) if written > 0 => Some(output.keep()?),
        _ => None,
    };
    report(&tallies, global)?;
    if global.quiet {
        return Ok(());
    }
    if dataflow.hash() != identity.hash {
        note(format_args!(
            "dataflow {} as given differs from the one that wrote this lake: its records go into a new lake",
            dataflow.name
        ));
    }
    match (kept, &args.output) {
        (Some(path), _) => {
            note(format_args!("{written} records written to {}; feed it once, under this name", path.display()));
        }
        (None, Some(path)) => note(format_args!("no records to write: {} was not made", path.display())),
        (None, None) => {}
    }
    Ok(())
}

/// The dataflow to decode as: the one that was given, or the lake's.
fn dataflow(args: &RetryArgs, global: &Global) -> Result<Dataflow, Error> {
    let name = match &args.dataflow {
        Some(name) => name.clone(),
        None => super::block_on(async { Ok(super::open(global).await?.identity().dataflow.clone()) })?,
    };
    Dataflow::load(&name, &[], &args.set).map_err(|error| {
        let mut error = Error::from(error);
        if args.dataflow.is_none() {
            error.hint =
                Some(format!("the lake belongs to dataflow {name:?}; give its file with `--dataflow FILE.toml`"));
        }
        error
    })
}

/// The rows retried so far.
struct Retried {
    all: bool,
    single_line: bool,
    decoders: Decoders,
    instruments: InstrumentTable,
    /// By reason.
    tallies: BTreeMap<String, Tally>,
    output: Option<OutputFile>,
}

impl Retried {
    /// Decodes a row, counts it, and writes it if it is wanted. Errors: it cannot be a line of the file.
    fn take(&mut self, row: &Row) -> Result<(), Error> {
        let (decoder, header) = self.decoders.of(row);
        let decoded = decoder.decode(&RawRecord::new(&row.payload, row.offset, None), &mut self.instruments);
        let tally = self.tallies.entry(row.reason.clone()).or_default();
        tally.rows += 1;
        tally.decode += u64::from(decoded.is_ok());
        let wanted = (self.all || decoded.is_ok()) && !NOT_REFUSED.contains(&row.reason.as_str());
        if let Err(reject) = decoded {
            let why = format!("{}: {}", reject.reason, reject.detail);
            tally.refused.get_or_insert_with(|| (row.place(), why, shown(&row.payload)));
        }
        let Some(output) = self.output.as_mut().filter(|_| wanted) else { return Ok(()) };
        output.agree(row, header)?;
        if let Some(why) = unfit(row, decoder, output.lines == 0 && header.is_none()) {
            tally.left_out += 1;
            return if self.single_line { Ok(()) } else { Err(no_line(row, why)) };
        }
        if let (0, Some(header)) = (output.lines, header) {
            output.line(header.as_bytes())?;
        }
        tally.written += 1;
        output.line(&row.payload)
    }
}

/// Why a payload would not be read back from a file as it is; `first`: it would be the file's first line.
fn unfit(row: &Row, decoder: &dyn Decoder, first: bool) -> Option<&'static str> {
    match () {
        () if !is_line(&row.payload, first) => Some("cannot be a line of a file: it has a line end in it"),
        () if first && decoder.header(&row.payload).is_some() => Some(
            "reads as a header, and as the first line of the file it would name the fields of the records after it",
        ),
        () => None,
    }
}

fn report(tallies: &BTreeMap<String, Tally>, global: &Global) -> Result<(), Error> {
    if global.json {
        return tallies.iter().try_for_each(|(reason, tally)| {
            let example = tally.refused.as_ref();
            let example =
                example.map(|(place, why, payload)| json!({ "place": place, "why": why, "payload": payload }));
            let line = json!({
                "reason": reason, "rows": tally.rows, "decode": tally.decode, "written": tally.written,
                "left_out": tally.left_out, "example": example,
            });
            print(&format!("{line}\n"))
        });
    }
    let mut rows =
        vec![["reason", "rows", "decode now", "written", "the first that does not"].map(str::to_owned).to_vec()];
    rows.extend(tallies.iter().map(|(reason, tally)| {
        let example =
            tally.refused.as_ref().map_or(String::new(), |(place, why, payload)| format!("{place}: {why}: {payload}"));
        let why = match reason.as_str() {
            "late_partly" => " (in the tables already)",
            "lost_range" => " (never read)",
            _ => "",
        };
        let counts = [tally.rows, tally.decode, tally.written].map(|count| count.to_string());
        [vec![format!("{reason}{why}")], counts.to_vec(), vec![example]].concat()
    }));
    print(&aligned(&rows))
}

/// The decoders of the partitions: those of files with a header use its names.
struct Decoders {
    base: Box<dyn Decoder>,
    headers: BTreeMap<String, String>,
    own: BTreeMap<String, Option<Box<dyn Decoder>>>,
}

impl Decoders {
    /// The decoder of a record, and the header that it uses.
    fn of(&mut self, row: &Row) -> (&mut dyn Decoder, Option<&str>) {
        let name = row.partition_name();
        let Some(header) = self.headers.get(&name) else { return (self.base.as_mut(), None) };
        // none if the wire of another dataflow takes it for no header
        let own = self.own.entry(name).or_insert_with(|| self.base.header(header.as_bytes()));
        match own {
            Some(own) => (own.as_mut(), Some(header)),
            None => (self.base.as_mut(), None),
        }
    }
}

/// Whether a payload read back as a line of a file is the same payload; the first line also loses a byte order mark.
fn is_line(payload: &[u8], first: bool) -> bool {
    !payload.contains(&b'\n') && payload.last() != Some(&b'\r') && !(first && payload.starts_with(b"\xef\xbb\xbf"))
}

fn no_line(row: &Row, why: &str) -> Error {
    Error::fix(
        format!("record {} {why}", row.place()),
        format!(
            "look at it with `ticktide quarantine show {}`, or leave such records out with `--single-line`",
            row.place()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(payload: &[u8]) -> Row {
        Row {
            topic: "t".into(),
            partition: 0,
            offset: 7,
            received_at_us: None,
            reason: "not_json".into(),
            detail: String::new(),
            epoch: 1,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn only_what_reads_back_as_it_is_becomes_a_line() {
        for (payload, first, later) in [
            (&b"{}"[..], true, true),
            (b"", true, true),
            (b"\x00\xff", true, true),
            (b"a\nb", false, false),
            (b"a\r", false, false),
            (b"a\rb", true, true),
            (b"\xef\xbb\xbf{}", false, true),
        ] {
            assert_eq!((is_line(payload, true), is_line(payload, false)), (first, later), "{payload:?}");
        }
    }

    #[test]
    fn a_record_of_a_file_with_a_header_is_decoded_by_its_names_and_those_of_two_headers_share_no_output() {
        let base = wire::build(&ticktide_feed::WireSpec { format: "csv".into(), ..Default::default() }).expect("csv");
        let header = "quantity,price,time,symbol".to_owned();
        let mut decoders =
            Decoders { base, headers: BTreeMap::from([("t/0".into(), header.clone())]), own: BTreeMap::new() };
        let (named, other) = (row(b"1,2,1700000000,A"), Row { topic: "u".into(), ..row(b"1,2,1700000000,A") });
        let mut decodes = |row: &Row| {
            let (decoder, header) = decoders.of(row);
            (
                decoder.decode(&RawRecord::of(&row.payload), &mut InstrumentTable::default()).is_ok(),
                header.map(str::to_owned),
            )
        };
        assert_eq!(decodes(&named), (true, Some(header.clone())));
        assert_eq!(decodes(&other), (false, None));
        let folder = tempfile::tempdir().expect("a folder");
        let mut output = OutputFile::create(&folder.path().join("again.csv")).expect("made");
        output.agree(&named, Some(&header)).expect("the first");
        output.agree(&named, Some(&header)).expect("the same");
        let error = output.agree(&other, None).expect_err("another");
        assert!(error.message.contains("t/0/7 and u/0/7") && error.hint.is_some(), "{error}");
    }
}
