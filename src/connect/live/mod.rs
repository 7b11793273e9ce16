//! Connectors: a vendor's feed, held for as long as it takes, into a [`Sink`].
//!
//! ```text
//!                         ┌──────── Backoff: twice as long each time ────────┐
//!                         ▼                                                  │
//!   keys ──▶ xts: REST login, websocket, subscriptions ──┐               lost, refused, expired
//!   token ─▶ bridge: MQTT over TLS, subscriptions ───────┴─ frames ─▶ Link ──┘
//!                                                                      │  └─▶ Gaps: what may be missing, as records
//!                                                                      ▼
//!                                                       Outlet (bounded) ─▶ writer thread ─▶ Sink ─▶ Kafka
//! ```
//!
//! What must always hold: a frame that was read is put into the sink, once and in the order it was read; a stretch of time in
//! which one may be missing is a gap record in the sink and a line of the log; no secret leaves the process but to the server
//! it is for; memory is bounded. When nobody takes frames, the socket is not read: the vendor's buffers fill, and what the
//! vendor then throws away it does not tell, so a wait of more than five seconds is a gap record of kind `stall`.
//!
//! At the very start a mistake of the user's ends the connector, and so does a server that is not there at a few tries. Later
//! nothing does: it connects again for ever.

pub mod backoff;
mod bridge;
pub mod figures;
pub mod gaps;
mod jwt;
mod outlet;
pub mod packet;
mod rest;
pub mod secrets;
mod socket;
pub mod spec;
mod subscribe;
#[cfg(test)]
mod testing;
mod tls;
mod verdict;
mod xts;

use crate::produce::Sink;
use backoff::{Backoff, chance};
use figures::Figures;
use gaps::{Gap, GapKind, Gaps};
use outlet::{Closed, Outlet, Taken};
use secrets::Secrets;
use serde_json::json;
use spec::{Api, ConnectSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ticktide_base::error::{Error, Kind};
use ticktide_base::time::Nanos;
use ticktide_feed::FeedError;
use tokio::time::{Instant, sleep};

/// Tries at the very start, before a server counts as a mistake.
const TRIES: u32 = 4;
/// A longer wait for room is a gap.
const STALL: Duration = Duration::from_secs(5);
/// How often the counts are told.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// How soon a signal is heard.
const HEARD_EVERY: Duration = Duration::from_millis(50);
/// The key and the origin of gap records.
const GAP: &str = "gap";

/// Why a connection is over or did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The user's mistake; second field: the hint.
    #[error("{0}")]
    Refused(String, String),
    /// The token counts no more.
    #[error("{0}")]
    Expired(String),
    /// We give the connection up for a new token.
    #[error("the token is renewed before it ends")]
    Renewal,
    /// The server wants to be asked later.
    #[error("too many calls (429)")]
    Busy(Option<Duration>),
    /// The server or the way to it.
    #[error("{0}")]
    Lost(String),
    /// Nobody takes frames any more.
    #[error("frames are not taken any more")]
    Closed,
}

impl From<Closed> for Trouble {
    fn from(_: Closed) -> Trouble {
        Trouble::Closed
    }
}

/// Nanoseconds since 1970.
fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What a connection works with.
pub struct Link {
    spec: Arc<ConnectSpec>,
    outlet: Outlet,
    figures: Arc<Figures>,
    gaps: Gaps,
    /// Since when all subscriptions stand.
    stands_since: Option<Instant>,
    stood_ever: bool,
    /// As it was told.
    left_out: Vec<LeftOut>,
}

/// Instruments of which nothing will come, or less than was asked for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What is so with them: stands behind "2 of 7 instruments".
    pub why: String,
    pub hint: &'static str,
    /// Each once.
    pub instruments: Vec<String>,
    /// Something of them is sent.
    pub in_part: bool,
}

