//! Promises of the S3 store, tested against an S3 in this process whose answers can be spoilt.

#[path = "../../../../tests/services/s3/stand_in.rs"]
pub mod stand_in;

use super::*;
use crate::store::insist_on_conditions;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use stand_in::{ACCESS_KEY, Fault, Faults, Gate, Open, SECRET_KEY, StandIn};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use ticktide_base::environment::{Origin, ResolvedSetting, S3Settings};
use ticktide_base::error::{Classified, Kind};

const BUCKET: &str = "bucket";

/// A server for one test; its folder is deleted with it.
pub struct Server {
    folder: tempfile::TempDir,
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
        Server::with(true, Arc::new(faults), Arc::new(Open)).await
    }

    async fn with(conditions: bool, faults: Faults, gate: Arc<dyn Gate>) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        Server::on(folder, conditions, faults, gate).await
    }

    async fn on(folder: tempfile::TempDir, conditions: bool, faults: Faults, gate: Arc<dyn Gate>) -> Server {
        let server = StandIn::new(folder.path(), conditions, faults).expect("a server").behind(gate);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Server { folder, address, serving: tokio::spawn(server.serve(listener)) }
    }

    pub fn store(&self) -> S3Store {
        self.store_of("lake/a", SECRET_KEY)
    }

    fn store_of(&self, prefix: &str, secret: &str) -> S3Store {
        let config = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(ACCESS_KEY, secret, None, None, "test"))
            .region(Region::new("eu-central-1"))
            .endpoint_url(format!("http://{}", self.address))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build())
            .retry_config(RetryConfig::disabled())
            .force_path_style(true)
            .build();
        let place = S3Place { bucket: BUCKET.into(), prefix: prefix.into(), settings: S3Settings::default() };
        let mut store = S3Store::on(Client::from_conf(config), &place);
        let (attempt, total, first) = (Duration::from_secs(2), Duration::from_secs(20), Duration::from_millis(1));
        store.patience = Patience { attempt, total, first, ..Patience::default() };
        store
    }

    /// A lake beside [`Server::store`]'s.
    pub fn neighbour(&self) -> S3Store {
        self.store_of("lake/b", SECRET_KEY)
    }

    /// [`Server::store`]'s identity, copied to another prefix.
    pub fn copied(&self) -> S3Store {
        let bucket = self.folder.path().join(BUCKET);
        std::fs::create_dir_all(bucket.join("copy")).expect("a folder");
        let name = crate::state::identity::IDENTITY;
        std::fs::copy(bucket.join("lake/a").join(name), bucket.join("copy").join(name)).expect("copied");
        self.store_of("copy", SECRET_KEY)
    }

    /// The same folder, served without faults by a new server.
    pub async fn revived(mut self) -> Server {
        self.serving.abort();
        let unused = tempfile::tempdir().expect("a temporary folder");
        let folder = std::mem::replace(&mut self.folder, unused);
        Server::on(folder, true, Arc::new(calm), Arc::new(Open)).await
    }

    /// Uploads that were begun and neither completed nor aborted.
    fn open_uploads(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).expect("the folder").flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".upload")).count()
    }
}

fn calm(_: &str, _: &str) -> Fault {
    Fault::None
}

/// Faults for the first requests of a method, one each; then none.
fn first(method: &'static str, faults: Vec<Fault>) -> impl Fn(&str, &str) -> Fault + Send + Sync {
    let left = Mutex::new(faults.into_iter());
    move |of, _| {
        if of == method { left.lock().expect("no panic inside").next().unwrap_or(Fault::None) } else { Fault::None }
    }
}

