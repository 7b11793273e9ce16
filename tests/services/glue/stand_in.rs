//! A Glue in this process: databases and tables with versions, JSON 1.1 over HTTP, with faults on demand.
//!
//! What doubles of Glue commonly lack and a commit depends on: an update with a stale `VersionId` is refused, and reading
//! the version and writing the table is one step. It also refuses what Amazon's takes and Athena then fails over: an Iceberg
//! table without columns or location. Trino reads and writes through it, which is what says that it is a Glue.
//!
//! Requests must be signed for Glue by its access key; the signature itself is not checked (the store's is).

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// The only credentials that it accepts; those of the S3 beside it.
pub const ACCESS_KEY: &str = "stand-in";
pub const SECRET_KEY: &str = "stand-in-secret";
/// Whose catalog it is.
const ACCOUNT: &str = "123456789012";
/// Entries of a list that are answered at once: few, so that every client must turn the page.
const PAGE: usize = 4;

/// What becomes of a request.
#[allow(dead_code)] // the server of the scenarios has no faults
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is done, an error is answered.
    Refuse(u16, &'static str),
    /// It is done, an error is answered.
    Doubt(u16, &'static str),
    /// It is done, the connection is closed without an answer.
    Lose,
    /// Nothing is done, nothing is ever answered.
    Hang,
}

/// Chooses the fault of a request by its operation (`UpdateTable`) and the table it names, or nothing.
pub type Faults = Arc<dyn Fn(&str, &str) -> Fault + Send + Sync>;

/// A table as it is now.
#[derive(Clone, Debug)]
struct Table {
    input: Map<String, Value>,
    version: u64,
    created_at: f64,
    updated_at: f64,
    /// Earlier versions, as far as their updates did not say `SkipArchive`.
    archive: Vec<Value>,
}

#[derive(Debug, Default)]
struct Database {
    input: Map<String, Value>,
    created_at: f64,
    tables: BTreeMap<String, Table>,
}

/// The server.
#[derive(Clone)]
pub struct Glue {
    databases: Arc<Mutex<BTreeMap<String, Database>>>,
    faults: Faults,
}

/// An answer, or the exception's name with its words.
type Answer = Result<Value, (&'static str, String)>;

impl Glue {
    pub fn new(faults: Faults) -> Glue {
        Glue { databases: Arc::default(), faults }
    }

    /// Answers until the listener fails.
    pub async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            let handler = hyper::service::service_fn(move |request| server.clone().answer(request));
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
            // a connection that breaks is its client's affair
            tokio::spawn(async move { drop(serving.await) });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = header("x-amz-target").trim_start_matches("AWSGlue.").to_owned();
        let signed = header(AUTHORIZATION.as_str());
        let ours = signed.contains(&format!("Credential={ACCESS_KEY}/")) && signed.contains("/glue/aws4_request");
        let body = request.into_body().collect().await?.to_bytes();
        if !ours {
            return response(400, exception("UnrecognizedClientException", "the security token is invalid"));
        }
        let body: Value = serde_json::from_slice(&body)?;
        let table = body["TableInput"]["Name"].as_str().or(body["Name"].as_str()).unwrap_or_default();
        let fault = (self.faults)(&operation, table);
        match fault {
            Fault::Refuse(status, code) => return response(status, exception(code, "injected")),
            Fault::Hang => std::future::pending().await,
            Fault::None | Fault::Doubt(..) | Fault::Lose => {}
        }
        let answer = self.handle(&operation, &body);
        match fault {
            Fault::Doubt(status, code) => return response(status, exception(code, "injected")),
            Fault::Lose => return Err("the answer is lost".into()),
            _ => {}
        }
        match answer {
            Ok(answer) => response(200, answer),
            Err((code, message)) => response(400, exception(code, &message)),
        }
    }

    /// Carries out an operation; all of it under one lock.
    pub fn handle(&self, operation: &str, body: &Value) -> Answer {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |key: &str| body[key].as_str().unwrap_or_default().to_lowercase();
        if let Some(answer) = on_databases(&mut databases, operation, body, &of) {
            return answer;
        }
        let name = of("DatabaseName");
        let database = databases.get_mut(&name).ok_or_else(|| missing(format!("Database {name} not found.")))?;
        match operation {
            "CreateTable" => create_table(database, &body["TableInput"]),
            "UpdateTable" => update_table(database, body),
            "GetTable" => Ok(json!({ "Table": shown(&name, table(database, &of("Name"))?) })),
            "GetTables" => {
                let all: Vec<Value> = database.tables.values().map(|table| shown(&name, table)).collect();
                page("TableList", all, body)
            }
            "GetTableVersions" => {
                let table = table(database, &of("TableName"))?;
                let mut versions =
                    vec![json!({ "Table": shown(&name, table), "VersionId": table.version.to_string() })];
                versions.extend(
                    table.archive.iter().rev().map(|old| json!({ "Table": old, "VersionId": old["VersionId"] })),
                );
                page("TableVersions", versions, body)
            }
            "DeleteTable" => {
                let table = of("Name");
                let gone = database.tables.remove(&table);
                gone.map(|_| json!({})).ok_or_else(|| missing(format!("Table {table} not found.")))
            }
            "GetPartitions" => Ok(json!({ "Partitions": [] })),
            "GetPartitionIndexes" => Ok(json!({ "PartitionIndexDescriptorList": [] })),
            "GetUserDefinedFunctions" => Ok(json!({ "UserDefinedFunctions": [] })),
            "GetColumnStatisticsForTable" => Ok(json!({ "ColumnStatisticsList": [], "Errors": [] })),
            other => Err(("UnknownOperationException", format!("{other} is not played"))),
        }
    }
}

/// Operations on databases; `None`: it is one on tables.
fn on_databases(
    databases: &mut BTreeMap<String, Database>,
    operation: &str,
    body: &Value,
    of: &impl Fn(&str) -> String,
) -> Option<Answer> {
    let unknown = |name: &str| missing(format!("Database {name} not found."));
    Some(match operation {
        "CreateDatabase" => create_database(databases, &body["DatabaseInput"]),
        "GetDatabase" => {
            let name = of("Name");
            databases.get(&name).map(|found| json!({ "Database": described(found) })).ok_or_else(|| unknown(&name))
        }
        "GetDatabases" => page("DatabaseList", databases.values().map(described).collect(), body),
        "DeleteDatabase" => {
            let name = of("Name");
            databases.remove(&name).map(|_| json!({})).ok_or_else(|| unknown(&name))
        }
        _ => return None,
    })
}

fn create_database(databases: &mut BTreeMap<String, Database>, input: &Value) -> Answer {
    let input = object(input, "DatabaseInput")?;
    let name = named(&input)?;
    if databases.contains_key(&name) {
        return Err(("AlreadyExistsException", format!("Database {name} already exists.")));
    }
    databases.insert(name, Database { input, created_at: now(), tables: BTreeMap::new() });
    Ok(json!({}))
}

fn create_table(database: &mut Database, input: &Value) -> Answer {
    let input = object(input, "TableInput")?;
    let name = named(&input)?;
    athena_reads(&input)?;
    if database.tables.contains_key(&name) {
        return Err(("AlreadyExistsException", format!("Table {name} already exists.")));
    }
    let (created_at, updated_at) = (now(), now());
    database.tables.insert(name, Table { input, version: 0, created_at, updated_at, archive: Vec::new() });
    Ok(json!({}))
}

/// The optimistic lock: the version that the caller read must still be the last.
fn update_table(database: &mut Database, body: &Value) -> Answer {
    let input = object(&body["TableInput"], "TableInput")?;
    let name = named(&input)?;
    let database_name = database.input["Name"].as_str().unwrap_or_default().to_owned();
    let table = table(database, &name)?;
    if let Some(version) = body["VersionId"].as_str()
        && version != table.version.to_string()
    {
        let message =
            format!("Update table failed due to concurrent modifications: {version} is not {}.", table.version);
        return Err(("ConcurrentModificationException", message));
    }
    athena_reads(&input)?;
    if body["SkipArchive"] != json!(true) {
        let old = shown(&database_name, table);
        table.archive.push(old);
    }
    (table.input, table.version, table.updated_at) = (input, table.version + 1, now());
    Ok(json!({}))
}

/// What Athena needs of a table of Iceberg.
fn athena_reads(input: &Map<String, Value>) -> Result<(), (&'static str, String)> {
    let of = |key: &str| input.get(key).cloned().unwrap_or_default();
    let (parameters, descriptor) = (of("Parameters"), of("StorageDescriptor"));
    if !parameters["table_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg")) {
        return Ok(());
    }
    let lacks =
        |what: &str| Err(("InvalidInputException", format!("Athena fails over an Iceberg table without {what}")));
    if descriptor["Columns"].as_array().is_none_or(Vec::is_empty) {
        return lacks("columns");
    }
    if descriptor["Location"].as_str().is_none_or(str::is_empty) {
        return lacks("a location");
    }
    if parameters["metadata_location"].as_str().is_none_or(str::is_empty) {
        return lacks("a metadata location");
    }
    if of("TableType") != json!("EXTERNAL_TABLE") {
        return lacks("the type EXTERNAL_TABLE");
    }
    if of("PartitionKeys").as_array().is_some_and(|keys| !keys.is_empty()) {
        return Err(("InvalidInputException", "an Iceberg table's partitions are in its metadata".to_owned()));
    }
    Ok(())
}