impl Link {
    fn new(spec: Arc<ConnectSpec>, outlet: Outlet, figures: Arc<Figures>) -> Link {
        Link {
            spec,
            outlet,
            figures,
            gaps: Gaps::default(),
            stands_since: None,
            stood_ever: false,
            left_out: Vec::new(),
        }
    }

    /// A frame of a code that was read at a moment was handed on after a wait.
    async fn handed_on(&mut self, code: &str, at: Nanos, waited: Duration) -> Result<(), Trouble> {
        self.figures.frame(code);
        self.gaps.alive(at);
        if waited > STALL {
            let reason = "the sink took no frames, and the connection was not read".to_owned();
            let gap = Gap { kind: GapKind::Stall, from: Some(at), until: Some(now()), reason, failures: 0 };
            self.record(gap, None).await?;
        }
        Ok(())
    }

    /// All subscriptions are answered. Errors: no instrument is left, or one is left out where none may.
    async fn subscribed(&mut self, left_out: Vec<LeftOut>) -> Result<(), Trouble> {
        let missing = missing(&left_out);
        self.figures.missing.set(missing as i64);
        // the same ones after each reconnect are no news; what a server says of them may change
        let who = |all: &[LeftOut]| {
            all.iter().map(|left| (left.in_part, left.hint, left.instruments.clone())).collect::<Vec<_>>()
        };
        if who(&left_out) != who(&self.left_out) {
            self.tell(&left_out).await?;
        }
        if self.stood_ever {
            self.figures.reconnects.inc();
        }
        let instruments = self.spec.instruments.len().saturating_sub(missing);
        (self.stood_ever, self.stands_since, self.left_out) = (true, Some(Instant::now()), left_out);
        self.figures.standing.set(1);
        tracing::info!(instruments, codes = self.spec.codes.join(","), "all subscriptions stand");
        match self.gaps.established(now()) {
            Some(gap) => self.record(gap, None).await,
            None => Ok(()),
        }
    }

    /// Names who is left out, each reason with a gap record of its own.
    async fn tell(&mut self, left_out: &[LeftOut]) -> Result<(), Trouble> {
        let (missing, wanted) = (missing(left_out), self.spec.instruments.len());
        let message = |left: &LeftOut| {
            format!("{} of {wanted} instruments {}: {}", left.instruments.len(), left.why, left.instruments.join(", "))
        };
        let whole: Vec<&LeftOut> = left_out.iter().filter(|left| !left.in_part).collect();
        if let Some(first) = whole.first()
            && (missing >= wanted || (self.spec.strict && !self.stood_ever))
        {
            let messages: Vec<String> = whole.iter().map(|left| message(left)).collect();
            return Err(Trouble::Refused(messages.join("; "), first.hint.to_owned()));
        }
        for left in left_out {
            let reason = message(left);
            if !left.in_part {
                tracing::error!(hint = left.hint, "{reason}");
            }
            let gap = Gap { kind: GapKind::Refused, from: Some(now()), until: None, reason, failures: 0 };
            self.record(gap, Some(&left.instruments)).await?;
        }
        Ok(())
    }

    /// Prints a gap and produces it. `instruments`: which; none given: all of them.
    async fn record(&mut self, gap: Gap, instruments: Option<&[String]>) -> Result<(), Trouble> {
        let told = |at: Option<Nanos>| at.map(moment).unwrap_or_else(|| "?".to_owned());
        tracing::warn!(
            kind = gap.kind.name(),
            from = told(gap.from),
            until = told(gap.until),
            reason = gap.reason,
            failures = gap.failures,
            "gap"
        );
        self.figures.gap(gap.kind);
        let payload = gap_json(&gap, &self.spec, instruments).to_string();
        let record = Taken {
            topic: Some(self.spec.gaps_topic()),
            key: Some(GAP.to_owned()),
            origin: GAP.to_owned(),
            received_at: gap.until.or(gap.from).unwrap_or_else(now),
            payload: payload.into_bytes(),
        };
        Ok(self.outlet.take(record).await?)
    }
}

