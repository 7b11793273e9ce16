//! Figures as a scraper sees them.

use super::http::CONNECTIONS;
use super::*;
use crate::error::Kind;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// The value of a sample, by its name and labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

#[test]
fn counters_follow_the_totals_of_the_run_and_never_step_back() {
    let telemetry = Telemetry::default();
    let text = |records| telemetry.text(&Totals { records, pending: -1, ..Totals::default() }, &[]);
    assert_eq!(sample(&text(5), "ticktide_records_total"), Some(5.0));
    assert_eq!(sample(&text(9), "ticktide_records_total"), Some(9.0));
    let stale = text(7);
    assert_eq!(sample(&stale, "ticktide_records_total"), Some(9.0));
    assert_eq!(sample(&stale, "ticktide_pending_records"), Some(-1.0));
}

#[test]
fn lag_is_told_where_the_end_is_known_and_something_was_read() {
    let telemetry = Telemetry::default();
    telemetry.set_partitions(["a/0", "a/1", "a/2"].map(str::to_owned).into_iter());
    let worker = telemetry.worker(0);
    worker.read_to(0, 40);
    worker.read_to(1, 40);
    worker.read_to(9, 40);
    let text = telemetry.text(&Totals::default(), &[Some(100), None, Some(100)]);
    assert_eq!(sample(&text, "ticktide_lag_records{partition=\"a/0\"}"), Some(60.0));
    assert!(!text.contains("a/1") && !text.contains("a/2"), "{text}");
    worker.read_to(0, 101);
    let text = telemetry.text(&Totals::default(), &[Some(100), None, None]);
    assert_eq!(sample(&text, "ticktide_lag_records{partition=\"a/0\"}"), Some(0.0), "an end that is known too late");
}

#[test]
fn late_records_are_those_of_both_reasons() {
    let telemetry = Telemetry::default();
    telemetry.quarantined([("too_late", 2), ("late_partly", 3), ("not_json", 4)].into_iter());
    let text = telemetry.text(&Totals::default(), &[]);
    assert_eq!(sample(&text, "ticktide_late_total"), Some(5.0));
    assert_eq!(sample(&text, "ticktide_quarantined_total{reason=\"not_json\"}"), Some(4.0));
}

#[test]
fn the_age_of_what_is_closed_is_unknown_before_the_first_epoch_and_never_of_an_older_time() {
    let telemetry = Telemetry::default();
    let text = |telemetry: &Telemetry| telemetry.text(&Totals::default(), &[]);
    assert!(sample(&text(&telemetry), "ticktide_closed_until_age_seconds").is_some_and(f64::is_nan));
    telemetry.closed_until(Some(5 * SECOND));
    telemetry.closed_until(Some(2 * SECOND));
    telemetry.closed_until(None);
    assert_eq!(sample(&text(&telemetry), "ticktide_closed_until_seconds"), Some(5.0));
}

#[test]
fn another_stage_adds_its_totals_once() {
    let telemetry = Telemetry::default();
    let total = Arc::new(AtomicI64::new(3));
    let (name, read) = (("ticktide_store_errors_total", "requests that failed"), total.clone());
    let follow = move || vec![("put", read.load(Ordering::Relaxed) as f64), ("get", 0.0)];
    telemetry.follow(name, "operation", follow.clone()).expect("a free name");
    let put = || sample(&telemetry.text(&Totals::default(), &[]), "ticktide_store_errors_total{operation=\"put\"}");
    assert_eq!(put(), Some(3.0));
    total.store(5, Ordering::Relaxed);
    assert_eq!(put(), Some(5.0));
    assert!(telemetry.follow(name, "operation", follow).is_err());
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read to its end: the server closes");
    answer
}

#[test]
fn only_a_get_of_metrics_is_answered_with_figures() {
    let listener = listen("127.0.0.1:0", 0).expect("a free port");
    let address = listener.address;
    let serving = serve(listener, || "figures 1\n".to_owned()).expect("a thread");
    let told = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        told.starts_with("HTTP/1.1 200") && told.contains("text/plain; version=0.0.4") && told.ends_with("figures 1\n"),
        "{told}"
    );
    assert!(ask(address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
    assert!(ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(ask(address, "junk\r\n\r\n").starts_with("HTTP/1.1 400"));
    // silent clients occupy connections, not the server
    let silent: Vec<TcpStream> =
        (0..CONNECTIONS - 1).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert!(ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
    drop((silent, serving));
}

#[test]
fn an_address_that_is_none_or_taken_is_the_users_to_correct() {
    let held = listen("127.0.0.1:0", 0).expect("a free port");
    let taken = held.address.to_string();
    for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", &taken, "192.0.2.1:25000"] {
        let error = listen(address, 0).expect_err(address);
        assert_eq!(error.kind, Kind::Fix, "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("--metrics")), "{address}");
    }
    // the next process of this host has the next port
    let next = listen(&format!("127.0.0.1:{}", held.address.port() - 1), 1).expect_err("taken");
    assert!(next.message.contains(&taken), "{next}");
    drop(held);
}
