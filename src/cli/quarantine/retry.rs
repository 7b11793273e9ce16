//! `quarantine retry`: would these records be ticks now, and a file of those that would.

use super::{Filters, Row, each_row, headers};
use crate::list::shown;
use crate::read::{part_of, unwritable};
use crate::{Global, aligned, note, print};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_feed::InstrumentTable;
use ticktide_feed::wire::{self, Decoder, RawRecord};

/// Say which of the rows decode now, and write those to a file that can be fed again
///
/// Nothing in the lake changes: quarantine rows stay. Each chosen payload is decoded with the wire of the lake's dataflow,
/// or of `--dataflow`, which may be a corrected one. Decoding is all that can be told here: a record that decodes is still
/// judged when it is fed (`too_late`, `conflicting_id`, …), and may come back to the quarantine.
///
/// `--output FILE` writes the payloads that decode, one a line, byte for byte, in the order of their places. Feed them with
/// `ticktide run NAME --source file --path FILE --until end --warehouse …`
/// while no other run writes the lake (a second one would fence the first). What counts once, and what does not: a lake
/// knows records by partition and offset, here by the file's NAME and the line. Feeding one file again reads nothing twice.
/// The same payloads in a file of another name are other records: they count again, unless the dataflow recognises them
/// (`dedupe = "instrument"` with ids or a trusted sequence). So write each retry to a name of its own, feed it once, and do
/// not change it: an existing file is never overwritten. A corrected mapping of fields changes the dataflow's hash: its
/// records go into a new lake, together with everything else.
///
/// Rows of `late_partly` are in the tables already (of some intervals), and those of `lost_range` stand for records that
/// nobody has read, so they are left out. A payload that holds a line's end cannot be a line of a file, and one that reads as
/// a csv header cannot be its first: `retry` refuses them, or leaves them out with `--single-line`. Records of a csv file
/// with a header are decoded with it, and it is the first line of the output; so each output has the records of one header.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    pub filters: Filters,
    /// Decode as this dataflow would: a name, or a file ending in .toml [default: the lake's]
    #[arg(long, value_name = "DATAFLOW")]
    pub dataflow: Option<String>,
    /// Override a key of the dataflow, as `run` would
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the payloads that decode, one a line
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write those that do not decode, too
    #[arg(long, requires = "output")]
    pub all: bool,
    /// Leave out payloads that would not be read back as they are: those that hold a line's end, or read as a header
    #[arg(long, requires = "output")]
    pub single_line: bool,
}

/// The reasons of rows that are no refused record: it was accepted, too, or nobody has read it.
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

/// Decodes the chosen rows and writes what `--output` asks for. Errors: no row matches, the file exists.
pub fn retry(args: &RetryArgs, global: &Global) -> Result<(), Error> {
    let name = match &args.dataflow {
        Some(name) => name.clone(),
        None => super::block_on(async { Ok(super::open(global).await?.identity().dataflow.clone()) })?,
    };
    let dataflow = Dataflow::load(&name, &[], &args.set).map_err(|error| {
        let mut error = Error::from(error);
        if args.dataflow.is_none() {
            error.hint =
                Some(format!("the lake belongs to dataflow {name:?}; give its file with `--dataflow FILE.toml`"));
        }
        error
    })?;
    let mut decoders =
        Decoders { base: wire::build(&dataflow.source.wire)?, headers: headers(global)?, own: BTreeMap::new() };
    let mut instruments = InstrumentTable::default();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut output = args.output.as_deref().map(Output::create).transpose()?;
    let (identity, epoch) = each_row(&args.filters.sql(), global, |row| {
        let (decoder, header) = decoders.of(&row);
        let decoded = decoder.decode(&RawRecord::new(&row.payload, row.offset, None), &mut instruments);
        let tally = tallies.entry(row.reason.clone()).or_default();
        tally.rows += 1;
        tally.decode += u64::from(decoded.is_ok());
        let wanted = (args.all || decoded.is_ok()) && !NOT_REFUSED.contains(&row.reason.as_str());
        if let Err(reject) = decoded {
            let why = format!("{}: {}", reject.reason, reject.detail);
            tally.refused.get_or_insert_with(|| (row.place(), why, shown(&row.payload)));
        }
        let Some(output) = output.as_mut().filter(|_| wanted) else { return Ok(()) };
        output.agree(&row, header)?;
        let first = output.lines == 0 && header.is_none();
        let why = match () {
            () if !is_line(&row.payload, first) => Some("cannot be a line of a file: it holds or ends in a line's end"),
            () if first && decoder.header(&row.payload).is_some() => Some(
                "reads as a header, and would be that of the file: the records behind it would be read by its names",
            ),
            () => None,
        };
        if let Some(why) = why {
            tally.left_out += 1;
            return if args.single_line { Ok(()) } else { Err(no_line(&row, why)) };
        }
        if let (0, Some(header)) = (output.lines, header) {
            output.line(header.as_bytes())?;
        }
        tally.written += 1;
        output.line(&row.payload)
    })?;
    if tallies.is_empty() {
        let message = format!("no row of the quarantine matches at epoch {epoch}");
        return Err(Error::fix(message, "list what there is with `ticktide quarantine ls`"));
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
            "dataflow {} as given is not the one that wrote this lake: its records go into a new lake",
            dataflow.name
        ));
    }
    match (kept, &args.output) {
        (Some(path), _) => {
            note(format_args!("{written} records written to {}; feed it once, under this name", path.display()));
        }
        (None, Some(path)) => note(format_args!("no record to write: {} was not made", path.display())),
        (None, None) => {}
    }
    Ok(())
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
            "lost_range" => " (nobody has read them)",
            _ => "",
        };
        let counts = [tally.rows, tally.decode, tally.written].map(|count| count.to_string());
        [vec![format!("{reason}{why}")], counts.to_vec(), vec![example]].concat()
    }));
    print(&aligned(&rows))
}

