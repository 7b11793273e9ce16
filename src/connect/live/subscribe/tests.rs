//! Subscriptions against a vendor that answers as the real one does, and as strictly as one could.

use super::super::outlet::{QueueReceiver, queue};
use super::super::secrets::Secrets;
use super::super::spec::{self, Api};
use super::super::testing::{Answer, serve};
use super::*;
use crate::produce::LineSink;
use reqwest::Url;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use ticktide_feed::testing::Shared;
use tokio::runtime::Runtime;

/// What the server knows.
#[derive(Default)]
struct Vendor {
    /// Instruments that a key may have.
    cap: Option<usize>,
    /// It counts an instrument once for each code.
    pairs: bool,
    dead: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    /// It refuses a list of which a part is subscribed; otherwise it subscribes the rest and sends snapshots of these alone.
    strict: bool,
    /// Code and instrument.
    subscribed: BTreeSet<(u64, u64)>,
    master: Vec<String>,
    /// It wants to be called for the master in ten minutes.
    busy: bool,
    calls: Vec<String>,
}

fn success(result: &Value) -> Answer {
    (200, "", json!({ "type": "success", "result": result }))
}

fn error(description: &str) -> Answer {
    (400, "", json!({ "type": "error", "code": "e-1", "description": description }))
}

impl Vendor {
    fn answer(&mut self, path: &str, body: &Value) -> Answer {
        let code = body["xtsMessageCode"].as_u64().unwrap_or(0);
        let listed = body["instruments"].as_array().into_iter().flatten();
        let ids: Vec<u64> = listed.filter_map(|one| one["exchangeInstrumentID"].as_u64()).collect();
        let call = path.rsplit('/').next().unwrap_or_default();
        self.calls.push(call.to_owned());
        match call {
            "master" if self.busy => (429, "retry-after: 600\r\n", Value::Null),
            "master" => success(&json!(self.master.join("\n"))),
            "quotes" => self.snapshots(code, ids),
            _ => self.subscribe(code, ids),
        }
    }

    fn subscribe(&mut self, code: u64, ids: Vec<u64>) -> Answer {
        if ids.iter().any(|id| self.unknown.contains(id)) {
            return error("One or more instruments are unknown");
        }
        let all = ids.len();
        let fresh: Vec<u64> = ids.into_iter().filter(|id| !self.subscribed.contains(&(code, *id))).collect();
        if fresh.is_empty() || (self.strict && fresh.len() < all) {
            return error("Instrument Already Subscribed !");
        }
        let count = |pairs: &BTreeSet<(u64, u64)>| match self.pairs {
            true => pairs.len(),
            false => pairs.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(),
        };
        let after: BTreeSet<(u64, u64)> =
            self.subscribed.iter().copied().chain(fresh.iter().map(|id| (code, *id))).collect();
        if let Some(cap) = self.cap.filter(|cap| count(&after) > *cap) {
            let (have, want) = (count(&self.subscribed), count(&after));
            return error(&format!(
                "Exceeded Instrument Subscription Limit of {cap}.You have already subscribed {have}/{cap} and you are trying subscribe {want} Instrument."
            ));
        }
        self.subscribed = after;
        self.snapshots(code, fresh)
    }

    fn snapshots(&self, code: u64, ids: Vec<u64>) -> Answer {
        let alive = ids.into_iter().filter(|id| !self.dead.contains(id));
        let snapshot = |id: u64| json!({ "MessageCode": code, "ExchangeSegment": 1, "ExchangeInstrumentID": id });
        success(&json!({ "listQuotes": alive.map(|id| snapshot(id).to_string()).collect::<Vec<_>>() }))
    }
}

/// A connector's view of it, under one token.
struct Setting {
    runtime: Runtime,
    vendor: Arc<Mutex<Vendor>>,
    root: Url,
    spec: Arc<ConnectSpec>,
    subscribed: Subscribed,
    left_out: Vec<LeftOut>,
    master_due: Arc<AtomicBool>,
    outlet: Outlet,
    inlet: QueueReceiver,
    figures: Arc<Figures>,
}

