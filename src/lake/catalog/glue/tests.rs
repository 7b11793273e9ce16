//! The promises of the Glue catalog, tested against an in-process Glue that refuses stale versions and spoils answers.

#[path = "../../../../tests/services/glue/stand_in.rs"]
pub mod stand_in;

use super::*;
use crate::store::FolderStore;
use crate::table::schema::creation;
use crate::table::spec::{Column, ColumnType, TableSpec};
use ::iceberg::spec::{NestedField, PrimitiveType, Schema, TableMetadataBuilder, Type};
use aws_config::BehaviorVersion;
use aws_sdk_glue::config::Credentials;
use aws_sdk_glue::config::retry::RetryConfig;
use aws_sdk_glue::config::timeout::TimeoutConfig;
use serde_json::{Value, json};
use stand_in::{ACCESS_KEY, Fault, Glue, SECRET_KEY};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ticktide_base::error::{Classified, Kind};

/// A server for one test.
pub struct Server {
    pub glue: Glue,
    address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub async fn start(faults: impl Fn(&str, &str) -> Fault + Send + Sync + 'static) -> Server {
        let glue = Glue::new(Arc::new(faults));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Server { serving: tokio::spawn(glue.clone().serve(listener)), glue, address }
    }

    /// The catalog of a lake in `store`; its database may not exist.
    fn unconnected(&self, store: Arc<dyn Store>, access_key: &str) -> GlueCatalog {
        let config = aws_sdk_glue::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(access_key, SECRET_KEY, None, None, "test"))
            .region(Region::new("eu-central-1"))
            .endpoint_url(format!("http://{}", self.address))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build())
            .retry_config(RetryConfig::disabled())
            .build();
        let mut catalog = GlueCatalog::on(Client::from_conf(config), store, "market");
        let (total, first) = (Duration::from_secs(20), Duration::from_millis(1));
        catalog.patience = Patience { total, first, ..Patience::default() };
        catalog
    }

    /// The catalog of a lake in `store`.
    pub async fn catalog(&self, store: Arc<dyn Store>) -> GlueCatalog {
        let mut catalog = self.unconnected(store, ACCESS_KEY);
        catalog.connect(true).await.expect("a database");
        catalog
    }

    /// A table as Glue reports it.
    fn table(&self, name: &str) -> Value {
        let found = self.glue.handle("GetTable", &json!({ "DatabaseName": "market", "Name": name }));
        found.expect("the table is there")["Table"].clone()
    }
}

fn calm(_: &str, _: &str) -> Fault {
    Fault::None
}

/// The `number`-th request of an operation meets a fault, the others none.
fn spoilt(operation: &'static str, number: usize, fault: Fault) -> impl Fn(&str, &str) -> Fault + Send + Sync {
    let count = AtomicUsize::new(0);
    move |asked, _| match asked == operation && count.fetch_add(1, Ordering::Relaxed) == number {
        true => fault,
        false => Fault::None,
    }
}

fn column(name: &str, column_type: ColumnType, nullable: bool) -> Column {
    Column { name: name.into(), column_type, nullable, hashed: true, delta: false, doc: format!("the {name}") }
}

fn spec() -> TableSpec {
    use ColumnType::{Binary, Bool, Date, Decimal, Double, Int, Long, Text, Time};
    let columns = vec![
        column("instrument", Text, false),
        column("trading_date", Date, false),
        column("open_at", Time, false),
        column("close", Decimal { precision: 18, scale: 8 }, true),
        column("volume", Decimal { precision: 38, scale: 8 }, true),
        column("ema_20", Double, true),
        column("trades", Long, true),
        column("diff", Int, true),
        column("partial", Bool, true),
        column("payload", Binary, true),
    ];
    let (key, partition, time, sort) = (vec![0, 2], Some(1), Some(2), vec![0, 2]);
    TableSpec { name: "bars_1m".into(), columns, key, partition, time, sort, history: false }
}

