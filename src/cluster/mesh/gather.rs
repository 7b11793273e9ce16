//! The start of a mesh: until every process has joined, a mismatch was found or the time is over.
//!
//! ```text
//!   dialler, one for each process before this ──┐
//!   listener ─▶ one thread for each stranger ───┴─▶ Event ─▶ the thread that gathers
//! ```
//!
//! Why a thread for each stranger: a silent one must not hold up the others. They are few: at most [`CROWD`] at once, each for
//! at most [`PATIENCE`], and only while the cluster starts.

use super::handshake::{HandshakeRefusal, Secret, answer, dial};
use super::hello::{Hello, compare};
use super::link::{EndState, FrameKind, FrameReceiver, FrameSender, Link};
use super::{Cluster, MeshError, Peer};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How many strangers are answered at once.
const CROWD: usize = 128;
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon a signal is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The time between two attempts to reach a process.
const RETRY: Duration = Duration::from_millis(50);

type Halves = (FrameReceiver, FrameSender);

/// What happens while a mesh starts.
enum Event {
    Joined(Peer, Halves),
    Refused(HandshakeRefusal, String),
    /// A process that this one dials does not answer as it should, so far.
    Absent {
        process: usize,
        why: String,
        wrong_secret: bool,
    },
    Failed(MeshError),
}

/// What the threads of a start share.
struct Common {
    hello: Hello,
    hosts: Vec<String>,
    secret: Secret,
    over: AtomicBool,
    strangers: AtomicUsize,
}

