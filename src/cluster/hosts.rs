//! Which processes make up a run: the hostfile and the secret.
//!
//! What must hold: a secret is never an argument and never printed; without one a process talks only to this machine.

use crate::mesh::Secret;
use std::net::IpAddr;
use std::path::Path;
use ticktide_base::environment as settings;
use ticktide_base::error::Error;

/// The first port of processes without a hostfile, as timely's users know it; the others use the ports after it.
const FIRST_PORT: u16 = 2101;
/// The least length of a secret: a shorter one can be guessed from a recorded connection.
const SECRET_MIN: usize = 16;

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address can only be reached from this machine.
fn is_loopback(address: &str) -> bool {
    let host = host_of(address);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The hosts of a file: one `host:port` per line, `#` begins a comment. `name`: the file's, for errors.
///
/// ```
/// use ticktide_cluster::hosts::hosts;
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
            let message = format!("{name}:{}: {line:?} is not a host and port", number + 1);
            return Err(Error::fix(message, "write one `host:port` per line, e.g. `10.0.0.1:2101`"));
        }
        if found.iter().any(|before| before == line) {
            let message = format!("{name}:{}: {line} is listed twice", number + 1);
            return Err(Error::fix(message, "give every process a host and port of its own"));
        }
        found.push(line.to_owned());
    }
    if found.is_empty() {
        return Err(Error::fix(
            format!("{name} names no host"),
            "write one `host:port` per line, one for each process",
        ));
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
    hosts.ok_or_else(|| Error::fix(format!("`-n {count}` needs more ports than there are"), "use fewer processes"))
}

/// The secret of a cluster: from a file, otherwise from the environment. Errors: no secret, but a host on another machine; a
/// file that every user may read; a secret that is too short.
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
            format!("{host} is another machine, and there is no secret by which to recognise its processes"),
            "make one with `openssl rand -hex 32 > FILE; chmod 600 FILE`, copy it to every host, and add `--secret-file FILE`",
        )),
    }
}

fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        Error::fix(format!("the secret file {name} cannot be read: {error}"), "check the path and its permissions")
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            let message = format!("the secret file {name} has mode {mode:03o}: every user of this machine can use it");
            return Err(Error::fix(message, format!("chmod 600 {name}")));
        }
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticktide_base::error::Kind;

    #[test]
    fn a_hostfile_has_one_host_a_line_and_says_which_line_is_wrong() {
        let text = "# the cluster\n10.0.0.1:2101\n\n  [::1]:2101 # v6\nname.example:9\n";
        assert_eq!(hosts(text, "hosts").expect("three"), ["10.0.0.1:2101", "[::1]:2101", "name.example:9"]);
        for (text, line) in [("a:1\nb", "hosts:2: \"b\""), ("a:0", "hosts:1"), (":1", "hosts:1"), ("a b:1", "hosts:1")]
        {
            let error = hosts(text, "hosts").expect_err(text);
            assert!(error.kind == Kind::Fix && error.message.contains(line), "{error}");
        }
        assert!(hosts("a:1\na:1\n", "hosts").expect_err("twice").message.contains("hosts:2: a:1 is listed twice"));
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
