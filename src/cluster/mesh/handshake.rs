//! The handshake: proves to each side that the other one knows the cluster's secret, and agrees on keys for the frames.
//!
//! ```text
//!   the dialling process                                   the listening process
//!   preamble (16 bytes) │ Noise message 1 (psk, e) ──────▶  knows the secret? if not: REFUSED, counted, closed
//!                        ◀────── ACCEPTED │ Noise message 2 (e, ee)
//!   Hello, the first frame ──────────────────────────────▶  only this proves that message 1 was no recording
//!                        ◀────────────────────────── Hello
//! ```
//!
//! Why Noise `NNpsk0` and not TLS: the processes of a cluster share one secret and nothing else. TLS would want a
//! certificate authority or a certificate for every host, and its pre-shared keys are not in rustls; Noise gives mutual
//! authentication by the secret, fresh keys for every connection (a secret that leaks later opens no recording) and numbered
//! frames, in two messages of 48 bytes. Until the first message is proven, not more than 64 bytes are read from a stranger.

use super::link::{FrameReceiver, FrameSender};
use super::link::{Timed, halves};
use sha2::{Digest, Sha256};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// The number is the version of handshake and frames.
const PREAMBLE: &[u8; 16] = b"TICKTIDE-MESH-1\n";
/// An ephemeral key and a tag.
const MESSAGE: usize = 48;
const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

/// The key that the processes of a cluster share.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    pub fn new(text: &[u8]) -> Secret {
        let mut hash = Sha256::new();
        hash.update(b"ticktide mesh\0");
        hash.update(text);
        Secret(hash.finalize().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a connection does not belong to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HandshakeRefusal {
    /// Nothing came in time, or not all of it.
    Silent,
    /// Bytes that a ticktide process does not send.
    Junk(String),
    /// It does not know the cluster's secret.
    Secret,
    /// It repeats what another process has sent.
    Forged,
    /// More strangers at once than are answered.
    Crowd,
}

impl HandshakeRefusal {
    /// One word, for counting.
    pub fn word(&self) -> &'static str {
        match self {
            HandshakeRefusal::Silent => "silent",
            HandshakeRefusal::Junk(_) => "junk",
            HandshakeRefusal::Secret => "wrong secret",
            HandshakeRefusal::Forged => "forged",
            HandshakeRefusal::Crowd => "too many at once",
        }
    }
}

impl fmt::Display for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeRefusal::Junk(start) => write!(f, "junk that starts with {start:?}"),
            other => f.write_str(other.word()),
        }
    }
}

fn noise(secret: &Secret, initiator: bool) -> io::Result<HandshakeState> {
    let failed = |error: snow::Error| io::Error::other(format!("{NOISE}: {error}"));
    let parameters = NOISE.parse().map_err(failed)?;
    let builder = Builder::new(parameters).prologue(PREAMBLE).psk(0, &secret.0);
    if initiator { builder.build_initiator() } else { builder.build_responder() }.map_err(failed)
}

fn transport(state: HandshakeState) -> io::Result<StatelessTransportState> {
    state.into_stateless_transport_mode().map_err(|error| io::Error::other(error.to_string()))
}

/// Dials: gives the halves of a connection to a process that knows the secret. The inner error is a refusal.
pub fn dial(
    tcp: TcpStream,
    secret: &Secret,
    deadline: Instant,
) -> io::Result<Result<(FrameReceiver, FrameSender), HandshakeRefusal>> {
    let mut state = noise(secret, true)?;
    let mut greeting = [0; PREAMBLE.len() + MESSAGE];
    greeting[..PREAMBLE.len()].copy_from_slice(PREAMBLE);
    let written = state.write_message(&[], &mut greeting[PREAMBLE.len()..]);
    written.map_err(|error| io::Error::other(error.to_string()))?;
    let mut socket = Timed { tcp, deadline: Some(deadline) };
    socket.tcp.write_all(&greeting)?;
    let mut answer = [REFUSED];
    socket.read_exact(&mut answer)?;
    match answer[0] {
        ACCEPTED => {}
        REFUSED => return Ok(Err(HandshakeRefusal::Secret)),
        _ => return Ok(Err(HandshakeRefusal::Junk(shown(&answer)))),
    }
    let mut message = [0; MESSAGE];
    socket.read_exact(&mut message)?;
    if state.read_message(&message, &mut []).is_err() {
        return Ok(Err(HandshakeRefusal::Secret));
    }
    Ok(Ok(halves(socket, transport(state)?)?))
}

/// Listens: gives the halves of a connection to a process that claims to know the secret; its first frame proves it.
pub fn answer(
    tcp: TcpStream,
    secret: &Secret,
    deadline: Instant,
) -> Result<(FrameReceiver, FrameSender), HandshakeRefusal> {
    let mut socket = Timed { tcp, deadline: Some(deadline) };
    let silent = |_: io::Error| HandshakeRefusal::Silent;
    let mut greeting = [0; PREAMBLE.len() + MESSAGE];
    let mut length = 0;
    while length < greeting.len() {
        match socket.read(&mut greeting[length..]) {
            Ok(0) if length > 0 => return Err(HandshakeRefusal::Junk(shown(&greeting[..length]))),
            Ok(0) => return Err(HandshakeRefusal::Silent),
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(HandshakeRefusal::Silent),
        }
        let known = length.min(PREAMBLE.len());
        if greeting[..known] != PREAMBLE[..known] {
            return Err(HandshakeRefusal::Junk(shown(&greeting[..length])));
        }
    }
    let mut state = noise(secret, false).map_err(silent)?;
    if state.read_message(&greeting[PREAMBLE.len()..], &mut []).is_err() {
        // if it does not arrive, the closed connection says the same
        let _ = socket.tcp.write_all(&[REFUSED]);
        return Err(HandshakeRefusal::Secret);
    }
    let mut answer = [ACCEPTED; 1 + MESSAGE];
    state.write_message(&[], &mut answer[1..]).map_err(|_| HandshakeRefusal::Forged)?;
    socket.tcp.write_all(&answer).map_err(silent)?;
    halves(socket, transport(state).map_err(silent)?).map_err(silent)
}

/// The start of what a stranger sent, printable.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(16).map(|letter| if letter.is_control() { '.' } else { letter }).collect()
}