/// A lake of one table whose metadata files a test can write as it likes.
struct Lake {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    server: Server,
    catalog: GlueCatalog,
}

impl Lake {
    async fn new(faults: impl Fn(&str, &str) -> Fault + Send + Sync + 'static) -> Lake {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).expect("a store"));
        let server = Server::start(faults).await;
        let catalog = server.catalog(store.clone()).await;
        Lake { _folder: folder, store, server, catalog }
    }

    /// Writes a metadata file, without the column `drops` and with the column `adds`.
    async fn metadata(&self, number: usize, drops: Option<&str>, adds: Option<&str>) -> String {
        let location = self.store.location("market/bars_1m");
        let made = creation(&spec(), location.clone()).expect("a creation");
        let metadata = TableMetadataBuilder::from_table_creation(made).expect("metadata").build().expect("metadata");
        let mut metadata = metadata.metadata;
        if drops.is_some() || adds.is_some() {
            let fields = metadata.current_schema().as_struct().fields().iter();
            let mut fields: Vec<_> = fields.filter(|field| Some(field.name.as_str()) != drops).cloned().collect();
            fields.extend(
                adds.map(|name| Arc::new(NestedField::optional(100, name, Type::Primitive(PrimitiveType::Double)))),
            );
            let schema = Schema::builder().with_fields(fields).build().expect("a schema");
            let builder = metadata.into_builder(None).add_current_schema(schema).expect("another schema");
            metadata = builder.build().expect("metadata").metadata;
        }
        let file = format!("{location}/metadata/{number:05}-{}.metadata.json", uuid::Uuid::new_v4());
        let bytes = serde_json::to_vec(&metadata).expect("JSON");
        self.store.put(&self.store.key(&file).expect("inside"), bytes.into()).await.expect("written");
        file
    }
}

#[tokio::test]
async fn a_table_has_what_athena_needs_and_iceberg_says() {
    let lake = Lake::new(calm).await;
    let first = lake.metadata(0, None, None).await;
    assert_eq!(lake.catalog.create("bars_1m", &first).await.expect("created"), Created::Won);
    assert_eq!(lake.catalog.create("bars_1m", &first).await.expect("an answer"), Created::Exists);
    let table = lake.server.table("bars_1m");
    let columns = table["StorageDescriptor"]["Columns"].as_array().expect("columns");
    let types: Vec<_> = columns.iter().map(|column| column["Type"].as_str().expect("a type")).collect();
    assert_eq!(
        types,
        [
            "string",
            "date",
            "timestamp",
            "decimal(18,8)",
            "decimal(38,8)",
            "double",
            "bigint",
            "int",
            "boolean",
            "binary"
        ]
    );
    assert_eq!(columns[3]["Name"], "close");
    assert_eq!(columns[3]["Comment"], "the close");
    assert_eq!(
        columns[3]["Parameters"],
        json!({ "iceberg.field.id": "4", "iceberg.field.optional": "true", "iceberg.field.current": "true" })
    );
    assert_eq!(columns[0]["Parameters"]["iceberg.field.optional"], "false");
    assert_eq!(table["StorageDescriptor"]["Location"], lake.store.location("market/bars_1m"));
    assert_eq!(table["Parameters"], json!({ "table_type": "ICEBERG", "metadata_location": first }));
    assert_eq!((&table["TableType"], &table["PartitionKeys"]), (&json!("EXTERNAL_TABLE"), &Value::Null));
}

