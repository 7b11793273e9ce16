//! The parent of a run: starts its processes, and starts all of them again when one has died or hangs.
//!
//! ```text
//!   parent ──starts──▶ process 0 … n−1 ── signs of life ──▶ parent      one generation
//!     │  one has failed, was killed or hangs: all end
//!     ▼  waits 1 s, 2 s, 4 s … 30 s until an epoch is decided, a limited number of times within a window
//!   the next generation takes the lake over (L5) and continues from its last epoch
//! ```
//!
//! Why all of them: a worker's state is only in its process and in the lake, so all processes share one fate. Processes of a
//! hostfile have a parent on each host, which starts its own process again; the time they wait for each other at the start
//! brings them together. What must hold: a fenced run (exit 3) and one whose input is wrong (exit 2) are never started
//! again; after a signal to end nothing is started again; no process outlives its parent.

mod family;
mod heart;
mod restarts;

pub use heart::{Heart, LoopBeat, SILENCE_LEAST};
pub use restarts::Policy;

use family::{ChildProcesses, Signals};
use heart::{Silence, Ward};
use restarts::{Restarts, may_pass};
use std::ffi::OsString;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use ticktide_base::environment as settings;
use ticktide_base::error::Error;

/// The flag by which a parent gives its processes the addresses of all; their standard input is the listening socket.
pub const STARTED_WITH: &str = "--started-with";

/// How a parent watches its processes.
#[derive(Clone, Debug)]
pub struct Watching {
    pub restarts: Policy,
    /// How long a loop of a process may be stuck.
    pub hang_after: Duration,
    /// How long processes may wait for each other at the start.
    pub start_within: Duration,
}

/// Which processes a parent starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// One, with the parent's own arguments.
    One,
    /// This many, on this machine, with a fresh secret.
    Many(usize),
}

/// Runs the processes until they have ended well, or as often as the policy allows. Must be called on the main thread. Error:
/// that of the first process that failed by itself, in the last generation.
pub fn supervise(below: Below, watching: &Watching) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::bug(format!("the processes cannot be started: {error}"));
    let mut signals = Signals::new().map_err(failed)?;
    let mut restarts = Restarts::new(watching.restarts.clone());
    loop {
        let mut family = start(below, watching).map_err(failed)?;
        family.wait(&mut signals).map_err(failed)?;
        let Err(error) = family.verdict() else { return Ok(()) };
        if family.stopped || !may_pass(error.kind) {
            return Err(error);
        }
        let Some(wait) = restarts.next(Instant::now(), family.has_decided(), jitter()) else {
            return Err(given_up(error, restarts.count(), &watching.restarts));
        };
        let (count, wait_ms) = (restarts.count(), u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(error = %error, restart = count, wait_ms, "all processes are started again");
        if is_stopped(&mut signals, wait) {
            tracing::info!("stopped between two starts: what was decided is in the lake");
            return Ok(());
        }
    }
}

fn start(below: Below, watching: &Watching) -> std::io::Result<ChildProcesses> {
    let (worker, main) = (watching.hang_after, watching.start_within + watching.hang_after);
    let mut family = ChildProcesses::new(Ward::new(Silence { main, worker })?);
    let program = std::env::current_exe()?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = |letter: String| {
        let mut command = Command::new(&program);
        command.args(&arguments).env(settings::HEART, letter);
        command
    };
    let Below::Many(count) = below else {
        let mut command = command(family.letter()?);
        command.stdin(Stdio::null());
        family.start(command, String::new())?;
        return Ok(family);
    };
    // bound before any process is started, and passed on: no other program can take the ports in between
    let listeners = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)));
    let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    let hosts = listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string()));
    let hosts = hosts.collect::<std::io::Result<Vec<_>>>()?;
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    for (index, listener) in listeners.into_iter().enumerate() {
        let mut command = command(family.letter()?);
        command.args(["-p", &index.to_string(), STARTED_WITH, &hosts.join(",")]);
        command.env(settings::SECRET, &secret).stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
        if index > 0 {
            command.stdout(Stdio::null()); // figures come from process 0
        }
        family.start(command, format!(" ({})", hosts[index]))?;
    }
    Ok(family)
}

fn given_up(error: Error, count: usize, policy: &Policy) -> Error {
    if policy.most == 0 {
        return error;
    }
    let message = format!("{}; restarted {count} times within {} s", error.message, policy.window.as_secs());
    let hint = "mend what its processes report above; `--restarts` and `--restart-window` allow more restarts";
    Error { kind: error.kind, message, hint: Some(hint.to_owned()) }
}

/// Waits; true if a signal to end came meanwhile.
fn is_stopped(signals: &mut Signals, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if signals.take().count() > 0 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// From 0 to 1.
fn jitter() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    high as f64 / u64::MAX as f64
}