fn table<'a>(database: &'a mut Database, name: &str) -> Result<&'a mut Table, (&'static str, String)> {
    database.tables.get_mut(name).ok_or_else(|| missing(format!("Table {name} not found.")))
}

fn missing(message: String) -> (&'static str, String) {
    ("EntityNotFoundException", message)
}

fn object(value: &Value, what: &str) -> Result<Map<String, Value>, (&'static str, String)> {
    value.as_object().cloned().ok_or_else(|| ("InvalidInputException", format!("{what} is missing")))
}

/// Glue keeps names in lower case.
fn named(input: &Map<String, Value>) -> Result<String, (&'static str, String)> {
    let name = input.get("Name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    if name.is_empty() { Err(("InvalidInputException", "a name is missing".to_owned())) } else { Ok(name) }
}

fn shown(database: &str, table: &Table) -> Value {
    let mut shown = table.input.clone();
    let name = shown.get("Name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let more = json!({
        "Name": name, "DatabaseName": database, "CatalogId": ACCOUNT, "VersionId": table.version.to_string(),
        "CreateTime": table.created_at, "UpdateTime": table.updated_at, "IsRegisteredWithLakeFormation": false,
    });
    shown.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(shown)
}

fn described(database: &Database) -> Value {
    let mut shown = database.input.clone();
    shown.insert("CatalogId".to_owned(), json!(ACCOUNT));
    shown.insert("CreateTime".to_owned(), json!(database.created_at));
    Value::Object(shown)
}

/// A page of a list; the token is the number of the next entry.
fn page(key: &str, all: Vec<Value>, body: &Value) -> Answer {
    let start = body["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0_usize).min(all.len());
    let end = (start + PAGE).min(all.len());
    let mut answer = json!({ key: all[start..end] });
    if end < all.len() {
        answer["NextToken"] = json!(end.to_string());
    }
    Ok(answer)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn exception(code: &str, message: &str) -> Value {
    json!({ "__type": code, "Message": message })
}

fn response(status: u16, body: Value) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    Ok(response.body(Full::new(Bytes::from(serde_json::to_vec(&body)?)))?)
}
