//! What goes wrong at the scenarios' S3: faults by chance from a seed, and a gate before one chosen object.

use super::stand_in::{Fault, Gate};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `SEED:PERCENT`: so many of a hundred requests go wrong.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    percent: u64,
    requests: AtomicU64,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Chaos, String> {
        let numbers =
            text.split_once(':').and_then(|(seed, percent)| Some((seed.parse().ok()?, percent.parse().ok()?)));
        let (seed, percent) = numbers.ok_or_else(|| format!("--faults {text}: write SEED:PERCENT"))?;
        Ok(Chaos { seed, percent, requests: AtomicU64::new(0) })
    }
}

/// By splitmix64: the same for the same seed and number.
fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = (seed << 32).wrapping_add(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Chaos {
    /// The fault of the next request.
    pub fn next(&self, method: &str) -> Fault {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let drawn = mix(self.seed, number);
        if drawn % 100 >= self.percent {
            return Fault::None;
        }
        let (kind, size) = (drawn / 100 % 20, drawn / 2_000 % 100);
        match method {
            "GET" | "HEAD" => of_read(kind, size),
            _ => of_write(kind, size),
        }
    }
}

fn of_read(kind: u64, size: u64) -> Fault {
    match kind {
        // a time-out costs a quarter of a minute
        0 if size < 8 => Fault::Hang,
        0..=3 => Fault::Refuse(503, "SlowDown"),
        4..=6 => Fault::Refuse(500, "InternalError"),
        7..=9 => Fault::Lose,
        10..=14 => Fault::Truncate,
        _ => Fault::Slow(Duration::from_millis(size)),
    }
}

fn of_write(kind: u64, size: u64) -> Fault {
    match kind {
        0 if size < 8 => Fault::Hang,
        1 if size < 8 => Fault::Mute,
        0..=2 => Fault::Refuse(503, "SlowDown"),
        // done, and then told to come again: the next answer is a 412 of our own write
        3..=5 => Fault::Doubt(503, "SlowDown"),
        6 | 7 => Fault::Refuse(409, "ConditionalRequestConflict"),
        8 | 9 => Fault::Refuse(500, "InternalError"),
        10..=12 => Fault::Doubt(500, "InternalError"),
        13..=15 => Fault::Lose,
        _ => Fault::Late(Duration::from_millis(20 + 40 * size)),
    }
}

/// Keeps the first PUT of an object whose name ends with the first line of a file, as long as the file says so: `go` instead
/// lets it in, `drop` closes its connection. Later PUTs of the object pass: they are somebody else's.
#[derive(Debug)]
pub struct Hold {
    file: PathBuf,
    kept: Mutex<Option<String>>,
}

impl Hold {
    pub fn new(file: PathBuf) -> Hold {
        Hold { file, kept: Mutex::new(None) }
    }

    fn wanted(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        text.lines().next().map(str::to_owned).filter(|line| !line.is_empty())
    }

    /// Whether this request is the one to be kept.
    pub fn keeps(&self, method: &str, address: &str) -> bool {
        if method != "PUT" {
            return false;
        }
        let Some(wanted) = self.wanted() else { return false };
        let path = address.split('?').next().unwrap_or_default();
        let mut kept = self.kept.lock().expect("nothing panics inside");
        let keeps = path.ends_with(&wanted) && kept.as_deref() != Some(wanted.as_str());
        if keeps {
            *kept = Some(wanted);
        }
        keeps
    }
}

#[async_trait::async_trait]
impl Gate for Hold {
    async fn opens(&self, address: &str) -> bool {
        println!("kept PUT {address}");
        loop {
            let said = self.wanted();
            if matches!(said.as_deref(), None | Some("go" | "drop")) {
                let dropped = said.as_deref() == Some("drop");
                println!("{} PUT {address}", if dropped { "dropped" } else { "let in" });
                return !dropped;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
