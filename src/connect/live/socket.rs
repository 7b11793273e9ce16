//! The websocket of XTS: sends Engine.IO's pings, watches for their answers, and reads messages as they come.
//!
//! What must always hold: while a message waits for room, nothing is read and pings go on, so that a server that is read
//! slowly does not consider the client dead; a server that is silent for its own timeout after a ping is given up.

use super::clock::now;
use super::packet::{self, Handshake, Packet};
use super::trouble::Trouble;
use futures::{SinkExt, StreamExt};
use reqwest::Url;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use ticktide_base::time::Nanos;
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// How long each step of a connection may take.
pub const STEP_WITHIN: Duration = Duration::from_secs(15);
/// The largest message.
const MESSAGE_BYTES: usize = 4 << 20;

/// A received message.
#[derive(Debug)]
pub enum Received {
    /// A text message, parsed and as it came.
    Text(Packet, String),
    Bytes(Vec<u8>),
    /// Only a sign of life.
    Life,
}

/// An open websocket after Engine.IO's handshake.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    handshake: Handshake,
    pings: Interval,
    /// When the server is given up unless a message comes.
    answer_until: Option<Instant>,
}

impl Socket {
    /// Connects and waits for the handshake. Errors: the server cannot be reached, or refuses.
    pub async fn open(url: &Url, tls: &Arc<ClientConfig>) -> Result<Socket, Trouble> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES))
            .read_buffer_size(64 << 10)
            .write_buffer_size(0);
        let connector = Connector::Rustls(tls.clone());
        let connecting = connect_async_tls_with_config(url.as_str(), Some(config), true, Some(connector));
        let opened = timeout(STEP_WITHIN, connecting).await.map_err(|_| late("the websocket"))?;
        let (stream, _) = opened.map_err(refused)?;
        let handshake = Handshake { ping_interval: STEP_WITHIN, ping_timeout: STEP_WITHIN };
        let mut socket = Socket { stream, handshake, pings: pings(STEP_WITHIN), answer_until: None };
        let first = timeout(STEP_WITHIN, socket.read()).await.map_err(|_| late("Engine.IO's handshake"))??;
        let (Received::Text(Packet::Open(handshake), _), _) = first else {
            return Err(Trouble::Lost("the websocket's first message is not a handshake of Engine.IO 3".into()));
        };
        socket.handshake = handshake;
        socket.pings = pings(handshake.ping_interval);
        Ok(socket)
    }

    /// The next message and when it came; sends pings meanwhile. Errors: the connection is over.
    pub async fn next(&mut self) -> Result<(Received, Nanos), Trouble> {
        loop {
            let dead_at = self.answer_until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                received = read(&mut self.stream) => {
                    self.answer_until = None;
                    return received;
                }
                _ = self.pings.tick() => self.ping().await?,
                _ = sleep_until(dead_at) => {
                    let waited = self.handshake.ping_timeout.as_secs_f64();
                    return Err(Trouble::Lost(format!("no answer to a ping for {waited} s")));
                }
            }
        }
    }

    /// Waits for other work without reading the server, whose silence therefore does not count. A connection lost meanwhile is
    /// noticed at the next message: what was read is handed on first.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut lost = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = self.pings.tick(), if !lost => {
                    lost = self.send(packet::PING).await.is_err();
                    self.answer_until = None;
                }
            }
        }
    }

    /// Sends a packet. Errors: the connection is over.
    pub async fn send(&mut self, packet: &'static str) -> Result<(), Trouble> {
        let sent = timeout(STEP_WITHIN, self.stream.send(Message::text(packet))).await;
        sent.map_err(|_| late("sending"))?.map_err(|error| lost(&error))
    }

    /// Closes the connection; does not wait longer than a second for the server.
    pub async fn close(&mut self) {
        let goodbye = async {
            self.send("41").await.ok();
            self.stream.close(None).await.ok();
        };
        timeout(Duration::from_secs(1), goodbye).await.ok();
    }

    async fn ping(&mut self) -> Result<(), Trouble> {
        self.send(packet::PING).await?;
        self.answer_until.get_or_insert(Instant::now() + self.handshake.ping_timeout);
        Ok(())
    }

    async fn read(&mut self) -> Result<(Received, Nanos), Trouble> {
        read(&mut self.stream).await
    }
}

fn pings(every: Duration) -> Interval {
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

async fn read(stream: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<(Received, Nanos), Trouble> {
    let message = match stream.next().await {
        None => return Err(Trouble::Lost("the server has closed the connection".into())),
        Some(message) => message.map_err(|error| lost(&error))?,
    };
    let received_at = now();
    let received = match message {
        Message::Text(text) => Received::Text(packet::parse(text.as_str()), text.as_str().to_owned()),
        Message::Binary(bytes) => Received::Bytes(bytes.to_vec()),
        Message::Close(_) => return Err(Trouble::Lost("the server closes the websocket".into())),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Received::Life,
    };
    Ok((received, received_at))
}

fn late(what: &str) -> Trouble {
    Trouble::Lost(format!("{what} takes longer than {} s", STEP_WITHIN.as_secs()))
}

fn lost(error: &Error) -> Trouble {
    Trouble::Lost(format!("the websocket is lost: {error}"))
}

/// Why no websocket was opened.
fn refused(error: Error) -> Trouble {
    match &error {
        Error::Http(response) => match response.status().as_u16() {
            429 => Trouble::Busy(super::rest::retry_after(response.headers())),
            400 | 401 | 403 => Trouble::Expired(format!("the websocket is refused: {}", response.status())),
            _ => Trouble::Lost(format!("the websocket is refused: {}", response.status())),
        },
        error => Trouble::Lost(format!("no websocket: {error}")),
    }
}
