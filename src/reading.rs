//! A lake read back: its epochs, its tables, and one epoch of all of them with SQL.
//!
//! Why blocking: a program that queries a lake waits for the answer. What must hold: nothing here writes to the lake; all
//! tables of a query are of one epoch.

use crate::{EpochRow, Error, place, refuse_async};
use arrow::array::RecordBatch;
use futures::TryStreamExt;
use std::path::Path;
use ticktide_lake::LakeReader;
use ticktide_query::output::{OutputFormat, write};
use ticktide_query::{Answer, Pinned, explain, query};
use tokio::runtime::{Builder, Runtime};

/// A lake, for reading. Runs may write it meanwhile: a reader never blocks them.
///
/// ```no_run
/// # fn main() -> Result<(), ticktide::Error> {
/// let lake = ticktide::Lake::open("./lake")?;
/// println!("{}", lake.query("select symbol, close from bars_1m order by open_at desc limit 5").text()?);
/// # Ok(())
/// # }
/// ```
pub struct Lake {
    reader: LakeReader,
    io: Threads,
}

/// The threads that read; `None` only while it is dropped.
struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Result<Threads, Error> {
        let io = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let io = io.map_err(|error| Error::bug(format!("the threads for reading do not start: {error}")))?;
        Ok(Threads(Some(io)))
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        refuse_async()?;
        self.0.as_ref().expect("only the drop takes it").block_on(work)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(io) = self.0.take() {
            io.shutdown_background();
        }
    }
}

impl Lake {
    /// Opens a lake that exists: a folder or `s3://BUCKET/PREFIX`. Errors of kind `Fix`: there is no lake, it was moved, or its
    /// catalog is elsewhere ([`Lake::open_with`]).
    pub fn open(warehouse: impl AsRef<Path>) -> Result<Lake, Error> {
        Lake::opened(warehouse.as_ref(), None)
    }

    /// Opens a lake whose catalog is not in its folder; `catalog` is what `--catalog` names. Errors: as [`Lake::open`].
    pub fn open_with(warehouse: impl AsRef<Path>, catalog: &str) -> Result<Lake, Error> {
        Lake::opened(warehouse.as_ref(), Some(catalog))
    }

    fn opened(warehouse: &Path, catalog: Option<&str>) -> Result<Lake, Error> {
        let (warehouse, io) = (place(warehouse)?, Threads::start()?);
        let reader = io.wait(async { Ok(LakeReader::open(&warehouse, catalog).await?) })?;
        Ok(Lake { reader, io })
    }

    /// The published epochs, the oldest first; their times are nanoseconds of UTC since 1970. Errors: the lake cannot be read.
    pub fn epochs(&self) -> Result<Vec<EpochRow>, Error> {
        self.io.wait(async { Ok(self.reader.epochs().await?) })
    }

    /// The names of the tables. Errors: the lake cannot be read.
    pub fn tables(&self) -> Result<Vec<String>, Error> {
        self.io.wait(async { Ok(self.reader.tables().await?) })
    }

    /// A query of the lake's newest epoch: one SELECT. Nothing is read before the rows are requested.
    pub fn query(&self, sql: impl Into<String>) -> Query<'_> {
        Query { lake: self, sql: sql.into(), epoch: None }
    }
}

/// One SELECT over the tables of one epoch.
///
/// Each method gives the same rows. Errors of kind `Fix`: an unknown table or column, text that is not a SELECT, an epoch that
/// does not exist or is no longer kept. Other errors: the lake cannot be read.
#[must_use]
pub struct Query<'a> {
    lake: &'a Lake,
    sql: String,
    epoch: Option<u64>,
}

impl Query<'_> {
    /// The same query of an older epoch; the number is one of [`Lake::epochs`].
    pub fn at(mut self, epoch: u64) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// The rows as Arrow arrays: money and sums are decimals of scale 8, times microseconds of UTC.
    pub fn batches(&self) -> Result<Vec<RecordBatch>, Error> {
        let read = |answer: Answer| async {
            let all: Result<Vec<RecordBatch>, _> = answer.rows.try_collect().await;
            Ok(all.map_err(|error| explain(&error, &[]))?)
        };
        self.answered(read)
    }

    /// The rows as JSON objects, by the names of the columns; decimals and times are texts.
    pub fn rows(&self) -> Result<Vec<serde_json::Value>, Error> {
        let text = self.written(OutputFormat::JsonLines)?;
        let wrong = |error: serde_json::Error| Error::bug(format!("a row of {:?} is not JSON: {error}", self.sql));
        text.lines().map(|line| serde_json::from_str(line).map_err(wrong)).collect()
    }

    /// The rows as a table for people.
    pub fn text(&self) -> Result<String, Error> {
        self.written(OutputFormat::Table)
    }

    fn written(&self, format: OutputFormat) -> Result<String, Error> {
        self.answered(|answer| async move {
            let mut bytes = Vec::new();
            write(answer, format, None, &mut bytes).await?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    fn answered<T, F: Future<Output = Result<T, Error>>>(&self, read: impl FnOnce(Answer) -> F) -> Result<T, Error> {
        self.lake.io.wait(async {
            let pinned = Pinned::load(&self.lake.reader, self.epoch).await?;
            read(query(&pinned, &self.sql).await?).await
        })
    }
}
