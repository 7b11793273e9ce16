//! CSV, one record a line: `trade,COMEX,GC201312,1381204800374000,113,A1,1323.4,1,20`.
//!
//! The columns are named by the first line of a file ([`Decoder::header`]), otherwise by `columns` of the dataflow; otherwise
//! they are type, venue, symbol, time, sequence, id, price, quantity, conditions. `fields` maps ticktide's names to columns as
//! it does to JSON's keys, and the fields have the same meaning ([`Meaning`]); an empty field is absent.
//!
//! Why a line must have one field for each column: a missing field or an unquoted delimiter shifts all that follow, and a
//! quantity could be read as a price.
//!
//! Why two ways: the csv crate is the authority (RFC 4180: a quoted field may hold the delimiter, doubled quotes and, in one
//! Kafka message, line ends; a file is cut at its line ends before). A plain line, which nearly every line is, is only split.
//! What must always hold: both ways give the same fields, and a quote that is not closed is a reject.

use super::problem::{RecordProblem, shorten};
use super::record::{Field, Meaning, NO_SLOT, ValueKind, Values};
use super::{Decoder, Format, RawRecord};
use crate::{FeedError, InstrumentTable, WireSpec};
use csv::{Position, Reader, ReaderBuilder, StringRecord};
use std::borrow::Cow;
use std::io::{Cursor, SeekFrom};
use ticktide_base::error::nearest;
use ticktide_base::rules::Rules;
use ticktide_market::Tick;

pub static FORMAT: Format = Format {
    name: "csv",
    doc: "one line a record; columns named by a file's first line or by `columns`, otherwise as in the example; `delimiter`",
    build: |spec| Ok(Box::new(Csv::new(spec)?)),
    example: b"trade,COMEX,GC201312,1381204800374000,113,A1,1323.4,1,20",
};

/// What is trimmed around a field.
const BLANKS: [char; 2] = [' ', '\t'];

/// The columns, if nothing names them.
const COLUMNS: [Field; 9] = [
    Field::Type,
    Field::Venue,
    Field::Symbol,
    Field::Time,
    Field::Sequence,
    Field::Id,
    Field::Price,
    Field::Quantity,
    Field::Conditions,
];

struct Csv {
    spec: WireSpec,
    meaning: Meaning,
    delimiter: u8,
    /// Blanks around fields do not belong to them.
    trim: bool,
    names: Vec<String>,
    /// Column → slot of [`Values`].
    columns: Vec<u8>,
    quoted: Quoted,
}

impl Csv {
    fn new(spec: &WireSpec) -> Result<Csv, FeedError> {
        let meaning = Meaning::new(spec, FORMAT.name)?;
        if spec.columns.is_empty() {
            let unnamed = COLUMNS.map(|field| meaning.name(field).to_owned());
            return Ok(Csv::with_columns(spec.clone(), meaning, &unnamed.each_ref().map(String::as_str)));
        }
        let names: Vec<&str> = spec.columns.iter().map(String::as_str).collect();
        let csv = Csv::with_columns(spec.clone(), meaning, &names);
        csv.check(&names)?;
        Ok(csv)
    }

    fn with_columns(spec: WireSpec, meaning: Meaning, names: &[&str]) -> Csv {
        let slot = |name: &&str| meaning.slot(name).map_or(NO_SLOT, |slot| slot as u8);
        Csv {
            delimiter: spec.delimiter.unwrap_or(b','),
            trim: spec.trim.unwrap_or(spec.rules > Rules::First),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            columns: names.iter().map(slot).collect(),
            quoted: Quoted::default(),
            spec,
            meaning,
        }
    }