/// The decoders of the partitions: those of files with a header go by its names.
struct Decoders {
    base: Box<dyn Decoder>,
    headers: BTreeMap<String, String>,
    own: BTreeMap<String, Option<Box<dyn Decoder>>>,
}

impl Decoders {
    /// What decodes a record, and the header that it goes by.
    fn of(&mut self, row: &Row) -> (&mut dyn Decoder, Option<&str>) {
        let name = row.partition_name();
        let Some(header) = self.headers.get(&name) else { return (self.base.as_mut(), None) };
        // none if it is no header to the wire of another dataflow
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
            "leave such records out with `--single-line`, and look at it with `ticktide quarantine show {}`",
            row.place()
        ),
    )
}

/// The file that payloads are written to: under another name until it is whole, and gone if it never is.
struct Output {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
    lines: u64,
    /// Of its first record: the record's place and header.
    begun: Option<(String, Option<String>)>,
}

impl Output {
    /// Errors: the file is there, or cannot be made.
    fn create(path: &Path) -> Result<Output, Error> {
        if path.exists() {
            let message = format!("{} exists", path.display());
            return Err(Error::fix(message, "choose a name that was never fed: a lake knows a file by its name"));
        }
        let part = part_of(path);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&part);
        let file = opened.map_err(|error| unwritable(path, &error))?;
        Ok(Output { path: path.to_path_buf(), part, file: Some(BufWriter::new(file)), lines: 0, begun: None })
    }

    /// All records of a file are read by one header, or all without one.
    fn agree(&mut self, row: &Row, header: Option<&str>) -> Result<(), Error> {
        let (first, begun) = self.begun.get_or_insert_with(|| (row.place(), header.map(str::to_owned)));
        if begun.as_deref() == header {
            return Ok(());
        }
        let shown = |header: Option<&str>| header.map_or_else(|| "none".to_owned(), |header| format!("{header:?}"));
        Err(Error::fix(
            format!(
                "records {first} and {} cannot be in one file: their headers are {} and {}",
                row.place(),
                shown(begun.as_deref()),
                shown(header)
            ),
            "write the records of each file to an output of their own: `--topic NAME`",
        ))
    }

    fn line(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.lines += 1;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(payload).and_then(|()| file.write_all(b"\n")).map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives the file its name; one that came meanwhile is left as it is.
    fn keep(mut self) -> Result<PathBuf, Error> {
        if let Some(mut file) = self.file.take() {
            file.flush().map_err(|error| unwritable(&self.path, &error))?;
        }
        std::fs::hard_link(&self.part, &self.path).map_err(|error| unwritable(&self.path, &error))?;
        Ok(self.path.clone())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // a name that could not be removed does no harm: it ends in .part and is written over next time
        let _ = std::fs::remove_file(&self.part);
    }
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
        let mut output = Output::create(&folder.path().join("again.csv")).expect("made");
        output.agree(&named, Some(&header)).expect("the first");
        output.agree(&named, Some(&header)).expect("the same");
        let error = output.agree(&other, None).expect_err("another");
        assert!(error.message.contains("t/0/7 and u/0/7") && error.hint.is_some(), "{error}");
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_is_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("retry.jsonl");
        let names = || std::fs::read_dir(folder.path()).expect("a folder").count();
        let mut given_up = Output::create(&path).expect("made");
        given_up.line(b"x").expect("written");
        drop(given_up);
        assert_eq!(names(), 0);
        let mut kept = Output::create(&path).expect("made");
        kept.line(b"x").expect("written");
        kept.keep().expect("kept");
        assert_eq!((std::fs::read(&path).expect("there"), names()), (b"x\n".to_vec(), 1));
        assert_eq!(Output::create(&path).err().map(|error| error.kind), Some(ticktide_base::error::Kind::Fix));
    }
}
