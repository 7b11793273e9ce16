//! The processes of one generation as their parent sees them: started, watched, ended, and what they ended with.
//!
//! What must hold: the processes end with their parent, however it ends; when one has failed or hangs, all of them end.

use super::heart::Ward;
use rustix::process::{Pid, Signal};
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ticktide_base::error::{Error, Kind};

/// How long the other processes have to end by themselves when one has failed.
const END_WITHIN: Duration = Duration::from_millis(1_900);
/// How often processes and signals are checked.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The kernel kills the child when this thread is gone, and the terminal's signals reach it only through this process.
#[cfg(unix)]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpid, getppid, set_parent_process_death_signal};
        let parent = getpid();
        let tie = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // one that has ended before the tie was made sends nothing
            if getppid() == Some(parent) { Ok(()) } else { Err(std::io::ErrorKind::NotConnected.into()) }
        };
        // SAFETY: the closure runs between fork and exec: both are plain system calls, and nothing is allocated.
        unsafe {
            command.pre_exec(tie);
        }
    }
}

/// SIGINT and SIGTERM since they were last taken.
pub struct Signals([(Signal, Arc<AtomicBool>); 2]);

impl Signals {
    pub fn new() -> io::Result<Signals> {
        let signals = Signals([Signal::INT, Signal::TERM].map(|signal| (signal, Arc::default())));
        for (signal, met) in &signals.0 {
            signal_hook::flag::register(signal.as_raw(), met.clone())?;
        }
        Ok(signals)
    }

    pub fn take(&mut self) -> impl Iterator<Item = Signal> {
        self.0.iter().filter(|(_, met)| met.swap(false, Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}

struct Member {
    child: Child,
    /// Its address for messages, or nothing.
    name: String,
    status: Option<ExitStatus>,
}

/// The processes in order of their index; those that still run are killed when it is dropped.
pub struct ChildProcesses {
    members: Vec<Member>,
    ward: Ward,
    /// A signal to end was passed on.
    pub stopped: bool,
    /// The process that this one has killed, and which of its loops was stuck.
    hung: Option<(usize, String)>,
}

impl ChildProcesses {
    pub fn new(ward: Ward) -> ChildProcesses {
        ChildProcesses { members: Vec::new(), ward, stopped: false, hung: None }
    }

    /// Whether they have decided an epoch.
    pub fn has_decided(&self) -> bool {
        self.ward.decided
    }

    /// What the next process needs in its environment.
    pub fn letter(&self) -> io::Result<String> {
        self.ward.letter(self.members.len())
    }

    /// Starts the next process. Must be called on the main thread: it ends with the thread that has started it.
    pub fn start(&mut self, mut command: Command, name: String) -> io::Result<()> {
        end_with_parent(&mut command);
        self.ward.expect(self.members.len(), Instant::now());
        self.members.push(Member { child: command.spawn()?, name, status: None });
        Ok(())
    }

    fn living(&mut self) -> impl Iterator<Item = (usize, &mut Member)> {
        self.members.iter_mut().enumerate().filter(|(_, member)| member.status.is_none())
    }

    /// Waits until all have ended. One that hangs is killed; when one has failed, the others have a moment to end themselves.
    pub fn wait(&mut self, signals: &mut Signals) -> io::Result<()> {
        let mut failed_at: Option<Instant> = None;
        while self.living().next().is_some() {
            for signal in signals.take() {
                self.stopped = true;
                self.living().for_each(|(_, member)| send(&member.child, signal));
            }
            let mut ended = Vec::new();
            for (index, member) in self.living() {
                member.status = member.child.try_wait()?;
                if let Some(status) = member.status {
                    ended.push((index, status.success()));
                }
            }
            for (index, well) in ended {
                self.ward.release(index);
                if !well {
                    failed_at.get_or_insert_with(Instant::now);
                }
            }
            self.end_hung()?;
            if failed_at.is_some_and(|at| at.elapsed() >= END_WITHIN) {
                self.kill();
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Kills a process that hangs. A stuck loop may hold locks and half an epoch: only the end of its process helps.
    fn end_hung(&mut self) -> io::Result<()> {
        let Some(hung) = self.ward.look(Instant::now()) else { return Ok(()) };
        self.ward.release(hung.process);
        let of = hung.worker.map_or_else(|| "its main thread".to_owned(), |worker| format!("worker {worker}"));
        for (index, member) in self.living().filter(|(index, _)| *index == hung.process) {
            tracing::error!(process = index, of, "a process hangs and is killed");
            member.child.kill()?;
        }
        self.hung.get_or_insert((hung.process, of));
        Ok(())
    }

    fn kill(&mut self) {
        for (_, member) in self.living() {
            // one that has just ended cannot be killed, and need not be
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }

    /// How the processes ended: the one that failed by itself counts, not those that lost it.
    pub fn verdict(&self) -> Result<(), Error> {
        let ended = self.members.iter().map(|member| member.status);
        let failed: Vec<_> =
            ended.enumerate().filter(|(_, status)| status.is_some_and(|status| !status.success())).collect();
        let code = |status: &Option<ExitStatus>| status.and_then(|status| status.code());
        let own = failed.iter().find(|(_, status)| code(status).is_some_and(|code| code != Kind::Lost.exit_code()));
        let killed = failed.iter().find(|(_, status)| code(status).is_none());
        let Some((index, status)) = own.or(killed).or(failed.first()) else {
            return match self.members.iter().position(|member| member.status.is_none()) {
                None => Ok(()),
                Some(index) => Err(Error::bug(format!("process {index} did not end"))),
            };
        };
        let kinds = [Kind::Bug, Kind::Fix, Kind::Fenced, Kind::Lost, Kind::Interrupted];
        let kind = match code(status) {
            Some(code) => kinds.into_iter().find(|kind| kind.exit_code() == code).unwrap_or(Kind::Bug),
            None => Kind::Lost,
        };
        let how = match &self.hung {
            Some((hung, of)) if hung == index => format!("killed because {of} was stuck"),
            _ => status.map_or_else(String::new, |status| status.to_string()),
        };
        let message = format!("process {index}{} ended: {how}", self.members[*index].name);
        Err(Error { kind, message, hint: Some("its own messages are above".to_owned()) })
    }
}

impl Drop for ChildProcesses {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(unix)]
fn send(child: &Child, signal: Signal) {
    // the child is not waited for yet, so its id is still its own; one that has ended needs no signal
    let _ = rustix::process::kill_process(Pid::from_child(child), signal);
}
