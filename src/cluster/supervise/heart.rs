//! Signs of life that only a turning loop can give: from the loops of a process to the parent that watches it.
//!
//! ```text
//!   worker loop ─┐                                        ┌─▶ Ward: which loop is stuck, and for how long
//!   main loop ───┴─▶ one datagram each, on loopback ──────┘
//! ```
//!
//! Why every loop sends for itself: a thread that only sends would live on while a worker hangs. Why datagrams: a loop must
//! never wait for its parent, and the next datagram makes up for a lost one. What must hold: a datagram counts only with the
//! token of its generation, which is in the environment and in no argument.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ticktide_base::environment as settings;

/// The time between two signs of one loop.
const BEAT_EVERY: Duration = Duration::from_millis(200);
/// The least time after which a silent loop may count as hung.
pub const SILENCE_LEAST: Duration = Duration::from_secs(1);
/// A parent that was itself stopped for this long does not count that time as silence.
const ABSENT: Duration = Duration::from_millis(500);
/// The loop of the main thread; workers have their index.
const MAIN: u32 = u32::MAX;
/// Token, process, loop, sign.
const LENGTH: usize = 32 + 4 + 4 + 1;

/// What a sign means: the loop turns; it is over; it turns, and an epoch was decided since the start.
const TURNS: u8 = 0;
const OVER: u8 = 1;
const DECIDED: u8 = 2;

/// The way to the parent; none for a process without a parent.
#[derive(Clone, Debug, Default)]
pub struct Heart(Option<Arc<Beating>>);

#[derive(Debug)]
struct Beating {
    socket: UdpSocket,
    token: String,
    process: u32,
    decided: AtomicBool,
}

impl Heart {
    /// From what the parent has put into the environment. A process without it, or with another text there, has no parent.
    pub fn inherited() -> Heart {
        Heart(settings::variable(settings::HEART).and_then(|letter| Heart::of(&letter)))
    }

    fn of(letter: &str) -> Option<Arc<Beating>> {
        let mut parts = letter.splitn(3, ':');
        let port = parts.next()?.parse::<u16>().ok()?;
        let process = parts.next()?.parse().ok()?;
        let token = parts.next().filter(|token| token.len() == 32)?.to_owned();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        socket.connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Arc::new(Beating { socket, token, process, decided: AtomicBool::new(false) }))
    }

    /// Whether a parent watches this process.
    pub fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    /// An epoch was decided: all signs from now on report it.
    pub fn decided(&self) {
        if let Some(beating) = &self.0 {
            beating.decided.store(true, Ordering::Relaxed);
        }
    }

    /// The signs of the main thread.
    pub fn main(&self) -> LoopBeat {
        self.pulse(MAIN)
    }

    /// The signs of a worker's loop.
    pub fn worker(&self, index: usize) -> LoopBeat {
        self.pulse(u32::try_from(index).unwrap_or(MAIN - 1))
    }

    fn pulse(&self, of: u32) -> LoopBeat {
        let mut pulse = LoopBeat { heart: self.clone(), of, told_at: None };
        pulse.beat();
        pulse
    }
}

/// One loop's signs of life, from its making until it is dropped.
#[derive(Debug)]
pub struct LoopBeat {
    heart: Heart,
    of: u32,
    told_at: Option<Instant>,
}

impl LoopBeat {
    /// The loop has come round once more.
    pub fn beat(&mut self) {
        if self.heart.is_watched() && self.told_at.is_none_or(|at| at.elapsed() >= BEAT_EVERY) {
            self.told_at = Some(Instant::now());
            self.send(false);
        }
    }

    /// Waits for a future on the thread that polls it, and beats meanwhile.
    pub async fn during<T>(&mut self, waited: impl Future<Output = T>) -> T {
        let mut waited = std::pin::pin!(waited);
        loop {
            match tokio::time::timeout(BEAT_EVERY, &mut waited).await {
                Ok(value) => return value,
                Err(_) => self.beat(),
            }
        }
    }

    fn send(&self, over: bool) {
        let Some(beating) = &self.heart.0 else { return };
        let mut said = Vec::with_capacity(LENGTH);
        said.extend_from_slice(beating.token.as_bytes());
        said.extend_from_slice(&beating.process.to_be_bytes());
        said.extend_from_slice(&self.of.to_be_bytes());
        said.push(match (over, beating.decided.load(Ordering::Relaxed)) {
            (true, _) => OVER,
            (false, true) => DECIDED,
            (false, false) => TURNS,
        });
        // it fails if the parent is gone or its buffer is full: the next sign may arrive
        let _ = beating.socket.send(&said);
    }
}

impl Drop for LoopBeat {
    fn drop(&mut self) {
        self.send(true);
    }
}

/// The parent's side: every loop of its processes with the moment from which it counts as hung.
#[derive(Debug)]
pub struct Ward {
    socket: UdpSocket,
    token: String,
    silence: Silence,
    /// Processes that were started and have not ended.
    living: BTreeSet<u32>,
    due: BTreeMap<(u32, u32), Instant>,
    looked_at: Instant,
    /// Some process has reported that an epoch was decided.
    pub decided: bool,
}

/// How long loops may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The main thread: it waits for other processes, brokers and the store before the workers turn.
    pub main: Duration,
    pub worker: Duration,
}

/// A process with a stuck loop.
#[derive(Debug, PartialEq, Eq)]
pub struct Hung {
    pub process: usize,
    /// `None`: its main thread.
    pub worker: Option<usize>,
}