    /// Checks that every column that is read appears once, and that no needed column is missing.
    fn check(&self, columns: &[&str]) -> Result<(), FeedError> {
        for (index, column) in columns.iter().enumerate() {
            if self.meaning.slot(column).is_some() && columns[..index].contains(column) {
                let message = format!("`columns` has \"{column}\" twice");
                return Err(FeedError::fix(message, "rename the column that must not be read"));
            }
        }
        let named = self.spec.fields.iter().flat_map(|(ours, source)| source.keys().iter().map(move |key| (ours, key)));
        for (ours, theirs) in named {
            if !columns.contains(&theirs.as_str()) {
                let hint = match nearest(theirs, columns) {
                    Some(near) => format!("did you mean `{ours} = \"{near}\"`?"),
                    None => format!("the columns are {}", columns.join(", ")),
                };
                return Err(FeedError::fix(format!("`columns` has no \"{theirs}\", which `fields` names"), hint));
            }
        }
        if let Some(needed) = self.lacks(columns) {
            let hint = "name it in `columns`, or map it with `fields`, e.g. `fields = { time = \"ts\" }`";
            return Err(FeedError::fix(format!("`columns` has no \"{needed}\""), hint));
        }
        Ok(())
    }

    /// A field that every record needs and that these columns do not have.
    fn lacks(&self, columns: &[&str]) -> Option<&str> {
        let needs = [[Field::Time, Field::TradingDate], [Field::Symbol, Field::Instrument]];
        let lacking = needs.iter().find(|either| !either.iter().any(|field| self.meaning.is_filled(*field, columns)));
        lacking.map(|either| self.meaning.name(either[0]))
    }

    /// The line without the blanks around its fields, where they do not belong to them.
    fn tight<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.trim { tighten(line, self.delimiter) } else { Cow::Borrowed(line) }
    }

    #[cold]
    fn other_count(&self, count: usize, line: &str) -> RecordProblem {
        let named = if self.spec.columns.is_empty() { "; `source.columns` names them" } else { "" };
        let detail =
            format!("{count} fields, not one for each of {} columns{named}: {}", self.columns.len(), shorten(line));
        RecordProblem::new("field_count", detail)
    }
}

impl Decoder for Csv {
    fn tick(&mut self, record: &RawRecord<'_>, instruments: &mut InstrumentTable) -> Result<Tick, RecordProblem> {
        let text = std::str::from_utf8(record.payload).map_err(|error| RecordProblem::new("not_utf8", error))?;
        let line = line(text);
        if line.is_empty() {
            return Err(RecordProblem::new("empty", "the record is empty"));
        }
        let mut values = Values::default();
        let count = if line.bytes().fold(true, |plain, byte| plain & !matches!(byte, b'"' | b'\r' | b'\n' | 0)) {
            let fields = line.split(char::from(self.delimiter));
            match self.trim {
                true => fill(
                    fields.map(|field| field.trim_matches(BLANKS)),
                    |_| ValueKind::Text,
                    &self.columns,
                    &mut values,
                ),
                false => fill(fields, |_| ValueKind::Text, &self.columns, &mut values),
            }
        } else {
            let tight = self.tight(line);
            let fields = self.quoted.split(&tight, self.delimiter)?;
            // a NUL separates the parts of an instrument's key
            let kind = |text: &str| if text.contains('\0') { ValueKind::Unreadable } else { ValueKind::Text };
            fill(fields.iter(), kind, &self.columns, &mut values)
        };
        if count != self.columns.len() {
            return Err(self.other_count(count, line));
        }
        self.meaning.tick(&values, record, instruments)
    }

    /// A header names the time and the instrument; in a record the time is a value and not a name.
    fn header(&self, first: &[u8]) -> Option<Box<dyn Decoder>> {
        let line = line(std::str::from_utf8(first).ok()?);
        let mut quoted = Quoted::default();
        let record = quoted.split(&self.tight(line), self.delimiter).ok()?;
        let names: Vec<&str> = record.iter().collect();
        if self.lacks(&names).is_some() {
            return None;
        }
        let spec = WireSpec { columns: names.iter().map(|name| (*name).to_owned()).collect(), ..self.spec.clone() };
        let meaning = Meaning::new(&spec, FORMAT.name).ok()?;
        Some(Box::new(Csv::with_columns(spec, meaning, &names)))
    }

