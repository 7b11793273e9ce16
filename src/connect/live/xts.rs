//! One connection to XTS, from login to its loss.
//!
//! ```text
//!   login (REST) ─▶ websocket ─▶ `joined` ─▶ subscriptions ─▶ standing ─▶ lost, or the token ends
//!     token kept over reconnects              (REST, beside      └─▶ master, if it is due (REST, beside the socket)
//!     until 401 or shortly before its expiry   the socket)
//! ```
//!
//! The socket is read while subscriptions are under way: frames come with the first answer. The master is requested once all
//! subscriptions stand: frames are lost while nothing is subscribed, the master's rows are not.

use super::clock::now;
use super::link::ConnectorState;
use super::outlet::QueuedFrame;
use super::rest::{Login, Refusal, Rest, below};
use super::secrets::Secrets;
use super::socket::{Received, STEP_WITHIN, Socket};
use super::spec::ConnectSpec;
use super::subscribe::{Subscribed, Subscriber};
use super::trouble::Trouble;
use super::verdict::{JUNK, MessageMeaning, OTHER, judge};
use super::{jwt, packet};
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Url;
use rustls::ClientConfig;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use ticktide_base::environment;
use ticktide_base::time::{MINUTE, Nanos};
use tokio::time::{Instant, sleep_until};

/// A token is replaced this long before it expires, or a tenth of its life if that is less.
const RENEWED_BEFORE: Nanos = 10 * MINUTE;
/// How long to wait when nothing is due.
const FAR: Duration = Duration::from_secs(7 * 86_400);

/// A client of XTS.
pub struct XtsClient {
    rest: Rest,
    tls: Arc<ClientConfig>,
    secrets: Secrets,
    token: Option<Token>,
    /// What is subscribed under the token.
    subscribed: Subscribed,
    /// The master is requested once for each token: once a day.
    master_due: Arc<AtomicBool>,
}

struct Token {
    login: Login,
    renew_at: Option<Nanos>,
}

/// When to replace a token that was received at `got_at`; `None`: it does not say when it expires, or our clock is wrong.
fn renewal(token: &str, got_at: Nanos) -> Option<Nanos> {
    let expires_at = jwt::claims(token)?.expires_at().filter(|at| *at > got_at)?;
    Some(expires_at - ((expires_at - got_at) / 10).min(RENEWED_BEFORE))
}

impl XtsClient {
    /// Nothing is connected yet.
    pub fn new(spec: &ConnectSpec, tls: Arc<ClientConfig>, secrets: Secrets) -> Result<XtsClient, Trouble> {
        Ok(XtsClient {
            rest: Rest::new(&spec.root, &tls, secrets.clone())?,
            tls,
            secrets,
            token: None,
            subscribed: Arc::default(),
            master_due: Arc::default(),
        })
    }

    /// Connects, subscribes, and hands frames on until the connection is lost; returns why.
    pub async fn session(&mut self, state: &mut ConnectorState) -> Trouble {
        let Err(trouble) = self.stand(state).await;
        match trouble {
            Trouble::Expired(why) => {
                self.token = None;
                Trouble::Expired(self.secrets.hide(&why))
            }
            Trouble::Renewal => {
                self.token = None;
                Trouble::Renewal
            }
            Trouble::Lost(why) => Trouble::Lost(self.secrets.hide(&why)),
            other => other,
        }
    }

    /// Gives the token back.
    pub async fn leave(&mut self) {
        if let Some(token) = self.token.take() {
            tokio::time::timeout(Duration::from_secs(2), self.rest.logout(&token.login.token)).await.ok();
        }
    }

    async fn stand(&mut self, state: &mut ConnectorState) -> Result<Infallible, Trouble> {
        let (login, renew_at) = self.token(&state.spec).await?;
        let mut socket = Socket::open(&address(&state.spec.root, &login), &self.tls).await?;
        let renewed = sleep_until(Instant::now() + renew_at.map_or(FAR, until));
        let joined_until = sleep_until(Instant::now() + STEP_WITHIN);
        tokio::pin!(renewed, joined_until);
        let (mut joined, mut subscribing, mut listing) = (false, None, None);
        loop {
            tokio::select! {
                received = socket.next() => {
                    let (received, at) = received?;
                    if self.received(received, at, &mut socket, state).await? && !joined {
                        joined = true;
                        subscribing = Some(self.subscriber(&login, state).all().boxed());
                    }
                }
                outcome = done(&mut subscribing) => {
                    subscribing = None;
                    state.subscribed(outcome?).await?;
                    if self.master_due.load(Ordering::Relaxed) {
                        listing = Some(self.subscriber(&login, state).master().boxed());
                    }
                }
                outcome = done(&mut listing) => {
                    listing = None;
                    outcome?;
                }
                () = &mut joined_until, if !joined => {
                    return Err(Trouble::Expired("the server does not say `joined`".into()));
                }
                () = &mut renewed => {
                    socket.close().await;
                    return Err(Trouble::Renewal);
                }
            }
        }
    }