impl Setting {
    fn new(ids: RangeInclusive<u64>, codes: &[&str], vendor: Vendor) -> Setting {
        let vendor = Arc::new(Mutex::new(vendor));
        let answering = vendor.clone();
        let root = serve(move |path, body| answering.lock().expect("whole").answer(path, body));
        let instruments = names(ids).join(",");
        let spec = ConnectSpec {
            api: Api::Xts,
            root: root.clone(),
            instruments: spec::instruments(Api::Xts, &instruments).expect("names"),
            codes: codes.iter().map(|code| (*code).to_owned()).collect(),
            prefix: "x-".into(),
            authorities: None,
            strict: false,
            master: true,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (outlet, inlet) = queue();
        Setting {
            runtime: runtime.expect("a runtime"),
            vendor,
            root,
            spec: Arc::new(spec),
            subscribed: Subscribed::default(),
            left_out: Vec::new(),
            master_due: Arc::new(AtomicBool::new(true)),
            outlet,
            inlet,
            figures: Arc::default(),
        }
    }

    fn subscriber(&self) -> Subscriber {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        Subscriber {
            rest: Rest::new(&self.root, &tls, Secrets::default()).expect("a client"),
            token: "token".into(),
            spec: self.spec.clone(),
            subscribed: self.subscribed.clone(),
            left_out: self.left_out.clone(),
            master_due: self.master_due.clone(),
            outlet: self.outlet.clone(),
            figures: self.figures.clone(),
        }
    }

    /// A connection: who is left out, and the calls that it took.
    fn connect(&mut self) -> (Vec<LeftOut>, Vec<String>) {
        let work = async { tokio::time::timeout(Duration::from_secs(30), self.subscriber().all()).await };
        let left_out = self.runtime.block_on(work).expect("in time").expect("answers");
        self.left_out.clone_from(&left_out);
        (left_out, std::mem::take(&mut self.vendor.lock().expect("whole").calls))
    }

    fn subscribed(&self) -> BTreeSet<(u64, u64)> {
        self.vendor.lock().expect("whole").subscribed.clone()
    }

    /// What was handed on, as recorded lines without their times.
    fn handed_on(self) -> Vec<String> {
        let mut written = Vec::new();
        drop(self.outlet);
        let mut lines = LineSink::new(&mut written);
        self.inlet.write(&mut lines, "x-", &self.figures, self.runtime.handle()).expect("written");
        let text = String::from_utf8(written).expect("text");
        text.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_owned())).collect()
    }
}

fn names(ids: RangeInclusive<u64>) -> Vec<String> {
    ids.map(|id| format!("NSECM|{id}")).collect()
}

fn pairs(codes: &[u64], ids: RangeInclusive<u64>) -> BTreeSet<(u64, u64)> {
    codes.iter().flat_map(|code| ids.clone().map(|id| (*code, id))).collect()
}

#[test]
fn what_is_over_the_limit_is_named_and_asked_for_once_a_code() {
    let vendor = Vendor { cap: Some(50), ..Vendor::default() };
    let mut setting = Setting::new(1..=60, &["1501", "1510"], vendor);
    for _ in 0..2 {
        let (left_out, calls) = setting.connect();
        let [over] = &left_out[..] else { panic!("{left_out:?}") };
        assert!(over.why.contains("Limit of 50") && !over.in_part, "{}", over.why);
        assert_eq!(over.instruments, names(51..=60));
        assert_eq!(setting.subscribed(), pairs(&[1501, 1510], 1..=50));
        assert_eq!(calls.iter().filter(|call| *call == "subscription").count(), 4, "{calls:?}");
    }
    assert_eq!(setting.figures.frames(), "1501: 100 1510: 100");
}

#[test]
fn a_limit_of_instruments_times_codes_leaves_them_out_in_part() {
    let vendor = Vendor { cap: Some(50), pairs: true, ..Vendor::default() };
    let mut setting = Setting::new(1..=30, &["1501", "1510"], vendor);
    let (left_out, _) = setting.connect();
    let [over] = &left_out[..] else { panic!("{left_out:?}") };
    assert!(over.in_part && over.why.contains("without 1510"), "{}", over.why);
    assert_eq!(over.instruments, names(1..=30));
}