/// How many instruments nothing comes of.
fn missing(left_out: &[LeftOut]) -> usize {
    left_out.iter().filter(|left| !left.in_part).map(|left| left.instruments.len()).sum()
}

fn moment(at: Nanos) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
    stamp.expect("jiff's range holds every i64 of nanoseconds").to_string()
}

/// A gap record: times for people and for machines, why, and what of.
fn gap_json(gap: &Gap, spec: &ConnectSpec, instruments: Option<&[String]>) -> serde_json::Value {
    let all = || spec.instruments.iter().map(spec::Wanted::name).collect::<Vec<_>>();
    json!({
        "kind": gap.kind,
        "from": gap.from.map(moment),
        "until": gap.until.map(moment),
        "from_ns": gap.from,
        "until_ns": gap.until,
        "reason": gap.reason,
        "failures": gap.failures,
        "api": spec.api.name(),
        "subscriptions": { "codes": spec.codes, "instruments": instruments.map_or_else(all, <[String]>::to_vec) },
    })
}

/// One of the vendor's two APIs.
enum Client {
    Xts(xts::Xts),
    Bridge(bridge::Bridge),
}

impl Client {
    async fn session(&mut self, link: &mut Link) -> Trouble {
        match self {
            Client::Xts(client) => client.session(link).await,
            Client::Bridge(client) => client.session(link).await,
        }
    }

    async fn leave(&mut self) {
        if let Client::Xts(client) = self {
            client.leave().await;
        }
    }
}

/// Holds a feed until `stop` is set. Errors: a mistake of the user's at the start, a server that is not there at the start,
/// the sink's.
pub fn run(spec: ConnectSpec, sink: &mut dyn Sink, figures: Arc<Figures>, stop: Arc<AtomicBool>) -> Result<(), Error> {
    let tls = Arc::new(tls::client(spec.authorities.as_deref())?);
    let secrets = Secrets::default();
    let mut client = match spec.api {
        Api::Xts => Client::Xts(xts::Xts::new(&spec, tls, secrets)?),
        Api::Bridge => Client::Bridge(bridge::Bridge::new(tls, secrets)),
    };
    for topic in spec.topics() {
        sink.prepare(&topic)?;
    }
    let failed = |error: std::io::Error| Error::bug(format!("the connector's threads do not start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let (outlet, inlet) = outlet::queue();
    let (prefix, handle, counted) = (spec.prefix.clone(), runtime.handle().clone(), figures.clone());
    std::thread::scope(|scope| {
        let writer = std::thread::Builder::new().name("writer".into());
        let writer = writer.spawn_scoped(scope, move || inlet.write(sink, &prefix, &counted, &handle));
        let writer = writer.map_err(failed)?;
        let mut link = Link::new(Arc::new(spec), outlet, figures);
        let held = runtime.block_on(hold(&mut client, &mut link, &stop));
        // the writer ends when nobody can hand anything in any more
        drop((link, client));
        let written: Result<(), FeedError> = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        held.and(written.map_err(Error::from))
    })
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        let (kind, hint) = match &trouble {
            Trouble::Refused(_, hint) => (Kind::Fix, Some(hint.clone())),
            _ => (Kind::Retry, None),
        };
        Error { kind, message: trouble.to_string(), hint }
    }
}

/// Connects again and again. Errors: those of the start.
async fn hold(client: &mut Client, link: &mut Link, stop: &AtomicBool) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    let mut failures = 0;
    let told = tell(link.figures.clone(), link.outlet.clone());
    tokio::pin!(told);
    loop {
        let trouble = tokio::select! {
            trouble = client.session(link) => trouble,
            () = stopped(stop) => break,
            () = &mut told => break,
        };
        link.figures.standing.set(0);
        let stood = link.stands_since.take().map(|since| since.elapsed());
        if matches!(trouble, Trouble::Closed) {
            break;
        }
        let wait = wait(&trouble, stood, &mut backoff, chance());
        if !link.stood_ever {
            failures += u32::from(!matches!(trouble, Trouble::Busy(_)));
            fatal(&trouble, failures, &link.spec)?;
        }
        link.figures.failures.inc();
        link.gaps.lost(&trouble.to_string());
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let hint = if let Trouble::Refused(_, hint) = &trouble { Some(hint) } else { None };
        tracing::warn!(reason = %trouble, hint, again_in_ms, "not connected");
        tokio::select! {
            () = sleep(wait) => {}
            () = stopped(stop) => break,
            () = &mut told => break,
        }
    }
    let gap = link.gaps.stopped(now());
    link.record(gap, None).await.ok(); // the writer's error is told instead
    client.leave().await;
    Ok(())
}