    /// The token, a new one if necessary, and when to replace it.
    async fn token(&mut self, spec: &ConnectSpec) -> Result<(Login, Option<Nanos>), Trouble> {
        if self.token.as_ref().is_some_and(|token| token.renew_at.is_some_and(|at| at <= now())) {
            self.token = None;
        }
        if self.token.is_none() {
            let app_key = self.secrets.required(environment::IIFL_APP_KEY)?;
            let secret_key = self.secrets.required(environment::IIFL_SECRET_KEY)?;
            let login = self.rest.login(&app_key, &secret_key).await.map_err(login_refused)?;
            let renew_at = renewal(&login.token, now());
            tracing::info!(renew_in_s = renew_at.map(|at| until(at).as_secs()), "logged in");
            self.master_due.store(spec.master, Ordering::Relaxed);
            // another token's subscriptions do not count
            self.subscribed.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.token = Some(Token { login, renew_at });
        }
        let token = self.token.as_ref().expect("it was just put there");
        Ok((token.login.clone(), token.renew_at))
    }

    fn subscriber(&self, login: &Login, state: &ConnectorState) -> Subscriber {
        Subscriber {
            rest: self.rest.clone(),
            token: login.token.clone(),
            spec: state.spec.clone(),
            subscribed: self.subscribed.clone(),
            left_out: state.left_out.clone(),
            master_due: self.master_due.clone(),
            outlet: state.outlet.clone(),
            figures: state.figures.clone(),
        }
    }

    /// Acts on a message; true: subscriptions may begin. Errors: it ends the connection, or frames are no longer taken.
    async fn received(
        &self,
        received: Received,
        at: Nanos,
        socket: &mut Socket,
        state: &mut ConnectorState,
    ) -> Result<bool, Trouble> {
        let meaning = match received {
            Received::Life => MessageMeaning::Life,
            Received::Bytes(bytes) => {
                hand_on(OTHER, QueuedFrame::frame(JUNK, at, bytes), socket, state).await?;
                return Ok(false);
            }
            Received::Text(packet, text) => judge(packet, text, &state.spec.codes, &self.secrets),
        };
        match meaning {
            MessageMeaning::Frame { code, origin, payload } => {
                hand_on(&code, QueuedFrame::frame(origin, at, payload), socket, state).await?;
                return Ok(false);
            }
            MessageMeaning::Over(trouble) => return Err(trouble),
            MessageMeaning::Unasked => state.figures.unasked.inc(),
            MessageMeaning::Asked => socket.send(packet::PONG).await?,
            MessageMeaning::Said(said, true) => tracing::error!(said, "the server says"),
            MessageMeaning::Said(said, false) => tracing::warn!(said, "the server says"),
            MessageMeaning::Joined => {
                state.gaps.alive(at);
                return Ok(true);
            }
            MessageMeaning::Life => {}
        }
        state.gaps.alive(at);
        Ok(false)
    }
}

/// The outcome of work; without work it never returns.
async fn done<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn hand_on(
    code: &str,
    frame: QueuedFrame,
    socket: &mut Socket,
    state: &mut ConnectorState,
) -> Result<(), Trouble> {
    let (begun, at) = (Instant::now(), frame.received_at);
    let outlet = state.outlet.clone();
    socket.meanwhile(outlet.take(frame)).await?;
    state.handed_on(code, at, begun.elapsed()).await
}

fn until(at: Nanos) -> Duration {
    Duration::from_nanos((at - now()).max(0) as u64).min(FAR)
}

/// What a refused login means.
fn login_refused(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Unauthorised(why) | Refusal::Wrong(why) => {
            let hint = format!("check {} and {}", environment::IIFL_APP_KEY, environment::IIFL_SECRET_KEY);
            Trouble::refused(format!("the login is refused: {why}"), hint)
        }
        other => other.into(),
    }
}

/// The websocket's address, with the token in it: never to be printed.
fn address(root: &Url, login: &Login) -> Url {
    let mut url = below(root, "apimarketdata/socket.io/");
    let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
    url.set_scheme(scheme).expect("http and ws are both special schemes");
    url.query_pairs_mut()
        .append_pair("token", &login.token)
        .append_pair("userID", &login.user)
        .append_pair("publishFormat", "JSON")
        .append_pair("broadcastMode", "Full")
        .append_pair("transport", "websocket")
        .append_pair("EIO", "3");
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::time::{HOUR, SECOND};

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        // RFC 7519 §3.1: it ends at 1300819380
        let token =
            "e30.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.x";
        let ends_at = 1_300_819_380 * SECOND;
        assert_eq!(renewal(token, ends_at - 24 * HOUR), Some(ends_at - 10 * MINUTE));
        assert_eq!(renewal(token, ends_at - 20 * SECOND), Some(ends_at - 2 * SECOND));
        assert_eq!((renewal(token, ends_at), renewal("no token", 0)), (None, None));
    }

    #[test]
    fn the_websocket_has_the_token_where_the_server_looks_for_it() {
        let login = Login { token: "a.b&c".into(), user: "U 1".into() };
        let url = address(&Url::parse("https://h:8/").expect("an address"), &login);
        assert_eq!(
            url.as_str(),
            "wss://h:8/apimarketdata/socket.io/?token=a.b%26c&userID=U+1&publishFormat=JSON&broadcastMode=Full&transport=websocket&EIO=3"
        );
        let near = address(&Url::parse("http://127.0.0.1:8").expect("an address"), &login);
        assert_eq!(near.scheme(), "ws");
    }
}
