//! `quarantine`: counts and shows the records that entered no table, and writes them out to be fed again.
//!
//! ```text
//!   lake ──one epoch──▶ chosen rows ─┬─▶ ls     how many, by reason, partition and epoch
//!                                    ├─▶ show   a record's place, reason and bytes
//!                                    └─▶ retry  decode now ─▶ which are ticks ─▶ --output FILE ─▶ (user) run --source file
//! ```
//!
//! Why `retry` feeds nothing itself: a record counts once because the lake knows it by partition and offset, and a lake has
//! one writer. A file is a partition and its lines are offsets, so a run that reads it keeps that promise; this command only
//! reads. What must always hold: the lake is not changed; a payload is written byte for byte or not at all; a record that is
//! in the tables already (`late_partly`) is never written.

mod output;
mod retry;

use super::read::{block_on, open};
use super::{Global, aligned, note, print};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use clap::{Args, Subcommand};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use ticktide_base::error::Error;
use ticktide_dataflow::Dataflow;
use ticktide_feed::{WireSpec, wire};
use ticktide_query as query;
use ticktide_query::{Pinned, QueryError};

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Count rows by reason, partition and epoch
    Ls(Filters),
    /// Show one record: its place, its reason and its bytes
    Show {
        /// The record's place as `ls` and tables name it: TOPIC/PARTITION/OFFSET
        #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
        place: String,
        /// Show the bytes as hexadecimal digits, as is done anyway for bytes that are not text
        #[arg(long)]
        hex: bool,
    },
    Retry(retry::RetryArgs),
}

/// Which rows are chosen.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Only rows of this reason; may be repeated
    #[arg(long, value_name = "REASON")]
    pub reason: Vec<String>,
    /// Only rows of this topic or file
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Only rows of this partition
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// Only rows that this epoch wrote
    #[arg(long, value_name = "N")]
    pub epoch: Option<i64>,
}

