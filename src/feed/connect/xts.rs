//! One connection to XTS, from login to its loss.
//!
//! ```text
//!   login (REST) ─▶ websocket ─▶ `joined` ─▶ subscriptions (REST, beside the socket) ─▶ standing ─▶ lost, or the token ends
//!     token kept over reconnects until 401 or shortly before its expiry
//! ```
//!
//! An event `CODE-json-full` or `…-partial` of a code that was asked for is a frame: its argument is the payload, its name the
//! origin. Events of other codes are counted and go no further (1105 comes unasked for every instrument of the exchange).
//! Whatever cannot be understood is a frame of topic `…other`, whole, with origin `junk`.

use super::outlet::Taken;
use super::packet::{Event, Packet};
use super::rest::{Login, Refusal, Rest, below};
use super::secrets::Secrets;
use super::socket::{Received, STEP_WITHIN, Socket};
use super::spec::ConnectSpec;
use super::subscribe::Subscriber;
use super::{Link, Trouble, jwt, now, packet};
use crate::feed::wire::xts;
use crate::settings;
use crate::time::{MINUTE, Nanos};
use futures::future::BoxFuture;
use reqwest::Url;
use rustls::ClientConfig;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A token is replaced so long before it ends, or a tenth of its life if that is less.
const RENEWED_BEFORE: Nanos = 10 * MINUTE;
/// What is waited for when nothing is due.
const FAR: Duration = Duration::from_secs(7 * 86_400);
/// Where messages without a name of their own come from.
const JUNK: &str = "junk";

/// A client of XTS.
pub struct Xts {
    rest: Rest,
    tls: Arc<ClientConfig>,
    secrets: Secrets,
    token: Option<Token>,
}

struct Token {
    login: Login,
    renew_at: Option<Nanos>,
}

/// When a token that was got at a moment is to be replaced; `None`: it does not say when it ends, or our clock is wrong.
fn renewal(token: &str, got_at: Nanos) -> Option<Nanos> {
    let expires_at = jwt::claims(token)?.expires_at().filter(|at| *at > got_at)?;
    Some(expires_at - ((expires_at - got_at) / 10).min(RENEWED_BEFORE))
}

impl Xts {
    /// Nothing is connected yet.
    pub fn new(spec: &ConnectSpec, tls: Arc<ClientConfig>, secrets: Secrets) -> Result<Xts, Trouble> {
        Ok(Xts { rest: Rest::new(&spec.root, &tls, secrets.clone())?, tls, secrets, token: None })
    }

    /// Connects, subscribes, and hands frames on until the connection is lost: why it was.
    pub async fn session(&mut self, link: &mut Link) -> Trouble {
        let Err(trouble) = self.stand(link).await;
        if matches!(trouble, Trouble::Expired(_)) {
            self.token = None;
        }
        trouble
    }

    /// Gives the token back.
    pub async fn leave(&mut self) {
        if let Some(token) = self.token.take() {
            tokio::time::timeout(Duration::from_secs(2), self.rest.logout(&token.login.token)).await.ok();
        }
    }

    async fn stand(&mut self, link: &mut Link) -> Result<Infallible, Trouble> {
        let (login, renew_at) = self.token().await?;
        let mut socket = Socket::open(&address(&link.spec.root, &login), &self.tls).await?;
        let renewed = sleep_until(Instant::now() + renew_at.map_or(FAR, until));
        let joined_until = sleep_until(Instant::now() + STEP_WITHIN);
        tokio::pin!(renewed, joined_until);
        let (mut joined, mut subscribing) = (false, None);
        loop {
            tokio::select! {
                received = socket.next() => {
                    let (received, at) = received?;
                    match self.received(received, at, &mut socket, link).await? {
                        Step::Joined if !joined => {
                            joined = true;
                            subscribing = Some(self.subscriber(&login, link));
                        }
                        _ => {}
                    }
                }
                outcome = done(&mut subscribing) => {
                    subscribing = None;
                    link.subscribed(outcome?).await?;
                }
                () = &mut joined_until, if !joined => {
                    return Err(Trouble::Expired("the server does not say `joined`".into()));
                }
                () = &mut renewed => {
                    socket.close().await;
                    return Err(Trouble::Expired("the token is renewed before it ends".into()));
                }
            }
        }
    }

