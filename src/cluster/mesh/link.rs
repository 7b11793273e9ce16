//! A link: one TCP connection to one other process. It carries frames for the mesh, and is a stream of bytes for timely.
//!
//! ```text
//!   length u16 │ ChaCha20-Poly1305 of (kind u8 │ bytes …), nonce = number of the frame in its direction
//! ```
//!
//! Why the cipher is inside `Read` and `Write` and not behind a pair of local sockets: timely gives every link a thread that
//! only reads and one that only writes, so one lock for each direction is enough. What must hold: a frame is accepted only in
//! its order (a repeated, lost or foreign one means a lost peer), a stream ends only by an `End` frame, and a thread of timely
//! never sees an error: timely would panic, so the failure is recorded and the thread waits for the exit.

use super::{MeshError, Peer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use snow::StatelessTransportState;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use ticktide_base::failure::Failure;
use timely::communication::allocator::zero_copy::stream::Stream;

/// The most bytes of a Noise message.
const MESSAGE_MAX: usize = 65_535;
const TAG: usize = 16;
/// The most bytes of a frame.
pub const FRAME_MAX: usize = MESSAGE_MAX - TAG - 1;

/// What a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Timely's bytes.
    Data = 0,
    /// Nothing, to show that the process lives.
    Idle = 1,
    /// Nothing follows, and nothing has failed.
    End = 2,
    /// The process ends; why, as text.
    Failed = 3,
    /// Who the process is.
    Hello = 4,
    /// The other process is refused; why, as text.
    Refused = 5,
    /// From process 0: what the run continues from.
    Start = 6,
    /// The process has its state and its source.
    Ready = 7,
    /// The process ends because another generation owns the lake; why, as text.
    Fenced = 8,
    /// The process ends because the input of all is refused; why, as text.
    Unfit = 9,
}

