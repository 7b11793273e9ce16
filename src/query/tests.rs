//! What a query over a lake returns; expected values are the rows that were written.

use super::output::{OutputFormat, write, zone};
use super::*;
use arrow::datatypes::{DataType, TimeUnit};
use ticktide_lake::table::spec::{Column, ColumnType, TableSpec, Value};
use ticktide_lake::testing as small;

fn column(name: &str, column_type: ColumnType) -> Column {
    Column { name: name.into(), column_type, nullable: true, hashed: true, delta: false, doc: String::new() }
}

fn table(name: &str, columns: &[(&str, ColumnType)], partition: Option<usize>) -> TableSpec {
    TableSpec {
        name: name.into(),
        columns: columns.iter().map(|(name, column_type)| column(name, *column_type)).collect(),
        key: vec![],
        partition,
        time: None,
        sort: vec![0],
        history: false,
    }
}

fn bars() -> TableSpec {
    let columns = [
        ("symbol", ColumnType::Text),
        ("trading_date", ColumnType::Date),
        ("open_at", ColumnType::Time),
        ("close", ColumnType::Decimal { precision: 18, scale: 8 }),
        ("updates", ColumnType::Long),
        ("vwap", ColumnType::Double),
    ];
    table("bars_1m", &columns, Some(1))
}

fn notes() -> TableSpec {
    table("notes", &[("symbol", ColumnType::Text), ("note", ColumnType::Text)], None)
}

const DAY_MICROS: i64 = 86_400_000_000;

/// A bar of minute `minute` of day `day` after 1970.
fn bar(symbol: &str, day: i32, minute: i64, close: i128) -> Vec<Value> {
    vec![
        Value::Text(symbol.into()),
        Value::Date(day),
        Value::Time(i64::from(day) * DAY_MICROS + minute * 60_000_000),
        Value::Decimal(close * 100_000_000),
        Value::Long(minute),
        Value::Null,
    ]
}

/// A lake with 3 bars in its first epoch, 2 more bars and a note in its second; `read` gets the two epochs.
fn with_lake<F: AsyncFnOnce(&LakeReader, Epoch, Epoch)>(read: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lake = small::open(&folder.path().join("lake"), vec![bars(), notes()]).await;
        let early = vec![bar("A", 10, 0, 5), bar("A", 10, 1, 6), bar("B", 10, 0, 7)];
        let first = small::commit(&mut lake, vec![(bars(), early)]).await;
        let note = vec![Value::Text("B".into()), Value::Text("first note".into())];
        let late = vec![bar("A", 11, 0, 8), bar("C", 11, 0, 9)];
        let second = small::commit(&mut lake, vec![(bars(), late), (notes(), vec![note])]).await;
        let reader = LakeReader::open(&folder.path().join("lake"), None).await.expect("a lake");
        read(&reader, first, second).await;
    });
}

/// The answer as JSON lines.
async fn lines(reader: &LakeReader, epoch: Option<Epoch>, sql: &str) -> Vec<String> {
    let pinned = Pinned::load(reader, epoch).await.expect("pinned");
    let answer = query(&pinned, sql).await.expect(sql);
    text(answer, OutputFormat::JsonLines, None).await.lines().map(str::to_owned).collect()
}