impl Common {
    fn peer(&self, process: usize) -> Peer {
        let address = self.hosts.get(process).cloned().unwrap_or_default();
        Peer { process, address }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Waits for all processes; gives a link to each.
pub fn gather(
    cluster: Cluster,
    hello: Hello,
    fate: &Arc<EndState>,
    stop: &AtomicBool,
) -> Result<Vec<Option<Link>>, MeshError> {
    let Cluster { process, hosts, listener, secret, start_within, silence } = cluster;
    let deadline = Instant::now() + start_within;
    let (count, strangers) = (hosts.len(), AtomicUsize::new(0));
    let common = Arc::new(Common { hello, hosts, secret, over: AtomicBool::new(false), strangers });
    let (say, heard) = channel();
    for other in 0..process {
        let (common, say) = (common.clone(), say.clone());
        spawn(format!("mesh:dial-{other}"), move || dial_until(&common, other, &say))?;
    }
    if process + 1 < count {
        let listener = listen(listener, &common.hosts[process])?;
        let (common, say) = (common.clone(), say.clone());
        spawn("mesh:listen".into(), move || {
            listen_until(&common, &listener, &say);
            close(listener);
        })?;
    } else if let Some(listener) = listener {
        close(listener); // all others are dialled
    }
    let (links, again, gone) = (vec![None; count], Vec::new(), BTreeSet::new());
    let (absent, refused) = (BTreeMap::new(), BTreeMap::new());
    let mut gathering = Gathering { common: &common, stop, say, links, again, absent, gone, refused };
    let gathered = gathering.until(deadline, start_within, &heard, (fate, silence));
    common.over.store(true, Ordering::Relaxed);
    gathered?;
    let refused: u64 = gathering.refused.values().sum();
    tracing::info!(process, processes = count, refused, "cluster complete");
    Ok(gathering.links)
}

/// What has happened so far.
struct Gathering<'a> {
    common: &'a Arc<Common>,
    stop: &'a AtomicBool,
    say: Sender<Event>,
    links: Vec<Option<Link>>,
    /// Processes that have joined again while their earlier connection is not known to be gone; since when.
    again: Vec<(Link, Instant)>,
    absent: BTreeMap<usize, (String, bool)>,
    /// Processes that had joined and went, whether they have joined again or not.
    gone: BTreeSet<usize>,
    refused: BTreeMap<&'static str, u64>,
}

impl Gathering<'_> {
    fn until(
        &mut self,
        deadline: Instant,
        within: Duration,
        heard: &Receiver<Event>,
        (fate, silence): (&Arc<EndState>, Duration),
    ) -> Result<(), MeshError> {
        loop {
            // before the mesh counts as complete: the last process may join while another one has just gone
            self.let_go()?;
            if self.missing().next().is_none() && self.again.is_empty() {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(MeshError::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match heard.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(Event::Joined(peer, halves)) => {
                    let system = |error: io::Error| MeshError::System(format!("a link cannot be made: {error}"));
                    let link = Link::new(peer, halves, fate.clone(), silence).map_err(system)?;
                    let other = link.peer().process;
                    match &mut self.links[other] {
                        Some(_) => self.again.push((link, Instant::now())),
                        none => *none = Some(link),
                    }
                }
                Ok(Event::Refused(refusal, from)) => {
                    tracing::warn!(from, %refusal, "connection refused");
                    *self.refused.entry(refusal.word()).or_default() += 1;
                }
                Ok(Event::Absent { process, why, wrong_secret }) => {
                    let said = self.absent.insert(process, (why.clone(), wrong_secret));
                    if wrong_secret && said.is_none_or(|(before, _)| before != why) {
                        tracing::warn!(peer = %self.common.peer(process), why, "not joined yet");
                    }
                }
                Ok(Event::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(RecvTimeoutError::Timeout) => return Err(self.given_up(within)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(MeshError::System("the threads of the mesh have ended".to_owned()));
                }
            }
        }
    }

    /// The processes that have not joined.
    fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        let ours = self.common.hello.process;
        (0..self.links.len()).filter(move |other| *other != ours && self.links[*other].is_none())
    }

    /// Lets go of a process that ended before all had joined, and waits for it again; if it has sent the reason of its end, all
    /// processes end. A process that has joined again takes its free place; it is refused if that place is not free by now.
    fn let_go(&mut self) -> Result<(), MeshError> {
        for other in 0..self.links.len() {
            let Some(gone) = self.links[other].take_if(|link| link.is_dead()) else { continue };
            gone.farewell().map_or(Ok(()), Err)?;
            tracing::warn!(peer = %gone.peer(), "gone before all processes had joined");
            self.gone.insert(other);
            if other < self.common.hello.process {
                let (common, say) = (self.common.clone(), self.say.clone());
                spawn(format!("mesh:dial-{other}"), move || dial_until(&common, other, &say))?;
            }
        }
        self.again.retain(|(link, _)| !link.is_dead());
        for (link, since) in std::mem::take(&mut self.again) {
            let (other, patience) = (link.peer().process, link.learns_within());
            if self.links[other].is_none() {
                self.links[other] = Some(link);
            } else if since.elapsed() < patience {
                self.again.push((link, since));
            } else {
                link.tell(FrameKind::Refused, &format!("process {other} has joined already"));
            }
        }
        Ok(())
    }

    fn given_up(&self, within: Duration) -> MeshError {
        let (gone, never): (Vec<usize>, Vec<usize>) = self.missing().partition(|other| self.gone.contains(other));
        // processes that had joined may have given up, too: they are named only if no other process is missing
        let missing = if never.is_empty() { gone } else { never };
        let named = missing.iter().map(|other| format!("host {other} ({})", self.common.hosts[*other]));
        let whys: BTreeSet<&str> =
            missing.iter().filter_map(|other| self.absent.get(other)).map(|(why, _)| why.as_str()).collect();
        let strangers: Vec<String> = self.refused.iter().map(|(word, count)| format!("{count} {word}")).collect();
        MeshError::Missing {
            missing: named.collect::<Vec<_>>().join(", "),
            within,
            why: whys.iter().map(|why| format!(": {why}")).collect(),
            strangers: if strangers.is_empty() {
                String::new()
            } else {
                format!("; refused meanwhile: {}", strangers.join(", "))
            },
            wrong_secret: missing.iter().any(|other| self.absent.get(other).is_some_and(|(_, wrong)| *wrong)),
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<(), MeshError> {
    let spawned = std::thread::Builder::new().name(name).spawn(run);
    spawned.map(drop).map_err(|error| MeshError::System(format!("a thread of the mesh does not start: {error}")))
}

fn listen(inherited: Option<TcpListener>, address: &str) -> Result<TcpListener, MeshError> {
    let listener = inherited.map_or_else(|| TcpListener::bind(address), Ok);
    let ready = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    ready.map_err(|cause| MeshError::Listen { address: address.to_owned(), cause })
}

/// Ends a listener even if it is open as standard input, too.
fn close(listener: TcpListener) {
    // on a system that cannot do this, the socket stays open until the process ends, and nothing answers on it
    let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both);
}

/// Takes connections until the start is over.
fn listen_until(common: &Arc<Common>, listener: &TcpListener, say: &Sender<Event>) {
    while !common.is_over() {
        let Ok((tcp, from)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        let from = from.to_string();
        if common.strangers.fetch_add(1, Ordering::Relaxed) >= CROWD {
            common.strangers.fetch_sub(1, Ordering::Relaxed);
            let _ = say.send(Event::Refused(HandshakeRefusal::Crowd, from)); // if the start is over, nothing counts it
            continue;
        }
        let (common_too, say_too) = (common.clone(), say.clone());
        let spawned = spawn("mesh:stranger".into(), move || {
            let event = meet(&common_too, tcp, from);
            common_too.strangers.fetch_sub(1, Ordering::Relaxed);
            let _ = say_too.send(event); // if the start is over, a link that comes now is closed
        });
        if let Err(error) = spawned {
            let _ = say.send(Event::Failed(error)); // likewise
        }
    }
}

/// Finds out which process has connected.
fn meet(common: &Common, tcp: TcpStream, from: String) -> Event {
    let prepared = tcp.set_nonblocking(false).and_then(|()| tcp.set_nodelay(true));
    if prepared.and_then(|()| tcp.set_write_timeout(Some(PATIENCE))).is_err() {
        return Event::Refused(HandshakeRefusal::Silent, from);
    }
    let mut halves = match answer(tcp, &common.secret, Instant::now() + PATIENCE) {
        Ok(halves) => halves,
        Err(refusal) => return Event::Refused(refusal, from),
    };
    let theirs: Hello = match halves.0.message(FrameKind::Hello) {
        Ok(Ok(hello)) => hello,
        Ok(Err(_)) => return Event::Refused(HandshakeRefusal::Forged, from),
        Err(error) if error.kind() == ErrorKind::InvalidData => return Event::Refused(HandshakeRefusal::Forged, from),
        Err(_) => return Event::Refused(HandshakeRefusal::Silent, from),
    };
    let hello = Hello { to: theirs.process, ..common.hello.clone() };
    let known = theirs.process > hello.process && theirs.process < common.hosts.len();
    let peer =
        Peer { process: theirs.process, address: if known { common.hosts[theirs.process].clone() } else { from } };
    // both sides know both hellos, and find the same difference
    if let Err(error) = halves.1.message(FrameKind::Hello, &hello) {
        return Event::Failed(MeshError::Lost { peer, why: format!("went away while it joined: {error}") });
    }
    match compare(&hello, &theirs, &peer) {
        Ok(()) if known => Event::Joined(peer, halves),
        Ok(()) => Event::Failed(MeshError::Mismatch {
            what: "place in the hostfile".to_owned(),
            ours: format!("process {}", hello.process),
            theirs: format!("process {}", theirs.process),
            hint: "give every process another `-p`, the number of its line in the hostfile, from 0".to_owned(),
            peer,
        }),
        Err(error) => Event::Failed(error),
    }
}

/// Dials a process until it has answered or the start is over.
fn dial_until(common: &Common, other: usize, say: &Sender<Event>) {
    while !common.is_over() {
        let event = match reach(common, other) {
            Ok(Ok(halves)) => Event::Joined(common.peer(other), halves),
            Ok(Err(event)) => event,
            Err(error) => Event::Absent { process: other, why: error.to_string(), wrong_secret: false },
        };
        let again = matches!(event, Event::Absent { .. });
        if say.send(event).is_err() || !again {
            return;
        }
        std::thread::sleep(RETRY);
    }
}

fn reach(common: &Common, other: usize) -> io::Result<Result<Halves, Event>> {
    let peer = common.peer(other);
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    let mut connected = None;
    for address in peer.address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => {
                connected = Some(tcp);
                break;
            }
            Err(error) => last = error,
        }
    }
    let tcp = connected.ok_or(last)?;
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let absent = |why: String, wrong_secret: bool| Ok(Err(Event::Absent { process: other, why, wrong_secret }));
    let mut halves = match dial(tcp, &common.secret, Instant::now() + PATIENCE)? {
        Ok(halves) => halves,
        Err(HandshakeRefusal::Secret) => return absent("it has another secret".to_owned(), true),
        Err(refusal) => return absent(refusal.to_string(), false),
    };
    let hello = Hello { to: other, ..common.hello.clone() };
    halves.1.message(FrameKind::Hello, &hello)?;
    let theirs: Hello = match halves.0.message(FrameKind::Hello)? {
        Ok(theirs) => theirs,
        Err(goodbye) => return absent(format!("{goodbye:?}"), false),
    };
    Ok(match compare(&hello, &theirs, &peer) {
        Ok(()) => Ok(halves),
        Err(error) => Err(Event::Failed(error)),
    })
}