#[tokio::test]
async fn a_swap_moves_the_pointer_and_the_columns_and_leaves_what_others_have_put_there() {
    let lake = Lake::new(calm).await;
    let first = lake.metadata(0, None, None).await;
    lake.catalog.create("bars_1m", &first).await.expect("created");
    let mut input = lake.server.table("bars_1m");
    let table = input.as_object_mut().expect("a table");
    for key in ["DatabaseName", "CatalogId", "VersionId", "CreateTime", "UpdateTime", "IsRegisteredWithLakeFormation"] {
        table.remove(key);
    }
    table.insert("Description".into(), json!("bars of a minute"));
    table.insert("Owner".into(), json!("ann"));
    table["Parameters"]["classification"] = json!("market data");
    lake.server.glue.handle("UpdateTable", &json!({ "DatabaseName": "market", "TableInput": input })).expect("updated");

    let second = lake.metadata(1, Some("ema_20"), Some("rsi_14")).await;
    assert_eq!(lake.catalog.swap("bars_1m", &first, &second).await.expect("swapped"), Swapped::Done);
    assert_eq!(lake.catalog.location("bars_1m").await.expect("loaded"), Some(second.clone()));
    let table = lake.server.table("bars_1m");
    assert_eq!((&table["Description"], &table["Owner"]), (&json!("bars of a minute"), &json!("ann")));
    assert_eq!(
        table["Parameters"],
        json!({
            "table_type": "ICEBERG", "metadata_location": second, "previous_metadata_location": first,
            "classification": "market data",
        })
    );
    let columns = table["StorageDescriptor"]["Columns"].as_array().expect("columns");
    let current = |name: &str| {
        let column = columns.iter().find(|column| column["Name"] == name).expect("the column is kept");
        column["Parameters"]["iceberg.field.current"].clone()
    };
    assert_eq!(
        (current("rsi_14"), current("ema_20"), current("close")),
        (json!("true"), json!("false"), json!("true"))
    );
    let versions =
        lake.server.glue.handle("GetTableVersions", &json!({ "DatabaseName": "market", "TableName": "bars_1m" }));
    let versions = versions.expect("versions")["TableVersions"].as_array().expect("a list").len();
    assert_eq!(versions, 2, "the version before the foreign update is archived, the one before ticktide's is not");
}

#[tokio::test]
async fn of_swaps_from_one_base_one_is_done_and_the_others_are_conflicts() {
    let lake = Lake::new(calm).await;
    let mut base = lake.metadata(0, None, None).await;
    lake.catalog.create("bars_1m", &base).await.expect("created");
    for round in 0..10 {
        let mut nexts = Vec::new();
        for number in 0..8 {
            nexts.push(lake.metadata(round * 8 + number, None, None).await);
        }
        let swaps = nexts.iter().map(|next| lake.catalog.swap("bars_1m", &base, next));
        let swaps = futures::future::try_join_all(swaps).await.expect("answers");
        assert_eq!(swaps.iter().filter(|swapped| **swapped == Swapped::Done).count(), 1, "round {round}");
        let won = swaps.iter().position(|swapped| *swapped == Swapped::Done).expect("one");
        assert_eq!(lake.catalog.location("bars_1m").await.expect("loaded").as_ref(), Some(&nexts[won]));
        base = nexts.swap_remove(won);
    }
    assert_eq!(lake.server.table("bars_1m")["VersionId"], "10");
}

#[tokio::test]
async fn a_swap_whose_answer_is_in_doubt_is_told_as_perhaps_done_and_sent_once() {
    for (fault, landed) in [
        (Fault::Lose, true),
        (Fault::Doubt(500, "InternalServiceException"), true),
        (Fault::Doubt(400, "OperationTimeoutException"), true),
        (Fault::Refuse(500, "InternalServiceException"), false),
        (Fault::Hang, false),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, spoil) = (asked.clone(), spoilt("UpdateTable", 0, fault));
        let lake = Lake::new(move |operation, table| {
            count.fetch_add(usize::from(operation == "UpdateTable"), Ordering::Relaxed);
            spoil(operation, table)
        })
        .await;
        let (first, second) = (lake.metadata(0, None, None).await, lake.metadata(1, None, None).await);
        lake.catalog.create("bars_1m", &first).await.expect("created");
        let error = lake.catalog.swap("bars_1m", &first, &second).await.expect_err("a doubt");
        assert!(error.perhaps_done() && error.kind() == Kind::Retry, "{fault:?}: {error}");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{fault:?}");
        let location = lake.catalog.location("bars_1m").await.expect("looked up");
        assert_eq!(location.as_ref() == Some(&second), landed, "{fault:?}");
    }
}

