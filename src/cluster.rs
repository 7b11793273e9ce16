//! Which processes make up a run: the hostfile, the secret, and the parent that starts them all on this machine.
//!
//! What must hold: a secret is never an argument and never printed; without one nobody but this machine is talked to; the
//! processes of a parent end with it, however it ends, and it ends with what they end with.

use crate::error::{Error, Kind};
use crate::mesh::Secret;
use crate::settings;
use std::ffi::OsString;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where processes without a hostfile are, as timely's users know it: this port and those behind it.
const FIRST_PORT: u16 = 2101;
/// The least length of a secret: a shorter one can be guessed from a recorded connection.
const SECRET_MIN: usize = 16;
/// How long the other processes have to end by themselves when one has failed.
const END_WITHIN: Duration = Duration::from_millis(1_900);

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address can only be reached from this machine.
fn is_loopback(address: &str) -> bool {
    let host = host_of(address);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The hosts of a file: one `host:port` a line, `#` begins a comment. `name`: the file's, for errors.
///
/// ```
/// use ticktide::cluster::hosts;
/// assert_eq!(hosts("a:2101 # first\n\nb:2101\n", "hosts").unwrap(), ["a:2101", "b:2101"]);
/// assert!(hosts("a", "hosts").is_err());
/// ```
pub fn hosts(text: &str, name: &str) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let port = line.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) || host_of(line).is_empty() || line.contains(char::is_whitespace) {
            let message = format!("{name}:{}: {line:?} is no host and port", number + 1);
            return Err(Error::fix(message, "write one `host:port` a line, e.g. `10.0.0.1:2101`"));
        }
        if found.iter().any(|before| before == line) {
            let message = format!("{name}:{}: {line} is there twice", number + 1);
            return Err(Error::fix(message, "give every process a host and port of its own"));
        }
        found.push(line.to_owned());
    }
    if found.is_empty() {
        return Err(Error::fix(format!("{name} names no host"), "write one `host:port` a line, one for each process"));
    }
    Ok(found)
}

/// [`hosts`] of a file.
pub fn read_hosts(path: &Path) -> Result<Vec<String>, Error> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::fix(format!("the hostfile {name} cannot be read: {error}"), "check the path"))?;
    hosts(&text, &name)
}

/// The hosts of `count` processes on this machine.
pub fn local_hosts(count: usize) -> Result<Vec<String>, Error> {
    let port = |index: usize| u16::try_from(index).ok().and_then(|index| FIRST_PORT.checked_add(index));
    let hosts: Option<Vec<String>> = (0..count).map(|index| Some(format!("127.0.0.1:{}", port(index)?))).collect();
    hosts.ok_or_else(|| Error::fix(format!("`-n {count}` is more than there are ports"), "use fewer processes"))
}

/// The secret of a cluster: of a file, else of the environment. Errors: none, and a host is not this machine; a file that
/// all may read; one that is too short.
pub fn secret(file: Option<&Path>, hosts: &[String]) -> Result<Secret, Error> {
    let (text, origin) = match file {
        Some(path) => (read_secret(path)?, path.display().to_string()),
        None => match settings::variable(settings::SECRET) {
            Some(text) => (text.into_bytes(), settings::SECRET.to_owned()),
            None => return none_needed(hosts),
        },
    };
    let text = text.trim_ascii();
    if text.len() < SECRET_MIN {
        let message = format!("the secret of {origin} has {} bytes, the least is {SECRET_MIN}", text.len());
        return Err(Error::fix(message, "make one with `openssl rand -hex 32`, and give it to every process"));
    }
    Ok(Secret::new(text))
}

fn none_needed(hosts: &[String]) -> Result<Secret, Error> {
    match hosts.iter().find(|host| !is_loopback(host)) {
        None => Ok(Secret::new(b"")),
        Some(host) => Err(Error::fix(
            format!("{host} is another machine, and there is no secret to know its processes by"),
            "make one with `openssl rand -hex 32 > FILE; chmod 600 FILE`, copy it to every host, and add `--secret-file FILE`",
        )),
    }
}

fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        Error::fix(format!("the secret file {name} cannot be read: {error}"), "check the path and who may read it")
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            let message = format!("the secret file {name} has mode {mode:03o}: everybody on this machine can use it");
            return Err(Error::fix(message, format!("chmod 600 {name}")));
        }
    }
    std::fs::read(path).map_err(failed)
}

/// How a parent tells its processes where all of them are; the socket to listen at is their standard input.
pub const STARTED_WITH: &str = "--started-with";

/// Starts `count` processes of this program with its own arguments, on this machine and with a fresh secret; waits for
/// them. Must be called on the main thread: its processes end with the thread that started them. Error: of the first
/// process that failed by itself.
pub fn run_all(count: usize) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::bug(format!("the processes cannot be started: {error}"));
    // taken before anybody is started, and handed on: nobody else can take the ports in between
    let listeners = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)));
    let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let hosts = listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string()));
    let hosts = hosts.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let program = std::env::current_exe().map_err(failed)?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut signals = Signals::new().map_err(failed)?;
    let mut family = Family(Vec::new());
    for (index, listener) in listeners.into_iter().enumerate() {
        let mut command = Command::new(&program);
        command.args(&arguments).args(["-p", &index.to_string(), STARTED_WITH, &hosts.join(",")]);
        command.env(settings::SECRET, &secret).stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
        if index > 0 {
            command.stdout(Stdio::null()); // figures come from process 0
        }
        end_with_parent(&mut command);
        family.0.push(Member { child: command.spawn().map_err(failed)?, status: None });
    }
    family.wait(&mut signals).map_err(failed)?;
    family.verdict(&hosts)
}

/// The kernel kills the child when this thread is gone, and the terminal's signals reach it through us only.
#[cfg(unix)]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        let tie = move || {
            // SAFETY: prctl and getppid are async-signal-safe system calls without pointers; nothing is allocated here.
            let (tied, alive) = unsafe {
                (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), u32::try_from(libc::getppid()) == Ok(parent))
            };
            if tied == 0 && alive { Ok(()) } else { Err(std::io::ErrorKind::NotConnected.into()) }
        };
        // SAFETY: the closure runs between fork and exec and keeps to what is allowed there, see above.
        unsafe {
            command.pre_exec(tie);
        }
    }
}

/// SIGINT and SIGTERM since they were last looked at.
struct Signals([(i32, Arc<AtomicBool>); 2]);

