//! One connection after another: connects, waits after a loss, connects again.
//!
//! A start is less patient: a user's mistake ends the connector, and so does a server that cannot be reached in a few tries.
//! What must always hold: once the feed has stood, only a signal or the sink ends it; a busy server is never called again at
//! once.

use super::backoff::{Backoff, chance};
use super::bridge::Bridge;
use super::clock::now;
use super::figures::Figures;
use super::link::ConnectorState;
use super::outlet::Outlet;
use super::spec::ConnectSpec;
use super::trouble::Trouble;
use super::xts::XtsClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ticktide_base::error::Error;
use tokio::time::{Instant, sleep};

/// Tries at the start, before an unreachable server counts as a mistake.
const TRIES: u32 = 4;
/// How often the counts are logged.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// How soon a signal is noticed.
const HEARD_EVERY: Duration = Duration::from_millis(50);

/// One of the vendor's two APIs.
pub enum VendorClient {
    Xts(XtsClient),
    Bridge(Bridge),
}

impl VendorClient {
    async fn session(&mut self, state: &mut ConnectorState) -> Trouble {
        match self {
            VendorClient::Xts(client) => client.session(state).await,
            VendorClient::Bridge(client) => client.session(state).await,
        }
    }

    async fn leave(&mut self) {
        if let VendorClient::Xts(client) = self {
            client.leave().await;
        }
    }
}

/// Connects again and again. Errors: those of the start.
pub async fn hold(client: &mut VendorClient, state: &mut ConnectorState, stop: &AtomicBool) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    let mut failures = 0;
    let told = tell(state.figures.clone(), state.outlet.clone());
    tokio::pin!(told);
    loop {
        let trouble = tokio::select! {
            trouble = client.session(state) => trouble,
            () = stopped(stop) => break,
            () = &mut told => break,
        };
        state.figures.standing.set(0);
        let stood = state.stands_since.take().map(|since| since.elapsed());
        if matches!(trouble, Trouble::Closed) {
            break;
        }
        let wait = wait(&trouble, stood, &mut backoff, chance());
        if !state.stood_ever {
            failures += u32::from(!matches!(trouble, Trouble::Busy(_)));
            fatal(&trouble, failures, &state.spec)?;
        }
        state.figures.failures.inc();
        state.gaps.lost(&trouble.to_string());
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let hint = if let Trouble::Refused { hint, .. } = &trouble { Some(hint) } else { None };
        tracing::warn!(reason = %trouble, hint, again_in_ms, "not connected");
        tokio::select! {
            () = sleep(wait) => {}
            () = stopped(stop) => break,
            () = &mut told => break,
        }
    }
    let gap = state.gaps.stopped(now());
    state.record(gap, None).await.ok(); // the writer's error is reported instead
    client.leave().await;
    Ok(())
}

/// How long to wait before the next try. A busy server may ask for more than our own wait, but not for less: 0, or a moment
/// that has passed, would mean calls without a pause.
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

/// What ends a start: the user's mistake, or a server that was never reached.
fn fatal(trouble: &Trouble, failures: u32, spec: &ConnectSpec) -> Result<(), Error> {
    match trouble {
        Trouble::Refused { message, hint } => Err(Error::fix(message, hint)),
        trouble if failures >= TRIES => {
            let host = spec.root.host_str().unwrap_or_default();
            let message = format!("{host} cannot be used after {failures} tries: {trouble}");
            Err(Error::fix(
                message,
                "check `--root`, `--api` and the network; once connected, it retries until it is stopped",
            ))
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

/// Logs the counts from time to time; never ends.
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
    use super::super::testing::spec;
    use super::*;
    use ticktide_base::error::Kind;

    #[test]
    fn a_start_ends_with_the_users_mistake_at_once_and_with_an_absent_server_after_a_few_tries() {
        let refused = Trouble::refused("no", "do");
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
}