/// How long to wait before the next try. A server that is busy may ask for more than our own wait and not for less: 0, or a
/// moment that has passed, would have it called without a pause.
fn wait(trouble: &Trouble, stood: Option<Duration>, backoff: &mut Backoff, chance: f64) -> Duration {
    if matches!(trouble, Trouble::Renewal) {
        return Duration::ZERO;
    }
    let own = match stood {
        Some(stood) => backoff.after_standing(stood, chance),
        None => backoff.after_failure(chance),
    };
    match trouble {
        Trouble::Busy(Some(asked)) => own.max(*asked),
        _ => own,
    }
}

/// What ends a start: the user's mistake, or a server that nobody has seen yet.
fn fatal(trouble: &Trouble, failures: u32, spec: &ConnectSpec) -> Result<(), Error> {
    match trouble {
        Trouble::Refused(message, hint) => Err(Error::fix(message, hint)),
        trouble if failures >= TRIES => {
            let host = spec.root.host_str().unwrap_or_default();
            let message = format!("{host} cannot be used after {failures} tries: {trouble}");
            Err(Error::fix(message, "check `--root`, `--api` and the network; once it has stood, it is tried for ever"))
        }
        _ => Ok(()),
    }
}

/// Waits for a signal.
async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(HEARD_EVERY).await;
    }
}