fn text(number: usize) -> Bytes {
    Bytes::from(format!("body {number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_racing_creates_of_a_name_in_a_bucket_one_wins_and_its_bytes_stay() {
    let server = Server::start(calm).await;
    for round in 0..6 {
        let key = format!("log/{round}.json");
        let racers: Vec<_> = (0..16)
            .map(|racer| {
                let (store, key) = (server.store(), key.clone());
                tokio::spawn(async move { store.create(&key, text(racer)).await.expect("an answer") })
            })
            .collect();
        let mut winners = Vec::new();
        for (racer, running) in racers.into_iter().enumerate() {
            if running.await.expect("no panic") == Created::Won {
                winners.push(racer);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(server.store().get(&key).await.expect("created"), text(winners[0]));
    }
}

#[tokio::test]
async fn an_object_is_written_read_listed_and_removed_under_its_prefix_only() {
    let server = Server::start(calm).await;
    let (store, neighbour) = (server.store(), server.store_of("lake/ab", SECRET_KEY));
    neighbour.put("x/1", text(9)).await.expect("written");
    store.put("x/1", text(1)).await.expect("written");
    store.put("x/1", text(2)).await.expect("replaced");
    assert_eq!(store.get("x/1").await.expect("read"), text(2));
    assert_eq!(store.get_range("x/1", 1..4).await.expect("read"), Bytes::from_static(b"ody"));
    assert_eq!(store.get_range("x/1", 2..2).await.expect("nothing"), Bytes::new());
    assert!(store.get_range("x/1", 4..90).await.is_err(), "past the end");
    assert_eq!(store.size("x/1").await.expect("size"), Some(6));
    assert_eq!(store.list("").await.expect("a listing"), ["x/1"]);
    assert_eq!(store.location("x/1"), "s3://bucket/lake/a/x/1");
    assert_eq!(store.key("s3://bucket/lake/a/x/1").as_deref(), Some("x/1"));
    assert_eq!(store.key("s3://bucket/lake/ab/x/1"), None, "a neighbour whose name begins like this one's");
    store.delete("x/1").await.expect("deleted");
    store.delete("x/1").await.expect("deleting twice is no error");
    assert_eq!(store.size("x/1").await.expect("size"), None);
    assert!(matches!(store.get("x/1").await, Err(LakeError::Missing { .. })));
    for key in ["../x", "a/../../x", "/x", "a//b", ""] {
        assert!(store.put(key, Bytes::new()).await.is_err(), "{key:?} is no name");
    }
    let whole = server.store_of("", SECRET_KEY);
    assert_eq!(whole.list("lake/").await.expect("a listing"), ["lake/ab/x/1"]);
    assert_eq!((whole.location(""), whole.location("a")), ("s3://bucket".into(), "s3://bucket/a".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_more_names_than_an_answer_holds_is_whole_and_sorted() {
    let server = Server::start(calm).await;
    let folder = server.folder.path().join(BUCKET).join("lake/a/log");
    std::fs::create_dir_all(&folder).expect("a folder");
    for number in 0..2_345 {
        std::fs::write(folder.join(format!("{number}.json")), b"x").expect("written");
    }
    let mut expected: Vec<String> = (0..2_345).map(|number| format!("log/{number}.json")).collect();
    expected.sort_unstable();
    let store = server.store();
    assert_eq!(store.list("log/").await.expect("a listing"), expected);
    assert_eq!(store.meters.of(Operation::List).requests(), 3);
    assert_eq!(store.list("log/12").await.expect("a listing").len(), 111);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_object_goes_in_parts_and_comes_back_whole() {
    let server = Server::start(calm).await;
    let mut store = server.store();
    store.sizes = Sizes { multipart_above: 6 << 20, part: 5 << 20, parallel: 3 };
    let bytes: Bytes = (0..17u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(bytes.len(), 17 << 20);
    store.put("data/big", bytes.clone()).await.expect("written");
    assert_eq!(store.get("data/big").await.expect("read"), bytes);
    // begun, four parts, completed
    assert_eq!(store.meters.of(Operation::Put).requests(), 6);
    let (start, end) = ((5 << 20) - 8, (5 << 20) + 8);
    let across = store.get_range("data/big", start..end).await.expect("read");
    assert_eq!(across, bytes.slice(start as usize..end as usize), "a range across two parts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_fail_are_sent_again_and_a_completion_that_met_another_write_starts_the_upload_again() {
    let parts = AtomicUsize::new(0);
    let completions = AtomicUsize::new(0);
    let faults = move |method: &str, address: &str| match method {
        "PUT" if parts.fetch_add(1, Ordering::Relaxed) % 3 == 1 => Fault::Refuse(500, "InternalError"),
        "POST" if address.contains("uploadId") => match completions.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::Refuse(409, "ConditionalRequestConflict"),
            1 => Fault::Lose,
            _ => Fault::None,
        },
        _ => Fault::None,
    };
    let server = Server::start(faults).await;
    let mut store = server.store();
    store.sizes = Sizes { multipart_above: 6 << 20, part: 5 << 20, parallel: 2 };
    let bytes: Bytes = vec![7u8; 11 << 20].into();
    store.put("data/big", bytes.clone()).await.expect("written");
    assert_eq!(store.get("data/big").await.expect("read"), bytes);
    assert_eq!(server.open_uploads(), 0, "the first upload was aborted, the second completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_is_aborted_and_leaves_no_object() {
    // a part that may be there is refused when it is sent again: there is still no object
    let lost = AtomicBool::new(false);
    let faults = move |method: &str, address: &str| match method {
        "PUT" if !address.contains("partNumber=2") => Fault::None,
        "PUT" if !lost.swap(true, Ordering::Relaxed) => Fault::Lose,
        "PUT" => Fault::Refuse(400, "InvalidArgument"),
        _ => Fault::None,
    };
    let server = Server::start(faults).await;
    let mut store = server.store();
    store.sizes = Sizes { multipart_above: 6 << 20, part: 5 << 20, parallel: 2 };
    let error = store.put("data/big", vec![7u8; 11 << 20].into()).await.expect_err("a part is refused");
    assert!(!error.perhaps_done() && error.to_string().contains("InvalidArgument"), "{error}");
    assert_eq!(store.size("data/big").await.expect("size"), None);
    assert_eq!(server.open_uploads(), 0);
}

/// Lets requests in after a while, and records that it did.
struct Later(AtomicBool);

#[async_trait::async_trait]
impl Gate for Later {
    async fn opens(&self, _: &str) -> bool {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.0.store(true, Ordering::SeqCst);
        true
    }
}

/// It is not specified what a service does with a part that is under way when the abort arrives: it may stay and cost money.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_not_aborted_while_a_part_is_under_way() {
    let gate = Arc::new(Later(AtomicBool::new(false)));
    let aborts = Arc::new(Mutex::new(Vec::new()));
    let (slow, seen) = (gate.clone(), aborts.clone());
    let faults = move |method: &str, address: &str| match method {
        "PUT" if address.contains("partNumber=1") => Fault::None,
        "PUT" if address.contains("partNumber=3") => Fault::Hold,
        "PUT" => Fault::Refuse(400, "InvalidArgument"),
        "DELETE" => {
            seen.lock().expect("no panic inside").push(slow.0.load(Ordering::SeqCst));
            Fault::None
        }
        _ => Fault::None,
    };
    let server = Server::with(true, Arc::new(faults), gate).await;
    let mut store = server.store();
    store.sizes = Sizes { multipart_above: 6 << 20, part: 5 << 20, parallel: 2 };
    store.put("data/big", vec![7u8; 11 << 20].into()).await.expect_err("a part is refused");
    assert_eq!(*aborts.lock().expect("no panic inside"), [true], "one abort, after the slow part");
    assert_eq!(server.open_uploads(), 0);
}

#[tokio::test]
async fn what_the_server_denied_is_sent_again_and_counted() {
    let denied = vec![Fault::Refuse(503, "SlowDown"), Fault::Refuse(409, "ConditionalRequestConflict")];
    let server = Server::start(first("PUT", denied)).await;
    let store = server.store();
    assert_eq!(store.create("log/0", text(0)).await.expect("created"), Created::Won);
    let meter = store.meters().expect("a store over a network has meters");
    let meter = meter.of(Operation::Create);
    assert_eq!((meter.requests(), meter.errors(), meter.retries()), (3, 2, 2));
    assert!(meter.seconds() > 0.0);
    assert_eq!(store.create("log/0", text(1)).await.expect("an answer"), Created::Exists);
    assert_eq!(meter.errors(), 2, "a name that is taken is an answer");
}

#[tokio::test]
async fn a_create_whose_answer_is_in_doubt_is_told_as_perhaps_done_and_never_sent_again() {
    for (fault, landed) in [
        (Fault::Lose, true),
        (Fault::Doubt(500, "InternalError"), true),
        (Fault::Refuse(500, "InternalError"), false),
        (Fault::Refuse(503, "ServiceUnavailable"), false),
        (Fault::Hang, false),
    ] {
        let server = Server::start(first("PUT", vec![fault])).await;
        let store = server.store();
        let error = store.create("log/0", text(0)).await.expect_err("a doubt");
        assert!(error.perhaps_done() && error.kind() == Kind::Retry, "{fault:?}: {error}");
        assert_eq!(store.meters.of(Operation::Create).requests(), 1, "{fault:?}");
        assert_eq!(store.size("log/0").await.expect("looked up").is_some(), landed, "{fault:?}");
    }
}

#[tokio::test]
async fn an_object_that_all_would_write_alike_is_looked_up_after_a_lost_answer() {
    for fault in [Fault::Lose, Fault::Refuse(500, "InternalError")] {
        let server = Server::start(first("PUT", vec![fault])).await;
        let found = crate::commit::log::create_or_get(&server.store(), "ticktide.json", text(1)).await;
        assert_eq!(found.expect("created"), text(1), "{fault:?}");
    }
}

#[tokio::test]
async fn writes_of_the_same_bytes_and_reads_are_sent_again_after_any_doubt() {
    let doubts =
        || vec![Fault::Lose, Fault::Doubt(500, "InternalError"), Fault::Refuse(502, "BadGateway"), Fault::Hang];
    let server = Server::start(first("PUT", doubts())).await;
    server.store().put("x", text(1)).await.expect("written in the end");
    assert_eq!(server.store().get("x").await.expect("read"), text(1));
    let server = Server::start(first("GET", doubts())).await;
    server.store().put("x", text(1)).await.expect("written");
    assert_eq!(server.store().get("x").await.expect("read in the end"), text(1));
    let server = Server::start(first("DELETE", doubts())).await;
    server.store().delete("x").await.expect("deleted in the end");
}

#[tokio::test]
async fn patience_ends_and_says_what_was_tried() {
    let server = Server::start(|_, _| Fault::Refuse(500, "InternalError")).await;
    let mut store = server.store();
    store.patience.total = Duration::from_millis(50);
    let error = store.put("x", text(1)).await.expect_err("no answer");
    assert!(error.perhaps_done() && error.to_string().contains("s3://bucket/lake/a/x"), "{error}");
    assert!(store.meters.of(Operation::Put).retries() > 2);
    let error = store.get("x").await.expect_err("no answer");
    assert!(!error.perhaps_done(), "reading changes nothing: {error}");
}

#[tokio::test]
async fn a_wrong_secret_a_missing_bucket_and_a_dead_address_are_told_with_a_hint_and_without_the_secret() {
    let server = Server::start(calm).await;
    let store = server.store_of("lake", "a-wrong-secret");
    let error = store.first_contact().await.expect_err("refused");
    let shown = format!("{error} {error:?} {:?} {store:?}", error.hint());
    assert!(error.kind() == Kind::Fix && shown.contains("SignatureDoesNotMatch"), "{shown}");
    assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("a-wrong-secret"), "{shown}");
    assert!(matches!(store.create("log/0", text(0)).await, Err(LakeError::Fix { .. })));

    let mut store = server.store();
    store.bucket = "another".into();
    let error = store.first_contact().await.expect_err("no such bucket");
    assert!(error.kind() == Kind::Fix && error.hint().is_some_and(|hint| hint.contains("bucket")), "{error}");

    let mut store = server.store();
    let address = server.address;
    drop(server);
    store.patience.total = Duration::from_millis(30);
    tokio::task::yield_now().await;
    let gone = async || store.create("log/0", text(0)).await;
    let error = gone().await.expect_err("nobody there");
    assert!(!error.perhaps_done(), "{address} was never reached: {error}");
}

#[tokio::test]
async fn the_probe_accepts_a_store_that_keeps_conditions_and_refuses_one_that_ignores_them() {
    let server = Server::start(calm).await;
    insist_on_conditions(&server.store()).await.expect("conditions are kept");
    assert_eq!(server.store().list("").await.expect("a listing"), Vec::<String>::new(), "the probe leaves nothing");

    let server = Server::with(false, Arc::new(calm), Arc::new(Open)).await;
    let error = insist_on_conditions(&server.store()).await.expect_err("conditions are ignored");
    assert!(error.kind() == Kind::Fix && error.to_string().contains("s3://bucket/lake/a"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("If-None-Match")));
}

#[tokio::test]
async fn the_probe_decides_by_another_race_when_answers_were_lost() {
    for spoilt in [Fault::Lose, Fault::Doubt(503, "SlowDown")] {
        let server = Server::start(first("PUT", vec![spoilt; 6])).await;
        insist_on_conditions(&server.store()).await.unwrap_or_else(|error| panic!("{spoilt:?}: {error}"));
    }
}

#[tokio::test]
async fn a_place_is_opened_by_its_settings() {
    let endpoint = ResolvedSetting { value: "http://127.0.0.1:1".to_owned(), origin: Origin::Default };
    let settings = S3Settings { endpoint: Some(endpoint), path_style: None };
    let place = S3Place::parse("s3://bucket/lake", settings).expect("an address");
    let client = place.client().await.expect("a client");
    assert!(client.config().region().is_some(), "a store that is not Amazon's needs no region");
    assert_eq!(client.config().retry_config().map(|retries| retries.max_attempts()), Some(1));
}