impl Ward {
    pub fn new(silence: Silence) -> io::Result<Ward> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (living, due) = (BTreeSet::new(), BTreeMap::new());
        Ok(Ward { socket, token, silence, living, due, looked_at: Instant::now(), decided: false })
    }

    /// What a process needs in its environment so that its signs count.
    pub fn letter(&self, process: usize) -> io::Result<String> {
        Ok(format!("{}:{process}:{}", self.socket.local_addr()?.port(), self.token))
    }

    /// A process was started.
    pub fn expect(&mut self, process: usize, now: Instant) {
        self.living.insert(id(process));
        self.due.insert((id(process), MAIN), now + self.silence.main);
    }

    /// A process has ended.
    pub fn release(&mut self, process: usize) {
        self.living.remove(&id(process));
        self.due.retain(|(of, _), _| *of != id(process));
    }

    /// Reads the signs that have arrived, then looks for a loop that has been silent for too long.
    pub fn look(&mut self, now: Instant) -> Option<Hung> {
        let away = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        if away >= ABSENT {
            self.due.values_mut().for_each(|due| *due += away);
        }
        let mut said = [0; LENGTH + 1];
        while let Ok(length) = self.socket.recv(&mut said) {
            self.hear(&said[..length], now);
        }
        let hung = self.due.iter().find(|(_, due)| **due <= now).map(|(of, _)| *of);
        hung.map(|(process, of)| Hung { process: process as usize, worker: (of != MAIN).then_some(of as usize) })
    }

    fn hear(&mut self, said: &[u8], now: Instant) {
        let Some((token, rest)) = said.split_at_checked(32).filter(|_| said.len() == LENGTH) else { return };
        let number = |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let process = number(0);
        if token != self.token.as_bytes() || !self.living.contains(&process) {
            return;
        }
        let of = number(4);
        if rest[8] == OVER {
            self.due.remove(&(process, of));
        } else {
            self.decided |= rest[8] == DECIDED;
            let silence = if of == MAIN { self.silence.main } else { self.silence.worker };
            self.due.insert((process, of), now + silence);
        }
    }
}

fn id(process: usize) -> u32 {
    u32::try_from(process).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ward() -> Ward {
        Ward::new(Silence { main: 2 * SECOND, worker: SECOND }).expect("a socket on loopback")
    }

    fn watched() -> (Ward, Heart, Instant) {
        let (mut ward, now) = (ward(), Instant::now());
        ward.expect(3, now);
        let heart = Heart(Heart::of(&ward.letter(3).expect("its port")));
        assert!(heart.is_watched());
        (ward, heart, now)
    }

    /// In small steps: a parent that was stopped for long does not count that time.
    fn look_until(ward: &mut Ward, from: Instant, millis: u64) -> Option<(u64, Hung)> {
        (1..=millis / 100).find_map(|tenth| {
            let hung = ward.look(from + Duration::from_millis(100 * tenth));
            hung.map(|hung| (100 * tenth, hung))
        })
    }

    #[test]
    fn a_worker_that_stands_still_is_found_while_the_other_loops_beat_on() {
        let (mut ward, heart, now) = watched();
        let (mut main, _still, mut turning) = (heart.main(), heart.worker(1), heart.worker(0));
        assert_eq!(ward.look(now), None);
        for tenth in 1..=10 {
            for pulse in [&mut main, &mut turning] {
                pulse.told_at = None;
                pulse.beat();
            }
            let found = ward.look(now + Duration::from_millis(100 * tenth));
            assert_eq!(found, (tenth == 10).then_some(Hung { process: 3, worker: Some(1) }), "{tenth}");
        }
    }

    #[test]
    fn that_an_epoch_was_decided_is_heard_with_the_next_sign() {
        let (mut ward, heart, now) = watched();
        let mut pulse = heart.worker(0);
        assert_eq!((ward.look(now), ward.decided), (None, false));
        heart.decided();
        pulse.told_at = None;
        pulse.beat();
        assert_eq!((ward.look(now), ward.decided), (None, true));
    }

    #[test]
    fn a_loop_that_is_over_and_a_process_that_has_ended_are_missed_by_nobody() {
        let (mut ward, heart, now) = watched();
        drop((heart.main(), heart.worker(0)));
        assert_eq!(look_until(&mut ward, now, 5_000), None);
        let _worker = heart.worker(0);
        ward.release(3);
        assert_eq!(look_until(&mut ward, now + 5 * SECOND, 5_000), None);
    }

    #[test]
    fn a_process_that_never_says_anything_is_found_after_the_time_to_start() {
        let (mut ward, now) = (ward(), Instant::now());
        ward.expect(0, now);
        assert_eq!(look_until(&mut ward, now, 5_000), Some((2_000, Hung { process: 0, worker: None })));
    }

    #[test]
    fn time_that_the_parent_was_stopped_itself_counts_against_nobody() {
        let (mut ward, heart, now) = watched();
        let _worker = heart.worker(0);
        assert_eq!(ward.look(now), None);
        assert_eq!(ward.look(now + 3600 * SECOND), None);
    }

    #[test]
    fn strangers_and_other_generations_are_not_heard() {
        let (mut ward, _, now) = watched();
        let (other, port) = (self::ward(), ward.socket.local_addr().expect("bound").port());
        let _forged = Heart(Heart::of(&format!("{port}:3:{}", other.token))).worker(0);
        assert_eq!(ward.look(now), None);
        assert_eq!(ward.due.len(), 1, "only what was expected");
        for letter in ["", "1", "x:0:0", "1:0:short", "99999:0:0123456789abcdef0123456789abcdef"] {
            assert!(Heart::of(letter).is_none(), "{letter}");
        }
    }
}