    fn wants_envelope(&self) -> bool {
        self.meaning.wants_envelope()
    }

    fn headers(&self) -> &[String] {
        self.meaning.headers()
    }

    fn named(&self, payload: &[u8]) -> Option<Vec<(String, Option<String>)>> {
        let line = Some(line(std::str::from_utf8(payload).ok()?)).filter(|line| !line.is_empty())?;
        let mut quoted = Quoted::default();
        let record = quoted.split(&self.tight(line), self.delimiter).ok()?;
        let named = (0..record.len().max(self.names.len())).map(|column| {
            let name = self.names.get(column).cloned().unwrap_or_else(|| format!("column {}", column + 1));
            (name, record.get(column).map(str::to_owned))
        });
        Some(named.collect())
    }

    /// `…,10` may continue as `…,100`.
    fn ends_itself(&self) -> bool {
        false
    }
}

/// A record without the line end that some producers append.
fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// A line without the blanks around its fields; those inside quotes stay.
fn tighten(line: &str, delimiter: u8) -> Cow<'_, str> {
    let delimiter = char::from(delimiter);
    let mut tight = String::with_capacity(line.len());
    let (mut quoted, mut begins, mut blanks) = (false, true, 0);
    for letter in line.chars() {
        if !quoted && BLANKS.contains(&letter) && letter != delimiter {
            // before a field nothing is kept, after it only if more of the field follows
            if !begins {
                tight.push(letter);
                blanks += 1;
            }
            continue;
        }
        if !quoted && letter == delimiter {
            tight.truncate(tight.len() - blanks);
        }
        if letter == '"' && (begins || quoted) {
            quoted = !quoted;
        }
        tight.push(letter);
        begins = !quoted && letter == delimiter;
        blanks = 0;
    }
    tight.truncate(tight.len() - blanks);
    Cow::Owned(tight)
}

/// Puts fields into the slots of their columns; returns the number of fields.
#[inline(always)]
fn fill<'a>(
    fields: impl Iterator<Item = &'a str>,
    kind: impl Fn(&str) -> ValueKind,
    columns: &[u8],
    values: &mut Values<'a>,
) -> usize {
    let mut count = 0;
    for field in fields {
        if let Some(slot) = columns.get(count)
            && *slot != NO_SLOT
        {
            values.put(*slot, if field.is_empty() { ValueKind::Absent } else { kind(field) }, field);
        }
        count += 1;
    }
    count
}

/// The csv crate over one line at a time; created at the first quote.
#[derive(Default)]
struct Quoted {
    reader: Option<Reader<Cursor<Vec<u8>>>>,
    record: StringRecord,
}

impl Quoted {
    /// The fields of a line; the record is valid until the next call.
    fn split(&mut self, line: &str, delimiter: u8) -> Result<&StringRecord, RecordProblem> {
        if line.bytes().filter(|byte| *byte == b'"').count() % 2 != 0 {
            return Err(RecordProblem::new("not_csv", format!("a quote is not closed: {}", shorten(line))));
        }
        let reader = self.reader.get_or_insert_with(|| {
            let mut builder = ReaderBuilder::new();
            builder.has_headers(false).flexible(true).delimiter(delimiter).buffer_capacity(1 << 10);
            builder.from_reader(Cursor::new(Vec::new()))
        });
        let several = || RecordProblem::new("not_csv", "more than one line");
        if line.starts_with(['\r', '\n']) {
            return Err(several()); // the crate skips empty lines
        }
        let unreadable = |error: csv::Error| RecordProblem::new("not_csv", error);
        let buffer = reader.get_mut().get_mut();
        buffer.clear();
        buffer.extend_from_slice(line.as_bytes());
        reader.seek_raw(SeekFrom::Start(0), Position::new()).map_err(unreadable)?;
        reader.read_record(&mut self.record).map_err(unreadable)?;
        if reader.position().byte() < line.len() as u64 {
            return Err(several());
        }
        Ok(&self.record)
    }
}

#[cfg(test)]
mod tests;