async fn text(answer: Answer, format: OutputFormat, zone: Option<&jiff::tz::TimeZone>) -> String {
    let mut bytes = Vec::new();
    write(answer, format, zone, &mut bytes).await.expect("written");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn all_tables_of_a_query_are_of_one_epoch() {
    with_lake(async |reader, first, second| {
        let count = "select count(*) n from bars_1m";
        assert_eq!(lines(reader, None, count).await, [r#"{"n":5}"#]);
        assert_eq!(lines(reader, Some(second), count).await, [r#"{"n":5}"#]);
        assert_eq!(lines(reader, Some(first), count).await, [r#"{"n":3}"#]);
        // the second epoch brought the note: before it the table is empty and has its columns
        let join = "select b.symbol, note from market.bars_1m b join notes using (symbol)";
        assert_eq!(lines(reader, Some(first), join).await, Vec::<String>::new());
        assert_eq!(lines(reader, None, join).await, [r#"{"symbol":"B","note":"first note"}"#]);
        assert_eq!(lines(reader, Some(first), "select count(*) n from epochs").await.len(), 1);
    });
}

#[test]
fn filters_of_every_kind_find_the_rows_that_were_written() {
    with_lake(async |reader, _, _| {
        for (filter, wanted) in [
            ("symbol = 'A'", 3),
            ("symbol in ('B', 'C')", 2),
            ("symbol > 'A' and updates = 0", 2),
            ("trading_date = date '1970-01-12'", 2),
            ("trading_date between date '1970-01-11' and date '1970-01-12'", 5),
            ("open_at >= timestamp '1970-01-11T00:01:00Z'", 3),
            ("open_at < '1970-01-11T00:01:00Z'", 2),
            ("close > 6.5", 3),
            ("updates <= 0", 4),
            ("vwap is null", 5),
            ("vwap is not null", 0),
            ("symbol like 'A%' or close = 9", 4),
            ("symbol <> 'A'", 2),
        ] {
            let sql = format!("select count(*) n from bars_1m where {filter}");
            assert_eq!(lines(reader, None, &sql).await, [format!("{{\"n\":{wanted}}}")], "{filter}");
        }
        assert_eq!(lines(reader, None, "select * from bars_1m limit 2").await.len(), 2);
        let plan = lines(reader, None, "explain select symbol from bars_1m where symbol = 'A'").await.join("\n");
        assert!(plan.contains("projection=[symbol], partial_filters=[bars_1m.symbol"), "{plan}");
    });
}

#[test]
fn only_a_select_is_run_and_every_refusal_says_why() {
    with_lake(async |reader, _, _| {
        let pinned = Pinned::load(reader, None).await.expect("pinned");
        let refused = async |sql: &str| query(&pinned, sql).await.err().expect(sql);
        for sql in [
            "drop table bars_1m",
            "create table x as select 1",
            "insert into notes values ('a', 'b')",
            "copy bars_1m to '/tmp/x.csv'",
            "set datafusion.execution.batch_size = 1",
            "create external table x stored as csv location '/etc/passwd'",
            "delete from notes",
        ] {
            let error = refused(sql).await;
            assert!(matches!(error, QueryError::NotSelect(_)), "{sql}: {error:?}");
            assert_eq!(error.kind(), Kind::Fix);
        }
        let error = refused("select * from bars_1n").await;
        assert_eq!(error.to_string(), "there is no table \"bars_1n\" in the lake");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("did you mean bars_1m?")), "{error:?}");
        let error = refused("select colse from bars_1m").await;
        assert!(matches!(&error, QueryError::Sql { message, .. } if message.contains("colse")), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("show columns")), "{error:?}");
        // a column that is also a word of SQL is named, and the message shows no name of the parser
        for sql in ["select partition, offset from notes", "select check, interval from notes where symbol = 'A'"] {
            let error = refused(sql).await;
            let (message, hint) = (error.to_string(), error.hint().expect("a hint"));
            assert!(
                !message.contains("ParserError") && hint.contains("\"offset\", \"partition\""),
                "{message}: {hint}"
            );
        }
        let error = refused("select symbol from notes wher symbol = 'offset' \"check\"").await;
        assert!(error.hint().is_some_and(|hint| !hint.contains("show") && !hint.contains("partition")), "{error:?}");
        for sql in [
            "select no_such(symbol) from notes",
            "select no_such(symbol) over (partition by note), interval '1 day' from notes limit 1 offset 2",
        ] {
            let error = refused(sql).await;
            assert!(
                error.hint().is_some_and(|hint| !hint.contains("show columns") && !hint.contains("quotes")),
                "{error:?}"
            );
        }
        for (sql, schema) in [("select * from other.bars_1m", "other"), ("select * from x.y.bars_1m", "x.y")] {
            let error = refused(sql).await;
            assert_eq!(error.to_string(), format!("there is no schema {schema:?} in the lake"));
            assert!(error.hint().is_some_and(|hint| hint.starts_with("write bars_1m or market.bars_1m")), "{error:?}");
        }
        let error = refused("select * from market.bars_1n").await;
        assert_eq!(error.to_string(), "there is no table \"bars_1n\" in the lake");
        for sql in ["", "selec 1", "select 1; select 2", "select * from '/etc/passwd'"] {
            assert_eq!(refused(sql).await.kind(), Kind::Fix, "{sql}");
        }
        let error = Pinned::load(reader, Some(999)).await.err().expect("no such epoch");
        assert_eq!(error.kind(), Kind::Fix);
    });
}

#[test]
fn rows_are_the_same_in_every_format() {
    with_lake(async |reader, _, _| {
        let pinned = Pinned::load(reader, None).await.expect("pinned");
        let sql = "select symbol, open_at, close, vwap from bars_1m where close >= 8 order by symbol";
        let answer = async || query(&pinned, sql).await.expect(sql);
        let json = text(answer().await, OutputFormat::JsonLines, None).await;
        let parsed: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!((&parsed[0]["symbol"], &parsed[1]["symbol"]), (&"A".into(), &"C".into()));
        assert_eq!(parsed[0]["vwap"], serde_json::Value::Null);
        assert_eq!(parsed[0]["open_at"], "1970-01-12T00:00:00Z");
        let csv = text(answer().await, OutputFormat::Csv, None).await;
        let wanted =
            "symbol,open_at,close,vwap\nA,1970-01-12T00:00:00Z,8.00000000,\nC,1970-01-12T00:00:00Z,9.00000000,\n";
        assert_eq!(csv, wanted);
        let table = text(answer().await, OutputFormat::Table, Some(&zone("Asia/Kolkata").expect("a zone"))).await;
        assert!(table.contains("| A      | 1970-01-12T05:30:00+05:30 | 8.00000000 |"), "{table}");
        // date_trunc and now() give instants of other units
        let sql = "select date_trunc('hour', open_at) as hour, arrow_cast(open_at, 'Timestamp(Nanosecond, Some(\"UTC\"))') as nano \
                   from bars_1m where symbol = 'C'";
        let csv = text(
            query(&pinned, sql).await.expect(sql),
            OutputFormat::Csv,
            Some(&zone("Asia/Kolkata").expect("a zone")),
        )
        .await;
        assert_eq!(csv, "hour,nano\n1970-01-12T05:30:00+05:30,1970-01-12T05:30:00+05:30\n");
        let empty = query(&pinned, "select symbol from bars_1m where symbol = 'none'").await.expect("good");
        assert_eq!(text(empty, OutputFormat::Csv, None).await, "symbol\n");
        let mut parquet = Vec::new();
        assert_eq!(write(answer().await, OutputFormat::Parquet, None, &mut parquet).await.expect("written"), 2);
        let read = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(parquet), 10);
        let rows: usize = read.expect("Parquet").map(|batch| batch.expect("a batch").num_rows()).sum();
        assert_eq!(rows, 2);
        let mut parquet = Vec::new();
        let kolkata = zone("Asia/Kolkata").expect("a zone");
        write(answer().await, OutputFormat::Parquet, Some(&kolkata), &mut parquet).await.expect("written");
        let read = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(parquet), 10);
        let batch = read.expect("Parquet").next().expect("a batch").expect("rows");
        let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("Asia/Kolkata".into()));
        assert_eq!(batch.schema().field_with_name("open_at").expect("a column").data_type(), &wanted);
    });
}

#[test]
fn an_error_of_the_engine_itself_sends_nobody_to_its_authors() {
    let error = explain(&DataFusionError::Internal("no such plan".into()), &[]);
    assert_eq!(error.to_string(), "the query cannot be run: Internal error: no such plan.");
    assert!(error.kind() == Kind::Fix && error.hint().is_some());
}

/// Takes a few bytes, then has no room.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_place_without_room_is_not_blamed_on_the_columns() {
    with_lake(async |reader, _, _| {
        let pinned = Pinned::load(reader, None).await.expect("pinned");
        for format in [OutputFormat::Table, OutputFormat::JsonLines, OutputFormat::Csv, OutputFormat::Parquet] {
            for room in [0, 3] {
                let answer = query(&pinned, "select * from bars_1m").await.expect("planned");
                let error = write(answer, format, None, Full(room)).await.expect_err("it is full");
                assert!(matches!(error, QueryError::Unwritable(_)), "{format:?}: {error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("free space")), "{error:?}");
            }
        }
        let answer = query(&pinned, "select interval '1 day' as day, symbol from bars_1m").await.expect("planned");
        let error = write(answer, OutputFormat::Parquet, None, Vec::new()).await.expect_err("Parquet has no such type");
        assert!(matches!(&error, QueryError::Output { hint, .. } if hint.contains("columns")), "{error:?}");
    });
}
