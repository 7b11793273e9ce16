//! The mesh: authenticated, encrypted connections between the processes of a cluster, and how they start and end together.
//!
//! ```text
//!   gather   every process dials those before it and listens for those after it; strangers are refused and counted
//!   start    process 0 takes the lake over and sends generation and epoch; each restores its share of the state
//!   ready    each process reports to every other that it is ready; only then timely's bytes flow
//!   finish   all processes have done all of their work; or one has failed, reports why, and all end
//! ```
//!
//! Why not timely's own sockets: they trust everybody. One stray packet kills a starting process, a silent client blocks
//! it, eight bytes are accepted as "process 1", and the wait for a missing or hung process has no end. What must hold: a
//! byte reaches timely only from a process that has proved the secret and runs the same dataflow; when one process is gone,
//! every other one fails and names it; no process ends with success while another may still fail.

mod gather;
mod handshake;
mod hello;
mod link;
#[cfg(test)]
mod tests;

pub use handshake::Secret;
pub use hello::{Hello, Ready, Start};

use link::{EndState, FrameKind, Link};
use std::fmt;
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use ticktide_base::error::{Classified, Error, Kind};
use ticktide_base::failure::Failure;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::{CommsGuard, initialize_networking_from_sockets};
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

/// The place of this process in its cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its index; process 0 writes the lake.
    pub process: usize,
    /// `host:port` of every process, at least two.
    pub hosts: Vec<String>,
    /// A socket that listens at this process's address already.
    pub listener: Option<TcpListener>,
    pub secret: Secret,
    /// How long the others may take to join.
    pub start_within: Duration,
    /// How long another may be silent before it counts as lost.
    pub silence: Duration,
}

/// A process of the cluster, as the others name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub process: usize,
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.process, self.address)
    }
}

/// What goes wrong between processes.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    #[error("this process cannot listen at {address}: {cause}")]
    Listen { address: String, cause: std::io::Error },
    #[error("{missing} did not join within {} s{why}{strangers}", within.as_secs_f64())]
    Missing {
        missing: String,
        within: Duration,
        /// What answered instead of them.
        why: String,
        /// Which connections were refused meanwhile.
        strangers: String,
        wrong_secret: bool,
    },
    #[error("the {what} differs: this process has {ours}, {peer} has {theirs}")]
    Mismatch { peer: Peer, what: String, ours: String, theirs: String, hint: String },
    #[error("{peer} {why}")]
    Lost { peer: Peer, why: String },
    #[error("{peer} ended: {why}")]
    Ended { peer: Peer, why: String },
    /// All processes of a generation are fenced as one.
    #[error("{peer} is fenced: {why}")]
    Fenced { peer: Peer, why: String },
    /// The input of all is refused.
    #[error("{peer} ended: {why}")]
    Unfit { peer: Peer, why: String },
    #[error("{peer} refuses this process: {why}")]
    Refused { peer: Peer, why: String },
    #[error("stopped by a signal before all processes had joined")]
    Interrupted,
    #[error("{0}")]
    System(String),
}