#[tokio::test]
async fn what_glue_denied_is_sent_again_and_a_stale_version_is_not() {
    let lake = Lake::new(spoilt("UpdateTable", 0, Fault::Refuse(400, "ThrottlingException"))).await;
    let (first, second) = (lake.metadata(0, None, None).await, lake.metadata(1, None, None).await);
    lake.catalog.create("bars_1m", &first).await.expect("created");
    assert_eq!(lake.catalog.swap("bars_1m", &first, &second).await.expect("swapped"), Swapped::Done);
    assert_eq!(lake.catalog.swap("bars_1m", &first, &second).await.expect("an answer"), Swapped::Conflict);

    let lake = Lake::new(spoilt("UpdateTable", 0, Fault::Refuse(400, "ConcurrentModificationException"))).await;
    let (first, second) = (lake.metadata(0, None, None).await, lake.metadata(1, None, None).await);
    lake.catalog.create("bars_1m", &first).await.expect("created");
    assert_eq!(lake.catalog.swap("bars_1m", &first, &second).await.expect("an answer"), Swapped::Conflict);
}

#[tokio::test]
async fn a_table_that_is_there_and_not_icebergs_is_named_and_left_alone() {
    let lake = Lake::new(calm).await;
    let input = json!({ "Name": "bars_1m", "TableType": "EXTERNAL_TABLE", "Parameters": { "classification": "csv" } });
    lake.server.glue.handle("CreateTable", &json!({ "DatabaseName": "market", "TableInput": input })).expect("created");
    assert!(lake.catalog.tables().await.expect("a list").is_empty());
    let error = lake.catalog.location("bars_1m").await.expect_err("no Iceberg");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("bars_1m"), "{error}");
}

#[tokio::test]
async fn a_list_of_tables_goes_over_all_pages() {
    let lake = Lake::new(spoilt("GetTables", 1, Fault::Lose)).await;
    let file = lake.metadata(0, None, None).await;
    for number in 0..11 {
        lake.catalog.create(&format!("bars_{number}m"), &file).await.expect("created");
    }
    assert_eq!(lake.catalog.tables().await.expect("a list").len(), 11);
}

#[tokio::test]
async fn a_database_is_made_by_a_writer_and_missed_by_a_reader_and_wrong_keys_are_told() {
    let server = Server::start(calm).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn Store> = Arc::new(FolderStore::open(folder.path()).expect("a store"));
    let error = server.unconnected(store.clone(), ACCESS_KEY).connect(false).await.expect_err("no database");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("glue://eu-central-1/market"), "{error}");
    let (mut one, mut other) =
        (server.unconnected(store.clone(), ACCESS_KEY), server.unconnected(store.clone(), ACCESS_KEY));
    let (one_made, other_made) = tokio::join!(one.connect(true), other.connect(true));
    assert!(one_made.is_ok() && other_made.is_ok(), "both have it, whoever made it");
    let identity = one.identity().await.expect("known").expect("known");
    assert_eq!(identity.name, "glue://eu-central-1/market");
    assert_eq!(identity.id, "123456789012 glue://eu-central-1/market");
    server.unconnected(store.clone(), ACCESS_KEY).connect(false).await.expect("a reader finds it");

    let error = server.unconnected(store, "another-key").connect(true).await.expect_err("unknown");
    let hint = error.hint().unwrap_or_default();
    assert!(
        error.kind() == Kind::Fix && hint.contains("AWS_ACCESS_KEY_ID") && !hint.contains(SECRET_KEY),
        "{error} {hint}"
    );
}
