//! Rows for people and for programs: an aligned table, JSON lines, CSV, Parquet.
//!
//! What must always hold: a column that the format cannot hold is an error, never an empty cell; JSON lines show nulls.

use super::{Answer, QueryError, explain};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use futures::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The format in which rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Aligned columns; all rows are held in memory first.
    Table,
    JsonLines,
    Csv,
    Parquet,
}

impl OutputFormat {
    /// By the file's ending.
    pub fn of(path: &Path) -> Result<OutputFormat, QueryError> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json" | "jsonl" | "ndjson") => Ok(OutputFormat::JsonLines),
            Some("csv") => Ok(OutputFormat::Csv),
            Some("parquet") => Ok(OutputFormat::Parquet),
            _ => Err(QueryError::Output {
                path: path.display().to_string(),
                message: "the file's ending names no format".to_owned(),
                hint: "end the file in .csv, .json or .parquet".to_owned(),
            }),
        }
    }
}

/// Reads a zone's name for [`write`].
pub fn zone(name: &str) -> Result<TimeZone, QueryError> {
    TimeZone::get(name).map_err(|_| QueryError::Output {
        path: format!("--zone {name}"),
        message: "there is no such time zone".to_owned(),
        hint: "use an IANA name, e.g. `--zone Asia/Kolkata`".to_owned(),
    })
}

/// Writes all rows; returns their number. With a zone, instants are text in that zone, or in Parquet marked with it. Errors:
/// the query fails, the format lacks a type, the destination takes no bytes ([`QueryError::Unwritable`]).
pub async fn write(
    answer: Answer,
    format: OutputFormat,
    zone: Option<&TimeZone>,
    into: impl Write + Send,
) -> Result<u64, QueryError> {
    let failed: Failed = Arc::default();
    let watched = Watched { into, failed: failed.clone() };
    write_watched(answer, format, zone, watched).await.map_err(|error| {
        match failed.lock().map(|mut found| found.take()) {
            Ok(Some(error)) => QueryError::Unwritable(Arc::new(error)),
            _ => error,
        }
    })
}

/// Why the destination took no bytes: the formats' writers report it in words of their own.
type Failed = Arc<Mutex<Option<std::io::Error>>>;

struct Watched<W> {
    into: W,
    failed: Failed,
}

impl<W> Watched<W> {
    fn watch<T>(&self, done: std::io::Result<T>) -> std::io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            // an interrupted write is repeated
            if kind != std::io::ErrorKind::Interrupted
                && let Ok(mut failed) = self.failed.lock()
            {
                *failed = Some(error);
            }
            kind.into()
        })
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let done = self.into.write(bytes);
        self.watch(done)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let done = self.into.flush();
        self.watch(done)
    }
}

async fn write_watched(
    answer: Answer,
    format: OutputFormat,
    zone: Option<&TimeZone>,
    into: impl Write + Send,
) -> Result<u64, QueryError> {
    let schema = zone.map_or_else(|| answer.schema.clone(), |zone| zoned_schema(&answer.schema, format, zone));
    let mut sink = Sink::new(format, &schema, into).map_err(refused)?;
    let (mut rows, mut count) = (answer.rows, 0);
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| explain(&error, &[]))?;
        let batch = zone.map_or_else(|| Ok(batch.clone()), |zone| zoned(&batch, &schema, zone)).map_err(refused)?;
        count += batch.num_rows() as u64;
        sink.write(batch).map_err(refused)?;
    }
    sink.finish().map_err(refused)?;
    Ok(count)
}

fn refused(error: ArrowError) -> QueryError {
    let hint = "select other columns, or another format".to_owned();
    QueryError::Output { path: "output".to_owned(), message: error.to_string(), hint }
}

enum Sink<W: Write + Send> {
    Table { schema: SchemaRef, batches: Vec<RecordBatch>, into: W },
    Json(arrow::json::Writer<W, LineDelimited>),
    Csv(arrow::csv::Writer<W>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Sink<W> {
    fn new(format: OutputFormat, schema: &SchemaRef, into: W) -> Result<Sink<W>, ArrowError> {
        Ok(match format {
            OutputFormat::Table => Sink::Table { schema: schema.clone(), batches: Vec::new(), into },
            OutputFormat::JsonLines => Sink::Json(JsonBuilder::new().with_explicit_nulls(true).build(into)),
            OutputFormat::Csv => {
                let mut writer = CsvBuilder::new().with_header(true).build(into);
                writer.write(&RecordBatch::new_empty(schema.clone()))?; // the header, also without rows
                Sink::Csv(writer)
            }
            OutputFormat::Parquet => {
                let level = ZstdLevel::try_new(1).expect("level 1 exists");
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
                Sink::Parquet(Box::new(ArrowWriter::try_new(into, schema.clone(), Some(properties))?))
            }
        })
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), ArrowError> {
        match self {
            Sink::Table { batches, .. } => batches.push(batch),
            Sink::Json(writer) => writer.write(&batch)?,
            Sink::Csv(writer) => writer.write(&batch)?,
            Sink::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ArrowError> {
        match self {
            Sink::Table { schema, batches, mut into } => {
                let text = arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches)?;
                writeln!(into, "{text}")?;
            }
            Sink::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            Sink::Csv(writer) => writer.into_inner().flush()?,
            Sink::Parquet(writer) => {
                writer.close()?;
            }
        }
        Ok(())
    }
}

/// The unit of a column of instants; a time stamp without a zone is not an instant.
fn instant(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => Some(*unit),
        _ => None,
    }
}

/// The type of instants in a zone: text, but in Parquet still instants, which readers show in that zone.
fn zoned_type(unit: TimeUnit, format: OutputFormat, zone: &TimeZone) -> DataType {
    match format {
        OutputFormat::Parquet => DataType::Timestamp(unit, Some(zone.iana_name().unwrap_or("UTC").into())),
        OutputFormat::Table | OutputFormat::JsonLines | OutputFormat::Csv => DataType::Utf8,
    }
}

fn zoned_schema(schema: &SchemaRef, format: OutputFormat, zone: &TimeZone) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match instant(field.data_type()) {
        Some(unit) => Arc::new(Field::new(field.name(), zoned_type(unit, format, zone), field.is_nullable())),
        None => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Instants as the zone's: "2024-07-01T09:15:00+05:30" where they are text.
fn zoned(batch: &RecordBatch, schema: &SchemaRef, zone: &TimeZone) -> Result<RecordBatch, ArrowError> {
    let text = |at: Timestamp| at.display_with_offset(zone.to_offset(at)).to_string();
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
        let Some(unit) = instant(column.data_type()) else { return Ok(column.clone()) };
        let counts = cast(column, &DataType::Int64)?;
        if *field.data_type() != DataType::Utf8 {
            return cast(&counts, field.data_type());
        }
        let at = |count: i64| match unit {
            TimeUnit::Second => Timestamp::from_second(count).ok(),
            TimeUnit::Millisecond => Timestamp::from_millisecond(count).ok(),
            TimeUnit::Microsecond => Timestamp::from_microsecond(count).ok(),
            TimeUnit::Nanosecond => Timestamp::from_nanosecond(i128::from(count)).ok(),
        };
        let counts = counts.as_primitive::<Int64Type>();
        Ok(Arc::new(counts.iter().map(|count| count.and_then(at).map(text)).collect::<StringArray>()))
    };
    let columns: Result<Vec<ArrayRef>, ArrowError> = batch.columns().iter().zip(schema.fields()).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns?)
}