impl Classified for MeshError {
    fn kind(&self) -> Kind {
        match self {
            MeshError::Listen { .. }
            | MeshError::Mismatch { .. }
            | MeshError::Refused { .. }
            | MeshError::Unfit { .. } => Kind::Fix,
            MeshError::Missing { wrong_secret, .. } => {
                if *wrong_secret {
                    Kind::Fix
                } else {
                    Kind::Lost
                }
            }
            MeshError::Lost { .. } | MeshError::Ended { .. } => Kind::Lost,
            MeshError::Fenced { .. } => Kind::Fenced,
            MeshError::Interrupted => Kind::Interrupted,
            MeshError::System(_) => Kind::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            MeshError::Listen { .. } => {
                "each process listens at its own line of the hostfile: the host must be this machine, the port free"
            }
            MeshError::Missing { wrong_secret: true, .. } => "give every process the same `--secret-file`",
            MeshError::Missing { .. } => {
                "start it with the same hostfile, or look for a firewall in between; `--start-within` waits longer"
            }
            MeshError::Mismatch { hint, .. } => hint,
            MeshError::Refused { .. } => {
                "give every process another `-p`, the number of its line in the hostfile, from 0"
            }
            MeshError::Lost { .. } | MeshError::Ended { .. } => {
                "its own log says more; start all processes again: they continue from the last epoch"
            }
            MeshError::Unfit { .. } => "its own log says what to do; all processes read the same input",
            MeshError::Fenced { .. } => "other processes run this dataflow into the same lake: stop one of the two",
            MeshError::Interrupted | MeshError::System(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// Timely's threads of all links. Dropping them does not wait: in a failed run they sleep until the process ends.
pub struct Threads(ManuallyDrop<CommsGuard>);

/// The complete mesh of this process.
pub struct Mesh {
    process: usize,
    /// By process; none at this process's own index.
    links: Vec<Option<Link>>,
    fate: Arc<EndState>,
}

impl Mesh {
    /// Waits for all processes. `hello` is what all must have in common; its `to` is filled in; `stop` ends the wait.
    pub fn gather(cluster: Cluster, hello: Hello, failure: Arc<Failure>, stop: &AtomicBool) -> Result<Mesh, MeshError> {
        let (process, fate) = (cluster.process, Arc::new(EndState::new(failure)));
        let links = gather::gather(cluster, hello, &fate, stop)?;
        Ok(Mesh { process, links, fate })
    }

    pub fn process(&self) -> usize {
        self.process
    }

    pub fn processes(&self) -> usize {
        self.links.len()
    }

    /// Whether this process opens the lake for writing.
    pub fn leads(&self) -> bool {
        self.process == 0
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().flatten()
    }

    /// Process 0 sends what the run continues from.
    pub fn start(&self, start: &Start) -> Result<(), MeshError> {
        self.links().try_for_each(|link| link.send(FrameKind::Start, start))
    }

    /// Every other process waits for it.
    pub fn await_start(&self) -> Result<Start, MeshError> {
        let first = self.links.first().and_then(Option::as_ref);
        first.ok_or_else(|| MeshError::System("process 0 waits for itself".to_owned()))?.receive(FrameKind::Start)
    }

    /// Waits until every process is ready for the same run.
    pub fn ready(&self, ours: &Ready) -> Result<(), MeshError> {
        self.links().try_for_each(|link| link.send(FrameKind::Ready, ours))?;
        self.links().try_for_each(|link| hello::compare_ready(ours, &link.receive(FrameKind::Ready)?, link.peer()))
    }

    /// What timely's workers communicate through; `bytes`: serialise even what stays in this process.
    pub fn allocators(&self, workers: usize, bytes: bool) -> Result<(Vec<AllocatorBuilder>, Threads), MeshError> {
        let hooks = Hooks::default();
        let local = if bytes { ProcessBuilder::new_bytes_vector } else { ProcessBuilder::new_typed_vector };
        let local = local(workers, hooks.refill.clone(), hooks.spill.clone());
        let joined = initialize_networking_from_sockets(local, self.links.clone(), self.process, workers, hooks);
        let (builders, guard) =
            joined.map_err(|error| MeshError::System(format!("threads of the mesh do not start: {error}")))?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Threads(ManuallyDrop::new(guard))))
    }

    /// This process has done all of its work: waits until the others have, too, or something has failed.
    pub fn finish(&self, threads: Threads) {
        self.fate.end();
        let (done, all_done) = mpsc::channel::<()>();
        // it joins the threads of all links; in a failed run they sleep until the process ends
        let joined = std::thread::Builder::new().name("mesh:finish".into()).spawn(move || {
            drop(ManuallyDrop::into_inner(threads.0));
            drop(done);
        });
        if let Err(error) = joined {
            let error = MeshError::System(format!("a thread of the mesh does not start: {error}"));
            return self.fate.failure.set(error.into());
        }
        while let Err(mpsc::RecvTimeoutError::Timeout) = all_done.recv_timeout(Duration::from_millis(10)) {
            if self.fate.failure.is_met() {
                return;
            }
        }
    }

    /// Sends every other process the reason why this one ends.
    pub fn tell(&self, error: &Error) {
        let frame = match error.kind {
            Kind::Fenced => FrameKind::Fenced,
            // a process that has received it passes it on: the others may see this process end before they receive it
            _ if self.fate.is_refused() => FrameKind::Unfit,
            _ => FrameKind::Failed,
        };
        self.links().for_each(|link| link.tell(frame, &error.message));
    }

    /// Reports to every other process that the input of all is refused: each of them ends as this one does.
    pub fn refuse(&self, error: &Error) {
        self.fate.refuse();
        self.tell(error);
    }
}