    /// The token, a new one if it is needed, and when it is to be replaced.
    async fn token(&mut self) -> Result<(Login, Option<Nanos>), Trouble> {
        if self.token.as_ref().is_some_and(|token| token.renew_at.is_some_and(|at| at <= now())) {
            self.token = None;
        }
        if self.token.is_none() {
            let app_key = self.secrets.required(settings::IIFL_APP_KEY)?;
            let secret_key = self.secrets.required(settings::IIFL_SECRET_KEY)?;
            let login = self.rest.login(&app_key, &secret_key).await.map_err(login_refused)?;
            let renew_at = renewal(&login.token, now());
            tracing::info!(renew_in_s = renew_at.map(|at| until(at).as_secs()), "logged in");
            self.token = Some(Token { login, renew_at });
        }
        let token = self.token.as_ref().expect("it was just put there");
        Ok((token.login.clone(), token.renew_at))
    }

    fn subscriber(&self, login: &Login, link: &Link) -> BoxFuture<'static, Result<Vec<String>, Trouble>> {
        let subscriber = Subscriber {
            rest: self.rest.clone(),
            token: login.token.clone(),
            spec: link.spec.clone(),
            outlet: link.outlet.clone(),
            figures: link.figures.clone(),
        };
        Box::pin(subscriber.all())
    }

    /// Acts on what came. Errors: it says that the connection is over, or nobody takes frames.
    async fn received(
        &self,
        received: Received,
        at: Nanos,
        socket: &mut Socket,
        link: &mut Link,
    ) -> Result<Step, Trouble> {
        let (packet, text) = match received {
            Received::Life => {
                link.gaps.alive(at);
                return Ok(Step::On);
            }
            Received::Bytes(bytes) => {
                hand_on("other", Taken::frame(JUNK, at, bytes), socket, link).await?;
                return Ok(Step::On);
            }
            Received::Text(packet, text) => (packet, text),
        };
        match packet {
            Packet::Event(event) => self.event(event, text, at, socket, link).await,
            Packet::Open(_) | Packet::Unknown => {
                hand_on("other", Taken::frame(JUNK, at, text), socket, link).await?;
                Ok(Step::On)
            }
            Packet::Ping => {
                socket.send(packet::PONG).await?;
                Ok(Step::On)
            }
            Packet::Pong | Packet::Connected | Packet::Nothing => {
                link.gaps.alive(at);
                Ok(Step::On)
            }
            Packet::Refused(why) => Err(Trouble::Expired(self.secrets.hide(&format!("the server refuses: {why}")))),
            Packet::Close | Packet::Disconnected => Err(Trouble::Lost("the server disconnects".into())),
        }
    }

    async fn event(
        &self,
        event: Event,
        text: String,
        at: Nanos,
        socket: &mut Socket,
        link: &mut Link,
    ) -> Result<Step, Trouble> {
        let said = || self.secrets.hide(&format!("{}: {}", event.name, event.argument.as_deref().unwrap_or_default()));
        match event.name.as_str() {
            "joined" => {
                link.gaps.alive(at);
                return Ok(Step::Joined);
            }
            "logout" => return Err(Trouble::Expired(said())),
            "disconnect" => return Err(Trouble::Lost(said())),
            "error" => {
                tracing::error!(said = said(), "the server says");
                return Ok(Step::On);
            }
            "warning" | "success" => {
                tracing::warn!(said = said(), "the server says");
                return Ok(Step::On);
            }
            _ => {}
        }
        let code = xts::code(&event.name).map(|code| code.to_string());
        match (code, event.argument) {
            (Some(code), Some(argument)) if link.spec.codes.contains(&code) => {
                hand_on(&code, Taken::frame(event.name, at, argument), socket, link).await?;
            }
            (Some(_), Some(_)) => {
                link.figures.unasked.inc();
                link.gaps.alive(at);
            }
            _ => hand_on("other", Taken::frame(JUNK, at, text), socket, link).await?,
        }
        Ok(Step::On)
    }
}

/// What a message leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    On,
    Joined,
}

/// The end of something that may not be there.
async fn done<T>(work: &mut Option<BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn hand_on(code: &str, frame: Taken, socket: &mut Socket, link: &mut Link) -> Result<(), Trouble> {
    let (begun, at) = (Instant::now(), frame.received_at);
    let outlet = link.outlet.clone();
    socket.meanwhile(outlet.take(frame)).await??;
    link.handed_on(code, at, begun.elapsed()).await
}

fn until(at: Nanos) -> Duration {
    Duration::from_nanos((at - now()).max(0) as u64).min(FAR)
}

/// What a refused login means.
fn login_refused(refusal: Refusal) -> Trouble {
    match refusal {
        Refusal::Unauthorised(why) | Refusal::Wrong(why) => {
            let hint = format!("check {} and {}", settings::IIFL_APP_KEY, settings::IIFL_SECRET_KEY);
            Trouble::Refused(format!("the login is refused: {why}"), hint)
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
    use crate::time::{HOUR, SECOND};

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