impl Filters {
    fn sql(&self) -> String {
        let mut conditions = Vec::new();
        if !self.reason.is_empty() {
            let reasons: Vec<String> = self.reason.iter().map(|reason| literal(reason)).collect();
            conditions.push(format!("reason in ({})", reasons.join(", ")));
        }
        conditions.extend(self.topic.iter().map(|topic| format!("topic = {}", literal(topic))));
        conditions.extend(self.partition.map(|partition| format!("\"partition\" = {partition}")));
        conditions.extend(self.epoch.map(|epoch| format!("epoch = {epoch}")));
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A quarantined record.
#[derive(Clone, Debug)]
struct Row {
    topic: String,
    partition: i32,
    offset: i64,
    received_at_us: Option<i64>,
    reason: String,
    detail: String,
    epoch: i64,
    payload: Vec<u8>,
}

impl Row {
    fn place(&self) -> String {
        format!("{}/{}", self.partition_name(), self.offset)
    }

    /// As a binding names it.
    fn partition_name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

/// Runs one of the commands.
pub fn quarantine(command: &QuarantineCommand, global: &Global) -> Result<(), Error> {
    match command {
        QuarantineCommand::Ls(filters) => ls(filters, global),
        QuarantineCommand::Show { place, hex } => show(place, *hex, global),
        QuarantineCommand::Retry(args) => retry::retry(args, global),
    }
}

/// Passes every batch of a query over the newest epoch to `take`; gives the lake's dataflow and the epoch.
fn each_batch(
    sql: &str,
    global: &Global,
    mut take: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<(ticktide_lake::state::identity::Identity, u64), Error> {
    block_on(async {
        let reader = open(global).await?;
        let pinned = Pinned::load(&reader, None).await?;
        let mut rows = query::query(&pinned, sql).await?.rows;
        while let Some(batch) = rows.next().await {
            take(&batch.map_err(|error| query::explain(&error, &[]))?)?;
        }
        Ok((reader.identity().clone(), pinned.epoch))
    })
}

fn longs(batch: &RecordBatch, column: usize) -> Result<Vec<i64>, Error> {
    let cells = cast(batch.column(column), &DataType::Int64).map_err(unreadable)?;
    Ok(cells.as_primitive::<Int64Type>().values().to_vec())
}

fn texts(batch: &RecordBatch, column: usize) -> Result<Vec<String>, Error> {
    let cells = cast(batch.column(column), &DataType::Utf8).map_err(unreadable)?;
    Ok(cells.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

fn unreadable(error: arrow::error::ArrowError) -> Error {
    QueryError::Read(format!("quarantine: {error}")).into()
}

/// Passes each chosen row to `take`, in the order of their places.
fn each_row(
    condition: &str,
    global: &Global,
    mut take: impl FnMut(Row) -> Result<(), Error>,
) -> Result<(ticktide_lake::state::identity::Identity, u64), Error> {
    let sql = format!(
        "select topic, \"partition\", \"offset\", received_at, reason, detail, epoch, payload from quarantine \
         where {condition} order by topic, \"partition\", \"offset\""
    );
    each_batch(&sql, global, |batch| {
        let (topics, reasons, details) = (texts(batch, 0)?, texts(batch, 4)?, texts(batch, 5)?);
        let (offsets, epochs) = (longs(batch, 2)?, longs(batch, 6)?);
        let partitions = cast(batch.column(1), &DataType::Int32).map_err(unreadable)?;
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let received = cast(batch.column(3), &micros).map_err(unreadable)?;
        let received = received.as_primitive::<TimestampMicrosecondType>();
        let payloads = cast(batch.column(7), &DataType::LargeBinary).map_err(unreadable)?;
        let payloads = payloads.as_binary::<i64>();
        let rows = topics.into_iter().zip(reasons).zip(details).enumerate();
        for (row, ((topic, reason), detail)) in rows {
            take(Row {
                topic,
                partition: partitions.as_primitive::<Int32Type>().value(row),
                offset: offsets[row],
                received_at_us: received.is_valid(row).then(|| received.value(row)),
                reason,
                detail,
                epoch: epochs[row],
                payload: payloads.value(row).to_vec(),
            })?;
        }
        Ok(())
    })
}

/// The header lines of files, by partition: the newest epoch's binding has those of all epochs before it, too.
fn headers(global: &Global) -> Result<BTreeMap<String, String>, Error> {
    let sql = "select binding from epochs where binding is not null order by epoch desc limit 1";
    let mut newest = Value::Null;
    each_batch(sql, global, |batch| {
        for text in texts(batch, 0)? {
            newest = serde_json::from_str(&text).map_err(|error| QueryError::Read(format!("a binding: {error}")))?;
        }
        Ok(())
    })?;
    let places = newest["places"].as_object().into_iter().flatten();
    let header = |(name, place): (&String, &Value)| Some((name.clone(), place["header"].as_str()?.to_owned()));
    Ok(places.filter_map(header).collect())
}

/// The wire of a lake's dataflow, from the settings that the lake has recorded.
fn wire_of(settings: &Value) -> WireSpec {
    Dataflow::recorded("recorded", settings, &[], &[]).map(|recorded| recorded.dataflow.source.wire).unwrap_or_default()
}

/// A record's fields by name, where the record does not name them itself.
fn named(row: &Row, wire: &WireSpec, headers: &BTreeMap<String, String>) -> Vec<(String, Option<String>)> {
    let Ok(decoder) = wire::build(wire) else { return Vec::new() };
    let own = headers.get(&row.partition_name()).and_then(|header| decoder.header(header.as_bytes()));
    own.unwrap_or(decoder).named(&row.payload).unwrap_or_default()
}

fn ls(filters: &Filters, global: &Global) -> Result<(), Error> {
    let sql = format!(
        "select reason, topic, \"partition\", epoch, count(*) as row_count, min(\"offset\"), max(\"offset\") from quarantine \
         where {} group by reason, topic, \"partition\", epoch order by reason, topic, \"partition\", epoch",
        filters.sql()
    );
    let mut lines = Vec::new();
    let (_, epoch) = each_batch(&sql, global, |batch| {
        let (reasons, topics, partitions, epochs) =
            (texts(batch, 0)?, texts(batch, 1)?, longs(batch, 2)?, longs(batch, 3)?);
        let (counts, firsts, lasts) = (longs(batch, 4)?, longs(batch, 5)?, longs(batch, 6)?);
        for row in 0..batch.num_rows() {
            lines.push((
                reasons[row].clone(),
                topics[row].clone(),
                [partitions[row], epochs[row], counts[row], firsts[row], lasts[row]],
            ));
        }
        Ok(())
    })?;
    if global.json {
        return lines.iter().try_for_each(|(reason, topic, [partition, epoch, rows, first, last])| {
            let line = json!({
                "reason": reason, "topic": topic, "partition": partition, "epoch": epoch, "rows": rows,
                "offset_first": first, "offset_last": last,
            });
            print(&format!("{line}\n"))
        });
    }
    if lines.is_empty() && !global.quiet {
        note(format_args!("no quarantine row matches at epoch {epoch}"));
    }
    let names = ["reason", "partition", "epoch", "rows", "offsets"].map(str::to_owned).to_vec();
    let row = |(reason, topic, [partition, epoch, rows, first, last]): &(String, String, [i64; 5])| {
        let offsets = if first == last { first.to_string() } else { format!("{first} to {last}") };
        vec![reason.clone(), format!("{topic}/{partition}"), epoch.to_string(), rows.to_string(), offsets]
    };
    print(&aligned(&std::iter::once(names).chain(lines.iter().map(row)).collect::<Vec<_>>()))
}

fn show(place: &str, hex: bool, global: &Global) -> Result<(), Error> {
    let wrong = || {
        let message = format!("{place:?} is not the place of a record");
        Error::fix(message, "a place is TOPIC/PARTITION/OFFSET, e.g. `ticks/0/17`; `ticktide quarantine ls` lists them")
    };
    let (partition, offset) = place.rsplit_once('/').ok_or_else(wrong)?;
    let (topic, partition) = partition.rsplit_once('/').ok_or_else(wrong)?;
    let (partition, offset): (i32, i64) =
        (partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
    let condition = format!("topic = {} and \"partition\" = {partition} and \"offset\" = {offset}", literal(topic));
    let mut rows = Vec::new();
    let (identity, epoch) = each_row(&condition, global, |row| {
        rows.push(row);
        Ok(())
    })?;
    if rows.is_empty() {
        let message = format!("the quarantine has no record {place} at epoch {epoch}");
        return Err(Error::fix(message, "`ticktide quarantine ls` lists what the quarantine has"));
    }
    let (wire, headers) = (wire_of(&identity.settings), headers(global)?);
    rows.iter().try_for_each(|row| {
        let fields = named(row, &wire, &headers);
        if global.json { print(&format!("{}\n", row_json(row, &fields))) } else { print(&row_text(row, &fields, hex)) }
    })
}

fn row_json(row: &Row, fields: &[(String, Option<String>)]) -> Value {
    let fields: Vec<Value> = fields.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "fields": fields,
        "topic": row.topic, "partition": row.partition, "offset": row.offset,
        "received_at": row.received_at_us.map(|micros| super::read::moment(micros.saturating_mul(1_000))),
        "reason": row.reason, "detail": row.detail, "epoch": row.epoch,
        "payload": std::str::from_utf8(&row.payload).ok(), "payload_hex": digits(&row.payload),
    })
}

fn row_text(row: &Row, fields: &[(String, Option<String>)], hex: bool) -> String {
    let received =
        row.received_at_us.map_or("-".to_owned(), |micros| super::read::moment(micros.saturating_mul(1_000)));
    let facts = [
        ("partition", format!("{}/{}", row.topic, row.partition)),
        ("offset", row.offset.to_string()),
        ("received_at", received),
        ("reason", row.reason.clone()),
        ("detail", row.detail.clone()),
        ("epoch", row.epoch.to_string()),
        ("payload", format!("{} bytes", row.payload.len())),
    ];
    let facts = aligned(&facts.map(|(name, value)| vec![name.to_owned(), value]));
    let readable =
        |text: &&str| !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t'));
    let field = |(name, value): &(String, Option<String>)| {
        let value =
            value.as_deref().map_or_else(|| "(the record ends before it)".to_owned(), |text| format!("{text:?}"));
        vec![format!("  {name}"), value]
    };
    match std::str::from_utf8(&row.payload).ok().filter(readable) {
        Some(text) if !hex => format!("{facts}{text}\n{}", aligned(&fields.iter().map(field).collect::<Vec<_>>())),
        _ => format!("{facts}{}", hex_lines(&row.payload)),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes per line: the offset, the digits, and the ASCII letters.
fn hex_lines(bytes: &[u8]) -> String {
    let line = |(index, chunk): (usize, &[u8])| {
        let digits: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let ascii: String =
            chunk.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }).collect();
        format!("{:08x}  {:<47}  {ascii}\n", index * 16, digits.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_with_a_quote_stays_one_literal() {
        let filters =
            Filters { topic: Some("it's".into()), reason: vec!["a".into(), "b' or true".into()], ..Filters::default() };
        assert_eq!(filters.sql(), "reason in ('a', 'b'' or true') and topic = 'it''s'");
        assert_eq!(Filters::default().sql(), "true");
    }

    #[test]
    fn a_csv_record_is_shown_with_the_names_of_its_files_header_or_of_the_configured_columns() {
        let settings = json!({
            "source.wire": "csv", "source.delimiter": ";", "source.columns": ["sym", "ts", "px"],
            "source.fields.symbol": "sym", "source.fields.time": "ts", "source.fields.price": "px", "grace": "5s",
        });
        let wire = wire_of(&settings);
        assert_eq!(
            (wire.format.as_str(), wire.delimiter, wire.fields.len(), wire.columns.len()),
            ("csv", Some(b';'), 3, 3)
        );
        let row = Row {
            topic: "a.csv".into(),
            partition: 0,
            offset: 7,
            received_at_us: None,
            reason: "field_count".into(),
            detail: "d".into(),
            epoch: 1,
            payload: b"A;1".to_vec(),
        };
        let shown = |headers: &BTreeMap<String, String>| row_text(&row, &named(&row, &wire, headers), false);
        let configured = shown(&BTreeMap::new());
        assert!(
            configured.ends_with("A;1\n  sym  \"A\"\n  ts   \"1\"\n  px   (the record ends before it)\n"),
            "{configured}"
        );
        let own = shown(&BTreeMap::from([("a.csv/0".to_owned(), "ts;sym".to_owned())]));
        assert!(own.ends_with("  ts   \"A\"\n  sym  \"1\"\n"), "{own}");
        let json = WireSpec { format: "json".into(), ..WireSpec::default() };
        assert!(named(&row, &json, &BTreeMap::new()).is_empty(), "json names its fields itself");
    }

    #[test]
    fn hexadecimal_lines_are_those_of_hexdump() {
        let wanted = "00000000  00 41 42 ff 30 31 32 33 34 35 36 37 38 39 61 62  .AB.0123456789ab\n\
                      00000010  63                                               c\n";
        assert_eq!(hex_lines(b"\0AB\xff0123456789abc"), wanted);
        assert_eq!(hex_lines(b""), "");
    }
}