impl FrameKind {
    fn of(byte: u8) -> Option<FrameKind> {
        use FrameKind::{Data, End, Failed, Fenced, Hello, Idle, Ready, Refused, Start, Unfit};
        [Data, Idle, End, Failed, Hello, Refused, Start, Ready, Fenced, Unfit]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why a peer ends the connection.
#[derive(Debug)]
pub enum Goodbye {
    Failed(String),
    Fenced(String),
    Refused(String),
    Unfit(String),
}

impl Goodbye {
    fn of(self, peer: Peer) -> MeshError {
        match self {
            Goodbye::Failed(why) => MeshError::Ended { peer, why },
            Goodbye::Fenced(why) => MeshError::Fenced { peer, why },
            Goodbye::Refused(why) => MeshError::Refused { peer, why },
            Goodbye::Unfit(why) => MeshError::Unfit { peer, why },
        }
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

/// A socket whose reads end at a deadline, even if bytes trickle in.
pub struct Timed {
    pub tcp: TcpStream,
    pub deadline: Option<Instant>,
}

impl Timed {
    /// Whether the peer has closed the connection: nothing comes after what may still be unread.
    fn is_closed_by_peer(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut asked = [PollFd::new(&self.tcp, PollFlags::RDHUP)];
        poll(&mut asked, Some(&Timespec::default())).is_ok() && asked[0].revents().intersects(gone)
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.tcp.set_read_timeout(Some(left))?;
        }
        self.tcp.read(into)
    }
}

/// The reading half.
pub struct FrameReceiver {
    socket: BufReader<Timed>,
    transport: Arc<StatelessTransportState>,
    frames: u64,
    sealed: Vec<u8>,
    plain: Vec<u8>,
    /// Timely's bytes of `plain` that it has not taken yet.
    left: Range<usize>,
    ended: bool,
}

/// The writing half.
pub struct FrameSender {
    tcp: TcpStream,
    transport: Arc<StatelessTransportState>,
    frames: u64,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    sent_at: Instant,
    ended: bool,
}

/// The two halves of a connection after its handshake.
pub fn halves(socket: Timed, transport: StatelessTransportState) -> io::Result<(FrameReceiver, FrameSender)> {
    let (tcp, transport) = (socket.tcp.try_clone()?, Arc::new(transport));
    let receiving = FrameReceiver {
        socket: BufReader::with_capacity(2 * MESSAGE_MAX, socket),
        transport: transport.clone(),
        frames: 0,
        sealed: vec![0; MESSAGE_MAX],
        plain: vec![0; MESSAGE_MAX],
        left: 0..0,
        ended: false,
    };
    let (plain, sealed) = (Vec::with_capacity(MESSAGE_MAX), vec![0; 2 + MESSAGE_MAX]);
    let sending = FrameSender { tcp, transport, frames: 0, plain, sealed, sent_at: Instant::now(), ended: false };
    Ok((receiving, sending))
}

impl FrameReceiver {
    /// The next frame: its kind, and which bytes of `plain` are its own.
    fn next(&mut self) -> io::Result<(FrameKind, Range<usize>)> {
        let mut length = [0; 2];
        self.socket.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        self.socket.read_exact(&mut self.sealed[..length])?;
        let opened = self.transport.read_message(self.frames, &self.sealed[..length], &mut self.plain);
        let length = opened.map_err(|_| invalid("a frame that is not the peer's next one"))?;
        self.frames += 1;
        let kind = self.plain[..length].first().and_then(|kind| FrameKind::of(*kind));
        Ok((kind.ok_or_else(|| invalid("a frame of an unknown kind"))?, 1..length))
    }

    /// The goodbye in a frame, if it is one.
    fn goodbye(&self, kind: FrameKind, own: Range<usize>) -> Option<Goodbye> {
        let goodbye = match kind {
            FrameKind::Failed => Goodbye::Failed,
            FrameKind::Fenced => Goodbye::Fenced,
            FrameKind::Refused => Goodbye::Refused,
            FrameKind::Unfit => Goodbye::Unfit,
            _ => return None,
        };
        Some(goodbye(String::from_utf8_lossy(&self.plain[own]).into_owned()))
    }

    /// The next frame that is not idle, which must be JSON of this kind; or the peer's goodbye.
    pub fn message<T: for<'a> Deserialize<'a>>(&mut self, wanted: FrameKind) -> io::Result<Result<T, Goodbye>> {
        loop {
            let (kind, own) = self.next()?;
            match kind {
                FrameKind::Idle => {}
                kind if kind == wanted => {
                    let read = serde_json::from_slice(&self.plain[own]);
                    return read.map(Ok).map_err(|error| invalid(format!("a {wanted:?} that cannot be read: {error}")));
                }
                other => {
                    let goodbye = self.goodbye(other, own);
                    return goodbye.map(Err).ok_or_else(|| invalid(format!("{other:?} where {wanted:?} belongs")));
                }
            }
        }
    }

    /// The start is over: from now on, silence of this length means a lost peer.
    fn settle(&mut self, silence: Duration) -> io::Result<()> {
        let socket = self.socket.get_mut();
        socket.deadline = None;
        socket.tcp.set_write_timeout(None)?;
        socket.tcp.set_read_timeout(Some(silence))
    }
}

impl FrameSender {
    pub fn send(&mut self, kind: FrameKind, bytes: &[u8]) -> io::Result<()> {
        self.plain.clear();
        self.plain.push(kind as u8);
        self.plain.extend_from_slice(&bytes[..bytes.len().min(FRAME_MAX)]);
        let sealed = self.transport.write_message(self.frames, &self.plain, &mut self.sealed[2..]);
        let length = sealed.map_err(|error| invalid(format!("a frame cannot be sealed: {error}")))?;
        self.frames += 1;
        let prefix = u16::try_from(length).map_err(|_| invalid("a frame that is too long"))?;
        self.sealed[..2].copy_from_slice(&prefix.to_be_bytes());
        self.tcp.write_all(&self.sealed[..2 + length])?;
        self.sent_at = Instant::now();
        Ok(())
    }

    pub fn message<T: Serialize>(&mut self, kind: FrameKind, message: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        self.send(kind, &bytes)
    }
}

/// What all links of a process share: the failure that ends it, and whether it may say goodbye.
pub struct EndState {
    pub failure: Arc<Failure>,
    /// The input of all is refused.
    refused: AtomicBool,
    may_end: Mutex<bool>,
    changed: Condvar,
}

impl EndState {
    pub fn new(failure: Arc<Failure>) -> EndState {
        EndState { failure, refused: AtomicBool::new(false), may_end: Mutex::new(false), changed: Condvar::new() }
    }

    /// The input of all is refused: the process ends for this reason, and reports it.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// The process has done all of its work.
    pub fn end(&self) {
        *lock(&self.may_end) = true;
        self.changed.notify_all();
    }

    fn await_end(&self) {
        let mut may_end = lock(&self.may_end);
        while !*may_end {
            may_end = self.changed.wait(may_end).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Ends {
    peer: Peer,
    receiving: Mutex<FrameReceiver>,
    sending: Mutex<FrameSender>,
    fate: Arc<EndState>,
    silence: Duration,
    /// The peer no longer accepts frames.
    dead: AtomicBool,
}

/// A connection to another process; clones share it.
#[derive(Clone)]
pub struct Link(Arc<Ends>);

impl Link {
    /// A link whose handshake is done; from now on it shows the peer that this process lives.
    pub fn new(
        peer: Peer,
        (mut receiving, sending): (FrameReceiver, FrameSender),
        fate: Arc<EndState>,
        silence: Duration,
    ) -> io::Result<Link> {
        receiving.settle(silence)?;
        let (receiving, sending) = (Mutex::new(receiving), Mutex::new(sending));
        let link = Link(Arc::new(Ends { peer, receiving, sending, fate, silence, dead: AtomicBool::new(false) }));
        let (every, ends) = (beat_every(silence), Arc::downgrade(&link.0));
        std::thread::Builder::new().name("mesh:beat".into()).spawn(move || beat(&ends, every))?;
        Ok(link)
    }

    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Whether the peer is known to be gone, while no thread reads the link yet: its system has closed the connection, or no
    /// longer accepts beats, which is known within [`Link::learns_within`].
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed) || lock(&self.0.receiving).socket.get_ref().is_closed_by_peer()
    }

    /// The goodbye that the peer sent before it closed the connection.
    pub fn farewell(&self) -> Option<MeshError> {
        let mut receiving = lock(&self.0.receiving);
        // otherwise reading would wait
        while receiving.socket.get_ref().is_closed_by_peer() {
            let (kind, own) = receiving.next().ok()?;
            if let Some(goodbye) = receiving.goodbye(kind, own) {
                return Some(self.heard(goodbye));
            }
        }
        None
    }

    /// How soon a lost peer is known: a system that has lost the process and its connections refuses a beat, and the next beat
    /// fails.
    pub fn learns_within(&self) -> Duration {
        3 * beat_every(self.0.silence)
    }

    /// Waits for a message of this kind, as long as the peer lives.
    pub fn receive<T: for<'a> Deserialize<'a>>(&self, kind: FrameKind) -> Result<T, MeshError> {
        let mut receiving = lock(&self.0.receiving);
        match receiving.message(kind) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(goodbye)) => Err(self.heard(goodbye)),
            Err(error) => Err(self.lost(&error)),
        }
    }

    pub fn send<T: Serialize>(&self, kind: FrameKind, message: &T) -> Result<(), MeshError> {
        lock(&self.0.sending).message(kind, message).map_err(|error| self.lost(&error))
    }

    /// Sends the reason why this process ends, if the peer listens; does not wait for it.
    pub fn tell(&self, kind: FrameKind, why: &str) {
        for _ in 0..20 {
            if let Ok(mut sending) = self.0.sending.try_lock() {
                // if it does not arrive, the closed connection says the rest
                let _ = sending.tcp.set_write_timeout(Some(Duration::from_millis(100)));
                let _ = sending.send(kind, why.as_bytes());
                sending.ended = true;
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the peer's goodbye means for this process.
    fn heard(&self, goodbye: Goodbye) -> MeshError {
        if matches!(goodbye, Goodbye::Unfit(_)) {
            self.0.fate.refuse();
        }
        goodbye.of(self.peer().clone())
    }

    fn lost(&self, error: &io::Error) -> MeshError {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("has been silent for {} s", self.0.silence.as_secs_f64())
            }
            ErrorKind::UnexpectedEof => "closed the connection".to_owned(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "broke the connection".to_owned(),
            _ => format!("cannot be understood: {error}"),
        };
        MeshError::Lost { peer: self.peer().clone(), why }
    }

    /// Records the failure and stays until the process ends.
    fn lose(&self, error: MeshError) -> ! {
        self.0.fate.failure.set(error.into());
        rest()
    }
}

/// A thread of timely has nothing more to do in a failed run; the main thread ends the process.
fn rest() -> ! {
    loop {
        std::thread::park();
    }
}

/// How often a peer receives something from this process at least.
fn beat_every(silence: Duration) -> Duration {
    Duration::from_secs(1).min(silence / 4)
}

/// Shows the peer that this process lives.
fn beat(ends: &Weak<Ends>, every: Duration) {
    loop {
        std::thread::sleep(every / 2);
        let Some(ends) = ends.upgrade() else { return };
        // one that is locked is being written to
        if let Ok(mut sending) = ends.sending.try_lock() {
            let due = sending.sent_at.elapsed() >= every / 2;
            if sending.ended {
                return;
            }
            if due && sending.send(FrameKind::Idle, &[]).is_err() {
                ends.dead.store(true, Ordering::Relaxed);
                return; // the reading half, if a thread reads, meets the same end and reports it
            }
        };
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut receiving = lock(&self.0.receiving);
        loop {
            if !receiving.left.is_empty() {
                let from = receiving.left.start;
                let length = receiving.left.len().min(into.len());
                into[..length].copy_from_slice(&receiving.plain[from..from + length]);
                receiving.left.start += length;
                return Ok(length);
            }
            if receiving.ended {
                return Ok(0);
            }
            match receiving.next() {
                Ok((FrameKind::Data, own)) => receiving.left = own,
                Ok((FrameKind::Idle, _)) => {}
                Ok((FrameKind::End, _)) => receiving.ended = true,
                Ok((other, own)) => match receiving.goodbye(other, own) {
                    Some(goodbye) => self.lose(self.heard(goodbye)),
                    None => self.lose(self.lost(&invalid(format!("{other:?} in a run")))),
                },
                Err(error) => self.lose(self.lost(&error)),
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.fate.failure.is_met() {
            rest();
        }
        let length = bytes.len().min(FRAME_MAX);
        let sent = lock(&self.0.sending).send(FrameKind::Data, &bytes[..length]);
        match sent {
            Ok(()) => Ok(length),
            Err(error) => {
                // the reading half may know better why
                std::thread::sleep(Duration::from_millis(200));
                self.lose(self.lost(&error))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Link> {
        Ok(self.clone())
    }

    /// The two threads of a link block; timely never asks for anything else.
    fn set_nonblocking(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Timely has sent all it had. The goodbye waits until this process has done all of its work, so that no process
    /// leaves with success while another may still fail.
    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        if self.0.fate.failure.is_met() {
            rest();
        }
        self.0.fate.await_end();
        let mut sending = lock(&self.0.sending);
        let ended = sending.send(FrameKind::End, &[]);
        sending.ended = true;
        drop(sending);
        ended.or_else(|error| self.lose(self.lost(&error)))
    }
}
