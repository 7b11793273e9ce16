//! A panic on purpose: `TICKTIDE_PANIC_AT=THREAD:N`, which is read once at the start of a run and is unset by default.
//!
//! | THREAD | N counts |
//! |---|---|
//! | `worker-I` | epochs: when worker I, of all processes, has computed its part of epoch N |
//! | `files-I` | epochs: when an I/O thread begins to write that part |
//! | `commit` | epochs: when an I/O thread has decided epoch N and the tables do not have it yet |
//! | `reader-I` | batches, from 1: when the thread that reads for worker I has its Nth |
//!
//! Why in the program that users run: what follows a panic (the exit codes, the end of every other process, the next start) is
//! a promise of whole processes, and nothing outside a process can make one of its threads panic. What must hold: without the
//! variable nothing ever panics here; an invalid value stops the start.

use crate::environment as settings;
use crate::error::Error;

/// A thread of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    Worker(usize),
    Files(usize),
    Commit,
    Reader(usize),
}

/// Where a run panics, if anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PanicAt(Option<(Thread, u64)>);

impl PanicAt {
    /// The panic that the environment requests. Error: the value is invalid.
    pub fn inherited() -> Result<PanicAt, Error> {
        let Some(text) = settings::variable(settings::PANIC_AT) else { return Ok(PanicAt::default()) };
        let Some(place) = parse(&text) else {
            let message = format!("{} {text:?} is not a thread and a number", settings::PANIC_AT);
            return Err(Error::fix(message, "unset it; tests set it to e.g. `worker-1:4`, `files-0:4`, `commit:4`"));
        };
        tracing::warn!(at = text, "this run will panic, as its environment requests");
        Ok(PanicAt(Some(place)))
    }

    /// Panics if the environment requests it of this thread at this number.
    #[inline]
    pub fn reach(self, thread: Thread, number: u64) {
        assert!(
            self.0 != Some((thread, number)),
            "{} requests it: {thread:?} has reached {number}",
            settings::PANIC_AT
        );
    }
}

fn parse(text: &str) -> Option<(Thread, u64)> {
    let (thread, number) = text.split_once(':')?;
    let (kind, index) = thread.split_once('-').map_or((thread, None), |(kind, index)| (kind, Some(index)));
    let index = index.map(str::parse).transpose().ok()?;
    let thread = match (kind, index) {
        ("worker", Some(index)) => Thread::Worker(index),
        ("files", Some(index)) => Thread::Files(index),
        ("reader", Some(index)) => Thread::Reader(index),
        ("commit", None) => Thread::Commit,
        _ => return None,
    };
    Some((thread, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_being_asked_nothing_panics() {
        for number in 0..1_000 {
            for thread in [Thread::Worker(0), Thread::Files(1), Thread::Reader(2), Thread::Commit] {
                PanicAt::default().reach(thread, number);
            }
        }
    }

    #[test]
    fn only_the_thread_that_was_asked_panics_and_only_there() {
        let asked = PanicAt(parse("files-1:4"));
        for (thread, number) in
            [(Thread::Files(1), 3), (Thread::Files(0), 4), (Thread::Worker(1), 4), (Thread::Commit, 4)]
        {
            asked.reach(thread, number);
        }
        assert!(std::panic::catch_unwind(|| asked.reach(Thread::Files(1), 4)).is_err());
    }

    #[test]
    fn a_place_is_a_thread_and_a_number_and_anything_else_is_none() {
        for (text, thread, number) in [
            ("worker-0:1", Thread::Worker(0), 1),
            ("files-12:7", Thread::Files(12), 7),
            ("reader-3:9", Thread::Reader(3), 9),
            ("commit:5", Thread::Commit, 5),
        ] {
            assert_eq!(parse(text), Some((thread, number)), "{text}");
        }
        for text in
            ["", "1", "commit", "commit:", "commit:x", "commit-1:5", "worker:5", "worker-:5", "worker-1:-5", "boat-1:5"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