/// Tells the counts from time to time, for ever.
async fn tell(figures: Arc<Figures>, outlet: Outlet) {
    let mut last = Instant::now();
    loop {
        sleep(Duration::from_secs(1)).await;
        let waiting = outlet.waiting();
        figures.waiting_bytes.set(waiting as i64);
        if last.elapsed() >= TOLD_EVERY {
            last = Instant::now();
            tracing::info!(
                frames = figures.frames(),
                unasked = figures.unasked.get(),
                reconnects = figures.reconnects.get(),
                gaps = figures.gaps(),
                waiting_bytes = waiting,
                in_flight = figures.in_flight.get(),
                "feed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ConnectSpec {
        ConnectSpec {
            api: Api::Xts,
            root: spec::root(Api::Xts, "http://127.0.0.1:1").expect("an address"),
            instruments: spec::instruments(Api::Xts, "NSECM|2885,NSECM|467").expect("names"),
            codes: vec!["1501".into()],
            prefix: "x-".into(),
            authorities: None,
            strict: false,
            master: false,
        }
    }

    #[test]
    fn a_gap_record_says_when_why_and_of_what() {
        let reason = "reset".to_owned();
        let gap = Gap {
            kind: GapKind::Interruption,
            from: Some(1_000_000_000),
            until: Some(2_500_000_000),
            reason,
            failures: 3,
        };
        let expected = json!({
            "kind": "interruption", "from": "1970-01-01T00:00:01Z", "until": "1970-01-01T00:00:02.5Z",
            "from_ns": 1_000_000_000, "until_ns": 2_500_000_000i64, "reason": "reset", "failures": 3, "api": "xts",
            "subscriptions": { "codes": ["1501"], "instruments": ["NSECM|2885", "NSECM|467"] },
        });
        assert_eq!(gap_json(&gap, &spec(), None), expected);
    }

    #[test]
    fn a_start_ends_with_the_users_mistake_at_once_and_with_an_absent_server_after_a_few_tries() {
        let refused = Trouble::Refused("no".into(), "do".into());
        assert_eq!(fatal(&refused, 1, &spec()).expect_err("a mistake").kind, Kind::Fix);
        let lost = Trouble::Lost("connection refused".into());
        assert!((1..TRIES).all(|failures| fatal(&lost, failures, &spec()).is_ok()));
        let error = fatal(&lost, TRIES, &spec()).expect_err("tries enough");
        assert!(error.kind == Kind::Fix && error.message.contains("127.0.0.1"), "{error}");
    }

    #[test]
    fn a_busy_server_is_never_asked_again_at_once() {
        let (mut backoff, mut plain) = (Backoff::default(), Backoff::default());
        // `Retry-After: 0`, or a date that has passed
        for _ in 0..10 {
            let asked = wait(&Trouble::Busy(Some(Duration::ZERO)), None, &mut backoff, 1.0);
            assert_eq!(asked, plain.after_failure(1.0));
            assert!(asked >= Duration::from_millis(125));
        }
        let later = Duration::from_secs(60);
        assert_eq!(wait(&Trouble::Busy(Some(later)), None, &mut backoff, 0.0), later);
        assert_eq!(wait(&Trouble::Busy(Some(later)), Some(later), &mut backoff, 0.0), later);
        let own = wait(&Trouble::Busy(Some(Duration::ZERO)), Some(later), &mut backoff, 0.0);
        assert_eq!(own, Duration::from_millis(250));
        assert_eq!(wait(&Trouble::Renewal, Some(later), &mut backoff, 0.0), Duration::ZERO);
    }

    /// Who is left out, with a reason.
    fn left_out(why: &str, instruments: &[&str]) -> LeftOut {
        let instruments = instruments.iter().map(|name| (*name).to_owned()).collect();
        LeftOut { why: why.to_owned(), hint: "do", instruments, in_part: false }
    }

    #[tokio::test]
    async fn instruments_that_are_missing_are_told_and_none_at_all_is_a_mistake() {
        let (outlet, _inlet) = outlet::queue();
        let mut link = Link::new(Arc::new(spec()), outlet, Arc::default());
        assert!(link.subscribed(vec![left_out("are dead", &["NSECM|467"])]).await.is_ok());
        assert_eq!((link.figures.missing.get(), link.figures.gaps()), (1, 2));
        // the same one in other words
        assert!(link.subscribed(vec![left_out("are still dead", &["NSECM|467"])]).await.is_ok());
        assert_eq!(link.figures.gaps(), 2);
        let all = vec![left_out("are dead", &["NSECM|467"]), left_out("are too many", &["NSECM|2885"])];
        let Err(Trouble::Refused(message, _)) = link.subscribed(all).await else { panic!("nothing is left") };
        let expected = "1 of 2 instruments are dead: NSECM|467; 1 of 2 instruments are too many: NSECM|2885";
        assert_eq!(message, expected);
        let mut strict =
            Link::new(Arc::new(ConnectSpec { strict: true, ..spec() }), link.outlet.clone(), Arc::default());
        assert!(strict.subscribed(vec![left_out("are dead", &["NSECM|467"])]).await.is_err());
    }

    #[tokio::test]
    async fn instruments_that_are_left_out_in_part_are_a_gap_record_and_not_missing() {
        let (outlet, _inlet) = outlet::queue();
        let strict = Arc::new(ConnectSpec { strict: true, ..spec() });
        let mut link = Link::new(strict, outlet, Arc::default());
        let parts = LeftOut { in_part: true, ..left_out("are sent without x", &["NSECM|467", "NSECM|2885"]) };
        assert!(link.subscribed(vec![parts]).await.is_ok());
        assert_eq!((link.figures.missing.get(), link.figures.gaps()), (0, 2));
    }
}