impl Signals {
    fn new() -> std::io::Result<Signals> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let signals = Signals([SIGINT, SIGTERM].map(|signal| (signal, Arc::default())));
        for (signal, met) in &signals.0 {
            signal_hook::flag::register(*signal, met.clone())?;
        }
        Ok(signals)
    }

    fn take(&mut self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|(_, met)| met.swap(false, Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}

struct Member {
    child: Child,
    status: Option<ExitStatus>,
}

/// The processes in order of their index; those that still run are killed when it is dropped.
struct Family(Vec<Member>);

impl Family {
    /// Until all have ended. When one has failed, the others have a moment to end by themselves.
    fn wait(&mut self, signals: &mut Signals) -> std::io::Result<()> {
        let mut failed_at: Option<Instant> = None;
        while self.0.iter().any(|member| member.status.is_none()) {
            for signal in signals.take() {
                self.0.iter().filter(|member| member.status.is_none()).for_each(|member| send(&member.child, signal));
            }
            for member in self.0.iter_mut().filter(|member| member.status.is_none()) {
                member.status = member.child.try_wait()?;
                if member.status.is_some_and(|status| !status.success()) {
                    failed_at.get_or_insert_with(Instant::now);
                }
            }
            if failed_at.is_some_and(|at| at.elapsed() >= END_WITHIN) {
                self.kill();
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn kill(&mut self) {
        for member in self.0.iter_mut().filter(|member| member.status.is_none()) {
            // one that has just ended cannot be killed, and need not be
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }

    /// What the processes ended with: the one that failed by itself counts, not those that lost it.
    fn verdict(&self, hosts: &[String]) -> Result<(), Error> {
        let ended = self.0.iter().map(|member| member.status);
        let failed: Vec<_> =
            ended.enumerate().filter(|(_, status)| status.is_some_and(|status| !status.success())).collect();
        let code = |status: &Option<ExitStatus>| status.and_then(|status| status.code());
        let own = failed.iter().find(|(_, status)| code(status).is_some_and(|code| code != Kind::Lost.exit_code()));
        let killed = failed.iter().find(|(_, status)| code(status).is_none());
        let Some((index, status)) = own.or(killed).or(failed.first()) else {
            return match self.0.iter().position(|member| member.status.is_none()) {
                None => Ok(()),
                Some(index) => Err(Error::bug(format!("process {index} did not end"))),
            };
        };
        let kinds = [Kind::Bug, Kind::Fix, Kind::Fenced, Kind::Lost, Kind::Interrupted];
        let kind = match code(status) {
            Some(code) => kinds.into_iter().find(|kind| kind.exit_code() == code).unwrap_or(Kind::Bug),
            None => Kind::Lost,
        };
        let how = status.map_or_else(String::new, |status| status.to_string());
        let message = format!("process {index} ({}) ended: {how}", hosts[*index]);
        Err(Error { kind, message, hint: Some("what it said about it stands above".to_owned()) })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn send(child: &Child, signal: i32) {
    let Ok(id) = i32::try_from(child.id()) else { return };
    // SAFETY: a system call on plain numbers; the child is not waited for yet, so its id is still its own.
    unsafe {
        libc::kill(id, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostfile_has_one_host_a_line_and_says_which_line_is_wrong() {
        let text = "# the cluster\n10.0.0.1:2101\n\n  [::1]:2101 # v6\nname.example:9\n";
        assert_eq!(hosts(text, "hosts").expect("three"), ["10.0.0.1:2101", "[::1]:2101", "name.example:9"]);
        for (text, line) in [("a:1\nb", "hosts:2: \"b\""), ("a:0", "hosts:1"), (":1", "hosts:1"), ("a b:1", "hosts:1")]
        {
            let error = hosts(text, "hosts").expect_err(text);
            assert!(error.kind == Kind::Fix && error.message.contains(line), "{error}");
        }
        assert!(hosts("a:1\na:1\n", "hosts").expect_err("twice").message.contains("hosts:2: a:1 is there twice"));
        assert!(hosts("# none\n", "hosts").is_err());
    }

    #[test]
    fn without_a_secret_only_this_machine_is_talked_to() {
        let owned = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        assert!(none_needed(&owned(&["127.0.0.1:1", "localhost:2", "[::1]:3", "127.8.0.1:4"])).is_ok());
        for other in ["10.0.0.1:1", "example.org:1", "0.0.0.0:1", "[2001:db8::1]:1"] {
            let error = none_needed(&owned(&["127.0.0.1:1", other])).expect_err(other);
            assert!(error.message.contains(other) && error.hint.is_some_and(|hint| hint.contains("--secret-file")));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_everybody_can_read_or_guess_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let written = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode set");
            secret(Some(&path), &[]).map(drop)
        };
        assert!(written("0123456789abcdef\n", 0o600).is_ok());
        assert!(written("0123456789abcdef\n", 0o640).is_ok());
        assert!(written("0123456789abcdef\n", 0o644).expect_err("readable").message.contains("mode 644"));
        let error = written("0123456789abcde\n", 0o600).expect_err("short");
        assert!(error.message.contains("15 bytes") && !error.message.contains("0123"), "{error}");
        assert!(secret(Some(&folder.path().join("none")), &[]).is_err());
    }
}