#[test]
fn of_a_list_that_is_subscribed_in_part_nothing_stays_unsubscribed() {
    for strict in [false, true] {
        let subscribed = pairs(&[1501], 3..=7);
        let mut setting = Setting::new(1..=10, &["1501"], Vendor { strict, subscribed, ..Vendor::default() });
        let (left_out, calls) = setting.connect();
        assert_eq!((left_out, setting.subscribed()), (Vec::new(), pairs(&[1501], 1..=10)), "strict {strict}");
        assert_eq!(setting.figures.frames(), "1501: 10", "a snapshot of each, strict {strict}");
        // ten alone after the list, and the quotes of five
        assert_eq!(calls.len(), if strict { 12 } else { 2 }, "{calls:?}");
        // the next connection under this token knows
        let (left_out, calls) = setting.connect();
        assert_eq!((left_out, calls), (Vec::new(), vec!["subscription".to_owned(), "quotes".to_owned()]));
    }
}

#[test]
fn instruments_that_are_dead_or_unknown_are_named_and_keep_nobody_else_out() {
    let vendor = Vendor { dead: [4].into(), unknown: [7].into(), ..Vendor::default() };
    let mut setting = Setting::new(1..=10, &["1501", "1505"], vendor);
    for _ in 0..2 {
        let (left_out, _) = setting.connect();
        let [silent] = &left_out[..] else { panic!("{left_out:?}") };
        assert_eq!((silent.why.as_str(), silent.in_part), ("are subscribed but have no snapshot", false));
        assert_eq!(silent.instruments, ["NSECM|4", "NSECM|7"]);
    }
    assert_eq!(setting.subscribed().iter().filter(|(code, _)| *code == 1501).count(), 9);
}

#[test]
fn a_server_that_is_busy_with_its_master_keeps_no_subscription_waiting() {
    let mut setting = Setting::new(1..=2, &["1501"], Vendor { busy: true, ..Vendor::default() });
    let (left_out, calls) = setting.connect();
    assert_eq!((left_out, calls), (Vec::new(), vec!["subscription".to_owned()]));
    assert!(setting.master_due.load(Ordering::Relaxed), "it is requested after them");
}

#[test]
fn rows_of_what_is_wanted_are_handed_on_whatever_stands_in_them() {
    let (broken, other) = ("NSECM|1|8|NAME|a column too few", "NSECM|99|8|ELSE|ELSE-EQ");
    let master = [broken, other, "NOWHERE|1|8", ""].map(str::to_owned).to_vec();
    let setting = Setting::new(1..=2, &["1501"], Vendor { master, ..Vendor::default() });
    setting.runtime.block_on(setting.subscriber().master()).expect("answered");
    assert!(!setting.master_due.load(Ordering::Relaxed));
    assert_eq!(setting.handed_on(), [format!("master\t{broken}")]);
}

#[test]
fn a_master_without_any_row_of_what_is_wanted_is_a_warning() {
    let warned = |master: &str| {
        let setting = Setting::new(1..=2, &["1501"], Vendor { master: vec![master.to_owned()], ..Vendor::default() });
        let log = Shared::default();
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            setting.runtime.block_on(setting.subscriber().master()).expect("answered");
        });
        let log = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        log.contains("WARN") && log.contains("no row of a subscribed instrument")
    };
    assert!(warned("NSECM|99|8|ELSE") && !warned("NSECM|2|8|NAME"));
}

#[test]
fn a_call_that_came_too_soon_is_never_repeated_at_once() {
    let seconds = Duration::from_secs;
    let own = Duration::from_millis(250);
    assert_eq!(patience(Some(Duration::ZERO), 1, own), own);
    assert_eq!(patience(Some(seconds(3)), 1, own), seconds(3));
    assert_eq!(patience(None, 1, own), seconds(2));
    assert_eq!(patience(None, 8, own), seconds(32));
    // a server that says `Retry-After: 0` forever is given up after a minute, not within a second
    let mut backoff = Backoff::default();
    let waits = (1..=TRIES).map(|tries| patience(Some(Duration::ZERO), tries, backoff.after_failure(1.0)));
    assert!(waits.sum::<Duration>() > seconds(30));
}
